//! What is asked for, and which records are written: `subscription.records` and `handler.records`.

use super::{ConfigError, Object, Reader};
use crate::select::Selection;
use serde_json::Value;
use wire::request::flag;

impl Reader<'_> {
    pub(super) fn flags(&mut self, subscription: &Object<'_>) -> Result<u32, ConfigError> {
        let records = self.optional_section(subscription, "records")?;
        let names = [
            ("packetData", flag::PACKETS),
            ("impactEventAlerts", flag::IMPACT_ALERTS),
            ("intrusion", flag::INTRUSION),
            ("metadata", flag::METADATA),
            ("archiveTimestamps", flag::ARCHIVAL_TIMESTAMP),
            ("eventExtraData", flag::EXTRA_DATA),
            ("extended", flag::EXTENDED),
        ];
        let Some(records) = records else { return Ok(names.iter().fold(0, |all, (_, bit)| all | bit)) };
        let known: Vec<&str> = names.iter().map(|n| n.0).chain(["packetEncoding", "includeOriginalPacket"]).collect();
        self.known(&records, &known);
        let mut flags = 0;
        for (name, bit) in names {
            if self.flag(&records, name, true)? {
                flags |= bit;
            }
        }
        if flags & flag::ARCHIVAL_TIMESTAMP == 0 {
            self.warnings.push(format!(
                "{} is false: without archival timestamps a restart cannot go on where it ended and repeats everything",
                records.key("archiveTimestamps")
            ));
        }
        Ok(flags)
    }

    pub(super) fn selection(&mut self, handler: &Object<'_>) -> Result<Selection, ConfigError> {
        let Some(records) = self.optional_section(handler, "records")? else { return Ok(Selection::default()) };
        self.known(
            &records,
            &["core", "metadata", "connections", "packets", "intrusion", "rua", "rna", "include", "exclude"],
        );
        Ok(Selection {
            core: self.flag(&records, "core", true)?,
            metadata: self.flag(&records, "metadata", true)?,
            connections: self.flag(&records, "connections", true)?,
            packets: self.flag(&records, "packets", true)?,
            intrusion: self.flag(&records, "intrusion", true)?,
            rua: self.flag(&records, "rua", true)?,
            rna: self.flag(&records, "rna", true)?,
            include: self.record_types(&records, "include")?,
            exclude: self.record_types(&records, "exclude")?,
        })
    }

    fn record_types(&self, object: &Object<'_>, name: &str) -> Result<Vec<u16>, ConfigError> {
        let wanted = "a list of record types, for example [71, 400]";
        let Some(value) = object.value(name) else { return Ok(Vec::new()) };
        let list = value.as_array().ok_or_else(|| self.wrong(&object.key(name), value, wanted))?;
        let number = |v: &Value| v.as_u64().and_then(|n| u16::try_from(n).ok());
        list.iter().map(|v| number(v).ok_or_else(|| self.wrong(&object.key(name), v, wanted))).collect()
    }
}
