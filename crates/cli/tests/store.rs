//! `estreamer store`, and the retention of a running service.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use support::archived::{archived, fields};
use support::backdated::{COMMIT, EVENTS, damage, now, segments};
use support::disk::Disk;
use support::{Dice, Finished, Site, wait_for};

fn store(site: &Site, command: &str, arguments: &[&str]) -> Finished {
    let home = site.home();
    site.run(&[&["store", command, "--home", &home], arguments].concat())
}

/// The segments there are, by start second.
fn starts(site: &Site) -> Vec<u32> {
    let names = fs::read_dir(site.path("home/archive/netmap_0"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut starts: Vec<u32> = names.filter_map(|name| name.strip_prefix("unified2.")?.parse().ok()).collect();
    starts.sort_unstable();
    starts
}

/// The numbers before these words in a text.
fn before(text: &str, words: &str) -> Vec<u64> {
    let parts: Vec<&str> = text.split(words).collect();
    let numbers = parts[..parts.len() - 1].iter().map(|part| part.rsplit(|c: char| !c.is_ascii_digit()).next());
    numbers.filter_map(|number| number?.parse().ok()).collect()
}

/// A segment is damaged in the middle while the service is at work. The good rest arrives, the loss is counted in the log, a
/// check finds it, and a repair cuts it out without disturbing anyone.
#[test]
fn a_corrupt_segment_in_the_middle() {
    let site = Site::new();
    // The network map makes events of its own.
    site.settings("network_map = false\n");
    let first = now() - 30_000;
    let old = [first, first + 7200, first + 14_400];
    segments(&site, &old);
    assert!(store(&site, "check", &[]).success().contains("900 events in 3 segments"));
    damage(&site, old[1], 6);
    let pkcs12 = site.client("127.0.0.1");
    let server = site.serve(&[]);
    let collector = site.collector("collector", server.address, &pkcs12);
    let collecting = collector.start();
    let good = 3 * EVENTS - COMMIT;
    collector.wait_for_events(good, &collecting);
    let said = server.process.line("Lost ");
    assert_eq!(before(&said, " events ("), [COMMIT as u64], "{said}");

    let checked = store(&site, "check", &[]);
    assert_eq!(checked.code, Some(3));
    assert!(checked.out.contains(&format!("{COMMIT} events: the bytes are damaged")), "{}", checked.out);
    let json = store(&site, "check", &["--json", "--netmap", "0"]);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json["lost"].as_u64(), json["events"].as_u64()), (Some(COMMIT as u64), Some(good as u64)));
    let states: Vec<_> = json["netmaps"][0]["segments"].as_array().unwrap().iter().map(|s| &s["state"]).collect();
    assert_eq!(states, ["good", "DAMAGED", "good, newest"]);

    let unchanged = store(&site, "repair", &[]);
    assert_eq!(unchanged.code, Some(3), "{unchanged:?}");
    let repaired = store(&site, "repair", &["--cut"]).success();
    assert!(repaired.contains(&format!("{COMMIT} events are missing")), "{repaired}");
    let checked = store(&site, "check", &[]).success();
    assert!(checked.contains("damage was cut out here by a repair"), "{checked}");

    // All goes on, and who comes now gets the same.
    site.run(&["sensor", "simulate", "--home", &site.home(), "--seed", "7", "--events", "100"]).success();
    collector.wait_for_events(good + 100, &collecting);
    let late = site.collector("late", server.address, &pkcs12);
    let also = late.start();
    late.wait_for_events(good + 100, &also);
    assert_eq!((collector.counts().0, late.counts().0), (good + 100, good + 100));
    server.process.lines(&format!("Lost {COMMIT} events (0 bytes)"), 1);

    // Damage to the newest segment, which a sensor and the collectors have open.
    let newest = *starts(&site).last().unwrap();
    let home = site.home();
    let endless = ["sensor", "simulate", "--home", &home, "--seed", "8", "--events", "2000", "--rate", "1000"];
    let mut sensor = site.start("sensor", &endless);
    collector.wait_for_events(good + 300, &collecting);
    damage(&site, newest, 1);
    let repaired = store(&site, "repair", &["--cut"]).success();
    assert!(repaired.contains("was begun, so that nobody writes to the damaged one"), "{repaired}");
    assert!(sensor.wait().success(), "{}", sensor.log());
    collector.wait_for_events(good + 2100, &collecting);
    assert_eq!(collector.counts().0, good + 2100, "it had what was damaged later");
    store(&site, "check", &[]).success();
    store(&site, "repair", &["--cut"]).success();
}

