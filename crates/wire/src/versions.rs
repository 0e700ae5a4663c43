//! Event types and their versions: which records a version is made of, and an event in the form of a version.
//!
//! A client asks for an event type in a version; a server holds events in whatever version they came in. The table in
//! `schema/requests.toml` says which record types and which data blocks each version has (eStreamer Integration Guide
//! 5.3.1 p.2-34, p.3-45: a server still produces every older version). What an event has that its version has no place
//! for is left out, what the version has and the event has not is zero or empty.

use crate::convert;
use crate::event::{Block, Event, Value};
use crate::layout::{self, Field, Kind, Layout, RecordLayout};
use std::borrow::Cow;

/// An event type of the extended request.
#[derive(Debug)]
pub struct EventType {
    /// Event type code.
    pub code: u16,
    /// What it is.
    pub name: &'static str,
    /// Its versions, oldest first.
    pub versions: &'static [Version],
}

/// A version of an event type.
#[derive(Debug)]
pub struct Version {
    /// Version number.
    pub version: u16,
    /// Product versions that send it.
    pub product: &'static str,
    /// What a server's log calls it; empty where no log line is known.
    pub words: &'static str,
    /// The records it has, each in the form this version has it in.
    pub records: &'static [&'static RecordLayout],
    /// The data blocks it has in another layout than the newest, and newest ones: one of each kind.
    pub blocks: &'static [&'static Layout],
    /// Every metadata record belongs to it, as it is.
    pub all_metadata: bool,
    /// The discovery event header has no IPv6 part.
    pub short_header: bool,
}

/// Two versions are the same when they are the same table.
impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Version {}

/// All event types, by code.
pub fn event_types() -> &'static [EventType] {
    &layout::EVENTS
}

/// The event type with this code.
pub fn event_type(code: u16) -> Option<&'static EventType> {
    event_types().iter().find(|e| e.code == code)
}

impl EventType {
    /// The version that answers a request for `version`: that one, or the nearest older one there is, or else the
    /// oldest.
    pub fn answer(&self, version: u16) -> Option<&'static Version> {
        self.versions.iter().rfind(|v| v.version <= version).or(self.versions.first())
    }
}

impl Version {
    /// Whether events of this record type can be sent: as they are, or as another record that carries the same event.
    pub fn sends(&self, record: &RecordLayout) -> bool {
        self.all_metadata && record.metadata || self.records.iter().any(|r| r.event == record.event)
    }

    /// The form in which it has records of this type itself.
    pub fn own(&self, record_type: u16) -> Option<&'static RecordLayout> {
        self.records.iter().find(|r| r.record_type == record_type).copied()
    }

    /// The layout it has for a block that is expected somewhere.
    pub fn block(&self, expected: &'static Layout) -> &'static Layout {
        let same = |b: &&&Layout| b.series == expected.series && b.title == expected.title;
        match self.blocks.iter().find(same) {
            // One without header stands where nothing else can.
            Some(block) if expected.header => block,
            _ => expected,
        }
    }

    /// The first data block of a record in this version, if it begins with one.
    pub fn first_block(&self, record: &RecordLayout) -> Option<&'static Layout> {
        match record.body.fields.first()?.kind {
            Kind::Block { expected, .. } if expected.header && !expected.is_any() => Some(self.block(expected)),
            _ => None,
        }
    }

    /// The record an event is sent as: the same type where this version has it, else the first that has room for the
    /// event's addresses, else the last.
    fn record(&self, event: &Event) -> Option<&'static RecordLayout> {
        let own = self.own(event.record().record_type);
        let same = || self.records.iter().filter(|r| r.event == event.record().event).copied();
        own.or_else(|| same().find(|r| has_room(event.main(), r.main_layout()))).or_else(|| same().last())
    }
}

/// Whether no address is lost that does not fit into four octets.
fn has_room(block: &Block, target: &Layout) -> bool {
    let narrow = target.fields.iter().filter(|f| matches!(f.kind, Kind::Ipv4));
    let mut values = narrow.filter_map(|f| block.named(f.name));
    values.all(|value| match value {
        Value::Octets(octets) => {
            octets.len() < 16 || convert::mapped(octets).is_some() || octets.iter().all(|o| *o == 0)
        }
        _ => true,
    })
}

impl Event {
    /// The event as this version of its event type has it; itself, when it is that already, or when its block could not
    /// be read. `None` when the version has no record for it.
    pub fn in_version<'a>(&'a self, version: &'static Version) -> Option<Cow<'a, Event>> {
        if version.all_metadata && self.record().metadata {
            return Some(Cow::Borrowed(self));
        }
        let record = version.record(self)?;
        if self.unread() {
            return Some(Cow::Borrowed(self));
        }
        let target = match record.inline_block() {
            Some((_, expected)) => version.block(expected),
            None => record.body,
        };
        let main = self.main().convert_by(target, &|expected| version.block(expected));
        let mut event = self.with(record, main);
        if version.short_header
            && let Some(header) = event.discovery_mut()
        {
            shorten(header);
        }
        Some(Cow::Owned(event))
    }
}

/// Leaves the IPv6 part of a discovery event header out. The address goes where it was before 5.2, if it is an IPv4 one.
pub(crate) fn shorten(header: &mut Block) {
    let address = match header.named("ipv6Address") {
        Some(Value::Octets(octets)) => convert::mapped(octets),
        _ => None,
    };
    let set = |field: &Field| matches!(header.named(field.name), Some(Value::Octets(o)) if o.iter().any(|o| *o != 0));
    let legacy = layout::DISCOVERY_HEADER.fields.iter().find(|f| f.name == "legacyIpAddress");
    if let (Some(address), Some(legacy)) = (address, legacy.filter(|f| !set(f))) {
        let _ = header.set(legacy.name, address);
    }
    let _ = header.set("hasIpv6", 0u8);
    let _ = header.set("ipv6Address", Value::Unset);
}
