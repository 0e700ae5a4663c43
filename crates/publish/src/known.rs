//! The ids of callers that an archive has seen, so that each is accepted once.
//!
//! They are kept in the archive itself, as positions of the same commit as the records they belong to: what is known is
//! there, and what is there is known, whoever dies when. A position has at most 64 KiB and is written whole, so ids lie on
//! pages. The page that is being filled is written with each commit; when all pages are full, the oldest is overwritten.

use sensors::feed::{Feed, FeedError};
use std::collections::{BTreeSet, HashSet};
use xxhash_rust::xxh3::xxh3_128;

/// Pages of a source.
const PAGES: usize = 64;

/// Ids on a page.
const PER_PAGE: usize = 1024;

/// How many ids of a source are known at least: the newest ones.
pub const KNOWN_IDS: usize = (PAGES - 1) * PER_PAGE;

/// First octet of a page, its version.
const VERSION: u8 = 1;

#[derive(Debug, Default)]
struct Page {
    /// Rises from page to page; its remainder is the place.
    generation: u64,
    ids: Vec<u128>,
}

/// The ids of one source.
#[derive(Debug)]
pub(crate) struct Known {
    source: String,
    pages: Vec<Page>,
    generation: u64,
    ids: HashSet<u128>,
    /// Pages that changed since they were last written.
    changed: BTreeSet<usize>,
}

impl Known {
    /// What the archive knows of a source.
    pub(crate) fn load(source: &str, feed: &mut Feed) -> Result<Known, FeedError> {
        let mut known = Known {
            source: source.to_owned(),
            pages: (0..PAGES).map(|_| Page::default()).collect(),
            generation: 0,
            ids: HashSet::new(),
            changed: BTreeSet::new(),
        };
        for (place, page) in known.pages.iter_mut().enumerate() {
            let stored = feed.committed_position_of(name(source, place).as_bytes())?;
            if let Some(found) = stored.as_deref().and_then(decode) {
                known.generation = known.generation.max(found.generation);
                known.ids.extend(&found.ids);
                *page = found;
            }
        }
        Ok(known)
    }

    /// Takes an id down; `false` when it was known.
    pub(crate) fn insert(&mut self, id: &str) -> bool {
        let id = xxh3_128(id.as_bytes());
        if !self.ids.insert(id) {
            return false;
        }
        if self.pages.get(self.place()).is_none_or(|page| page.ids.len() >= PER_PAGE) {
            self.generation += 1;
            let place = self.place();
            if let Some(page) = self.pages.get_mut(place) {
                page.ids.iter().for_each(|old| {
                    self.ids.remove(old);
                });
                *page = Page { generation: self.generation, ids: Vec::new() };
            }
        }
        let place = self.place();
        if let Some(page) = self.pages.get_mut(place) {
            page.generation = self.generation;
            page.ids.push(id);
        }
        self.changed.insert(place);
        true
    }

    /// Gives what has changed to the next commit.
    pub(crate) fn save(&mut self, feed: &mut Feed) -> Result<(), FeedError> {
        for place in std::mem::take(&mut self.changed) {
            if let Some(page) = self.pages.get(place) {
                feed.position_of(name(&self.source, place).as_bytes(), &encode(page))?;
            }
        }
        Ok(())
    }

    fn place(&self) -> usize {
        // The remainder is less than the number of pages.
        (self.generation % PAGES as u64) as usize
    }
}

/// The name under which the archive keeps a page.
fn name(source: &str, place: usize) -> String {
    format!("publish:{source}:ids:{place}")
}

fn encode(page: &Page) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&page.generation.to_be_bytes());
    page.ids.iter().for_each(|id| out.extend_from_slice(&id.to_be_bytes()));
    out
}

fn decode(bytes: &[u8]) -> Option<Page> {
    let (version, rest) = bytes.split_first()?;
    let (generation, rest) = rest.split_first_chunk()?;
    let (ids, rest) = rest.as_chunks();
    let right = *version == VERSION && rest.is_empty() && ids.len() <= PER_PAGE;
    let ids = ids.iter().map(|id| u128::from_be_bytes(*id)).collect();
    right.then_some(Page { generation: u64::from_be_bytes(*generation), ids })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sensors::feed::Limits;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn the_newest_ids_are_known_after_a_restart_and_older_ones_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let feed = || Feed::open(dir.path(), 0, b"publish:test", Limits::default()).unwrap();
        let mut first = feed();
        let mut known = Known::load("test", &mut first).unwrap();
        let total = PAGES * PER_PAGE + 10;
        for i in 0..total {
            assert!(known.insert(&i.to_string()));
            assert!(!known.insert(&i.to_string()));
            if i % 10_000 == 0 {
                known.save(&mut first).unwrap();
                first.commit(&AtomicBool::new(false)).unwrap();
            }
        }
        known.save(&mut first).unwrap();
        first.commit(&AtomicBool::new(false)).unwrap();
        assert!(known.insert("never committed"));
        drop(first);

        let mut second = feed();
        let mut known = Known::load("test", &mut second).unwrap();
        assert!(!known.insert(&(total - KNOWN_IDS).to_string()));
        assert!(!known.insert(&(total - 1).to_string()));
        assert!(known.ids.len() <= PAGES * PER_PAGE);
        assert!(known.insert("0"), "the oldest page was overwritten");
        assert!(known.insert("never committed"));
        let mut other = Known::load("other", &mut second).unwrap();
        assert!(other.insert("5000"), "each source has ids of its own");
    }
}
