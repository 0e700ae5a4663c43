//! Connection events (record 71): one for each flow.

use serde_json::Value;
use wire::event::Event;
use xxhash_rust::xxh3::xxh3_64;

use crate::feed::FeedError;

use super::flows::Pending;
use super::header::{Header, Stamp};
use super::mapper::Mapper;
use super::mapping::{at, text_at, uint_at};
use super::text::clip;
use super::{Field, Output};

/// Rule actions.
const ALLOW: u32 = 2;
const BLOCK: u32 = 4;

/// Flow statistics, in the discovery event header.
const EVENT_TYPE: u32 = 1003;
const EVENT_SUBTYPE: u32 = 1;

/// Certificate status bits: self-signed, expired, not valid yet.
const SELF_SIGNED: u64 = 4;
const EXPIRED: u64 = 64;
const NOT_YET: u64 = 128;

/// Instance and counter by which other events name the connection: Suricata's flow id, as far as 32 bits hold it.
pub(super) fn reference(flow: u64) -> (u16, u16) {
    let [.., a, b, c, d] = xxh3_64(&flow.to_be_bytes()).to_be_bytes();
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

impl Mapper {
    /// Takes what an application layer line tells of its flow. `true` when that is something new.
    pub(super) fn learn(
        &mut self,
        event_type: &str,
        line: &Value,
        header: &Header,
        pending: &mut Pending,
        out: &mut Output,
    ) -> Result<bool, FeedError> {
        let before = (pending.fields.len(), pending.application.is_some(), pending.user.is_some());
        if pending.application.is_none() {
            let application = if event_type == "ftp_data" { "ftp-data" } else { event_type };
            pending.application = Some(application.to_owned());
        }
        if let Some(rules) = self.mapping.connection.get(event_type) {
            for rule in rules {
                let Some((value, name)) = self.mapping.value(rule, line) else { continue };
                if let (Some(record), Field::Number(id), Some(name)) = (rule.record, &value, name) {
                    self.names.table(record, *id, name, out)?;
                }
                pending.fields.entry(rule.to.clone()).or_insert(value);
            }
        }
        match event_type {
            "http" | "http2" => http(line, pending),
            "tls" => self.tls(line, header, pending, out)?,
            "quic" => {
                if let Some(name) = text_at(line, "quic.sni") {
                    set(pending, "clientUrl", Field::Text(clip(&format!("https://{name}")).to_owned()));
                }
            }
            _ => {}
        }
        Ok(before != (pending.fields.len(), pending.application.is_some(), pending.user.is_some()))
    }

    fn tls(&mut self, line: &Value, header: &Header, pending: &mut Pending, out: &mut Output) -> Result<(), FeedError> {
        if let Some(name) = text_at(line, "tls.sni") {
            set(pending, "clientUrl", Field::Text(clip(&format!("https://{name}")).to_owned()));
        }
        // The cipher suite stands nowhere but in what the JA3S hash was made of: version, cipher, extensions.
        let cipher = text_at(line, "tls.ja3s.string").and_then(|text| text.split(',').nth(1)?.parse::<u16>().ok());
        if let Some(cipher) = cipher {
            if let Some(name) = wire::names::name("sslCipherSuite", cipher.into()) {
                self.names.table(602, cipher.into(), name, out)?;
            }
            set(pending, "sslCipherSuite", Field::Number(cipher.into()));
        }
        let mut status = 0;
        if let (Some(subject), Some(issuer)) = (text_at(line, "tls.subject"), text_at(line, "tls.issuerdn"))
            && subject == issuer
        {
            status |= SELF_SIGNED;
        }
        // Without an offset: these are UTC.
        let validity = |path| text_at(line, path).and_then(|text| Stamp::parse(&format!("{text}Z")));
        if validity("tls.notafter").is_some_and(|end| end.second < header.time.second) {
            status |= EXPIRED;
        }
        if validity("tls.notbefore").is_some_and(|begin| begin.second > header.time.second) {
            status |= NOT_YET;
        }
        // Suricata verifies nothing: that a certificate is valid is never said.
        if status != 0 {
            set(pending, "sslServerCertificateStatus", Field::Number(status));
            for (bit, name) in [(SELF_SIGNED, "Self-signed"), (EXPIRED, "Expired"), (NOT_YET, "Not valid yet")] {
                if status == bit {
                    self.names.table(605, bit, name, out)?;
                }
            }
        }
        Ok(())
    }

    /// Makes the event of a flow: from its flow line, or without one from what came before.
    pub(super) fn connection(
        &mut self,
        id: u64,
        pending: Option<&Pending>,
        flow: Option<(&Value, &Header)>,
        out: &mut Output,
    ) -> Result<(), FeedError> {
        let line = flow.map(|(line, _)| line);
        let time = flow.map(|(_, header)| header.time).or(pending.map(|known| known.last)).unwrap_or_default();
        let ends = flow.and_then(|(_, header)| header.ends).or(pending.and_then(|known| known.ends));
        let said = |path| line.and_then(|line| text_at(line, path)).and_then(Stamp::parse);
        let known = pending.and_then(|known| known.start.or(Some(known.first)));
        let first = said("flow.start").or(known).unwrap_or(time);
        let last = said("flow.end").or(pending.map(|known| known.last)).unwrap_or(time);

        let mut event = self.event(71)?;
        if let Some(discovery) = event.discovery_mut() {
            discovery.set("hasIpv6", 1u8)?.set("eventType", EVENT_TYPE)?.set("eventSubtype", EVENT_SUBTYPE)?;
            discovery.set("eventSecond", time.second)?.set("eventMicrosecond", time.microsecond)?;
            if let Some(ends) = ends {
                discovery.set("ipv6Address", ends.source)?;
            }
        }
        let (instance, counter) = reference(id);
        event.set("instanceId", instance)?.set("connectionCounter", counter)?;
        event.set("firstPacketTimestamp", first.second)?.set("lastPacketTimestamp", last.second)?;
        if let Some(ends) = ends {
            event.set("initiatorIpAddress", ends.source)?.set("responderIpAddress", ends.destination)?;
            event.set("initiatorPort", ends.source_port)?.set("responderPort", ends.destination_port)?;
            event.set("protocol", ends.protocol)?;
        }
        if let Some(line) = line {
            counts(line, &mut event)?;
        }
        let port = ends.map_or(0, |ends| ends.destination_port);
        let protocol = line
            .and_then(|line| text_at(line, "app_proto"))
            .filter(|name| *name != "failed")
            .or(pending.and_then(|known| known.application.as_deref()));
        let applications = self.names.application(clip(protocol.unwrap_or_default()), port, self.mapping, out)?;
        event.set("applicationId", applications.server)?.set("clientApplicationId", applications.client)?;
        event.set("webApplicationId", applications.web)?;
        if let Some(pending) = pending {
            for (name, value) in &pending.fields {
                event.set(name, value)?;
            }
            event.set("userId", pending.user.unwrap_or(0))?;
            event.set("intrusionEventCount", pending.intrusions)?.set("fileEventCount", pending.files)?;
        }
        let blocked = line.and_then(|line| text_at(line, "flow.action")).is_some_and(|action| action == "drop");
        let (action, name) = if blocked { (BLOCK, "Block") } else { (ALLOW, "Allow") };
        self.names.named(120, action, name, out)?;
        event.set("ruleAction", action)?.set("policyRevision", self.policy.access)?;
        let interface = line.and_then(|line| text_at(line, "in_iface"));
        let interface = interface.or(pending.and_then(|known| known.interface.as_deref()));
        if let Some(interface) = interface {
            let uuid = self.names.uuid(116, ("interface", self.identity.device_id), clip(interface), out)?;
            event.set("ingressInterface", uuid)?;
        }
        event.set("ingressZone", self.policy.zone)?;
        out.event(event);
        Ok(())
    }
}

/// Packets, bytes and flags of a flow line.
fn counts(line: &Value, event: &mut Event) -> Result<(), FeedError> {
    for (path, field) in [
        ("flow.pkts_toserver", "initiatorTransmittedPackets"),
        ("flow.pkts_toclient", "responderTransmittedPackets"),
        ("flow.bytes_toserver", "initiatorTransmittedBytes"),
        ("flow.bytes_toclient", "responderTransmittedBytes"),
    ] {
        event.set(field, uint_at(line, path).unwrap_or(0))?;
    }
    let flags = text_at(line, "tcp.tcp_flags").and_then(|flags| u16::from_str_radix(flags, 16).ok());
    event.set("tcpFlag", flags.unwrap_or(0))?;
    let vlan = at(line, "vlan.0").or_else(|| at(line, "vlan")).and_then(Value::as_u64);
    event.set("vlanId", vlan.and_then(|vlan| u16::try_from(vlan).ok()).unwrap_or(0))?;
    Ok(())
}

/// The URL a request asked for: Suricata logs what stood in the request line, and the host by itself.
pub(super) fn url(line: &Value) -> Option<String> {
    let path = text_at(line, "http.url")?;
    let host = text_at(line, "http.hostname").unwrap_or_default();
    let whole = !path.starts_with('/') || host.is_empty();
    Some(clip(&if whole { path.to_owned() } else { format!("http://{host}{path}") }).to_owned())
}

fn http(line: &Value, pending: &mut Pending) {
    if let Some(url) = url(line) {
        set(pending, "clientUrl", Field::Text(url));
    }
}

/// The first value of a field stays: an event has room for one request.
fn set(pending: &mut Pending, field: &str, value: Field) {
    if !pending.fields.contains_key(field) {
        pending.fields.insert(field.to_owned(), value);
    }
}
