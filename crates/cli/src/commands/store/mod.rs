//! `estreamer store`: the care of an archive.

mod check;
mod export;
mod repair;
mod room;

use crate::arguments::Store;
use crate::exit::{Exit, Failure};
use crate::logging;
use jiff::Timestamp;
use server::Home;
use std::path::Path;

pub(crate) fn run(arguments: &Store) -> Result<Exit, Failure> {
    logging::start("warn");
    match arguments {
        Store::Check(arguments) => check::run(arguments),
        Store::Repair(arguments) => repair::run(arguments),
        Store::Export(arguments) => export::run(arguments),
        Store::Size(arguments) => room::size(arguments),
        Store::Prune(arguments) => room::prune(arguments),
    }
}

/// The network maps that are meant: the one, which must be there, or all.
fn netmaps(home: &Home, only: Option<u32>) -> Result<Vec<u32>, Failure> {
    let there = archive::netmaps(&home.archive())?;
    match only {
        None => Ok(there),
        Some(netmap) if there.contains(&netmap) => Ok(vec![netmap]),
        Some(netmap) => Err(Failure::new(format!(
            "{} has no archive of netmap {netmap}; there is {}",
            home.archive().display(),
            match &there[..] {
                [] => "none".to_owned(),
                some => some.iter().map(u32::to_string).collect::<Vec<_>>().join(", "),
            }
        ))),
    }
}

/// A second in words.
fn time(second: u32) -> String {
    Timestamp::from_second(second.into()).map_or_else(|_| second.to_string(), |time| time.to_string())
}

/// The name of a file, without its folders.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
