//! Compression of a complete file.
//!
//! ```text
//! write .NAME.gz.tmp ─> sync ─> rename to NAME.gz ─> sync the folder ─> remove NAME
//! ```
//!
//! Killed at any step, it is done again from the beginning: `NAME` is there until `NAME.gz` is durable, and a `NAME.gz`
//! beside a `NAME` is replaced.

use super::names::{hidden, with_suffix};
use super::os;
use super::settings::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes between two looks at whether to stop.
const CHUNK: usize = 128 * 1024;

/// Replaces a file by a compressed one and returns its path; `None` when told to stop before.
pub(super) fn compress(path: &Path, how: Compression, stop: &AtomicBool) -> io::Result<Option<PathBuf>> {
    let to = with_suffix(path, how.suffix());
    let temporary = hidden(&to, "tmp");
    let outcome = pack(path, &temporary, how, stop);
    if !matches!(outcome, Ok(true)) {
        let _ = os::remove(&temporary);
        return outcome.map(|_| None);
    }
    os::replace(&temporary, &to)?;
    if let Some(folder) = path.parent() {
        os::sync_folder(folder)?;
    }
    os::remove(path)?;
    Ok(Some(to))
}

fn pack(path: &Path, temporary: &Path, how: Compression, stop: &AtomicBool) -> io::Result<bool> {
    let mut from = fs::File::open(path)?;
    os::remove(temporary)?;
    let file = os::open(temporary, true)?;
    let data = from.metadata()?;
    let mut out = Out { file, at: 0 };
    let done = match how {
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(&mut out, flate2::Compression::default());
            let done = copy(&mut from, &mut encoder, stop)?;
            encoder.finish()?;
            done
        }
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(&mut out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
            encoder.include_checksum(true)?;
            let done = copy(&mut from, &mut encoder, stop)?;
            encoder.finish()?;
            done
        }
    };
    // Who may read the file, and when it was written last, stay.
    out.file.set_permissions(fs::Permissions::from_mode(data.permissions().mode() & 0o777))?;
    out.file.set_modified(data.modified()?)?;
    os::sync(&out.file)?;
    Ok(done)
}

fn copy(from: &mut fs::File, to: &mut impl Write, stop: &AtomicBool) -> io::Result<bool> {
    let mut chunk = vec![0; CHUNK];
    while !stop.load(Ordering::Relaxed) {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(true),
            Ok(n) => to.write_all(chunk.get(..n).unwrap_or_default())?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(false)
}

struct Out {
    file: fs::File,
    at: u64,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        os::write_at(&self.file, bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
