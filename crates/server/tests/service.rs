//! Who gets in, who is sent away, and how sessions end.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests may fail loudly; clippy knows only #[test] functions as such"
)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{EXTENDED, NOW, Peer, SOON, Seen, Stand, connection, device, everything, packet, types, wait_for};
use pki::{Bundle, KeyKind};
use wire::client::ClientRequest;
use wire::hosts::HostRequest;

fn request(timestamp: u32) -> ClientRequest {
    ClientRequest { timestamp, flags: EXTENDED, events: everything() }
}

#[test]
fn a_removed_client_is_cut_off_and_refused_and_can_come_again() {
    let mut stand = Stand::new("");
    stand.commit(&[device(1, "fw")], &[]);
    let bundle = stand.client("127.0.0.1");
    let mut peer = stand.connect(&bundle, 0, EXTENDED, everything());
    peer.records(1);
    // As another process would do it.
    let begun = Instant::now();
    stand.clients.remove("127.0.0.1").unwrap();
    assert_eq!(peer.end(), [Seen::Closed]);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    stand.logged("The client was removed: its session ends");

    // With TLS 1.3 the client learns of the refusal when it reads.
    let error = match Peer::connect(stand.v4(), &bundle, request(0)) {
        Ok(mut peer) => match peer.next(SOON) {
            Seen::Broken(error) => error,
            other => panic!("{other:?}"),
        },
        Err(error) => error.to_string(),
    };
    assert!(error.contains("CertificateRevoked"), "{error}");
    stand.logged("[ERROR] SSL_accept failed, SSL_get_error reports SSL_ERROR_SSL");
    stand.logged("child(127.0.0.1):ConnectionHandler [ERROR] The client has been removed from this server.");

    let again = stand.client("127.0.0.1");
    stand.connect(&again, 0, EXTENDED, everything()).records(1);
}

#[test]
fn a_certificate_for_another_address_gets_no_message() {
    let stand = Stand::new("");
    let bundle = stand.client("192.0.2.9");
    let mut peer = stand.connect(&bundle, 0, EXTENDED, everything());
    assert_eq!(peer.end(), [Seen::Closed]);
    drop(peer);
    stand.logged("Removed host entry for pid: 1");
    stand.logged_in_order(&[
        "Accepted IPv4 connection from 127.0.0.1:",
        "Added 127.0.0.1 to host table",
        "Added 127.0.0.1(1) to host table",
        "child(192.0.2.9):ConnectionHandler [INFO] Resolved CN 192.0.2.9 to 192.0.2.9",
        "child(192.0.2.9):ConnectionHandler [ERROR] Certificate Common Name 192.0.2.9 does not match remote host: 127.0.0.1. It was issued to a different client.",
        "Child with pid 1 exited with status 0",
    ]);
}

#[test]
fn names_are_looked_up_and_a_reload_can_turn_the_check_off() {
    let stand = Stand::with("", KeyKind::EcdsaP256, |options| {
        options.resolver = Some(Arc::new(|name: &str| match name {
            "siem.example" => Ok(vec!["192.0.2.1".parse().unwrap(), "127.0.0.1".parse().unwrap()]),
            _ => Err(std::io::Error::other("no such host")),
        }));
    });
    let bundle = stand.client("siem.example");
    let mut peer = stand.connect(&bundle, 0, EXTENDED, everything());
    assert_eq!(peer.next(SOON), Seen::Services);
    stand.logged_in_order(&[
        "child(siem.example):SFUtil [INFO] Found IPv4 address 192.0.2.1 for siem.example",
        "child(siem.example):SFUtil [INFO] Found IPv4 address 127.0.0.1 for siem.example",
        "child(siem.example):ConnectionHandler [INFO] Resolved CN siem.example to 192.0.2.1, 127.0.0.1",
        "child(siem.example):ConnectionHandler [INFO] Matched Certificate CN:siem.example to 127.0.0.1 (IPv4)",
    ]);
    let lost = stand.client("lost.example");
    assert_eq!(stand.connect(&lost, 0, EXTENDED, everything()).end(), [Seen::Closed]);
    stand.logged("[ERROR] Certificate Common Name lost.example cannot be resolved: no such host");

    let settings = "client_keys = \"ecdsa-p256\"\nhost_check = false\nlog_level = \"debug\"\nlisten = [\"[::]:9\"]\n";
    std::fs::write(stand.home.settings_path(), settings).unwrap();
    stand.handle.reload().unwrap();
    let mut peer = stand.connect(&lost, 0, EXTENDED, everything());
    assert_eq!(peer.next(SOON), Seen::Services);
    peer.quiet();
    peer.session.acknowledge();
    peer.say().unwrap();
    stand.logged("Host check is off: Certificate CN:lost.example is not compared to 127.0.0.1");
    stand.logged("sfestreamer [DEBUG] Got NULL message");

    std::fs::write(stand.home.settings_path(), "max_conections = 1").unwrap();
    let error = stand.handle.reload().unwrap_err().to_string();
    assert!(error.contains("settings.toml, line 1: max_conections"), "{error}");
    assert_eq!(stand.connect(&lost, 0, EXTENDED, everything()).next(SOON), Seen::Services, "all stays as it was");
}

