//! File events (record 500).

use serde_json::Value;

use crate::feed::FeedError;

use super::connection::{reference, url};
use super::header::Header;
use super::mapper::{Fate, Mapper};
use super::mapping::text_at;
use super::text::{clip, sha256};
use super::{Field, Output, UNKNOWN};

/// File action: detected.
const DETECT: u8 = 1;

/// Directions, as the initiator of the connection sees them.
const DOWNLOAD: u8 = 1;
const UPLOAD: u8 = 2;

/// Storage: stored; nothing is said of a file that is not.
const STORED: u32 = 1;

impl Mapper {
    pub(super) fn file(
        &mut self,
        line: &Value,
        header: &Header,
        now: u64,
        out: &mut Output,
    ) -> Result<Fate, FeedError> {
        let Some(ends) = header.ends else { return Ok(Fate::Bad("a file without addresses")) };
        if line.get("fileinfo").is_none_or(|info| !info.is_object()) {
            return Ok(Fate::Bad("a fileinfo line without fileinfo"));
        }
        let mut event = self.event(500)?;
        event.set("fileEventTimestamp", header.time.second)?;
        event.set("disposition", UNKNOWN)?.set("action", DETECT)?;
        for rule in &self.mapping.file {
            if let Some((value, _)) = self.mapping.value(rule, line) {
                event.set(&rule.to, &value)?;
            }
        }
        let mut known = header.flow.map(|flow| self.flows.copy(flow, now, header.time));
        // A file goes from source to destination; who opened the connection is known from its other lines.
        let initiator_first = known.as_ref().and_then(|known| known.ends).unwrap_or_else(|| ends.guessed());
        let upload = (initiator_first.source, initiator_first.source_port) == (ends.source, ends.source_port);
        event.set("direction", if upload { UPLOAD } else { DOWNLOAD })?;
        event.set("sourceIpAddress", initiator_first.source)?;
        event.set("destinationIpAddress", initiator_first.destination)?;
        event.set("sourcePort", initiator_first.source_port)?;
        event.set("destinationPort", initiator_first.destination_port)?.set("protocol", ends.protocol)?;
        let name = text_at(line, "fileinfo.filename").unwrap_or_default();
        if let Some(hash) = text_at(line, "fileinfo.sha256").and_then(sha256) {
            self.names.file(hash, name, out)?;
            event.set("shaHash", hash)?;
        }
        if let Some((id, name)) = text_at(line, "fileinfo.magic").and_then(|magic| self.mapping.file_type(magic)) {
            self.names.named(510, id, name, out)?;
            event.set("fileTypeId", id)?;
        }
        if line.get("fileinfo").and_then(|info| info.get("stored")).and_then(Value::as_bool) == Some(true) {
            self.names.named(515, STORED, "File Stored", out)?;
            event.set("fileStorageStatus", STORED)?;
        }
        if let Some(url) = url(line) {
            event.set("uri", &Field::Text(url))?;
        }
        let protocol = clip(text_at(line, "app_proto").unwrap_or_default());
        let port = initiator_first.destination_port;
        let applications = self.names.application(protocol, port, self.mapping, out)?;
        event.set("applicationId", applications.server)?.set("clientApplicationId", applications.client)?;
        event.set("webApplicationId", applications.web)?;
        event.set("accessControlPolicyUuid", self.policy.file)?;
        if let (Some(flow), Some(known)) = (header.flow, &mut known) {
            known.files = known.files.saturating_add(1);
            known.last = header.time;
            let (instance, counter) = reference(flow);
            event.set("connectionInstance", instance)?.set("connectionCounter", counter)?;
            event.set("connectionTimestamp", known.start.map_or(0, |start| start.second))?;
            event.set("userId", known.user.unwrap_or(0))?;
            self.flows.put(flow, known.clone());
        }
        out.event(event);
        Ok(Fate::Mapped)
    }
}
