//! What is known of flows that have not ended, and which users were seen, across restarts.
//!
//! A row holds from the commit `born` up to, and not with, the commit `died`. [`Store::save`] writes the changes of a
//! commit before the archive has it; whether it got there only the archive knows, so [`Store::open`] is told the number
//! of the last commit and undoes what is later. Rows that died with a commit the archive has are removed by the next.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, params};

use super::EveError;
use super::flows::{Flows, Pending};

/// Version of the tables.
const VERSION: i64 = 1;

/// A row that lives.
const ALIVE: i64 = i64::MAX;

const TABLES: &str = "
    CREATE TABLE flow (id INTEGER NOT NULL, born INTEGER NOT NULL, died INTEGER NOT NULL, known TEXT NOT NULL,
                       PRIMARY KEY (id, died)) WITHOUT ROWID;
    CREATE INDEX flow_died ON flow (died);
    CREATE TABLE user (name TEXT PRIMARY KEY, born INTEGER NOT NULL) WITHOUT ROWID;
";

/// The database of a sensor.
#[derive(Debug)]
pub(super) struct Store {
    db: Connection,
    path: PathBuf,
}

/// What a sensor knew.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Oldest first.
    pub(super) flows: Vec<(u64, Pending)>,
    pub(super) users: HashSet<String>,
}

impl Store {
    /// Opens the database as it was at a commit. Commit 0 is nothing.
    pub(super) fn open(path: &Path, commit: u64) -> Result<(Store, Known), EveError> {
        let failed = |source| EveError::State { path: path.to_owned(), source };
        let open = || {
            let mut db = Connection::open(path)?;
            db.pragma_update(None, "journal_mode", "WAL")?;
            db.pragma_update(None, "synchronous", "FULL")?;
            let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
            let transaction = db.transaction()?;
            if version == 0 {
                transaction.execute_batch(TABLES)?;
                transaction.pragma_update(None, "user_version", VERSION)?;
            }
            undo(&transaction, number(commit))?;
            transaction.commit()?;
            let known = load(&db)?;
            Ok((Store { db, path: path.to_owned() }, known, version))
        };
        let (store, known, version) = open().map_err(failed)?;
        if version > VERSION {
            return Err(EveError::StateVersion { path: path.to_owned(), version });
        }
        Ok((store, known))
    }

    /// Writes what changed for commit `next`, durably. `last` is the last commit the archive has.
    pub(super) fn save(&mut self, last: u64, next: u64, flows: &Flows, new_users: &[String]) -> Result<(), EveError> {
        let (last, next) = (number(last), number(next));
        let mut save = || {
            let transaction = self.db.transaction()?;
            {
                transaction.prepare_cached("DELETE FROM flow WHERE died <= ?")?.execute([last])?;
                // An earlier try of this commit may have written already.
                let mut again = transaction.prepare_cached("DELETE FROM flow WHERE id = ? AND born > ?")?;
                let mut end = transaction.prepare_cached("UPDATE flow SET died = ? WHERE id = ? AND died > ?")?;
                let mut begin = transaction.prepare_cached("INSERT INTO flow VALUES (?, ?, ?, ?)")?;
                for (id, pending) in flows.changes() {
                    let id = id.cast_signed();
                    again.execute([id, last])?;
                    end.execute([next, id, last])?;
                    if let Some(pending) = pending {
                        let text = serde_json::to_string(pending)
                            .map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
                        begin.execute(params![id, next, ALIVE, text])?;
                    }
                }
                let mut user = transaction.prepare_cached("INSERT OR IGNORE INTO user VALUES (?, ?)")?;
                for name in new_users {
                    user.execute(params![name, next])?;
                }
            }
            transaction.commit()
        };
        save().map_err(|source| EveError::State { path: self.path.clone(), source })
    }
}

/// Makes everything as it was at a commit.
fn undo(db: &Transaction<'_>, commit: i64) -> rusqlite::Result<()> {
    db.execute("DELETE FROM flow WHERE born > ?1 OR died <= ?1", [commit])?;
    db.execute("UPDATE flow SET died = ?", [ALIVE])?;
    db.execute("DELETE FROM user WHERE born > ?", [commit])?;
    Ok(())
}

fn load(db: &Connection) -> rusqlite::Result<Known> {
    let mut known = Known::default();
    let mut statement = db.prepare("SELECT id, known FROM flow")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, text): (i64, String) = (row.get(0)?, row.get(1)?);
        let pending: Pending = serde_json::from_str(&text)
            .map_err(|e| rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, e.into()))?;
        known.flows.push((id.cast_unsigned(), pending));
    }
    known.flows.sort_by_key(|(id, pending)| (pending.since, *id));
    let mut statement = db.prepare("SELECT name FROM user")?;
    known.users = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(known)
}

/// A commit's number as SQLite can hold it; there are never so many.
fn number(commit: u64) -> i64 {
    i64::try_from(commit).unwrap_or(ALIVE - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eve::flows::Bounds;
    use crate::eve::header::Stamp;

    fn pending(since: u64) -> Pending {
        Pending::new(since, Stamp { second: 1, microsecond: 0 })
    }

    fn ids(known: &Known) -> Vec<u64> {
        known.flows.iter().map(|(id, _)| *id).collect()
    }

    #[test]
    fn what_the_archive_does_not_have_is_undone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let reopen = |commit| Store::open(&path, commit).unwrap();
        let (mut store, known) = reopen(0);
        assert!(known.flows.is_empty());
        let mut flows = Flows::new(Bounds::default(), Vec::new());
        // Ids above i64::MAX exist too.
        flows.put(1, pending(10));
        flows.put(u64::MAX, pending(11));
        store.save(0, 1, &flows, &["alice@".to_owned()]).unwrap();
        flows.saved();
        flows.take(1);
        flows.put(u64::MAX, pending(12));
        flows.put(5, pending(13));
        // Twice: the first commit failed and was tried again with more.
        store.save(1, 2, &flows, &["bob@".to_owned()]).unwrap();
        flows.put(6, pending(14));
        store.save(1, 3, &flows, &["bob@".to_owned()]).unwrap();
        drop(store);

        let (store, known) = reopen(3);
        assert_eq!(ids(&known), [u64::MAX, 5, 6]);
        assert_eq!(known.users.len(), 2);
        drop(store);
        let (mut store, known) = reopen(1);
        assert_eq!(ids(&known), Vec::<u64>::new(), "opening at commit 3 forgot what died before");
        assert_eq!(known.users.len(), 1);
        let mut flows = Flows::new(Bounds::default(), known.flows);
        flows.put(1, pending(10));
        store.save(1, 2, &flows, &[]).unwrap();
        flows.saved();
        flows.take(1);
        store.save(2, 3, &flows, &[]).unwrap();
        drop(store);
        assert_eq!(ids(&reopen(2).1), [1], "the archive does not have commit 3");
    }
}
