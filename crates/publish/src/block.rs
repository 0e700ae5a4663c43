//! Blocks from JSON objects, along their layouts.

use crate::error::{Flaw, LineError};
use crate::nearest::nearest;
use crate::tree::Tree;
use crate::values;
use wire::event::{Block, Value};
use wire::layout::{self, Field, Kind, Layout};

type Parsed<T> = Result<T, LineError>;

/// A key and what stands there.
pub(crate) type Entry = (String, Tree);

/// The fields of all blocks of a line together, set or not.
const MOST_FIELDS: usize = 200_000;

/// Keys of blocks that are no fields.
const NO_FIELDS: [&str; 4] = ["blockType", "blockLength", "blockString", "@trailing"];

/// Makes the blocks of one line.
#[derive(Debug)]
pub(crate) struct Builder {
    /// Fields that may still be made. A few bytes of JSON stand for a block of any size.
    left: usize,
    /// How fields are named.
    pub(crate) names: Names,
}

/// How the fields of a line are named.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    /// The line is one that the JSON format printed: where a name is that of one field here and of another in eNcore,
    /// eNcore's counts.
    printed: bool,
}

impl Names {
    /// Those of a line with these keys.
    pub(crate) fn of(entries: &[Entry]) -> Self {
        Names { printed: entries.iter().any(|(key, _)| key == "archiveTimestamp") }
    }

    /// The position of a field, by its own name or eNcore's.
    pub(crate) fn find(self, layout: &Layout, name: &str) -> Option<usize> {
        let own = || layout.position(name).filter(|_| !name.is_empty());
        let encore = || layout.fields.iter().position(|field| field.encore == name && !name.is_empty());
        if self.printed { encore().or_else(own) } else { own().or_else(encore) }
    }
}

impl Builder {
    /// For a line whose fields are named so.
    pub(crate) fn new(names: Names) -> Self {
        Builder { left: MOST_FIELDS, names }
    }

    /// A block in that of some forms which has the fields that are given, and the length when it is known. The keys
    /// of the block header are passed over.
    pub(crate) fn choose(
        &mut self,
        forms: impl Iterator<Item = &'static Layout>,
        entries: &[Entry],
        length: Option<u64>,
    ) -> Parsed<Block> {
        let forms: Vec<&'static Layout> = forms.collect();
        let has_all = |form: &&&'static Layout| fields(entries).all(|(key, _)| self.names.find(form, key).is_some());
        let fitting: Vec<&'static Layout> = forms.iter().filter(has_all).copied().collect();
        let mut first = None;
        for form in if fitting.is_empty() { forms.get(..1).unwrap_or_default() } else { &fitting } {
            match self.fill(form, entries, length) {
                Ok(block) if fitting.len() == 1 || length.is_none_or(|length| encoded(&block) == length) => {
                    return Ok(block);
                }
                made => first = first.or(Some(made)),
            }
        }
        // A length that no form has was that of another text: lengths need not be right.
        first.unwrap_or_else(|| Err(Flaw::NotObject { or_list: false }.into()))
    }

    /// A block in this layout.
    fn fill(&mut self, layout: &'static Layout, entries: &[Entry], length: Option<u64>) -> Parsed<Block> {
        self.left = self.left.checked_sub(layout.fields.len() + 1).ok_or(Flaw::TooMany { most: MOST_FIELDS })?;
        let mut given: Vec<Option<&Entry>> = vec![None; layout.fields.len()];
        for entry in fields(entries) {
            let at = self.names.find(layout, &entry.0).and_then(|position| given.get_mut(position));
            let at = at.ok_or_else(|| unknown(layout, &[], entry))?;
            if let Some(other) = at {
                let flaw = Flaw::Twice { other: other.0.clone() };
                return Err(LineError::new(flaw).of(entry.1.excerpt()).within(&entry.0));
            }
            *at = Some(entry).filter(|(_, tree)| *tree != Tree::Null);
        }
        let mut block = Block::new(layout);
        for named in [false, true] {
            for (position, field) in layout.fields.iter().enumerate() {
                let Some((key, tree)) = given.get(position).copied().flatten() else { continue };
                // Names that depend on other numbers come when those are there.
                let later = matches!(tree, Tree::Text(_)) && layout.names(position).any(|n| n.when.is_some());
                if later == named {
                    self.field(&mut block, position, field, tree, &given).map_err(|error| error.within(key))?;
                }
            }
        }
        conditions(&mut block, &given)?;
        let missing = |at: usize| given.iter().skip(at).all(Option::is_none);
        if let Some(end) =
            (0..layout.fields.len()).find(|at| layout.fields.get(*at).is_some_and(|f| f.optional) && missing(*at))
        {
            block.end_before(end);
        }
        if let Some(length) = length {
            rest(&mut block, &given, length);
        }
        if let Some((_, tree)) = entries.iter().find(|(key, _)| key == "@trailing") {
            block.set_trailing(hex(tree).map_err(|error| error.within("@trailing"))?);
        }
        Ok(block)
    }

