//! Intrusion events (record 400) with their packets (2) and extra data (110).

use super::alert::AlertWriter;
use super::dice::Dice;
use super::flow::Flow;
use super::packet::{self, Segment};
use super::policy::DMZ;
use super::rules::Scene;
use super::template::{Template, fields};
use super::world::{Role, Signature, World};
use super::{Generated, Moment, SimulatorError};
use std::net::IpAddr;
use wire::event::Event;

/// Most events of one flow.
pub(crate) const MOST: u64 = 4;

/// Link type Ethernet, as in capture files.
const ETHERNET: u32 = 1;

/// An SMB1 dialect negotiation: NetBIOS session header; SMB header with command, status, flags, twelve octets of process
/// id, signature and reserve, tree, process, user and multiplex id; no words; four dialects.
const NEGOTIATE: &[u8] = b"\x00\x00\x00\x54\xffSMB\x72\x00\x00\x00\x00\x18\x01\x28\
\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x44\x6d\x00\x00\x42\xc1\
\x00\x31\x00\x02LANMAN1.0\x00\x02LM1.2X002\x00\x02NT LANMAN 1.0\x00\x02NT LM 0.12\x00";

const ANSWER: &[u8] = b"HTTP/1.1 404 Not Found\r\nServer: nginx\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

fields!(Fields {
    device = "deviceId",
    event = "eventId",
    second = "eventSecond",
    microsecond = "eventMicrosecond",
    rule = "ruleId",
    generator = "generatorId",
    revision = "ruleRevision",
    class = "classificationId",
    priority = "priorityId",
    source = "sourceIpAddress",
    destination = "destinationIpAddress",
    source_port = "sourcePortOrIcmpType",
    destination_port = "destinationPortOrIcmpType",
    protocol = "ipProtocolId",
    flags = "impactFlags",
    impact = "impact",
    blocked = "blocked",
    policy = "policyUuid",
    user = "userId",
    client = "clientApplicationId",
    application = "applicationId",
    access_rule = "accessControlRuleId",
    access_policy = "accessControlPolicyUuid",
    ingress_interface = "interfaceIngressUuid",
    egress_interface = "interfaceEgressUuid",
    ingress_zone = "securityZoneIngressUuid",
    egress_zone = "securityZoneEgressUuid",
    connection_second = "connectionTimestamp",
    connection_instance = "connectionInstanceId",
    connection_counter = "connectionCounter",
    source_country = "sourceCountry",
    destination_country = "destinationCountry",
    indication = "iocNumber",
    analysis = "networkAnalysisPolicyUuid",
    response = "httpResponse",
    ingress_vrf = "ingressVRFName",
    egress_vrf = "egressVRFName",
    snort = "snortVersion",
    original = "originalSrcIP",
    http_host = "httpHostname",
    http_uri = "httpURI",
    mail_from = "smtpFrom",
    mail_headers = "smtpHeaders",
    mail_to = "smtpTo",
    mail_attachments = "smtpAttachments",
});

fields!(PacketFields {
    device = "deviceId",
    event = "eventId",
    event_second = "eventSecond",
    second = "packetSecond",
    microsecond = "packetMicrosecond",
    link = "linkType",
    data = "packetData",
});

fields!(ExtraFields {
    device = "deviceId",
    event = "eventId",
    second = "eventSecond",
    kind = "type",
    blob = "blob",
});

/// What other records say about an intrusion event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incident<'w> {
    pub(crate) signature: &'w Signature,
    pub(crate) event: u32,
    pub(crate) second: u32,
    pub(crate) microsecond: u32,
    /// Impact flags.
    pub(crate) flags: u8,
    /// Impact level, 1 to 5.
    pub(crate) impact: u8,
    pub(crate) blocked: bool,
}

/// Writes intrusion events and what comes with them.
#[derive(Debug)]
pub(crate) struct IntrusionWriter {
    event: Template,
    fields: Fields,
    packet: Template,
    packet_fields: PacketFields,
    extra: Template,
    extra_fields: ExtraFields,
    alerts: AlertWriter,
    payload: Vec<u8>,
    frame: Vec<u8>,
    /// Where the headers of a mail begin and end in the payload.
    headers: (usize, usize),
}

