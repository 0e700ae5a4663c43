//! The company and what is around it, built from the seed: devices with their policies, hosts, people, websites,
//! strangers.

use super::SimulatorError;
use super::catalog::{Catalog, Named};
use super::dice::Dice;
use super::names::{self, Service};
use super::policy::{Device, Policy, Terms};
use super::rules::{self, IntrusionRule};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire::event::sixteen;

/// Purpose of the dice that build the world.
const PURPOSE: u64 = 0x776f_726c;

/// Workstations of a site.
const WORKSTATIONS: usize = 60;

/// Strangers outside.
const STRANGERS: usize = 400;

/// Files that travel.
const FILES: usize = 160;

/// A host of the company.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) v4: [u8; 16],
    pub(crate) v6: Option<[u8; 16]>,
    pub(crate) mac: [u8; 6],
    /// Index of the device that guards it.
    pub(crate) device: usize,
    pub(crate) role: Role,
    /// Index of whom it belongs to; servers belong to nobody.
    pub(crate) user: Option<usize>,
    /// Index into [`World::systems`].
    pub(crate) system: usize,
    /// Full host name.
    pub(crate) name: String,
    pub(crate) netbios: String,
    /// Identifier of the endpoint agent.
    pub(crate) agent: [u8; 16],
}

/// What a host is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Workstation,
    Resolver,
    Directory,
    Files,
    Mail,
    Web,
    Database,
    Shell,
}

/// Somebody who works there.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) id: u32,
    pub(crate) username: String,
    pub(crate) first: &'static str,
    pub(crate) last: &'static str,
    pub(crate) email: String,
    pub(crate) department: &'static str,
    pub(crate) phone: String,
    /// Catalog index of record 98, the name of the user id in events.
    pub(crate) meta: u32,
    /// Catalog index of record 62.
    pub(crate) account: u32,
    pub(crate) group: Named,
}

/// A website outside.
#[derive(Debug)]
pub(crate) struct Website {
    pub(crate) host: &'static str,
    pub(crate) v4: [u8; 16],
    pub(crate) v6: Option<[u8; 16]>,
    pub(crate) country: usize,
    pub(crate) application: Named,
    pub(crate) category: Named,
    pub(crate) tls_category: Named,
    pub(crate) reputation: Named,
    pub(crate) fingerprint: [u8; 20],
    /// Index into [`Terms::ciphers`].
    pub(crate) cipher: usize,
}

/// Somebody outside who connects to the company.
#[derive(Debug)]
pub(crate) struct Stranger {
    pub(crate) address: [u8; 16],
    /// The address in writing.
    pub(crate) text: String,
    pub(crate) v6: bool,
    pub(crate) country: usize,
}

/// An application protocol and its client.
#[derive(Debug)]
pub(crate) struct Applications {
    pub(crate) server: Named,
    pub(crate) client: Named,
}

/// An intrusion rule with the records that name it and its classification.
#[derive(Debug)]
pub(crate) struct Signature {
    pub(crate) rule: &'static IntrusionRule,
    pub(crate) meta: u32,
    pub(crate) class: Named,
    pub(crate) priority: Named,
}

/// A file that is sent around.
#[derive(Debug)]
pub(crate) struct FileItem {
    pub(crate) name: String,
    /// Its path on web servers.
    pub(crate) path: String,
    pub(crate) sha: [u8; 32],
    /// The hash in hexadecimal.
    pub(crate) hex: String,
    pub(crate) size: u32,
    /// Record 510, which names the type in file events.
    pub(crate) kind: Named,
    /// Record 131, which names it in endpoint malware events.
    pub(crate) endpoint_kind: Named,
    /// 1 clean, 2 unknown, 3 malware.
    pub(crate) disposition: u8,
    /// Name of the malware; empty when it is none.
    pub(crate) detection: String,
    pub(crate) meta: u32,
}

/// An operating system.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) fingerprint: [u8; 16],
    pub(crate) meta: u32,
}

