//! From a line to records: no files, no clock, no archive.

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;
use wire::event::Event;

use crate::feed::FeedError;

use super::flows::{Bounds, Flows, Pending};
use super::header::Header;
use super::mapping::{Mapping, text_at};
use super::names::Names;
use super::sighted::Sighted;
use super::tally::{BAD, Tally};
use super::text::{clip, uuid};
use super::{EveError, Output};

/// Who the sensor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Number of the device in all records.
    pub device_id: u32,
    /// Its name.
    pub device_name: String,
    /// The domain its events belong to.
    pub netmap: u32,
    /// The name of the domain; without one it is not named.
    pub domain: Option<String>,
    /// The security zone traffic comes in from; without one events have none.
    pub zone: Option<String>,
}

/// UUIDs of what a management center would have configured.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) access: [u8; 16],
    pub(super) intrusion: [u8; 16],
    pub(super) file: [u8; 16],
    pub(super) zone: [u8; 16],
}

/// What became of a line.
pub(super) enum Fate {
    /// Records.
    Mapped,
    /// It waits for the end of its flow.
    Waits,
    /// There is no record for it.
    Lost(String),
    /// It is not what it should be.
    Bad(&'static str),
}

/// Makes records of lines.
#[derive(Debug)]
pub struct Mapper {
    pub(super) identity: Identity,
    pub(super) policy: Policy,
    pub(super) mapping: &'static Mapping,
    pub(super) flows: Flows,
    pub(super) names: Names,
    pub(super) users: HashSet<String>,
    pub(super) new_users: Vec<String>,
    tally: Tally,
    events: u32,
    /// Time of the newest line.
    newest: u32,
    /// The network map, where there is one.
    pub(super) judge: Option<netmap::Judge>,
    pub(super) sighted: Option<Sighted>,
}

impl Mapper {
    /// A mapper that has seen nothing.
    ///
    /// # Errors
    /// [`EveError::Mapping`] when the program's own tables are damaged.
    pub fn new(identity: Identity, bounds: Bounds) -> Result<Mapper, EveError> {
        Mapper::resume(identity, bounds, Vec::new(), HashSet::new(), 0)
    }

    /// A mapper that goes on where another one was.
    pub(super) fn resume(
        identity: Identity,
        bounds: Bounds,
        flows: Vec<(u64, Pending)>,
        users: HashSet<String>,
        events: u32,
    ) -> Result<Mapper, EveError> {
        let device = identity.device_id.to_be_bytes();
        let id = |kind| uuid(kind, &[&device]);
        let zone = identity.zone.as_ref().map(|zone| uuid("zone", &[zone.as_bytes()]));
        let policy = Policy {
            access: id("access control policy"),
            intrusion: id("intrusion policy"),
            file: id("file policy"),
            zone: zone.unwrap_or_default(),
        };
        let mut tally = Tally::default();
        for (event_type, (new, old)) in flows.iter().flat_map(|(_, pending)| &pending.lines) {
            let row = tally.row(event_type);
            row.carried += new + old;
            row.waiting += new + old;
        }
        Ok(Mapper {
            identity,
            policy,
            mapping: Mapping::load()?,
            flows: Flows::new(bounds, flows),
            names: Names::default(),
            users,
            new_users: Vec::new(),
            tally,
            events,
            newest: 0,
            judge: None,
            sighted: None,
        })
    }

    /// Lets it judge intrusion events by a network map, and tell the map what no record can say.
    pub(super) fn use_map(&mut self, map: &Path) {
        let Identity { netmap, device_id, .. } = self.identity;
        self.judge = Some(netmap::Judge::new(map, netmap));
        self.sighted = Some(Sighted::new(map, netmap, device_id));
    }

    /// What became of the lines so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Time of the newest line, Unix seconds; 0 before the first.
    pub(super) fn newest(&self) -> u32 {
        self.newest
    }

    /// Flows that have not ended.
    pub fn waiting(&self) -> usize {
        self.flows.len()
    }

    /// Number of the last intrusion event.
    pub(super) fn events(&self) -> u32 {
        self.events
    }

