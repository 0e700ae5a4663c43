//! CEF and LEEF: a header of fields between bars, then `key=value`.

use crate::clock::Clock;
use crate::mapping::item::{Event, Item, Sources, first};
use crate::mapping::places::Parts;
use crate::mapping::plan::{Plan, Plans, Shown, TemplatePart, rest};
use crate::packet::{PacketEncoding, characters, encore_payload};
use crate::python;
use crate::resolved::{Format, Resolved};
use crate::splunk::payload_text;
use crate::style::{Case, Style, character, classes, raw, text, write};
use crate::text::{Line, Piece};

/// Characters of a payload that eNcore prints.
const PAYLOAD: usize = 1022;

/// Lines with a header of fields between bars.
#[derive(Debug)]
pub(crate) struct Cef<S> {
    pub(crate) plans: Plans,
    pub(crate) style: S,
    pub(crate) syslog: Option<Syslog>,
    /// Up to the event's own header fields.
    pub(crate) start: Piece,
    /// LEEF has no name and severity in the header, but the delimiter.
    pub(crate) leef: Option<Piece>,
}

/// The syslog header before a line: `<13>Mar 05 07:08:09 host `.
#[derive(Debug)]
pub(crate) struct Syslog {
    pub(crate) priority: Piece,
    pub(crate) clock: Clock,
    /// Days below 10 have a zero.
    pub(crate) zero: bool,
    /// The host between blanks.
    pub(crate) host: Piece,
}

/// eNcore's way to write values.
#[derive(Debug)]
pub(crate) struct EncoreCef {
    pub(crate) packets: PacketEncoding,
    /// Whole packets are printed as hex; else as a Python literal of it.
    pub(crate) original: bool,
    pub(crate) transport: bool,
    /// Bars are escaped.
    pub(crate) bars: bool,
}

/// CEF as its standard has it.
#[derive(Debug)]
pub(crate) struct StandardCef {
    pub(crate) packets: PacketEncoding,
    pub(crate) shown: Shown,
}

/// What may separate the values of a LEEF line.
pub(crate) const DELIMITERS: &[u8] = b"\t^~";

/// LEEF: line ends and the delimiter cannot be in a value.
#[derive(Debug)]
pub(crate) struct Leef {
    pub(crate) packets: PacketEncoding,
    pub(crate) shown: Shown,
    pub(crate) delimiter: u8,
}

/// How eNcore's CEF lines are made.
pub(crate) const ENCORE: Shown = Shown {
    replace: false,
    rest: false,
    case: Case::Camel,
    equals: "=",
    front: ["", ""],
    metadata: false,
    versions: false,
    all: false,
};

impl<S: Style + Send + Sync> Format for Cef<S> {
    fn format(&self, event: &Resolved<'_>, out: &mut Vec<u8>) -> bool {
        let record = event.record;
        let parts = Parts::new(record);
        let Some(plan) = self.plans.plan(record, parts.main.as_ref()) else { return false };
        let event = plan.event(parts, event);
        let style = &self.style;
        let mut line = Line::new(out, 512 + 4 * record.bytes().len());
        if let Some(syslog) = &self.syslog {
            line = syslog.clock.stamp(syslog.zero, line.piece(&syslog.priority)).piece(&syslog.host);
        }
        line = header(style, &plan.id, &event, line.piece(&self.start)).bytes(b"|");
        line = match &self.leef {
            Some(delimiter) => line.piece(delimiter),
            None => header(style, &plan.name, &event, line).bytes(b"|"),
        };
        line = match &self.leef {
            Some(_) => line,
            None => severity(style, &plan.severity, &event, line).bytes(b"|"),
        };
        let start = line.at;
        for slot in &plan.slots {
            if let Some(item) = first(&slot.sources, &event).filter(|item| !style.omits(item)) {
                line = style.after(write(style, &item, line.piece(&slot.key)));
            }
        }
        if style.shown().rest {
            line = self.names(plan, &event, line);
            line = rest(style, plan, &event, line);
        }
        if line.at > start {
            line = line.back(1);
        }
        line.finish();
        true
    }
}

