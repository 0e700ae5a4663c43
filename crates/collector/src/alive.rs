//! Signs of life: whether a collector works, or waits for something outside, or hangs.
//!
//! The network side beats as long as its thread turns; delivery beats with every batch, and every second while there is
//! none. A destination that fails is waited for, which is told apart from standing still by a count of its own. What
//! remains - records under way that nobody moves - is a fault of the collector.

use crate::stats::{Counter, Stats};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between two beats of the network side.
const BEAT: Duration = Duration::from_millis(500);

/// What turns, counted.
#[derive(Debug, Default)]
pub struct Alive {
    /// Beats of the thread that reads the connection.
    pub intake: Counter,
    /// Beats of delivery.
    pub delivery: Counter,
    /// Attempts at a destination or state file that fails.
    pub waits: Counter,
}

/// Beats for ever; to be run beside the connection.
pub(crate) async fn beat(stats: Arc<Stats>) {
    loop {
        stats.alive.intake.add(1);
        tokio::time::sleep(BEAT).await;
    }
}

/// Judges by what has moved since it looked last.
#[derive(Debug)]
pub struct Watch {
    patience: Duration,
    intake: Moved,
    delivery: Moved,
    work: Moved,
}

#[derive(Debug)]
struct Moved {
    value: u64,
    since: Instant,
}

impl Moved {
    fn see(&mut self, value: u64, now: Instant) {
        if value != self.value {
            *self = Moved { value, since: now };
        }
    }
}

impl Watch {
    /// A watch that calls it hanging when something stands still for longer than `patience`.
    pub fn new(patience: Duration, now: Instant) -> Watch {
        let moved = || Moved { value: u64::MAX, since: now };
        Watch { patience, intake: moved(), delivery: moved(), work: moved() }
    }

    /// What hangs, if anything does.
    pub fn look(&mut self, stats: &Stats, now: Instant) -> Option<&'static str> {
        let alive = &stats.alive;
        self.intake.see(alive.intake.value(), now);
        self.delivery.see(alive.delivery.value(), now);
        let pending = stats.pending();
        let done = stats.received.value() - pending + alive.waits.value();
        // Nothing to do is as good as work done.
        if pending == 0 {
            self.work.since = now;
        }
        self.work.see(done, now);
        let hangs = |moved: &Moved| now.duration_since(moved.since) > self.patience;
        match () {
            () if hangs(&self.intake) => Some("the connection's thread stands still"),
            () if hangs(&self.delivery) => Some("delivery stands still"),
            () if hangs(&self.work) => Some("records under way do not move"),
            () => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_waiting_are_life_and_standing_still_is_not() {
        let stats = Stats::default();
        let begun = Instant::now();
        let mut watch = Watch::new(Duration::from_secs(10), begun);
        let mut second = 0;
        let mut pass = |beats: bool, stats: &Stats, watch: &mut Watch| {
            second += 6;
            if beats {
                stats.alive.intake.add(1);
                stats.alive.delivery.add(1);
            }
            watch.look(stats, begun + Duration::from_secs(second))
        };
        for _ in 0..5 {
            assert_eq!(pass(true, &stats, &mut watch), None, "idle");
        }
        stats.received.add(100);
        for _ in 0..5 {
            stats.delivered.add(1);
            assert_eq!(pass(true, &stats, &mut watch), None, "at work");
        }
        for _ in 0..5 {
            stats.alive.waits.add(1);
            assert_eq!(pass(true, &stats, &mut watch), None, "a destination fails");
        }
        pass(true, &stats, &mut watch);
        assert_eq!(pass(true, &stats, &mut watch), Some("records under way do not move"));
        stats.delivered.add(95);
        assert_eq!(pass(true, &stats, &mut watch), None, "they move again");
        pass(false, &stats, &mut watch);
        assert_eq!(pass(false, &stats, &mut watch), Some("the connection's thread stands still"));
        stats.alive.intake.add(1);
        assert_eq!(pass(false, &stats, &mut watch), Some("delivery stands still"));
    }
}
