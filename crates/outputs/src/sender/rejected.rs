//! The file of lines that a receiver will never take: JSON lines with the time, the reason and the line.

use crate::spool::sync_folder;
use crate::transport::Rejected;
use serde::Serialize;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

#[derive(Serialize)]
struct Entry<'a> {
    time: String,
    destination: &'a str,
    reason: &'a str,
    /// Bytes that are not UTF-8 are replaced.
    line: &'a str,
}

/// Appends lines to the file, durably. When it has more than `limit` bytes it makes place for a new one before that.
pub(super) fn append(folder: &Path, limit: u64, destination: &str, rejected: &[Rejected]) -> io::Result<()> {
    let path = folder.join("rejected.jsonl");
    if fs::metadata(&path).is_ok_and(|data| data.len() >= limit) {
        let older = folder.join("rejected.1.jsonl");
        if older.exists() {
            tracing::warn!(path = %older.display(), "the older file of rejected events is replaced");
        }
        fs::rename(&path, older)?;
    }
    let time = jiff::Timestamp::now().to_string();
    let mut text = Vec::new();
    for line in rejected {
        let words = String::from_utf8_lossy(&line.line);
        let entry = Entry { time: time.clone(), destination, reason: &line.reason, line: &words };
        serde_json::to_writer(&mut text, &entry)?;
        text.push(b'\n');
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
    file.write_all(&text)?;
    file.sync_data()?;
    sync_folder(folder)
}
