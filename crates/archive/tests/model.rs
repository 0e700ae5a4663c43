//! Random commits, clocks, crashes and repairs, compared with a model that is a list.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code may fail loudly")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use archive::{Archive, Batch, Keep, Reader, Start};
use common::{Event, NETMAP, Seen, Site, cut, drain, event, flip, length, note, overwrite};
use proptest::prelude::*;
use proptest::sample::Index;

#[derive(Clone, Debug)]
enum Action {
    /// One of two writers commits.
    Commit(bool, Content),
    /// The clock goes on, or back.
    Turn(i32),
    /// A writer dies in the middle of a commit.
    Crash(Content, Crash),
    /// Both writers are opened anew.
    Reopen,
    /// The oldest segments go.
    Retain(u64),
}

#[derive(Clone, Debug)]
struct Content {
    /// Sizes of the events.
    events: Vec<usize>,
    sticky: Vec<(u8, u8)>,
    position: Option<(u8, u8)>,
}

#[derive(Clone, Debug)]
struct Crash {
    /// How much of the commit got to the file.
    cut: Index,
    whole: bool,
    /// Then one bit in it is wrong, or the file has zeros behind it.
    flip: Option<Index>,
    zeros: u16,
    /// The whole machine goes down, and with it perhaps the head; else the other writer goes on.
    power: Option<LostHead>,
}

#[derive(Clone, Copy, Debug)]
enum LostHead {
    Kept,
    Removed,
    Corrupt,
    /// The head as it was at some earlier commit.
    Stale(u8),
}

fn content() -> impl Strategy<Value = Content> {
    let sticky = prop::collection::vec((0..4u8, 0..3u8), 0..3);
    let sizes = prop_oneof![4..200usize, 4..200usize, Just(3000usize)];
    (prop::collection::vec(sizes, 0..6), sticky, prop::option::of((0..2u8, any::<u8>())))
        .prop_map(|(events, sticky, position)| Content { events, sticky, position })
}

fn crash() -> impl Strategy<Value = Crash> {
    let head = prop_oneof![
        Just(LostHead::Kept),
        Just(LostHead::Removed),
        Just(LostHead::Corrupt),
        any::<u8>().prop_map(LostHead::Stale)
    ];
    let flip = prop::option::weighted(0.2, any::<Index>());
    let zeros = prop_oneof![3 => Just(0u16), 1 => 1..9000u16];
    (any::<Index>(), any::<bool>(), flip, zeros, prop::option::of(head))
        .prop_map(|(cut, whole, flip, zeros, power)| Crash { cut, whole, flip, zeros, power })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (any::<bool>(), content()).prop_map(|(writer, content)| Action::Commit(writer, content)),
        3 => (-3..8i32).prop_map(Action::Turn),
        3 => (content(), crash()).prop_map(|(content, crash)| Action::Crash(content, crash)),
        1 => Just(Action::Reopen),
        1 => (1000..20_000u64).prop_map(Action::Retain),
    ]
}

/// What the archive must have.
#[derive(Default)]
struct Model {
    events: Vec<Event>,
    sticky: BTreeMap<u8, String>,
    positions: BTreeMap<u8, u8>,
    second: u32,
}

impl Model {
    fn apply(&mut self, content: &Content, ids: std::ops::Range<u32>, second: u32) {
        for id in ids {
            self.events.push(Event { id, second, sequence: self.events.len() as u64 });
        }
        for (key, value) in &content.sticky {
            self.sticky.insert(*key, format!("{key}={value}"));
        }
        self.positions.extend(content.position);
        self.second = self.second.max(second);
    }
}

struct Run {
    site: Site,
    writers: [Archive; 2],
    now: u32,
    ids: u32,
    model: Model,
    follower: Reader,
    followed: Seen,
    heads: Vec<Vec<u8>>,
}

