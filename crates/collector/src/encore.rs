//! State that eNcore left, and that its tools look at: the bookmark and the cache.

use crate::checkpoint::{Position, Resume};
use crate::config::Config;
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A bookmark file is a few characters.
const LIMIT: u64 = 4096;

/// A bookmark that cannot be used.
#[derive(Debug, Error)]
pub enum BookmarkError {
    /// It cannot be read.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<pki::Error>,
    },
    /// It is something else.
    #[error("{path} is no bookmark of eNcore's, which looks like {{\"1\": 1700000024}}")]
    Broken {
        /// The file.
        path: PathBuf,
    },
}

/// The second in a bookmark file; `None` when there is no file, or the second is 0. eNcore's `--bookmark now` writes
/// fractions, which it could not read itself.
pub fn bookmark(path: &Path) -> Result<Option<u32>, BookmarkError> {
    if !path.exists() {
        return Ok(None);
    }
    let read = |source| BookmarkError::Read { path: path.into(), source: Box::new(source) };
    let bytes = pki::files::read_bounded(path, LIMIT).map_err(read)?;
    let broken = || BookmarkError::Broken { path: path.into() };
    let document: Value = serde_json::from_slice(&bytes).map_err(|_| broken())?;
    let second = document.get("1").and_then(Value::as_f64).ok_or_else(broken)?;
    // The largest value means "from now on" to a server and is no second.
    if !(0.0..f64::from(u32::MAX)).contains(&second) {
        return Err(broken());
    }
    Ok(Some(second as u32).filter(|second| *second != 0))
}

/// Writes a bookmark as eNcore does, but whole or not at all.
pub fn write_bookmark(path: &Path, second: u32) -> io::Result<()> {
    pki::files::write_private(path, format!("{{\"1\": {second}}}").as_bytes()).map_err(io::Error::other)
}

impl Position {
    /// Goes on at a bookmark that is ahead of this state: there is none yet, or eNcore ran in between, or somebody set
    /// it. Says whether it does.
    pub fn go_on_at(&mut self, second: u32) -> bool {
        // The collector's own bookmark is never ahead of its state.
        if self.second.is_some_and(|own| own >= second) {
            return false;
        }
        self.second = Some(second);
        self.hashes.clear();
        true
    }
}

/// Takes over what eNcore left beside a configuration.
pub(crate) fn take_over(config: &Config, resume: &mut Resume) {
    for server in &config.servers {
        let instance = config.instance_of(server);
        let position = resume.sources.entry(server.key()).or_default();
        let first = position.second.is_none();
        if first && instance.cache().exists() {
            tracing::info!(
                "{} is not read: the management center sends all names again in a new connection",
                instance.cache().display()
            );
        }
        if !config.follow_bookmark {
            continue;
        }
        let path = instance.bookmark();
        match bookmark(&path) {
            Ok(Some(second)) => {
                if position.go_on_at(second) {
                    tracing::info!("Going on at second {second}, as {} says", path.display());
                }
            }
            Ok(None) => {}
            Err(error) if first => {
                tracing::warn!("{error}. It is not used: everything the management center has is asked for");
            }
            Err(error) => tracing::warn!("{error}. It is not needed: the state file says where to go on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<u32>, BookmarkError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fmc-8302_bookmark.dat");
        std::fs::write(&path, text).unwrap();
        bookmark(&path)
    }

    #[test]
    fn whole_and_fractional_seconds() {
        assert_eq!(read("{\"1\": 1700000024}").unwrap(), Some(1_700_000_024));
        assert_eq!(read("{\"1\": 1700000024.75}").unwrap(), Some(1_700_000_024));
        assert_eq!(read("{\"1\": 0}").unwrap(), None);
        assert_eq!(bookmark(Path::new("/nowhere/bookmark.dat")).unwrap(), None);
        for broken in ["", "{", "{}", "{\"1\": \"x\"}", "{\"1\": -5}", "{\"1\": 4294967295}", "[1]", "17"] {
            let error = read(broken).unwrap_err().to_string();
            assert!(error.contains("fmc-8302_bookmark.dat is no bookmark"), "{broken}: {error}");
        }
    }

    #[test]
    fn what_is_written_is_read_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.dat");
        write_bookmark(&path, 5).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"1\": 5}");
        assert_eq!(bookmark(&path).unwrap(), Some(5));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_bookmark_counts_when_it_is_ahead() {
        let mut resume = Position::default();
        assert!(resume.go_on_at(7) && resume.second == Some(7));
        resume.hashes = vec![1];
        assert!(!resume.go_on_at(7) && !resume.go_on_at(6));
        assert_eq!((resume.second, resume.hashes.clone()), (Some(7), vec![1]));
        assert!(resume.go_on_at(8) && resume.hashes.is_empty());
    }
}
