//! What became of every line.

use std::collections::BTreeMap;
use std::fmt;

/// The most event types that have a row of their own: a line can claim any.
const MAX_TYPES: usize = 64;

/// The row of all others.
const OTHER: &str = "(other)";

/// The row of lines that are no events.
pub const BAD: &str = "(bad line)";

/// What became of the lines of one event type. Each line is in exactly one of `mapped`, `joined`, `repeated`, `waiting`
/// and `lost`; lines an earlier run left waiting are in `carried`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Lines read.
    pub lines: u64,
    /// Lines of an earlier run that waited for the end of their flow.
    pub carried: u64,
    /// Lines that became records of their own.
    pub mapped: u64,
    /// Lines that are in the connection event of their flow.
    pub joined: u64,
    /// The same, but all they tell was known of the flow, or has no field: the event has nothing of them.
    pub repeated: u64,
    /// Lines that wait for the end of their flow.
    pub waiting: u64,
    /// Lines that became nothing, by reason.
    pub lost: BTreeMap<String, u64>,
    /// Records made, by type.
    pub records: BTreeMap<u16, u64>,
    /// Parts of lines that were left out, by kind.
    pub parts: BTreeMap<&'static str, u64>,
}

impl Row {
    /// Lines that became nothing.
    pub fn lost(&self) -> u64 {
        self.lost.values().sum()
    }

    /// Whether every line is accounted for.
    pub fn adds_up(&self) -> bool {
        self.lines + self.carried == self.mapped + self.joined + self.repeated + self.waiting + self.lost()
    }
}

/// What became of all lines, by event type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    rows: BTreeMap<String, Row>,
    pub(super) unfinished: u64,
}

impl Tally {
    /// All rows.
    pub fn rows(&self) -> &BTreeMap<String, Row> {
        &self.rows
    }

    /// Connection events of flows whose flow line had not come: they were too many or too old, or the input ended.
    pub fn unfinished(&self) -> u64 {
        self.unfinished
    }

    /// Lines read.
    pub fn lines(&self) -> u64 {
        self.rows.values().map(|row| row.lines).sum()
    }

    /// Records of a type.
    pub fn records(&self, record_type: u16) -> u64 {
        self.rows.values().filter_map(|row| row.records.get(&record_type)).sum()
    }

    /// Lines that are no events: damaged, too long, or without what they must have.
    pub fn bad(&self) -> u64 {
        self.rows.get(BAD).map_or(0, Row::lost)
    }

    /// Events without a record.
    pub fn unmapped(&self) -> u64 {
        self.rows.values().map(Row::lost).sum::<u64>() - self.bad()
    }

    /// Whether every line is accounted for.
    pub fn adds_up(&self) -> bool {
        self.rows.values().all(Row::adds_up)
    }

    /// The row of an event type.
    pub(super) fn row(&mut self, event_type: &str) -> &mut Row {
        let known = self.rows.contains_key(event_type) || self.rows.len() < MAX_TYPES && event_type.len() <= 64;
        self.rows.entry(if known { event_type } else { OTHER }.to_owned()).or_default()
    }

    /// Counts a line that became nothing.
    pub(super) fn lose(&mut self, event_type: &str, reason: &str) {
        *self.row(event_type).lost.entry(reason.to_owned()).or_default() += 1;
    }
}

impl fmt::Display for Tally {
    /// A table: line type, lines, and what they became.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<12} {:>9}  became", "line type", "lines")?;
        for (event_type, row) in &self.rows {
            write!(f, "\n{event_type:<12} {:>9}  ", row.lines)?;
            let mut parts: Vec<String> =
                row.records.iter().map(|(record, count)| format!("{count} × record {record}")).collect();
            for (count, what) in [
                (row.joined, "in the connection event of their flow"),
                (row.repeated, "of a flow whose connection event has nothing more of them"),
                (row.waiting, "waiting for the end of their flow"),
                (row.carried, "more from an earlier run"),
            ] {
                if count > 0 {
                    parts.push(format!("{count} {what}"));
                }
            }
            parts.extend(row.lost.iter().map(|(reason, count)| format!("{count} not mapped ({reason})")));
            parts.extend(row.parts.iter().map(|(what, count)| format!("{count} without {what}")));
            f.write_str(&parts.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_bounded_and_nothing_is_uncounted() {
        let mut tally = Tally::default();
        for number in 0..1000 {
            let event_type = format!("type-{number}");
            tally.row(&event_type).lines += 1;
            tally.lose(&event_type, "unknown");
        }
        assert!(tally.rows().len() <= MAX_TYPES + 1);
        assert_eq!((tally.lines(), tally.unmapped()), (1000, 1000));
        assert!(tally.adds_up());
    }
}
