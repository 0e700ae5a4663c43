//! The built-in texts the simulated company is made of. Nobody and nothing in them exists: hosts are in the domains
//! reserved for examples (RFC 2606), products are invented.

/// Sites.
pub(crate) const SITES: [&str; 8] = ["berlin", "lyon", "austin", "osaka", "pune", "leeds", "utrecht", "perth"];

/// Countries: ISO 3166-1 numeric code, name.
pub(crate) const COUNTRIES: [(u16, &str); 20] = [
    (840, "united states"),
    (276, "germany"),
    (250, "france"),
    (826, "united kingdom"),
    (528, "netherlands"),
    (392, "japan"),
    (356, "india"),
    (36, "australia"),
    (124, "canada"),
    (76, "brazil"),
    (156, "china"),
    (643, "russian federation"),
    (410, "korea republic of"),
    (702, "singapore"),
    (616, "poland"),
    (752, "sweden"),
    (372, "ireland"),
    (724, "spain"),
    (710, "south africa"),
    (804, "ukraine"),
];

pub(crate) const FIRST_NAMES: [&str; 40] = [
    "Ada", "Aiko", "Amir", "Anna", "Arjun", "Beatriz", "Ben", "Carla", "Chen", "Clara", "Dana", "David", "Elif",
    "Emil", "Emma", "Farah", "Felix", "Greta", "Hana", "Hugo", "Ines", "Ivan", "Jana", "Jonas", "Kenji", "Laila",
    "Leon", "Lucia", "Mara", "Marco", "Mei", "Nadia", "Noah", "Olga", "Omar", "Paula", "Ravi", "Sofia", "Tomas",
    "Yuki",
];

pub(crate) const LAST_NAMES: [&str; 40] = [
    "Adler",
    "Bauer",
    "Becker",
    "Bianchi",
    "Costa",
    "Dubois",
    "Evans",
    "Fischer",
    "Fontaine",
    "Garcia",
    "Haas",
    "Hughes",
    "Ito",
    "Jansen",
    "Kaya",
    "Keller",
    "Kim",
    "Kumar",
    "Lang",
    "Lindqvist",
    "Martin",
    "Mehta",
    "Meyer",
    "Moreau",
    "Nakata",
    "Novak",
    "Okafor",
    "Patel",
    "Quinn",
    "Rao",
    "Romano",
    "Sato",
    "Silva",
    "Singh",
    "Tanaka",
    "Taylor",
    "Vogel",
    "Walsh",
    "Yilmaz",
    "Zimmer",
];

pub(crate) const DEPARTMENTS: [&str; 8] =
    ["Engineering", "Sales", "Finance", "Operations", "Human Resources", "Legal", "Support", "Research"];