#[test]
fn what_is_no_request_is_answered_with_an_error_message() {
    let stand = Stand::new("request_seconds = 1");
    let bundle = stand.client("127.0.0.1");
    for (bytes, words) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "header version 18245"),
        (&[0, 1, 0, 2, 0xff, 0xff, 0xff, 0xff], "4294967295 bytes"),
        (&[0, 1, 0, 2, 0, 0, 0, 8, 0, 0], "No complete event stream request came within 1 seconds"),
        (&[0, 1, 0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0x40, 0, 0, 0], "No complete event stream request"),
        (
            &[0, 1, 0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0],
            "a second time",
        ),
        // A domain streaming request could be any of these: nobody has published its number.
        (&[0, 1, 3, 0xe7, 0, 0, 0, 0], "message type 999 is not known here"),
        (
            &[0, 1, 0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 1, 8, 4, 0, 0, 0, 1, 1],
            "message type 2052 is not known",
        ),
    ] {
        let mut peer = raw(&stand, &bundle);
        peer.write(bytes).unwrap();
        let mut seen = peer.end();
        seen.retain(|s| *s != Seen::Services);
        let [Seen::Error(1, text), Seen::Closed] = &seen[..] else { panic!("{words}: {seen:?}") };
        assert!(text.contains(words), "{text}");
    }
    stand.logged("[ERROR] Bad request, closing: message header version 18245");
    stand.logged("[ERROR] No complete request within 1 seconds, closing");
}

/// A client that has sent nothing.
fn raw(stand: &Stand, bundle: &Bundle) -> Peer {
    let config = pki::client_config(bundle, pki::ServerTrust::Authorities, pki::TlsVersions::From12).unwrap();
    let tls = rustls::ClientConnection::new(config, pki::server_name("localhost")).unwrap();
    let mut peer = Peer::over(tls, TcpStream::connect(stand.v4()).unwrap(), request(0));
    peer.mute = true;
    peer
}

#[test]
fn a_message_of_unknown_type_in_a_stream_is_answered_and_logged() {
    let mut stand = Stand::new("");
    stand.commit(&[device(1, "fw")], &[]);
    let bundle = stand.client("127.0.0.1");
    let mut peer = stand.connect(&bundle, 0, EXTENDED, everything());
    peer.records(1);
    peer.write(&[0, 1, 8, 8, 0, 0, 0, 2, 1, 2]).unwrap();
    let seen = peer.end();
    let [.., Seen::Error(1, text), Seen::Closed] = &seen[..] else { panic!("{seen:?}") };
    assert!(text.starts_with("message type 2056 is not known here"), "{text}");
    stand.logged("[ERROR] Bad request, closing: message type 2056 is not known here");
}

#[test]
fn host_requests_find_nothing_and_a_client_may_leave_with_an_error() {
    let stand = Stand::new("");
    let bundle = stand.client("127.0.0.1");
    let mut peer = stand.connect(&bundle, NOW, 0, vec![]);
    let (first, last) = ([10, 0, 0, 1].into(), [10, 0, 0, 9].into());
    let unknown = HostRequest { data_type: 9, ..HostRequest::range(last, first, 0) };
    for (request, multiple) in
        [(HostRequest::single(first, 3), false), (HostRequest::range(first, last, 0), true), (unknown, true)]
    {
        peer.session.request_hosts(&request);
        peer.say().unwrap();
        assert_eq!(peer.next(SOON), Seen::HostsEnd(multiple));
    }
    stand.logged("data type 6, flags 3, 10.0.0.1 to 10.0.0.1");
    stand.logged("[WARN] Host data type 9 is not known: the newest (block 149) is sent");
    peer.session.leave("bye\nfor now");
    peer.say().unwrap();
    stand.logged("The client leaves with error -1: bye\\nfor now");
    stand.logged("Child with pid 1 exited with status 5120");
}

