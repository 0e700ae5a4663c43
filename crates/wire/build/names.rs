//! Names of numbers: the tables that resolution knows, and the enumerations with the fields that have them.

use crate::Result;
use crate::model::{Field, Number};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

/// `names.toml`: tables of keys and names.
pub(crate) type Tables = BTreeMap<String, BTreeMap<String, String>>;

/// The tables of `names.toml`.
pub(crate) fn tables(out: &mut String, names: &Tables) -> Result<()> {
    let _ = write!(out, "pub(crate) static NAMES: [NameTable; {}] = [", names.len());
    for (table, entries) in names {
        let mut list: Vec<(&String, &String)> = entries.iter().collect();
        list.sort_by_key(|(k, _)| (k.parse::<u64>().unwrap_or(u64::MAX), (*k).clone()));
        let _ = write!(out, "NameTable{{table:{table:?},entries:&[");
        for (key, name) in list {
            // A hash of digits alone is no number.
            let number = if key.len() <= 20 { key.parse::<u64>().ok() } else { None };
            let key = match number {
                Some(n) => format!("NameKey::Number({n})"),
                None => {
                    let hex: String = key.chars().filter(|c| *c != '-').collect();
                    if !hex.len().is_multiple_of(2) || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
                        return Err(format!("names: {table}: key {key} is neither a number nor hex"));
                    }
                    let bytes: Vec<u8> =
                        (0..hex.len()).step_by(2).filter_map(|i| u8::from_str_radix(&hex[i..i + 2], 16).ok()).collect();
                    format!("NameKey::Octets(&{bytes:?})")
                }
            };
            let _ = write!(out, "({key},{name:?}),");
        }
        out.push_str("]},");
    }
    out.push_str("];\n");
    Ok(())
}

/// The enumerations of `numbers.toml`.
#[derive(Default)]
pub(crate) struct Enumerations {
    list: Vec<Enumeration>,
    claims: Vec<Claim>,
}

struct Enumeration {
    number: Number,
    /// Number and name, those of its table and of the enumerations it is like included.
    names: BTreeMap<u64, String>,
    /// Octets of its widest field.
    width: u32,
}

/// The fields that have an enumeration: `[title.]field [when other = number]`.
struct Claim {
    enumeration: usize,
    text: String,
    /// Title of the blocks or name of the records; all that have the field if there is none.
    title: Option<String>,
    field: String,
    when: Option<(String, u64)>,
    used: bool,
}

impl Enumerations {
    pub(crate) fn new(numbers: Vec<Number>, tables: &Tables) -> Result<Self> {
        let mut all = Enumerations::default();
        for number in numbers {
            let at = |e: String| format!("numbers: {}: {e}", number.name);
            if all.list.iter().any(|e| e.number.name == number.name) {
                return Err(at("defined twice".into()));
            }
            let names = all.names(&number, tables).map_err(at)?;
            for text in &number.fields {
                let claim = claim(all.list.len(), text).map_err(at)?;
                all.claims.push(claim);
            }
            all.list.push(Enumeration { number, names, width: 4 });
        }
        Ok(all)
    }

    fn names(&self, number: &Number, tables: &Tables) -> Result<BTreeMap<u64, String>> {
        let mut names = BTreeMap::new();
        let mut add = |n: u64, name: &str| match names.insert(n, name.to_owned()) {
            _ if name.is_empty() => Err(format!("{n} has an empty name")),
            Some(other) => Err(format!("{n} has two names, {other} and {name}")),
            None => Ok(()),
        };
        for like in &number.like {
            let found = self.list.iter().find(|e| e.number.name == *like);
            let found = found.ok_or_else(|| format!("like {like}, of which nothing is known before it"))?;
            found.names.iter().try_for_each(|(n, name)| add(*n, name))?;
        }
        let own = number.table.as_ref().map(|t| tables.get(t).ok_or_else(|| format!("there is no table {t}")));
        for (key, name) in own.transpose()?.into_iter().flatten().chain(&number.names) {
            add(key.parse().map_err(|_| format!("{key} is no number"))?, name)?;
        }
        if let Some(n) = names.keys().find(|n| number.bits() && n.count_ones() > 1) {
            return Err(format!("{n} is not one bit"));
        }
        Ok(names)
    }

    /// The table of a layout that says which of its fields have enumerations.
    pub(crate) fn fields(&mut self, title: &str, fields: &[Field]) -> Result<String> {
        let mut out = String::new();
        for (position, field) in fields.iter().enumerate() {
            let named = |c: &Claim| c.field == field.name;
            let own = |c: &Claim| named(c) && c.title.as_deref().is_some_and(|t| titled(title, t));
            let special = self.claims.iter().any(own);
            let claims =
                self.claims.iter_mut().filter(|c| if special { own(c) } else { named(c) && c.title.is_none() });
            let mut seen = BTreeSet::new();
            for claim in claims {
                let at = |e: &str| format!("{} has {}: {e}", claim.text, self.list[claim.enumeration].number.name);
                claim.used = true;
                let width = integer(field).ok_or_else(|| at("it is no integer"))?;
                let when = match &claim.when {
                    None => "None".to_owned(),
                    Some((other, number)) => {
                        let other = fields.iter().position(|f| f.name == *other && integer(f).is_some());
                        format!("Some(({},{number}))", other.ok_or_else(|| at("its condition is about no integer"))?)
                    }
                };
                if !seen.insert(when.clone()) || seen.contains("None") && seen.len() > 1 {
                    return Err(at("another one has the same field"));
                }
                let enumeration = &mut self.list[claim.enumeration];
                enumeration.width = enumeration.width.max(width);
                let ident = static_ident(&enumeration.number.name);
                let _ = write!(out, "Naming{{position:{position},when:{when},of:&crate::names::{ident}}},");
            }
        }
        Ok(out)
    }

