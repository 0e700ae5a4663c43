//! A map file, what was read from it, and whether it has changed since.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::lines::{Lines, Warnings};
use super::{MAX_FILE, MapError};

/// Which files to read; `None` is done without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapFiles {
    /// `sid-msg.map`, version 1 or 2.
    pub sid_msg: Option<PathBuf>,
    /// `gen-msg.map`.
    pub gen_msg: Option<PathBuf>,
    /// `classification.config`.
    pub classification: Option<PathBuf>,
}

impl MapFiles {
    /// The three files by their usual names.
    pub fn in_dir(dir: impl AsRef<Path>) -> Self {
        let dir = dir.as_ref();
        Self {
            sid_msg: Some(dir.join("sid-msg.map")),
            gen_msg: Some(dir.join("gen-msg.map")),
            classification: Some(dir.join("classification.config")),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Path> {
        [&self.sid_msg, &self.gen_msg, &self.classification].into_iter().flatten().map(PathBuf::as_path)
    }
}

/// Reads the lines of a map.
pub(crate) type Parse<T> = fn(Lines<'_>, &mut Warnings) -> T;

/// One map file and its contents.
#[derive(Debug)]
pub(crate) struct Source<T> {
    path: Option<PathBuf>,
    parse: Parse<T>,
    stamp: Option<Stamp>,
    value: T,
    warnings: Warnings,
}

impl<T: Default> Source<T> {
    /// `required`: that there is no such file is an error.
    pub(crate) fn load(path: Option<PathBuf>, parse: Parse<T>, required: bool) -> Result<Self, MapError> {
        let mut source = Self {
            warnings: Warnings::new(path.as_deref().unwrap_or(Path::new(""))),
            path,
            parse,
            stamp: None,
            value: T::default(),
        };
        match source.read() {
            Err(MapError::Io { source: error, .. }) if !required && error.kind() == io::ErrorKind::NotFound => {}
            read => read?,
        }
        Ok(source)
    }

    pub(crate) fn value(&self) -> &T {
        &self.value
    }

    pub(crate) fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// Reads the file again when it has changed; `true` when it was read.
    pub(crate) fn refresh(&mut self) -> bool {
        let Some(path) = &self.path else {
            return false;
        };
        let now = fs::metadata(path).ok().map(|meta| Stamp::of(&meta));
        if now == self.stamp {
            return false;
        }
        let read = self.read();
        if let Err(error) = &read {
            // Said once: the next look finds the same state of the file.
            self.stamp = now;
            self.warnings.add(0, error.to_string());
        }
        read.is_ok()
    }

    fn read(&mut self) -> Result<(), MapError> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let failed = |source| MapError::Io { path: path.clone(), source };
        // Opening a pipe would wait for a writer.
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("it is not a regular file")));
        }
        let file = File::open(path).map_err(failed)?;
        // The stamp is taken before the contents: what is written meanwhile is
        // a change the next time.
        let stamp = Stamp::of(&file.metadata().map_err(failed)?);
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(MapError::TooLarge { path: path.clone() });
        }
        let mut warnings = Warnings::new(path);
        self.value = (self.parse)(Lines::new(&bytes), &mut warnings);
        self.warnings = warnings;
        self.stamp = Some(stamp);
        Ok(())
    }
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
}

impl Stamp {
    fn of(meta: &fs::Metadata) -> Self {
        Self { modified: meta.modified().ok(), len: meta.len() }
    }
}
