//! What happens in a step: somebody talks to somebody. All records of the step tell of the same [`Flow`].

use super::catalog::Named;
use super::dice::Dice;
use super::names::{self, Service};
use super::policy::{AccessRule, BLOCK, DMZ, Device, INSIDE, OUTSIDE, Policy, Purpose, Reason, SERVERS};
use super::rules::Scene;
use super::world::{Host, Role, Stranger, User, Website, World};

/// Snort instances of a device.
const INSTANCES: u64 = 8;

/// One end of a flow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer<'w> {
    pub(crate) address: [u8; 16],
    pub(crate) mac: [u8; 6],
    /// Country, for addresses outside.
    pub(crate) country: Option<&'w Named>,
    /// The host, when it is one of the company.
    pub(crate) host: Option<&'w Host>,
}

/// A connection and what was seen in it.
#[derive(Debug)]
pub(crate) struct Flow<'w> {
    pub(crate) device: &'w Device,
    pub(crate) policy: &'w Policy,
    /// Interfaces of the device.
    pub(crate) ingress: usize,
    pub(crate) egress: usize,
    pub(crate) service: Service,
    pub(crate) initiator: Peer<'w>,
    pub(crate) responder: Peer<'w>,
    /// Ports; for ICMP type and code.
    pub(crate) initiator_port: u16,
    pub(crate) responder_port: u16,
    /// Seconds of the first and last packet.
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// Instance and counter tell a device's connections apart.
    pub(crate) instance: u16,
    pub(crate) counter: u16,
    pub(crate) rule: &'w AccessRule,
    /// Index into the actions; not that of the rule when something in the flow was blocked.
    pub(crate) action: usize,
    pub(crate) reason: Option<&'w Named>,
    pub(crate) website: Option<&'w Website>,
    /// Index of the security intelligence list that knows it.
    pub(crate) listed: Option<usize>,
    /// The host that is asked, or the name that is resolved.
    pub(crate) asked: &'w str,
    pub(crate) path: &'w str,
    /// Index into [`names::AGENTS`].
    pub(crate) browser: usize,
    /// What an attacker pretends to be instead of a browser.
    pub(crate) pretence: Option<&'static str>,
    /// Whom a proxy says it asks for.
    pub(crate) original: Option<&'w Stranger>,
    pub(crate) files: u16,
    pub(crate) intrusions: u16,
}

impl<'w> Flow<'w> {
    /// Whose workstation began it.
    pub(crate) fn user(&self, world: &'w World) -> Option<&'w User> {
        self.initiator.host.and_then(|host| world.users.get(host.user?))
    }

    /// IP protocol.
    pub(crate) fn protocol(&self) -> u8 {
        names::SERVICES[self.service as usize].protocol
    }

    /// Whether it was not let through.
    pub(crate) fn blocked(&self) -> bool {
        self.action >= BLOCK
    }

    /// Whether HTTP is spoken in the clear.
    pub(crate) fn http(&self) -> bool {
        self.service == Service::Http
    }

    /// The user agent header.
    pub(crate) fn agent(&self) -> &'static str {
        self.pretence.unwrap_or(names::AGENTS[self.browser].0)
    }

