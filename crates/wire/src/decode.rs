//! Decoding a record in place.
//!
//! A [`Decoder`] walks the bytes of a record along its layout and remembers only where each field begins; values are
//! made from the bytes when they are asked for. It is reused from record to record, so decoding allocates nothing.
//!
//! The block type found on the wire decides the layout; the record type only says what to expect. What is not known is
//! opaque: kept as bytes with its type and length. A block that is cut short, or that contradicts itself, gives the
//! fields that could be read, and a [`Problem`] that names record, block, field and offset.

use crate::cursor::{u32_at, uint_at};
use crate::layout::{self, DISCOVERY_HEADER, Field, Kind, Layout, RecordLayout};
use crate::record::{RecordError, RecordHeader};
use std::fmt;
use thiserror::Error;

/// Blocks nested deeper than this are left opaque; real ones end at six.
const MAX_DEPTH: u8 = 12;

/// Slot of a field that is not on the wire (`present_if`).
const ABSENT: u32 = u32::MAX;

/// Decodes records one after the other; reuse it.
#[derive(Debug, Default)]
pub struct Decoder {
    frames: Vec<Frame>,
    /// Where each field begins, or the frame of a nested block or list.
    slots: Vec<u32>,
    problem: Option<Problem>,
    record: u16,
}

/// One block, list or record body.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// `None` for lists and for what is opaque.
    layout: Option<&'static Layout>,
    /// Block type on the wire; 0 where there is no block header.
    word: u32,
    start: u32,
    end: u32,
    /// Where the fields that were read end.
    read_to: u32,
    slots: u32,
    read: u16,
    /// First item of a list; 0 = none.
    child: u32,
    /// Next item of the same list; 0 = none.
    next: u32,
}

/// Where a record contradicts its layout. What was read before it is still there.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("record {record}, {layout}, field {field} at offset {offset}: {flaw}")]
pub struct Problem {
    /// Record type.
    pub record: u16,
    /// Title of the block (or record body) and its number.
    pub layout: String,
    /// Canonical name of the field, or "block length" and the like.
    pub field: &'static str,
    /// Offset from the start of the event data (record header included).
    pub offset: usize,
    /// What is wrong there.
    pub flaw: Flaw,
}

/// What can be wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The bytes end before the field does.
    Cut {
        /// Bytes the field has.
        needed: u64,
        /// Bytes that are left.
        left: u64,
    },
    /// A block length smaller than the block's own header.
    Length(u32),
    /// Another block than the one that belongs there.
    Block {
        /// Block type that belongs there.
        expected: u32,
        /// Block type found.
        found: u32,
    },
    /// Nested too deep.
    Depth,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Cut { needed, left } => write!(f, "{needed} bytes are needed, {left} are left"),
            Flaw::Length(length) => write!(f, "block length {length} is less than the 8 bytes of its own header"),
            Flaw::Block { expected, found } => write!(f, "block type {expected} belongs there, {found} was found"),
            Flaw::Depth => write!(f, "blocks are nested more than {MAX_DEPTH} deep"),
        }
    }
}

impl Decoder {
    /// A decoder.
    pub fn new() -> Self {
        Decoder::default()
    }

    /// Decodes the body of an event data message (record header and data, all of it).
    ///
    /// Fails only when the record header itself cannot be understood. A record type without a layout gives a record
    /// whose [`Record::layout`] is `None`.
    pub fn decode<'r>(&'r mut self, item: &'r [u8]) -> Result<Record<'r>, RecordError> {
        let header = RecordHeader::parse(item)?;
        self.clear(header.record_type);
        let end = item.len() as u32;
        let mut at = header.size as u32;
        let record = layout::record(header.record_type);
        let mut discovery = None;
        if let Some(record) = record {
            if record.discovery_header {
                let frame = self.open(Some(DISCOVERY_HEADER), 0, at, end);
                self.fields(item, frame, at, 0);
                at = self.frame(frame).read_to;
                self.close(frame, at);
                discovery = Some(frame);
            }
            let body = self.open(Some(record.body), 0, at, end);
            // What follows a header that is cut short is a piece of it, not the body.
            if self.problem.is_none() {
                self.fields(item, body, at, 0);
            }
            return Ok(Record { decoder: self, item, header, layout: Some(record), discovery, body });
        }
        let body = self.open(None, 0, at, end);
        Ok(Record { decoder: self, item, header, layout: None, discovery, body })
    }

