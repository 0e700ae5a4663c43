//! From facts to changes of hosts, and from changes to discovery events.

use std::collections::HashSet;

use wire::event::{Value, address};

use crate::Result;
use crate::frames::Frames;
use crate::hints::{self, On, Os};
use crate::host::{Address, Client, Host, MOST_ADDRESSES, MOST_PARTS, Mac, Protocol, Server, System, User, clip};
use crate::memory::Memory;
use crate::outbox::{CHANGE, NEW, Outbox, Told};
use crate::policy::{AtLimit, Policy};
use crate::profile;

/// Addresses that were dropped at the limit and are not told of again.
const MOST_DROPPED: usize = 10_000;

/// EtherTypes.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// The hosts of a netmap, what is to become of them, and the events this makes.
#[derive(Debug)]
pub(crate) struct Learner {
    pub(crate) memory: Memory,
    pub(crate) policy: Policy,
    pub(crate) out: Outbox,
    /// What metadata calls things, to be written.
    pub(crate) names: Vec<Name>,
    pub(crate) frames: Frames,
    dropped: HashSet<[u8; 16]>,
}

/// What a metadata record calls something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) record: u16,
    pub(crate) id: Vec<u8>,
    pub(crate) name: String,
    pub(crate) vendor: String,
    pub(crate) version: String,
}

impl Name {
    pub(crate) fn new(record: u16, id: &[u8], name: &str, vendor: &str, version: &str) -> Name {
        let text = |text: &str| clip(text).to_owned();
        Name { record, id: id.to_vec(), name: text(name), vendor: text(vendor), version: text(version) }
    }
}

/// Where in the network something was seen, and whether that makes a host of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It sent packets: it is there.
    Sent,
    /// Something was sent to it; it may not be there.
    Named,
    /// Others have it in their map, in whatever network it is.
    Mapped,
}

impl Learner {
    pub(crate) fn new(memory: Memory, policy: Policy, frames: Frames) -> Learner {
        let out = Outbox::new(memory.netmap);
        Learner { memory, policy, out, names: Vec::new(), frames, dropped: HashSet::new() }
    }

    /// The host with an address, made if need be. `true` when it is new: [`announce`](Self::announce) it when what is known
    /// of it is known.
    pub(crate) fn host(&mut self, at: [u8; 16], seen: Seen, told: Told) -> Result<Option<(i64, bool)>> {
        if let Some(id) = self.memory.find(&at)? {
            if seen != Seen::Named
                && let Some(host) = self.memory.change(id)?
            {
                host.seen(at, told);
            }
            return Ok(Some((id, false)));
        }
        let wanted = match seen {
            Seen::Sent => self.policy.monitored.contains(&at),
            Seen::Named => false,
            Seen::Mapped => true,
        };
        if !wanted || !is_host(&at) || !self.room(at, told)? {
            return Ok(None);
        }
        let id = self.memory.create(at, told.second);
        if let Some(host) = self.memory.change(id)? {
            host.seen(at, told);
        }
        Ok(Some((id, true)))
    }

    /// Whether there is room for one more host. It is made, if that is the policy.
    fn room(&mut self, at: [u8; 16], told: Told) -> Result<bool> {
        if self.memory.count < u64::from(self.policy.host_limit) {
            return Ok(true);
        }
        if self.policy.at_limit == AtLimit::Replace
            && let Some(id) = self.memory.oldest()?
        {
            self.forget(id, (21, 19), told)?;
            return Ok(true);
        }
        if self.dropped.len() < MOST_DROPPED && self.dropped.insert(at) {
            self.out.tell(44, (CHANGE, 23), (&Host::default(), at), told, &[])?;
        }
        Ok(false)
    }

    /// Removes a host and tells why: record type and subtype.
    fn forget(&mut self, id: i64, (record, subtype): (u16, u32), told: Told) -> Result<()> {
        if let Some(host) = self.memory.host(id)? {
            let told = Told { device: host.device, quiet: told.quiet || host.quiet, ..told };
            self.out.tell(record, (CHANGE, subtype), (host, host.address()), told, &[])?;
        }
        self.memory.remove(id)
    }

