//! Snort spools in an archive.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod archived;
mod common;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use archived::{Item, count, events, items};
use common::{event, extra, packet, record, snort, words};
use sensors::snort::{Settings, SnortError, SnortSensor, Totals};
use sensors::unified2::{self, Frame, Record};

static GO: AtomicBool = AtomicBool::new(false);

/// A spool, its maps and an archive.
struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Site {
        let dir = tempfile::tempdir().unwrap();
        for name in ["spool", "maps", "archive"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Site { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn archive(&self) -> PathBuf {
        self.path("archive")
    }

    fn log(&self, bytes: &[u8]) {
        let path = self.path("spool/unified2.log.1322000000");
        fs::File::options().append(true).create(true).open(path).unwrap().write_all(bytes).unwrap();
    }

    fn map(&self, name: &str, text: &str) {
        fs::write(self.path("maps").join(name), text).unwrap();
    }

    /// The maps are optional; changes are looked for at each read.
    fn settings(&self) -> Settings {
        let any = fs::read_dir(self.path("maps")).unwrap().next().is_some();
        Settings {
            maps: any.then(|| self.path("maps")),
            maps_every: Duration::ZERO,
            ..Settings::new(self.path("spool"), 7, "ids-1")
        }
    }

    fn open(&self) -> SnortSensor {
        SnortSensor::open(&self.settings(), &self.archive(), 0).unwrap()
    }

    fn drain(&self) -> Totals {
        self.open().drain(&GO).unwrap()
    }

    fn events(&self) -> Vec<Item> {
        events(&self.archive())
    }

    fn messages(&self) -> Vec<String> {
        let named = |item: &Item| item.record_type == 66;
        items(&self.archive()).iter().filter(|item| named(item)).map(|item| item.text("message")).collect()
    }
}

fn total(events: u64, packets: u64, extra_data: u64) -> Totals {
    Totals { events, packets, extra_data, ..Totals::default() }
}

/// Copies the maps of the real log.
fn real_maps(site: &Site) {
    let mut text = String::new();
    let packed = fs::File::open(snort("sid-msg.map.gz").unwrap()).unwrap();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    site.map("sid-msg.map", &text);
    for name in ["gen-msg.map", "classification.config"] {
        fs::copy(snort(name).unwrap(), site.path("maps").join(name)).unwrap();
    }
}

/// Checks that everything an event refers to was named before it.
fn named(items: &[Item]) {
    let mut known = BTreeSet::new();
    for item in items {
        let needs = match item.record_type {
            400 => vec![
                (123, vec![item.uint("deviceId")]),
                (66, vec![item.uint("generatorId"), item.uint("ruleId")]),
                (67, vec![item.uint("classificationId")]),
                (4, vec![item.uint("priorityId")]),
            ],
            110 => vec![(123, vec![item.uint("deviceId")]), (111, vec![item.uint("type")])],
            2 => vec![(123, vec![item.uint("deviceId")])],
            66 => {
                known.insert((66, vec![item.uint("generatorId"), item.uint("ruleId")]));
                continue;
            }
            111 => {
                known.insert((111, vec![item.uint("type")]));
                continue;
            }
            other => {
                known.insert((other, vec![item.uint("id")]));
                continue;
            }
        };
        for need in needs {
            assert!(known.contains(&need), "{need:?} is not named before its use");
        }
    }
}

/// Checks that the archive's events are the records of these unified2 bytes, one for one.
fn same(bytes: &[u8], items: &[Item]) {
    let mut left = items.iter();
    let mut at = 0;
    while let Some(frame) = Frame::split(&bytes[at..], 0).unwrap() {
        at += frame.size();
        let item = left.next().expect("as many events as records");
        assert_eq!(item.uint("deviceId"), 7);
        let numbers: &[(&str, u64)] = match frame.decode().unwrap() {
            Record::Event(e) => {
                assert_eq!(item.record_type, 400);
                assert_eq!(item.octets("sourceIpAddress"), wire::event::sixteen(e.ip_source));
                assert_eq!(item.octets("destinationIpAddress"), wire::event::sixteen(e.ip_destination));
                &[
                    ("eventId", e.event_id.into()),
                    ("eventSecond", e.event_second.into()),
                    ("eventMicrosecond", e.event_microsecond.into()),
                    ("ruleId", e.signature_id.into()),
                    ("generatorId", e.generator_id.into()),
                    ("ruleRevision", e.signature_revision.into()),
                    ("classificationId", e.classification_id.into()),
                    ("priorityId", e.priority_id.into()),
                    ("sourcePortOrIcmpType", e.sport_itype.into()),
                    ("destinationPortOrIcmpType", e.dport_icode.into()),
                    ("ipProtocolId", e.protocol.into()),
                    ("impactFlags", e.impact_flag.into()),
                    ("impact", e.impact.into()),
                    ("blocked", e.blocked.into()),
                    ("mplsLabel", e.mpls_label.into()),
                    ("vlanId", e.vlan_id.into()),
                    ("pad", e.pad.into()),
                    ("snortVersion", 2),
                ]
            }
            Record::Packet(p) => {
                assert_eq!(item.record_type, 2);
                assert_eq!(item.octets("packetData"), p.data);
                &[
                    ("eventId", p.event_id.into()),
                    ("eventSecond", p.event_second.into()),
                    ("packetSecond", p.packet_second.into()),
                    ("packetMicrosecond", p.packet_microsecond.into()),
                    ("linkType", p.linktype.into()),
                    ("packetLength", p.data.len() as u64),
                ]
            }
            Record::ExtraData(e) => {
                assert_eq!(item.record_type, 110);
                assert_eq!(item.octets("blob"), e.data);
                &[("eventId", e.event_id.into()), ("eventSecond", e.event_second.into()), ("type", e.kind.into())]
            }
            other => panic!("{other:?}"),
        };
        for (name, value) in numbers {
            assert_eq!(item.uint(name), *value, "{name}");
        }
    }
    assert_eq!((at, left.count()), (bytes.len(), 0));
}

#[test]
fn a_real_log() {
    let Some(path) = snort("unified2-current.log") else { return };
    let bytes = fs::read(path).unwrap();
    let site = Site::new();
    real_maps(&site);
    site.log(&bytes);
    assert_eq!(site.drain(), total(5_675, 5_741, 1_952));
    let got = items(&site.archive());
    let counts = count(&got);
    assert_eq!((counts[&400], counts[&2], counts[&110]), (5_675, 5_741, 1_952));
    assert_eq!((counts[&66], counts[&67], counts[&4], counts[&111], counts[&123]), (18, 7, 3, 2, 1));
    named(&got);
    same(&bytes, &site.events());

    let find = |record_type: u16, field: &str, value: u64| {
        got.iter().find(|item| item.record_type == record_type && item.uint(field) == value).unwrap()
    };
    assert_eq!(find(123, "id", 7).text("name"), "ids-1");
    let rule = find(66, "ruleId", 18_608);
    assert_eq!(rule.text("message"), "POLICY Dropbox desktop software in use");
    assert_eq!((rule.uint("signatureId"), rule.uint("ruleRevision")), (18_608, 3));
    let class = find(67, "id", 33);
    assert_eq!(class.text("name"), "policy-violation");
    assert_eq!(class.text("description"), "Potential Corporate Privacy Violation");
    assert_eq!(find(4, "id", 1).text("name"), "high");
    let uri = find(111, "type", unified2::extra::HTTP_URI.into());
    assert_eq!((uri.text("name"), uri.text("encoding")), ("HTTP URI".to_owned(), "String".to_owned()));
    // IPv4 addresses are mapped.
    assert_eq!(find(400, "eventId", 1).octets("sourceIpAddress")[10..], [0xff, 0xff, 10, 0, 1, 6]);

    // A second time there is nothing to do, whoever looks.
    assert_eq!(site.drain(), total(0, 0, 0));
    assert!(items(&site.archive()) == got);

    // What is appended is added.
    let more: Vec<u8> = frames(&bytes).into_iter().take(100).flatten().copied().collect();
    site.log(&more);
    let added = site.drain();
    assert_eq!(added.events + added.packets + added.extra_data, 100);
    let all = items(&site.archive());
    assert!(all[..got.len()] == got[..]);
    same(&more, &all[got.len()..]);
}

/// Splits bytes into records.
fn frames(bytes: &[u8]) -> Vec<&[u8]> {
    let mut at = 0;
    let mut out = Vec::new();
    while let Some(frame) = Frame::split(&bytes[at..], 0).unwrap() {
        out.push(&bytes[at..at + frame.size()]);
        at += frame.size();
    }
    out
}

#[test]
fn a_real_ipv6_log_and_one_of_many_packets() {
    for (name, totals) in [("ipv6-alert.unified2", total(1, 1, 0)), ("multi-record-event.unified2", total(1, 15, 1))] {
        let Some(path) = snort(name) else { return };
        let bytes = fs::read(path).unwrap();
        let site = Site::new();
        real_maps(&site);
        site.log(&bytes);
        assert_eq!(site.drain(), totals, "{name}");
        named(&items(&site.archive()));
        same(&bytes, &site.events());
        if name.starts_with("ipv6") {
            let address: Ipv6Addr = "fe80::dacb:8aff:feed:a146".parse().unwrap();
            assert_eq!(site.events()[0].octets("sourceIpAddress"), address.octets());
        }
    }
}

#[test]
fn a_real_log_in_many_runs() {
    let Some(path) = snort("unified2-current.log") else { return };
    let bytes = fs::read(path).unwrap();
    let whole = Site::new();
    whole.log(&bytes);
    whole.drain();
    let site = Site::new();
    for (n, piece) in bytes.chunks(bytes.len() / 40).enumerate() {
        site.log(piece);
        let mut sensor = site.open();
        if n % 3 != 0 {
            sensor.drain(&GO).unwrap();
        }
    }
    site.drain();
    assert!(site.events() == whole.events());
}

const ROOT: &str = "SENSORS_TEST_SNORT";

/// The child of `killed_at_any_moment`.
#[test]
fn child_reads_until_killed() {
    let Ok(root) = env::var(ROOT) else { return };
    let settings = Settings::new(Path::new(&root).join("spool"), 7, "ids-1");
    SnortSensor::open(&settings, &Path::new(&root).join("archive"), 0).unwrap().run(&GO).unwrap();
}

#[test]
fn killed_at_any_moment() {
    let site = Site::new();
    let bytes: Vec<u8> = (1..=12_000).flat_map(|id| [event(id), packet(id, 40), extra(id, b"/x")].concat()).collect();
    site.log(&bytes);
    let mut partly = 0;
    for round in 0..8 {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "child_reads_until_killed"]).env(ROOT, site.dir.path()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        thread::sleep(Duration::from_millis(30 + round * 7));
        child.kill().unwrap();
        child.wait().unwrap();
        let now = site.events().len();
        partly += usize::from(0 < now && now < 36_000);
    }
    println!("{partly} of 8 were killed while reading");
    site.drain();
    same(&bytes, &site.events());
}

#[test]
fn an_event_as_it_is_on_the_wire() {
    let site = Site::new();
    site.log(&event(1));
    assert_eq!(site.drain(), total(1, 0, 0));
    let item = &site.events()[0].bytes;
    let mut head = words(&[4, item.len() as u32 - 8, 400, item.len() as u32 - 24, 0, 0, 85, item.len() as u32 - 24]);
    // Device, event, second, microsecond, rule, generator, revision, classification, priority.
    head.extend(words(&[7, 1, 1_322_000_001, 7, 2001, 1, 3, 33, 1]));
    head.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 6, 199]);
    head.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 47, 216, 149, 202]);
    // Ports, protocol, impact flags, impact, blocked, reason, MPLS label, VLAN, pad.
    head.extend([0x9a, 0xc0, 0, 80, 6, 0x20, 0, 1, 0, 0, 0, 0, 5, 0, 12, 0, 0]);
    assert_eq!(item[..head.len()], head);
}

