//! Formats and destinations of collected events.
//!
//! A [`Format`] turns a [`Resolved`] record into a line of bytes; a [`Destination`] makes lines durable and says so.
//! Neither knows where records come from.
//!
//! * [`resolved`]: what a format is given, and the trait;
//! * [`json`]: JSON lines shaped as Cisco eNcore writes them;
//! * [`destination`]: the trait, its errors, and the contract by which files get each event exactly once;
//! * [`file`](mod@file) and [`stdout`]: the destinations;
//! * [`uri`]: eNcore's names for destinations (`relfile:///data/json/encore.{0}.json`).

pub mod destination;
pub mod file;
pub mod json;
pub mod resolved;
pub mod stdout;
mod text;
pub mod uri;

pub use destination::{Destination, Error};
pub use file::{File, Settings};
pub use json::Json;
pub use resolved::{Computed, Format, Resolved};
pub use stdout::Stdout;
pub use uri::Target;
