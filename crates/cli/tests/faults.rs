//! Disks that cannot be read and clocks that are set back, met by the whole program.
//!
//! A small library (`data/faults.c`) is loaded before that of the system; without a C compiler, or where it has no effect,
//! the tests are skipped.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use support::archived::archived;
use support::backdated::{EVENTS, now, segments};
use support::{Process, Server, Site, configuration};

/// Compiles the library.
fn library(site: &Site) -> Option<PathBuf> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/faults.c");
    let out = site.path("faults.so");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&out).arg(source).arg("-ldl");
    let made = compile.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !made {
        println!("skipped: no C compiler makes {source}");
    }
    made.then_some(out)
}

/// Starts a command with the library.
fn start(site: &Site, name: &str, library: &str, variables: &[(&str, &str)], arguments: &[&str]) -> Process {
    let variables = [&[("LD_PRELOAD", library)], variables].concat();
    Process::start_with(&site.path(&format!("{name}.log")), &site.path(""), arguments, &variables)
}

fn serve(site: &Site, library: &str, variables: &[(&str, &str)]) -> Server {
    let home = site.home();
    let arguments = ["server", "--nodaemon", "--home", &home, "--listen", "127.0.0.1:0"];
    let process = start(site, "server", library, variables, &arguments);
    let line = process.line("Listening on ");
    let address = line.rsplit(' ').next().unwrap().trim_end_matches("/tcp").parse().unwrap();
    Server { process, address }
}

/// A segment cannot be read: the session that needs it waits and says so, others go on, and so does it when the disk can be
/// read again.
#[test]
fn a_disk_that_cannot_be_read() {
    let site = Site::new();
    // The network map makes events of its own.
    site.settings("network_map = false\n");
    let Some(library) = library(&site) else { return };
    let first = now() - 30_000;
    let old = [first, first + 7200, first + 14_400];
    segments(&site, &old);
    let fault = site.path("fault");
    fs::write(&fault, format!("unified2.{}", old[1])).unwrap();
    let variables = [("FAULTS_READ", fault.to_str().unwrap())];
    let pkcs12 = site.client("127.0.0.1");
    let server = serve(&site, library.to_str().unwrap(), &variables);
    let collector = site.collector("collector", server.address, &pkcs12);
    let collecting = collector.start();
    collector.wait_for_events(EVENTS, &collecting);
    let said = server.process.line("Trying again in 5 seconds");
    assert!(said.contains("Unified2Iterator [ERROR] could not read ") && said.contains("Input/output error"), "{said}");
    assert_eq!(collector.counts().0, EVENTS);

    // Another one, which begins now.
    let other = site.collector("other", server.address, &pkcs12);
    let mut settings = configuration(server.address, &pkcs12);
    settings["start"] = 1.into();
    other.configure(settings);
    let also = other.start();
    also.line("Connected to");
    server.process.line(&format!("unified2.{}", old[2]));
    site.run(&["sensor", "simulate", "--home", &site.home(), "--seed", "5", "--events", "200"]).success();
    other.wait_for_events(200, &also);
    assert_eq!(collector.counts().0, EVENTS, "it waits");
    collecting.alive();

    fs::remove_file(fault).unwrap();
    collector.wait_for_events(3 * EVENTS + 200, &collecting);
    assert_eq!((collector.counts().0, other.counts().0), (3 * EVENTS + 200, 200));
    assert!(!server.process.log().contains("Lost "), "{}", server.process.log());
}

/// The clock of the machine is set back by an hour while events flow, and forward again; a collector is killed in between.
/// Each event comes once, and archival seconds never go back.
#[test]
fn a_clock_that_is_set_back() {
    let site = Site::new();
    // The network map makes events of its own.
    site.settings("network_map = false\n");
    let Some(library) = library(&site) else { return };
    let clock = site.path("clock");
    fs::write(&clock, "0").unwrap();
    let variables = [("FAULTS_CLOCK", clock.to_str().unwrap())];
    let library = library.to_str().unwrap();
    let pkcs12 = site.client("127.0.0.1");
    let server = serve(&site, library, &variables);
    let collector = site.collector("collector", server.address, &pkcs12);
    let mut collecting = collector.start();
    let home = site.home();
    let simulate = ["sensor", "simulate", "--home", &home, "--events", "6000", "--rate", "1000"];
    let mut sensor = start(&site, "sensor", library, &variables, &simulate);
    collector.wait_for_events(500, &collecting);
    // In one step for whoever looks.
    let set = |text: &str| {
        fs::write(site.path("next"), text).unwrap();
        fs::rename(site.path("next"), &clock).unwrap();
    };
    set("-3600");
    sensor.line("The clock is behind the archive");
    collecting.kill();
    collecting = collector.start();
    collecting.line("Connected to");
    let seen = collector.counts().0;
    collector.wait_for_events(seen + 500, &collecting);
    // Who starts now starts with a clock that is behind.
    sensor.kill();
    sensor = start(&site, "sensor", library, &variables, &simulate);
    sensor.line("The clock is behind the archive");
    collector.wait_for_events(seen + 1000, &collecting);
    set("2");
    assert!(sensor.wait().success(), "{}", sensor.log());
    collector.wait_for_events(6000, &collecting);
    assert!(collecting.terminate().success());
    assert_eq!(collector.counts().0, 6000);
    let (events, _) = archived(&site);
    let seconds: Vec<u64> = events.iter().map(|event| event["archiveTimestamp"].as_u64().unwrap()).collect();
    assert_eq!(seconds.len(), 6000);
    assert!(seconds.is_sorted());
    site.run(&["store", "check", "--home", &home]).success();
}
