//! The texts that belong to a sensor's numbers: what a rule says, what a
//! classification is called.
//!
//! Unified2 records carry numbers only. Snort and the programs that fetch rules
//! write the texts to `sid-msg.map`, `gen-msg.map` and `classification.config`.
//! These files are edited by hand and by scripts, so reading is lenient: a line
//! that makes no sense is skipped and reported, never a reason to stop.

mod classification;
mod gen_msg;
mod lines;
mod sid_msg;
mod source;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use classification::Classification;
pub use lines::MapWarning;
pub use source::MapFiles;

use classification::Classifications;
use sid_msg::SidMessages;
use source::Source;

/// The largest map file that is read, in bytes (256 MiB); real ones have a few.
pub const MAX_FILE: u64 = 256 * 1024 * 1024;

/// The most warnings kept of one file; more are only counted.
pub const MAX_WARNINGS: usize = 100;

/// What is known about a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleMessage {
    /// Revision of the rule, where the file tells (`sid-msg.map` version 2).
    pub revision: Option<u32>,
    /// Short name of its classification, where the file tells.
    pub classification: Option<String>,
    /// Its priority, 1 is the highest, where the file tells.
    pub priority: Option<u32>,
    /// Its text.
    pub message: String,
    /// Where more is written about it.
    pub references: Vec<Reference>,
}

/// A pointer to more about a rule, such as `cve,1999-0660`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Which collection: `cve`, `bugtraq`, `url` and so on. Empty when the
    /// file names none.
    pub system: String,
    /// Which entry of it.
    pub id: String,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.system.is_empty() {
            return f.write_str(&self.id);
        }
        write!(f, "{},{}", self.system, self.id)
    }
}

/// The maps of one sensor.
#[derive(Debug)]
pub struct RuleMaps {
    sids: Source<SidMessages>,
    generators: Source<HashMap<(u32, u32), RuleMessage>>,
    classifications: Source<Classifications>,
}

impl RuleMaps {
    /// Reads the maps of a directory, by their usual names. Those that are not
    /// there are done without, and picked up by [`RuleMaps::refresh`] when they
    /// come.
    ///
    /// # Errors
    /// [`MapError`] when none is there, or one cannot be read.
    pub fn load(dir: impl AsRef<Path>) -> Result<Self, MapError> {
        let dir = dir.as_ref();
        let files = MapFiles::in_dir(dir);
        if !files.iter().any(|path| path.exists()) {
            return Err(MapError::NoMaps { dir: dir.to_owned() });
        }
        Self::read(files, false)
    }

    /// Reads the named files.
    ///
    /// # Errors
    /// [`MapError`] when one of them is not there or cannot be read.
    pub fn load_files(files: MapFiles) -> Result<Self, MapError> {
        Self::read(files, true)
    }

    fn read(files: MapFiles, required: bool) -> Result<Self, MapError> {
        Ok(Self {
            sids: Source::load(files.sid_msg, sid_msg::parse, required)?,
            generators: Source::load(files.gen_msg, gen_msg::parse, required)?,
            classifications: Source::load(files.classification, classification::parse, required)?,
        })
    }

    /// What rule `sid` of generator `gid` says.
    ///
    /// A `sid-msg.map` of version 1 has no generators and stands for 1 (text
    /// rules) and 3 (shared object rules); one of version 2 names them. What
    /// is not there is looked for in `gen-msg.map`.
    #[must_use]
    pub fn message(&self, gid: u32, sid: u32) -> Option<&RuleMessage> {
        let listed = self.sids.value().message(gid, sid);
        listed.or_else(|| self.generators.value().get(&(gid, sid)))
    }

    /// Classification number `id`, as events carry it; 0 is none.
    #[must_use]
    pub fn classification(&self, id: u32) -> Option<&Classification> {
        self.classifications.value().by_id(id)
    }

    /// The classification with this short name, in any case of letters.
    #[must_use]
    pub fn classification_named(&self, name: &str) -> Option<&Classification> {
        self.classifications.value().by_name(name)
    }

    /// Reads again the files that have changed; `true` when one had. A file
    /// that cannot be read leaves what was known from it and adds a warning.
    pub fn refresh(&mut self) -> bool {
        let sids = self.sids.refresh();
        let generators = self.generators.refresh();
        let classifications = self.classifications.refresh();
        sids || generators || classifications
    }

    /// What was skipped, file by file: at most [`MAX_WARNINGS`] of each.
    pub fn warnings(&self) -> impl Iterator<Item = &MapWarning> {
        let sids = self.sids.warnings().list();
        let generators = self.generators.warnings().list();
        let classifications = self.classifications.warnings().list();
        sids.iter().chain(generators).chain(classifications)
    }

    /// How many more warnings there were than are kept.
    #[must_use]
    pub fn warnings_dropped(&self) -> u64 {
        self.sids.warnings().dropped()
            + self.generators.warnings().dropped()
            + self.classifications.warnings().dropped()
    }

    /// How many rules, generator messages and classifications are known.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.sids.value().len(), self.generators.value().len(), self.classifications.value().len())
    }
}

/// Why the maps cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MapError {
    /// None of the usual files is in the directory.
    #[error(
        "{} has neither sid-msg.map nor gen-msg.map nor classification.config: give the directory of the sensor's rule maps", dir.display()
    )]
    NoMaps {
        /// The directory.
        dir: PathBuf,
    },
    /// The file system said no.
    #[error("cannot read rule map {}: {source}; check that the path is right and readable", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is too large to be a map.
    #[error("rule map {} has more than {MAX_FILE} bytes: give the right file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}