#[test]
fn without_maps_things_have_the_names_snort_gives_them() {
    let site = Site::new();
    site.log(&event(1));
    site.drain();
    let got = items(&site.archive());
    named(&got);
    assert_eq!(site.messages(), ["Snort Alert [1:2001:3]"]);
    let class = got.iter().find(|item| item.record_type == 67).unwrap();
    assert_eq!(
        (class.text("name"), class.text("description")),
        ("classification-33".into(), "Classification 33".into())
    );
}

#[test]
fn names_that_change_are_sent_again() {
    let site = Site::new();
    site.map("sid-msg.map", "2001 || Old\n2002 || Other\n");
    site.log(&[event(1), event(2)].concat());
    let mut sensor = site.open();
    sensor.drain(&GO).unwrap();
    assert_eq!(site.messages(), ["Old", "Other"]);
    site.map("sid-msg.map", "2001 || New name\n2002 || Other\n");
    sensor.drain(&GO).unwrap();
    assert_eq!(site.messages(), ["Old", "Other", "New name"]);
    sensor.drain(&GO).unwrap();
    site.map("classification.config", "config classification: a,b,1\n");
    sensor.drain(&GO).unwrap();
    assert_eq!(site.messages(), ["Old", "Other", "New name"]);
    // The rule kept its UUIDs.
    let uuids: Vec<_> = items(&site.archive())
        .iter()
        .filter(|item| item.record_type == 66 && item.uint("ruleId") == 2001)
        .map(|item| (item.octets("ruleUuid"), item.octets("ruleRevisionUuid")))
        .collect();
    assert_eq!(uuids.len(), 2);
    assert_eq!(uuids[0], uuids[1]);
    assert_ne!(uuids[0].0, uuids[0].1);
}