/// Where people browse: host, web application, URL category, reputation (1 bad to 5 good).
pub(crate) const WEBSITES: [(&str, &str, &str, u8); 40] = [
    ("www.search.example", "Wayfinder Search", "Search Engines and Portals", 5),
    ("suggest.search.example", "Wayfinder Search", "Search Engines and Portals", 5),
    ("mail.acorn.example", "Acorn Mail", "Web-based Email", 5),
    ("docs.acorn.example", "Acorn Docs", "Online Storage and Backup", 5),
    ("drive.acorn.example", "Acorn Drive", "Online Storage and Backup", 4),
    ("meet.acorn.example", "Acorn Meet", "Internet Telephony", 5),
    ("teams.harbor.example", "Harbor Rooms", "Business and Industry", 5),
    ("api.harbor.example", "Harbor Rooms", "Business and Industry", 5),
    ("updates.bluepane.example", "Bluepane Update", "Software Updates", 5),
    ("download.bluepane.example", "Bluepane Update", "Software Updates", 5),
    ("telemetry.bluepane.example", "Bluepane Telemetry", "Computers and Internet", 4),
    ("crl.trustworks.example", "Trustworks OCSP", "Infrastructure", 5),
    ("ocsp.trustworks.example", "Trustworks OCSP", "Infrastructure", 5),
    ("cdn.quickserve.example", "Quickserve CDN", "Content Delivery Networks", 4),
    ("static.quickserve.example", "Quickserve CDN", "Content Delivery Networks", 4),
    ("www.dailyplanet.example", "Daily Planet", "News", 4),
    ("img.dailyplanet.example", "Daily Planet", "News", 4),
    ("www.weatherly.example", "Weatherly", "News", 4),
    ("video.streamline.example", "Streamline Video", "Streaming Video", 4),
    ("edge.streamline.example", "Streamline Video", "Streaming Video", 4),
    ("music.tonebox.example", "Tonebox", "Streaming Audio", 4),
    ("www.chatterly.example", "Chatterly", "Social Networking", 3),
    ("img.chatterly.example", "Chatterly", "Social Networking", 3),
    ("www.marketplace.example", "Marketplace", "Shopping", 4),
    ("pay.marketplace.example", "Marketplace Pay", "Finance", 5),
    ("bank.firstledger.example", "First Ledger", "Finance", 5),
    ("git.forgeworks.example", "Forgeworks", "Computers and Internet", 5),
    ("packages.forgeworks.example", "Forgeworks", "Computers and Internet", 5),
    ("registry.forgeworks.example", "Forgeworks", "Computers and Internet", 5),
    ("crm.salespath.example", "Salespath", "SaaS and B2B", 5),
    ("hr.peoplekeep.example", "Peoplekeep", "SaaS and B2B", 5),
    ("travel.farewell.example", "Farewell Travel", "Travel", 4),
    ("ads.clicktrade.example", "Clicktrade", "Advertisements", 2),
    ("pixel.clicktrade.example", "Clicktrade", "Advertisements", 2),
    ("www.luckyspin.example", "Lucky Spin", "Gambling", 2),
    ("files.dropmore.example", "Dropmore", "File Transfer Services", 3),
    ("torrent.peerhive.example", "Peerhive", "Peer File Transfer", 2),
    ("vpn.tunnelfox.example", "Tunnelfox", "Filter Avoidance", 2),
    ("www.example.net", "Web Browsing", "Reference", 4),
    ("wiki.example.net", "Web Browsing", "Reference", 5),
];

/// Hosts that security intelligence knows: name, index of the list in [`INTELLIGENCE`].
pub(crate) const BAD_DOMAINS: [(&str, usize); 6] = [
    ("c2.nightjar.example", 0),
    ("beacon.greywolf.example", 0),
    ("login-verify.secure-mail.example", 1),
    ("update.flashfix.example", 2),
    ("pool.coinrush.example", 3),
    ("qx7rk2.dga.example", 0),
];

/// Security intelligence lists.
pub(crate) const INTELLIGENCE: [(u32, &str); 5] =
    [(1, "CnC"), (2, "Phishing"), (3, "Malware"), (4, "Cryptomining"), (5, "Attackers")];

/// URL reputations.
pub(crate) const REPUTATIONS: [&str; 5] = ["Untrusted", "Questionable", "Neutral", "Favorable", "Trusted"];

pub(crate) const PATHS: [&str; 24] = [
    "/",
    "/index.html",
    "/login",
    "/search?q=quarterly+report",
    "/api/v2/messages?limit=50",
    "/api/v1/status",
    "/assets/app.5f2c1e.js",
    "/assets/main.9a1b.css",
    "/img/logo.png",
    "/img/banner-1280.jpg",
    "/news/2026/markets-open-higher",
    "/favicon.ico",
    "/v11/ucdownload/msdownload/update/catalog.cab",
    "/ocsp/MFEwTzBNMEswSTAJBgUrDgMCGgUABBQ",
    "/crl/issuing-ca-3.crl",
    "/collect?v=2&tid=G-7F3K&cid=1184201",
    "/repos/widgets/pulls?state=open",
    "/packages/simple/requests/",
    "/stream/segment-00042.ts",
    "/docs/d/1bQ7/edit",
    "/cart/checkout",
    "/robots.txt",
    "/feed.xml",
    "/health",
];