impl Run {
    fn new() -> Self {
        let mut site = Site::new();
        site.segment_bytes = 4000;
        site.segment_seconds = 10;
        let writers = [site.open(), site.open()];
        let follower = site.reader(Start::Genesis);
        Run {
            site,
            writers,
            now: 1000,
            ids: 0,
            model: Model::default(),
            follower,
            followed: Seen::default(),
            heads: vec![],
        }
    }

    fn batch(&mut self, content: &Content) -> (Batch, std::ops::Range<u32>) {
        let mut batch = Batch::new();
        let first = self.ids;
        for size in &content.events {
            batch.push_event(&event(self.ids, *size)).unwrap();
            self.ids += 1;
        }
        for (key, value) in &content.sticky {
            batch.push_sticky(&[*key], &note(&format!("{key}={value}"))).unwrap();
        }
        if let Some((source, position)) = content.position {
            batch.set_position(&[source], &[position]).unwrap();
        }
        (batch, first..self.ids)
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Commit(writer, content) => {
                let (mut batch, ids) = self.batch(content);
                let commit = self.writers[usize::from(*writer)].commit(&mut batch).unwrap();
                assert_eq!(commit.second, self.now.max(self.model.second));
                assert_eq!(commit.first_sequence, self.model.events.len() as u64);
                if commit.bytes > 0 {
                    self.model.apply(content, ids, commit.second);
                    self.heads.push(self.site.head_bytes());
                }
            }
            Action::Turn(by) => {
                self.now = self.now.saturating_add_signed(*by);
                self.site.at(self.now);
            }
            Action::Crash(content, crash) => self.crash(content, crash),
            Action::Reopen => self.reopen(),
            Action::Retain(bytes) => {
                // The follower has read everything, so it misses nothing.
                self.site.retain(Keep { bytes: Some(*bytes), ..Keep::default() });
            }
        }
    }

    /// A commit is made, and then everything is set back to what the disk would have if its writer had died.
    fn crash(&mut self, content: &Content, crash: &Crash) {
        let before = self.site.head();
        let head = before.map(|_| self.site.head_bytes());
        let (mut batch, ids) = self.batch(content);
        let mut victim = self.site.open();
        let commit = victim.commit(&mut batch).unwrap();
        drop(victim);
        if commit.bytes == 0 {
            return;
        }
        let after = self.site.head().unwrap();
        let path = self.site.segment(after.segment);
        let rolled = before.is_none_or(|before| before.segment != after.segment);
        let start = if rolled { 0 } else { before.unwrap().offset };

        let mut end = start + crash.cut.index((after.offset - start) as usize + 1) as u64;
        if crash.whole {
            end = after.offset;
        }
        let whole = fs::read(&path).unwrap();
        cut(&path, end);
        if let Some(flipped) = crash.flip.filter(|_| end > start) {
            flip(&path, start + flipped.index((end - start) as usize) as u64);
        }
        if crash.zeros > 0 {
            overwrite(&path, end, &vec![0; usize::from(crash.zeros)]);
        }
        // Zeros may be what was to be written. A damaged segment header does no harm.
        let survives = fs::read(&path).unwrap().get(24..whole.len()) == whole.get(24..);
        match (head, crash.power) {
            (None, _) | (_, Some(LostHead::Removed)) => fs::remove_file(self.site.dir().join("head")).unwrap(),
            (Some(head), power) => {
                let mut head = match power {
                    Some(LostHead::Stale(n)) if !self.heads.is_empty() => {
                        self.heads[usize::from(n) % self.heads.len()].clone()
                    }
                    _ => head,
                };
                if rolled {
                    head[32..36].copy_from_slice(&after.segment.to_be_bytes());
                    let crc = crc32c::crc32c(&head[..36]);
                    head[36..].copy_from_slice(&crc.to_be_bytes());
                }
                if matches!(power, Some(LostHead::Corrupt)) {
                    head[20] ^= 1;
                }
                self.site.set_head(&head);
            }
        }
        if crash.power.is_some() {
            self.reopen();
        } else {
            // The other writer notices by itself.
            self.writers[0].position(b"").unwrap();
        }
        if survives {
            self.model.apply(content, ids, commit.second);
        }
        if self.site.head().is_some() {
            self.heads.push(self.site.head_bytes());
        }
    }

    fn reopen(&mut self) {
        self.writers = [self.site.open(), self.site.open()];
    }

    fn check(&mut self) {
        let more = drain(&mut self.follower);
        assert_eq!(more.lost, []);
        self.followed.events.extend(more.events);
        self.followed.sticky.extend(more.sticky);
        assert_eq!(self.followed.events, self.model.events, "a follower gets each event once, in order");
        assert_eq!(newest(&self.followed), self.model.sticky);
        for writer in &mut self.writers {
            for source in 0..2 {
                let want = self.model.positions.get(&source).map(|position| vec![*position]);
                assert_eq!(writer.position(&[source]).unwrap(), want);
            }
        }
    }

    /// From every start second.
    fn check_starts(&self) {
        let Some((oldest, newest_second)) = archive::span(self.site.root(), NETMAP).unwrap() else {
            assert!(self.model.events.is_empty());
            return;
        };
        assert_eq!(newest_second, self.model.second);
        let seconds: BTreeSet<u32> = self.model.events.iter().map(|event| event.second).collect();
        let starts = seconds.iter().flat_map(|s| [s - 1, *s, s + 1]).chain([0, newest_second, newest_second + 1]);
        for start in starts {
            let seen = self.site.read(Start::Second(start));
            assert_eq!(seen.lost, []);
            let from = if start > newest_second { u32::MAX } else { start.max(oldest) };
            let want: Vec<_> = self.model.events.iter().filter(|event| event.second >= from).copied().collect();
            assert_eq!(seen.events, want, "from {start}");
            assert_eq!(newest(&seen), self.model.sticky, "from {start}");
        }
        assert_eq!(newest(&self.site.read(Start::Now)), self.model.sticky);
        let genesis = self.site.read(Start::Genesis).events;
        assert!(genesis.iter().eq(self.model.events.iter().filter(|event| event.second >= oldest)));
    }
}

