//! Devices, the policies they enforce, and the fixed vocabulary of both.

use super::SimulatorError;
use super::catalog::{Catalog, Named};
use super::dice::Dice;
use super::names;
use std::net::{IpAddr, Ipv4Addr};
use wire::event::sixteen;

/// Interfaces of a device: index into [`Device::interfaces`].
pub(crate) const INSIDE: usize = 0;
pub(crate) const OUTSIDE: usize = 1;
pub(crate) const DMZ: usize = 2;
pub(crate) const SERVERS: usize = 3;

/// Names of interfaces and of the security zones they are in.
const INTERFACES: [(&str, &str); 4] =
    [("inside", "Inside"), ("outside", "Outside"), ("dmz", "DMZ"), ("servers", "Datacenter")];

/// A managed device.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) id: u32,
    pub(crate) site: &'static str,
    /// Interface and zone UUIDs.
    pub(crate) interfaces: Vec<([u8; 16], [u8; 16])>,
    /// Index of its policy.
    pub(crate) policy: usize,
    /// The address it hides the company's IPv4 hosts behind.
    pub(crate) nat: [u8; 16],
    /// Catalog indices of all that its events always refer to.
    pub(crate) refers: Vec<u32>,
}

/// What an access control rule is for: index into [`Policy::rules`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Default,
    Web,
    NameService,
    Mail,
    Internal,
    Published,
    Management,
    Intelligence,
    Category,
}

/// Access control rules: number, name, index into [`ACTIONS`]; in the order of [`Purpose`].
const RULES: [(u32, &str, usize); 9] = [
    (0, "Default Action", BLOCK),
    (268_435_457, "Allow web", ALLOW),
    (268_435_458, "Allow name service", ALLOW),
    (268_435_459, "Allow mail", ALLOW),
    (268_435_460, "Allow internal services", ALLOW),
    (268_435_461, "Allow published servers", ALLOW),
    (268_435_462, "Trust management", TRUST),
    (268_435_463, "Block by security intelligence", BLOCK),
    (268_435_464, "Block unwanted categories", BLOCK_RESET),
];

/// Rule actions: id, name. (1 to 3 let traffic pass.)
const ACTIONS: [(u32, &str); 4] = [(2, "Allow"), (3, "Trust"), (4, "Block"), (5, "Block with reset")];
const ALLOW: usize = 0;
const TRUST: usize = 1;
pub(crate) const BLOCK: usize = 2;
const BLOCK_RESET: usize = 3;

/// An access control rule of a policy.
#[derive(Debug)]
pub(crate) struct AccessRule {
    pub(crate) id: u32,
    /// Index into [`Terms::actions`].
    pub(crate) action: usize,
    pub(crate) meta: u32,
}

/// An access control policy with what belongs to it.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) name: &'static str,
    pub(crate) uuid: [u8; 16],
    pub(crate) intrusion: [u8; 16],
    pub(crate) analysis: [u8; 16],
    pub(crate) file: [u8; 16],
    pub(crate) tls: [u8; 16],
    /// Rule of the TLS policy.
    pub(crate) tls_rule: u32,
    /// In the order of [`Purpose`].
    rules: Vec<AccessRule>,
    /// Security intelligence lists, in the order of [`names::INTELLIGENCE`].
    pub(crate) lists: Vec<Named>,
    /// Catalog indices of the records that name it and its parts.
    metas: Vec<u32>,
}

impl Policy {
    /// The policies: one for headquarters, one for all other sites.
    pub(crate) fn all(catalog: &mut Catalog, dice: &mut Dice) -> Result<Vec<Policy>, SimulatorError> {
        ["Headquarters Access", "Branch Access"].into_iter().map(|name| Policy::new(name, catalog, dice)).collect()
    }

