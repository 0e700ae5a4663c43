//! What is printed of one record type with one layout.

use super::expr::{Expr, Part, Template};
use super::item::{Compiler, Event, Item, NAMES, Source, Sources};
use super::places::{Parts, Shape};
use super::{Entry, Mapping};
use crate::resolved::Resolved;
use crate::style::{Case, Style, cased, raw, write};
use crate::text::{Line, Piece};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::OnceLock;
use wire::decode::{Record, View};
use wire::layout::{self, Kind, LAYOUT_COUNT, Layout, RecordLayout};

/// How plans differ from format to format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    /// Computed names take the place of fields with the same key, and what is left of them follows: splunk.
    pub(crate) replace: bool,
    /// Fields that no key names are printed too.
    pub(crate) rest: bool,
    /// How keys are made of the names of fields.
    pub(crate) case: Case,
    /// What stands between key and value.
    pub(crate) equals: &'static str,
    /// The keys at the beginning of a line: record type and event time.
    pub(crate) front: [&'static str; 2],
    /// Records without a mapping are printed, metadata among them.
    pub(crate) metadata: bool,
    /// Records of old versions are printed as the record that carries the same event today.
    pub(crate) versions: bool,
    /// Keys stay even when the layout has nothing for them: columns.
    pub(crate) all: bool,
}

/// Plans for all record types, each made when it is first needed.
#[derive(Debug)]
pub(crate) struct Plans<P = Plan> {
    mapping: Mapping,
    shown: Shown,
    /// By place in [`layout::records`] and one more for unknown record types, then by [`Layout::index`] and one more for
    /// opaque blocks.
    records: Box<[OnceLock<ByLayout<P>>]>,
}

type ByLayout<P> = Box<[OnceLock<Option<P>>]>;

/// What a mapping is compiled to for one record type and layout.
pub(crate) trait Compiled: Sized {
    fn compile(mapping: &Mapping, shown: Shown, entry: &Entry, shape: Shape) -> Self;
}

/// What is printed of one record type with one layout.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The computed names, in the order in which they are expected.
    expected: Expected,
    names: Box<[Name]>,
    pub(crate) slots: Box<[Slot]>,
    pub(crate) rest: Box<[Rest]>,
    pub(crate) id: Box<[TemplatePart]>,
    pub(crate) name: Box<[TemplatePart]>,
    pub(crate) severity: Sources,
    /// The computed event time.
    pub(crate) second: u16,
    /// The slot of the event's own time.
    pub(crate) time: Option<usize>,
}

/// A computed name.
#[derive(Debug)]
pub(crate) struct Name {
    /// The key and what follows it; `None` when it is not printed by itself.
    pub(crate) key: Option<Piece>,
}

/// A key and its value.
#[derive(Debug)]
pub(crate) struct Slot {
    name: String,
    /// The name and what stands between it and the value.
    pub(crate) key: Piece,
    pub(crate) sources: Sources,
    /// Computed names that replace the value.
    pub(crate) names: Box<[u16]>,
    /// Under this key the value is printed, too, when a name has replaced it.
    pub(crate) number: Option<Piece>,
    /// It is the event time, which stands at the beginning of the line if there is one.
    pub(crate) time: bool,
}

/// A field that no key names.
#[derive(Debug)]
pub(crate) struct Rest {
    source: Source,
    key: Piece,
    name: Box<str>,
    /// Fields of a nested block that are printed elsewhere.
    skip: Box<[Box<str>]>,
}

/// A piece of a header field.
#[derive(Debug)]
pub(crate) enum TemplatePart {
    Text(Piece),
    Value(Sources),
}

impl<P: Compiled> Plans<P> {
    pub(crate) fn new(mapping: Mapping, shown: Shown) -> Self {
        let records = (0..=layout::records().len()).map(|_| OnceLock::new()).collect();
        Plans { mapping, shown, records }
    }

