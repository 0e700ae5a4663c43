//! Decoding a record in place.
//!
//! A [`Decoder`] walks the bytes of a record along its layout and remembers only where each field begins; values are
//! made from the bytes when they are asked for. It is reused from record to record, so decoding allocates nothing.
//!
//! The block type found on the wire decides the layout; the record type only says what to expect. What is not known is
//! opaque: kept as bytes with its type and length. A block that is cut short, or that contradicts itself, gives the
//! fields that could be read, and a [`Problem`] that names record, block, field and offset.

use crate::cursor::{u32_at, uint_at};
use crate::layout::{self, DISCOVERY_HEADER, Field, Kind, Layout, REST, When};
use crate::record::{RecordError, RecordHeader};
pub use crate::view::{List, Record, Value, View};
use std::fmt;
use thiserror::Error;

/// Blocks nested deeper than this are left opaque; real ones end at six.
const MAX_DEPTH: u8 = 12;

/// Slot of a field that is not on the wire (`present_if`).
pub(crate) const ABSENT: u32 = u32::MAX;

/// Mark on the slot of a list without items: it has no frame, the rest of the slot is where its header begins.
pub(crate) const EMPTY: u32 = 1 << 31;

/// Decodes records one after the other; reuse it.
#[derive(Debug, Default)]
pub struct Decoder {
    frames: Vec<Frame>,
    /// Where each field (or run of fields of fixed size) begins, or the frame of a nested block or list, or the place
    /// in `swapped`, or [`EMPTY`].
    pub(crate) slots: Vec<u32>,
    /// Little-endian addresses, turned round.
    pub(crate) swapped: Vec<[u8; 4]>,
    pub(crate) problem: Option<Problem>,
    record: u16,
}

/// One block, list or record body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// `None` for lists and for blocks of unknown type.
    pub layout: Option<&'static Layout>,
    pub start: u32,
    pub end: u32,
    /// Where the fields that were read end.
    pub read_to: u32,
    /// First slot of a block, first item of a list (0 = none).
    pub inside: u32,
    /// Next item of the same list; 0 = none.
    pub next: u32,
    /// How many fields were read.
    pub read: u16,
    /// Block type and length stand at the start.
    pub header: bool,
}

/// Where a record contradicts its layout. What was read before it is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{}{layout}, field {field} at offset {offset}: {flaw}", Of(*record))]
pub struct Problem {
    /// Record type; 0 for a block that stands alone.
    pub record: u16,
    /// The block or record body.
    pub layout: Place,
    /// Canonical name of the field, or "block length" and the like.
    pub field: &'static str,
    /// Offset from the start of the event data (record header included).
    pub offset: usize,
    /// What is wrong there.
    pub flaw: Flaw,
}

/// A block or record body as a problem names it: title, and series and number of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Title of the layout.
    pub title: &'static str,
    /// Series and block type; `None` for a record body.
    pub block: Option<(u8, u32)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.block {
            Some((series, number)) => write!(f, "{} (series {series} block {number})", self.title),
            None => f.write_str(self.title),
        }
    }
}

