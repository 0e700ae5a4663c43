//! From a decoded record to names and derived values, in the order eNcore prints them.
//!
//! What is looked up where is data (`wire::resolution`); for each pair of record type and block layout it is compiled
//! once to positions and table numbers. Values that are no look-ups follow the rules of [`wire::resolution::Rule`].

mod encore;

use crate::tables::{Entry, Key, TableId, Tables, table_id, text};
use crate::time::TimeText;
use outputs::resolved::Computed;
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::net::IpAddr;
use wire::decode::{Record, Value, View};
use wire::resolution::{Named, Naming, Rule, names_of};

/// A name or derived value with its key.
pub type Item<'a> = (&'static str, Computed<'a>);

/// Resolves records; one for each thread.
#[derive(Debug)]
pub struct Resolver {
    naming: Naming,
    programs: FxHashMap<(u16, u16), Program>,
    key: Key,
    time: TimeText,
    /// The table of domains (netmap ids).
    domains: TableId,
}

/// What to do for one record type and block layout.
#[derive(Debug)]
struct Program {
    steps: Vec<Step>,
    second: Option<(Place, Option<Place>)>,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    table: TableId,
    rule: Rule,
    /// Printed even without a name: null when there is none, empty when metadata gave an empty one.
    always: bool,
    naming: Naming,
    key: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Number(u64),
    Field(Place),
}

/// Where a field is.
#[derive(Debug, Clone)]
enum Place {
    Main(usize),
    Discovery(usize),
    /// A path of names into nested blocks.
    Path(&'static str),
}

impl Place {
    fn find(record: &Record<'_>, name: &'static str) -> Option<Place> {
        if name.contains('.') {
            return Some(Place::Path(name));
        }
        let main = record.main().layout().and_then(|l| l.position(name)).map(Place::Main);
        main.or_else(|| record.discovery()?.layout()?.position(name).map(Place::Discovery))
    }

    #[inline]
    fn value<'r>(&self, main: &View<'r>, record: &Record<'r>) -> Option<Value<'r>> {
        match self {
            Place::Main(i) => main.value(*i),
            Place::Discovery(i) => record.discovery()?.value(*i),
            Place::Path(path) => {
                let mut names = path.split('.');
                let mut value = main.named(names.next()?)?;
                for name in names {
                    value = match value {
                        Value::Block(block) => block.named(name)?,
                        Value::List(list) => list.items().next()?.named(name)?,
                        _ => return None,
                    };
                }
                Some(value)
            }
        }
    }
}

impl Resolver {
    /// A resolver.
    pub fn new() -> Self {
        Resolver::with(Naming::Ours)
    }

    /// A resolver that names as eNcore does, or as we do.
    pub fn with(naming: Naming) -> Self {
        Resolver {
            naming,
            programs: FxHashMap::default(),
            key: Key::default(),
            time: if naming == Naming::Ours { TimeText::default() } else { TimeText::local() },
            domains: table_id("netmapDomains").unwrap_or(TableId::MAX),
        }
    }

    /// Appends names and derived values of `record` to `out`.
    pub fn resolve<'a>(&mut self, record: &Record<'a>, tables: &'a Tables, out: &mut Vec<Item<'a>>) {
        let Some(layout) = record.layout else { return };
        out.push(("recordTypeCategory", Computed::Text(Cow::Borrowed(layout.category))));
        out.push(("recordTypeDescription", Computed::Text(Cow::Borrowed(layout.name))));
        let main = record.main();
        let id = (layout.record_type, main.layout().map_or(u16::MAX, |l| l.index));
        let program = self.programs.entry(id).or_insert_with(|| Program::compile(record, self.naming));
        for step in &program.steps {
            if let Some(value) = step.run(&main, record, tables, &mut self.key) {
                out.push((step.name, value));
            }
        }
        let uint = |place: &Place| place.value(&main, record).and_then(|v| v.as_uint());
        let event = program.second.as_ref();
        let own = event.and_then(|(second, _)| uint(second)).filter(|s| *s != 0);
        let archived = || record.header.timestamp.map(u64::from).filter(|s| *s != 0);
        if let Some(second) = own.or_else(archived) {
            // They are the event's even when its second is 0 and the archival one stands in.
            let micro = event.and_then(|(_, micro)| uint(micro.as_ref()?)).unwrap_or(0);
            out.push(("eventSecond", Computed::Uint(second)));
            out.push(("eventDateTime", Computed::Text(Cow::Owned(self.time.text(second, micro)))));
            if micro != 0 {
                out.push(("eventMicrosecond", Computed::Uint(micro)));
            }
        }
        // eNcore never looks at the domain.
        if self.naming == Naming::Ours
            && let Some(domain) = tables.number(self.domains, record.header.netmap.into()).filter(|d| !d.is_empty())
        {
            out.push(("domain", Computed::Text(Cow::Borrowed(domain))));
        }
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Resolver::new()
    }
}

