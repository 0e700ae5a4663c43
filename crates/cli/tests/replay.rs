//! `estreamer sensor replay`: captured streams into an archive and out of a server again.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Instant;
use support::archived::{archived, fields};
use support::{Dice, Site, configuration, gunzip};
use wire::event::Event;
use wire::message::{self, MessageType};

/// The golden stream, unpacked.
fn golden(site: &Site, name: &str) -> PathBuf {
    let folder = if name == "stream.bin" { "../wire/tests/data" } else { "tests/data/golden" };
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(format!("{name}.gz"));
    let file = site.path(name);
    std::fs::write(&file, gunzip(&packed)).unwrap();
    file
}

/// The lines that `decode` prints of a file: events.
fn printed(site: &Site, file: &Path) -> Vec<Value> {
    let out = site.run(&["decode", file.to_str().unwrap()]).out;
    let events = out.lines().filter(|line| !support::is_metadata(line.as_bytes()));
    events.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Messages with an intrusion event each, archived at these seconds.
fn capture(seconds: impl Iterator<Item = u32>) -> Vec<u8> {
    let mut stream = Vec::new();
    for (i, second) in seconds.enumerate() {
        let mut event = Event::new(400).unwrap();
        event.set("eventId", i as u64).unwrap().set("eventSecond", second - 5).unwrap();
        let mut record = Vec::new();
        event.encode(Some(second), &mut record);
        message::push(&mut stream, MessageType::EVENT_DATA, &record);
    }
    stream
}

fn replay(site: &Site, arguments: &[&str]) -> support::Finished {
    let home = site.home();
    site.run(&[&["sensor", "replay", "--home", &home], arguments].concat())
}

#[test]
fn the_golden_stream_is_the_same_after_a_replay_and_out_of_a_server() {
    let site = Site::new();
    let file = golden(&site, "bundles.bin");
    let done = replay(&site, &[file.to_str().unwrap()]);
    // Records without a readable header and messages of unknown types are told.
    done.failed(3, &["bundles.bin, message at "]);
    let (events, metadata) = archived(&site);
    let originals = printed(&site, &file);
    assert_eq!(events.len(), originals.len(), "{}", done.out);
    for (new, old) in events.iter().zip(&originals) {
        let (new, mut old) = (fields(new), fields(old));
        // An old fault: a record length that counts its header. It is not repeated.
        if new["recordLength"] != old["recordLength"] {
            old["recordLength"] = (old["recordLength"].as_u64().unwrap() - 8).into();
        }
        assert_eq!(new, old);
    }
    assert!(metadata.len() > 100, "{}", metadata.len());
    let again = replay(&site, &[file.to_str().unwrap()]).success();
    assert!(again.starts_with("0 events (0 of unknown types)"), "{again}");

    // What a current client asks for comes out of the server as it went in.
    let pkcs12 = site.client("127.0.0.1");
    let server = site.serve(&[]);
    let collector = site.collector("collector", server.address, &pkcs12);
    collector.configure(configuration(server.address, &pkcs12));
    let current =
        |line: &&Value| line["recordType"] == 400 && line["blockType"] == 85 && line.get("@problem").is_none();
    let wanted: Vec<&Value> = originals.iter().filter(current).collect();
    assert!(wanted.len() > 10, "{}", wanted.len());
    let process = collector.start();
    let found = support::wait_for("the events", || {
        process.alive();
        let lines = collector.lines();
        let missing = wanted.iter().find(|old| !lines.iter().any(|new| fields(new) == fields(old)));
        missing.is_none().then_some(lines.len())
    });
    assert!(found > wanted.len());
}

#[test]
fn each_event_is_there_once_whoever_is_killed() {
    const EVENTS: u32 = 30_000;
    let mut dice = Dice::new("replay");
    let site = Site::new();
    let file = site.path("capture.bin");
    std::fs::write(&file, capture((0..EVENTS).map(|i| 1_714_000_000 + i / 1000))).unwrap();
    let (home, file) = (site.home(), file.to_str().unwrap().to_owned());
    let arguments = ["sensor", "replay", "--home", &home, "--speed", "20", &file];
    let mut process = site.start("replay", &arguments);
    for _ in 0..5 {
        std::thread::sleep(std::time::Duration::from_millis(20 + dice.below(200)));
        process.kill();
        process = site.start("replay", &arguments);
    }
    assert!(process.wait().success(), "{}", process.log());
    let (events, _) = archived(&site);
    assert!(events.iter().map(|event| event["eventId"].as_u64().unwrap()).eq(0..EVENTS.into()));
}

#[test]
fn speed_times_and_damage() {
    let site = Site::new();
    let file = site.path("capture.bin");
    let stream = capture([1_714_000_000, 1_714_000_000, 1_714_000_002].into_iter());
    std::fs::write(&file, [&stream[..stream.len() / 3], b"garbage", &stream[stream.len() / 3..]].concat()).unwrap();
    let file = file.to_str().unwrap();
    let begun = Instant::now();
    let done = replay(&site, &["--speed", "2", "--times", "shifted", file]);
    assert!(begun.elapsed().as_millis() >= 1000, "two seconds take one: {:?}", begun.elapsed());
    done.failed(3, &["message at ", "7 bytes are no message and were skipped"]);
    assert!(
        done.out.starts_with("3 events (0 of unknown types) and 0 metadata records replayed; 0 events"),
        "{}",
        done.out
    );
    let seconds: Vec<u64> = archived(&site).0.iter().map(|event| event["eventSecond"].as_u64().unwrap()).collect();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(seconds[0] <= now && now - seconds[0] < 300, "{seconds:?} {now}");
    assert_eq!((seconds[1], seconds[2]), (seconds[0], seconds[0] + 2));

    replay(&site, &["--again", "--times", "shifted", file]).failed(3, &[]);
    assert_eq!(archived(&site).0.len(), 6);
    replay(&site, &["--speed", "0", file]).failed(2, &["original, max or a number"]);
    replay(&site, &["absent.bin"]).failed(1, &["absent.bin cannot be read"]);
}