impl IntrusionWriter {
    pub(crate) fn new() -> Result<IntrusionWriter, SimulatorError> {
        let (event, packet, extra) =
            (Template::new(&Event::new(400)?)?, Template::new(&Event::new(2)?)?, Template::new(&Event::new(110)?)?);
        Ok(IntrusionWriter {
            fields: Fields::of(&event)?,
            event,
            packet_fields: PacketFields::of(&packet)?,
            packet,
            extra_fields: ExtraFields::of(&extra)?,
            extra,
            alerts: AlertWriter::new()?,
            payload: Vec::new(),
            frame: Vec::new(),
            headers: (0, 0),
        })
    }

    /// Writes the `nth` event of a step's flow, its packets, its extra data, and the alerts it raises.
    #[allow(clippy::too_many_arguments)] // One call, one event: they belong together nowhere else.
    pub(crate) fn write<'w>(
        &mut self,
        world: &'w World,
        flow: &Flow<'w>,
        signature: &'w Signature,
        (step, nth): (u64, u64),
        moment: Moment,
        dice: &mut Dice,
        out: &mut Generated,
    ) {
        let (flags, impact) = impact(flow, signature, dice);
        let incident = Incident {
            signature,
            event: step.wrapping_mul(MOST).wrapping_add(nth + 1) as u32,
            second: flow.last,
            microsecond: moment.microsecond,
            flags,
            impact,
            blocked: signature.rule.drop,
        };
        self.carry(flow, signature, dice);
        self.event(world, flow, &incident, out);
        self.packets(flow, &incident, dice, out);
        if matches!(signature.rule.scene, Scene::InboundWeb | Scene::OutboundWeb) {
            self.extras(world, flow, &incident, dice, out);
        }
        self.alerts.write(world, flow, &incident, moment, dice, out);
    }

    fn event(&mut self, world: &World, flow: &Flow, incident: &Incident, out: &mut Generated) {
        let (t, f) = (&mut self.event, &self.fields);
        let signature = incident.signature;
        let rule = signature.rule;
        t.uint(f.device, flow.device.id);
        t.uint(f.event, incident.event);
        t.uint(f.second, incident.second);
        t.uint(f.microsecond, incident.microsecond);
        t.uint(f.rule, rule.id);
        t.uint(f.generator, rule.generator);
        t.uint(f.revision, rule.revision);
        t.uint(f.class, signature.class.id);
        t.uint(f.priority, signature.priority.id);
        out.refers.extend([signature.meta, signature.class.meta, signature.priority.meta]);
        t.octets(f.source, &flow.initiator.address);
        t.octets(f.destination, &flow.responder.address);
        t.uint(f.source_port, flow.initiator_port);
        t.uint(f.destination_port, flow.responder_port);
        t.uint(f.protocol, flow.protocol());
        t.uint(f.flags, incident.flags);
        t.uint(f.impact, incident.impact);
        t.uint(f.blocked, u8::from(incident.blocked));
        t.octets(f.policy, &flow.policy.intrusion);
        t.octets(f.analysis, &flow.policy.analysis);
        t.uint(f.access_rule, flow.rule.id);
        t.octets(f.access_policy, &flow.policy.uuid);
        t.uint(f.user, flow.user(world).map_or(0, |user| user.id));
        t.uint(f.client, flow.client(world).id);
        t.uint(f.application, world.applications(flow.service).server.id);
        let ((ingress, ingress_zone), (egress, egress_zone)) =
            (flow.device.interfaces[flow.ingress], flow.device.interfaces[flow.egress]);
        t.octets(f.ingress_interface, &ingress);
        t.octets(f.egress_interface, &egress);
        t.octets(f.ingress_zone, &ingress_zone);
        t.octets(f.egress_zone, &egress_zone);
        t.uint(f.connection_second, flow.first);
        t.uint(f.connection_instance, flow.instance);
        t.uint(f.connection_counter, flow.counter);
        let (source_country, destination_country) = flow.countries();
        t.uint(f.source_country, source_country);
        t.uint(f.destination_country, destination_country);
        if let Some(indication) = rule.indication.checked_sub(1).and_then(|i| world.terms.indications.get(i)) {
            t.uint(f.indication, indication.id);
            out.refers.push(indication.meta);
        }
        t.text(f.ingress_vrf, [b"Global"]);
        t.text(f.egress_vrf, [b"Global"]);
        t.uint(f.snort, 3u8);
        if let Some(original) = flow.original {
            t.octets(f.original, &original.address);
        }
        match rule.scene {
            Scene::InboundWeb | Scene::OutboundWeb => {
                t.text(f.http_host, [flow.asked.as_bytes()]);
                t.text(f.http_uri, [rule.payload.as_bytes()]);
                if !incident.blocked {
                    t.uint(f.response, 404u32);
                }
            }
            Scene::InboundMail => {
                t.text(f.mail_from, [b"billing@invoices.example"]);
                t.text(f.mail_to, [b"office@example.com"]);
                t.text(f.mail_headers, [self.payload.get(self.headers.0..self.headers.1).unwrap_or_default()]);
                if incident.blocked {
                    t.text(f.mail_attachments, [b"invoice.doc"]);
                }
            }
            _ => {}
        }
        out.push(&mut self.event);
    }

    /// The packet that matched, and sometimes the answer to it.
    fn packets(&mut self, flow: &Flow, incident: &Incident, dice: &mut Dice, out: &mut Generated) {
        let [a, b, c, d, e, f, g, h] = dice.octets::<8>();
        let payload = std::mem::take(&mut self.payload);
        let segment = Segment {
            source_mac: flow.initiator.mac,
            destination_mac: flow.responder.mac,
            source: flow.initiator.address,
            destination: flow.responder.address,
            source_port: flow.initiator_port,
            destination_port: flow.responder_port,
            protocol: flow.protocol(),
            sequence: u32::from_be_bytes([a, b, c, d]),
            acknowledgement: u32::from_be_bytes([e, f, g, h]),
            identification: u16::from_be_bytes([b, e]),
            payload: &payload,
        };
        packet::frame(&segment, &mut self.frame);
        let after = segment.sequence.wrapping_add(payload.len() as u32);
        self.packet(flow, incident, incident.microsecond, out);
        if flow.http() && !incident.blocked && dice.chance(250) {
            let answer = Segment {
                source_mac: segment.destination_mac,
                destination_mac: segment.source_mac,
                source: segment.destination,
                destination: segment.source,
                source_port: segment.destination_port,
                destination_port: segment.source_port,
                sequence: segment.acknowledgement,
                acknowledgement: after,
                payload: ANSWER,
                ..segment
            };
            packet::frame(&answer, &mut self.frame);
            let later = incident.microsecond.saturating_add(dice.range(300, 20_000)).min(999_999);
            self.packet(flow, incident, later, out);
        }
        self.payload = payload;
    }

    fn packet(&mut self, flow: &Flow, incident: &Incident, microsecond: u32, out: &mut Generated) {
        let (t, f) = (&mut self.packet, &self.packet_fields);
        t.uint(f.device, flow.device.id);
        t.uint(f.event, incident.event);
        t.uint(f.event_second, incident.second);
        t.uint(f.second, incident.second);
        t.uint(f.microsecond, microsecond);
        t.uint(f.link, ETHERNET);
        t.text(f.data, [&self.frame]);
        out.push(&mut self.packet);
    }

    fn extras(&mut self, world: &World, flow: &Flow, incident: &Incident, dice: &mut Dice, out: &mut Generated) {
        let [xff4, xff6, uri, host] = world.terms.extras.as_slice() else { return };
        if let Some(original) = flow.original {
            match wire::event::address(&original.address) {
                IpAddr::V4(v4) => self.extra(flow, incident, xff4, &v4.octets(), out),
                IpAddr::V6(v6) => self.extra(flow, incident, xff6, &v6.octets(), out),
            }
        }
        if dice.chance(600) {
            self.extra(flow, incident, uri, incident.signature.rule.payload.as_bytes(), out);
            self.extra(flow, incident, host, flow.asked.as_bytes(), out);
        }
    }

    fn extra(
        &mut self,
        flow: &Flow,
        incident: &Incident,
        kind: &super::catalog::Named,
        octets: &[u8],
        out: &mut Generated,
    ) {
        let (t, f) = (&mut self.extra, &self.extra_fields);
        t.uint(f.device, flow.device.id);
        t.uint(f.event, incident.event);
        t.uint(f.second, incident.second);
        t.uint(f.kind, kind.id);
        t.text(f.blob, [octets]);
        out.refers.push(kind.meta);
        out.push(&mut self.extra);
    }

    /// Writes what the packet carries into the payload buffer.
    fn carry(&mut self, flow: &Flow, signature: &Signature, dice: &mut Dice) {
        let rule = signature.rule;
        let payload = &mut self.payload;
        payload.clear();
        self.headers = (0, 0);
        match rule.scene {
            Scene::InboundWeb | Scene::OutboundWeb => {
                for part in ["GET ", rule.payload, " HTTP/1.1\r\nHost: ", flow.asked, "\r\nUser-Agent: ", rule.agent] {
                    payload.extend_from_slice(part.as_bytes());
                }
                payload.extend_from_slice(b"\r\nAccept: */*\r\n");
                if let Some(original) = flow.original {
                    for part in ["X-Forwarded-For: ", &original.text, "\r\n"] {
                        payload.extend_from_slice(part.as_bytes());
                    }
                }
                payload.extend_from_slice(b"Connection: close\r\n\r\n");
            }
            Scene::Lateral => payload.extend_from_slice(NEGOTIATE),
            Scene::Dns => question(flow.asked, dice.bits() as u16, payload),
            Scene::InboundMail => {
                payload.extend_from_slice(
                    b"From: Billing <billing@invoices.example>\r\nTo: office@example.com\r\nSubject: Overdue invoice\r\n",
                );
                self.headers = (0, payload.len());
                payload.extend_from_slice(b"\r\n");
                payload.extend_from_slice(rule.payload.as_bytes());
                payload.extend_from_slice(b"\r\n.\r\n");
            }
            Scene::InboundSsh | Scene::Ping => payload.extend_from_slice(rule.payload.as_bytes()),
        }
    }
}

