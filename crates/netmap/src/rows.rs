//! Hosts from and to their rows.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use crate::host::{Address, Client, Evidence, Gone, Host, Mac, Protocol, Server, System, User};

type Rows<T> = rusqlite::Result<T>;

/// The host with this number, and everything it has.
pub(crate) fn load(db: &Connection, id: i64) -> Rows<Option<Host>> {
    let sql = "SELECT id, uid, kind, hops, first_seen, last_seen, heard, device, quiet, vlan, netbios, name
               FROM host WHERE id = ?";
    let host = db.prepare_cached(sql)?.query_row([id], host).optional()?;
    let Some(mut host) = host else { return Ok(None) };
    host.addresses =
        parts(db, id, "SELECT address, last_seen FROM address WHERE host = ? ORDER BY rank, address", |row| {
            Ok(Address { address: row.get(0)?, last_seen: row.get(1)?, dirty: false })
        })?;
    host.macs = parts(db, id, "SELECT mac, ttl, is_primary, last_seen FROM mac WHERE host = ? ORDER BY mac", |row| {
        Ok(Mac { mac: row.get(0)?, ttl: row.get(1)?, primary: row.get(2)?, last_seen: row.get(3)?, dirty: false })
    })?;
    let sql = "SELECT protocol, port, application, web, vendor, version, banner, hits, first_seen, last_seen, heard
               FROM server WHERE host = ? ORDER BY protocol, port";
    host.servers = parts(db, id, sql, |row| {
        Ok(Server {
            protocol: row.get(0)?,
            port: row.get(1)?,
            application: row.get(2)?,
            web: row.get(3)?,
            vendor: row.get(4)?,
            version: row.get(5)?,
            banner: row.get(6)?,
            hits: row.get(7)?,
            first_seen: row.get(8)?,
            last_seen: row.get(9)?,
            heard: row.get(10)?,
            dirty: false,
        })
    })?;
    let sql = "SELECT application, protocol, web, version, hits, first_seen, last_seen, heard
               FROM client WHERE host = ? ORDER BY application";
    host.clients = parts(db, id, sql, |row| {
        Ok(Client {
            application: row.get(0)?,
            protocol: row.get(1)?,
            web: row.get(2)?,
            version: row.get(3)?,
            hits: row.get(4)?,
            first_seen: row.get(5)?,
            last_seen: row.get(6)?,
            heard: row.get(7)?,
            dirty: false,
        })
    })?;
    host.systems =
        parts(db, id, "SELECT source, fingerprint, last_seen FROM system WHERE host = ? ORDER BY source", |row| {
            Ok(System {
                source: Evidence::of(row.get(0)?),
                fingerprint: row.get(1)?,
                last_seen: row.get(2)?,
                dirty: false,
            })
        })?;
    let sql = "SELECT id, name, first_seen, last_seen FROM user WHERE host = ? ORDER BY id";
    host.users = parts(db, id, sql, |row| {
        Ok(User { id: row.get(0)?, name: row.get(1)?, first_seen: row.get(2)?, last_seen: row.get(3)?, dirty: false })
    })?;
    let sql = "SELECT transport, number FROM protocol WHERE host = ? ORDER BY transport, number";
    host.protocols =
        parts(db, id, sql, |row| Ok(Protocol { transport: row.get(0)?, number: row.get(1)?, dirty: false }))?;
    Ok(Some(host))
}

fn host(row: &Row<'_>) -> Rows<Host> {
    Ok(Host {
        id: row.get(0)?,
        uid: row.get(1)?,
        kind: row.get(2)?,
        hops: row.get(3)?,
        first_seen: row.get(4)?,
        last_seen: row.get(5)?,
        heard: row.get(6)?,
        device: row.get(7)?,
        quiet: row.get(8)?,
        vlan: row.get(9)?,
        netbios: row.get(10)?,
        name: row.get(11)?,
        ..Host::default()
    })
}

