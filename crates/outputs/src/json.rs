//! JSON lines, shaped as Cisco eNcore's `json` adapter writes them, so that its consumers can stay.
//!
//! One object a line, separators `, ` and `: `, everything outside ASCII as `\uXXXX`. Keys: `recordType`,
//! `recordLength`, `blockType`, `archiveTimestamp`, `checksum` (both 0 when the record header has none), then the fields
//! in wire order under the names eNcore prints, `@computed` last.
//!
//! Where eNcore is wrong the standard form differs: a discovery event header without an address has no `hostIpAddr`,
//! packets are always hex, addresses are RFC 5952, the VPN session of a user login is a block, and what eNcore loses is
//! there: `data` holds what is only known as bytes, `@trailing` what follows the known fields of a block, `@problem` says
//! why a record could be read in part only. eNcore's own forms have neither of the last two, and eNcore's addresses and
//! lists.
//!
//! A host of a host data message, which eNcore does not ask for, is its block after `messageType` (6 or 7).

use crate::packet::{PacketEncoding, characters, from_hex};
use crate::python;
use crate::resolved::{Computed, Format, Resolved};
use crate::text::{Line, Piece};
use wire::decode::{List, Problem, Record, Value, View};
use wire::layout::{self, DISCOVERY_HEADER, Kind, LAYOUT_COUNT, Layout};
use wire::message::MessageType;

/// What eNcore prints of the discovery event header, in its order.
const HEAD: [&str; 7] =
    ["deviceId", "hostIpAddr", "macAddress", "eventSecond", "eventMicrosecond", "eventType", "eventSubtype"];

/// The JSON format. Making one compiles all layouts; share it.
#[derive(Debug)]
pub struct Json {
    /// By [`Layout::index`].
    programs: Vec<Program>,
    head: Vec<Step>,
    /// eNcore's own form.
    encore: Option<Encore>,
}

/// How eNcore prints.
#[derive(Debug, Clone, Copy)]
struct Encore {
    packets: PacketEncoding,
    original_packet: bool,
    /// It is version 3.
    three: bool,
}

/// The last layouts that eNcore 3.5 asks for. What later ones of the same title have besides it never printed.
const LAST_OF_VERSION_3: [(u8, u32); 4] = [(1, 163), (2, 60), (2, 56), (2, 62)];

impl Encore {
    fn prints(self, layout: &Layout, field: &str) -> bool {
        let mut known = LAST_OF_VERSION_3.iter().filter_map(|(series, number)| layout::block(*series, *number));
        let last = known.find(|known| self.three && known.title == layout.title);
        last.is_none_or(|last| layout.number <= last.number || last.fields.iter().any(|f| f.encore == field))
    }
}

/// How the fields of a layout are printed.
#[derive(Debug)]
struct Program {
    steps: Vec<Step>,
    /// The key of the block length, comma and colon included.
    length_key: Piece,
    /// For each field of [`HEAD`] the position of a field of the same name, whose value it takes.
    shared: [Option<usize>; HEAD.len()],
}

/// How a field is printed.
#[derive(Debug)]
struct Step {
    position: usize,
    /// Comma, key, colon and what else comes before the first changing byte.
    key: Piece,
    /// A String block, printed as an object; other texts are only text.
    string_block: bool,
    /// A block, shown as a list.
    list: bool,
    /// In a record with discovery event header that header prints it.
    shared: bool,
}

/// The VPN session of a user, whose header eNcore takes for that of a list with one item.
fn as_list(layout: &Layout) -> bool {
    (layout.series, layout.number) == (1, 166)
}

impl Json {
    /// The JSON format.
    pub fn new() -> Self {
        Json::with(None)
    }

    /// eNcore 5's JSON.
    pub(crate) fn encore_5(packets: PacketEncoding, original_packet: bool) -> Self {
        Json::with(Some(Encore { packets, original_packet, three: false }))
    }

    /// eNcore 3's JSON, as far as it is known.
    pub(crate) fn encore_3(original_packet: bool) -> Self {
        Json::with(Some(Encore { packets: PacketEncoding::Ascii, original_packet, three: true }))
    }

