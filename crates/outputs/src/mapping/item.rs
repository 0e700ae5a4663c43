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
    Null,
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
            Item::Text(text) => text.is_empty(),
            Item::Octets(octets) => octets.iter().all(|o| *o == 0),
            Item::Hex(octets) | Item::Packet(octets) => octets.is_empty(),
            _ => false,
        }
    }

    /// Empty, or nothing but zeros.
    pub(crate) fn is_zero(&self) -> bool {
        let zeros = |octets: &[u8]| octets.iter().all(|o| *o == 0);
        match self {
            Item::Uuid(octets) => zeros(*octets),
            Item::Mac(octets) => zeros(*octets),
            Item::Hex(octets) | Item::Ipv4(octets) => zeros(octets),
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
    Call(Function, Box<[Sources]>),
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
        Function::Table => return None,
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
            Term::Call(function, arguments) => {
                let arguments: Box<[Sources]> = arguments.iter().map(|a| self.bare(a)).collect();
                if arguments.iter().any(|a| a.is_empty()) && *function != Function::Matrix {
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
