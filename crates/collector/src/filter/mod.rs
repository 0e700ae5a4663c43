//! Filters: which events are wanted, in a small language.
//!
//! ```text
//! class in (intrusion, malware) or address in 192.0.2.0/24 and destinationPort != 53
//! device == "dc-1" and not (action == "Allow" and initiatorTransmittedBytes < 1000)
//! impactFlags has 0x4 or message contains "trojan"
//! ```
//!
//! | part | meaning |
//! |---|---|
//! | `and`, `or`, `not`, brackets | `not` binds closest, then `and`, then `or` |
//! | `==` `!=` `<` `<=` `>` `>=` | compare with a number, text, address or network |
//! | `in (a, b, c)` | equal to one of them; ranges (`1000..2000`) and networks (`10.0.0.0/8`) may be among them; `not in` |
//! | `contains "text"` | holds the text, in any case |
//! | `has 0x4` | has all of these bits |
//!
//! A field is any field of the record reference, by its canonical name or the one eNcore prints, or any resolved name
//! (`firewallRule`, `sensor`); a number with a name may be compared with either. These stand for several: `type` (record
//! type), `class`, `device`, `fmc`, `domain` (netmap id or name), `address` (any), `source`, `destination`, `port`, `sourcePort`,
//! `destinationPort`, `policy`, `rule`, `action`, `user`, `application`, `zone`, `interface`, `country`.
//!
//! Texts are compared without regard to case. An event that lacks a field is neither equal to nor less than nor greater
//! than anything; `!=` and `not` hold for it. Metadata records are a class of their own; whether or not a filter lets them
//! through, they name what events refer to.

mod fields;
mod lex;
mod parse;

use crate::resolve::Item;
use fields::{Subject, class_of};
use outputs::Computed;
use std::net::IpAddr;
use thiserror::Error;
use wire::decode::{Record, Value, View};
use wire::event::address;
use wire::layout::{self, Kind};

/// A filter that has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    text: String,
    expression: Expression,
}

impl std::fmt::Display for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// What is wrong with a filter, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what}, at character {} of the filter {text}", position(text, *at))]
pub struct FilterError {
    /// The filter.
    text: String,
    /// Bytes before the place.
    at: usize,
    what: String,
}

fn position(text: &str, at: usize) -> usize {
    text.char_indices().take_while(|(i, _)| *i < at).count() + 1
}

impl FilterError {
    fn new(text: &str, at: usize, what: String) -> FilterError {
        FilterError { text: text.to_owned(), at, what }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Test(Test),
}

#[derive(Debug, Clone, PartialEq)]
struct Test {
    subject: Subject,
    operator: Operator,
    /// One of these is enough.
    wanted: Vec<Wanted>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Less,
    Greater,
    Contains,
    Bits,
    /// The event has the field.
    Present,
}

#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    Range(u64, u64),
    Text(String),
    Network(IpAddr, u8),
}

/// A value of an event.
enum Found<'a> {
    Number(u64),
    Text(&'a str),
    Octets(&'a [u8]),
    Address(IpAddr),
}

impl Filter {
    /// Reads and checks a filter.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        Ok(Filter { text: text.to_owned(), expression: parse::parse(text)? })
    }

    /// The filter as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether an event is wanted; `names` are its resolved names.
    pub fn accepts(&self, record: &Record<'_>, names: &[Item<'_>]) -> bool {
        self.expression.holds(&|test| Some(test.holds(record, names))).unwrap_or(true)
    }

    /// Whether any event of a record type can be wanted: what cannot need not be asked for.
    pub fn possible(&self, record_type: u16) -> bool {
        self.expression.holds(&|test| test.known(record_type)).unwrap_or(true)
    }
}

impl Expression {
    /// Whether it holds, if that is known from what is known of its tests.
    fn holds(&self, test: &dyn Fn(&Test) -> Option<bool>) -> Option<bool> {
        match self {
            Expression::Test(one) => test(one),
            Expression::Not(inner) => inner.holds(test).map(|held| !held),
            Expression::All(parts) => decide(parts, test, false),
            Expression::Any(parts) => decide(parts, test, true),
        }
    }
}

/// `decisive` as soon as one part has it, the contrary when all parts do, else unknown.
fn decide(parts: &[Expression], test: &dyn Fn(&Test) -> Option<bool>, decisive: bool) -> Option<bool> {
    let mut unknown = false;
    for part in parts {
        match part.holds(test) {
            Some(held) if held == decisive => return Some(decisive),
            Some(_) => {}
            None => unknown = true,
        }
    }
    (!unknown).then_some(!decisive)
}

