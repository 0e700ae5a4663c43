//! Sets of management centers that hold the same events: each event is delivered once, whichever of them sends it first.
//!
//! In a high-availability pair both members get every event of the devices and archive it on their own: the records are
//! the same but for the archival timestamp. The collector reads all members at once and counts, for the content of each
//! record, how often each member has sent it. An event is new when a member sends it more often than any other has.
//! Once all members have sent it equally often it is forgotten, so while all are alive little is remembered. While one is
//! away, what the others send is remembered for it, durably, for as long as [`Limits::age`].
//!
//! Decisions are made in the order of delivery and stored in the same transaction as the positions of the members: after
//! a crash they are what they were.

use rustc_hash::{FxHashMap, FxHashSet};

/// The most members of a set.
pub const MEMBERS: usize = 4;

/// How much is remembered for members that are away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For how long, in seconds of archival time.
    pub age: u32,
    /// How many records. They take some 32 bytes of memory each.
    pub records: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { age: 86_400, records: 10_000_000 }
    }
}

/// How often each member has sent a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Archival second at which it was first seen.
    pub second: u32,
    /// By member.
    pub counts: [u8; MEMBERS],
}

/// Changes of what was seen, by content; `None` is to be forgotten.
pub type SeenChanges = Vec<(u64, Option<Seen>)>;

/// What the members of a set have sent.
#[derive(Debug)]
pub struct Twins {
    members: usize,
    limits: Limits,
    open: FxHashMap<u64, Seen>,
    /// Of the metadata: hash of the content by what it names.
    names: FxHashMap<Vec<u8>, u64>,
    changed: FxHashSet<u64>,
    newest: u32,
    /// Everything older has been forgotten.
    oldest: u32,
}

impl Twins {
    /// Goes on with what was stored. `members` is the number of them.
    pub fn new(members: usize, limits: Limits, stored: impl IntoIterator<Item = (u64, Seen)>) -> Self {
        let open: FxHashMap<u64, Seen> = stored.into_iter().collect();
        let newest = open.values().map(|s| s.second).max().unwrap_or(0);
        Twins {
            members: members.clamp(1, MEMBERS),
            limits,
            open,
            names: FxHashMap::default(),
            changed: FxHashSet::default(),
            newest,
            oldest: 0,
        }
    }

    /// Whether an event is new: the member sends it more often than any other has.
    pub fn is_new(&mut self, member: usize, content: u64, second: u32) -> bool {
        self.newest = self.newest.max(second);
        let seen = self.open.entry(content).or_insert(Seen { second, counts: [0; MEMBERS] });
        let most = seen.counts.iter().copied().max().unwrap_or(0);
        // Hundreds of equal records within a day are not told apart any more: better twice than never.
        let Some(count) = seen.counts.get_mut(member).filter(|count| **count < u8::MAX) else { return true };
        *count += 1;
        let new = *count > most;
        let counts = seen.counts.get(..self.members).unwrap_or_default();
        if counts.iter().all(|c| Some(c) == counts.first()) {
            self.open.remove(&content);
        }
        self.changed.insert(content);
        new
    }

    /// Whether metadata is new: no member has said the same last.
    pub fn is_news(&mut self, key: &[u8], content: u64) -> bool {
        match self.names.get_mut(key) {
            Some(known) if *known == content => false,
            Some(known) => {
                *known = content;
                true
            }
            None => {
                self.names.insert(key.to_vec(), content);
                true
            }
        }
    }

    /// What has changed since the last call.
    pub fn changes(&mut self) -> SeenChanges {
        self.expire();
        let open = &self.open;
        self.changed.drain().map(|content| (content, open.get(&content).copied())).collect()
    }

