//! The reference client against the project's own server, and what it writes read back by the tools it is meant for.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use pki::{Authority, AuthorityOptions, ClientList, KeyKind, ServerIdentity, Standing};
use rustls::{ServerConnection, StreamOwned};
use serde_json::Value;
use support::{Finished, Server, Site, run, shared, wait_for};
use wire::event::{Block, Value as Field};
use wire::hosts::{HostRequest, host_data};
use wire::server::{ServerEvent, ServerSession};

const HEADER: &str = "sensor_id|event_id|event_sec|event_usec|sid|gen|rev|class|priority|src_addr|dst_addr|src_port|dst_port|ip_proto|impact_flag|pad";

/// A server with simulated events; its client's file is in the folder where commands run.
fn simulated(events: &str) -> (Site, Server) {
    let site = Site::new();
    site.run(&["sensor", "simulate", "--home", &site.home(), "--events", events]).success();
    site.client("127.0.0.1");
    let server = site.serve(&[]);
    (site, server)
}

/// Runs the client in the folder of the site.
fn client(site: &Site, server: &Server, arguments: &[&str]) -> Finished {
    let port = server.address.port().to_string();
    site.run(&[&["ssl-test", "127.0.0.1", "-po", &port], arguments].concat())
}

/// Whether a command is there.
fn has(command: &str, argument: &str) -> bool {
    let output = Command::new(command).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if output.is_err() {
        println!("skipped: there is no {command} command");
    }
    output.is_ok()
}

