//! What the management centre makes of intrusion events: impact alerts (record 9) and correlation events (112).

use super::dice::Dice;
use super::flow::Flow;
use super::intrusion::Incident;
use super::policy::OUTSIDE;
use super::template::{Template, fields};
use super::world::World;
use super::{Generated, Moment, SimulatorError};
use wire::event::Event;

/// Correlation event type: an intrusion event was the trigger.
const INTRUSION: u8 = 1;

/// The fields a correlation event of ours defines: all that the guides list (bits 0 to 18) but VLANs (bits 5 and 12).
const DEFINED: u32 = 0x7_ffff & !0x1020;

fields!(ImpactFields {
    event = "eventId",
    device = "deviceId",
    second = "eventSecond",
    impact = "impact",
    source = "sourceIpAddress",
    destination = "destinationIpAddress",
    description = "description",
});

fields!(Fields {
    device = "deviceId",
    second = "correlationEventSecond",
    event = "eventId",
    policy = "policyId",
    rule = "ruleId",
    priority = "priority",
    description = "eventDescription",
    kind = "eventType",
    event_device = "eventDeviceId",
    signature = "signatureId",
    generator = "signatureGeneratorId",
    trigger_second = "triggerEventSecond",
    trigger_microsecond = "triggerEventMicrosecond",
    device_event = "deviceEventId",
    defined = "eventDefinedMask",
    flags = "eventImpactFlags",
    protocol = "ipProtocol",
    network_protocol = "networkProtocol",
    source_v4 = "sourceIp",
    source_system = "sourceOperatingSystemFingerprintUuid",
    source_criticality = "sourceCriticality",
    source_user = "sourceUserId",
    source_port = "sourcePort",
    destination_v4 = "destinationIp",
    destination_system = "destinationOperatingSystemFingerprintUuid",
    destination_criticality = "destinationCriticality",
    destination_port = "destinationPort",
    destination_server = "destinationServerId",
    impact = "impact",
    blocked = "blocked",
    intrusion_policy = "intrusionPolicy",
    action = "ruleAction",
    client = "clientId",
    access_policy = "accessControlPolicyRevision",
    access_rule = "accessControlRuleId",
    ingress_interface = "ingressInterfaceUuid",
    egress_interface = "egressInterfaceUuid",
    ingress_zone = "ingressZoneUuid",
    egress_zone = "egressZoneUuid",
    source = "sourceIpv6Address",
    destination = "destinationIpv6Address",
    source_country = "sourceCountry",
    destination_country = "destinationCountry",
});

/// Writes impact alerts and correlation events.
#[derive(Debug)]
pub(crate) struct AlertWriter {
    impact: Template,
    impact_fields: ImpactFields,
    correlation: Template,
    fields: Fields,
}

impl AlertWriter {
    pub(crate) fn new() -> Result<AlertWriter, SimulatorError> {
        let (impact, correlation) = (Template::new(&Event::new(9)?)?, Template::new(&Event::new(112)?)?);
        Ok(AlertWriter {
            impact_fields: ImpactFields::of(&impact)?,
            impact,
            fields: Fields::of(&correlation)?,
            correlation,
        })
    }

    /// Writes what an incident raises; mostly nothing.
    pub(crate) fn write(
        &mut self,
        world: &World,
        flow: &Flow,
        incident: &Incident,
        moment: Moment,
        dice: &mut Dice,
        out: &mut Generated,
    ) {
        if incident.impact == 1 && dice.chance(60) {
            self.impact(flow, incident, out);
        }
        let rule = match incident.impact {
            1 => 0,
            _ if incident.blocked && flow.ingress == OUTSIDE => 1,
            _ => return,
        };
        if dice.chance(60) {
            self.correlation(world, flow, incident, rule, moment, out);
        }
    }

