//! What is durable: the position in the stream, the destinations' files, and the metadata.
//!
//! The protocol resumes at a whole archival second, that second included. So the checkpoint holds, for each source, the
//! newest archival second of which anything was delivered, and a hash of every record of that second that was delivered.
//! After a restart the server sends that second again, and what the hashes know is dropped: nothing is lost, nothing
//! comes twice.
//!
//! Positions, hashes, metadata, what the members of a set have sent, and the state of the destinations (how far each file
//! had grown) change in one SQLite transaction, after the destinations' files were synced. The database is opened
//! exclusively: two collectors with the same state would each undo the other's work.

use crate::twins::{MEMBERS, Seen, SeenChanges};
use rusqlite::{Connection, ErrorCode, params};
use rustc_hash::FxHashMap;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The durable state of one collector.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    db: Connection,
    seconds: FxHashMap<String, u32>,
}

/// Where to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resume {
    /// Positions in the streams, by the keys of the sources.
    pub sources: FxHashMap<String, Position>,
    /// States of the destinations, by their names.
    pub destinations: FxHashMap<String, String>,
    /// What the members of sets have sent, by the names of the sets.
    pub seen: FxHashMap<String, Vec<(u64, Seen)>>,
}

/// Where to go on with one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// Newest archival second of which anything was delivered; `None` at the first start.
    pub second: Option<u32>,
    /// Hashes of the records of that second that were delivered.
    pub hashes: Vec<u64>,
    /// The metadata records received so far, by what they name.
    pub metadata: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What became durable of one source since the last commit.
