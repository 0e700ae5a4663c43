//! What an administrator sets, through the real command: event types, pauses, domains, the list of sensors.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::{Collector, Process, SOON, Site, configuration, program, run, wait_for};

/// Runs a command on the home; `words` are those before `--home`.
fn on(site: &Site, words: &[&str], rest: &[&str]) -> String {
    let home = site.home();
    site.run(&[words, &["--home", &home], rest].concat()).success()
}

/// The list of sensors, by source.
fn sensors(site: &Site) -> BTreeMap<String, Value> {
    let list: Vec<Value> = serde_json::from_str(&on(site, &["sensors", "list", "--json"], &[])).unwrap();
    list.into_iter().map(|sensor| (sensor["source"].as_str().unwrap().to_owned(), sensor)).collect()
}

fn simulate(site: &Site, seed: &str, arguments: &[&str]) -> Process {
    let home = site.home();
    let name = format!("simulator-{seed}");
    site.start(&name, &[&["sensor", "simulate", "--home", &home, "--seed", seed], arguments].concat())
}

/// How many events of each record type a collector has.
fn types(collector: &Collector) -> BTreeMap<u16, usize> {
    let mut types = BTreeMap::new();
    collector.each_line(|line| *types.entry(support::record_type(line)).or_default() += 1);
    types
}

/// The files of a folder with their content.
fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn event_types_are_listed_checked_and_unchecked() {
    let site = Site::new();
    let list = || -> Vec<Value> { serde_json::from_str(&on(&site, &["events", "list", "--json"], &[])).unwrap() };
    assert!(list().len() == 9 && list().iter().all(|t| t["captured"] == true));
    on(&site, &["events", "uncheck"], &["packets", "discovery"]);
    let off: Vec<_> = list().into_iter().filter(|t| t["captured"] == false).map(|t| t["key"].clone()).collect();
    assert_eq!(off, [json!("packets"), json!("discovery")]);
    assert!(on(&site, &["events", "list"], &[]).contains("[ ] discovery      Discovery Events"));
    on(&site, &["events", "check"], &["discovery", "packets"]);
    assert!(list().iter().all(|t| t["captured"] == true));
    let home = site.home();
    let wrong = site.run(&["events", "uncheck", "--home", &home, "connections"]);
    wrong.failed(2, &["connections", "intrusion, packets, extra-data, discovery", "malware, file"]);
    site.run(&["events", "list", "--home", "nowhere"]).failed(1, &["nowhere"]);
}

#[test]
fn an_unchecked_type_is_no_longer_captured_and_no_longer_sent_and_both_begin_again() {
    let site = Site::new();
    let server = site.serve(&[]);
    let (one, two) = (site.client("127.0.0.1"), site.path("localhost.pkcs12"));
    on(&site, &["clients", "add"], &["localhost", "--out", two.to_str().unwrap()]);
    let collectors = [site.collector("one", server.address, &one), site.collector("two", server.address, &two)];
    let processes: Vec<_> = collectors.iter().map(Collector::start).collect();
    let mut simulator = simulate(&site, "1", &["--rate", "2000"]);
    let of = |collector: &Collector, record| types(collector).get(&record).copied().unwrap_or(0);
    let grows = |record: u16| {
        for (collector, process) in collectors.iter().zip(&processes) {
            let before = of(collector, record);
            wait_for("more events", || {
                process.alive();
                (of(collector, record) > before).then_some(())
            });
        }
    };
    grows(71);
    grows(400);
    on(&site, &["events", "uncheck"], &["discovery"]);
    server.process.line("Event types that are not enabled and not sent: Discovery Events");
    simulator.line("Event types that are not captured: discovery");
    // A collector may have a backlog; when it is through, only other events come, and it stays so.
    let connections = || [of(&collectors[0], 71), of(&collectors[1], 71)];
    let quiet = || {
        let before = connections();
        grows(400);
        connections() == before
    };
    assert!((0..100).any(|_| quiet()), "connections go on coming");
    let before = connections();
    let captured = sensors(&site)["simulator:1"]["discarded"].as_u64().unwrap();
    grows(400);
    wait_for("a report", || (sensors(&site)["simulator:1"]["discarded"].as_u64().unwrap() > captured).then_some(()));
    assert_eq!(connections(), before);
    on(&site, &["events", "check"], &["discovery"]);
    grows(71);
    assert!(simulator.terminate().success());
    let said = simulator.line("left out of the archive");
    let left: u64 = said.split(' ').nth(6).unwrap().parse().unwrap();
    assert_eq!(sensors(&site)["simulator:1"]["discarded"].as_u64(), Some(left), "{said}");
    // All of the other types has come, to both. (A sensor may see an order a moment later than the server, so there may be
    // events of the unchecked type in the archive that nobody got.)
    let (events, _) = support::archived::archived(&site);
    let other = |record| control::EventType::of(record) != Some(control::EventType::Discovery);
    let archived = events.iter().filter(|e| other(e["recordType"].as_u64().unwrap() as u16)).count();
    for (collector, process) in collectors.iter().zip(&processes) {
        let have = || {
            types(collector)
                .iter()
                .filter(|(t, _)| other(**t) && wire::layout::record(**t).is_some_and(|r| !r.metadata))
                .map(|(_, count)| count)
                .sum::<usize>()
        };
        wait_for("all other events", || {
            process.alive();
            (have() >= archived).then_some(())
        });
        assert_eq!(have(), archived);
    }
    assert!(events.len() as u64 >= collectors[0].counts().0 as u64);
}

