//! The host table: every connection, how many there may be, and how each is doing.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rustc_hash::FxHashMap;
use tokio::sync::watch;

use crate::log::{Speaker, say};
use crate::progress::{Progress, Stats};
use crate::settings::Settings;

/// Wait status of a child that died of a signal (6, abort): a connection that ended by a defect of this program.
const ABORTED: u32 = 6;

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Table {
    inner: Mutex<Inner>,
    accepted: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    last: u32,
    slots: FxHashMap<u32, Slot>,
    addresses: FxHashMap<IpAddr, u32>,
}

#[derive(Debug)]
struct Slot {
    peer: SocketAddr,
    connected: SystemTime,
    progress: Arc<Progress>,
    stop: watch::Sender<Option<Stop>>,
}

/// Why a connection is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The service shuts down.
    Shutdown,
    /// The client was removed from the list.
    Removed,
    /// An administrator ended this one session.
    Ended,
}

/// Why a connection is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Total(u32),
    Address(u32),
}

/// A connection's place in the table, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    table: Arc<Table>,
    pub(crate) number: u32,
    peer: SocketAddr,
    address: IpAddr,
    pub(crate) progress: Arc<Progress>,
    pub(crate) stop: watch::Receiver<Option<Stop>>,
    /// The wait status a child process would have.
    pub(crate) status: u32,
}

impl Table {
    /// Gives a connection a place, if there is one.
    pub(crate) fn admit(self: &Arc<Self>, peer: SocketAddr, settings: &Settings) -> Result<Entry, Full> {
        let address = peer.ip();
        let mut inner = self.lock();
        let known = inner.addresses.get(&address).copied().unwrap_or(0);
        let full = if inner.slots.len() >= settings.max_connections as usize {
            Some(Full::Total(settings.max_connections))
        } else {
            (known >= settings.max_connections_per_address)
                .then_some(Full::Address(settings.max_connections_per_address))
        };
        if let Some(full) = full {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(full);
        }
        self.accepted.fetch_add(1, Ordering::Relaxed);
        loop {
            inner.last = inner.last.wrapping_add(1).max(1);
            if !inner.slots.contains_key(&inner.last) {
                break;
            }
        }
        let number = inner.last;
        let (sender, stop) = watch::channel(None);
        let progress = Arc::new(Progress::default());
        let slot = Slot { peer, connected: SystemTime::now(), progress: progress.clone(), stop: sender };
        inner.slots.insert(number, slot);
        inner.addresses.insert(address, known + 1);
        drop(inner);
        let parent = Speaker::parent_of(number, peer);
        if known == 0 {
            say!(info, parent, "ConnectionHandler", "Added {address} to host table");
        }
        say!(info, parent, "ConnectionHandler", "Added {address}({number}) to host table");
        Ok(Entry { table: self.clone(), number, peer, address, progress, stop, status: ABORTED })
    }

    /// Tells all connections to end.
    pub(crate) fn stop_all(&self) {
        for slot in self.lock().slots.values() {
            slot.stop.send_replace(Some(Stop::Shutdown));
        }
    }

    /// Tells the connections to end whose client is not `listed` (by fingerprint).
    pub(crate) fn stop_unlisted(&self, listed: impl Fn(&str) -> bool) {
        for slot in self.lock().slots.values() {
            if slot.progress.fingerprint().is_some_and(|fingerprint| !listed(fingerprint)) {
                slot.stop.send_replace(Some(Stop::Removed));
            }
        }
    }

    /// Tells one connection to end; false when there is none of this number.
    pub(crate) fn stop(&self, number: u32) -> bool {
        match self.lock().slots.get(&number) {
            Some(slot) => {
                slot.stop.send_replace(Some(Stop::Ended));
                true
            }
            None => false,
        }
    }

    /// How many there are, and how many were let in.
    pub(crate) fn counts(&self) -> (usize, u64) {
        (self.lock().slots.len(), self.accepted.load(Ordering::Relaxed))
    }

    /// How all are doing; `committed` gives the archival second of the last commit of a netmap's archive, `netmap` is the
    /// one of the settings.
    pub(crate) fn stats(&self, netmap: u32, committed: impl Fn(u32) -> u32) -> Stats {
        let mut known = BTreeMap::from([(netmap, committed(netmap))]);
        let inner = self.lock();
        let stats = inner.slots.iter().map(|(number, s)| {
            let netmap = s.progress.netmap().unwrap_or(netmap);
            let committed = *known.entry(netmap).or_insert_with(|| committed(netmap));
            s.progress.stats(*number, s.peer, s.connected, committed)
        });
        let mut sessions: Vec<_> = stats.collect();
        drop(inner);
        sessions.sort_by_key(|s| (s.connected, s.number));
        Stats {
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            committed: known.get(&netmap).copied().unwrap_or(0),
            sessions,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut inner = self.table.lock();
        inner.slots.remove(&self.number);
        if let Some(count) = inner.addresses.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                inner.addresses.remove(&self.address);
            }
        }
        drop(inner);
        let parent = Speaker::parent_of(self.number, self.peer);
        say!(info, parent, "ConnectionHandler", "Child with pid {} exited with status {}", self.number, self.status);
        say!(info, parent, "ConnectionHandler", "Removed host entry for pid: {}", self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_limits_over_all_and_for_each_address() {
        let table = Arc::new(Table::default());
        let settings = Settings { max_connections: 3, max_connections_per_address: 2, ..Settings::default() };
        let admit = |a: &str| table.admit(a.parse().unwrap(), &settings);
        let first = admit("192.0.2.1:1000").unwrap();
        let second = admit("192.0.2.1:1001").unwrap();
        assert_eq!((first.number, second.number), (1, 2));
        assert_eq!(admit("192.0.2.1:1002").unwrap_err(), Full::Address(2));
        let _third = admit("[2001:db8::1]:1").unwrap();
        assert_eq!(admit("[2001:db8::2]:1").unwrap_err(), Full::Total(3));
        drop(first);
        let again = admit("192.0.2.1:1003").unwrap();
        assert_eq!(again.number, 4);
        let stats = table.stats(0, |_| 0);
        assert_eq!((stats.accepted, stats.refused, stats.sessions.len()), (4, 2, 3));
    }

    #[test]
    fn those_not_listed_are_stopped_and_strangers_are_not() {
        let table = Arc::new(Table::default());
        let settings = Settings::default();
        let new = || table.admit("192.0.2.1:1000".parse().unwrap(), &settings).unwrap();
        let (listed, removed, stranger) = (new(), new(), new());
        listed.progress.identify("a", "aa");
        removed.progress.identify("b", "bb");
        table.stop_unlisted(|f| f == "aa");
        assert_eq!((*listed.stop.borrow(), *removed.stop.borrow()), (None, Some(Stop::Removed)));
        table.stop_all();
        assert_eq!(*stranger.stop.borrow(), Some(Stop::Shutdown));
    }
}
