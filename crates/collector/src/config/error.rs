//! Why a configuration cannot be used.

use crate::filter::FilterError;
use outputs::FormatError;
use std::path::PathBuf;
use thiserror::Error;

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "{path} cannot be read: {source}. Name the right file with --config, or write one: the README has an example"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is no JSON, or no TOML.
    #[error("{path}, line {line}, column {column}: {message}. The file must be {language}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong.
        message: String,
        /// What it must be.
        language: &'static str,
    },
    /// A key is missing.
    #[error("{path}: {key} is missing: {wanted}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The key with its parents.
        key: String,
        /// What belongs there.
        wanted: &'static str,
    },
    /// A value is of no use.
    #[error("{path}: {key} is {value}, but it must be {wanted}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key with its parents.
        key: String,
        /// The value found.
        value: String,
        /// What belongs there.
        wanted: &'static str,
    },
    /// A stream URI that names no destination.
    #[error("{path}: {key}: {source}")]
    Uri {
        /// The file.
        path: PathBuf,
        /// The key with its parents.
        key: String,
        /// What is wrong with it.
        source: Box<outputs::uri::UriError>,
    },
    /// A receiver that cannot be set up.
    #[error("{path}: {key}: {source}")]
    Network {
        /// The file.
        path: PathBuf,
        /// The key with its parents.
        key: String,
        /// What is wrong.
        source: Box<outputs::transport::SetupError>,
    },
    /// No such format.
    #[error("{path}: {key}: {source}")]
    Format {
        /// The file.
        path: PathBuf,
        /// The key with its parents.
        key: String,
        /// What is wrong.
        source: Box<FormatError>,
    },
    /// A filter that cannot be understood.
    #[error("{path}: {key}: {source}")]
    Filter {
        /// The file.
        path: PathBuf,
        /// The key with its parents.
        key: String,
        /// What is wrong with it.
        source: Box<FilterError>,
    },
    /// `enabled` is false.
    #[error("{0}: enabled is false, so there is nothing to do. Set it to true to collect")]
    Disabled(PathBuf),
}
