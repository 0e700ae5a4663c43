//! Owned records: built, changed, encoded, converted between versions.
//!
//! A [`Block`] holds one value for each field of its layout, [`Event`] is a whole record. What is not set is written as
//! zero or empty, so an event need only say what it knows. Converting to another version of a block takes the fields
//! both have by their canonical names.

use crate::convert;
use crate::decode::{Record, Value as Borrowed, View};
use crate::layout::{self, DISCOVERY_HEADER, Field, Kind, Layout, RecordLayout};
use crate::message::MessageType;
use crate::record::{LONG_HEADER, SHORT_HEADER};
use std::net::{IpAddr, Ipv6Addr};
use thiserror::Error;

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Value {
    /// Not set: zero or empty on the wire, absent where the layout allows that.
    #[default]
    Unset,
    /// Unsigned integer; written in as many bytes as the field has.
    Uint(u64),
    /// Address, identifier, text or blob.
    Octets(Vec<u8>),
    /// A nested block.
    Block(Block),
    /// The blocks of a list.
    List(Vec<Block>),
}

/// A data block or record body with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    layout: &'static Layout,
    values: Vec<Value>,
    /// How many of the fields are on the wire: all, unless it was decoded and ended before (`optional`, or cut short).
    present: usize,
    /// Lists and blobs that were found under another block type than their layout has: position and type.
    kinds: Vec<(usize, u32)>,
    /// Octets after the fields.
    trailing: Vec<u8>,
}

/// A field that a block or record does not have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{layout} has no field {field}")]
pub struct NoField {
    /// Title of the layout.
    pub layout: String,
    /// The name asked for.
    pub field: String,
}

impl Block {
    /// A block in which nothing is set.
    pub fn new(layout: &'static Layout) -> Self {
        let fields = layout.fields.len();
        Block { layout, values: vec![Value::Unset; fields], present: fields, kinds: Vec::new(), trailing: Vec::new() }
    }

    /// Its layout.
    pub fn layout(&self) -> &'static Layout {
        self.layout
    }

    /// Sets the field with this canonical name.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> Result<&mut Self, NoField> {
        match self.layout.position(name) {
            Some(position) => self.set_at(position, value),
            None => return Err(NoField { layout: self.layout.title.to_owned(), field: name.to_owned() }),
        }
        Ok(self)
    }

    /// Sets the field at a position of the layout; a position the layout does not have is ignored.
    pub fn set_at(&mut self, position: usize, value: impl Into<Value>) {
        if let Some(slot) = self.values.get_mut(position) {
            *slot = value.into();
            if position >= self.present {
                // It is whole from now on; the octets were a piece of what was missing.
                self.present = self.values.len();
                self.trailing.clear();
            }
        }
    }

    /// A block that nobody knows: its octets, block header included.
    pub fn opaque(octets: Vec<u8>) -> Self {
        Block { trailing: octets, ..Block::new(&OPAQUE) }
    }

    /// Ends the block before the field at a position, as older products end it before `optional` fields.
    pub fn end_before(&mut self, position: usize) {
        self.present = self.present.min(position);
    }

    /// Writes the list or blob at a position under this block type instead of the one its layout has.
    pub fn set_kind(&mut self, position: usize, block_type: u32) {
        self.kinds.retain(|(at, _)| *at != position);
        let usual = self.layout.fields.get(position).map(|f| primitive_type(self.layout.series, f.kind));
        if usual.is_some_and(|usual| usual != block_type) {
            self.kinds.push((position, block_type));
        }
    }

    /// Puts octets behind the fields, as newer products do.
    pub fn set_trailing(&mut self, octets: Vec<u8>) {
        self.trailing = octets;
    }

    /// The value at a position of the layout.
    pub fn value(&self, position: usize) -> &Value {
        self.values.get(position).unwrap_or(&Value::Unset)
    }

    /// The value with this canonical name; `None` when the layout has no such field.
    pub fn named(&self, name: &str) -> Option<&Value> {
        self.values.get(self.layout.position(name)?)
    }

    /// Shows each value to `change`, those of nested blocks behind the one they are in.
    pub fn each_value(&mut self, change: &mut dyn FnMut(&Field, &mut Value)) {
        for (field, value) in self.layout.fields.iter().zip(&mut self.values) {
            change(field, value);
            match value {
                Value::Block(block) => block.each_value(change),
                Value::List(items) => items.iter_mut().for_each(|item| item.each_value(change)),
                Value::Unset | Value::Uint(_) | Value::Octets(_) => {}
            }
        }
    }

    /// The same block in another layout: fields both have keep their values, the rest is unset. A value that the two
    /// versions write in another way (an IPv4 address in 4 octets or in 16) is written the new way. Nested blocks get
    /// the layouts that are expected there.
    pub fn convert(&self, target: &'static Layout) -> Block {
        self.convert_by(target, &|expected| expected)
    }

    /// The same with nested blocks in layouts of one's choice.
    pub(crate) fn convert_by(&self, target: &'static Layout, choose: convert::Choose<'_>) -> Block {
        let same = self.layout == target;
        // What follows the fields, and how lists were written, belongs to this very layout.
        let mut block = if same { self.clone() } else { Block::new(target) };
        for (at, (field, slot)) in target.fields.iter().zip(&mut block.values).enumerate() {
            if !same || matches!(self.value(at), Value::Block(_) | Value::List(_)) {
                *slot = convert::field(self, field, choose);
            }
        }
        block
    }

    /// Appends the block as it is on the wire.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        if self.layout.header {
            out.extend_from_slice(&self.layout.number.to_be_bytes());
            out.extend_from_slice(&[0; 4]);
        }
        for (i, field) in self.layout.fields.iter().enumerate().take(self.present) {
            if let Some(condition) = field.present_if
                && matches!(self.value(condition.into()), Value::Unset | Value::Uint(0))
            {
                continue;
            }
            self.encode_field(i, field, out);
        }
        out.extend_from_slice(&self.trailing);
        if self.layout.header {
            patch_length(out, start);
        }
    }

    fn encode_field(&self, position: usize, field: &Field, out: &mut Vec<u8>) {
        let counts = field.counts.filter(|i| usize::from(*i) < self.present);
        let counted = counts.map(|i| counted(field, self.value(i.into())));
        let kind = self.kinds.iter().find(|(at, _)| *at == position).map(|(_, word)| *word);
        encode_value(self.layout, field, self.value(position), counted, kind, out);
    }
}

