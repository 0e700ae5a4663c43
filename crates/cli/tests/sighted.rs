//! What Suricata's lines tell of hosts, from the lines to map and discovery events: service, sensor and `estreamer hosts`.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;

use archive::{Kind, Read, Reader, Start};
use serde_json::{Value, json};
use support::{Server, Site, wait_for};
use wire::decode::Decoder;
use wire::message::Items;

const DESK: &str = "02:00:00:00:00:20";
const PRINTER: &str = "02:00:00:00:00:25";
const WEB: &str = "02:00:00:00:00:30";
const GATEWAY: &str = "02:00:00:00:00:01";
const INNER: &str = "02:00:00:00:00:02";

/// A line as Suricata writes it: `rest` are the keys of its event type.
fn line(kind: &str, ends: (&str, u16, &str, u16, &str), flow: u64, rest: &Value) -> String {
    let (src, sport, dest, dport, proto) = ends;
    let mut line = json!({
        "timestamp": "2025-03-04T09:15:27.482913+0100", "flow_id": flow, "in_iface": "eth1", "event_type": kind,
        "src_ip": src, "src_port": sport, "dest_ip": dest, "dest_port": dport, "proto": proto, "pkt_src": "wire/pcap",
    });
    line.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    format!("{line}\n")
}

fn flow(number: u64, from: (&str, &str), to: (&str, &str), port: u16, app: &str) -> String {
    let ends = (from.0, 49_152 + u16::try_from(number).unwrap(), to.0, port, "TCP");
    line(
        "flow",
        ends,
        number,
        &json!({
            "app_proto": app, "ether": {"dest_macs": [to.1], "src_macs": [from.1]},
            "flow": {"pkts_toserver": 9, "pkts_toclient": 7, "bytes_toserver": 1322, "bytes_toclient": 5210,
                     "start": "2025-03-04T09:15:20.100000+0100", "end": "2025-03-04T09:15:26.200000+0100", "age": 6,
                     "state": "closed", "reason": "timeout", "alerted": false},
            "tcp": {"tcp_flags": "1b", "tcp_flags_ts": "1b", "tcp_flags_tc": "1b", "syn": true, "fin": true, "psh": true,
                    "ack": true, "state": "closed"},
        }),
    )
}

fn arp(opcode: &str, from: (&str, &str), to: (&str, &str)) -> String {
    let line = json!({
        "timestamp": "2025-03-04T09:15:01.000200+0100", "in_iface": "eth1", "event_type": "arp", "pkt_src": "wire/pcap",
        "arp": {"hw_type": "ethernet", "proto_type": "ipv4", "opcode": opcode, "src_mac": from.1, "src_ip": from.0,
                "dest_mac": to.1, "dest_ip": to.0},
    });
    format!("{line}\n")
}

fn dhcp(reply: bool, rest: &Value) -> String {
    let ends = match reply {
        true => ("10.1.0.1", 67, "255.255.255.255", 68, "UDP"),
        false => ("0.0.0.0", 68, "255.255.255.255", 67, "UDP"),
    };
    let mut dhcp = json!({
        "type": if reply { "reply" } else { "request" }, "id": 2_414_888_049u32, "client_mac": DESK,
        "client_ip": "0.0.0.0", "relay_ip": "0.0.0.0", "next_server_ip": "0.0.0.0",
    });
    dhcp.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    line("dhcp", ends, 90, &json!({ "dhcp": dhcp }))
}

