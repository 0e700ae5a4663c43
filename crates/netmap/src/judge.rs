//! Impact: what an intrusion event matters to the hosts it is about.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};
use wire::event::sixteen;

use crate::error::{Error, Result};
use crate::policy::Networks;
use crate::rows;

/// Bit of the impact flags: source or destination is on a monitored network.
pub const MONITORED: u8 = 1;
/// Source or destination is in the network map.
pub const MAPPED: u8 = 1 << 1;
/// A server is on the port, or the host uses the protocol where there are no ports.
pub const SERVED: u8 = 1 << 2;
/// The session was dropped.
pub const DROPPED: u8 = 1 << 5;
/// The rule is marked red.
pub const RED: u8 = 1 << 6;
/// Bits that show a vulnerability (operating system, server, client), or a rule that is marked red: level 1.
const VULNERABLE: u8 = 1 << 3 | 1 << 4 | RED | 1 << 7;

/// How long what was looked up is believed.
const FRESH: Duration = Duration::from_secs(2);

/// Answers that are kept.
const KEPT: usize = 20_000;

/// Time between tries at a map that cannot be used.
const RETRY: Duration = Duration::from_secs(5);

/// How long a sensor waits for a map that somebody else writes to.
const BUSY: Duration = Duration::from_millis(250);

/// What an intrusion event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attack {
    /// Where the packet came from.
    pub source: IpAddr,
    /// Where it went to.
    pub destination: IpAddr,
    /// Ports, of TCP and UDP.
    pub ports: (u16, u16),
    /// IP protocol.
    pub protocol: u8,
    /// The packet was dropped, not only would have been.
    pub dropped: bool,
    /// The rule is marked red: it matters whatever the map says.
    pub red: bool,
}

/// What that means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Impact {
    /// [`MONITORED`], [`MAPPED`], [`SERVED`], [`DROPPED`], [`RED`].
    pub flags: u8,
    /// 1 vulnerable (red), 2 potentially vulnerable (orange), 3 currently not vulnerable (yellow), 4 unknown target (blue),
    /// 0 unknown (gray).
    pub level: u8,
}

impl Impact {
    /// The impact that flags mean (eStreamer Integration Guide 5.3 p.80).
    pub fn of(flags: u8) -> Impact {
        let has = |bits: u8| flags & bits == bits;
        let level = match flags {
            _ if flags & VULNERABLE != 0 => 1,
            _ if has(MAPPED | SERVED) => 2,
            _ if has(MAPPED) => 3,
            _ if has(MONITORED) => 4,
            _ => 0,
        };
        Impact { flags, level }
    }

    /// Whether an impact alert (record 9) is due: for levels 1 and 2, which call for somebody to look.
    pub fn alerts(self) -> bool {
        matches!(self.level, 1 | 2)
    }

    /// What an alert says behind the message of the rule.
    pub fn words(self) -> &'static str {
        match self.level {
            1 => "Vulnerable",
            2 => "Potentially Vulnerable",
            3 => "Currently Not Vulnerable",
            4 => "Unknown Target",
            _ => "Unknown",
        }
    }
}

/// Judges intrusion events by the map of a netmap, for a sensor.
///
/// A map that is missing or cannot be used never stops a sensor: nothing is known then, and the log says so once.
#[derive(Debug)]
pub struct Judge {
    path: PathBuf,
    netmap: u32,
    db: Option<Connection>,
    monitored: Networks,
    known: HashMap<Question, (Instant, u8)>,
    opened: Option<Instant>,
    said: bool,
}

/// A host, as target of a protocol and port.
type Question = ([u8; 16], u8, u16);

impl Judge {
    /// A judge by the map in this file. Nothing is opened yet, and nothing need be there.
    pub fn new(path: &Path, netmap: u32) -> Judge {
        Judge {
            path: path.to_owned(),
            netmap,
            db: None,
            monitored: Networks::default(),
            known: HashMap::new(),
            opened: None,
            said: false,
        }
    }

    /// What an attack means. Vulnerabilities of hosts are not known, so level 1 comes from rules that are marked red alone.
    pub fn judge(&mut self, attack: &Attack) -> Impact {
        let mut flags = u8::from(attack.red) * RED;
        match self.ends(attack) {
            Ok(Some(found)) => {
                flags |= found;
                if attack.dropped {
                    flags |= DROPPED;
                }
                self.said = false;
            }
            Ok(None) => return Impact::default(),
            Err(error) => {
                self.db = None;
                if !std::mem::replace(&mut self.said, true) {
                    tracing::warn!(%error, "Without the network map the impact of intrusion events is 0.");
                }
                return Impact::default();
            }
        }
        Impact::of(flags)
    }