    /// The text of all enumerations and their types, after the layouts.
    pub(crate) fn finish(&self, metadata: impl Fn(u16) -> bool) -> Result<String> {
        if let Some(unused) = self.claims.iter().find(|c| !c.used) {
            let name = &self.list[unused.enumeration].number.name;
            return Err(format!("numbers: {name}: there is no field {}", unused.text));
        }
        let mut out = String::new();
        let mut all = String::new();
        let mut constants = String::new();
        for e in &self.list {
            let Number { name, title, source, certainty, .. } = &e.number;
            let at = |text: String| format!("numbers: {name}: {text}");
            if let Some(record) = e.number.metadata.iter().find(|r| !metadata(**r)) {
                return Err(at(format!("{record} is no metadata record")));
            }
            let (primitive, top) = if e.width > 4 { ("u64", u64::MAX) } else { ("u32", u32::MAX.into()) };
            if let Some(n) = e.names.keys().find(|n| **n > top) {
                return Err(at(format!("{n} does not fit into the fields")));
            }
            let ident = static_ident(name);
            let names: Vec<(&u64, &String)> = e.names.iter().collect();
            let _ = writeln!(
                out,
                "pub(crate) static {ident}: Enumeration = Enumeration{{name:{name:?},title:{title:?},source:{source:?},certainty:Certainty::{certainty:?},bits:{},metadata:&{:?},names:&{names:?}}};",
                e.number.bits(),
                e.number.metadata
            );
            let kind = if e.number.bits() { "bit_set" } else { "open_number" };
            let _ = writeln!(out, "{kind}!{{{:?} {name} {primitive} {ident}}}", format!("{title}."));
            let _ = writeln!(out, "impl {name}{{");
            for ((n, text), constant) in names.iter().zip(constant_idents(&e.names).map_err(at)?) {
                let _ = writeln!(out, "/// {n}: {text}.\npub const {constant}: {name} = {name}({n});");
                let _ = write!(constants, "(&{ident},{name}::{constant}.number(),{text:?}),");
            }
            out.push_str("}\n");
            let _ = write!(all, "&{ident},");
        }
        let _ = writeln!(out, "static ENUMERATIONS: &[&Enumeration] = &[{all}];");
        let _ = writeln!(
            out,
            "#[cfg(test)]\nfn constants() -> Vec<(&'static Enumeration, u64, &'static str)> {{vec![{constants}]}}"
        );
        Ok(out)
    }
}

fn claim(enumeration: usize, text: &str) -> Result<Claim> {
    let (place, when) = match text.split_once(" when ") {
        None => (text, None),
        Some((place, when)) => {
            let (other, number) = when.split_once(" = ").ok_or_else(|| format!("{text}: when field = number"))?;
            (place, Some((other.to_owned(), number.parse().map_err(|_| format!("{text}: {number} is no number"))?)))
        }
    };
    let (title, field) = match place.rsplit_once('.') {
        None => (None, place),
        Some((title, field)) => (Some(title.to_owned()), field),
    };
    Ok(Claim { enumeration, text: text.to_owned(), title, field: field.to_owned(), when, used: false })
}

/// Whether a layout goes by this title: `Intrusion Event` is also that of `Intrusion Event (IPv4)`.
fn titled(layout: &str, title: &str) -> bool {
    layout.strip_prefix(title).is_some_and(|rest| rest.is_empty() || rest.starts_with(" ("))
}

/// Octets of an integer field.
fn integer(field: &Field) -> Option<u32> {
    match field.r#type.as_str() {
        "u8" => Some(1),
        "u16" => Some(2),
        "u32" => Some(4),
        "u64" => Some(8),
        _ => None,
    }
}

/// `FileAction` as `FILE_ACTION`.
fn static_ident(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.char_indices() {
        if i > 0 && c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

/// The constants' names, in order of the numbers. Numbers of the same name have their number behind it.
fn constant_idents(names: &BTreeMap<u64, String>) -> Result<Vec<String>> {
    let idents = names.values().map(|name| constant_ident(name)).collect::<Result<Vec<String>>>()?;
    let mut times: HashMap<&String, u32> = HashMap::new();
    idents.iter().for_each(|ident| *times.entry(ident).or_default() += 1);
    let own = |(n, ident): (&u64, &String)| if times[ident] > 1 { format!("{ident}_{n}") } else { ident.clone() };
    let idents: Vec<String> = names.keys().zip(&idents).map(own).collect();
    match idents.iter().collect::<BTreeSet<_>>().len() == idents.len() {
        true => Ok(idents),
        false => Err("two constants would have the same name".into()),
    }
}

/// A name as a constant's name; explanations after ` - ` are left out.
fn constant_ident(name: &str) -> Result<String> {
    let mut out = String::new();
    let short = name.split(" - ").next().unwrap_or(name).replace("N/A", "Not Applicable").replace('+', " plus ");
    for c in short.chars() {
        match c {
            'A'..='Z' | 'a'..='z' | '0'..='9' => out.push(c.to_ascii_uppercase()),
            'Å' => out.push('A'),
            'ç' => out.push('C'),
            'é' => out.push('E'),
            'ô' => out.push('O'),
            'ü' => out.push('U'),
            c if !c.is_ascii() => return Err(format!("{name}: no ASCII letter is known for {c}")),
            _ if out.ends_with('_') || out.is_empty() => {}
            _ => out.push('_'),
        }
    }
    let out = out.trim_end_matches('_').to_owned();
    match out.bytes().next() {
        None => Err(format!("{name} makes no name of a constant")),
        Some(b'0'..=b'9') => Ok(format!("_{out}")),
        Some(_) => Ok(out),
    }
}