#[test]
fn what_has_no_counterpart_is_counted() {
    let site = Site::new();
    let mut buffer = packet(2, 30);
    buffer[3] = unified2::kind::BUFFER as u8;
    let malformed = record(unified2::kind::EVENT_V2, &[0; 5]);
    site.log(&[record(9_000, b"?"), event(1), buffer, record(9_000, b"??"), malformed, extra(1, b"/x")].concat());
    let mut sensor = site.open();
    let totals = sensor.drain(&GO).unwrap();
    assert_eq!(totals, Totals { unmapped: 3, malformed: 1, ..total(1, 0, 1) });
    assert_eq!((sensor.totals(), sensor.counters().skipped()), (totals, 4));
    assert_eq!(sensor.counters().by_type(), [(110, 1), (400, 1)]);
    // They are behind the position too.
    site.log(&record(9_000, b"???"));
    assert_eq!(sensor.drain(&GO).unwrap(), Totals { unmapped: 1, ..Totals::default() });
    drop(sensor);
    assert_eq!(site.drain(), Totals::default());
}

#[test]
fn an_event_of_snort_3() {
    let site = Site::new();
    let mut body = words(&[0, 5, 1_700_000_000, 9, 1, 402, 8, 0, 3, 1, 2, 3]);
    body.extend([0; 12]);
    body.extend([192, 0, 2, 1]);
    body.extend([0; 12]);
    body.extend([192, 0, 2, 2]);
    body.extend(words(&[0]));
    body.extend([0, 3, 0, 1, 0, 0, 0, 0, 0x44, 1, 3, 4]);
    body.extend([0; 64]);
    site.log(&record(unified2::kind::EVENT_V3, &body));
    assert_eq!(site.drain(), total(1, 0, 0));
    let item = &site.events()[0];
    assert_eq!((item.uint("snortVersion"), item.uint("blocked"), item.uint("impactFlags")), (3, 1, 0x20));
    assert_eq!((item.uint("generatorId"), item.uint("ruleId")), (1, 402));
    assert_eq!(item.octets("destinationIpAddress")[10..], [0xff, 0xff, 192, 0, 2, 2]);
    // It has no classification, so none is named.
    assert_eq!(count(&items(&site.archive())).get(&67), None);
}