/// The number in a field that holds the length of another one, whose value this is.
pub(crate) fn counted(field: &Field, value: &Value) -> u64 {
    let octets = match value {
        Value::Octets(o) => o.len() as u64,
        _ => 0,
    };
    octets.saturating_add_signed(-i64::from(field.adjust))
}

/// Appends a field of a layout. `counted` is the number in a field that holds a length, `kind` the block type under which
/// a list or blob was found.
pub(crate) fn encode_value(
    layout: &Layout,
    field: &Field,
    value: &Value,
    counted: Option<u64>,
    kind: Option<u32>,
    out: &mut Vec<u8>,
) {
    let octets = match value {
        Value::Octets(o) => o.as_slice(),
        _ => &[],
    };
    let kind = || kind.unwrap_or_else(|| primitive_type(layout.series, field.kind));
    match field.kind {
        Kind::Uint => {
            let number = match (counted, value) {
                (Some(length), _) => length,
                (None, Value::Uint(n)) => *n,
                _ => 0,
            };
            let bytes = number.to_be_bytes();
            out.extend_from_slice(bytes.get(8 - usize::from(field.fixed).min(8)..).unwrap_or_default());
        }
        Kind::Hex | Kind::Uuid | Kind::Ipv4 | Kind::Ipv6 | Kind::Mac => {
            let size = usize::from(field.fixed);
            let (start, end) = (out.len(), out.len() + size);
            out.extend_from_slice(octets.get(..size).unwrap_or(octets));
            out.resize(end, 0);
            if field.little
                && let Some(written) = out.get_mut(start..)
            {
                written.reverse();
            }
        }
        Kind::Counted { .. } => out.extend_from_slice(octets),
        Kind::String => push_primitive(out, 0, octets),
        Kind::Blob => push_primitive(out, kind(), octets),
        Kind::Block { expected, .. } => match value {
            // Without a header nothing would tell another layout apart.
            Value::Block(block) if !expected.header && block.layout != expected => {
                block.convert(expected).encode(out);
            }
            Value::Block(block) => block.encode(out),
            _ if expected.is_any() => push_primitive(out, 0, &[]),
            _ => Block::new(expected).encode(out),
        },
        Kind::List { .. } => {
            let start = out.len();
            if !field.repeat {
                push_primitive(out, kind(), &[]);
            }
            if let Value::List(items) = value {
                items.iter().for_each(|item| item.encode(out));
            }
            if !field.repeat {
                patch_length(out, start);
            }
        }
    }
}

