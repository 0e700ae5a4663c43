//! How ids become names: which metadata record fills which table, and which field of an event a table names.
//!
//! This is only the description; whoever resolves keeps the tables.

/// A metadata record puts `table[key] = value`.
#[derive(Debug)]
pub struct Store {
    /// The metadata record's type.
    pub record: u16,
    /// Name of the table.
    pub table: &'static str,
    /// Fields that make the key; a decimal number stands for itself.
    pub key: &'static [&'static str],
    /// The field that holds the name; `=text` stands for itself.
    pub value: &'static str,
}

/// What events of some record types are named by.
#[derive(Debug)]
pub struct Lookup {
    /// Record types.
    pub records: &'static [u16],
    /// The names, in the order eNcore prints them.
    pub names: &'static [Named],
}

/// `name = table[key]`, or another rule over the fields `key` names.
#[derive(Debug)]
pub struct Named {
    /// Name of the resolved value.
    pub name: &'static str,
    /// Name of the table; empty when the rule needs none.
    pub table: &'static str,
    /// How the value is made.
    pub rule: Rule,
    /// Fields that make the key; a dot leads into a nested block or the first item of a list.
    pub key: &'static [&'static str],
    /// Who names it; all when there is nobody.
    pub only: &'static [Naming],
}

/// Whose way of naming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Naming {
    /// All that can be named, sets of bits bit by bit.
    #[default]
    Ours,
    /// What Cisco's eNcore 5.2.11 names, as it does; sets of bits only when all of the number has a name.
    Encore5,
    /// The same of eNcore 3.5, as far as it is known: users by name.
    Encore3,
}

/// How a resolved value is made from fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// `table[key]`.
    Lookup,
    /// `table[key]`, which is a number.
    Number,
    /// `table[key]`; when the whole number has no name, the names of its bits joined by `, `.
    Bits,
    /// `table[key]` as the String block it came in, as eNcore 5 keeps users.
    Block,
    /// `table[first field]`, unless the second one is empty.
    LookupIf,
    /// `table[key]`; `N/A` when the last field is 0.
    NaWhenZero,
    /// `Yes` when the field is not 0, else `No`.
    IsSet,
    /// Impact level 0 to 4 from the bits of the impact flags (eStreamer Integration Guide 5.3 p.80).
    ImpactLevel,
    /// The text inside `[Impact: …]` of an impact alert, else all of it with double quotes made single.
    AlertText,
    /// A packet in hex.
    Packet,
    /// What a packet carries above TCP or UDP, in hex; second field: link type.
    Payload,
    /// The address of extra data that is one; fields: type, blob.
    ExtraDataAddress,
    /// The text of extra data that is a URI; fields: type, blob.
    ExtraDataUri,
    /// The field itself.
    Copy,
    /// The field as an address.
    Address,
    /// What event type and subtype of the discovery event header mean.
    DiscoveryEvent,
}

/// What metadata records store.
pub fn stores() -> &'static [Store] {
    &crate::layout::STORES
}

/// What names the fields of a record type, in the order eNcore prints it.
pub fn names_of(record_type: u16) -> &'static [Named] {
    let found = crate::layout::LOOKUPS.iter().find(|l| l.records.contains(&record_type));
    found.map_or(&[], |l| l.names)
}