/// The record a problem is in, if any, as its first words.
struct Of(u16);

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            record => write!(f, "record {record}, "),
        }
    }
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
        let Some(record) = layout::record(header.record_type) else {
            let body = self.open(None, false, at, end);
            return Ok(Record::new(self, item, header, None, None, body));
        };
        let mut discovery = None;
        if record.discovery_header {
            let frame = self.open(Some(DISCOVERY_HEADER), false, at, end);
            self.fields(item, frame, at, 0);
            at = self.frame(frame).read_to;
            self.close(frame, at);
            discovery = Some(frame);
        }
        let body = self.open(Some(record.body), false, at, end);
        // What follows a header that is cut short is a piece of it, not the body.
        if self.problem.is_none() {
            self.read(item, body, at, 0);
        }
        let form = self.frame(body).layout;
        let record = record.forms.iter().find(|r| Some(r.body) == form).unwrap_or(record);
        let known = Some(record).filter(|r| !r.body.is_gap());
        Ok(Record::new(self, item, header, known, discovery, body))
    }

    /// Decodes a data block that stands alone, as in host data messages. `series` is 1 or 2.
    pub fn decode_block<'r>(&'r mut self, series: u8, data: &'r [u8]) -> View<'r> {
        self.clear(0);
        let expected = u32_at(data, 0).and_then(|number| layout::block(series, number));
        let end = data.len() as u32;
        let frame = match self.block(data, expected, series, 0, end, 0) {
            Ok(frame) => frame,
            Err(flaw) => {
                let title = if series == 1 { "data block of series 1" } else { "data block of series 2" };
                let layout = Place { title, block: None };
                self.problem = Some(Problem { record: 0, layout, field: "block header", offset: 0, flaw });
                self.open(None, false, 0, end)
            }
        };
        View::new(self, data, frame)
    }

    /// What was wrong with the record or block decoded last.
    pub fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }

    fn clear(&mut self, record: u16) {
        self.frames.clear();
        self.slots.clear();
        self.swapped.clear();
        self.problem = None;
        self.record = record;
    }

    fn open(&mut self, layout: Option<&'static Layout>, header: bool, start: u32, end: u32) -> u32 {
        grow(&mut self.frames, 1);
        self.frames.push(Frame { layout, start, end, read_to: start, inside: 0, next: 0, read: 0, header });
        self.frames.len() as u32 - 1
    }

    fn close(&mut self, frame: u32, end: u32) {
        if let Some(f) = self.frames.get_mut(frame as usize) {
            f.end = end;
        }
    }

    pub(crate) fn frame(&self, frame: u32) -> &Frame {
        static NONE: Frame =
            Frame { layout: None, start: 0, end: 0, read_to: 0, inside: 0, next: 0, read: 0, header: false };
        self.frames.get(frame as usize).unwrap_or(&NONE)
    }

    /// Reads the fields of `frame`, the first of them at `at`, in the form that is there.
    fn read(&mut self, data: &[u8], frame: u32, at: u32, depth: u8) {
        match self.frame(frame).layout {
            Some(layout) if !layout.alternatives.is_empty() => self.choose(layout, data, frame, at, depth),
            _ => self.fields(data, frame, at, depth),
        }
    }

    /// Reads the first alternative whose condition holds, else the expected form.
    fn choose(&mut self, layout: &'static Layout, data: &[u8], frame: u32, at: u32, depth: u8) {
        let bytes = data.get(at as usize..self.frame(frame).end as usize).unwrap_or_default();
        let plain = |when: &When| match *when {
            When::Length(length) => bytes.len() == length as usize,
            When::String(from) => {
                let string = bytes.get(from as usize..).unwrap_or_default();
                let length = u32_at(string, 4).map_or(0, |n| n as usize);
                u32_at(string, 0) == Some(0) && (8..=string.len()).contains(&length)
            }
            When::NoBlock(_) | When::Fits => false,
        };
        if let Some(found) = layout.alternatives.iter().find(|a| plain(&a.when)) {
            self.form(frame, found.layout, at);
            return self.fields(data, frame, at, depth);
        }
        if layout.alternatives.iter().all(|a| matches!(a.when, When::Length(_) | When::String(_))) {
            return self.fields(data, frame, at, depth);
        }
        let (mark, had) = ((self.frames.len(), self.slots.len(), self.swapped.len()), self.problem.is_some());
        let (number, length) = (u32_at(bytes, 0), u32_at(bytes, 4));
        let block = length.is_some_and(|length| length as usize == bytes.len());
        let bare = layout.alternatives.iter().find(|a| matches!(a.when, When::NoBlock(_)) && !block);
        let fits = layout.alternatives.iter().filter(|a| a.when == When::Fits);
        // When no form fits, the problem is told in the words of the likeliest one.
        let likely = bare.filter(|a| number.is_none_or(|n| a.when != When::NoBlock(n))).map_or(layout, |a| a.layout);
        let forms = bare.into_iter().map(|a| a.layout).chain([layout]).chain(fits.map(|a| a.layout));
        for (form, last) in forms.map(|form| (form, false)).chain([(likely, true)]) {
            self.frames.truncate(mark.0);
            self.slots.truncate(mark.1);
            self.swapped.truncate(mark.2);
            if !had {
                self.problem = None;
            }
            self.form(frame, form, at);
            self.fields(data, frame, at, depth);
            let f = self.frame(frame);
            if last || f.read_to == f.end && self.problem.is_some() == had {
                return;
            }
        }
    }

    fn form(&mut self, frame: u32, layout: &'static Layout, at: u32) {
        if let Some(f) = self.frames.get_mut(frame as usize) {
            (f.layout, f.read, f.read_to) = (Some(layout), 0, at);
        }
    }

    /// Reads the fields of `frame`, the first of them at `at`.
    fn fields(&mut self, data: &[u8], frame: u32, at: u32, depth: u8) {
        let f = *self.frame(frame);
        let Some(layout) = f.layout.filter(|l| !l.is_gap()) else { return };
        let end = f.end;
        let base = self.slots.len();
        // Nearly every field takes at least a byte: a short block gets few slots, whatever its type promises.
        let room = usize::from(layout.slots).min((end - at) as usize + 8);
        grow(&mut self.slots, room);
        self.slots.resize(base + room, ABSENT);
        if let Some(f) = self.frames.get_mut(frame as usize) {
            f.inside = base as u32;
        }
        let mut pos = at;
        let mut read = 0;
        while let Some(field) = layout.fields.get(usize::from(read)) {
            if usize::from(field.slot) >= room {
                self.report(layout, field, pos, Flaw::Cut { needed: 1, left: 0 });
                break;
            }
            if field.run > 1 && end - pos >= u32::from(field.run_bytes) {
                if let Some(s) = self.slots.get_mut(base + usize::from(field.slot)) {
                    *s = pos;
                }
                pos += u32::from(field.run_bytes);
                read += field.run;
                continue;
            }
            if let Some(condition) = field.present_if
                && self.uint(data, base, layout, condition) == 0
            {
                read += 1;
                continue;
            }
            let size = u32::from(field.fixed);
            let (slot, next) = if size != 0 {
                if end - pos < size {
                    if field.optional && pos == end {
                        break;
                    }
                    self.report(layout, field, pos, Flaw::Cut { needed: size.into(), left: (end - pos).into() });
                    break;
                }
                (pos, pos + size)
            } else {
                match self.variable(data, layout, field, base, pos, end, depth) {
                    Ok(found) => found,
                    Err(_) if field.optional && pos == end => break,
                    Err(flaw) => {
                        self.report(layout, field, pos, flaw);
                        break;
                    }
                }
            };
            if field.shift == 0
                && let Some(s) = self.slots.get_mut(base + usize::from(field.slot))
            {
                *s = slot;
            }
            pos = next;
            read += 1;
        }
        if let Some(f) = self.frames.get_mut(frame as usize) {
            f.read = read;
            f.read_to = pos;
        }
        if layout.little {
            self.swap(data, layout, base, read.into());
        }
    }

    /// Turns little-endian addresses round.
    #[cold]
    fn swap(&mut self, data: &[u8], layout: &'static Layout, base: usize, read: usize) {
        for field in layout.fields.iter().take(read).filter(|field| field.little) {
            if let Some(slot) = self.slots.get_mut(base + usize::from(field.slot))
                && let Some(number) = u32_at(data, *slot as usize)
            {
                *slot = self.swapped.len() as u32;
                self.swapped.push(number.to_le_bytes());
            }
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
            Kind::Counted { length: REST, .. } => Ok((pos, end)),
            Kind::Counted { length, .. } => {
                let needed = self.length(data, base, layout, length);
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
            Kind::List { of, .. } if field.repeat => {
                let list = self.open(None, false, pos, end);
                self.items(data, list, of, pos, end, depth);
                Ok((list, end))
            }
            Kind::List { of, .. } => {
                let (word, length) = block_header(data, pos, left)?;
                if !matches!(word, 11 | 31 | 2 | 3) {
                    return Err(Flaw::Block { expected: 11, found: word });
                }
                if length == 8 && pos < EMPTY - 1 {
                    return Ok((EMPTY | pos, pos + 8));
                }
                let stop = pos + length.min(left);
                let list = self.open(None, true, pos, stop);
                self.items(data, list, of, pos + 8, stop, depth);
                if length > left {
                    self.report(layout, field, pos, Flaw::Cut { needed: length.into(), left: left.into() });
                }
                Ok((list, stop))
            }
            Kind::Block { expected, .. } if !expected.header => {
                let frame = self.open(Some(expected), false, pos, end);
                self.fields(data, frame, pos, depth + 1);
                let stop = self.frame(frame).read_to;
                self.close(frame, stop);
                Ok((frame, stop))
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
                        if last == 0 { f.inside = item } else { f.next = item }
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
        let frame = self.open(layout, true, pos, stop);
        self.read(data, frame, pos + 8, depth);
        if length > left
            && let Some(l) = layout.or(expected)
        {
            self.report_at(l, "block length", pos + 4, Flaw::Cut { needed: length.into(), left: left.into() });
        }
        Ok(frame)
    }

    /// The number in an earlier field of the block whose slots begin at `base`; 0 when it is not there.
    fn uint(&self, data: &[u8], base: usize, layout: &Layout, field: u16) -> u64 {
        let Some(field) = layout.fields.get(usize::from(field)) else { return 0 };
        let Some(slot) = self.slots.get(base + usize::from(field.slot)) else { return 0 };
        if *slot == ABSENT {
            return 0;
        }
        uint_at(data, *slot as usize + usize::from(field.shift), field.fixed.into()).unwrap_or(0)
    }

    /// The length of a counted field, from the field that holds it.
    fn length(&self, data: &[u8], base: usize, layout: &Layout, field: u16) -> u64 {
        let adjust = layout.fields.get(usize::from(field)).map_or(0, |f| f.adjust);
        self.uint(data, base, layout, field).saturating_add_signed(adjust.into())
    }

    #[cold]
    fn report(&mut self, layout: &'static Layout, field: &'static Field, pos: u32, flaw: Flaw) {
        self.report_at(layout, if field.name.is_empty() { "block" } else { field.name }, pos, flaw);
    }

    /// Keeps the first problem: the later ones follow from it.
    #[cold]
    fn report_at(&mut self, layout: &'static Layout, field: &'static str, pos: u32, flaw: Flaw) {
        let block = (layout.series != 0 && !layout.is_any()).then_some((layout.series, layout.number));
        let layout = Place { title: layout.title, block };
        self.problem.get_or_insert(Problem { record: self.record, layout, field, offset: pos as usize, flaw });
    }
}

/// Makes room for some more, in small steps: a decoder is reused, so how often it grows matters less than how far.
fn grow<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() - list.len() < more {
        list.reserve_exact(more.max(list.len() / 4));
    }
}

fn block_header(data: &[u8], pos: u32, left: u32) -> Result<(u32, u32), Flaw> {
    let at = pos as usize;
    match (u32_at(data, at), u32_at(data, at + 4)) {
        (Some(_), Some(length)) if left >= 8 && length < 8 => Err(Flaw::Length(length)),
        (Some(word), Some(length)) if left >= 8 => Ok((word, length)),
        _ => Err(Flaw::Cut { needed: 8, left: left.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes a decoder keeps for a message of `body`.
    fn kept(record: u16, body: &[u8]) -> usize {
        let item = [&u32::from(record).to_be_bytes()[..], &(body.len() as u32).to_be_bytes(), body].concat();
        let mut decoder = Decoder::new();
        let _ = decoder.decode(&item);
        decoder.frames.capacity() * size_of::<Frame>() + 4 * (decoder.slots.capacity() + decoder.swapped.capacity())
    }

    #[test]
    fn what_is_kept_is_in_proportion_to_the_message() {
        // The densest there is: blocks of nothing but a header, as items of a list, with layouts of many fields.
        for (record, number) in [(10, 174u32), (10, 139), (10, 11), (10, 155), (6, 174), (6, 9), (400, 85)] {
            let empty = [&number.to_be_bytes()[..], &8u32.to_be_bytes()].concat();
            for many in [1, 100, 10_000] {
                let items = empty.repeat(many);
                let length = (items.len() + 8) as u32;
                let list = [&11u32.to_be_bytes()[..], &length.to_be_bytes(), &items].concat();
                for body in [&items, &list] {
                    let body = [&[0; 40][..], body].concat();
                    let kept = kept(record, &body);
                    assert!(kept <= 256 + 10 * body.len(), "{kept} bytes for {} of record {record}", body.len());
                }
            }
        }
    }
}