    /// Decodes a data block that stands alone, as in host data messages. `series` is 1 or 2.
    pub fn decode_block<'r>(&'r mut self, series: u8, data: &'r [u8]) -> View<'r> {
        self.clear(0);
        let expected = u32_at(data, 0).and_then(|number| layout::block(series, number));
        let frame = self.block(data, expected, series, 0, data.len() as u32, 0);
        self.view(data, frame.unwrap_or(0))
    }

    /// What was wrong with the record or block decoded last.
    pub fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }

    fn clear(&mut self, record: u16) {
        self.frames.clear();
        self.slots.clear();
        self.problem = None;
        self.record = record;
    }

    fn open(&mut self, layout: Option<&'static Layout>, word: u32, start: u32, end: u32) -> u32 {
        let slots = self.slots.len() as u32;
        self.frames.push(Frame { layout, word, start, end, read_to: start, slots, read: 0, child: 0, next: 0 });
        self.frames.len() as u32 - 1
    }

    fn close(&mut self, frame: u32, end: u32) {
        if let Some(f) = self.frames.get_mut(frame as usize) {
            f.end = end;
        }
    }

    fn frame(&self, frame: u32) -> &Frame {
        static NONE: Frame =
            Frame { layout: None, word: 0, start: 0, end: 0, read_to: 0, slots: 0, read: 0, child: 0, next: 0 };
        self.frames.get(frame as usize).unwrap_or(&NONE)
    }

    fn view<'r>(&'r self, data: &'r [u8], frame: u32) -> View<'r> {
        View { decoder: self, data, frame: self.frame(frame) }
    }

    /// Reads the fields of `frame`, the first of them at `at`.
    fn fields(&mut self, data: &[u8], frame: u32, at: u32, depth: u8) {
        let f = *self.frame(frame);
        let Some(layout) = f.layout else { return };
        let end = f.end;
        let base = self.slots.len();
        // Nearly every field takes at least a byte: a short block gets few slots, whatever its type promises.
        let room = layout.fields.len().min((end - at) as usize + 8);
        self.slots.resize(base + room, ABSENT);
        if let Some(f) = self.frames.get_mut(frame as usize) {
            f.slots = base as u32;
        }
        let mut pos = at;
        let mut read = 0;
        for (i, field) in layout.fields.iter().enumerate() {
            if i >= room {
                self.report(layout, field, pos, Flaw::Cut { needed: 1, left: 0 });
                break;
            }
            if let Some(condition) = field.present_if
                && self.uint(data, frame_uint(&self.slots, base, condition), layout, condition) == 0
            {
                read += 1;
                continue;
            }
            let size = u32::from(field.fixed);
            let (slot, next) = if size != 0 {
                if end - pos < size {
                    self.report(layout, field, pos, Flaw::Cut { needed: size.into(), left: (end - pos).into() });
                    break;
                }
                (pos, pos + size)
            } else {
                match self.variable(data, layout, field, base, pos, end, depth) {
                    Ok(found) => found,
                    Err(flaw) => {
                        self.report(layout, field, pos, flaw);
                        break;
                    }
                }
            };
            if let Some(s) = self.slots.get_mut(base + i) {
                *s = slot;
            }
            pos = next;
            read += 1;
        }
        if let Some(f) = self.frames.get_mut(frame as usize) {
            f.read = read;
            f.read_to = pos;
        }
    }

    /// Finds the end of a field whose size is in the data. Gives its slot and where the next field begins.
    #[allow(clippy::too_many_arguments)]
    fn variable(
        &mut self,
        data: &[u8],
        layout: &'static Layout,
        field: &'static Field,
        base: usize,
        pos: u32,
        end: u32,
        depth: u8,
    ) -> Result<(u32, u32), Flaw> {
        let left = end - pos;
        match field.kind {
            Kind::Counted { length, .. } => {
                let needed = self.uint(data, frame_uint(&self.slots, base, length), layout, length);
                if needed > left.into() {
                    return Err(Flaw::Cut { needed, left: left.into() });
                }
                Ok((pos, pos + needed as u32))
            }
            Kind::String | Kind::Blob => {
                let (word, length) = block_header(data, pos, left)?;
                let right = match field.kind {
                    Kind::String => word == 0,
                    _ => word == 10 || word == 1,
                };
                if !right {
                    return Err(Flaw::Block {
                        expected: if matches!(field.kind, Kind::String) { 0 } else { 10 },
                        found: word,
                    });
                }
                if length > left {
                    return Err(Flaw::Cut { needed: length.into(), left: left.into() });
                }
                Ok((pos, pos + length))
            }
            Kind::List { of, .. } => {
                let (word, length) = block_header(data, pos, left)?;
                if !matches!(word, 11 | 31 | 2 | 3) {
                    return Err(Flaw::Block { expected: 11, found: word });
                }
                let stop = pos + length.min(left);
                let list = self.open(None, word, pos, stop);
                self.items(data, list, of, pos + 8, stop, depth);
                if length > left {
                    self.report(layout, field, pos, Flaw::Cut { needed: length.into(), left: left.into() });
                }
                Ok((list, stop))
            }
            Kind::Block { expected, .. } => {
                let frame = self.block(data, Some(expected), expected.series, pos, end, depth + 1)?;
                Ok((frame, self.frame(frame).end))
            }
            // Fixed sizes are handled by the caller.
            Kind::Uint | Kind::Hex | Kind::Uuid | Kind::Ipv4 | Kind::Ipv6 | Kind::Mac => {
                Err(Flaw::Cut { needed: 0, left: 0 })
            }
        }
    }

    /// Reads the blocks of a list until its length is used up.
    fn items(&mut self, data: &[u8], list: u32, of: &'static Layout, mut pos: u32, stop: u32, depth: u8) {
        let mut last = 0;
        while pos < stop {
            match self.block(data, Some(of), of.series, pos, stop, depth + 1) {
                Ok(item) => {
                    pos = self.frame(item).end;
                    let link = if last == 0 { list } else { last };
                    if let Some(f) = self.frames.get_mut(link as usize) {
                        if last == 0 { f.child = item } else { f.next = item }
                    }
                    last = item;
                }
                Err(flaw) => {
                    self.report_at(of, "list item", pos, flaw);
                    break;
                }
            }
        }
        if let Some(f) = self.frames.get_mut(list as usize) {
            f.read_to = pos;
        }
    }

    /// Reads a block with its header. A block that reaches beyond `end` is read as far as it goes.
    fn block(
        &mut self,
        data: &[u8],
        expected: Option<&'static Layout>,
        series: u8,
        pos: u32,
        end: u32,
        depth: u8,
    ) -> Result<u32, Flaw> {
        let left = end - pos;
        let (word, length) = block_header(data, pos, left)?;
        if depth > MAX_DEPTH {
            return Err(Flaw::Depth);
        }
        let layout = match expected {
            Some(l) if l.number == word => Some(l),
            _ => layout::block(series, word),
        };
        let stop = pos + length.min(left);
        let frame = self.open(layout, word, pos, stop);
        self.fields(data, frame, pos + 8, depth);
        if length > left
            && let Some(l) = layout.or(expected)
        {
            self.report_at(l, "block length", pos + 4, Flaw::Cut { needed: length.into(), left: left.into() });
        }
        Ok(frame)
    }

    fn uint(&self, data: &[u8], at: u32, layout: &Layout, field: u16) -> u64 {
        let size = layout.fields.get(usize::from(field)).map_or(0, |f| usize::from(f.fixed));
        uint_at(data, at as usize, size).unwrap_or(0)
    }

    #[cold]
    fn report(&mut self, layout: &'static Layout, field: &'static Field, pos: u32, flaw: Flaw) {
        self.report_at(layout, if field.name.is_empty() { "block" } else { field.name }, pos, flaw);
    }

    /// Keeps the first problem: the later ones follow from it.
    #[cold]
    fn report_at(&mut self, layout: &'static Layout, field: &'static str, pos: u32, flaw: Flaw) {
        let title = match layout.series {
            0 => layout.title.to_owned(),
            series => format!("{} (series {series} block {})", layout.title, layout.number),
        };
        self.problem.get_or_insert(Problem { record: self.record, layout: title, field, offset: pos as usize, flaw });
    }
}