impl<S: Style> Cef<S> {
    /// The computed names that no key uses.
    fn names<'o>(&self, plan: &Plan, event: &Event<'_>, mut line: Line<'o>) -> Line<'o> {
        let mut cursor = 0;
        for (name, value) in event.computed {
            let item = Item::computed(value);
            let name = plan.locate(name, &mut cursor).and_then(|n| plan.name(n));
            if let Some(key) = name.and_then(|n| n.key.as_ref()).filter(|_| !self.style.omits(&item)) {
                line = self.style.after(write(&self.style, &item, line.piece(key)));
            }
        }
        line
    }
}

fn header<'o, S: Style>(style: &S, template: &[TemplatePart], event: &Event<'_>, line: Line<'o>) -> Line<'o> {
    template.iter().fold(line, |line, part| match part {
        TemplatePart::Text(text) => line.piece(text),
        TemplatePart::Value(sources) => match first(sources, event) {
            Some(item) => style.header(&item, line),
            None => line,
        },
    })
}

fn severity<'o, S: Style>(style: &S, sources: &Sources, event: &Event<'_>, line: Line<'o>) -> Line<'o> {
    match first(sources, event) {
        Some(item) => style.header(&item, line),
        None => line.bytes(b"5"),
    }
}

impl Style for EncoreCef {
    const CLASS: [u8; 256] = classes(b"\\\"]|", b"=");

    fn shown(&self) -> &Shown {
        &ENCORE
    }

    fn plain<'o>(&self, octets: &[u8], quote: bool, out: Line<'o>) -> Line<'o> {
        if quote { raw(out.bytes(b"\""), octets).bytes(b"\"") } else { raw(out, octets) }
    }

    fn odd<'o>(&self, text: &str, out: Line<'o>) -> Line<'o> {
        let quote = text.contains('=');
        let mut out = if quote { out.bytes(b"\"") } else { out };
        for c in text.chars() {
            out = match c {
                '\\' => out.bytes(b"\\\\"),
                '"' => out.bytes(b"\\\""),
                ']' => out.bytes(b"\\]"),
                '|' if self.bars => out.bytes(b"\\|"),
                c => character(out, c),
            };
        }
        if quote { out.bytes(b"\"") } else { out }
    }

    fn garbled<'o>(&self, octets: &[u8], out: Line<'o>) -> Line<'o> {
        raw(out, python::hex_literal(octets).as_bytes())
    }

    fn null<'o>(&self, out: Line<'o>) -> Line<'o> {
        out.bytes(b"None")
    }

    fn ipv6<'o>(&self, address: &[u8; 16], out: Line<'o>) -> Line<'o> {
        python::ipv6(address, out)
    }

    fn block<'o>(&self, block_type: u32, octets: &[u8], out: Line<'o>) -> Line<'o> {
        text(self, python::block(block_type, octets).as_bytes(), false, out)
    }

    fn payload<'o>(&self, payload: &Item<'_>, out: Line<'o>) -> Line<'o> {
        let Item::Payload(packet) = payload else { return out };
        let payload = encore_payload(packet, self.transport);
        match self.packets {
            PacketEncoding::Hex => {
                let octets = payload.get(..PAYLOAD / 2).unwrap_or(payload);
                raw(out, python::hex_literal(octets).as_bytes())
            }
            encoding => {
                let shown: String = characters(payload, encoding).chars().take(PAYLOAD).collect();
                text(self, shown.as_bytes(), false, out)
            }
        }
    }

    fn packet<'o>(&self, octets: &[u8], out: Line<'o>) -> Line<'o> {
        if self.original { out.hex(octets) } else { raw(out, python::hex_literal(octets).as_bytes()) }
    }

    fn omits(&self, item: &Item<'_>) -> bool {
        match item {
            Item::Payload(packet) if self.packets == PacketEncoding::Hex => packet.is_empty(),
            Item::Payload(packet) => characters(encore_payload(packet, self.transport), self.packets).is_empty(),
            item => item.is_empty(),
        }
    }

    fn header<'o>(&self, item: &Item<'_>, out: Line<'o>) -> Line<'o> {
        match item {
            Item::Text(text) => raw(out, text.as_bytes()),
            item => write(self, item, out),
        }
    }
}

