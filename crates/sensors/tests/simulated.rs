//! Simulated events in an archive.
#![allow(clippy::unwrap_used, clippy::panic)]

mod archived;

use std::collections::BTreeSet;
use std::env;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use archived::{Item, events, items};
use sensors::simulate::{Ended, Settings, Simulation};

const SEED: u64 = 42;

fn settings(events: Option<u64>) -> Settings {
    Settings { events, now: || Duration::from_secs(1_700_000_000), ..Settings::new(SEED) }
}

fn run(root: &Path, events: u64) {
    let mut simulation = Simulation::open(settings(Some(events)), root, 0).unwrap();
    assert_eq!(simulation.run(&AtomicBool::new(false)).unwrap(), Ended::Complete);
    assert_eq!(simulation.progress().events(), events);
}

fn undisturbed(events_wanted: u64) -> Vec<Item> {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), events_wanted);
    let got = events(dir.path());
    assert_eq!(got.len() as u64, events_wanted);
    got
}

#[test]
fn the_number_is_exact_and_what_it_refers_to_is_named_before() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), 5_000);
    // Once more adds nothing.
    run(dir.path(), 5_000);
    let items = items(dir.path());
    assert_eq!(items.iter().filter(|item| !item.metadata).count(), 5_000);
    let mut rules = BTreeSet::new();
    let mut devices = BTreeSet::new();
    let mut intrusions = 0;
    for item in &items {
        match item.record_type {
            66 => drop(rules.insert((item.uint("generatorId"), item.uint("ruleId")))),
            123 => drop(devices.insert(item.uint("id"))),
            400 => {
                intrusions += 1;
                assert!(rules.contains(&(item.uint("generatorId"), item.uint("ruleId"))));
                assert!(devices.contains(&item.uint("deviceId")));
            }
            _ => item.decode(|_| ()),
        }
    }
    assert!(intrusions > 50, "{intrusions}");
}

#[test]
fn a_number_reached_in_pieces_gives_the_same_events() {
    let whole = undisturbed(2_000);
    let dir = tempfile::tempdir().unwrap();
    let mut at = 0;
    // Some of these end within a step.
    for piece in [1, 1, 1, 2, 3, 500, 7, 1, 1, 1, 1, 600, 882 - 1] {
        at += piece;
        run(dir.path(), at);
        assert!(events(dir.path()) == whole[..at as usize], "{at}");
    }
    assert_eq!(at, 2_000);
}

#[test]
fn seeds_are_simulations_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), 100);
    let other = Settings { seed: SEED + 1, ..settings(Some(50)) };
    Simulation::open(other, dir.path(), 0).unwrap().run(&AtomicBool::new(false)).unwrap();
    run(dir.path(), 150);
    assert_eq!(events(dir.path()).len(), 200);
}

#[test]
fn a_rate_is_kept_and_events_are_soon_there() {
    let dir = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let rate = NonZeroU32::new(500);
    let mut simulation = Simulation::open(Settings { rate, ..settings(Some(700)) }, dir.path(), 0).unwrap();
    let progress = simulation.progress().clone();
    let start = Instant::now();
    thread::scope(|scope| {
        let run = scope.spawn(|| simulation.run(&stop));
        thread::sleep(Duration::from_millis(700));
        // About 350 by now.
        let half = progress.events();
        assert!((200..=420).contains(&half), "{half}");
        assert_eq!(run.join().unwrap().unwrap(), Ended::Complete);
    });
    // The last one is due after 1.398 s.
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(1_380) && took < Duration::from_secs(5), "{took:?}");
    assert_eq!((progress.events(), progress.total()), (700, Some(700)));
    assert!(simulation.counters().commits() > 20, "{:?}", simulation.counters().commits());
    assert_eq!(simulation.counters().events(), 700);
}

#[test]
fn a_stop_ends_it_with_everything_committed() {
    let whole = undisturbed(3_000);
    for rate in [None, NonZeroU32::new(2_000)] {
        let dir = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        let mut simulation = Simulation::open(Settings { rate, ..settings(None) }, dir.path(), 0).unwrap();
        thread::scope(|scope| {
            let run = scope.spawn(|| simulation.run(&stop));
            thread::sleep(Duration::from_millis(100));
            stop.store(true, Ordering::Relaxed);
            assert_eq!(run.join().unwrap().unwrap(), Ended::Stopped);
        });
        let got = events(dir.path());
        assert_eq!(got.len() as u64, simulation.progress().events());
        let common = got.len().min(whole.len());
        assert!(common > 100 && got[..common] == whole[..common]);
    }
}

const ROOT: &str = "SENSORS_TEST_SIMULATION";

/// The child of `killed_at_any_moment`.
#[test]
fn child_simulates_until_killed() {
    let Ok(root) = env::var(ROOT) else { return };
    let mut simulation = Simulation::open(settings(None), Path::new(&root), 0).unwrap();
    simulation.run(&AtomicBool::new(false)).unwrap();
}

#[test]
fn killed_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let spawn = || {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "child_simulates_until_killed"]).env(ROOT, dir.path()).stdout(Stdio::null());
        Killed(command.spawn().unwrap())
    };
    for round in 0..8 {
        let _child = spawn();
        thread::sleep(Duration::from_millis(100 + round * 17));
    }
    // What the last child had written but not published comes to light when a writer opens the archive again.
    drop(Simulation::open(settings(None), dir.path(), 0).unwrap());
    let before = events(dir.path()).len() as u64;
    assert!(before > 0, "the children were killed too soon");
    let wanted = before + 1_000;
    run(dir.path(), wanted);
    let got = events(dir.path());
    assert_eq!(got.len() as u64, wanted);
    assert!(got == undisturbed(wanted));
}

/// A child that is killed with SIGKILL when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
