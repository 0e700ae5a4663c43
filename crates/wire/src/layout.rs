//! Layouts: named, typed fields in wire order, compiled from the files in `schema/`.
//!
//! A [`Layout`] is a data block (series and block type) or the body of a record type. Everything else in this crate walks
//! these tables: there is no code for a particular record.

/// Layout of one data block or record body.
#[derive(Debug)]
pub struct Layout {
    /// Number of this layout, for tables beside this one; below [`LAYOUT_COUNT`].
    pub index: u16,
    /// 1 or 2; 0 for record bodies and the discovery event header.
    pub series: u8,
    /// Block type; for a record body the record type.
    pub number: u32,
    /// What it is, in the words of the guides.
    pub title: &'static str,
    /// Product versions that use it, where known.
    pub versions: &'static str,
    /// Where the layout is known from.
    pub source: &'static str,
    /// How far the layout can be trusted.
    pub certainty: Certainty,
    /// Whether current products send it.
    pub status: Status,
    /// Whether u32 block type and u32 block length come first.
    pub header: bool,
    /// Bytes of all fields when every text and list is empty, the header not counted.
    pub minimum: u32,
    /// The fields in wire order.
    pub fields: &'static [Field],
    /// Other forms in which the same block or record occurs.
    pub(crate) alternatives: &'static [Alternative],
    /// Some field is little-endian.
    pub(crate) little: bool,
    /// How many places a decoder keeps for the fields.
    pub(crate) slots: u16,
    by_name: &'static [u16],
    /// Enumerations of fields, in order of their positions. Not in [`Field`], which has to stay small for decoding.
    names: &'static [Naming],
}

impl Layout {
    /// The position of the field with this canonical name.
    pub fn position(&self, name: &str) -> Option<usize> {
        let name_at = |i: &u16| self.fields.get(usize::from(*i)).map_or("", |f| f.name);
        let found = self.by_name.binary_search_by(|i| name_at(i).cmp(name)).ok()?;
        self.by_name.get(found).map(|i| usize::from(*i))
    }

    /// The enumerations of the field at a position: at most one, or several under different conditions.
    pub fn names(&self, position: usize) -> impl Iterator<Item = &'static Naming> + use<> {
        self.names.iter().filter(move |n| usize::from(n.position) == position)
    }

    /// The enumeration of the field at a position, in a block or record whose integers `uint` gives by their positions.
    pub fn enumeration(&self, position: usize, uint: impl Fn(usize) -> Option<u64>) -> Option<&'static Enumeration> {
        let applies = |n: &&Naming| n.when.is_none_or(|(other, number)| uint(other.into()) == Some(number));
        self.names(position).find(applies).map(|n| n.of)
    }

    /// This form of the block or record body and the others it can come in, the expected one first.
    pub fn forms(&'static self) -> impl Iterator<Item = &'static Layout> {
        std::iter::once(self).chain(self.alternatives.iter().map(|a| a.layout))
    }

    /// The number is known and the fields are not: what has this layout is kept as bytes.
    pub fn is_gap(&self) -> bool {
        self.certainty == Certainty::Gap
    }

    /// Whether this stands for any block of its series.
    pub fn is_any(&self) -> bool {
        self.number == u32::MAX
    }

    /// A layout without fields.
    pub(crate) const fn bytes(index: u16, series: u8, number: u32, title: &'static str) -> Layout {
        Layout {
            index,
            series,
            number,
            title,
            versions: "",
            source: "",
            certainty: Certainty::Gap,
            status: Status::Current,
            header: series != 0,
            minimum: 0,
            fields: &[],
            alternatives: &[],
            little: false,
            slots: 0,
            by_name: &[],
            names: &[],
        }
    }
}

/// Any block of series 1 or 2: the type on the wire decides.
static ANY_1: Layout = Layout::bytes(u16::MAX - 1, 1, u32::MAX, "any block");
static ANY_2: Layout = Layout::bytes(u16::MAX - 2, 2, u32::MAX, "any block");

/// How far a layout can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// Read in a vendor guide or in the block table of the vendor's own client.
    Documented,
    /// Decoded by a client that ships and is used against real servers.
    Observed,
    /// Derived from neighbouring versions or by analogy.
    Inferred,
    /// Only the number and a name are known.
    Gap,
}

/// Whether current products send a block or record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Sent by current versions.
    Current,
    /// Sent only by old versions, or to clients that ask for old versions.
    Legacy,
    /// Travels between manager and sensors; not meant for clients.
    Internal,
}

