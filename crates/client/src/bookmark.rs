//! The bookmark: the newest archival second received, one decimal number in a file, as the SDK's client keeps it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// The file's name where none is given.
pub const DEFAULT: &str = "estreamer.bmark";

/// A bookmark file. It never goes back: a second older than the one in the file is not written.
#[derive(Debug)]
pub struct Bookmark {
    path: PathBuf,
    /// `None`: there is no second to go on from.
    second: Option<u32>,
}

/// A bookmark that cannot be written.
#[derive(Debug, Error)]
#[error("the bookmark {} cannot be written: {source}. Name another file with --bookmark", path.display())]
pub struct BookmarkError {
    path: PathBuf,
    source: io::Error,
}

impl Bookmark {
    /// Reads a bookmark. A file that is missing or holds no second is as good as none.
    pub fn open(path: &Path) -> Self {
        let text = pki::read_bounded(path, 64).unwrap_or_default();
        let second = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
        Bookmark { path: path.to_owned(), second }
    }

    /// The second to go on from.
    pub fn second(&self) -> Option<u32> {
        self.second
    }

    /// Writes a newer second: to a new file, which then takes the place of the old one.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn advance(&mut self, second: u32) -> Result<(), BookmarkError> {
        if self.second.is_some_and(|known| known >= second) {
            return Ok(());
        }
        self.write(second).map_err(|source| BookmarkError { path: self.path.clone(), source })?;
        self.second = Some(second);
        Ok(())
    }

    fn write(&self, second: u32) -> io::Result<()> {
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new()
            .prefix(".bmark")
            .permissions(fs::Permissions::from_mode(0o644))
            .tempfile_in(folder)?;
        file.write_all(format!("{second}\n").as_bytes())?;
        file.persist(&self.path)?;
        Ok(())
    }
}

/// The second it is now, as the SDK's client takes it for `now`.
pub fn now() -> u32 {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    // The highest number has a meaning of its own.
    u32::try_from(seconds).unwrap_or(u32::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_second_and_a_line_feed_and_never_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DEFAULT);
        let mut bookmark = Bookmark::open(&path);
        assert_eq!(bookmark.second(), None);
        bookmark.advance(1_700_000_000).unwrap();
        bookmark.advance(1_600_000_000).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"1700000000\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no file is left over");
        assert_eq!(Bookmark::open(&path).second(), Some(1_700_000_000));
        for rubbish in ["", "now\n", "-1\n", "99999999999\n", "1\n2\n"] {
            fs::write(&path, rubbish).unwrap();
            assert_eq!(Bookmark::open(&path).second(), None, "{rubbish:?}");
        }
        fs::write(&path, "12").unwrap();
        assert_eq!(Bookmark::open(&path).second(), Some(12));
        let lost = Bookmark::open(&folder.path().join("no/folder")).advance(1).unwrap_err();
        assert!(lost.to_string().contains("--bookmark"), "{lost}");
    }
}
