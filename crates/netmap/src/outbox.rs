//! Discovery events on their way to the archive.

use wire::decode::Decoder;
use wire::event::{Event, Value};

use crate::Result;
use crate::host::Host;
use crate::profile;

/// Event types of the discovery event header.
pub(crate) const NEW: u32 = 1000;
pub(crate) const CHANGE: u32 = 1001;

/// Who told something, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// Archival second of the commit.
    pub(crate) heard: u32,
    /// Time of the event.
    pub(crate) second: u32,
    pub(crate) microsecond: u32,
    /// Device that saw it.
    pub(crate) device: u32,
    /// The source tells discovery events of its own: nothing is to be made of this.
    pub(crate) quiet: bool,
}

/// Records that were made and are not written yet: bundle items.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) events: Vec<Vec<u8>>,
    pub(crate) metadata: Vec<Vec<u8>>,
    netmap: u16,
}

impl Outbox {
    pub(crate) fn new(netmap: u32) -> Outbox {
        Outbox { netmap: u16::try_from(netmap).unwrap_or(0), ..Outbox::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.metadata.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.events.clear();
        self.metadata.clear();
    }

    /// Adds the discovery event of a record type about a host: `kind` is event type and subtype, `fields` are what
    /// follows the header.
    pub(crate) fn tell(
        &mut self,
        record: u16,
        kind: (u32, u32),
        about: (&Host, [u8; 16]),
        told: Told,
        fields: &[(&str, Value)],
    ) -> Result<()> {
        if told.quiet {
            return Ok(());
        }
        let mut event = Event::new(record)?;
        event.set_netmap(self.netmap);
        if let Some(header) = event.discovery_mut() {
            header.set("deviceId", told.device)?.set("macAddress", about.0.mac().unwrap_or_default())?;
            header.set("hasIpv6", 1u8)?.set("ipv6Address", about.1)?;
            header.set("eventSecond", told.second)?.set("eventMicrosecond", told.microsecond)?;
            header.set("eventType", kind.0)?.set("eventSubtype", kind.1)?;
        }
        for (name, value) in fields {
            event.set(name, value.clone())?;
        }
        let mut item = Vec::new();
        event.encode_item(Some(0), &mut item);
        self.events.push(item);
        Ok(())
    }

    /// Adds an event whose body is one data block.
    pub(crate) fn tell_block(
        &mut self,
        record: u16,
        (event_type, subtype, number): (u32, u32, u32),
        about: (&Host, [u8; 16]),
        told: Told,
        (name, make): (&str, &dyn Fn(&mut wire::event::Block)),
    ) -> Result<()> {
        if told.quiet {
            return Ok(());
        }
        let mut block = profile::block(number)?;
        make(&mut block);
        self.tell(record, (event_type, subtype), about, told, &[(name, block.into())])
    }

    /// Adds the metadata record that names a fingerprint.
    pub(crate) fn fingerprint(&mut self, uuid: [u8; 16], (name, vendor, version): (&str, &str, &str)) -> Result<()> {
        let mut event = Event::new(54)?;
        event.set("uuid", uuid)?.set("name", name)?.set("vendor", vendor)?.set("version", version)?;
        let mut item = Vec::new();
        event.encode_item(Some(0), &mut item);
        if !self.metadata.contains(&item) {
            self.metadata.push(item);
        }
        Ok(())
    }
}

/// The key of a metadata record among the sticky items of the archive.
pub(crate) fn metadata_key(item: &[u8], decoder: &mut Decoder) -> Result<Vec<u8>> {
    let record = decoder.decode(item.get(8..).unwrap_or_default())?;
    Ok(record.metadata_key().unwrap_or_default())
}
