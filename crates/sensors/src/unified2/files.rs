//! The files of a spool directory, in the order they were begun.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::SpoolError;

/// A directory's times may be this coarse: a listing made sooner after a
/// change may miss a file made in the same tick.
const COARSEST: Duration = Duration::from_secs(2);

/// One file of a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) number: u64,
    pub(crate) name: String,
}

/// Lists a spool directory, again only when it has changed.
#[derive(Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    base: Option<String>,
    listed: Vec<Numbered>,
    /// The directory's time of change, when a listing made then can be trusted.
    seen: Option<SystemTime>,
}

impl Files {
    /// `base` is the name before the number; without it the only one there is
    /// taken, as soon as there is one.
    pub(crate) fn new(dir: PathBuf, base: Option<String>) -> Self {
        Self { dir, base, listed: Vec::new(), seen: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The file begun next after the one with this number; the first of all
    /// without a number.
    pub(crate) fn after(&mut self, number: Option<u64>) -> Result<Option<Numbered>, SpoolError> {
        self.refresh()?;
        let past = self.listed.partition_point(|file| number.is_some_and(|number| file.number <= number));
        Ok(self.listed.get(past).cloned())
    }

    fn refresh(&mut self) -> Result<(), SpoolError> {
        // The time is taken first: what changes during the listing is seen
        // as a change the next time.
        let now = SystemTime::now();
        let changed = fs::metadata(&self.dir)
            .and_then(|meta| meta.modified())
            .map_err(|source| SpoolError::io("look at spool directory", &self.dir, source))?;
        if self.seen == Some(changed) {
            return Ok(());
        }
        self.list()?;
        let settled = now.duration_since(changed).is_ok_and(|age| age > COARSEST);
        self.seen = settled.then_some(changed);
        Ok(())
    }

    fn list(&mut self) -> Result<(), SpoolError> {
        let failed = |source| SpoolError::io("list spool directory", &self.dir, source);
        let mut listed = Vec::new();
        let mut bases = BTreeSet::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let Some((base, number)) = split_name(&name) else {
                continue;
            };
            if self.base.as_deref().is_some_and(|wanted| wanted != base)
                || !entry.file_type().is_ok_and(|t| t.is_file() || t.is_symlink())
            {
                continue;
            }
            if !bases.contains(base) {
                bases.insert(base.to_owned());
            }
            listed.push(Numbered { number, name });
        }
        if bases.len() > 1 {
            return Err(SpoolError::SeveralBases {
                dir: self.dir.clone(),
                bases: bases.into_iter().take(8).collect::<Vec<_>>().join(", "),
            });
        }
        if self.base.is_none() {
            self.base = bases.into_iter().next();
        }
        listed.sort_unstable_by(|a, b| (a.number, &a.name).cmp(&(b.number, &b.name)));
        self.listed = listed;
        Ok(())
    }
}

/// Splits `unified2.log.1322000000` into base and number. The number is a Unix
/// second, so shorter ones, such as those log rotation appends, are not it.
pub(crate) fn split_name(name: &str) -> Option<(&str, u64)> {
    let (base, digits) = name.rsplit_once('.')?;
    let second = digits.len() >= 9 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if base.is_empty() || !second {
        return None;
    }
    Some((base, digits.parse().ok()?))
}

/// The last part of a path, as text.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_split_at_the_second() {
        assert_eq!(split_name("unified2.log.1322000000"), Some(("unified2.log", 1_322_000_000)));
        assert_eq!(split_name("u2.999999999"), Some(("u2", 999_999_999)));
        for other in [
            "unified2.log",
            "unified2.log.1",
            "unified2.log.1322000000.gz",
            "unified2.log.13220000x0",
            "unified2.log.99999999999999999999999",
            ".1322000000",
            "1322000000",
            "",
        ] {
            assert_eq!(split_name(other), None, "{other}");
        }
    }
}