/// Everything there is.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) terms: Terms,
    pub(crate) policies: Vec<Policy>,
    pub(crate) devices: Vec<Device>,
    pub(crate) workstations: Vec<Host>,
    pub(crate) servers: Vec<Host>,
    pub(crate) systems: Vec<System>,
    pub(crate) users: Vec<User>,
    pub(crate) realm: Named,
    pub(crate) websites: Vec<Website>,
    pub(crate) strangers: Vec<Stranger>,
    pub(crate) countries: Vec<Named>,
    /// In the order of [`Service`].
    applications: Vec<Applications>,
    /// Browsers, in the order of [`names::AGENTS`].
    pub(crate) browsers: Vec<Named>,
    pub(crate) signatures: Vec<Signature>,
    pub(crate) files: Vec<FileItem>,
    /// The files that are malware.
    pub(crate) malware: Vec<usize>,
}

impl World {
    /// Builds the world and the catalog of its metadata.
    pub(crate) fn new(seed: u64, catalog: &mut Catalog) -> Result<World, SimulatorError> {
        let dice = &mut Dice::new(seed, PURPOSE, 0);
        let terms = Terms::new(catalog, dice)?;
        let policies = Policy::all(catalog, dice)?;
        let countries = names::COUNTRIES
            .iter()
            .map(|(code, country)| {
                let values = [("countryCode", (*code).into()), ("country", (*country).into())];
                Ok(Named { id: u32::from(*code), meta: catalog.record(520, values)? })
            })
            .collect::<Result<Vec<_>, SimulatorError>>()?;
        let devices = Device::all(catalog, dice, &policies)?;
        let systems = systems(catalog, dice)?;
        let realm = catalog.named(300, 2, "example.com")?;
        let mut world = World {
            terms,
            policies,
            devices,
            workstations: Vec::new(),
            servers: Vec::new(),
            systems,
            users: Vec::new(),
            realm,
            websites: websites(catalog, dice)?,
            strangers: (0..STRANGERS).map(|_| stranger(dice)).collect(),
            countries,
            applications: applications(catalog)?,
            browsers: Vec::new(),
            signatures: signatures(catalog, dice)?,
            files: files(catalog, dice)?,
            malware: Vec::new(),
        };
        for (i, (_, browser, _)) in names::AGENTS.iter().enumerate() {
            world.browsers.push(catalog.named(55, 2001 + i as u32, browser)?);
        }
        world.malware = (0..world.files.len()).filter(|i| world.files[*i].disposition == 3).collect();
        world.people(catalog, dice)?;
        world.hosts(dice);
        Ok(world)
    }

    /// The application protocol and client of a service.
    pub(crate) fn applications(&self, service: Service) -> &Applications {
        &self.applications[service as usize]
    }

    fn people(&mut self, catalog: &mut Catalog, dice: &mut Dice) -> Result<(), SimulatorError> {
        let groups = names::DEPARTMENTS
            .iter()
            .enumerate()
            .map(|(i, name)| catalog.named(302, 10 + i as u32, name))
            .collect::<Result<Vec<_>, _>>()?;
        let wanted = self.devices.len() * WORKSTATIONS;
        // A stride that has no factor in common with the number of names, so that no name comes twice.
        let all = (names::FIRST_NAMES.len() * names::LAST_NAMES.len()) as u32;
        let start = dice.below(all);
        for i in 0..wanted as u32 {
            let name = (start + i * 7) % all;
            let first = names::FIRST_NAMES[name as usize % names::FIRST_NAMES.len()];
            let last = names::LAST_NAMES[name as usize / names::FIRST_NAMES.len()];
            let username = format!("{}.{}", first.to_lowercase(), last.to_lowercase());
            let department = dice.below(groups.len() as u32) as usize;
            let id = 1001 + i;
            // Who people are was learnt from the directory: application protocol LDAP.
            let values = || [("id", id.into()), ("protocol", 710u32.into()), ("username", username.as_str().into())];
            self.users.push(User {
                id,
                first,
                last,
                email: format!("{username}@example.com"),
                department: names::DEPARTMENTS[department],
                phone: format!("+1 202 555 {:04}", 100 + dice.below(100)),
                meta: catalog.record(98, values())?,
                account: catalog.record(62, values())?,
                group: groups[department],
                username,
            });
        }
        Ok(())
    }

