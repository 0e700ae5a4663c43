//! The schema files as they are written.

use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Blocks {
    pub(crate) block: Vec<Block>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Block {
    pub(crate) r#type: u32,
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) versions: String,
    #[serde(default = "encore")]
    pub(crate) source: String,
    #[serde(default)]
    pub(crate) certainty: Certainty,
    #[serde(default)]
    pub(crate) status: Status,
    /// The block of the same series whose fields this one has, with the changes that follow.
    pub(crate) like: Option<u32>,
    #[serde(default)]
    pub(crate) without: Vec<String>,
    #[serde(default)]
    pub(crate) change: Vec<Field>,
    #[serde(default)]
    pub(crate) add: Vec<Field>,
    #[serde(default)]
    pub(crate) fields: Vec<Field>,
    #[serde(default)]
    pub(crate) alternative: Vec<Alternative>,
}

/// Another form of the same block or record.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alternative {
    pub(crate) when: String,
    #[serde(default)]
    pub(crate) versions: String,
    #[serde(default)]
    pub(crate) source: String,
    #[serde(default)]
    pub(crate) without: Vec<String>,
    #[serde(default)]
    pub(crate) change: Vec<Field>,
    #[serde(default)]
    pub(crate) add: Vec<Field>,
    #[serde(default)]
    pub(crate) fields: Vec<Field>,
}

#[derive(Deserialize, Clone, Copy, Default, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Certainty {
    Documented,
    #[default]
    Observed,
    Inferred,
    Gap,
}

#[derive(Deserialize, Clone, Copy, Default, Debug)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    #[default]
    Current,
    Legacy,
    Internal,
}

#[derive(Deserialize, Clone, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Field {
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) r#type: String,
    pub(crate) encore: Option<String>,
    pub(crate) length_field: Option<String>,
    #[serde(default)]
    pub(crate) length_adjust: i16,
    pub(crate) endian: Option<String>,
    pub(crate) block: Option<String>,
    #[serde(default)]
    pub(crate) inline: bool,
    /// A block without its header.
    #[serde(default)]
    pub(crate) bare: bool,
    pub(crate) kind: Option<String>,
    pub(crate) of: Option<String>,
    /// Blocks back to back without a list around them.
    #[serde(default)]
    pub(crate) repeat: bool,
    pub(crate) present_if: Option<String>,
    #[serde(default)]
    pub(crate) optional: bool,
    /// Where a field of `add` goes: behind this one; without it behind the one added before, or last.
    pub(crate) after: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Records {
    pub(crate) record: Vec<Record>,
    pub(crate) discovery_header: Vec<Field>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) r#type: u16,
    pub(crate) name: String,
    pub(crate) category: String,
    pub(crate) class: Option<String>,
    #[serde(default)]
    pub(crate) metadata: bool,
    #[serde(default)]
    pub(crate) key: Vec<String>,
    /// The record type that carries the same event today.
    pub(crate) form_of: Option<u16>,
    #[serde(default)]
    pub(crate) discovery_header: bool,
    #[serde(default = "yes")]
    pub(crate) default: bool,
    #[serde(default)]
    pub(crate) versions: String,
    #[serde(default = "encore")]
    pub(crate) source: String,
    #[serde(default)]
    pub(crate) certainty: Certainty,
    #[serde(default)]
    pub(crate) status: Status,
    #[serde(default)]
    pub(crate) fields: Vec<Field>,
    #[serde(default)]
    pub(crate) alternative: Vec<Alternative>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Requests {
    pub(crate) flag: Vec<Flag>,
    pub(crate) event: Vec<Event>,
    pub(crate) host_data: Vec<HostData>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flag {
    pub(crate) bit: u8,
    pub(crate) name: String,
    pub(crate) words: String,
    #[serde(default)]
    pub(crate) records: Vec<u16>,
    pub(crate) event: Option<u16>,
    pub(crate) version: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Event {
    pub(crate) code: u16,
    pub(crate) name: String,
    pub(crate) version: Vec<Version>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Version {
    pub(crate) version: u16,
    pub(crate) product: String,
    #[serde(default)]
    pub(crate) words: String,
    /// Record types that come with this version; those of the same event that earlier versions have are left.
    #[serde(default)]
    pub(crate) records: Vec<RecordRef>,
    /// Data blocks that come with this version, each in place of the one of the same title.
    #[serde(default)]
    pub(crate) blocks: Vec<String>,
    /// Every metadata record there is.
    #[serde(default)]
    pub(crate) all_metadata: bool,
    /// The discovery event header has no IPv6 part.
    #[serde(default)]
    pub(crate) short_header: bool,
}

/// A record type, or `"type#n"`: its nth alternative form.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum RecordRef {
    Type(u16),
    Form(String),
}

/// What converting needs to know beyond names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Conversion {
    pub(crate) largest: Vec<String>,
    pub(crate) bits: Vec<String>,
    pub(crate) single: Vec<Single>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Single {
    pub(crate) field: String,
    pub(crate) list: String,
    pub(crate) item: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostData {
    pub(crate) data_type: u32,
    #[serde(default)]
    pub(crate) multiple: bool,
    pub(crate) product: String,
    pub(crate) block: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resolution {
    pub(crate) store: Vec<Store>,
    pub(crate) lookup: Vec<Lookup>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Store {
    pub(crate) record: u16,
    pub(crate) table: String,
    pub(crate) key: Vec<String>,
    pub(crate) value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lookup {
    pub(crate) records: Vec<u16>,
    pub(crate) names: Vec<Named>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    pub(crate) r#as: String,
    #[serde(default)]
    pub(crate) table: String,
    pub(crate) rule: Option<String>,
    pub(crate) key: Vec<String>,
    /// Whose lines have it: `ours`, `encore-5`, `encore-3`; all when it is left out.
    #[serde(default)]
    pub(crate) only: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Numbers {
    pub(crate) number: Vec<Number>,
}

/// An enumeration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Number {
    pub(crate) name: String,
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) kind: NumberKind,
    /// The table of `names.toml` whose names it has.
    pub(crate) table: Option<String>,
    /// Enumerations before it whose names it has.
    #[serde(default)]
    pub(crate) like: Vec<String>,
    /// The metadata records by which a server names the numbers.
    #[serde(default)]
    pub(crate) metadata: Vec<u16>,
    pub(crate) source: String,
    #[serde(default)]
    pub(crate) certainty: Certainty,
    pub(crate) fields: Vec<String>,
    #[serde(default)]
    pub(crate) names: BTreeMap<String, String>,
}

impl Number {
    pub(crate) fn bits(&self) -> bool {
        self.kind == NumberKind::Bits
    }
}

#[derive(Deserialize, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NumberKind {
    #[default]
    Number,
    Bits,
}

fn yes() -> bool {
    true
}

fn encore() -> String {
    "eNcore 5.2.11".into()
}