/// The value a decoded block has at a position, and the block type of a list or blob.
pub(crate) fn owned(view: View<'_>, position: usize, field: &Field) -> (Value, Option<u32>) {
    match view.value(position) {
        None => (Value::Unset, None),
        Some(Borrowed::Uint(n)) => (Value::Uint(n), None),
        Some(Borrowed::Block(inner)) => (Value::Block(inner.into()), None),
        Some(Borrowed::List(list)) => {
            let items = list.items().map(Block::from).collect();
            (Value::List(items), Some(list.block_type()).filter(|_| !field.repeat))
        }
        Some(Borrowed::Blob { block_type, octets }) => (Value::Octets(octets.to_vec()), Some(block_type)),
        Some(other) => (Value::Octets(other.octets().unwrap_or_default().to_vec()), None),
    }
}

/// The block type of a list or blob.
fn primitive_type(series: u8, kind: Kind) -> u32 {
    match (series, kind) {
        (2, Kind::Blob) => 1,
        (_, Kind::Blob) => 10,
        (2, Kind::List { generic: false, .. }) => 2,
        (2, Kind::List { generic: true, .. }) => 3,
        (_, Kind::List { generic: true, .. }) => 31,
        _ => 11,
    }
}

fn push_primitive(out: &mut Vec<u8>, kind: u32, octets: &[u8]) {
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&(8 + octets.len() as u32).to_be_bytes());
    out.extend_from_slice(octets);
}

/// Writes the length of the block that starts at `start` and ends here.
pub(crate) fn patch_length(out: &mut [u8], start: usize) {
    let length = (out.len() - start) as u32;
    if let Some(field) = out.get_mut(start + 4..start + 8) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

impl From<View<'_>> for Block {
    /// Owns a decoded block. An opaque one has no fields, only its bytes.
    fn from(view: View<'_>) -> Block {
        let Some(layout) = view.layout() else {
            return Block { trailing: view.bytes().to_vec(), ..Block::new(&OPAQUE) };
        };
        let mut block = Block { present: view.read(), trailing: view.trailing().to_vec(), ..Block::new(layout) };
        for (i, (slot, field)) in block.values.iter_mut().zip(layout.fields).enumerate() {
            let (value, found) = owned(view, i, field);
            *slot = value;
            block.kinds.extend(found.filter(|k| *k != primitive_type(layout.series, field.kind)).map(|k| (i, k)));
        }
        block
    }
}

/// Layout of blocks whose type nobody knows: bytes, header included.
static OPAQUE: Layout = Layout::bytes(u16::MAX, 0, 0, "opaque");

/// A whole record: discovery event header if it has one, and what follows it.
#[derive(Debug, Clone)]
pub struct Event {
    record: &'static RecordLayout,
    netmap: u16,
    discovery: Option<Block>,
    /// The inline block of the record if it has one (it is then all of the body), else the body.
    main: Block,
    /// What follows an inline block.
    trailing: Vec<u8>,
}

/// A record type nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("record type {0} is not in the schema")]
pub struct UnknownRecord(pub u16);

impl Event {
    /// A record of this type in its newest layout, nothing set.
    pub fn new(record_type: u16) -> Result<Self, UnknownRecord> {
        let record = layout::record(record_type).ok_or(UnknownRecord(record_type))?;
        let discovery = record.discovery_header.then(|| Block::new(DISCOVERY_HEADER));
        Ok(Event { record, netmap: 0, discovery, main: Block::new(record.main_layout()), trailing: Vec::new() })
    }

