//! Walks everything a decoded record holds.

use wire::decode::{Value, View};

/// Walks all values of a view of `data`. They lie in their block, in order and apart from each other; nothing is found
/// twice, so what is found is in proportion to the bytes.
pub(crate) fn walk(view: View<'_>, data: &[u8]) {
    let mut walk = Walk { data, visited: 0 };
    walk.view(view, 0, data.len());
    // A block is there for every 8 bytes and depth at most, with at most 8 values more than it has bytes.
    assert!(walk.visited <= 64 + 32 * data.len(), "{} values in {} bytes", walk.visited, data.len());
}

struct Walk<'d> {
    data: &'d [u8],
    visited: usize,
}

impl Walk<'_> {
    /// Walks a view that must lie between two offsets; gives where it ends.
    fn view(&mut self, view: View<'_>, from: usize, to: usize) -> usize {
        self.visited += 1;
        let (start, end) = self.place(view.bytes()).unwrap_or((from, from));
        assert!(from <= start && end <= to, "a block at {start}..{end} lies outside {from}..{to}");
        let _ = (view.block_type(), view.block_length());
        let Some(layout) = view.layout() else {
            assert!(view.value(0).is_none() && view.read() == 0, "an opaque block has no fields");
            return end;
        };
        assert!(view.read() <= layout.fields.len());
        let mut at = start + if layout.header { 8 } else { 0 };
        for (position, field) in layout.fields.iter().enumerate() {
            let value = view.value(position);
            if position >= view.read() {
                assert!(value.is_none(), "{} was not read", field.name);
                continue;
            }
            self.visited += 1;
            match value {
                None => assert!(field.present_if.is_some(), "{} of {} was read", field.name, layout.title),
                Some(Value::Uint(n)) => {
                    assert!(field.fixed >= 8 || n >> (8 * field.fixed) == 0, "{n} does not fit {}", field.name);
                    at += usize::from(field.fixed);
                }
                Some(Value::Block(block)) => at = self.view(block, at, end),
                Some(Value::List(list)) => {
                    // Some lists have no header of their own.
                    at += if list.block_type() == 0 { 0 } else { 8 };
                    for item in list.items() {
                        at = self.view(item, at, end);
                    }
                }
                // A few old blocks hold addresses in little-endian order: those are no slices of the data.
                Some(Value::Ipv4(address)) if !self.holds(address) => {
                    let turned = [address[3], address[2], address[1], address[0]];
                    let rest = self.data.get(at..end).unwrap_or_default();
                    let found = rest.windows(4).position(|octets| octets == turned);
                    at += 4 + found.expect("the address is there the other way round");
                }
                Some(other) => {
                    let octets = other.octets().expect("this value has octets");
                    if let Some((first, last)) = self.place(octets) {
                        assert!(at <= first && last <= end, "{} at {first}..{last}, not in {at}..{end}", field.name);
                        at = last;
                    }
                }
            }
            if !field.name.is_empty() {
                let found = view.layout().and_then(|l| l.position(field.name));
                assert_eq!(found, Some(position), "{} is found by its name", field.name);
            }
        }
        if let Some((first, last)) = self.place(view.trailing()) {
            assert!(at <= first && last == end, "what trails begins at {first}, the fields end at {at}");
        }
        end
    }

    fn holds(&self, octets: &[u8]) -> bool {
        self.data.as_ptr_range().contains(&octets.as_ptr())
    }

    /// The offsets of octets in the data; nothing for no octets, which lie nowhere.
    fn place(&self, octets: &[u8]) -> Option<(usize, usize)> {
        if octets.is_empty() {
            return None;
        }
        let start = (octets.as_ptr() as usize).checked_sub(self.data.as_ptr() as usize).expect("not before the data");
        assert!(start + octets.len() <= self.data.len(), "octets beyond the data");
        Some((start, start + octets.len()))
    }
}
