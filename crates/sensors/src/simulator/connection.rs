//! Connection statistics (record 71).

use super::dice::Dice;
use super::flow::Flow;
use super::names::{self, Service};
use super::policy::{BLOCK, INSIDE, OUTSIDE};
use super::template::{Field, Template, fields};
use super::world::World;
use super::{Generated, Moment, SimulatorError};
use wire::event::Event;

fields!(Fields {
    device = "deviceId",
    ingress_zone = "ingressZone",
    egress_zone = "egressZone",
    ingress_interface = "ingressInterface",
    egress_interface = "egressInterface",
    initiator = "initiatorIpAddress",
    responder = "responderIpAddress",
    policy = "policyRevision",
    rule = "ruleId",
    action = "ruleAction",
    reason = "ruleReason",
    initiator_port = "initiatorPort",
    responder_port = "responderPort",
    protocol = "protocol",
    instance = "instanceId",
    counter = "connectionCounter",
    first = "firstPacketTimestamp",
    last = "lastPacketTimestamp",
    initiator_packets = "initiatorTransmittedPackets",
    responder_packets = "responderTransmittedPackets",
    initiator_bytes = "initiatorTransmittedBytes",
    responder_bytes = "responderTransmittedBytes",
    user = "userId",
    application = "applicationId",
    url_category = "urlCategory",
    url_reputation = "urlReputation",
    client = "clientApplicationId",
    web_application = "webApplicationId",
    url = "clientUrl",
    netbios = "netbios",
    client_version = "clientApplicationVersion",
    intelligence_end = "securityIntelligenceSourceDestination",
    intelligence_layer = "securityIntelligenceLayer",
    intelligence_list = "securityIntelligenceList1",
    files = "fileEventCount",
    intrusions = "intrusionEventCount",
    initiator_country = "initiatorCountry",
    responder_country = "responderCountry",
    original = "originalClientIpAddress",
    original_country = "originalClientCountry",
    referenced_host = "referencedHost",
    agent = "userAgent",
    referrer = "httpReferrer",
    fingerprint = "sslCertificateFingerprint",
    tls_policy = "sslPolicyId",
    tls_rule = "sslRuleId",
    tls_cipher = "sslCipherSuite",
    tls_version = "sslVersion",
    tls_certificate = "sslServerCertificateStatus",
    tls_actual = "sslActualAction",
    tls_expected = "sslExpectedAction",
    tls_flow = "sslFlowStatus",
    tls_messages = "sslFlowMessages",
    tls_flags = "sslFlowFlags",
    tls_name = "sslServerName",
    tls_category = "sslUrlCategory",
    tls_session = "sslSessionId",
    tls_session_length = "sslSessionIdLength",
    analysis = "networkAnalysisPolicyRevision",
    group = "securityGroupId",
    response = "httpResponse",
    dns_query = "dnsQuery",
    dns_type = "dnsRecordType",
    dns_response = "dnsResponseType",
    dns_ttl = "dnsTtl",
    sinkhole = "sinkholeUuid",
    process = "eveProcess",
    process_confidence = "eveProcessConfidencePercentage",
    threat_confidence = "eveThreatConfidencePercentage",
    threat_index = "eveThreatConfidenceIndex",
    nat_port = "natInitiatorPort",
    nat_address = "natInitiatorIp",
    ingress_vrf = "ingressVRFName",
    egress_vrf = "egressVRFName",
});

/// TLS flow flags: valid, initialized.
const VALID: u8 = 0x3;

/// TLS flow messages: the client said hello.
const CLIENT_HELLO: u8 = 0x8;

/// TLS flow messages: hello from both, certificate, key exchange, hello done, change of cipher and finish on both
/// sides, application data both ways.
const HANDSHAKE: u32 = 0xc_f578;

/// Writes connection statistics.
#[derive(Debug)]
pub(crate) struct ConnectionWriter {
    template: Template,
    fields: Fields,
    header_device: Field,
    header_mac: Field,
    header_second: Field,
    header_microsecond: Field,
    header_address: Field,
}

impl ConnectionWriter {
    pub(crate) fn new() -> Result<ConnectionWriter, SimulatorError> {
        let mut event = Event::new(71)?;
        if let Some(header) = event.discovery_mut() {
            // Flow statistics; the address stands in the last field, IPv4 or not.
            header.set("hasIpv6", 1u8)?.set("eventType", 1003u32)?.set("eventSubtype", 1u32)?;
        }
        let template = Template::new(&event)?;
        Ok(ConnectionWriter {
            fields: Fields::of(&template)?,
            header_device: template.header_field("deviceId")?,
            header_mac: template.header_field("macAddress")?,
            header_second: template.header_field("eventSecond")?,
            header_microsecond: template.header_field("eventMicrosecond")?,
            header_address: template.header_field("ipv6Address")?,
            template,
        })
    }

