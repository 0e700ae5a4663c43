//! Random records.
#![allow(dead_code)]

use wire::event::{Block, Event, Value};
use wire::layout::{self, DISCOVERY_HEADER, Kind, Layout};

/// A small random number generator: proptest gives the seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn octets(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }

    /// Text, or octets that are none. A NUL only at the end: printing does not say where one was.
    fn text(&mut self, n: usize) -> Vec<u8> {
        let mut octets: Vec<u8> = (0..n).map(|_| 1 + (self.next() % 127) as u8).collect();
        match self.next() % 4 {
            0 if n > 0 => octets[n / 2] = 0xff,
            1 => octets.push(0),
            _ => {}
        }
        octets
    }
}

/// A random record with this block or body.
pub(crate) fn random_event(record_type: u16, main: &'static Layout, dice: &mut Dice) -> Event {
    let mut event = Event::new(record_type).unwrap();
    *event.main_mut() = random_block(main, dice);
    if let Some(header) = event.discovery_mut() {
        *header = random_block(DISCOVERY_HEADER, dice);
    }
    event
}

/// Makes what the discovery event header and the block both have the same.
pub(crate) fn shared(event: &mut Event) {
    let main = event.main().clone();
    let Some(header) = event.discovery_mut() else { return };
    for (position, field) in DISCOVERY_HEADER.fields.iter().enumerate() {
        if let Some(at) = main.layout().fields.iter().position(|f| f.encore == field.encore) {
            header.set_at(position, main.value(at).clone());
        }
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
            Kind::String | Kind::Blob | Kind::Counted { text: true, .. } => {
                let n = dice.next() as usize % 40;
                Value::Octets(dice.text(n))
            }
            Kind::Counted { .. } => {
                let n = dice.next() as usize % 200;
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
