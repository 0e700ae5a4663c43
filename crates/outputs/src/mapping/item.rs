//! Values on their way from a record to a line, and the sources they come from.

use super::expr::{Expr, Function, Term};
use super::places::{Parts, Place, Shape};
use crate::resolved::Computed;
use wire::decode::Value;

/// The most computed names that one record type has.
pub(crate) const NAMES: usize = 96;

/// A value to be printed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Item<'a> {
    Uint(u64),
    /// Tenths, printed with a point.
    Tenths(u64),
    /// Text of ours, or a computed one.
    Text(&'a str),
    /// Text from the wire: it may have NULs or be no UTF-8.
    Octets(&'a [u8]),
    Hex(&'a [u8]),
    Uuid(&'a [u8; 16]),
    Ipv4(&'a [u8]),
    Ipv6(&'a [u8; 16]),
    Mac(&'a [u8; 6]),
    /// A String or BLOB block where not only its text is meant.
    Block {
        block_type: u32,
        octets: &'a [u8],
    },
    /// A packet whose payload is to be shown.
    Payload(&'a [u8]),
    /// A payload in hex.
    HexPayload(&'a str),
    /// A whole packet.
    Packet(&'a [u8]),
    /// A block or list.
    Nested(Value<'a>),
    /// Text to be printed in lower case.
    Lower(&'a str),
    /// Octets to be printed in upper case.
    Upper(&'a [u8]),
    /// A number where text is wanted.
    Digits(u64),
    /// A MAC address with dashes.
    Dashed(&'a [u8; 6]),
    /// A second to be printed as date and time.
    Iso(u64),
    /// The Community ID of a flow.
    Community(Flow<'a>),
    Null,
}

/// Addresses, ports and protocol of a flow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow<'a> {
    pub(crate) source: &'a [u8; 16],
    pub(crate) destination: &'a [u8; 16],
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) protocol: u8,
}

impl<'a> Item<'a> {
    /// A field. `data`: the text of a String block rather than the block.
    #[inline]
    pub(crate) fn new(value: Value<'a>, data: bool, string_block: bool) -> Item<'a> {
        match value {
            Value::Uint(n) => Item::Uint(n),
            Value::Text(octets) if string_block && !data => Item::Block { block_type: 0, octets },
            Value::Text(octets) => Item::Octets(octets),
            Value::Blob { octets, .. } if data => Item::Octets(octets),
            Value::Blob { block_type, octets } => Item::Block { block_type, octets },
            Value::Hex(octets) => Item::Hex(octets),
            Value::Uuid(octets) => Item::Uuid(octets),
            Value::Ipv4(octets) => Item::Ipv4(octets),
            Value::Ipv6(octets) => Item::Ipv6(octets),
            Value::Mac(octets) => Item::Mac(octets),
            Value::Block(_) | Value::List(_) => Item::Nested(value),
        }
    }

    #[inline]
    pub(crate) fn computed(value: &'a Computed<'a>) -> Item<'a> {
        match value {
            Computed::Text(text) => Item::Text(text),
            Computed::Uint(n) => Item::Uint(*n),
            Computed::Block(octets) => Item::Block { block_type: 0, octets },
            Computed::Null => Item::Null,
        }
    }

    /// Sixteen octets are an address, where one is meant.
    fn address(self) -> Self {
        match self {
            Item::Hex(octets) => octets.try_into().map_or(self, Item::Ipv6),
            item => item,
        }
    }

    /// Whether both print the same, as far as lists have such values.
    pub(crate) fn same(&self, other: &Item<'_>) -> bool {
        match (self, other) {
            (Item::Ipv6(a), Item::Ipv6(b)) => a == b,
            (Item::Text(a), Item::Text(b)) => a == b,
            (Item::Hex(a), Item::Hex(b)) | (Item::Octets(a), Item::Octets(b)) => a == b,
            (Item::Text(text), Item::Octets(octets)) | (Item::Octets(octets), Item::Text(text)) => {
                text.as_bytes() == *octets
            }
            (Item::Uint(a), Item::Uint(b)) => a == b,
            _ => false,
        }
    }

    pub(crate) fn as_uint(&self) -> Option<u64> {
        match self {
            Item::Uint(n) => Some(*n),
            _ => None,
        }
    }

    /// 0, or text without a character.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Item::Uint(n) => *n == 0,
            Item::Text(text) | Item::Lower(text) => text.is_empty(),
            Item::Octets(octets) => octets.iter().all(|o| *o == 0),
            Item::Hex(octets) | Item::Packet(octets) | Item::Upper(octets) => octets.is_empty(),
            _ => false,
        }
    }

    /// Empty, or nothing but zeros.
    pub(crate) fn is_zero(&self) -> bool {
        let zeros = |octets: &[u8]| octets.iter().all(|o| *o == 0);
        match self {
            Item::Uuid(octets) => zeros(*octets),
            Item::Mac(octets) | Item::Dashed(octets) => zeros(*octets),
            Item::Hex(octets) | Item::Upper(octets) | Item::Ipv4(octets) => zeros(octets),
            Item::Digits(n) | Item::Iso(n) => *n == 0,
            Item::Ipv6(octets) => matches!(octets, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff | 0, 0xff | 0, 0, 0, 0, 0]),
            Item::Block { octets, .. } => zeros(octets),
            Item::Null => true,
            other => other.is_empty(),
        }
    }
}

/// An event whose values are being taken.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub(crate) parts: Parts<'a>,
    pub(crate) computed: &'a [(&'static str, Computed<'a>)],
    /// For each computed name of the program one more than its place in `computed`, 0 when it is not there.
    pub(crate) found: [u16; NAMES],
}

impl<'a> Event<'a> {
    #[inline]
    pub(crate) fn named(&self, name: u16) -> Option<&'a Computed<'a>> {
        let place = usize::from(*self.found.get(usize::from(name))?).checked_sub(1)?;
        self.computed.get(place).map(|(_, value)| value)
    }
}

/// Alternatives, compiled for one record type and layout.
pub(crate) type Sources = Box<[Source]>;

/// Where a value comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A computed name that is there and has a value.
    Computed(u16),
    Field {
        place: Place,
        data: bool,
        string_block: bool,
    },
    Text(Box<str>),
    Number(u64),
    Table(Box<[Box<str>]>, Sources),
    Map(Map, Sources),
    Call(Function, Box<[Sources]>),
}

/// What stands for numbers and texts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Map {
    numbers: Vec<(u64, MapValue)>,
    texts: Vec<(Box<str>, MapValue)>,
}

/// What a map has.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(untagged)]
pub(crate) enum MapValue {
    Number(u64),
    Text(Box<str>),
}

impl Map {
    pub(crate) fn new(entries: &std::collections::BTreeMap<String, MapValue>) -> Self {
        let mut map = Map::default();
        for (key, value) in entries {
            match key.parse() {
                Ok(number) => map.numbers.push((number, value.clone())),
                Err(_) => map.texts.push((key.as_str().into(), value.clone())),
            }
        }
        map.numbers.sort_by_key(|(number, _)| *number);
        map
    }

    fn get(&self, item: &Item<'_>) -> Option<Item<'_>> {
        let value = match item {
            Item::Uint(n) => {
                let place = self.numbers.binary_search_by_key(n, |(number, _)| *number).ok()?;
                self.numbers.get(place).map(|(_, value)| value)
            }
            Item::Text(text) | Item::Lower(text) => {
                self.texts.iter().find(|(key, _)| key.eq_ignore_ascii_case(text)).map(|(_, value)| value)
            }
            _ => None,
        };
        value.map(|value| match value {
            MapValue::Number(n) => Item::Uint(*n),
            MapValue::Text(text) => Item::Text(text),
        })
    }
}

/// The first of the alternatives that is there.
#[inline]
pub(crate) fn first<'a>(sources: &'a [Source], event: &Event<'a>) -> Option<Item<'a>> {
    sources.iter().find_map(|source| source.item(event))
}

impl Source {
    #[inline]
    pub(crate) fn item<'a>(&'a self, event: &Event<'a>) -> Option<Item<'a>> {
        match self {
            Source::Computed(name) => match event.named(*name)? {
                Computed::Null => None,
                value => Some(Item::computed(value)),
            },
            Source::Field { place, data, string_block } => {
                place.value(&event.parts).map(|value| Item::new(value, *data, *string_block))
            }
            Source::Text(text) => Some(Item::Text(text)),
            Source::Number(n) => Some(Item::Uint(*n)),
            Source::Table(texts, number) => {
                let item = first(number, event)?;
                let place = item.as_uint().and_then(|n| usize::try_from(n).ok());
                Some(place.and_then(|p| texts.get(p)).map_or(item, |text| Item::Text(text)))
            }
            Source::Map(map, of) => map.get(&first(of, event)?),
            Source::Call(function, arguments) => call(*function, arguments, event),
        }
    }
}

fn call<'a>(function: Function, arguments: &'a [Sources], event: &Event<'a>) -> Option<Item<'a>> {
    let argument = |i: usize| first(arguments.get(i)?, event);
    let uint = |i: usize| argument(i)?.as_uint();
    let whole = argument(0);
    Some(match function {
        Function::Ms => Item::Uint(uint(0)?.saturating_mul(1000)),
        Function::Ipv4 => match whole?.address() {
            Item::Ipv6([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4 @ ..]) => Item::Ipv4(v4),
            item @ Item::Ipv4(_) => item,
            _ => return None,
        },
        Function::Ipv6 => match whole?.address() {
            Item::Ipv6([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..]) => return None,
            Item::Ipv6(octets) if *octets == [0; 16] => return None,
            item @ Item::Ipv6(_) => item,
            _ => return None,
        },
        Function::Matrix => Item::Uint(severity(uint(0).unwrap_or(0), uint(1).unwrap_or(0))),
        Function::Below => Item::Uint(if uint(0)? < uint(1)? { uint(2)? } else { uint(3)? }),
        Function::Tenths => Item::Tenths(uint(0)?),
        Function::Tenth => Item::Uint(uint(0)? / 10),
        Function::Score => Item::Uint((uint(0)? / 10).min(10)),
        Function::Payload => match whole? {
            Item::Hex(octets) => Item::Payload(octets),
            Item::Text(hex) => Item::HexPayload(hex),
            item => item,
        },
        Function::Packet => match whole? {
            Item::Hex(octets) => Item::Packet(octets),
            item => item,
        },
        Function::Some => whole.filter(|item| !item.is_zero())?,
        Function::Between => {
            let (low, high) = (uint(1)?, uint(2)?);
            whole.filter(|item| item.as_uint().is_some_and(|n| (low..=high).contains(&n)))?
        }
        Function::AtLeast => Item::Uint(uint(0)?.max(uint(1)?)),
        Function::If => {
            whole.filter(|item| !item.is_zero())?;
            argument(1)?
        }
        Function::Lower => match whole? {
            Item::Text(text) => Item::Lower(text),
            item => item,
        },
        Function::Upper => match whole? {
            Item::Hex(octets) => Item::Upper(octets),
            item => item,
        },
        Function::Text => match whole? {
            Item::Uint(n) => Item::Digits(n),
            item => item,
        },
        Function::Dashed => match whole? {
            Item::Mac(octets) => Item::Dashed(octets),
            item => item,
        },
        Function::Iso => Item::Iso(uint(0)?),
        Function::Millis => Item::Uint(uint(0)?.saturating_mul(1000).saturating_add(uint(1).unwrap_or(0) / 1000)),
        Function::Sum => Item::Uint(uint(0)?.saturating_add(uint(1)?)),
        Function::Less => Item::Uint(uint(0)?.saturating_sub(uint(1)?)),
        Function::Community => {
            let port = |i: usize| u16::try_from(uint(i)?).ok();
            match (whole?.address(), argument(1)?.address()) {
                (Item::Ipv6(source), Item::Ipv6(destination)) => Item::Community(Flow {
                    source,
                    destination,
                    source_port: port(2)?,
                    destination_port: port(3)?,
                    // Others have no ports, or types that need a table.
                    protocol: u8::try_from(uint(4)?).ok().filter(|p| matches!(p, 6 | 17 | 132))?,
                }),
                _ => return None,
            }
        }
        Function::Table | Function::Map => return None,
    })
}

/// Severity from the priority (1 high to 3 low) and the impact (1 to 5), as eNcore has it; 5 for anything else.
fn severity(priority: u64, impact: u64) -> u64 {
    const MATRIX: [[u64; 5]; 3] = [[10, 9, 7, 8, 9], [7, 6, 4, 5, 6], [3, 2, 0, 1, 2]];
    let place = |n: u64| usize::try_from(n.checked_sub(1)?).ok();
    let found = place(priority).zip(place(impact)).and_then(|(p, i)| MATRIX.get(p)?.get(i));
    found.copied().unwrap_or(5)
}

/// Compiles sources for one record type and layout.
pub(crate) struct Compiler<'m> {
    pub(crate) shape: Shape,
    pub(crate) tables: &'m std::collections::BTreeMap<String, Vec<String>>,
    pub(crate) maps: &'m std::collections::BTreeMap<String, std::collections::BTreeMap<String, MapValue>>,
    /// What a plain field prints when it is not there.
    pub(crate) missing: Option<&'m str>,
    /// The computed names that are waited for.
    pub(crate) names: Vec<std::borrow::Cow<'static, str>>,
    /// Places that are printed somewhere.
    pub(crate) used: Vec<Place>,
    /// Computed names that are printed somewhere.
    pub(crate) used_names: Vec<u16>,
}

impl Compiler<'_> {
    /// Without what this layout has not.
    pub(crate) fn sources(&mut self, expr: &Expr) -> Sources {
        let mut sources: Vec<Source> = expr.0.iter().filter_map(|term| self.source(term)).collect();
        if let (Some(Term::Path(_)), Some(missing)) = (expr.0.last(), self.missing) {
            sources.push(Source::Text(missing.into()));
        }
        sources.into()
    }

    fn source(&mut self, term: &Term) -> Option<Source> {
        Some(match term {
            Term::Path(path) => {
                let found = self.shape.find(path)?;
                self.used.push(found.place.clone());
                Source::Field { place: found.place, data: found.data, string_block: found.string_block }
            }
            Term::Computed(name) => {
                let name = self.name(name)?;
                self.used_names.push(name);
                Source::Computed(name)
            }
            Term::Text(text) => Source::Text(text.as_str().into()),
            Term::Number(n) => Source::Number(*n),
            Term::Call(Function::Table, arguments) => {
                let table = match arguments.first().map(|e| e.0.as_slice()) {
                    Some([Term::Path(name)]) => self.tables.get(name)?,
                    _ => return None,
                };
                let texts = table.iter().map(|text| text.as_str().into()).collect();
                Source::Table(texts, self.bare(arguments.get(1)?))
            }
            Term::Call(Function::Map, arguments) => {
                let map = match arguments.first().map(|e| e.0.as_slice()) {
                    Some([Term::Path(name)]) => self.maps.get(name)?,
                    _ => return None,
                };
                Source::Map(Map::new(map), self.bare(arguments.get(1)?))
            }
            Term::Call(function, arguments) => {
                let arguments: Box<[Sources]> = arguments.iter().map(|a| self.bare(a)).collect();
                let optional = matches!(function, Function::Matrix | Function::Millis);
                if arguments.iter().any(|a| a.is_empty()) && !optional {
                    return None;
                }
                Source::Call(*function, arguments)
            }
        })
    }

    /// Sources without the word for what is missing.
    fn bare(&mut self, expr: &Expr) -> Sources {
        expr.0.iter().filter_map(|term| self.source(term)).collect()
    }

    /// The number of a computed name. `None` when there are too many, which a test rules out.
    pub(crate) fn name(&mut self, name: &str) -> Option<u16> {
        let found = self.names.iter().position(|n| n == name);
        let place = found.unwrap_or_else(|| {
            self.names.push(name.to_owned().into());
            self.names.len() - 1
        });
        u16::try_from(place).ok().filter(|_| place < NAMES)
    }
}
