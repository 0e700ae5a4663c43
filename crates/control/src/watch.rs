//! What counts now, looked at often.

use crate::administrator::{Pause, captured, pause};
use crate::database::{Database, Durable, Result};
use crate::event_type::Captured;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the file is asked whether something changed.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// What an administrator has set, for a process that asks again and again. While the file cannot be read, what was
/// known stays in force.
#[derive(Debug)]
pub struct Watch {
    database: Database,
    looked: Instant,
    version: Option<i64>,
    failed: bool,
    captured: Captured,
    pause: Option<Pause>,
}

impl Watch {
    /// Opens the file; makes it if it is not there.
    ///
    /// # Errors
    /// [`Error::Create`](crate::Error::Create), [`Error::Database`](crate::Error::Database),
    /// [`Error::Version`](crate::Error::Version).
    pub fn open(path: &Path) -> Result<Watch> {
        let database = Database::open(path, Durable::Soon)?;
        let (captured, pause) = (database.run(captured)?, database.run(pause)?);
        Ok(Watch { database, looked: Instant::now(), version: None, failed: false, captured, pause })
    }

    /// Reads what changed, if the last look is a tenth of a second ago; says whether anything did.
    pub fn look(&mut self) -> bool {
        if self.looked.elapsed() < LOOK { false } else { self.refresh() }
    }

    /// Reads what changed; says whether anything did.
    pub fn refresh(&mut self) -> bool {
        self.looked = Instant::now();
        match self.read() {
            Ok(changed) => {
                self.failed = false;
                changed
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::error!("{error}. What was set before stays in force");
                }
                false
            }
        }
    }

    /// The event types that are captured and may be sent.
    pub fn captured(&self) -> Captured {
        self.captured
    }

    /// Whether the whole service is paused.
    pub fn pause(&self) -> Option<&Pause> {
        self.pause.as_ref()
    }

    fn read(&mut self) -> Result<bool> {
        let version = self.database.version()?;
        if self.version == Some(version) {
            return Ok(false);
        }
        let (captured, pause) = (self.database.run(captured)?, self.database.run(pause)?);
        self.version = Some(version);
        let changed = captured != self.captured || pause != self.pause;
        (self.captured, self.pause) = (captured, pause);
        Ok(changed)
    }
}
