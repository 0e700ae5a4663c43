//! Hosts with addresses of their own, on one machine: network namespaces. They need root and `ip` of iproute2, those with
//! firewalls `nft`; where something is missing a test says so and is skipped.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use serde_json::json;
use support::programs::find;
use support::{Finished, Process, SOON, Site, configuration, program, run};

/// What a client is told when the server closes without a word: the cause, and what to do.
const CAUSE: &str = "it does so when the client's certificate was issued for another address than the one it sees";
const REMEDY: &str = "Create the client on the server for the address this machine has there (mind NAT)";

/// The article's client, its server, and the same in IPv6.
const CLIENT: &str = "10.48.26.47";
const SERVER: &str = "10.48.26.1";
const CLIENT6: &str = "2001:db8:26::47";
const SERVER6: &str = "2001:db8:26::1";

/// A host: a network namespace, gone when it is dropped.
struct Host(String);

impl Host {
    /// A host without links, or `None` with a message.
    fn new() -> Option<Host> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            println!("skipped: network namespaces need root");
            return None;
        }
        find("ip")?;
        let host = Host(format!("es{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let made = run(Command::new("ip").args(["netns", "add", &host.0]), b"");
        if made.code != Some(0) {
            println!("skipped: no network namespace can be made here: {}", made.err);
            return None;
        }
        fs::create_dir_all(host.etc()).unwrap();
        // Always there, so that it can be changed while a program runs.
        host.hosts("");
        host.command("ip", &["link", "set", "lo", "up"]).success();
        Some(host)
    }

    /// Files of this folder are those of `/etc` here.
    fn etc(&self) -> PathBuf {
        PathBuf::from("/etc/netns").join(&self.0)
    }

    /// What names are looked up in.
    fn hosts(&self, more: &str) {
        fs::write(self.etc().join("hosts"), format!("127.0.0.1 localhost\n::1 localhost\n{more}")).unwrap();
    }

    fn here(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).arg(name).args(arguments);
        command
    }

    /// Runs another program here.
    fn command(&self, name: &str, arguments: &[&str]) -> Finished {
        run(&mut self.here(name, arguments), b"")
    }

    /// Runs the command under test here.
    fn run(&self, arguments: &[&str]) -> Finished {
        self.command(program().to_str().unwrap(), arguments)
    }

    /// Starts it here.
    fn start(&self, site: &Site, name: &str, arguments: &[&str]) -> Process {
        Process::spawn(&site.path(&format!("{name}.log")), &mut self.here(program().to_str().unwrap(), arguments))
    }

    /// A cable to another host, and the addresses at its ends.
    fn link(&self, other: &Host, name: &str, ends: &[(&str, &str)]) {
        let peer = format!("{name}p");
        self.command("ip", &["link", "add", name, "type", "veth", "peer", "name", &peer, "netns", &other.0]).success();
        for (own, others) in ends {
            for (host, device, address) in [(self, name, own), (other, peer.as_str(), others)] {
                // Nobody else has the address: it need not be asked for.
                let all = ["address", "add", address, "dev", device, "nodad"];
                let all = if address.contains(':') { &all[..] } else { &all[..5] };
                host.command("ip", all).success();
            }
        }
        self.command("ip", &["link", "set", name, "up"]).success();
        other.command("ip", &["link", "set", &peer, "up"]).success();
    }

    /// Rules of a firewall; `None` with a message when there is none.
    fn rules(&self, rules: &str) -> Option<()> {
        find("nft")?;
        let done = self.command("nft", &[rules]);
        if done.code != Some(0) {
            println!("skipped: nft cannot do {rules:?} here: {}", done.err);
            return None;
        }
        Some(())
    }

    /// Tries the reference client here: five records of all there are.
    fn ssl_test(&self, server: &str, pkcs12: &str) -> Finished {
        self.run(&["ssl-test", server, "--pkcs12", pkcs12, "-s", "all", "--extended", "--count", "5"])
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).status();
        let _ = fs::remove_dir_all(self.etc());
    }
}

/// A server and a client, each a host of its own.
struct Pair {
    site: Site,
    process: Process,
    server: Host,
    client: Host,
}

