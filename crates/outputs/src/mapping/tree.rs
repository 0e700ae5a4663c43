//! What is printed of one record type with one layout as nested JSON objects.
//!
//! The keys of a mapping are paths: `source.geo.country_name`. `a[].b` is in an object that is the only item of a list,
//! and `a[]` a list of all alternatives that are there. Leaves are in such an order that each object is written in one go.

use super::expr::{Function, Term};
use super::item::{Compiler, Event, Item, Source, Sources, first};
use super::places::{Place, Shape};
use super::plan::{Compiled, Expected, Shown, expected_names};
use super::{Entry, Mapping};
use crate::style::{Case, cased};
use crate::text::{Line, Piece};
use std::collections::{BTreeMap, BTreeSet};

/// The deepest path of a mapping.
const DEEPEST: usize = 8;

/// What is printed of one record type with one layout.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) expected: Expected,
    pub(crate) leaves: Box<[Leaf]>,
    /// Where what no key names is printed; it has no value.
    pub(crate) rest: Leaf,
}

/// A key and its value.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// Where the value comes from.
    pub(crate) sources: Sources,
    /// All that are there, as a list.
    pub(crate) list: bool,
    /// For each object around it whether it is the item of a list.
    around: Box<[bool]>,
    /// How many of these objects the leaf before is in, too.
    shared: usize,
    /// The key with what opens the objects around it, from each of them on.
    open: Box<[Piece]>,
}

/// The objects that are open.
#[derive(Debug, Default)]
pub(crate) struct Open {
    items: [bool; DEEPEST],
    depth: usize,
    /// Objects that are open and hold the next leaf, too.
    shared: usize,
    begun: bool,
}

impl Open {
    /// A leaf comes into sight, printed or not.
    #[inline]
    pub(crate) fn pass(&mut self, leaf: &Leaf) {
        self.shared = self.shared.min(leaf.shared);
    }

    /// Up to the value of a leaf that is printed.
    #[inline]
    pub(crate) fn key<'o>(&mut self, leaf: &Leaf, out: Line<'o>) -> Line<'o> {
        let out = self.close(self.shared, out);
        let out = if self.begun { out.bytes(b", ") } else { out };
        self.begun = true;
        let out = match leaf.open.get(self.depth) {
            Some(piece) => out.piece(piece),
            None => out,
        };
        for (place, item) in self.items.iter_mut().zip(&leaf.around).skip(self.depth) {
            *place = *item;
        }
        self.depth = leaf.around.len();
        self.shared = self.depth;
        out
    }

    /// Closes objects until so many are open.
    #[inline]
    pub(crate) fn close<'o>(&mut self, depth: usize, mut out: Line<'o>) -> Line<'o> {
        while self.depth > depth {
            self.depth -= 1;
            let item = self.items.get(self.depth).copied().unwrap_or_default();
            out = if item { out.bytes(b"}]") } else { out.bytes(b"}") };
        }
        out
    }
}

impl Leaf {
    fn new(path: &[String], shared: usize, list: bool, sources: Sources) -> Leaf {
        let (name, around) =
            path.split_last().map_or((String::new(), &[][..]), |(name, around)| (name.clone(), around));
        let item = |segment: &String| segment.ends_with("[]");
        let open = (0..=around.len()).map(|from| {
            let objects = around.iter().skip(from).map(|segment| match segment.strip_suffix("[]") {
                Some(name) => format!("\"{name}\": [{{"),
                None => format!("\"{segment}\": {{"),
            });
            let mut text: String = objects.collect();
            if !name.is_empty() {
                text.push_str(&format!("\"{name}\": "));
            }
            Piece::new(&text)
        });
        Leaf { sources, list, around: around.iter().map(item).collect(), shared, open: open.collect() }
    }

    /// The value; for a list its first one.
    #[inline]
    pub(crate) fn item<'a>(&'a self, event: &Event<'a>) -> Option<Item<'a>> {
        first(&self.sources, event)
    }
}

/// A leaf on its way into order.
struct Draft {
    path: Vec<String>,
    list: bool,
    sources: Sources,
}

