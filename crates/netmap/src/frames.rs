//! Whose MAC addresses frames have: the hosts', or those of routers between them and the sensor.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use rusqlite::{Connection, params};
use wire::event::address;

use crate::Result;
use crate::learn::{Learner, is_host};

/// Routers, and hosts that frames were seen of before anything else, that are remembered.
const MOST: usize = 10_000;

/// What frames showed.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    routers: HashSet<[u8; 6]>,
    /// Routers that are not written yet.
    new: Vec<[u8; 6]>,
    /// Not written down, as sensors tell of frames again every five minutes: MAC addresses of monitored addresses that are no hosts yet: a sensor tells of frames a moment before it commits the
    /// connection that makes the host.
    waiting: HashMap<[u8; 16], [u8; 6]>,
}

impl Frames {
    /// The routers of a netmap that are known.
    pub(crate) fn open(db: &Connection, netmap: u32) -> rusqlite::Result<Frames> {
        let mut statement = db.prepare("SELECT mac FROM router WHERE netmap = ?")?;
        let routers = statement.query_map([netmap], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok(Frames { routers, ..Frames::default() })
    }

    /// Writes new routers; [`saved`](Self::saved) when that is done.
    pub(crate) fn save(&self, db: &Connection, netmap: u32) -> rusqlite::Result<()> {
        for mac in &self.new {
            db.prepare_cached("INSERT OR IGNORE INTO router VALUES (?, ?)")?.execute(params![netmap, mac])?;
        }
        Ok(())
    }

    pub(crate) fn saved(&mut self) {
        self.new.clear();
    }

    pub(crate) fn is_router(&self, mac: &[u8; 6]) -> bool {
        self.routers.contains(mac)
    }

    /// Takes the MAC address that waits for a host.
    pub(crate) fn take(&mut self, at: &[u8; 16]) -> Option<[u8; 6]> {
        self.waiting.remove(at)
    }

    /// Remembers that a MAC address is a router's.
    pub(crate) fn add_router(&mut self, mac: [u8; 6]) {
        if self.routers.len() < MOST && self.routers.insert(mac) {
            self.new.push(mac);
        }
    }
}

impl Learner {
    /// A frame with a MAC address and an address that is no host. Of an address elsewhere it is a router's, which no host
    /// behind it is to have; but a global IPv6 address may be one more of a host in this network.
    pub(crate) fn frame(&mut self, at: [u8; 16], mac: [u8; 6]) -> Result<()> {
        if !is_host(&at) || mac.first().is_none_or(|first| first & 1 == 1) {
            return Ok(());
        }
        if self.policy.monitored.contains(&at) {
            if self.frames.waiting.len() >= MOST {
                self.frames.waiting.clear();
            }
            self.frames.waiting.insert(at, mac);
        } else if matches!(address(&at), IpAddr::V4(_)) && !self.frames.is_router(&mac) {
            self.frames.add_router(mac);
            let all = self.memory.by_mac(&mac)?;
            for (id, _) in all.into_iter().filter(|(_, confirmed)| !confirmed) {
                self.drop_mac(id, mac)?;
            }
        }
        Ok(())
    }
}