    /// Tells that a host is new, and its MAC address where frames have shown it already.
    pub(crate) fn announce(&mut self, id: i64, told: Told) -> Result<()> {
        let Some(host) = self.memory.host(id)? else { return Ok(()) };
        let at = host.address();
        let make = |block: &mut wire::event::Block| *block = profile::brief(host, block.layout());
        self.out.tell_block(10, (NEW, 1, 139), (host, at), told, ("hostProfile", &make))?;
        match self.frames.take(&at) {
            Some(mac) => self.mac(id, at, mac, 0, false, told),
            None => Ok(()),
        }
    }

    /// Network and transport protocol. Of a host that was just made they are told with it.
    pub(crate) fn protocols(&mut self, id: i64, at: [u8; 16], transport: u8, fresh: bool, told: Told) -> Result<()> {
        let network = if address(&at).is_ipv4() { IPV4 } else { IPV6 };
        let Some(host) = self.memory.change(id)? else { return Ok(()) };
        if host.speaks(false, network) && !fresh {
            self.out.tell(13, (NEW, 3), (host, at), told, &[("networkProtocol", network.into())])?;
        }
        if transport != 0 && host.speaks(true, transport.into()) && !fresh {
            self.out.tell(14, (NEW, 4), (host, at), told, &[("transportProtocol", transport.into())])?;
        }
        Ok(())
    }

    /// NetBIOS name.
    pub(crate) fn netbios(&mut self, id: i64, at: [u8; 16], name: &str, fresh: bool, told: Told) -> Result<()> {
        let name = clip(name);
        let Some(host) = self.memory.change(id)? else { return Ok(()) };
        if name.is_empty() || host.netbios == name {
            return Ok(());
        }
        (host.netbios, host.dirty) = (name.to_owned(), true);
        if !fresh {
            let make = |block: &mut wire::event::Block| profile::fill(block, "value", name);
            self.whole(42, (21, 35), id, at, told, &make)?;
        }
        Ok(())
    }

    /// VLAN.
    pub(crate) fn vlan(&mut self, id: i64, at: [u8; 16], vlan: u16, fresh: bool, told: Told) -> Result<()> {
        let Some(host) = self.memory.change(id)? else { return Ok(()) };
        if vlan == 0 || host.vlan == vlan {
            return Ok(());
        }
        (host.vlan, host.dirty) = (vlan, true);
        if !fresh {
            let make = |block: &mut wire::event::Block| profile::fill(block, "id", vlan);
            self.whole(34, (18, 14), id, at, told, &make)?;
        }
        Ok(())
    }

    /// An event all of whose body is a block.
    fn whole(
        &mut self,
        record: u16,
        (subtype, number): (u32, u32),
        id: i64,
        at: [u8; 16],
        told: Told,
        make: &dyn Fn(&mut wire::event::Block),
    ) -> Result<()> {
        let Some(host) = self.memory.host(id)? else { return Ok(()) };
        let mut block = profile::block(number)?;
        make(&mut block);
        let fields: Vec<(&str, Value)> =
            block.layout().fields.iter().enumerate().map(|(i, f)| (f.name, block.value(i).clone())).collect();
        self.out.tell(record, (CHANGE, subtype), (host, at), told, &fields)
    }

    /// A server was used, or says something of itself.
    pub(crate) fn server(&mut self, id: i64, at: [u8; 16], found: &Server, told: Told) -> Result<()> {
        let Some(host) = self.memory.change(id)? else { return Ok(()) };
        let known = host.servers.binary_search_by_key(&(found.protocol, found.port), |s| (s.protocol, s.port));
        let udp = found.protocol == 17;
        let (index, record) = match known {
            Ok(index) => {
                let Some(server) = host.servers.get_mut(index) else { return Ok(()) };
                let updated = server.learn(found);
                server.heard = told.heard;
                server.last_seen = server.last_seen.max(told.second);
                server.hits = server.hits.saturating_add(found.hits);
                server.dirty = true;
                (index, updated.then_some(if udp { (17, CHANGE, 10) } else { (16, CHANGE, 6) }))
            }
            Err(_) if host.servers.len() >= MOST_PARTS => return Ok(()),
            Err(index) => {
                let new = Server {
                    first_seen: told.second,
                    last_seen: told.second,
                    heard: told.heard,
                    dirty: true,
                    ..found.clone()
                };
                host.servers.insert(index, new);
                (index, Some(if udp { (12, NEW, 6) } else { (11, NEW, 2) }))
            }
        };
        if let (Some((record, kind, subtype)), Some(host)) = (record, self.memory.host(id)?)
            && let Some(server) = host.servers.get(index)
        {
            let make = |block: &mut wire::event::Block| profile::server(block, server);
            self.out.tell_block(record, (kind, subtype, 103), (host, at), told, ("hostServer", &make))?;
        }
        Ok(())
    }

