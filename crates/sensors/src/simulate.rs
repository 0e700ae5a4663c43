//! The simulator as a sensor: its events in an archive, as fast as possible or at a rate.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use thiserror::Error;

use crate::duty::{About, Registry};
use crate::feed::{Counters, Feed, FeedError, Limits, pause};
use crate::simulator::{Generated, Simulator, SimulatorError};

/// Commits at a rate: soon.
const PACED: Limits = Limits { bytes: 4 << 20, events: u64::MAX, age: Duration::from_millis(20) };

/// Commits without a rate: large.
const FAST: Limits = Limits { bytes: 4 << 20, events: u64::MAX, age: Duration::from_millis(250) };

/// Sleeps are not shorter than this: what falls due meanwhile is made together.
const NAP: Duration = Duration::from_millis(1);

/// The longest sleep.
const LONG_NAP: Duration = Duration::from_millis(50);

/// A simulation that is behind its rate by more than this does not catch up.
const FORGET: Duration = Duration::from_secs(10);

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Decides everything but the times. The archive keeps how far each seed has come.
    pub seed: u64,
    /// Stop when this many events were made, those of earlier runs with the same seed and those whose type is not
    /// captured included; `None` is never.
    pub events: Option<u64>,
    /// Events a second, on average; `None` is as fast as possible.
    pub rate: Option<NonZeroU32>,
    /// The time of events, since 1970-01-01 UTC: [`Settings::system_time`] unless a test wants another.
    pub now: fn() -> Duration,
    /// Where the simulation is known; without it all is captured, and nobody can hold it.
    pub registry: Option<Registry>,
}

impl Settings {
    /// Settings for endless events as fast as possible.
    pub fn new(seed: u64) -> Self {
        Settings { seed, events: None, rate: None, now: Settings::system_time, registry: None }
    }

    /// The time of the system's clock, since 1970-01-01 UTC.
    pub fn system_time() -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// The name under which the archive keeps how far the simulation is: `simulator:<seed>`.
    pub fn source(&self) -> Vec<u8> {
        format!("simulator:{}", self.seed).into_bytes()
    }
}

/// Why a simulation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All events are in the archive.
    Complete,
    /// It was told to stop; what was made is in the archive.
    Stopped,
}

/// Writes simulated events to an archive.
///
/// After a crash at any moment a simulation that is opened again goes on so that each of its events is in the archive
/// exactly once.
#[derive(Debug)]
pub struct Simulation {
    simulator: Simulator,
    settings: Settings,
    feed: Feed,
    at: Place,
    progress: Arc<Progress>,
    /// Metadata pushed, by index in the catalog.
    named: Vec<bool>,
    generated: Generated,
}

impl Simulation {
    /// Opens a simulation that writes to the archive of `netmap` below `root`, where the last one with the same seed
    /// has come to.
    ///
    /// # Errors
    /// [`SimulateError`] when the archive cannot be opened, or what it knows about this seed makes no sense.
    pub fn open(settings: Settings, root: &Path, netmap: u32) -> Result<Simulation, SimulateError> {
        let limits = if settings.rate.is_some() { PACED } else { FAST };
        let about = About { kind: "simulator", device: 0, name: "simulator" };
        let mut feed = Feed::registered(root, netmap, &settings.source(), limits, settings.registry.as_ref(), about)?;
        let at = match feed.committed_position()? {
            Some(bytes) => Place::decode(&bytes).ok_or(SimulateError::Position { seed: settings.seed })?,
            None => Place::default(),
        };
        let simulator = Simulator::new(settings.seed)?;
        let progress = Arc::new(Progress { events: AtomicU64::new(at.events), total: settings.events });
        let named = vec![false; simulator.catalog().len()];
        Ok(Simulation { simulator, settings, feed, at, progress, named, generated: Generated::new() })
    }

    /// How far it is; another thread may keep it and look at any time.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// What was committed since [`open`](Self::open); another thread may keep it and look at any time.
    pub fn counters(&self) -> &Arc<Counters> {
        self.feed.counters()
    }

