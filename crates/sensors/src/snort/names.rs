//! The metadata of a Snort sensor: what the numbers in its events are called.

use std::collections::{BTreeMap, BTreeSet};

use wire::event::Event;
use xxhash_rust::xxh3::xxh3_128;

use crate::feed::{Feed, FeedError};
use crate::maps::RuleMaps;
use crate::unified2::{self, extra};

/// The most bytes of a text: rule messages, class names and the like have 16-bit lengths on the wire.
const MAX_TEXT: usize = u16::MAX as usize;

/// What Snort calls its priorities, from 1 on (Snort Users Manual, "classtype").
const PRIORITIES: [&str; 4] = ["high", "medium", "low", "very low"];

/// Names what events refer to, each before its first use and again when its name has changed.
#[derive(Debug)]
pub(super) struct Names {
    maps: RuleMaps,
    /// Rules seen, generator and number, with the highest revision.
    rules: BTreeMap<(u32, u32), u32>,
    classes: BTreeSet<u32>,
    priorities: BTreeSet<u32>,
    extras: BTreeSet<u32>,
}

impl Names {
    pub(super) fn new(maps: RuleMaps) -> Self {
        Names {
            maps,
            rules: BTreeMap::new(),
            classes: BTreeSet::new(),
            priorities: BTreeSet::new(),
            extras: BTreeSet::new(),
        }
    }

    pub(super) fn maps(&self) -> &RuleMaps {
        &self.maps
    }

    /// Names the sensor itself.
    pub(super) fn device(&self, id: u32, name: &str, feed: &mut Feed) -> Result<(), FeedError> {
        let mut record = Event::new(123)?;
        record.set("id", id)?.set("name", text(name))?;
        feed.metadata(&record)
    }

    /// Names what an event refers to.
    pub(super) fn event(&mut self, event: &unified2::Event, feed: &mut Feed) -> Result<(), FeedError> {
        let rule = (event.generator_id, event.signature_id);
        let revision = event.signature_revision;
        // A record names a rule in all its revisions. The newest stays: old events must not bring back old names.
        if self.rules.get(&rule).is_none_or(|known| *known < revision) {
            feed.metadata(&self.rule(rule, revision)?)?;
            self.rules.insert(rule, revision);
        }
        // 0 is no classification.
        let class = event.classification_id;
        if class != 0 && !self.classes.contains(&class) {
            feed.metadata(&self.classification(class)?)?;
            self.classes.insert(class);
        }
        if !self.priorities.contains(&event.priority_id) {
            feed.metadata(&priority(event.priority_id)?)?;
            self.priorities.insert(event.priority_id);
        }
        Ok(())
    }

    /// Names a type of extra data.
    pub(super) fn extra_data(&mut self, kind: u32, feed: &mut Feed) -> Result<(), FeedError> {
        if !self.extras.contains(&kind) {
            feed.metadata(&extra_type(kind)?)?;
            self.extras.insert(kind);
        }
        Ok(())
    }

    /// Looks for changes of the map files and names everything again that has another name now; `true` when a file
    /// had changed.
    pub(super) fn refresh(&mut self, feed: &mut Feed) -> Result<bool, FeedError> {
        if !self.maps.refresh() {
            return Ok(false);
        }
        for (rule, revision) in &self.rules {
            feed.metadata(&self.rule(*rule, *revision)?)?;
        }
        for class in &self.classes {
            feed.metadata(&self.classification(*class)?)?;
        }
        Ok(true)
    }

    /// The message of an event's rule.
    pub(super) fn message(&self, event: &unified2::Event) -> String {
        self.text((event.generator_id, event.signature_id), event.signature_revision)
    }

    fn text(&self, (gid, sid): (u32, u32), revision: u32) -> String {
        match self.maps.message(gid, sid) {
            Some(rule) => text(&rule.message).to_owned(),
            // What Snort itself prints for a rule without a text.
            None => format!("Snort Alert [{gid}:{sid}:{revision}]"),
        }
    }

    /// Record 66. The number a user sees is the rule's own.
    fn rule(&self, (gid, sid): (u32, u32), revision: u32) -> Result<Event, FeedError> {
        let message = self.text((gid, sid), revision);
        let (g, s, r) = (gid.to_be_bytes(), sid.to_be_bytes(), revision.to_be_bytes());
        let mut record = Event::new(66)?;
        record
            .set("generatorId", gid)?
            .set("ruleId", sid)?
            .set("ruleRevision", revision)?
            .set("signatureId", sid)?
            .set("ruleUuid", uuid("rule", &[&g, &s]))?
            .set("ruleRevisionUuid", uuid("rule revision", &[&g, &s, &r]))?
            .set("message", message)?;
        Ok(record)
    }

