//! What is durable: the position in the stream, the destinations' files, and the metadata.
//!
//! The protocol resumes at a whole archival second, that second included. So the checkpoint holds the newest archival
//! second of which anything was delivered, and a hash of every record of that second that was delivered. After a
//! restart the server sends that second again, and what the hashes know is dropped: nothing is lost, nothing comes twice.
//!
//! Position, hashes, metadata and the state of the destinations (how far each file had grown) change in one SQLite
//! transaction, after the destinations' files were synced. The database is opened exclusively: two collectors with the
//! same state would each undo the other's work.

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use rustc_hash::FxHashMap;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The durable state of one collector and one management center.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    db: Connection,
    second: u32,
}

/// Where to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resume {
    /// Newest archival second of which anything was delivered; `None` at the first start.
    pub second: Option<u32>,
    /// Hashes of the records of that second that were delivered.
    pub hashes: Vec<u64>,
    /// The metadata records received so far, by what they name.
    pub metadata: Vec<(Vec<u8>, Vec<u8>)>,
    /// States of the destinations, by their names.
    pub destinations: FxHashMap<String, String>,
}

/// What became durable since the last commit.
#[derive(Debug, Default)]
pub struct Progress {
    /// Newest archival second delivered; `None` when no event was.
    pub second: Option<u32>,
    /// Hashes of records of that second, those since the last commit only.
    pub hashes: Vec<u64>,
    /// Metadata delivered.
    pub metadata: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Why state cannot be read or written.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// Another process has it.
    #[error("{0} is in use: another collector is running with the same state. Stop that one first")]
    Busy(PathBuf),
    /// The file cannot be created or its rights not be set.
    #[error("{path} cannot be opened: {source}. Is the folder there and may this user write in it?")]
    File {
        /// The state file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// SQLite reports an error.
    #[error("{path}: {source}")]
    Database {
        /// The state file.
        path: PathBuf,
        /// The cause.
        source: rusqlite::Error,
    },
}

impl CheckpointError {
    /// The disk is full: goes by when there is room.
    pub fn is_full(&self) -> bool {
        matches!(self, CheckpointError::Database { source, .. } if source.sqlite_error_code() == Some(ErrorCode::DiskFull))
    }
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS position (id INTEGER PRIMARY KEY CHECK (id = 1), second INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS delivered (id INTEGER PRIMARY KEY, second INTEGER NOT NULL, hashes BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS metadata (key BLOB PRIMARY KEY, item BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS destination (name TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
";

impl Checkpoint {
    /// Opens or creates the state file, readable by its owner only, and says where to go on.
    pub fn open(path: &Path) -> Result<(Self, Resume), CheckpointError> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = |source| CheckpointError::File { path: path.to_owned(), source };
        std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(file)?;
        let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => CheckpointError::Busy(path.to_owned()),
            _ => CheckpointError::Database { path: path.to_owned(), source },
        };
        let open = || -> rusqlite::Result<(Connection, Resume)> {
            let db = Connection::open(path)?;
            db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
            db.pragma_update(None, "journal_mode", "WAL")?;
            db.pragma_update(None, "synchronous", "FULL")?;
            db.execute_batch(SCHEMA)?;
            // Takes the lock even when nothing is written yet.
            db.execute_batch("BEGIN EXCLUSIVE; COMMIT")?;
            let resume = read(&db)?;
            Ok((db, resume))
        };
        let (db, resume) = open().map_err(failed)?;
        let second = resume.second.unwrap_or(0);
        Ok((Checkpoint { path: path.to_owned(), db, second }, resume))
    }

    /// Makes progress durable. `destinations` are names and states.
    pub fn commit(&mut self, progress: &Progress, destinations: &[(String, String)]) -> Result<(), CheckpointError> {
        let failed = |source| CheckpointError::Database { path: self.path.clone(), source };
        let write = || -> rusqlite::Result<()> {
            let tx = self.db.unchecked_transaction()?;
            if let Some(second) = progress.second {
                if second != self.second {
                    tx.execute("DELETE FROM delivered", [])?;
                }
                tx.execute(
                    "INSERT INTO position VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET second = ?1",
                    params![second],
                )?;
                let hashes: Vec<u8> = progress.hashes.iter().flat_map(|h| h.to_be_bytes()).collect();
                tx.execute("INSERT INTO delivered (second, hashes) VALUES (?1, ?2)", params![second, hashes])?;
            }
            {
                let mut insert = tx.prepare_cached("INSERT OR REPLACE INTO metadata VALUES (?1, ?2)")?;
                for (key, item) in &progress.metadata {
                    insert.execute(params![key, item])?;
                }
                let mut insert = tx.prepare_cached("INSERT OR REPLACE INTO destination VALUES (?1, ?2)")?;
                for (name, state) in destinations {
                    insert.execute(params![name, state])?;
                }
            }
            tx.commit()
        };
        write().map_err(failed)?;
        self.second = progress.second.unwrap_or(self.second);
        Ok(())
    }
}

fn read(db: &Connection) -> rusqlite::Result<Resume> {
    let second: Option<u32> = db.query_row("SELECT second FROM position", [], |r| r.get(0)).optional()?;
    let mut resume = Resume { second, ..Resume::default() };
    let mut rows = db.prepare("SELECT hashes FROM delivered WHERE second = ?1")?;
    for blob in rows.query_map([second.unwrap_or(0)], |r| r.get::<_, Vec<u8>>(0))? {
        resume.hashes.extend(blob?.chunks_exact(8).filter_map(|c| c.try_into().ok()).map(u64::from_be_bytes));
    }
    let mut rows = db.prepare("SELECT key, item FROM metadata")?;
    for row in rows.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))? {
        resume.metadata.push(row?);
    }
    let mut rows = db.prepare("SELECT name, state FROM destination")?;
    for row in rows.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))? {
        let (name, state) = row?;
        resume.destinations.insert(name, state);
    }
    Ok(resume)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn progress(second: u32, hashes: &[u64]) -> Progress {
        Progress { second: Some(second), hashes: hashes.to_vec(), metadata: Vec::new() }
    }