#[derive(Debug, Default)]
pub struct Progress {
    /// Newest archival second delivered; `None` when no event was.
    pub second: Option<u32>,
    /// Hashes of records of that second, those since the last commit only.
    pub hashes: Vec<u64>,
    /// Metadata delivered.
    pub metadata: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What became durable since the last commit.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    /// By the keys of the sources.
    pub sources: Vec<(&'a str, &'a Progress)>,
    /// By the names of the destinations.
    pub destinations: &'a [(String, String)],
    /// What the members of sets have sent, by the names of the sets.
    pub seen: &'a [(String, SeenChanges)],
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
    /// A state that another version wrote.
    #[error(
        "{path} has the form {found} of another version of this program; this one knows {VERSION}. Remove it to begin anew"
    )]
    Version {
        /// The state file.
        path: PathBuf,
        /// What it says of itself.
        found: u32,
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

/// The form of the database.
const VERSION: u32 = 1;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS position (source TEXT PRIMARY KEY, second INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS delivered
        (id INTEGER PRIMARY KEY, source TEXT NOT NULL, second INTEGER NOT NULL, hashes BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS metadata
        (source TEXT, key BLOB, item BLOB NOT NULL, PRIMARY KEY (source, key)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS destination (name TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS seen
        (twins TEXT, content INTEGER, second INTEGER NOT NULL, counts BLOB NOT NULL, PRIMARY KEY (twins, content)) WITHOUT ROWID;
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
        let open = || -> rusqlite::Result<(Connection, u32)> {
            let db = Connection::open(path)?;
            db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
            db.pragma_update(None, "journal_mode", "WAL")?;
            db.pragma_update(None, "synchronous", "FULL")?;
            let empty: bool = db.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |r| r.get(0))?;
            if empty {
                db.execute_batch(SCHEMA)?;
                db.pragma_update(None, "user_version", VERSION)?;
            }
            // Takes the lock even when nothing is written yet.
            db.execute_batch("BEGIN EXCLUSIVE; COMMIT")?;
            let version = db.pragma_query_value(None, "user_version", |r| r.get(0))?;
            Ok((db, version))
        };
        let (db, found) = open().map_err(failed)?;
        if found != VERSION {
            return Err(CheckpointError::Version { path: path.to_owned(), found });
        }
        let resume = read(&db).map_err(failed)?;
        let seconds = resume.sources.iter().filter_map(|(source, p)| Some((source.clone(), p.second?))).collect();
        Ok((Checkpoint { path: path.to_owned(), db, seconds }, resume))
    }

    /// Forgets what the members of these sets have sent: they are no longer there.
    pub fn forget<'a>(&mut self, sets: impl IntoIterator<Item = &'a String>) -> Result<(), CheckpointError> {
        let failed = |source| CheckpointError::Database { path: self.path.clone(), source };
        for set in sets {
            self.db.execute("DELETE FROM seen WHERE twins = ?1", [set]).map_err(failed)?;
        }
        Ok(())
    }

    /// Makes progress durable.
    pub fn commit(&mut self, changes: &Changes<'_>) -> Result<(), CheckpointError> {
        let failed = |source| CheckpointError::Database { path: self.path.clone(), source };
        let write = || -> rusqlite::Result<()> {
            let tx = self.db.unchecked_transaction()?;
            for (source, progress) in &changes.sources {
                let known = self.seconds.get(*source).copied();
                store(&tx, source, progress, known)?;
            }
            {
                let mut insert = tx.prepare_cached("INSERT OR REPLACE INTO destination VALUES (?1, ?2)")?;
                for (name, state) in changes.destinations {
                    insert.execute(params![name, state])?;
                }
                let mut insert = tx.prepare_cached("INSERT OR REPLACE INTO seen VALUES (?1, ?2, ?3, ?4)")?;
                let mut delete = tx.prepare_cached("DELETE FROM seen WHERE twins = ?1 AND content = ?2")?;
                for (twins, records) in changes.seen {
                    for (content, seen) in records {
                        // SQLite has signed integers only.
                        let content = content.cast_signed();
                        match seen {
                            Some(seen) => insert.execute(params![twins, content, seen.second, seen.counts])?,
                            None => delete.execute(params![twins, content])?,
                        };
                    }
                }
            }
            tx.commit()
        };
        write().map_err(failed)?;
        for (source, progress) in &changes.sources {
            if let Some(second) = progress.second {
                self.seconds.insert((*source).to_owned(), second);
            }
        }
        Ok(())
    }
}

/// Stores the progress of one source, whose stored second is `known`.
fn store(db: &Connection, source: &str, progress: &Progress, known: Option<u32>) -> rusqlite::Result<()> {
    if let Some(second) = progress.second {
        if known != Some(second) {
            db.prepare_cached("DELETE FROM delivered WHERE source = ?1")?.execute([source])?;
        }
        db.prepare_cached("INSERT OR REPLACE INTO position VALUES (?1, ?2)")?.execute(params![source, second])?;
        if !progress.hashes.is_empty() {
            let hashes: Vec<u8> = progress.hashes.iter().flat_map(|h| h.to_be_bytes()).collect();
            db.prepare_cached("INSERT INTO delivered (source, second, hashes) VALUES (?1, ?2, ?3)")?
                .execute(params![source, second, hashes])?;
        }
    }
    let mut insert = db.prepare_cached("INSERT OR REPLACE INTO metadata VALUES (?1, ?2, ?3)")?;
    for (key, item) in &progress.metadata {
        insert.execute(params![source, key, item])?;
    }
    Ok(())
}

fn read(db: &Connection) -> rusqlite::Result<Resume> {
    let mut resume = Resume::default();
    let mut rows = db.prepare("SELECT source, second FROM position")?;
    for row in rows.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get(1)?)))? {
        let (source, second) = row?;
        resume.sources.entry(source).or_default().second = Some(second);
    }
    let mut rows =
        db.prepare("SELECT source, hashes FROM delivered JOIN position USING (source, second) ORDER BY id")?;
    for row in rows.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, Vec<u8>>(1)?)))? {
        let (source, blob) = row?;
        let hashes = blob.chunks_exact(8).filter_map(|c| c.try_into().ok()).map(u64::from_be_bytes);
        resume.sources.entry(source).or_default().hashes.extend(hashes);
    }
    let mut rows = db.prepare("SELECT source, key, item FROM metadata")?;
    for row in rows.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get(1)?, r.get(2)?)))? {
        let (source, key, item) = row?;
        resume.sources.entry(source).or_default().metadata.push((key, item));
    }
    let mut rows = db.prepare("SELECT name, state FROM destination")?;
    for row in rows.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))? {
        let (name, state) = row?;
        resume.destinations.insert(name, state);
    }
    let mut rows = db.prepare("SELECT twins, content, second, counts FROM seen")?;
    let seen = |r: &rusqlite::Row<'_>| {
        let counts: [u8; MEMBERS] = r.get(3)?;
        Ok((r.get::<_, String>(0)?, r.get::<_, i64>(1)?.cast_unsigned(), Seen { second: r.get(2)?, counts }))
    };
    for row in rows.query_map([], seen)? {
        let (twins, content, seen) = row?;
        resume.seen.entry(twins).or_default().push((content, seen));
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
        let commit = |checkpoint: &mut Checkpoint, a: &Progress, b: &Progress, file: &str| {
            let destinations = [("file".to_owned(), file.to_owned())];
            let sources = vec![("a", a), ("b", b)];
            checkpoint.commit(&Changes { sources, destinations: &destinations, ..Changes::default() }).unwrap();
        };
        commit(&mut checkpoint, &progress(5, &[1, 2]), &progress(9, &[7]), "a");
        commit(&mut checkpoint, &progress(5, &[2]), &Progress::default(), "b");
        drop(checkpoint);
        let (mut checkpoint, resume) = Checkpoint::open(&path).unwrap();
        let (a, b) = (&resume.sources["a"], &resume.sources["b"]);
        assert_eq!((a.second, &a.hashes[..], b.second, &b.hashes[..]), (Some(5), &[1, 2, 2][..], Some(9), &[7][..]));
        assert_eq!(resume.destinations["file"], "b");
        let metadata = Progress { metadata: vec![(vec![1], vec![2, 3])], ..Progress::default() };
        commit(&mut checkpoint, &metadata, &progress(9, &[]), "b");
        commit(&mut checkpoint, &progress(6, &[9]), &progress(9, &[8]), "b");
        drop(checkpoint);
        let (_, resume) = Checkpoint::open(&path).unwrap();
        let (a, b) = (&resume.sources["a"], &resume.sources["b"]);
        assert_eq!((a.second, &a.hashes[..]), (Some(6), &[9][..]), "an older second is forgotten");
        assert_eq!(a.metadata, [(vec![1], vec![2, 3])]);
        assert_eq!((&b.hashes[..], b.metadata.len()), (&[7, 8][..], 0));
    }

    #[test]
    fn what_sets_have_seen_is_stored_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let seen = |n: u8| Seen { second: 5, counts: [n, 0, 0, 0] };
        let commit = |records: SeenChanges| {
            let (mut checkpoint, _) = Checkpoint::open(&path).unwrap();
            let seen = [("pair".to_owned(), records)];
            checkpoint.commit(&Changes { seen: &seen, ..Changes::default() }).unwrap();
        };
        commit(vec![(1, Some(seen(1))), (u64::MAX, Some(seen(2)))]);
        commit(vec![(1, None), (u64::MAX, Some(seen(3)))]);
        let (mut checkpoint, resume) = Checkpoint::open(&path).unwrap();
        assert_eq!(resume.seen["pair"], [(u64::MAX, seen(3))]);
        checkpoint.forget(resume.seen.keys()).unwrap();
        drop(checkpoint);
        assert!(Checkpoint::open(&path).unwrap().1.seen.is_empty());
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
        let path = dir.path().join("other.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE position (id INTEGER)").unwrap();
        assert!(Checkpoint::open(&path).unwrap_err().to_string().contains("another version"));
    }
}
