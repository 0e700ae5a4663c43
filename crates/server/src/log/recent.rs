//! The lines that were logged last, for whoever looks at them in the program itself.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tracing::Level;

use super::entry::{Entry, cut, safe};
use super::rank;

/// How many lines are kept.
const KEPT: usize = 2000;

/// Bytes of a text that are kept, so that all of them take a few megabytes at most.
const TEXT: usize = 2048;

/// The lines that were logged last: the newest 2,000, numbered from 1 since the start of the program. Clones look at the
/// same lines.
#[derive(Debug, Clone, Default)]
pub struct Recent(Arc<Mutex<Ring>>);

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<Line>,
    last: u64,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number.
    pub number: u64,
    /// When it was logged.
    pub time: Timestamp,
    /// How important it is.
    pub level: Level,
    /// Who said it: `Event Streamer`, or `EventStreamer child(NAME)`.
    pub process: String,
    /// Which part of it, as `ConnectionHandler`.
    pub component: String,
    /// What: at most 2 KiB of it. Control characters are escaped.
    pub text: String,
}

impl Recent {
    /// At most `limit` lines of this level or a more severe one, oldest first: those that follow the line `number`, or,
    /// if that is 0, the newest ones.
    pub fn after(&self, number: u64, limit: usize, level: Level) -> Vec<Line> {
        let ring = self.lock();
        let wanted = |line: &&Line| rank(&line.level) <= rank(&level);
        if number > 0 {
            return ring.lines.iter().filter(|l| l.number > number).filter(wanted).take(limit).cloned().collect();
        }
        let mut newest: Vec<Line> = ring.lines.iter().rev().filter(wanted).take(limit).cloned().collect();
        newest.reverse();
        newest
    }

    /// The number of the newest line, 0 before the first.
    pub fn last(&self) -> u64 {
        self.lock().last
    }

    pub(super) fn push(&self, entry: &Entry) {
        let mut text = entry.text();
        cut(&mut text, TEXT);
        let process = safe(entry.process.clone());
        let mut ring = self.lock();
        ring.last += 1;
        let line = Line {
            number: ring.last,
            time: entry.time,
            level: entry.level,
            process,
            component: entry.component.clone(),
            text,
        };
        if ring.lines.len() >= KEPT {
            ring.lines.pop_front();
        }
        ring.lines.push_back(line);
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Fields;
    use super::*;

    #[test]
    fn the_newest_are_kept_and_pages_follow_each_other() {
        let recent = Recent::default();
        assert!(recent.after(0, 10, Level::TRACE).is_empty() && recent.last() == 0);
        for n in 1..=KEPT + 5 {
            let level = if n % 10 == 0 { Level::ERROR } else { Level::INFO };
            recent.push(&Entry::new(Timestamp::UNIX_EPOCH, level, "server", 1, Fields::default()));
        }
        let numbers =
            |after, limit, level| -> Vec<u64> { recent.after(after, limit, level).iter().map(|l| l.number).collect() };
        assert_eq!(numbers(0, 3, Level::TRACE), [2003, 2004, 2005]);
        assert_eq!(numbers(0, 2, Level::WARN), [1990, 2000]);
        assert_eq!(numbers(1, 2, Level::INFO), [6, 7], "what fell out is passed over");
        assert_eq!(numbers(7, 2, Level::ERROR), [10, 20]);
        assert_eq!(numbers(2003, 10, Level::DEBUG), [2004, 2005]);
        assert!(numbers(2005, 10, Level::TRACE).is_empty());
        assert_eq!((numbers(1, usize::MAX, Level::TRACE).len(), recent.last()), (KEPT, 2005));
    }
}