    fn with(encore: Option<Encore>) -> Self {
        let mut layouts = [DISCOVERY_HEADER; LAYOUT_COUNT];
        for layout in layout::blocks().chain(layout::records().iter().map(|r| r.body)) {
            if let Some(place) = layouts.get_mut(usize::from(layout.index)) {
                *place = layout;
            }
        }
        let head = HEAD.iter().filter_map(|name| {
            let position = DISCOVERY_HEADER.fields.iter().position(|f| f.encore == *name)?;
            Step::new(DISCOVERY_HEADER, position, encore)
        });
        let programs = layouts.map(|layout| Program::new(layout, encore)).into();
        Json { programs, head: head.collect(), encore }
    }

    fn record<'o>(&self, record: &Record<'_>, out: Line<'o>) -> Line<'o> {
        let body = record.body();
        let main = record.main();
        let mut out = out
            .bytes(b"{\"recordType\": ")
            .uint(record.record_type().into())
            .bytes(b", \"recordLength\": ")
            .uint(record.header.length.into())
            .bytes(b", \"blockType\": ")
            .uint(if record.layout.is_some() { main.block_type().into() } else { 0 })
            .bytes(b", \"archiveTimestamp\": ")
            .uint(record.header.timestamp.unwrap_or(0).into())
            .bytes(b", \"checksum\": ")
            .uint(record.header.reserved.into());

        let program = main.layout().and_then(|l| self.programs.get(usize::from(l.index)));
        let discovery = record.discovery();
        if let Some(header) = discovery {
            out = self.discovery(header, main, program, out);
        }
        let inline = record.layout.is_some_and(|l| main.layout() != Some(l.body));
        out = if discovery.is_some_and(|d| d.read() < DISCOVERY_HEADER.fields.len()) {
            // The header is cut: what is left is not the body but a piece of the header.
            self.trailing(&[body.bytes()], out)
        } else if let Some(program) = program {
            if inline {
                out = out.piece(&program.length_key).uint(main.block_length().into());
            }
            out = self.fields(main, program, discovery.is_some(), out);
            self.trailing(&[main.trailing(), if inline { body.trailing() } else { &[] }], out)
        } else if inline {
            self.trailing(&[body.trailing()], opaque_block(main, out))
        } else {
            data(body.bytes(), out)
        };
        self.flaw(record.problem(), out)
    }