impl Test {
    /// Whether it holds for every event of a record type, or for none.
    fn known(&self, record_type: u16) -> Option<bool> {
        match &self.subject {
            Subject::Type => Some(self.compare(&Found::Number(record_type.into()))),
            Subject::Class => {
                let class = class_of(record_type);
                let held = self.compare(&Found::Text(class));
                // Which connections are security intelligence events, their fields tell.
                let maybe = class == "connection" && self.compare(&Found::Text("security-intelligence"));
                if maybe && !held { None } else { Some(held) }
            }
            Subject::Domain => None,
            Subject::Address => None,
            // Of a type nobody knows, nothing is known.
            Subject::Named(names) => match layout::record(record_type) {
                Some(record) if !fields::possible(record, names) => Some(false),
                _ => None,
            },
        }
    }

    fn holds(&self, record: &Record<'_>, names: &[Item<'_>]) -> bool {
        match &self.subject {
            Subject::Type => self.compare(&Found::Number(record.record_type().into())),
            Subject::Class => {
                let class = class_of(record.record_type());
                self.compare(&Found::Text(class))
                    || class == "connection"
                        && is_security_intelligence(record)
                        && self.compare(&Found::Text("security-intelligence"))
            }
            Subject::Domain => {
                self.compare(&Found::Number(record.header.netmap.into())) || self.named("domain", record, names)
            }
            Subject::Address => {
                [Some(record.main()), record.discovery()].into_iter().flatten().any(|v| self.any_address(&v))
            }
            Subject::Named(wanted) => wanted.iter().any(|name| self.named(name, record, names)),
        }
    }

    fn any_address(&self, view: &View<'_>) -> bool {
        let fields = view.layout().map_or(&[][..], |l| l.fields);
        let is_address = |kind: &Kind| matches!(kind, Kind::Ipv4 | Kind::Ipv6);
        let addresses = fields.iter().enumerate().filter(|(_, f)| is_address(&f.kind));
        let mut found = addresses.filter_map(|(i, _)| view.value(i)).filter_map(|v| as_found(&v));
        found.any(|found| self.compare(&found))
    }

    /// The resolved name, the field, and the name its number has.
    fn named(&self, name: &str, record: &Record<'_>, names: &[Item<'_>]) -> bool {
        let resolved = names.iter().find(|(n, _)| *n == name).and_then(|(_, value)| match value {
            Computed::Text(text) => Some(Found::Text(text)),
            Computed::Uint(number) => Some(Found::Number(*number)),
            Computed::Null | Computed::Block(_) => None,
        });
        if resolved.is_some_and(|found| self.compare(&found)) {
            return true;
        }
        let Some(value) = record.field(name) else { return false };
        if as_found(&value).is_some_and(|found| self.compare(&found)) {
            return true;
        }
        // A name is asked for, and a number is there that may have one.
        let text = self.wanted.iter().any(|w| matches!(w, Wanted::Text(_)));
        text && matches!(value, Value::Uint(_))
            && record.show(name).is_some_and(|shown| self.compare(&Found::Text(&shown.to_string())))
    }

    fn compare(&self, found: &Found<'_>) -> bool {
        self.wanted.iter().any(|wanted| match (self.operator, wanted, found) {
            (Operator::Present, ..) => true,
            (Operator::Equal, Wanted::Range(from, to), Found::Number(n)) => (from..=to).contains(&n),
            (Operator::Less, Wanted::Range(limit, _), Found::Number(n)) => n < limit,
            (Operator::Greater, Wanted::Range(limit, _), Found::Number(n)) => n > limit,
            (Operator::Bits, Wanted::Range(bits, _), Found::Number(n)) => n & bits == *bits,
            (Operator::Equal, Wanted::Text(text), Found::Text(found)) => same(text, found),
            (Operator::Equal, Wanted::Text(text), Found::Octets(octets)) => is_hex(text, octets),
            (Operator::Contains, Wanted::Text(text), Found::Text(found)) => {
                found.to_lowercase().contains(&text.to_lowercase())
            }
            (Operator::Equal, Wanted::Network(network, prefix), Found::Address(a)) => inside(*a, *network, *prefix),
            // A resolved address is a text.
            (Operator::Equal, Wanted::Network(network, prefix), Found::Text(text)) => {
                text.parse().is_ok_and(|a| inside(a, *network, *prefix))
            }
            _ => false,
        })
    }
}

