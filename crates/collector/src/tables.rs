//! What metadata records named: the tables resolution looks into.
//!
//! A snapshot is cheap to take (one counter a table) and never changes; [`Tables::store`] copies only a table that a
//! snapshot still holds.

use rustc_hash::FxHashMap;
use std::sync::{Arc, OnceLock};
use wire::decode::{Record, Value};
use wire::names::NameKey;
use wire::resolution::{Rule, Store, names_of, stores};

/// All name tables.
#[derive(Debug, Clone)]
pub struct Tables {
    tables: Vec<Arc<Table>>,
}

#[derive(Debug, Clone, Default)]
struct Table {
    numbers: FxHashMap<u64, Name>,
    keys: FxHashMap<Box<[u8]>, Name>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    text: Arc<str>,
    /// What was on the wire, where the block is asked for.
    block: Option<Arc<[u8]>>,
}

/// What is stored under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A name.
    Text(&'a str),
    /// The content of the String block of a name.
    Block(&'a [u8]),
}

/// The number of a table, for fast access.
pub type TableId = u16;

/// The number of the table with this name; `None` for a name the schema does not have.
pub fn table_id(name: &str) -> Option<TableId> {
    ids().get(name).copied()
}

/// Whether names of this table are also asked for as the blocks they came in.
fn keeps_blocks(table: &str) -> bool {
    static TABLES: OnceLock<Vec<&'static str>> = OnceLock::new();
    let tables = TABLES.get_or_init(|| {
        let names = wire::layout::records().iter().flat_map(|r| names_of(r.record_type));
        names.filter(|n| n.rule == Rule::Block).map(|n| n.table).collect()
    });
    tables.contains(&table)
}

fn ids() -> &'static FxHashMap<&'static str, TableId> {
    static IDS: OnceLock<FxHashMap<&'static str, TableId>> = OnceLock::new();
    IDS.get_or_init(|| {
        let mut ids = FxHashMap::default();
        let looked_up = wire::layout::records().iter().flat_map(|r| names_of(r.record_type)).map(|n| n.table);
        let names = stores().iter().map(|s| s.table).chain(looked_up);
        for name in names.chain(wire::names::tables().iter().map(|t| t.table)).filter(|n| !n.is_empty()) {
            let next = ids.len() as TableId;
            ids.entry(name).or_insert(next);
        }
        ids
    })
}

/// The bytes of a table key under construction: numbers as eight octets, everything else as it is.
#[derive(Debug, Default)]
pub struct Key {
    octets: Vec<u8>,
    parts: usize,
    number: Option<u64>,
}

impl Key {
    /// Begins a new key.
    pub fn clear(&mut self) {
        self.octets.clear();
        self.parts = 0;
        self.number = None;
    }

    /// Appends a number.
    pub fn number(&mut self, n: u64) {
        self.octets.extend_from_slice(&n.to_be_bytes());
        self.parts += 1;
        self.number = (self.parts == 1).then_some(n);
    }

    /// Appends octets.
    pub fn octets(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
        self.parts += 1;
        self.number = None;
    }

    /// Appends the value of a field. A SHA-256 written as text counts as its octets.
    pub fn value(&mut self, value: Value<'_>) {
        match value {
            Value::Uint(n) => self.number(n),
            Value::Text(text) => match sha256_text(text) {
                Some(octets) => self.octets(&octets),
                None => self.octets(text),
            },
            other => self.octets(other.octets().unwrap_or_default()),
        }
    }
}

fn sha256_text(text: &[u8]) -> Option<[u8; 32]> {
    let mut octets = [0; 32];
    // NULs are no part of a text.
    let end = text.iter().rposition(|octet| *octet != 0)? + 1;
    let text = text.get(..end).filter(|text| text.len() == 64)?;
    for (octet, pair) in octets.iter_mut().zip(text.chunks_exact(2)) {
        *octet = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(octets)
}

impl Tables {
    /// The built-in names, no metadata yet.
    pub fn built_in() -> Self {
        let mut all = vec![Table::default(); ids().len()];
        for table in wire::names::tables() {
            let Some(slot) = table_id(table.table).and_then(|id| all.get_mut(usize::from(id))) else { continue };
            for (key, name) in table.entries {
                let name = Name { text: (*name).into(), block: None };
                match key {
                    NameKey::Number(n) => slot.numbers.insert(*n, name),
                    NameKey::Octets(octets) => slot.keys.insert((*octets).into(), name),
                };
            }
        }
        Tables { tables: all.into_iter().map(Arc::new).collect() }
    }

    /// Takes in a metadata record. Says whether any table changed. One that contradicts its layout changes nothing: half
    /// a name is worse than the last good one.
    pub fn store(&mut self, record: &Record<'_>) -> bool {
        if record.problem().is_some() {
            return false;
        }
        let mut changed = false;
        for store in stores().iter().filter(|s| s.record == record.record_type()) {
            changed |= self.store_one(store, record);
        }
        changed
    }

    fn store_one(&mut self, store: &Store, record: &Record<'_>) -> bool {
        let mut key = Key::default();
        for part in store.key {
            match (part.parse(), record.field(part)) {
                (Ok(number), _) => key.number(number),
                (Err(_), Some(value)) => key.value(value),
                (Err(_), None) => return false,
            }
        }
        let mut block = None;
        let text: Arc<str> = match store.value.strip_prefix('=') {
            Some(text) => text.into(),
            None => match record.field(store.value) {
                Some(Value::Uint(0)) => return false,
                Some(Value::Uint(n)) => n.to_string().into(),
                Some(value) => {
                    let octets = value.octets().unwrap_or_default();
                    block = keeps_blocks(store.table).then(|| octets.into());
                    text(octets).into()
                }
                None => return false,
            },
        };
        let Some(table) = table_id(store.table).and_then(|id| self.tables.get_mut(usize::from(id))) else {
            return false;
        };
        let known = match key.number {
            Some(n) => table.numbers.get(&n),
            None => table.keys.get(key.octets.as_slice()),
        };
        let name = Name { text, block };
        if known == Some(&name) {
            return false;
        }
        let table = Arc::make_mut(table);
        match key.number {
            Some(n) => table.numbers.insert(n, name),
            None => table.keys.insert(key.octets.into(), name),
        };
        true
    }

    /// What is stored under a key. Metadata may have given an empty name.
    #[inline]
    pub fn entry(&self, table: TableId, key: &Key) -> Option<&str> {
        self.name(table, key).map(|name| &*name.text)
    }

    /// The same as the block it came in; built-in names came in none.
    pub fn block(&self, table: TableId, key: &Key) -> Option<Entry<'_>> {
        let name = self.name(table, key)?;
        Some(name.block.as_deref().map_or(Entry::Text(&name.text), Entry::Block))
    }

    #[inline]
    fn name(&self, table: TableId, key: &Key) -> Option<&Name> {
        let table = self.tables.get(usize::from(table))?;
        match key.number {
            Some(n) => table.numbers.get(&n),
            None => table.keys.get(key.octets.as_slice()),
        }
    }

    /// The name of a number.
    #[inline]
    pub fn number(&self, table: TableId, number: u64) -> Option<&str> {
        self.tables.get(usize::from(table))?.numbers.get(&number).map(|n| &*n.text)
    }
}

/// Text of the wire, as eNcore shows it: NULs are no part of it, and what is not UTF-8 is shown in hex.
pub fn text(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => text.replace('\0', ""),
        Err(_) => octets.iter().map(|o| format!("{o:02x}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::decode::Decoder;
    use wire::event::Event;

    fn device(id: u32, name: &str) -> Vec<u8> {
        let mut event = Event::new(123).unwrap();
        event.set("id", id).unwrap().set("name", name).unwrap();
        let mut out = Vec::new();
        event.encode(None, &mut out);
        out
    }

    #[test]
    fn a_snapshot_keeps_what_it_saw() {
        let devices = table_id("devices").unwrap();
        let mut decoder = Decoder::new();
        let mut tables = Tables::built_in();
        assert!(tables.store(&decoder.decode(&device(7, "fw")).unwrap()));
        assert!(!tables.store(&decoder.decode(&device(7, "fw")).unwrap()), "the same again changes nothing");
        let before = tables.clone();
        assert!(tables.store(&decoder.decode(&device(7, "other")).unwrap()));
        assert_eq!((before.number(devices, 7), tables.number(devices, 7)), (Some("fw"), Some("other")));
        assert_eq!(tables.number(devices, 0), Some("Defense Center"));
    }

    #[test]
    fn a_record_cut_short_names_nothing() {
        let mut decoder = Decoder::new();
        let mut tables = Tables::built_in();
        tables.store(&decoder.decode(&device(7, "fw")).unwrap());
        let mut cut = device(7, "other");
        cut.truncate(cut.len() - 2);
        cut[7] -= 2;
        assert!(!tables.store(&decoder.decode(&cut).unwrap()));
        assert_eq!(tables.number(table_id("devices").unwrap(), 7), Some("fw"));
    }

    #[test]
    fn composite_keys_and_constants() {
        let mut decoder = Decoder::new();
        let mut tables = Tables::built_in();
        let mut event = Event::new(119).unwrap();
        event.set("uuid", [9u8; 16]).unwrap().set("id", 5u32).unwrap().set("name", "Allow web").unwrap();
        let mut out = Vec::new();
        event.encode(None, &mut out);
        assert!(tables.store(&decoder.decode(&out).unwrap()));
        let mut key = Key::default();
        key.octets(&[9; 16]);
        key.number(5);
        assert_eq!(tables.entry(table_id("firewallRules").unwrap(), &key), Some("Allow web"));
    }

    #[test]
    fn a_hash_in_text_finds_a_hash_in_octets() {
        let mut key = Key::default();
        for nuls in ["", "\0", "\0\0"] {
            key.clear();
            key.value(Value::Text(["ab".repeat(32).as_str(), nuls].concat().as_bytes()));
            assert_eq!(key.octets, [0xab; 32]);
        }
    }
}
