//! Signs of life: whether a collector works, or waits for something outside, or hangs.
//!
//! The network side beats as long as its thread turns; delivery beats with every batch, and every second while there is
//! none. A destination that fails is waited for, which is told apart from standing still by a count of its own. What
//! remains - records under way that nobody moves - is a fault of the collector.

use crate::stats::{Stats, Status};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between two beats of the network side.
const BEAT: Duration = Duration::from_millis(500);

/// Beats for ever; to be run beside the connection.
pub(crate) async fn beat(stats: Arc<Stats>) {
    loop {
        stats.beats.add(1);
        tokio::time::sleep(BEAT).await;
    }
}

/// Judges by what has moved since it looked last.
#[derive(Debug)]
pub struct Watch {
    patience: Duration,
    intakes: Vec<Moved>,
    delivery: Moved,
    work: Moved,
}

#[derive(Debug)]
struct Moved {
    value: u64,
    since: Instant,
}

impl Moved {
    fn new(now: Instant) -> Moved {
        Moved { value: u64::MAX, since: now }
    }

    fn see(&mut self, value: u64, now: Instant) {
        if value != self.value {
            *self = Moved { value, since: now };
        }
    }
}

impl Watch {
    /// A watch that calls it hanging when something stands still for longer than `patience`.
    pub fn new(patience: Duration, now: Instant) -> Watch {
        Watch { patience, intakes: Vec::new(), delivery: Moved::new(now), work: Moved::new(now) }
    }

    /// What hangs, if anything does.
    pub fn look(&mut self, status: &Status, now: Instant) -> Option<&'static str> {
        self.intakes.resize_with(status.sources.len(), || Moved::new(now));
        for (intake, stats) in self.intakes.iter_mut().zip(&status.sources) {
            intake.see(stats.beats.value(), now);
        }
        self.delivery.see(status.beats.value(), now);
        let pending = status.pending();
        let done = status.sum(|s| &s.received).saturating_sub(pending) + status.waits.value();
        // Nothing to do is as good as work done.
        if pending == 0 {
            self.work.since = now;
        }
        self.work.see(done, now);
        let hangs = |moved: &Moved| now.duration_since(moved.since) > self.patience;
        match () {
            () if self.intakes.iter().any(hangs) => Some("the thread of a connection stands still"),
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
        let status = Status::new(vec![Arc::new(Stats::new("fmc"))], Vec::new());
        let stats = &status.sources[0];
        let begun = Instant::now();
        let mut watch = Watch::new(Duration::from_secs(10), begun);
        let mut second = 0;
        let mut pass = |beats: bool, watch: &mut Watch| {
            second += 6;
            if beats {
                stats.beats.add(1);
                status.beats.add(1);
            }
            watch.look(&status, begun + Duration::from_secs(second))
        };
        for _ in 0..5 {
            assert_eq!(pass(true, &mut watch), None, "idle");
        }
        stats.received.add(100);
        for _ in 0..5 {
            stats.delivered.add(1);
            assert_eq!(pass(true, &mut watch), None, "at work");
        }
        for _ in 0..5 {
            status.waits.add(1);
            assert_eq!(pass(true, &mut watch), None, "a destination fails");
        }
        pass(true, &mut watch);
        assert_eq!(pass(true, &mut watch), Some("records under way do not move"));
        stats.delivered.add(95);
        assert_eq!(pass(true, &mut watch), None, "they move again");
        pass(false, &mut watch);
        assert_eq!(pass(false, &mut watch), Some("the thread of a connection stands still"));
        stats.beats.add(1);
        assert_eq!(pass(false, &mut watch), Some("delivery stands still"));
    }
}
