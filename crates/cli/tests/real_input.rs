//! Real Snort output from spool to JSON: sensor, archive, server, TLS and collector, each in its process.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Site, gunzip, is_metadata, record_type, shared, wait_for};

/// The records of `unified2-current.log`: events, packets, extra data.
const EVENTS: usize = 5_675;
const PACKETS: usize = 5_741;
const EXTRA_DATA: usize = 1_952;
/// Its signatures.
const RULES: usize = 18;

/// How long a new record may take from the spool to the JSON file.
const AT_ONCE: Duration = Duration::from_secs(1);

#[test]
fn a_snort_spool_arrives_whole_once_and_at_once() {
    let Some(snort) = shared("data/snort") else { return };
    let site = Site::new();
    let (spool, maps) = (site.path("spool"), site.path("maps"));
    fs::create_dir(&spool).unwrap();
    fs::create_dir(&maps).unwrap();
    for name in ["gen-msg.map", "classification.config"] {
        fs::copy(snort.join(name), maps.join(name)).unwrap();
    }
    fs::write(maps.join("sid-msg.map"), gunzip(&snort.join("sid-msg.map.gz"))).unwrap();
    // Copied as bytes: the original may be read-only.
    let log = spool.join("unified2.log.1321000000");
    fs::write(&log, fs::read(snort.join("unified2-current.log")).unwrap()).unwrap();

    let home = site.home();
    let (spool, maps) = (spool.to_str().unwrap(), maps.to_str().unwrap());
    let sensor = ["sensor", "unified2", "--home", &home, "--maps", maps, spool];
    let said = site.run(&[&sensor[..], &["--once"]].concat()).success();
    assert_eq!(
        said,
        format!(
            "{EVENTS} events, {PACKETS} packets and {EXTRA_DATA} extra data records read into the archive; 0 not mapped, \
             0 damaged\n"
        )
    );

    let pkcs12 = site.client("127.0.0.1");
    let server = site.serve(&[]);
    let collector = site.collector("collector", server.address, &pkcs12);
    let mut first = collector.start();
    let all = EVENTS + PACKETS + EXTRA_DATA;
    collector.wait_for_events(all, &first);
    assert!(first.terminate().success());
    let lines = collector.lines();
    let types = by_type(&lines);
    let expected = [(400, EVENTS), (2, PACKETS), (110, EXTRA_DATA), (66, RULES)];
    for (record, count) in expected {
        assert_eq!(types.get(&record), Some(&count), "record {record}: {types:?}");
    }
    for line in lines.iter().filter(|l| l["recordType"] == 400) {
        for name in ["message", "classificationDescription", "classificationName", "priority"] {
            let value = &line["@computed"][name];
            assert!(value.as_str().is_some_and(|s| !s.is_empty()), "{name} is {value} in {line}");
        }
    }

    // Whatever a second run delivered again would come before what is new.
    let _sensor = site.start("sensor", &sensor);
    let mut second = collector.start();
    second.lines("asking for everything archived since second", 1);
    let more = fs::read(snort.join("multi-record-event.unified2")).unwrap();
    let before = lines.len();
    let mut delays = Vec::new();
    for round in 1..=3 {
        let begun = Instant::now();
        append(&log, &more);
        wait_for("the new records", || (collector.counts().0 >= all + 17 * round).then_some(()));
        delays.push(begun.elapsed());
    }
    println!("from the spool to the JSON file: {delays:?}");
    // The machine may be busy with other tests; the pipeline is quick if it is quick once.
    assert!(delays.iter().min().unwrap() < &AT_ONCE, "{delays:?}");
    assert!(second.terminate().success());
    let new = new_lines(&collector, before);
    let mut types = BTreeMap::new();
    for line in new.iter().filter(|l| !is_metadata(l)) {
        *types.entry(record_type(line)).or_insert(0) += 1;
    }
    assert_eq!(
        types,
        BTreeMap::from([(2, 45), (110, 3), (400, 3)]),
        "one event, 15 packets, one extra data, three times"
    );
    let metadata: Vec<u16> = new.iter().filter(|l| is_metadata(l)).map(|l| record_type(l)).collect();
    assert!(metadata.len() < 10, "what is named already is not named again: {metadata:?}");
}

fn by_type(lines: &[Value]) -> BTreeMap<u64, usize> {
    let mut types = BTreeMap::new();
    for line in lines {
        *types.entry(line["recordType"].as_u64().unwrap()).or_insert(0) += 1;
    }
    types
}

fn append(path: &Path, bytes: &[u8]) {
    File::options().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// The lines after the first `before`.
fn new_lines(collector: &support::Collector, before: usize) -> Vec<Vec<u8>> {
    let (mut number, mut lines) = (0, Vec::new());
    collector.each_line(|line| {
        number += 1;
        if number > before {
            lines.push(line.to_vec());
        }
    });
    lines
}