    /// A client application was used.
    pub(crate) fn client(&mut self, id: i64, at: [u8; 16], found: &Client, told: Told) -> Result<()> {
        let Some(host) = self.memory.change(id)? else { return Ok(()) };
        let known = host.clients.binary_search_by_key(&found.application, |c| c.application);
        let (index, record) = match known {
            Ok(index) => {
                let Some(client) = host.clients.get_mut(index) else { return Ok(()) };
                let updated = client.learn(found);
                client.heard = told.heard;
                client.last_seen = client.last_seen.max(told.second);
                client.hits = client.hits.saturating_add(found.hits);
                client.dirty = true;
                (index, updated.then_some((107, CHANGE, 32)))
            }
            Err(_) if host.clients.len() >= MOST_PARTS => return Ok(()),
            Err(index) => {
                let new = Client {
                    first_seen: told.second,
                    last_seen: told.second,
                    heard: told.heard,
                    dirty: true,
                    ..found.clone()
                };
                host.clients.insert(index, new);
                (index, Some((15, NEW, 7)))
            }
        };
        if let (Some((record, kind, subtype)), Some(host)) = (record, self.memory.host(id)?)
            && let Some(client) = host.clients.get(index)
        {
            let make = |block: &mut wire::event::Block| profile::client(block, client);
            self.out.tell_block(record, (kind, subtype, 122), (host, at), told, ("client", &make))?;
        }
        Ok(())
    }

