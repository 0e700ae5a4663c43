//! What the company learns about its own: user activity (records 94, 95) and discovery (10, 11, 12, 15).
//!
//! These blocks nest, and the records are rare: they are built as events.

use super::dice::Dice;
use super::names::{self, Service};
use super::packet::UDP;
use super::world::{Host, Role, World};
use super::{Generated, Moment, SimulatorError};
use wire::event::{Block, Event};
use wire::layout;

/// Event types of the discovery event header.
const NEW: u32 = 1000;
const USER: u32 = 1004;

/// Passive authentication: the directory said so.
const PASSIVE: u8 = 1;

/// Writes a user's login, or that a user is new.
pub(crate) fn user_activity(
    world: &World,
    moment: Moment,
    dice: &mut Dice,
    out: &mut Generated,
) -> Result<(), SimulatorError> {
    let host = dice.pick(&world.workstations);
    let Some(user) = host.user.and_then(|user| world.users.get(user)) else { return Ok(()) };
    let new = dice.chance(100);
    let mut activity = block(if new { 158 } else { 167 })?;
    activity.set("userId", user.id)?.set("username", user.username.as_str())?;
    activity.set("realmId", world.realm.id)?.set("protocol", world.applications(Service::Ldap).server.id)?;
    activity.set("securityGroupId", user.group.id)?.set("email", user.email.as_str())?;
    if new {
        activity.set("firstName", user.first)?.set("lastName", user.last)?;
        activity.set("department", user.department)?.set("phone", user.phone.as_str())?;
    } else {
        activity.set("timestamp", moment.second)?.set("domain", "example.com")?;
        activity.set("ipv4Address", &host.v4[12..])?.set("ipv6Address", host.v6.unwrap_or(host.v4))?;
        activity.set("authType", PASSIVE)?;
        let directory = world.servers.iter().find(|s| s.role == Role::Directory && s.device == host.device);
        activity.set("reportedBy", directory.map_or("", |s| s.name.as_str()))?;
    }
    let mut event = event(if new { 94 } else { 95 }, world, host, moment, (USER, if new { 1 } else { 2 }))?;
    event.set("user", activity)?;
    out.refers.extend_from_slice(&world.devices[host.device].refers);
    let service = world.applications(Service::Ldap).server.meta;
    out.refers.extend([user.meta, user.account, user.group.meta, world.realm.meta, service]);
    out.push_event(&event);
    Ok(())
}

/// Writes that a host, a server on it or a client application is new.
pub(crate) fn discovery(
    world: &World,
    moment: Moment,
    dice: &mut Dice,
    out: &mut Generated,
) -> Result<(), SimulatorError> {
    match dice.below(4) {
        0 => new_host(world, moment, dice, out)?,
        1 => new_client(world, moment, dice, out)?,
        _ => new_server(world, moment, dice, out)?,
    }
    Ok(())
}

fn new_host(world: &World, moment: Moment, dice: &mut Dice, out: &mut Generated) -> Result<(), SimulatorError> {
    let host = dice.pick(&world.workstations);
    let system = &world.systems[host.system];
    let mut mac = block(95)?;
    mac.set("ttl", 128u8)?.set("address", host.mac)?.set("primary", 1u8)?.set("lastSeen", moment.second)?;
    let mut fingerprint = block(130)?;
    fingerprint.set("uuid", system.fingerprint)?.set("type", 1u32)?.set("lastSeen", moment.second)?;
    let mut profile = block(139)?;
    profile.set("ipAddress", host.v4)?.set("primarySecondary", 1u8)?.set("lastSeen", moment.second)?;
    profile.set("clientFingerprints", vec![fingerprint])?.set("macAddresses", vec![mac])?;
    profile.set("netbiosName", host.netbios.as_str())?;
    let mut event = event(10, world, host, moment, (NEW, 1))?;
    event.set("hostProfile", profile)?;
    out.refers.extend_from_slice(&world.devices[host.device].refers);
    out.refers.push(system.meta);
    out.push_event(&event);
    Ok(())
}

fn new_client(world: &World, moment: Moment, dice: &mut Dice, out: &mut Generated) -> Result<(), SimulatorError> {
    let host = dice.pick(&world.workstations);
    let browser = dice.below(names::AGENTS.len() as u32) as usize;
    let (client, server) = (&world.browsers[browser], &world.applications(Service::Https).server);
    let site = dice.pick(&world.websites);
    let mut web = block(123)?;
    web.set("applicationId", site.application.id)?;
    let mut application = block(122)?;
    application.set("hits", 1u32)?.set("lastUsed", moment.second)?.set("id", client.id)?;
    application.set("applicationProto", server.id)?.set("version", names::AGENTS[browser].2)?;
    application.set("webApplication", vec![web])?;
    let mut event = event(15, world, host, moment, (NEW, 7))?;
    event.set("client", application)?;
    out.refers.extend_from_slice(&world.devices[host.device].refers);
    out.refers.extend([client.meta, server.meta, site.application.meta]);
    out.push_event(&event);
    Ok(())
}

fn new_server(world: &World, moment: Moment, dice: &mut Dice, out: &mut Generated) -> Result<(), SimulatorError> {
    let host = dice.pick(&world.servers);
    let (service, vendor, version) = match host.role {
        Role::Resolver => (Service::Dns, "ISC", "9.18.24"),
        Role::Directory => (Service::Ldap, "Microsoft", "10.0.20348"),
        Role::Files => (Service::Smb, "Microsoft", "10.0.20348"),
        Role::Mail => (Service::Smtp, "Postfix", "3.8.6"),
        Role::Web => (Service::Http, "nginx", "1.24.0"),
        Role::Database => (Service::Postgres, "PostgreSQL", "16.3"),
        Role::Shell | Role::Workstation => (Service::Ssh, "OpenSSH", "9.6p1"),
    };
    let (known, server) = (&names::SERVICES[service as usize], &world.applications(service).server);
    let mut information = block(117)?;
    information.set("applicationId", server.id)?.set("vendor", vendor)?.set("version", version)?;
    information.set("lastUsed", moment.second)?;
    let mut found = block(103)?;
    found.set("port", known.port)?.set("hits", dice.range(1, 20))?.set("lastUsed", moment.second)?;
    found.set("serverInformation", vec![information])?.set("confidence", 100u32)?;
    let udp = known.protocol == UDP;
    let mut event = event(if udp { 12 } else { 11 }, world, host, moment, (NEW, if udp { 6 } else { 2 }))?;
    event.set("hostServer", found)?;
    out.refers.extend_from_slice(&world.devices[host.device].refers);
    out.refers.push(server.meta);
    out.push_event(&event);
    Ok(())
}

/// An event with its discovery event header; `kind` is event type and subtype.
fn event(record: u16, world: &World, host: &Host, moment: Moment, kind: (u32, u32)) -> Result<Event, SimulatorError> {
    let mut event = Event::new(record)?;
    if let Some(header) = event.discovery_mut() {
        header.set("deviceId", world.devices[host.device].id)?.set("macAddress", host.mac)?.set("hasIpv6", 1u8)?;
        header.set("eventSecond", moment.second)?.set("eventMicrosecond", moment.microsecond)?;
        header.set("eventType", kind.0)?.set("eventSubtype", kind.1)?.set("ipv6Address", host.v4)?;
    }
    Ok(event)
}

/// An empty block of series 1.
fn block(number: u32) -> Result<Block, SimulatorError> {
    layout::block(1, number).map(Block::new).ok_or(SimulatorError::UnknownBlock(number))
}
