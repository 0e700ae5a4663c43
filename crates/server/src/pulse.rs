//! Signs of life of the parts that must never stand still, for a watchdog.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A part of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Takes connections from the system. (With several addresses it is enough that one does: they do the same.)
    Accepting,
    /// Starts sessions and ends those of removed clients.
    Connections,
    /// Notices commits to the archive.
    Archive,
}

const PARTS: [(Part, &str); 3] = [
    (Part::Accepting, "accepting connections"),
    (Part::Connections, "the table of connections"),
    (Part::Archive, "the follower of the archive"),
];

/// When each part has last shown that it lives.
#[derive(Debug)]
pub(crate) struct Pulse {
    begun: Instant,
    /// Milliseconds since then.
    last: [AtomicU64; PARTS.len()],
}

impl Default for Pulse {
    fn default() -> Self {
        Pulse { begun: Instant::now(), last: Default::default() }
    }
}

impl Pulse {
    pub(crate) fn beat(&self, part: Part) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Some(last) = self.last.get(part as usize) {
            last.store(now, Ordering::Relaxed);
        }
    }

    /// The first part that has shown nothing for this time.
    pub(crate) fn check(&self, within: Duration) -> Result<(), &'static str> {
        let now = self.begun.elapsed();
        for ((_, name), last) in PARTS.iter().zip(&self.last) {
            if now.saturating_sub(Duration::from_millis(last.load(Ordering::Relaxed))) > within {
                return Err(name);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_stands_still_is_named() {
        let pulse = Pulse { begun: Instant::now() - Duration::from_secs(60), last: Default::default() };
        for (index, (part, _)) in PARTS.iter().enumerate() {
            assert_eq!(*part as usize, index);
        }
        assert_eq!(pulse.check(Duration::from_secs(30)), Err("accepting connections"));
        pulse.beat(Part::Accepting);
        pulse.beat(Part::Connections);
        assert_eq!(pulse.check(Duration::from_secs(30)), Err("the follower of the archive"));
        pulse.beat(Part::Archive);
        assert_eq!(pulse.check(Duration::from_secs(30)), Ok(()));
    }
}
