//! What a decoder found, as values borrowed from the bytes.

use crate::cursor::{u32_at, uint_at};
use crate::decode::{ABSENT, Decoder, EMPTY, Frame, Problem};
use crate::layout::{Kind, Layout, REST, RecordLayout};
use crate::names::{Enumeration, OpenNumber, Shown};
use crate::record::RecordHeader;

/// A decoded record: the bytes and where its fields are in them.
#[derive(Debug, Clone, Copy)]
pub struct Record<'r> {
    decoder: &'r Decoder,
    item: &'r [u8],
    /// The record header.
    pub header: RecordHeader,
    /// What this record type is; `None` for a type nobody knows, or of which [`layout::record`](crate::layout::record)
    /// knows no more than the name.
    pub layout: Option<&'static RecordLayout>,
    discovery: Option<u32>,
    body: u32,
}

impl<'r> Record<'r> {
    pub(crate) fn new(
        decoder: &'r Decoder,
        item: &'r [u8],
        header: RecordHeader,
        layout: Option<&'static RecordLayout>,
        discovery: Option<u32>,
        body: u32,
    ) -> Self {
        Record { decoder, item, header, layout, discovery, body }
    }

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

    /// The number with this canonical name as a type of its own, such as
    /// [`FileAction`](crate::names::FileAction); `None` when no field of that name has that type.
    pub fn number<T: OpenNumber>(&self, name: &str) -> Option<T> {
        self.views().find_map(|view| view.number(name))
    }

    /// The number with this canonical name, to be printed by its name.
    pub fn show(&self, name: &str) -> Option<Shown> {
        self.views().find_map(|view| view.show(view.layout()?.position(name)?))
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
        View::new(self.decoder, self.item, frame)
    }