    /// How many records are remembered.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Forgets what is too old or too much.
    fn expire(&mut self) {
        let mut until = self.newest.saturating_sub(self.limits.age);
        // A minute at a time: looking at all of them is not for every checkpoint.
        let late = until > self.oldest.saturating_add(60);
        let many = self.open.len() > self.limits.records;
        if !late && !many {
            return;
        }
        if many {
            let mut seconds: Vec<u32> = self.open.values().map(|s| s.second).collect();
            let excess = self.open.len() - self.limits.records + self.limits.records / 16;
            let at = excess.min(seconds.len() - 1);
            until = until.max(seconds.select_nth_unstable(at).1.saturating_add(1));
            tracing::warn!(
                "a member of a set has been away for too long: what the others sent before second {until} is forgotten and \
                 comes twice if that member still has it"
            );
        }
        self.oldest = until;
        let changed = &mut self.changed;
        self.open.retain(|content, seen| {
            let keep = seen.second >= until;
            if !keep {
                changed.insert(*content);
            }
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_event_is_new_once_and_forgotten_when_all_have_sent_it() {
        let mut twins = Twins::new(2, Limits::default(), []);
        assert!(twins.is_new(0, 7, 100));
        assert!(!twins.is_new(1, 7, 103));
        assert!(twins.is_empty());
        // Twice in each of them is two events.
        let news = [(1, true), (1, true), (0, false), (0, false)];
        for (member, new) in news {
            assert_eq!(twins.is_new(member, 8, 104), new);
        }
        assert!(twins.is_empty());
        assert!(twins.changes().iter().all(|(_, seen)| seen.is_none()));
    }

    #[test]
    fn what_was_stored_goes_on() {
        let mut twins = Twins::new(2, Limits::default(), []);
        twins.is_new(0, 7, 100);
        let stored: Vec<(u64, Seen)> = twins.changes().into_iter().map(|(k, seen)| (k, seen.unwrap())).collect();
        let mut again = Twins::new(2, Limits::default(), stored);
        assert!(!again.is_new(1, 7, 200));
        assert_eq!(again.changes(), [(7, None)]);
    }

    #[test]
    fn memory_is_bounded_by_age_and_number() {
        let mut twins = Twins::new(2, Limits { age: 100, records: 1000 }, []);
        for i in 0..200 {
            twins.is_new(0, i, i as u32);
        }
        assert_eq!(twins.changes().iter().filter(|(_, seen)| seen.is_none()).count(), 99);
        assert_eq!(twins.len(), 101);
        let mut twins = Twins::new(2, Limits { age: 1_000_000, records: 1000 }, []);
        for i in 0..1001 {
            twins.is_new(0, i, i as u32);
        }
        twins.changes();
        assert!((900..=1000).contains(&twins.len()), "{}", twins.len());
        assert!(!twins.is_new(1, 1000, 2000), "the newest are kept");
    }

    #[test]
    fn metadata_is_news_when_it_says_something_else() {
        let mut twins = Twins::new(2, Limits::default(), []);
        let news = [(b"a", 1, true), (b"a", 1, false), (b"b", 1, true), (b"a", 2, true), (b"a", 2, false)];
        for (key, content, new) in news {
            assert_eq!(twins.is_news(key, content), new);
        }
    }

    proptest! {
        /// However the streams of the members interleave, each event comes as often as it is in the fullest of them.
        #[test]
        fn each_event_comes_as_often_as_one_member_has_it(
            sent in prop::collection::vec((0..3usize, 0..5u64), 0..200),
            restarts in prop::collection::vec(any::<bool>(), 200),
        ) {
            let mut twins = Twins::new(3, Limits::default(), []);
            let mut stored = FxHashMap::default();
            let (mut counts, mut delivered) = ([[0u32; 5]; 3], [0u32; 5]);
            for ((member, event), restart) in sent.iter().zip(&restarts) {
                counts[*member][*event as usize] += 1;
                delivered[*event as usize] += u32::from(twins.is_new(*member, *event, 1));
                for (content, seen) in twins.changes() {
                    match seen {
                        Some(seen) => stored.insert(content, seen),
                        None => stored.remove(&content),
                    };
                }
                if *restart {
                    twins = Twins::new(3, Limits::default(), stored.clone());
                }
            }
            for event in 0..5 {
                prop_assert_eq!(delivered[event], counts.iter().map(|c| c[event]).max().unwrap());
            }
        }
    }
}