    fn field(
        &mut self,
        block: &mut Block,
        position: usize,
        field: &'static Field,
        tree: &Tree,
        given: &[Option<&Entry>],
    ) -> Parsed<()> {
        let layout = block.layout();
        let value = match field.kind {
            // It is written from what it counts.
            Kind::Uint if field.counts.is_some() => return Ok(()),
            Kind::Uint => {
                let uint = |at: usize| match block.value(at) {
                    Value::Uint(number) => Some(*number),
                    _ => Some(0),
                };
                Value::Uint(values::uint(field, layout.enumeration(position, uint), tree)?)
            }
            Kind::Hex | Kind::Uuid | Kind::Ipv4 | Kind::Ipv6 | Kind::Mac => Value::Octets(values::octets(field, tree)?),
            Kind::Counted { length, text } => {
                let counter = layout.fields.get(usize::from(length));
                let octets = if text {
                    let counted = given.get(usize::from(length)).copied().flatten();
                    let counted = counted.zip(counter).and_then(|((_, tree), counter)| match tree {
                        Tree::Uint(number) => Some(number.saturating_add_signed(counter.adjust.into())),
                        _ => None,
                    });
                    values::text(tree, counted)?.0
                } else {
                    values::octets(field, tree)?
                };
                if let Some(counter) = counter {
                    let most = values::most(counter.fixed).saturating_add_signed(counter.adjust.into());
                    if octets.len() as u64 > most {
                        return Err(Flaw::TextLength { length: octets.len(), most }.into());
                    }
                }
                Value::Octets(octets)
            }
            Kind::String => Value::Octets(values::text(tree, None)?.0),
            Kind::Blob => {
                let (octets, kind) = values::text(tree, None)?;
                // Other types would not be read as what they are.
                if let Some(kind) = kind.filter(|kind| [1, 10].contains(kind)) {
                    block.set_kind(position, kind);
                }
                Value::Octets(octets)
            }
            Kind::Block { expected, .. } => Value::Block(self.nested(expected, tree)?),
            Kind::List { of, .. } => {
                let (items, kind) = match tree {
                    Tree::List(items) => (items.as_slice(), None),
                    Tree::Object(entries) => list(entries)?,
                    _ => return Err(LineError::new(Flaw::NotObject { or_list: true }).of(tree.excerpt())),
                };
                if let Some(kind) = kind.filter(|_| !field.repeat) {
                    block.set_kind(position, kind);
                }
                let item = |(i, tree)| self.nested(of, tree).map_err(|error| error.within(&format!("[{i}]")));
                Value::List(items.iter().enumerate().map(item).collect::<Parsed<_>>()?)
            }
        };
        block.set_at(position, value);
        Ok(())
    }

    /// A block with its header, where a layout expects one.
    fn nested(&mut self, expected: &'static Layout, tree: &Tree) -> Parsed<Block> {
        let Tree::Object(entries) = tree else {
            return Err(LineError::new(Flaw::NotObject { or_list: false }).of(tree.excerpt()));
        };
        self.block(expected, entries)
    }

    /// The block of the type that `blockType` names, else the expected one.
    pub(crate) fn block(&mut self, expected: &'static Layout, entries: &[Entry]) -> Parsed<Block> {
        let length = number(entries, "blockLength")?.or(number(entries, "blockString")?);
        if !expected.header {
            return self.choose(expected.forms(), entries, length);
        }
        let layout = match number(entries, "blockType")? {
            None if expected.is_any() => return Err(Flaw::NoBlockType.into()),
            None => expected,
            Some(number) if number == u64::from(expected.number) => expected,
            Some(number) => {
                let known = u32::try_from(number).ok().and_then(|number| layout::block(expected.series, number));
                match known.filter(|layout| !layout.is_gap()) {
                    Some(layout) if expected.is_any() || layout.title == expected.title => layout,
                    // A capture may hold what does not belong there, and is to be published as it is.
                    Some(layout) if self.names.printed => layout,
                    Some(layout) => {
                        let versions =
                            layout::blocks().filter(|l| l.title == expected.title && l.series == expected.series);
                        let mut allowed: Vec<u32> = versions.map(|l| l.number).collect();
                        allowed.dedup();
                        let allowed = allowed.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
                        let flaw = Flaw::WrongBlock { is: layout.title, belongs: expected.title, allowed };
                        return Err(LineError::new(flaw).of(number.to_string()).within("blockType"));
                    }
                    None => return opaque(expected, number, entries),
                }
            }
        };
        if layout.is_gap() {
            return opaque(expected, layout.number.into(), entries);
        }
        self.choose(layout.forms(), entries, length)
    }
}