/// A service of the system, ended with its value.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn service(command: &mut Command) -> Service {
    Service(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// A UDP port nobody uses.
fn udp_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn print_and_the_bookmark() {
    let (site, server) = simulated("2000");
    let all = client(&site, &server, &["-s", "all", "--count", "900"]).success();
    assert_eq!(all.matches("version: 1\nmessage type: 4 (Event Data)\n").count(), 900);
    for words in [
        "record type: 66 (Rule Message Metadata)",
        "record type: 1 (Intrusion Event (first form))",
        "\nipProtocolId: 6 (TCP)\n",
        "\nDiscovery event header:\n    deviceId: ",
        "    (User Login Information)\n",
        " GMT)\n=============\n",
    ] {
        assert!(all.contains(words), "{words:?} is missing");
    }
    let bookmark: u32 = fs::read_to_string(site.path("estreamer.bmark")).unwrap().trim_end().parse().unwrap();
    assert!(all.contains(&format!("archival timestamp: {bookmark} (")), "{bookmark}");

    // From the bookmark on: nothing that is older.
    let later = client(&site, &server, &["--seconds", "2"]).success();
    let seconds = later.lines().filter_map(|l| l.strip_prefix("archival timestamp: ")?.split(' ').next()?.parse().ok());
    assert!(seconds.clone().all(|second: u32| second >= bookmark) && seconds.count() > 0);

    // The newest versions: connections and intrusion events in blocks. A domain nobody has: metadata alone.
    let newest = client(&site, &server, &["-s", "all", "--extended", "--count", "1500", "-f", "out.txt"]).success();
    assert_eq!(newest, "");
    let newest = fs::read_to_string(site.path("out.txt")).unwrap();
    assert!(newest.contains("\nIntrusion Event ") && newest.contains("record type: 71 (Connection Statistics)"));
    assert!(newest.contains("\n    sourceIpAddress: "), "fields of a block are indented");
    let none = client(&site, &server, &["-s", "all", "-d", "77", "--count", "100"]).success();
    assert!(!none.contains("Intrusion Event") && none.contains("Metadata"));
}

#[test]
fn csv_and_captures_tell_the_same() {
    let (site, server) = simulated("3000");
    let csv = client(&site, &server, &["-s", "all", "-o", "csv", "--extended", "--count", "150", "-f", "events.csv"]);
    csv.success();
    let csv = fs::read_to_string(site.path("events.csv")).unwrap();
    let (header, rows) = csv.split_once('\n').unwrap();
    assert_eq!(header, HEADER);
    let (mut times, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for row in rows.lines() {
        let values: Vec<&str> = row.split('|').collect();
        assert_eq!(values.len(), 16, "{row}");
        for (i, value) in values.iter().enumerate() {
            match i {
                9 | 10 => assert!(value.parse::<IpAddr>().is_ok(), "{row}"),
                _ => assert!(value.parse::<u32>().is_ok(), "{row}"),
            }
        }
        times.insert(format!("{}.{:0>6}", values[2], values[3]));
        addresses.extend([values[9].to_owned(), values[10].to_owned()]);
    }
    assert_eq!(rows.lines().count(), 150);
    let plain = client(&site, &server, &["-s", "all", "-ocsv", "--count", "150"]).success();
    let without_impact =
        |csv: &str| csv.lines().map(|l| l.rsplitn(3, '|').last().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(without_impact(&plain), without_impact(&csv), "the SDK's request gives the same events");

    client(&site, &server, &["-s", "all", "-o", "pcap", "--count", "100", "-f", "packets.pcap"]).success();
    let stream =
        client(&site, &server, &["-s", "all", "-o", "pcap", "--pcapng", "--count", "100", "-f", "packets.pcapng"]);
    stream.success();
    for file in ["packets.pcap", "packets.pcapng"] {
        let path = site.path(file);
        let path = path.to_str().unwrap();
        if has("tshark", "-v") {
            let fields = ["frame.time_epoch", "ip.src", "ipv6.src", "frame.encap_type"];
            let mut tshark = Command::new("tshark");
            tshark.args(["-n", "-r", path, "-T", "fields", "-E", "separator=|", "-E", "occurrence=f"]);
            fields.iter().for_each(|field| _ = tshark.args(["-e", field]));
            let packets = run(&mut tshark, b"").success();
            assert_eq!(packets.lines().count(), 100, "{packets}");
            let mut exact = 0;
            for packet in packets.lines() {
                let [time, v4, v6, link]: [&str; 4] = packet.split('|').collect::<Vec<_>>().try_into().unwrap();
                // tshark prints nanoseconds.
                let time = time.strip_suffix("000").unwrap().to_owned();
                let source: IpAddr = [v4, v6].concat().parse().unwrap();
                assert!(link == "1" && addresses.contains(&source.to_string()), "{packet}");
                exact += usize::from(times.contains(&time));
            }
            // The simulator's first packet of an event has the time of the event; the answers come later.
            assert!(exact >= 50, "{exact} packets have the time of an event");
        }
        if has("tcpdump", "--version") {
            let read = run(Command::new("tcpdump").args(["-n", "-r", path]), b"");
            assert_eq!((read.code, read.out.lines().count()), (Some(0), 100), "{read:?}");
            assert!(read.err.contains("link-type EN10MB (Ethernet)"), "{read:?}");
        }
    }
}

#[test]
fn a_snort_sensor_exactly() {
    let Some(snort) = shared("data/snort") else { return };
    let site = Site::new();
    let log = site.path("spool.log");
    fs::write(&log, fs::read(snort.join("unified2-current.log")).unwrap()).unwrap();
    site.run(&["sensor", "unified2", "--home", &site.home(), "--once", log.to_str().unwrap()]).success();
    site.client("127.0.0.1");
    let server = site.serve(&[]);
    // All there are, as the test of the whole pipeline knows; there is no further one to wait for.
    let csv = client(&site, &server, &["-s", "all", "-o", "csv", "--count", "5675"]).success();
    assert_eq!(csv.lines().count(), 1 + 5675);
    client(&site, &server, &["-s", "all", "-o", "pcap", "--count", "5741", "-f", "all.pcap"]).success();
    let capture = fs::read(site.path("all.pcap")).unwrap();
    let word = |at: usize| u32::from_le_bytes(capture[at..at + 4].try_into().unwrap());
    let (mut at, mut count) = (24, 0);
    while at < capture.len() {
        at += 16 + word(at + 8) as usize;
        count += 1;
    }
    assert_eq!((at, count, word(20)), (capture.len(), 5741, 1));
    let more = client(&site, &server, &["-s", "all", "-o", "csv", "--seconds", "3"]).success();
    assert_eq!(more, csv, "there are no others");
}

#[test]
fn traps_are_received() {
    let (site, server) = simulated("2000");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(support::SOON)).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    client(&site, &server, &["-s", "all", "-o", "snmp", "-f", &address, "--count", "3", "--community", "here"])
        .success();
    let mut buffer = [0; 2048];
    for _ in 0..3 {
        let n = socket.recv(&mut buffer).unwrap();
        assert!(buffer[..n].windows(7).any(|w| w == b"\x04\x04here\xa7"), "{:?}", &buffer[..n]);
    }

    if !has("snmptrapd", "-v") {
        return;
    }
    let (port, log) = (udp_port(), site.path("traps.log"));
    let conf = "authCommunity log sf_community\n\
                createUser -e 0x80000000046162 alice SHA authpass1 AES privpass1\nauthUser log alice priv\n\
                createUser -e 0x80000000046162 bob SHA-256 authpass2\nauthUser log bob auth\n";
    fs::write(site.path("snmptrapd.conf"), conf).unwrap();
    let _receiver = service(
        Command::new("snmptrapd")
            .args(["-f", "-C", "-On", "-m", "", "-Lf"])
            .arg(&log)
            .arg("-c")
            .arg(site.path("snmptrapd.conf"))
            .arg("-p")
            .arg(site.path("snmptrapd.pid"))
            .arg(format!("127.0.0.1:{port}"))
            .env("SNMP_PERSISTENT_DIR", site.path("snmp")),
    );
    let receiver = format!("127.0.0.1:{port}");
    let alice = ["--user", "alice", "--auth-password", "authpass1", "--priv-password", "privpass1"];
    let bob = ["--user", "bob", "--auth", "SHA-256", "--auth-password", "authpass2"];
    for (i, user) in [&[][..], &alice, &bob].into_iter().enumerate() {
        let engine: &[&str] = if user.is_empty() { &[] } else { &["--engine-id", "0x80000000046162"] };
        wait_for(&format!("trap {i}"), || {
            // The service may not listen yet.
            let sent = client(
                &site,
                &server,
                &[&["-s", "all", "-o", "snmp", "-f", &receiver, "--count", "1"], user, engine].concat(),
            );
            assert!(matches!(sent.code, Some(0 | 3)), "{sent:?}");
            std::thread::sleep(std::time::Duration::from_millis(200));
            let log = fs::read_to_string(&log).unwrap_or_default();
            let traps = log.lines().filter(|l| l.contains(".1.3.6.1.6.3.1.1.4.1.0 = OID: .1.3.6.1.3.8302.0.1"));
            (traps.count() > i).then_some(())
        });
    }
    let log = fs::read_to_string(&log).unwrap();
    for value in [
        ".1.3.6.1.3.8302.1.4.0 = Gauge32: 1",
        ".1.3.6.1.3.8302.1.9.0 = INTEGER: 6",
        ".1.3.6.1.3.8302.1.14.0 = STRING: ",
    ] {
        assert!(log.contains(value), "{value} is missing in {log}");
    }
    let wrong = ["--user", "alice", "--auth-password", "short"];
    let arguments = [&["-s", "all", "-o", "snmp", "-f", &receiver][..], &wrong].concat();
    client(&site, &server, &arguments).failed(1, &["at least 8 characters"]);
}

#[test]
fn lines_are_received() {
    let (site, server) = simulated("3000");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(support::SOON)).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let arguments = [
        "-s",
        "all",
        "-o",
        "syslog",
        "-f",
        &address,
        "--count",
        "20",
        "--priority",
        "local0.warning",
        "--collect",
        "0",
    ];
    client(&site, &server, &arguments).success();
    let mut buffer = [0; 2048];
    for _ in 0..20 {
        let n = socket.recv(&mut buffer).unwrap();
        let line = String::from_utf8(buffer[..n].to_vec()).unwrap();
        assert!(line.starts_with("<132>") && line.contains(" estreamer: AlertPriority "), "{line}");
    }

    if !has("rsyslogd", "-v") {
        return;
    }
    let (port, local, out) = (udp_port(), site.path("log.sock"), site.path("syslog.out"));
    let conf = format!(
        "module(load=\"imudp\")\ninput(type=\"imudp\" address=\"127.0.0.1\" port=\"{port}\")\n\
         module(load=\"imuxsock\" SysSock.Use=\"off\")\ninput(type=\"imuxsock\" Socket=\"{}\")\n\
         template(name=\"t\" type=\"string\" string=\"%inputname%|%pri-text%|%syslogtag%|%msg%\\n\")\n\
         action(type=\"omfile\" file=\"{}\" template=\"t\")\n",
        local.display(),
        out.display()
    );
    fs::write(site.path("rsyslog.conf"), conf).unwrap();
    let mut rsyslogd = Command::new("rsyslogd");
    rsyslogd.arg("-n").arg("-f").arg(site.path("rsyslog.conf")).arg("-i").arg(site.path("rsyslog.pid"));
    let _service = service(&mut rsyslogd);
    wait_for("the socket of rsyslogd", || local.exists().then_some(()));
    for (input, receiver) in [("imuxsock", local.to_str().unwrap().to_owned()), ("imudp", format!("127.0.0.1:{port}"))]
    {
        wait_for(input, || {
            let sent = client(&site, &server, &["-s", "all", "-o", "syslog", "-f", &receiver, "--count", "60"]);
            assert!(matches!(sent.code, Some(0 | 3)), "{sent:?}");
            std::thread::sleep(std::time::Duration::from_millis(200));
            let lines = fs::read_to_string(&out).unwrap_or_default();
            let expected = format!("{input}|user.notice|estreamer:| AlertPriority 1 SourceIp ");
            lines.lines().any(|l| l.starts_with(&expected)).then_some(())
        });
    }
}

#[test]
fn a_server_on_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        println!("skipped: there is no IPv6");
        return;
    }
    let site = Site::new();
    site.run(&["sensor", "simulate", "--home", &site.home(), "--events", "100"]).success();
    site.client("::1");
    let home = site.home();
    let server = site.start("server", &["server", "--nodaemon", "--home", &home, "--listen", "[::1]:0"]);
    let line = server.line("Listening on ");
    let address: SocketAddr = line.rsplit(' ').next().unwrap().trim_end_matches("/tcp").parse().unwrap();
    let port = address.port().to_string();
    for host in ["::1", "[::1]"] {
        let said = site.run(&["ssl-test", host, "-i", "--port", &port, "--start", "all", "--count", "5"]).success();
        assert_eq!(said.matches("record type: ").count(), 5);
    }
    site.run(&["ssl-test", "127.0.0.1", "-i", "--port", &port]).failed(1, &["127.0.0.1 has no IPv6 address"]);
}