fn frame_uint(slots: &[u32], base: usize, field: u16) -> u32 {
    slots.get(base + usize::from(field)).copied().unwrap_or(ABSENT)
}

fn block_header(data: &[u8], pos: u32, left: u32) -> Result<(u32, u32), Flaw> {
    let at = pos as usize;
    match (u32_at(data, at), u32_at(data, at + 4)) {
        (Some(_), Some(length)) if left >= 8 && length < 8 => Err(Flaw::Length(length)),
        (Some(word), Some(length)) if left >= 8 => Ok((word, length)),
        _ => Err(Flaw::Cut { needed: 8, left: left.into() }),
    }
}

/// A decoded record: the bytes and where its fields are in them.
#[derive(Debug, Clone, Copy)]
pub struct Record<'r> {
    decoder: &'r Decoder,
    item: &'r [u8],
    /// The record header.
    pub header: RecordHeader,
    /// What this record type is; `None` for a type nobody knows.
    pub layout: Option<&'static RecordLayout>,
    discovery: Option<u32>,
    body: u32,
}

impl<'r> Record<'r> {
    /// Record type.
    pub fn record_type(&self) -> u16 {
        self.header.record_type
    }

    /// The bytes of the record, its header included.
    pub fn bytes(&self) -> &'r [u8] {
        self.item
    }

    /// The discovery event header, when this record type has one.
    pub fn discovery(&self) -> Option<View<'r>> {
        self.discovery.map(|frame| self.view(frame))
    }

    /// The fields after the headers. An inline block is one of them.
    pub fn body(&self) -> View<'r> {
        self.view(self.body)
    }

    /// Where most fields are: the inline block if there is one, else the body.
    pub fn main(&self) -> View<'r> {
        let inline = self.layout.and_then(RecordLayout::inline_block);
        match inline.and_then(|(i, _)| self.body().value(i)) {
            Some(Value::Block(block)) => block,
            _ => self.body(),
        }
    }

    /// The field with this canonical name, wherever it stands: event, then body, then discovery event header.
    pub fn field(&self, name: &str) -> Option<Value<'r>> {
        self.main().named(name).or_else(|| self.body().named(name)).or_else(|| self.discovery()?.named(name))
    }

    /// The unsigned integer with this canonical name.
    pub fn uint(&self, name: &str) -> Option<u64> {
        self.field(name).and_then(|v| v.as_uint())
    }

    /// What a metadata record names, as bytes: record type and key fields. Two records with the same key name the same
    /// thing, and the later one counts. `None` for other records; a metadata record whose key cannot be read has all of
    /// its bytes as its key.
    pub fn metadata_key(&self) -> Option<Vec<u8>> {
        let layout = self.layout.filter(|l| l.metadata)?;
        let mut key = self.record_type().to_be_bytes().to_vec();
        for name in layout.key {
            match self.field(name) {
                Some(Value::Uint(n)) => key.extend_from_slice(&n.to_be_bytes()),
                Some(other) => key.extend_from_slice(other.octets().unwrap_or_default()),
                None => {
                    key.truncate(2);
                    key.extend_from_slice(self.item.get(self.header.size..).unwrap_or_default());
                    break;
                }
            }
        }
        Some(key)
    }

    /// What was wrong with it; `None` for a record that agrees with its layout.
    pub fn problem(&self) -> Option<&'r Problem> {
        self.decoder.problem.as_ref()
    }

    /// Neither the record type nor, where it has an inline block, the block type is known: only bytes are there.
    pub fn opaque(&self) -> bool {
        self.main().layout().is_none()
    }

    fn view(&self, frame: u32) -> View<'r> {
        self.decoder.view(self.item, frame)
    }
}