    fn hosts(&mut self, dice: &mut Dice) {
        for (index, device) in self.devices.iter().enumerate() {
            let mut host = |role: Role, number: u32, user: Option<usize>, name: String| {
                let net = match role {
                    Role::Workstation => 10 + (number / 200) as u8,
                    Role::Web | Role::Mail | Role::Shell => 80,
                    _ => 20,
                };
                let place = index as u8 + 1;
                let last = (number % 200 + 10) as u8;
                let v4 =
                    if index == 3 { Ipv4Addr::new(192, 168, net, last) } else { Ipv4Addr::new(10, place, net, last) };
                let v6 = if index % 2 == 0 {
                    Ipv6Addr::new(0x2001, 0xdb8, place.into(), net.into(), 0, 0, 0, last.into())
                } else {
                    Ipv6Addr::new(0xfd00, 0xe57, place.into(), net.into(), 0, 0, 0, last.into())
                };
                let [_, a, b, c, d, e, ..] = dice.octets::<8>();
                let dual = role != Role::Workstation || dice.chance(600);
                Host {
                    v4: sixteen(IpAddr::V4(v4)),
                    v6: dual.then(|| v6.octets()),
                    mac: [0x02, a, b, c, d, e],
                    device: index,
                    role,
                    user,
                    system: match role {
                        Role::Workstation => dice.below(3) as usize,
                        Role::Directory | Role::Files => 3,
                        _ => 4,
                    },
                    netbios: name.split('.').next().unwrap_or_default().to_uppercase(),
                    name,
                    agent: dice.uuid(),
                }
            };
            let site = device.site;
            for i in 0..WORKSTATIONS {
                let name = format!("ws-{:03}.{site}.example.com", i + 1);
                self.workstations.push(host(Role::Workstation, i as u32, Some(index * WORKSTATIONS + i), name));
            }
            // Headquarters has the servers everybody uses.
            let roles: &[(Role, &str, u32)] = &[
                (Role::Resolver, "dns", 2),
                (Role::Directory, "dc", 1),
                (Role::Files, "files", 2),
                (Role::Mail, "mail", 1),
                (Role::Web, "web", 3),
                (Role::Database, "db", 2),
                (Role::Shell, "jump", 1),
            ];
            let mut number = 0;
            for (role, name, count) in roles.iter().take(if index == 0 { roles.len() } else { 3 }) {
                for i in 1..=*count {
                    self.servers.push(host(*role, number, None, format!("{name}{i}.{site}.example.com")));
                    number += 1;
                }
            }
        }
    }
}

fn applications(catalog: &mut Catalog) -> Result<Vec<Applications>, SimulatorError> {
    let one = |service: &names::ServiceName| {
        Ok(Applications {
            server: catalog.named(63, service.id, service.name)?,
            client: catalog.named(55, service.client_id, service.client)?,
        })
    };
    names::SERVICES.iter().map(one).collect()
}

fn systems(catalog: &mut Catalog, dice: &mut Dice) -> Result<Vec<System>, SimulatorError> {
    let known = [
        ("Windows", "Microsoft", "11"),
        ("macOS", "Apple", "14"),
        ("Linux", "Debian", "12"),
        ("Windows Server", "Microsoft", "2022"),
        ("Linux", "Ubuntu", "24.04"),
    ];
    let one = |(name, vendor, version): &(&str, &str, &str)| {
        let fingerprint = dice.uuid();
        let values = [
            ("uuid", fingerprint.into()),
            ("name", (*name).into()),
            ("vendor", (*vendor).into()),
            ("version", (*version).into()),
        ];
        Ok(System { fingerprint, meta: catalog.record(54, values)? })
    };
    known.iter().map(one).collect()
}

fn websites(catalog: &mut Catalog, dice: &mut Dice) -> Result<Vec<Website>, SimulatorError> {
    let mut websites = Vec::new();
    for (host, application, category, reputation) in names::WEBSITES {
        let applications = names::WEBSITES.iter().position(|w| w.1 == application).unwrap_or_default() as u32;
        let categories = names::WEBSITES.iter().position(|w| w.2 == category).unwrap_or_default() as u32;
        let level = names::REPUTATIONS[usize::from(reputation) - 1];
        websites.push(Website {
            host,
            v4: outside_v4(dice),
            v6: dice.chance(500).then(|| outside_v6(dice)),
            country: dice.below(names::COUNTRIES.len() as u32) as usize,
            application: catalog.named(109, 3001 + applications, application)?,
            category: catalog.named(121, 1 + categories, category)?,
            tls_category: catalog.named(613, 1 + categories, category)?,
            reputation: catalog.named(122, reputation.into(), level)?,
            fingerprint: dice.octets(),
            cipher: dice.bits() as usize,
        });
    }
    Ok(websites)
}

