//! What the records of the archive tell of hosts.

use wire::decode::{Decoder, Record, Value, View};
use wire::layout::Layout;
use wire::message::Items;
use wire::record::record_type;

use crate::Result;
use crate::hints::On;
use crate::host::{Client, Evidence, MOST_TEXT, Server};
use crate::learn::{Learner, Name, Seen};
use crate::outbox::Told;
use crate::sightings::{Fact, Sighting, Software};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// TCP flags.
const FIN: u64 = 1;
const RST: u64 = 4;
const PSH: u64 = 8;

/// The fields a connection event is read for, in the order of [`Field`].
const FIELDS: [&str; 16] = [
    "deviceId",
    "initiatorIpAddress",
    "responderIpAddress",
    "responderPort",
    "protocol",
    "tcpFlag",
    "lastPacketTimestamp",
    "responderTransmittedPackets",
    "userId",
    "applicationId",
    "clientApplicationId",
    "webApplicationId",
    "clientApplicationVersion",
    "netbios",
    "vlanId",
    "userAgent",
];

#[derive(Clone, Copy)]
enum Field {
    Device,
    Initiator,
    Responder,
    ResponderPort,
    Protocol,
    Flags,
    Last,
    Answers,
    User,
    Application,
    Client,
    Web,
    Version,
    Netbios,
    Vlan,
    Agent,
}

/// Reads records and learns from them.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    decoder: Decoder,
    /// Where the fields are in the layouts seen so far.
    places: Vec<(&'static Layout, [Option<usize>; FIELDS.len()])>,
}