impl Program {
    fn compile(record: &Record<'_>, naming: Naming) -> Program {
        let find = |name| Place::find(record, name);
        let times: [(&str, Option<&str>); 4] = [
            ("eventSecond", Some("eventMicrosecond")),
            ("fileEventTimestamp", None),
            ("triggerEventSecond", Some("triggerEventMicrosecond")),
            ("timestamp", None),
        ];
        let second = times.into_iter().find_map(|(s, micro)| Some((find(s)?, micro.and_then(find))));
        Program {
            steps: names_of(record.record_type())
                .iter()
                .filter(|n| n.only.is_empty() || n.only.contains(&naming))
                .filter_map(|n| Step::compile(n, record, naming))
                .collect(),
            second,
        }
    }
}

impl Step {
    fn compile(named: &'static Named, record: &Record<'_>, naming: Naming) -> Option<Step> {
        let part = |name: &&'static str| match name.parse() {
            Ok(number) => Some(Part::Number(number)),
            Err(_) => Place::find(record, name).map(Part::Field),
        };
        let key = named.key.iter().map(part).collect::<Option<Vec<Part>>>()?;
        let table = table_id(named.table).unwrap_or(TableId::MAX);
        let rule = match (named.rule, naming) {
            (rule, Naming::Ours) => rule,
            (Rule::Bits, _) => Rule::Lookup,
            (rule, _) => rule,
        };
        Some(Step { name: named.name, table, rule, always: named.name == "sensor", naming, key })
    }

    fn run<'a>(&self, main: &View<'a>, record: &Record<'a>, tables: &'a Tables, key: &mut Key) -> Option<Computed<'a>> {
        let field = |i: usize| match self.key.get(i)? {
            Part::Number(n) => Some(Value::Uint(*n)),
            Part::Field(place) => place.value(main, record),
        };
        let uint = |i: usize| field(i).and_then(|v| v.as_uint());
        let octets = |i: usize| field(i).and_then(|v| v.octets());
        let encore = self.naming != Naming::Ours;
        Some(match self.rule {
            Rule::Lookup | Rule::Number | Rule::Bits | Rule::NaWhenZero => {
                let last = self.key.len().checked_sub(1)?;
                if self.rule == Rule::NaWhenZero && uint(last) == Some(0) {
                    return Some(Computed::Text(Cow::Borrowed("N/A")));
                }
                key.clear();
                for i in 0..self.key.len() {
                    key.value(field(i)?);
                }
                let name = tables.entry(self.table, key);
                if self.always {
                    return Some(name.map_or(Computed::Null, |name| Computed::Text(Cow::Borrowed(name))));
                }
                match name.filter(|name| !name.is_empty()) {
                    Some(name) if self.rule == Rule::Number => Computed::Uint(name.parse().ok()?),
                    Some(name) => Computed::Text(Cow::Borrowed(name)),
                    None if self.rule == Rule::Bits => self.bits(uint(last)?, tables)?,
                    None => return None,
                }
            }
            Rule::Block => {
                key.clear();
                for i in 0..self.key.len() {
                    key.value(field(i)?);
                }
                match tables.block(self.table, key)? {
                    Entry::Text(text) => Computed::Text(Cow::Borrowed(text)),
                    Entry::Block(octets) => Computed::Block(octets),
                }
            }
            Rule::LookupIf => {
                octets(1).filter(|octets| !octets.is_empty())?;
                Computed::Text(Cow::Borrowed(tables.number(self.table, uint(0)?)?))
            }
            Rule::IsSet => Computed::Text(Cow::Borrowed(if uint(0)? != 0 { "Yes" } else { "No" })),
            Rule::ImpactLevel => Computed::Uint(impact_level(uint(0)?)),
            Rule::AlertText => Computed::Text(Cow::Owned(alert_text(&text(octets(0)?)))),
            Rule::Packet => hex(octets(0)?)?,
            Rule::Payload if encore => hex(outputs::encore_payload(octets(0)?, self.naming == Naming::Encore3))?,
            Rule::Payload => hex(payload(octets(0)?, uint(1)?))?,
            Rule::ExtraDataAddress if encore => {
                Computed::Text(Cow::Owned(encore::extra_data_address(uint(0)?, octets(1)?)?))
            }
            Rule::ExtraDataAddress => Computed::Text(Cow::Owned(extra_data_address(uint(0)?, octets(1)?)?.to_string())),
            Rule::ExtraDataUri => match uint(0)? {
                9 => some_text(octets(1)?)?,
                _ => return None,
            },
            // A copy of nothing is empty.
            Rule::Copy if self.key.is_empty() => Computed::Text(Cow::Borrowed("")),
            Rule::Copy => match field(0)? {
                Value::Uint(0) => return None,
                Value::Uint(n) => Computed::Uint(n),
                other => some_text(other.octets()?)?,
            },
            Rule::Address if encore => Computed::Text(Cow::Owned(encore::eight_groups(octets(0)?)?)),
            Rule::Address => {
                let octets: &[u8; 16] = octets(0)?.try_into().ok()?;
                Computed::Text(Cow::Owned(wire::event::address(octets).to_string()))
            }
            Rule::DiscoveryEvent => Computed::Text(Cow::Borrowed(wire::names::discovery_event(uint(0)?, uint(1)?)?)),
        })
    }

    /// The names of the bits of a number, if all of them have one.
    fn bits<'a>(&self, number: u64, tables: &'a Tables) -> Option<Computed<'a>> {
        let mut names = Vec::new();
        for bit in (0..64).map(|b| 1u64 << b).filter(|b| number & b != 0) {
            names.push(tables.number(self.table, bit).filter(|n| !n.is_empty())?);
        }
        (!names.is_empty()).then(|| Computed::Text(Cow::Owned(names.join(", "))))
    }
}