    /// A text that may tell the operating system.
    pub(crate) fn hint(&mut self, id: i64, at: [u8; 16], on: On, text: &str, told: Told) -> Result<()> {
        match hints::os(on, text) {
            Some(Os { vendor, name, version, uuid }) => {
                if self.system(id, at, on.evidence(), *uuid, told)? {
                    self.names.push(Name::new(54, uuid, name, vendor, version));
                    if !told.quiet {
                        self.out.fingerprint(*uuid, (name, vendor, version))?;
                    }
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A fingerprint of an operating system; whether it is new.
    pub(crate) fn system(
        &mut self,
        id: i64,
        at: [u8; 16],
        source: crate::host::Evidence,
        fingerprint: [u8; 16],
        told: Told,
    ) -> Result<bool> {
        let Some(host) = self.memory.change(id)? else { return Ok(false) };
        let system = System { source, fingerprint, last_seen: told.second, dirty: true };
        let known = host.systems.iter_mut().find(|system| system.source == source);
        let new = match known {
            Some(known) if known.fingerprint == fingerprint => {
                known.dirty |= known.last_seen < told.second;
                known.last_seen = known.last_seen.max(told.second);
                false
            }
            Some(known) => {
                *known = system.clone();
                true
            }
            None => {
                let index = host.systems.partition_point(|known| known.source < source);
                host.systems.insert(index, system.clone());
                true
            }
        };
        if new && let Some(host) = self.memory.host(id)? {
            let make = |block: &mut wire::event::Block| profile::fingerprint(block, &system);
            self.out.tell_block(101, (NEW, 8, 130), (host, at), told, ("osfingerprint", &make))?;
        }
        Ok(new)
    }

    /// A user was seen on a host. Logins are events of their own, made by who saw them.
    pub(crate) fn user(&mut self, id: i64, user: u32, name: &str, told: Told) -> Result<()> {
        let Some(host) = self.memory.change(id)? else { return Ok(()) };
        let name = clip(name);
        match host.users.binary_search_by_key(&user, |u| u.id) {
            Ok(index) => {
                if let Some(known) = host.users.get_mut(index) {
                    known.last_seen = known.last_seen.max(told.second);
                    if !name.is_empty() {
                        name.clone_into(&mut known.name);
                    }
                    known.dirty = true;
                }
            }
            Err(index) if host.users.len() < MOST_PARTS => host.users.insert(
                index,
                User { id: user, name: name.to_owned(), first_seen: told.second, last_seen: told.second, dirty: true },
            ),
            Err(_) => {}
        }
        Ok(())
    }

    /// A MAC address of a host: confirmed, or of the frames of its packets.
    pub(crate) fn mac(&mut self, id: i64, at: [u8; 16], mac: [u8; 6], ttl: u8, sure: bool, told: Told) -> Result<()> {
        if mac == [0; 6] || mac.first().is_none_or(|first| first & 1 == 1) {
            return Ok(());
        }
        if !sure {
            // Frames of several hosts with one address come from a router, whose address is none of theirs.
            if self.frames.is_router(&mac) {
                return Ok(());
            }
            let others: Vec<_> = self.memory.by_mac(&mac)?.into_iter().filter(|(other, _)| *other != id).collect();
            if !others.is_empty() {
                for (other, _) in others.into_iter().filter(|(_, primary)| !primary) {
                    self.frames.add_router(mac);
                    self.drop_mac(other, mac)?;
                }
                return Ok(());
            }
        }
        let Some(host) = self.memory.change(id)? else { return Ok(()) };
        let changed = sure && host.macs.iter().any(|m| m.primary && m.mac != mac);
        let more = host.macs.len() < MOST_ADDRESSES;
        let record = match host.macs.iter_mut().find(|m| m.mac == mac) {
            Some(known) => {
                let confirmed = sure && !known.primary;
                known.primary |= sure;
                known.last_seen = known.last_seen.max(told.second);
                known.dirty = true;
                confirmed.then_some((27, 13))
            }
            None if more => {
                let new = Mac { mac, ttl, primary: sure, last_seen: told.second, dirty: true };
                host.macs.push(new);
                host.macs.sort_by_key(|m| m.mac);
                Some(if changed { (27, 13) } else { (28, 14) })
            }
            None => None,
        };
        if changed {
            // A network card has one address; the one confirmed last is it.
            let old = host.macs.iter_mut().filter(|m| m.primary && m.mac != mac);
            old.for_each(|m| (m.primary, m.dirty) = (false, true));
        }
        if let (Some((record, subtype)), Some(host)) = (record, self.memory.host(id)?)
            && let Some(known) = host.macs.iter().find(|m| m.mac == mac)
        {
            let make = |block: &mut wire::event::Block| profile::mac(block, known);
            self.out.tell_block(record, (CHANGE, subtype, 95), (host, at), told, ("mac", &make))?;
        }
        Ok(())
    }

    pub(crate) fn drop_mac(&mut self, id: i64, mac: [u8; 6]) -> Result<()> {
        if let Some(host) = self.memory.change(id)? {
            host.macs.retain(|m| m.mac != mac);
            host.gone.push(crate::host::Gone::Mac(mac));
        }
        Ok(())
    }

    /// A DHCP server gave an address to whoever has a MAC address; gives the host.
    pub(crate) fn lease(&mut self, at: [u8; 16], mac: [u8; 6], told: Told) -> Result<Option<(i64, bool)>> {
        let owner = self.memory.by_mac(&mac)?.into_iter().find(|(_, primary)| *primary).map(|(id, _)| id);
        let holder = self.memory.find(&at)?;
        let Some(owner) = owner.filter(|owner| Some(*owner) != holder) else {
            return self.host(at, Seen::Sent, told);
        };
        if !self.policy.monitored.contains(&at) {
            return Ok(None);
        }
        if let Some(holder) = holder {
            // The address was another host's.
            if let Some(host) = self.memory.host(holder)? {
                self.out.tell(20, (CHANGE, 3), (host, at), told, &[])?;
            }
            self.take_address(holder, at)?;
        }
        // A host has one leased address: the one before is the first of its IPv4 addresses.
        let v4 = address(&at).is_ipv4();
        let old = self
            .memory
            .host(owner)?
            .and_then(|host| host.addresses.iter().map(|a| a.address).find(|a| address(a).is_ipv4() == v4));
        if let (Some(old), Some(host)) = (old, self.memory.host(owner)?) {
            self.out.tell(29, (CHANGE, 1), (host, old), told, &[("ipAddress", at.into())])?;
        }
        if let Some(host) = self.memory.change(owner)? {
            host.addresses.retain(|a| Some(a.address) != old);
            host.gone.extend(old.map(crate::host::Gone::Address));
            host.addresses.insert(0, Address { address: at, last_seen: told.second, dirty: true });
            host.addresses.iter_mut().for_each(|a| a.dirty = true);
            host.seen(at, told);
        }
        if let Some(old) = old {
            self.memory.assign(old, None);
        }
        self.memory.assign(at, Some(owner));
        Ok(Some((owner, false)))
    }

    /// Takes an address from a host; one without addresses is no host any more.
    fn take_address(&mut self, id: i64, at: [u8; 16]) -> Result<()> {
        let Some(host) = self.memory.change(id)? else { return Ok(()) };
        host.addresses.retain(|a| a.address != at);
        host.addresses.iter_mut().for_each(|a| a.dirty = true);
        host.gone.push(crate::host::Gone::Address(at));
        let empty = host.addresses.is_empty();
        self.memory.assign(at, None);
        if empty {
            self.memory.remove(id)?;
        }
        Ok(())
    }

    /// Another address of a host, which others told of.
    pub(crate) fn also(&mut self, id: i64, at: [u8; 16], told: Told) -> Result<()> {
        if self.memory.find(&at)?.is_some() {
            return Ok(());
        }
        let Some(host) = self.memory.change(id)? else { return Ok(()) };
        if host.addresses.len() < MOST_ADDRESSES {
            host.addresses.push(Address { address: at, last_seen: told.second, dirty: true });
            self.memory.assign(at, Some(id));
        }
        Ok(())
    }

    /// An address a host no longer has.
    pub(crate) fn leave(&mut self, id: i64, at: [u8; 16]) -> Result<()> {
        self.take_address(id, at)
    }

    /// Changes what stands in the row of a host.
    pub(crate) fn set(&mut self, id: i64, change: impl FnOnce(&mut Host)) -> Result<()> {
        if let Some(host) = self.memory.change(id)? {
            change(host);
            host.dirty = true;
        }
        Ok(())
    }

    /// The name a host calls itself by.
    pub(crate) fn name(&mut self, id: i64, name: &str) -> Result<()> {
        let name = clip(name);
        if name.is_empty() { Ok(()) } else { self.set(id, |host| name.clone_into(&mut host.name)) }
    }

    /// A protocol others told of.
    pub(crate) fn protocol(&mut self, id: i64, transport: bool, number: u32) -> Result<()> {
        if let (Some(host), Ok(number)) = (self.memory.change(id)?, u16::try_from(number)) {
            host.speaks(transport, number);
        }
        Ok(())
    }

    /// Others tell that a server is gone.
    pub(crate) fn close(&mut self, id: i64, protocol: u8, port: u16) -> Result<()> {
        if let Some(host) = self.memory.change(id)? {
            host.servers.retain(|s| (s.protocol, s.port) != (protocol, port));
            host.gone.push(crate::host::Gone::Server(protocol, port));
        }
        Ok(())
    }

    /// Others tell that a client application is gone.
    pub(crate) fn close_client(&mut self, id: i64, application: u32) -> Result<()> {
        if let Some(host) = self.memory.change(id)? {
            host.clients.retain(|c| c.application != application);
            host.gone.push(crate::host::Gone::Client(application));
        }
        Ok(())
    }

    /// Forgets what was not seen for too long. Everything must be written. Gives whether there may be more.
    pub(crate) fn expire(&mut self, told: Told) -> Result<bool> {
        let before = told.heard.saturating_sub(self.policy.timeout);
        let silent = self.memory.silent(before)?;
        for id in &silent {
            self.forget(*id, (19, 7), told)?;
        }
        let stale = self.memory.stale(before)?;
        for id in &stale {
            let Some(host) = self.memory.change(*id)? else { continue };
            let (servers, clients) = host.expire(before);
            let Some(host) = self.memory.host(*id)? else { continue };
            let (at, told) = (host.address(), Told { device: host.device, quiet: told.quiet || host.quiet, ..told });
            for (protocol, port) in servers {
                let (record, subtype) = if protocol == 17 { (26, 12) } else { (25, 11) };
                self.out.tell(record, (CHANGE, subtype), (host, at), told, &[("port", port.into())])?;
            }
            for gone in clients {
                let make = |block: &mut wire::event::Block| profile::client(block, &gone);
                self.out.tell_block(35, (CHANGE, 20, 122), (host, at), told, ("client", &make))?;
            }
        }
        Ok(silent.len() + stale.len() > 0)
    }
}

impl Host {
    /// It was seen under one of its addresses.
    fn seen(&mut self, at: [u8; 16], told: Told) {
        self.last_seen = self.last_seen.max(told.second);
        self.first_seen = self.first_seen.min(told.second);
        (self.heard, self.device) = (self.heard.max(told.heard), told.device);
        self.quiet &= told.quiet;
        self.dirty = true;
        if let Some(known) = self.addresses.iter_mut().find(|a| a.address == at)
            && known.last_seen < told.second
        {
            (known.last_seen, known.dirty) = (told.second, true);
        }
    }

    /// It speaks a protocol; whether that is new.
    fn speaks(&mut self, transport: bool, number: u16) -> bool {
        let key = (transport, number);
        let Err(index) = self.protocols.binary_search_by_key(&key, |p| (p.transport, p.number)) else { return false };
        if self.protocols.len() >= MOST_PARTS {
            return false;
        }
        self.protocols.insert(index, Protocol { transport, number, dirty: true });
        true
    }

    /// Removes servers and clients that were not told of since a second, and says which.
    fn expire(&mut self, before: u32) -> (Vec<(u8, u16)>, Vec<Client>) {
        let servers: Vec<_> = self.servers.iter().filter(|s| s.heard < before).map(|s| (s.protocol, s.port)).collect();
        let clients: Vec<_> = self.clients.iter().filter(|c| c.heard < before).cloned().collect();
        self.servers.retain(|s| s.heard >= before);
        self.clients.retain(|c| c.heard >= before);
        self.gone.extend(servers.iter().map(|(protocol, port)| crate::host::Gone::Server(*protocol, *port)));
        self.gone.extend(clients.iter().map(|c| crate::host::Gone::Client(c.application)));
        (servers, clients)
    }
}

impl Server {
    /// Takes what another look at the server told; whether that is something else than before.
    fn learn(&mut self, found: &Server) -> bool {
        let before = (self.application, self.vendor.clone(), self.version.clone());
        if found.application != 0 {
            self.application = found.application;
        }
        if found.web != 0 {
            self.web = found.web;
        }
        if !found.vendor.is_empty() || !found.version.is_empty() {
            (self.vendor, self.version) = (found.vendor.clone(), found.version.clone());
        }
        if !found.banner.is_empty() {
            found.banner.clone_into(&mut self.banner);
        }
        before != (self.application, self.vendor.clone(), self.version.clone())
    }
}

impl Client {
    /// Takes what another look at the client told; whether it has another version.
    fn learn(&mut self, found: &Client) -> bool {
        if found.protocol != 0 {
            self.protocol = found.protocol;
        }
        if found.web != 0 {
            self.web = found.web;
        }
        let new = !found.version.is_empty() && found.version != self.version;
        if new {
            found.version.clone_into(&mut self.version);
        }
        new
    }
}

/// Whether an address can be a host's: not unspecified, multicast, loopback or broadcast.
pub(crate) fn is_host(at: &[u8; 16]) -> bool {
    match address(at) {
        std::net::IpAddr::V4(v4) => {
            !(v4.is_unspecified() || v4.is_multicast() || v4.is_loopback() || v4.is_broadcast())
        }
        std::net::IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_multicast() || v6.is_loopback()),
    }
}
