//! A bounds-checked reader of a record's body.

use super::RecordError;

/// Reads big-endian fields one after the other. It knows its place in the
/// file, so an error names the byte an operator can look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    offset: u64,
    record_type: u32,
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte of `bytes`, which lies at `offset` in the file.
    pub(crate) fn new(bytes: &'a [u8], offset: u64, record_type: u32) -> Self {
        Self { bytes, offset, record_type }
    }

    /// File offset of the next byte.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes not yet read.
    pub(crate) fn left(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, RecordError> {
        self.array(field).map(|[byte]: [u8; 1]| byte)
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, RecordError> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, RecordError> {
        self.array(field).map(u32::from_be_bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], RecordError> {
        let Some((head, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(self.short(field, N));
        };
        self.advance(rest, N);
        Ok(*head)
    }

    pub(crate) fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], RecordError> {
        let Some((head, rest)) = self.bytes.split_at_checked(len) else {
            return Err(self.short(field, len));
        };
        self.advance(rest, len);
        Ok(head)
    }

    fn advance(&mut self, rest: &'a [u8], by: usize) {
        self.bytes = rest;
        self.offset = self.offset.saturating_add(by as u64);
    }

    #[cold]
    fn short(&self, field: &'static str, wanted: usize) -> RecordError {
        RecordError::Short { record_type: self.record_type, field, offset: self.offset, wanted, left: self.bytes.len() }
    }
}
