//! What a client asks for: request flags, event types and versions, and which records that selects in which form.
//!
//! Sources: eStreamer Integration Guide 5.3.1 p.2-10 to 2-13 (event stream request), p.2-29 to 2-35 (extended request),
//! p.2-24 to 2-27 (host data request). The numbers are data: `schema/requests.toml`.

use crate::cursor::{Cursor, Short};
use crate::layout::{self, Layout};
use crate::message::{self, ESTREAMER_SERVICE, MessageType};
use thiserror::Error;

/// A bit of the request flags word.
#[derive(Debug)]
pub struct Flag {
    /// Bit number, 0 to 31.
    pub bit: u8,
    /// What it asks for.
    pub name: &'static str,
    /// What a server's log calls it.
    pub words: &'static str,
    /// Record types it selects by itself.
    pub records: &'static [u16],
    /// The event type and version it stands for.
    pub event: Option<EventVersion>,
}

/// An event type and version of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventVersion {
    /// Event type code.
    pub code: u16,
    /// Version of it.
    pub version: u16,
}

/// An event type of the extended request.
#[derive(Debug)]
pub struct EventType {
    /// Event type code.
    pub code: u16,
    /// What it is.
    pub name: &'static str,
    /// Record types it selects; metadata (21) selects all metadata records.
    pub records: &'static [u16],
    /// Its versions, oldest first.
    pub versions: &'static [Version],
}

/// A version of an event type.
#[derive(Debug)]
pub struct Version {
    /// Version number.
    pub version: u16,
    /// Product versions that introduced it.
    pub product: &'static str,
    /// Data block it yields, where it is one.
    pub block: Option<u32>,
    /// Layout of that block, when the schema has it.
    pub layout: Option<&'static Layout>,
    /// What a server's log calls it; empty where no log line is known.
    pub words: &'static str,
}

/// All flags, by bit.
pub fn flags() -> &'static [Flag] {
    &layout::FLAGS
}

/// All event types, by code.
pub fn event_types() -> &'static [EventType] {
    &layout::EVENTS
}

/// The event type with this code.
pub fn event_type(code: u16) -> Option<&'static EventType> {
    event_types().iter().find(|e| e.code == code)
}

/// Bits of the request flags word that the dialogue itself depends on.
pub mod flag {
    /// Packets (record 2).
    pub const PACKETS: u32 = 1 << 0;
    /// Impact alerts (record 9).
    pub const IMPACT_ALERTS: u32 = 1 << 5;
    /// Intrusion events with impact flags.
    pub const INTRUSION: u32 = 1 << 6;
    /// Metadata version 4.
    pub const METADATA: u32 = 1 << 20;
    /// Record headers carry the archival timestamp.
    pub const ARCHIVAL_TIMESTAMP: u32 = 1 << 23;
    /// Intrusion event extra data (record 110).
    pub const EXTRA_DATA: u32 = 1 << 27;
    /// An extended request follows.
    pub const EXTENDED: u32 = 1 << 30;
}

/// Where a stream begins (5.3.1 p.2-5, p.2-11). The second is an archival timestamp, not the time of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// 0: the oldest data there is.
    Genesis,
    /// 0xffffffff: only what arrives from now on.
    Now,
    /// Everything archived in this second or later.
    Second(u32),
}

impl From<u32> for Start {
    fn from(timestamp: u32) -> Start {
        match timestamp {
            0 => Start::Genesis,
            u32::MAX => Start::Now,
            second => Start::Second(second),
        }
    }
}

impl From<Start> for u32 {
    fn from(start: Start) -> u32 {
        match start {
            Start::Genesis => 0,
            Start::Now => u32::MAX,
            Start::Second(second) => second,
        }
    }
}

/// The event stream request (type 2): the mandatory first message of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventStreamRequest {
    /// Where to begin.
    pub timestamp: u32,
    /// Request flags.
    pub flags: u32,
}

impl EventStreamRequest {
    /// Reads the body; more than its eight bytes are ignored.
    pub fn parse(body: &[u8]) -> Result<Self, Short> {
        let mut cursor = Cursor::new(body);
        Ok(EventStreamRequest { timestamp: cursor.u32()?, flags: cursor.u32()? })
    }

    /// Appends the message.
    pub fn push(&self, out: &mut Vec<u8>) {
        message::push_header(out, MessageType::EVENT_STREAM_REQUEST, 8);
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.flags.to_be_bytes());
    }
}

/// The streaming request (type 2049): service, flags and timestamp again, and the event types and versions wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamingRequest {
    /// Service id; 6667 is eStreamer.
    pub service: u32,
    /// Request flags, as in the event stream request.
    pub flags: u32,
    /// Where to begin, as in the event stream request.
    pub timestamp: u32,
    /// What is wanted, without the terminator.
    pub events: Vec<EventVersion>,
}

