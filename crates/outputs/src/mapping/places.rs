//! Where a field of a record is: names become positions once for each record type and layout.

use wire::decode::{Record, Value, View};
use wire::layout::{DISCOVERY_HEADER, Field, Kind, Layout, RecordLayout};

/// What eNcore knows of the discovery event header.
const HEAD: [&str; 7] =
    ["deviceId", "hostIpAddr", "macAddress", "eventSecond", "eventMicrosecond", "eventType", "eventSubtype"];

/// What a record is made of, as far as that decides where its fields are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) record: Option<&'static RecordLayout>,
    /// Layout of the block where most fields are; `None` when it is opaque.
    pub(crate) main: Option<&'static Layout>,
}

/// A place in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A position of the main block.
    Main(usize),
    /// A position of the discovery event header.
    Discovery(usize),
    /// A position of the record body beside the main block.
    Body(usize),
    /// The record type.
    RecordType,
    /// The block type of the main block.
    BlockType,
    /// The archival second of the record header.
    Archived,
    /// In a nested block or the first item of a list.
    Inside(Box<Place>, Box<[Hop]>),
}

/// A step into a nested block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hop {
    name: Box<str>,
    /// Where the field is if the block has the layout that is expected.
    expected: Option<(u16, usize)>,
}

/// A place, and whether the text of a String block is meant rather than the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) place: Place,
    pub(crate) data: bool,
    /// It is a String block.
    pub(crate) string_block: bool,
}

/// The parts of a record of which values are taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) record: &'a Record<'a>,
    /// `None` when the discovery event header is cut: what is left is no body.
    pub(crate) main: Option<View<'a>>,
    pub(crate) body: View<'a>,
    pub(crate) discovery: Option<View<'a>>,
}

impl Shape {
    /// The body, when its fields stand beside an inline block.
    fn beside(&self) -> Option<&'static Layout> {
        self.record.map(|r| r.body).filter(|body| self.main != Some(*body))
    }

    fn discovery(&self) -> bool {
        self.record.is_some_and(|r| r.discovery_header)
    }

    /// The field at a path. `discovery.` stands for any field of the discovery event header by its canonical name.
    pub(crate) fn find(&self, path: &str) -> Option<Found> {
        match path {
            "blockType" => return Some(Found::number(Place::BlockType)),
            "recordType" => return Some(Found::number(Place::RecordType)),
            "archiveTimestamp" => return Some(Found::number(Place::Archived)),
            _ => {}
        }
        if let Some(name) = path.strip_prefix("discovery.") {
            let position = DISCOVERY_HEADER.position(name).filter(|_| self.discovery())?;
            return Some(Found::number(Place::Discovery(position)));
        }
        let mut names = path.split('.').peekable();
        let first = names.next()?;
        let (place, mut kind) = self.first(first)?;
        let mut hops = Vec::new();
        let mut data = false;
        while let Some(name) = names.next() {
            let expected = match kind {
                Some(Kind::String | Kind::Blob) | None if name == "data" && names.peek().is_none() => {
                    data = true;
                    break;
                }
                Some(Kind::Block { expected, .. }) => expected,
                Some(Kind::List { of, .. }) => of,
                // The layout of items is not known, or this is no block.
                _ => return None,
            };
            let position = by_name(expected, name);
            kind = position.and_then(|p| expected.fields.get(p)).map(|f| f.kind);
            hops.push(Hop { name: name.into(), expected: position.map(|p| (expected.index, p)) });
        }
        let place = if hops.is_empty() { place } else { Place::Inside(Box::new(place), hops.into()) };
        Some(Found { place, data, string_block: matches!(kind, Some(Kind::String)) })
    }

    fn first(&self, name: &str) -> Option<(Place, Option<Kind>)> {
        let kind = |layout: &'static Layout, p: usize| layout.fields.get(p).map(|f| f.kind);
        if let Some(main) = self.main
            && let Some(p) = by_name(main, name)
        {
            return Some((Place::Main(p), kind(main, p)));
        }
        if let Some(body) = self.beside()
            && let Some(p) = by_name(body, name)
        {
            return Some((Place::Body(p), kind(body, p)));
        }
        if self.discovery() && HEAD.contains(&name) {
            let p = by_name(DISCOVERY_HEADER, name)?;
            return Some((Place::Discovery(p), kind(DISCOVERY_HEADER, p)));
        }
        None
    }

    /// All fields that JSON prints, in its order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (Place, &'static Field)> {
        let named = |layout: Option<&'static Layout>| layout.into_iter().flat_map(|l| l.fields.iter().enumerate());
        let main = self.main;
        let shared = move |name: &str| main.is_some_and(|l| by_name(l, name).is_some());
        let head = named(self.discovery().then_some(DISCOVERY_HEADER));
        let head = head.filter(move |(_, f)| HEAD.contains(&f.encore) && !shared(f.encore));
        let beside = named(self.beside()).filter(|(_, f)| !matches!(f.kind, Kind::Block { inline: true, .. }));
        head.map(|(p, f)| (Place::Discovery(p), f))
            .chain(beside.map(|(p, f)| (Place::Body(p), f)))
            .chain(named(self.main).map(|(p, f)| (Place::Main(p), f)))
    }
}

fn by_name(layout: &Layout, name: &str) -> Option<usize> {
    layout.fields.iter().position(|f| f.encore == name && !matches!(f.kind, Kind::Block { inline: true, .. }))
}

impl<'a> Parts<'a> {
    pub(crate) fn new(record: &'a Record<'a>) -> Self {
        let discovery = record.discovery();
        let cut = discovery.is_some_and(|d| d.read() < DISCOVERY_HEADER.fields.len());
        Parts { record, main: (!cut).then(|| record.main()), body: record.body(), discovery }
    }
}

impl Found {
    fn number(place: Place) -> Self {
        Found { place, data: false, string_block: false }
    }
}

impl Place {
    #[inline]
    pub(crate) fn value<'a>(&self, parts: &Parts<'a>) -> Option<Value<'a>> {
        match self {
            Place::Main(p) => parts.main.as_ref()?.value(*p),
            Place::Discovery(p) => parts.discovery.as_ref()?.value(*p),
            Place::Body(p) => parts.body.value(*p),
            Place::RecordType => Some(Value::Uint(parts.record.record_type().into())),
            Place::BlockType => Some(Value::Uint(parts.main.as_ref()?.block_type().into())),
            Place::Archived => Some(Value::Uint(parts.record.header.timestamp?.into())),
            Place::Inside(outer, hops) => hops.iter().try_fold(outer.value(parts)?, |value, hop| hop.value(value)),
        }
    }

    /// The name of the field inside the block that it begins with; `None` when it is deeper.
    pub(crate) fn inner_name(&self) -> Option<&str> {
        match self {
            Place::Inside(_, hops) => match &**hops {
                [hop] => Some(&hop.name),
                _ => None,
            },
            _ => None,
        }
    }

    /// The field that it begins with.
    pub(crate) fn outer(&self) -> &Place {
        match self {
            Place::Inside(outer, _) => outer,
            other => other,
        }
    }
}

impl Hop {
    fn value<'a>(&self, outer: Value<'a>) -> Option<Value<'a>> {
        let view = match outer {
            Value::Block(view) => view,
            Value::List(list) => list.items().next()?,
            _ => return None,
        };
        let layout = view.layout()?;
        match self.expected {
            Some((index, position)) if index == layout.index => view.value(position),
            _ => view.value(by_name(layout, &self.name)?),
        }
    }
}