#[test]
fn hosts_a_server_does_not_know() {
    let (site, server) = simulated("10");
    let asked = client(&site, &server, &["-h", "172.30.0.0/16", "-h", "192.0.2.1,192.0.2.9", "-h", "2001:db8::1"]);
    asked.failed(
        3,
        &[
            "172.30.0.0-172.30.255.255: not found",
            "192.0.2.1-192.0.2.9: not found",
            "2001:db8::1: not found, the server knows no such host",
        ],
    );
    assert_eq!(asked.out, "");
    assert!(!site.path("estreamer.bmark").exists());
}

#[test]
fn hosts_printed_and_as_json() {
    let site = Site::new();
    let (address, pkcs12, server) = host_server(&site.path(""));
    let (port, pkcs12) = (address.port().to_string(), pkcs12.to_str().unwrap().to_owned());
    let ask =
        |arguments: &[&str]| site.run(&[&["ssl-test", "127.0.0.1", "-po", &port, "-pk", &pkcs12], arguments].concat());

    let one = ask(&["-h", "10.0.0.7", "--notes"]).success();
    assert!(one.contains("message type: 6 (Single Host Data)\n"), "{one}");
    assert!(one.contains("ipAddress: 10.0.0.7\n") && one.contains("notes: ask\\u{1b}[2J Anna\n"), "{one}");
    let without = ask(&["-h", "10.0.0.7"]).success();
    assert!(!without.contains("Anna"), "{without}");

    let lines = ask(&["-h", "10.0.0.0/24", "--json"]).success();
    let hosts: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(hosts.len(), 2);
    for (host, address) in hosts.iter().zip(["10.0.0.7", "10.0.0.9"]) {
        assert_eq!(host["messageType"], 7);
        assert!(host.to_string().contains(&format!("\"{address}\"")), "{host}");
    }

    let some = ask(&["-h", "10.0.0.1,10.0.0.9,2001:db8::9", "--data-type", "4"]);
    some.failed(3, &["10.0.0.1: not found"]);
    assert_eq!(some.out.matches("message type: 6 ").count(), 2, "{some:?}");
    assert!(some.out.contains("series 1 block 92"), "{some:?}");
    drop(server);
}

