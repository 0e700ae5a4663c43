//! The hosts of one netmap as the mapper works on them: in memory as far as there is room, else from the database.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, params};
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Error, Result};
use crate::host::{Address, Host};
use crate::rows;

/// Hosts that are kept in memory after they were written. A host with a few servers takes some 2 KB.
const KEEP: usize = 20_000;

/// Addresses of which it is remembered whose they are, or that they are nobody's.
const KEEP_ADDRESSES: usize = 200_000;

/// Row numbers of a netmap begin with its number.
const NUMBERS: u32 = 40;

/// Hosts of one netmap.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) db: Connection,
    pub(crate) path: PathBuf,
    pub(crate) netmap: u32,
    hosts: FxHashMap<i64, Host>,
    /// Whoever is in the network chooses addresses, so this is hashed with a secret.
    addresses: HashMap<[u8; 16], Option<i64>>,
    touched: HashSet<i64>,
    removed: BTreeSet<i64>,
    /// Hosts that are written, those heard of longest ago first, with when that was.
    oldest: VecDeque<(u32, i64)>,
    next: i64,
    /// Hosts there are.
    pub(crate) count: u64,
}

impl Memory {
    pub(crate) fn open(path: &Path, netmap: u32) -> Result<Memory> {
        let db = crate::db::open(path)?;
        let failed = Error::database(path);
        let first = i64::from(netmap) << NUMBERS;
        let (next, count): (i64, i64) = db
            .query_row(
                "SELECT coalesce(max(id), ?1) + 1, count(*) FROM host WHERE id >= ?1 AND id < ?2",
                params![first, first + (1 << NUMBERS)],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .map_err(&failed)?;
        Ok(Memory {
            db,
            path: path.to_owned(),
            netmap,
            hosts: FxHashMap::default(),
            addresses: HashMap::new(),
            touched: HashSet::new(),
            removed: BTreeSet::new(),
            oldest: VecDeque::new(),
            next,
            count: count.unsigned_abs(),
        })
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> Error + use<> {
        Error::database(&self.path)
    }

    /// Forgets what is in memory and not written, for one whose transaction failed.
    pub(crate) fn forget(&mut self) -> Result<()> {
        let again = Memory::open(&self.path, self.netmap)?;
        *self = again;
        Ok(())
    }

    /// Whose address this is.
    pub(crate) fn find(&mut self, address: &[u8; 16]) -> Result<Option<i64>> {
        if let Some(known) = self.addresses.get(address) {
            return Ok(*known);
        }
        let found = rows::by_address(&self.db, self.netmap, address).map_err(self.failed())?;
        // A host that was removed is still in the database until that is written.
        let found = found.filter(|id| !self.removed.contains(id));
        self.addresses.insert(*address, found);
        Ok(found)
    }

    /// A host to be looked at.
    pub(crate) fn host(&mut self, id: i64) -> Result<Option<&Host>> {
        self.load(id)?;
        Ok(self.hosts.get(&id))
    }

    /// A host to be changed.
    pub(crate) fn change(&mut self, id: i64) -> Result<Option<&mut Host>> {
        self.load(id)?;
        self.touched.insert(id);
        Ok(self.hosts.get_mut(&id))
    }

    fn load(&mut self, id: i64) -> Result<()> {
        if !self.hosts.contains_key(&id)
            && !self.removed.contains(&id)
            && let Some(host) = rows::load(&self.db, id).map_err(self.failed())?
        {
            self.hosts.insert(id, host);
        }
        Ok(())
    }

    /// Makes a host.
    pub(crate) fn create(&mut self, address: [u8; 16], second: u32) -> i64 {
        let id = self.next;
        self.next += 1;
        self.count += 1;
        let seed = [&id.to_be_bytes()[..], &address, &second.to_be_bytes()].concat();
        let host = Host {
            id,
            uid: xxh3_128(&seed).to_be_bytes(),
            first_seen: second,
            last_seen: second,
            quiet: true,
            addresses: vec![Address { address, last_seen: second, dirty: true }],
            dirty: true,
            ..Host::default()
        };
        self.hosts.insert(id, host);
        self.addresses.insert(address, Some(id));
        self.touched.insert(id);
        id
    }

    /// Says whose an address is from now on.
    pub(crate) fn assign(&mut self, address: [u8; 16], host: Option<i64>) {
        self.addresses.insert(address, host);
    }

    /// Removes a host.
    pub(crate) fn remove(&mut self, id: i64) -> Result<()> {
        self.load(id)?;
        if let Some(host) = self.hosts.remove(&id) {
            self.count = self.count.saturating_sub(1);
            for address in &host.addresses {
                if self.addresses.get(&address.address).is_none_or(|owner| *owner == Some(id)) {
                    self.addresses.insert(address.address, None);
                }
            }
            self.touched.remove(&id);
            self.removed.insert(id);
        }
        Ok(())
    }

    /// Hosts that have a MAC address, and whether it is confirmed, by rising number.
    pub(crate) fn by_mac(&mut self, mac: &[u8; 6]) -> Result<Vec<(i64, bool)>> {
        let written = rows::by_mac(&self.db, self.netmap, mac).map_err(self.failed())?;
        let mut found: BTreeMap<i64, bool> = written.into_iter().filter(|(id, _)| !self.removed.contains(id)).collect();
        // What is not written yet counts.
        for id in &self.touched {
            let known = self.hosts.get(id).and_then(|host| host.macs.iter().find(|m| m.mac == *mac));
            match known {
                Some(known) => found.insert(*id, known.primary),
                None => found.remove(id),
            };
        }
        Ok(found.into_iter().collect())
    }

    /// The hosts that were told of before a second, at most a thousand, those heard of longest ago first. Everything must
    /// be written.
    pub(crate) fn silent(&self, before: u32) -> Result<Vec<i64>> {
        let sql = "SELECT id FROM host WHERE netmap = ? AND heard < ? ORDER BY heard, id LIMIT 1000";
        self.ids(sql, before)
    }

    /// Hosts with servers or client applications that were not told of since a second, at most a thousand. Everything must
    /// be written.
    pub(crate) fn stale(&self, before: u32) -> Result<Vec<i64>> {
        let sql = "SELECT s.host FROM server s JOIN host h ON h.id = s.host WHERE h.netmap = ?1 AND s.heard < ?2 UNION
                   SELECT c.host FROM client c JOIN host h ON h.id = c.host WHERE h.netmap = ?1 AND c.heard < ?2
                   ORDER BY 1 LIMIT 1000";
        self.ids(sql, before)
    }

    fn ids(&self, sql: &str, before: u32) -> Result<Vec<i64>> {
        let ids = || {
            let mut statement = self.db.prepare_cached(sql)?;
            let rows = statement.query_map(params![self.netmap, before], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<Vec<i64>>>()
        };
        ids().map_err(self.failed())
    }

    /// The host that was not told of for the longest time.
    pub(crate) fn oldest(&mut self) -> Result<Option<i64>> {
        if self.oldest.is_empty() {
            let written = || {
                // Those that were told of since are in memory; of the others the first is the oldest.
                let sql = "SELECT id, heard FROM host WHERE netmap = ? ORDER BY heard, id LIMIT ?";
                let mut statement = self.db.prepare_cached(sql)?;
                let limit = i64::try_from(self.touched.len() + self.removed.len() + 1000).unwrap_or(i64::MAX);
                let rows = statement.query_map(params![self.netmap, limit], |row| Ok((row.get(1)?, row.get(0)?)))?;
                rows.collect::<rusqlite::Result<VecDeque<(u32, i64)>>>()
            };
            self.oldest = written().map_err(self.failed())?;
        }
        while self.oldest.front().is_some_and(|(_, id)| self.removed.contains(id) || self.touched.contains(id)) {
            self.oldest.pop_front();
        }
        let touched = || self.touched.iter().filter_map(|id| self.hosts.get(id).map(|host| (host.heard, *id))).min();
        Ok(self.oldest.front().copied().or_else(touched).map(|(_, id)| id))
    }

    /// Whether there is something to write.
    pub(crate) fn changed(&self) -> bool {
        !self.touched.is_empty() || !self.removed.is_empty()
    }

    /// Writes what has changed in a transaction of its database.
    pub(crate) fn save(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        for id in &self.removed {
            rows::remove(transaction, *id)?;
        }
        let mut touched: Vec<&i64> = self.touched.iter().collect();
        touched.sort_unstable();
        touched
            .into_iter()
            .filter_map(|id| self.hosts.get(id))
            .try_for_each(|h| rows::save(transaction, self.netmap, h))
    }

    /// After the transaction: everything is written.
    pub(crate) fn saved(&mut self) {
        for id in self.touched.drain() {
            if let Some(host) = self.hosts.get_mut(&id) {
                host.written();
            }
        }
        self.removed.clear();
        self.oldest.clear();
        if self.hosts.len() > KEEP {
            self.hosts.clear();
        }
        if self.addresses.len() > KEEP_ADDRESSES {
            self.addresses.clear();
        }
    }
}
