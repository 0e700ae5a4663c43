//! The sender, with a transport that fails as it is told: order, batches, retries, rejected lines, stopping.

#![allow(clippy::unwrap_used, clippy::expect_used)] // Tests may fail loudly.

mod support;

use outputs::sender::Settings;
use outputs::spool::{Lines, Overflow};
use outputs::transport::{Failure, Rejected, Settled};
use outputs::{Destination, Remote, Spool, Transport};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use support::{Caller, Watch, all_sent, duplicates, law, lines, ms, quick, remote, spool_settings, wait};
use tempfile::TempDir;

/// What the receiver does and has.
#[derive(Default)]
struct Script {
    /// Lines that were settled, in order.
    got: Vec<String>,
    /// Sizes of batches, and when they came.
    batches: Vec<(usize, Instant)>,
    /// Sends that fail.
    fail: usize,
    /// Questions for what is settled that fail.
    lose: usize,
    /// Sends that hang.
    hang: Option<Duration>,
    /// Sends before a batch is settled.
    late: usize,
    /// Lines with this text make a batch refused; told which if true.
    refuse: Option<(&'static str, bool)>,
    /// Lines with this text are rejected alone.
    reject: Option<&'static str>,
    under_way: VecDeque<Vec<String>>,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Script>>);

impl Fake {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }

    fn got(&self) -> Vec<String> {
        self.script().got.clone()
    }
}

impl Transport for Fake {
    fn describe(&self) -> String {
        "fake".to_owned()
    }

    fn window(&self) -> usize {
        self.script().late + 1
    }

    fn poll(&self) -> Duration {
        ms(1)
    }

    fn send(&mut self, lines: &Lines) -> Result<(), Failure> {
        let hang = self.script().hang.unwrap_or_default();
        std::thread::sleep(hang);
        let mut script = self.script();
        if script.fail > 0 {
            script.fail -= 1;
            return Err(Failure::Again { reason: "no".to_owned(), after: None });
        }
        let texts: Vec<String> = lines.iter().map(|(_, line)| String::from_utf8(line.to_vec()).unwrap()).collect();
        if let Some((bad, told)) = script.refuse
            && let Some(line) = texts.iter().position(|line| line.contains(bad))
        {
            return Err(Failure::Refused { line: told.then_some(line), reason: format!("has {bad}") });
        }
        script.batches.push((texts.len(), Instant::now()));
        script.under_way.push_back(texts);
        Ok(())
    }

    fn settled(&mut self) -> Result<Vec<Settled>, Failure> {
        let mut script = self.script();
        if script.lose > 0 && !script.under_way.is_empty() {
            script.lose -= 1;
            return Err(Failure::Again { reason: "lost".to_owned(), after: None });
        }
        let mut settled = Vec::new();
        while let Some(batch) = script.under_way.pop_front() {
            let mut rejected = Vec::new();
            for text in batch {
                match script.reject.filter(|bad| text.contains(bad)) {
                    Some(bad) => rejected.push(Rejected { line: text.into_bytes(), reason: format!("has {bad}") }),
                    None => script.got.push(text),
                }
            }
            settled.push(Settled { rejected, truncated: 0 });
        }
        Ok(settled)
    }

    fn reset(&mut self) {
        self.script().under_way.clear();
    }

    fn connected(&self) -> bool {
        self.script().fail == 0
    }
}

fn rejected(folder: &TempDir) -> Vec<(String, String)> {
    let text = fs::read_to_string(folder.path().join("rejected.jsonl")).unwrap_or_default();
    let field = |value: &serde_json::Value, name: &str| value[name].as_str().unwrap().to_owned();
    let entries = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    entries.map(|entry| (field(&entry, "line"), field(&entry, "reason"))).collect()
}

#[test]
fn lines_arrive_once_and_in_order() {
    let folder = TempDir::new().unwrap();
    let fake = Fake::default();
    let mut caller = Caller::new(remote(folder.path(), fake.clone(), None));
    let metrics = caller.to.metrics();
    let _watch = Watch::new(metrics.clone());
    for _ in 0..20 {
        caller.write(17);
    }
    let counts = all_sent(&metrics);
    assert_eq!(fake.got(), lines(0..340));
    assert_eq!((counts.written, counts.sent, counts.retries), (340, 340, 0));
    assert!(counts.connected && counts.last_error.is_none());
    assert_eq!(counts.bytes, lines(0..340).iter().map(|l| l.len() as u64 + 1).sum::<u64>());
    assert!(fake.script().batches.iter().all(|(size, _)| *size <= 10));
}

