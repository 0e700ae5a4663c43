//! What an administrator sets, and what sensors report: event types, pauses, domains, devices.
//!
//! All of it is one SQLite file of a home, `control.db`, so that the service, its sensors, the administration page and
//! the commands, each a process of its own, see a change at once.
//!
//! | Who | uses |
//! |---|---|
//! | an administrator, by page or command | [`Control`] |
//! | the service | [`Watch`]: what may be sent, whether the stream is held |
//! | a sensor | [`Post`]: what it is to capture, whether it is held, and how it is doing |
//!
//! ```
//! # fn main() -> Result<(), control::Error> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = &folder.path().join("control.db");
//! use control::{Beat, Control, EventType, Post, Sensor};
//!
//! let control = Control::open(path)?;
//! let mut post = Post::open(path, &Sensor { netmap: 0, source: "eve-3", device: 3, name: "ids-3", kind: "eve" })?;
//! control.set_captured(EventType::Packets, false)?;
//! assert!(!post.refresh().captured.allows(2));
//! post.beat(&Beat { events: vec![(EventType::Intrusion, 17)], ..Beat::default() })?;
//! assert_eq!(control.sensors()?[0].events, 17);
//! # Ok(())
//! # }
//! ```

mod administrator;
mod database;
mod event_type;
mod post;
mod rates;
mod sensors;
mod watch;

pub use administrator::{Control, Domain, Pause};
pub use database::{Error, Result};
pub use event_type::{Captured, EventType, Table};
pub use post::{Beat, Orders, Post};
pub use rates::{RATE_SECONDS, Rates};
pub use sensors::{Sensor, SensorState, SensorStatus};
pub use watch::Watch;