    /// The discovery event header. A field that the block has too is printed here, but with the block's value.
    fn discovery<'o>(
        &self,
        header: View<'_>,
        main: View<'_>,
        program: Option<&Program>,
        mut out: Line<'o>,
    ) -> Line<'o> {
        for (i, step) in self.head.iter().enumerate() {
            let shared = program.and_then(|p| *p.shared.get(i)?).and_then(|position| main.value(position));
            if let Some(value) = &shared.or_else(|| header.value(step.position)) {
                out = self.value(step, value, out);
            }
        }
        out
    }

    fn fields<'o>(&self, view: View<'_>, program: &Program, discovery: bool, mut out: Line<'o>) -> Line<'o> {
        for step in &program.steps {
            if discovery && step.shared {
                continue;
            }
            // By reference: copying a value costs more than reading it.
            if let Some(value) = &view.value(step.position) {
                out = self.value(step, value, out);
            }
        }
        out
    }

    #[inline]
    fn value<'o>(&self, step: &Step, value: &Value<'_>, out: Line<'o>) -> Line<'o> {
        let out = out.piece(&step.key);
        match *value {
            Value::Uint(number) => out.uint(number),
            Value::Text(octets) if step.string_block => primitive(octets, out),
            Value::Text(octets) => out.octets(octets).bytes(b"\""),
            Value::Uuid(octets) => out.uuid(octets).bytes(b"\""),
            Value::Ipv6(octets) if self.encore.is_some() => python::ipv6(octets, out).bytes(b"\""),
            Value::Ipv6(octets) => out.ipv6(octets).bytes(b"\""),
            Value::Ipv4(octets) => out.ipv4(*octets).bytes(b"\""),
            Value::Mac(octets) => out.mac(octets).bytes(b"\""),
            Value::Hex(octets) => out.hex(octets).bytes(b"\""),
            Value::Block(block) if step.list => self.session(block, out),
            Value::Block(block) => self.block(block, out),
            Value::List(list) => self.list(list, out),
            Value::Blob { block_type, octets } => {
                primitive(octets, out.uint(block_type.into()).bytes(b", \"blockLength\": "))
            }
        }
    }

    /// The rest of a block after `{"blockType": `.
    fn block<'o>(&self, block: View<'_>, out: Line<'o>) -> Line<'o> {
        self.open_block(block, out).bytes(b"}")
    }

    /// The same without the brace that closes it.
    fn open_block<'o>(&self, block: View<'_>, out: Line<'o>) -> Line<'o> {
        let mut out = out.uint(block.block_type().into());
        match block.layout().and_then(|l| self.programs.get(usize::from(l.index))) {
            Some(program) => {
                out = out.piece(&program.length_key).uint(block.block_length().into());
                self.trailing(&[block.trailing()], self.fields(block, program, false, out))
            }
            None => opaque_block(block, out),
        }
    }

    /// The rest of a VPN session as eNcore shows it, after `{"listType": `.
    fn session<'o>(&self, block: View<'_>, out: Line<'o>) -> Line<'o> {
        let out = out.uint(block.block_type().into()).bytes(b", \"listLength\": ").uint(block.block_length().into());
        let out = out.bytes(b", \"items\": [{");
        let program = block.layout().and_then(|l| self.programs.get(usize::from(l.index)));
        let out = match program {
            Some(program) => self.fields(block, program, false, out),
            None => out,
        };
        out.bytes(b"}]}")
    }

    /// What follows the known fields, in pieces. eNcore drops it.
    #[inline]
    fn trailing<'o>(&self, pieces: &[&[u8]], out: Line<'o>) -> Line<'o> {
        if self.encore.is_some() || pieces.iter().all(|piece| piece.is_empty()) {
            return out;
        }
        let out = out.bytes(b", \"@trailing\": \"");
        pieces.iter().fold(out, |out, piece| out.hex(piece)).bytes(b"\"")
    }

    #[inline]
    fn flaw<'o>(&self, problem: Option<&Problem>, out: Line<'o>) -> Line<'o> {
        match problem.filter(|_| self.encore.is_none()) {
            Some(problem) => out.bytes(b", \"@problem\": \"").text(&problem.to_string()).bytes(b"\""),
            None => out,
        }
    }

    fn computed<'o>(&self, values: &[(&'static str, Computed<'_>)], out: Line<'o>) -> Line<'o> {
        let mut out = out;
        let mut first = true;
        for value in values {
            if value.0 == "originalPacket" && self.encore.is_some_and(|e| !e.original_packet) {
                continue;
            }
            out = if first { out.bytes(b", \"@computed\": {\"") } else { out.bytes(b", \"") };
            first = false;
            out = match (value, self.encore) {
                (("packet", Computed::Text(hex)), Some(Encore { packets, .. })) if packets != PacketEncoding::Hex => {
                    let packet = characters(&from_hex(hex), packets);
                    out.bytes(b"packet\": \"").text(&packet).bytes(b"\"")
                }
                (value, _) => pair(value, out),
            };
        }
        if first { out } else { out.bytes(b"}") }
    }

    /// The rest of a list after `{"listType": `.
    fn list<'o>(&self, list: List<'_>, out: Line<'o>) -> Line<'o> {
        let mut out = out
            .uint(list.block_type().into())
            .bytes(b", \"listLength\": ")
            .uint(list.block_length().into())
            .bytes(b", \"items\": [");
        for (i, item) in list.items().enumerate() {
            if i > 0 {
                out = out.bytes(b", ");
            }
            out = self.block(item, out.bytes(b"{\"blockType\": "));
        }
        out.bytes(b"]}")
    }
}