impl Compiled for Tree {
    fn compile(mapping: &Mapping, _: Shown, entry: &Entry, shape: Shape) -> Tree {
        let (tables, maps, names) = (&mapping.tables, &mapping.maps, expected_names(shape));
        let mut compiler =
            Compiler { shape, tables, maps, missing: None, names, used: Vec::new(), used_names: Vec::new() };
        let mut drafts: Vec<Draft> = Vec::new();
        let mut carried = Carried { shape, places: Vec::new(), names: Vec::new() };
        let own = |key: &str| entry.keys.iter().any(|(k, _)| k == key);
        let common = mapping.common.iter().filter(|(key, _)| !own(key));
        for (key, expr) in common.chain(&entry.keys) {
            let (key, list) = key.strip_suffix("[]").map_or((key.as_str(), false), |key| (key, true));
            let sources = compiler.sources(expr);
            if sources.is_empty() {
                continue;
            }
            if !list {
                // Of alternatives only the first is sure to be printed.
                if let Some(term) = expr.0.first() {
                    carried.note(term);
                }
            }
            let path = key.split('.').map(str::to_owned).collect();
            drafts.push(Draft { path, list, sources });
        }
        let prefix: Vec<String> = mapping.rest.split('.').map(str::to_owned).collect();
        let mut taken: BTreeSet<String> = drafts
            .iter()
            .filter(|d| d.path.starts_with(&prefix))
            .filter_map(|d| d.path.get(prefix.len()))
            .cloned()
            .collect();
        let mut free = |mut key: String, more: &str| {
            while !taken.insert(key.clone()) {
                key.push_str(more);
            }
            key
        };
        let put = |drafts: &mut Vec<Draft>, key: String, source: Source| {
            let path = prefix.iter().cloned().chain([key]).collect();
            drafts.push(Draft { path, list: false, sources: [source].into() });
        };
        for (place, field) in shape.fields() {
            let silent = mapping.fields.get(field.encore).is_some_and(String::is_empty);
            // An inline block has no name; where it can be read it is the main block.
            if silent || field.name.is_empty() || carried.places.contains(&place) {
                continue;
            }
            let key = free(cased(Case::Snake, field.name), "_field");
            put(&mut drafts, key, Source::Field { place, data: true, string_block: false });
        }
        for (i, name) in compiler.names.iter().enumerate() {
            let silent = mapping.computed.get(&**name).is_some_and(String::is_empty);
            if silent || carried.names.iter().any(|n| *n == **name) {
                continue;
            }
            if let Ok(number) = u16::try_from(i) {
                put(&mut drafts, free(cased(Case::Snake, name), "_name"), Source::Computed(number));
            }
        }
        put(&mut drafts, String::new(), Source::Number(0));
        let mut leaves = ordered(drafts, &prefix);
        let rest = leaves.pop().unwrap_or_else(|| Leaf::new(&prefix, 0, false, Sources::default()));
        Tree { expected: Expected(compiler.names.into()), leaves: leaves.into(), rest }
    }
}

/// What is printed unchanged under some key, so that it need not be printed again.
struct Carried {
    shape: Shape,
    places: Vec<Place>,
    names: Vec<String>,
}

impl Carried {
    fn note(&mut self, term: &Term) {
        use Function::{Dashed, Ipv4, Ipv6, Iso, Lower, Ms, Packet, Payload, Some as Only, Text, Upper};
        match term {
            Term::Path(path) => self.places.extend(self.shape.find(path).map(|found| found.place)),
            Term::Computed(name) => self.names.push(name.clone()),
            Term::Call(Dashed | Ipv4 | Ipv6 | Iso | Lower | Ms | Packet | Payload | Only | Text | Upper, arguments) => {
                if let Some(term) = arguments.first().and_then(|argument| argument.0.first()) {
                    self.note(term);
                }
            }
            _ => {}
        }
    }
}

/// Leaves in an order in which each object comes once; within one in the order of the mapping, `last` at the end.
fn ordered(drafts: Vec<Draft>, last: &[String]) -> Vec<Leaf> {
    let mut ranks: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    let mut keyed: Vec<(Vec<usize>, Draft)> = Vec::new();
    for draft in drafts {
        let rank = (1..=draft.path.len()).map(|length| {
            let path = draft.path.get(..length).unwrap_or_default();
            let next = ranks.len();
            let rank = *ranks.entry(path.to_vec()).or_insert(next);
            if last.starts_with(path) { usize::MAX / 2 + rank } else { rank }
        });
        keyed.push((rank.collect(), draft));
    }
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut before: Vec<String> = Vec::new();
    let leaf = |(_, draft): (Vec<usize>, Draft)| {
        let objects = draft.path.len().saturating_sub(1);
        let same = before.iter().zip(&draft.path).take(objects).take_while(|(a, b)| a == b).count();
        let shared = same.min(before.len().saturating_sub(1));
        before.clone_from(&draft.path);
        Leaf::new(&draft.path, shared, draft.list, draft.sources)
    };
    keyed.into_iter().map(leaf).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_written_in_one_go_and_the_rest_at_the_end() {
        let draft = |path: &str| Draft {
            path: path.split('.').map(str::to_owned).collect(),
            list: false,
            sources: Sources::default(),
        };
        let paths = ["x.y.b", "a.b.c", "d", "a.e", "a.b.f", "x.y.c", "x.y."].map(draft);
        let leaves = ordered(paths.into(), &["x".to_owned(), "y".to_owned()]);
        let mut open = Open::default();
        let mut out = Vec::new();
        let mut line = Line::new(&mut out, 0).bytes(b"{");
        for (i, leaf) in leaves.iter().enumerate() {
            open.pass(leaf);
            if i != 1 {
                line = open.key(leaf, line).uint(i as u64);
            }
        }
        open.close(0, line).bytes(b"}").finish();
        let expected = "{\"a\": {\"b\": {\"c\": 0}, \"e\": 2}, \"d\": 3, \"x\": {\"y\": {\"b\": 4, \"c\": 5, 6}}}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
