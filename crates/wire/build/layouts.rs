//! Layouts: every block, record body and alternative form becomes a static table of fields.

use crate::model::{Alternative, Block, Certainty, Field, Status};
use crate::names::Enumerations;
use crate::{Result, changed};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;

pub(crate) type Known = BTreeMap<(u32, u32), Block>;

/// What a layout is made from.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) series: u32,
    pub(crate) number: u32,
    pub(crate) title: &'a str,
    pub(crate) versions: &'a str,
    pub(crate) source: &'a str,
    pub(crate) certainty: Certainty,
    pub(crate) status: Status,
    pub(crate) header: bool,
    pub(crate) fields: &'a [Field],
    pub(crate) alternatives: &'a [Alternative],
}

/// Writes the layouts and numbers them.
pub(crate) struct Layouts<'a> {
    pub(crate) known: &'a Known,
    pub(crate) out: String,
    /// What the numbers of fields mean.
    pub(crate) enumerations: Enumerations,
    index: u32,
    /// The layouts that are no block and no record body by themselves.
    forms: Vec<String>,
    /// Blocks that occur without their header.
    bare: BTreeSet<(u32, u32)>,
}

impl<'a> Layouts<'a> {
    pub(crate) fn new(known: &'a Known, enumerations: Enumerations) -> Self {
        Layouts { known, out: String::new(), enumerations, index: 0, forms: Vec::new(), bare: BTreeSet::new() }
    }

    pub(crate) fn blocks(&mut self) -> Result<()> {
        for ((series, number), block) in self.known {
            let place = format!("series {series}, block {number}");
            self.emit(&place, &format!("B{series}_{number}"), source(*series, block, true))?;
        }
        for series in [1, 2] {
            let numbers = || self.known.keys().filter(|k| k.0 == series).map(|k| k.1);
            let top = numbers().max().unwrap_or(0);
            let _ = write!(self.out, "pub(crate) static SERIES_{series}: [Option<&Layout>; {}] = [", top + 1);
            for number in 0..=top {
                if self.known.contains_key(&(series, number)) {
                    let _ = write!(self.out, "Some(&B{series}_{number}),");
                } else {
                    self.out.push_str("None,");
                }
            }
            self.out.push_str("];\n");
        }
        Ok(())
    }

    pub(crate) fn discovery_header(&mut self, fields: &[Field]) -> Result<()> {
        let header = Source {
            series: 0,
            number: 0,
            title: "Discovery Event Header",
            versions: "",
            source: "eStreamer Integration Guide 5.3.1 p.4-32",
            certainty: Certainty::Documented,
            status: Status::Current,
            header: false,
            fields,
            alternatives: &[],
        };
        self.emit("discovery header", "DISCOVERY_HEADER_LAYOUT", header).map(drop)
    }

    /// The text of all tables, and the enumerations with the fields that have them.
    pub(crate) fn finish(mut self) -> (String, Enumerations) {
        for (series, number) in std::mem::take(&mut self.bare) {
            let block = &self.known[&(series, number)];
            let ident = format!("BARE{series}_{number}");
            // Its fields are known to be right.
            let _ = self.emit("bare block", &ident, Source { alternatives: &[], ..source(series, block, false) });
            self.forms.push(ident);
        }
        let forms: String = self.forms.iter().map(|f| format!("&{f},")).collect();
        let _ = writeln!(
            self.out,
            "pub(crate) static FORMS: [&Layout; {}] = [{forms}];\n\
             /// How many layouts there are; every `Layout::index` is below it.\npub const LAYOUT_COUNT: usize = {};",
            self.forms.len(),
            self.index
        );
        (self.out, self.enumerations)
    }