#[test]
fn batches_are_limited_by_count_bytes_and_time() {
    let cases = [(10, 1 << 20, 10), (1000, 100, 1), (1000, 1 << 20, 25)];
    for (count, bytes, expected) in cases {
        let folder = TempDir::new().unwrap();
        let fake = Fake::default();
        let settings = Settings { lines: count, bytes, delay: ms(150), ..quick() };
        let to = Remote::open("test", spool_settings(folder.path()), settings, Box::new(fake.clone()), None).unwrap();
        let mut caller = Caller::new(to);
        let begun = Instant::now();
        for _ in 0..25 {
            caller.put(&format!("{}\n", "x".repeat(59)));
        }
        caller.checkpoint();
        all_sent(&caller.to.metrics());
        let batches = fake.script().batches.clone();
        assert_eq!(batches[0].0, expected);
        // The last, small batch waits for more, but not for long.
        let last = batches.last().unwrap().1.duration_since(begun);
        assert!(last >= ms(140) && last < ms(2000), "{last:?}");
    }
}

#[test]
fn everything_under_way_is_sent_again_after_an_error() {
    let folder = TempDir::new().unwrap();
    let fake = Fake::default();
    *fake.script() = Script { fail: 3, lose: 2, late: 3, ..Script::default() };
    let mut caller = Caller::new(remote(folder.path(), fake.clone(), None));
    let metrics = caller.to.metrics();
    let _watch = Watch::new(metrics.clone());
    caller.write(100);
    wait("an error", || metrics.counts().last_error.is_some());
    caller.write(100);
    let counts = all_sent(&metrics);
    assert_eq!(fake.got(), lines(0..200));
    assert_eq!((counts.sent, counts.retries), (200, 5));
    assert!(counts.connected);
    assert_eq!(counts.last_error.as_deref(), Some("lost"));
}

#[test]
fn refused_lines_are_put_aside_and_the_others_arrive() {
    for told in [true, false] {
        let folder = TempDir::new().unwrap();
        let fake = Fake::default();
        *fake.script() = Script { refuse: Some(("7,", told)), late: 2, ..Script::default() };
        let mut caller = Caller::new(remote(folder.path(), fake.clone(), None));
        caller.write(100);
        let counts = all_sent(&caller.to.metrics());
        let bad = |line: &String| line.contains("7,");
        let (refused, good): (Vec<String>, Vec<String>) = lines(0..100).into_iter().partition(bad);
        assert_eq!(fake.got(), good);
        assert_eq!(rejected(&folder), refused.into_iter().map(|l| (l, "has 7,".to_owned())).collect::<Vec<_>>());
        assert_eq!((counts.sent, counts.failed), (90, 10));
    }
}

#[test]
fn rejected_lines_of_a_delivered_batch_are_put_aside() {
    let folder = TempDir::new().unwrap();
    let fake = Fake::default();
    fake.script().reject = Some("3,");
    let mut caller = Caller::new(remote(folder.path(), fake.clone(), None));
    caller.write(100);
    let counts = all_sent(&caller.to.metrics());
    assert_eq!((counts.sent, counts.failed, rejected(&folder).len(), fake.got().len()), (90, 10, 10, 90));
    assert!(caller.to.stop(ms(500)));
}

#[test]
fn the_file_of_rejected_lines_is_limited() {
    let folder = TempDir::new().unwrap();
    let fake = Fake::default();
    fake.script().reject = Some("n");
    let settings = Settings { rejected_bytes: 2000, ..quick() };
    let to = Remote::open("test", spool_settings(folder.path()), settings, Box::new(fake), None).unwrap();
    let mut caller = Caller::new(to);
    caller.write(200);
    assert_eq!(all_sent(&caller.to.metrics()).failed, 200);
    let size = |name: &str| fs::metadata(folder.path().join(name)).unwrap().len();
    assert!(size("rejected.jsonl") < 5000 && size("rejected.1.jsonl") < 5000);
}

#[test]
fn stopping_sends_what_waits_and_nothing_comes_twice() {
    let folder = TempDir::new().unwrap();
    let fake = Fake::default();
    let mut state = None;
    for round in 0..3 {
        let settings = Settings { delay: Duration::from_secs(60), ..quick() };
        let to =
            Remote::open("test", spool_settings(folder.path()), settings, Box::new(fake.clone()), state.as_deref());
        let mut caller = Caller { to: to.unwrap(), written: round * 33, state: state.take() };
        let metrics = caller.to.metrics();
        caller.write(33);
        assert!(caller.to.stop(Duration::from_secs(5)));
        assert_eq!(law(&metrics).sent, 33);
        state = caller.state;
    }
    assert_eq!(fake.got(), lines(0..99));
}

