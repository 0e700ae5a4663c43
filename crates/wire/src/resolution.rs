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

/// `name = table[key]`.
#[derive(Debug)]
pub struct Named {
    /// Name of the resolved value.
    pub name: &'static str,
    /// Name of the table.
    pub table: &'static str,
    /// Fields that make the key; a dot leads into a nested block or the first item of a list.
    pub key: &'static [&'static str],
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
