//! A small mutator that knows that lengths are big-endian words; the same every time.

/// Makes inputs of seeds.
pub(crate) struct Mutator<'s> {
    seeds: &'s [Vec<u8>],
    state: u64,
}

impl<'s> Mutator<'s> {
    pub(crate) fn new(seeds: &'s [Vec<u8>]) -> Self {
        Mutator { seeds, state: 0x2545_f491_4f6c_dd1d }
    }

    /// A seed with one to four changes.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut bytes = self.seed().clone();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        let end = at + self.below(bytes.len() - at + 1).min(64);
        match self.below(9) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            1 => {
                let new = self.below(256) as u8;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = new;
                }
            }
            // A word becomes a length that is nearly right, or far from it; wherever it stands, but often aligned.
            2..=4 => {
                let at = if self.below(2) == 0 { at & !3 } else { at };
                let left = bytes.len() as u32;
                if let Some(word) = bytes.get_mut(at..).and_then(|b| b.first_chunk_mut::<4>()) {
                    let now = u32::from_be_bytes(*word);
                    let near = [now.wrapping_add(1), now.wrapping_sub(1), now.wrapping_add(8), now.wrapping_sub(8)];
                    let far = [0, 7, 8, 9, left, left.wrapping_sub(at as u32), i32::MAX as u32, u32::MAX];
                    let choice = self.below(near.len() + far.len());
                    *word = near.iter().chain(&far).nth(choice).copied().unwrap_or(0).to_be_bytes();
                }
            }
            5 => bytes.truncate(at),
            6 => drop(bytes.drain(at..end)),
            7 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                let other = self.seed().clone();
                let from = self.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }

    fn seed(&mut self) -> &'s Vec<u8> {
        let index = self.below(self.seeds.len());
        &self.seeds[index]
    }

    /// xorshift64
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % bound as u64) as usize
    }
}