#[test]
fn stopping_does_not_wait_for_a_receiver_that_is_away() {
    let folder = TempDir::new().unwrap();
    let fake = Fake::default();
    fake.script().fail = usize::MAX;
    let mut caller = Caller::new(remote(folder.path(), fake.clone(), None));
    let metrics = caller.to.metrics();
    caller.write(50);
    wait("an error", || metrics.counts().retries > 1);
    let begun = Instant::now();
    assert!(!caller.to.stop(Duration::from_secs(30)));
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(law(&metrics).pending, 50);
    assert!(!metrics.counts().connected);
    let state = caller.state.take();
    drop(caller);
    fake.script().fail = 0;
    let caller = Caller::new(remote(folder.path(), fake.clone(), state.as_deref()));
    all_sent(&caller.to.metrics());
    assert_eq!(fake.got(), lines(0..50));
}

#[test]
fn a_transport_that_hangs_is_left_behind() {
    let folder = TempDir::new().unwrap();
    let fake = Fake::default();
    fake.script().hang = Some(Duration::from_secs(3));
    let mut caller = Caller::new(remote(folder.path(), fake.clone(), None));
    caller.write(5);
    std::thread::sleep(ms(100));
    let begun = Instant::now();
    assert!(!caller.to.stop(ms(100)));
    assert!(begun.elapsed() < Duration::from_secs(2));
    let state = caller.state.take();
    drop(caller);
    // The folder is free, and what the old thread does has no effect.
    let other = Fake::default();
    let caller = Caller::new(remote(folder.path(), other.clone(), state.as_deref()));
    all_sent(&caller.to.metrics());
    assert_eq!(other.got(), lines(0..5));
}

#[test]
fn segments_that_are_sent_are_removed() {
    let folder = TempDir::new().unwrap();
    let fake = Fake::default();
    let mut caller = Caller::new(remote(folder.path(), fake, None));
    for _ in 0..20 {
        caller.write(100);
    }
    all_sent(&caller.to.metrics());
    let segments = || {
        let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|e| e == "lines")).count()
    };
    wait("removing segments", || segments() <= 1);
    caller.write(1);
    all_sent(&caller.to.metrics());
}

#[test]
fn a_damaged_cursor_costs_repetition_and_no_line() {
    for damage in ["", "{\"bytes\":", "{\"bytes\":99999999,\"lines\":99999999}"] {
        let folder = TempDir::new().unwrap();
        let fake = Fake::default();
        let mut caller = Caller::new(remote(folder.path(), fake.clone(), None));
        caller.write(20);
        assert!(caller.to.stop(ms(500)));
        let state = caller.state.take();
        drop(caller);
        fs::write(folder.path().join("cursor"), damage).unwrap();
        let to = remote(folder.path(), fake.clone(), state.as_deref());
        let mut caller = Caller { to, written: 20, state };
        caller.write(20);
        all_sent(&caller.to.metrics());
        // A cursor behind the end is no reason to send anything again: the stored state decides.
        let again = if damage.contains('9') { 0 } else { 20 };
        assert_eq!(duplicates(&fake.got(), &lines(0..40)), again);
    }
}

#[test]
fn a_blocked_receiver_blocks_at_the_limit_and_goes_on() {
    let folder = TempDir::new().unwrap();
    let fake = Fake::default();
    fake.script().fail = usize::MAX;
    let spool = outputs::spool::Settings { limit: 2000, ..spool_settings(folder.path()) };
    let to = Remote::open("test", spool, quick(), Box::new(fake.clone()), None).unwrap();
    let metrics = to.metrics();
    let mut caller = Caller::new(to);
    let _watch = Watch::new(metrics.clone());
    caller.checkpoint();
    let mut blocked = 0;
    while caller.written < 200 {
        if caller.to.room() == 0 {
            caller.checkpoint();
        }
        let text = format!("{}\n", support::line(caller.written));
        match caller.to.write(text.as_bytes(), 1) {
            Ok(()) => caller.written += 1,
            Err(error) => {
                blocked += 1;
                if blocked == 3 {
                    assert!(error.to_string().contains("the last error of the destination was: no"), "{error}");
                    fake.script().fail = 0;
                }
                std::thread::sleep(ms(20));
            }
        }
    }
    caller.checkpoint();
    let counts = all_sent(&metrics);
    assert!(blocked >= 3);
    assert_eq!(fake.got(), lines(0..200));
    assert_eq!(counts.dropped, 0);
}