impl Pair {
    fn new(settings: &str, options: &[&str]) -> Option<Pair> {
        let (server, client) = (Host::new()?, Host::new()?);
        let v4 = (&*format!("{SERVER}/24"), &*format!("{CLIENT}/24"));
        let v6 = (&*format!("{SERVER6}/64"), &*format!("{CLIENT6}/64"));
        server.link(&client, "wire", &[v4, v6]);
        let site = site(settings);
        let process = serve(&site, &server, options);
        Some(Pair { site, process, server, client })
    }
}

/// A home with five hundred events.
fn site(settings: &str) -> Site {
    let site = Site::new();
    site.settings(settings);
    site.run(&["sensor", "simulate", "--home", &site.home(), "--events", "500"]).success();
    site
}

fn serve(site: &Site, host: &Host, options: &[&str]) -> Process {
    let home = site.home();
    let process = host.start(site, "server", &[&["server", "--nodaemon", "--home", &home], options].concat());
    process.line("Listening on [::]:8302/tcp");
    process
}

/// Issues a certificate, whether the name can be resolved here or not. Gives the PKCS#12 file.
fn issue(site: &Site, name: &str) -> String {
    let home = server::Home::open(&site.path("home")).unwrap();
    let added = home.clients().unwrap().add(&home, name, None).unwrap();
    let file = site.path(&format!("{name}.pkcs12"));
    fs::write(&file, added.bundle).unwrap();
    file.to_str().unwrap().to_owned()
}

/// The client was let in.
fn let_in(finished: Finished) {
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.out.lines().count() >= 5, "{finished:?}");
}

/// The client was sent away, and told why.
fn sent_away(finished: &Finished) {
    finished.failed(1, &[CAUSE, REMEDY]);
}

#[test]
fn a_certificate_counts_from_its_own_address_alone() {
    let Some(pair) = Pair::new("", &[]) else { return };
    let Pair { site, process, client, .. } = &pair;
    for (name, server, line) in [
        (CLIENT, SERVER, "Matched Certificate CN:10.48.26.47 to 10.48.26.47 (IPv4)"),
        (CLIENT6, SERVER6, "Matched Certificate CN:2001:db8:26::47 to 2001:db8:26::47 (IPv6)"),
        // The same addresses, written in other ways.
        ("::ffff:10.48.26.47", SERVER, "Matched Certificate CN:::ffff:10.48.26.47 to 10.48.26.47 (IPv4)"),
        ("2001:DB8:26:0:0:0:0:47", SERVER6, "Matched Certificate CN:2001:DB8:26:0:0:0:0:47 to 2001:db8:26::47 (IPv6)"),
    ] {
        let_in(client.ssl_test(server, &issue(site, name)));
        process.line(line);
    }
    process.line("Event Streamer:ConnectionHandler [INFO] Accepted IPv4 connection from 10.48.26.47:");
    process.line("Event Streamer:ConnectionHandler [INFO] Added 10.48.26.47 to host table");
    process.line("Event Streamer:ConnectionHandler [INFO] Accepted IPv6 connection from [2001:db8:26::47]:");

    // Right certificates, wrong addresses; the first is the article's.
    for (name, server, peer) in [
        ("192.168.27.100", SERVER, CLIENT),
        ("2001:db8:26::48", SERVER6, CLIENT6),
        // The client's other address is another address.
        (CLIENT6, SERVER, CLIENT),
        (CLIENT, SERVER6, CLIENT6),
    ] {
        let known = site.path(&format!("{name}.pkcs12"));
        let pkcs12 = if known.exists() { known.to_str().unwrap().to_owned() } else { issue(site, name) };
        sent_away(&client.ssl_test(server, &pkcs12));
        process.line(&format!(
            "EventStreamer child({name}):ConnectionHandler [ERROR] Certificate Common Name {name} does not match remote \
             host: {peer}. It was issued to a different client."
        ));
    }
    // The collector says the same.
    let address = format!("{SERVER}:8302").parse().unwrap();
    let collector = site.collector("collector", address, &site.path("192.168.27.100.pkcs12"));
    let config = collector.config().display().to_string();
    client.run(&["test", "--config", &config]).failed(1, &[CAUSE, REMEDY]);
    let running = client.start(site, "collector", &["collect", "--config", &config]);
    running.line(CAUSE);
    assert!(running.log().contains(REMEDY), "{}", running.log());
}