impl Style for StandardCef {
    const CLASS: [u8; 256] = classes(b"\\=", b"");

    fn shown(&self) -> &Shown {
        &self.shown
    }

    fn odd<'o>(&self, text: &str, out: Line<'o>) -> Line<'o> {
        text.chars().fold(out, |out, c| match c {
            '\\' => out.bytes(b"\\\\"),
            '=' => out.bytes(b"\\="),
            '\n' => out.bytes(b"\\n"),
            '\r' => out.bytes(b"\\r"),
            '\0' => out,
            c => character(out, c),
        })
    }

    fn payload<'o>(&self, payload: &Item<'_>, out: Line<'o>) -> Line<'o> {
        text(self, payload_text(payload, self.packets).as_bytes(), false, out)
    }

    fn omits(&self, item: &Item<'_>) -> bool {
        nothing(item)
    }

    fn header<'o>(&self, item: &Item<'_>, out: Line<'o>) -> Line<'o> {
        header_field(self, item, out)
    }
}

impl Style for Leef {
    const CLASS: [u8; 256] = classes(DELIMITERS, b"");

    fn shown(&self) -> &Shown {
        &self.shown
    }

    fn odd<'o>(&self, text: &str, out: Line<'o>) -> Line<'o> {
        let delimiter = char::from(self.delimiter);
        text.chars().fold(out, |out, c| match c {
            '\n' => out.bytes(b"\\n"),
            '\r' => out.bytes(b"\\r"),
            '\0' => out,
            '\t' if c == delimiter => out.bytes(b"\\t"),
            c if c == delimiter => out.bytes(b" "),
            c => character(out, c),
        })
    }

    fn payload<'o>(&self, payload: &Item<'_>, out: Line<'o>) -> Line<'o> {
        text(self, payload_text(payload, self.packets).as_bytes(), false, out)
    }

    fn omits(&self, item: &Item<'_>) -> bool {
        nothing(item)
    }

    fn after<'o>(&self, out: Line<'o>) -> Line<'o> {
        out.bytes(&[self.delimiter])
    }

    fn header<'o>(&self, item: &Item<'_>, out: Line<'o>) -> Line<'o> {
        header_field(self, item, out)
    }
}

/// Text without a character, or no value at all. Numbers are values even when they are 0.
fn nothing(item: &Item<'_>) -> bool {
    match item {
        Item::Uint(_) => false,
        Item::Null => true,
        Item::HexPayload(text) => text.is_empty(),
        Item::Payload(octets) => octets.is_empty(),
        Item::Block { octets, .. } => octets.iter().all(|o| *o == 0),
        item => item.is_empty(),
    }
}

/// A header field: bars and backslashes are escaped, line ends become blanks.
fn header_field<'o, S: Style>(style: &S, item: &Item<'_>, out: Line<'o>) -> Line<'o> {
    let octets = match item {
        Item::Text(text) => text.as_bytes(),
        Item::Octets(octets) => octets,
        item => return write(style, item, out),
    };
    match std::str::from_utf8(octets) {
        Ok(text) => text.chars().filter(|c| *c != '\0').fold(out, |out, c| match c {
            '\\' => out.bytes(b"\\\\"),
            '|' => out.bytes(b"\\|"),
            '\n' | '\r' => out.bytes(b" "),
            c => character(out, c),
        }),
        Err(_) => style.garbled(octets, out),
    }
}