/// A small network: a gateway to the world, a router to 10.2.0.0/16, a desk and servers in 10.1.0.0/16.
fn network() -> String {
    let (desk, web, world) = (("10.1.0.20", DESK), ("10.1.0.30", WEB), ("93.184.216.34", GATEWAY));
    // Desk and gateway. That 10.1.0.99 is asked for makes no host of it.
    let mut text = arp("request", desk, ("10.1.0.1", "00:00:00:00:00:00"));
    text += &arp("reply", ("10.1.0.1", GATEWAY), desk);
    text += &arp("request", desk, ("10.1.0.99", "00:00:00:00:00:00"));
    text += &dhcp(
        false,
        &json!({"assigned_ip": "0.0.0.0", "dhcp_type": "request", "requested_ip": "10.1.0.20", "hostname": "DESK-20",
                "vendor_class_identifier": "MSFT 5.0", "params": ["subnet_mask", "router", "dns_server"]}),
    );
    text += &dhcp(
        true,
        &json!({"assigned_ip": "10.1.0.20", "dhcp_type": "ack", "lease_time": 86_400, "renewal_time": 43_200,
                "subnet_mask": "255.255.0.0", "routers": ["10.1.0.1"], "dns_servers": ["10.1.0.1"]}),
    );
    // Into the world: frames of the world's addresses are the gateway's.
    text += &line(
        "tls",
        ("10.1.0.20", 49_153, "93.184.216.34", 443, "TCP"),
        1,
        &json!({"tls": {"subject": "CN=www.example.org", "issuerdn": "C=US, O=DigiCert Inc", "sni": "www.example.org",
                        "version": "TLS 1.2"}}),
    );
    text += &flow(1, desk, world, 443, "tls");
    // From elsewhere through the gateway, with whose address that host must not end.
    text += &flow(2, ("10.3.0.9", GATEWAY), web, 80, "http");
    // Two hosts behind the inner router.
    text += &line(
        "ssh",
        ("10.2.0.5", 49_155, "10.1.0.30", 22, "TCP"),
        3,
        &json!({"ssh": {"client": {"proto_version": "2.0", "software_version": "OpenSSH_for_Windows_8.1"},
                        "server": {"proto_version": "2.0", "software_version": "OpenSSH_9.6p1 Ubuntu-3ubuntu13.5"}}}),
    );
    text += &flow(3, ("10.2.0.5", INNER), web, 22, "ssh");
    text += &flow(4, ("10.2.0.6", INNER), web, 22, "ssh");
    // A user agent and a server header. Older versions log such a line with the addresses of the frame exchanged.
    text += &line(
        "http",
        ("10.2.0.6", 49_157, "10.1.0.30", 80, "TCP"),
        5,
        &json!({"ether": {"src_mac": WEB, "dest_mac": INNER},
                "http": {"hostname": "intra.example", "url": "/", "http_method": "GET", "protocol": "HTTP/1.1",
                         "http_user_agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15",
                         "server": "nginx/1.24.0 (Ubuntu)", "http_content_type": "text/html", "status": 200,
                         "length": 612}}),
    );
    text += &flow(5, ("10.2.0.6", INNER), web, 80, "http");
    text += &line(
        "http",
        ("10.1.0.20", 49_158, "10.1.0.25", 631, "TCP"),
        6,
        &json!({"http": {"hostname": "printer", "url": "/ipp/print", "http_method": "POST", "protocol": "HTTP/1.1",
                         "http_user_agent": "CUPS/2.4", "status": 200, "length": 91,
                         "response_headers": [{"name": "Content-Type", "value": "application/ipp"},
                                              {"name": "Server", "value": "HP-ChaiSOE/1.0"}]}}),
    );
    text += &flow(6, desk, ("10.1.0.25", PRINTER), 631, "http");
    // The packet of an alert has its own frame.
    text += &line(
        "alert",
        ("10.1.0.40", 49_159, "10.1.0.25", 9100, "TCP"),
        7,
        &json!({"ether": {"src_mac": "02:00:00:00:00:40", "dest_mac": PRINTER},
                "alert": {"action": "allowed", "gid": 1, "signature_id": 2_010_935, "rev": 3,
                          "signature": "ET SCAN Suspicious inbound", "category": "Potentially Bad Traffic", "severity": 2},
                "direction": "to_server"}),
    );
    // Names and users.
    text += &line(
        "smb",
        ("10.1.0.20", 49_160, "10.1.0.7", 445, "TCP"),
        8,
        &json!({"smb": {"id": 3, "dialect": "NT LM 0.12", "command": "SMB1_COMMAND_SESSION_SETUP_ANDX",
                        "status": "STATUS_SUCCESS", "status_code": "0x0", "session_id": 2048, "tree_id": 65_535,
                        "ntlmssp": {"domain": "EXAMPLE", "user": "a.jones", "host": "DESK-20"},
                        "request": {"native_os": "", "native_lm": ""},
                        "response": {"native_os": "Windows Server 2019 Essentials 17763",
                                     "native_lm": "Windows Server 2019 Essentials 6.3"}}}),
    );
    text += &flow(8, desk, ("10.1.0.7", "02:00:00:00:00:07"), 445, "smb");
    text += &line(
        "krb5",
        ("10.1.0.21", 49_161, "10.1.0.7", 88, "TCP"),
        9,
        &json!({"krb5": {"msg_type": "KRB_AS_REP", "cname": "b.smith", "realm": "EXAMPLE.ORG",
                         "sname": "krbtgt/EXAMPLE.ORG", "encryption": "aes256-cts-hmac-sha1-96", "weak_encryption": false}}),
    );
    text + &flow(9, ("10.1.0.21", "02:00:00:00:00:21"), ("10.1.0.7", "02:00:00:00:00:07"), 88, "krb5")
}

