//! Nested JSON objects under the names of a schema: ECS and OCSF.

use crate::mapping::Mapping;
use crate::mapping::item::{Event, Item};
use crate::mapping::places::Parts;
use crate::mapping::plan::{Plans, Shown};
use crate::mapping::tree::{Leaf, Open, Tree};
use crate::packet::PacketEncoding;
use crate::resolved::{Format, Resolved};
use crate::splunk::payload_text;
use crate::style::{Case, cased, dashed, iso, upper};
use crate::text::Line;
use wire::decode::{List, Value, View};

/// Lines of nested objects.
#[derive(Debug)]
pub(crate) struct Objects {
    plans: Plans<Tree>,
    /// For records of which only a part could be read, or nothing: what their class requires may be missing.
    damaged: Plans<Tree>,
    packets: PacketEncoding,
}

/// Events only; those of old versions as today's.
pub(crate) const OBJECTS: Shown = Shown { versions: true, ..crate::cef::ENCORE };

impl Objects {
    pub(crate) fn new(
        mapping: impl Fn() -> Result<Mapping, crate::MappingError>,
        shown: Shown,
        packets: PacketEncoding,
    ) -> Result<Self, crate::MappingError> {
        let mut general = mapping()?;
        general.records.clear();
        Ok(Objects { plans: Plans::new(mapping()?, shown), damaged: Plans::new(general, shown), packets })
    }
}

impl Format for Objects {
    fn format(&self, event: &Resolved<'_>, out: &mut Vec<u8>) -> bool {
        let record = event.record;
        let parts = Parts::new(record);
        let whole = record.problem().is_none() && parts.main.is_some_and(|main| main.layout().is_some());
        let plans = if whole { &self.plans } else { &self.damaged };
        let Some(plan) = plans.plan(record, parts.main.as_ref()) else { return false };
        let event = plan.expected.event(parts, event);
        let mut open = Open::default();
        let mut line = Line::new(out, 1024 + 5 * record.bytes().len()).bytes(b"{");
        for leaf in &plan.leaves {
            open.pass(leaf);
            if leaf.list {
                line = self.list(leaf, &event, &mut open, line);
            } else if let Some(item) = leaf.item(&event).filter(|item| !omits(item)) {
                line = self.value(&item, open.key(leaf, line));
            }
        }
        open.pass(&plan.rest);
        line = self.rest(plan, &event, &mut open, line);
        open.close(0, line).bytes(b"}").finish();
        true
    }
}

impl Objects {
    /// All alternatives that are there, each once.
    fn list<'o>(&self, leaf: &Leaf, event: &Event<'_>, open: &mut Open, mut line: Line<'o>) -> Line<'o> {
        let mut begun = false;
        for (i, source) in leaf.sources.iter().enumerate() {
            let Some(item) = source.item(event).filter(|item| !omits(item)) else { continue };
            let earlier = leaf.sources.iter().take(i).filter_map(|source| source.item(event));
            if earlier.into_iter().any(|other| other.same(&item)) {
                continue;
            }
            line = if begun { line.bytes(b", ") } else { open.key(leaf, line).bytes(b"[") };
            begun = true;
            line = self.value(&item, line);
        }
        if begun { line.bytes(b"]") } else { line }
    }

    /// What no key names and no plan knows of.
    fn rest<'o>(&self, plan: &Tree, event: &Event<'_>, open: &mut Open, mut line: Line<'o>) -> Line<'o> {
        let mut cursor = 0;
        for (name, value) in event.computed {
            let item = Item::computed(value);
            if plan.expected.locate(name, &mut cursor).is_none() && !omits(&item) {
                let key = cased(Case::Snake, name);
                line = self.value(&item, named(&key, open.key(&plan.rest, line)));
            }
        }
        let parts = &event.parts;
        let inline = parts
            .main
            .filter(|_| parts.record.layout.is_some_and(|l| parts.main.and_then(|m| m.layout()) != Some(l.body)));
        let after_block = inline.map_or(&[][..], |_| parts.body.trailing());
        let (data, trailing) = match parts.main.filter(|main| main.layout().is_some()) {
            Some(main) => (&[][..], [main.trailing(), after_block]),
            None => (parts.main.map_or(parts.body.bytes(), |main| main.bytes()), [after_block, &[]]),
        };
        for (name, pieces) in [("data", [data, &[]]), ("trailing", trailing)] {
            if pieces.iter().any(|piece| !piece.is_empty()) {
                line = named(name, open.key(&plan.rest, line)).bytes(b"\"");
                line = pieces.iter().fold(line, |line, piece| line.hex(piece)).bytes(b"\"");
            }
        }
        match parts.record.problem() {
            Some(problem) => {
                let line = named("problem", open.key(&plan.rest, line));
                line.bytes(b"\"").text(&problem.to_string()).bytes(b"\"")
            }
            None => line,
        }
    }

