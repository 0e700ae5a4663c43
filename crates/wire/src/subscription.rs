//! What a request selects: which records, and in which form.

use crate::layout;
use crate::request::{EventVersion, Start, flag};
use crate::versions::{EventType, Version, event_type, event_types};

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
    /// As this version of its event type has it; see [`Event::in_version`](crate::event::Event::in_version).
    Version(&'static Version),
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
        let record = layout::record(record_type)?;
        // The types of extra data are metadata that has a flag of its own.
        if record_type == 111 {
            return None;
        }
        let version = self.versions().find(|v| v.sends(record))?;
        Some(if version.all_metadata && record.metadata { Form::Plain } else { Form::Version(version) })
    }

    /// The versions in force, those that stand in for what was asked included.
    fn versions(&self) -> impl Iterator<Item = &'static Version> {
        self.events.iter().filter_map(|e| event_type(e.code)?.answer(e.version))
    }

    /// The version that answers a pair somebody asked for; `None` for an event type nobody knows.
    pub fn answer(asked: EventVersion) -> Option<EventVersion> {
        let version = event_type(asked.code)?.answer(asked.version)?;
        Some(EventVersion { code: asked.code, version: version.version })
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
            let asked = self.events.iter().find(|e| e.code == code)?.version;
            Some(event_type(code)?.answer(asked)?.words).filter(|words| !words.is_empty())
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
        // Flags of old versions: no log shows where their words stand.
        let placed = flag::PACKETS
            | flag::IMPACT_ALERTS
            | flag::INTRUSION
            | flag::METADATA
            | flag::ARCHIVAL_TIMESTAMP
            | flag::EXTRA_DATA
            | flag::EXTENDED;
        let old = layout::FLAGS.iter().filter(|f| self.flags & !placed & 1 << f.bit != 0);
        old.for_each(|f| say(f.words));
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

/// The newest version of every event type that we know, in the order clients send them.
pub fn newest_events() -> Vec<EventVersion> {
    let newest = |t: &EventType| t.versions.last().map(|v| EventVersion { code: t.code, version: v.version });
    event_types().iter().filter_map(newest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::StreamingRequest;

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
            Some(Form::Version(v)) => v.own(t).and_then(|r| v.first_block(r)).map(|l| l.number),
            other => panic!("{other:?}"),
        };
        let blocks = [71, 400, 125, 500, 9].map(|t| block(t).unwrap());
        assert_eq!(blocks, [163, 60, 62, 56, 153]);
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
        assert!(subscription.form(71).is_none() && subscription.form(9).is_some());
        // Outside extended requests intrusion events have the forms of 5.0 and 5.1.
        let Some(Form::Version(version)) = subscription.form(400) else { panic!() };
        assert!(version.own(400).is_none() && version.own(207).is_some() && version.own(208).is_some());
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
        assert_eq!(subscription.form(71), subscription_of(71, 17).form(71));
        let given = |code, version| Subscription::answer(EventVersion { code, version }).map(|e| e.version);
        assert_eq!((given(71, 99), given(71, 0), given(12, 9), given(7777, 1)), (Some(17), Some(1), Some(9), None));
    }

    fn subscription_of(code: u16, version: u16) -> Subscription {
        Subscription::new(0, 0, &[EventVersion { code, version }])
    }

    #[test]
    fn every_flag_with_an_event_type_selects_a_version_of_its_own() {
        for flag in layout::FLAGS.iter() {
            let Some(event) = flag.event else { continue };
            assert_eq!(Subscription::answer(event), Some(event), "bit {}", flag.bit);
            let subscription = Subscription::new(1 << flag.bit, 0, &[]);
            assert!(subscription.unknown.is_empty());
            assert_eq!(subscription.versions().map(|v| v.version).collect::<Vec<_>>(), [event.version]);
        }
        // Bit 2 gives the events without impact flags, both bits together the newer form.
        let (old, both) = (Subscription::new(1 << 2, 0, &[]), Subscription::new(1 << 2 | 1 << 6, 0, &[]));
        let owns = |s: &Subscription, t| matches!(s.form(400), Some(Form::Version(v)) if v.own(t).is_some());
        assert_eq!(old.words(), "Since 0 w/ IDS Events");
        assert!(owns(&old, 1) && !owns(&old, 7) && owns(&both, 207) && !owns(&both, 1));
    }

    #[test]
    fn old_metadata_flags_select_the_metadata_of_their_age() {
        let types = |bit: u32| -> Vec<u16> {
            let subscription = Subscription::new(1 << bit, 0, &[]);
            (0..1000).filter(|t| subscription.form(*t).is_some()).collect()
        };
        let (first, third, fourth) = (types(1), types(15), types(20));
        // Rule messages and classifications go out as the records of that age; device names in versions of their own.
        assert!(first.contains(&66) && first.contains(&4) && !first.contains(&127));
        assert!(third.contains(&69) && !first.contains(&69));
        assert!(third.iter().all(|t| fourth.contains(t)) && fourth.len() > 2 * third.len());
    }

    fn unhex(text: &str) -> Vec<u8> {
        let hex: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    }
}