/// A block or record body inside a decoded record.
#[derive(Debug, Clone, Copy)]
pub struct View<'r> {
    decoder: &'r Decoder,
    data: &'r [u8],
    frame: &'r Frame,
}

impl<'r> View<'r> {
    fn other(&self, frame: u32) -> View<'r> {
        self.decoder.view(self.data, frame)
    }

    /// Its layout; `None` when it is opaque.
    pub fn layout(&self) -> Option<&'static Layout> {
        self.frame.layout
    }

    /// Block type on the wire; 0 for a body without block header.
    pub fn block_type(&self) -> u32 {
        self.frame.word
    }

    /// Block length as it stands on the wire; for a body without block header its length.
    pub fn block_length(&self) -> u32 {
        let f = self.frame;
        if f.layout.is_some_and(|l| !l.header) {
            f.end - f.start
        } else {
            u32_at(self.data, f.start as usize + 4).unwrap_or(0)
        }
    }

    /// All its bytes that are there, a block header included.
    pub fn bytes(&self) -> &'r [u8] {
        let f = self.frame;
        self.data.get(f.start as usize..f.end as usize).unwrap_or_default()
    }

    /// What follows the fields the layout knows: a newer product's additions.
    pub fn trailing(&self) -> &'r [u8] {
        let f = self.frame;
        self.data.get(f.read_to as usize..f.end as usize).unwrap_or_default()
    }

    /// How many fields of the layout were read.
    pub fn read(&self) -> usize {
        self.frame.read.into()
    }

    /// The field at a position of the layout; `None` when it was not read or is not on the wire.
    #[inline]
    pub fn value(&self, position: usize) -> Option<Value<'r>> {
        let f = self.frame;
        let field = f.layout?.fields.get(position)?;
        if position >= usize::from(f.read) {
            return None;
        }
        let slot = *self.decoder.slots.get(f.slots as usize + position)?;
        if slot == ABSENT {
            return None;
        }
        let at = slot as usize;
        let tail = self.data.get(at..).unwrap_or_default();
        Some(match field.kind {
            Kind::Uint => Value::Uint(uint_at(self.data, at, field.fixed.into())?),
            Kind::Hex => Value::Hex(tail.get(..field.fixed.into())?),
            Kind::Uuid => Value::Uuid(tail.first_chunk()?),
            Kind::Ipv4 => Value::Ipv4(tail.first_chunk()?),
            Kind::Ipv6 => Value::Ipv6(tail.first_chunk()?),
            Kind::Mac => Value::Mac(tail.first_chunk()?),
            Kind::String => Value::Text(tail.get(8..u32_at(tail, 4)? as usize)?),
            Kind::Blob => Value::Blob { block_type: u32_at(tail, 0)?, octets: tail.get(8..u32_at(tail, 4)? as usize)? },
            Kind::Counted { length, text } => {
                let octets = tail.get(..self.uint(length.into())? as usize)?;
                if text { Value::Text(octets) } else { Value::Hex(octets) }
            }
            Kind::Block { .. } => Value::Block(self.other(slot)),
            Kind::List { .. } => Value::List(List { view: self.other(slot) }),
        })
    }

    /// The unsigned integer at a position of the layout.
    #[inline]
    pub fn uint(&self, position: usize) -> Option<u64> {
        match self.value(position)? {
            Value::Uint(n) => Some(n),
            _ => None,
        }
    }

    /// The field with this canonical name.
    pub fn named(&self, name: &str) -> Option<Value<'r>> {
        self.value(self.layout()?.position(name)?)
    }
}