#[test]
fn a_blocked_receiver_with_drop_loses_the_newest_and_counts_them() {
    let folder = TempDir::new().unwrap();
    let fake = Fake::default();
    fake.script().fail = usize::MAX;
    let spool = outputs::spool::Settings { limit: 2000, overflow: Overflow::Drop, ..spool_settings(folder.path()) };
    let to = Remote::open("test", spool, quick(), Box::new(fake.clone()), None).unwrap();
    let metrics = to.metrics();
    let mut caller = Caller::new(to);
    let _watch = Watch::new(metrics.clone());
    for _ in 0..20 {
        caller.write(10);
    }
    let dropped = law(&metrics).dropped;
    assert!(dropped > 50, "{dropped}");
    fake.script().fail = 0;
    assert_eq!(all_sent(&metrics).sent, 200 - dropped);
    caller.write(10);
    assert_eq!(all_sent(&metrics).dropped, dropped);
    let taken = 200 - dropped as usize;
    assert_eq!(fake.got(), lines((0..taken).chain(200..210)));
}

#[test]
fn the_age_of_waiting_lines_is_known() {
    let folder = TempDir::new().unwrap();
    let fake = Fake::default();
    fake.script().fail = usize::MAX;
    let mut caller = Caller::new(remote(folder.path(), fake.clone(), None));
    let metrics = caller.to.metrics();
    assert_eq!(metrics.counts().waiting(), Duration::ZERO);
    caller.write(1);
    std::thread::sleep(ms(60));
    // More moments than are remembered.
    for _ in 0..600 {
        caller.write(1);
    }
    assert!(metrics.counts().waiting() >= ms(60));
    let state = caller.state.take();
    drop(caller);
    let caller = Caller::new(remote(folder.path(), fake.clone(), state.as_deref()));
    assert!(caller.to.metrics().counts().oldest.is_some());
    fake.script().fail = 0;
    all_sent(&caller.to.metrics());
}

#[test]
fn lines_lost_in_the_spool_are_failed() {
    let folder = TempDir::new().unwrap();
    let fake = Fake::default();
    fake.script().fail = usize::MAX;
    let mut caller = Caller::new(remote(folder.path(), fake.clone(), None));
    let metrics = caller.to.metrics();
    for _ in 0..10 {
        caller.write(100);
    }
    let mut segments: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|e| e == "lines"));
    segments.sort();
    fs::remove_file(&segments[2]).unwrap();
    fake.script().fail = 0;
    fake.script().late = 4;
    let counts = all_sent(&metrics);
    assert!(counts.failed > 50 && counts.sent + counts.failed == 1000, "{counts:?}");
    assert_eq!(fake.got().len() as u64, counts.sent);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever goes wrong in between, every line arrives, in order, and the counts add up.
    #[test]
    fn faults_lose_nothing(steps in proptest::collection::vec((0usize..40, 0usize..4, 0usize..3, any::<bool>()), 1..8), late in 0usize..4) {
        let folder = TempDir::new().unwrap();
        let fake = Fake::default();
        fake.script().late = late;
        let mut caller = Caller::new(remote(folder.path(), fake.clone(), None));
        for (written, fail, lose, restart) in steps {
            fake.script().fail += fail;
            fake.script().lose += lose;
            caller.write(written);
            if restart {
                let metrics = caller.to.metrics();
                let (written, state) = (caller.written, caller.state.take());
                drop(caller);
                law(&metrics);
                fake.script().under_way.clear();
                let to = remote(folder.path(), fake.clone(), state.as_deref());
                caller = Caller { to, written, state };
            }
        }
        let metrics = caller.to.metrics();
        let counts = all_sent(&metrics);
        prop_assert_eq!(counts.dropped + counts.failed, 0);
        prop_assert_eq!(fake.got(), lines(0..caller.written));
    }
}

#[test]
fn spools_can_be_used_without_a_sender() {
    let folder = TempDir::new().unwrap();
    let (spool, _reader) = Spool::open(spool_settings(folder.path()), None).unwrap();
    assert!(spool.describe().starts_with("spool /"));
}