#[test]
fn a_silent_stream_is_kept_alive_and_a_stalled_client_is_cut_off() {
    let mut stand = Stand::new("keep_alive_seconds = 1\nstall_seconds = 2");
    let bundle = stand.client("127.0.0.1");
    let mut idle = stand.connect(&bundle, NOW, EXTENDED, everything());
    assert_eq!(idle.next(SOON), Seen::Services);
    let begun = Instant::now();
    assert_eq!((idle.next(SOON), idle.next(SOON)), (Seen::KeepAlive, Seen::KeepAlive));
    assert!((1500..3500).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());

    for _ in 0..40 {
        stand.commit(&[], &(0..100).map(|n| packet(n, 10_000)).collect::<Vec<_>>());
    }
    let mut stalled = stand.connect(&bundle, 0, EXTENDED, everything());
    assert_eq!(stalled.next(SOON), Seen::Services);
    stand.logged("child(127.0.0.1):sfestreamer [ERROR] The client took nothing for 2 seconds, closing");
    // It was not read ahead of what the sockets hold: 4000 records of 10 KB are there.
    wait_for("the end of the session", || stand.log().contains("Removed host entry for pid: 2").then_some(()));
    let received = {
        let mut records = 0;
        while let Seen::Records(more) = stalled.next(Duration::from_secs(1)) {
            records += more.len();
        }
        records
    };
    assert!(received < 2500, "{received}");
}

#[test]
fn a_full_server_says_so() {
    let mut stand = Stand::new("max_connections_per_address = 2\nmax_connections = 3");
    stand.commit(&[device(1, "fw")], &[]);
    let bundle = stand.client("127.0.0.1");
    let mut peers = [0, 0].map(|start| stand.connect(&bundle, start, EXTENDED, everything()));
    peers.iter_mut().for_each(|peer| drop(peer.records(1)));
    let refused = |mut peer: Peer, words: &str| {
        let seen = peer.end();
        let [Seen::Error(1, text), Seen::Closed] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!(text, words);
    };
    let one_more = || stand.connect(&bundle, 0, EXTENDED, everything());
    refused(one_more(), "The server has 2 connections from this address already; try again later.");
    stand.logged("child(127.0.0.1):ConnectionHandler [WARN] Refused: there are 2 connections from 127.0.0.1 already (max_connections_per_address)");
    let other = stand.client("::1");
    let v6 = stand.v6();
    let other = || Peer::connect(v6, &other, request(0)).unwrap();
    let mut third = other();
    third.records(1);
    refused(other(), "The server has 3 connections already; try again later.");
    // A client that says nothing before it is answered learns it too.
    let mut mute = raw(&stand, &bundle);
    mute.write(&[]).unwrap();
    refused(mute, "The server has 3 connections already; try again later.");
    // The others go on, and with one less there is room.
    stand.commit(&[], &[connection(1)]);
    peers.iter_mut().chain([&mut third]).for_each(|peer| drop(peer.records(1)));
    drop(third);
    wait_for("room", || (stand.handle.stats().sessions.len() == 2).then_some(()));
    other().records(2);
    let stats = stand.handle.stats();
    assert_eq!((stats.accepted, stats.refused), (4, 3));
}

#[test]
fn who_connects_and_says_nothing_takes_no_place_away() {
    let mut stand = Stand::new("max_connections_per_address = 1\nmax_handshakes = 5\nhandshake_seconds = 600");
    stand.commit(&[device(1, "fw")], &[]);
    let bundle = stand.client("127.0.0.1");
    let mut silent: Vec<_> = (0..5).map(|_| TcpStream::connect(stand.v4()).unwrap()).collect();
    wait_for("the silent ones", || (stand.handle.stats().sessions.len() == 5).then_some(()));
    let mut peer = stand.connect(&bundle, 0, EXTENDED, everything());
    peer.records(1);
    assert_eq!(silent[0].read(&mut [0; 1]).unwrap_or(0), 0, "the one that waits longest is closed");
    stand.logged("which has not finished its handshake: others wait for theirs (max_handshakes = 5)");
    assert!(stand.handle.stats().sessions.iter().filter(|s| !s.streaming).count() <= 4);
    silent[1].write_all(b"no TLS").unwrap();
    assert_eq!(stand.handle.stats().refused, 0);
}

