//! Archives whose events are older than the test.

use archive::{Archive, Batch, Clock, Kind, Options, Read, Reader, Start};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use wire::decode::Decoder;

use super::Site;

/// Events of a segment made by [`segments`], and of each of its commits.
pub const EVENTS: usize = 300;
pub const COMMIT: usize = 30;

/// Gives a site an archive with segments that begin at these seconds, each with [`EVENTS`] simulated events, in commits of
/// [`COMMIT`], one a second. The events of all segments are different ones.
pub fn segments(site: &Site, starts: &[u32]) {
    let scratch = Site::new();
    let total = (EVENTS * starts.len()).to_string();
    scratch.run(&["sensor", "simulate", "--home", &scratch.home(), "--events", &total]).success();
    let (mut metadata, mut events) = (Batch::new(), Vec::new());
    let (mut decoder, mut items) = (Decoder::new(), Vec::new());
    let mut reader = Reader::open(&scratch.path("home/archive"), 0, Start::Genesis).unwrap();
    while let Read::Batch(info) = reader.next(&mut items).unwrap() {
        let mut rest = &items[..];
        while !rest.is_empty() {
            let item;
            (item, rest) = rest.split_at(8 + u32::from_be_bytes(rest[4..8].try_into().unwrap()) as usize);
            match info.kind {
                Kind::Events => events.push(item.to_vec()),
                Kind::Sticky { .. } => {
                    let key = decoder.decode(&item[8..]).unwrap().metadata_key().unwrap();
                    metadata.push_sticky(&key, item).unwrap();
                }
            }
        }
    }
    let clock = Arc::new(AtomicU32::new(starts[0]));
    let now = clock.clone();
    let clock_now = Clock::new(move || now.load(Ordering::SeqCst));
    let options = Options { segment_seconds: 60, clock: clock_now, ..Options::default() };
    let (mut archive, _) = Archive::open(&site.path("home/archive"), 0, options).unwrap();
    let mut batch = metadata;
    for (segment, start) in events.chunks(EVENTS).zip(starts) {
        for (second, commit) in (*start..).zip(segment.chunks(COMMIT)) {
            commit.iter().for_each(|item| batch.push_event(item).unwrap());
            clock.store(second, Ordering::SeqCst);
            archive.commit(&mut batch).unwrap();
        }
    }
}

/// The Unix second of now.
pub fn now() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

/// Where in a segment its batches begin, as far as their magic shows.
pub fn batches(bytes: &[u8]) -> Vec<usize> {
    bytes.windows(4).enumerate().filter(|(_, four)| *four == b"eSbt").map(|(at, _)| at).collect()
}

/// Changes a byte in the body of the `number`th batch of a segment.
pub fn damage(site: &Site, start: u32, number: usize) {
    let path = site.path(&format!("home/archive/netmap_0/unified2.{start}"));
    let bytes = std::fs::read(&path).unwrap();
    let at = batches(&bytes)[number] + 100;
    // This byte alone: a sensor may be appending.
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[bytes[at] ^ 0x10], at as u64).unwrap();
}