impl StreamingRequest {
    /// Reads the body. The guide and real clients disagree about what the service length counts (5.3.1 p.2-31 and
    /// p.2-35), so the list ends at its terminator (0, 0) or with the message.
    pub fn parse(body: &[u8]) -> Result<Self, Short> {
        let mut cursor = Cursor::new(body);
        let service = cursor.u32()?;
        let _length = cursor.u32()?;
        let mut request =
            StreamingRequest { service, flags: cursor.u32()?, timestamp: cursor.u32()?, events: Vec::new() };
        while cursor.left() >= 4 {
            let entry = EventVersion { version: cursor.u16()?, code: cursor.u16()? };
            if entry == (EventVersion { code: 0, version: 0 }) {
                break;
            }
            request.events.push(entry);
        }
        Ok(request)
    }

    /// Appends the message, with the service length in the form real clients send (it equals the message length).
    pub fn push(&self, out: &mut Vec<u8>) {
        let length = 20 + 4 * self.events.len() as u32;
        message::push_header(out, MessageType::STREAMING_REQUEST, length);
        for word in [self.service, length, self.flags, self.timestamp] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        for event in self.events.iter().chain([&EventVersion { code: 0, version: 0 }]) {
            out.extend_from_slice(&event.version.to_be_bytes());
            out.extend_from_slice(&event.code.to_be_bytes());
        }
    }
}

/// The services of a streaming information message (type 2051) by their ids. What an entry holds beyond its id is
/// skipped by its length (5.3.1 p.2-29).
pub fn parse_services(body: &[u8]) -> Result<Vec<u32>, Short> {
    let mut cursor = Cursor::new(body);
    let mut services = Vec::new();
    while cursor.left() > 0 {
        services.push(cursor.u32()?);
        let length = cursor.u32()? as usize;
        cursor.take(length)?;
    }
    Ok(services)
}

/// Appends a streaming information message: what a real management center offers, in its order.
pub fn push_services(out: &mut Vec<u8>, services: &[u32]) {
    message::push_header(out, MessageType::STREAMING_INFORMATION, 16 * services.len() as u32);
    for service in services {
        for word in [*service, 8, 0, 0] {
            out.extend_from_slice(&word.to_be_bytes());
        }
    }
}

/// The services a real management center offers; 5000 and 5001 are undocumented.
pub const SERVICES: [u32; 3] = [5001, 5000, ESTREAMER_SERVICE];

/// A host data request (type 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostRequest {
    /// Data type 0 to 7: the product version of the answer, even for a single host, odd for a range.
    pub data_type: u32,
    /// Bit 0 fills notes, bit 1 fills banners.
    pub flags: u32,
    /// First address, IPv4 as `::ffff:a.b.c.d`.
    pub start: [u8; 16],
    /// Last address.
    pub end: [u8; 16],
}

/// A host data request that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a host data request has 16 bytes (IPv4) or 40 bytes, not {0}")]
pub struct HostRequestLength(pub usize);

impl HostRequest {
    /// Reads the body in the current form (40 bytes) or the legacy form with IPv4 addresses (16 bytes).
    pub fn parse(body: &[u8]) -> Result<Self, HostRequestLength> {
        let wrong = HostRequestLength(body.len());
        let mut cursor = Cursor::new(body);
        let mut read = || -> Result<Self, Short> {
            let (data_type, flags) = (cursor.u32()?, cursor.u32()?);
            if body.len() == 16 {
                let (start, end) = (cursor.array::<4>()?, cursor.array::<4>()?);
                let mapped = |v4: [u8; 4]| std::net::Ipv4Addr::from(v4).to_ipv6_mapped().octets();
                return Ok(HostRequest { data_type, flags, start: mapped(start), end: mapped(end) });
            }
            Ok(HostRequest { data_type, flags, start: cursor.array()?, end: cursor.array()? })
        };
        match read() {
            Ok(request) if matches!(body.len(), 16 | 40) => Ok(request),
            _ => Err(wrong),
        }
    }
}

/// What a session gets: which record types, and in which block version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Request flags.
    pub flags: u32,
    /// Where to begin.
    pub start: Start,
    /// Event types and versions in force, one entry an event type.
    pub events: Vec<EventVersion>,
    /// Pairs asked for that nobody knows.
    pub unknown: Vec<EventVersion>,
    metadata: bool,
}

/// How a selected record is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Plain,
    /// With its main block in this layout.
    Block(&'static Layout),
}

