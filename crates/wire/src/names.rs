//! Names of numbers: protocols, actions, dispositions, TLS terms.
//!
//! An [`Enumeration`] is what the numbers of some fields mean. Each has a type of its own, an open number: any value can
//! be held, those with a name are constants, and the others print as numbers.
//!
//! ```
//! use wire::names::{FileAction, ImpactFlags, OpenNumber};
//!
//! assert_eq!(FileAction::MALWARE_BLOCK.to_string(), "Malware Block");
//! assert_eq!(FileAction(200).to_string(), "200");
//! let flags = ImpactFlags::IN_NETWORK_MAP | ImpactFlags(0x800);
//! assert!(flags.contains(ImpactFlags::IN_NETWORK_MAP));
//! assert_eq!(flags.to_string(), "In network map, 0x800");
//! ```
//!
//! [`Record::number`](crate::decode::Record::number) gives a field as such a type, `show` prints any field, and
//! [`Layout::names`](crate::layout::Layout::names) tells which fields have one. Beside them are the tables of
//! [`tables`], the built-in names that a collector resolves ids with; metadata of the same key overrides those.
//!
//! Sources: IANA and ISO registries for protocols, cipher suites and countries; for the rest the value lists of the
//! eStreamer Integration Guides and what Cisco's eNcore prints. Every enumeration says its own.

use crate::event::Value;
use crate::layout::Certainty;
use std::fmt::{Debug, Display, Formatter, Result as FmtResult};
use std::hash::Hash;

/// A number that is what an [`Enumeration`] says, or any other.
pub trait OpenNumber: Copy + Ord + Hash + Debug + Display + Default {
    /// What the numbers mean.
    const NAMES: &'static Enumeration;

    /// A number as this type; `None` when it has more bits than any field of the type.
    fn new(number: u64) -> Option<Self>;

    /// The number itself.
    fn number(self) -> u64;

    /// Its name; `None` for a number without one, such as several bits together.
    fn name(self) -> Option<&'static str> {
        Self::NAMES.name(self.number())
    }
}

/// What the numbers of some fields mean.
#[derive(Debug)]
pub struct Enumeration {
    /// Name of the type that holds its numbers.
    pub name: &'static str,
    /// What the numbers tell.
    pub title: &'static str,
    /// Where the names are known from.
    pub source: &'static str,
    /// How far the names can be trusted; a [`Certainty::Gap`] has none.
    pub certainty: Certainty,
    /// A set of bits: each name is that of one bit, or of 0.
    pub bits: bool,
    /// Types of the metadata records by which a server names the numbers itself.
    pub metadata: &'static [u16],
    /// Number and name, in rising order.
    pub names: &'static [(u64, &'static str)],
}

impl Enumeration {
    /// The name of a number; of a bit when it is a set of bits.
    pub fn name(&self, number: u64) -> Option<&'static str> {
        let found = self.names.binary_search_by_key(&number, |(n, _)| *n).ok()?;
        self.names.get(found).map(|(_, name)| *name)
    }

    /// A number as text.
    pub fn show(&'static self, number: u64) -> Shown {
        Shown { number, of: Some(self) }
    }
}

/// An enumeration is the same only as itself.
impl PartialEq for Enumeration {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Enumeration {}

/// A number that prints as its name, or as itself when it has none. A set of bits prints the names of its bits, what is
/// left of it in hex, joined by `, `; without any bits the name of 0, or `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The number.
    pub number: u64,
    /// What it means, where that is known.
    pub of: Option<&'static Enumeration>,
}

impl Display for Shown {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let name = self.of.and_then(|e| e.name(self.number));
        match (name, self.of.filter(|e| e.bits && self.number != 0)) {
            (Some(name), _) => f.write_str(name),
            (None, Some(set)) => show_bits(set, self.number, f),
            (None, None) => write!(f, "{}", self.number),
        }
    }
}

fn show_bits(set: &Enumeration, number: u64, f: &mut Formatter<'_>) -> FmtResult {
    let mut rest = number;
    for (bit, name) in set.names.iter().filter(|(bit, _)| number & bit != 0) {
        f.write_str(if rest == number { "" } else { ", " })?;
        f.write_str(name)?;
        rest &= !bit;
    }
    match (rest, rest == number) {
        (0, _) => Ok(()),
        (_, true) => write!(f, "{rest:#x}"),
        (_, false) => write!(f, ", {rest:#x}"),
    }
}

/// All enumerations, those of one subject together.
pub fn enumerations() -> &'static [&'static Enumeration] {
    ENUMERATIONS
}

/// The type of an enumeration's numbers.
macro_rules! open_number {
    ($doc:literal $name:ident $number:ident $names:ident) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $number);

        impl OpenNumber for $name {
            const NAMES: &'static Enumeration = &$names;

            fn new(number: u64) -> Option<Self> {
                $number::try_from(number).ok().map($name)
            }

            fn number(self) -> u64 {
                self.0.into()
            }
        }

        impl Display for $name {
            fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
                Display::fmt(&$names.show(self.number()), f)
            }
        }

        impl From<$number> for $name {
            fn from(number: $number) -> Self {
                $name(number)
            }
        }

        impl From<$name> for $number {
            fn from(number: $name) -> Self {
                number.0
            }
        }

        impl From<$name> for Value {
            fn from(number: $name) -> Self {
                Value::Uint(number.number())
            }
        }
    };
}

/// The type of an enumeration that is a set of bits.
macro_rules! bit_set {
    ($doc:literal $name:ident $number:ident $names:ident) => {
        open_number! {$doc $name $number $names}

        impl $name {
            /// Whether all bits of `other` are set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }
        }

        impl std::ops::BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                $name(self.0 | other.0)
            }
        }

        impl std::ops::BitOrAssign for $name {
            fn bitor_assign(&mut self, other: Self) {
                self.0 |= other.0;
            }
        }
    };
}

include!(concat!(env!("OUT_DIR"), "/numbers.rs"));

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

    #[test]
    fn every_name_is_a_constant_and_every_constant_a_name() {
        for (enumeration, number, name) in constants() {
            assert_eq!(enumeration.name(number), Some(name), "{} {number}", enumeration.name);
        }
        assert_eq!(constants().len(), ENUMERATIONS.iter().map(|e| e.names.len()).sum::<usize>());
    }
}