    /// Record 67. A class keeps its UUID when its number or description changes, its revision then has another.
    fn classification(&self, id: u32) -> Result<Event, FeedError> {
        let number = id.to_be_bytes();
        let unknown = (format!("classification-{id}"), format!("Classification {id}"));
        let (name, description) = match self.maps.classification(id) {
            Some(class) => (text(&class.name), text(&class.description)),
            None => (&*unknown.0, &*unknown.1),
        };
        let revision = uuid("classification revision", &[&number, name.as_bytes(), description.as_bytes()]);
        let mut record = Event::new(67)?;
        record
            .set("id", id)?
            .set("name", name)?
            .set("description", description)?
            .set("uuid", uuid("classification", &[name.as_bytes()]))?
            .set("revisionUuid", revision)?;
        Ok(record)
    }
}

/// Record 4.
fn priority(id: u32) -> Result<Event, FeedError> {
    let known = id.checked_sub(1).and_then(|index| PRIORITIES.get(usize::try_from(index).ok()?));
    let mut record = Event::new(4)?;
    record.set("id", id)?.set("name", known.map_or_else(|| format!("priority {id}"), |name| (*name).to_owned()))?;
    Ok(record)
}

/// Record 111 (series 2 block 5). It has an archival timestamp like an event, and 0 is in it.
fn extra_type(kind: u32) -> Result<Event, FeedError> {
    let (name, encoding) = match kind {
        extra::XFF_IPV4 => ("XFF Client (IPv4)", "Ipv4"),
        extra::XFF_IPV6 => ("XFF Client (IPv6)", "Ipv6"),
        extra::GZIP => ("GZIP Decompressed Data", "Blob"),
        extra::SMTP_FILENAME => ("SMTP File Name", "String"),
        extra::SMTP_MAIL_FROM => ("SMTP Mail From", "String"),
        extra::SMTP_RCPT_TO => ("SMTP Rcpt To", "String"),
        extra::SMTP_HEADERS => ("SMTP Headers", "String"),
        extra::HTTP_URI => ("HTTP URI", "String"),
        extra::HTTP_HOSTNAME => ("HTTP Hostname", "String"),
        extra::IPV6_SOURCE => ("IPv6 Source Address", "Ipv6"),
        extra::IPV6_DESTINATION => ("IPv6 Destination Address", "Ipv6"),
        extra::JAVASCRIPT => ("Normalized JavaScript", "Blob"),
        _ => ("", "Blob"),
    };
    let unknown = format!("Extra data type {kind}");
    let mut record = Event::new(111)?;
    record.set("type", kind)?.set("name", if name.is_empty() { &unknown } else { name })?.set("encoding", encoding)?;
    Ok(record)
}

/// A UUID that follows from what it identifies (version 8 of RFC 9562): the same on every machine and for ever.
fn uuid(kind: &str, parts: &[&[u8]]) -> [u8; 16] {
    let mut bytes = format!("snort {kind}\0").into_bytes();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    let mut uuid = xxh3_128(&bytes).to_be_bytes();
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut uuid;
    *version = *version & 0x0f | 0x80;
    *variant = *variant & 0x3f | 0x80;
    uuid
}

/// As much of a text as a record can hold.
fn text(text: &str) -> &str {
    let fits = (0..=MAX_TEXT.min(text.len())).rev().find_map(|end| text.get(..end));
    fits.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::event::Value;

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    #[test]
    fn uuids_never_change() {
        // These are in archives and in SIEMs. A change here makes other rules of them.
        assert_eq!(
            hex(&uuid("rule", &[&1u32.to_be_bytes(), &18_608u32.to_be_bytes()])),
            "7f2c9d5cbd918dd18f6f6731121cc347"
        );
        assert_eq!(hex(&uuid("classification", &[b"policy-violation"])), "d4179943481e8e2f9fd3d094b130bab1");
        assert_ne!(uuid("rule", &[b"ab", b"c"]), uuid("rule", &[b"a", b"bc"]));
    }

    #[test]
    fn priorities_have_snorts_names_and_others_their_number() {
        let name = |id| match priority(id).unwrap().named("name") {
            Some(Value::Octets(name)) => String::from_utf8(name.clone()).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!([1, 2, 3, 4].map(name), PRIORITIES);
        assert_eq!([0, 5].map(name), ["priority 0", "priority 5"]);
    }

    #[test]
    fn texts_fit_their_length_fields() {
        let long = "é".repeat(MAX_TEXT);
        assert_eq!(text(&long).len(), MAX_TEXT - 1);
        assert_eq!(text("short"), "short");
    }
}