#[test]
fn address_translation_needs_a_certificate_for_what_the_server_sees_or_no_host_check() {
    let (Some(server), Some(router), Some(client)) = (Host::new(), Host::new(), Host::new()) else { return };
    client.link(&router, "inside", &[("10.1.0.2/24", "10.1.0.1/24")]);
    router.link(&server, "outside", &[("10.2.0.2/24", "10.2.0.1/24")]);
    client.command("ip", &["route", "add", "default", "via", "10.1.0.1"]).success();
    router.command("sysctl", &["-q", "-w", "net.ipv4.ip_forward=1"]).success();
    let masquerade =
        "table ip nat { chain post { type nat hook postrouting priority 100 ; oifname \"outside\" masquerade ; } ; }";
    if router.rules(&format!("add {}", "table ip nat")).is_none() {
        return;
    }
    let rules = router.etc().join("nat.nft");
    fs::write(&rules, masquerade).unwrap();
    let loaded = router.command("nft", &["-f", rules.to_str().unwrap()]);
    if loaded.code != Some(0) {
        println!("skipped: nft cannot translate addresses here: {}", loaded.err);
        return;
    }
    let site = site("");
    let (inside, outside) = (issue(&site, "10.1.0.2"), issue(&site, "10.2.0.2"));
    let mut process = serve(&site, &server, &[]);
    sent_away(&client.ssl_test("10.2.0.1", &inside));
    process.line(
        "Certificate Common Name 10.1.0.2 does not match remote host: 10.2.0.2. It was issued to a different client.",
    );
    let_in(client.ssl_test("10.2.0.1", &outside));
    process.line("Matched Certificate CN:10.2.0.2 to 10.2.0.2 (IPv4)");
    // Reloading the settings turns the check off for those who connect from then on.
    site.settings("host_check = false\n");
    site.run(&["manage", "reload", "--home", &site.home()]).success();
    let_in(client.ssl_test("10.2.0.1", &inside));
    process.line("Host check is off: Certificate CN:10.1.0.2 is not compared to 10.2.0.2");
    assert!(process.terminate().success());

    site.settings("");
    let process = serve(&site, &server, &["--nohostcheck"]);
    let_in(client.ssl_test("10.2.0.1", &inside));
    process.line("Host check is off: Certificate CN:10.1.0.2 is not compared to 10.2.0.2");
    // Everything else is checked still: a client that was removed is refused.
    site.run(&["clients", "remove", "--home", &site.home(), "10.1.0.2"]).success();
    let refused = client.ssl_test("10.2.0.1", &inside);
    assert!(refused.code == Some(1) && !refused.err.contains(CAUSE), "{refused:?}");
}

#[test]
fn names_count_as_the_server_resolves_them() {
    let (Some(server), Some(client)) = (Host::new(), Host::new()) else { return };
    let v6 = (&*format!("{SERVER6}/64"), &*format!("{CLIENT6}/64"));
    server.link(&client, "wire", &[(&format!("{SERVER}/24"), &format!("{CLIENT}/24")), v6]);
    server.hosts(&format!(
        "{CLIENT} siem.example\n{CLIENT} dual.example\n{CLIENT6} dual.example\n10.48.26.99 moved.example\n"
    ));
    // Nobody listens there, and the system says so at once.
    fs::write(server.etc().join("resolv.conf"), format!("nameserver {CLIENT}\noptions attempts:1 timeout:1\n"))
        .unwrap();
    let site = site("");
    let process = serve(&site, &server, &[]);

    let_in(client.ssl_test(SERVER, &issue(&site, "siem.example")));
    for line in [
        "child(siem.example):SFUtil [INFO] Found IPv4 address 10.48.26.47 for siem.example",
        "child(siem.example):ConnectionHandler [INFO] Resolved CN siem.example to 10.48.26.47",
        "child(siem.example):ConnectionHandler [INFO] Matched Certificate CN:siem.example to 10.48.26.47 (IPv4)",
    ] {
        process.line(line);
    }
    // From the address that the name does not have.
    sent_away(&client.ssl_test(SERVER6, site.path("siem.example.pkcs12").to_str().unwrap()));
    process.line("Certificate Common Name siem.example does not match remote host: 2001:db8:26::47.");

    let dual = issue(&site, "dual.example");
    let_in(client.ssl_test(SERVER, &dual));
    process.line("Matched Certificate CN:dual.example to 10.48.26.47 (IPv4)");
    let_in(client.ssl_test(SERVER6, &dual));
    process.line("Matched Certificate CN:dual.example to 2001:db8:26::47 (IPv6)");
    process.line("Found IPv6 address 2001:db8:26::47 for dual.example");

    let moved = issue(&site, "moved.example");
    sent_away(&client.ssl_test(SERVER, &moved));
    process.line("child(moved.example):ConnectionHandler [INFO] Resolved CN moved.example to 10.48.26.99");
    process.line(
        "Certificate Common Name moved.example does not match remote host: 10.48.26.47. It was issued to a different client.",
    );
    // The name is corrected, and counts at once.
    server.hosts(&format!("{CLIENT} moved.example\n"));
    let_in(client.ssl_test(SERVER, &moved));

    sent_away(&client.ssl_test(SERVER, &issue(&site, "nowhere.example")));
    process.line(
        "child(nowhere.example):ConnectionHandler [ERROR] Certificate Common Name nowhere.example cannot be resolved: ",
    );
}

