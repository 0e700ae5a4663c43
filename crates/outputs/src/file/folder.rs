//! Files in their folder, by name.

use super::names::{Names, hidden, with_suffix};
use super::os;
use super::settings::Compression;
use crate::destination::Error;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Gives a complete file its final name, or the next one where another program took that. One that has no hidden name any
/// more was renamed before.
pub(super) fn publish(path: &Path, names: &Names) -> Result<PathBuf, Error> {
    let from = hidden(path, "part");
    let failed = |source| Error::Open { action: "rename", path: from.clone(), source };
    if length(&from)?.is_none() {
        return Ok(path.to_owned());
    }
    let mut to = path.to_owned();
    loop {
        // What was made of a file that had this name would be replaced later.
        let renamed = if is_packed(&to)? { Err(io::ErrorKind::AlreadyExists.into()) } else { os::rename(&from, &to) };
        match renamed {
            Ok(()) => return Ok(to),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let mut stamp = names.stamp(&to).ok_or(e).map_err(failed)?.next();
                while !is_free(&names.path(stamp))? {
                    stamp = stamp.next();
                }
                to = names.path(stamp);
                tracing::warn!(
                    path = %path.display(), new = %to.display(),
                    "another program made the file that was to get this name; another name was chosen"
                );
            }
            Err(e) => return Err(failed(e)),
        }
    }
}

/// No file has this name, not even hidden or compressed.
pub(super) fn is_free(path: &Path) -> Result<bool, Error> {
    Ok(length(path)?.is_none() && length(&hidden(path, "part"))?.is_none() && !is_packed(path)?)
}

fn is_packed(path: &Path) -> Result<bool, Error> {
    for compression in Compression::ALL {
        if length(&with_suffix(path, compression.suffix()))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Length of a file, `None` when there is none.
pub(super) fn length(path: &Path) -> Result<Option<u64>, Error> {
    match fs::metadata(path) {
        Ok(data) => Ok(Some(data.len())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Open { action: "look at", path: path.to_owned(), source }),
    }
}

pub(super) fn ends_with_line_feed(path: &Path) -> Result<bool, Error> {
    let mut last = [0];
    let read = fs::File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)
    });
    match read {
        Ok(()) => Ok(last == *b"\n"),
        // Neither may a file that can only be written be read, nor a device be searched.
        Err(e) if matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) => Ok(true),
        Err(source) => Err(Error::Open { action: "read", path: path.to_owned(), source }),
    }
}

/// Creates a folder and those above it, durably.
pub(super) fn create_folder(folder: &Path) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    let failed = |source| Error::Open { action: "create", path: folder.to_owned(), source };
    let mut parent = folder.parent();
    fs::create_dir_all(folder).map_err(failed)?;
    while let Some(above) = parent {
        // Folders this user may not read were not created here either.
        let _ = os::sync_folder(above);
        parent = above.parent();
    }
    Ok(())
}
