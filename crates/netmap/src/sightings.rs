//! What sensors see of hosts and no record can say: addresses resolved and leased, what servers and clients call themselves.
//!
//! A sensor puts sightings into a table of `map.db`; the mapper takes them from there in the transaction in which it learns
//! from them. They say what is, so one that comes twice changes nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::Error;

/// Sightings that wait, at most. There are as many only when no mapper runs.
const MOST_WAITING: i64 = 100_000;

/// Sightings a sensor keeps until there is a map.
const MOST_KEPT: usize = 5000;

/// The same thing is told again after this time.
const AGAIN: Duration = Duration::from_secs(300);

/// Sightings of which it is remembered when they were told.
const REMEMBERED: usize = 50_000;

/// Time between tries when the map cannot be used.
const RETRY: Duration = Duration::from_secs(5);

/// How long a sensor waits for a map that somebody else writes to. It must not be held up.
const BUSY: Duration = Duration::from_millis(500);

/// Something a sensor saw of a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sighting {
    /// The host.
    pub address: IpAddr,
    /// Device that saw it.
    pub device: u32,
    /// When, in Unix seconds.
    pub second: u32,
    /// What it saw.
    #[serde(flatten)]
    pub fact: Fact,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case")]
pub enum Fact {
    /// A frame came from, or went to, this MAC address: the host's, or that of a router.
    Frame {
        /// The MAC address.
        mac: [u8; 6],
    },
    /// The host said so itself, by ARP.
    Arp {
        /// The MAC address.
        mac: [u8; 6],
    },
    /// A DHCP server gave the address to this host.
    Dhcp {
        /// The MAC address.
        mac: [u8; 6],
        /// Seconds of the lease, 0 where nobody told.
        lease: u32,
    },
    /// What a client called itself in DHCP.
    DhcpClient {
        /// Host name, or empty.
        name: String,
        /// Vendor class, or empty.
        class: String,
    },
    /// What a server says of itself.
    Server {
        /// IP protocol: 6 TCP, 17 UDP.
        protocol: u8,
        /// Port.
        port: u16,
        /// Application protocol (metadata record 63).
        application: u32,
        /// `ssh` or `http`: how to read what it says.
        kind: Software,
        /// What it says: `OpenSSH_9.6p1 Debian-3`, `nginx/1.24.0`.
        software: String,
    },
    /// User agent of a request.
    UserAgent {
        /// All of it.
        agent: String,
    },
    /// What a client says of itself over SSH.
    SshClient {
        /// All of it.
        software: String,
    },
    /// Names a computer has in SMB.
    Smb {
        /// NetBIOS name, or empty.
        netbios: String,
        /// Native operating system, or empty.
        system: String,
    },
}

/// What kind of server software a text is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Software {
    /// SSH software version.
    Ssh,
    /// HTTP Server header.
    Http,
}

/// What became of sightings that were to be written.
enum Written {
    All,
    /// There is no map of this netmap in the file.
    NotYet,
    /// There is no file, or nobody takes them.
    NotWanted,
}

/// A sensor's way to the map of its netmap.
///
/// A map that is missing or cannot be used loses sightings and holds nobody up; the log says so once. Only while the file
/// has no map of this netmap yet they are kept.
#[derive(Debug)]
pub struct Sightings {
    path: PathBuf,
    netmap: u32,
    db: Option<Connection>,
    waiting: Vec<Sighting>,
    told: HashMap<u64, Instant>,
    tried: Option<Instant>,
    said: bool,
}

impl Sightings {
    /// Sightings for the map in this file. Nothing is opened yet, and nothing need be there.
    pub fn new(path: &Path, netmap: u32) -> Sightings {
        Sightings {
            path: path.to_owned(),
            netmap,
            db: None,
            waiting: Vec::new(),
            told: HashMap::new(),
            tried: None,
            said: false,
        }
    }

    /// Adds one, unless the same was told a few minutes ago.
    pub fn add(&mut self, sighting: Sighting) {
        let Ok(key) = serde_json::to_vec(&(sighting.address, sighting.device, &sighting.fact)) else { return };
        let key = xxh3_64(&key);
        if self.told.get(&key).is_some_and(|when| when.elapsed() < AGAIN) || self.waiting.len() >= REMEMBERED {
            return;
        }
        if self.told.len() >= REMEMBERED {
            self.told.clear();
        }
        self.told.insert(key, Instant::now());
        self.waiting.push(sighting);
    }

    /// Hands over what was added. A sensor does so before it commits the place up to which it has read.
    pub fn commit(&mut self) {
        if self.waiting.is_empty() || self.tried.is_some_and(|when| when.elapsed() < RETRY) {
            return;
        }
        match self.write() {
            Ok(Written::All) => (self.said, self.tried) = (false, None),
            // The archive is new: the service makes a map for it in a moment.
            Ok(Written::NotYet) if self.waiting.len() < MOST_KEPT => {
                self.tried = Some(Instant::now());
                return;
            }
            // There will be a map, or none is wanted.
            Ok(Written::NotYet | Written::NotWanted) => {
                self.tried = Some(Instant::now());
                self.told.clear();
            }
            Err(error) => {
                self.tried = Some(Instant::now());
                self.db = None;
                self.told.clear();
                if !std::mem::replace(&mut self.said, true) {
                    tracing::warn!(%error, "What this sensor sees of hosts does not get into the network map.");
                }
            }
        }
        self.waiting.clear();
    }

    fn write(&mut self) -> Result<Written, Error> {
        let failed = Error::database(&self.path);
        if self.db.is_none() {
            if !self.path.exists() {
                return Ok(Written::NotWanted);
            }
            let db = Connection::open_with_flags(&self.path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE);
            let db = db.map_err(&failed)?;
            db.busy_timeout(BUSY).map_err(&failed)?;
            // A sighting that is lost with the power comes again.
            db.pragma_update(None, "synchronous", "NORMAL").map_err(&failed)?;
            self.db = Some(db);
        }
        let Some(db) = &mut self.db else { return Ok(Written::NotWanted) };
        let mut write = || {
            let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let there = "SELECT count(*) FROM progress WHERE netmap = ?";
            if transaction.query_row(there, [self.netmap], |row| row.get::<_, i64>(0))? == 0 {
                return Ok(Written::NotYet);
            }
            let waiting = "SELECT coalesce(max(number) - min(number), 0) FROM sighting";
            if transaction.query_row(waiting, [], |row| row.get::<_, i64>(0))? >= MOST_WAITING {
                return Ok(Written::NotWanted);
            }
            for sighting in &self.waiting {
                let text = serde_json::to_string(sighting)
                    .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
                transaction
                    .prepare_cached("INSERT INTO sighting (netmap, fact) VALUES (?, ?)")?
                    .execute(params![self.netmap, text])?;
            }
            transaction.commit()?;
            Ok(Written::All)
        };
        write().map_err(failed)
    }
}

/// Takes the oldest sightings of a netmap, at most so many: their numbers and what they say. What cannot be understood is
/// `None`.
pub(crate) fn waiting(db: &Connection, netmap: u32, most: u32) -> rusqlite::Result<Vec<(i64, Option<Sighting>)>> {
    let sql = "SELECT number, fact FROM sighting WHERE netmap = ? ORDER BY number LIMIT ?";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![netmap, most], |row| {
        let text: String = row.get(1)?;
        Ok((row.get(0)?, serde_json::from_str(&text).ok()))
    })?;
    rows.collect()
}