/// A DNS query for the IPv4 address of a name (RFC 1035).
fn question(name: &str, id: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&id.to_be_bytes());
    // Recursion desired, one question.
    out.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.extend_from_slice(&[0, 0, 1, 0, 1]);
}

/// Impact flags and level (eStreamer Integration Guide 5.3 p.80).
fn impact(flow: &Flow, signature: &Signature, dice: &mut Dice) -> (u8, u8) {
    let mut flags = 0b11;
    if let Some(target) = flow.responder.host {
        // The service is there where the host exists for it.
        if target.role != Role::Workstation && flow.egress != DMZ || dice.chance(700) {
            flags |= 0b100;
        }
        if signature.rule.indication != 0 && dice.chance(300) {
            flags |= 0b1_0000;
        }
    } else if signature.rule.indication != 0 {
        // Malware calls home: the rule itself says red.
        flags |= 0b100_0000;
    }
    if signature.rule.drop {
        flags |= 0b10_0000;
    }
    (flags, level(flags))
}

fn level(flags: u8) -> u8 {
    match flags {
        f if f & 0b1101_1000 != 0 => 1,
        f if f & 0b110 == 0b110 => 2,
        f if f & 0b10 != 0 => 3,
        f if f & 1 != 0 => 4,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_from_the_flags() {
        let flags = [0b1000, 0b1_0000, 0b100_0000, 0b1000_0000, 0b110, 0b111, 0b10, 0b101, 0, 0b10_0000];
        assert_eq!(flags.map(level), [1, 1, 1, 1, 2, 2, 3, 4, 5, 5]);
    }

    #[test]
    fn a_dns_question_is_what_rfc_1035_says() {
        let mut out = Vec::new();
        question("c2.example", 0x1234, &mut out);
        assert_eq!(out, b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02c2\x07example\x00\x00\x01\x00\x01");
    }

    #[test]
    fn the_smb_message_has_the_lengths_it_says() {
        assert_eq!(usize::from(NEGOTIATE[3]), NEGOTIATE.len() - 4);
        // Word count 0, then the byte count of the dialects.
        let bytes = u16::from_le_bytes([NEGOTIATE[37], NEGOTIATE[38]]);
        assert_eq!(usize::from(bytes), NEGOTIATE.len() - 39);
    }
}
