//! Records and bytes a second of sessions: the difference of two looks.

use server::SessionStats;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

/// Looks that follow each other faster do not count, so that several watchers do not disturb each other.
const LEAST: f64 = 0.9;

/// What was seen of each session, by number, at the last look that counted.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<HashMap<u32, Look>>);

#[derive(Debug, Clone, Copy)]
struct Look {
    connected: SystemTime,
    at: Instant,
    records: u64,
    bytes: u64,
    rate: (f64, f64),
}

impl Rates {
    /// Records and bytes a second of each session, in the order given; since it connected at the first look.
    pub(crate) fn look(&self, sessions: &[SessionStats]) -> Vec<(f64, f64)> {
        let now = Instant::now();
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = HashMap::with_capacity(sessions.len());
        let rates = sessions.iter().map(|s| {
            let known = looks.get(&s.number).filter(|look| look.connected == s.connected);
            let look = look(known, s, now);
            next.insert(s.number, look);
            look.rate
        });
        let rates = rates.collect();
        *looks = next;
        rates
    }
}

fn look(known: Option<&Look>, session: &SessionStats, now: Instant) -> Look {
    let (seconds, records, bytes) = match known {
        Some(look) => (now.duration_since(look.at).as_secs_f64(), look.records, look.bytes),
        None => (session.connected.elapsed().unwrap_or_default().as_secs_f64(), 0, 0),
    };
    if let Some(look) = known
        && seconds < LEAST
    {
        return *look;
    }
    let rate = |new: u64, old: u64| new.saturating_sub(old) as f64 / seconds.max(LEAST);
    let rate = (rate(session.records, records), rate(session.bytes, bytes));
    Look { connected: session.connected, at: now, records: session.records, bytes: session.bytes, rate }
}