/// Another form of a block or record.
#[derive(Debug)]
pub(crate) struct Alternative {
    pub when: When,
    pub layout: &'static Layout,
}

/// When an alternative is read. All of them look at the bytes behind the block header, or at the record body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// There are exactly so many bytes.
    Length(u32),
    /// A String block begins so many bytes on.
    String(u32),
    /// There is no block of exactly this length, and the alternative uses up the bytes or the block type is not this.
    NoBlock(u32),
    /// The expected form does not use up the bytes and the alternative does.
    Fits,
}

/// The length of a counted field that is all the rest of its block.
pub(crate) const REST: u16 = u16::MAX;

/// Two layouts are the same when they are the same table.
impl PartialEq for Layout {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}

impl Eq for Layout {}

/// One field of a layout.
#[derive(Debug)]
pub struct Field {
    /// Canonical name: the same thing has the same name in every version. Empty for the inline block of a record.
    pub name: &'static str,
    /// The name Cisco's eNcore prints.
    pub encore: &'static str,
    /// How it is written.
    pub kind: Kind,
    /// Size in bytes when that does not depend on the data, else 0.
    pub fixed: u8,
    /// The field is on the wire only when this earlier field is not 0.
    pub present_if: Option<u16>,
    /// The later field whose length in bytes this one holds.
    pub counts: Option<u16>,
    /// What is added to the number in this field to give the length of the field it counts.
    pub adjust: i16,
    /// A block that ends before this field is whole without it and what follows.
    pub optional: bool,
    /// A list whose blocks stand there without a list header, up to the end of the enclosing block.
    pub repeat: bool,
    /// An address in little-endian order.
    pub(crate) little: bool,
    /// The place a decoder keeps for this field, or for the run of fixed fields it belongs to.
    pub(crate) slot: u16,
    /// How many bytes after the start of that run it begins; 0 for the first of a run, which fills the slot.
    pub(crate) shift: u16,
    /// At the first of a run: how many fields from here on are always there and of fixed size. They can be taken at once.
    pub(crate) run: u16,
    /// And their bytes.
    pub(crate) run_bytes: u16,
}

/// That a field's numbers are those of an enumeration.
#[derive(Debug)]
pub struct Naming {
    /// Position of the field.
    pub position: u16,
    /// Only when the field at this position is this number.
    pub when: Option<(u16, u64)>,
    /// The enumeration.
    pub of: &'static Enumeration,
}

/// How a field is written.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Unsigned integer of 1, 2, 4 or 8 bytes.
    Uint,
    /// A fixed run of octets.
    Hex,
    /// Sixteen octets, shown 8-4-4-4-12.
    Uuid,
    /// Four octets.
    Ipv4,
    /// Sixteen octets; IPv4 as `::ffff:a.b.c.d`.
    Ipv6,
    /// Six octets.
    Mac,
    /// A String block: type 0, length, text.
    String,
    /// A BLOB block: type 10 (series 1) or 1 (series 2), length, octets.
    Blob,
    /// Octets counted by an earlier field.
    Counted {
        /// Position of the field that holds the length; no position when it is all the rest of the block.
        length: u16,
        /// Text rather than raw octets.
        text: bool,
    },
    /// A nested data block.
    Block {
        /// The layout to expect; the block type on the wire decides. One without header stands there without header.
        expected: &'static Layout,
        /// Its fields belong to the enclosing record.
        inline: bool,
    },
    /// A List or Generic List block of data blocks.
    List {
        /// The layout of items to expect.
        of: &'static Layout,
        /// Generic List (31, series 2: 3) rather than List (11, series 2: 2).
        generic: bool,
    },
}

/// Which switch of a collector's configuration governs a record type (eNcore `handler.records`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Connection statistics (`connections`).
    Connection,
    /// Discovery events (`rna`).
    Discovery,
    /// VPN login and logoff: always wanted.
    Vpn,
    /// User activity (`rua`).
    User,
    /// Metadata: always decoded, written with `metadata`.
    Metadata,
    /// Packets (`packets`).
    Packet,
    /// Intrusion events (`intrusion`).
    Intrusion,
    /// File and malware events (`core`).
    File,
    /// Correlation events (`core`).
    Correlation,
    /// Other events (`core`).
    Event,
    /// Governed by no switch: written only when listed.
    None,
}

