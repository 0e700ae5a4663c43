//! The one place where bytes become integers: a bounds-checked cursor that knows its absolute offset.

use thiserror::Error;

/// The bytes end before a field does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{needed} more bytes are needed at offset {offset}, {left} are there")]
pub struct Short {
    /// Offset from the start of the message data.
    pub offset: usize,
    /// How many bytes the field has.
    pub needed: usize,
    /// How many are left.
    pub left: usize,
}

/// A position in a byte string. It is `Copy`: to remember a place is to copy the cursor.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `data`.
    pub fn new(data: &'a [u8]) -> Self {
        Cursor { data, at: 0 }
    }

    /// The absolute offset of the next byte.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.data.len().saturating_sub(self.at)
    }

    /// Everything that is left.
    pub fn rest(&self) -> &'a [u8] {
        self.data.get(self.at..).unwrap_or_default()
    }

    /// The next `n` bytes.
    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Short> {
        match self.at.checked_add(n).and_then(|end| self.data.get(self.at..end)) {
            Some(bytes) => {
                self.at += n;
                Ok(bytes)
            }
            None => Err(Short { offset: self.at, needed: n, left: self.left() }),
        }
    }

    /// The next `N` bytes as an array.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let bytes = self.take(N)?;
        let mut array = [0; N];
        array.copy_from_slice(bytes);
        Ok(array)
    }

    /// The next 16-bit integer.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next 32-bit integer.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_be_bytes)
    }
}

/// The 16-bit integer at `at`, if the bytes are there.
#[inline]
pub fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*data.get(at..)?.first_chunk()?))
}

/// The 32-bit integer at `at`, if the bytes are there.
#[inline]
pub fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*data.get(at..)?.first_chunk()?))
}

/// The unsigned integer in the `n` (1 to 8) bytes at `at`, if they are there.
#[inline]
pub fn uint_at(data: &[u8], at: usize, n: usize) -> Option<u64> {
    let tail = data.get(at..)?;
    Some(match n {
        1 => u64::from(*tail.first()?),
        2 => u64::from(u16::from_be_bytes(*tail.first_chunk()?)),
        4 => u64::from(u32::from_be_bytes(*tail.first_chunk()?)),
        8 => u64::from_be_bytes(*tail.first_chunk()?),
        _ => tail.get(..n)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_read_names_the_offset_and_moves_nothing() {
        let mut c = Cursor::new(&[0, 1, 2]);
        assert_eq!(c.u16(), Ok(1));
        assert_eq!(c.u32(), Err(Short { offset: 2, needed: 4, left: 1 }));
        assert_eq!((c.offset(), c.rest()), (2, &[2][..]));
        assert!(c.take(usize::MAX).is_err());
    }
}
