//! Reading a map: for host data, lists and pages.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};
use wire::event::{address, sixteen};

use crate::error::{Error, Result};
use crate::host::Host;
use crate::rows;

/// Reads the map of one netmap. It takes no part in writing and may be in any process; what it gives is at most about a
/// second old.
#[derive(Debug)]
pub struct Map {
    db: Connection,
    path: PathBuf,
    netmap: u32,
}

/// A page of a list of hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Hosts that match in all.
    pub total: u64,
    /// These hosts, by the address they stand under.
    pub hosts: Vec<(IpAddr, Host)>,
    /// What to ask for as `after` to get the next page; `None` when this is the last.
    pub next: Option<IpAddr>,
}

/// What a number or UUID is called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Name.
    pub name: String,
    /// Vendor of an operating system, else empty.
    pub vendor: String,
    /// Version of an operating system, else empty.
    pub version: String,
}

impl Map {
    /// Opens the map in a file; `None` when there is none yet.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Version`].
    pub fn open(path: &Path, netmap: u32) -> Result<Option<Map>> {
        Ok(crate::db::open_to_read(path, crate::db::BUSY)?.map(|db| Map { db, path: path.to_owned(), netmap }))
    }

    /// The host that has an address.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn host(&self, at: IpAddr) -> Result<Option<Host>> {
        let find = || match rows::by_address(&self.db, self.netmap, &sixteen(at))? {
            Some(id) => rows::load(&self.db, id),
            None => Ok(None),
        };
        find().map_err(self.failed())
    }

    /// Hosts with an address from `first` to `last`, both included, each under the least of these, in their order; at most
    /// `most`, those behind the address `after` of the last one before.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn range(&self, first: IpAddr, last: IpAddr, after: Option<IpAddr>, most: u32) -> Result<Vec<(IpAddr, Host)>> {
        let sql = "SELECT a.address, a.host FROM address a
                   WHERE a.netmap = ?1 AND a.address >= max(?2, ?4) AND a.address <= ?3 AND (?4 = x'' OR a.address > ?4)
                   AND NOT EXISTS (SELECT 1 FROM address b WHERE b.host = a.host AND b.address >= ?2 AND b.address < a.address)
                   ORDER BY a.address LIMIT ?5";
        let after = after.map(sixteen);
        let after = after.as_ref().map_or(&[][..], |after| &after[..]);
        self.list(sql, &[&self.netmap, &sixteen(first), &sixteen(last), &after, &most])
    }

    /// A page of the hosts that have `text` in an address, a MAC address, a name, a user, or the name of a server or client
    /// application (upper and lower case are the same; without text all hosts), by address.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn page(&self, text: &str, after: Option<IpAddr>, most: u32) -> Result<Page> {
        let text = text.trim().to_lowercase();
        if text.is_empty() {
            let total = self.count().map_err(self.failed())?;
            let all = (IpAddr::from([0; 16]), IpAddr::from([255; 16]));
            let hosts = self.range(all.0, all.1, after, most)?;
            return Ok(Page { total, next: next(&hosts, most), hosts });
        }
        // Addresses are octets in the database, so they are compared as they are written. This reads all hosts.
        let mut page = Page::default();
        let mut at = None;
        loop {
            let some = self.range(IpAddr::from([0; 16]), IpAddr::from([255; 16]), at, 500)?;
            let Some((last, _)) = some.last() else { break };
            at = Some(*last);
            for (address, host) in some {
                if !self.matches(&host, &text).map_err(self.failed())? {
                    continue;
                }
                page.total += 1;
                let before = after.is_some_and(|after| sixteen(address) <= sixteen(after));
                if !before && (page.hosts.len() as u64) < u64::from(most) {
                    page.hosts.push((address, host));
                } else if !before && page.next.is_none() {
                    page.next = page.hosts.last().map(|(address, _)| *address);
                }
            }
        }
        Ok(page)
    }

    /// Number of hosts.
    fn count(&self) -> rusqlite::Result<u64> {
        let sql = "SELECT count(*) FROM host WHERE netmap = ?";
        self.db.query_row(sql, [self.netmap], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
    }

    /// Number of hosts, servers and client applications.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn sizes(&self) -> Result<(u64, u64, u64)> {
        let count = |table: &str| {
            let sql = format!("SELECT count(*) FROM {table} t JOIN host h ON h.id = t.host WHERE h.netmap = ?");
            self.db.query_row(&sql, [self.netmap], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
        };
        let sizes = || Ok((self.count()?, count("server")?, count("client")?));
        sizes().map_err(self.failed())
    }

    /// What metadata calls an application protocol (record 63), client application (55), web application (109), user (98)
    /// or device (123).
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn name(&self, record: u16, number: u32) -> Result<Option<String>> {
        let named = self.named(record, &u64::from(number).to_be_bytes());
        named.map(|found| found.map(|named| named.name)).map_err(self.failed())
    }

    /// What an operating system fingerprint is called.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn fingerprint(&self, uuid: &[u8; 16]) -> Result<Option<Named>> {
        self.named(54, uuid).map_err(self.failed())
    }

    /// What the operating system of a host is called, as far as anybody knows: vendor, name and version.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn system(&self, host: &Host) -> Result<Option<String>> {
        let Some(best) = crate::profile::best(host) else { return Ok(None) };
        let named = self.fingerprint(&best.fingerprint)?;
        Ok(named
            .map(|n| [n.vendor, n.name, n.version].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" ")))
    }

    fn named(&self, record: u16, id: &[u8]) -> rusqlite::Result<Option<Named>> {
        let sql = "SELECT name, vendor, version FROM name WHERE netmap = ? AND record = ? AND id = ?";
        let read = |row: &rusqlite::Row<'_>| Ok(Named { name: row.get(0)?, vendor: row.get(1)?, version: row.get(2)? });
        self.db.prepare_cached(sql)?.query_row(params![self.netmap, record, id], read).optional()
    }

    fn matches(&self, host: &Host, text: &str) -> rusqlite::Result<bool> {
        let has = |word: &str| word.to_lowercase().contains(text);
        if host.addresses.iter().any(|a| has(&address(&a.address).to_string()))
            || host.macs.iter().any(|m| has(&mac(&m.mac)))
            || has(&host.name)
            || has(&host.netbios)
            || host.users.iter().any(|u| has(&u.name))
            || host.servers.iter().any(|s| has(&s.vendor) || s.port.to_string() == text)
        {
            return Ok(true);
        }
        let applications = host.servers.iter().map(|s| (63, s.application));
        let clients = host.clients.iter().map(|c| (55, c.application));
        for (record, number) in applications.chain(clients).filter(|(_, number)| *number != 0) {
            if self.named(record, &u64::from(number).to_be_bytes())?.is_some_and(|n| has(&n.name)) {
                return Ok(true);
            }
        }
        for system in &host.systems {
            if self.named(54, &system.fingerprint)?.is_some_and(|n| has(&n.name) || has(&n.vendor)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn list(&self, sql: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<(IpAddr, Host)>> {
        let list = || {
            let mut statement = self.db.prepare_cached(sql)?;
            let rows = statement.query_map(values, |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, i64>(1)?)))?;
            let found = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            let mut hosts = Vec::with_capacity(found.len());
            for (at, id) in found {
                // It may be gone since.
                hosts.extend(rows::load(&self.db, id)?.map(|host| (address(&at), host)));
            }
            Ok(hosts)
        };
        list().map_err(self.failed())
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> Error + use<> {
        Error::database(&self.path)
    }
}

/// A MAC address as it is written.
pub fn mac(mac: &[u8; 6]) -> String {
    mac.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")
}

fn next(hosts: &[(IpAddr, Host)], most: u32) -> Option<IpAddr> {
    hosts.last().filter(|_| hosts.len() as u64 >= u64::from(most)).map(|(address, _)| *address)
}
