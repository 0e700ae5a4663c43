//! The log, line by line, as Cisco TAC article 215631 shows that of an appliance.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests may fail loudly; clippy knows only #[test] functions as such"
)]

mod common;

use std::sync::Arc;

use common::{NOW, SOON, Seen, Stand, connection, device, wait_for};
use pki::KeyKind;
use wire::request::EventVersion;

/// The event types and versions of the article's request (eNcore 3.5 against a 6.x management center).
const ARTICLE: [(u16, u16); 9] = [(12, 9), (21, 4), (31, 9), (61, 11), (71, 14), (91, 4), (101, 7), (111, 6), (131, 2)];

fn events() -> Vec<EventVersion> {
    ARTICLE.iter().map(|(code, version)| EventVersion { code: *code, version: *version }).collect()
}

/// What follows `SF-IMS[PID]: ` of the lines from the first connection on, without the client's port.
fn lines(stand: &Stand, port: u16) -> Vec<String> {
    let pid = std::process::id();
    let log = stand.log();
    let body = |line: &str| line.split_once(&format!(" SF-IMS[{pid}]: ")).unwrap().1.to_owned();
    let lines = log.lines().map(body).skip_while(|line| !line.contains("Accepted"));
    let port = format!(":{port}/tcp");
    let parent = |line: String| match line.strip_prefix(&format!("[{pid}] ")) {
        Some(rest) => format!("[22601] {rest}"),
        None => line,
    };
    lines.map(|line| parent(line.replace(&port, ":PORT/tcp"))).collect()
}

fn ends(stand: &Stand, child: u32) {
    let words = format!("Removed host entry for pid: {child}");
    wait_for(&words, || stand.log().contains(&words).then_some(()));
}

#[test]
fn an_extended_session_from_accept_to_exit() {
    let mut stand = Stand::new("");
    stand.at(1_591_210_934).commit(&[device(1, "fw")], &[connection(1)]);
    let bundle = stand.client("127.0.0.1");
    let mut peer = stand.connect(&bundle, 1_591_210_934, 0x4890_0061, events());
    peer.records(2);
    let port = stand.handle.stats().sessions[0].peer.port();
    drop(peer);
    ends(&stand, 1);
    let opened = stand.segments()[0].display().to_string();
    let child = "[1] EventStreamer child(127.0.0.1)";
    let expected = [
        "[22601] Event Streamer:ConnectionHandler [INFO] Accepted IPv4 connection from 127.0.0.1:PORT/tcp".to_owned(),
        "[22601] Event Streamer:ConnectionHandler [INFO] Added 127.0.0.1 to host table".to_owned(),
        "[22601] Event Streamer:ConnectionHandler [INFO] Added 127.0.0.1(1) to host table".to_owned(),
        format!("{child}:ConnectionHandler [INFO] Resolved CN 127.0.0.1 to 127.0.0.1"),
        format!("{child}:ConnectionHandler [INFO] Matched Certificate CN:127.0.0.1 to 127.0.0.1 (IPv4)"),
        format!("{child}:sfestreamer [INFO] Got EVENT_STREAM_REQUEST length 8"),
        format!("{child}:sfestreamer [INFO] Publishing service INFO total data size 48"),
        format!("{child}:sfestreamer [INFO] Publishing service id:5001 - length size 8"),
        format!("{child}:sfestreamer [INFO] Publishing service id:5000 - length size 8"),
        format!("{child}:sfestreamer [INFO] Publishing service id:6667 - length size 8"),
        format!("{child}:sfestreamer [INFO] Got UEC_STREAM_REQUEST length 56"),
        format!("{child}:ConnectionHandler [INFO] requested service [6667] timestamp [1591210934]"),
        format!("{child}:ConnectionHandler [INFO] Got Event type 12, version 9"),
        format!("{child}:ConnectionHandler [INFO] Got Event type 21, version 4"),
        format!("{child}:ConnectionHandler [INFO] Got Event type 31, version 9"),
        format!("{child}:ConnectionHandler [INFO] Got Event type 61, version 11"),
        format!("{child}:ConnectionHandler [INFO] Got Event type 71, version 14"),
        format!("{child}:ConnectionHandler [INFO] Got Event type 91, version 4"),
        format!("{child}:ConnectionHandler [INFO] Got Event type 101, version 7"),
        format!("{child}:ConnectionHandler [INFO] Got Event type 111, version 6"),
        format!("{child}:ConnectionHandler [INFO] Got Event type 131, version 2"),
        format!(
            "{child}:sfestreamer [INFO] EventStream Request (0x48900061): Since 1591210934 w/ NS Events w/ NS 6.0 Events \
             w/ Packets w/ Extra IDS Event data w/ Metadata v4 w/ RUA 5.2 Events w/ Impact Alerts w/ 5.3 Impact Alerts \
             w/ Impact Flags w/ RNA 5.3 Events w/ RNA 6.0 Flow w/ Policy 5.4 Events w/ FireAMP 6.0 Events \
             w/ Filelog 6.0 Events w/ Send archive timestamp w/ Send Detail Request"
        ),
        format!(
            "{child}:ConnectionHandler [INFO] creating iterator for service [6667] prefix [unified2.] timestamp [1591210934]"
        ),
        format!("{child}:Unified2Iterator [INFO] Opened {opened}"),
        // The exit code 20 of an appliance's child whose client hung up.
        "[22601] Event Streamer:ConnectionHandler [INFO] Child with pid 1 exited with status 5120".to_owned(),
        "[22601] Event Streamer:ConnectionHandler [INFO] Removed host entry for pid: 1".to_owned(),
    ];
    let lines = lines(&stand, port);
    for (line, expected) in lines.iter().zip(&expected) {
        assert_eq!(line, expected);
    }
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
}

