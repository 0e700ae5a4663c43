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

/// Clients that can be told at the same time that there is no room; the others are closed without a word.
const REFUSALS: usize = 16;

/// All connections. Those whose handshake is not done are counted for themselves: strangers that connect and say nothing
/// take no places away from clients, and are closed when there are too many of them, the one that waits longest first.
#[derive(Debug, Default)]
pub(crate) struct Table {
    inner: Mutex<Inner>,
    accepted: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    last: u32,
    arrivals: u64,
    slots: FxHashMap<u32, Slot>,
    /// Connections that are no sessions yet, in the order they came in.
    waiting: BTreeMap<u64, u32>,
    sessions: u32,
    addresses: FxHashMap<IpAddr, Counts>,
}

/// The connections of an address.
#[derive(Debug, Default)]
struct Counts {
    all: u32,
    waiting: u32,
    sessions: u32,
}

#[derive(Debug)]
struct Slot {
    peer: SocketAddr,
    connected: SystemTime,
    arrival: u64,
    session: bool,
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
    /// It has not finished its handshake, and others wait for their turn.
    Crowded,
}

/// Why a connection is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// There are so many sessions.
    Total(u32),
    /// There are so many sessions from its address.
    Address(u32),
}

impl Full {
    /// What the client is told.
    pub(crate) fn sentence(self) -> String {
        match self {
            Full::Total(limit) => format!("The server has {limit} connections already; try again later."),
            Full::Address(limit) => {
                format!("The server has {limit} connections from this address already; try again later.")
            }
        }
    }

