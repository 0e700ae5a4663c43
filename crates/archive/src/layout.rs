//! Names of directories and segments, and what can be asked or done about an archive as a whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::head::HeadFile;

const NETMAP: &str = "netmap_";
const SEGMENT: &str = "unified2.";

/// Directory of a network map.
pub(crate) fn netmap_dir(root: &Path, netmap: u32) -> PathBuf {
    root.join(format!("{NETMAP}{netmap}"))
}

/// File of a segment.
pub(crate) fn segment_path(dir: &Path, start: u32) -> PathBuf {
    dir.join(format!("{SEGMENT}{start}"))
}

/// Where a repair writes a segment anew, before it takes the place of the old one.
pub(crate) fn repair_path(dir: &Path, start: u32) -> PathBuf {
    dir.join(format!("{SEGMENT}{start}.repair"))
}

/// Where a repair keeps bytes it cut out of a segment.
pub(crate) fn damaged_path(dir: &Path, start: u32, offset: u64) -> PathBuf {
    dir.join(format!("{SEGMENT}{start}.damaged-{offset}"))
}

/// What repairs have left beside a segment.
pub(crate) fn beside(dir: &Path, start: u32) -> Result<Vec<PathBuf>> {
    let (damaged, repair) = (format!("{SEGMENT}{start}.damaged-"), format!("{SEGMENT}{start}.repair"));
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let name = entry.map_err(Error::io("list", dir))?.file_name();
        let ours = name.to_str().is_some_and(|name| name.starts_with(&damaged) || name == repair);
        found.extend(ours.then(|| dir.join(name)));
    }
    Ok(found)
}

/// Start seconds of the segments in `dir`, ascending; none when there is no such directory.
pub(crate) fn segments(dir: &Path) -> Result<Vec<u32>> {
    numbers(dir, SEGMENT)
}

/// Identifiers of the network maps that have an archive under `root`, ascending. A root that does not exist
/// has none.
///
/// # Errors
/// [`Error::Io`] when the directory cannot be read.
pub fn netmaps(root: &Path) -> Result<Vec<u32>> {
    numbers(root, NETMAP)
}

/// The start second of the oldest segment and the archival second of the last commit; `None` when nothing
/// was ever committed.
///
/// # Errors
/// [`Error::Io`] when the directory or the head cannot be read.
pub fn span(root: &Path, netmap: u32) -> Result<Option<(u32, u32)>> {
    let dir = netmap_dir(root, netmap);
    let Some(head) = HeadFile::new(&dir, netmap).read()?.head() else { return Ok(None) };
    let oldest = segments(&dir)?.first().copied().unwrap_or(head.second);
    Ok(Some((oldest.min(head.second), head.second)))
}

/// How many segments an archive has, and their bytes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Segment files.
    pub segments: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// The size of a network map's archive.
///
/// # Errors
/// [`Error::Io`] when the directory cannot be read.
pub fn size(root: &Path, netmap: u32) -> Result<Size> {
    let dir = netmap_dir(root, netmap);
    let mut size = Size::default();
    for start in segments(&dir)? {
        if let Some(bytes) = file_size(&segment_path(&dir, start))? {
            size.segments += 1;
            size.bytes += bytes;
        }
    }
    Ok(size)
}

/// The length of a file; `None` when there is none.
pub(crate) fn file_size(path: &Path) -> Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("examine", path)(error)),
    }
}

/// The numbers in names that are `prefix` and a number, ascending.
fn numbers(dir: &Path, prefix: &str) -> Result<Vec<u32>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", dir)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::io("list", dir))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(prefix)).and_then(parse);
        found.extend(number);
    }
    found.sort_unstable();
    Ok(found)
}

/// A number exactly as it is printed, so that `unified2.007` is not a second name for `unified2.7`.
fn parse(text: &str) -> Option<u32> {
    text.parse::<u32>().ok().filter(|number| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_names_count() {
        let dir = tempfile::tempdir().unwrap();
        for name in
            ["unified2.10", "unified2.9", "unified2.007", "unified2.+7", "unified2.x", "unified2.", "lock", "head"]
        {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        assert_eq!(segments(dir.path()).unwrap(), [9, 10]);
        assert_eq!(segments(&dir.path().join("none")).unwrap(), []);
        for name in ["netmap_3", "netmap_0", "netmap_a"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        assert_eq!(netmaps(dir.path()).unwrap(), [0, 3]);
    }
}
