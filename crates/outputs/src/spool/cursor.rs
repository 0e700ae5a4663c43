//! Up to where everything was sent: a small file, replaced as a whole and durable.
//!
//! That takes two syncs, too much for every batch. In between the cursor is noted in a second file, which survives the
//! process and, with luck, the machine.

use super::Position;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The note.
const LATEST: &str = "cursor.latest";

/// The cursor, `None` when there is none or it cannot be used: then sending begins with the oldest segment.
pub(super) fn load(folder: &Path) -> Option<Position> {
    // After a power failure the note may be empty, which is no reason to say anything.
    let noted = fs::read(folder.join(LATEST)).ok().and_then(|bytes| serde_json::from_slice::<Position>(&bytes).ok());
    match (stored(folder), noted) {
        (Some(stored), Some(noted)) if stored.bytes > noted.bytes => Some(stored),
        (stored, noted) => noted.or(stored),
    }
}

/// Notes the cursor, until it is stored.
pub(super) fn note(folder: &Path, position: Position) -> io::Result<()> {
    let new = folder.join("cursor.latest.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(serde_json::to_string(&position)?.as_bytes())?;
    fs::rename(&new, folder.join(LATEST))
}

fn stored(folder: &Path) -> Option<Position> {
    let path = folder.join("cursor");
    let problem = match fs::read(&path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(position) => return Some(position),
            Err(error) => error.to_string(),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => error.to_string(),
    };
    tracing::warn!(path = %path.display(), problem, "the cursor of the spool cannot be used; what is there is sent again");
    None
}

/// Stores the cursor durably.
pub(super) fn store(folder: &Path, position: Position) -> io::Result<()> {
    let new = folder.join("cursor.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(serde_json::to_string(&position)?.as_bytes())?;
    file.sync_data()?;
    fs::rename(&new, folder.join("cursor"))?;
    // Not before that: it is newer than what was stored so far.
    let _ = fs::remove_file(folder.join(LATEST));
    super::sync_folder(folder)
}
