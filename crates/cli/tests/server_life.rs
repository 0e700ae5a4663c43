//! The life of a service: start in the background, log, reload, end.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::peer::{Client, End};
use support::{Daemon, Site, wait_for};
use wire::message::MessageType;

/// An event stream request for intrusion events that come from now on.
const NOW: [u8; 16] = [0, 1, 0, 2, 0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 0x08, 0x90, 0, 0x61];

/// Starts the service in the background, its log in `log/server.log`.
fn background(site: &Site, settings: &str) -> Daemon {
    site.settings(&format!("log_file = \"log/server.log\"\n{settings}"));
    let said = site.run(&["server", "--home", &site.home(), "--listen", "127.0.0.1:0"]).success();
    let pid = said.strip_prefix("The service runs (pid ").and_then(|s| s.split(')').next());
    let daemon = Daemon(pid.unwrap_or_else(|| panic!("{said}")).parse().unwrap());
    assert!(said.contains("/log/server.log"), "{said}");
    daemon
}

fn log(site: &Site) -> String {
    fs::read_to_string(site.path("home/log/server.log")).unwrap_or_default()
}

fn logged(site: &Site, words: &str) {
    wait_for(words, || log(site).contains(words).then_some(()));
}

fn address(site: &Site) -> std::net::SocketAddr {
    let log = log(site);
    let line = log.lines().rev().find(|l| l.contains("Listening on ")).unwrap();
    line.rsplit(' ').next().unwrap().trim_end_matches("/tcp").parse().unwrap()
}

#[test]
fn in_the_background_it_runs_once_reloads_and_ends_cleanly() {
    let site = Site::new();
    let pkcs12 = site.client("127.0.0.1");
    let home = site.home();
    let daemon = background(&site, "keep_alive_seconds = 1\n");
    assert!(daemon.runs());
    let mut client = Client::connect(address(&site), &pkcs12);
    client.send(&NOW).unwrap();
    assert_eq!(client.message().unwrap().0, MessageType::NULL);

    // A second one, in either way.
    let words = format!("is running already (pid {})", daemon.0);
    site.run(&["server", "--home", &home]).failed(1, &[&words]);
    site.run(&["server", "--home", &home, "--nodaemon"]).failed(1, &["is running already"]);
    assert!(daemon.runs());

    // A reload: the level and the file of the log, and what counts later.
    let settings = "log_file = \"log/server.log\"\nkeep_alive_seconds = 1\nlog_level = \"debug\"\nnetmap = 1\n";
    site.settings(settings);
    fs::rename(site.path("home/log/server.log"), site.path("home/log/server.log.1")).unwrap();
    daemon.signal(Signal::HUP);
    logged(&site, "Settings and certificates were read again");
    let before = fs::read_to_string(site.path("home/log/server.log.1")).unwrap();
    assert!(before.contains("The new value of \"netmap\" in settings.toml counts after a restart only"), "{before}");
    logged(&site, "[DEBUG] Sending NULL message");
    // One with an error changes nothing.
    site.settings("keep_alive_seconds = 0\n");
    daemon.signal(Signal::HUP);
    logged(&site, "settings.toml: keep_alive_seconds");
    logged(&site, "The old settings stay in force");
    site.settings(settings);

    // The end: the open session is told as TLS does it, and the connection is closed, not reset.
    daemon.signal(Signal::TERM);
    let (rest, end) = client.rest();
    assert!(rest.chunks(8).all(|m| m == [0, 1, 0, 0, 0, 0, 0, 0]), "nothing but keep-alives: {rest:?}");
    assert_eq!(end, End::Closed);
    client.finish();
    assert_eq!(client.socket_end().unwrap(), 0);
    wait_for("the end of the service", || (!daemon.runs()).then_some(()));
    logged(&site, "Shutting down, 1 connections");

    // And it can be started again.
    fs::remove_file(site.path("home/log/server.log")).unwrap();
    let again = background(&site, "");
    assert_ne!(again.0, daemon.0);
    Client::connect(address(&site), &pkcs12).send(&NOW).unwrap();
    logged(&site, "Got EVENT_STREAM_REQUEST length 8");
}