    /// The plan for a record; `None` when nothing is printed of it.
    pub(crate) fn plan(&self, record: &Record<'_>, main: Option<&View<'_>>) -> Option<&P> {
        let known = layout::records();
        let place = match record.layout {
            Some(l) => known.binary_search_by_key(&l.record_type, |r| r.record_type).unwrap_or(known.len()),
            None => known.len(),
        };
        let by_layout = self.records.get(place)?.get_or_init(|| (0..=LAYOUT_COUNT).map(|_| OnceLock::new()).collect());
        let main = main.and_then(|m| m.layout());
        let index = main.map_or(LAYOUT_COUNT, |l| usize::from(l.index));
        by_layout.get(index)?.get_or_init(|| self.compile(record.layout, main)).as_ref()
    }

    /// The key of a computed name that is in no plan.
    pub(crate) fn key(&self, name: &str) -> Option<&str> {
        self.mapping.computed.get(name).map(String::as_str).filter(|key| !key.is_empty())
    }

    /// Whether a computed name is not to be printed.
    pub(crate) fn silent(&self, name: &str) -> bool {
        self.mapping.computed.get(name).is_some_and(String::is_empty)
    }

    pub(crate) fn compile(&self, record: Option<&'static RecordLayout>, main: Option<&'static Layout>) -> Option<P> {
        let nothing = Entry::default();
        let event = record.is_none_or(|r| !r.metadata);
        let own = record.map_or(0, |r| r.record_type);
        let today = record.filter(|_| self.shown.versions).map_or(own, |r| r.event);
        let entry = match self.mapping.entry([own, today], event) {
            Some(entry) => entry,
            None if self.shown.metadata => &nothing,
            None => return None,
        };
        Some(P::compile(&self.mapping, self.shown, entry, Shape { record, main }))
    }
}