impl Subscription {
    /// What flags and the entries of an extended request select. Where both name an event type, or an entry comes
    /// twice, the highest version counts.
    pub fn new(flags: u32, timestamp: u32, extended: &[EventVersion]) -> Self {
        let mut subscription =
            Subscription { flags, start: timestamp.into(), events: Vec::new(), unknown: Vec::new(), metadata: false };
        let set = layout::FLAGS.iter().filter(|f| flags & 1 << f.bit != 0);
        for event in set.filter_map(|f| f.event) {
            subscription.add(event);
        }
        for event in extended {
            subscription.add(*event);
        }
        subscription.metadata = subscription.events.iter().any(|e| e.code == 21);
        subscription
    }

    fn add(&mut self, event: EventVersion) {
        if event_type(event.code).is_none_or(|t| t.versions.iter().all(|v| v.version != event.version)) {
            self.unknown.push(event);
            // A version we do not have yet is answered by the newest one we know of that type.
            if event_type(event.code).is_none() {
                return;
            }
        }
        match self.events.iter_mut().find(|e| e.code == event.code) {
            Some(known) => known.version = known.version.max(event.version),
            None => self.events.push(event),
        }
    }

    /// Whether record headers carry the archival timestamp.
    pub fn timestamps(&self) -> bool {
        self.flags & flag::ARCHIVAL_TIMESTAMP != 0
    }

    /// In which form a record type is sent; `None` when it was not asked for.
    pub fn form(&self, record_type: u16) -> Option<Form> {
        if self.flagged(record_type) {
            return Some(Form::Plain);
        }
        if layout::record(record_type).is_some_and(|r| r.metadata) {
            return (self.metadata && record_type != 111).then_some(Form::Plain);
        }
        let event =
            self.events.iter().find(|e| event_type(e.code).is_some_and(|t| t.records.contains(&record_type)))?;
        let versions = event_type(event.code)?.versions;
        // The asked version, or the nearest older one we have; when there is none, the oldest we have.
        let known = || versions.iter().filter(|v| v.layout.is_some());
        let version = known().rfind(|v| v.version <= event.version).or_else(|| known().next());
        Some(match version.and_then(|v| v.layout) {
            Some(layout) if layout::record(record_type).is_some_and(|r| same_kind(r.main_layout(), layout)) => {
                Form::Block(layout)
            }
            _ => Form::Plain,
        })
    }

    fn flagged(&self, record_type: u16) -> bool {
        let set = layout::FLAGS.iter().filter(|f| self.flags & 1 << f.bit != 0);
        let mut selected = set.filter(|f| f.records.contains(&record_type));
        // The types of extra data are metadata: they need a metadata flag as well (5.3 p.91).
        selected.next().is_some() && (record_type != 111 || self.metadata)
    }

    /// The request in the words of a management center's log: `Since N w/ …`.
    pub fn words(&self) -> String {
        let mut words = format!("Since {}", u32::from(self.start));
        let mut say = |text: &str| {
            words.push_str(" w/ ");
            words.push_str(text);
        };
        let has = |bit: u32| self.flags & bit != 0;
        let entry = |code: u16| {
            let version = self.events.iter().find(|e| e.code == code)?.version;
            let words = event_type(code)?.versions.iter().find(|v| v.version == version)?.words;
            (!words.is_empty()).then_some(words)
        };
        if has(flag::INTRUSION) {
            say("NS Events");
        }
        // The order of the two lines seen in real logs.
        entry(12).into_iter().for_each(&mut say);
        for (bit, text) in [(flag::PACKETS, "Packets"), (flag::EXTRA_DATA, "Extra IDS Event data")] {
            if has(bit) {
                say(text);
            }
        }
        entry(21).into_iter().for_each(&mut say);
        entry(91).into_iter().for_each(&mut say);
        if has(flag::IMPACT_ALERTS) {
            say("Impact Alerts");
        }
        entry(131).into_iter().for_each(&mut say);
        if has(flag::INTRUSION) {
            say("Impact Flags");
        }
        for code in [61, 71, 31, 101, 111] {
            entry(code).into_iter().for_each(&mut say);
        }
        for (bit, text) in
            [(flag::ARCHIVAL_TIMESTAMP, "Send archive timestamp"), (flag::EXTENDED, "Send Detail Request")]
        {
            if has(bit) {
                say(text);
            }
        }
        words
    }
}

/// Whether two layouts are versions of the same block.
fn same_kind(a: &Layout, b: &Layout) -> bool {
    a.series == b.series && a.title == b.title
}