    /// Writes a layout and its alternatives; gives the names of the alternatives' statics.
    pub(crate) fn emit(&mut self, place: &str, ident: &str, l: Source<'_>) -> Result<Vec<String>> {
        if l.fields.is_empty() != (l.certainty == Certainty::Gap) && l.series != 0 {
            return Err(format!("{place}: a gap has no fields, all others have some"));
        }
        let mut alternatives = String::new();
        let mut idents = Vec::new();
        for (i, alternative) in l.alternatives.iter().enumerate() {
            let place = format!("{place}, alternative {i}");
            let ident = format!("{ident}_{i}");
            let own = match alternative.fields.is_empty() {
                true => changed(l.fields, &alternative.without, &alternative.change, &alternative.add),
                false => Ok(alternative.fields.clone()),
            };
            let own = own.map_err(|e| format!("{place}: {e}"))?;
            let when = self.condition(alternative, &own, &l).map_err(|e| format!("{place}: {e}"))?;
            let or = |own: &'_ str, other| if own.is_empty() { other } else { own.to_owned() };
            let versions = or(&alternative.versions, l.versions.to_owned());
            let origin = or(&alternative.source, l.source.to_owned());
            let form = Source { fields: &own, alternatives: &[], versions: &versions, source: &origin, ..l };
            self.emit(&place, &ident, form)?;
            let _ = write!(alternatives, "Alternative{{when:{when},layout:&{ident}}},");
            idents.push(ident.clone());
            self.forms.push(ident);
        }
        let (fields, minimum, slots) = self.fields(place, &l)?;
        let names = self.enumerations.fields(l.title, l.fields).map_err(|e| format!("{place}: {e}"))?;
        let little = l.fields.iter().any(|f| f.endian.is_some());
        let mut sorted: Vec<usize> = (0..l.fields.len()).filter(|i| !l.fields[*i].name.is_empty()).collect();
        sorted.sort_by_key(|i| &l.fields[*i].name);
        let _ = writeln!(
            self.out,
            "pub(crate) static {ident}: Layout = Layout{{index:{},series:{},number:{},title:{:?},versions:{:?},source:{:?},certainty:Certainty::{:?},status:Status::{:?},header:{},minimum:{minimum},fields:&[{fields}],alternatives:&[{alternatives}],little:{little},slots:{slots},by_name:&{sorted:?},names:&[{names}]}};",
            self.index, l.series, l.number, l.title, l.versions, l.source, l.certainty, l.status, l.header
        );
        self.index += 1;
        Ok(idents)
    }

