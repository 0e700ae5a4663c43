//! What a filter can ask about: fields of the schema by their canonical names or by the names eNcore prints, resolved
//! names, and a few words that stand for several of them.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use wire::layout::{self, DISCOVERY_HEADER, Field, Kind, Layout, RecordLayout};
use wire::resolution::names_of;

/// A field of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// Record type.
    Type,
    /// Class of event.
    Class,
    /// Netmap id, or the domain's name.
    Domain,
    /// Any address of the event.
    Address,
    /// Fields of the record and resolved names; any of them may hold.
    Named(Vec<String>),
}

/// Words that stand for several names.
const WORDS: &[(&str, &[&str])] = &[
    ("source", &["sourceIpAddress", "initiatorIpAddress", "sourceIp", "sourceIpv6Address"]),
    ("destination", &["destinationIpAddress", "responderIpAddress", "destinationIp", "destinationIpv6Address"]),
    ("sourcePort", &["sourcePort", "initiatorPort", "sourcePortOrIcmpType"]),
    ("destinationPort", &["destinationPort", "responderPort", "destinationPortOrIcmpType"]),
    (
        "port",
        &[
            "sourcePort",
            "initiatorPort",
            "sourcePortOrIcmpType",
            "destinationPort",
            "responderPort",
            "destinationPortOrIcmpType",
            "port",
        ],
    ),
    ("device", &["sensor", "deviceId", "sensorId"]),
    ("fmc", &["managementCenter"]),
    (
        "policy",
        &[
            "policy",
            "firewallPolicy",
            "idsPolicy",
            "filePolicy",
            "networkAnalysisPolicy",
            "securityIntelligencePolicy",
            "sslPolicy",
        ],
    ),
    ("rule", &["firewallRule", "message", "rule"]),
    ("action", &["firewallRuleAction", "ruleAction", "fileAction", "action", "blocked", "sslActualAction"]),
    ("user", &["user", "sourceUser", "destinationUser", "username", "userId"]),
    ("application", &["applicationProtocol", "clientApplication", "webApplication"]),
    ("zone", &["ingressSecurityZone", "egressSecurityZone"]),
    ("interface", &["ingressInterface", "egressInterface"]),
    ("country", &["sourceIpCountry", "destinationIpCountry", "countryCode"]),
];

/// Names that any record may have.
const COMMON: [&str; 8] = [
    "eventSecond",
    "eventMicrosecond",
    "eventDateTime",
    "recordTypeCategory",
    "recordTypeDescription",
    "domain",
    "managementCenter",
    "eventUid",
];

/// The classes of events, as `class` and routes name them.
pub(super) const CLASSES: [&str; 13] = [
    "connection",
    "security-intelligence",
    "intrusion",
    "packet",
    "extra-data",
    "impact",
    "file",
    "malware",
    "discovery",
    "user",
    "correlation",
    "metadata",
    "other",
];

/// The class of a record type. Connection events may be security intelligence events as well.
pub(super) fn class_of(record_type: u16) -> &'static str {
    let Some(record) = layout::record(record_type) else { return "other" };
    match (record.record_type, record.class) {
        (111, _) => "metadata",
        (110, _) => "extra-data",
        (9, _) => "impact",
        (125, _) => "malware",
        (500 | 502, _) => "file",
        _ if record.metadata => "metadata",
        (71 | 73 | 33, _) => "connection",
        (92..=95 | 114 | 170 | 171, _) => "user",
        (8 | 36 | 65 | 97 | 112, _) => "correlation",
        (2, _) => "packet",
        (_, layout::Class::Intrusion) => "intrusion",
        (1 | 7 | 72 | 99 | 100, _) => "intrusion",
        _ if record.discovery_header => "discovery",
        _ => "other",
    }
}

/// The field a name means.
pub(super) fn find(name: &str) -> Option<Subject> {
    match name {
        "type" => return Some(Subject::Type),
        "class" => return Some(Subject::Class),
        "domain" => return Some(Subject::Domain),
        "address" => return Some(Subject::Address),
        _ => {}
    }
    if let Some((_, names)) = WORDS.iter().find(|(word, _)| *word == name) {
        return Some(Subject::Named(names.iter().map(|n| (*n).to_owned()).collect()));
    }
    // eNcore's name of a field is as good as ours.
    let mut names: BTreeSet<&str> = all_fields().filter(|f| f.encore == name).map(|f| f.name).collect();
    if all_fields().any(|f| f.name == name) || resolved(name) {
        names.insert(name);
    }
    (!names.is_empty()).then(|| Subject::Named(names.into_iter().map(str::to_owned).collect()))
}

/// Names one may have meant.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    static ALL: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
        let fields = all_fields().flat_map(|f| [f.name, f.encore]).filter(|n| !n.is_empty());
        let names = layout::records().iter().flat_map(|r| names_of(r.record_type)).map(|n| n.name);
        let words = WORDS.iter().map(|(word, _)| *word).chain(["type", "class", "domain", "address"]);
        fields.chain(names).chain(words).collect()
    });
    let close = |known: &&&str| strsim::damerau_levenshtein(&known.to_lowercase(), &name.to_lowercase());
    ALL.iter().min_by_key(close).filter(|known| close(known) <= 1 + name.len() / 3).copied()
}

/// Every field that a record or one of its blocks has.
fn all_fields() -> impl Iterator<Item = &'static Field> {
    let bodies = layout::records().iter().map(|r| r.body);
    layout::blocks().chain(bodies).chain([DISCOVERY_HEADER]).flat_map(|l| l.fields)
}

/// Whether it is the name of something resolved.
fn resolved(name: &str) -> bool {
    COMMON.contains(&name) || layout::records().iter().any(|r| names_of(r.record_type).iter().any(|n| n.name == name))
}

/// Whether all that the names mean are numbers without names: nothing else can be compared with them.
pub(super) fn only_numbers(names: &[String]) -> bool {
    let is_number = |layout: &'static Layout, at: usize| {
        let number = layout.fields.get(at).is_some_and(|f| matches!(f.kind, Kind::Uint));
        number && layout.names(at).next().is_none()
    };
    let bodies = layout::records().iter().map(|r| r.body);
    let layouts: Vec<&'static Layout> = layout::blocks().chain(bodies).chain([DISCOVERY_HEADER]).collect();
    names
        .iter()
        .all(|name| !resolved(name) && layouts.iter().all(|l| l.position(name).is_none_or(|at| is_number(l, at))))
}

/// Whether a record of this type can have a field of one of these names, in any version.
pub(super) fn possible(record: &'static RecordLayout, names: &[String]) -> bool {
    let named = |l: &'static Layout| names.iter().any(|n| l.position(n).is_some());
    let main = record.main_layout();
    let versions = || layout::blocks().filter(|l| (l.series, l.title) == (main.series, main.title));
    let resolved = names_of(record.record_type).iter().any(|n| names.iter().any(|name| name == n.name));
    resolved
        || names.iter().any(|n| COMMON.contains(&n.as_str()))
        || named(record.body)
        || named(main)
        || versions().any(named)
        || record.discovery_header && named(DISCOVERY_HEADER)
}
