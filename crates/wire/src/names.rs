//! Built-in names of numbers: protocols, actions, dispositions, TLS terms. Metadata of the same key overrides them.
//!
//! Sources: IANA registries for protocols and cipher suites; for the rest the value lists of the eStreamer Integration
//! Guide 5.3 and 5.3.1 (appendix B) and what Cisco's eNcore prints.

/// What identifies an entry of a name table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKey {
    /// A number.
    Number(u64),
    /// A UUID or hash.
    Octets(&'static [u8]),
}

/// A table of built-in names.
#[derive(Debug)]
pub struct NameTable {
    /// The table's name, as resolution uses it.
    pub table: &'static str,
    /// Key and name, numbers in rising order.
    pub entries: &'static [(NameKey, &'static str)],
}

/// All built-in tables, in order of their names.
pub fn tables() -> &'static [NameTable] {
    &crate::layout::NAMES
}

/// The built-in name of `number` in `table`.
pub fn name(table: &str, number: u64) -> Option<&'static str> {
    let tables = tables();
    let found = tables.binary_search_by(|t| t.table.cmp(table)).ok()?;
    let entries = tables.get(found)?.entries;
    entries.iter().find(|(key, _)| *key == NameKey::Number(number)).map(|(_, name)| *name)
}

/// What a discovery, connection or user event is about, from the event type and subtype of the discovery event header
/// (eStreamer Integration Guide 5.3.1 p.4-34 to 4-36).
pub fn discovery_event(event_type: u64, subtype: u64) -> Option<&'static str> {
    let table = match event_type {
        1000 => "discovery.1000",
        1001 => "discovery.1001",
        1002 => "discovery.1002",
        1003 => "discovery.1003",
        1004 => "discovery.1004",
        1008 => "discovery.1008",
        _ => return None,
    };
    name(table, subtype)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_names() {
        assert_eq!(name("ipProtocols", 6), Some("TCP"));
        assert_eq!(name("ipProtocols", 61), None);
        assert_eq!(name("nothing", 1), None);
        assert_eq!(discovery_event(1003, 1), Some("Flow Statistics"));
        assert_eq!(discovery_event(7, 1), None);
    }
}
