//! The files of a spool: their names, and what is done with them when opening.

use crate::destination::Error;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A place in a spool: what came before it since the spool is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Position {
    /// Bytes, line feeds included.
    pub bytes: u64,
    /// Lines.
    pub lines: u64,
}

/// What there was when opening.
#[derive(Debug)]
pub(super) struct Found {
    /// First positions of all segments, oldest first; not the one that is still to be created.
    pub(super) segments: Vec<Position>,
    /// The segment to go on with.
    pub(super) base: Position,
    /// The end of what is there.
    pub(super) end: Position,
    /// The segment is known to the caller's checkpoint.
    pub(super) announced: bool,
    /// The segment is there.
    pub(super) exists: bool,
}

/// The file of the segment that begins here.
pub(super) fn path(folder: &Path, base: Position) -> PathBuf {
    folder.join(format!("{:020}-{:020}.lines", base.bytes, base.lines))
}

/// Makes the folder agree with the stored state `(base, end)`, or finds out what there is when there is none.
pub(super) fn recover(folder: &Path, state: Option<(Position, Position)>) -> Result<Found, Error> {
    let mut segments = list(folder)?;
    let Some((base, end)) = state else { return without_state(folder, segments) };
    while let Some(last) = segments.pop_if(|last| *last > base) {
        let path = path(folder, last);
        tracing::info!(path = %path.display(), "removing what was written after the last checkpoint");
        fs::remove_file(&path).map_err(|source| Error::Open { action: "remove", path, source })?;
    }
    let exists = segments.last() == Some(&base);
    let path = path(folder, base);
    let length = end.bytes.saturating_sub(base.bytes);
    let found = if exists { size(&path)? } else { 0 };
    if found < length {
        tracing::warn!(
            path = %path.display(), length = found, expected = length,
            "a segment of the spool is gone or has become shorter; what was in it is lost if it was not sent"
        );
        return Ok(Found { segments, base: end, end, announced: false, exists: false });
    }
    if found > length {
        tracing::info!(
            path = %path.display(), length, bytes = found - length,
            "cutting off what was written after the last checkpoint"
        );
        cut(&path, length)?;
    }
    Ok(Found { segments, base, end, announced: true, exists })
}

/// Everything whole is kept, and a new segment begins behind it.
fn without_state(folder: &Path, segments: Vec<Position>) -> Result<Found, Error> {
    let mut end = Position::default();
    if let Some(last) = segments.last() {
        tracing::warn!(
            spool = %folder.display(),
            "the spool has lines, but the checkpoint knows nothing of it; they are kept"
        );
        let path = path(folder, *last);
        let whole = whole(&path)?;
        cut(&path, whole.bytes)?;
        end = Position { bytes: last.bytes + whole.bytes, lines: last.lines + whole.lines };
    } else if let Some(cursor) = super::cursor::load(folder) {
        end = cursor;
    }
    // An empty segment has the name of the one that begins now.
    let exists = segments.last() == Some(&end);
    Ok(Found { segments, base: end, end, announced: false, exists })
}

fn list(folder: &Path) -> Result<Vec<Position>, Error> {
    let failed = |source| Error::Open { action: "list", path: folder.to_owned(), source };
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        segments.extend(base(&entry.map_err(failed)?.file_name().to_string_lossy()));
    }
    segments.sort_unstable();
    Ok(segments)
}

/// The first position of a segment with this name.
fn base(name: &str) -> Option<Position> {
    let (bytes, lines) = name.strip_suffix(".lines")?.split_once('-')?;
    let number = |text: &str| (text.len() == 20).then(|| text.parse().ok()).flatten();
    Some(Position { bytes: number(bytes)?, lines: number(lines)? })
}

/// How long the whole lines of a file are, and how many.
fn whole(path: &Path) -> Result<Position, Error> {
    let failed = |source| Error::Open { action: "read", path: path.to_owned(), source };
    let mut file = fs::File::open(path).map_err(failed)?;
    let mut chunk = vec![0; 64 * 1024];
    let (mut read, mut whole) = (0, Position::default());
    loop {
        let n = file.read(&mut chunk).map_err(failed)?;
        let bytes = chunk.get(..n).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(whole);
        }
        whole.lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
        if let Some(last) = memchr::memrchr(b'\n', bytes) {
            whole.bytes = read + last as u64 + 1;
        }
        read += n as u64;
    }
}

fn size(path: &Path) -> Result<u64, Error> {
    let data = fs::metadata(path);
    data.map(|d| d.len()).map_err(|source| Error::Open { action: "look at", path: path.to_owned(), source })
}

fn cut(path: &Path, length: u64) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).open(path);
    let cut = file.and_then(|f| f.set_len(length).and_then(|()| f.sync_data()));
    cut.map_err(|source| Error::Open { action: "cut off", path: path.to_owned(), source })
}

/// Creates a folder that only this user may look into, and those above it, durably.
pub(super) fn create_private(folder: &Path) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.map_err(|source| Error::Open { action: "create", path: folder.to_owned(), source })?;
    for above in folder.ancestors().skip(1) {
        // Folders this user may not read were not created here either.
        let _ = sync_folder(above);
    }
    Ok(())
}

/// Makes names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Takes the folder for this process; free again when the file is dropped.
pub(super) fn lock(folder: &Path) -> Result<fs::File, Error> {
    let path = folder.join("lock");
    let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = open.map_err(|source| Error::Open { action: "open", path: path.clone(), source })?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let source = io::Error::other("another process, or another destination, uses this spool");
            Err(Error::Open { action: "lock", path, source })
        }
        Err(error) => Err(Error::Open { action: "lock", path, source: error.into() }),
    }
}