fn as_found<'a>(value: &Value<'a>) -> Option<Found<'a>> {
    Some(match *value {
        Value::Uint(n) => Found::Number(n),
        Value::Ipv4(octets) => Found::Address(IpAddr::from(*octets)),
        Value::Ipv6(octets) => Found::Address(address(octets)),
        // Texts may carry NULs at their end.
        Value::Text(octets) => Found::Text(std::str::from_utf8(octets).ok()?.trim_end_matches('\0')),
        Value::Hex(octets) | Value::Blob { octets, .. } => Found::Octets(octets),
        Value::Uuid(octets) => Found::Octets(octets),
        Value::Mac(octets) => Found::Octets(octets),
        Value::Block(block) => match (block.block_type(), block.value(0)?) {
            // A String block that stands alone.
            (0, text @ Value::Text(_)) => as_found(&text)?,
            _ => return None,
        },
        Value::List(_) => return None,
    })
}

fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || !a.is_ascii() && a.to_lowercase() == b.to_lowercase()
}

/// Whether a text is these octets in hex, with dashes or colons between or without.
fn is_hex(text: &str, octets: &[u8]) -> bool {
    let mut digits = text.bytes().filter(|b| !matches!(b, b'-' | b':'));
    let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
    let all = octets.iter().all(|octet| {
        let (high, low) = (digit(digits.next()), digit(digits.next()));
        high.zip(low).is_some_and(|(high, low)| high << 4 | low == u32::from(*octet))
    });
    all && digits.next().is_none() && !octets.is_empty()
}

fn inside(found: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let shift = |bits: u8| u32::from(bits.saturating_sub(prefix));
    match (found, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).checked_shr(shift(32)).unwrap_or(0) == 0,
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).checked_shr(shift(128)).unwrap_or(0) == 0,
        _ => false,
    }
}

