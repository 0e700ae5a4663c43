//! The administrator's side.

use crate::database::{Database, Durable, Error, Result, now};
use crate::event_type::{Captured, EventType};
use crate::rates::{self, Rates};
use crate::sensors::{self, SensorStatus};
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The highest netmap id: a record type word has 15 bits for it.
const MAX_NETMAP: u32 = 0x7fff;

/// Longest name of a domain and longest reason of a pause, in characters.
const MAX_TEXT: usize = 128;

/// Reads and sets what counts for the service and its sensors. What is set is durable when the call returns, and
/// in force everywhere within a fraction of a second. Any number of processes may do so.
#[derive(Debug)]
pub struct Control {
    database: Mutex<Database>,
}

/// Why and since when the stream is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// What the administrator gave as the reason, such as "backup".
    pub reason: String,
    /// Unix seconds.
    pub since: i64,
}

/// A domain: a part of the installation with devices, an archive and a network map of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Its netmap id, 0 to 32767.
    pub netmap: u32,
    /// Its name.
    pub name: String,
}

impl Control {
    /// Opens the file; makes it if it is not there, with all event types captured.
    ///
    /// # Errors
    /// [`Error::Create`], [`Error::Database`], [`Error::Version`].
    pub fn open(path: &Path) -> Result<Control> {
        Ok(Control { database: Mutex::new(Database::open(path, Durable::Yes)?) })
    }

    /// The event types that are captured and may be sent.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn captured(&self) -> Result<Captured> {
        self.lock().run(captured)
    }

    /// Checks or unchecks an event type. Nothing that is archived is deleted.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn set_captured(&self, event_type: EventType, on: bool) -> Result<()> {
        let change = if on {
            "DELETE FROM unchecked WHERE event_type = ?"
        } else {
            "INSERT OR IGNORE INTO unchecked (event_type) VALUES (?)"
        };
        self.lock().run(|c| c.execute(change, [event_type.key()])).map(drop)
    }

    /// Whether the whole service is paused.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn pause(&self) -> Result<Option<Pause>> {
        self.lock().run(pause)
    }

    /// Pauses the whole service, as a management center does for a backup: sensors write nothing and keep what they
    /// have, sessions stay open and get no events. A second pause changes the reason only. A sensor counts as held when it
    /// says so after this.
    ///
    /// # Errors
    /// [`Error::BadName`] for an unusable reason, [`Error::Database`].
    pub fn set_pause(&self, reason: &str) -> Result<Pause> {
        check_text(reason)?;
        let mut database = self.lock();
        database.change(|c| {
            c.execute(
                "INSERT INTO pause (one, reason, since) VALUES (1, ?1, ?2)
                 ON CONFLICT (one) DO UPDATE SET reason = excluded.reason",
                params![reason, now()],
            )?;
            c.execute("UPDATE sensors SET holding = 0", [])?;
            c.query_row("SELECT reason, since FROM pause", [], read_pause)
        })
    }

    /// Ends a pause; does nothing when there is none.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn resume(&self) -> Result<()> {
        self.lock().run(|c| c.execute("DELETE FROM pause", [])).map(drop)
    }

    /// The domains that have a name, by netmap id.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn domains(&self) -> Result<Vec<Domain>> {
        self.lock().run(|c| {
            let mut statement = c.prepare_cached("SELECT netmap, name FROM domains ORDER BY netmap")?;
            let rows = statement.query_map([], |row| Ok(Domain { netmap: row.get(0)?, name: row.get(1)? }))?;
            rows.collect()
        })
    }

    /// Names a domain.
    ///
    /// # Errors
    /// [`Error::DomainThere`] when netmap id or name is taken, [`Error::BadName`], [`Error::BadNetmap`],
    /// [`Error::Database`].
    pub fn add_domain(&self, netmap: u32, name: &str) -> Result<()> {
        check_text(name)?;
        if netmap > MAX_NETMAP {
            return Err(Error::BadNetmap(netmap));
        }
        let insert = "INSERT OR IGNORE INTO domains (netmap, name) VALUES (?, ?)";
        match self.lock().run(|c| c.execute(insert, params![netmap, name]))? {
            0 => Err(Error::DomainThere { netmap, name: name.to_owned() }),
            _ => Ok(()),
        }
    }

    /// The sensors that ever reported, by domain and name.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn sensors(&self) -> Result<Vec<SensorStatus>> {
        self.lock().run(|c| sensors::list(c, now()))
    }

    /// Holds a sensor, or lets it go on. A held sensor keeps its place and what it has; nothing is lost.
    ///
    /// # Errors
    /// [`Error::NoSensor`], [`Error::Database`].
    pub fn set_sensor_paused(&self, id: i64, paused: bool) -> Result<()> {
        let changed = self.lock().run(|c| c.execute("UPDATE sensors SET paused = ? WHERE id = ?", params![paused, id]));
        changed.and_then(|n| if n == 0 { Err(Error::NoSensor(id)) } else { Ok(()) })
    }

    /// Takes a sensor off the list. One that runs comes back by itself.
    ///
    /// # Errors
    /// [`Error::NoSensor`], [`Error::Database`].
    pub fn forget_sensor(&self, id: i64) -> Result<()> {
        let changed = self.lock().run(|c| c.execute("DELETE FROM sensors WHERE id = ?", [id]));
        changed.and_then(|n| if n == 0 { Err(Error::NoSensor(id)) } else { Ok(()) })
    }

    /// How many events of each type came into the archives in the last `minutes` (1 to 1440).
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn rates(&self, minutes: u32) -> Result<Rates> {
        self.lock().run(|c| rates::read(c, now(), minutes))
    }

    /// Also after a panic elsewhere: a change is one transaction.
    fn lock(&self) -> MutexGuard<'_, Database> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The checked types; a name of another version of this program says nothing.
pub(crate) fn captured(connection: &Connection) -> rusqlite::Result<Captured> {
    let mut statement = connection.prepare_cached("SELECT event_type FROM unchecked")?;
    let mut rows = statement.query([])?;
    let mut captured = Captured::ALL;
    while let Some(row) = rows.next()? {
        let key: String = row.get(0)?;
        if let Some(event_type) = EventType::from_key(&key) {
            captured = captured.with(event_type, false);
        }
    }
    Ok(captured)
}

pub(crate) fn pause(connection: &Connection) -> rusqlite::Result<Option<Pause>> {
    connection.prepare_cached("SELECT reason, since FROM pause")?.query_row([], read_pause).optional()
}

fn read_pause(row: &rusqlite::Row<'_>) -> rusqlite::Result<Pause> {
    Ok(Pause { reason: row.get(0)?, since: row.get(1)? })
}

fn check_text(text: &str) -> Result<()> {
    let length = text.chars().count();
    match (1..=MAX_TEXT).contains(&length) && !text.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(Error::BadName { name: text.chars().take(MAX_TEXT).collect() }),
    }
}
