//! An archive with any bytes in its files.

use archive::{Archive, Batch, Clock, Finding, Kind, Options, Read, Reader, Severity, Start};
use std::fs;
use std::path::Path;

const NETMAP: u32 = 7;
const START: u32 = 1000;

/// Archival second of what is written into it afterwards.
const LATER: u32 = 5000;

/// Sizes of a segment's header, of a batch's, and of the head.
const SEGMENT: usize = 24;
const BATCH: usize = 40;
const HEAD: usize = 40;

/// The head is the first 40 bytes, the only segment the rest. Reading ends, an examination ends; a writer that opens it
/// can write, and what it wrote is read; a repair that cuts leaves nothing that is wrong, and loses no event that could be
/// read. With the checksums put right, so that what they guard is seen too, all of it ends: what nobody wrote so has no
/// right answer.
pub fn archive(data: &[u8]) {
    let Some((head, segment)) = data.split_at_checked(HEAD) else { return };
    one(head, segment, true);
    let (mut head, mut segment) = (head.to_vec(), segment.to_vec());
    put_right(&mut head, &mut segment);
    one(&head, &segment, false);
}

fn one(head: &[u8], segment: &[u8], accident: bool) {
    // Memory where there is some: a writer syncs.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
    let root = folder.path();
    let dir = root.join(format!("netmap_{NETMAP}"));
    fs::create_dir(&dir).expect("a folder");
    fs::write(dir.join("head"), head).expect("a file");
    fs::write(dir.join(format!("unified2.{START}")), segment).expect("a file");

    let most = segment.len();
    read(root, most);
    examine(root);
    let clock = Clock::new(|| LATER);
    let options = Options { clock, ..Options::default() };
    let Ok((mut archive, _)) = Archive::open(root, NETMAP, options) else { return };
    let mut batch = Batch::new();
    let mut item = vec![0, 0, 0, 4, 0, 0, 0, 20];
    item.extend_from_slice(&[0xa5; 20]);
    batch.push_event(&item).expect("an item");
    let Ok(commit) = archive.commit(&mut batch) else { return };
    let written = read(root, most + 8192);
    item.get_mut(archive::SECOND_AT..archive::SECOND_AT + 4)
        .expect("it is there")
        .copy_from_slice(&commit.second.to_be_bytes());
    let repaired = archive::repair(root, NETMAP, true, &mut |_| {});
    // A made-up last second of all leaves none for a new segment.
    assert!(!accident || repaired.is_ok(), "nobody is in the way: {repaired:?}");
    let (after, findings) = (read(root, most + 16384), examine(root));
    if accident {
        assert_eq!(written.last(), Some(&item), "what was committed is read");
        assert_eq!(after, written, "a repair loses no event that could be read");
        let wrong = |finding: &&Finding| finding.what.severity() > Severity::Note;
        let left: Vec<_> = findings.iter().filter(wrong).collect();
        assert!(left.is_empty(), "after a repair there is {left:?}");
    }
}

/// Every batch of events that can be read.
fn read(root: &Path, most: usize) -> Vec<Vec<u8>> {
    let mut batches = Vec::new();
    let Ok(mut reader) = Reader::open(root, NETMAP, Start::Genesis) else { return batches };
    let mut items = Vec::new();
    for _ in 0..=most {
        match reader.next(&mut items) {
            Ok(Read::Batch(info)) if matches!(info.kind, Kind::Events) => {
                batches.push(items.clone());
            }
            Ok(Read::End) | Err(_) => return batches,
            Ok(_) => {}
        }
    }
    panic!("more than {most} batches and gaps in so many bytes");
}

fn examine(root: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rest = archive::check(root, NETMAP, &mut |_| None, |checked| findings.extend(checked.findings));
    findings.extend(rest.into_iter().flatten());
    findings
}

/// Writes the checksums that the bytes should have, as the format says (rules D2, D3 and D8).
fn put_right(head: &mut [u8], segment: &mut [u8]) {
    seal(head, 36, &[]);
    let (first, mut rest) = match segment.split_at_mut_checked(SEGMENT) {
        Some(parts) => parts,
        None => return,
    };
    seal(first, 20, &[]);
    let mut offset = SEGMENT as u64;
    loop {
        let size =
            rest.get(4..8).and_then(|b| b.try_into().ok()).map_or(usize::MAX, |b| u32::from_be_bytes(b) as usize);
        let whole = BATCH.checked_add(size).and_then(|end| rest.split_at_mut_checked(end));
        let Some((batch, after)) = whole else { return };
        let sum = crc32c::crc32c(batch.get(BATCH..).unwrap_or_default());
        put(batch, 8, sum);
        let place = [&NETMAP.to_be_bytes()[..], &START.to_be_bytes(), &offset.to_be_bytes()].concat();
        seal(batch, 36, &place);
        offset += batch.len() as u64;
        rest = after;
    }
}

/// Writes the checksum of some bytes and those before `at`.
fn seal(bytes: &mut [u8], at: usize, before: &[u8]) {
    let sum = crc32c::crc32c_append(crc32c::crc32c(before), bytes.get(..at).unwrap_or_default());
    put(bytes, at, sum);
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}