    #[test]
    fn what_was_committed_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let (mut checkpoint, resume) = Checkpoint::open(&path).unwrap();
        assert_eq!(resume, Resume::default());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        checkpoint.commit(&progress(5, &[1, 2]), &[("file".into(), "a".into())]).unwrap();
        checkpoint.commit(&progress(5, &[2]), &[("file".into(), "b".into())]).unwrap();
        drop(checkpoint);
        let (mut checkpoint, resume) = Checkpoint::open(&path).unwrap();
        assert_eq!((resume.second, resume.hashes), (Some(5), vec![1, 2, 2]));
        assert_eq!(resume.destinations["file"], "b");
        let metadata = Progress { metadata: vec![(vec![1], vec![2, 3])], ..Progress::default() };
        checkpoint.commit(&metadata, &[]).unwrap();
        checkpoint.commit(&progress(6, &[9]), &[]).unwrap();
        drop(checkpoint);
        let (_, resume) = Checkpoint::open(&path).unwrap();
        assert_eq!((resume.second, resume.hashes), (Some(6), vec![9]), "an older second is forgotten");
        assert_eq!(resume.metadata, [(vec![1], vec![2, 3])]);
    }

    #[test]
    fn two_collectors_do_not_share_a_state() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let (_first, _) = Checkpoint::open(&path).unwrap();
        let error = Checkpoint::open(&path).unwrap_err();
        assert!(matches!(error, CheckpointError::Busy(_)), "{error}");
    }

    #[test]
    fn a_file_that_is_no_state_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        std::fs::write(&path, "this is no database, whatever it says here".repeat(40)).unwrap();
        assert!(Checkpoint::open(&path).unwrap_err().to_string().contains("state.db"));
        assert!(Checkpoint::open(Path::new("/nowhere/state.db")).unwrap_err().to_string().contains("folder"));
    }
}
