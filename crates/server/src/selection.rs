//! What a client gets of the archive, and in which form.

use archive::Kind;
use control::{Captured, Table};
use rustc_hash::FxHashMap;
use wire::cursor::u32_at;
use wire::decode::Decoder;
use wire::event::Event;
use wire::layout::{self, RecordLayout};
use wire::message::MessageType;
use wire::plan::Plan;
use wire::record::{self, LONG_HEADER, RecordHeader, SHORT_HEADER};
use wire::subscription::{Form, Subscription};
use wire::versions::Version;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of an item header: u32 message type, u32 length.
pub(crate) const ITEM_HEADER: usize = 8;

/// Record types decided in advance; those above are not in any request.
const TYPES: usize = 1024;

/// Metadata remembered for a session, some 20 bytes each; beyond it all is forgotten, so that some is sent twice.
const REMEMBERED: usize = 1 << 19;

/// Plans remembered for a session; more than a stream of all versions there are has layouts.
const PLANS: usize = 1024;

/// Where the flag "Has IPv6" is in a discovery event header, and the header's size without and with it
/// (eStreamer Integration Guide 5.3 p.200).
const HAS_IPV6: usize = 14;
const DISCOVERY_SHORT: usize = 40;
const DISCOVERY_LONG: usize = 56;

/// Selects and converts items for one session.
pub(crate) struct Selection {
    /// For each record type its place in `choices`; there are few different ones, and hundreds of sessions.
    places: Box<[u16; TYPES]>,
    choices: Vec<Choice>,
    timestamps: bool,
    /// What may be sent, whatever was asked for.
    captured: Table,
    decoder: Decoder,
    /// How records are converted, by record type and number of the layout they have; `None` where there is no plan.
    plans: FxHashMap<(u16, u16), Option<Plan>>,
    /// Hash of a metadata record's key to the hash of the item that was sent last.
    sent: FxHashMap<u64, u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    Skip,
    Plain,
    /// In this version, which may have another record for it.
    Version(&'static Version, Shape),
}

/// How a record looks that needs no conversion.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    /// The version has this record type in this form. Without that all are converted.
    own: bool,
    /// The data block it begins with, if it does.
    block: Option<u32>,
    /// A discovery event header comes before the block.
    discovery: bool,
}

impl Shape {
    fn new(version: &'static Version, record: &'static RecordLayout) -> Shape {
        Shape {
            own: version.own(record.record_type).is_some_and(|own| std::ptr::eq(own, record)),
            block: version.first_block(record).map(|layout| layout.number),
            discovery: record.discovery_header,
        }
    }

    /// Whether a record has it, without decoding the record.
    fn fits(&self, version: &Version, item: &[u8]) -> bool {
        self.own && self.look(version, item).unwrap_or(true)
    }

    /// `None` for a record that is too short to tell: nothing can be made of it but what it is.
    fn look(&self, version: &Version, item: &[u8]) -> Option<bool> {
        let body = item.get(ITEM_HEADER..)?;
        let length = u32_at(body, 4)? as usize;
        let header = if length.checked_add(LONG_HEADER)? == body.len() { LONG_HEADER } else { SHORT_HEADER };
        let data = body.get(header..)?;
        let at = match self.discovery {
            false => 0,
            true if *data.get(HAS_IPV6)? == 0 => DISCOVERY_SHORT,
            true if version.short_header => return Some(false),
            true => DISCOVERY_LONG,
        };
        match self.block {
            None => Some(true),
            Some(wanted) => Some(u32_at(data, at)? == wanted),
        }
    }
}

