//! Records and hosts to be read by people: every field by its name, numbers with what they mean.
//!
//! Each begins with a line of thirteen `*`, its message and record header, a line of thirteen `=`, and then has a line for
//! each field; what is inside a block is indented by four blanks. Names come from built-in tables alone: metadata is
//! printed like any other record and changes nothing. The data of packets is left out, and long octets are cut.

use crate::output::{Output, OutputError};
use crate::text::{push_hex, push_text};
use std::fmt::Write as _;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use wire::decode::{Problem, Record, Value, View};
use wire::layout::DISCOVERY_HEADER;
use wire::message::{MessageType, VERSION};
use wire::names::discovery_event;

/// Octets without a meaning are printed up to this many.
const OCTETS: usize = 1024;

/// Prints to a stream.
#[derive(Debug)]
pub struct Print<W> {
    out: W,
    name: String,
    text: String,
}

impl<W: Write> Print<W> {
    /// Prints to `out`, which errors call `name`.
    pub fn new(out: W, name: &str) -> Self {
        Print { out, name: name.to_owned(), text: String::new() }
    }

    /// Prints a host of a host data message.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn host(&mut self, kind: MessageType, block: View<'_>) -> Result<(), OutputError> {
        self.text.clear();
        push_host(kind, block, &mut self.text);
        self.write()
    }

    fn write(&mut self) -> Result<(), OutputError> {
        self.out.write_all(self.text.as_bytes()).map_err(OutputError::write(&self.name))
    }
}

impl<W: Write> Output for Print<W> {
    fn record(&mut self, record: &Record<'_>) -> Result<bool, OutputError> {
        self.text.clear();
        push_record(record, &mut self.text);
        self.write()?;
        Ok(true)
    }

    fn flush(&mut self) -> Result<(), OutputError> {
        self.out.flush().map_err(OutputError::write(&self.name))
    }
}

/// Appends a record.
pub fn push_record(record: &Record<'_>, out: &mut String) {
    let header = &record.header;
    message(MessageType::EVENT_DATA, record.bytes().len(), out);
    let name = record.layout.map_or("unknown", |l| l.name);
    let _ = writeln!(out, "record type: {} ({name})", header.record_type);
    if header.netmap != 0 {
        let _ = writeln!(out, "netmap: {}", header.netmap);
    }
    let _ = writeln!(out, "record length: {}", header.length);
    if let Some(second) = header.timestamp {
        let _ = write!(out, "archival timestamp: {second}");
        if let Ok(time) = jiff::Timestamp::from_second(second.into()) {
            let _ = write!(out, " ({})", time.strftime("%a %b %e %H:%M:%S %Y GMT"));
        }
        out.push('\n');
    }
    out.push_str("=============\n");
    if let Some(discovery) = record.discovery() {
        out.push_str("Discovery event header:\n");
        fields(discovery, 1, out);
        let number = |name| DISCOVERY_HEADER.position(name).and_then(|at| discovery.uint(at)).unwrap_or(0);
        if let Some(event) = discovery_event(number("eventType"), number("eventSubtype")) {
            let _ = writeln!(out, "    ({event})");
        }
    }
    block(record.body(), 0, out);
    end(record.problem(), out);
}

/// Appends a host.
pub fn push_host(kind: MessageType, host: View<'_>, out: &mut String) {
    message(kind, host.bytes().len(), out);
    out.push_str("=============\n");
    heading(host, 0, out);
    block(host, 1, out);
    end(host.problem(), out);
}

fn message(kind: MessageType, length: usize, out: &mut String) {
    let _ = writeln!(out, "*************\nversion: {VERSION}");
    let _ = writeln!(out, "message type: {} ({})", kind.0, kind.name().unwrap_or("unknown"));
    let _ = writeln!(out, "message length: {length}");
}

fn end(problem: Option<&Problem>, out: &mut String) {
    if let Some(problem) = problem {
        let _ = writeln!(out, "problem: {problem}");
    }
    out.push_str("*************\n\n");
}

/// What a block is: its title, its type and its length.
fn heading(view: View<'_>, depth: usize, out: &mut String) {
    indent(depth, out);
    out.push_str(view.title().unwrap_or("unknown block"));
    let _ = match view.layout().map(|l| l.series) {
        Some(series @ 1..) => write!(out, " (series {series} block {}", view.block_type()),
        _ => write!(out, " (block {}", view.block_type()),
    };
    let _ = writeln!(out, ", length {}):", view.block_length());
}

fn block(view: View<'_>, depth: usize, out: &mut String) {
    match view.layout() {
        Some(_) => fields(view, depth, out),
        None => octets("data", view.bytes(), depth, out),
    }
    if view.layout().is_some() && !view.trailing().is_empty() {
        octets("not understood", view.trailing(), depth, out);
    }
}

