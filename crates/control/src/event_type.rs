//! The check boxes of the page "eStreamer Event Configuration".

use wire::layout::{self, Class};

/// A type of events as an administrator switches it (eStreamer Integration Guide 7.1, chapter "Configuring eStreamer").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum EventType {
    /// Intrusion events.
    Intrusion,
    /// The packets of intrusion events.
    Packets,
    /// Extra data of intrusion events, such as the address in an X-Forwarded-For header.
    ExtraData,
    /// Discovery events, and with them connection events: they have no switch of their own.
    Discovery,
    /// Correlation and allow list events.
    Correlation,
    /// Impact flag alerts.
    ImpactAlerts,
    /// User activity, VPN logins included.
    UserActivity,
    /// Malware events of endpoints and of the network.
    Malware,
    /// File events.
    File,
}

impl EventType {
    /// All, in the order of the page.
    pub const ALL: [EventType; 9] = [
        EventType::Intrusion,
        EventType::Packets,
        EventType::ExtraData,
        EventType::Discovery,
        EventType::Correlation,
        EventType::ImpactAlerts,
        EventType::UserActivity,
        EventType::Malware,
        EventType::File,
    ];

    /// The type a record belongs to; `None` for metadata and for types nobody knows, which no switch governs.
    pub fn of(record_type: u16) -> Option<EventType> {
        let record = layout::record(record_type).filter(|record| !record.metadata)?;
        Some(match (record_type, record.class) {
            (9, _) => EventType::ImpactAlerts,
            (110, _) => EventType::ExtraData,
            (125 | 502, _) => EventType::Malware,
            (_, Class::Intrusion) => EventType::Intrusion,
            (_, Class::Packet) => EventType::Packets,
            (_, Class::Correlation) => EventType::Correlation,
            (_, Class::User | Class::Vpn) => EventType::UserActivity,
            (_, Class::File) => EventType::File,
            // Those without a class of their own are discovery events that eNcore does not write.
            (_, Class::Discovery | Class::Connection | Class::Metadata | Class::Event | Class::None) => {
                EventType::Discovery
            }
        })
    }

    /// Its name in commands and the API.
    pub fn key(self) -> &'static str {
        match self {
            EventType::Intrusion => "intrusion",
            EventType::Packets => "packets",
            EventType::ExtraData => "extra-data",
            EventType::Discovery => "discovery",
            EventType::Correlation => "correlation",
            EventType::ImpactAlerts => "impact-alerts",
            EventType::UserActivity => "user-activity",
            EventType::Malware => "malware",
            EventType::File => "file",
        }
    }

    /// The type with a [`key`](Self::key).
    pub fn from_key(key: &str) -> Option<EventType> {
        EventType::ALL.into_iter().find(|t| t.key() == key)
    }

    /// Its name on the page, as an appliance has it.
    pub fn title(self) -> &'static str {
        match self {
            EventType::Intrusion => "Intrusion Events",
            EventType::Packets => "Intrusion Event Packet Data",
            EventType::ExtraData => "Intrusion Event Extra Data",
            EventType::Discovery => "Discovery Events",
            EventType::Correlation => "Correlation and Allow List Events",
            EventType::ImpactAlerts => "Impact Flag Alerts",
            EventType::UserActivity => "User Activity Events",
            EventType::Malware => "Malware Events",
            EventType::File => "File Events",
        }
    }

    /// What it covers, in a sentence.
    pub fn note(self) -> &'static str {
        match self {
            EventType::Intrusion => "Intrusion events of all sensors.",
            EventType::Packets => "The packets that triggered intrusion events.",
            EventType::ExtraData => "What is known beyond an intrusion event, such as the original client address.",
            EventType::Discovery => "Changes of the network map, and connection events.",
            EventType::Correlation => "Events of correlation rules and allow lists.",
            EventType::ImpactAlerts => "Alerts for intrusion events by their impact.",
            EventType::UserActivity => "Logins and changes of users, VPN sessions included.",
            EventType::Malware => "Malware found on the network and on endpoints.",
            EventType::File => "Files seen in the network.",
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of event types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured(u16);

impl Captured {
    /// All types: what counts until an administrator changes it.
    pub const ALL: Captured = Captured(0x1ff);

    /// Whether a type is in it.
    pub fn contains(self, event_type: EventType) -> bool {
        self.0 & event_type.bit() != 0
    }

    /// Whether records of a type pass. Those that belong to no event type do.
    pub fn allows(self, record_type: u16) -> bool {
        EventType::of(record_type).is_none_or(|t| self.contains(t))
    }

    /// The set as a number: bit n is the type n of [`EventType::ALL`].
    pub fn bits(self) -> u16 {
        self.0
    }

    /// The set with these [`bits`](Self::bits); others say nothing.
    pub fn from_bits(bits: u16) -> Captured {
        Captured(bits & Captured::ALL.0)
    }

    /// Which record types pass, for whoever asks for each event.
    pub fn table(self) -> Table {
        let mut table = Table { captured: self, off: [0; TABLE / 64] };
        for record in layout::records().iter().filter(|record| !self.allows(record.record_type)) {
            let (word, bit) = (usize::from(record.record_type) / 64, record.record_type % 64);
            if let Some(word) = table.off.get_mut(word) {
                *word |= 1 << bit;
            }
        }
        table
    }

    /// The set with or without a type.
    #[must_use]
    pub fn with(self, event_type: EventType, on: bool) -> Captured {
        Captured(if on { self.0 | event_type.bit() } else { self.0 & !event_type.bit() })
    }
}

/// Record types in a [`Table`]; the highest known one is below.
const TABLE: usize = 1024;

/// A [`Captured`] by record type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    captured: Captured,
    /// A bit for each record type that does not pass.
    off: [u64; TABLE / 64],
}