impl Compiled for Plan {
    fn compile(mapping: &Mapping, shown: Shown, entry: &Entry, shape: Shape) -> Plan {
        let mut names = expected_names(shape);
        let keyed = |key: &String| entry.keys.iter().any(|(k, _)| k == key);
        for (name, _) in mapping.computed.iter().filter(|(_, key)| shown.replace && keyed(key)) {
            if !names.iter().any(|n| n == name) {
                names.push(Cow::Owned(name.clone()));
            }
        }
        let missing = mapping.missing.as_deref();
        let (tables, maps) = (&mapping.tables, &mapping.maps);
        let mut compiler = Compiler { shape, tables, maps, missing, names, used: Vec::new(), used_names: Vec::new() };
        let second = compiler.name("eventSecond").unwrap_or(u16::MAX);
        let id = template(&entry.id, &mut compiler);
        let name = template(&entry.name, &mut compiler);
        let severity = compiler.sources(&entry.severity);
        // What is in the header only is worth a key all the same.
        compiler.used.clear();
        compiler.used_names.clear();
        let mut slots: Vec<(String, Sources)> = Vec::new();
        let own = |key: &str| entry.keys.iter().any(|(k, _)| k == key);
        let common = mapping.common.iter().filter(|(key, _)| !own(key));
        for (key, source) in common.chain(&entry.keys) {
            let before = compiler.used.len();
            let sources = compiler.sources(source);
            // Of alternatives only the first is sure to be printed, as a rule.
            compiler.used.truncate(before + 1);
            if shown.all || !sources.is_empty() {
                slots.push((key.clone(), sources));
            }
        }
        let mut taken: BTreeSet<String> = slots.iter().map(|(key, _)| key.clone()).collect();
        let computed_key = |name: &str| -> Option<String> {
            match mapping.computed.get(name) {
                Some(key) => Some(key.clone()).filter(|k| !k.is_empty()),
                None => shown.rest.then(|| cased(shown.case, name)),
            }
        };
        let keys: Vec<Option<String>> = compiler.names.iter().map(|name| computed_key(name)).collect();
        let piece = |key: &str| Piece::new(&format!("{key}{}", shown.equals));
        let replacing = |key: &str| -> Box<[u16]> {
            let fits = |(_, k): &(usize, &Option<String>)| shown.replace && k.as_deref() == Some(key);
            keys.iter().enumerate().filter(fits).filter_map(|(i, _)| u16::try_from(i).ok()).collect()
        };
        if shown.replace {
            taken.extend(keys.iter().flatten().cloned());
        }
        let time = |key: &str| shown.replace && shown.front.get(1) == Some(&key);
        let mut made = Vec::new();
        for (key, sources) in slots {
            let names = replacing(&key);
            let number = shown.rest && !names.is_empty() && !time(&key);
            let number = number.then(|| piece(&free(number_key(shown.case, &key), &mut taken)));
            made.push(Slot { key: piece(&key), sources, names, number, time: time(&key), name: key });
        }
        let mut rest = Vec::new();
        for (place, field) in shape.fields().filter(|_| shown.rest) {
            if compiler.used.contains(&place) {
                continue;
            }
            let key = match mapping.fields.get(field.encore) {
                Some(key) if key.is_empty() => continue,
                Some(key) => key.clone(),
                None => cased(shown.case, field.encore),
            };
            let nested = matches!(field.kind, Kind::Block { .. } | Kind::List { .. });
            let source = Source::Field { place: place.clone(), data: true, string_block: false };
            let names = replacing(&key);
            if !names.is_empty() && !nested && made.iter().all(|slot: &Slot| slot.name != key) {
                let number = (!time(&key)).then(|| piece(&free(number_key(shown.case, &key), &mut taken)));
                let sources = [source].into();
                made.push(Slot { key: piece(&key), sources, names, number, time: time(&key), name: key });
                continue;
            }
            let inside = compiler.used.iter().filter(|used| *used.outer() == place);
            let skip = inside.filter_map(|used| used.inner_name()).map(Into::into).collect();
            rest.push(Rest { source, key: piece(&free(key, &mut taken)), name: field.encore.into(), skip });
        }
        let used_names = compiler.used_names;
        let names = keys.into_iter().enumerate().map(|(i, key)| {
            let silent = !shown.replace && (!shown.rest || used_names.iter().any(|n| usize::from(*n) == i));
            let key = key.filter(|_| !silent).map(|key| match shown.replace {
                true => piece(&key),
                // The field has the key already.
                false if taken.contains(&key) => piece(&free(format!("{key}Name"), &mut taken)),
                false => piece(&free(key, &mut taken)),
            });
            Name { key }
        });
        let names = names.collect();
        let time = made.iter().position(|slot| slot.time);
        let expected = compiler.names.into();
        Plan {
            expected: Expected(expected),
            names,
            slots: made.into(),
            rest: rest.into(),
            id,
            name,
            severity,
            second,
            time,
        }
    }
}

/// The computed names that a record type has, in the order in which they come.
pub(crate) fn expected_names(shape: Shape) -> Vec<Cow<'static, str>> {
    let mut names: Vec<Cow<'static, str>> = Vec::new();
    let known = shape.record.map_or(&[][..], |r| wire::resolution::names_of(r.record_type));
    for name in ["recordTypeCategory", "recordTypeDescription"]
        .into_iter()
        .chain(known.iter().map(|n| n.name))
        .chain(["eventSecond", "eventDateTime", "eventMicrosecond"])
        .chain(["sensor", "eventDescription", "source", "eventType"])
        .chain(["eventUid", "managementCenter", "domain"])
    {
        if !names.iter().any(|n| n == name) {
            names.push(Cow::Borrowed(name));
        }
    }
    names
}

