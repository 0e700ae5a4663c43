//! Suricata's lines from file to JSON: sensor, archive, server, TLS and collector, each in its process; and a sensor that
//! is killed at random moments.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::archived::numbers;
use support::lines::flows;
use support::{Dice, Site, shared, wait_for};

#[test]
fn a_real_file_arrives_whole_and_is_readable() {
    let Some(data) = shared("data/suricata") else { return };
    let site = Site::new();
    let home = site.home();
    let file = data.join("eve.json.gz");
    let file = file.to_str().unwrap();
    site.run(&["sensor", "eve", "--home", &home, file]).failed(1, &["compressed", "--once"]);
    let sensor =
        ["sensor", "eve", "--home", &home, "--device", "3", "--name", "ids-3", "--zone", "inside", "--once", file];
    let said = site.run(&sensor).success();
    assert!(
        said.ends_with("4192 lines read; 2 have no record, 0 are no events; 0 flows without their end\n"),
        "{said}"
    );
    for line in ["alert              653  653 × record 400", "flow              1469  1469 × record 71"] {
        assert!(said.contains(line), "{said}");
    }

    let pkcs12 = site.client("127.0.0.1");
    let server = site.serve(&[]);
    let collector = site.collector("collector", server.address, &pkcs12);
    let mut collecting = collector.start();
    collector.wait_for_events(1469 + 653 + 11 + 16 + 4, &collecting);
    assert!(collecting.terminate().success());
    let lines = collector.lines();
    let of = |record: u64| lines.iter().filter(move |line| line["recordType"] == record).collect::<Vec<&Value>>();
    assert_eq!([400, 71, 500, 94, 95].map(|record| of(record).len()), [664, 1469, 16, 1, 3]);

    let alert = of(400).into_iter().find(|line| line["ruleId"] == 2_011_540).unwrap();
    check(
        alert,
        "",
        &[
            ("deviceId", json!(3)),
            ("sourceIpAddress", json!("193.200.16.175")),
            ("destinationIpAddress", json!("172.17.0.153")),
            ("sourcePortOrIcmpType", json!(443)),
            ("blocked", json!(0)),
            ("impact", json!(0)),
            ("sslCertificateFingerprint", json!("295367bc9bc3494bc5cc6ca784d85a6b4cafbf9d")),
        ],
    );
    check(
        alert,
        "@computed",
        &[
            ("message", json!("ET POLICY OpenSSL Demo CA - Internet Widgits Pty (O)")),
            ("classificationName", json!("not-suspicious")),
            ("priority", json!("low")),
            ("transportProtocol", json!("TCP")),
            ("ingressSecurityZone", json!("inside")),
            ("sensor", json!("ids-3")),
        ],
    );
    let flow = of(71).into_iter().find(|line| text(line, "sslServerName") == "api.msn.com").unwrap();
    check(
        flow,
        "",
        &[
            ("initiatorIpAddress", json!("172.17.0.153")),
            ("responderIpAddress", json!("204.79.197.203")),
            ("responderPort", json!(443)),
            ("sslCipherSuite", json!(49200)),
            ("sslVersion", json!(5)),
            ("sslCertificateFingerprint", json!("3b81e607a06176daad5e112e6bd48aa1a0d326be")),
        ],
    );
    assert_eq!(text(flow, "clientUrl"), "https://api.msn.com");
    check(
        flow,
        "@computed",
        &[
            ("applicationProtocol", json!("HTTPS")),
            ("clientApplication", json!("SSL client")),
            ("firewallRuleAction", json!("Allow")),
            ("transportProtocol", json!("TCP")),
            ("sslCipherSuite", json!("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")),
            ("sensor", json!("ids-3")),
            ("ingressSecurityZone", json!("inside")),
        ],
    );
}

/// Checks fields of a line, or of an object in it.
fn check(line: &Value, within: &str, expected: &[(&str, Value)]) {
    let object = if within.is_empty() { line } else { &line[within] };
    for (name, value) in expected {
        assert_eq!(&object[*name], value, "{name} in {line:#}");
    }
}

/// The text of a String block.
fn text<'l>(line: &'l Value, name: &str) -> &'l str {
    line[name]["data"].as_str().or(line[name].as_str()).unwrap_or_default()
}

/// Alerts a test writes between two kills.
const CHUNK: u64 = 400;

/// How many numbers after its beginning a flow ends: flows wait across kills.
const LAG: u64 = 150;

#[test]
fn a_sensor_that_is_killed_gives_each_event_once() {
    let mut dice = Dice::new("eve");
    let site = Site::new();
    let home = site.home();
    let file = site.path("eve.json");
    let archive = site.path("home/archive");
    let arguments = ["sensor", "eve", "--home", &home, file.to_str().unwrap()];
    let (mut written, mut rotations) = (0, 0);
    for round in 0..8 {
        let mut sensor = site.start("sensor", &arguments);
        // While it starts, reads and commits.
        for _ in 0..4 {
            write(&file, written, CHUNK / 4);
            written += CHUNK / 4;
            std::thread::sleep(Duration::from_millis(dice.below(60)));
        }
        if round == 0 {
            // Without a position a sensor would begin with the file that has the name then.
            wait_for("the first events", || (!numbers(&archive, 400, "ruleId").is_empty()).then_some(()));
        }
        if round % 3 == 1 {
            let name = |number: u64| site.path(&format!("eve.json.{number}"));
            for number in (1..=rotations).rev() {
                fs::rename(name(number), name(number + 1)).unwrap();
            }
            fs::rename(&file, name(1)).unwrap();
            rotations += 1;
        }
        if round % 2 == 0 {
            // It is still reading this when it is killed.
            write(&file, written, 3 * CHUNK);
            written += 3 * CHUNK;
            std::thread::sleep(Duration::from_millis(dice.below(150)));
        } else {
            std::thread::sleep(Duration::from_millis(dice.below(400)));
        }
        sensor.kill();
    }
    write(&file, written, CHUNK);
    written += CHUNK;
    let mut sensor = site.start("sensor", &arguments);
    let ended = written - LAG;
    wait_for("all events", || {
        sensor.alive();
        let connections = numbers(&archive, 71, "initiatorTransmittedPackets").len() as u64;
        (numbers(&archive, 400, "ruleId").len() as u64 >= written && connections >= ended).then_some(())
    });
    assert!(sensor.terminate().success(), "{}", sensor.log());
    let alerts = numbers(&archive, 400, "ruleId");
    assert_eq!(alerts, (1..=written).collect::<Vec<u64>>(), "each alert once and in order");
    assert_eq!(numbers(&archive, 400, "eventId"), alerts, "and numbered so");
    // Each flow once, with what a line before it told; the number is in both.
    let packets = numbers(&archive, 71, "initiatorTransmittedPackets");
    assert_eq!(packets, (1..=ended).collect::<Vec<u64>>());
    assert_eq!(numbers(&archive, 71, "httpResponse"), packets);
    println!("{written} alerts and flows, {rotations} rotations");
}

/// Writes an HTTP line and an alert of a flow, and the end of one that began before, for each number.
fn write(file: &Path, from: u64, count: u64) {
    let text = flows(from, count, LAG);
    File::options().append(true).create(true).open(file).unwrap().write_all(text.as_bytes()).unwrap();
}
