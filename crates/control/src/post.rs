//! A sensor's side.

use crate::administrator::{captured, pause};
use crate::database::{Database, Durable, Result, now};
use crate::event_type::{Captured, EventType};
use crate::rates;
use crate::sensors::Sensor;
use crate::watch::LOOK;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;
use std::time::Instant;

/// A sensor's place in the file: what it is told, and where it reports. Dropping it says that the sensor ended.
#[derive(Debug)]
pub struct Post {
    database: Database,
    about: About,
    id: i64,
    looked: Instant,
    version: Option<i64>,
    failed: bool,
    orders: Orders,
    active: bool,
    beaten: Instant,
}

/// What a sensor says of itself, kept so that it can say it again after it was forgotten.
#[derive(Debug)]
struct About {
    netmap: u32,
    source: String,
    device: u32,
    name: String,
    kind: String,
}

/// What a sensor is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// The event types it is to capture.
    pub captured: Captured,
    /// Why it is to write nothing for now, if it is.
    pub hold: Option<String>,
}

/// What a sensor reports, about once a second.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beat {
    /// Events put into the archive since the last report, by type; a type may come more than once.
    pub events: Vec<(EventType, u64)>,
    /// Events left out since the last report, because their type is not captured.
    pub discarded: u64,
    /// Time of the newest event, Unix seconds.
    pub last_event: Option<i64>,
    /// Seconds it is behind what it reads, if it can tell.
    pub lag: Option<u32>,
    /// What it waits for, if it cannot go on, in words: "the archive has no room".
    pub waiting: Option<String>,
}

impl Post {
    /// Registers a sensor, or finds its place again.
    ///
    /// # Errors
    /// [`Error::Create`](crate::Error::Create), [`Error::Database`](crate::Error::Database),
    /// [`Error::Version`](crate::Error::Version).
    pub fn open(path: &Path, sensor: &Sensor<'_>) -> Result<Post> {
        let mut database = Database::open(path, Durable::Soon)?;
        let about = About {
            netmap: sensor.netmap,
            source: sensor.source.to_owned(),
            device: sensor.device,
            name: sensor.name.to_owned(),
            kind: sensor.kind.to_owned(),
        };
        let id = database.change(|c| about.register(c))?;
        let orders = database.run(|c| read_orders(c, id))?;
        let now = Instant::now();
        Ok(Post { database, about, id, looked: now, version: None, failed: false, orders, active: false, beaten: now })
    }

    /// What counts, read again if the last look is a tenth of a second ago. While the file cannot be read, what was
    /// known stays in force.
    pub fn orders(&mut self) -> &Orders {
        if self.looked.elapsed() >= LOOK { self.refresh() } else { &self.orders }
    }

    /// What counts, read now.
    pub fn refresh(&mut self) -> &Orders {
        self.looked = Instant::now();
        match self.read() {
            Ok(()) => self.failed = false,
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::error!("{error}. What was set before stays in force");
                }
            }
        }
        &self.orders
    }

    /// Says whether the sensor may still write at this moment, which it may for a while after it was told to hold. Only
    /// one that is not active is reported as held; at first none is.
    pub fn set_active(&mut self, active: bool) {
        self.active = active;
    }

    /// Reports how it goes. It is reported as held when it last was in [`orders`](Self::orders) and is not
    /// [active](Self::set_active).
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database); a sensor goes on and adds the numbers to its next report.
    pub fn beat(&mut self, beat: &Beat) -> Result<()> {
        let events: u64 = beat.events.iter().map(|(_, n)| *n).sum();
        let seconds = self.beaten.elapsed().as_secs_f64().max(0.001);
        let rate = if events == 0 { 0.0 } else { events as f64 / seconds };
        let (id, about, holding) = (self.id, &self.about, self.orders.hold.is_some() && !self.active);
        let id = self.database.change(|c| {
            let report = |id: i64| {
                c.prepare_cached(
                    "UPDATE sensors SET seen = ?, holding = ?, events = events + ?, discarded = discarded + ?, rate = ?,
                            last_event = coalesce(?, last_event), lag = ?, waiting = ?, pid = ?
                     WHERE id = ?",
                )?
                .execute(params![
                    now(),
                    holding,
                    signed(events),
                    signed(beat.discarded),
                    rate,
                    beat.last_event,
                    beat.lag,
                    beat.waiting,
                    std::process::id(),
                    id
                ])
            };
            let mut place = id;
            if report(place)? == 0 {
                // An administrator took it off the list.
                place = about.register(c)?;
                report(place)?;
            }
            rates::add(c, now(), &beat.events)?;
            Ok(place)
        })?;
        self.id = id;
        self.beaten = Instant::now();
        Ok(())
    }

    fn read(&mut self) -> Result<()> {
        let version = self.database.version()?;
        if self.version != Some(version) {
            self.orders = self.database.run(|c| read_orders(c, self.id))?;
            self.version = Some(version);
        }
        Ok(())
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        // One that cannot say goodbye is silent instead.
        let _ = self.database.run(|c| {
            c.execute("UPDATE sensors SET pid = NULL, rate = 0, seen = ? WHERE id = ?", params![now(), self.id])
        });
    }
}

impl About {
    fn register(&self, connection: &Connection) -> rusqlite::Result<i64> {
        connection.query_row(
            "INSERT INTO sensors (netmap, source, device, name, kind, pid, started, seen)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)
             ON CONFLICT (netmap, source) DO UPDATE SET
                device = excluded.device, name = excluded.name, kind = excluded.kind, pid = excluded.pid,
                started = excluded.started, seen = excluded.seen, rate = 0, lag = NULL, waiting = NULL
             RETURNING id",
            params![self.netmap, self.source, self.device, self.name, self.kind, std::process::id(), now()],
            |row| row.get(0),
        )
    }
}

fn read_orders(connection: &Connection, id: i64) -> rusqlite::Result<Orders> {
    let whole = pause(connection)?.map(|pause| format!("the whole service is paused: {}", pause.reason));
    let paused: Option<bool> = connection
        .prepare_cached("SELECT paused FROM sensors WHERE id = ?")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let own = paused.unwrap_or(false).then(|| "an administrator paused this sensor".to_owned());
    Ok(Orders { captured: captured(connection)?, hold: whole.or(own) })
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