/// What becomes of an item.
enum Verdict {
    Skip,
    AsItIs,
    Short,
    Convert(&'static Version),
}

impl Selection {
    pub(crate) fn new(subscription: &Subscription) -> Self {
        let mut places = Box::new([0; TYPES]);
        let mut choices = vec![Choice::Skip];
        for (record_type, place) in (0u16..).zip(places.iter_mut()) {
            let choice = match subscription.form(record_type) {
                None => Choice::Skip,
                Some(Form::Plain) => Choice::Plain,
                Some(Form::Version(version)) => match layout::record(record_type) {
                    Some(record) => Choice::Version(version, Shape::new(version, record)),
                    None => Choice::Skip,
                },
            };
            let known = choices.iter().position(|known| *known == choice).unwrap_or(choices.len());
            if known == choices.len() {
                choices.push(choice);
            }
            // There are not more than record types.
            *place = known as u16;
        }
        choices.shrink_to_fit();
        let timestamps = subscription.timestamps();
        let captured = Captured::ALL.table();
        let (decoder, plans, sent) = (Decoder::new(), FxHashMap::default(), FxHashMap::default());
        Selection { places, choices, timestamps, captured, decoder, plans, sent }
    }

    /// Lets only these event types pass from now on.
    pub(crate) fn capture(&mut self, captured: Captured) {
        if self.captured.captured() != captured {
            self.captured = captured.table();
        }
    }

    /// Whether the request selects no record at all, as one that only opens a session for host requests.
    pub(crate) fn is_empty(&self) -> bool {
        self.choices.iter().all(|choice| matches!(choice, Choice::Skip))
    }

    /// Appends what is wanted of `items` to `out` and counts it. Items that go as they are are copied in runs; when that
    /// is all of them and `out` is empty, the buffers change places.
    pub(crate) fn select(&mut self, kind: Kind, items: &mut Vec<u8>, out: &mut Vec<u8>) -> u64 {
        let (mut count, mut run, mut at) = (0, 0, 0);
        while let Some(item) = first_item(items.get(at..).unwrap_or_default()) {
            let verdict = match kind {
                Kind::Events => self.event(item),
                Kind::Sticky { .. } => self.metadata(item),
            };
            let end = at + item.len();
            if !matches!(verdict, Verdict::AsItIs) {
                out.extend_from_slice(items.get(run..at).unwrap_or_default());
                run = end;
            }
            match verdict {
                Verdict::Skip | Verdict::AsItIs => {}
                Verdict::Short => push_short(item, out),
                Verdict::Convert(version) => self.convert(item, version, out),
            }
            count += u64::from(!matches!(verdict, Verdict::Skip));
            at = end;
        }
        if run == 0 && at == items.len() && out.is_empty() {
            std::mem::swap(items, out);
        } else {
            out.extend_from_slice(items.get(run..at).unwrap_or_default());
        }
        count
    }

    fn choice(&self, item: &[u8]) -> Choice {
        let record_type = record::record_type(item.get(ITEM_HEADER..).unwrap_or_default());
        if !self.captured.allows(record_type) {
            return Choice::Skip;
        }
        let place = self.places.get(usize::from(record_type)).copied().unwrap_or(0);
        self.choices.get(usize::from(place)).copied().unwrap_or(Choice::Skip)
    }

    fn event(&self, item: &[u8]) -> Verdict {
        match self.choice(item) {
            Choice::Skip => Verdict::Skip,
            Choice::Version(version, shape) if !shape.fits(version, item) => Verdict::Convert(version),
            Choice::Plain | Choice::Version(..) => self.whole(),
        }
    }

    /// As it is, but for the archival timestamp.
    fn whole(&self) -> Verdict {
        if self.timestamps { Verdict::AsItIs } else { Verdict::Short }
    }

    /// Metadata goes out when it says something new: the copies at the head of a segment are known already.
    fn metadata(&mut self, item: &[u8]) -> Verdict {
        if matches!(self.choice(item), Choice::Skip) {
            return Verdict::Skip;
        }
        let record = item.get(ITEM_HEADER..).unwrap_or_default();
        let key = self.decoder.decode(record).ok().and_then(|r| r.metadata_key());
        let key = key.map_or_else(|| xxh3_64(record), |key| xxh3_64(&key));
        let hash = xxh3_64(record);
        if self.sent.len() >= REMEMBERED {
            self.sent.clear();
        }
        if self.sent.insert(key, hash) == Some(hash) {
            return Verdict::Skip;
        }
        self.event(item)
    }