/// The computed names that are waited for.
#[derive(Debug)]
pub(crate) struct Expected(pub(crate) Box<[Cow<'static, str>]>);

impl Expected {
    /// Finds the computed names.
    pub(crate) fn event<'a>(&self, parts: Parts<'a>, resolved: &Resolved<'a>) -> Event<'a> {
        let mut found = [0; NAMES];
        let mut cursor = 0;
        for (i, (name, _)) in resolved.computed.iter().enumerate() {
            let place = self.locate(name, &mut cursor).and_then(|n| found.get_mut(n));
            if let (Some(place), Ok(number)) = (place, u16::try_from(i + 1)) {
                *place = number;
            }
        }
        Event { parts, computed: resolved.computed, found }
    }

    /// The number of a computed name. They come in the expected order, as a rule.
    #[inline]
    pub(crate) fn locate(&self, name: &str, cursor: &mut usize) -> Option<usize> {
        let after = self.0.get(*cursor..).unwrap_or_default();
        if let Some(n) = after.iter().position(|n| n == name) {
            *cursor += n + 1;
            return Some(*cursor - 1);
        }
        self.0.iter().position(|n| n == name)
    }
}

impl Plan {
    /// Finds the computed names.
    pub(crate) fn event<'a>(&self, parts: Parts<'a>, resolved: &Resolved<'a>) -> Event<'a> {
        self.expected.event(parts, resolved)
    }

    /// The number of a computed name.
    #[inline]
    pub(crate) fn locate(&self, name: &str, cursor: &mut usize) -> Option<usize> {
        self.expected.locate(name, cursor)
    }

    /// How many computed names it waits for.
    #[cfg(test)]
    pub(crate) fn names_len(&self) -> usize {
        self.names.len()
    }

    /// The keys that it may print, those of nested fields aside. In-place names count once.
    #[cfg(test)]
    pub(crate) fn keys(&self) -> Vec<String> {
        let replaced: Vec<u16> = self.slots.iter().flat_map(|slot| slot.names.to_vec()).collect();
        let names = self.names.iter().enumerate();
        let names =
            names.filter(|(i, _)| !replaced.iter().any(|r| usize::from(*r) == *i) && *i != usize::from(self.second));
        let slots = self.slots.iter().flat_map(|slot| [Some(&slot.key), slot.number.as_ref()]).flatten();
        let keys = slots.chain(self.rest.iter().map(|r| &r.key)).chain(names.filter_map(|(_, n)| n.key.as_ref()));
        keys.map(|key| format!("{key:?}")).collect()
    }

    pub(crate) fn name(&self, number: usize) -> Option<&Name> {
        self.names.get(number)
    }
}

/// A key that is not taken yet, and takes it.
fn free(mut key: String, taken: &mut BTreeSet<String>) -> String {
    while !taken.insert(key.clone()) {
        key.push_str("_field");
    }
    key
}

/// The key of a value whose own key its name has.
fn number_key(case: Case, key: &str) -> String {
    format!("{key}{}", if case == Case::Snake { "_id" } else { "Id" })
}

fn template(template: &Template, compiler: &mut Compiler<'_>) -> Box<[TemplatePart]> {
    let part = |part: &Part| match part {
        Part::Text(text) => TemplatePart::Text(Piece::new(text)),
        Part::Value(expr) => TemplatePart::Value(compiler.sources(&Expr(expr.0.clone()))),
    };
    template.0.iter().map(part).collect()
}

/// The fields that no key names.
pub(crate) fn rest<'o, S: Style>(style: &S, plan: &Plan, event: &Event<'_>, mut out: Line<'o>) -> Line<'o> {
    for field in &plan.rest {
        out = match field.source.item(event) {
            None => out,
            Some(Item::Nested(value)) => {
                let path = Path { outer: None, step: Step::Name(&field.name) };
                nested(style, value, &path, &field.skip, out)
            }
            Some(item) if style.omits(&item) => out,
            Some(item) => {
                let out = out.piece(&field.key);
                style.after(write(style, &item, out))
            }
        };
    }
    let parts = &event.parts;
    let inline =
        parts.main.filter(|_| parts.record.layout.is_some_and(|l| parts.main.and_then(|m| m.layout()) != Some(l.body)));
    let after_block = inline.map_or(&[][..], |_| parts.body.trailing());
    out = match parts.main.filter(|m| m.layout().is_some()) {
        Some(main) => octets(style, "trailing", &[main.trailing(), after_block], out),
        // Nothing but bytes is known: of a block with its header.
        None => {
            let bytes = parts.main.map_or(parts.body.bytes(), |m| m.bytes());
            octets(style, "trailing", &[after_block], octets(style, "data", &[bytes], out))
        }
    };
    match parts.record.problem() {
        Some(problem) => {
            let text = problem.to_string();
            style.after(write(style, &Item::Text(&text), pair(style, "problem", out)))
        }
        None => out,
    }
}

#[inline]
fn octets<'o, S: Style>(style: &S, name: &str, pieces: &[&[u8]], out: Line<'o>) -> Line<'o> {
    if pieces.iter().all(|piece| piece.is_empty()) {
        return out;
    }
    let out = pair(style, name, out);
    style.after(pieces.iter().fold(out, |out, piece| out.hex(piece)))
}

