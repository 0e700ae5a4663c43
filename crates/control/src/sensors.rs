//! The sensors that report.

use rusqlite::{Connection, Row};

/// A sensor that has not reported for this many seconds is silent.
const SILENT: i64 = 10;

/// What a sensor says of itself when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sensor<'a> {
    /// Netmap id of its domain.
    pub netmap: u32,
    /// Its name in the archive: it has its position there.
    pub source: &'a str,
    /// Its device id.
    pub device: u32,
    /// The name of the device.
    pub name: &'a str,
    /// What it reads: "eve", "unified2", "simulator", ...
    pub kind: &'a str,
}

/// How a sensor is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct SensorStatus {
    /// Its number here.
    pub id: i64,
    /// Netmap id of its domain.
    pub netmap: u32,
    /// Its name in the archive.
    pub source: String,
    /// Its device id.
    pub device: u32,
    /// The name of the device.
    pub name: String,
    /// What it reads.
    pub kind: String,
    /// What it does.
    pub state: SensorState,
    /// An administrator wants it to be held.
    pub paused: bool,
    /// What it waits for, in words, if it does.
    pub waiting: Option<String>,
    /// When its process started, Unix seconds.
    pub started: i64,
    /// When it reported last, Unix seconds.
    pub seen: i64,
    /// Events it has put into the archive since it was first seen.
    pub events: u64,
    /// Events it left out, because their type is not captured.
    pub discarded: u64,
    /// Events a second at its last report; 0 when it does not run.
    pub rate: f64,
    /// Time of its newest event, Unix seconds.
    pub last_event: Option<i64>,
    /// How many seconds it is behind what it reads, if it can tell.
    pub lag: Option<u32>,
}

/// What a sensor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SensorState {
    /// It reads.
    Running,
    /// It cannot go on and waits; see [`SensorStatus::waiting`].
    Waiting,
    /// It is held by an administrator.
    Paused,
    /// Its process ended in order.
    Stopped,
    /// It should report, and does not.
    Silent,
}

impl SensorState {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            SensorState::Running => "running",
            SensorState::Waiting => "waiting",
            SensorState::Paused => "paused",
            SensorState::Stopped => "stopped",
            SensorState::Silent => "silent",
        }
    }
}

pub(crate) fn list(connection: &Connection, now: i64) -> rusqlite::Result<Vec<SensorStatus>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, netmap, source, device, name, kind, paused, holding, pid, waiting, started, seen, events, discarded,
                rate, last_event, lag
         FROM sensors ORDER BY netmap, name, source",
    )?;
    statement.query_map([], |row| read(row, now))?.collect()
}

fn read(row: &Row<'_>, now: i64) -> rusqlite::Result<SensorStatus> {
    let (pid, holding): (Option<u32>, bool) = (row.get("pid")?, row.get("holding")?);
    let (seen, waiting): (i64, Option<String>) = (row.get("seen")?, row.get("waiting")?);
    let state = match pid {
        None => SensorState::Stopped,
        Some(_) if now.saturating_sub(seen) > SILENT => SensorState::Silent,
        Some(_) if holding => SensorState::Paused,
        Some(_) if waiting.is_some() => SensorState::Waiting,
        Some(_) => SensorState::Running,
    };
    let runs = matches!(state, SensorState::Running | SensorState::Waiting | SensorState::Paused);
    let rate: f64 = row.get("rate")?;
    Ok(SensorStatus {
        id: row.get("id")?,
        netmap: row.get("netmap")?,
        source: row.get("source")?,
        device: row.get("device")?,
        name: row.get("name")?,
        kind: row.get("kind")?,
        state,
        paused: row.get("paused")?,
        waiting: waiting.filter(|_| runs),
        started: row.get("started")?,
        seen,
        events: row.get::<_, i64>("events")?.unsigned_abs(),
        discarded: row.get::<_, i64>("discarded")?.unsigned_abs(),
        rate: if runs { rate } else { 0.0 },
        last_event: row.get("last_event")?,
        lag: row.get("lag")?,
    })
}