/// A field that no layout here has, with the one that may be meant.
pub(crate) fn unknown(layout: &Layout, more: &[&Layout], (key, tree): &Entry) -> LineError {
    let fields = std::iter::once(layout).chain(more.iter().copied()).flat_map(|layout| layout.fields);
    let nearest = nearest(key, fields.flat_map(|field| [field.name, field.encore]));
    let place = match layout.series {
        0 => layout.title.to_owned(),
        series => format!("{} (block {series}:{})", layout.title, layout.number),
    };
    LineError::new(Flaw::UnknownField { layout: place, nearest }).of(tree.excerpt()).within(key)
}

/// An unsigned integer that is no field.
pub(crate) fn number(entries: &[Entry], key: &str) -> Parsed<Option<u64>> {
    match entries.iter().find(|(name, _)| name == key) {
        None | Some((_, Tree::Null)) => Ok(None),
        Some((_, Tree::Uint(number))) => Ok(Some(*number)),
        Some((_, tree)) => {
            let flaw = Flaw::NotNumber { most: u32::MAX.into(), named: false };
            Err(LineError::new(flaw).of(tree.excerpt()).within(key))
        }
    }
}

/// Octets of a value that is all hex.
pub(crate) fn hex(tree: &Tree) -> Parsed<Vec<u8>> {
    let octets = match tree {
        Tree::Text(text) => values::hex(text),
        _ => None,
    };
    octets.ok_or_else(|| LineError::new(Flaw::Form { what: "octets in hex".to_owned() }).of(tree.excerpt()))
}

fn fields(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    entries.iter().filter(|(key, _)| !NO_FIELDS.contains(&key.as_str()))
}

fn encoded(block: &Block) -> u64 {
    let mut out = Vec::new();
    block.encode(&mut out);
    out.len() as u64
}

/// The items of a list as they are printed, and its block type.
fn list(entries: &[Entry]) -> Parsed<(&[Tree], Option<u32>)> {
    let mut items: &[Tree] = &[];
    let mut kind = None;
    for (key, tree) in entries {
        match (key.as_str(), tree) {
            ("items", Tree::List(found)) => items = found,
            // The bare list of an old record has none.
            ("listType", Tree::Uint(number)) => {
                kind = u32::try_from(*number).ok().filter(|number| LISTS.contains(number))
            }
            ("listLength", Tree::Uint(_)) => {}
            _ => return Err(LineError::new(Flaw::NotObject { or_list: true }).of(tree.excerpt()).within(key)),
        }
    }
    Ok((items, kind))
}

/// The block types of lists.
const LISTS: [u32; 4] = [11, 31, 2, 3];

/// A block whose fields nobody knows.
fn opaque(expected: &Layout, number: u64, entries: &[Entry]) -> Parsed<Block> {
    let allowed = match expected.is_any() {
        true => String::new(),
        false => format!(". Block type {} ({}) belongs here", expected.number, expected.title),
    };
    let flaw = || Flaw::UnknownBlock { series: expected.series, number, allowed: allowed.clone() };
    let kind = u32::try_from(number).map_err(|_| flaw())?;
    let mut data = None;
    for entry in fields(entries) {
        match entry.0.as_str() {
            "data" => data = Some(hex(&entry.1).map_err(|error| error.within("data"))?),
            key => return Err(LineError::new(flaw()).within(key)),
        }
    }
    let data = data.ok_or_else(flaw)?;
    let mut octets = kind.to_be_bytes().to_vec();
    octets.extend_from_slice(&(data.len() as u32 + 8).to_be_bytes());
    octets.extend_from_slice(&data);
    Ok(Block::opaque(octets))
}

/// Fields that are there on a condition: to give one is to say that the condition holds.
fn conditions(block: &mut Block, given: &[Option<&Entry>]) -> Parsed<()> {
    let layout = block.layout();
    for (position, field) in layout.fields.iter().enumerate() {
        let (Some(condition), Some((key, tree))) = (field.present_if, given.get(position).copied().flatten()) else {
            continue;
        };
        match (block.value(condition.into()), given.get(usize::from(condition)).copied().flatten()) {
            (Value::Unset, None) => block.set_at(condition.into(), 1u8),
            (Value::Uint(0), Some((name, _))) => {
                return Err(LineError::new(Flaw::Absent { condition: name.clone() }).of(tree.excerpt()).within(key));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A text that is all the rest of its block: the length of the block tells what printing lost of it.
fn rest(block: &mut Block, given: &[Option<&Entry>], length: u64) {
    let layout = block.layout();
    let last = layout.fields.iter().enumerate().find(|(_, field)| match field.kind {
        Kind::Counted { length, text } => text && usize::from(length) >= layout.fields.len(),
        _ => false,
    });
    let Some((position, Some((_, Tree::Text(text))))) = last.map(|(at, _)| (at, given.get(at).copied().flatten()))
    else {
        return;
    };
    let others = encoded(block).saturating_sub(text.len() as u64);
    block.set_at(position, Value::Octets(values::restored(text, length.checked_sub(others))));
}