/// A key that is not compiled.
pub(crate) fn pair<'o, S: Style>(style: &S, name: &str, out: Line<'o>) -> Line<'o> {
    raw(raw(out, cased(style.shown().case, name).as_bytes()), style.shown().equals.as_bytes())
}

/// Where a field of a nested block is.
struct Path<'p> {
    outer: Option<&'p Path<'p>>,
    step: Step<'p>,
}

enum Step<'p> {
    Name(&'p str),
    Item(usize),
}

impl Path<'_> {
    fn key(&self, case: Case, key: &mut String) {
        if let Some(outer) = self.outer {
            outer.key(case, key);
        }
        let join = |key: &mut String| match case {
            Case::Snake if !key.is_empty() => key.push('_'),
            Case::Dotted if !key.is_empty() => key.push('.'),
            _ => {}
        };
        join(key);
        match (&self.step, case) {
            (Step::Item(n), _) => key.push_str(&n.to_string()),
            (Step::Name(name), Case::Camel) if !key.is_empty() => {
                let mut chars = name.chars();
                key.extend(chars.next().map(|c| c.to_ascii_uppercase()));
                key.push_str(chars.as_str());
            }
            (Step::Name(name), _) => key.push_str(&cased(case, name)),
        }
    }
}

/// The fields of a nested block or list, one by one. These are rare: discovery and user events.
fn nested<'o, S: Style>(
    style: &S,
    value: wire::decode::Value<'_>,
    path: &Path<'_>,
    skip: &[Box<str>],
    mut out: Line<'o>,
) -> Line<'o> {
    let leaf = |name: &str, item: Item<'_>, out: Line<'o>| -> Line<'o> {
        if style.omits(&item) {
            return out;
        }
        let mut key = String::new();
        Path { outer: Some(path), step: Step::Name(name) }.key(style.shown().case, &mut key);
        let out = raw(raw(out, key.as_bytes()), style.shown().equals.as_bytes());
        style.after(write(style, &item, out))
    };
    match value {
        wire::decode::Value::Block(view) => {
            let Some(layout) = view.layout() else {
                return leaf("data", Item::Hex(view.bytes().get(8..).unwrap_or_default()), out);
            };
            for (position, field) in layout.fields.iter().enumerate() {
                let Some(value) = view.value(position).filter(|_| !skip.iter().any(|s| **s == *field.encore)) else {
                    continue;
                };
                out = match Item::new(value, true, false) {
                    Item::Nested(value) => {
                        let path = Path { outer: Some(path), step: Step::Name(field.encore) };
                        nested(style, value, &path, &[], out)
                    }
                    item => leaf(field.encore, item, out),
                };
            }
            match view.trailing() {
                [] => out,
                bytes => leaf("trailing", Item::Hex(bytes), out),
            }
        }
        wire::decode::Value::List(list) => {
            for (i, item) in list.items().enumerate() {
                let path = Path { outer: Some(path), step: Step::Item(i) };
                out = nested(style, wire::decode::Value::Block(item), &path, &[], out);
            }
            out
        }
        _ => out,
    }
}
