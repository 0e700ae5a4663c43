//! Intrusion events (record 400) with their packets (2) and extra data (110).

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::feed::FeedError;
use crate::impact;

use super::Output;
use super::connection::{reference, url};
use super::header::{Ends, Header, Stamp};
use super::mapper::{Fate, Mapper};
use super::mapping::{at, text_at, uint_at};
use super::text::{clip, number};

/// Extra data types.
const XFF_IPV4: u32 = 1;
const XFF_IPV6: u32 = 2;
const HTTP_URI: u32 = 9;
const HTTP_HOSTNAME: u32 = 10;

/// Snort's generators for what its decoder and its stream preprocessor find. Suricata's anomalies of these kinds are the
/// same in nature; their numbers are our own, from the hash of their name, far above those Snort has given away.
const DECODER: u32 = 116;
const STREAM: u32 = 129;
/// A generator Snort does not have: the application layer parsers of Suricata.
const APPLICATION_LAYER: u32 = 2000;

/// The least number of a rule made of an anomaly.
const ANOMALIES: u32 = 1_000_000;

/// The class and priority Suricata's own rules for such events have.
const ANOMALY_CLASS: &str = "Generic Protocol Command Decode";
const ANOMALY_PRIORITY: u32 = 3;

/// What an intrusion event is about.
struct Finding<'l> {
    rule: (u32, u32, u32),
    message: &'l str,
    class: &'l str,
    priority: u32,
    blocked: bool,
}

impl Mapper {
    pub(super) fn alert(
        &mut self,
        line: &Value,
        header: &Header,
        now: u64,
        out: &mut Output,
    ) -> Result<Fate, FeedError> {
        let Some(ends) = header.ends else { return Ok(Fate::Bad("an alert without addresses")) };
        let small = |path| uint_at(line, path).and_then(|number| u32::try_from(number).ok());
        let Some(sid) = small("alert.signature_id") else { return Ok(Fate::Bad("an alert without signature_id")) };
        let finding = Finding {
            rule: (small("alert.gid").unwrap_or(1), sid, small("alert.rev").unwrap_or(0)),
            message: text_at(line, "alert.signature").unwrap_or_default(),
            class: text_at(line, "alert.category").unwrap_or_default(),
            priority: small("alert.severity").unwrap_or(3),
            blocked: text_at(line, "alert.action").is_some_and(|action| action == "blocked"),
        };
        let id = self.intrusion(line, header, ends, &finding, now, out)?;
        self.packet(id, line, header, out)?;
        self.extras(id, line, header, out)?;
        Ok(Fate::Mapped)
    }

    /// An anomaly is an event of the generator that would have found it.
    pub(super) fn anomaly(
        &mut self,
        line: &Value,
        header: &Header,
        now: u64,
        out: &mut Output,
    ) -> Result<Fate, FeedError> {
        // A packet that could not be decoded has no addresses.
        let nowhere = IpAddr::from([0, 0, 0, 0]);
        let none = Ends { source: nowhere, destination: nowhere, source_port: 0, destination_port: 0, protocol: 0 };
        let name = text_at(line, "anomaly.event").or_else(|| text_at(line, "anomaly.code"));
        let Some(name) = name.map(clip) else { return Ok(Fate::Bad("an anomaly without a name")) };
        let generator = match text_at(line, "anomaly.type") {
            Some("decode") => DECODER,
            Some("stream") => STREAM,
            _ => APPLICATION_LAYER,
        };
        let message = format!("Suricata anomaly {name}");
        let finding = Finding {
            rule: (generator, number("anomaly", name, ANOMALIES), 1),
            message: &message,
            class: ANOMALY_CLASS,
            priority: ANOMALY_PRIORITY,
            blocked: false,
        };
        let id = self.intrusion(line, header, header.ends.unwrap_or(none), &finding, now, out)?;
        self.packet(id, line, header, out)?;
        Ok(Fate::Mapped)
    }