/// Impact level from the impact flags: 1 red, 2 orange, 3 yellow, 4 blue, 0 unknown (5.3 p.80).
pub fn impact_level(flags: u64) -> u64 {
    if flags & 0b1101_1000 != 0 {
        1
    } else if flags & 0b110 == 0b110 {
        2
    } else if flags & 0b10 != 0 {
        3
    } else if flags & 1 != 0 {
        4
    } else {
        0
    }
}

fn alert_text(text: &str) -> String {
    let inner =
        text.split_once("[Impact: ").and_then(|(_, rest)| rest.split_once(']')).map(|(inner, _)| inner.to_owned());
    inner.unwrap_or_else(|| text.replace('"', "'"))
}

/// The address in extra data: type 1 is IPv4, type 2 IPv6 (which may hold IPv4), types 11 and 12 the IPv6 addresses of
/// the packet itself (Snort manual, unified2 extra data).
fn extra_data_address(kind: u64, octets: &[u8]) -> Option<IpAddr> {
    if !matches!(kind, 1 | 2) {
        return None;
    }
    if let Ok(four) = <[u8; 4]>::try_from(octets) {
        return Some(IpAddr::from(four));
    }
    // Snort writes IPv4 with and without the mark of a mapped address.
    match octets.first_chunk::<16>()? {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] if *a != 0 => Some(IpAddr::from([*a, *b, *c, *d])),
        other => Some(wire::event::address(other)),
    }
}