    /// Writes the record of a flow.
    pub(crate) fn write(&mut self, world: &World, flow: &Flow, moment: Moment, dice: &mut Dice, out: &mut Generated) {
        let (t, f) = (&mut self.template, &self.fields);
        t.uint(self.header_device, flow.device.id);
        t.octets(self.header_mac, &flow.initiator.mac);
        t.uint(self.header_second, moment.second);
        t.uint(self.header_microsecond, moment.microsecond);
        t.octets(self.header_address, &flow.initiator.address);

        t.uint(f.device, flow.device.id);
        let ((ingress, ingress_zone), (egress, egress_zone)) =
            (flow.device.interfaces[flow.ingress], flow.device.interfaces[flow.egress]);
        t.octets(f.ingress_zone, &ingress_zone);
        t.octets(f.egress_zone, &egress_zone);
        t.octets(f.ingress_interface, &ingress);
        t.octets(f.egress_interface, &egress);
        t.octets(f.initiator, &flow.initiator.address);
        t.octets(f.responder, &flow.responder.address);
        t.octets(f.policy, &flow.policy.uuid);
        t.octets(f.analysis, &flow.policy.analysis);
        t.uint(f.rule, flow.rule.id);
        t.uint(f.action, world.terms.actions[flow.action].id);
        t.uint(f.reason, flow.reason.map_or(0, |r| r.id));
        t.uint(f.initiator_port, flow.initiator_port);
        t.uint(f.responder_port, flow.responder_port);
        t.uint(f.protocol, flow.protocol());
        t.uint(f.instance, flow.instance);
        t.uint(f.counter, flow.counter);
        t.uint(f.first, flow.first);
        t.uint(f.last, flow.last);
        let applications = world.applications(flow.service);
        t.uint(f.application, applications.server.id);
        t.uint(f.client, flow.client(world).id);
        let (initiator_country, responder_country) = flow.countries();
        t.uint(f.initiator_country, initiator_country);
        t.uint(f.responder_country, responder_country);
        if let Some(original) = flow.original {
            t.octets(f.original, &original.address);
            t.uint(f.original_country, world.countries[original.country].id);
        }
        t.uint(f.files, flow.files);
        t.uint(f.intrusions, flow.intrusions);
        t.text(f.ingress_vrf, [b"Global"]);
        t.text(f.egress_vrf, [b"Global"]);
        if let Some(user) = flow.user(world) {
            t.uint(f.user, user.id);
            t.uint(f.group, user.group.id);
        }
        if let Some(list) = flow.listed {
            let list = &flow.policy.lists[list];
            // Strangers are known by their own address, names by what they lead to.
            let end = &world.terms.ends[usize::from(flow.service == Service::Dns)];
            t.uint(f.intelligence_list, list.id);
            t.uint(f.intelligence_end, end.id);
            t.uint(f.intelligence_layer, 1u8);
            out.refers.extend([list.meta, end.meta]);
        }
        if flow.ingress == INSIDE && flow.egress == OUTSIDE && flow.initiator.address.starts_with(&[0; 10]) {
            t.octets(f.nat_address, &flow.device.nat);
            t.uint(f.nat_port, dice.range(1024, 65_535));
        }
        if flow.service == Service::Smb
            && let Some(host) = flow.initiator.host
        {
            t.text(f.netbios, [host.netbios.as_bytes()]);
        }
        let [request, answer, packets_out, packets_in] = traffic(flow, dice);
        t.uint(f.initiator_packets, packets_out);
        t.uint(f.responder_packets, packets_in);
        t.uint(f.initiator_bytes, request);
        t.uint(f.responder_bytes, answer);

        match flow.service {
            Service::Http => self.http(flow, dice),
            Service::Https | Service::Quic => self.tls(world, flow, dice, out),
            Service::Dns => self.dns(world, flow, dice, out),
            Service::Icmp => out.refers.extend(world.terms.echo[0]),
            Service::Icmpv6 => out.refers.extend(world.terms.echo[1]),
            _ => {}
        }
        if let Some(site) = flow.website {
            let (t, f) = (&mut self.template, &self.fields);
            t.uint(f.web_application, site.application.id);
            t.uint(f.url_category, site.category.id);
            t.uint(f.url_reputation, site.reputation.id);
            out.refers.extend([site.category.meta, site.reputation.meta]);
        }
        out.push(&mut self.template);
    }

    fn http(&mut self, flow: &Flow, dice: &mut Dice) {
        let (t, f) = (&mut self.template, &self.fields);
        t.text(f.url, [b"http://", flow.asked.as_bytes(), flow.path.as_bytes()]);
        t.text(f.referenced_host, [flow.asked.as_bytes()]);
        t.text(f.agent, [flow.agent().as_bytes()]);
        if flow.pretence.is_none() {
            t.text(f.client_version, [names::AGENTS[flow.browser].2.as_bytes()]);
        }
        if dice.chance(350) {
            t.text(f.referrer, [b"http://", flow.asked.as_bytes(), b"/"]);
        }
        if !flow.blocked() {
            t.uint(f.response, if flow.files != 0 { 200 } else { *dice.pick(&[200u32, 200, 200, 200, 304, 302, 404]) });
        }
    }