/// What browsers and programs call themselves; with the name and version of the client application.
pub(crate) const AGENTS: [(&str, &str, &str); 8] = [
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        "Chrome",
        "126.0.0.0",
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15",
        "Safari",
        "17.4",
    ),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox", "128.0"),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.2592.81",
        "Edge",
        "126.0.2592.81",
    ),
    ("Microsoft-CryptoAPI/10.0", "Microsoft CryptoAPI", "10.0"),
    ("curl/8.5.0", "cURL", "8.5.0"),
    ("python-requests/2.31.0", "Python Requests", "2.31.0"),
    ("Wget/1.21.4", "Wget", "1.21.4"),
];

/// Processes the encrypted visibility engine tells by the TLS handshake.
pub(crate) const PROCESSES: [&str; 6] = ["chrome", "firefox", "msedge", "safari", "outlook", "python"];

/// An application protocol with the client that usually speaks it.
pub(crate) struct ServiceName {
    pub(crate) id: u32,
    pub(crate) name: &'static str,
    pub(crate) client_id: u32,
    pub(crate) client: &'static str,
    /// IP protocol.
    pub(crate) protocol: u8,
    pub(crate) port: u16,
}

const fn service(
    id: u32,
    name: &'static str,
    client_id: u32,
    client: &'static str,
    protocol: u8,
    port: u16,
) -> ServiceName {
    ServiceName { id, name, client_id, client, protocol, port }
}

/// Index into [`SERVICES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Http,
    Https,
    Quic,
    Dns,
    Smb,
    Ldap,
    Kerberos,
    Ntp,
    Smtp,
    Ssh,
    Rdp,
    Icmp,
    Icmpv6,
    Postgres,
    Telnet,
}

/// The application protocols, in the order of [`Service`].
pub(crate) const SERVICES: [ServiceName; 15] = [
    service(676, "HTTP", 638, "Web browser", 6, 80),
    service(1122, "HTTPS", 1296, "SSL client", 6, 443),
    service(4002, "QUIC", 4003, "QUIC client", 17, 443),
    service(617, "DNS", 618, "DNS client", 17, 53),
    service(755, "NetBIOS-ssn (SMB)", 756, "SMB client", 6, 445),
    service(710, "LDAP", 711, "LDAP client", 6, 389),
    service(700, "Kerberos", 701, "Kerberos client", 6, 88),
    service(767, "NTP", 768, "NTP client", 17, 123),
    service(838, "SMTP", 839, "SMTP client", 6, 25),
    service(846, "SSH", 847, "SSH client", 6, 22),
    service(803, "RDP", 804, "RDP client", 6, 3389),
    service(3501, "ICMP", 3501, "ICMP client", 1, 8),
    service(3502, "ICMP for IPv6", 3502, "ICMP for IPv6 client", 58, 128),
    service(1290, "PostgreSQL", 1291, "PostgreSQL client", 6, 5432),
    service(861, "Telnet", 862, "Telnet client", 6, 23),
];

/// File types: id, name, extension.
pub(crate) const FILE_TYPES: [(u32, &str, &str); 8] = [
    (21, "MSEXE", "exe"),
    (22, "MSOLE2", "doc"),
    (285, "PDF", "pdf"),
    (9, "ZIP", "zip"),
    (31, "JPEG", "jpg"),
    (32, "PNG", "png"),
    (151, "ELF", "bin"),
    (263, "NEW_OFFICE", "docx"),
];

pub(crate) const FILE_STEMS: [&str; 24] = [
    "invoice", "report", "setup", "photo", "minutes", "budget", "update", "manual", "contract", "slides", "backup",
    "driver", "plan", "order", "notice", "archive", "scan", "letter", "agenda", "payslip", "catalog", "policy",
    "diagram", "readme",
];

/// Names of malware families.
pub(crate) const FAMILIES: [&str; 6] = [
    "W32.Nightjar",
    "Win.Trojan.Greywolf",
    "Doc.Downloader.Flashfix",
    "Unix.Miner.Coinrush",
    "W32.Lockbit",
    "Pdf.Phish",
];