fn stranger(dice: &mut Dice) -> Stranger {
    let v6 = dice.chance(150);
    let address = if v6 { outside_v6(dice) } else { outside_v4(dice) };
    let text = wire::event::address(&address).to_string();
    Stranger { address, text, v6, country: dice.below(names::COUNTRIES.len() as u32) as usize }
}

/// An address of the networks set aside for documentation (RFC 5737) or shared by carriers (RFC 6598).
fn outside_v4(dice: &mut Dice) -> [u8; 16] {
    let [a, b, c, ..] = dice.octets::<8>();
    let last = c.clamp(16, 254);
    let v4 = match dice.below(4) {
        0 => Ipv4Addr::new(192, 0, 2, last),
        1 => Ipv4Addr::new(198, 51, 100, last),
        2 => Ipv4Addr::new(203, 0, 113, last),
        _ => Ipv4Addr::new(100, 64 + a % 64, b, last),
    };
    sixteen(IpAddr::V4(v4))
}

fn outside_v6(dice: &mut Dice) -> [u8; 16] {
    let [a, b, c, d, ..] = dice.octets::<8>();
    let (net, host) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Ipv6Addr::new(0x2001, 0xdb8, 0xffff, net, 0, 0, 0, host.max(1)).octets()
}

fn signatures(catalog: &mut Catalog, dice: &mut Dice) -> Result<Vec<Signature>, SimulatorError> {
    let mut signatures = Vec::new();
    for rule in rules::RULES {
        let (id, name, description, level) = rules::CLASSES[rule.class];
        // The UUIDs of a classification follow from its number: the record is the same for all its rules.
        let mut own = Dice::new(id.into(), PURPOSE, 1);
        let class = catalog.record(
            67,
            [
                ("id", id.into()),
                ("name", name.into()),
                ("description", description.into()),
                ("uuid", own.uuid().into()),
                ("revisionUuid", own.uuid().into()),
            ],
        )?;
        let meta = catalog.record(
            66,
            [
                ("generatorId", rule.generator.into()),
                ("ruleId", rule.id.into()),
                ("ruleRevision", rule.revision.into()),
                ("signatureId", rule.id.into()),
                ("ruleUuid", dice.uuid().into()),
                ("ruleRevisionUuid", dice.uuid().into()),
                ("message", rule.message.into()),
            ],
        )?;
        let priority = catalog.named(4, level, rules::PRIORITIES[level as usize - 1])?;
        signatures.push(Signature { rule, meta, class: Named { id, meta: class }, priority });
    }
    Ok(signatures)
}

fn files(catalog: &mut Catalog, dice: &mut Dice) -> Result<Vec<FileItem>, SimulatorError> {
    let mut files = Vec::new();
    for i in 0..FILES {
        // Every tenth is malware; the rest is clean, or nobody knows.
        let malware = i % 10 == 0;
        let kind = if malware { i / 10 % 4 } else { i % names::FILE_TYPES.len() };
        let (id, title, extension) = names::FILE_TYPES[kind];
        let name = format!("{}-{}.{extension}", dice.pick(&names::FILE_STEMS), 100 + i);
        let sha = dice.octets::<32>();
        let disposition: u8 = if malware { 3 } else { 1 + u8::from(dice.chance(150)) };
        let detection = if malware { format!("{}.{}", dice.pick(&names::FAMILIES), 10 + i) } else { String::new() };
        // What a malware hash is called is what was detected.
        let title_of_hash = if malware { &detection } else { &name };
        let meta = catalog.record(
            511,
            [
                ("shaHash", sha.into()),
                ("fileName", title_of_hash.as_str().into()),
                ("disposition", disposition.into()),
                ("userDefined", 0u8.into()),
            ],
        )?;
        files.push(FileItem {
            hex: sha.iter().map(|octet| format!("{octet:02x}")).collect(),
            sha,
            size: dice.size(4_000, 10) as u32,
            kind: catalog.named(510, id, title)?,
            endpoint_kind: catalog.named(131, id, title)?,
            disposition,
            detection,
            meta,
            path: format!("/files/{name}"),
            name,
        });
    }
    Ok(files)
}