    /// Its record type.
    pub fn record(&self) -> &'static RecordLayout {
        self.record
    }

    /// Everything after the headers.
    pub fn main(&self) -> &Block {
        &self.main
    }

    /// Everything after the headers.
    pub fn main_mut(&mut self) -> &mut Block {
        &mut self.main
    }

    /// Puts octets behind the block of a record that has one; of other records they belong behind the fields.
    pub fn set_trailing(&mut self, octets: Vec<u8>) {
        self.trailing = octets;
    }

    /// Shows each value to `change`: those of the discovery event header, then those of the event.
    pub fn each_value(&mut self, change: &mut dyn FnMut(&Field, &mut Value)) {
        if let Some(header) = &mut self.discovery {
            header.each_value(change);
        }
        self.main.each_value(change);
    }

    /// The discovery event header, when the record has one.
    pub fn discovery_mut(&mut self) -> Option<&mut Block> {
        self.discovery.as_mut()
    }

    /// Sets the field with this canonical name. A name that the event and the discovery event header share
    /// (`deviceId`) is set in both.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> Result<&mut Self, NoField> {
        let value = value.into();
        let header = self.discovery.as_mut().map(|h| h.set(name, value.clone()).is_ok());
        if self.main.set(name, value).is_ok() || header == Some(true) {
            return Ok(self);
        }
        Err(NoField { layout: self.record.name.to_owned(), field: name.to_owned() })
    }

    /// The value with this canonical name.
    pub fn named(&self, name: &str) -> Option<&Value> {
        self.main.named(name).or_else(|| self.discovery.as_ref()?.named(name))
    }

    /// Netmap id of the domain it belongs to, 0 to 32767; 0 is the global domain (record 350 names them).
    pub fn netmap(&self) -> u16 {
        self.netmap
    }

    /// Puts it into a domain; the top bit of the number is not used.
    pub fn set_netmap(&mut self, netmap: u16) {
        self.netmap = netmap & 0x7fff;
    }

    /// Turns the event's block into another version of it. A record whose block could not be read stays as it is.
    pub fn convert(&mut self, target: &'static Layout) {
        if self.main.layout != target && !self.unread() {
            self.main = self.main.convert(target);
        }
    }

    /// Whether the block of the record could not be read.
    pub(crate) fn unread(&self) -> bool {
        self.main.layout.is_gap() || self.record.inline_block().is_some() && !self.main.layout.header
    }

    /// The same event as another record.
    pub(crate) fn with(&self, record: &'static RecordLayout, main: Block) -> Event {
        let discovery = record
            .discovery_header
            .then(|| self.discovery.clone())
            .map(|header| header.unwrap_or_else(|| Block::new(DISCOVERY_HEADER)));
        let trailing = if main.layout == self.main.layout { self.trailing.clone() } else { Vec::new() };
        Event { record, netmap: self.netmap, discovery, main, trailing }
    }

    /// Appends the record: header with the archival timestamp where this record type has one and `timestamp` gives it,
    /// then its data.
    pub fn encode(&self, timestamp: Option<u32>, out: &mut Vec<u8>) {
        let start = out.len();
        let word = u32::from(self.netmap) << 16 | u32::from(self.record.record_type);
        out.extend_from_slice(&word.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        let mut header = SHORT_HEADER;
        if let Some(second) = timestamp.filter(|_| self.record.timestamped()) {
            out.extend_from_slice(&second.to_be_bytes());
            out.extend_from_slice(&[0; 4]);
            header = LONG_HEADER;
        }
        if let Some(discovery) = &self.discovery {
            discovery.encode(out);
        }
        self.main.encode(out);
        out.extend_from_slice(&self.trailing);
        let length = (out.len() - start - header) as u32;
        if let Some(field) = out.get_mut(start + 4..start + 8) {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }

    /// Appends the record as an item of a message bundle: u32 message type 4, u32 length, record.
    pub fn encode_item(&self, timestamp: Option<u32>, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&u32::from(MessageType::EVENT_DATA.0).to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        self.encode(timestamp, out);
        let length = (out.len() - start - 8) as u32;
        if let Some(field) = out.get_mut(start + 4..start + 8) {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }
}

impl TryFrom<&Record<'_>> for Event {
    type Error = UnknownRecord;

    /// Owns a decoded record; one of an unknown type cannot become an event.
    fn try_from(record: &Record<'_>) -> Result<Self, UnknownRecord> {
        let known = record.layout.or_else(|| layout::record(record.record_type()));
        let layout = known.ok_or(UnknownRecord(record.record_type()))?;
        let (body, main) = (record.body(), record.main());
        let inline = main.layout() != body.layout();
        Ok(Event {
            record: layout,
            netmap: record.header.netmap,
            discovery: record.discovery().map(Block::from),
            main: main.into(),
            trailing: if inline { body.trailing().to_vec() } else { Vec::new() },
        })
    }
}

macro_rules! from_uint {
    ($($t:ty),*) => {$(
        impl From<$t> for Value {
            fn from(n: $t) -> Value {
                Value::Uint(n.into())
            }
        }
    )*};
}

from_uint!(u8, u16, u32, u64);

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Octets(text.as_bytes().to_vec())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Octets(text.into_bytes())
    }
}

impl From<&[u8]> for Value {
    fn from(octets: &[u8]) -> Value {
        Value::Octets(octets.to_vec())
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(octets: [u8; N]) -> Value {
        Value::Octets(octets.to_vec())
    }
}

impl From<Block> for Value {
    fn from(block: Block) -> Value {
        Value::Block(block)
    }
}

impl From<Vec<Block>> for Value {
    fn from(items: Vec<Block>) -> Value {
        Value::List(items)
    }
}

impl From<IpAddr> for Value {
    /// An address in a 16-byte field: IPv4 as `::ffff:a.b.c.d`.
    fn from(address: IpAddr) -> Value {
        Value::Octets(sixteen(address).to_vec())
    }
}

/// An address as a 16-byte field holds it: IPv4 as `::ffff:a.b.c.d`.
pub fn sixteen(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The address in a 16-byte field: IPv4 when it is mapped.
pub fn address(octets: &[u8; 16]) -> IpAddr {
    Ipv6Addr::from(*octets).to_canonical()
}
