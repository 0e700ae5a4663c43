//! Mappings: which field of a record is printed under which key. They are data, in `mapping/*.toml`; `docs/formats.md`
//! explains their vocabulary.
//!
//! [`Mapping`] is what a file says, [`expr`] the language of its sources, [`plan`] what becomes of it for one record type
//! and layout: positions instead of names, so that formatting an event looks nothing up.

pub(crate) mod expr;
pub(crate) mod item;
pub(crate) mod places;
pub(crate) mod plan;
pub(crate) mod tree;

use expr::{Expr, ExprError, Template};
use item::MapValue;
use serde::Deserialize;
use std::collections::BTreeMap;
use thiserror::Error;

/// A mapping file, or several laid over each other.
#[derive(Debug, Default)]
pub(crate) struct Mapping {
    /// What a field that is not there prints, where nothing else is said.
    pub(crate) missing: Option<String>,
    /// Key of a computed name; empty when it is not printed.
    pub(crate) computed: BTreeMap<String, String>,
    /// Key of a field without a mapping of its own.
    pub(crate) fields: BTreeMap<String, String>,
    /// Texts by number.
    pub(crate) tables: BTreeMap<String, Vec<String>>,
    /// Numbers and texts by number or text.
    pub(crate) maps: BTreeMap<String, BTreeMap<String, MapValue>>,
    /// JSON: the object of the fields that no key names, a path.
    pub(crate) rest: String,
    /// Keys of all records.
    pub(crate) common: Vec<(String, Expr)>,
    /// By record type.
    pub(crate) records: BTreeMap<u16, Entry>,
    /// For event records that are not listed.
    pub(crate) events: Option<Entry>,
    /// Sets of columns by name.
    pub(crate) sets: BTreeMap<String, Set>,
}

/// A set of columns: one kind of event.
#[derive(Debug, Default)]
pub(crate) struct Set {
    types: Vec<u16>,
    /// Names and sources. A column that a layout has not is empty.
    pub(crate) columns: Vec<(String, Expr)>,
}

/// What is printed of a record type.
#[derive(Debug, Default, Clone)]
pub(crate) struct Entry {
    /// What kind of event it is.
    pub(crate) id: Template,
    /// What happened, for people.
    pub(crate) name: Template,
    /// How bad it is.
    pub(crate) severity: Expr,
    /// Keys and their sources, in print order.
    pub(crate) keys: Vec<(String, Expr)>,
}