    /// Appends an event in another version. What cannot be understood goes as it is: the client may know more than we
    /// do.
    fn convert(&mut self, item: &[u8], version: &'static Version, out: &mut Vec<u8>) {
        let body = item.get(ITEM_HEADER..).unwrap_or_default();
        let event = match self.decoder.decode(body) {
            Ok(record) if !record.opaque() && record.problem().is_none() => {
                let layout = record.main().layout().map_or(u16::MAX, |l| l.index);
                if self.plans.len() >= PLANS {
                    self.plans.clear();
                }
                let plan =
                    self.plans.entry((record.record_type(), layout)).or_insert_with(|| Plan::new(&record, version));
                let second = record.header.timestamp.filter(|_| self.timestamps);
                if plan.as_ref().is_some_and(|plan| plan.convert(&record, second, out)) {
                    return;
                }
                Event::try_from(&record).ok().map(|event| (event, record.header.timestamp))
            }
            _ => None,
        };
        let converted = event.as_ref().and_then(|(event, second)| Some((event.in_version(version)?, *second)));
        match converted {
            Some((event, second)) => event.encode_item(second.filter(|_| self.timestamps), out),
            None if self.timestamps => out.extend_from_slice(item),
            None => push_short(item, out),
        }
    }
}

/// Keeps the items whose types are captured, and says how many they are.
pub(crate) fn keep(captured: &Table, items: &mut Vec<u8>) -> u64 {
    let (mut count, mut at, mut kept) = (0, 0, Vec::with_capacity(items.len()));
    while let Some(item) = first_item(items.get(at..).unwrap_or_default()) {
        at += item.len();
        if captured.allows(record::record_type(item.get(ITEM_HEADER..).unwrap_or_default())) {
            kept.extend_from_slice(item);
            count += 1;
        }
    }
    *items = kept;
    count
}

/// The first item of a run, its header included.
pub(crate) fn first_item(items: &[u8]) -> Option<&[u8]> {
    let length = u32_at(items, 4)? as usize;
    items.get(..ITEM_HEADER.checked_add(length)?)
}

/// Appends an item with the short record header.
fn push_short(item: &[u8], out: &mut Vec<u8>) {
    let body = item.get(ITEM_HEADER..).unwrap_or_default();
    let header = RecordHeader::parse(body).map_or(0, |h| h.size);
    let length = body.len() - header.saturating_sub(SHORT_HEADER);
    out.extend_from_slice(&u32::from(MessageType::EVENT_DATA.0).to_be_bytes());
    out.extend_from_slice(&(length as u32).to_be_bytes());
    if record::push_short(body, out).is_err() {
        out.extend_from_slice(body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::request::EventVersion;

    const EVENTS: Kind = Kind::Events;
    const STICKY: Kind = Kind::Sticky { snapshot: false };

    fn event(record_type: u16, ipv6: bool) -> Vec<u8> {
        let mut event = Event::new(record_type).unwrap();
        if let Some(header) = event.discovery_mut() {
            header.set("hasIpv6", u8::from(ipv6)).unwrap();
        }
        let mut item = Vec::new();
        event.encode_item(Some(77), &mut item);
        item
    }

    fn metadata(name: &str) -> Vec<u8> {
        let mut event = Event::new(123).unwrap();
        event.set("id", 1u32).unwrap().set("name", name).unwrap();
        let mut item = Vec::new();
        event.encode_item(None, &mut item);
        item
    }

    fn selection(flags: u32, events: &[(u16, u16)]) -> Selection {
        let events: Vec<_> =
            events.iter().map(|(code, version)| EventVersion { code: *code, version: *version }).collect();
        Selection::new(&Subscription::new(flags, 0, &events))
    }

    fn select(selection: &mut Selection, kind: Kind, items: &[&[u8]]) -> (u64, Vec<u8>) {
        let mut out = Vec::new();
        (selection.select(kind, &mut items.concat(), &mut out), out)
    }

    /// The block type of a connection event.
    fn block(item: &[u8]) -> Option<u32> {
        let mut decoder = Decoder::new();
        let record = decoder.decode(&item[ITEM_HEADER..]).ok()?;
        Some(record.main().block_type())
    }

    #[test]
    fn wanted_items_are_copied_in_runs_and_others_left_out() {
        let (connection, packet, file) = (event(71, true), event(2, true), event(500, true));
        let mut wants = selection(0x4080_0001, &[(71, 17)]);
        let (count, out) = select(&mut wants, EVENTS, &[&file, &connection, &packet, &file, &packet, &file]);
        assert_eq!((count, out), (3, [&connection[..], &packet, &packet].concat()));
        // All of it: the buffers change places.
        let mut items = [&packet[..], &packet].concat();
        let (expected, address) = (items.clone(), items.as_ptr());
        let mut out = Vec::new();
        assert_eq!(wants.select(EVENTS, &mut items, &mut out), 2);
        assert_eq!((out.as_ptr(), &out), (address, &expected));
        // An item that is cut off is none, and does no harm.
        assert_eq!(select(&mut wants, EVENTS, &[&packet, &packet[..20]]), (1, packet));
    }

    #[test]
    fn older_versions_are_converted_whether_or_not_the_header_has_ipv6() {
        for ipv6 in [false, true] {
            let stored = event(71, ipv6);
            let mut wants = selection(0x4080_0000, &[(71, 14)]);
            let (count, out) = select(&mut wants, EVENTS, &[&stored]);
            assert_eq!(count, 1);
            assert_eq!((block(&stored), block(&out)), (Some(174), Some(163)));
            assert_eq!(first_item(&out).unwrap().len(), out.len());
            assert_eq!(u32_at(&out, archive::SECOND_AT), Some(77));
            // Once converted it is as wanted.
            assert_eq!(select(&mut wants, EVENTS, &[&out]).1, out);
            let (_, short) = select(&mut selection(0x4000_0000, &[(71, 14)]), EVENTS, &[&stored]);
            assert_eq!(short.len(), out.len() - 8);
            assert_eq!(short[16..], out[24..]);
        }
    }

    #[test]
    fn the_network_map_survives_conversion_and_unknown_blocks_go_as_they_are() {
        let mut stored = event(71, true);
        stored[8..12].copy_from_slice(&0x0003_0047u32.to_be_bytes());
        let mut wants = selection(0x4080_0000, &[(71, 14)]);
        let (_, out) = select(&mut wants, EVENTS, &[&stored]);
        assert_eq!(u32_at(&out, 8), Some(0x0003_0047));
        stored[80..84].copy_from_slice(&999u32.to_be_bytes());
        assert_eq!(select(&mut wants, EVENTS, &[&stored]), (1, stored));
    }

    #[test]
    fn events_go_out_as_the_records_of_the_version() {
        let mut stored = Event::new(400).unwrap();
        stored.set("sourceIpAddress", "192.0.2.1".parse::<std::net::IpAddr>().unwrap()).unwrap();
        stored.set("impactFlags", 7u8).unwrap();
        let mut item = Vec::new();
        stored.encode_item(Some(77), &mut item);
        // Bit 6, bit 2, event type 12 in versions 2 and 11; the last is as it is stored.
        let wants = [(1 << 6, None, 207), (1 << 2, None, 1), (1 << 30, Some(2), 104), (1 << 30, Some(11), 400)];
        for (flags, version, record) in wants {
            let events: Vec<_> = version.map(|v| (12, v)).into_iter().collect();
            let (count, out) = select(&mut selection(0x0080_0000 | flags, &events), EVENTS, &[&item]);
            assert_eq!((count, u32_at(&out, 8)), (1, Some(record)));
            assert_eq!(u32_at(&out, archive::SECOND_AT), Some(77));
            assert_eq!(first_item(&out).unwrap().len(), out.len());
            assert_eq!(out == item, record == 400);
        }
        // A rule message for a client of 4.5.
        let mut rule = Event::new(66).unwrap();
        rule.set("generatorId", 1u32).unwrap().set("ruleId", 2u32).unwrap().set("message", "m").unwrap();
        let mut item = Vec::new();
        rule.encode_item(None, &mut item);
        let (_, out) = select(&mut selection(1 << 1, &[]), STICKY, &[&item]);
        assert_eq!((u32_at(&out, 8), out.last()), (Some(5), Some(&b'm')));
        // The discovery event header before 5.2.
        let old = event(19, true);
        let (_, out) = select(&mut selection(0x4080_0000, &[(61, 9)]), EVENTS, &[&old]);
        assert_eq!(out.len() + 16, old.len());
        let (_, out) = select(&mut selection(0x4080_0000, &[(61, 10)]), EVENTS, &[&old]);
        assert_eq!(out, old);
    }

    #[test]
    fn metadata_goes_out_once_and_again_when_it_changes() {
        let (a, b) = (metadata("a"), metadata("b"));
        let mut wants = selection(0x4090_0000, &[]);
        assert_eq!(select(&mut wants, STICKY, &[&a, &a]), (1, a.clone()));
        assert_eq!(select(&mut wants, STICKY, &[&a]), (0, vec![]));
        assert_eq!(select(&mut wants, STICKY, &[&b]), (1, b.clone()));
        assert_eq!(select(&mut wants, STICKY, &[&a]), (1, a.clone()), "the old name again is news");
        assert_eq!(select(&mut selection(0x4080_0000, &[]), STICKY, &[&a]), (0, vec![]), "not asked for");
        assert_eq!(select(&mut selection(0x4010_0000, &[]), STICKY, &[&a]), (1, a), "short already");
    }

    #[test]
    fn what_is_unchecked_is_left_out_whatever_was_asked_for() {
        let (connection, packet, name) = (event(71, true), event(2, true), metadata("a"));
        let mut wants = selection(0x4090_0001, &[(71, 14)]);
        let without = |t| Captured::ALL.with(t, false);
        wants.capture(without(control::EventType::Packets));
        let (count, out) = select(&mut wants, EVENTS, &[&packet, &connection, &packet]);
        assert_eq!((count, block(&out)), (1, Some(163)));
        wants.capture(without(control::EventType::Discovery));
        assert_eq!(select(&mut wants, EVENTS, &[&packet, &connection]), (1, packet.clone()));
        assert_eq!(select(&mut wants, STICKY, &[&name]), (1, name.clone()), "metadata always goes out");
        // What was selected before.
        let mut out = [&out[..], &name, &packet].concat();
        assert_eq!(keep(&without(control::EventType::Discovery).table(), &mut out), 2);
        assert_eq!(out, [&name[..], &packet].concat());
        wants.capture(Captured::ALL);
        assert_eq!(select(&mut wants, EVENTS, &[&packet, &connection]).0, 2);
    }

    #[test]
    fn a_request_without_records_is_known_as_such() {
        assert!(selection(0x4080_0000, &[]).is_empty() && selection(0, &[]).is_empty());
        assert!(!selection(1, &[]).is_empty() && !selection(0x4000_0000, &[(71, 1)]).is_empty());
    }

    #[test]
    fn broken_items_do_no_harm() {
        let good = [event(71, true), metadata("a"), event(400, false), event(2, false), event(112, false)].concat();
        let mut random = 0x2545_f491_4f6c_dd1du64;
        let mut next = move |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % below as u64) as usize
        };
        let mut wants = [selection(0x4890_0061, &[(71, 14), (12, 9), (31, 9)]), selection(0x4000_0041, &[(71, 3)])];
        for _ in 0..5_000 {
            let mut bad = good.clone();
            for _ in 0..=next(4) {
                let at = next(bad.len());
                bad[at] = next(256) as u8;
            }
            bad.truncate(next(bad.len() + 1));
            for wants in &mut wants {
                for kind in [EVENTS, STICKY] {
                    let mut out = Vec::new();
                    let count = wants.select(kind, &mut bad.clone(), &mut out);
                    let (mut rest, mut whole) = (out.as_slice(), 0);
                    while let Some(item) = first_item(rest) {
                        rest = &rest[item.len()..];
                        whole += 1;
                    }
                    assert!(rest.is_empty() && whole == count, "what goes out is whole items");
                }
            }
        }
    }
}