    /// Makes and commits events until there are as many as wanted, or `stop` is set.
    ///
    /// # Errors
    /// [`SimulateError::Feed`] when the archive cannot be written, other than for lack of room, which is waited for.
    /// Nothing is lost by it: call again, or open the simulation again.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<Ended, SimulateError> {
        let total = self.settings.events.unwrap_or(u64::MAX);
        let mut pace = self.settings.rate.map(|rate| Pace::new(rate, self.at.events));
        if !self.feed.wait_while_held(stop) {
            return Ok(Ended::Stopped);
        }
        while self.at.events < total && !stop.load(Ordering::Relaxed) {
            if self.feed.held() {
                self.commit(stop)?;
                if !self.feed.wait_while_held(stop) {
                    break;
                }
            }
            let now = Instant::now();
            let allowed = pace.as_mut().map_or(u64::MAX, |pace| pace.allowed(now, self.at.events)).min(total);
            while self.at.events < allowed && !self.feed.due() {
                self.step(total)?;
            }
            if self.feed.due() {
                self.commit(stop)?;
            } else if let Some(pace) = &pace
                && self.at.events < total
            {
                let next = pace.due(self.at.events);
                let next = self.feed.due_at().map_or(next, |due| due.min(next));
                let wait = next.saturating_duration_since(Instant::now());
                pause(stop, wait.clamp(NAP, LONG_NAP));
            }
        }
        self.commit(stop)?;
        Ok(if self.at.events < total { Ended::Stopped } else { Ended::Complete })
    }

    /// Makes the events of one step, or as many of them as are wanted.
    fn step(&mut self, total: u64) -> Result<(), SimulateError> {
        let now = (self.settings.now)();
        let second = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        self.generated.clear();
        self.simulator.step(self.at.step, second, now.subsec_micros(), &mut self.generated)?;
        for index in &self.generated.refers {
            let index = usize::try_from(*index).unwrap_or(usize::MAX);
            if let (Some(named), Some(metadata)) = (self.named.get_mut(index), self.simulator.catalog().get(index))
                && !*named
            {
                self.feed.metadata_item(&metadata.key, &metadata.item)?;
                *named = true;
            }
        }
        let done = usize::try_from(self.at.done).unwrap_or(usize::MAX);
        for item in self.generated.items().skip(done) {
            if self.at.events == total {
                return Ok(());
            }
            self.feed.event_item(item)?;
            self.at.events += 1;
            self.at.done += 1;
        }
        self.at.step += 1;
        self.at.done = 0;
        Ok(())
    }

    fn commit(&mut self, stop: &AtomicBool) -> Result<(), SimulateError> {
        if self.feed.due_at().is_some() {
            self.feed.saw(u32::try_from((self.settings.now)().as_secs()).unwrap_or(u32::MAX));
            self.feed.position(&self.at.encode())?;
            self.feed.commit(stop)?;
            self.progress.events.store(self.at.events, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// How far a simulation is.
#[derive(Debug)]
pub struct Progress {
    events: AtomicU64,
    total: Option<u64>,
}

impl Progress {
    /// Events made whose commit is over, those of earlier runs included, and those whose type was not captured.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Events wanted; `None` is without end.
    pub fn total(&self) -> Option<u64> {
        self.total
    }
}

/// Why events cannot be simulated.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SimulateError {
    /// The archive's position is none.
    #[error(
        "the archive's note of how far the simulation with seed {seed} has come cannot be read; choose another seed, \
         or use the program that wrote it"
    )]
    Position {
        /// The seed.
        seed: u64,
    },
    /// The simulator failed.
    #[error(transparent)]
    Simulator(#[from] SimulatorError),
    /// The archive cannot be written.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

/// Where a simulation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    /// The next step.
    step: u64,
    /// Events of this step that were made already: a wanted number can end within a step.
    done: u64,
    /// Events made, of all steps.
    events: u64,
}

impl Place {
    const VERSION: u8 = 1;

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![Self::VERSION];
        for number in [self.step, self.done, self.events] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Place> {
        let (step, rest) = bytes.strip_prefix(&[Self::VERSION])?.split_first_chunk()?;
        let (done, rest) = rest.split_first_chunk()?;
        let events = <[u8; 8]>::try_from(rest).ok()?;
        let number = u64::from_be_bytes;
        Some(Place { step: number(*step), done: number(*done), events: number(events) })
    }
}

/// Keeps a rate on average: the nth event is due n intervals after the first, however late others were.
#[derive(Debug)]
struct Pace {
    rate: NonZeroU32,
    start: Instant,
    /// Events there were at the start.
    base: u64,
}

impl Pace {
    fn new(rate: NonZeroU32, base: u64) -> Pace {
        Pace { rate, start: Instant::now(), base }
    }

    /// How many events there may be by `now`, when there are `events`.
    fn allowed(&mut self, now: Instant, events: u64) -> u64 {
        if now.saturating_duration_since(self.due(events)) > FORGET {
            // The machine slept, or the archive had no room. What should have happened meanwhile did not.
            (self.start, self.base) = (now, events);
        }
        let elapsed = now.saturating_duration_since(self.start);
        let due = elapsed.as_nanos() * u128::from(self.rate.get()) / 1_000_000_000;
        self.base.saturating_add(u64::try_from(due).unwrap_or(u64::MAX)).saturating_add(1)
    }

    /// When the event is due of which `before` come first.
    fn due(&self, before: u64) -> Instant {
        let nanoseconds = u128::from(before.saturating_sub(self.base)) * 1_000_000_000 / u128::from(self.rate.get());
        let after = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        self.start.checked_add(after).unwrap_or(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_kept_as_bytes_and_others_refused() {
        let place = Place { step: 1 << 40, done: 3, events: u64::MAX };
        let bytes = place.encode();
        assert_eq!(Place::decode(&bytes), Some(place));
        for cut in 0..bytes.len() {
            assert_eq!(Place::decode(&bytes[..cut]), None);
        }
        assert_eq!(Place::decode(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(Place::decode(&[&[2], &bytes[1..]].concat()), None);
    }

    #[test]
    fn what_was_not_committed_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let settings = || Settings { now: || Duration::ZERO, ..Settings::new(7) };
        let mut first = Simulation::open(settings(), dir.path(), 0).unwrap();
        for _ in 0..50 {
            first.step(u64::MAX).unwrap();
        }
        first.commit(&AtomicBool::new(false)).unwrap();
        let at = first.at;
        for _ in 0..50 {
            first.step(u64::MAX).unwrap();
        }
        let (lost, pending) = (first.at, first.feed.pending());
        drop(first);
        let mut second = Simulation::open(settings(), dir.path(), 0).unwrap();
        assert_eq!((second.at, second.progress().events()), (at, at.events));
        for _ in 0..50 {
            second.step(u64::MAX).unwrap();
        }
        assert_eq!((second.at, second.feed.pending()), (lost, pending));
    }

    #[test]
    fn a_pace_has_no_drift_and_forgets_long_delays() {
        let rate = NonZeroU32::new(3).unwrap();
        let mut pace = Pace::new(rate, 100);
        let start = pace.start;
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(pace.allowed(at(0), 100), 101);
        assert_eq!(pace.allowed(at(333), 101), 101);
        assert_eq!(pace.allowed(at(334), 101), 102);
        assert_eq!(pace.due(101), start + Duration::from_nanos(333_333_333));
        // Late by nearly ten seconds: all of it is made up for.
        assert_eq!(pace.allowed(at(10_000), 101), 131);
        assert_eq!(pace.allowed(at(1_000_000), 3_100), 3_101);
        assert_eq!(pace.due(3_100), at(1_000_000));
        // Late by more.
        assert_eq!(pace.allowed(at(1_020_000), 3_101), 3_102);
        assert_eq!(pace.due(3_104), at(1_021_000));
    }
}