#[test]
fn a_backup_pause_holds_everything_and_loses_and_repeats_nothing() {
    let site = Site::new();
    site.settings("keep_alive_seconds = 1\n");
    let mut server = site.serve(&["--debug"]);
    let collector = site.collector("collector", server.address, &site.client("127.0.0.1"));
    let process = collector.start();
    let mut simulators = [simulate(&site, "1", &["--rate", "1000"]), simulate(&site, "2", &["--rate", "1000"])];
    wait_for("events of both", || {
        let sensors = sensors(&site);
        let events = |source| sensors.get(source).is_some_and(|s| s["events"].as_u64() > Some(0));
        (events("simulator:1") && events("simulator:2") && collector.counts().0 > 100).then_some(())
    });
    let said = on(&site, &["pause"], &["--reason", "backup of Monday"]);
    assert_eq!(said, "paused; 2 sensors hold\n");
    server.process.line("The stream is paused, sessions stay open: backup of Monday");
    simulators[0].line("The sensor is held and keeps its place: the whole service is paused: backup of Monday");
    let before = content(&site.path("home/archive/netmap_0"));
    assert!(on(&site, &["sensors", "list"], &[]).contains("The whole service is paused since"));
    assert!(sensors(&site).values().all(|sensor| sensor["state"] == "paused"));
    // One that starts meanwhile waits as well, and a new connection too.
    let mut third = simulate(&site, "3", &["--events", "500"]);
    third.line("The sensor is held");
    server.process.lines("Sending NULL message", server.process.log().matches("Sending NULL message").count() + 3);
    assert!(content(&site.path("home/archive/netmap_0")) == before);
    assert_eq!(on(&site, &["pause"], &[]), "paused; 3 sensors hold\n");
    assert!(content(&site.path("home/archive/netmap_0")) == before);

    assert!(on(&site, &["resume"], &[]).starts_with("The service goes on; it was paused since"));
    assert_eq!(on(&site, &["resume"], &[]), "The service was not paused\n");
    assert!(third.wait().success());
    let count = collector.counts().0;
    wait_for("events after the pause", || (collector.counts().0 > count + 600).then_some(()));
    for simulator in &mut simulators {
        assert!(simulator.terminate().success());
    }
    let total: u64 = sensors(&site).values().map(|sensor| sensor["events"].as_u64().unwrap()).sum();
    collector.wait_for_events(usize::try_from(total).unwrap(), &process);
    assert_eq!(collector.counts().0 as u64, total);
    let log = server.process.log();
    assert_eq!(log.matches("Accepted IPv4 connection").count(), 1, "the collector never had to connect again");
    assert!(server.process.terminate().success());
}

#[test]
fn a_pause_names_the_sensor_that_does_not_say_that_it_holds() {
    let site = Site::new();
    let home = site.home();
    let mut simulator = simulate(&site, "1", &["--rate", "100"]);
    wait_for("the sensor", || sensors(&site).get("simulator:1").map(drop));
    simulator.signal(rustix::process::Signal::STOP);
    let said = site.run(&["pause", "--home", &home, "--timeout", "1"]);
    said.failed(3, &["the service is paused and 0 sensors hold, but not yet: simulator (simulator:1, sensor 1)"]);
    simulator.signal(rustix::process::Signal::CONT);
    assert_eq!(on(&site, &["pause"], &[]), "paused; 1 sensors hold\n");
    // One that was killed holds nothing up, whatever it said last.
    on(&site, &["resume"], &[]);
    wait_for("it to run", || (sensors(&site)["simulator:1"]["state"] == "running").then_some(()));
    simulator.kill();
    assert_eq!(on(&site, &["pause"], &[]), "paused; 0 sensors hold\n");
    on(&site, &["resume"], &[]);
    on(&site, &["sensors", "forget"], &["1"]);
    assert!(sensors(&site).is_empty());
    site.run(&["sensors", "pause", "--home", &home, "1"]).failed(1, &["there is no sensor with number 1"]);
}