#[test]
fn sigint_ends_it_too_and_a_client_that_hangs_does_not_keep_it() {
    let site = Site::new();
    let pkcs12 = site.client("127.0.0.1");
    let mut server = site.serve(&[]);
    let mut client = Client::connect(server.address, &pkcs12);
    client.send(&NOW).unwrap();
    server.process.line("creating iterator");
    // This one has connected and says nothing, and neither does the other any more.
    let _silent = std::net::TcpStream::connect(server.address).unwrap();
    server.process.lines("Accepted IPv4 connection", 2);
    let begun = Instant::now();
    server.process.signal(Signal::INT);
    assert!(server.process.wait().success());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn the_log_has_the_lines_of_an_appliance() {
    let site = Site::new();
    let pkcs12 = site.client("localhost");
    site.run(&["sensor", "simulate", "--home", &site.home(), "--events", "10"]).success();
    let mut server = site.serve(&[]);
    let collector = site.collector("collector", server.address, &pkcs12);
    let mut collecting = collector.start();
    collector.wait_for_events(10, &collecting);
    assert!(collecting.terminate().success());
    server.process.line("Removed host entry");
    server.process.signal(Signal::TERM);
    assert!(server.process.wait().success());

    let log = server.process.log();
    let lines: Vec<&str> = log.lines().map(|line| message(line, server.process.id())).collect();
    let parent = |text: &str| format!("[{}] Event Streamer:{text}", server.process.id());
    let child = |text: &str| format!("[1] EventStreamer child(localhost):{text}");
    let expected = [
        parent("ConnectionHandler [INFO] Accepted IPv4 connection from 127.0.0.1:*/tcp"),
        parent("ConnectionHandler [INFO] Added 127.0.0.1 to host table"),
        parent("ConnectionHandler [INFO] Added 127.0.0.1(1) to host table"),
        child("SFUtil [INFO] Found IPv4 address 127.0.0.1 for localhost"),
        child("ConnectionHandler [INFO] Resolved CN localhost to *127.0.0.1*"),
        child("ConnectionHandler [INFO] Matched Certificate CN:localhost to 127.0.0.1 (IPv4)"),
        child("sfestreamer [INFO] Got EVENT_STREAM_REQUEST length 8"),
        child("sfestreamer [INFO] Publishing service INFO total data size 48"),
        child("sfestreamer [INFO] Publishing service id:5001 - length size 8"),
        child("sfestreamer [INFO] Publishing service id:5000 - length size 8"),
        child("sfestreamer [INFO] Publishing service id:6667 - length size 8"),
        child("sfestreamer [INFO] Got UEC_STREAM_REQUEST length *"),
        child("ConnectionHandler [INFO] requested service [6667] timestamp [0]"),
        child("ConnectionHandler [INFO] Got Event type 12, version *"),
        child("sfestreamer [INFO] EventStream Request (0x48900061): Since 0 w/ NS Events * w/ Send Detail Request"),
        child("ConnectionHandler [INFO] creating iterator for service [6667] prefix [unified2.] timestamp [0]"),
        child("Unified2Iterator [INFO] Opened */archive/netmap_0/unified2.*"),
        parent("ConnectionHandler [INFO] Child with pid 1 exited with status 5120"),
        parent("ConnectionHandler [INFO] Removed host entry for pid: 1"),
    ];
    let mut rest = lines.iter();
    for pattern in &expected {
        assert!(rest.any(|line| matches(pattern, line)), "{pattern:?} is missing or out of order in\n{log}");
    }
    assert!(!log.contains("[ERROR]") && !log.contains("[WARN]"), "{log}");
}

/// What follows `Mon D HH:MM:SS HOST SF-IMS[PID]: `.
fn message(line: &str, pid: u32) -> &str {
    let (date, rest) = line.split_at(16);
    let mut words = date.split_whitespace();
    let (month, day, time) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    assert!(month.len() == 3 && month.chars().all(char::is_alphabetic), "{line}");
    assert!(day.parse::<u8>().is_ok_and(|d| (1..=31).contains(&d)), "{line}");
    assert!(time.len() == 8 && time.split(':').all(|n| n.parse::<u8>().is_ok_and(|n| n < 60)), "{line}");
    let (host, rest) = rest.split_once(' ').unwrap();
    assert!(!host.is_empty(), "{line}");
    rest.strip_prefix(&format!("SF-IMS[{pid}]: ")).unwrap_or_else(|| panic!("{line}"))
}

/// Whether a line is this pattern, where `*` stands for any text.
fn matches(pattern: &str, line: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == line,
        Some((start, rest)) => line.strip_prefix(start).is_some_and(|line| {
            (0..=line.len()).filter(|i| line.is_char_boundary(*i)).any(|i| matches(rest, &line[i..]))
        }),
    }
}