    /// Names the sensor and what belongs to it.
    ///
    /// # Errors
    /// [`FeedError`] when the schema lacks something.
    pub fn introduce(&mut self, out: &mut Output) -> Result<(), FeedError> {
        let (device, name) = (self.identity.device_id, self.identity.device_name.clone());
        let name = clip(&name);
        self.names.named(123, device, name, out)?;
        if let Some(domain) = &self.identity.domain {
            self.names.named(350, self.identity.netmap, domain, out)?;
        }
        let (access, intrusion, file) = (self.policy.access, self.policy.intrusion, self.policy.file);
        let named = |record: u16, uuid: [u8; 16], name: &str| -> Result<Event, FeedError> {
            let mut event = Event::new(record)?;
            event.set("uuid", uuid)?.set("name", name)?;
            Ok(event)
        };
        out.name(named(117, access, &format!("{name} access"))?);
        out.name(named(118, intrusion, &format!("{name} rules"))?);
        out.name(named(530, file, &format!("{name} files"))?);
        if let Some(zone) = &self.identity.zone {
            out.name(named(115, self.policy.zone, clip(zone))?);
        }
        let mut rule = named(119, access, "Default Action")?;
        rule.set("id", 0u32)?;
        out.name(rule);
        let mut policy = named(145, access, &format!("{name} access"))?;
        policy.set("sensorId", device)?;
        out.name(policy);
        Ok(())
    }

    /// Takes a line that was read at `now`, in seconds since 1970-01-01 UTC; what it becomes is added to `out`. Says
    /// what is wrong with it when it is no event.
    ///
    /// # Errors
    /// [`FeedError`] when the schema lacks something: never for what is in the line.
    pub fn line(&mut self, line: &[u8], now: u64, out: &mut Output) -> Result<Option<&'static str>, FeedError> {
        let bad = self.take(line, now, out)?;
        if let Some(reason) = bad {
            self.bad(reason);
        }
        self.evict(now, out)?;
        Ok(bad)
    }

    /// Counts a line that could not even be read.
    pub fn bad(&mut self, reason: &'static str) {
        self.tally.row(BAD).lines += 1;
        self.tally.lose(BAD, reason);
    }

    /// Makes connection events of flows that are too old or too many.
    ///
    /// # Errors
    /// [`FeedError`] when the schema lacks something.
    pub fn evict(&mut self, now: u64, out: &mut Output) -> Result<(), FeedError> {
        while let Some((id, pending)) = self.flows.surplus(now) {
            self.give_up(id, &pending, out)?;
        }
        Ok(())
    }

    /// Makes connection events of all flows: there will be no more lines.
    ///
    /// # Errors
    /// [`FeedError`] when the schema lacks something.
    pub fn finish(&mut self, out: &mut Output) -> Result<(), FeedError> {
        while let Some((id, pending)) = self.flows.oldest() {
            self.give_up(id, &pending, out)?;
        }
        Ok(())
    }

