//! Members of a set deliver each event once, also when the collector ends at any moment and a file gets full at any event.
#![allow(clippy::unwrap_used)]

use collector::checkpoint::Checkpoint;
use collector::deliver::{Delivery, Source};
use collector::stats::{OutputStats, Stats, Status};
use collector::twins::{Limits, Twins};
use collector::work::{Chunk, Done, Formatted};
use outputs::{Destination, Error};
use proptest::prelude::*;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// A file in memory. Like those on disk, it is cut off at its last state when it is opened again, and takes only so many
/// lines between two checkpoints.
struct Memory {
    lines: Arc<Mutex<Vec<u8>>>,
    synced: usize,
    room: usize,
    limit: usize,
    /// Writes until the collector is killed.
    life: usize,
}

impl Memory {
    fn open(lines: &Arc<Mutex<Vec<u8>>>, state: Option<&str>, limit: usize, life: usize) -> Memory {
        let synced = state.map_or(0, |s| s.parse().unwrap());
        lines.lock().unwrap().truncate(synced);
        Memory { lines: lines.clone(), synced, room: limit, limit, life }
    }
}

impl Destination for Memory {
    fn describe(&self) -> String {
        "memory".into()
    }
    fn room(&self) -> usize {
        self.room
    }
    fn write(&mut self, bytes: &[u8], lines: usize) -> Result<(), Error> {
        assert!(lines <= self.room);
        if self.life == 0 {
            return Err(Error::Closed { target: self.describe() });
        }
        self.life -= 1;
        self.room -= lines;
        self.lines.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }
    fn sync(&mut self) -> Result<(), Error> {
        self.synced = self.lines.lock().unwrap().len();
        Ok(())
    }
    fn state(&self) -> String {
        self.synced.to_string()
    }
    fn stored(&mut self, _state: &str) {
        self.room = self.limit;
    }
}

const NAMES: [&str; 2] = ["a:1", "b:1"];

/// A batch with one line for each event, all of one archival second.
fn batch(source: usize, sequence: u64, second: u32, events: &[u8]) -> Formatted {
    let record = |event: &u8| Done {
        position: Some((second, u64::from(*event))),
        content: u64::from(*event),
        metadata: 0,
        filtered: false,
    };
    Formatted {
        source,
        sequence,
        chunks: vec![Chunk { bytes: events.to_vec(), ends: (1..=events.len()).collect() }],
        records: events.iter().map(record).collect(),
        metadata: Vec::new(),
    }
}

/// Runs a collector's delivery: for each member named in `turns` its next second comes, in batches of two events. After a
/// restart a member goes on with the second the checkpoint says, of which what was delivered is known. With the last write
/// of its `life` it ends as if killed: nothing is synced or stored any more.
fn run(state: &Path, lines: &Arc<Mutex<Vec<u8>>>, events: &[Vec<Vec<u8>>], turns: &[usize], limit: usize, life: usize) {
    let (checkpoint, mut resume) = Checkpoint::open(state).unwrap();
    let memory = Memory::open(lines, resume.destinations.get("memory").map(String::as_str), limit, life);
    let sources = NAMES.iter().enumerate().map(|(i, key)| Source { key: (*key).into(), member: Some((0, i)) });
    let twins = Twins::new(2, Limits::default(), resume.seen.remove("pair").unwrap_or_default());
    let status = Arc::new(Status::new(
        NAMES.iter().map(|name| Arc::new(Stats::new(name))).collect(),
        vec![Arc::new(OutputStats::new("memory", "test", None))],
    ));
    let (done, results) = crossbeam_channel::unbounded();
    let (used, _spare) = crossbeam_channel::bounded(1);
    let mut sequences = [0; 2];
    let mut next =
        NAMES.map(|key| resume.sources.get(key).map_or((0, Vec::new()), |p| (p.second.unwrap_or(0), p.hashes.clone())));
    let mut received = 0;
    for member in turns {
        let (second, known) = &mut next[*member];
        let Some(all) = events[*member].get(*second as usize) else { continue };
        let fresh = |event: &&u8| match known.iter().position(|h| *h == u64::from(**event)) {
            Some(i) => {
                known.swap_remove(i);
                false
            }
            None => true,
        };
        let fresh: Vec<u8> = all.iter().filter(fresh).copied().collect();
        for piece in fresh.chunks(2) {
            done.send(batch(*member, sequences[*member], *second, piece)).unwrap();
            sequences[*member] += 1;
            received += piece.len();
        }
        *second += 1;
        known.clear();
    }
    drop(done);
    let destinations: Vec<(String, Box<dyn Destination>)> = vec![("memory".into(), Box::new(memory))];
    let sets = vec![("pair".to_owned(), twins)];
    let delivery = Delivery::new(sources.collect(), sets, destinations, checkpoint, status.clone(), used);
    if delivery.run(&results, &AtomicBool::new(false)).is_err() {
        return;
    }
    let counts = status.outputs[0].counts();
    let duplicates = status.sum(|s| &s.duplicate);
    assert_eq!(status.sum(|s| &s.delivered) + duplicates, received as u64);
    assert_eq!((counts.received, counts.delivered), (received as u64 - duplicates, received as u64 - duplicates));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn each_event_comes_once(
        seconds in prop::collection::vec(prop::collection::vec(0..250u8, 1..6), 1..8),
        work in prop::collection::vec((prop::collection::vec(0..2usize, 0..8), 0..12usize), 1..6),
        limit in 1..5usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let lines = Arc::default();
        // The second member has the same events, but archives them a second later.
        let late: Vec<Vec<u8>> = std::iter::once(Vec::new()).chain(seconds.iter().cloned()).collect();
        let events = vec![seconds.clone(), late];
        let state = dir.path().join("state.db");
        for (turns, life) in &work {
            run(&state, &lines, &events, turns, limit, *life);
        }
        let all: Vec<usize> = (0..2).cycle().take(4 * seconds.len() + 8).collect();
        run(&state, &lines, &events, &all, limit, usize::MAX);
        let mut got = lines.lock().unwrap().clone();
        got.sort_unstable();
        let mut wanted: Vec<u8> = seconds.concat();
        wanted.sort_unstable();
        prop_assert_eq!(got, wanted);
    }
}
