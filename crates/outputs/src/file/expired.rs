//! Complete files that are older than somebody wants them, for a sweep from outside.

use super::names::{Names, Own};
use super::os;
use super::settings::Settings;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// The complete files of an output whose last change is at least `age` ago. The newest one is never among them, nor one
/// that is open: an output goes on with it. Files of other names are not looked at, and names without `{0}` have no
/// complete files.
///
/// # Errors
/// If the folder cannot be read; one that is not there has no files.
pub fn expired(settings: &Settings, age: Duration) -> io::Result<Vec<PathBuf>> {
    let pattern = if settings.name.is_empty() { "log{0}".to_owned() } else { settings.name.clone() };
    let names = Names { folder: settings.folder.clone(), pattern };
    let entries = match fs::read_dir(&settings.folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(Own::Plain(stamp) | Own::Packed(stamp)) = entry.file_name().to_str().and_then(|n| names.kind(n)) {
            files.push((stamp, entry));
        }
    }
    files.sort_by_key(|(stamp, _)| *stamp);
    files.pop();
    let now = SystemTime::now();
    let mut expired = Vec::new();
    for (_, entry) in files {
        let Ok(data) = entry.metadata() else { continue };
        let old = data.modified().is_ok_and(|time| now.duration_since(time).is_ok_and(|passed| passed >= age));
        if old && data.is_file() && !os::in_use(&entry.path()) {
            expired.push(entry.path());
        }
    }
    Ok(expired)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_files_of_the_pattern_that_are_old() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::new(dir.path(), "encore.{0}.json");
        assert!(expired(&Settings::new(dir.path().join("none"), "x{0}"), Duration::ZERO).unwrap().is_empty());
        let names =
            ["encore.1700000000.json", "encore.1700000001.json.gz", "encore.1700000002.json", "encore.1700000003.json"];
        let others = ["encore.x.json", "other.1700000000.json", "notes.txt", ".encore.1700000000.json.part"];
        for name in names.iter().chain(&others) {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let open = os::open(&dir.path().join("encore.1700000002.json"), false).unwrap();
        let found = expired(&settings, Duration::ZERO).unwrap();
        assert_eq!(
            found,
            [dir.path().join(names[0]), dir.path().join(names[1])],
            "neither the open one nor the newest"
        );
        drop(open);
        assert_eq!(expired(&settings, Duration::ZERO).unwrap().len(), 3);
        assert!(expired(&settings, Duration::from_secs(3600)).unwrap().is_empty(), "all are young");
    }
}
