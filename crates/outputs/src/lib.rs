//! Formats and destinations of collected events.
//!
//! A [`Format`] turns a [`Resolved`] record into a line of bytes; a [`Destination`] makes lines durable and says so.
//! Neither knows where records come from.
//!
//! * [`resolved`]: what a format is given, and the trait;
//! * [`by_name`]: all formats by name and [`Dialect`], with their [`Options`];
//! * [`json`]: JSON lines shaped as Cisco eNcore writes them;
//! * [`destination`]: the trait, its errors, and the contract by which files get each event exactly once;
//! * [`file`](mod@file) and [`stdout`]: the destinations;
//! * [`scp`]: where complete files are copied to;
//! * [`spool`], [`sender`], [`transport`]: lines that go over the network wait on disk until the other side has them;
//! * [`uri`]: eNcore's names for destinations (`relfile:///data/json/encore.{0}.json`).

mod cef;
pub mod clock;
mod community;
mod csv;
pub mod destination;
pub mod dialect;
pub mod file;
mod fmc;
pub mod json;
mod mapping;
pub mod metrics;
mod packet;
mod pretty;
mod python;
mod raw;
pub mod registry;
pub mod resolved;
pub mod scp;
pub mod sender;
mod splunk;
pub mod spool;
pub mod stdout;
mod style;

mod text;
pub mod transport;
mod tree;
pub mod uri;

pub use clock::Clock;
pub use destination::{Destination, Error};
pub use dialect::{Dialect, UnknownDialect};
pub use file::{File, Settings};
pub use json::Json;
pub use mapping::MappingError;
pub use metrics::{Counts, Metrics};
pub use packet::{PacketEncoding, encore_payload};
pub use registry::{FormatError, Options, by_name};
pub use resolved::{Computed, Format, Resolved};
pub use sender::{Remote, Sender};
pub use spool::{Overflow, Spool};
pub use stdout::Stdout;
pub use transport::Transport;
pub use uri::Target;