/// What a packet carries above TCP or UDP; of anything else what follows the last header understood.
fn payload(packet: &[u8], link_type: u64) -> &[u8] {
    let rest = |at: usize| packet.get(at..).unwrap_or_default();
    let word = |at: usize| packet.get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    // Link type 1 is Ethernet, 101 raw IP (the numbers of libpcap).
    let mut at = if link_type == 101 { 0 } else { 14 };
    if link_type != 101 {
        let mut kind = word(12);
        while matches!(kind, 0x8100 | 0x88a8) {
            kind = word(at + 2);
            at += 4;
        }
        if !matches!(kind, 0x0800 | 0x86dd) {
            return rest(at);
        }
    }
    let byte = |at: usize| packet.get(at).copied().unwrap_or(0);
    let (protocol, next, end) = match byte(at) >> 4 {
        4 => {
            let total = usize::from(word(at + 2));
            (byte(at + 9), at + usize::from(byte(at) & 15) * 4, at + total)
        }
        6 => (byte(at + 6), at + 40, at + 40 + usize::from(word(at + 4))),
        _ => return rest(at),
    };
    let start = match protocol {
        6 => next + usize::from(byte(next + 12) >> 4) * 4,
        17 => next + 8,
        _ => next,
    };
    // Short Ethernet frames are padded: the IP length says where the packet ends.
    let end = if end > start { end.min(packet.len()) } else { packet.len() };
    packet.get(start..end).unwrap_or_default()
}

/// Text that is not empty.
fn some_text(octets: &[u8]) -> Option<Computed<'static>> {
    let text = text(octets);
    (!text.is_empty()).then_some(Computed::Text(Cow::Owned(text)))
}