/// A server with a network map of two hosts, one of which has an IPv6 address, too.
fn host_server(folder: &Path) -> (SocketAddr, PathBuf, JoinHandle<()>) {
    #[derive(Debug)]
    struct Everyone;

    impl ClientList for Everyone {
        fn standing(&self, _: &str) -> Standing {
            Standing::Listed
        }
    }

    let options = AuthorityOptions { key: KeyKind::EcdsaP256, ..AuthorityOptions::default() };
    let authority = Authority::create(&options).unwrap();
    let identity = ServerIdentity::new(&authority.issue_server(&["localhost"], 1).unwrap(), &authority);
    let issued = authority.issue_client("127.0.0.1", 1).unwrap();
    let pkcs12 = folder.join("map.pkcs12");
    pki::write_private(&pkcs12, &authority.bundle(&issued).to_pkcs12(None).unwrap()).unwrap();
    let config = pki::server_config(identity, authority.certificate().clone(), Arc::new(Everyone)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let map = [host(&["10.0.0.7"], "ask\u{1b}[2J Anna"), host(&["10.0.0.9", "2001:db8::9"], "")];
        while let Ok((socket, _)) = listener.accept() {
            let mut tls = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), socket);
            let mut session = ServerSession::new(1);
            let (mut input, mut buffer) = (Vec::new(), [0; 4096]);
            while let Ok(n @ 1..) = tls.read(&mut buffer) {
                input.extend_from_slice(&buffer[..n]);
                while let Some((used, event)) = session.receive(&input).unwrap() {
                    input.drain(..used);
                    if let ServerEvent::Hosts(request) = event {
                        answer(&mut session, &request, &map);
                    }
                }
                let out = session.output().to_vec();
                tls.write_all(&out).unwrap();
                tls.flush().unwrap();
                session.sent(out.len());
            }
        }
    });
    (address, pkcs12, server)
}