/// Gives lines to a sensor, and waits until the map has all of them: `mark` is a number no other call has.
fn feed(site: &Site, mark: u8, text: &str) {
    let (home, file) = (site.home(), site.path(&format!("eve.{mark}.json")));
    let (one, two) = (format!("172.16.{mark}.1"), format!("172.16.{mark}.2"));
    let other = format!("02:00:00:00:ff:{mark:02x}");
    let end = arp("reply", (&one, &other), ("10.1.0.20", DESK))
        + &flow(100, (&two, "02:00:00:00:ff:ff"), ("198.51.100.1", GATEWAY), 443, "tls");
    fs::write(&file, text.to_owned() + &end).unwrap();
    let name = format!("ids-{mark}");
    let sensor = ["sensor", "eve", "--home", &home, "--device", "3", "--name", &name, "--once", file.to_str().unwrap()];
    site.run(&sensor).success();
    wait_for("the marks", || (host(site, &one).is_some() && host(site, &two).is_some()).then_some(()));
    let told = |mark: &str| told(site).keys().any(|(kind, at)| *kind == 10 && at == mark);
    wait_for("their events", || (told(&one) && told(&two)).then_some(()));
}

/// A host, by `estreamer hosts --json`.
fn host(site: &Site, address: &str) -> Option<Value> {
    let home = site.home();
    site.run(&["hosts", "--home", &home, "--json", address])
        .out
        .lines()
        .next()
        .map(|l| serde_json::from_str(l).unwrap())
}

/// How often each discovery event that the map tells of is in the archive: record type and host.
fn told(site: &Site) -> BTreeMap<(u16, String), usize> {
    let mut reader = Reader::open(&site.path("home/archive"), 0, Start::Genesis).unwrap();
    let (mut buf, mut found, mut decoder) = (Vec::new(), BTreeMap::new(), Decoder::new());
    loop {
        match reader.next(&mut buf).unwrap() {
            Read::Batch(info) if info.kind == Kind::Events => {
                for item in Items::new(&buf) {
                    let record = decoder.decode(item.unwrap().body).unwrap();
                    let kind = record.record_type();
                    if !(10..=44).contains(&kind) && kind != 101 && kind != 107 {
                        continue;
                    }
                    let at = record.discovery().and_then(|d| d.named("ipv6Address")).and_then(|v| v.octets()).unwrap();
                    let at = wire::event::address(&<[u8; 16]>::try_from(at).unwrap()).to_string();
                    *found.entry((kind, at)).or_insert(0) += 1;
                }
            }
            Read::Batch(_) => {}
            Read::Lost(lost) => panic!("{lost:?}"),
            Read::End => return found,
        }
    }
}

fn serve(site: &Site) -> Server {
    let server = site.serve(&[]);
    server.process.line("The network map of netmap 0 has");
    server
}

/// Without the marks.
fn of_network(told: BTreeMap<(u16, String), usize>) -> BTreeMap<(u16, String), usize> {
    told.into_iter().filter(|((_, at), _)| !at.starts_with("172.16.")).collect()
}

