//! Random numbers that depend on nothing but a seed, a purpose and a number.
//!
//! The generator is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): eight
//! bytes of state, so that every step can have its own at no cost, and the same numbers on every machine.

/// The golden ratio in 64 bits: the increment of SplitMix64.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// Dice for one purpose.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The dice for `number` (a step, a window of steps) of a purpose.
    pub(crate) fn new(seed: u64, purpose: u64, number: u64) -> Dice {
        Dice(mix(mix(seed ^ mix(purpose.wrapping_add(GAMMA))).wrapping_add(number.wrapping_mul(GAMMA))))
    }

    /// The next 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mix(self.0)
    }

    /// A number below `end`; 0 when `end` is 0.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(end)) >> 32) as u32
    }

    /// A number from `first` to `last`.
    pub(crate) fn range(&mut self, first: u32, last: u32) -> u32 {
        first + self.below(last - first + 1)
    }

    /// True in `share` of 1000 cases.
    pub(crate) fn chance(&mut self, share: u32) -> bool {
        self.below(1000) < share
    }

    /// A size as they occur in traffic: from `least` to about `least << doublings`, small ones far more often.
    pub(crate) fn size(&mut self, least: u32, doublings: u32) -> u64 {
        let scale = u64::from(least) << self.below(doublings);
        scale + self.bits() % scale.max(1)
    }

    /// One of a pool, which must not be empty: all pools are built in or built with the world.
    pub(crate) fn pick<'p, T>(&mut self, pool: &'p [T]) -> &'p T {
        &pool[self.below(pool.len() as u32) as usize]
    }

    /// Random octets.
    pub(crate) fn octets<const N: usize>(&mut self) -> [u8; N] {
        let mut octets = [0; N];
        for chunk in octets.chunks_mut(8) {
            let bits = self.bits().to_be_bytes();
            chunk.iter_mut().zip(bits).for_each(|(octet, random)| *octet = random);
        }
        octets
    }

    /// A random UUID (RFC 9562 version 4).
    pub(crate) fn uuid(&mut self) -> [u8; 16] {
        let mut uuid = self.octets::<16>();
        uuid[6] = uuid[6] & 0x0f | 0x40;
        uuid[8] = uuid[8] & 0x3f | 0x80;
        uuid
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_gives_its_published_numbers() {
        let mut dice = Dice(1_234_567);
        assert_eq!([dice.bits(), dice.bits()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut dice = Dice::new(1, 2, 3);
        for _ in 0..10_000 {
            assert!(dice.below(7) < 7);
            assert!((3..=5).contains(&dice.range(3, 5)));
            assert!((100..6400).contains(&dice.size(100, 6)));
        }
        assert_eq!(dice.below(0), 0);
    }
}