    /// Catalog index and number of the client application.
    pub(crate) fn client(&self, world: &'w World) -> &'w Named {
        match self.service {
            Service::Http | Service::Https if self.pretence.is_none() => &world.browsers[self.browser],
            service => &world.applications(service).client,
        }
    }

    /// Country numbers of both ends, 0 inside the company.
    pub(crate) fn countries(&self) -> (u32, u32) {
        let code = |peer: &Peer| peer.country.map_or(0, |c| c.id);
        (code(&self.initiator), code(&self.responder))
    }

    /// Adds what every record about the flow refers to.
    pub(crate) fn refer(&self, world: &World, refers: &mut Vec<u32>) {
        refers.extend_from_slice(&self.device.refers);
        let applications = world.applications(self.service);
        refers.extend([self.rule.meta, world.terms.actions[self.action].meta, applications.server.meta]);
        refers.push(self.client(world).meta);
        refers.extend(self.reason.map(|r| r.meta));
        refers.extend(self.initiator.country.map(|c| c.meta));
        refers.extend(self.responder.country.map(|c| c.meta));
        if let Some(site) = self.website {
            refers.push(site.application.meta);
        }
        if let Some(original) = self.original {
            refers.push(world.countries[original.country].meta);
        }
        if let Some(user) = self.user(world) {
            refers.extend([user.meta, user.group.meta]);
        }
    }
}

/// Draws the flow of a step.
pub(crate) struct Scribe<'w, 'd> {
    pub(crate) world: &'w World,
    pub(crate) dice: &'d mut Dice,
    pub(crate) step: u64,
    pub(crate) now: u32,
}

impl<'w> Scribe<'w, '_> {
    /// Everyday traffic.
    pub(crate) fn everyday(&mut self) -> Flow<'w> {
        match self.dice.below(100) {
            0..36 => self.browse(Service::Https),
            36..45 => self.browse(Service::Http),
            45..50 => self.browse(Service::Quic),
            50..69 => self.resolve(),
            69..73 => self.inside(Service::Smb, Role::Files, Purpose::Internal),
            73..77 => self.inside(Service::Ldap, Role::Directory, Purpose::Internal),
            77..79 => self.inside(Service::Kerberos, Role::Directory, Purpose::Internal),
            79..82 => self.inside(Service::Ntp, Role::Directory, Purpose::Internal),
            82..84 => self.inside(Service::Smtp, Role::Mail, Purpose::Mail),
            84..86 => self.inside(Service::Postgres, Role::Database, Purpose::Internal),
            86 => self.inside(Service::Ssh, Role::Shell, Purpose::Management),
            87 => self.inside(Service::Rdp, Role::Shell, Purpose::Management),
            88..91 => self.inside(Service::Icmp, Role::Resolver, Purpose::Internal),
            91..95 => {
                let stranger = self.dice.pick(&self.world.strangers);
                let service = if self.dice.chance(700) { Service::Https } else { Service::Http };
                self.published(stranger, service, Role::Web)
            }
            95 => {
                let stranger = self.dice.pick(&self.world.strangers);
                self.published(stranger, Service::Smtp, Role::Mail)
            }
            _ => self.knock(),
        }
    }

    /// A flow with an attack in it; `attacker` is the one when it comes from outside.
    pub(crate) fn attack(&mut self, scene: Scene, attacker: &'w Stranger) -> Flow<'w> {
        match scene {
            Scene::InboundWeb => self.published(attacker, Service::Http, Role::Web),
            Scene::InboundSsh => self.published(attacker, Service::Ssh, Role::Shell),
            Scene::InboundMail => self.published(attacker, Service::Smtp, Role::Mail),
            Scene::Ping => self.published(attacker, Service::Icmp, Role::Web),
            Scene::Lateral => self.inside(Service::Smb, Role::Files, Purpose::Internal),
            Scene::Dns => {
                let mut flow = self.inside(Service::Dns, Role::Resolver, Purpose::NameService);
                flow.asked = self.dice.pick(&names::BAD_DOMAINS).0;
                flow
            }
            Scene::OutboundWeb => {
                let client = self.dice.pick(&self.world.workstations);
                let responder = self.stranger(attacker);
                // Malware that calls an IPv6 address has one itself.
                let initiator = if attacker.v6 { self.peer(client, true) } else { self.peer(client, false) };
                let device = &self.world.devices[client.device];
                let mut flow =
                    self.flow(device, Service::Http, (initiator, INSIDE), (responder, OUTSIDE), Purpose::Web);
                flow.asked = self.dice.pick(&names::BAD_DOMAINS).0;
                flow
            }
        }
    }

    /// A workstation asks a website.
    pub(crate) fn browse(&mut self, service: Service) -> Flow<'w> {
        let client = self.dice.pick(&self.world.workstations);
        let site = self.dice.pick(&self.world.websites);
        let address = match (client.v6, site.v6) {
            (Some(_), Some(v6)) if self.dice.chance(400) => Some(v6),
            _ => None,
        };
        let initiator = self.peer(client, address.is_some());
        let responder = Peer {
            address: address.unwrap_or(site.v4),
            mac: gateway(client.device),
            country: Some(&self.world.countries[site.country]),
            host: None,
        };
        let device = &self.world.devices[client.device];
        let unwanted = site.reputation.id <= 2 && self.dice.chance(600);
        let purpose = if unwanted { Purpose::Category } else { Purpose::Web };
        let mut flow = self.flow(device, service, (initiator, INSIDE), (responder, OUTSIDE), purpose);
        if unwanted {
            flow.reason = Some(self.world.terms.reason(Reason::UrlBlock));
        }
        flow.website = Some(site);
        flow.asked = site.host;
        flow.path = *self.dice.pick::<&str>(&names::PATHS);
        flow.browser = self.dice.below(names::AGENTS.len() as u32) as usize;
        flow
    }

    /// A name is resolved; bad ones are answered with the sinkhole.
    fn resolve(&mut self) -> Flow<'w> {
        let mut flow = self.inside(Service::Dns, Role::Resolver, Purpose::NameService);
        flow.asked = match self.dice.below(100) {
            0..70 => self.dice.pick(&self.world.websites).host,
            70..98 => &self.dice.pick(&self.world.servers).name,
            _ => {
                let (name, list) = self.dice.pick(&names::BAD_DOMAINS);
                flow.rule = flow.policy.rule(Purpose::Intelligence);
                flow.action = flow.rule.action;
                flow.reason = Some(self.world.terms.reason(Reason::NameBlock));
                flow.listed = Some(*list);
                name
            }
        };
        flow
    }

    /// A workstation uses a server of the company.
    pub(crate) fn inside(&mut self, service: Service, role: Role, purpose: Purpose) -> Flow<'w> {
        let client = self.dice.pick(&self.world.workstations);
        let server = self.server(role);
        let v6 = client.v6.is_some() && self.dice.chance(250);
        let service = if v6 && service == Service::Icmp { Service::Icmpv6 } else { service };
        let (initiator, responder) = (self.peer(client, v6), self.peer(server, v6));
        let device = &self.world.devices[client.device];
        let mut flow = self.flow(device, service, (initiator, INSIDE), (responder, SERVERS), purpose);
        flow.asked = &server.name;
        flow
    }

    /// A stranger uses a published server of the company.
    fn published(&mut self, stranger: &'w Stranger, service: Service, role: Role) -> Flow<'w> {
        let server = self.server(role);
        let service = if stranger.v6 && service == Service::Icmp { Service::Icmpv6 } else { service };
        let (initiator, responder) = (self.stranger(stranger), self.peer(server, stranger.v6));
        let device = &self.world.devices[server.device];
        let mut flow = self.flow(device, service, (initiator, OUTSIDE), (responder, DMZ), Purpose::Published);
        flow.asked = &server.name;
        flow.path = *self.dice.pick::<&str>(&names::PATHS);
        flow.browser = self.dice.below(names::AGENTS.len() as u32) as usize;
        flow
    }

    /// A stranger tries a port that is closed to strangers.
    fn knock(&mut self) -> Flow<'w> {
        let stranger = self.dice.pick(&self.world.strangers);
        let service = *self.dice.pick(&[Service::Telnet, Service::Rdp, Service::Smb, Service::Postgres, Service::Ssh]);
        let mut flow = self.published(stranger, service, Role::Web);
        let known = self.dice.chance(400);
        flow.rule = flow.policy.rule(if known { Purpose::Intelligence } else { Purpose::Default });
        flow.action = flow.rule.action;
        if known {
            flow.reason = Some(self.world.terms.reason(Reason::IpBlock));
            flow.listed = Some(names::INTELLIGENCE.len() - 1);
        }
        flow
    }

    fn server(&mut self, role: Role) -> &'w Host {
        // There are few servers: the search from a random place is short.
        let servers = &self.world.servers;
        let start = self.dice.below(servers.len() as u32) as usize;
        let found = servers.iter().cycle().skip(start).take(servers.len()).find(|s| s.role == role);
        found.unwrap_or(&servers[start])
    }

    fn peer(&self, host: &'w Host, v6: bool) -> Peer<'w> {
        let address = host.v6.filter(|_| v6).unwrap_or(host.v4);
        Peer { address, mac: host.mac, country: None, host: Some(host) }
    }

    fn stranger(&self, stranger: &'w Stranger) -> Peer<'w> {
        let country = Some(&self.world.countries[stranger.country]);
        Peer { address: stranger.address, mac: gateway(0), country, host: None }
    }

    fn flow(
        &mut self,
        device: &'w Device,
        service: Service,
        (initiator, ingress): (Peer<'w>, usize),
        (responder, egress): (Peer<'w>, usize),
        purpose: Purpose,
    ) -> Flow<'w> {
        let policy = &self.world.policies[device.policy];
        let rule = policy.rule(purpose);
        let port = names::SERVICES[service as usize].port;
        let (initiator_port, responder_port) = match service {
            Service::Icmp | Service::Icmpv6 => (port, 0),
            _ => (self.dice.range(49_152, 65_535) as u16, port),
        };
        let last = self.now.saturating_sub(self.dice.below(2));
        let duration = match service {
            Service::Dns | Service::Ntp | Service::Icmp | Service::Icmpv6 => 0,
            Service::Https | Service::Quic => self.dice.below(120),
            Service::Ssh | Service::Rdp | Service::Smb => self.dice.below(1800),
            _ => self.dice.below(20),
        };
        let duration = if rule.action >= BLOCK { 0 } else { duration };
        Flow {
            device,
            policy,
            ingress,
            egress,
            service,
            initiator,
            responder,
            initiator_port,
            responder_port,
            first: last.saturating_sub(duration),
            last,
            // Half a million steps pass before a pair comes again.
            instance: (self.step % INSTANCES) as u16 + 1,
            counter: (self.step / INSTANCES) as u16,
            rule,
            action: rule.action,
            reason: None,
            website: None,
            listed: None,
            asked: "",
            path: "/",
            browser: 0,
            pretence: None,
            original: None,
            files: 0,
            intrusions: 0,
        }
    }
}

/// MAC address of the router beyond a device's outside interface.
fn gateway(device: usize) -> [u8; 6] {
    [0x02, 0x00, 0x5e, 0x00, 0x00, device as u8 + 1]
}
