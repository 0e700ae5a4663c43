//! `key=value` lines for Splunk, and `kvpair`.
//!
//! The line begins with `rec_type=N` and, if it is known, `event_sec=S`; then come the fields of the record that have a
//! key, then the names computed for it. A name whose key already stands there takes the place of the value.

use crate::mapping::item::{Item, first};
use crate::mapping::places::Parts;
use crate::mapping::plan::{Plans, Shown, rest};
use crate::packet::{PacketEncoding, characters, encore_payload, from_hex};
use crate::python;
use crate::resolved::{Format, Resolved};
use crate::style::{Case, Style, cased, character, classes, raw, text, write};
use crate::text::{Line, Piece};

/// Lines of keys and values.
#[derive(Debug)]
pub(crate) struct KeyValue<S> {
    pub(crate) plans: Plans,
    pub(crate) style: S,
}

/// eNcore's way: nothing is escaped but line feeds.
#[derive(Debug)]
pub(crate) struct EncoreValues {
    pub(crate) packets: PacketEncoding,
    /// The header of TCP and UDP is no payload.
    pub(crate) transport: bool,
}

/// Values that can be read back.
#[derive(Debug)]
pub(crate) struct QuotedValues {
    pub(crate) packets: PacketEncoding,
    pub(crate) shown: Shown,
    /// Comma and blank rather than a blank.
    pub(crate) comma: bool,
}

/// How eNcore's splunk lines are made.
pub(crate) const ENCORE: Shown = Shown {
    replace: true,
    rest: false,
    case: Case::Snake,
    equals: "=",
    front: ["rec_type", "event_sec"],
    metadata: true,
    versions: false,
    all: false,
};

impl<S: Style + Send + Sync> Format for KeyValue<S> {
    fn format(&self, event: &Resolved<'_>, out: &mut Vec<u8>) -> bool {
        let record = event.record;
        let parts = Parts::new(record);
        let Some(plan) = self.plans.plan(record, parts.main.as_ref()) else { return false };
        let event = plan.event(parts, event);
        let style = &self.style;
        let mut line = Line::new(out, 512 + 4 * record.bytes().len());
        let [record_type, event_time] = style.shown().front.map(|key| key.as_bytes());
        line = style.after(raw(raw(line, record_type), b"=").uint(record.record_type().into()));
        let named_second = event.named(plan.second).map(Item::computed);
        // The event's own time is better than what was made of it.
        let own_second = plan.time.filter(|_| style.shown().rest).and_then(|slot| plan.slots.get(slot));
        let own_second = own_second.and_then(|slot| first(&slot.sources, &event)).filter(|item| !item.is_zero());
        let second = own_second.or(named_second);
        if let Some(second) = &second {
            line = style.after(write(style, second, raw(raw(line, event_time), b"=")));
        }
        // Names that took the place of a field.
        let mut printed = 0u128;
        for slot in plan.slots.iter().filter(|slot| !slot.time || second.is_none()) {
            let Some(item) = first(&slot.sources, &event) else { continue };
            let name = slot.names.iter().find_map(|n| Some((*n, event.named(*n)?)));
            let Some((n, value)) = name else {
                line = pair(style, &slot.key, &item, line);
                continue;
            };
            printed |= 1u128.checked_shl(n.into()).unwrap_or(0);
            line = pair(style, &slot.key, &Item::computed(value), line);
            if let Some(key) = &slot.number {
                line = pair(style, key, &item, line);
            }
        }
        let mut cursor = 0;
        for (name, value) in event.computed {
            let item = Item::computed(value);
            line = match plan.locate(name, &mut cursor) {
                Some(n)
                    if n == usize::from(plan.second)
                        || printed.checked_shr(u32::try_from(n).unwrap_or(u32::MAX)).is_some_and(|p| p & 1 == 1) =>
                {
                    line
                }
                Some(n) => match plan.name(n).and_then(|n| n.key.as_ref()) {
                    Some(key) => pair(style, key, &item, line),
                    None => line,
                },
                None => self.unexpected(name, &item, line),
            };
        }
        if style.shown().rest {
            line = rest(style, plan, &event, line);
        }
        line.back(style.after_length()).finish();
        true
    }
}

impl<S: Style> KeyValue<S> {
    /// A computed name that no plan knows of.
    #[cold]
    fn unexpected<'o>(&self, name: &str, item: &Item<'_>, line: Line<'o>) -> Line<'o> {
        let shown = self.style.shown();
        let key = match self.plans.key(name) {
            Some(key) => key.to_owned(),
            None if shown.rest && !self.plans.silent(name) => cased(shown.case, name),
            None => return line,
        };
        if self.style.omits(item) {
            return line;
        }
        let line = raw(raw(line, key.as_bytes()), shown.equals.as_bytes());
        self.style.after(write(&self.style, item, line))
    }
}