fn answer(session: &mut ServerSession, request: &HostRequest, map: &[Block]) {
    map.iter().filter(|host| request.wants(host)).for_each(|host| session.push_host(request, host));
    session.end_hosts(request);
}

fn host(addresses: &[&str], notes: &str) -> Block {
    let layout = host_data().last().unwrap().layout;
    let mut host = Block::new(layout);
    let position = layout.position("ipAddresses").unwrap();
    let wire::layout::Kind::List { of, .. } = layout.fields[position].kind else { panic!("a list") };
    let items = addresses.iter().map(|text| {
        let mut item = Block::new(of);
        item.set("ipAddress", text.parse::<IpAddr>().unwrap()).unwrap();
        item
    });
    host.set_at(position, Field::List(items.collect()));
    host.set("notes", notes).unwrap();
    host
}

#[test]
fn how_it_ends() {
    let (site, mut server) = simulated("10");
    let port = server.address.port().to_string();
    let run = |arguments: &[&str]| site.run(&[&["ssl-test", "127.0.0.1", "--port", &port], arguments].concat());

    // Ctrl-C.
    let mut talking = site.start("talking", &["ssl-test", "127.0.0.1", "--port", &port, "-v"]);
    talking.line("Connected to 127.0.0.1:");
    talking.line("Received");
    talking.signal(rustix::process::Signal::INT);
    assert_eq!(talking.wait().code(), Some(0));

    // Wrong arguments.
    run(&["-o", "csv", "-h", "10.0.0.1"]).failed(2, &["host data (-h) can be printed only"]);
    run(&["-o", "snmp"]).failed(2, &["-f HOST[:PORT]"]);
    run(&["-h", "10.0.0"]).failed(2, &["\"10.0.0\" is no IPv4 or IPv6 address"]);
    run(&["-s", "yesterday"]).failed(2, &["all, now, bookmark or a Unix second"]);
    run(&["-o", "syslog", "--priority", "user"]).failed(2, &["local0.err"]);
    run(&["--notes"]).failed(2, &["--host"]);
    let help = run(&["--help"]).success();
    assert!(help.contains("Example:\n  estreamer ssl-test ") && help.contains("Exit codes"), "{help}");

    // Outputs and files that cannot be used.
    run(&["-s", "all", "-f", "no/such/folder"]).failed(1, &["no/such/folder cannot be written"]);
    run(&["-s", "all", "-f", "/dev/full"]).failed(1, &["/dev/full cannot be written"]);
    run(&["-o", "syslog", "-f", "/no/such/socket"]).failed(1, &["/no/such/socket cannot be reached", "-f"]);
    run(&["-pk", "none.pkcs12"]).failed(1, &["none.pkcs12"]);
    fs::rename(site.path("127.0.0.1.pkcs12"), site.path("key.p12")).unwrap();
    run(&[]).failed(1, &["no PKCS#12 file (*.pkcs12) is in .", "--pkcs12"]);
    site.run(&["clients", "add", "--home", &site.home(), "localhost", "--password", "right"]).success();
    run(&["-pa", "wr0ng"]).failed(1, &["localhost.pkcs12", "ESTREAMER_PASSWORD"]);
    run(&[]).failed(1, &["localhost.pkcs12", "ESTREAMER_PASSWORD"]);
    run(&["-pa", "right", "-s", "all", "--count", "1"]).success();

    // The server goes away.
    let mut last = site.start("last", &["ssl-test", "127.0.0.1", "--port", &port, "-pk", "key.p12", "-v"]);
    last.line("Received");
    server.process.terminate();
    let code = last.wait().code();
    println!("{}", last.log());
    assert!(matches!(code, Some(0 | 1)), "{code:?}");
    run(&["-pk", "key.p12"]).failed(1, &["refused the connection: nothing listens there"]);
}
