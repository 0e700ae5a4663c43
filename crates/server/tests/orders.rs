//! What an administrator sets counts in open sessions: event types, pauses; and clients get the archive of their domain.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests may fail loudly; clippy knows only #[test] functions as such"
)]

mod common;

use std::time::{Duration, Instant};

use archive::{Archive, Batch, Options};
use common::{EXTENDED, NOW, Peer, Seen, Stand, connection, device, everything, packet, types, wait_for};
use control::{Control, EventType};
use pki::Bundle;
use server::{New, SessionState};

/// Packets as well.
const PACKETS: u32 = EXTENDED | 1;

/// Waits until a session would see what was set just now: longer than anybody looks away.
fn settle() {
    std::thread::sleep(Duration::from_millis(350));
}

#[test]
fn unchecked_types_are_not_sent_and_checked_ones_are_again() {
    let mut stand = Stand::new("");
    let control = Control::open(&stand.home.control_path()).unwrap();
    let bundle = stand.client("127.0.0.1");
    stand.commit(&[device(1, "fw")], &[connection(1), packet(1, 10)]);
    let mut peer = stand.connect(&bundle, 0, PACKETS, everything());
    assert_eq!(types(&peer.records(3)), [123, 71, 2]);

    control.set_captured(EventType::Discovery, false).unwrap();
    stand.logged("Event types that are not enabled and not sent: Discovery Events");
    stand.commit(&[device(2, "ids")], &[connection(2), packet(2, 10)]);
    assert_eq!(types(&peer.records(2)), [123, 2], "metadata always goes out");
    // A client that comes now does not get what was archived either; the archive has it still.
    let mut other = stand.connect(&bundle, 0, PACKETS, everything());
    assert_eq!(types(&other.records(4)), [123, 2, 123, 2]);

    control.set_captured(EventType::Discovery, true).unwrap();
    stand.logged("All event types are enabled");
    stand.commit(&[], &[connection(3)]);
    assert_eq!((types(&peer.records(1)), types(&other.records(1))), (vec![71], vec![71]));
    let mut again = stand.connect(&bundle, 0, PACKETS, everything());
    assert_eq!(again.records(7).len(), 7, "all of it is sent again to who asks");
}

#[test]
fn in_a_pause_sessions_stay_open_and_get_keep_alives_alone() {
    let mut stand = Stand::new("keep_alive_seconds = 1\n");
    let control = Control::open(&stand.home.control_path()).unwrap();
    let bundle = stand.client("127.0.0.1");
    stand.commit(&[], &[connection(1)]);
    let mut peer = stand.connect(&bundle, 0, PACKETS, everything());
    assert_eq!(peer.records(1).len(), 1);

    control.set_pause("backup of Monday").unwrap();
    stand.logged("The stream is paused, sessions stay open: backup of Monday");
    settle();
    stand.commit(&[], &[connection(2), packet(2, 10)]);
    // Who comes now waits as well.
    let mut late = stand.connect(&bundle, 0, PACKETS, everything());
    for peer in [&mut peer, &mut late] {
        let mut alive = 0;
        while alive < 2 {
            match peer.next(common::SOON) {
                Seen::KeepAlive => alive += 1,
                Seen::Services => {}
                other => panic!("{other:?}"),
            }
        }
    }
    let states = || stand.handle.stats().sessions.iter().map(|s| s.state).collect::<Vec<_>>();
    assert_eq!(states(), [SessionState::Paused; 2]);
    // What is unchecked meanwhile does not come out of what was read before.
    control.set_captured(EventType::Packets, false).unwrap();
    stand.logged("Event types that are not enabled and not sent: Intrusion Event Packet Data");
    control.resume().unwrap();
    stand.logged("The pause is over: sessions go on");
    assert_eq!((types(&peer.records(1)), types(&late.records(2))), (vec![71], vec![71, 71]));
    wait_for("sessions that stream", || (states() == [SessionState::Streaming; 2]).then_some(()));
    peer.quiet();
}

/// A client of a domain.
fn client_of(stand: &Stand, name: &str, netmap: Option<u32>) -> Bundle {
    let new = New { host: name, password: Some("secret"), keep: false, netmap };
    let added = stand.clients.create_client(&stand.home, &new).unwrap();
    Bundle::from_pkcs12(&added.bundle, Some("secret")).unwrap()
}

#[test]
fn clients_get_the_archive_of_their_domain_also_when_it_comes_later() {
    let mut stand = Stand::new("host_check = false\n");
    stand.commit(&[], &[connection(1)]);
    let request = |timestamp| wire::client::ClientRequest { timestamp, flags: PACKETS, events: everything() };
    let connect = |bundle: &Bundle, timestamp| Peer::connect(stand.v4(), bundle, request(timestamp)).unwrap();
    let (first, second) = (client_of(&stand, "one.example", None), client_of(&stand, "two.example", Some(2)));
    let mut one = connect(&first, 0);
    // From the beginning, and from now on: there is nothing yet.
    let (mut two, mut new) = (connect(&second, 0), connect(&second, NOW));
    assert_eq!(types(&one.records(1)), [71]);
    for peer in [&mut two, &mut new] {
        peer.quiet();
        peer.quiet();
    }
    wait_for("both sessions", || (stand.log().matches("creating iterator").count() == 3).then_some(()));
    settle();

    let (mut archive, _) = Archive::open(&stand.home.archive(), 2, Options::default()).unwrap();
    let mut batch = Batch::new();
    batch.push_event(&packet(7, 10)).unwrap();
    let begun = Instant::now();
    archive.commit(&mut batch).unwrap();
    for peer in [&mut two, &mut new] {
        assert_eq!(types(&peer.records(1)), [2]);
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
    one.quiet();
    stand.commit(&[], &[connection(2)]);
    assert_eq!(types(&one.records(1)), [71]);
    two.quiet();
    let netmaps: Vec<_> = stand.handle.stats().sessions.iter().map(|s| s.netmap).collect();
    assert_eq!(netmaps, [Some(0), Some(2), Some(2)]);
}
