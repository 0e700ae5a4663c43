//! Which files to write, when they are complete and what becomes of them then.

use crate::scp::Scp;
use std::path::PathBuf;
use std::time::Duration;

/// Which files to write.
///
/// A file is complete when one of the limits is reached; then the next is begun. Without any limit there is one file for
/// ever. Limits and everything that concerns complete files need a `{0}` in the name: without it there is no next name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the files are; created when missing, relative to the working directory. Must be UTF-8.
    pub folder: PathBuf,
    /// Name of the files, with `{0}` for the epoch second; empty means `log{0}`.
    pub name: String,
    /// What every file begins with, as CSV does with the names of its columns. It counts as no line.
    pub header: Vec<u8>,
    /// Lines of a file before the next one is begun; at least 1.
    pub lines_per_file: Option<usize>,
    /// Bytes of a file before the next one is begun. Lines are not cut: a file may exceed this by a few of them.
    pub max_bytes: Option<u64>,
    /// Time from the first line of a file to its completion, even if nothing more is written. At least a millisecond.
    pub max_age: Option<Duration>,
    /// [`max_age`](Settings::max_age) ends at its multiples since 1970-01-01 00:00 UTC: 3,600 s is the full hour, 86,400 s
    /// is midnight UTC.
    pub aligned: bool,
    /// While it is written a file has a hidden name (`.NAME.part`). It gets its own when it is complete, at one stroke, so
    /// that who looks for `NAME` never sees half a file. eNcore writes under the final name.
    pub partial: bool,
    /// What complete files are compressed with.
    pub compression: Option<Compression>,
    /// Which complete files are deleted.
    pub retention: Retention,
    /// Where complete files are copied to. They are deleted here when they are there, and not before: retention does not
    /// apply.
    pub copy: Option<Scp>,
}

/// How complete files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `NAME.gz`
    Gzip,
    /// `NAME.zst`
    Zstd,
}

/// How many complete files are kept; the oldest are deleted first. Nothing set: all of them, as eNcore does. Only files
/// in the folder with a name that these settings could have given count, and never the one being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// At most so many.
    pub files: Option<usize>,
    /// At most so many bytes in all.
    pub bytes: Option<u64>,
    /// At most so old, counted from their last line.
    pub age: Option<Duration>,
}

impl Settings {
    /// One file for ever, or another one at each start if `name` has a `{0}`.
    pub fn new(folder: impl Into<PathBuf>, name: impl Into<String>) -> Settings {
        Settings {
            folder: folder.into(),
            name: name.into(),
            header: Vec::new(),
            lines_per_file: None,
            max_bytes: None,
            max_age: None,
            aligned: false,
            partial: false,
            compression: None,
            retention: Retention::default(),
            copy: None,
        }
    }

    /// Something is to be done with complete files.
    pub(super) fn keeps(&self) -> bool {
        self.compression.is_some() || self.retention.is_some() || self.copy.is_some()
    }

    /// Takes away what makes no sense for a name that cannot change.
    pub(super) fn fix_name(&mut self) {
        let lost = self.max_bytes.is_some() || self.max_age.is_some() || self.partial || self.keeps();
        if lost {
            tracing::warn!(
                name = self.name,
                "the name of the output has no {{0}} for a number: there is one file for ever, never complete"
            );
        }
        let (folder, name) = (std::mem::take(&mut self.folder), std::mem::take(&mut self.name));
        *self = Settings::new(folder, name);
    }
}

impl Compression {
    /// What is appended to the name.
    pub fn suffix(self) -> &'static str {
        match self {
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        }
    }

    pub(super) const ALL: [Compression; 2] = [Compression::Gzip, Compression::Zstd];
}

impl Retention {
    /// Something is ever deleted.
    pub fn is_some(&self) -> bool {
        self.files.is_some() || self.bytes.is_some() || self.age.is_some()
    }
}
