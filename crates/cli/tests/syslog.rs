//! The service's log in rsyslog, over a socket of this machine and over UDP.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use support::peer::{Client, End};
use support::programs::{find, listens};
use support::{Process, Site, free_port, wait_for};

/// An event stream request for intrusion events that come from now on.
const NOW: [u8; 16] = [0, 1, 0, 2, 0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 0x08, 0x90, 0, 0x61];

/// rsyslog with a socket of its own and a UDP port.
struct Rsyslog {
    folder: PathBuf,
    process: Process,
}

impl Rsyslog {
    fn start(folder: PathBuf, port: u16) -> Option<Rsyslog> {
        let program = find("rsyslogd")?;
        fs::create_dir_all(&folder).unwrap();
        let home = folder.display();
        // What rsyslog takes a message to be, and the line that it writes into /var/log/messages.
        let text = format!(
            r#"global(workDirectory="{home}" maxMessageSize="64k")
module(load="imuxsock" SysSock.Use="off")
module(load="imudp")
input(type="imuxsock" Socket="{home}/socket" ruleset="all")
input(type="imudp" port="{port}" address="127.0.0.1" ruleset="all")
template(name="all" type="string" string="%inputname% %syslogfacility-text%.%syslogseverity-text% %programname% %procid%|%syslogtag%%msg%\n")
ruleset(name="all") {{ action(type="omfile" file="{home}/out" template="all" ioBufferSize="1" flushOnTXEnd="on") }}
"#
        );
        fs::write(folder.join("conf"), text).unwrap();
        let mut command = Command::new(program);
        command.arg("-n").arg("-f").arg(folder.join("conf")).arg("-i").arg(folder.join("pid"));
        let process = Process::spawn(&folder.join("log"), &mut command);
        listens("udp", port, &process);
        let socket = folder.join("socket");
        wait_for("the socket", || socket.exists().then_some(()));
        Some(Rsyslog { folder, process })
    }

    /// The lines: what rsyslog says of each, and its text.
    fn received(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.folder.join("out")).unwrap_or_default();
        let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        lines.map(|line| line.split_once('|').unwrap()).map(|(head, text)| (head.to_owned(), text.to_owned())).collect()
    }

    fn find(&self, words: &str) -> Option<(String, String)> {
        self.received().into_iter().find(|(_, text)| text.contains(words))
    }

    fn line(&self, words: &str) -> (String, String) {
        wait_for(words, || self.find(words))
    }
}

#[test]
fn the_local_socket_gets_the_lines_of_an_appliance_and_may_go_away() {
    let site = Site::new();
    let (folder, port) = (site.path("rsyslog"), free_port());
    let Some(mut rsyslog) = Rsyslog::start(folder.clone(), port) else { return };
    let [mine, other] = ["127.0.0.1", "192.0.2.9"].map(|host| site.client(host));
    let socket = folder.join("socket");
    site.settings(&format!("log_file = \"syslog://{}\"\nlog_facility = \"local3\"\n", socket.display()));
    let server = {
        let home = site.home();
        let arguments = ["server", "--nodaemon", "--home", &home, "--listen", "127.0.0.1:0"];
        site.start("server", &arguments)
    };
    let pid = server.id();
    let (_, line) = rsyslog.line("Listening on ");
    let address = line.rsplit(' ').next().unwrap().trim_end_matches("/tcp").parse().unwrap();
    let mut client = Client::connect(address, &mine);
    client.send(&NOW).unwrap();
    let matched = rsyslog.line("Matched Certificate");
    let head = |severity: &str| format!("imuxsock local3.{severity} SF-IMS {pid}");
    let child =
        |number: u32, name: &str| format!("SF-IMS[{pid}]: [{number}] EventStreamer child({name}):ConnectionHandler");
    assert_eq!(
        matched,
        (
            head("info"),
            format!("{} [INFO] Matched Certificate CN:127.0.0.1 to 127.0.0.1 (IPv4)", child(1, "127.0.0.1"))
        )
    );
    Client::connect(address, &other).rest();
    let refused = rsyslog.line("does not match remote host");
    assert_eq!(refused.0, head("err"));
    assert_eq!(
        refused.1,
        format!(
            "{} [ERROR] Certificate Common Name 192.0.2.9 does not match remote host: 127.0.0.1. It was issued to a \
             different client.",
            child(2, "192.0.2.9")
        )
    );
    // rsyslog ends, and the service goes on; what it says meanwhile comes later.
    assert!(rsyslog.process.terminate().success());
    let mut third = Client::connect(address, &other);
    assert_eq!(third.rest().1, End::Closed);
    client.finish();
    let rsyslog = Rsyslog::start(folder, port).unwrap();
    let late = child(3, "192.0.2.9");
    wait_for("the lines from between", || {
        rsyslog
            .received()
            .iter()
            .any(|(_, text)| text.starts_with(&late) && text.contains("does not match"))
            .then_some(())
    });
    server.signal(Signal::TERM);
    rsyslog.line("Shutting down");
    assert!(server.log().is_empty(), "nothing is for the terminal: {}", server.log());
}

#[test]
fn udp_and_json() {
    let site = Site::new();
    let port = free_port();
    let Some(rsyslog) = Rsyslog::start(site.path("rsyslog"), port) else { return };
    let pkcs12 = site.client("127.0.0.1");
    site.settings(&format!(
        "log_file = \"syslog://127.0.0.1:{port}\"\nlog_format = \"json\"\nlisten = [\"127.0.0.1:0\"]\n"
    ));
    let home = site.home();
    let said = site.run(&["server", "--home", &home]).success();
    assert!(said.contains(&format!("its log is syslog (127.0.0.1, UDP port {port})")), "{said}");
    let (head, text) = rsyslog.line("Listening on ");
    let object = |text: &str| -> Value { serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap() };
    let pid = object(&text)["pid"].as_u64().unwrap();
    let _daemon = support::Daemon(u32::try_from(pid).unwrap());
    assert_eq!(head, format!("imudp daemon.info SF-IMS {pid}"));
    assert!(text.starts_with(&format!("SF-IMS[{pid}]")), "{text}");
    let message = object(&text)["message"].as_str().unwrap().to_owned();
    let address = message.rsplit(' ').next().unwrap().trim_end_matches("/tcp").parse().unwrap();
    let mut client = Client::connect(address, &pkcs12);
    client.send(&NOW).unwrap();
    let line = object(&rsyslog.line("Matched Certificate").1);
    assert_eq!((&line["client"], &line["session"], &line["level"]), (&"127.0.0.1".into(), &1.into(), &"INFO".into()));
    assert_eq!(line["peer"], client.local().to_string());
    site.run(&["manage", "stop", "--home", &home]).success();
    rsyslog.line("Shutting down, 1 connections");
}