#[test]
fn the_list_of_sensors_outlives_them_and_nobody_runs_twice() {
    let site = Site::new();
    let home = site.home();
    let spool = site.path("spool");
    fs::create_dir(&spool).unwrap();
    let arguments =
        ["sensor", "unified2", "--home", &home, "--device", "4", "--name", "ids-4", spool.to_str().unwrap()];
    let mut first = site.start("unified2", &arguments);
    first.line("Following ");
    let second = site.run(&arguments);
    second.failed(1, &["a sensor that reads the same (unified2:4:", "runs already (process"]);
    let source = sensors(&site).keys().next().unwrap().clone();
    let of = |key: &str| sensors(&site)[&source][key].clone();
    wait_for("a report", || (of("state") == "running" && of("lag_seconds") == 0).then_some(()));
    assert_eq!((of("kind"), of("device"), of("name")), (json!("unified2"), json!(4), json!("ids-4")));
    on(&site, &["sensors", "pause"], &["1"]);
    wait_for("it to hold", || (of("state") == "paused").then_some(()));
    assert!(first.terminate().success());
    assert_eq!((of("state"), of("paused")), (json!("stopped"), json!(true)));
    // It is still paused after a restart.
    let mut again = site.start("unified2", &arguments);
    again.line("The sensor is held and keeps its place: an administrator paused this sensor");
    on(&site, &["sensors", "resume"], &["1"]);
    wait_for("it to run", || (of("state") == "running").then_some(()));
    again.kill();
    let mut again = site.start("unified2", &arguments);
    again.line("Following ");
    assert!(again.terminate().success());
    assert_eq!(sensors(&site).len(), 1);
}

#[test]
fn each_client_gets_its_own_domain_and_can_name_it() {
    let site = Site::new();
    site.settings("host_check = false\n");
    on(&site, &["domains", "add"], &["0", "Head office"]);
    on(&site, &["domains", "add"], &["2", "Plant"]);
    let home = site.home();
    site.run(&["domains", "add", "--home", &home, "3", "plant"]).failed(1, &["a domain with this netmap id or name"]);
    let unknown = site.run(&["clients", "add", "--home", &home, "--domain", "Plan", "127.0.0.9"]);
    unknown.failed(1, &["no domain is named \"Plan\" (there are Head office, Plant)", "estreamer domains add"]);
    let server = site.serve(&[]);
    let global = site.client("127.0.0.1");
    let plant = site.path("plant.pkcs12");
    on(
        &site,
        &["clients", "add"],
        &["siem.example", "--accept-unresolved", "--domain", "plant", "--out", plant.to_str().unwrap()],
    );
    let listed = on(&site, &["clients", "list"], &[]);
    assert!(
        listed.contains("127.0.0.1") && listed.lines().any(|l| l.contains("siem.example") && l.ends_with("\tPlant"))
    );

    let collectors =
        [site.collector("global", server.address, &global), site.collector("plant", server.address, &plant)];
    let processes: Vec<_> = collectors.iter().map(Collector::start).collect();
    server.process.lines("creating iterator", 2);
    // The archive of the second domain is made while its client waits.
    assert!(!site.path("home/archive/netmap_2").exists());
    site.run(&["sensor", "simulate", "--home", &home, "--seed", "1", "--events", "300"]).success();
    site.run(&["sensor", "simulate", "--home", &home, "--seed", "1", "--events", "200", "--domain", "PLANT"]).success();
    for ((collector, process), (count, name)) in
        collectors.iter().zip(&processes).zip([(300, "Head office"), (200, "Plant")])
    {
        collector.wait_for_events(count, process);
        let lines = collector.lines();
        let event = |line: &&Value| !support::is_metadata(line.to_string().replacen(':', ": ", 1).as_bytes());
        let events: Vec<_> = lines.iter().filter(event).collect();
        assert_eq!(events.len(), count);
        assert!(events.iter().all(|event| event["@computed"]["domain"] == name), "record 350 was there before");
    }
    // The records themselves say so.
    for (folder, netmap) in [("netmap_0", 0u16), ("netmap_2", 2)] {
        let root = site.path("home/archive");
        let mut reader = archive::Reader::open(&root, netmap.into(), archive::Start::Genesis).unwrap();
        let (mut buffer, mut seen) = (Vec::new(), 0);
        while let archive::Read::Batch(_) = reader.next(&mut buffer).unwrap() {
            for item in wire::message::Items::new(&buffer) {
                assert_eq!(wire::record::RecordHeader::parse(item.unwrap().body).unwrap().netmap, netmap, "{folder}");
                seen += 1;
            }
        }
        assert!(seen > 200);
    }
    let domains: Vec<Value> = serde_json::from_str(&on(&site, &["domains", "list", "--json"], &[])).unwrap();
    let brief: Vec<_> =
        domains.iter().map(|d| (d["netmap"].as_u64(), d["name"].as_str(), d["clients"].as_u64())).collect();
    assert_eq!(brief, [(Some(0), Some("Head office"), Some(1)), (Some(2), Some("Plant"), Some(1))]);
}

