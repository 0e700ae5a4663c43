//! The tables of `mapping.toml`: which value of a line goes into which field.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value;

use super::text::{clip, colons};
use super::{EveError, Field};

/// All tables.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mapping {
    /// Application layer lines by event type.
    pub(super) connection: BTreeMap<String, Vec<Rule>>,
    pub(super) intrusion: Vec<Rule>,
    pub(super) file: Vec<Rule>,
    pub(super) user: Vec<UserRule>,
    /// Event types without a record, and why.
    pub(super) unmapped: BTreeMap<String, String>,
    pub(super) application: BTreeMap<String, Application>,
    class: Vec<Classes>,
    file_type: Vec<FileType>,
    table: BTreeMap<String, BTreeMap<String, u32>>,
}

/// One value of a line and where it goes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    from: Vec<String>,
    pub(super) to: String,
    #[serde(default, rename = "as")]
    form: Form,
    table: Option<String>,
    pub(super) record: Option<u16>,
}

/// How a value is written.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    #[default]
    Text,
    Number,
    Hex,
    Colons,
}

/// A line that shows a login.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserRule {
    pub(super) event: String,
    pub(super) name: String,
    pub(super) domain: Option<String>,
    pub(super) protocol: String,
    pub(super) application: String,
    pub(super) when: BTreeMap<String, String>,
}

/// What an application protocol is called.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Application {
    pub(super) server: (u32, String),
    pub(super) client: Option<(u32, String)>,
    pub(super) web: Option<(u32, String)>,
    /// `server` is the name on this port only, `other` that on all others.
    pub(super) port: Option<u16>,
    pub(super) other: Option<(u32, String)>,
}

#[derive(Debug, Deserialize)]
struct Classes {
    names: Vec<(String, String)>,
}

#[derive(Debug, Deserialize)]
struct FileType {
    magic: String,
    id: u32,
    name: String,
}

impl Mapping {
    /// The tables, read once.
    pub(super) fn load() -> Result<&'static Mapping, EveError> {
        static MAPPING: OnceLock<Mapping> = OnceLock::new();
        if let Some(mapping) = MAPPING.get() {
            return Ok(mapping);
        }
        let mapping = toml::from_str(include_str!("mapping.toml")).map_err(|e| EveError::Mapping(e.to_string()))?;
        Ok(MAPPING.get_or_init(|| mapping))
    }

    /// The number a table has for a name.
    pub(super) fn number(&self, table: &str, name: &str) -> Option<u32> {
        self.table.get(table)?.get(name).copied()
    }

    /// Number, short name and description of a classification, by its description.
    pub(super) fn class(&self, description: &str) -> Option<(u32, &str, &str)> {
        let mut all = (1..).zip(self.class.iter().flat_map(|class| &class.names));
        let found = all.find(|(_, (_, known))| known.eq_ignore_ascii_case(description));
        found.map(|(id, (name, known))| (id, &**name, &**known))
    }

    /// Number and name of a file type, by what libmagic says.
    pub(super) fn file_type(&self, magic: &str) -> Option<(u32, &str)> {
        self.file_type.iter().find(|known| magic.starts_with(&known.magic)).map(|known| (known.id, &*known.name))
    }

    /// The value of a rule in a line; with the number of a table also the name it has there.
    pub(super) fn value<'l>(&self, rule: &Rule, line: &'l Value) -> Option<(Field, Option<&'l str>)> {
        let value = rule.from.iter().filter_map(|path| at(line, path)).find(|value| !empty(value))?;
        if let Some(table) = &rule.table {
            let name = value.as_str()?;
            return Some((Field::Number(self.number(table, name)?.into()), Some(name)));
        }
        let field = match rule.form {
            Form::Text => Field::Text(clip(value.as_str()?).to_owned()),
            Form::Number => Field::Number(value.as_u64().or_else(|| value.as_str()?.parse().ok())?),
            Form::Hex => Field::Number(u64::from_str_radix(value.as_str()?.trim_start_matches("0x"), 16).ok()?),
            Form::Colons => Field::Octets(colons(value.as_str()?).filter(|octets| octets.len() == 20)?),
        };
        Some((field, None))
    }
}

/// The value at a path: keys and places in lists, with dots between them.
pub(super) fn at<'l>(line: &'l Value, path: &str) -> Option<&'l Value> {
    path.split('.').try_fold(line, |value, key| match value {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        other => other.get(key),
    })
}

/// The text at a path, unless it is empty.
pub(super) fn text_at<'l>(line: &'l Value, path: &str) -> Option<&'l str> {
    at(line, path)?.as_str().filter(|text| !text.is_empty())
}

/// The number at a path.
pub(super) fn uint_at(line: &Value, path: &str) -> Option<u64> {
    at(line, path)?.as_u64()
}

fn empty(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(str::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::event::Event;
    use wire::layout::Kind;

    #[test]
    fn every_rule_names_a_field_that_can_hold_its_value() {
        let mapping = Mapping::load().unwrap();
        let rules = mapping.connection.values().flatten().map(|rule| (71, rule));
        let rules = rules.chain(mapping.intrusion.iter().map(|rule| (400, rule)));
        for (record, rule) in rules.chain(mapping.file.iter().map(|rule| (500, rule))) {
            let event = Event::new(record).unwrap();
            let layout = event.main().layout();
            let at = layout.position(&rule.to).unwrap_or_else(|| panic!("record {record} has no {}", rule.to));
            let kind = layout.fields[at].kind;
            let number = rule.table.is_some() || matches!(rule.form, Form::Number | Form::Hex);
            assert_eq!(number, matches!(kind, Kind::Uint), "{record} {}", rule.to);
            assert!(rule.table.as_ref().is_none_or(|table| mapping.table.contains_key(table)), "{}", rule.to);
        }
    }

    #[test]
    fn paths_lead_through_objects_and_lists() {
        let line = serde_json::json!({ "a": { "b": [1, { "c": "x" }] } });
        assert_eq!(text_at(&line, "a.b.1.c"), Some("x"));
        assert_eq!(uint_at(&line, "a.b.0"), Some(1));
        assert_eq!(at(&line, "a.b.2"), None);
        assert_eq!(at(&line, "a.b.c"), None);
        assert_eq!(at(&line, "a.b.0.c"), None);
    }

    #[test]
    fn classifications_have_the_numbers_of_the_file_suricata_comes_with() {
        let mapping = Mapping::load().unwrap();
        assert_eq!(mapping.class("Not Suspicious Traffic"), Some((1, "not-suspicious", "Not Suspicious Traffic")));
        assert_eq!(mapping.class("misc ACTIVITY").map(|class| class.0), Some(29));
        assert_eq!(mapping.class("no such class"), None);
    }
}
