//! The tables of the list of clients, and how older ones become the present ones.

use rusqlite::{Connection, TransactionBehavior};

/// What each version of the tables, kept in SQLite's `user_version`, adds to the one before; the first makes
/// them. What is here never changes, new ones come at the end.
const MIGRATIONS: [&str; 3] = [
    // A removed client keeps its row, so that the handshake can tell "removed" from "never known". A name can be active
    // once; DNS names do not care for case.
    "CREATE TABLE clients (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        serial TEXT NOT NULL,
        fingerprint TEXT NOT NULL UNIQUE,
        not_before INTEGER NOT NULL,
        not_after INTEGER NOT NULL,
        created INTEGER NOT NULL,
        removed INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX active_client ON clients (name COLLATE NOCASE) WHERE removed IS NULL;",
    // The domain whose archive a client gets; none is the one of the settings.
    "ALTER TABLE clients ADD COLUMN netmap INTEGER;",
    // A renewed client has two certificates that are good, and one that counts: the new one. The PKCS#12 file is kept,
    // as it was handed out, unless somebody asks not to.
    "ALTER TABLE clients ADD COLUMN superseded INTEGER;
    ALTER TABLE clients ADD COLUMN bundle BLOB;
    DROP INDEX active_client;
    CREATE UNIQUE INDEX active_client ON clients (name COLLATE NOCASE) WHERE removed IS NULL AND superseded IS NULL;",
];

/// The version this program knows.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Brings the tables to the present version and says which one they had, or have, if that is newer.
pub(super) fn prepare(connection: &mut Connection) -> rusqlite::Result<i64> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // What is deleted is overwritten: the PKCS#12 file of a removed client has its private key.
    connection.pragma_update(None, "secure_delete", true)?;
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = change.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = usize::try_from(version).unwrap_or(0);
    for step in MIGRATIONS.iter().skip(done) {
        change.execute_batch(step)?;
    }
    if version < VERSION {
        change.pragma_update(None, "user_version", VERSION)?;
    }
    change.commit()?;
    Ok(version)
}
