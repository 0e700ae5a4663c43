//! Packets as a capture file, for tcpdump, tshark and the like.
//!
//! A classic capture (pcap) has one link type for all its packets, so each link type gets a file of its own: the first
//! one the file that was named, any further one the same name with `-LINKTYPE` before its extension. In one stream, such
//! as standard output, packets of further link types are left out and counted; a pcapng capture takes them all, each with
//! an interface of its own. Times are in microseconds, as the packet records have them; numbers are little-endian.
//!
//! Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. Sensors give link types as libpcap's `DLT_` numbers;
//! captures use the `LINKTYPE_` ones, which differ for raw IP and ATM.

use crate::output::{Output, OutputError};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use wire::decode::Record;
use wire::layout::Class;

/// Bytes kept of a packet, as in the SDK's captures; readers refuse captures of much longer ones.
pub const SNAP_LENGTH: u32 = 0x1ffff;

/// Ethernet.
const ETHERNET: u32 = 1;

/// Link types a session may have: no network has more, and each takes a file.
const LINK_TYPES: usize = 16;

/// A file format for packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// pcap 2.4.
    Classic,
    /// pcapng 1.0.
    Pcapng,
}

/// Where captures go.
enum Target {
    File(PathBuf),
    Stream,
}

/// One capture that is being written.
struct Capture {
    out: Box<dyn Write>,
    name: String,
    /// The link types it has an interface for; a classic one has at most one.
    interfaces: Vec<u32>,
    begun: bool,
}

/// Writes captures.
pub struct Pcap {
    format: Format,
    target: Target,
    first: Capture,
    /// Classic captures of further link types.
    others: BTreeMap<u32, Capture>,
    /// Link types that found no place.
    refused: BTreeSet<u32>,
    lost: u64,
    block: Vec<u8>,
}

impl Pcap {
    /// A capture in a file, which is made anew.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn file(path: &Path, format: Format) -> Result<Self, OutputError> {
        Ok(Pcap::new(create(path)?, Target::File(path.to_owned()), format))
    }

    /// A capture in a stream, which errors call `name`.
    pub fn stream(out: Box<dyn Write>, name: &str, format: Format) -> Self {
        let first = Capture { out, name: name.to_owned(), interfaces: Vec::new(), begun: false };
        Pcap::new(first, Target::Stream, format)
    }

    fn new(first: Capture, target: Target, format: Format) -> Self {
        let (others, refused) = (BTreeMap::new(), BTreeSet::new());
        Pcap { format, target, first, others, refused, lost: 0, block: Vec::new() }
    }

    /// The capture for a link type; `None` when there is no place for it.
    fn capture(&mut self, link: u32) -> Result<Option<&mut Capture>, OutputError> {
        if self.format == Format::Pcapng {
            // Its interfaces have link types of 16 bits.
            let first = &mut self.first;
            let room = first.interfaces.contains(&link) || first.interfaces.len() < LINK_TYPES && link <= 0xffff;
            return Ok(room.then_some(first));
        }
        if self.first.interfaces.is_empty() || self.first.interfaces.contains(&link) {
            return Ok(Some(&mut self.first));
        }
        let Target::File(path) = &self.target else { return Ok(None) };
        if !self.others.contains_key(&link) {
            if self.others.len() + 1 >= LINK_TYPES {
                return Ok(None);
            }
            let path = beside(path, link);
            tracing::warn!("Packets of link type {link} go to {}", path.display());
            self.others.insert(link, create(&path)?);
        }
        Ok(self.others.get_mut(&link))
    }

    fn write(&mut self, link: u32, second: u32, microsecond: u32, data: &[u8]) -> Result<bool, OutputError> {
        let format = self.format;
        let mut block = std::mem::take(&mut self.block);
        block.clear();
        let written = match self.capture(link)? {
            Some(capture) => {
                capture.begin(format, link, &mut block);
                packet(format, capture.interface(link), second, microsecond, data, &mut block);
                capture.write(&block)?;
                true
            }
            None => false,
        };
        self.block = block;
        if !written {
            self.lost += 1;
            if self.refused.len() < LINK_TYPES && self.refused.insert(link) {
                let way = "Write to a file with -f, or a pcapng capture with --pcapng";
                tracing::warn!("Packets of link type {link} have no place in this capture and are left out. {way}");
            }
        }
        Ok(written)
    }
}