#[test]
fn a_handshake_has_its_time() {
    let stand = Stand::new("handshake_seconds = 1");
    let mut silent = TcpStream::connect(stand.v4()).unwrap();
    assert_eq!(silent.read(&mut [0; 1]).unwrap_or(0), 0);
    stand.logged("SSL_accept failed, SSL_get_error reports SSL_ERROR_SYSCALL");
    stand.logged("The client did not finish the handshake in time.");
    stand.logged("Removed host entry for pid: 1");
    let mut web = TcpStream::connect(stand.v4()).unwrap();
    web.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    stand.logged("The client does not speak TLS");
}

#[test]
fn a_shutdown_says_goodbye_without_an_error_message() {
    let mut stand = Stand::new("");
    stand.commit(&[device(1, "fw")], &[connection(1)]);
    let bundle = stand.client("127.0.0.1");
    let mut peer = stand.connect(&bundle, 0, EXTENDED, everything());
    peer.records(2);
    let _half = TcpStream::connect(stand.v4()).unwrap();
    wait_for("two connections", || (stand.handle.stats().sessions.len() == 2).then_some(()));
    let begun = Instant::now();
    let waiting = std::thread::spawn(move || peer.end());
    stand.shut_down();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(waiting.join().unwrap(), [Seen::Closed]);
    stand.logged_in_order(&["Shutting down, 2 connections", "Child with pid ", " exited with status 0"]);
    assert!(stand.handle.stats().sessions.is_empty());
}

#[test]
fn a_home_with_rsa_keys_serves_openssl_with_the_key_and_refuses_it_without() {
    let works = Command::new("openssl").arg("version").output().is_ok_and(|o| o.status.success());
    if !works {
        eprintln!("no openssl on this machine: not tested");
        return;
    }
    let stand = Stand::with("", KeyKind::Rsa2048, |_| {});
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    let added = stand.clients.add(&stand.home, "127.0.0.1", Some("secret")).unwrap();
    std::fs::write(file("client.p12"), added.bundle).unwrap();
    for (which, out) in [("-nocerts", "key"), ("-clcerts", "crt"), ("-cacerts", "ca")] {
        let mut split = Command::new("openssl");
        split.args([
            "pkcs12",
            "-in",
            &file("client.p12"),
            "-passin",
            "pass:secret",
            "-nodes",
            which,
            "-out",
            &file(out),
        ]);
        if which != "-nocerts" {
            split.arg("-nokeys");
        }
        let done = split.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let connect = |with_key: bool| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-verify_return_error", "-tls1_2", "-CAfile", &file("ca")]);
        command.args(["-connect", &stand.v4().to_string()]);
        if with_key {
            command.args(["-key", &file("key"), "-cert", &file("crt")]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut client = connect(true);
    let hello = [0, 1, 0, 2, 0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 0x48, 0x90, 0, 0x61];
    client.stdin.as_mut().unwrap().write_all(&hello).unwrap();
    let mut answer = [0; 56];
    client.stdout.as_mut().unwrap().read_exact(&mut answer).unwrap();
    assert_eq!(answer[..12], [0, 1, 8, 3, 0, 0, 0, 48, 0, 0, 0x13, 0x89]);
    client.kill().unwrap();
    client.wait().unwrap();
    stand.logged("Child with pid 1 exited with status 5120");

    let refused = connect(false).wait_with_output().unwrap();
    assert!(refused.stdout.is_empty(), "no message may come");
    stand.logged("The client sent no certificate.");
}

#[test]
fn the_archive_may_be_empty_at_first() {
    let mut stand = Stand::new("");
    let bundle = stand.client("127.0.0.1");
    let mut peers = [0, NOW, 5].map(|start| stand.connect(&bundle, start, EXTENDED, everything()));
    for peer in &mut peers {
        assert_eq!(peer.next(SOON), Seen::Services);
        peer.quiet();
    }
    stand.commit(&[device(1, "fw")], &[connection(1)]);
    for peer in &mut peers {
        assert_eq!(types(&peer.records(2)), [123, 71]);
    }
}

#[test]
fn a_socket_for_both_families_reports_ipv4_addresses_as_such() {
    let stand = Stand::with("", KeyKind::EcdsaP256, |options| {
        options.listen = Some(vec!["[::]:0".parse().unwrap()]);
    });
    let port = stand.v4().port();
    for (name, family) in [("127.0.0.1", "IPv4"), ("::1", "IPv6")] {
        let bundle = stand.client(name);
        let address = std::net::SocketAddr::new(name.parse().unwrap(), port);
        let mut peer = Peer::connect(address, &bundle, request(0)).unwrap();
        assert_eq!(peer.next(SOON), Seen::Services);
        stand.logged(&format!("Accepted {family} connection from "));
        stand.logged(&format!("Matched Certificate CN:{name} to {name} ({family})"));
    }
}