#[test]
fn a_client_behind_a_broken_path_is_let_go_and_comes_again() {
    let Some(pair) = Pair::new("keep_alive_seconds = 1\nstall_seconds = 1\n", &[]) else { return };
    let Pair { site, process, client, server } = &pair;
    issue(site, CLIENT);
    let home = site.home();
    let collector =
        site.collector("collector", format!("{SERVER}:8302").parse().unwrap(), &site.path(&format!("{CLIENT}.pkcs12")));
    let mut config = configuration(format!("{SERVER}:8302").parse().unwrap(), &site.path(&format!("{CLIENT}.pkcs12")));
    config["subscription"]["servers"][0]["host"] = json!(SERVER);
    collector.configure(config);
    let config = collector.config().display().to_string();
    let mut collecting = client.start(site, "collecting", &["collect", "--config", &config]);
    collector.wait_for_events(500, &collecting);
    let more = ["sensor", "simulate", "--home", &home, "--events", "1500", "--rate", "200"];
    let mut sensor = site.start("sensor", &more);

    // A firewall forgets the connection: what the client sends is dropped, and nobody tells it.
    if server.rules("add table inet filter").is_none() {
        return;
    }
    server.rules("add chain inet filter in { type filter hook input priority 0 ; }").unwrap();
    server.rules(&format!("add rule inet filter in ip saddr {CLIENT} drop")).unwrap();
    let begun = Instant::now();
    process.line("Removed host entry for pid: 1");
    println!("noticed after {:?}", begun.elapsed());
    // Events fill the buffers of the system, or keep-alives are not acknowledged: whichever limit comes first.
    let reasons = ["[ERROR] The client took nothing for 1 seconds", "[WARN] The client does not answer any more"];
    assert!(reasons.iter().any(|reason| process.log().contains(reason)), "{}", process.log());
    server.rules("flush chain inet filter in").unwrap();
    assert!(sensor.wait().success(), "{}", sensor.log());
    collector.wait_for_events(1500, &collecting);
    assert!(collecting.terminate().success(), "{}", collecting.log());
    // Each event came once.
    let mut lines = Vec::new();
    collector.each_line(|line| lines.extend((!support::is_metadata(line)).then(|| line.to_vec())));
    assert_eq!(lines.len(), 1500);
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), 1500, "some came twice and others never");

    // A cable is pulled while nothing happens: only the keep-alives tell.
    let pkcs12 = site.path(&format!("{CLIENT}.pkcs12")).display().to_string();
    let before = process.log().matches("creating iterator").count();
    let idle = client.start(site, "idle", &["ssl-test", SERVER, "--pkcs12", &pkcs12, "-s", "now", "--extended"]);
    process.lines("creating iterator", before + 1);
    let log = process.log();
    let number = log.rsplit_once("Added 10.48.26.47(").unwrap().1.split(')').next().unwrap();
    client.command("ip", &["link", "set", "wirep", "down"]).success();
    process.line(&format!("Removed host entry for pid: {number}"));
    process.line(&format!(
        "[{number}] EventStreamer child(10.48.26.47):sfestreamer [WARN] The client does not answer any more"
    ));
    idle.alive();
    assert!(begun.elapsed() < SOON * 2);
}