    /// What the log says, with the setting that decides.
    pub(crate) fn because(self, address: IpAddr) -> String {
        match self {
            Full::Total(limit) => format!("there are {limit} connections already (max_connections)"),
            Full::Address(limit) => {
                format!("there are {limit} connections from {address} already (max_connections_per_address)")
            }
        }
    }
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
    /// Lets a connection in as far as the handshake. When too many are there, in all or from its address, the oldest of
    /// them gives way. `Err` when there is no room for a session, and so many are being told so that one more cannot be.
    pub(crate) fn admit(self: &Arc<Self>, peer: SocketAddr, settings: &Settings) -> Result<Entry, Full> {
        let address = peer.ip();
        let mut inner = self.lock();
        if let Some(full) = inner.full(address, settings)
            && inner.waiting.len() >= REFUSALS
        {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(full);
        }
        inner.make_room(address, settings);
        loop {
            inner.last = inner.last.wrapping_add(1).max(1);
            if !inner.slots.contains_key(&inner.last) {
                break;
            }
        }
        let number = inner.last;
        inner.arrivals += 1;
        let (sender, stop) = watch::channel(None);
        let progress = Arc::new(Progress::default());
        let slot = Slot {
            peer,
            connected: SystemTime::now(),
            arrival: inner.arrivals,
            session: false,
            progress: progress.clone(),
            stop: sender,
        };
        inner.waiting.insert(slot.arrival, number);
        inner.slots.insert(number, slot);
        let counts = inner.addresses.entry(address).or_default();
        counts.all += 1;
        counts.waiting += 1;
        let known = counts.all > 1;
        drop(inner);
        let parent = Speaker::parent_of(number, peer);
        if !known {
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

    /// Makes a session of a connection whose handshake is done, if there is room.
    fn enter(&self, entry: &Entry, settings: &Settings) -> Result<(), Full> {
        let mut inner = self.lock();
        if let Some(full) = inner.full(entry.address, settings) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(full);
        }
        inner.leave_waiting(entry.number);
        inner.sessions += 1;
        if let Some(slot) = inner.slots.get_mut(&entry.number) {
            slot.session = true;
            // It was to give way, and is done in that very moment.
            slot.stop.send_if_modified(|stop| stop.take_if(|stop| *stop == Stop::Crowded).is_some());
        }
        inner.addresses.entry(entry.address).or_default().sessions += 1;
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Why there is no room for one more session.
    fn full(&self, address: IpAddr, settings: &Settings) -> Option<Full> {
        let sessions = self.addresses.get(&address).map_or(0, |counts| counts.sessions);
        if self.sessions >= settings.max_connections {
            return Some(Full::Total(settings.max_connections));
        }
        let limit = settings.max_connections_per_address;
        (sessions >= limit).then_some(Full::Address(limit))
    }

    /// Closes a connection that is no session yet, where there are too many of these.
    fn make_room(&mut self, address: IpAddr, settings: &Settings) {
        let waiting = self.addresses.get(&address).map_or(0, |counts| counts.waiting);
        let oldest = if self.waiting.len() >= settings.max_handshakes as usize {
            self.waiting.values().next().copied()
        } else if waiting >= settings.max_connections_per_address.max(REFUSALS as u32) {
            let here = |number: &&u32| self.slots.get(number).is_some_and(|slot| slot.peer.ip() == address);
            self.waiting.values().find(here).copied()
        } else {
            None
        };
        if let Some(number) = oldest {
            self.leave_waiting(number);
            if let Some(slot) = self.slots.get(&number) {
                slot.stop.send_replace(Some(Stop::Crowded));
            }
        }
    }

    fn leave_waiting(&mut self, number: u32) {
        let Some(slot) = self.slots.get(&number) else { return };
        if self.waiting.remove(&slot.arrival).is_some()
            && let Some(counts) = self.addresses.get_mut(&slot.peer.ip())
        {
            counts.waiting = counts.waiting.saturating_sub(1);
        }
    }
}

impl Entry {
    /// Makes a session of this connection, whose handshake is done, if there is room.
    pub(crate) fn enter(&self, settings: &Settings) -> Result<(), Full> {
        self.table.enter(self, settings)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut inner = self.table.lock();
        inner.leave_waiting(self.number);
        let session = inner.slots.remove(&self.number).is_some_and(|slot| slot.session);
        inner.sessions = inner.sessions.saturating_sub(u32::from(session));
        if let Some(counts) = inner.addresses.get_mut(&self.address) {
            counts.all = counts.all.saturating_sub(1);
            counts.sessions = counts.sessions.saturating_sub(u32::from(session));
            if counts.all == 0 {
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
        let admit = |a: &str| table.admit(a.parse().unwrap(), &settings).unwrap();
        let enter = |entry: Entry| entry.enter(&settings).map(|()| entry);
        let first = enter(admit("192.0.2.1:1000")).unwrap();
        let second = enter(admit("192.0.2.1:1001")).unwrap();
        assert_eq!((first.number, second.number), (1, 2));
        assert_eq!(enter(admit("192.0.2.1:1002")).unwrap_err(), Full::Address(2));
        let _third = enter(admit("[2001:db8::1]:1")).unwrap();
        assert_eq!(enter(admit("[2001:db8::2]:1")).unwrap_err(), Full::Total(3));
        drop(first);
        let again = enter(admit("192.0.2.1:1003")).unwrap();
        assert_eq!(again.number, 6);
        let stats = table.stats(0, |_| 0);
        assert_eq!((stats.accepted, stats.refused, stats.sessions.len()), (4, 2, 3));
        // So many can be told so; the others are not let in as far as that.
        let told: Vec<_> = (0..REFUSALS).map(|_| admit("192.0.2.7:1")).collect();
        assert_eq!(table.admit("192.0.2.7:1".parse().unwrap(), &settings).unwrap_err(), Full::Total(3));
        drop(told);
        drop((second, again));
        enter(admit("192.0.2.7:1")).unwrap();
    }

    #[test]
    fn who_waits_longest_for_its_handshake_gives_way() {
        let table = Arc::new(Table::default());
        let settings = Settings { max_handshakes: 20, max_connections_per_address: 2, ..Settings::default() };
        let admit = |a: &str| table.admit(a.parse().unwrap(), &settings).unwrap();
        let good = admit("192.0.2.9:1");
        good.enter(&settings).unwrap();
        // Sixteen from one address, although only two may have sessions: some may be about to be refused.
        let silent: Vec<_> = (0..REFUSALS).map(|_| admit("192.0.2.1:1")).collect();
        assert!(silent.iter().all(|entry| entry.stop.borrow().is_none()));
        let _one_more = admit("192.0.2.1:2");
        let stopped = |entries: &[Entry]| entries.iter().filter(|e| *e.stop.borrow() == Some(Stop::Crowded)).count();
        assert_eq!((stopped(&silent[..1]), stopped(&silent)), (1, 1));
        let others: Vec<_> = (0..8).map(|n| admit(&format!("192.0.2.2:{n}"))).collect();
        assert_eq!((stopped(&silent), stopped(&others)), (5, 0), "sixteen and four are twenty");
        assert_eq!(*good.stop.borrow(), None);
        // Who is done in that very moment stays.
        silent[0].enter(&settings).unwrap();
        assert_eq!(*silent[0].stop.borrow(), None);
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
