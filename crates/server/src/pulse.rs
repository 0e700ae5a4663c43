//! Signs of life of the parts that must never stand still, for a watchdog.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// All parts there are, and when each has last shown that it lives.
#[derive(Debug)]
pub(crate) struct Pulse {
    begun: Instant,
    parts: Mutex<Vec<Weak<Part>>>,
}

#[derive(Debug)]
struct Part {
    name: String,
    begun: Instant,
    /// Milliseconds from `begun` to the last sign of life.
    last: AtomicU64,
}

/// The pulse of one part. The part is waited for as long as there is a clone: whoever needs the part keeps one, so that it
/// is missed when it ends by a defect, and drops it when the part may end.
#[derive(Debug, Clone)]
pub(crate) struct Beat(Arc<Part>);

impl Default for Pulse {
    fn default() -> Self {
        Pulse { begun: Instant::now(), parts: Mutex::default() }
    }
}

impl Pulse {
    /// A new part, alive now; `name` is what it is called when it stands still.
    pub(crate) fn part(&self, name: impl Into<String>) -> Beat {
        let part = Arc::new(Part { name: name.into(), begun: self.begun, last: AtomicU64::new(0) });
        let beat = Beat(part);
        beat.now();
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.retain(|part| part.strong_count() > 0);
        parts.push(Arc::downgrade(&beat.0));
        beat
    }

    /// The first part that has shown nothing for this time.
    pub(crate) fn check(&self, within: Duration) -> Result<(), String> {
        self.check_at(self.begun.elapsed(), within)
    }

    fn check_at(&self, now: Duration, within: Duration) -> Result<(), String> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let still =
            |part: &Arc<Part>| now.saturating_sub(Duration::from_millis(part.last.load(Ordering::Relaxed))) > within;
        match parts.iter().filter_map(Weak::upgrade).find(still) {
            Some(part) => Err(part.name.clone()),
            None => Ok(()),
        }
    }

    /// What the parts are called.
    #[cfg(test)]
    pub(crate) fn names(&self) -> Vec<String> {
        let parts = self.parts.lock().unwrap();
        parts.iter().filter_map(Weak::upgrade).map(|part| part.name.clone()).collect()
    }
}

impl Beat {
    /// Shows that the part lives.
    pub(crate) fn now(&self) {
        let now = u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.store(now, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_secs(30);

    #[test]
    fn a_part_that_stands_still_is_named_whatever_its_like_does() {
        let pulse = Pulse::default();
        let (first, second) = (pulse.part("the first"), pulse.part("the second"));
        assert_eq!(pulse.check(WITHIN), Ok(()));
        // A minute later the second one beats, and the first does not.
        let now = pulse.begun.elapsed() + Duration::from_secs(60);
        let beat = |beat: &Beat| beat.0.last.store(u64::try_from(now.as_millis()).unwrap(), Ordering::Relaxed);
        beat(&second);
        assert_eq!(pulse.check_at(now, WITHIN), Err("the first".into()));
        beat(&first);
        assert_eq!(pulse.check_at(now, WITHIN), Ok(()));
    }

    #[test]
    fn a_part_is_missed_until_nobody_needs_it() {
        let pulse = Pulse::default();
        let (needed, other) = (pulse.part("needed"), pulse.part("other"));
        let later = pulse.begun.elapsed() + Duration::from_secs(60);
        // What did the work is gone, as after a panic.
        let worker = needed.clone();
        drop((worker, other));
        assert_eq!(pulse.check_at(later, WITHIN), Err("needed".into()));
        drop(needed);
        assert_eq!(pulse.check_at(later, WITHIN), Ok(()));
        let _new = pulse.part("new");
        assert_eq!(pulse.parts.lock().unwrap().len(), 1, "those that are gone take no room");
    }
}
