//! `estreamer publish`: lines of JSON to an archive and out of a server again.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use serde_json::Value;
use std::path::Path;
use std::process::Command;
use support::archived::{archived, fields};
use support::{Finished, Site, gunzip, program, run};

fn publish(site: &Site, arguments: &[&str], lines: &str) -> Finished {
    let home = site.home();
    run(Command::new(program()).args(["publish", "--home", &home]).args(arguments).arg("-"), lines.as_bytes())
}

#[test]
fn what_decode_prints_can_be_published_and_is_the_same_again() {
    let site = Site::new();
    let stream = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/tests/data/stream.bin.gz");
    let file = site.path("stream.bin");
    std::fs::write(&file, gunzip(&stream)).unwrap();
    let printed = site.run(&["decode", file.to_str().unwrap()]);
    let whole: Vec<&str> = printed.out.lines().filter(|line| !line.contains("\"@problem\"")).collect();
    assert!(whole.len() > 1600, "{} of {}", whole.len(), printed.out.lines().count());
    let done = publish(&site, &[], &whole.iter().map(|line| format!("{line}\n")).collect::<String>());
    assert_eq!(done.code, Some(0), "{}", done.err);
    let (events, metadata) = archived(&site);

    let lines: Vec<Value> = whole.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is_metadata = |line: &&Value| support::is_metadata(line.to_string().replacen(':', ": ", 1).as_bytes());
    let (old_metadata, old_events): (Vec<&Value>, Vec<&Value>) = lines.iter().partition(is_metadata);
    assert_eq!(events.len(), old_events.len());
    for (new, old) in events.iter().zip(old_events) {
        assert_eq!(fields(new), fields(old));
    }
    // The archive keeps the newest of each key, so not all of them.
    for new in &metadata {
        assert!(old_metadata.iter().any(|old| fields(old) == fields(new)), "{new}");
    }
}

#[test]
fn good_lines_beside_bad_ones_are_kept_and_ids_are_accepted_once() {
    let site = Site::new();
    let lines = concat!(
        "{\"recordType\": 112, \"id\": \"a\", \"policyId\": 1}\n",
        "\n",
        "{\"recordType\": 112, \"id\": \"b\", \"polcyId\": 2}\n",
        "{\"recordType\": 112, \"id\": \"a\", \"policyId\": 3}\n",
        "nonsense\n",
        "{\"recordType\": 112, \"policyId\": 4}",
    );
    let done = publish(&site, &["--device", "9", "--name", "lines"], lines);
    done.failed(
        3,
        &[
            "-, line 3: record 112, field polcyId: 2 Correlation Event (block 1:156) has no such field; is policyId meant?",
            "-, line 5: this is not JSON: ",
        ],
    );
    assert_eq!(done.out, "2 records published, 1 known already, 2 lines rejected\n");
    let (events, metadata) = archived(&site);
    let policies: Vec<_> = events.iter().map(|event| event["policyId"].as_u64().unwrap()).collect();
    assert_eq!((policies, events[0]["deviceId"].as_u64()), (vec![1, 4], Some(9)));
    assert_eq!((metadata[0]["recordType"].as_u64(), metadata[0]["name"].as_str()), (Some(123), Some("lines")));

    let again = publish(&site, &[], "{\"recordType\": 112, \"id\": \"a\", \"policyId\": 1}\n").success();
    assert_eq!(again, "0 records published, 1 known already, 0 lines rejected\n");
    let other = publish(&site, &["--source", "other"], "{\"recordType\": 112, \"id\": \"a\", \"policyId\": 1}\n");
    assert_eq!(other.success(), "1 records published, 0 known already, 0 lines rejected\n");
    publish(&site, &["--source", "a/b"], "{}").failed(1, &["\"a/b\" cannot be the name of a source"]);
}

#[test]
fn ids_are_accepted_once_whoever_is_killed() {
    const LINES: usize = 20_000;
    let mut dice = support::Dice::new("publish");
    let site = Site::new();
    let file = site.path("lines.json");
    let line = |i| format!("{{\"recordType\": 112, \"id\": \"line {i}\", \"policyId\": {i}}}\n");
    std::fs::write(&file, (0..LINES).map(line).collect::<String>()).unwrap();
    let (home, file) = (site.home(), file.to_str().unwrap().to_owned());
    let arguments = ["publish", "--home", home.as_str(), file.as_str()];
    for _ in 0..6 {
        let mut process = site.start("publish", &arguments);
        std::thread::sleep(std::time::Duration::from_millis(30 + dice.below(300)));
        process.kill();
    }
    let done = site.run(&arguments).success();
    let numbers: Vec<usize> = done.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers[0] + numbers[1], LINES, "{done}");
    let (events, _) = archived(&site);
    let policies: Vec<u64> = events.iter().map(|event| event["policyId"].as_u64().unwrap()).collect();
    assert!(policies.into_iter().eq(0..LINES as u64), "each is there once, in its order");
}