#[inline]
fn pair<'o, S: Style>(style: &S, key: &Piece, item: &Item<'_>, line: Line<'o>) -> Line<'o> {
    if style.omits(item) { line } else { style.after(write(style, item, line.piece(key))) }
}

impl Style for EncoreValues {
    const CLASS: [u8; 256] = classes(b"", b" =");

    fn shown(&self) -> &Shown {
        &ENCORE
    }

    fn plain<'o>(&self, octets: &[u8], quote: bool, out: Line<'o>) -> Line<'o> {
        match octets {
            [] => out.bytes(b"\"\""),
            _ if quote => raw(out.bytes(b"\""), octets).bytes(b"\""),
            _ => raw(out, octets),
        }
    }

    fn odd<'o>(&self, text: &str, out: Line<'o>) -> Line<'o> {
        let quote = text.is_empty() || text.contains([' ', '=']);
        let mut out = if quote { out.bytes(b"\"") } else { out };
        for c in text.chars() {
            out = match c {
                '\n' => out.bytes(b"\\n"),
                '\r' => out,
                c => character(out, c),
            };
        }
        if quote { out.bytes(b"\"") } else { out }
    }

    fn garbled<'o>(&self, octets: &[u8], out: Line<'o>) -> Line<'o> {
        out.hex(octets)
    }

    fn null<'o>(&self, out: Line<'o>) -> Line<'o> {
        out.bytes(b"None")
    }

    fn ipv6<'o>(&self, address: &[u8; 16], out: Line<'o>) -> Line<'o> {
        python::ipv6(address, out)
    }

    fn block<'o>(&self, block_type: u32, octets: &[u8], out: Line<'o>) -> Line<'o> {
        raw(out, python::block(block_type, octets).as_bytes())
    }

    fn payload<'o>(&self, payload: &Item<'_>, out: Line<'o>) -> Line<'o> {
        let Item::Payload(packet) = payload else { return out };
        match characters(encore_payload(packet, self.transport), self.packets) {
            // Without a payload the whole packet is shown.
            shown if shown.is_empty() && !packet.is_empty() => out.hex(packet),
            shown => text(self, shown.as_bytes(), false, out),
        }
    }

    fn omits(&self, _: &Item<'_>) -> bool {
        false
    }
}

impl Style for QuotedValues {
    // A quoted value ends at the next quote that has no backslash before it; one without quotes at the next separator.
    const CLASS: [u8; 256] = classes(b"\"\\", b" =,");

    fn shown(&self) -> &Shown {
        &self.shown
    }

    fn plain<'o>(&self, octets: &[u8], quote: bool, out: Line<'o>) -> Line<'o> {
        match octets {
            [] => out.bytes(b"\"\""),
            _ if quote => raw(out.bytes(b"\""), octets).bytes(b"\""),
            _ => raw(out, octets),
        }
    }

    fn odd<'o>(&self, text: &str, out: Line<'o>) -> Line<'o> {
        let mut out = out.bytes(b"\"");
        for c in text.chars() {
            out = match c {
                '\n' => out.bytes(b"\\n"),
                '\r' => out.bytes(b"\\r"),
                '"' => out.bytes(b"\\\""),
                '\\' => out.bytes(b"\\\\"),
                '\0' => out,
                c => character(out, c),
            };
        }
        out.bytes(b"\"")
    }

    fn null<'o>(&self, out: Line<'o>) -> Line<'o> {
        out.bytes(b"\"\"")
    }

    fn payload<'o>(&self, payload: &Item<'_>, out: Line<'o>) -> Line<'o> {
        text(self, payload_text(payload, self.packets).as_bytes(), false, out)
    }

    fn omits(&self, item: &Item<'_>) -> bool {
        // Our own empty texts say nothing; those of a record are fields of it.
        matches!(item, Item::Null | Item::Text(""))
    }

    fn after<'o>(&self, out: Line<'o>) -> Line<'o> {
        if self.comma { out.bytes(b", ") } else { out.bytes(b" ") }
    }

    fn after_length(&self) -> usize {
        1 + usize::from(self.comma)
    }
}

/// A payload, given in hex, in an encoding.
pub(crate) fn payload_text(payload: &Item<'_>, encoding: PacketEncoding) -> String {
    match payload {
        Item::HexPayload(hex) if encoding == PacketEncoding::Hex => (*hex).to_owned(),
        Item::HexPayload(hex) => characters(&from_hex(hex), encoding),
        Item::Payload(packet) => characters(packet, encoding),
        _ => String::new(),
    }
}