    fn impact(&mut self, flow: &Flow, incident: &Incident, out: &mut Generated) {
        let (t, f) = (&mut self.impact, &self.impact_fields);
        t.uint(f.event, incident.event);
        t.uint(f.device, flow.device.id);
        t.uint(f.second, incident.second);
        t.uint(f.impact, incident.flags);
        t.octets(f.source, &flow.initiator.address);
        t.octets(f.destination, &flow.responder.address);
        t.text(f.description, [incident.signature.rule.message.as_bytes(), b" [Impact: Vulnerable]"]);
        out.push(&mut self.impact);
    }

    fn correlation(
        &mut self,
        world: &World,
        flow: &Flow,
        incident: &Incident,
        rule: usize,
        moment: Moment,
        out: &mut Generated,
    ) {
        let (t, f) = (&mut self.correlation, &self.fields);
        let (signature, terms) = (incident.signature, &world.terms);
        let (policy, rule) = (&terms.correlation_policy, &terms.correlation_rules[rule]);
        // The management centre itself, device 0, correlates.
        t.uint(f.device, 0u8);
        t.uint(f.second, moment.second);
        t.uint(f.event, incident.event);
        t.uint(f.policy, policy.id);
        t.uint(f.rule, rule.id);
        t.uint(f.priority, signature.priority.id);
        t.text(f.description, [signature.rule.message.as_bytes()]);
        t.uint(f.kind, INTRUSION);
        t.uint(f.event_device, flow.device.id);
        t.uint(f.signature, signature.rule.id);
        t.uint(f.generator, signature.rule.generator);
        t.uint(f.trigger_second, incident.second);
        t.uint(f.trigger_microsecond, incident.microsecond);
        t.uint(f.device_event, incident.event);
        t.uint(f.defined, DEFINED);
        t.uint(f.flags, incident.flags);
        t.uint(f.protocol, flow.protocol());
        let v4 = flow.initiator.address.starts_with(&[0; 10]);
        let network = &terms.network_protocols[usize::from(!v4)];
        t.uint(f.network_protocol, network.id);
        out.refers.extend([policy.meta, rule.meta, network.meta]);
        if v4 {
            t.octets(f.source_v4, &flow.initiator.address[12..]);
            t.octets(f.destination_v4, &flow.responder.address[12..]);
        }
        t.octets(f.source, &flow.initiator.address);
        t.octets(f.destination, &flow.responder.address);
        if let Some(host) = flow.initiator.host {
            let system = &world.systems[host.system];
            t.octets(f.source_system, &system.fingerprint);
            t.uint(f.source_criticality, 1u8);
            out.refers.push(system.meta);
        }
        if let Some(host) = flow.responder.host {
            let system = &world.systems[host.system];
            t.octets(f.destination_system, &system.fingerprint);
            t.uint(f.destination_criticality, 3u8);
            out.refers.push(system.meta);
        }
        t.uint(f.source_user, flow.user(world).map_or(0, |user| user.id));
        t.uint(f.source_port, flow.initiator_port);
        t.uint(f.destination_port, flow.responder_port);
        t.uint(f.destination_server, world.applications(flow.service).server.id);
        t.uint(f.impact, incident.impact);
        t.uint(f.blocked, u8::from(incident.blocked));
        t.octets(f.intrusion_policy, &flow.policy.intrusion);
        t.uint(f.action, terms.actions[flow.action].id);
        t.uint(f.client, flow.client(world).id);
        t.octets(f.access_policy, &flow.policy.uuid);
        t.uint(f.access_rule, flow.rule.id);
        let ((ingress, ingress_zone), (egress, egress_zone)) =
            (flow.device.interfaces[flow.ingress], flow.device.interfaces[flow.egress]);
        t.octets(f.ingress_interface, &ingress);
        t.octets(f.egress_interface, &egress);
        t.octets(f.ingress_zone, &ingress_zone);
        t.octets(f.egress_zone, &egress_zone);
        let (source_country, destination_country) = flow.countries();
        t.uint(f.source_country, source_country);
        t.uint(f.destination_country, destination_country);
        out.push(&mut self.correlation);
    }
}
