//! What the tests of receivers elsewhere share.

#![allow(dead_code, unreachable_pub)] // Each test uses a part of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may fail loudly.

pub mod http;
pub mod tls;

use outputs::spool::{self, Overflow};
use outputs::{Counts, Destination, Metrics, Remote, Transport, sender};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A pause that is long enough for a thread to do something, and short for a test.
pub const MOMENT: Duration = Duration::from_millis(20);

pub fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub fn spool_settings(folder: &Path) -> spool::Settings {
    spool::Settings { limit: 1 << 30, overflow: Overflow::Block, segment: 4096, ..spool::Settings::new(folder) }
}

/// Small batches, short times.
pub fn quick() -> sender::Settings {
    sender::Settings {
        lines: 10,
        delay: ms(10),
        retry_first: ms(10),
        retry_longest: ms(80),
        stop_within: ms(500),
        ..sender::Settings::default()
    }
}

/// A caller that keeps the contract: numbered lines, and a checkpoint that survives.
pub struct Caller<D> {
    pub to: D,
    pub written: usize,
    pub state: Option<String>,
}

pub fn line(number: usize) -> String {
    format!("{{\"n\": {number}, \"padding\": \"{}\"}}", "x".repeat(number % 13))
}

pub fn lines(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(line).collect()
}

impl<D: Destination> Caller<D> {
    pub fn new(to: D) -> Caller<D> {
        Caller { to, written: 0, state: None }
    }

    pub fn checkpoint(&mut self) {
        self.to.sync().unwrap();
        let state = self.to.state();
        self.state = Some(state.clone());
        self.to.stored(&state);
    }

    /// Writes the next lines, and a checkpoint behind them.
    pub fn write(&mut self, lines: usize) {
        for _ in 0..lines {
            let text = format!("{}\n", line(self.written));
            self.put(&text);
        }
        self.checkpoint();
    }

    /// Writes one line without a checkpoint behind it.
    pub fn put(&mut self, text: &str) {
        while self.to.room() == 0 {
            self.checkpoint();
        }
        self.to.write(text.as_bytes(), 1).unwrap();
        self.written += 1;
    }
}

pub fn remote(folder: &Path, transport: impl Transport + 'static, state: Option<&str>) -> Remote {
    Remote::open("test", spool_settings(folder), quick(), Box::new(transport), state).unwrap()
}

/// Waits until something is so; fails after ten seconds.
pub fn wait(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what} does not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until the destination has nothing pending.
pub fn all_sent(metrics: &Metrics) -> Counts {
    wait("sending everything", || metrics.counts().pending == 0);
    law(metrics)
}

/// `written = sent + failed + dropped + pending`, at every moment.
pub fn law(metrics: &Metrics) -> Counts {
    let counts = metrics.counts();
    let Counts { written, sent, failed, dropped, pending, pending_bytes, oldest, .. } = &counts;
    assert_eq!(*written, sent + failed + dropped + pending, "{counts:?}");
    assert_eq!(*pending == 0, *pending_bytes == 0, "{counts:?}");
    assert_eq!(*pending == 0, oldest.is_none(), "{counts:?}");
    counts
}

/// Each expected line is there; those that come twice come in runs that repeat what was just before. How many did.
pub fn duplicates(got: &[String], expected: &[String]) -> usize {
    let mut next = 0;
    let mut again = 0;
    for line in got {
        if expected.get(next) == Some(line) {
            next += 1;
            continue;
        }
        let known = expected[..next].iter().rposition(|earlier| earlier == line);
        let at = known.unwrap_or_else(|| panic!("{line} comes before {:?}", expected.get(next)));
        again += next - at;
        next = at + 1;
    }
    assert_eq!(next, expected.len(), "lines are missing at the end");
    again
}

/// A thread that looks at the law all the time, until it is dropped.
pub struct Watch(Arc<std::sync::atomic::AtomicBool>, Option<std::thread::JoinHandle<()>>);

impl Watch {
    pub fn new(metrics: Arc<Metrics>) -> Watch {
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !told.load(std::sync::atomic::Ordering::Relaxed) {
                law(&metrics);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Watch(stop, Some(thread))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        if let Some(Err(panic)) = self.1.take().map(std::thread::JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}
