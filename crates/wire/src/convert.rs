//! A value of one version of a block in another version.

use crate::event::{Block, Value};
use crate::layout::{self, Field, Kind, Layout};

/// First octets of an IPv4 address in a 16-octet field.
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// The layout that a nested block is to have, from the one that is expected there.
pub(crate) type Choose<'a> = &'a dyn Fn(&'static Layout) -> &'static Layout;

/// A field of one version that is the first item of a list in another.
#[derive(Debug)]
pub(crate) struct Single {
    pub field: &'static str,
    pub list: &'static str,
    pub item: &'static str,
}

/// The IPv4 address in a 16-octet field.
pub(crate) fn mapped(octets: &[u8]) -> Option<[u8; 4]> {
    octets.strip_prefix(&MAPPED[..])?.try_into().ok()
}

/// What stands in the field `to` of another version of `block`.
pub(crate) fn field(block: &Block, to: &'static Field, choose: Choose<'_>) -> Value {
    let layout = block.layout();
    let Some(at) = layout.position(to.name) else { return single(block, to, choose).unwrap_or_default() };
    value(block.value(at), layout.fields.get(at), to, choose)
}

/// The first item of a list that holds what is a field here, or the list of what is one field there.
fn single(block: &Block, to: &'static Field, choose: Choose<'_>) -> Option<Value> {
    let rule = layout::SINGLES.iter().find(|s| s.field == to.name || s.list == to.name)?;
    match (to.kind, block.named(rule.list), block.named(rule.field)) {
        (Kind::List { of, .. }, None, Some(Value::Octets(one))) => {
            let mut item = Block::new(choose(of));
            let at = block.layout().position(rule.field)?;
            let (one, from) = (Value::Octets(one.clone()), block.layout().fields.get(at));
            let place = item.layout().position(rule.item)?;
            item.set_at(place, value(&one, from, item.layout().fields.get(place)?, choose));
            Some(Value::List(vec![item]))
        }
        (_, Some(Value::List(items)), None) => {
            // The first there is room for: an IPv6 address does not fit where IPv4 was all there was.
            let place = |item: &Block| item.layout().position(rule.item);
            let one = |item: &Block| {
                let at = place(item)?;
                Some(value(item.value(at), item.layout().fields.get(at), to, choose)).filter(|v| *v != Value::Unset)
            };
            items.iter().find_map(one)
        }
        _ => None,
    }
}

/// A block in the layout that is wanted where `expected` is. An opaque one stays as it is.
fn nested(block: &Block, expected: &'static Layout, choose: Choose<'_>) -> Block {
    match block.layout().is_gap() || expected.is_any() {
        true => block.clone(),
        false => block.convert_by(choose(expected), choose),
    }
}

/// A value of the field `from` as it stands in the field `to`.
pub(crate) fn value(value: &Value, from: Option<&Field>, to: &Field, choose: Choose<'_>) -> Value {
    let address = from.is_some_and(|f| matches!(f.kind, Kind::Ipv4));
    match (value, to.kind) {
        (Value::Block(inner), Kind::Block { expected, .. }) => Value::Block(nested(inner, expected, choose)),
        (Value::List(items), Kind::List { of, .. }) => {
            Value::List(items.iter().map(|item| nested(item, of, choose)).collect())
        }
        (Value::Block(_) | Value::List(_), _) | (_, Kind::Block { .. } | Kind::List { .. }) => Value::Unset,
        (Value::Octets(octets), Kind::Ipv6 | Kind::Hex | Kind::Uuid) if address && to.fixed == 16 => {
            // No address at all stays none.
            match octets.iter().all(|o| *o == 0) {
                true => Value::Unset,
                false => Value::Octets([&MAPPED[..], octets].concat()),
            }
        }
        // An IPv6 address has no place there.
        (Value::Octets(octets), Kind::Ipv4) if octets.len() == 16 => {
            mapped(octets).map_or(Value::Unset, |four| Value::Octets(four.to_vec()))
        }
        (Value::Octets(octets), Kind::Uint) if address => {
            Value::Uint(octets.iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet)))
        }
        (Value::Uint(number), Kind::Ipv4) => Value::Octets((*number as u32).to_be_bytes().to_vec()),
        (Value::Octets(text), Kind::Uint) => {
            let number = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
            number.map_or(Value::Unset, |number| Value::Uint(narrow(number, to)))
        }
        (Value::Uint(number), Kind::String | Kind::Counted { text: true, .. }) => {
            Value::Octets(number.to_string().into_bytes())
        }
        (Value::Uint(number), Kind::Uint) => Value::Uint(narrow(*number, to)),
        (Value::Octets(_), _) => value.clone(),
        (Value::Uint(_), _) | (Value::Unset, _) => Value::Unset,
    }
}

/// A number in a field that may be too narrow for it (`schema/conversion.toml`).
fn narrow(number: u64, to: &Field) -> u64 {
    let largest = u64::MAX.checked_shr(64 - 8 * u32::from(to.fixed)).unwrap_or(0);
    if number <= largest {
        number
    } else if layout::LARGEST.contains(&to.name) {
        largest
    } else if layout::BITS.contains(&to.name) {
        number & largest
    } else {
        0
    }
}