/// The newest version of every event type that we know, in the order clients send them.
pub fn newest_events() -> Vec<EventVersion> {
    let newest = |t: &EventType| t.versions.last().map(|v| EventVersion { code: t.code, version: v.version });
    event_types().iter().filter_map(newest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_request_reads_as_the_management_center_logged_it() {
        // Trace in Cisco TAC article 215631: eNcore 3.5 against a 6.x management center.
        let hex = "00001a0b000000384890006100000000 0009000c 00040015 0009001f 000b003d 000e0047 0004005b 00070065 0006006f 00020083 00000000";
        let body = unhex(hex);
        let request = StreamingRequest::parse(&body).unwrap();
        assert_eq!((request.service, request.flags, request.timestamp), (6667, 0x4890_0061, 0));
        let subscription = Subscription::new(request.flags, 1_591_210_934, &request.events);
        assert_eq!(
            subscription.words(),
            "Since 1591210934 w/ NS Events w/ NS 6.0 Events w/ Packets w/ Extra IDS Event data w/ Metadata v4 \
             w/ RUA 5.2 Events w/ Impact Alerts w/ 5.3 Impact Alerts w/ Impact Flags w/ RNA 5.3 Events w/ RNA 6.0 Flow \
             w/ Policy 5.4 Events w/ FireAMP 6.0 Events w/ Filelog 6.0 Events w/ Send archive timestamp w/ Send Detail Request"
        );
        let block = |t| match subscription.form(t) {
            Some(Form::Block(l)) => l.number,
            other => panic!("{other:?}"),
        };
        assert_eq!((block(71), block(400), block(125), block(500), block(9)), (163, 60, 62, 56, 153));
        assert_eq!(subscription.form(2), Some(Form::Plain));
        assert_eq!(subscription.form(123), Some(Form::Plain));
        let mut out = Vec::new();
        request.push(&mut out);
        assert_eq!(out[8..], body);
    }

    #[test]
    fn the_same_flags_without_bit_30() {
        let subscription = Subscription::new(0x0890_0061, u32::MAX, &[]);
        assert_eq!(
            subscription.words(),
            "Since 4294967295 w/ NS Events w/ Packets w/ Extra IDS Event data w/ Metadata v4 w/ Impact Alerts \
             w/ Impact Flags w/ Send archive timestamp"
        );
        assert!(subscription.form(400).is_some() && subscription.form(71).is_none() && subscription.form(9).is_some());
    }

    #[test]
    fn flags_without_data_select_nothing() {
        let none = Subscription::new(flag::ARCHIVAL_TIMESTAMP, 0, &[]);
        assert!((0..1000).all(|t| none.form(t).is_none()));
        let packets = Subscription::new(flag::PACKETS, 0, &[]);
        assert!(packets.form(2).is_some() && packets.form(400).is_none());
        // The type metadata of extra data needs a metadata flag.
        assert!(Subscription::new(flag::EXTRA_DATA, 0, &[]).form(111).is_none());
        assert!(Subscription::new(flag::EXTRA_DATA | flag::METADATA, 0, &[]).form(111).is_some());
    }

    #[test]
    fn unknown_pairs_are_skipped_and_newer_versions_answered_by_the_newest_known() {
        let ask = [EventVersion { code: 71, version: 99 }, EventVersion { code: 7777, version: 1 }];
        let subscription = Subscription::new(0, 0, &ask);
        assert_eq!(subscription.unknown.len(), 2);
        assert_eq!(subscription.form(71), Some(Form::Block(layout::block(1, 174).unwrap())));
    }

    #[test]
    fn the_guides_own_streaming_request() {
        // eStreamer Integration Guide 5.3 p.61; its service length does not count type and length.
        let body = unhex("00001a0b000000140000001e00000000000600470004001500000000");
        let request = StreamingRequest::parse(&body).unwrap();
        assert_eq!(request.events, [EventVersion { version: 6, code: 71 }, EventVersion { version: 4, code: 21 }]);
        assert!(StreamingRequest::parse(&body[..13]).is_err());
    }

    #[test]
    fn services_are_walked_by_their_lengths() {
        let mut out = Vec::new();
        push_services(&mut out, &SERVICES);
        assert_eq!(out.len(), 56);
        assert_eq!(parse_services(&out[8..]), Ok(vec![5001, 5000, 6667]));
        let grown = unhex("00001388 00000002 aabb 00001a0b 00000000");
        assert_eq!(parse_services(&grown), Ok(vec![5000, 6667]));
        assert!(parse_services(&unhex("00001388 ffffffff 00")).is_err());
    }

    #[test]
    fn host_requests_in_both_forms() {
        let long = unhex("00000006 00000003 00000000000000000000ffff0a000001 00000000000000000000ffff0a000001");
        let short = unhex("00000005 00000000 0a000000 0a0000ff");
        let a = HostRequest::parse(&long).unwrap();
        let b = HostRequest::parse(&short).unwrap();
        assert_eq!((a.data_type, a.flags, a.start), (6, 3, a.end));
        assert_eq!((b.data_type, b.end[12..].to_vec(), b.end[10]), (5, vec![10, 0, 0, 255], 0xff));
        assert_eq!(HostRequest::parse(&short[..15]), Err(HostRequestLength(15)));
    }

    fn unhex(text: &str) -> Vec<u8> {
        let hex: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    }
}