/// Whether a connection event was made or handled by security intelligence.
pub(crate) fn is_security_intelligence(record: &Record<'_>) -> bool {
    const FIELDS: [&str; 5] = [
        "securityIntelligenceSourceDestination",
        "securityIntelligenceLayer",
        "securityIntelligenceList1",
        "securityIntelligenceList2",
        "securityIntelligenceList3",
    ];
    FIELDS.iter().any(|name| record.uint(name).is_some_and(|n| n != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::decode::Decoder;
    use wire::event::Event;
    use wire::names::{FileAction, ImpactFlags};

    fn encoded(event: &Event) -> Vec<u8> {
        let mut bytes = Vec::new();
        event.encode(Some(7), &mut bytes);
        bytes
    }

    fn connection() -> Vec<u8> {
        let mut event = Event::new(71).unwrap();
        let source: IpAddr = "192.0.2.9".parse().unwrap();
        let destination: IpAddr = "2001:db8::5".parse().unwrap();
        event.set("initiatorIpAddress", source).unwrap().set("responderIpAddress", destination).unwrap();
        event.set("responderPort", 443u16).unwrap().set("initiatorTransmittedBytes", 1500u64).unwrap();
        event.set("clientUrl", "https://Example.com/x").unwrap().set("protocol", 6u8).unwrap();
        event.set_netmap(3);
        encoded(&event)
    }

    fn accepts(filter: &str, bytes: &[u8], names: &[Item<'_>]) -> bool {
        let filter = Filter::parse(filter).unwrap_or_else(|e| panic!("{e}"));
        filter.accepts(&Decoder::new().decode(bytes).unwrap(), names)
    }

    #[test]
    fn what_holds_for_a_connection() {
        let names = [("sensor", Computed::Text("dc-1".into())), ("firewallRuleAction", Computed::Text("Block".into()))];
        let bytes = connection();
        for yes in [
            "type == 71",
            "class == connection",
            "class in (intrusion, connection)",
            "class != security-intelligence",
            "destinationPort == 443",
            "port in (80, 400..500)",
            "port not in (80, 1000..65535)",
            "responderPort >= 443 and responderPort <= 443",
            "address in 192.0.2.0/24",
            "address == 2001:db8::5",
            "source in (10.0.0.0/8, 192.0.2.0/24) and destination in 2001:db8::/32",
            "device == 'dc-1' and action == block",
            "url contains \"EXAMPLE\"",
            "clientUrl contains 'example'",
            "initiatorTransmittedBytes > 1000 and not initiatorTransmittedBytes > 2000",
            "protocol == TCP and protocol == 6",
            "domain == 3",
            // It has no such field.
            "message != 'x'",
            "not generatorId < 5",
        ] {
            // `url` is not a field of connections, `clientUrl` is.
            let expected = !yes.starts_with("url ");
            assert_eq!(accepts(yes, &bytes, &names), expected, "{yes}");
        }
        for no in [
            "type == 400",
            "class == security-intelligence",
            "destinationPort < 443",
            "generatorId >= 0",
            "address in 10.0.0.0/8",
            "source == 2001:db8::5",
            "device == 'dc-2'",
            "message == 'x'",
            "class == connection and (port == 80 or domain == 4)",
        ] {
            assert!(!accepts(no, &bytes, &names), "{no}");
        }
    }

    #[test]
    fn numbers_with_names_and_bits() {
        let mut event = Event::new(500).unwrap();
        event.set("action", FileAction::MALWARE_BLOCK).unwrap();
        let file = encoded(&event);
        assert!(accepts("class == file and action == 'malware block'", &file, &[]));
        let mut event = Event::new(400).unwrap();
        event.set("impactFlags", ImpactFlags(0b101)).unwrap();
        let intrusion = encoded(&event);
        assert!(accepts("impactFlags has 0x5", &intrusion, &[]) && !accepts("impactFlags has 0x2", &intrusion, &[]));
        let mut event = Event::new(71).unwrap();
        event.set("securityIntelligenceLayer", 1u8).unwrap();
        let bytes = encoded(&event);
        assert!(accepts("class == security-intelligence and class == connection", &bytes, &[]));
    }

    #[test]
    fn what_can_be_told_from_the_record_type_alone() {
        let possible = |text: &str, record_type: u16| Filter::parse(text).unwrap().possible(record_type);
        assert!(possible("class == intrusion", 400) && !possible("class == intrusion", 71));
        assert!(possible("class == security-intelligence", 71) && !possible("class == security-intelligence", 500));
        assert!(!possible("generatorId == 1", 71) && possible("generatorId == 1", 400));
        assert!(possible("not generatorId == 1", 71));
        assert!(possible("class == malware or destinationPort == 1", 71));
        assert!(!possible("class == malware and destinationPort == 1", 71));
        assert!(possible("generatorId == 1", 3000), "of an unknown type nothing is known");
    }

    #[test]
    fn errors_name_the_place_and_the_remedy() {
        let cases = [
            ("", "the name of a field belongs here"),
            (
                "destinationPrt == 443",
                "no record has a field destinationPrt; did you mean destinationPort?, at character 1",
            ),
            ("port = 443", "equal is written ==, at character 6"),
            ("port == 443 &&", "the words are and, or, not, at character 13"),
            ("initiatorTransmittedBytes == many", "initiatorTransmittedBytes is a number"),
            ("class == connections", "the classes are connection, security-intelligence"),
            ("address == fw1", "an address (192.0.2.1) or network"),
            ("address in 10.0.0.0/40", "the prefix length of 10.0.0.0/40 must be 0 to 32"),
            ("port in 9..1", "upside down"),
            ("port in (1, 2", "a comma or a closing bracket belongs here, at character 14"),
            ("(port == 1", "a closing bracket is missing"),
            ("port == 1 port == 2", "and, or, or the end of the filter belongs here, at character 11"),
            ("message contains 5", "message can contain a text"),
            ("message == 'x", "this text has no end"),
            ("type == connection", "a record type is a number"),
            ("port", "==, !=, <"),
            ("port not == 1", "in, contains or has belongs after not"),
        ];
        for (text, words) in cases {
            let error = Filter::parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        let deep = "(".repeat(10_000);
        assert!(Filter::parse(&deep).unwrap_err().to_string().contains("too deep"));
        assert!(Filter::parse(&"not ".repeat(10_000)).is_err());
    }

    #[test]
    fn every_class_has_a_word() {
        for record in layout::records() {
            assert!(fields::CLASSES.contains(&class_of(record.record_type)), "{}", record.record_type);
        }
        assert_eq!(
            [71, 400, 2, 9, 125, 500, 10, 95, 112, 123, 110].map(class_of),
            [
                "connection",
                "intrusion",
                "packet",
                "impact",
                "malware",
                "file",
                "discovery",
                "user",
                "correlation",
                "metadata",
                "extra-data"
            ]
        );
    }
}
