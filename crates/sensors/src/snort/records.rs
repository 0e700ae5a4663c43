//! Unified2 records as eStreamer records, one for one.

use wire::event::Event;

use crate::feed::FeedError;
use crate::unified2;

/// Record 400 of an event (series 2 block 85).
///
/// Both formats come from the same sensor, so most fields mean the same in both. That includes the impact flags, of
/// which 0x20 is "session dropped" (eStreamer Integration Guide 5.3 p.80), and `pad`.
pub(super) fn event(device: u32, event: &unified2::Event) -> Result<Event, FeedError> {
    let version: u8 = if event.snort3.is_some() { 3 } else { 2 };
    let mut record = Event::new(400)?;
    record
        .set("deviceId", device)?
        .set("eventId", event.event_id)?
        .set("eventSecond", event.event_second)?
        .set("eventMicrosecond", event.event_microsecond)?
        .set("ruleId", event.signature_id)?
        .set("generatorId", event.generator_id)?
        .set("ruleRevision", event.signature_revision)?
        .set("classificationId", event.classification_id)?
        .set("priorityId", event.priority_id)?
        .set("sourceIpAddress", event.ip_source)?
        .set("destinationIpAddress", event.ip_destination)?
        .set("sourcePortOrIcmpType", event.sport_itype)?
        .set("destinationPortOrIcmpType", event.dport_icode)?
        .set("ipProtocolId", event.protocol)?
        .set("impactFlags", event.impact_flag)?
        .set("impact", event.impact)?
        .set("blocked", event.blocked)?
        .set("mplsLabel", event.mpls_label)?
        .set("vlanId", event.vlan_id)?
        .set("pad", event.pad)?
        .set("snortVersion", version)?;
    Ok(record)
}

/// What an event says for the network map to judge. Snort itself marks no rule red; other programs that write unified2 may.
pub(super) fn attack(event: &unified2::Event) -> netmap::Attack {
    netmap::Attack {
        source: event.ip_source,
        destination: event.ip_destination,
        ports: (event.sport_itype, event.dport_icode),
        protocol: event.protocol,
        dropped: event.blocked == 1,
        red: event.impact_flag & netmap::RED != 0,
    }
}

/// Record 2 of a packet.
pub(super) fn packet(device: u32, packet: &unified2::Packet<'_>) -> Result<Event, FeedError> {
    let mut record = Event::new(2)?;
    record
        .set("deviceId", device)?
        .set("eventId", packet.event_id)?
        .set("eventSecond", packet.event_second)?
        .set("packetSecond", packet.packet_second)?
        .set("packetMicrosecond", packet.packet_microsecond)?
        .set("linkType", packet.linktype)?
        .set("packetData", packet.data)?;
    Ok(record)
}

/// Record 110 of extra data (series 2 block 4).
pub(super) fn extra_data(device: u32, extra: &unified2::ExtraData<'_>) -> Result<Event, FeedError> {
    let mut record = Event::new(110)?;
    record
        .set("deviceId", device)?
        .set("eventId", extra.event_id)?
        .set("eventSecond", extra.event_second)?
        .set("type", extra.kind)?
        .set("blob", extra.data)?;
    Ok(record)
}
