//! Outputs over the network: a receiver that goes away and comes back, beside a file that does not notice.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use support::{Site, configuration, free_port, wait_for};

/// Reads lines of one connection until it is dropped or `limit` lines came; the listener ends with it.
fn receive(port: u16, limit: usize) -> Receiver<String> {
    let (lines, received) = channel();
    let listener = wait_for("the port", || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        for line in BufReader::new(stream).lines().map_while(Result::ok).take(limit) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    received
}

fn key(line: &str) -> (u64, String) {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    (value["recordType"].as_u64().unwrap(), line.to_owned())
}

#[test]
fn a_receiver_that_goes_away_gets_every_line_and_the_file_beside_it_does_not_wait() {
    let site = Site::new();
    let pkcs12 = site.client("127.0.0.1");
    site.run(&["sensor", "simulate", "--home", &site.home(), "--events", "3000", "--seed", "3"]).success();
    let server = site.serve(&[]);
    let collector = site.collector("collector", server.address, &pkcs12);
    let (port, udp) = (free_port(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let syslog = udp.local_addr().unwrap();
    // Read as they come: the kernel keeps few of them.
    let (datagrams, messages) = channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 70_000];
        while let Ok((n, _)) = udp.recv_from(&mut buffer) {
            if datagrams.send(String::from_utf8_lossy(&buffer[..n]).into_owned()).is_err() {
                return;
            }
        }
    });
    let mut config = configuration(server.address, &pkcs12);
    let file = config["handler"]["outputters"][0].clone();
    config["handler"]["outputters"] = json!([
        file,
        {"adapter": "json", "dialect": "standard", "filter": "class != metadata",
         "stream": {"uri": format!("tcp://127.0.0.1:{port}"), "options": {"batchMilliseconds": 20}}},
        {"adapter": "cef", "dialect": "standard", "filter": "class == intrusion", "format": {"syslog": false},
         "stream": {"uri": format!("udp://{syslog}"),
                    "options": {"syslog": "5424", "facility": "local4", "app": "firewall"}}}
    ]);
    collector.configure(config);
    let process = collector.start();
    // Nobody listens on the TCP port: the file is complete all the same.
    collector.wait_for_events(3000, &process);
    // A receiver that takes 500 lines and hangs up, and one that takes the rest.
    let first = receive(port, 500);
    let mut got: BTreeMap<(u64, String), usize> = BTreeMap::new();
    for _ in 0..500 {
        *got.entry(key(&first.recv_timeout(Duration::from_secs(60)).unwrap())).or_default() += 1;
    }
    let second = receive(port, usize::MAX);
    while got.len() < 3000 {
        *got.entry(key(&second.recv_timeout(Duration::from_secs(60)).unwrap())).or_default() += 1;
    }
    // The same events as in the file.
    let expected: Vec<u64> = collector.lines().iter().filter_map(|l| l["recordType"].as_u64()).collect();
    let events = |t: u64| expected.iter().filter(|e| **e == t).count();
    for t in [71, 400, 500, 2] {
        assert_eq!(got.keys().filter(|(r, _)| *r == t).count(), events(t), "record {t}");
    }
    // Intrusion events came as syslog messages, a datagram each. (How many of them a busy machine keeps is not ours to say.)
    assert!(events(400) > 0);
    let mut text = messages.recv_timeout(Duration::from_secs(60)).unwrap();
    loop {
        // local4, info.
        assert!(text.starts_with("<166>1 ") && text.contains(" firewall ") && text.contains("CEF:0|"), "{text}");
        match messages.try_recv() {
            Ok(next) => text = next,
            Err(_) => break,
        }
    }
    drop(process);
}