    /// The condition under which an alternative is read, with the numbers it tests.
    fn condition(&self, alternative: &Alternative, fields: &[Field], l: &Source<'_>) -> Result<String> {
        let nested = |f: &Field| matches!(f.r#type.as_str(), "block" | "list");
        match alternative.when.as_str() {
            "length" => {
                let sizes = fields.iter().map(|f| self.size(f)).collect::<Option<Vec<u32>>>();
                let sizes = sizes.ok_or("when = \"length\" needs fields of fixed size")?;
                Ok(format!("When::Length({})", sizes.iter().sum::<u32>()))
            }
            "string" => {
                let first = fields.iter().position(|f| f.r#type == "string").ok_or("has no string to look for")?;
                let sizes = fields[..first].iter().map(|f| self.size(f)).collect::<Option<Vec<u32>>>();
                let sizes = sizes.ok_or("what comes before the string has no fixed size")?;
                Ok(format!("When::String({})", sizes.iter().sum::<u32>()))
            }
            "no block" => {
                let inline = l.fields.iter().find(|f| f.inline).and_then(|f| f.block.as_deref());
                let (_, number) = reference(inline.ok_or("when = \"no block\" is for records with an inline block")?)?;
                Ok(format!("When::NoBlock({number})"))
            }
            // Reading nested blocks more than once, at every depth, would cost too much.
            "fits" if l.series != 0 && l.fields.iter().chain(fields).any(nested) => {
                Err("when = \"fits\" is not for blocks that hold blocks".into())
            }
            "fits" => Ok("When::Fits".into()),
            other => Err(format!("unknown condition {other}")),
        }
    }

    /// Bytes of a field when that does not depend on the data.
    fn size(&self, field: &Field) -> Option<u32> {
        match field.r#type.as_str() {
            "block" if field.bare => {
                let block = self.known.get(&reference(field.block.as_deref()?).ok()?)?;
                block.fields.iter().map(|f| self.size(f)).sum()
            }
            other => Some(fixed_size(other)).filter(|n| *n > 0 && field.present_if.is_none() && !field.optional),
        }
    }

    /// The table of fields, their bytes when all texts and lists are empty, and how many slots they take.
    fn fields(&mut self, place: &str, l: &Source<'_>) -> Result<(String, u32, u16)> {
        let position = |name: &str| l.fields.iter().position(|f| f.name == name);
        let mut out = String::new();
        let mut seen = HashSet::new();
        let mut minimum = 0;
        let mut slots = Slots::default();
        for (i, field) in l.fields.iter().enumerate() {
            let at = |e: &str| format!("{place}, field {i} ({}): {e}", field.name);
            if field.name.is_empty() && !field.inline {
                return Err(at("needs a name"));
            }
            if !field.name.is_empty() && !seen.insert(&field.name) {
                return Err(at("the name is used twice"));
            }
            let kind = self.kind(l, i, &position).map_err(|e| at(&e))?;
            let fixed = fixed_size(&field.r#type);
            let present_if = match &field.present_if {
                None => "None".to_owned(),
                Some(name) => match position(name) {
                    Some(p) if p < i => format!("Some({p})"),
                    _ => return Err(at("present_if names no earlier field")),
                },
            };
            let counts = l.fields.iter().position(|f| f.length_field.as_deref() == Some(&field.name));
            let adjust = counts.map_or(0, |p| l.fields[p].length_adjust);
            if field.present_if.is_none() && !field.optional {
                minimum += match field.r#type.as_str() {
                    "text" | "octets" => 0,
                    "list" if field.repeat => 0,
                    _ if fixed > 0 => fixed,
                    _ => 8,
                };
            }
            let little = match (field.endian.as_deref(), field.r#type.as_str()) {
                (None, _) => false,
                (Some("little"), "ipv4") => true,
                _ => return Err(at("endian = \"little\" is for ipv4 only")),
            };
            let encore = field.encore.as_deref().unwrap_or(&field.name);
            let (slot, shift) = slots.place(if field.present_if.is_some() || little { 0 } else { fixed });
            let (run, run_bytes) = if shift == 0 { run(&l.fields[i..]) } else { (0, 0) };
            let _ = write!(
                out,
                "Field{{name:{:?},encore:{encore:?},kind:{kind},fixed:{fixed},present_if:{present_if},counts:{counts:?},adjust:{adjust},optional:{},repeat:{},little:{little},slot:{slot},shift:{shift},run:{run},run_bytes:{run_bytes}}},",
                field.name, field.optional, field.repeat
            );
        }
        Ok((out, minimum, slots.used))
    }

    fn kind(&mut self, l: &Source<'_>, at: usize, position: &dyn Fn(&str) -> Option<usize>) -> Result<String> {
        let field = &l.fields[at];
        Ok(match field.r#type.as_str() {
            "u8" | "u16" | "u32" | "u64" => "Kind::Uint".into(),
            "uuid" => "Kind::Uuid".into(),
            "ipv4" => "Kind::Ipv4".into(),
            "ipv6" => "Kind::Ipv6".into(),
            "mac" => "Kind::Mac".into(),
            "string" => "Kind::String".into(),
            "blob" => "Kind::Blob".into(),
            t @ ("text" | "octets") => {
                let text = t == "text";
                let name = field.length_field.as_deref().ok_or("needs a length_field")?;
                if name == "blockLength" {
                    // The only use of it: what is left of the block.
                    let before: u32 = l.fields[..at].iter().map(|f| fixed_size(&f.r#type)).sum();
                    let header = if l.header { 8 } else { 0 };
                    if i64::from(field.length_adjust) != -i64::from(before + header) || at + 1 != l.fields.len() {
                        return Err("blockLength gives the length of a last field, less what comes before".into());
                    }
                    return Ok(format!("Kind::Counted{{length:REST,text:{text}}}"));
                }
                match position(name) {
                    Some(p) if p < at => format!("Kind::Counted{{length:{p},text:{text}}}"),
                    _ => return Err(format!("length_field {name} is no earlier field")),
                }
            }
            "block" => {
                let text = field.block.as_deref().ok_or("needs block = \"series:type\"")?;
                let layout = match field.bare {
                    true => {
                        let (series, number) = reference(text)?;
                        layout_ident(self.known, text)?;
                        self.bare.insert((series, number));
                        format!("BARE{series}_{number}")
                    }
                    false => layout_ident(self.known, text)?,
                };
                format!("Kind::Block{{expected:&{layout},inline:{}}}", field.inline)
            }
            "list" => {
                let of = layout_ident(self.known, field.of.as_deref().ok_or("needs of = \"series:type\"")?)?;
                let generic = match field.kind.as_deref() {
                    Some("list") => false,
                    Some("generic") => true,
                    None if field.repeat => false,
                    _ => return Err("needs kind = \"list\" or \"generic\", or repeat = true".into()),
                };
                format!("Kind::List{{of:&{of},generic:{generic}}}")
            }
            hex if fixed_size(hex) > 0 => "Kind::Hex".into(),
            other => return Err(format!("unknown type {other}")),
        })
    }
}

/// How many fields from here on are always there and of fixed size, and their bytes.
fn run(fields: &[Field]) -> (usize, u32) {
    let plain = |f: &&Field| f.present_if.is_none() && f.endian.is_none() && !f.optional && fixed_size(&f.r#type) > 0;
    let run = fields.iter().take_while(plain);
    (run.clone().count(), run.map(|f| fixed_size(&f.r#type)).sum())
}

/// Which fields a decoder keeps the place of. A run of fields of fixed size has one slot: where it begins tells where
/// each of them is.
#[derive(Default)]
struct Slots {
    used: u16,
    /// Bytes of the run so far; 0 where none is open.
    run: u32,
}

impl Slots {
    /// The slot of the next field, and how far behind the slot's place it begins. `size` is 0 for a field whose size
    /// depends on the data.
    fn place(&mut self, size: u32) -> (u16, u32) {
        let shift = if size == 0 { 0 } else { self.run };
        if shift == 0 {
            self.used += 1;
        }
        self.run = if size == 0 { 0 } else { shift + size };
        (self.used - 1, shift)
    }
}

fn source(series: u32, block: &Block, header: bool) -> Source<'_> {
    Source {
        series,
        number: block.r#type,
        title: &block.title,
        versions: &block.versions,
        source: &block.source,
        certainty: block.certainty,
        status: block.status,
        header,
        fields: &block.fields,
        alternatives: &block.alternative,
    }
}

fn fixed_size(kind: &str) -> u32 {
    match kind {
        "u8" => 1,
        "u16" => 2,
        "u32" | "ipv4" => 4,
        "mac" => 6,
        "u64" => 8,
        "uuid" | "ipv6" => 16,
        _ => kind.strip_prefix("hex").and_then(|n| n.parse::<u8>().ok()).map_or(0, u32::from),
    }
}

/// `series:type` as numbers.
pub(crate) fn reference(text: &str) -> Result<(u32, u32)> {
    let (series, number) = text.split_once(':').ok_or_else(|| format!("{text} is not series:type"))?;
    Ok((
        series.parse().map_err(|_| format!("bad series in {text}"))?,
        number.parse().map_err(|_| format!("bad type in {text}"))?,
    ))
}

/// The static of a block; `series:auto` is any block of the series.
fn layout_ident(known: &Known, text: &str) -> Result<String> {
    match text {
        "1:auto" => return Ok("ANY_1".into()),
        "2:auto" => return Ok("ANY_2".into()),
        _ => {}
    }
    let (series, number) = reference(text)?;
    if !known.contains_key(&(series, number)) {
        return Err(format!("block {text} is not defined"));
    }
    Ok(format!("B{series}_{number}"))
}
