//! A value of one version of a block in another version.

use crate::event::Value;
use crate::layout::{Field, Kind};

/// First octets of an IPv4 address in a 16-octet field.
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// What stands in the field of the same name in another version.
pub(crate) fn value(value: &Value, from: Option<&Field>, to: &Field) -> Value {
    let address = from.is_some_and(|f| matches!(f.kind, Kind::Ipv4));
    match (value, to.kind) {
        (Value::Block(inner), Kind::Block { expected, .. })
            if inner.layout() != expected && !inner.layout().is_gap() =>
        {
            Value::Block(inner.convert(expected))
        }
        (Value::List(items), Kind::List { of, .. }) if !of.is_any() => {
            let item = |item: &crate::event::Block| match item.layout() == of || item.layout().is_gap() {
                true => item.clone(),
                false => item.convert(of),
            };
            Value::List(items.iter().map(item).collect())
        }
        (Value::Block(_), Kind::Block { .. }) | (Value::List(_), Kind::List { .. }) => value.clone(),
        (Value::Block(_) | Value::List(_), _) | (_, Kind::Block { .. } | Kind::List { .. }) => Value::Unset,
        (Value::Octets(octets), Kind::Ipv6 | Kind::Hex | Kind::Uuid) if address && to.fixed == 16 => {
            Value::Octets([&MAPPED[..], octets].concat())
        }
        (Value::Octets(octets), Kind::Ipv4) if octets.len() == 16 => match octets.strip_prefix(&MAPPED[..]) {
            Some(four) => Value::Octets(four.to_vec()),
            // An IPv6 address has no place there.
            None => Value::Unset,
        },
        (Value::Octets(octets), Kind::Uint) if address => {
            Value::Uint(octets.iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet)))
        }
        (Value::Uint(number), Kind::Ipv4) => Value::Octets((*number as u32).to_be_bytes().to_vec()),
        (Value::Octets(text), Kind::Uint) => {
            let number = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
            number.map_or(Value::Unset, Value::Uint)
        }
        (Value::Uint(number), Kind::String | Kind::Counted { text: true, .. }) => {
            Value::Octets(number.to_string().into_bytes())
        }
        (Value::Uint(_), Kind::Uint) | (Value::Octets(_), _) => value.clone(),
        (Value::Uint(_), _) | (Value::Unset, _) => Value::Unset,
    }
}
