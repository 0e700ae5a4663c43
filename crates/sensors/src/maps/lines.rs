//! Lines of a map file, and what is wrong with some of them.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use super::{MAX_WARNINGS, Reference};

/// A line that was skipped, or a file that could not be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapWarning {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1; 0 is the whole file.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for MapWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.reason),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.reason),
        }
    }
}

/// The warnings of one file, the first few of them.
#[derive(Debug)]
pub(crate) struct Warnings {
    file: PathBuf,
    list: Vec<MapWarning>,
    dropped: u64,
}

impl Warnings {
    pub(crate) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), list: Vec::new(), dropped: 0 }
    }

    pub(crate) fn add(&mut self, line: usize, reason: impl Into<String>) {
        if self.list.len() >= MAX_WARNINGS {
            self.dropped += 1;
            return;
        }
        self.list.push(MapWarning { file: self.file.clone(), line, reason: reason.into() });
    }

    pub(crate) fn list(&self) -> &[MapWarning] {
        &self.list
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// The lines of a file with their numbers, without comments and empty ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines<'a> {
    bytes: &'a [u8],
}

impl<'a> Lines<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        // Editors of another system put a byte order mark in front.
        Self { bytes: bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes) }
    }

    /// The first line, comment or not.
    pub(crate) fn first(&self) -> Cow<'a, str> {
        let line = self.bytes.split(|byte| *byte == b'\n').next();
        text(line.unwrap_or_default())
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = (usize, Cow<'a, str>)> {
        (1..)
            .zip(self.bytes.split(|byte| *byte == b'\n'))
            .map(|(number, line)| (number, text(line)))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    }
}

/// The parts of a line between `||`.
pub(crate) fn fields(line: &str) -> impl Iterator<Item = &str> {
    line.split("||").map(str::trim)
}

/// A number that must be there, or the reason to skip the line.
pub(crate) fn number(field: Option<&str>, what: &str) -> Result<u32, String> {
    match field {
        None => Err(format!("no {what}: the line has too few fields")),
        Some(text) => text.parse().map_err(|_| format!("{what} {:?} is not a number", brief(text))),
    }
}

/// A text that must be there, or the reason to skip the line.
pub(crate) fn message(field: Option<&str>) -> Result<String, String> {
    match field {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err("no message".to_owned()),
    }
}

/// References, which fill the rest of a line.
pub(crate) fn references<'a>(fields: impl Iterator<Item = &'a str>) -> Vec<Reference> {
    fields
        .filter(|field| !field.is_empty())
        .map(|field| {
            let (system, id) = field.split_once(',').unwrap_or(("", field));
            Reference { system: system.trim().to_owned(), id: id.trim().to_owned() }
        })
        .collect()
}

/// The start of a text, short enough for a warning.
pub(crate) fn brief(text: &str) -> String {
    text.chars().take(40).collect()
}

/// A trimmed line; bytes that are not UTF-8 are replaced.
fn text(line: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(line.trim_ascii())
}
