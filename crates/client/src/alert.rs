//! Intrusion events as alerts, for traps and syslog lines.
//!
//! As the SDK's client does it: events of priority 1 and 2 are sent at once; the others are collected by rule and sent
//! every two minutes, the first of each rule standing for all, with their number.

use crate::text::{ip, line};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use wire::decode::Record;
use wire::layout::Class;

/// How long events of low priority are collected unless told otherwise.
pub const COLLECT: Duration = Duration::from_secs(120);

/// Rules whose text is remembered; more than any rule set has.
const RULES: usize = 500_000;

/// Rules collected at a time; when there are more, what is there is sent early.
const WAITING: usize = 10_000;

/// Bytes of a rule's text that are kept.
const TEXT: usize = 255;

/// An intrusion event, or several of the same rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// 1 is high.
    pub priority: u32,
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Events that this stands for.
    pub count: u32,
    /// Unix second of the (first) event.
    pub second: u32,
    /// Its microsecond.
    pub microsecond: u32,
    /// Generator id.
    pub generator: u32,
    /// Rule id.
    pub signature: u32,
    /// Revision of the rule.
    pub revision: u32,
    /// IP protocol.
    pub protocol: u8,
    /// Source port, or ICMP type.
    pub source_port: u16,
    /// Destination port, or ICMP code.
    pub destination_port: u16,
    /// Text of the rule; `rule GENERATOR:ID:REVISION` when no metadata has named it.
    pub message: String,
}

/// Makes alerts of records.
#[derive(Debug)]
pub struct Alerts {
    rules: HashMap<(u32, u32), String>,
    waiting: HashMap<(u32, u32), Alert>,
    /// Keys of `waiting` in order.
    order: Vec<(u32, u32)>,
    collect: Duration,
    since: Instant,
}

impl Alerts {
    /// Collects events of low priority for this long; for no time they are sent at once.
    pub fn new(collect: Duration) -> Self {
        let since = Instant::now();
        Alerts { rules: HashMap::new(), waiting: HashMap::new(), order: Vec::new(), collect, since }
    }

    /// Takes a record: an event, or the text of a rule. Says whether it is an event, and gives what is to be sent at once.
    pub fn take(&mut self, record: &Record<'_>) -> (bool, Vec<Alert>) {
        if record.layout.is_some_and(|l| l.event == 66) && record.problem().is_none() {
            self.name(record);
            return (false, Vec::new());
        }
        let Some(alert) = self.alert(record) else { return (false, Vec::new()) };
        if alert.priority <= 2 || self.collect.is_zero() {
            return (true, vec![alert]);
        }
        let early = if self.order.len() >= WAITING { self.rest() } else { Vec::new() };
        let key = (alert.generator, alert.signature);
        match self.waiting.entry(key) {
            Entry::Occupied(mut known) => {
                let count = &mut known.get_mut().count;
                *count = count.saturating_add(1);
            }
            Entry::Vacant(place) => {
                if self.order.is_empty() {
                    self.since = Instant::now();
                }
                self.order.push(key);
                place.insert(alert);
            }
        }
        (true, early)
    }

    /// What has been collected, once its time has come.
    pub fn due(&mut self) -> Vec<Alert> {
        match self.since.elapsed() >= self.collect {
            true => self.rest(),
            false => Vec::new(),
        }
    }

    /// All that has been collected, in the order of the first event of each rule.
    pub fn rest(&mut self) -> Vec<Alert> {
        self.since = Instant::now();
        let order = std::mem::take(&mut self.order);
        order.iter().filter_map(|key| self.waiting.remove(key)).collect()
    }

    fn name(&mut self, record: &Record<'_>) {
        let number = |name| record.uint(name).and_then(|n| u32::try_from(n).ok());
        let (Some(generator), Some(rule)) = (number("generatorId"), number("ruleId")) else { return };
        let Some(text) = record.field("message").and_then(|value| value.octets()) else { return };
        let text = line(text, TEXT);
        if !text.is_empty() && (self.rules.len() < RULES || self.rules.contains_key(&(generator, rule))) {
            self.rules.insert((generator, rule), text);
        }
    }