impl Default for Json {
    fn default() -> Self {
        Json::new()
    }
}

impl Format for Json {
    fn format(&self, event: &Resolved<'_>, out: &mut Vec<u8>) -> bool {
        // A connection event grows five to six times.
        let line = Line::new(out, 512 + 5 * event.record.bytes().len());
        let line = self.record(event.record, line);
        self.computed(event.computed, line).bytes(b"}").finish();
        true
    }

    fn host(&self, kind: MessageType, block: View<'_>, out: &mut Vec<u8>) -> bool {
        let line = Line::new(out, 4096);
        let line = line.bytes(b"{\"messageType\": ").uint(kind.0.into()).bytes(b", \"blockType\": ");
        self.flaw(block.problem(), self.open_block(block, line)).bytes(b"}").finish();
        true
    }
}

impl Program {
    fn new(layout: &'static Layout, encore: Option<Encore>) -> Self {
        Program {
            steps: (0..layout.fields.len()).filter_map(|position| Step::new(layout, position, encore)).collect(),
            // eNcore calls the length of a host profile so.
            length_key: Piece::new(match (layout.series, layout.number) {
                (1, 139) => ", \"blockString\": ",
                _ => ", \"blockLength\": ",
            }),
            shared: HEAD.map(|name| layout.fields.iter().position(|f| f.encore == name)),
        }
    }
}

impl Step {
    /// `None` for an inline block: its fields are the record's.
    fn new(layout: &'static Layout, position: usize, encore: Option<Encore>) -> Option<Self> {
        let field = layout.fields.get(position)?;
        if encore.is_some_and(|encore| !encore.prints(layout, field.encore)) {
            return None;
        }
        let list = matches!(field.kind, Kind::Block { expected, .. } if encore.is_some() && as_list(expected));
        let before = match field.kind {
            _ if list => "{\"listType\": ",
            Kind::Block { inline: true, .. } => return None,
            Kind::Uint => "",
            Kind::Hex | Kind::Uuid | Kind::Ipv4 | Kind::Ipv6 | Kind::Mac | Kind::Counted { .. } => "\"",
            Kind::String => "{\"blockType\": 0, \"blockLength\": ",
            Kind::Blob | Kind::Block { .. } => "{\"blockType\": ",
            Kind::List { .. } => "{\"listType\": ",
        };
        let comma = if encore.is_some() && as_list(layout) && position == 0 { "" } else { ", " };
        let key = Piece::new(&format!("{comma}\"{}\": {before}", field.encore));
        let shared = HEAD.contains(&field.encore);
        Some(Step { position, key, string_block: matches!(field.kind, Kind::String), list, shared })
    }
}

/// Length and content of a String or BLOB block, whose header of eight bytes counts.
#[inline]
fn primitive<'o>(octets: &[u8], out: Line<'o>) -> Line<'o> {
    out.uint(octets.len() as u64 + 8).bytes(b", \"data\": \"").octets(octets).bytes(b"\"}")
}

/// Length and content of a block of unknown type.
#[cold]
fn opaque_block<'o>(block: View<'_>, out: Line<'o>) -> Line<'o> {
    let out = out.bytes(b", \"blockLength\": ").uint(block.block_length().into());
    data(block.bytes().get(8..).unwrap_or_default(), out)
}

/// What is only known as bytes.
#[cold]
fn data<'o>(octets: &[u8], out: Line<'o>) -> Line<'o> {
    out.bytes(b", \"data\": \"").hex(octets).bytes(b"\"")
}

/// A computed value after the quote that begins its key.
#[inline]
fn pair<'o>((name, value): &(&'static str, Computed<'_>), out: Line<'o>) -> Line<'o> {
    let out = out.text(name);
    match value {
        Computed::Text(text) => out.bytes(b"\": \"").text(text).bytes(b"\""),
        Computed::Uint(number) => out.bytes(b"\": ").uint(*number),
        Computed::Block(octets) => primitive(octets, out.bytes(b"\": {\"blockType\": 0, \"blockLength\": ")),
        Computed::Null => out.bytes(b"\": null"),
    }
}
