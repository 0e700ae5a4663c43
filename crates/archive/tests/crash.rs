//! Real processes that are killed, and a real limit to the size of files. This program runs itself as the child.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code may fail loudly")]

mod common;

use std::env;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use archive::{Archive, Batch, Error, Options, Start};
use common::{NETMAP, Site, event, position, put};

const ROOT: &str = "ARCHIVE_TEST_ROOT";
const SOURCE: &str = "ARCHIVE_TEST_SOURCE";

fn options() -> Options {
    Options { segment_bytes: 4 << 20, segment_seconds: 1, ..Options::default() }
}

fn at(bytes: Option<Vec<u8>>) -> u32 {
    bytes.map_or(0, |bytes| common::u32_at(&bytes, 0))
}

/// The child of `killed_writers`: goes on from its position, in commits of any size, until it is killed.
#[test]
fn child_writes_until_killed() {
    let (Ok(root), Ok(source)) = (env::var(ROOT), env::var(SOURCE)) else { return };
    let (mut archive, _) = Archive::open(Path::new(&root), NETMAP, options()).unwrap();
    let mut n = at(archive.position(source.as_bytes()).unwrap());
    let offset = source.parse::<u32>().unwrap() << 24;
    loop {
        let mut batch = Batch::new();
        for _ in 0..1 + n % 37 {
            n += 1;
            batch.push_event(&event(offset + n, (n as usize * 7919) % 60_000)).unwrap();
        }
        batch.set_position(source.as_bytes(), &n.to_be_bytes()).unwrap();
        archive.commit(&mut batch).unwrap();
    }
}

/// Kills one of two writers at a time, in the middle of whatever it does. In the end, what each source has a position
/// for is there, once and in order, and nothing else is.
#[test]
fn killed_writers() {
    let site = Site::new();
    let spawn = |source: u32| Killed(child("child_writes_until_killed", site.root(), source).spawn().unwrap());
    let mut children = [Some(spawn(0)), Some(spawn(1))];
    for round in 0..10u64 {
        thread::sleep(Duration::from_millis(90 + round * 7 % 40));
        let victim = (round % 2) as usize;
        // The old one must be dead before its source goes on elsewhere.
        children[victim] = None;
        children[victim] = Some(spawn(victim as u32));
    }
    thread::sleep(Duration::from_millis(100));
    drop(children);

    let (mut archive, recovery) = Archive::open(site.root(), NETMAP, options()).unwrap();
    assert!(recovery.checked);
    let seen = site.read(Start::Genesis);
    assert_eq!(seen.lost, []);
    assert!(seen.events.iter().map(|event| event.sequence).eq(0..seen.events.len() as u64));
    for source in 0..2u32 {
        let position = at(archive.position(source.to_string().as_bytes()).unwrap());
        assert!(position > 0, "source {source} wrote nothing");
        let mine = seen.ids().into_iter().filter(|id| id >> 24 == source).map(|id| id & 0xff_ffff);
        assert!(mine.eq(1..=position), "source {source}, position {position}");
    }
    put(&mut archive, [99]);
    assert_eq!(site.read(Start::Genesis).events.len(), seen.events.len() + 1);
}

/// The child of `no_room`: a segment cannot grow, a commit is refused, and a new segment takes it.
#[test]
fn child_without_room() {
    let Ok(root) = env::var(ROOT) else { return };
    if env::var(SOURCE).as_deref() != Ok("9") {
        return;
    }
    let clock = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(1000));
    let turned = clock.clone();
    let clock = archive::Clock::new(move || clock.load(std::sync::atomic::Ordering::SeqCst));
    let options = Options { segment_bytes: 1, clock, ..Options::default() };
    let (mut archive, _) = Archive::open(Path::new(&root), NETMAP, options).unwrap();
    let mut batch = Batch::new();
    let mut refused = 0;
    for n in 1..=60u32 {
        batch.push_event(&event(n, 20_000)).unwrap();
        batch.set_position(b"s", n.to_string().as_bytes()).unwrap();
        if let Err(error) = archive.commit(&mut batch) {
            assert!(matches!(error, Error::StorageFull { .. }), "{error}");
            refused += 1;
            let before = (n - batch.events() as u32).to_string();
            assert_eq!(position(&mut archive, "s"), Some(before));
            if refused % 2 == 0 {
                turned.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        }
    }
    assert!(refused > 2, "the limit was never met");
    turned.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    if !batch.is_empty() {
        archive.commit(&mut batch).unwrap();
    }
}

/// A limit to the size of files, as a full disk has: commits are refused whole and can be repeated.
#[test]
fn no_room() {
    let site = Site::new();
    let run = child("child_without_room", site.root(), 9);
    let mut shell = Command::new("sh");
    // The signal is ignored so that the write fails with an error. 400 blocks are 200 or 400 KiB, as the shell counts.
    shell.args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$0\" \"$@\""]).arg(run.get_program()).args(run.get_args());
    shell.envs(run.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(site.recover().1.repairs, []);
    assert_eq!(site.events(), (1..=60).collect::<Vec<_>>());
    assert_eq!(position(&mut site.open(), "s").as_deref(), Some("60"));
}

fn child(test: &str, root: &Path, source: u32) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test]).env(ROOT, root).env(SOURCE, source.to_string()).stdout(Stdio::null());
    command
}

/// A child that is killed with SIGKILL when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
