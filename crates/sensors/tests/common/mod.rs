//! Unified2 bytes for tests, and readers of them.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use sensors::unified2::{Frame, Item, Notice, Position, Spool, kind};

/// A record of any type.
pub(crate) fn record(record_type: u32, body: &[u8]) -> Vec<u8> {
    let mut out = record_type.to_be_bytes().to_vec();
    out.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// A body of 32-bit numbers.
pub(crate) fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// An IPv4 event of Snort 2.9 with this number.
pub(crate) fn event(id: u32) -> Vec<u8> {
    let mut body = words(&[0, id, 1_322_000_000 + id, id * 7, 2000 + id, 1, 3, 33, 1]);
    body.extend_from_slice(&[10, 1, 6, 199, 47, 216, 149, 202]);
    body.extend_from_slice(&[0x9a, 0xc0, 0, 80, 6, 0x20, 0, 1]);
    body.extend_from_slice(&[0, 0, 0, 5, 0, 12, 0, 0]);
    record(kind::EVENT_V2, &body)
}

/// A packet of `len` bytes that belongs to event `id`.
pub(crate) fn packet(id: u32, len: usize) -> Vec<u8> {
    let declared = u32::try_from(len).unwrap();
    let mut body = words(&[0, id, 1_322_000_000 + id, 1_322_000_000 + id, 9, 1, declared]);
    body.extend((0..len).map(|i| (i % 251) as u8));
    record(kind::PACKET, &body)
}

/// Extra data that belongs to event `id`.
pub(crate) fn extra(id: u32, data: &[u8]) -> Vec<u8> {
    let len = u32::try_from(data.len()).unwrap();
    let mut body = words(&[4, len + 32, 0, id, 1_322_000_000 + id, 9, 1, len + 8]);
    body.extend_from_slice(data);
    record(kind::EXTRA_DATA, &body)
}

/// Records of several kinds, numbered from `from`.
pub(crate) fn some(from: u32, count: u32) -> Vec<Vec<u8>> {
    (from..from + count)
        .map(|id| match id % 4 {
            0 => event(id),
            1 => packet(id, 10 + (id as usize * 37) % 300),
            2 => extra(id, format!("/index?{id}").as_bytes()),
            _ => record(9000 + id, &id.to_be_bytes()),
        })
        .collect()
}

/// What a spool gave: records as text, notices as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Record(String),
    Notice(Notice),
}

/// Polls once.
pub(crate) fn poll(spool: &mut Spool) -> Option<Got> {
    spool.poll().unwrap().map(|item| match item {
        Item::Record(entry) => Got::Record(format!("{:?}", entry.record)),
        Item::Notice(notice) => Got::Notice(notice),
    })
}

/// Polls until there is nothing more.
pub(crate) fn drain(spool: &mut Spool) -> Vec<Got> {
    std::iter::from_fn(|| poll(spool)).collect()
}

/// What the records in `bytes` should come out as.
pub(crate) fn decoded(bytes: &[u8]) -> Vec<Got> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(frame) = Frame::split(&bytes[at..], at as u64).unwrap() {
        out.push(Got::Record(format!("{:?}", frame.decode().unwrap())));
        at += frame.size();
    }
    assert_eq!(at, bytes.len(), "whole records");
    out
}

/// The notices among what came.
pub(crate) fn notices(got: &[Got]) -> Vec<Notice> {
    got.iter()
        .filter_map(|got| match got {
            Got::Notice(notice) => Some(notice.clone()),
            Got::Record(_) => None,
        })
        .collect()
}

/// The records among what came.
pub(crate) fn records(got: &[Got]) -> Vec<Got> {
    let is_record = |got: &&Got| matches!(got, Got::Record(_));
    got.iter().filter(is_record).cloned().collect()
}

/// A position after a way through bytes.
pub(crate) fn stored(spool: &Spool) -> Position {
    Position::decode(&spool.position().expect("a position").encode()).unwrap()
}

/// Output of real sensors, which is not part of the repository.
pub(crate) fn snort(name: &str) -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/snort");
    let path = dir.join(name);
    if !path.exists() {
        println!("skipped: no real sensor output at {}", path.display());
        return None;
    }
    Some(path)
}