    fn intrusion(
        &mut self,
        line: &Value,
        header: &Header,
        ends: Ends,
        finding: &Finding<'_>,
        now: u64,
        out: &mut Output,
    ) -> Result<u32, FeedError> {
        let (gid, sid, rev) = finding.rule;
        self.names.rule(finding.rule, finding.message, out)?;
        let class = self.names.class(finding.class, self.mapping, out)?;
        self.names.priority(finding.priority, out)?;
        let id = self.next_event();
        let mut event = self.event(400)?;
        event.set("eventId", id)?;
        event.set("eventSecond", header.time.second)?.set("eventMicrosecond", header.time.microsecond)?;
        event.set("generatorId", gid)?.set("ruleId", sid)?.set("ruleRevision", rev)?;
        event.set("classificationId", class)?.set("priorityId", finding.priority)?;
        event.set("sourceIpAddress", ends.source)?.set("destinationIpAddress", ends.destination)?;
        event.set("sourcePortOrIcmpType", ends.source_port)?;
        event.set("destinationPortOrIcmpType", ends.destination_port)?.set("ipProtocolId", ends.protocol)?;
        event.set("blocked", u8::from(finding.blocked))?;
        event.set("policyUuid", self.policy.intrusion)?.set("accessControlPolicyUuid", self.policy.access)?;
        event.set("securityZoneIngressUuid", self.policy.zone)?;
        if let Some(interface) = text_at(line, "in_iface") {
            let uuid = self.names.uuid(116, ("interface", self.identity.device_id), clip(interface), out)?;
            event.set("interfaceIngressUuid", uuid)?;
        }
        for rule in &self.mapping.intrusion {
            if let Some((value, _)) = self.mapping.value(rule, line) {
                event.set(&rule.to, &value)?;
            }
        }
        if let Some(address) = xff(line) {
            event.set("originalSrcIP", address)?;
        }
        // The service is at the end the flow was opened to, whichever way this packet went.
        let service = uint_at(line, "flow.dest_port").and_then(|port| u16::try_from(port).ok());
        let service = service.unwrap_or_else(|| ends.guessed().destination_port);
        let protocol = text_at(line, "app_proto").or_else(|| text_at(line, "anomaly.app_proto"));
        let applications = self.names.application(clip(protocol.unwrap_or_default()), service, self.mapping, out)?;
        event.set("applicationId", applications.server)?.set("clientApplicationId", applications.client)?;
        event.set("webApplicationId", applications.web)?;
        if let Some(flow) = header.flow {
            let start = text_at(line, "flow.start").and_then(Stamp::parse);
            let mut known = self.flows.copy(flow, now, header.time);
            known.intrusions = known.intrusions.saturating_add(1);
            known.start = known.start.or(start);
            known.last = header.time;
            let (instance, counter) = reference(flow);
            event.set("connectionInstanceId", instance)?.set("connectionCounter", counter)?;
            event.set("connectionTimestamp", known.start.map_or(0, |start| start.second))?;
            event.set("userId", known.user.unwrap_or(0))?;
            self.flows.put(flow, known);
        }
        let alert = match &mut self.judge {
            Some(judge) => {
                let attack = netmap::Attack {
                    source: ends.source,
                    destination: ends.destination,
                    ports: (ends.source_port, ends.destination_port),
                    protocol: ends.protocol,
                    dropped: finding.blocked,
                    red: text_at(line, "alert.metadata.impact_flag.0").is_some_and(|flag| flag == "red"),
                };
                impact::assess(judge, &attack, finding.message, &mut event)?
            }
            None => None,
        };
        out.event(event);
        if let Some(alert) = alert {
            out.event(alert);
        }
        Ok(id)
    }

    /// Record 2 of the packet in the line. A payload alone is no packet: headers would have to be made up, and whoever
    /// looks at the capture could not tell. It is left out and counted.
    fn packet(&mut self, id: u32, line: &Value, header: &Header, out: &mut Output) -> Result<(), FeedError> {
        let Some(text) = text_at(line, "packet") else {
            if text_at(line, "payload").is_some() {
                out.part("its payload, which is no packet");
            }
            return Ok(());
        };
        let Ok(octets) = STANDARD.decode(text) else {
            out.part("its packet, which is not base64");
            return Ok(());
        };
        let link = uint_at(line, "packet_info.linktype").and_then(|link| u32::try_from(link).ok());
        let mut event = self.event(2)?;
        event.set("eventId", id)?.set("eventSecond", header.time.second)?;
        event.set("packetSecond", header.time.second)?.set("packetMicrosecond", header.time.microsecond)?;
        // Ethernet, unless it says otherwise.
        event.set("linkType", link.unwrap_or(1))?.set("packetData", &*octets)?;
        out.event(event);
        Ok(())
    }

    fn extras(&mut self, id: u32, line: &Value, header: &Header, out: &mut Output) -> Result<(), FeedError> {
        let forwarded = xff(line).map(|address| match address {
            IpAddr::V4(v4) => (XFF_IPV4, v4.octets().to_vec()),
            IpAddr::V6(v6) => (XFF_IPV6, v6.octets().to_vec()),
        });
        let uri = at(line, "http").and(url(line)).map(|url| (HTTP_URI, url.into_bytes()));
        let host = text_at(line, "http.hostname").map(|host| (HTTP_HOSTNAME, clip(host).as_bytes().to_vec()));
        for (kind, octets) in [forwarded, uri, host].into_iter().flatten() {
            self.names.extra(kind, out)?;
            let mut event = self.event(110)?;
            event.set("eventId", id)?.set("eventSecond", header.time.second)?;
            event.set("type", kind)?.set("blob", &*octets)?;
            out.event(event);
        }
        Ok(())
    }
}

/// The client behind a proxy.
fn xff(line: &Value) -> Option<IpAddr> {
    text_at(line, "xff").or_else(|| text_at(line, "http.xff"))?.parse().ok()
}