    fn alert(&self, record: &Record<'_>) -> Option<Alert> {
        record.layout.filter(|l| l.class == Class::Intrusion)?;
        let number = |name: &str| record.uint(name).and_then(|n| u32::try_from(n).ok());
        let small = |name: &str| number(name).and_then(|n| u16::try_from(n).ok()).unwrap_or(0);
        let (generator, signature, revision) = (number("generatorId")?, number("ruleId")?, number("ruleRevision")?);
        let message = match self.rules.get(&(generator, signature)) {
            Some(text) => text.clone(),
            None => format!("rule {generator}:{signature}:{revision}"),
        };
        Some(Alert {
            priority: number("priorityId")?,
            source: ip(record.field("sourceIpAddress")?)?,
            destination: ip(record.field("destinationIpAddress")?)?,
            count: 1,
            second: number("eventSecond")?,
            microsecond: number("eventMicrosecond").unwrap_or(0),
            generator,
            signature,
            revision,
            protocol: number("ipProtocolId").and_then(|n| u8::try_from(n).ok()).unwrap_or(0),
            source_port: small("sourcePortOrIcmpType"),
            destination_port: small("destinationPortOrIcmpType"),
            message,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use wire::decode::Decoder;
    use wire::event::{Event, Value};

    /// An intrusion event as event data; `numbers` replace the values of its fields.
    pub(crate) fn event(record: u16, source: &str, destination: &str, numbers: &[(&str, u64)]) -> Vec<u8> {
        let mut event = Event::new(record).unwrap();
        let block = event.main_mut();
        for (name, number) in [
            ("deviceId", 1),
            ("eventId", 2),
            ("eventSecond", 1_700_000_000),
            ("eventMicrosecond", 250_000),
            ("ruleId", 2003),
            ("generatorId", 1),
            ("ruleRevision", 5),
            ("classificationId", 33),
            ("priorityId", 2),
            ("sourcePortOrIcmpType", 1024),
            ("destinationPortOrIcmpType", 443),
            ("ipProtocolId", 6),
        ]
        .iter()
        .chain(numbers)
        {
            block.set(name, Value::Uint(*number)).unwrap();
        }
        for (name, text) in [("sourceIpAddress", source), ("destinationIpAddress", destination)] {
            let address: IpAddr = text.parse().unwrap();
            let position = block.layout().position(name).unwrap();
            match (block.layout().fields[position].fixed, address) {
                (4, IpAddr::V4(v4)) => block.set_at(position, v4.octets()),
                _ => block.set_at(position, address),
            }
        }
        let mut out = Vec::new();
        event.encode(None, &mut out);
        out
    }

    fn rule(signature: u32, text: &str) -> Vec<u8> {
        let mut event = Event::new(66).unwrap();
        let block = event.main_mut();
        block.set("generatorId", Value::Uint(1)).unwrap();
        block.set("ruleId", Value::Uint(signature.into())).unwrap();
        block.set("message", Value::Octets(text.into())).unwrap();
        let mut out = Vec::new();
        event.encode(None, &mut out);
        out
    }

    /// The alert of [`event`], named.
    pub(crate) fn alert() -> Alert {
        let mut alerts = Alerts::new(COLLECT);
        alerts.take(&Decoder::new().decode(&rule(2003, "MALWARE-CNC beacon")).unwrap());
        let item = event(104, "192.0.2.1", "198.51.100.2", &[]);
        alerts.take(&Decoder::new().decode(&item).unwrap()).1.remove(0)
    }

    #[test]
    fn high_priorities_go_at_once_and_low_ones_together() {
        let mut alerts = Alerts::new(COLLECT);
        let mut take = |item: &[u8]| alerts.take(&Decoder::new().decode(item).unwrap());
        assert_eq!(take(&rule(2003, "SCAN\nprobe\0")), (false, vec![]));
        let (known, sent) = take(&event(400, "2001:db8::1", "192.0.2.9", &[("priorityId", 1)]));
        assert!(known && sent[0].message == "SCAN probe" && sent[0].source.is_ipv6(), "{sent:?}");
        for signature in [2003, 7, 2003, 2003] {
            let (known, sent) =
                take(&event(104, "192.0.2.1", "192.0.2.2", &[("priorityId", 3), ("ruleId", signature)]));
            assert!(known && sent.is_empty());
        }
        assert_eq!(alerts.due(), []);
        let rest: Vec<_> = alerts.rest().into_iter().map(|a| (a.message, a.count)).collect();
        assert_eq!(rest, [("SCAN probe".to_owned(), 3), ("rule 1:7:5".to_owned(), 1)]);
        assert_eq!(alerts.rest(), []);
        let mut at_once = Alerts::new(Duration::ZERO);
        let low = event(104, "192.0.2.1", "192.0.2.2", &[("priorityId", 4)]);
        assert_eq!(at_once.take(&Decoder::new().decode(&low).unwrap()).1.len(), 1);
    }

    #[test]
    fn what_is_collected_is_bounded() {
        let mut alerts = Alerts::new(COLLECT);
        let mut sent = 0;
        for signature in 0..WAITING as u64 + 5 {
            let item = event(104, "192.0.2.1", "192.0.2.2", &[("priorityId", 3), ("ruleId", signature)]);
            sent += alerts.take(&Decoder::new().decode(&item).unwrap()).1.len();
        }
        assert_eq!((sent, alerts.rest().len()), (WAITING, 5));
    }
}