fn fields(view: View<'_>, depth: usize, out: &mut String) {
    let Some(layout) = view.layout() else { return };
    for (position, field) in layout.fields.iter().enumerate() {
        let Some(value) = view.value(position) else { continue };
        match value {
            Value::Block(inner) if field.name.is_empty() => {
                heading(inner, depth, out);
                block(inner, depth + 1, out);
                continue;
            }
            Value::Hex(hex) if field.name == "packetData" => {
                indent(depth, out);
                let _ = writeln!(out, "{}: {} bytes of packet data left out", field.name, hex.len());
                continue;
            }
            Value::Hex(hex) => {
                octets(field.name, hex, depth, out);
                continue;
            }
            Value::Blob { octets: blob, .. } => {
                text_or_octets(field.name, blob, depth, out);
                continue;
            }
            _ => {}
        }
        indent(depth, out);
        let _ = write!(out, "{}: ", field.name);
        match value {
            Value::Uint(number) => {
                let _ = write!(out, "{number}");
                if let Some(shown) = view.show(position).map(|s| s.to_string()).filter(|s| *s != number.to_string()) {
                    let _ = write!(out, " ({shown})");
                }
                out.push('\n');
            }
            Value::Ipv4(ip) => {
                let _ = writeln!(out, "{}", Ipv4Addr::from(*ip));
            }
            Value::Ipv6(ip) => {
                let _ = writeln!(out, "{}", Ipv6Addr::from(*ip).to_canonical());
            }
            Value::Mac([a, b, c, d, e, f]) => {
                let _ = writeln!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
            }
            Value::Uuid(uuid) => {
                push_uuid(uuid, out);
                out.push('\n');
            }
            Value::Text(text) => {
                push_text(text, out);
                out.push('\n');
            }
            Value::Block(inner) => {
                out.push('\n');
                heading(inner, depth + 1, out);
                block(inner, depth + 2, out);
            }
            Value::List(list) => {
                let _ = writeln!(out, "{} items", list.items().count());
                for item in list.items() {
                    heading(item, depth + 1, out);
                    block(item, depth + 2, out);
                }
            }
            Value::Hex(_) | Value::Blob { .. } => {}
        }
    }
}

/// A blob that is readable is text, else octets.
fn text_or_octets(name: &str, blob: &[u8], depth: usize, out: &mut String) {
    let readable = std::str::from_utf8(blob).is_ok_and(|t| t.chars().all(|c| !c.is_control() || c.is_whitespace()));
    if !readable || blob.len() > OCTETS {
        return octets(name, blob, depth, out);
    }
    indent(depth, out);
    let _ = write!(out, "{name}: ");
    push_text(blob, out);
    out.push('\n');
}

fn octets(name: &str, octets: &[u8], depth: usize, out: &mut String) {
    indent(depth, out);
    let _ = write!(out, "{name}: ");
    push_hex(octets.get(..octets.len().min(OCTETS)).unwrap_or_default(), out);
    if octets.len() > OCTETS {
        let _ = write!(out, "... ({} bytes)", octets.len());
    }
    out.push('\n');
}

fn push_uuid(uuid: &[u8; 16], out: &mut String) {
    for (i, octet) in uuid.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        let _ = write!(out, "{octet:02x}");
    }
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("    ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::decode::Decoder;

    fn printed(item: &[u8]) -> String {
        let mut decoder = Decoder::new();
        let mut out = String::new();
        push_record(&decoder.decode(item).unwrap(), &mut out);
        out
    }

    #[test]
    fn a_packet_without_its_data() {
        let words = [2u32, 30, 1_700_000_000, 0, 1, 7, 1_699_999_999, 1_700_000_000, 250_000, 1, 2];
        let mut item: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
        item.extend_from_slice(b"\xde\xad");
        let expected = "*************\nversion: 1\nmessage type: 4 (Event Data)\nmessage length: 46\n\
            record type: 2 (Packet Data)\nrecord length: 30\n\
            archival timestamp: 1700000000 (Tue Nov 14 22:13:20 2023 GMT)\n=============\n\
            deviceId: 1\neventId: 7\neventSecond: 1699999999\npacketSecond: 1700000000\npacketMicrosecond: 250000\n\
            linkType: 1\npacketLength: 2\npacketData: 2 bytes of packet data left out\n*************\n\n";
        let text = printed(&item);
        // Names of numbers may come and go with the schema.
        assert_eq!(text.replace("linkType: 1 (Ethernet)", "linkType: 1"), expected);
    }

    #[test]
    fn damage_and_the_unknown_are_printed_as_far_as_they_go() {
        // A device name whose text is cut short, with a command to the terminal in it.
        let cut = b"\x00\x00\x00\x7b\x00\x00\x00\x0c\x00\x00\x00\x01\x00\x00\x00\x09a\x1b[2";
        let text = printed(cut);
        assert!(text.contains("deviceId: 1\n") || text.contains("id: 1\n"), "{text}");
        assert!(text.contains("problem: record 123") && !text.contains('\u{1b}'), "{text}");
        let unknown = printed(b"\x00\x00\xfe\xfe\x00\x00\x00\x02\xab\xcd");
        assert!(unknown.contains("record type: 65278 (unknown)") && unknown.contains("data: abcd\n"), "{unknown}");
    }
}