    fn ends(&mut self, attack: &Attack) -> Result<Option<u8>> {
        if !self.ready()? {
            return Ok(None);
        }
        let mut flags = 0;
        let ends = [(attack.source, attack.ports.0), (attack.destination, attack.ports.1)];
        for (address, port) in ends {
            let address = sixteen(address);
            flags |= u8::from(self.monitored.contains(&address)) * MONITORED;
            let ports = matches!(attack.protocol, 6 | 17);
            flags |= self.end((address, attack.protocol, if ports { port } else { 0 }), ports)?;
        }
        // What is in the map is monitored.
        Ok(Some(if flags & MAPPED != 0 { flags | MONITORED } else { flags }))
    }

    /// [`MAPPED`] and [`SERVED`] of one end.
    fn end(&mut self, question: Question, ports: bool) -> Result<u8> {
        if let Some((when, answer)) = self.known.get(&question)
            && when.elapsed() < FRESH
        {
            return Ok(*answer);
        }
        let Some(db) = &self.db else { return Ok(0) };
        let (address, protocol, port) = question;
        let ask = || {
            let Some(host) = rows::by_address(db, self.netmap, &address)? else { return Ok(0) };
            let sql = match ports {
                true => "SELECT 1 FROM server WHERE host = ?1 AND protocol = ?2 AND port = ?3",
                false => "SELECT 1 FROM protocol WHERE host = ?1 AND transport = 1 AND number = ?2 AND ?3 = 0",
            };
            let served = db.prepare_cached(sql)?.query_row(params![host, protocol, port], |_| Ok(())).optional()?;
            Ok(MAPPED | if served.is_some() { SERVED } else { 0 })
        };
        let answer = ask().map_err(Error::database(&self.path))?;
        if self.known.len() >= KEPT {
            self.known.clear();
        }
        self.known.insert(question, (Instant::now(), answer));
        Ok(answer)
    }

    /// Opens the map if it is there, and reads again now and then which networks are monitored.
    fn ready(&mut self) -> Result<bool> {
        if self.opened.is_some_and(|when| when.elapsed() < RETRY) {
            return Ok(self.db.is_some());
        }
        self.opened = Some(Instant::now());
        if self.db.is_none() {
            self.db = crate::db::open_to_read(&self.path, BUSY)?;
        }
        let Some(db) = &self.db else { return Ok(false) };
        let failed = Error::database(&self.path);
        let sql = "SELECT monitored FROM progress WHERE netmap = ?";
        let text: Option<String> = db.query_row(sql, [self.netmap], |row| row.get(0)).optional().map_err(&failed)?;
        match text {
            Some(text) => self.monitored = Networks::parse(text.split(' ').filter(|t| !t.is_empty()))?,
            None => self.db = None,
        }
        Ok(self.db.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_from_flags() {
        for (flags, level) in [
            (0, 0),
            (MONITORED, 4),
            (MONITORED | MAPPED, 3),
            (MONITORED | MAPPED | SERVED, 2),
            (MONITORED | MAPPED | SERVED | DROPPED, 2),
            (RED, 1),
            (MONITORED | 1 << 3, 1),
            (MONITORED | 1 << 7, 1),
            (DROPPED, 0),
            (SERVED, 0),
        ] {
            assert_eq!(Impact::of(flags).level, level, "{flags:08b}");
        }
        assert!(Impact::of(RED).alerts() && !Impact::of(MONITORED | MAPPED).alerts());
    }

    #[test]
    fn without_a_map_nothing_is_known_and_nothing_fails() {
        let dir = tempfile::tempdir().unwrap();
        let attack = Attack {
            source: [10, 0, 0, 1].into(),
            destination: [10, 0, 0, 2].into(),
            ports: (1, 2),
            protocol: 6,
            dropped: true,
            red: true,
        };
        assert_eq!(Judge::new(&dir.path().join("map.db"), 0).judge(&attack), Impact::default());
        let damaged = dir.path().join("damaged.db");
        std::fs::write(&damaged, [7; 5000]).unwrap();
        assert_eq!(Judge::new(&damaged, 0).judge(&attack), Impact::default());
    }
}