/// Octets in hex, if there are any.
fn hex(octets: &[u8]) -> Option<Computed<'static>> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| DIGITS[usize::from(n & 15)];
    let mut text = Vec::with_capacity(2 * octets.len());
    for octet in octets {
        text.extend_from_slice(&[digit(octet >> 4), digit(*octet)]);
    }
    (!text.is_empty()).then(|| Computed::Text(Cow::Owned(String::from_utf8(text).unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::decode::Decoder;
    use wire::event::Event;

    fn resolved(event: &Event, tables: &Tables) -> Vec<(String, String)> {
        let mut bytes = Vec::new();
        event.encode(Some(1_714_000_005), &mut bytes);
        let mut decoder = Decoder::new();
        let record = decoder.decode(&bytes).unwrap();
        let mut out = Vec::new();
        Resolver::new().resolve(&record, tables, &mut out);
        let text = |c: Computed<'_>| match c {
            Computed::Text(t) => t.into_owned(),
            Computed::Uint(n) => n.to_string(),
            Computed::Block(_) => "block".into(),
            Computed::Null => "null".into(),
        };
        out.into_iter().map(|(k, v)| (k.to_owned(), text(v))).collect()
    }

    fn find<'a>(list: &'a [(String, String)], key: &str) -> Option<&'a str> {
        list.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    #[test]
    fn an_intrusion_event_is_named() {
        let mut tables = Tables::built_in();
        let mut decoder = Decoder::new();
        let mut rule = Event::new(66).unwrap();
        rule.set("generatorId", 1u32).unwrap().set("ruleId", 2003u32).unwrap();
        rule.set("signatureId", 2003u32).unwrap().set("message", "SLAMMER").unwrap();
        let mut bytes = Vec::new();
        rule.encode(None, &mut bytes);
        tables.store(&decoder.decode(&bytes).unwrap());
        let mut event = Event::new(400).unwrap();
        for (name, value) in
            [("generatorId", 1u32), ("ruleId", 2003), ("eventSecond", 1_714_000_000), ("eventMicrosecond", 7)]
        {
            event.set(name, value).unwrap();
        }
        event.set("impactFlags", 6u8).unwrap().set("ipProtocolId", 17u8).unwrap();
        let names = resolved(&event, &tables);
        assert_eq!(find(&names, "message"), Some("SLAMMER"));
        assert_eq!(find(&names, "renderedId"), Some("2003"));
        assert_eq!(find(&names, "transportProtocol"), Some("UDP"));
        assert_eq!(find(&names, "impact"), Some("2"));
        assert_eq!(find(&names, "eventDateTime"), Some("2024-04-24T23:06:40.000007Z"));
        assert_eq!(names[0].1, "IPS EVENT");
    }

    #[test]
    fn combined_bits_are_named_together() {
        let mut event = Event::new(71).unwrap();
        event.set("ruleReason", 65u32).unwrap().set("securityIntelligenceSourceDestination", 1u8).unwrap();
        let names = resolved(&event, &Tables::built_in());
        assert_eq!(find(&names, "firewallRuleReason"), Some("IP Block, Intrusion Block"));
        assert_eq!(find(&names, "securityIntelligenceEvent"), Some("Yes"));
        assert_eq!(find(&names, "monitorRule8"), Some("N/A"));
        assert_eq!(find(&names, "eventSecond"), Some("1714000005"), "the archival time when the event has none");
    }

    #[test]
    fn sensors_are_there_without_a_name() {
        let devices = |name: &str| {
            let mut tables = Tables::built_in();
            let mut event = Event::new(123).unwrap();
            event.set("id", 7u32).unwrap().set("name", name).unwrap();
            let mut bytes = Vec::new();
            event.encode(None, &mut bytes);
            tables.store(&Decoder::new().decode(&bytes).unwrap());
            tables
        };
        let mut event = Event::new(400).unwrap();
        event.set("deviceId", 7u32).unwrap();
        let sensor = |tables: &Tables| find(&resolved(&event, tables), "sensor").map(str::to_owned);
        assert_eq!(sensor(&devices("fw")).as_deref(), Some("fw"));
        assert_eq!(sensor(&devices("")).as_deref(), Some(""));
        assert_eq!(sensor(&Tables::built_in()).as_deref(), Some("null"));
    }

    #[test]
    fn microseconds_stay_when_the_second_is_the_archival_one() {
        let mut event = Event::new(400).unwrap();
        event.set("eventMicrosecond", 999_999u32).unwrap();
        let names = resolved(&event, &Tables::built_in());
        assert_eq!(find(&names, "eventSecond"), Some("1714000005"));
        assert_eq!(find(&names, "eventDateTime"), Some("2024-04-24T23:06:45.999999Z"));
        assert_eq!(find(&names, "eventMicrosecond"), Some("999999"));
    }

    #[test]
    fn what_is_empty_is_not_derived() {
        let empty = |record: u16| resolved(&Event::new(record).unwrap(), &Tables::built_in());
        let packet = empty(2);
        assert_eq!((find(&packet, "originalPacket"), find(&packet, "packet")), (None, None));
        let mut uri = Event::new(110).unwrap();
        uri.set("type", 9u32).unwrap();
        assert_eq!(find(&resolved(&uri, &Tables::built_in()), "xffUri"), None);
        assert_eq!(find(&empty(112), "description"), Some(""), "but this always is");
    }

    #[test]
    fn impact_levels() {
        let levels: Vec<u64> = [0, 1, 2, 3, 4, 6, 7, 8, 128].map(impact_level).to_vec();
        assert_eq!(levels, [0, 4, 3, 3, 0, 2, 2, 1, 1]);
        assert_eq!(alert_text(r#"[Impact: Vulnerable] "x""#), "Vulnerable");
        assert_eq!(alert_text(r#"a "b""#), "a 'b'");
    }

    #[test]
    fn payloads_of_real_frames() {
        let ethernet = [0u8; 12];
        let ip = [0x45, 0, 0, 31, 0, 0, 0, 0, 64, 17, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2];
        let udp = [0, 1, 0, 2, 0, 11, 0, 0, b'a', b'b', b'c'];
        let frame = [&ethernet[..], &[8, 0], &ip, &udp, &[0; 7]].concat();
        assert_eq!(payload(&frame, 1), b"abc");
        let vlan = [&ethernet[..], &[0x81, 0, 0, 5, 8, 0], &ip, &udp].concat();
        assert_eq!(payload(&vlan, 1), b"abc");
        assert_eq!(payload(&[&ip[..], &udp].concat(), 101), b"abc");
        let arp = [&ethernet[..], &[8, 6], b"arp"].concat();
        assert_eq!(payload(&arp, 1), b"arp");
        for cut in 0..frame.len() {
            payload(&frame[..cut], 1);
        }
    }

    #[test]
    fn addresses_in_extra_data() {
        assert_eq!(extra_data_address(1, &[10, 0, 0, 1]).unwrap().to_string(), "10.0.0.1");
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 9];
        assert_eq!(extra_data_address(2, &mapped).unwrap().to_string(), "203.0.113.9");
        let unmarked = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 203, 0, 113, 9];
        assert_eq!(extra_data_address(2, &unmarked).unwrap().to_string(), "203.0.113.9");
        assert_eq!(extra_data_address(9, &[10, 0, 0, 1]), None);
    }
}