    fn tls(&mut self, world: &World, flow: &Flow, dice: &mut Dice, out: &mut Generated) {
        let (t, f) = (&mut self.template, &self.fields);
        let terms = &world.terms;
        t.text(f.url, [b"https://", flow.asked.as_bytes()]);
        t.text(f.tls_name, [flow.asked.as_bytes()]);
        t.text(f.client_version, [names::AGENTS[flow.browser].2.as_bytes()]);
        t.text(f.process, [dice.pick(&names::PROCESSES).as_bytes()]);
        t.uint(f.process_confidence, dice.range(70, 100));
        t.uint(f.threat_confidence, dice.below(5));
        t.uint(f.threat_index, 1u8);
        if flow.service == Service::Quic {
            return;
        }
        let blocked = usize::from(flow.blocked());
        let (actual, expected) = &terms.tls_actions[blocked];
        t.octets(f.tls_policy, &flow.policy.tls);
        t.uint(f.tls_rule, flow.policy.tls_rule);
        t.uint(f.tls_actual, actual.id);
        t.uint(f.tls_expected, expected.id);
        t.uint(f.tls_flags, VALID);
        out.refers.extend([actual.meta, expected.meta]);
        // Blocked when the client said hello: nothing of the server was seen.
        let status = &terms.tls_flows[1 - blocked];
        t.uint(f.tls_flow, status.id);
        out.refers.push(status.meta);
        if blocked != 0 {
            t.uint(f.tls_messages, CLIENT_HELLO);
            return;
        }
        let Some(site) = flow.website else { return };
        let (cipher, version) = &terms.ciphers[site.cipher % terms.ciphers.len()];
        let certificate = &terms.certificates[if dice.chance(970) { 0 } else { dice.range(1, 2) as usize }];
        t.octets(f.fingerprint, &site.fingerprint);
        t.uint(f.tls_cipher, cipher.id);
        t.uint(f.tls_version, version.id);
        t.uint(f.tls_certificate, certificate.id);
        t.uint(f.tls_messages, HANDSHAKE);
        t.uint(f.tls_category, site.tls_category.id);
        t.octets(f.tls_session, &dice.octets::<32>());
        t.uint(f.tls_session_length, 32u8);
        out.refers.extend([cipher.meta, version.meta, certificate.meta, site.tls_category.meta]);
    }

    fn dns(&mut self, world: &World, flow: &Flow, dice: &mut Dice, out: &mut Generated) {
        let (t, f) = (&mut self.template, &self.fields);
        let terms = &world.terms;
        t.text(f.dns_query, [flow.asked.as_bytes()]);
        let kind =
            if dice.chance(800) { &terms.record_types[dice.below(2) as usize] } else { dice.pick(&terms.record_types) };
        let response = if dice.chance(920) { &terms.responses[0] } else { dice.pick(&terms.responses) };
        t.uint(f.dns_type, kind.id);
        t.uint(f.dns_response, response.id);
        if response.id == 0 {
            t.uint(f.dns_ttl, *dice.pick(&[60u32, 300, 900, 3600]));
        }
        out.refers.extend([kind.meta, response.meta]);
        if flow.listed.is_some() {
            t.octets(f.sinkhole, &terms.sinkhole.0);
            out.refers.push(terms.sinkhole.1);
        }
    }
}

/// Bytes from initiator and responder, packets from initiator and responder: frames with all headers, as a connection
/// of this kind takes them.
fn traffic(flow: &Flow, dice: &mut Dice) -> [u64; 4] {
    let v6 = !flow.initiator.address.starts_with(&[0; 10]);
    let network = 14 + if v6 { 40 } else { 20 };
    match flow.service {
        Service::Dns => {
            let question = network + 8 + 12 + flow.asked.len() as u64 + 2 + 4;
            [question, question + u64::from(dice.range(16, 180)), 1, 1]
        }
        Service::Ntp => [network + 8 + 48, network + 8 + 48, 1, 1],
        Service::Icmp | Service::Icmpv6 => {
            let count = u64::from(dice.range(1, 4));
            [count * (network + 40), count * (network + 40), count, count]
        }
        _ if flow.blocked() && flow.intrusions == 0 && flow.files == 0 => {
            // The first packets up to the one that shows what to block; none got an answer in the end.
            let count = if flow.action == BLOCK { 1 } else { 3 };
            let header = if flow.protocol() == 17 { 8 } else { 20 };
            [count * (network + header) + if count > 1 { 517 } else { 0 }, 0, count, 0]
        }
        _ => {
            let header = network + if flow.protocol() == 17 { 8 } else { 20 };
            let (asked, answered) = (dice.size(200, 4), dice.size(400, 11));
            let packets_in = 4 + answered / 1400;
            let packets_out = 5 + asked / 1400 + packets_in / 2;
            [asked + packets_out * header, answered + packets_in * header, packets_out, packets_in]
        }
    }
}
