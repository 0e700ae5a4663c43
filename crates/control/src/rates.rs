//! Events by type over time, for a chart.

use crate::event_type::EventType;
use rusqlite::{Connection, params};

/// Events are counted together for this many seconds.
pub const RATE_SECONDS: u32 = 10;

/// What is older than this many seconds is forgotten.
const KEPT: i64 = 86_400 + 600;

/// Longest span that is read, in minutes.
const LONGEST: u32 = 1440;

/// Events of each type in steps of [`RATE_SECONDS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    /// Unix second at which the first step begins.
    pub start: i64,
    /// The number of events in each whole step, oldest first; all have the same length.
    pub series: Vec<(EventType, Vec<u64>)>,
}

pub(crate) fn add(connection: &Connection, now: i64, events: &[(EventType, u64)]) -> rusqlite::Result<()> {
    let bucket = bucket(now);
    let mut insert = connection.prepare_cached(
        "INSERT INTO rates (bucket, event_type, events) VALUES (?, ?, ?)
         ON CONFLICT (bucket, event_type) DO UPDATE SET events = events + excluded.events",
    )?;
    for (event_type, count) in events.iter().filter(|(_, count)| *count > 0) {
        insert.execute(params![bucket, event_type.key(), i64::try_from(*count).unwrap_or(i64::MAX)])?;
    }
    connection.prepare_cached("DELETE FROM rates WHERE bucket < ?")?.execute([now.saturating_sub(KEPT)])?;
    Ok(())
}

/// The steps that are over; the present one is not counted yet.
pub(crate) fn read(connection: &Connection, now: i64, minutes: u32) -> rusqlite::Result<Rates> {
    let end = bucket(now);
    let start = end - i64::from(minutes.clamp(1, LONGEST)) * 60;
    let steps = usize::try_from((end - start) / i64::from(RATE_SECONDS)).unwrap_or(0);
    let mut series: Vec<_> = EventType::ALL.into_iter().map(|t| (t, vec![0; steps])).collect();
    let mut statement =
        connection.prepare_cached("SELECT bucket, event_type, events FROM rates WHERE bucket >= ? AND bucket < ?")?;
    let mut rows = statement.query([start, end])?;
    while let Some(row) = rows.next()? {
        let (at, key, events): (i64, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let step = usize::try_from((at - start) / i64::from(RATE_SECONDS)).unwrap_or(usize::MAX);
        let values = series.iter_mut().find(|(t, _)| t.key() == key).map(|(_, values)| values);
        if let Some(value) = values.and_then(|values| values.get_mut(step)) {
            *value = events.unsigned_abs();
        }
    }
    Ok(Rates { start, series })
}

fn bucket(now: i64) -> i64 {
    now - now.rem_euclid(i64::from(RATE_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_add_up_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let mut database = crate::database::Database::open(&path, crate::database::Durable::Soon).unwrap();
        let at = |database: &mut crate::database::Database, now, events| {
            database.change(|c| add(c, now, &[(EventType::File, events)])).unwrap();
        };
        for (now, events) in [(1_000_003, 4), (1_000_009, 5), (1_000_010, 7)] {
            at(&mut database, now, events);
        }
        let rates = database.run(|c| read(c, 1_000_020, 1)).unwrap();
        assert_eq!(rates.start, 999_960);
        for (event_type, values) in &rates.series {
            let expected = if *event_type == EventType::File { [0, 0, 0, 0, 9, 7] } else { [0; 6] };
            assert_eq!(values, &expected, "{event_type:?}");
        }
        at(&mut database, 1_100_000, 1);
        let rows: i64 = database.run(|c| c.query_row("SELECT count(*) FROM rates", [], |r| r.get(0))).unwrap();
        assert_eq!(rows, 1);
    }
}
