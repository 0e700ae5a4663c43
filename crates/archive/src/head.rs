//! The `head` file: how far readers may read.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crc32c::crc32c;

use crate::disk;
use crate::error::{Error, Result};
use crate::format::{u32_at, u64_at};

const MAGIC: u32 = 0x6553_6864; // "eShd"
const LENGTH: usize = 40;

/// The committed end of a network map's archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// Start second of the newest segment.
    pub segment: u32,
    /// Bytes of that segment that are committed.
    pub offset: u64,
    /// Sequence number the next event will get; the last event has one less.
    pub sequence: u64,
    /// Archival second of the last commit.
    pub second: u32,
}

/// The record on disk: the head, and the segment a writer is about to create (0: none).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) head: Head,
    pub(crate) rolling: u32,
}

/// What reading the head file gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Missing,
    Corrupt,
    Record(Record),
}

impl Found {
    pub(crate) fn record(self) -> Option<Record> {
        match self {
            Found::Record(record) => Some(record),
            Found::Missing | Found::Corrupt => None,
        }
    }

    pub(crate) fn head(self) -> Option<Head> {
        self.record().map(|record| record.head)
    }
}

/// The head file of one network map, opened when it is there.
#[derive(Debug)]
pub(crate) struct HeadFile {
    path: PathBuf,
    netmap: u32,
    write: bool,
    file: Option<File>,
}

impl HeadFile {
    /// A head to read.
    pub(crate) fn new(dir: &Path, netmap: u32) -> Self {
        HeadFile { path: dir.join("head"), netmap, write: false, file: None }
    }

    /// A head to read and to publish.
    pub(crate) fn writable(dir: &Path, netmap: u32) -> Self {
        HeadFile { write: true, ..HeadFile::new(dir, netmap) }
    }

    /// Reads the record. A writer may be in the middle of its one small write, so a bad checksum is tried again.
    pub(crate) fn read(&mut self) -> Result<Found> {
        for _ in 0..4 {
            self.open(false)?;
            let Some(file) = &self.file else { return Ok(Found::Missing) };
            let mut bytes = [0; LENGTH];
            let n = disk::read_at(file, &self.path, &mut bytes, 0)?;
            if n == LENGTH
                && let Some(record) = decode(&bytes, self.netmap)
            {
                return Ok(Found::Record(record));
            }
            std::thread::yield_now();
        }
        Ok(Found::Corrupt)
    }

    /// Publishes a record with one write. It is not synced: after a power cut a writer rebuilds it.
    pub(crate) fn write(&mut self, record: Record) -> Result<()> {
        self.open(true)?;
        let bytes = encode(record, self.netmap);
        self.file.as_ref().map_or(Ok(()), |file| disk::write_at(file, &self.path, &bytes, 0))
    }

    /// Opens the file, if it is there. One that was removed or replaced under us is opened anew.
    fn open(&mut self, create: bool) -> Result<()> {
        let linked = self.file.as_ref().is_some_and(|file| file.metadata().is_ok_and(|m| m.nlink() > 0));
        if !linked {
            self.file = None;
            let opened =
                OpenOptions::new().read(true).write(self.write).create(create).truncate(false).open(&self.path);
            match opened {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound && !create => {}
                Err(error) => return Err(Error::io("open", &self.path)(error)),
            }
        }
        Ok(())
    }
}

fn encode(record: Record, netmap: u32) -> [u8; LENGTH] {
    let mut out = [0; LENGTH];
    out[0..4].copy_from_slice(&MAGIC.to_be_bytes());
    out[4..8].copy_from_slice(&netmap.to_be_bytes());
    out[8..12].copy_from_slice(&record.head.segment.to_be_bytes());
    out[12..16].copy_from_slice(&record.head.second.to_be_bytes());
    out[16..24].copy_from_slice(&record.head.offset.to_be_bytes());
    out[24..32].copy_from_slice(&record.head.sequence.to_be_bytes());
    out[32..36].copy_from_slice(&record.rolling.to_be_bytes());
    let crc = crc32c(&out[..36]);
    out[36..40].copy_from_slice(&crc.to_be_bytes());
    out
}

fn decode(bytes: &[u8; LENGTH], netmap: u32) -> Option<Record> {
    let valid = u32_at(bytes, 0)? == MAGIC && u32_at(bytes, 4)? == netmap && u32_at(bytes, 36)? == crc32c(&bytes[..36]);
    if !valid {
        return None;
    }
    let head = Head {
        segment: u32_at(bytes, 8)?,
        second: u32_at(bytes, 12)?,
        offset: u64_at(bytes, 16)?,
        sequence: u64_at(bytes, 24)?,
    };
    Some(Record { head, rolling: u32_at(bytes, 32)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const RECORD: Record = Record { head: Head { segment: 1, offset: 2, sequence: 3, second: 4 }, rolling: 5 };

    #[test]
    fn head_bytes_are_as_documented() {
        let bytes = encode(RECORD, 6);
        assert_eq!(
            bytes[..36],
            [
                b'e', b'S', b'h', b'd', 0, 0, 0, 6, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0,
                0, 3, 0, 0, 0, 5
            ]
        );
        assert_eq!(bytes[36..], crc32c(&bytes[..36]).to_be_bytes());
        assert_eq!(decode(&bytes, 6), Some(RECORD));
        assert_eq!(decode(&bytes, 7), None, "the head of another network map");
        for bit in 0..LENGTH * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bad, 6), None, "bit {bit}");
        }
    }

    #[test]
    fn a_head_that_was_removed_and_written_again_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, mut reader) = (HeadFile::writable(dir.path(), 6), HeadFile::new(dir.path(), 6));
        assert_eq!(reader.read().unwrap(), Found::Missing);
        writer.write(RECORD).unwrap();
        assert_eq!(reader.read().unwrap(), Found::Record(RECORD));
        fs::remove_file(dir.path().join("head")).unwrap();
        assert_eq!(reader.read().unwrap(), Found::Missing);
        writer.write(RECORD).unwrap();
        assert_eq!(reader.read().unwrap(), Found::Record(RECORD));
        fs::write(dir.path().join("head"), b"short").unwrap();
        assert_eq!(reader.read().unwrap(), Found::Corrupt);
    }
}
