//! Where archival seconds come from.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// A source of the time in seconds since 1970-01-01 UTC.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u32 + Send + Sync>);

impl Clock {
    /// The clock of the system.
    pub fn system() -> Self {
        Clock::new(|| {
            let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
            u32::try_from(seconds).unwrap_or(u32::MAX)
        })
    }

    /// A clock that asks `now`.
    pub fn new(now: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        Clock(Arc::new(now))
    }

    /// The time now.
    pub fn now(&self) -> u32 {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