fn parts<T>(db: &Connection, id: i64, sql: &str, read: impl FnMut(&Row<'_>) -> Rows<T>) -> Rows<Vec<T>> {
    db.prepare_cached(sql)?.query_map([id], read)?.collect()
}

/// The host that has an address.
pub(crate) fn by_address(db: &Connection, netmap: u32, address: &[u8; 16]) -> Rows<Option<i64>> {
    let sql = "SELECT host FROM address WHERE netmap = ? AND address = ?";
    db.prepare_cached(sql)?.query_row(params![netmap, address], |row| row.get(0)).optional()
}

/// Hosts of a netmap that have a MAC address: number and whether it is confirmed.
pub(crate) fn by_mac(db: &Connection, netmap: u32, mac: &[u8; 6]) -> Rows<Vec<(i64, bool)>> {
    let sql = "SELECT m.host, m.is_primary FROM mac m JOIN host h ON h.id = m.host WHERE m.mac = ? AND h.netmap = ?
               ORDER BY m.host LIMIT 16";
    db.prepare_cached(sql)?.query_map(params![mac, netmap], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Writes what changed of a host.
pub(crate) fn save(db: &Transaction<'_>, netmap: u32, host: &Host) -> Rows<()> {
    let id = host.id;
    for gone in &host.gone {
        match gone {
            // It may have gone to another host, which may have been written before.
            Gone::Address(address) => db
                .prepare_cached("DELETE FROM address WHERE netmap = ? AND address = ? AND host = ?")?
                .execute(params![netmap, address, id])?,
            Gone::Mac(mac) => {
                db.prepare_cached("DELETE FROM mac WHERE host = ? AND mac = ?")?.execute(params![id, mac])?
            }
            Gone::Server(protocol, port) => db
                .prepare_cached("DELETE FROM server WHERE host = ? AND protocol = ? AND port = ?")?
                .execute(params![id, protocol, port])?,
            Gone::Client(application) => db
                .prepare_cached("DELETE FROM client WHERE host = ? AND application = ?")?
                .execute(params![id, application])?,
        };
    }
    if host.dirty {
        let sql = "INSERT OR REPLACE INTO host VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        db.prepare_cached(sql)?.execute(params![
            id,
            netmap,
            host.uid,
            host.kind,
            host.hops,
            host.first_seen,
            host.last_seen,
            host.heard,
            host.device,
            host.quiet,
            host.vlan,
            host.netbios,
            host.name
        ])?;
    }
    for (rank, part) in (0u32..).zip(&host.addresses).filter(|(_, part)| part.dirty) {
        db.prepare_cached("INSERT OR REPLACE INTO address VALUES (?, ?, ?, ?, ?)")?.execute(params![
            netmap,
            part.address,
            id,
            rank,
            part.last_seen
        ])?;
    }
    for part in host.macs.iter().filter(|part| part.dirty) {
        db.prepare_cached("INSERT OR REPLACE INTO mac VALUES (?, ?, ?, ?, ?)")?.execute(params![
            id,
            part.mac,
            part.ttl,
            part.primary,
            part.last_seen
        ])?;
    }
    for part in host.servers.iter().filter(|part| part.dirty) {
        db.prepare_cached("INSERT OR REPLACE INTO server VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?.execute(
            params![
                id,
                part.protocol,
                part.port,
                part.application,
                part.web,
                part.vendor,
                part.version,
                part.banner,
                part.hits,
                part.first_seen,
                part.last_seen,
                part.heard
            ],
        )?;
    }
    for part in host.clients.iter().filter(|part| part.dirty) {
        db.prepare_cached("INSERT OR REPLACE INTO client VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")?.execute(params![
            id,
            part.application,
            part.protocol,
            part.web,
            part.version,
            part.hits,
            part.first_seen,
            part.last_seen,
            part.heard
        ])?;
    }
    for part in host.systems.iter().filter(|part| part.dirty) {
        db.prepare_cached("INSERT OR REPLACE INTO system VALUES (?, ?, ?, ?)")?.execute(params![
            id,
            part.source.number(),
            part.fingerprint,
            part.last_seen
        ])?;
    }
    for part in host.users.iter().filter(|part| part.dirty) {
        db.prepare_cached("INSERT OR REPLACE INTO user VALUES (?, ?, ?, ?, ?)")?.execute(params![
            id,
            part.id,
            part.name,
            part.first_seen,
            part.last_seen
        ])?;
    }
    for part in host.protocols.iter().filter(|part| part.dirty) {
        db.prepare_cached("INSERT OR REPLACE INTO protocol VALUES (?, ?, ?)")?.execute(params![
            id,
            part.transport,
            part.number
        ])?;
    }
    Ok(())
}

/// Removes a host and everything it has.
pub(crate) fn remove(db: &Transaction<'_>, id: i64) -> Rows<()> {
    for table in ["address", "mac", "server", "client", "system", "user", "protocol"] {
        db.prepare_cached(&format!("DELETE FROM {table} WHERE host = ?"))?.execute([id])?;
    }
    db.prepare_cached("DELETE FROM host WHERE id = ?")?.execute([id])?;
    Ok(())
}