/// A mapping file that makes no sense. Those of this crate are tested, so this is a fault of the program.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MappingError {
    /// Not TOML, or not of the form of a mapping.
    #[error("the mapping {file} cannot be read: {problem}; this is a fault of this program, please report it")]
    File {
        /// Which mapping.
        file: &'static str,
        /// What the parser says.
        problem: String,
    },
    /// A source that cannot be understood.
    #[error(
        "the mapping {file} has a bad source for {key}: {problem}; this is a fault of this program, please report it"
    )]
    Source {
        /// Which mapping.
        file: &'static str,
        /// The key.
        key: String,
        /// What is wrong.
        problem: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    missing: Option<String>,
    #[serde(default)]
    computed: BTreeMap<String, String>,
    #[serde(default)]
    fields: BTreeMap<String, String>,
    #[serde(default)]
    tables: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    maps: BTreeMap<String, BTreeMap<String, MapValue>>,
    rest: Option<String>,
    #[serde(default)]
    common: Vec<(String, String)>,
    #[serde(default)]
    record: Vec<Record>,
    events: Option<Record>,
    #[serde(default)]
    set: BTreeMap<String, Columns>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Columns {
    types: Vec<u16>,
    columns: Vec<(String, String)>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    #[serde(default)]
    types: Vec<u16>,
    id: Option<String>,
    name: Option<String>,
    severity: Option<String>,
    /// Keys that the file below has and this one has not.
    #[serde(default)]
    without: Vec<String>,
    #[serde(default)]
    keys: Vec<(String, String)>,
    /// The file below prints this record type, and this one does not.
    #[serde(default)]
    absent: bool,
}

impl Mapping {
    /// Reads files; each is laid over those before it.
    pub(crate) fn load(files: &[(&'static str, &str)]) -> Result<Mapping, MappingError> {
        let mut mapping = Mapping::default();
        for (name, text) in files {
            let file: File =
                toml::from_str(text).map_err(|e| MappingError::File { file: name, problem: e.to_string() })?;
            mapping.lay(name, file)?;
        }
        Ok(mapping)
    }

    fn lay(&mut self, file: &'static str, upper: File) -> Result<(), MappingError> {
        let fault =
            |key: &str, e: ExprError| MappingError::Source { file, key: key.to_owned(), problem: e.to_string() };
        self.missing = upper.missing.or_else(|| self.missing.take());
        self.computed.extend(upper.computed);
        self.fields.extend(upper.fields);
        self.tables.extend(upper.tables);
        self.maps.extend(upper.maps);
        if let Some(rest) = upper.rest {
            self.rest = rest;
        }
        for (key, source) in upper.common {
            put(&mut self.common, key, &source, fault)?;
        }
        for record in upper.record {
            for record_type in &record.types {
                if record.absent {
                    self.records.remove(record_type);
                } else {
                    record.over(self.records.entry(*record_type).or_default(), fault)?;
                }
            }
        }
        for (name, set) in upper.set {
            let types = set.types;
            let mut columns = Vec::new();
            for (key, source) in set.columns {
                put(&mut columns, key, &source, fault)?;
            }
            self.sets.insert(name, Set { types, columns });
        }
        if let Some(events) = upper.events {
            events.over(self.events.get_or_insert_default(), fault)?;
        }
        Ok(())
    }

    /// Prints the records of this set, and no others.
    pub(crate) fn choose(&mut self, set: Set) {
        let entry = Entry { keys: set.columns, ..Entry::default() };
        self.records = set.types.into_iter().map(|record_type| (record_type, entry.clone())).collect();
    }

    /// What is printed of the first of some record types that is listed, or else of events in general.
    pub(crate) fn entry(&self, record_types: [u16; 2], event: bool) -> Option<&Entry> {
        let listed = record_types.iter().find_map(|record_type| self.records.get(record_type));
        listed.or_else(|| self.events.as_ref().filter(|_| event))
    }
}

impl Record {
    fn over(
        &self,
        entry: &mut Entry,
        fault: impl Fn(&str, ExprError) -> MappingError + Copy,
    ) -> Result<(), MappingError> {
        if let Some(id) = &self.id {
            entry.id = Template::parse(id).map_err(|e| fault("id", e))?;
        }
        if let Some(name) = &self.name {
            entry.name = Template::parse(name).map_err(|e| fault("name", e))?;
        }
        if let Some(severity) = &self.severity {
            entry.severity = Expr::parse(severity).map_err(|e| fault("severity", e))?;
        }
        entry.keys.retain(|(key, _)| !self.without.contains(key));
        self.keys.iter().try_for_each(|(key, source)| put(&mut entry.keys, key.clone(), source, fault))
    }
}

/// Replaces the source of a key where it stands, or appends it.
fn put(
    keys: &mut Vec<(String, Expr)>,
    key: String,
    source: &str,
    fault: impl Fn(&str, ExprError) -> MappingError,
) -> Result<(), MappingError> {
    let source = Expr::parse(source).map_err(|e| fault(&key, e))?;
    match keys.iter_mut().find(|(k, _)| *k == key) {
        Some((_, old)) => *old = source,
        None => keys.push((key, source)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOWER: &str = r#"
        missing = "None"
        computed = { user = "user", sensor = "sensor" }
        [[record]]
        types = [2, 71]
        id = "A:{x}"
        keys = [["a", "x"], ["b", "y"], ["c", "z"]]
    "#;

    #[test]
    fn files_are_laid_over_each_other() {
        let upper = r#"
            computed = { user = "" }
            [[record]]
            types = [71]
            without = ["a"]
            keys = [["b", "@n"], ["d", "x"]]
            [[record]]
            types = [2]
            absent = true
        "#;
        let mapping = Mapping::load(&[("lower", LOWER), ("upper", upper)]).unwrap();
        assert!(mapping.entry([2, 2], true).is_none());
        let keys: Vec<&str> = mapping.entry([71, 71], true).unwrap().keys.iter().map(|(k, _)| k.as_str()).collect();
        assert_eq!(keys, ["b", "c", "d"]);
        assert_eq!(mapping.entry([71, 71], true).unwrap().keys[0].1, Expr::parse("@n").unwrap());
        assert_eq!((mapping.computed["user"].as_str(), mapping.computed["sensor"].as_str()), ("", "sensor"));
        assert_eq!(mapping.missing.as_deref(), Some("None"));
    }

    #[test]
    fn faults_are_named() {
        let error = |text: &str| Mapping::load(&[("test.toml", text)]).unwrap_err().to_string();
        assert!(error("nonsense = 1").contains("test.toml"));
        let bad = error("[[record]]\ntypes = [1]\nkeys = [[\"act\", \"ms(\"]]");
        assert!(bad.contains("test.toml") && bad.contains("act"), "{bad}");
    }
}
