//! What a client asks for: request flags, event types and versions, hosts.
//!
//! Sources: eStreamer Integration Guide 5.3.1 p.2-10 to 2-13 (event stream request), p.2-29 to 2-35 (extended request).
//! The numbers are data: `schema/requests.toml`. Requests for hosts are in [`crate::hosts`].

use crate::cursor::{Cursor, Short};
pub use crate::hosts::{HostForm, HostRequest, HostRequestLength};
use crate::layout;
use crate::message::{self, ESTREAMER_SERVICE, MessageType};

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

/// All flags, by bit.
pub fn flags() -> &'static [Flag] {
    &layout::FLAGS
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

#[cfg(test)]
mod tests {
    use super::*;

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

    fn unhex(text: &str) -> Vec<u8> {
        let hex: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    }
}
