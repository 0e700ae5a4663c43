//! Private files: written whole or not at all, readable by their owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::crypto;
use crate::error::{Error, Result};

/// Largest key, certificate or PKCS#12 file that is read, in bytes (1 MiB).
pub const MAX_FILE: u64 = 1 << 20;

/// Writes a file that only its owner can read (mode 0600), atomically.
///
/// The bytes go to a new file in the same directory, are synced, and take the final name by a
/// rename; the directory is synced after it. A reader sees the old content or the new one, never a
/// part, and a crash leaves one of them. A symbolic link of that name is replaced, not followed.
///
/// # Errors
/// [`Error::NotAFile`] if the name is that of a directory or otherwise of no regular file, and
/// [`Error::Io`] if the system refuses; both inside [`Error::InFile`]. Nothing is left behind then.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes).map_err(|error| error.in_file(path))
}

/// Creates a directory that only its owner can enter (mode 0700), with its parents, if it is not there.
///
/// # Errors
/// [`Error::Io`] inside [`Error::InFile`].
pub fn create_private_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| io_error("create the directory", source).in_file(path))
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::NotAFile`] (a pipe would block for ever) or [`Error::Io`], inside
/// [`Error::InFile`].
pub fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    read(path, limit).map_err(|error| error.in_file(path))
}

/// Reads a file that holds a private key, at most [`MAX_FILE`] bytes, and logs a warning if other
/// users of the machine can read it too.
///
/// # Errors
/// Those of [`read_bounded`].
pub fn read_private(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>> {
    let bytes = read_bounded(path, MAX_FILE)?;
    let mode = fs::metadata(path).map_or(0o600, |data| data.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(
            file = %path.display(),
            mode = format_args!("{:04o}", mode & 0o7777),
            "others than the owner have access to a file that holds a private key; run \"chmod 600\" on it"
        );
    }
    Ok(bytes.into())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(data) if !data.is_file() && !data.is_symlink() => return Err(Error::NotAFile),
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("look at the file", source));
        }
        // A link to a directory would make the name mean "inside it" to a careless writer.
        Ok(data) if data.is_symlink() && path.is_dir() => return Err(Error::NotAFile),
        _ => {}
    }
    let Some(name) = path.file_name() else {
        return Err(Error::NotAFile);
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let mut temporary_name = std::ffi::OsString::from(".");
    temporary_name.push(name);
    temporary_name.push(format!(".{}.new", crypto::random_hex::<8>()?));
    let temporary = directory.join(temporary_name);

    let written = write_new(&temporary, bytes)
        .map_err(|source| io_error("write the file", source))
        .and_then(|()| fs::rename(&temporary, path).map_err(|source| io_error("replace the file", source)));
    if let Err(error) = written {
        // The first error is the one to tell; the rest is cleaning up.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    File::open(&directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| io_error("sync the directory", source))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let data = fs::metadata(path).map_err(|source| io_error("open the file", source))?;
    if !data.is_file() {
        return Err(Error::NotAFile);
    }
    let file = File::open(path).map_err(|source| io_error("open the file", source))?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|source| io_error("read the file", source))?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLarge { limit });
    }
    Ok(bytes)
}

fn io_error(action: &'static str, source: io::Error) -> Error {
    Error::Io { action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_private_file_has_mode_0600_and_no_temporary_remains() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.key");
        fs::write(&path, "old, readable by all").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_is_replaced_and_its_target_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        let link = dir.path().join("link");
        fs::write(&target, "target").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        write_private(&link, b"secret").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"target");
        assert!(!fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn directories_are_refused_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        let link = dir.path().join("link");
        create_private_dir(&inner).unwrap();
        create_private_dir(&inner).unwrap();
        assert_eq!(mode(&inner), 0o700);
        std::os::unix::fs::symlink(&inner, &link).unwrap();
        for path in [&inner, &link] {
            let error = write_private(path, b"secret").unwrap_err();
            assert!(matches!(error.root(), Error::NotAFile), "{error}");
            let error = read_bounded(path, 10).unwrap_err();
            assert!(matches!(error.root(), Error::NotAFile), "{error}");
        }
        let error = write_private(&dir.path().join("missing/key"), b"secret").unwrap_err();
        assert!(error.to_string().contains("missing/key: cannot write the file"), "{error}");
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_device_is_refused() {
        // Renaming over it would replace a device by a file.
        let error = write_private(Path::new("/dev/full"), b"x").unwrap_err();
        assert!(matches!(error.root(), Error::NotAFile), "{error}");
    }

    #[test]
    fn reading_stops_at_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, [0; 11]).unwrap();
        assert_eq!(read_bounded(&path, 11).unwrap().len(), 11);
        let error = read_bounded(&path, 10).unwrap_err();
        assert!(matches!(error.root(), Error::TooLarge { limit: 10 }), "{error}");
        assert!(error.to_string().starts_with(&path.display().to_string()));
        let error = read_bounded(&dir.path().join("none"), 10).unwrap_err();
        assert!(matches!(error.root(), Error::Io { .. }), "{error}");
    }
}