impl Table {
    /// What it was made of.
    pub fn captured(&self) -> Captured {
        self.captured
    }

    /// Whether all records pass.
    pub fn all(&self) -> bool {
        self.captured == Captured::ALL
    }

    /// Whether records of a type pass, as [`Captured::allows`] says.
    pub fn allows(&self, record_type: u16) -> bool {
        self.off.get(usize::from(record_type) / 64).is_none_or(|word| word >> (record_type % 64) & 1 == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_type_has_its_switch() {
        let of = |types: &[u16]| types.iter().map(|t| EventType::of(*t)).collect::<Vec<_>>();
        assert_eq!(of(&[400, 7, 207]), [Some(EventType::Intrusion); 3]);
        assert_eq!(of(&[2, 110, 9]), [EventType::Packets, EventType::ExtraData, EventType::ImpactAlerts].map(Some));
        assert_eq!(of(&[10, 71, 18, 33]), [Some(EventType::Discovery); 4]);
        assert_eq!(of(&[112, 65]), [Some(EventType::Correlation); 2]);
        assert_eq!(of(&[94, 170, 114]), [Some(EventType::UserActivity); 3]);
        assert_eq!(of(&[125, 502, 500]), [EventType::Malware, EventType::Malware, EventType::File].map(Some));
        assert_eq!(of(&[66, 111, 123, 145, 9999]), [None; 5]);
        for record in layout::records() {
            assert_eq!(EventType::of(record.record_type).is_none(), record.metadata, "{}", record.record_type);
        }
    }

    #[test]
    fn sets_and_keys() {
        for event_type in EventType::ALL {
            assert_eq!(EventType::from_key(event_type.key()), Some(event_type));
            let without = Captured::ALL.with(event_type, false);
            assert!(EventType::ALL.iter().all(|t| without.contains(*t) == (*t != event_type)));
            assert_eq!(without.with(event_type, true), Captured::ALL);
        }
        assert_eq!(EventType::from_key("Intrusion"), None);
        let captured = Captured::ALL.with(EventType::Discovery, false).with(EventType::Packets, false);
        assert!(captured.allows(66));
        assert_eq!(Captured::from_bits(captured.bits()), captured);
        assert_eq!(Captured::from_bits(u16::MAX), Captured::ALL);
        let table = captured.table();
        assert!((0..=u16::MAX).all(|t| table.allows(t) == captured.allows(t)));
        assert!(!table.all() && !table.allows(2) && Captured::ALL.table().all());
    }
}