impl Run {
    /// K1, K3: whatever crashed when, an examination finds no loss, and a repair leaves everything as it is.
    fn check_examined(&mut self) {
        let root = self.site.root().to_owned();
        if !self.site.dir().is_dir() {
            return;
        }
        let examine = |worst: Option<archive::Severity>| {
            let mut found = Vec::new();
            let rest = archive::check(&root, NETMAP, &mut |_| None, |checked| found.extend(checked.findings)).unwrap();
            found.extend(rest);
            assert!(found.iter().map(|finding| finding.what.severity()).max() <= worst, "{found:?}");
        };
        examine(Some(archive::Severity::Curable));
        let before = self.site.read(Start::Genesis);
        archive::repair(&root, NETMAP, true, &mut |_| {}).unwrap();
        examine(None);
        assert_eq!(self.site.read(Start::Genesis).events, before.events);
    }
}

fn newest(seen: &Seen) -> BTreeMap<u8, String> {
    seen.sticky.iter().map(|sticky| (sticky.text.as_bytes()[0] - b'0', sticky.text.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::default() })]

    /// Whatever was committed is read back once and in order, from every second; whatever was not is not there; and
    /// after the crashes a commit still gets through.
    #[test]
    fn archive_is_a_list(actions in prop::collection::vec(action(), 1..40)) {
        let mut run = Run::new();
        for action in &actions {
            run.act(action);
            run.check();
        }
        run.check_starts();
        run.check_examined();
        run.act(&Action::Commit(true, Content { events: vec![4], sticky: vec![(0, 9)], position: None }));
        run.check();
        assert!(length(&run.site.segment(run.site.head().unwrap().segment)) > 24);
    }
}