#[test]
fn what_is_written_is_soon_in_the_archive() {
    let site = Site::new();
    let stop = AtomicBool::new(false);
    let mut sensor = site.open();
    let counters = sensor.counters().clone();
    let mut best = Duration::MAX;
    thread::scope(|scope| {
        let run = scope.spawn(|| sensor.run(&stop));
        for id in 1..=10 {
            thread::sleep(Duration::from_millis(17 * u64::from(id)));
            let start = Instant::now();
            site.log(&event(id));
            while counters.events() < u64::from(id) {
                assert!(start.elapsed() < Duration::from_secs(10), "event {id} does not arrive");
                thread::sleep(Duration::from_millis(1));
            }
            best = best.min(start.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        run.join().unwrap().unwrap();
    });
    // The best of ten, so that a busy machine does not matter.
    assert!(best < Duration::from_millis(200), "{best:?}");
    assert_eq!(site.events().len(), 10);
    assert_eq!(site.drain(), total(0, 0, 0));
}

#[test]
fn a_spool_that_goes_away_is_waited_for() {
    let site = Site::new();
    site.log(&event(1));
    let stop = AtomicBool::new(false);
    let mut sensor = site.open();
    let counters = sensor.counters().clone();
    let wait = |events: u64| {
        let start = Instant::now();
        while counters.events() < events {
            assert!(start.elapsed() < Duration::from_secs(10));
            thread::sleep(Duration::from_millis(5));
        }
    };
    thread::scope(|scope| {
        let run = scope.spawn(|| sensor.run(&stop));
        wait(1);
        fs::rename(site.path("spool"), site.path("away")).unwrap();
        thread::sleep(Duration::from_millis(200));
        fs::rename(site.path("away"), site.path("spool")).unwrap();
        site.log(&event(2));
        wait(2);
        stop.store(true, Ordering::Relaxed);
        run.join().unwrap().unwrap();
    });
    assert_eq!(site.events().len(), 2);
}

#[test]
fn the_source_is_named_by_device_and_path() {
    let source = |path: &str| String::from_utf8(Settings::new(path, 3, "x").source().unwrap()).unwrap();
    assert_eq!(source("/var/log/snort"), "unified2:3:/var/log/snort");
    assert_eq!(source("/var/log//snort/./"), "unified2:3:/var/log/snort");
    let here = env::current_dir().unwrap();
    assert_eq!(source("logs"), format!("unified2:3:{}", here.join("logs").display()));
}

#[test]
fn what_cannot_be_opened_says_why() {
    let site = Site::new();
    let open = |settings: &Settings| SnortSensor::open(settings, &site.archive(), 0).unwrap_err();
    let missing = Settings::new(site.path("nowhere"), 1, "x");
    assert!(matches!(open(&missing), SnortError::Spool(_)));
    let maps = Settings { maps: Some(site.path("maps")), ..site.settings() };
    assert!(open(&maps).to_string().contains("sid-msg.map"), "{}", open(&maps));
    let settings = site.settings();
    let mut feed = feed_of(&settings, &site.archive());
    feed.position(b"something else").unwrap();
    feed.commit(&GO).unwrap();
    assert!(matches!(open(&settings), SnortError::Position(_)));
}

fn feed_of(settings: &Settings, root: &Path) -> sensors::feed::Feed {
    sensors::feed::Feed::open(root, 0, &settings.source().unwrap(), sensors::feed::Limits::default()).unwrap()
}
