//! A host as data blocks: the profile in a new host event, and the full profile that answers a host data request, in the
//! layout of any product version.

use wire::event::{Block, Value, address};
use wire::hosts::HostRequest;
use wire::layout::{self, Kind, Layout};

use crate::host::{Client, Evidence, Host, Mac, Server, System};

/// Everything here is certain as far as a network tells.
const CONFIDENCE: u32 = 100;

/// Detected by the system itself, not by a user, a scanner or an application.
const DETECTED: u32 = 0;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The full profile of a host as a request wants it: in the layout of its data type, all of it filled in, so that
/// [`HostRequest::answer`] has nothing to do but to leave out notes and banners.
pub fn full(host: &Host, request: &HostRequest) -> Block {
    let mut block = profile(host, request.layout());
    // Old layouts have one IPv4 address: the one that was asked for, else the first there is.
    let v4 = || host.addresses.iter().filter(|a| address(&a.address).is_ipv4());
    let asked = v4().find(|a| request.contains(address(&a.address))).or_else(|| v4().next());
    fill(&mut block, "ipAddress", asked.and_then(|a| a.address.get(12..)).unwrap_or_default());
    block
}

/// The profile of a host in a new host event (block 139 and its older forms).
pub(crate) fn brief(host: &Host, layout: &'static Layout) -> Block {
    let mut block = profile(host, layout);
    fill(&mut block, "ipAddress", host.address());
    fill(&mut block, "primarySecondary", 1u8);
    block
}

fn profile(host: &Host, layout: &'static Layout) -> Block {
    let mut block = Block::new(layout);
    let b = &mut block;
    fill(b, "hostId", host.uid);
    list(b, "ipAddresses", &host.addresses, |item, a| {
        fill(item, "ipAddress", a.address);
        fill(item, "lastSeen", a.last_seen);
    });
    fill(b, "hops", host.hops);
    fill(b, "confidence", CONFIDENCE);
    for (name, evidence) in [
        ("serverFingerprints", Evidence::Server),
        ("clientFingerprints", Evidence::Client),
        ("smbFingerprints", Evidence::Smb),
        ("dhcpFingerprints", Evidence::Dhcp),
        ("userAgentFingerprints", Evidence::UserAgent),
    ] {
        list(b, name, host.systems.iter().filter(|s| s.source == evidence), fingerprint);
    }
    let best = best(host);
    list(b, "derivedFingerprints", best, fingerprint);
    fill(b, "fingerprintUuid", best.map_or([0; 16], |s| s.fingerprint));
    list(b, "tcpServers", host.servers.iter().filter(|s| s.protocol == TCP), server);
    list(b, "udpServers", host.servers.iter().filter(|s| s.protocol == UDP), server);
    for (name, transport) in [("networkProtocols", false), ("transportProtocols", true)] {
        let protocols = host.protocols.iter().filter(|p| p.transport == transport);
        list(b, name, protocols, |item, p| fill(item, "protocol", p.number));
    }
    list(b, "macAddresses", &host.macs, mac);
    fill(b, "lastSeen", host.last_seen);
    fill(b, "hostType", host.kind);
    // 0 means that there is a VLAN, 1 that there is none.
    fill(b, "vlanPresence", u8::from(host.vlan == 0));
    fill(b, "vlanId", host.vlan);
    list(b, "clientApplications", &host.clients, client);
    fill(b, "netbiosName", host.netbios.as_str());
    fill(b, "notes", notes(host));
    block
}

/// What the profile has no field for goes into the notes: host name and users.
fn notes(host: &Host) -> String {
    let mut notes = String::new();
    if !host.name.is_empty() {
        notes = format!("Host name: {}\n", host.name);
    }
    let named: Vec<&str> = host.users.iter().map(|u| u.name.as_str()).filter(|n| !n.is_empty()).collect();
    if !named.is_empty() {
        notes += &format!("Users: {}\n", named.join(", "));
    }
    notes
}

/// The fingerprint that is believed: the newest; of several of the same time that of the least number.
pub(crate) fn best(host: &Host) -> Option<&System> {
    host.systems.iter().min_by_key(|s| (std::cmp::Reverse(s.last_seen), s.source))
}

pub(crate) fn fingerprint(item: &mut Block, system: &System) {
    fill(item, "uuid", system.fingerprint);
    fill(item, "type", system.source.number());
    fill(item, "sourceType", DETECTED);
    fill(item, "lastSeen", system.last_seen);
}

pub(crate) fn mac(item: &mut Block, mac: &Mac) {
    fill(item, "ttl", mac.ttl);
    fill(item, "address", mac.mac);
    fill(item, "primary", u8::from(mac.primary));
    fill(item, "lastSeen", mac.last_seen);
}

/// Any of the server blocks: old ones have vendor and version themselves, newer ones a list of what was found.
pub(crate) fn server(item: &mut Block, server: &Server) {
    fill(item, "port", server.port);
    fill(item, "hits", server.hits);
    fill(item, "confidence", CONFIDENCE);
    fill(item, "lastUsed", server.last_seen);
    fill(item, "banner", server.banner.as_slice());
    information(item, server);
    list(item, "serverInformation", [server], information);
    list(item, "detectedServers", [server], information);
    let web = (server.web != 0).then_some(server.web);
    for name in ["webApplication", "webApplications"] {
        list(item, name, web, |item, web| fill(item, "applicationId", web));
    }
}

fn information(item: &mut Block, server: &Server) {
    fill(item, "applicationId", server.application);
    fill(item, "vendor", server.vendor.as_str());
    fill(item, "version", server.version.as_str());
    fill(item, "lastUsed", server.last_seen);
    fill(item, "sourceType", DETECTED);
}

/// Any of the client application blocks.
pub(crate) fn client(item: &mut Block, client: &Client) {
    fill(item, "hits", client.hits);
    fill(item, "lastUsed", client.last_seen);
    for name in ["id", "applicationId"] {
        fill(item, name, client.application);
    }
    for name in ["applicationProto", "typeId"] {
        fill(item, name, client.protocol);
    }
    fill(item, "version", client.version.as_str());
    let web = (client.web != 0).then_some(client.web);
    list(item, "webApplication", web, |item, web| fill(item, "applicationId", web));
}

/// Sets a field where the layout has it: versions differ in what they have.
pub(crate) fn fill(block: &mut Block, name: &str, value: impl Into<Value>) {
    if let Some(position) = block.layout().position(name) {
        block.set_at(position, value);
    }
}

/// Fills a list, where the layout has it, with blocks of the kind that belong there.
fn list<T>(block: &mut Block, name: &str, items: impl IntoIterator<Item = T>, make: impl Fn(&mut Block, T)) {
    let Some(position) = block.layout().position(name) else { return };
    let Some(Kind::List { of: expected, .. }) = block.layout().fields.get(position).map(|f| f.kind) else { return };
    let items = items.into_iter().map(|item| {
        let mut made = Block::new(expected);
        make(&mut made, item);
        made
    });
    block.set_at(position, items.collect::<Vec<_>>());
}

/// A block of series 1 for an event.
pub(crate) fn block(number: u32) -> crate::Result<Block> {
    let missing = || crate::Error::Schema(format!("data block {number} of series 1 is not in it"));
    layout::block(1, number).map(Block::new).ok_or_else(missing)
}