    fn new(name: &'static str, catalog: &mut Catalog, dice: &mut Dice) -> Result<Policy, SimulatorError> {
        let [uuid, intrusion, analysis, file, tls] = std::array::from_fn(|_| dice.uuid());
        let first = name.split(' ').next().unwrap_or_default();
        let mut metas = vec![
            catalog.uuid(117, uuid, name)?,
            catalog.uuid(118, intrusion, &format!("{first} Intrusion Prevention"))?,
            catalog.uuid(700, analysis, &format!("{first} Network Analysis"))?,
            catalog.uuid(530, file, &format!("{first} Malware and File"))?,
            catalog.uuid(600, tls, &format!("{first} TLS"))?,
        ];
        let tls_rule = 1 + dice.below(1000);
        let values = [("revision", tls.into()), ("id", tls_rule.into()), ("name", "Do not decrypt".into())];
        metas.push(catalog.record(601, values)?);
        let rules = RULES
            .iter()
            .map(|(id, rule, action)| {
                let values = [("uuid", uuid.into()), ("id", (*id).into()), ("name", (*rule).into())];
                Ok(AccessRule { id: *id, action: *action, meta: catalog.record(119, values)? })
            })
            .collect::<Result<_, SimulatorError>>()?;
        let lists = names::INTELLIGENCE
            .iter()
            .map(|(id, list)| {
                let values = [("id", (*id).into()), ("accessControlPolicyUuid", uuid.into()), ("name", (*list).into())];
                Ok(Named { id: *id, meta: catalog.record(280, values)? })
            })
            .collect::<Result<_, SimulatorError>>()?;
        Ok(Policy { name, uuid, intrusion, analysis, file, tls, tls_rule, rules, lists, metas })
    }

    /// Its rule for a purpose.
    pub(crate) fn rule(&self, purpose: Purpose) -> &AccessRule {
        &self.rules[purpose as usize]
    }
}

impl Device {
    /// Five to eight devices, one at each site; the first is headquarters.
    pub(crate) fn all(
        catalog: &mut Catalog,
        dice: &mut Dice,
        policies: &[Policy],
    ) -> Result<Vec<Device>, SimulatorError> {
        let count = dice.range(5, 8) as usize;
        let turn = dice.below(names::SITES.len() as u32) as usize;
        let sites = names::SITES.iter().cycle().skip(turn).take(count);
        // The zones are the company's, the interfaces each device's own.
        let zones: [[u8; 16]; 4] = std::array::from_fn(|_| dice.uuid());
        let domain = catalog.named(350, 0, "Global")?;
        let mut devices = Vec::new();
        for (i, site) in sites.enumerate() {
            let id = i as u32 + 1;
            let policy = usize::from(i != 0);
            let mut refers = vec![domain.meta, catalog.named(123, id, &format!("fw-{site}.example.com"))?.meta];
            let mut interfaces = Vec::new();
            for ((name, zone), zone_uuid) in INTERFACES.iter().zip(zones) {
                let uuid = dice.uuid();
                refers.push(catalog.uuid(116, uuid, name)?);
                refers.push(catalog.uuid(115, zone_uuid, zone)?);
                interfaces.push((uuid, zone_uuid));
            }
            let enforced = &policies[policy];
            refers.extend_from_slice(&enforced.metas);
            refers.push(catalog.record(
                145,
                [("uuid", enforced.uuid.into()), ("sensorId", id.into()), ("name", enforced.name.into())],
            )?);
            let nat = sixteen(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1 + i as u8)));
            devices.push(Device { id, site, interfaces, policy, nat, refers });
        }
        Ok(devices)
    }
}

/// Why a rule acted on a connection: index into [`Terms::reasons`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    IpBlock,
    FileMonitor,
    FileBlock,
    IntrusionMonitor,
    IntrusionBlock,
    NameBlock,
    UrlBlock,
}

/// Reasons: the bit, what it says; in the order of [`Reason`].
const REASONS: [(u32, &str); 7] = [
    (1, "IP Block"),
    (8, "File Monitor"),
    (16, "File Block"),
    (32, "Intrusion Monitor"),
    (64, "Intrusion Block"),
    (1024, "DNS Block"),
    (4096, "URL Block"),
];