impl Output for Pcap {
    fn record(&mut self, record: &Record<'_>) -> Result<bool, OutputError> {
        if record.layout.is_none_or(|l| l.class != Class::Packet) {
            return Ok(false);
        }
        let number = |name: &str| record.uint(name).and_then(|n| u32::try_from(n).ok());
        let data = record.field("packetData").and_then(|value| value.octets());
        let fields = (number("linkType"), number("packetSecond"), number("packetMicrosecond"), data);
        let (Some(link), Some(second), Some(microsecond), Some(data)) = fields else { return Ok(false) };
        self.write(link_type(link), second, microsecond, data)
    }

    fn flush(&mut self) -> Result<(), OutputError> {
        let all = std::iter::once(&mut self.first).chain(self.others.values_mut());
        all.into_iter().try_for_each(|capture| capture.out.flush().map_err(OutputError::write(&capture.name)))
    }

    fn finish(&mut self) -> Result<u64, OutputError> {
        if !self.first.begun {
            // A capture without packets is one, too.
            let mut block = Vec::new();
            self.first.begin(self.format, ETHERNET, &mut block);
            self.first.write(&block)?;
        }
        self.flush()?;
        Ok(self.lost)
    }
}

impl Capture {
    /// Appends the headers that must stand before a packet of this link type.
    fn begin(&mut self, format: Format, link: u32, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            match format {
                Format::Classic => file_header(link, out),
                Format::Pcapng => section_header(out),
            }
        }
        if !self.interfaces.contains(&link) {
            self.interfaces.push(link);
            if format == Format::Pcapng {
                interface(link, out);
            }
        }
    }

    fn interface(&self, link: u32) -> u32 {
        self.interfaces.iter().position(|l| *l == link).map_or(0, |i| i as u32)
    }

    fn write(&mut self, block: &[u8]) -> Result<(), OutputError> {
        self.out.write_all(block).map_err(OutputError::write(&self.name))
    }
}

fn create(path: &Path) -> Result<Capture, OutputError> {
    let name = path.display().to_string();
    let file = File::create(path).map_err(OutputError::write(&name))?;
    Ok(Capture { out: Box::new(BufWriter::new(file)), name, interfaces: Vec::new(), begun: false })
}