fn publish(site: &Site, lines: &str) -> support::Finished {
    let home = site.home();
    run(Command::new(program()).args(["publish", "--home", &home, "-"]), lines.as_bytes())
}

#[test]
fn a_record_of_an_unchecked_type_is_left_out_and_its_id_is_known() {
    let site = Site::new();
    on(&site, &["events", "uncheck"], &["correlation"]);
    let lines = "{\"recordType\": 112, \"id\": \"a\"}\n{\"recordType\": 125, \"id\": \"b\"}\n";
    assert_eq!(
        publish(&site, lines).success(),
        "1 records published, 0 known already, 0 lines rejected\n1 records were left out: their event types are not captured\n"
    );
    on(&site, &["events", "check"], &["correlation"]);
    assert_eq!(publish(&site, lines).success(), "0 records published, 2 known already, 0 lines rejected\n");
    let (events, _) = support::archived::archived(&site);
    assert_eq!(events.iter().map(|event| event["recordType"].as_u64()).collect::<Vec<_>>(), [Some(125)]);
}

/// Posts lines without TLS: the head of the answer, and its body.
fn post(address: &str, token: &str, body: &str) -> (String, Value) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(
        stream,
        "POST /records HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), serde_json::from_str(body).unwrap())
}

#[test]
fn in_a_pause_http_is_told_to_come_again_and_the_socket_waits() {
    let site = Site::new();
    let (home, socket) = (site.home(), site.path("records.socket"));
    let token = on(&site, &["tokens", "add"], &["other"]).trim().to_owned();
    let mut service = site.start(
        "record-json",
        &[
            "sensor",
            "record-json",
            "--home",
            &home,
            "--plain-http",
            "--listen",
            "127.0.0.1:0",
            "--socket",
            socket.to_str().unwrap(),
        ],
    );
    let line = service.line("Records are taken at http://");
    let address = line.split("://").nth(1).unwrap().trim_end_matches("/records").to_owned();
    assert_eq!(post(&address, &token, "{\"recordType\": 112, \"id\": \"a\"}").1["accepted"], 1);
    // Both sources are known, the socket from the start.
    assert_eq!(on(&site, &["pause"], &[]), "paused; 2 sensors hold\n");
    let before = content(&site.path("home/archive/netmap_0"));
    let (head, body) = post(&address, &token, "{\"recordType\": 112, \"id\": \"b\"}");
    assert!(head.starts_with("HTTP/1.1 503 ") && head.to_lowercase().contains("\r\nretry-after: "), "{head}");
    assert!(body["error"].as_str().unwrap().contains("the whole service is paused: backup"), "{body}");
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.write_all(b"{\"recordType\": 112, \"id\": \"c\"}\n\n").unwrap();
    let mut answers = BufReader::new(stream);
    let mut answer = String::new();
    assert!(answers.read_line(&mut answer).is_err(), "{answer}");
    assert!(content(&site.path("home/archive/netmap_0")) == before);

    on(&site, &["events", "uncheck"], &["correlation"]);
    on(&site, &["resume"], &[]);
    answers.get_ref().set_read_timeout(Some(SOON)).unwrap();
    answers.read_line(&mut answer).unwrap();
    // What is unchecked is seen with the end of the pause.
    assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["discarded"], 1, "{answer}");
    let body = wait_for("the end of the pause", || {
        let (head, body) = post(&address, &token, "{\"recordType\": 112, \"id\": \"b\"}");
        head.starts_with("HTTP/1.1 200 ").then_some(body)
    });
    assert_eq!((&body["accepted"], &body["discarded"]), (&json!(0), &json!(1)));
    assert!(service.terminate().success());
    assert_eq!(support::archived::archived(&site).0.len(), 1);
}

#[test]
fn a_collector_without_a_pause_knows_nothing_of_one() {
    // The server starts in a pause: what an administrator has set counts from the first moment on.
    let site = Site::new();
    on(&site, &["pause"], &[]);
    let server = site.serve(&[]);
    let folder = site.path("late");
    fs::create_dir(&folder).unwrap();
    let late = Collector { folder };
    late.configure(configuration(server.address, &site.client("127.0.0.1")));
    let process = late.start();
    server.process.line("creating iterator");
    let mut simulator = simulate(&site, "1", &["--events", "50"]);
    simulator.line("The sensor is held");
    on(&site, &["resume"], &[]);
    assert!(simulator.wait().success());
    late.wait_for_events(50, &process);
}
