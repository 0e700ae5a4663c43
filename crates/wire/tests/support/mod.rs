//! Random records.

use wire::event::{Block, Value};
use wire::layout::{self, Kind, Layout};

/// A small random number generator: proptest gives the seed, so failures shrink to a seed and a layout.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn octets(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}

/// A block in which everything is set.
pub(crate) fn random_block(layout: &'static Layout, dice: &mut Dice) -> Block {
    let mut block = Block::new(layout);
    for (i, field) in layout.fields.iter().enumerate() {
        // Conditions are set below; lengths follow from what they count.
        if field.counts.is_some() || field.present_if.is_some() {
            continue;
        }
        let value = match field.kind {
            Kind::Uint => Value::Uint(dice.next() >> (64 - 8 * u32::from(field.fixed))),
            Kind::Hex | Kind::Uuid | Kind::Ipv4 | Kind::Ipv6 | Kind::Mac => {
                Value::Octets(dice.octets(field.fixed.into()))
            }
            Kind::String | Kind::Blob => {
                let n = dice.next() as usize % 40;
                Value::Octets(dice.octets(n))
            }
            Kind::Counted { length, .. } => {
                let small = layout.fields.get(usize::from(length)).is_some_and(|f| f.fixed == 1);
                let n = dice.next() as usize % if small { 200 } else { 300 };
                Value::Octets(dice.octets(n))
            }
            Kind::Block { expected, .. } => Value::Block(random_block(expected, dice)),
            Kind::List { of, .. } => {
                // Any block will do where the layout names none.
                let any = layout::block(of.series, of.number).is_none();
                let of = if any { layout::block(of.series, 0).unwrap() } else { of };
                Value::List((0..dice.next() % 3).map(|_| random_block(of, dice)).collect())
            }
        };
        block.set_at(i, value);
    }
    for (i, field) in layout.fields.iter().enumerate() {
        if let Some(condition) = field.present_if
            && block.value(condition.into()) != &Value::Uint(0)
        {
            let octets = dice.octets(field.fixed.into());
            block.set_at(i, octets.as_slice());
        }
    }
    block
}
