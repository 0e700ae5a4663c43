//! Snort's unified2 log format and the spool directory it is written to.
//!
//! The format is public (Snort Users Manual, "Unified2"). A file is a plain
//! run of records; every number is big-endian:
//!
//! ```text
//! u32 record type | u32 length | length bytes of body
//! ```
//!
//! There is no magic number, no checksum and no mark to find the next record
//! by, so a damaged length makes the rest of the file unreadable.
//!
//! [`Frame`] splits bytes into records, [`Record`] is what a record says, and
//! [`Spool`] follows the files of a running sensor and remembers where it is.

mod cursor;
mod event;
mod files;
mod follow;
mod position;
mod record;
mod spool;

pub use event::{AppName, Event, Snort3};
pub use position::{Position, PositionError};
pub use record::{ExtraData, Frame, Packet, Record, RecordError, extra, kind};
pub use spool::{Counts, Entry, Item, Notice, Spool, SpoolError};

/// The longest record body that is believed, in bytes (16 MiB). Snort writes
/// at most one packet or one extra-data blob, about 64 KiB, to a record.
pub const MAX_RECORD: u32 = 16 * 1024 * 1024;