/// A List or Generic List block.
#[derive(Debug, Clone, Copy)]
pub struct List<'r> {
    view: View<'r>,
}

impl<'r> List<'r> {
    /// 11 or 31 (series 1), 2 or 3 (series 2).
    pub fn block_type(&self) -> u32 {
        self.view.block_type()
    }

    /// Its length as it stands on the wire, its header included.
    pub fn block_length(&self) -> u32 {
        self.view.block_length()
    }

    /// Its blocks in order.
    pub fn items(&self) -> impl Iterator<Item = View<'r>> + use<'r> {
        let view = self.view;
        let first = view.frame.child;
        let link = move |frame: u32| (frame != 0).then(|| view.other(frame));
        std::iter::successors(link(first), move |v| link(v.frame.next))
    }
}

/// The value of a field, borrowed from the record's bytes.
#[derive(Debug, Clone, Copy)]
pub enum Value<'r> {
    /// Unsigned integer.
    Uint(u64),
    /// Octets without a meaning of their own.
    Hex(&'r [u8]),
    /// UUID in wire order.
    Uuid(&'r [u8; 16]),
    /// IPv4 address.
    Ipv4(&'r [u8; 4]),
    /// IPv6 address; IPv4 as `::ffff:a.b.c.d`.
    Ipv6(&'r [u8; 16]),
    /// MAC address.
    Mac(&'r [u8; 6]),
    /// Text, UTF-8 by the book; may carry NULs or be no UTF-8 at all.
    Text(&'r [u8]),
    /// Content of a BLOB block.
    Blob {
        /// Block type on the wire.
        block_type: u32,
        /// Its octets.
        octets: &'r [u8],
    },
    /// A nested block.
    Block(View<'r>),
    /// A list of blocks.
    List(List<'r>),
}

impl<'r> Value<'r> {
    /// The number, if it is one.
    pub fn as_uint(&self) -> Option<u64> {
        match self {
            Value::Uint(n) => Some(*n),
            _ => None,
        }
    }

    /// The octets of an address, identifier, text or blob.
    pub fn octets(&self) -> Option<&'r [u8]> {
        Some(match *self {
            Value::Hex(o) | Value::Text(o) | Value::Blob { octets: o, .. } => o,
            Value::Uuid(o) | Value::Ipv6(o) => o,
            Value::Ipv4(o) => o,
            Value::Mac(o) => o,
            Value::Uint(_) | Value::Block(_) | Value::List(_) => return None,
        })
    }
}