/// Numbers that mean the same everywhere.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) actions: Vec<Named>,
    reasons: Vec<Named>,
    /// TLS cipher suites with the version that uses each.
    pub(crate) ciphers: Vec<(Named, Named)>,
    /// Valid, self-signed, expired.
    pub(crate) certificates: Vec<Named>,
    /// Do not decrypt, block: the numbers with the records for the actual and the expected action.
    pub(crate) tls_actions: Vec<(Named, Named)>,
    /// No match, success.
    pub(crate) tls_flows: Vec<Named>,
    /// DNS record types: A, AAAA, PTR, MX, SRV, HTTPS.
    pub(crate) record_types: Vec<Named>,
    /// DNS responses: no error, server failure, no such name.
    pub(crate) responses: Vec<Named>,
    pub(crate) sinkhole: ([u8; 16], u32),
    /// Source, destination.
    pub(crate) ends: Vec<Named>,
    /// In the order of [`super::rules::INDICATIONS`].
    pub(crate) indications: Vec<Named>,
    /// Extra data types: XFF IPv4, XFF IPv6, URI, host name.
    pub(crate) extras: Vec<Named>,
    /// Catalog indices of type and code of an echo request, IPv4 and IPv6.
    pub(crate) echo: [[u32; 2]; 2],
    /// The endpoint cloud.
    pub(crate) cloud: ([u8; 16], u32),
    /// Threat quarantined, blocked execution, threat detected.
    pub(crate) malware_events: Vec<Named>,
    /// Create, execute, move.
    pub(crate) malware_subtypes: Vec<Named>,
    pub(crate) detectors: Vec<Named>,
    /// Stored, too large.
    pub(crate) storages: Vec<Named>,
    /// Sent for analysis, analysis complete, not sent: the records for sandbox and static analysis.
    pub(crate) analyses: Vec<(Named, Named)>,
    /// Clean, unknown, malware.
    pub(crate) dispositions: Vec<Named>,
    /// Extracted.
    pub(crate) archives: Vec<Named>,
    pub(crate) correlation_policy: Named,
    pub(crate) correlation_rules: Vec<Named>,
    /// IPv4 and IPv6.
    pub(crate) network_protocols: Vec<Named>,
}