/// `capture.pcap` for link type 101 is `capture-101.pcap`.
fn beside(path: &Path, link: u32) -> PathBuf {
    let mut name = path.file_stem().map_or_else(OsString::new, OsString::from);
    name.push(format!("-{link}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// The number a capture has for a link type of a sensor: 11 is ATM with LLC, 12 and (on OpenBSD) 14 are raw IP.
fn link_type(dlt: u32) -> u32 {
    match dlt {
        11 => 100,
        12 | 14 => 101,
        other => other,
    }
}

fn words(words: &[u32], out: &mut Vec<u8>) {
    words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
}

/// Magic number, version 2.4, two reserved words, snap length, link type.
fn file_header(link: u32, out: &mut Vec<u8>) {
    words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, SNAP_LENGTH, link], out);
}

/// Section header block: byte order, version 1.0, length not known.
fn section_header(out: &mut Vec<u8>) {
    words(&[0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28], out);
}

/// Interface description block; without options its times are in microseconds.
fn interface(link: u32, out: &mut Vec<u8>) {
    words(&[1, 20, link & 0xffff, SNAP_LENGTH, 20], out);
}

/// A packet, cut at the snap length.
fn packet(format: Format, interface: u32, second: u32, microsecond: u32, data: &[u8], out: &mut Vec<u8>) {
    let kept = data.get(..data.len().min(SNAP_LENGTH as usize)).unwrap_or_default();
    let (captured, length) = (kept.len() as u32, u32::try_from(data.len()).unwrap_or(u32::MAX));
    let second = second.saturating_add(microsecond / 1_000_000);
    let microsecond = microsecond % 1_000_000;
    match format {
        Format::Classic => {
            words(&[second, microsecond, captured, length], out);
            out.extend_from_slice(kept);
        }
        Format::Pcapng => {
            let time = u64::from(second) * 1_000_000 + u64::from(microsecond);
            let padded = captured.next_multiple_of(4);
            words(&[6, 32 + padded, interface, (time >> 32) as u32, time as u32, captured, length], out);
            out.extend_from_slice(kept);
            out.resize(out.len() + (padded - captured) as usize, 0);
            words(&[32 + padded], out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use wire::decode::Decoder;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn feed(pcap: &mut Pcap, link: u32, microsecond: u32, data: &[u8]) -> bool {
        let length = data.len() as u32;
        let words = [2, 28 + length, 1, 7, 1_699_999_999, 1_700_000_000, microsecond, link, length];
        let mut item: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
        item.extend_from_slice(data);
        pcap.record(&Decoder::new().decode(&item).unwrap()).unwrap()
    }

    fn stream(format: Format, packets: &[(u32, u32, &[u8])]) -> (Vec<u8>, u64) {
        let shared = Shared::default();
        let mut pcap = Pcap::stream(Box::new(shared.clone()), "test", format);
        packets.iter().for_each(|(link, microsecond, data)| {
            feed(&mut pcap, *link, *microsecond, data);
        });
        let lost = pcap.finish().unwrap();
        let bytes = shared.0.lock().unwrap().clone();
        (bytes, lost)
    }

    const HEADER: [u8; 20] = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 0];

    #[test]
    fn a_classic_capture_byte_for_byte() {
        let (bytes, lost) = stream(Format::Classic, &[(1, 250_000, b"abc"), (12, 0, b"raw"), (1, 1_000_001, b"")]);
        let expected = [
            &HEADER[..],
            &[1, 0, 0, 0],
            &[0x00, 0xf1, 0x53, 0x65, 0x90, 0xd0, 3, 0, 3, 0, 0, 0, 3, 0, 0, 0],
            b"abc",
            &[0x01, 0xf1, 0x53, 0x65, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!((bytes, lost), (expected.concat(), 1));
        let (empty, _) = stream(Format::Classic, &[]);
        assert_eq!(empty, [&HEADER[..], &[1, 0, 0, 0]].concat());
    }

    #[test]
    fn a_pcapng_capture_byte_for_byte() {
        let (bytes, lost) = stream(Format::Pcapng, &[(1, 250_000, b"abc"), (12, 0, b"rawip"), (1, 0, b"")]);
        let time = |microsecond: u64| {
            let time = 1_700_000_000_000_000 + microsecond;
            [((time >> 32) as u32).to_le_bytes(), (time as u32).to_le_bytes()].concat()
        };
        let expected = [
            &[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0][..],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 28, 0, 0, 0],
            &[1, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 1, 0, 20, 0, 0, 0],
            &[6, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0],
            &time(250_000),
            &[3, 0, 0, 0, 3, 0, 0, 0],
            b"abc\0\x24\0\0\0",
            &[1, 0, 0, 0, 20, 0, 0, 0, 101, 0, 0, 0, 0xff, 0xff, 1, 0, 20, 0, 0, 0],
            &[6, 0, 0, 0, 40, 0, 0, 0, 1, 0, 0, 0],
            &time(0),
            &[5, 0, 0, 0, 5, 0, 0, 0],
            b"rawip\0\0\0\x28\0\0\0",
            &[6, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0],
            &time(0),
            &[0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0],
        ];
        assert_eq!((bytes, lost), (expected.concat(), 0));
    }

    #[test]
    fn each_link_type_has_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.b.pcap");
        let mut pcap = Pcap::file(&path, Format::Classic).unwrap();
        for link in [12, 1, 12, 1, 113] {
            assert!(feed(&mut pcap, link, 0, b"x"));
        }
        // A server cannot make files without end.
        let refused = (200..300).filter(|link| !feed(&mut pcap, *link, 0, b"x")).count();
        assert_eq!((refused, pcap.finish().unwrap()), (100 + 3 - LINK_TYPES, 100 + 3 - LINK_TYPES as u64));
        let size = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len();
        assert_eq!((size("a.b.pcap"), size("a.b-1.pcap"), size("a.b-113.pcap")), (24 + 34, 24 + 34, 24 + 17));
        assert_eq!(std::fs::read(&path).unwrap()[20..24], [101, 0, 0, 0]);
        assert_eq!(beside(Path::new("x/capture"), 5), Path::new("x/capture-5"));
    }

    #[test]
    fn long_packets_are_cut() {
        let long = vec![7; SNAP_LENGTH as usize + 1];
        let (bytes, _) = stream(Format::Classic, &[(1, 0, &long)]);
        assert_eq!(bytes.len(), 24 + 16 + SNAP_LENGTH as usize);
        assert_eq!(bytes[32..40], [0xff, 0xff, 1, 0, 0, 0, 2, 0]);
    }
}
