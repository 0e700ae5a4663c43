//! Where a reader of a spool is, in a form that outlives the reader.

use thiserror::Error;

/// The place just after the last record taken from a spool.
///
/// Beside file name and offset it keeps hashes of the first and the last bytes
/// that were read, so that a file recreated under the same name is noticed. The
/// contents decide, not inode and device: those also change when a spool is
/// restored from a backup or mounted elsewhere, which must not repeat events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Name of the file, without its directory.
    pub file: String,
    /// Offset of the first byte not yet taken.
    pub offset: u64,
    /// The file's inode, 0 where there is no such thing.
    pub inode: u64,
    /// The file's device, 0 where there is no such thing.
    pub device: u64,
    /// The first bytes of the file.
    pub(crate) head: Check,
    /// The last bytes before `offset`.
    pub(crate) tail: Check,
}

impl Position {
    const VERSION: u8 = 1;

    /// The position as bytes, about 64 and the file name.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(45 + self.file.len());
        out.push(Self::VERSION);
        for number in [self.offset, self.inode, self.device] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        for check in [self.head, self.tail] {
            out.push(check.len);
            out.extend_from_slice(&check.hash.to_be_bytes());
        }
        // The name runs to the end; a file name is at most 255 bytes.
        out.extend_from_slice(self.file.as_bytes());
        out
    }

    /// Reads what [`Position::encode`] wrote.
    ///
    /// # Errors
    /// [`PositionError`] when the bytes are something else or from a version
    /// this one does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self, PositionError> {
        let (version, rest) = bytes.split_first().ok_or(PositionError::Short)?;
        if *version != Self::VERSION {
            return Err(PositionError::Version(*version));
        }
        let (offset, rest) = number(rest)?;
        let (inode, rest) = number(rest)?;
        let (device, rest) = number(rest)?;
        let (head, rest) = Check::decode(rest)?;
        let (tail, rest) = Check::decode(rest)?;
        if u64::from(head.len.max(tail.len)) > offset {
            return Err(PositionError::Check);
        }
        match std::str::from_utf8(rest) {
            Ok(file) if !file.is_empty() && !file.contains(['/', '\0']) => {
                Ok(Self { file: file.to_owned(), offset, inode, device, head, tail })
            }
            _ => Err(PositionError::File),
        }
    }
}

/// Why bytes are not a [`Position`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PositionError {
    /// The bytes end too early.
    #[error("the stored spool position is cut short; remove it to read the spool from its start")]
    Short,
    /// Written by another version.
    #[error(
        "the stored spool position has version {0}, this program knows version 1; use the program that wrote it, or remove it to read the spool from its start"
    )]
    Version(u8),
    /// The hashes cover more than was read.
    #[error("the stored spool position contradicts itself; remove it to read the spool from its start")]
    Check,
    /// The file name is empty, not UTF-8, or a path.
    #[error("the stored spool position names no file; remove it to read the spool from its start")]
    File,
}

/// Length and hash of a few bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) len: u8,
    hash: u64,
}

impl Check {
    /// The most bytes a check covers.
    pub(crate) const MAX: usize = 64;

    /// Of at most the first [`Check::MAX`] bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let bytes = bytes.get(..Self::MAX).unwrap_or(bytes);
        // FNV-1a: enough to tell one file from another, nobody is being fought.
        let hash = bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        Self { len: u8::try_from(bytes.len()).unwrap_or(u8::MAX), hash }
    }

    fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), PositionError> {
        let (len, rest) = bytes.split_first().ok_or(PositionError::Short)?;
        if usize::from(*len) > Self::MAX {
            return Err(PositionError::Check);
        }
        let (hash, rest) = number(rest)?;
        Ok((Self { len: *len, hash }, rest))
    }
}

fn number(bytes: &[u8]) -> Result<(u64, &[u8]), PositionError> {
    let (head, rest) = bytes.split_first_chunk().ok_or(PositionError::Short)?;
    Ok((u64::from_be_bytes(*head), rest))
}