/// A record type: what follows the record header.
#[derive(Debug)]
pub struct RecordLayout {
    /// Record type.
    pub record_type: u16,
    /// The record type that carries the same event in current versions; its own where that is itself.
    pub event: u16,
    /// Name in the words of the guides.
    pub name: &'static str,
    /// Category word eNcore prints.
    pub category: &'static str,
    /// Configuration switch.
    pub class: Class,
    /// It names things for other records; it has no event of its own.
    pub metadata: bool,
    /// The fields that identify what a metadata record names.
    pub key: &'static [&'static str],
    /// The discovery event header comes first.
    pub discovery_header: bool,
    /// eNcore writes it without being told.
    pub default: bool,
    /// The fields after the discovery event header.
    pub body: &'static Layout,
    /// The same record type with a body in another form.
    pub(crate) forms: &'static [RecordLayout],
}

impl RecordLayout {
    /// Whether the 16-byte record header with the archival timestamp is used when the client asked for it.
    ///
    /// Events and the extra data type (111) have it, other metadata does not
    /// (eStreamer Integration Guide 5.3 p.91, 103, 183-185; 5.3.1 p.3-12, 3-31, 4-12).
    pub fn timestamped(&self) -> bool {
        !self.metadata || self.record_type == 111
    }

    /// The layout of the record's inline block, or else the record body itself: where most of its fields are.
    pub fn main_layout(&self) -> &'static Layout {
        match self.inline_block() {
            Some((_, layout)) => layout,
            None => self.body,
        }
    }

    /// The position of the record's inline block and the layout expected there.
    pub fn inline_block(&self) -> Option<(usize, &'static Layout)> {
        self.body.fields.iter().enumerate().find_map(|(i, f)| match f.kind {
            Kind::Block { expected, inline: true } => Some((i, expected)),
            _ => None,
        })
    }
}

/// The layout of a record type, if it is known.
pub fn record(record_type: u16) -> Option<&'static RecordLayout> {
    let index = *RECORD_BY_TYPE.get(usize::from(record_type))?;
    RECORDS.get(usize::from(index))
}

/// All known record types in rising order.
pub fn records() -> &'static [RecordLayout] {
    &RECORDS
}

/// The layout of a data block, if it is known. `series` is 1 or 2.
#[inline]
pub fn block(series: u8, block_type: u32) -> Option<&'static Layout> {
    let table: &[Option<&'static Layout>] = if series == 1 { &SERIES_1 } else { &SERIES_2 };
    table.get(usize::try_from(block_type).ok()?).copied().flatten()
}

/// All known data blocks, and the other forms in which blocks and record bodies occur.
pub fn blocks() -> impl Iterator<Item = &'static Layout> {
    SERIES_1.iter().chain(&SERIES_2).filter_map(|l| *l).chain(FORMS)
}

/// The discovery event header (eStreamer Integration Guide 5.3.1 p.4-32): first in discovery, connection and user records.
pub static DISCOVERY_HEADER: &Layout = &DISCOVERY_HEADER_LAYOUT;

use crate::convert::Single;
use crate::hosts::HostData;
use crate::names::{Enumeration, NameKey, NameTable};
use crate::request::{EventVersion, Flag};
use crate::resolution::{Lookup, Named, Naming as NamedBy, Rule, Store};
use crate::versions::{EventType, Version};

include!(concat!(env!("OUT_DIR"), "/tables.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_finds_its_own_fields_and_has_its_own_index() {
        let mut seen = vec![false; LAYOUT_COUNT];
        let bodies = records().iter().map(|r| r.body);
        for layout in blocks().chain(bodies).chain([DISCOVERY_HEADER]) {
            assert!(!std::mem::replace(&mut seen[usize::from(layout.index)], true), "{}", layout.title);
            for (i, field) in layout.fields.iter().enumerate().filter(|(_, f)| !f.name.is_empty()) {
                assert_eq!(layout.position(field.name), Some(i), "{} {}", layout.title, field.name);
            }
            assert_eq!(layout.position("no such field"), None);
        }
        assert!(seen.iter().all(|s| *s));
    }

    #[test]
    fn unknown_numbers_have_no_layout() {
        assert!(record(0).is_none() && record(3000).is_none() && record(u16::MAX).is_none());
        assert!(block(1, u32::MAX).is_none() && block(2, 48).is_none() && block(1, 164).is_none());
        assert_eq!(block(1, 174).map(|l| l.title), Some("Connection Statistics"));
    }
}
