//! The tables of `map.db`.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::{Error, Result};

/// Version of the tables.
pub(crate) const VERSION: i64 = 1;

/// How long to wait for another process that writes.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

const TABLES: &str = "
    -- How far a netmap's archive was read: the next event has this sequence number or a higher one, and the second is not
    -- above its own. `outbox` is the number of the last set of discovery events that was made. `monitored` are the networks.
    CREATE TABLE progress (netmap INTEGER PRIMARY KEY, second INTEGER NOT NULL, sequence INTEGER NOT NULL,
                           outbox INTEGER NOT NULL, monitored TEXT NOT NULL);
    -- Discovery events that may not be in the archive yet: `kind` 0 events, 1 metadata.
    CREATE TABLE outbox (netmap INTEGER NOT NULL, number INTEGER NOT NULL, place INTEGER NOT NULL, kind INTEGER NOT NULL,
                         item BLOB NOT NULL, PRIMARY KEY (netmap, number, place)) WITHOUT ROWID;
    CREATE TABLE host (id INTEGER PRIMARY KEY, netmap INTEGER NOT NULL, uid BLOB NOT NULL, kind INTEGER NOT NULL,
                       hops INTEGER NOT NULL, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,
                       heard INTEGER NOT NULL, device INTEGER NOT NULL, quiet INTEGER NOT NULL, vlan INTEGER NOT NULL,
                       netbios TEXT NOT NULL, name TEXT NOT NULL);
    CREATE INDEX host_heard ON host (netmap, heard);
    -- 16 octets, IPv4 as ::ffff:a.b.c.d, so that ranges are ranges of octets.
    CREATE TABLE address (netmap INTEGER NOT NULL, address BLOB NOT NULL, host INTEGER NOT NULL, rank INTEGER NOT NULL,
                          last_seen INTEGER NOT NULL, PRIMARY KEY (netmap, address)) WITHOUT ROWID;
    CREATE INDEX address_host ON address (host);
    CREATE TABLE mac (host INTEGER NOT NULL, mac BLOB NOT NULL, ttl INTEGER NOT NULL, is_primary INTEGER NOT NULL,
                      last_seen INTEGER NOT NULL, PRIMARY KEY (host, mac)) WITHOUT ROWID;
    CREATE INDEX mac_mac ON mac (mac);
    CREATE TABLE server (host INTEGER NOT NULL, protocol INTEGER NOT NULL, port INTEGER NOT NULL,
                         application INTEGER NOT NULL, web INTEGER NOT NULL, vendor TEXT NOT NULL, version TEXT NOT NULL,
                         banner BLOB NOT NULL, hits INTEGER NOT NULL, first_seen INTEGER NOT NULL,
                         last_seen INTEGER NOT NULL, heard INTEGER NOT NULL,
                         PRIMARY KEY (host, protocol, port)) WITHOUT ROWID;
    CREATE INDEX server_heard ON server (heard);
    CREATE TABLE client (host INTEGER NOT NULL, application INTEGER NOT NULL, protocol INTEGER NOT NULL,
                         web INTEGER NOT NULL, version TEXT NOT NULL, hits INTEGER NOT NULL, first_seen INTEGER NOT NULL,
                         last_seen INTEGER NOT NULL, heard INTEGER NOT NULL,
                         PRIMARY KEY (host, application)) WITHOUT ROWID;
    CREATE INDEX client_heard ON client (heard);
    CREATE TABLE system (host INTEGER NOT NULL, source INTEGER NOT NULL, fingerprint BLOB NOT NULL,
                         last_seen INTEGER NOT NULL, PRIMARY KEY (host, source)) WITHOUT ROWID;
    CREATE TABLE user (host INTEGER NOT NULL, id INTEGER NOT NULL, name TEXT NOT NULL, first_seen INTEGER NOT NULL,
                       last_seen INTEGER NOT NULL, PRIMARY KEY (host, id)) WITHOUT ROWID;
    CREATE TABLE protocol (host INTEGER NOT NULL, transport INTEGER NOT NULL, number INTEGER NOT NULL,
                           PRIMARY KEY (host, transport, number)) WITHOUT ROWID;
    -- What metadata records call things: record type, octets of the number or UUID, name, vendor, version.
    CREATE TABLE name (netmap INTEGER NOT NULL, record INTEGER NOT NULL, id BLOB NOT NULL, name TEXT NOT NULL,
                       vendor TEXT NOT NULL, version TEXT NOT NULL, PRIMARY KEY (netmap, record, id)) WITHOUT ROWID;
    -- What sensors saw and no record can say; the mapper takes it from here.
    CREATE TABLE sighting (number INTEGER PRIMARY KEY AUTOINCREMENT, netmap INTEGER NOT NULL, fact TEXT NOT NULL);
";

/// Came later; maps without it are as good.
const ROUTERS: &str = "
    -- MAC addresses that frames of several hosts have, or of addresses elsewhere.
    CREATE TABLE IF NOT EXISTS router (netmap INTEGER NOT NULL, mac BLOB NOT NULL, PRIMARY KEY (netmap, mac))
    WITHOUT ROWID;
";

/// Opens the file for writing; makes it, for its owner alone, where it is not there.
pub(crate) fn open(path: &Path) -> Result<Connection> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(failed)?;
    let open = || {
        let mut db = Connection::open(path)?;
        db.busy_timeout(BUSY)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        // A discovery event must not be in the archive before the map that made it is on disk.
        db.pragma_update(None, "synchronous", "FULL")?;
        let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == 0 {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        if version <= VERSION {
            transaction.execute_batch(ROUTERS)?;
        }
        transaction.commit()?;
        Ok((db, version))
    };
    let (db, version) = open().map_err(Error::database(path))?;
    check(path, version)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// Opens the file for reading; `None` when there is none, or nothing in it yet. Somebody who has locked it is waited for so long.
pub(crate) fn open_to_read(path: &Path, busy: Duration) -> Result<Option<Connection>> {
    if !path.exists() {
        return Ok(None);
    }
    let open = || {
        // Readers of a WAL file take part in its shared memory, so the file itself is opened for writing.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(busy)?;
        let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        db.pragma_update(None, "query_only", true)?;
        Ok((db, version))
    };
    let (db, version) = open().map_err(Error::database(path))?;
    check(path, version)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok((version != 0).then_some(db))
}

fn check(path: &Path, version: i64) -> Result<()> {
    if version > VERSION {
        return Err(Error::Version { path: path.to_owned(), version, known: VERSION });
    }
    Ok(())
}