#[test]
fn an_export_has_all_of_a_time_and_can_be_replayed() {
    let site = Site::new();
    let first = 1_700_000_000;
    let old = [first, first + 7200, first + 14_400];
    segments(&site, &old);
    let count = |out: &str| {
        let lines = out.lines().filter(|line| !support::is_metadata(line.as_bytes()));
        let seconds =
            lines.map(|line| serde_json::from_str::<Value>(line).unwrap()["archiveTimestamp"].as_u64().unwrap());
        let seconds: Vec<u64> = seconds.collect();
        (seconds.len(), seconds.iter().min().copied().unwrap_or(0), seconds.iter().max().copied().unwrap_or(0))
    };
    let export = |arguments: &[&str], name: &str| {
        let file = site.path(name);
        let said = store(&site, "export", &[arguments, &["-o", file.to_str().unwrap()]].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(!site.path(&format!("{name}.part")).exists());
        file
    };
    let decode = |file: &PathBuf| site.run(&["decode", file.to_str().unwrap()]).success();
    // From the first second on, up to and not with the last one.
    let second = |n: u32| (old[1] + n).to_string();
    let part = export(&["--from", &second(2), "--to", &second(5)], "part.bin");
    assert_eq!(count(&decode(&part)), (3 * COMMIT, u64::from(old[1]) + 2, u64::from(old[1]) + 4));
    let first_line = decode(&part).lines().next().unwrap().to_owned();
    assert!(support::is_metadata(first_line.as_bytes()), "{first_line}");
    // By RFC 3339: 1700000000 is 2023-11-14T22:13:20Z.
    let same = export(&["--from", "2023-11-15T00:13:22Z", "--to", "2023-11-15T01:13:25+01:00"], "same.bin");
    assert_eq!(fs::read(&same).unwrap(), fs::read(&part).unwrap());
    // Packed by name.
    let whole = export(&[], "whole.bin");
    let (gz, zst) = (export(&[], "whole.bin.gz"), export(&[], "whole.bin.zst"));
    assert_eq!(support::gunzip(&gz), fs::read(&whole).unwrap());
    assert_eq!(zstd::decode_all(File::open(&zst).unwrap()).unwrap(), fs::read(&whole).unwrap());
    assert_eq!(count(&decode(&whole)), (3 * EVENTS, u64::from(first), u64::from(old[2]) + 9));
    // To standard output, and some types only.
    let some = export(&["--types", "400,71"], "some.bin");
    let wanted =
        decode(&whole).lines().filter(|line| [400, 71].contains(&support::record_type(line.as_bytes()))).count();
    assert_eq!(count(&decode(&some)).0, wanted);
    assert!(wanted > 0 && wanted < 3 * EVENTS);

    // Another server replays it: the same events, and metadata for them.
    let other = Site::new();
    other.run(&["sensor", "replay", "--home", &other.home(), whole.to_str().unwrap()]).success();
    let ((events, metadata), (originals, names)) = (archived(&other), archived(&site));
    assert_eq!((events.len(), metadata.len()), (originals.len(), names.len()));
    assert!(events.iter().zip(&originals).all(|(new, old)| fields(new) == fields(old)));

    // What cannot be is said.
    let wrong = |arguments: &[&str], code, words: &[&str]| store(&site, "export", arguments).failed(code, words);
    wrong(&["--from", "5", "--to", "5"], 1, &["1970-01-01T00:00:05Z is not before"]);
    wrong(&["--from", "yesterday"], 2, &["yesterday", "2026-03-01T08:00:00Z"]);
    wrong(&["--types", "intrusions of all kinds"], 2, &["schema list"]);
    wrong(&["--netmap", "5"], 1, &["no archive of netmap 5; there is 0"]);
    wrong(&["-o", "/nowhere/x.bin"], 1, &["/nowhere/x.bin cannot be written"]);
    // Damage within the time is told, and outside of it is not.
    damage(&site, old[1], 6);
    let part = store(&site, "export", &["--from", &second(0), "-o", part.to_str().unwrap()]);
    part.failed(3, &["30 events", "estreamer store check"]);
    assert_eq!(store(&site, "export", &["--from", &old[2].to_string(), "-o", whole.to_str().unwrap()]).code, Some(0));
}

/// The limits of the settings are applied at start and at a reload, and by `store prune`; the log says what went.
#[test]
fn retention_by_age_and_size() {
    let site = Site::new();
    let today = now();
    let old = [today - 5 * 86_400, today - 3 * 86_400, today - 40_000, today - 20_000, today - 3000];
    segments(&site, &old);
    let size = |start: u32| fs::metadata(site.path(&format!("home/archive/netmap_0/unified2.{start}"))).unwrap().len();
    let sizes = old.map(size);
    let planned = store(&site, "prune", &["--keep-days", "1", "--dry-run"]).success();
    // All that is known of the second one's end is that it is before the third, which is younger than a day.
    assert!(planned.contains("1 segments with") && planned.contains("would go"), "{planned}");
    assert_eq!(starts(&site), old);

    site.settings("keep_days = 2\nnetwork_map = false\n");
    let pkcs12 = site.client("127.0.0.1");
    let server = site.serve(&[]);
    let said = server.process.line("Deleted ");
    assert!(said.contains(&format!("unified2.{} with the events from 20", old[0])), "{said}");
    assert!(said.ends_with(&format!("{} bytes: older than keep_days = 2", sizes[0])), "{said}");
    assert_eq!(starts(&site), old[1..]);
    let collector = site.collector("collector", server.address, &pkcs12);
    let collecting = collector.start();
    collector.wait_for_events(4 * EVENTS, &collecting);

    site.settings(&format!("keep_days = 2\nnetwork_map = false\nkeep_bytes = {}\n", sizes[2] + sizes[3] + sizes[4]));
    server.process.signal(rustix::process::Signal::HUP);
    server.process.line("netmap 0 had more than keep_bytes = ");
    wait_for("the segment to go", || (starts(&site) == old[2..]).then_some(()));
    // The newest stays, whatever the limits say.
    let pruned = store(&site, "prune", &["--keep-bytes", "1"]).success();
    assert!(pruned.contains("2 segments"), "{pruned}");
    assert_eq!(starts(&site), old[4..]);
    let lacking = store(&site, "prune", &["--keep-free-bytes", "1000000TB"]);
    assert_eq!(lacking.code, Some(3), "{lacking:?}");
    site.run(&["sensor", "simulate", "--home", &site.home(), "--events", "10"]).success();
    collector.wait_for_events(4 * EVENTS + 10, &collecting);
    store(&site, "check", &[]).success();
    let size = store(&site, "size", &["--json"]).success();
    let size: Value = serde_json::from_str(&size).unwrap();
    assert_eq!(size["netmaps"][0]["oldest"], old[4]);
    assert!(size["netmaps"][0]["segments"].as_u64() >= Some(1) && size["keepDays"] == 2);
}

/// The disk is full and a sensor waits; the service deletes the oldest segments, and the sensor goes on.
#[test]
fn retention_makes_room_for_a_sensor_that_waits() {
    let site = Site::empty();
    let Some(disk) = Disk::mount(&site.path("home"), 16) else { return };
    site.init();
    site.settings("keep_free_bytes = \"1MB\"\nnetwork_map = false\n");
    let first = now() - 200_000;
    let old: Vec<u32> = (0..10).map(|n| first + 7200 * n).collect();
    segments(&site, &old);
    let home = site.home();
    disk.fill();
    let mut sensor = site.start("sensor", &["sensor", "simulate", "--home", &home, "--events", "1000"]);
    sensor.line("has no room, so this sensor waits");
    let server = site.serve(&[]);
    server.process.line("less than keep_free_bytes = 1 MB were free");
    assert!(sensor.wait().success(), "{}", sensor.log());
    assert!(sensor.log().contains("has room again"), "{}", sensor.log());
    assert!(!starts(&site).contains(&old[0]));
    store(&site, "check", &[]).success();
}

/// `kill -9` of service, sensor and collector, and of repair, export and retention, again and again. Nothing that is good is
/// lost, and no half file is taken for a whole one.
#[test]
fn kills_in_each_phase() {
    let mut dice = Dice::new("store");
    let site = Site::new();
    site.settings("network_map = false\n");
    let first = now() - 400_000;
    let old: Vec<u32> = (0..12).map(|n| first + 7200 * n).collect();
    segments(&site, &old);
    let home = site.home();
    let pkcs12 = site.client("127.0.0.1");
    let port = support::free_port();
    let mut server = site.serve_at(port, &[]);
    let collector = site.collector("collector", server.address, &pkcs12);
    let mut collecting = collector.start();
    let total = 12 * EVENTS;
    collector.wait_for_events(total, &collecting);
    let simulate = ["sensor", "simulate", "--home", &home, "--events", "6000", "--rate", "600"];
    let mut sensor = site.start("sensor", &simulate);

    let (mut damaged, mut killed) = (0, 0);
    for round in 0..24 {
        // Not one that retention takes. It may be damaged, repaired and damaged again.
        let victim = old[8 + usize::try_from(dice.below(4)).unwrap()];
        let export = site.path("export.bin");
        let mut work = match round % 4 {
            0 | 1 => {
                damage(&site, victim, 2 + usize::try_from(dice.below(3)).unwrap());
                damaged += 1;
                site.start("repair", &["store", "repair", "--home", &home, "--cut"])
            }
            2 => site.start("export", &["store", "export", "--home", &home, "-o", export.to_str().unwrap()]),
            _ => {
                let days = (4 + 1 - round / 12).to_string();
                site.start("prune", &["store", "prune", "--home", &home, "--keep-days", &days])
            }
        };
        std::thread::sleep(Duration::from_millis(dice.below(90)));
        if work.running() {
            killed += 1;
            work.kill();
        }
        match dice.below(4) {
            0 => {
                server.process.kill();
                server = site.serve_at(port, &[]);
            }
            1 if sensor.running() => {
                sensor.kill();
                sensor = site.start("sensor", &simulate);
            }
            2 => {
                collecting.kill();
                collecting = collector.start();
            }
            _ => {}
        }
        if export.exists() {
            let decoded = site.run(&["decode", export.to_str().unwrap()]);
            assert_eq!(decoded.code, Some(0), "what has the name is whole: {}", decoded.err);
            fs::remove_file(export).unwrap();
        }
    }
    println!("store: {damaged} times damaged, {killed} times killed at work");
    assert!(sensor.wait().success(), "{}", sensor.log());
    let repaired = store(&site, "repair", &["--cut"]);
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    store(&site, "check", &[]).success();
    let left = fs::read_dir(site.path("home/archive/netmap_0")).unwrap();
    assert!(left.map(|e| e.unwrap().file_name().into_string().unwrap()).all(|name| !name.ends_with(".repair")));

    // The collector had all before it was damaged, and has each of the new ones once.
    collecting.line("Connected to");
    collector.wait_for_events(total + 6000, &collecting);
    assert!(collecting.terminate().success());
    assert_eq!(collector.counts().0, total + 6000);
    // Who comes now: what is lost is what was damaged, a commit each time, in what retention has left.
    let (readable, lost) = count(&site);
    let from = starts(&site)[0];
    let kept = old.iter().filter(|start| **start >= from).count() * EVENTS + 6000;
    assert_eq!(readable + lost, kept as u64);
    assert!(lost <= (damaged * COMMIT) as u64 && lost % COMMIT as u64 == 0, "{lost}");
    let late = site.collector("late", server.address, &pkcs12);
    let also = late.start();
    late.wait_for_events(usize::try_from(readable).unwrap(), &also);
    assert_eq!(late.counts().0 as u64, readable);
}

/// Events that can be read, and that are told to be lost.
fn count(site: &Site) -> (u64, u64) {
    let mut reader = archive::Reader::open(&site.path("home/archive"), 0, archive::Start::Genesis).unwrap();
    let (mut items, mut readable, mut lost) = (Vec::new(), 0, 0);
    loop {
        match reader.next(&mut items).unwrap() {
            archive::Read::Batch(info) if info.kind == archive::Kind::Events => readable += u64::from(info.items),
            archive::Read::Batch(_) => {}
            archive::Read::Lost(gap) => lost += gap.events,
            archive::Read::End => return (readable, lost),
        }
    }
}
