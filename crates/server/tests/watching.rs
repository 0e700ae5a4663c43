//! What the service tells of its sessions, and how one of them is ended.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests may fail loudly; clippy knows only #[test] functions as such"
)]

mod common;

use std::net::TcpStream;
use std::time::Duration;

use common::{EXTENDED, NOW, SOON, Seen, Stand, connection, device, everything, packet, wait_for};
use server::SessionState;

#[test]
fn each_session_tells_what_it_asked_for_and_how_far_it_is() {
    let mut stand = Stand::new("");
    stand.at(1_000_000).commit(&[device(1, "fw")], &[connection(1)]);
    let bundle = stand.client("127.0.0.1");
    let _silent = TcpStream::connect(stand.v4()).unwrap();
    wait_for("the silent one", || (stand.handle.stats().sessions.len() == 1).then_some(()));
    let mut all = stand.connect(&bundle, 0, EXTENDED, everything());
    all.records(2);
    // It asks for packets alone, and there are none.
    let mut packets = stand.connect(&bundle, 5, 0x0080_0001, vec![]);
    let mut hosts = stand.connect(&bundle, NOW, 0, vec![]);
    let streams = || stand.handle.stats().sessions.iter().filter(|s| s.streaming).count() == 3;
    wait_for("three requests", || streams().then_some(()));
    let stats = wait_for("all of the archive", || {
        Some(stand.handle.stats()).filter(|s| s.sessions[1].lag == Some(0) && s.sessions[2].lag == Some(0))
    });
    assert_eq!(stats.committed, 1_000_000);
    let [first, second, third, fourth] = &stats.sessions[..] else { panic!("{stats:?}") };
    assert_eq!((first.state, &first.request, first.lag), (SessionState::Handshake, &None, None));
    assert_eq!((second.state, second.start, second.second), (SessionState::Streaming, Some(0), 1_000_000));
    assert!(second.request.as_ref().unwrap().starts_with("Since 0 w/ NS Events"), "{second:?}");
    assert_eq!((third.start, third.records, third.second), (Some(5), 0, 0));
    assert_eq!(third.request.as_deref(), Some("Since 5 w/ Packets w/ Send archive timestamp"));
    assert_eq!((fourth.lag, fourth.pending), (None, 0), "it reads no archive");

    // Who acknowledges nothing and reads nothing is behind, with bounded memory.
    packets.acknowledge = false;
    for second in 1_000_010..1_000_020 {
        stand.at(second).commit(&[], &(0..200).map(|n| packet(n, 10_000)).collect::<Vec<_>>());
    }
    let behind = wait_for("somebody behind", || {
        stand.handle.stats().sessions.into_iter().find(|s| s.number == 3 && s.lag.is_some_and(|lag| lag > 0))
    });
    assert!(behind.pending > 0 && behind.pending < 4 << 20, "{behind:?}");
    hosts.quiet();
    drop(hosts);
    wait_for("three sessions", || (stand.handle.stats().sessions.len() == 3).then_some(()));
}

#[test]
fn an_administrator_ends_one_session_and_the_client_is_told() {
    let mut stand = Stand::new("");
    stand.commit(&[device(1, "fw")], &[connection(1)]);
    let bundle = stand.client("127.0.0.1");
    let mut peers = [0, 0].map(|start| stand.connect(&bundle, start, EXTENDED, everything()));
    for peer in &mut peers {
        peer.records(2);
    }
    let number = stand.handle.stats().sessions[0].number;
    assert!(stand.handle.stop_session(number) && !stand.handle.stop_session(999));
    let seen = peers[0].end();
    let [.., Seen::Error(1, text), Seen::Closed] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(text, "An administrator of the server ended this session.");
    stand.logged("An administrator ended this session");
    wait_for("its end", || (stand.handle.stats().sessions.len() == 1).then_some(()));
    stand.commit(&[], &[connection(2)]);
    peers[1].records(1);
    // It may come again.
    let mut again = stand.connect(&bundle, NOW, EXTENDED, everything());
    assert_eq!(again.next(SOON), Seen::Services);
    assert!(matches!(again.next(Duration::from_secs(20)), Seen::Records(_)));
}