    #[inline]
    fn value<'o>(&self, item: &Item<'_>, line: Line<'o>) -> Line<'o> {
        match item {
            Item::Uint(n) => line.uint(*n),
            Item::Tenths(n) => line.uint(n / 10).bytes(b".").uint(n % 10),
            Item::Nested(Value::Block(block)) => self.object(*block, line),
            Item::Nested(Value::List(list)) => self.items(*list, line),
            Item::Null | Item::Nested(_) => line.bytes(b"null"),
            other => self.text(other, line.bytes(b"\"")).bytes(b"\""),
        }
    }

    #[inline]
    fn text<'o>(&self, item: &Item<'_>, line: Line<'o>) -> Line<'o> {
        match item {
            Item::Text(text) => line.text(text),
            Item::Octets(octets) | Item::Block { octets, .. } => match std::str::from_utf8(octets) {
                Ok(_) => line.octets(octets),
                Err(_) => line.bytes(b"0x").hex(octets),
            },
            Item::Ipv6(octets) => line.ipv6(octets),
            Item::Uuid(octets) => line.uuid(octets),
            Item::Hex(octets) | Item::Packet(octets) => line.hex(octets),
            Item::Mac(octets) => line.mac(octets),
            Item::Ipv4(octets) => match octets.first_chunk() {
                Some(octets) => line.ipv4(*octets),
                None => line.hex(octets),
            },
            Item::Digits(n) => line.uint(*n),
            Item::Lower(text) => line.text(&text.to_ascii_lowercase()),
            Item::Upper(octets) => upper(octets, line),
            Item::Dashed(octets) => dashed(octets, line),
            Item::Iso(second) => iso(*second, line),
            Item::Community(flow) => line.text(&crate::community::id(flow)),
            Item::Payload(_) | Item::HexPayload(_) => line.text(&payload_text(item, self.packets)),
            Item::Uint(_) | Item::Tenths(_) | Item::Nested(_) | Item::Null => line,
        }
    }

    /// A nested block. These are rare: discovery and user events.
    fn object<'o>(&self, block: View<'_>, line: Line<'o>) -> Line<'o> {
        let mut line = line.bytes(b"{\"block_type\": ").uint(block.block_type().into());
        let Some(layout) = block.layout() else {
            let octets = block.bytes().get(8..).unwrap_or_default();
            return line.bytes(b", \"data\": \"").hex(octets).bytes(b"\"}");
        };
        for (position, field) in layout.fields.iter().enumerate() {
            let item = block.value(position).map(|value| Item::new(value, true, false));
            if let Some(item) = item.filter(|item| !omits(item)) {
                line = self.value(&item, named(&cased(Case::Snake, field.name), line.bytes(b", ")));
            }
        }
        match block.trailing() {
            [] => line.bytes(b"}"),
            octets => line.bytes(b", \"trailing\": \"").hex(octets).bytes(b"\"}"),
        }
    }

    fn items<'o>(&self, list: List<'_>, line: Line<'o>) -> Line<'o> {
        let mut line = line.bytes(b"[");
        for (i, item) in list.items().enumerate() {
            line = if i > 0 { line.bytes(b", ") } else { line };
            line = self.object(item, line);
        }
        line.bytes(b"]")
    }
}

/// A key that is not compiled.
fn named<'o>(name: &str, line: Line<'o>) -> Line<'o> {
    line.bytes(b"\"").text(name).bytes(b"\": ")
}

/// Values that say nothing: no text, no items, the addresses and UUIDs of nothing. Numbers always say something.
#[inline]
fn omits(item: &Item<'_>) -> bool {
    match item {
        Item::Uint(_) | Item::Tenths(_) | Item::Digits(_) => false,
        // `::1` has a bit.
        Item::Ipv6(octets) => **octets == [0; 16],
        Item::Nested(Value::List(list)) => list.items().next().is_none(),
        Item::HexPayload(text) => text.is_empty(),
        Item::Payload(octets) => octets.is_empty(),
        Item::Hex(octets) => octets.iter().all(|o| *o == 0),
        item => item.is_zero(),
    }
}