impl Terms {
    /// Puts the vocabulary into the catalog.
    pub(crate) fn new(catalog: &mut Catalog, dice: &mut Dice) -> Result<Terms, SimulatorError> {
        let (tls12, tls13) = (catalog.named(604, 5, "TLSv1.2")?, catalog.named(604, 6, "TLSv1.3")?);
        let ciphers = [
            (4865, "TLS_AES_128_GCM_SHA256", tls13),
            (4866, "TLS_AES_256_GCM_SHA384", tls13),
            (4867, "TLS_CHACHA20_POLY1305_SHA256", tls13),
            (49199, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", tls12),
            (49200, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", tls12),
        ];
        let ciphers = ciphers.into_iter().map(|(id, name, version)| Ok((catalog.named(602, id, name)?, version)));
        let ciphers = ciphers.collect::<Result<_, SimulatorError>>()?;
        let pairs = |catalog: &mut Catalog, types: [u16; 2], known: &[(u32, &str)]| {
            let one = |(id, name): &(u32, &str)| {
                Ok((catalog.named(types[0], *id, name)?, catalog.named(types[1], *id, name)?))
            };
            known.iter().map(one).collect::<Result<Vec<_>, SimulatorError>>()
        };
        let reasons = REASONS.iter().map(|(id, text)| {
            Ok(Named { id: *id, meta: catalog.record(124, [("id", (*id).into()), ("description", (*text).into())])? })
        });
        let reasons = reasons.collect::<Result<_, SimulatorError>>()?;
        let sinkhole = dice.uuid();
        let cloud = dice.uuid();
        let extras = [
            (1, "XFF Client (IPv4)", "Ipv4"),
            (2, "XFF Client (IPv6)", "Ipv6"),
            (9, "HTTP URI", "String"),
            (10, "HTTP Hostname", "String"),
        ];
        let extras = extras.into_iter().map(|(id, name, encoding)| {
            let values = [("type", id.into()), ("name", name.into()), ("encoding", encoding.into())];
            Ok(Named { id, meta: catalog.record(111, values)? })
        });
        let extras = extras.collect::<Result<_, SimulatorError>>()?;
        let indications = super::rules::INDICATIONS.iter().map(|(id, category, event)| {
            let values = [("id", (*id).into()), ("category", (*category).into()), ("eventType", (*event).into())];
            Ok(Named { id: *id, meta: catalog.record(161, values)? })
        });
        let indications = indications.collect::<Result<_, SimulatorError>>()?;
        Ok(Terms {
            actions: list(catalog, 120, &ACTIONS)?,
            reasons,
            ciphers,
            certificates: list(catalog, 605, &[(2, "Valid"), (4, "Self-signed"), (64, "Expired")])?,
            tls_actions: pairs(catalog, [606, 607], &[(1, "Do Not Decrypt"), (2, "Block")])?,
            tls_flows: list(catalog, 608, &[(1, "No Match"), (2, "Success")])?,
            record_types: described(
                catalog,
                320,
                &[
                    (1, "A", "a host address"),
                    (28, "AAAA", "IPv6 address"),
                    (12, "PTR", "a domain name pointer"),
                    (15, "MX", "mail exchange"),
                    (33, "SRV", "server selection"),
                    (65, "HTTPS", "service binding for HTTPS"),
                ],
            )?,
            responses: described(
                catalog,
                321,
                &[
                    (0, "NOERROR", "No Error"),
                    (2, "SERVFAIL", "Server Failure"),
                    (3, "NXDOMAIN", "Non-Existent Domain"),
                ],
            )?,
            sinkhole: (sinkhole, catalog.uuid(322, sinkhole, "Company sinkhole")?),
            ends: list(catalog, 281, &[(1, "Source"), (2, "Destination")])?,
            indications,
            extras,
            echo: [echo(catalog, 1, 8)?, echo(catalog, 58, 128)?],
            cloud: (cloud, catalog.uuid(127, cloud, "Endpoint cloud (EU)")?),
            malware_events: list(
                catalog,
                128,
                &[
                    (553_648_143, "Threat Quarantined"),
                    (553_648_168, "Blocked Execution"),
                    (1_090_519_054, "Threat Detected"),
                ],
            )?,
            malware_subtypes: list(catalog, 129, &[(1, "Create"), (2, "Execute"), (22, "Move")])?,
            detectors: list(catalog, 130, &[(1, "ClamAV"), (2, "ETHOS"), (3, "SPERO"), (4, "SHA")])?,
            storages: list(catalog, 515, &[(1, "File Stored"), (8, "File Size is Too Large")])?,
            analyses: pairs(
                catalog,
                [516, 519],
                &[
                    (1, "Sent for Analysis"),
                    (12, "Analysis Complete"),
                    (27, "Not Sent - File not sent due to configuration"),
                ],
            )?,
            dispositions: list(catalog, 517, &[(1, "Clean"), (2, "Unknown"), (3, "Malware")])?,
            archives: list(catalog, 518, &[(2, "Extracted - Successfully inspected without any problems")])?,
            correlation_policy: Named {
                id: 1,
                meta: catalog.record(
                    69,
                    [
                        ("id", 1u32.into()),
                        ("name", "Critical assets".into()),
                        ("description", "Attacks on what the company cannot do without".into()),
                        ("uuid", dice.uuid().into()),
                        ("revisionUuid", dice.uuid().into()),
                    ],
                )?,
            },
            correlation_rules: correlation_rules(catalog, dice)?,
            network_protocols: list(catalog, 59, &[(0x0800, "IP"), (0x86dd, "IPv6")])?,
        })
    }

    /// The reason.
    pub(crate) fn reason(&self, reason: Reason) -> &Named {
        &self.reasons[reason as usize]
    }
}

fn list(catalog: &mut Catalog, record_type: u16, known: &[(u32, &str)]) -> Result<Vec<Named>, SimulatorError> {
    known.iter().map(|(id, name)| catalog.named(record_type, *id, name)).collect()
}

fn described(
    catalog: &mut Catalog,
    record_type: u16,
    known: &[(u32, &str, &str)],
) -> Result<Vec<Named>, SimulatorError> {
    let one = |(id, name, description): &(u32, &str, &str)| {
        let values = [("id", (*id).into()), ("name", (*name).into()), ("description", (*description).into())];
        Ok(Named { id: *id, meta: catalog.record(record_type, values)? })
    };
    known.iter().map(one).collect()
}

/// Type and code of an echo request.
fn echo(catalog: &mut Catalog, protocol: u16, number: u16) -> Result<[u32; 2], SimulatorError> {
    let text = || "Echo Request".into();
    let values = [("type", number.into()), ("protocol", protocol.into()), ("description", text())];
    let code = [("code", 0u16.into()), ("type", number.into()), ("protocol", protocol.into()), ("description", text())];
    Ok([catalog.record(260, values)?, catalog.record(270, code)?])
}

fn correlation_rules(catalog: &mut Catalog, dice: &mut Dice) -> Result<Vec<Named>, SimulatorError> {
    let known = [
        (1, "High impact attack", "An intrusion event of impact 1 or 2", "intrusion event"),
        (2, "Attack dropped at the edge", "An attack from outside that was dropped", "intrusion event"),
    ];
    let one = |(id, name, description, event): (u32, &str, &str, &str)| {
        let values = [
            ("id", id.into()),
            ("name", name.into()),
            ("description", description.into()),
            ("eventType", event.into()),
            ("correlationRuleUuid", dice.uuid().into()),
            ("correlationRevisionUuid", dice.uuid().into()),
        ];
        Ok(Named { id, meta: catalog.record(70, values)? })
    };
    known.into_iter().map(one).collect()
}