    /// Where fields are looked for: event, then body, then discovery event header.
    fn views(&self) -> impl Iterator<Item = View<'r>> {
        [Some(self.main()), Some(self.body()), self.discovery()].into_iter().flatten()
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
    pub(crate) fn new(decoder: &'r Decoder, data: &'r [u8], frame: u32) -> View<'r> {
        View { decoder, data, frame: decoder.frame(frame) }
    }

    fn other(&self, frame: u32) -> View<'r> {
        View::new(self.decoder, self.data, frame)
    }

    /// Its layout; `None` when it is opaque.
    pub fn layout(&self) -> Option<&'static Layout> {
        self.frame.layout.filter(|l| !l.is_gap())
    }

    /// What it is, where at least the name is known: of an opaque block too.
    pub fn title(&self) -> Option<&'static str> {
        self.frame.layout.map(|l| l.title)
    }

    /// Block type on the wire; 0 for a body without block header.
    pub fn block_type(&self) -> u32 {
        match self.frame.header {
            true => u32_at(self.data, self.frame.start as usize).unwrap_or(0),
            false => 0,
        }
    }

    /// Block length as it stands on the wire; for a body without block header its length.
    pub fn block_length(&self) -> u32 {
        let f = self.frame;
        match f.header {
            true => u32_at(self.data, f.start as usize + 4).unwrap_or(0),
            false => f.end - f.start,
        }
    }

    /// All its bytes that are there, a block header included.
    pub fn bytes(&self) -> &'r [u8] {
        let f = self.frame;
        self.data.get(f.start as usize..f.end as usize).unwrap_or_default()
    }

    /// What was wrong with the record or stand-alone block it belongs to.
    pub fn problem(&self) -> Option<&'r Problem> {
        self.decoder.problem.as_ref()
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

    /// The bytes of the record or stand-alone block it belongs to.
    pub(crate) fn data(&self) -> &'r [u8] {
        self.data
    }

    /// What the slot of a field that is neither block nor list says, and so many bytes behind that: an offset in
    /// [`data`](Self::data).
    #[inline]
    pub(crate) fn offset(&self, slot: u16, shift: u16) -> Option<usize> {
        let at = *self.decoder.slots.get(self.frame.inside as usize + usize::from(slot))?;
        (at != ABSENT).then_some(at as usize + usize::from(shift))
    }

    /// Where the String block at a slot ends.
    #[inline]
    pub(crate) fn string_end(&self, slot: u16) -> Option<usize> {
        let at = self.offset(slot, 0)?;
        Some(at + u32_at(self.data, at + 4)? as usize)
    }

    /// The field at a position of the layout; `None` when it was not read or is not on the wire.
    #[inline]
    pub fn value(&self, position: usize) -> Option<Value<'r>> {
        let f = self.frame;
        let field = f.layout?.fields.get(position)?;
        if position >= usize::from(f.read) {
            return None;
        }
        let slot = *self.decoder.slots.get(f.inside as usize + usize::from(field.slot))?;
        if slot == ABSENT {
            return None;
        }
        let at = slot as usize + usize::from(field.shift);
        // Numbers are most of it: what only the others need is not made for them.
        let tail = || self.data.get(at..);
        Some(match field.kind {
            Kind::Uint => Value::Uint(uint_at(self.data, at, field.fixed.into())?),
            Kind::Hex => Value::Hex(tail()?.get(..field.fixed.into())?),
            Kind::Uuid => Value::Uuid(tail()?.first_chunk()?),
            Kind::Ipv4 if !field.little => Value::Ipv4(tail()?.first_chunk()?),
            Kind::Ipv4 => Value::Ipv4(self.decoder.swapped.get(at)?),
            Kind::Ipv6 => Value::Ipv6(tail()?.first_chunk()?),
            Kind::Mac => Value::Mac(tail()?.first_chunk()?),
            Kind::String => Value::Text(tail()?.get(8..u32_at(tail()?, 4)? as usize)?),
            Kind::Blob => {
                Value::Blob { block_type: u32_at(tail()?, 0)?, octets: tail()?.get(8..u32_at(tail()?, 4)? as usize)? }
            }
            Kind::Counted { length, text } => self.counted(at, length, text)?,
            Kind::Block { .. } => Value::Block(self.other(slot)),
            Kind::List { .. } => Value::List(List { decoder: self.decoder, data: self.data, slot }),
        })
    }

    /// A counted field at an offset. Out of the way of the fields that events are made of.
    #[inline(never)]
    fn counted(&self, at: usize, length: u16, text: bool) -> Option<Value<'r>> {
        let octets = if length == REST {
            self.data.get(at..self.frame.end as usize)?
        } else {
            let adjust = self.frame.layout?.fields.get(usize::from(length))?.adjust;
            let length = self.uint(length.into())?.saturating_add_signed(adjust.into());
            self.data.get(at..)?.get(..length as usize)?
        };
        Some(if text { Value::Text(octets) } else { Value::Hex(octets) })
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

    /// What the numbers of the field at a position mean; may depend on other fields.
    pub fn enumeration(&self, position: usize) -> Option<&'static Enumeration> {
        self.layout()?.enumeration(position, |other| self.uint(other))
    }

    /// The number with this canonical name as a type of its own; `None` when the field has another type or none.
    pub fn number<T: OpenNumber>(&self, name: &str) -> Option<T> {
        let position = self.layout()?.position(name)?;
        self.enumeration(position).filter(|e| *e == T::NAMES)?;
        T::new(self.uint(position)?)
    }

    /// The number at a position of the layout, to be printed by its name.
    pub fn show(&self, position: usize) -> Option<Shown> {
        Some(Shown { number: self.uint(position)?, of: self.enumeration(position) })
    }
}

/// A List or Generic List block.
#[derive(Debug, Clone, Copy)]
pub struct List<'r> {
    decoder: &'r Decoder,
    data: &'r [u8],
    /// Its frame; without items it has none, and this is [`EMPTY`] and where its header begins. No more is kept: a list
    /// larger than a block would make every [`Value`] larger.
    slot: u32,
}

impl<'r> List<'r> {
    fn frame(&self) -> Option<&'r Frame> {
        (self.slot & EMPTY == 0).then(|| self.decoder.frame(self.slot))
    }

    /// A word of its header; of a list without one, what stands for it.
    fn word(&self, at: usize, bare: impl Fn(&Frame) -> u32) -> u32 {
        let start = match self.frame() {
            Some(f) if !f.header => return bare(f),
            Some(f) => f.start,
            None => self.slot & !EMPTY,
        };
        u32_at(self.data, start as usize + at).unwrap_or(0)
    }

    /// 11 or 31 (series 1), 2 or 3 (series 2).
    pub fn block_type(&self) -> u32 {
        self.word(0, |_| 0)
    }

    /// Its length as it stands on the wire, its header included.
    pub fn block_length(&self) -> u32 {
        self.word(4, |f| f.end - f.start)
    }

    /// Its blocks in order.
    pub fn items(&self) -> impl Iterator<Item = View<'r>> + use<'r> {
        let (decoder, data) = (self.decoder, self.data);
        let first = self.frame().map_or(0, |f| f.inside);
        let link = move |frame: u32| (frame != 0).then(|| View::new(decoder, data, frame));
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