#[test]
fn a_plain_request_and_a_name() {
    let stand = Stand::with("", KeyKind::EcdsaP256, |options| {
        options.resolver = Some(Arc::new(|_: &str| Ok(vec!["127.0.0.1".parse().unwrap()])));
    });
    let bundle = stand.client("siem.example");
    let peer = stand.connect(&bundle, NOW, 0x0890_0061, vec![]);
    stand.logged("creating iterator");
    let port = stand.handle.stats().sessions[0].peer.port();
    drop(peer);
    ends(&stand, 1);
    let child = "[1] EventStreamer child(siem.example)";
    let expected = [
        format!("{child}:SFUtil [INFO] Found IPv4 address 127.0.0.1 for siem.example"),
        format!("{child}:ConnectionHandler [INFO] Resolved CN siem.example to 127.0.0.1"),
        format!("{child}:ConnectionHandler [INFO] Matched Certificate CN:siem.example to 127.0.0.1 (IPv4)"),
        format!("{child}:sfestreamer [INFO] Got EVENT_STREAM_REQUEST length 8"),
        format!(
            "{child}:sfestreamer [INFO] EventStream Request (0x08900061): Since 4294967295 w/ NS Events w/ Packets \
             w/ Extra IDS Event data w/ Metadata v4 w/ Impact Alerts w/ Impact Flags w/ Send archive timestamp"
        ),
    ];
    let lines = lines(&stand, port);
    for (line, expected) in lines.iter().skip(3).zip(&expected) {
        assert_eq!(line, expected);
    }
    assert!(lines.len() > 3 + expected.len());
}

#[test]
fn a_certificate_of_another_client() {
    let stand = Stand::new("");
    let bundle = stand.client("192.168.27.100");
    let mut peer = stand.connect(&bundle, NOW, 0x4890_0061, events());
    assert_eq!(peer.end(), [Seen::Closed], "within {SOON:?}");
    drop(peer);
    ends(&stand, 1);
    let port = {
        let log = stand.log();
        let line = log.lines().find(|l| l.contains("Accepted")).unwrap();
        line.trim_end_matches("/tcp").rsplit(':').next().unwrap().parse().unwrap()
    };
    let child = "[1] EventStreamer child(192.168.27.100):ConnectionHandler";
    assert_eq!(
        lines(&stand, port),
        [
            "[22601] Event Streamer:ConnectionHandler [INFO] Accepted IPv4 connection from 127.0.0.1:PORT/tcp"
                .to_owned(),
            "[22601] Event Streamer:ConnectionHandler [INFO] Added 127.0.0.1 to host table".to_owned(),
            "[22601] Event Streamer:ConnectionHandler [INFO] Added 127.0.0.1(1) to host table".to_owned(),
            format!("{child} [INFO] Resolved CN 192.168.27.100 to 192.168.27.100"),
            format!(
                "{child} [ERROR] Certificate Common Name 192.168.27.100 does not match remote host: 127.0.0.1. It was \
                 issued to a different client."
            ),
            "[22601] Event Streamer:ConnectionHandler [INFO] Child with pid 1 exited with status 0".to_owned(),
            "[22601] Event Streamer:ConnectionHandler [INFO] Removed host entry for pid: 1".to_owned(),
        ]
    );
}
