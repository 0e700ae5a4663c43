//! Up to where everything was sent: one small file, replaced as a whole.

use super::Position;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The cursor, `None` when there is none or it cannot be used: then sending begins with the oldest segment.
pub(super) fn load(folder: &Path) -> Option<Position> {
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
    super::sync_folder(folder)
}
