//! The metadata of a Suricata sensor: what the numbers in its events are called.

use std::collections::HashSet;

use wire::event::{Event, Value};

use crate::feed::FeedError;

use super::Output;
use super::mapping::{Application, Mapping};
use super::text::{clip, number, uuid};

/// What Snort and Suricata call their priorities, from 1 on.
const PRIORITIES: [&str; 4] = ["high", "medium", "low", "very low"];

/// Names remembered as given. When there are more, all are given again, which the archive leaves out.
const MAX_KNOWN: usize = 1 << 16;

/// The most files whose hash is named in a run: an archive keeps its names for ever.
const MAX_FILES: usize = 4096;

/// Names what events refer to before its first use.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: HashSet<(u16, u64)>,
    rules: HashSet<(u32, u32, u32)>,
    files: HashSet<[u8; 32]>,
}

/// The numbers of an application.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Applications {
    pub(super) server: u32,
    pub(super) client: u32,
    pub(super) web: u32,
}

impl Names {
    /// A record that gives a number a name.
    pub(super) fn named(&mut self, record: u16, id: u32, name: &str, out: &mut Output) -> Result<(), FeedError> {
        if self.first(record, id.into()) {
            out.metadata(record, &[("id", id.into()), ("name", clip(name).into())])?;
        }
        Ok(())
    }

    /// A record that gives a number of one of our tables a name.
    pub(super) fn table(&mut self, record: u16, id: u64, name: &str, out: &mut Output) -> Result<(), FeedError> {
        if !self.first(record, id) {
            return Ok(());
        }
        let mut values = vec![("id", Value::from(id)), ("name", clip(name).into())];
        if matches!(record, 320 | 321) {
            values.push(("description", clip(name).into()));
        }
        out.metadata(record, &values)
    }

    /// A record that gives a UUID a name; the UUID follows from the name and the device.
    pub(super) fn uuid(
        &mut self,
        record: u16,
        (kind, device): (&str, u32),
        name: &str,
        out: &mut Output,
    ) -> Result<[u8; 16], FeedError> {
        let uuid = uuid(kind, &[&device.to_be_bytes(), name.as_bytes()]);
        let [.., a, b, c, d, e, f, g, h] = uuid;
        if self.first(record, u64::from_be_bytes([a, b, c, d, e, f, g, h])) {
            out.metadata(record, &[("uuid", uuid.into()), ("name", clip(name).into())])?;
        }
        Ok(uuid)
    }

    /// Record 66. A revision has a UUID of its own.
    pub(super) fn rule(
        &mut self,
        (gid, sid, rev): (u32, u32, u32),
        message: &str,
        out: &mut Output,
    ) -> Result<(), FeedError> {
        if self.rules.len() >= MAX_KNOWN {
            self.rules.clear();
        }
        if !self.rules.insert((gid, sid, rev)) {
            return Ok(());
        }
        let (g, s, r) = (gid.to_be_bytes(), sid.to_be_bytes(), rev.to_be_bytes());
        let unnamed = format!("Suricata rule [{gid}:{sid}:{rev}]");
        out.metadata(
            66,
            &[
                ("generatorId", gid.into()),
                ("ruleId", sid.into()),
                ("ruleRevision", rev.into()),
                ("signatureId", sid.into()),
                ("ruleUuid", uuid("rule", &[&g, &s]).into()),
                ("ruleRevisionUuid", uuid("rule revision", &[&g, &s, &r]).into()),
                ("message", if message.is_empty() { &unnamed } else { clip(message) }.into()),
            ],
        )
    }

    /// Record 67; gives the number of the classification, 0 when there is none.
    pub(super) fn class(&mut self, text: &str, mapping: &Mapping, out: &mut Output) -> Result<u32, FeedError> {
        let text = clip(text);
        if text.is_empty() {
            return Ok(0);
        }
        let slug = text.to_lowercase().replace(' ', "-");
        let (id, name, description) =
            mapping.class(text).unwrap_or_else(|| (number("classification", text, 1000), &slug, text));
        if self.first(67, id.into()) {
            out.metadata(
                67,
                &[
                    ("id", id.into()),
                    ("name", name.into()),
                    ("description", description.into()),
                    ("uuid", uuid("classification", &[name.as_bytes()]).into()),
                    ("revisionUuid", uuid("classification revision", &[name.as_bytes()]).into()),
                ],
            )?;
        }
        Ok(id)
    }

    /// Record 4.
    pub(super) fn priority(&mut self, id: u32, out: &mut Output) -> Result<(), FeedError> {
        let known = id.checked_sub(1).and_then(|index| PRIORITIES.get(usize::try_from(index).ok()?));
        self.named(4, id, &known.map_or_else(|| format!("priority {id}"), |name| (*name).to_owned()), out)
    }

    /// Records 63, 55 and 109 of an application protocol.
    pub(super) fn application(
        &mut self,
        protocol: &str,
        port: u16,
        mapping: &Mapping,
        out: &mut Output,
    ) -> Result<Applications, FeedError> {
        // What Suricata says when it does not know.
        if matches!(protocol, "" | "failed" | "unknown") {
            return Ok(Applications::default());
        }
        let Some(known) = mapping.application.get(protocol) else {
            let id = number("application", protocol, 1 << 30);
            self.named(63, id, protocol, out)?;
            return Ok(Applications { server: id, ..Applications::default() });
        };
        let Application { server, client, web, port: own, other } = known;
        let server = other.as_ref().filter(|_| *own != Some(port)).unwrap_or(server);
        self.named(63, server.0, &server.1, out)?;
        let mut found = Applications { server: server.0, ..Applications::default() };
        if let Some((id, name)) = client {
            self.named(55, *id, name, out)?;
            found.client = *id;
        }
        if let Some((id, name)) = web {
            self.named(109, *id, name, out)?;
            found.web = *id;
        }
        Ok(found)
    }

    /// Record 111 (series 2 block 5).
    pub(super) fn extra(&mut self, kind: u32, out: &mut Output) -> Result<(), FeedError> {
        let (name, encoding) = match kind {
            1 => ("XFF Client (IPv4)", "Ipv4"),
            2 => ("XFF Client (IPv6)", "Ipv6"),
            9 => ("HTTP URI", "String"),
            _ => ("HTTP Hostname", "String"),
        };
        if self.first(111, kind.into()) {
            out.metadata(111, &[("type", kind.into()), ("name", name.into()), ("encoding", encoding.into())])?;
        }
        Ok(())
    }

    /// Record 511: the name a file had when its hash was first seen.
    pub(super) fn file(&mut self, hash: [u8; 32], name: &str, out: &mut Output) -> Result<(), FeedError> {
        if self.files.len() < MAX_FILES && self.files.insert(hash) {
            out.metadata(
                511,
                &[("shaHash", hash.into()), ("fileName", clip(name).into()), ("disposition", super::UNKNOWN.into())],
            )?;
        }
        Ok(())
    }

    fn first(&mut self, record: u16, id: u64) -> bool {
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert((record, id))
    }
}

impl Output {
    /// Adds a metadata record with these values.
    fn metadata(&mut self, record: u16, values: &[(&str, Value)]) -> Result<(), FeedError> {
        let mut event = Event::new(record)?;
        for (name, value) in values {
            event.set(name, value.clone())?;
        }
        self.name(event);
        Ok(())
    }
}
