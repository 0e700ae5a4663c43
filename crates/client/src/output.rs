//! What an output is, and what each asks the server for.

use std::io;
use thiserror::Error;
use wire::client::ClientRequest;
use wire::decode::Record;
use wire::request::{EventVersion, flag};
use wire::subscription::newest_events;

/// Takes the records of a session.
pub trait Output {
    /// Takes a record. Says whether there was anything in it for this output.
    ///
    /// # Errors
    /// If it cannot be written or sent; the session ends.
    fn record(&mut self, record: &Record<'_>) -> Result<bool, OutputError>;

    /// Hands on what is in memory, so that a bookmark may move past it. Called whenever the server pauses, and a few
    /// times a second.
    ///
    /// # Errors
    /// If it cannot be written or sent.
    fn flush(&mut self) -> Result<(), OutputError>;

    /// Ends it. Gives how many records it could not hand on.
    ///
    /// # Errors
    /// If what is left cannot be written or sent.
    fn finish(&mut self) -> Result<u64, OutputError> {
        self.flush()?;
        Ok(0)
    }
}

/// An output that failed.
#[derive(Debug, Error)]
pub enum OutputError {
    /// A file or stream cannot be written.
    #[error("{name} cannot be written: {source}")]
    Write {
        /// Which one.
        name: String,
        /// The cause.
        source: io::Error,
    },
    /// A receiver of traps or log lines cannot be reached.
    #[error("{name} cannot be reached: {source}. {remedy}")]
    Receiver {
        /// The receiver.
        name: String,
        /// The cause.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// Traps cannot be protected as asked.
    #[error("{0}")]
    Protection(&'static str),
}

impl OutputError {
    pub(crate) fn write(name: &str) -> impl Fn(io::Error) -> OutputError + '_ {
        move |source| OutputError::Write { name: name.to_owned(), source }
    }

    /// Who reads the output has seen enough (`| head`).
    pub fn reader_gone(&self) -> bool {
        matches!(self, OutputError::Write { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// The outputs by the names the SDK's client has for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plugin {
    /// Every field of every record, to be read.
    Print,
    /// Intrusion events as rows.
    Csv,
    /// Packets as a capture.
    Pcap,
    /// Intrusion events as SNMP traps.
    Snmp,
    /// Intrusion events as syslog lines.
    Syslog,
}

impl Plugin {
    /// The request flags the SDK's client sends for it: intrusion events by bit 2, so in their first forms, without
    /// impact flags; user activity, correlation and discovery events of 4.7 to 4.9.
    pub fn flags(self) -> u32 {
        match self {
            Plugin::Print => 0x01f0_0004,
            Plugin::Csv => 0x0080_0004,
            Plugin::Pcap => 0x0080_0001,
            Plugin::Snmp | Plugin::Syslog => 0x0090_0004,
        }
    }

    /// The SDK's request.
    pub fn request(self, timestamp: u32) -> ClientRequest {
        ClientRequest { timestamp, flags: self.flags(), events: Vec::new() }
    }

    /// An extended request for the same in its newest versions; for [`Plugin::Print`] all there is but packets.
    pub fn extended_request(self, timestamp: u32) -> ClientRequest {
        const INTRUSION: u16 = 12;
        const METADATA: u16 = 21;
        let wanted = |event: &EventVersion| match self {
            Plugin::Print => true,
            Plugin::Csv => event.code == INTRUSION,
            Plugin::Pcap => false,
            Plugin::Snmp | Plugin::Syslog => matches!(event.code, INTRUSION | METADATA),
        };
        let kept = match self {
            Plugin::Print => flag::METADATA | flag::ARCHIVAL_TIMESTAMP | flag::EXTRA_DATA,
            Plugin::Csv => flag::ARCHIVAL_TIMESTAMP,
            Plugin::Pcap => flag::ARCHIVAL_TIMESTAMP | flag::PACKETS,
            Plugin::Snmp | Plugin::Syslog => flag::ARCHIVAL_TIMESTAMP | flag::METADATA,
        };
        let events = newest_events().into_iter().filter(wanted).collect();
        ClientRequest { timestamp, flags: kept | flag::EXTENDED, events }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_the_sdks() {
        let bits = |plugin: Plugin| (0..32).filter(|bit| plugin.flags() >> bit & 1 == 1).collect::<Vec<_>>();
        assert_eq!(bits(Plugin::Print), [2, 20, 21, 22, 23, 24]);
        assert_eq!(bits(Plugin::Csv), [2, 23]);
        assert_eq!(bits(Plugin::Pcap), [0, 23]);
        assert_eq!(bits(Plugin::Snmp), [2, 20, 23]);
        let extended = Plugin::Csv.extended_request(7);
        assert_eq!(extended.flags, 1 << 30 | 1 << 23);
        assert!(matches!(extended.events[..], [EventVersion { code: 12, .. }]), "{extended:?}");
        assert!(Plugin::Print.extended_request(0).events.len() > 8);
    }
}