impl Facts {
    /// Learns from the events of a commit, the first `skip` of them left out.
    pub(crate) fn events(
        &mut self,
        events: &[u8],
        skip: usize,
        heard: u32,
        quiet: bool,
        learner: &mut Learner,
    ) -> Result<()> {
        for item in Items::new(events).map_while(std::result::Result::ok).skip(skip) {
            let told = Told { heard, second: 0, microsecond: 0, device: 0, quiet };
            match record_type(item.body) {
                71 => self.connection(item.body, told, learner)?,
                400 | 104 | 105 | 207 | 208 => self.intrusion(item.body, told, learner)?,
                500 | 502 => self.file(item.body, told, learner)?,
                95 => self.login(item.body, told, learner)?,
                10..=29 | 31 | 34 | 35 | 42 | 45 | 51 | 52 | 101 | 107 => self.discovery(item.body, told, learner)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Remembers what metadata calls things.
    pub(crate) fn metadata(&mut self, sticky: &[u8], learner: &mut Learner) {
        for item in Items::new(sticky).map_while(std::result::Result::ok) {
            let record = record_type(item.body);
            let (id, name) = match record {
                54 => ("uuid", "name"),
                55 | 63 | 109 | 123 => ("id", "name"),
                62 | 98 => ("id", "username"),
                _ => continue,
            };
            let Ok(decoded) = self.decoder.decode(item.body) else { continue };
            let text = |name| decoded.field(name).and_then(|v| v.octets()).unwrap_or_default();
            let id = match decoded.field(id) {
                Some(Value::Uint(number)) => number.to_be_bytes().to_vec(),
                Some(Value::Uuid(uuid)) => uuid.to_vec(),
                _ => continue,
            };
            let [name, vendor, version] = [name, "vendor", "version"].map(|n| String::from_utf8_lossy(text(n)));
            let record = if record == 62 { 98 } else { record };
            learner.names.push(Name::new(record, &id, &name, &vendor, &version));
        }
    }

    fn connection(&mut self, item: &[u8], told: Told, learner: &mut Learner) -> Result<()> {
        let Facts { decoder, places } = self;
        let Ok(record) = decoder.decode(item) else { return Ok(()) };
        let view = record.main();
        let Some(layout) = view.layout() else { return Ok(()) };
        let index = match places.iter().position(|(known, _)| std::ptr::eq(*known, layout)) {
            Some(index) => index,
            None => {
                places.push((layout, FIELDS.map(|name| layout.position(name))));
                places.len() - 1
            }
        };
        let place = |field: Field| places.get(index).and_then(|(_, at)| *at.get(field as usize)?);
        let value = |field| place(field).and_then(|at| view.value(at));
        let number = |field| value(field).and_then(|v| v.as_uint()).unwrap_or(0);
        let small = |field| u32::try_from(number(field)).unwrap_or(0);
        let port = |field| u16::try_from(number(field)).unwrap_or(0);
        let text = |field| value(field).and_then(|v| v.octets()).unwrap_or_default();
        let (Some(initiator), Some(responder)) = (sixteen(value(Field::Initiator)), sixteen(value(Field::Responder)))
        else {
            return Ok(());
        };
        let header = |name| record.discovery().and_then(|h| h.named(name)?.as_uint()).unwrap_or(0);
        let second = match u32::try_from(header("eventSecond")) {
            Ok(second) if second != 0 => second,
            _ => small(Field::Last),
        };
        let microsecond = u32::try_from(header("eventMicrosecond")).unwrap_or(0);
        let told = Told { second, microsecond, device: small(Field::Device), ..told };
        let protocol = u8::try_from(number(Field::Protocol)).unwrap_or(0);
        let (application, web) = (small(Field::Application), small(Field::Web));

        if let Some((id, fresh)) = learner.host(initiator, Seen::Sent, told)? {
            learner.protocols(id, initiator, protocol, fresh, told)?;
            learner.netbios(id, initiator, &String::from_utf8_lossy(text(Field::Netbios)), fresh, told)?;
            learner.vlan(id, initiator, port(Field::Vlan), fresh, told)?;
            if fresh {
                learner.announce(id, told)?;
            }
            if small(Field::Client) != 0 {
                let version = clip(text(Field::Version));
                let client = Client {
                    application: small(Field::Client),
                    protocol: application,
                    web,
                    version,
                    hits: 1,
                    ..Client::default()
                };
                learner.client(id, initiator, &client, told)?;
            }
            let agent = text(Field::Agent);
            if !agent.is_empty() {
                learner.hint(id, initiator, On::UserAgent, &String::from_utf8_lossy(agent), told)?;
            }
            if small(Field::User) != 0 {
                learner.user(id, small(Field::User), "", told)?;
            }
        }

        let answers = number(Field::Answers);
        if answers == 0 {
            return Ok(());
        }
        if let Some((id, fresh)) = learner.host(responder, Seen::Sent, told)? {
            learner.protocols(id, responder, protocol, fresh, told)?;
            if fresh {
                learner.announce(id, told)?;
            }
            if serves(protocol, number(Field::Flags), answers, application) {
                let server = Server {
                    protocol,
                    port: port(Field::ResponderPort),
                    application,
                    web,
                    hits: 1,
                    ..Server::default()
                };
                learner.server(id, responder, &server, told)?;
            }
        }
        Ok(())
    }

    /// Who sent the packet of an intrusion event is there. Whom it was sent to need not be.
    fn intrusion(&mut self, item: &[u8], told: Told, learner: &mut Learner) -> Result<()> {
        let Ok(record) = self.decoder.decode(item) else { return Ok(()) };
        let told = at_time(&record, told, "eventSecond", "eventMicrosecond");
        let protocol = record.uint("ipProtocolId").and_then(|p| u8::try_from(p).ok()).unwrap_or(0);
        let Some(source) = sixteen(record.field("sourceIpAddress")) else { return Ok(()) };
        sender(source, protocol, told, learner)
    }

    /// A file went from one to the other, so both are there.
    fn file(&mut self, item: &[u8], told: Told, learner: &mut Learner) -> Result<()> {
        let Ok(record) = self.decoder.decode(item) else { return Ok(()) };
        let told = at_time(&record, told, "fileEventTimestamp", "");
        let protocol = record.uint("protocol").and_then(|p| u8::try_from(p).ok()).unwrap_or(0);
        for name in ["sourceIpAddress", "destinationIpAddress"] {
            if let Some(end) = sixteen(record.field(name)) {
                sender(end, protocol, told, learner)?;
            }
        }
        Ok(())
    }

    fn login(&mut self, item: &[u8], told: Told, learner: &mut Learner) -> Result<()> {
        let Ok(record) = self.decoder.decode(item) else { return Ok(()) };
        let told = at_time(&record, told, "eventSecond", "eventMicrosecond");
        let (Some(at), Some(Value::Block(user))) = (about(&record), record.field("user")) else { return Ok(()) };
        let Some((id, fresh)) = learner.host(at, Seen::Sent, told)? else { return Ok(()) };
        learner.protocols(id, at, 0, fresh, told)?;
        if fresh {
            learner.announce(id, told)?;
        }
        let number = number(user, "userId");
        if number != 0 {
            learner.user(id, number, &words(user, "username"), told)?;
        }
        Ok(())
    }

    /// What others found out: it is taken as it is, and never told again.
    fn discovery(&mut self, item: &[u8], told: Told, learner: &mut Learner) -> Result<()> {
        let kind = record_type(item);
        let Ok(record) = self.decoder.decode(item) else { return Ok(()) };
        let told = Told { quiet: true, ..at_time(&record, told, "eventSecond", "eventMicrosecond") };
        let Some(at) = about(&record) else { return Ok(()) };
        if matches!(kind, 19..=21) {
            if let Some(id) = learner.memory.find(&at)? {
                learner.memory.remove(id)?;
            }
            return Ok(());
        }
        let Some((id, _)) = learner.host(at, Seen::Mapped, told)? else { return Ok(()) };
        let block = |name| match record.field(name) {
            Some(Value::Block(block)) => Some(block),
            _ => None,
        };
        let main = record.main();
        match kind {
            10 => {
                if let Some(profile) = block("hostProfile") {
                    host_profile(id, at, profile, told, learner)?;
                }
            }
            11 | 12 | 16 | 17 | 51 | 52 => {
                let protocol = if matches!(kind, 12 | 17 | 52) { UDP } else { TCP };
                let found = server(block("hostServer").unwrap_or(main), protocol);
                learner.server(id, at, &found, told)?;
            }
            13 => learner.protocol(id, false, number(main, "networkProtocol"))?,
            14 => learner.protocol(id, true, number(main, "transportProtocol"))?,
            15 | 107 => {
                if let Some(found) = block("client") {
                    learner.client(id, at, &client(found), told)?;
                }
            }
            22 => {
                let hops = u8::try_from(number(main, "hops")).unwrap_or(0);
                learner.set(id, |host| host.hops = hops)?;
            }
            23..=26 => {
                let protocol = if kind.is_multiple_of(2) { UDP } else { TCP };
                learner.close(id, protocol, u16::try_from(number(main, "port")).unwrap_or(0))?;
            }
            27 | 28 => {
                if let Some(found) = block("mac") {
                    mac(id, at, found, told, learner)?;
                }
            }
            29 => {
                if let Some(new) = sixteen(record.field("ipAddress")) {
                    learner.also(id, new, told)?;
                    learner.leave(id, at)?;
                }
            }
            31 => {
                let kind = number(main, "hostType");
                learner.set(id, |host| host.kind = kind)?;
            }
            34 => learner.vlan(id, at, u16::try_from(number(main, "id")).unwrap_or(0), false, told)?,
            35 => {
                if let Some(found) = block("client") {
                    learner.close_client(id, client(found).application)?;
                }
            }
            42 => learner.netbios(id, at, &words(main, "value"), false, told)?,
            45 => {
                let found = Server {
                    protocol: u8::try_from(number(main, "protocol")).unwrap_or(0),
                    port: u16::try_from(number(main, "port")).unwrap_or(0),
                    banner: banner(main, "data"),
                    ..Server::default()
                };
                learner.server(id, at, &found, told)?;
            }
            101 => {
                if let Some(found) = block("osfingerprint") {
                    fingerprint(id, at, found, Evidence::Client, told, learner)?;
                }
            }
            18 => {
                if let Some(Value::Uuid(uuid)) = main.named("fingerprintUuid") {
                    learner.system(id, at, Evidence::Client, *uuid, told)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Learns from a sighting.
pub(crate) fn sighting(sighting: &Sighting, heard: u32, quiet: bool, learner: &mut Learner) -> Result<()> {
    let at = wire::event::sixteen(sighting.address);
    let told = Told { heard, second: sighting.second, microsecond: 0, device: sighting.device, quiet };
    // What frames say is told of hosts alone that show themselves by connections.
    let seen = if matches!(sighting.fact, Fact::Frame { .. }) { Seen::Named } else { Seen::Sent };
    let found = match sighting.fact {
        Fact::Dhcp { mac, .. } => learner.lease(at, mac, told)?,
        _ => learner.host(at, seen, told)?,
    };
    let Some((id, fresh)) = found else {
        return match sighting.fact {
            Fact::Frame { mac } => learner.frame(at, mac),
            _ => Ok(()),
        };
    };
    learner.protocols(id, at, 0, fresh, told)?;
    if fresh {
        learner.announce(id, told)?;
    }
    match &sighting.fact {
        Fact::Frame { mac } => learner.mac(id, at, *mac, 0, false, told)?,
        Fact::Arp { mac } | Fact::Dhcp { mac, .. } => learner.mac(id, at, *mac, 0, true, told)?,
        Fact::DhcpClient { name, class } => {
            learner.hint(id, at, On::DhcpClass, class, told)?;
            learner.name(id, name)?;
        }
        Fact::Server { protocol, port, application, kind, software } => {
            let on = if *kind == Software::Ssh { On::Ssh } else { On::HttpServer };
            learner.hint(id, at, on, software, told)?;
            let (vendor, version) = product(software);
            let banner = software.bytes().take(wire::hosts::BANNER_BYTES).collect();
            let (protocol, port, application) = (*protocol, *port, *application);
            let found = Server { protocol, port, application, vendor, version, banner, ..Server::default() };
            learner.server(id, at, &found, told)?;
        }
        Fact::UserAgent { agent } => learner.hint(id, at, On::UserAgent, agent, told)?,
        Fact::SshClient { software } => learner.hint(id, at, On::Ssh, software, told)?,
        Fact::Smb { netbios, system } => {
            learner.netbios(id, at, netbios, false, told)?;
            learner.hint(id, at, On::Smb, system, told)?;
        }
    }
    Ok(())
}

/// Product and version of what a server calls itself: `nginx/1.24.0 (Ubuntu)`, `OpenSSH_9.6p1 Debian-3`.
fn product(software: &str) -> (String, String) {
    let (name, rest) = software.split_once(['/', '_']).unwrap_or((software, ""));
    let version = rest.split([' ', '(']).next().unwrap_or_default();
    (clip(name.as_bytes()), clip(version.as_bytes()))
}

/// Whether a connection shows that its responder serves the port. A host that refuses answers too, with a reset.
fn serves(protocol: u8, flags: u64, answers: u64, application: u32) -> bool {
    match protocol {
        UDP => true,
        TCP => application != 0 || answers >= 2 && (flags & RST == 0 || flags & (PSH | FIN) != 0),
        _ => false,
    }
}

fn sender(at: [u8; 16], protocol: u8, told: Told, learner: &mut Learner) -> Result<()> {
    if let Some((id, fresh)) = learner.host(at, Seen::Sent, told)? {
        learner.protocols(id, at, protocol, fresh, told)?;
        if fresh {
            learner.announce(id, told)?;
        }
    }
    Ok(())
}

fn host_profile(id: i64, at: [u8; 16], profile: View<'_>, told: Told, learner: &mut Learner) -> Result<()> {
    let kind = number(profile, "hostType");
    let hops = u8::try_from(number(profile, "hops")).unwrap_or(0);
    learner.set(id, |host| (host.kind, host.hops) = (kind, hops))?;
    for (name, evidence) in [
        ("serverFingerprints", Evidence::Server),
        ("clientFingerprints", Evidence::Client),
        ("smbFingerprints", Evidence::Smb),
        ("dhcpFingerprints", Evidence::Dhcp),
        ("userAgentFingerprints", Evidence::UserAgent),
    ] {
        for item in items(profile, name) {
            fingerprint(id, at, item, evidence, told, learner)?;
        }
    }
    for (name, protocol) in [("tcpServers", TCP), ("udpServers", UDP)] {
        for item in items(profile, name) {
            learner.server(id, at, &server(item, protocol), told)?;
        }
    }
    for (name, transport) in [("networkProtocols", false), ("transportProtocols", true)] {
        for item in items(profile, name) {
            learner.protocol(id, transport, number(item, "protocol"))?;
        }
    }
    for item in items(profile, "macAddresses") {
        mac(id, at, item, told, learner)?;
    }
    for item in items(profile, "clientApplications") {
        learner.client(id, at, &client(item), told)?;
    }
    learner.vlan(id, at, u16::try_from(number(profile, "vlanId")).unwrap_or(0), true, told)?;
    learner.netbios(id, at, &words(profile, "netbiosName"), true, told)
}

fn fingerprint(
    id: i64,
    at: [u8; 16],
    item: View<'_>,
    evidence: Evidence,
    told: Told,
    learner: &mut Learner,
) -> Result<()> {
    if let Some(Value::Uuid(uuid)) = item.named("uuid") {
        learner.system(id, at, evidence, *uuid, told)?;
    }
    Ok(())
}

fn mac(id: i64, at: [u8; 16], item: View<'_>, told: Told, learner: &mut Learner) -> Result<()> {
    let ttl = u8::try_from(number(item, "ttl")).unwrap_or(0);
    match item.named("address") {
        Some(Value::Mac(mac)) => learner.mac(id, at, *mac, ttl, number(item, "primary") != 0, told),
        _ => Ok(()),
    }
}

/// A server block of any version.
fn server(block: View<'_>, protocol: u8) -> Server {
    // Newer ones have what was found in a list, older ones in themselves.
    let found = items(block, "serverInformation").next().unwrap_or(block);
    Server {
        protocol,
        port: u16::try_from(number(block, "port")).unwrap_or(0),
        application: number(found, "applicationId"),
        web: items(block, "webApplication").next().map_or(0, |web| number(web, "applicationId")),
        vendor: words(found, "vendor"),
        version: words(found, "version"),
        banner: banner(block, "banner"),
        hits: number(block, "hits").max(1),
        ..Server::default()
    }
}

/// A client application block of any version.
fn client(block: View<'_>) -> Client {
    Client {
        application: number(block, "id"),
        protocol: number(block, "applicationProto"),
        web: items(block, "webApplication").next().map_or(0, |web| number(web, "applicationId")),
        version: words(block, "version"),
        hits: number(block, "hits").max(1),
        ..Client::default()
    }
}

fn items<'r>(block: View<'r>, name: &str) -> impl Iterator<Item = View<'r>> + use<'r> {
    let list = match block.named(name) {
        Some(Value::List(list)) => Some(list),
        _ => None,
    };
    list.into_iter().flat_map(|list| list.items())
}

fn number(block: View<'_>, name: &str) -> u32 {
    block.named(name).and_then(|v| v.as_uint()).and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}

fn words(block: View<'_>, name: &str) -> String {
    clip(block.named(name).and_then(|v| v.octets()).unwrap_or_default())
}

fn banner(block: View<'_>, name: &str) -> Vec<u8> {
    let octets = block.named(name).and_then(|v| v.octets()).unwrap_or_default();
    octets.get(..wire::hosts::BANNER_BYTES).unwrap_or(octets).to_vec()
}

fn clip(octets: &[u8]) -> String {
    let octets = octets.get(..MOST_TEXT).unwrap_or(octets);
    crate::host::clip(&String::from_utf8_lossy(octets)).to_owned()
}

/// The host a record with a discovery event header is about.
fn about(record: &Record<'_>) -> Option<[u8; 16]> {
    let header = record.discovery()?;
    let new = sixteen(header.named("ipv6Address"));
    new.or_else(|| sixteen(header.named("legacyIpAddress"))).filter(|at| *at != [0; 16])
}

/// Device and time of a record.
fn at_time(record: &Record<'_>, told: Told, second: &str, microsecond: &str) -> Told {
    let number = |name| record.uint(name).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    Told { second: number(second), microsecond: number(microsecond), device: number("deviceId"), ..told }
}

/// An address in 16 octets.
fn sixteen(value: Option<Value<'_>>) -> Option<[u8; 16]> {
    match value? {
        Value::Ipv6(octets) => Some(*octets),
        Value::Ipv4(octets) => Some(wire::event::sixteen((*octets).into())),
        _ => None,
    }
}
