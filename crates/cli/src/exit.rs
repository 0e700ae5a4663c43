//! Exit codes and what a failed command says.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

/// How a command ends. The numbers are documented in `--help` and in the manual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// It failed; standard error says why. (2 is a wrong argument: clap's.)
    Failed = 1,
    /// Done, but not everything could be understood or arrived: standard error says what.
    Incomplete = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command failed: a sentence, its cause, and a remedy where there is one.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// A failure in these words.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Failure(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    /// The error and, where its own text does not say them, its causes.
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let words = inner.to_string();
            if !text.contains(&words) {
                text.push_str(": ");
                text.push_str(&words);
            }
            cause = inner.source();
        }
        Failure(text)
    }
}

/// Prints a line. Whoever reads it may have seen enough and gone: no fault of the command.
pub(crate) fn say(line: impl fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints words without ending the line, at once.
pub(crate) fn hint(words: impl fmt::Display) {
    let mut out = std::io::stdout();
    let _ = write!(out, "{words}").and_then(|()| out.flush());
}
