//! What a format is given: a decoded record and the names that belong to its numbers.

use std::borrow::Cow;
use wire::decode::{Record, View};
use wire::message::MessageType;

/// A decoded record with what was derived for it.
#[derive(Debug, Clone, Copy)]
pub struct Resolved<'a> {
    /// The record.
    pub record: &'a Record<'a>,
    /// Names and derived values in print order.
    pub computed: &'a [(&'static str, Computed<'a>)],
}

/// A value that is not on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Computed<'a> {
    /// A name or other text.
    Text(Cow<'a, str>),
    /// A number.
    Uint(u64),
    /// The content of a String block that is printed as a block: eNcore 5 keeps users so.
    Block(&'a [u8]),
    /// Looked for and not found, where that is worth a word (eNcore's `sensor`).
    Null,
}

/// A way to write a record as a line.
pub trait Format: Send + Sync {
    /// Appends the record as one line with its `\n`. Gives `false`, and appends nothing, when the format has nothing to
    /// say about this record.
    fn format(&self, event: &Resolved<'_>, out: &mut Vec<u8>) -> bool;

    /// Appends the block of a host data message (single or multiple) as one line with its `\n`. Gives `false`, and
    /// appends nothing, when the format has no lines for hosts.
    fn host(&self, _kind: MessageType, _block: View<'_>, _out: &mut Vec<u8>) -> bool {
        false
    }

    /// Appends the line that a file of this format begins with. Gives `false`, and appends nothing, when there is none.
    fn header(&self, _out: &mut Vec<u8>) -> bool {
        false
    }
}
