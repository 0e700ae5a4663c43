//! Lines of Suricata in an archive: what becomes of each, and that none is lost or comes twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod archived;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use archived::{Item, events, items};
use sensors::eve::{EveError, EveSensor, Settings};
use serde_json::{Value, json};

static GO: AtomicBool = AtomicBool::new(false);

/// A file, an archive and the state of a sensor.
struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Site {
        Site { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn settings(&self) -> Settings {
        Settings { grace: Duration::ZERO, ..Settings::new(self.path("eve.json"), 3, "ids-3", 0) }
    }

    fn open_with(&self, settings: &Settings) -> Result<EveSensor, EveError> {
        EveSensor::open(settings, &self.path("archive"), &self.path("state"))
    }

    fn open(&self) -> EveSensor {
        self.open_with(&self.settings()).unwrap()
    }

    fn write(&self, lines: &[Value]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.append(&text);
    }

    fn append(&self, text: &str) {
        let mut file = File::options().append(true).create(true).open(self.path("eve.json")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn events(&self) -> Vec<Item> {
        events(&self.path("archive"))
    }

    fn of(&self, record: u16) -> Vec<Item> {
        self.events().into_iter().filter(|item| item.record_type == record).collect()
    }

    /// The rules of all intrusion events, in order: what a test writes, numbered.
    fn rules(&self) -> Vec<u64> {
        self.of(400).iter().map(|item| item.uint("ruleId")).collect()
    }
}

/// A line of a flow from 10.0.0.1:50000 to 192.0.2.7:443 with `more` in it.
fn line(event_type: &str, flow: u64, more: Value) -> Value {
    let mut line = json!({
        "timestamp": "2024-03-01T12:00:05.250000+0100", "flow_id": flow, "event_type": event_type, "in_iface": "eth1",
        "src_ip": "10.0.0.1", "src_port": 50_000, "dest_ip": "192.0.2.7", "dest_port": 443, "proto": "TCP",
    });
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    line
}

fn alert(rule: u64) -> Value {
    line(
        "alert",
        900 + rule,
        json!({ "alert": {
        "action": "allowed", "gid": 1, "signature_id": rule, "rev": 2, "signature": format!("Rule {rule}"),
        "category": "Misc Attack", "severity": 2,
    } }),
    )
}

fn flow(id: u64) -> Value {
    line(
        "flow",
        id,
        json!({ "app_proto": "tls", "flow": {
        "pkts_toserver": 4, "pkts_toclient": 5, "bytes_toserver": 600, "bytes_toclient": 7000,
        "start": "2024-03-01T12:00:00.000000+0100", "end": "2024-03-01T12:00:05.000000+0100",
    }, "tcp": { "tcp_flags": "1b" } }),
    )
}

fn tls(id: u64, name: &str) -> Value {
    line(
        "tls",
        id,
        json!({ "tls": {
        "sni": name, "version": "TLS 1.2", "subject": "CN=a", "issuerdn": "CN=a",
        "fingerprint": "00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10:11:12:13",
        "notbefore": "2022-01-01T00:00:00", "notafter": "2023-01-01T00:00:00", "ja3s": { "string": "771,49200,35-23" },
    } }),
    )
}

/// 2024-03-01T12:00:05+01:00.
const SECOND: u64 = 1_709_290_805;

#[test]
fn an_alert_has_its_packet_its_client_and_its_names() {
    let site = Site::new();
    let mut blocked = alert(7);
    blocked["alert"]["action"] = "blocked".into();
    blocked["packet"] = "AAECAwQ=".into();
    blocked["packet_info"] = json!({ "linktype": 12 });
    blocked["xff"] = "198.51.100.9".into();
    blocked["vlan"] = json!([42]);
    blocked["http"] = json!({ "hostname": "www.example.com", "url": "/a?b=c", "status": 404 });
    blocked["app_proto"] = "http".into();
    blocked["flow"] = json!({ "start": "2024-03-01T12:00:00.000000+0100", "dest_port": 443 });
    let mut payload = alert(8);
    payload["payload"] = "AAEC".into();
    site.write(&[blocked, payload]);
    let mut sensor = site.open();
    sensor.drain(&GO).unwrap();

    let found = site.events();
    assert_eq!(found.iter().map(|item| item.record_type).collect::<Vec<_>>(), [400, 2, 110, 110, 110, 400]);
    let event = &found[0];
    for (field, value) in [
        ("deviceId", 3),
        ("eventId", 1),
        ("eventSecond", SECOND),
        ("eventMicrosecond", 250_000),
        ("ruleRevision", 2),
        ("classificationId", 30),
        ("priorityId", 2),
        ("blocked", 1),
        ("impact", 0),
        ("impactFlags", 0),
        ("sourcePortOrIcmpType", 50_000),
        ("destinationPortOrIcmpType", 443),
        ("ipProtocolId", 6),
        ("vlanId", 42),
        ("applicationId", 676),
        ("httpResponse", 404),
        ("connectionTimestamp", SECOND - 5),
    ] {
        assert_eq!(event.uint(field), value, "{field}");
    }
    assert_eq!(event.text("httpHostname"), "www.example.com");
    assert_eq!(event.octets("originalSrcIP")[12..], [198, 51, 100, 9]);
    let packet = &found[1];
    assert_eq!((packet.uint("eventId"), packet.uint("eventSecond"), packet.uint("linkType")), (1, SECOND, 12));
    assert_eq!(packet.octets("packetData"), [0, 1, 2, 3, 4]);
    let extras: Vec<(u64, Vec<u8>)> = found[2..5].iter().map(|item| (item.uint("type"), item.octets("blob"))).collect();
    assert_eq!(
        extras,
        [(1, vec![198, 51, 100, 9]), (9, b"http://www.example.com/a?b=c".to_vec()), (10, b"www.example.com".to_vec())]
    );
    let all = items(&site.path("archive"));
    let named = |record: u16, field: &str| {
        all.iter().filter(|item| item.record_type == record).map(|item| item.text(field)).collect::<Vec<_>>()
    };
    assert_eq!(named(66, "message"), ["Rule 7", "Rule 8"]);
    assert_eq!((named(67, "name"), named(4, "name")), (vec!["misc-attack".to_owned()], vec!["medium".to_owned()]));
    assert_eq!((named(123, "name"), named(116, "name")), (vec!["ids-3".to_owned()], vec!["eth1".to_owned()]));
    let parts = &sensor.tally().rows()["alert"].parts;
    assert_eq!(
        parts.iter().map(|(what, count)| (*what, *count)).collect::<Vec<_>>(),
        [("its payload, which is no packet", 1)]
    );
}

#[test]
fn a_flow_has_what_its_lines_told_and_its_events_are_counted() {
    let site = Site::new();
    let file = line(
        "fileinfo",
        5,
        json!({
            "src_ip": "192.0.2.7", "src_port": 443, "dest_ip": "10.0.0.1", "dest_port": 50_000, "app_proto": "http",
            "fileinfo": { "filename": "/x/setup.exe", "size": 1234, "stored": true, "magic": "PE32 executable",
                          "sha256": "ab".repeat(32) },
        }),
    );
    let mut alert = alert(1);
    alert["flow_id"] = 5.into();
    site.write(&[tls(5, "www.example.com"), file, alert, tls(5, "other.example.com"), flow(5)]);
    let mut sensor = site.open();
    sensor.read(&GO).unwrap();

    let flow = &site.of(71)[0];
    for (field, value) in [
        ("initiatorTransmittedPackets", 4),
        ("responderTransmittedPackets", 5),
        ("initiatorTransmittedBytes", 600),
        ("responderTransmittedBytes", 7000),
        ("firstPacketTimestamp", SECOND - 5),
        ("lastPacketTimestamp", SECOND),
        ("tcpFlag", 0x1b),
        ("initiatorPort", 50_000),
        ("responderPort", 443),
        ("protocol", 6),
        ("applicationId", 1122),
        ("sslVersion", 5),
        ("sslCipherSuite", 49_200),
        // Self-signed and expired.
        ("sslServerCertificateStatus", 68),
        ("ruleAction", 2),
        ("intrusionEventCount", 1),
        ("fileEventCount", 1),
    ] {
        assert_eq!(flow.uint(field), value, "{field}");
    }
    assert_eq!(flow.text("sslServerName"), "www.example.com");
    assert_eq!(flow.text("clientUrl"), "https://www.example.com");
    assert_eq!(flow.octets("sslCertificateFingerprint"), (0..20).collect::<Vec<u8>>());
    let file = &site.of(500)[0];
    for (field, value) in [
        ("fileEventTimestamp", SECOND),
        ("fileSize", 1234),
        ("fileTypeId", 21),
        ("fileStorageStatus", 1),
        ("disposition", 2),
        ("action", 1),
        ("direction", 1),
        ("sourcePort", 50_000),
        ("destinationPort", 443),
        ("connectionCounter", flow.uint("connectionCounter")),
        ("connectionInstance", flow.uint("instanceId")),
    ] {
        assert_eq!(file.uint(field), value, "{field}");
    }
    assert_eq!(file.octets("shaHash"), [0xab; 32]);
    let hashes = items(&site.path("archive")).iter().filter(|item| item.record_type == 511).count();
    assert_eq!(hashes, 1);
    let row = &sensor.tally().rows()["tls"];
    assert_eq!((row.lines, row.joined, row.repeated, row.waiting), (2, 1, 1, 0));
    assert!(sensor.tally().adds_up());
}

#[test]
fn a_flow_that_does_not_end_becomes_an_event_when_it_is_too_old_or_one_too_many() {
    let site = Site::new();
    let mut settings = site.settings();
    settings.bounds.flows = 2;
    site.write(&[tls(1, "a"), tls(2, "b"), tls(3, "c")]);
    let mut sensor = site.open_with(&settings).unwrap();
    sensor.read(&GO).unwrap();
    let names = |site: &Site| site.of(71).iter().map(|item| item.text("sslServerName")).collect::<Vec<_>>();
    assert_eq!(names(&site), ["a"]);
    assert_eq!(sensor.tally().rows()["tls"].waiting, 2);
    drop(sensor);

    // The others are still known, and too old for a sensor that has no patience.
    settings.bounds.age = 0;
    let mut sensor = site.open_with(&settings).unwrap();
    sensor.read(&GO).unwrap();
    assert_eq!(names(&site), ["a", "b", "c"]);
    let row = &sensor.tally().rows()["tls"];
    assert_eq!((row.lines, row.carried, row.joined, row.waiting), (0, 2, 2, 0));
    let event = &site.of(71)[2];
    assert_eq!((event.uint("firstPacketTimestamp"), event.uint("initiatorTransmittedBytes")), (SECOND, 0));
    assert!(sensor.tally().adds_up());
}

#[test]
fn what_is_known_of_a_flow_survives_a_restart_and_its_event_comes_once() {
    let site = Site::new();
    site.write(&[tls(1, "a.example.com"), tls(2, "b.example.com")]);
    site.open().read(&GO).unwrap();
    site.write(&[flow(2)]);
    site.open().read(&GO).unwrap();
    assert_eq!(site.of(71).len(), 1);
    site.write(&[flow(1), flow(2)]);
    for _ in 0..3 {
        site.open().read(&GO).unwrap();
    }
    let names: Vec<String> = site.of(71).iter().map(|item| item.text("sslServerName")).collect();
    assert_eq!(names, ["b.example.com", "a.example.com", ""]);
}

#[test]
fn a_login_makes_a_user_once_and_computers_none() {
    let site = Site::new();
    let login = |name: &str, kind: &str| {
        line(
            "krb5",
            4,
            json!({
                "src_ip": "192.0.2.1", "src_port": 88, "dest_ip": "10.0.0.8", "dest_port": 49_999,
                "krb5": { "msg_type": kind, "cname": name, "realm": "EXAMPLE.COM" },
            }),
        )
    };
    site.write(&[
        login("alice", "KRB_AS_REQ"),
        login("alice", "KRB_AS_REP"),
        login("WS-1$", "KRB_AS_REP"),
        login("Alice", "KRB_AS_REP"),
    ]);
    site.open().read(&GO).unwrap();
    site.write(&[login("alice", "KRB_AS_REP"), flow(4)]);
    site.open().read(&GO).unwrap();
    assert_eq!((site.of(94).len(), site.of(95).len()), (1, 3));
    let named: Vec<Item> = items(&site.path("archive")).into_iter().filter(|item| item.record_type == 98).collect();
    assert_eq!(site.of(71)[0].uint("userId"), named[0].uint("id"));
    assert_eq!(site.of(95)[0].octets("ipv6Address")[12..], [10, 0, 0, 8]);
}

#[test]
fn a_file_that_is_renamed_is_read_to_its_end() {
    let site = Site::new();
    site.write(&[alert(1)]);
    let mut sensor = site.open();
    sensor.read(&GO).unwrap();
    // Suricata writes on to the renamed file until it is told to open its file again.
    fs::rename(site.path("eve.json"), site.path("eve.json.1")).unwrap();
    sensor.read(&GO).unwrap();
    let mut old = File::options().append(true).open(site.path("eve.json.1")).unwrap();
    writeln!(old, "{}", alert(2)).unwrap();
    sensor.read(&GO).unwrap();
    site.write(&[alert(4)]);
    // The last line of the old one has no end.
    write!(old, "{}", alert(3)).unwrap();
    sensor.read(&GO).unwrap();
    site.write(&[alert(5)]);
    sensor.read(&GO).unwrap();
    assert_eq!(site.rules(), [1, 2, 3, 4, 5]);
    drop(sensor);
    site.open().read(&GO).unwrap();
    assert_eq!(site.rules(), [1, 2, 3, 4, 5]);
}

#[test]
fn rotations_while_the_sensor_is_down_lose_nothing() {
    let site = Site::new();
    site.write(&[alert(1), alert(2)]);
    site.open().read(&GO).unwrap();
    site.write(&[alert(3)]);
    // Three times, with numbers that move up; the times of the files tell their order.
    for rule in [4, 5, 6] {
        for number in (1..3).rev() {
            let (from, to) = (site.path(&format!("eve.json.{number}")), site.path(&format!("eve.json.{}", number + 1)));
            if from.exists() {
                fs::rename(from, to).unwrap();
            }
        }
        fs::rename(site.path("eve.json"), site.path("eve.json.1")).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        site.write(&[alert(rule)]);
    }
    // Neither a rotation nor a part of one.
    fs::write(site.path("eve.json.bak"), format!("{}\n", alert(99))).unwrap();
    site.open().read(&GO).unwrap();
    assert_eq!(site.rules(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_file_that_is_copied_and_cut_is_noticed() {
    let site = Site::new();
    site.write(&[alert(1)]);
    let mut sensor = site.open();
    sensor.read(&GO).unwrap();
    // What came since the last look is only in the copy.
    site.write(&[alert(2)]);
    fs::copy(site.path("eve.json"), site.path("eve.json.1")).unwrap();
    File::options().write(true).open(site.path("eve.json")).unwrap().set_len(0).unwrap();
    sensor.read(&GO).unwrap();
    assert_eq!(site.rules(), [1, 2]);
    // Cut, and grown beyond where reading was before anybody looked.
    site.write(&[alert(3)]);
    sensor.read(&GO).unwrap();
    fs::copy(site.path("eve.json"), site.path("eve.json.1")).unwrap();
    File::options().write(true).open(site.path("eve.json")).unwrap().set_len(0).unwrap();
    site.write(&[alert(4), alert(5), alert(6)]);
    sensor.read(&GO).unwrap();
    assert_eq!(site.rules(), [1, 2, 3, 4, 5, 6]);
    drop(sensor);
    // And while the sensor is down.
    site.write(&[alert(7)]);
    fs::copy(site.path("eve.json"), site.path("eve.json.1")).unwrap();
    File::options().write(true).open(site.path("eve.json")).unwrap().set_len(0).unwrap();
    site.write(&[alert(8)]);
    site.open().read(&GO).unwrap();
    assert_eq!(site.rules(), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn lines_that_are_no_events_are_counted_and_stop_nothing() {
    let site = Site::new();
    site.write(&[alert(1)]);
    site.append("not json\n\n{\"event_type\":\"alert\"}\n[1,2]\n\u{fffd}\n");
    site.append(&format!("{{\"x\":\"{}\"}}\n", "y".repeat(3 << 20)));
    site.append(&format!("{}\n", "[".repeat(100_000)));
    site.write(&[
        line("alert", 1, json!({ "src_port": 70_000 })),
        line("alert", 1, json!({ "alert": { "signature_id": u64::MAX } })),
        line("alert", 1, json!({ "timestamp": "9999-01-01T00:00:00.000000+0000" })),
        line("flow", 1, json!({ "flow": 7 })),
        line("surprise", 1, json!({})),
        line("stats", 1, json!({ "src_ip": null })),
        alert(2),
    ]);
    // A piece of a line waits for the rest.
    let whole = format!("{}\n", alert(3));
    site.append(&whole[..100]);
    let mut sensor = site.open();
    sensor.read(&GO).unwrap();
    assert_eq!(site.rules(), [1, 2]);
    site.append(&whole[100..]);
    sensor.read(&GO).unwrap();
    assert_eq!(site.rules(), [1, 2, 3]);
    let tally = sensor.tally();
    assert_eq!((tally.lines(), tally.bad(), tally.unmapped()), (15, 10, 2));
    assert!(tally.adds_up());
    assert_eq!(tally.rows()["surprise"].lost(), 1);
}

#[test]
fn there_is_one_sensor_of_a_device_and_others_beside_it() {
    let site = Site::new();
    site.write(&[alert(1)]);
    let mut first = site.open();
    let error = site.open_with(&site.settings()).unwrap_err();
    assert!(matches!(error, EveError::Running { device: 3 }), "{error}");
    let mut other = site.settings();
    other.identity.device_id = 4;
    let mut domain = site.settings();
    domain.identity.netmap = 2;
    let (mut second, mut third) = (site.open_with(&other).unwrap(), site.open_with(&domain).unwrap());
    for sensor in [&mut first, &mut second, &mut third] {
        sensor.read(&GO).unwrap();
    }
    let devices: Vec<u64> = site.of(400).iter().map(|item| item.uint("deviceId")).collect();
    assert_eq!(devices, [3, 4], "the third is in an archive of its own");
    assert!(site.path("archive/netmap_2").is_dir());
    drop(first);
    assert!(site.open_with(&site.settings()).is_ok());
}

#[test]
fn suricata_connects_to_a_socket_and_again() {
    let site = Site::new();
    let mut settings = site.settings();
    settings.socket = true;
    let mut sensor = site.open_with(&settings).unwrap();
    for rule in 1..=3 {
        let mut suricata = UnixStream::connect(site.path("eve.json")).unwrap();
        write!(suricata, "{}\n{}", alert(10 * rule), alert(10 * rule + 1)).unwrap();
        drop(suricata);
        let begun = Instant::now();
        while site.rules().len() < 2 * usize::try_from(rule).unwrap() {
            sensor.read(&GO).unwrap();
            assert!(begun.elapsed() < Duration::from_secs(60));
        }
    }
    assert_eq!(site.rules(), [10, 11, 20, 21, 30, 31]);
    drop(sensor);
    assert!(UnixStream::connect(site.path("eve.json")).is_err());
    // One that was killed leaves its socket behind.
    drop(std::os::unix::net::UnixListener::bind(site.path("eve.json")).unwrap());
    assert!(site.path("eve.json").exists());
    site.open_with(&settings).unwrap();
}

#[test]
fn a_file_that_is_not_there_yet_is_waited_for() {
    let site = Site::new();
    let mut sensor = site.open();
    sensor.read(&GO).unwrap();
    site.write(&[alert(1)]);
    sensor.read(&GO).unwrap();
    assert_eq!(site.rules(), [1]);
}

#[test]
fn compressed_files_and_last_lines_without_an_end_are_read_once() {
    let site = Site::new();
    let text: String = (1..=50).map(|rule| format!("{}\n", alert(rule))).collect();
    site.append(text.trim_end());
    let mut sensor = site.open();
    sensor.read(&GO).unwrap();
    assert_eq!(site.rules().len(), 49);
    sensor.drain(&GO).unwrap();
    assert_eq!(site.rules().len(), 50);
    drop(sensor);
    site.append("\n");
    let mut sensor = site.open();
    sensor.drain(&GO).unwrap();
    assert_eq!((site.rules().len(), sensor.tally().lines()), (50, 0));
    drop(sensor);

    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    fs::write(site.path("old.gz"), &packed).unwrap();
    fs::write(site.path("cut.gz"), &packed[..packed.len() / 2]).unwrap();
    let mut settings = Settings { input: site.path("old.gz"), ..site.settings() };
    assert!(settings.compressed());
    for _ in 0..2 {
        site.open_with(&settings).unwrap().drain(&GO).unwrap();
        assert_eq!(site.rules().len(), 100);
    }
    settings.input = site.path("cut.gz");
    let error = site.open_with(&settings).unwrap().drain(&GO).unwrap_err();
    assert!(matches!(error, EveError::Input { .. }), "{error}");
    assert!((101..150).contains(&site.rules().len()), "what comes before the damage is kept");
}