#[test]
fn lines_become_what_is_known_of_hosts_and_events_that_come_once() {
    let site = Site::new();
    let mut server = serve(&site);
    feed(&site, 1, &network());
    let is = |address: &str, macs: &[&str], os: Option<&str>, name: Option<&str>, users: &[&str]| {
        let host = host(&site, address).unwrap();
        assert_eq!(host["macs"], json!(macs), "{host}");
        assert_eq!((&host["os"], &host["name"], &host["users"]), (&json!(os), &json!(name), &json!(users)), "{host}");
        let servers = host["servers"].as_array().unwrap().iter();
        let servers = servers.map(|s| {
            let [name, vendor, version] = ["name", "vendor", "version"].map(|key| s[key].as_str().unwrap());
            format!("{} {name} {vendor} {version}", s["port"])
        });
        let clients = host["clients"].as_array().unwrap().iter();
        let clients = clients.map(|c| format!("{} {}", c["name"].as_str().unwrap(), c["version"].as_str().unwrap()));
        let all: Vec<_> = servers.chain(clients).collect();
        all.iter().map(|text| text.trim().to_owned()).collect::<Vec<_>>()
    };
    let nothing: [&str; 0] = [];
    assert_eq!(is("10.1.0.1", &[GATEWAY], None, None, &[]), nothing, "ARP says so, whatever frames it forwards");
    let windows = Some("Microsoft Windows");
    let desk = is("10.1.0.20", &[DESK], windows, Some("DESK-20"), &["a.jones"]);
    assert_eq!(desk, ["Web browser", "SMB client", "SSL client"]);
    assert_eq!(is("10.1.0.25", &[PRINTER], None, None, &[]), ["631 HTTP HP-ChaiSOE 1.0"]);
    let web = is("10.1.0.30", &[WEB], Some("Canonical Ubuntu"), None, &[]);
    assert_eq!(web, ["22 SSH OpenSSH 9.6p1", "80 HTTP nginx 1.24.0"]);
    assert_eq!(is("10.1.0.40", &["02:00:00:00:00:40"], None, None, &[]), nothing, "of the packet of an alert");
    let controller = is("10.1.0.7", &["02:00:00:00:00:07"], windows, None, &[]);
    assert_eq!(controller, ["88 Kerberos", "445 SMB"].map(str::to_owned));
    assert_eq!(is("10.1.0.21", &["02:00:00:00:00:21"], None, None, &["b.smith"]), ["Kerberos client"]);
    // Behind routers nobody knows what hosts have.
    let client = is("10.2.0.5", &[], windows, None, &[]);
    assert_eq!(client, ["SSH client OpenSSH_for_Windows_8.1"]);
    assert_eq!(is("10.2.0.6", &[], Some("Apple macOS"), None, &[]), ["Web browser", "SSH client"]);
    assert_eq!(is("10.3.0.9", &[], None, None, &[]), ["Web browser"]);
    assert_eq!(host(&site, "10.1.0.99"), None, "it was asked for and did not answer");
    assert_eq!(host(&site, "93.184.216.34"), None, "it is in no monitored network");

    let events = of_network(told(&site));
    let of = |kind: u16| {
        let of_kind = events.iter().filter(|((other, _), _)| *other == kind);
        of_kind.map(|((_, at), times)| (at.as_str(), *times)).collect::<Vec<_>>()
    };
    let once = |hosts: &[&'static str]| hosts.iter().map(|host| (*host, 1)).collect::<Vec<_>>();
    let all = ["10.1.0.1", "10.1.0.20", "10.1.0.21", "10.1.0.25", "10.1.0.30", "10.1.0.40", "10.1.0.7"];
    let routed = ["10.2.0.5", "10.2.0.6", "10.3.0.9"];
    assert_eq!(of(10), once(&[&all[..], &routed].concat()), "new hosts");
    assert_eq!(of(11), [("10.1.0.25", 1), ("10.1.0.30", 2), ("10.1.0.7", 2)], "servers");
    let clients = [("10.1.0.20", 3), ("10.1.0.21", 1), ("10.2.0.5", 1), ("10.2.0.6", 2), ("10.3.0.9", 1)];
    assert_eq!(of(15), clients, "client applications");
    // Only when a second host has it, the address of the inner router is known for one.
    assert_eq!(of(28), once(&[&all[..], &["10.2.0.5"]].concat()), "MAC addresses");
    assert_eq!(of(42), [("10.1.0.20", 1)], "NetBIOS names");
    assert_eq!(of(101), once(&["10.1.0.20", "10.1.0.30", "10.1.0.7", "10.2.0.5", "10.2.0.6"]), "operating systems");
    assert_eq!((of(12), of(27), of(107)), (vec![], vec![], vec![]));

    // The same lines again, after the service was killed: nothing is new.
    let port = server.address.port();
    server.process.kill();
    let _server = site.serve_at(port, &[]);
    feed(&site, 2, &network());
    feed(&site, 3, &network());
    assert_eq!(of_network(told(&site)), events);
    is("10.2.0.5", &[], windows, None, &[]);
}