    fn take(&mut self, line: &[u8], now: u64, out: &mut Output) -> Result<Option<&'static str>, FeedError> {
        let Ok(line) = serde_json::from_slice::<Value>(line) else { return Ok(Some("not JSON")) };
        let Some(event_type) = text_at(&line, "event_type") else { return Ok(Some("no event_type")) };
        let header = match Header::read(&line, self.mapping) {
            Ok(header) => header,
            Err(reason) => return Ok(Some(reason)),
        };
        self.newest = self.newest.max(header.time.second);
        if let Some(sighted) = &mut self.sighted {
            sighted.line(event_type, &line, &header, self.mapping);
        }
        let before = out.events().len();
        let fate = match event_type {
            "alert" => self.alert(&line, &header, now, out)?,
            "anomaly" => self.anomaly(&line, &header, now, out)?,
            "fileinfo" => self.file(&line, &header, now, out)?,
            "flow" => self.flow(&line, &header, out)?,
            _ => match self.mapping.unmapped.get(event_type) {
                Some(reason) => Fate::Lost(reason.clone()),
                None if self.mapping.connection.contains_key(event_type) => {
                    self.protocol(event_type, &line, &header, now, out)?
                }
                None => Fate::Lost("an event type this program does not know".to_owned()),
            },
        };
        if let Fate::Bad(reason) = fate {
            return Ok(Some(reason));
        }
        let row = self.tally.row(event_type);
        row.lines += 1;
        for event in out.events().get(before..).unwrap_or_default() {
            *row.records.entry(event.record().record_type).or_default() += 1;
        }
        for part in out.take_parts() {
            *row.parts.entry(part).or_default() += 1;
        }
        match fate {
            Fate::Mapped => row.mapped += 1,
            Fate::Waits => row.waiting += 1,
            Fate::Lost(reason) => self.tally.lose(event_type, &reason),
            Fate::Bad(_) => {}
        }
        Ok(None)
    }

    /// A flow has ended: its connection event.
    fn flow(&mut self, line: &Value, header: &Header, out: &mut Output) -> Result<Fate, FeedError> {
        let Some(id) = header.flow else { return Ok(Fate::Bad("a flow without flow_id")) };
        if header.ends.is_none() || line.get("flow").is_none_or(|flow| !flow.is_object()) {
            return Ok(Fate::Bad("a flow without addresses or counters"));
        }
        let pending = self.flows.take(id);
        if let Some(pending) = &pending {
            self.settle(pending);
        }
        self.connection(id, pending.as_ref(), Some((line, header)), out)?;
        Ok(Fate::Mapped)
    }

    /// An application layer line: what it tells is kept for the connection event of its flow.
    fn protocol(
        &mut self,
        event_type: &str,
        line: &Value,
        header: &Header,
        now: u64,
        out: &mut Output,
    ) -> Result<Fate, FeedError> {
        let Some(id) = header.flow else { return Ok(Fate::Bad("an application layer line without flow_id")) };
        let mut pending = self.flows.copy(id, now, header.time);
        let user = self.user(event_type, line, header, out)?;
        let new_user = user.is_some() && pending.user.is_none();
        pending.user = pending.user.or(user);
        let new = self.learn(event_type, line, header, &mut pending, out)? || new_user;
        pending.last = header.time;
        pending.ends = pending.ends.or(header.ends.map(super::header::Ends::guessed));
        if pending.interface.is_none() {
            pending.interface = text_at(line, "in_iface").map(|interface| clip(interface).to_owned());
        }
        let lines = pending.lines.entry(event_type.to_owned()).or_default();
        if new {
            lines.0 += 1
        } else {
            lines.1 += 1
        }
        self.flows.put(id, pending);
        Ok(Fate::Waits)
    }

    /// A flow whose line did not come.
    fn give_up(&mut self, id: u64, pending: &Pending, out: &mut Output) -> Result<(), FeedError> {
        // Alerts and files have their own records; nothing else is known of this flow.
        let Some(event_type) = pending.lines.keys().next() else { return Ok(()) };
        self.settle(pending);
        self.connection(id, Some(pending), None, out)?;
        *self.tally.row(event_type).records.entry(71).or_default() += 1;
        self.tally.unfinished += 1;
        Ok(())
    }

    /// The lines of a flow no longer wait.
    fn settle(&mut self, pending: &Pending) {
        for (event_type, (new, old)) in &pending.lines {
            let row = self.tally.row(event_type);
            row.waiting = row.waiting.saturating_sub(new + old);
            row.joined += new;
            row.repeated += old;
        }
    }

    /// A record of this sensor.
    pub(super) fn event(&self, record: u16) -> Result<Event, FeedError> {
        let mut event = Event::new(record)?;
        event.set_netmap(u16::try_from(self.identity.netmap).unwrap_or(0));
        if !matches!(record, 94 | 95) {
            event.set("deviceId", self.identity.device_id)?;
        }
        Ok(event)
    }

    /// The number of the next intrusion event. 0 is none.
    pub(super) fn next_event(&mut self) -> u32 {
        self.events = self.events.checked_add(1).unwrap_or(1);
        self.events
    }
}
