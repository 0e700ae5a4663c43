//! `estreamer clean`: complete data files that are old are deleted.

use super::place::Place;
use crate::arguments::Clean;
use crate::exit::{Exit, Failure, say};
use collector::config::{Config, Place as Destination};
use outputs::{Settings, Target};
use std::time::Duration;

pub(crate) fn run(arguments: &Clean) -> Result<Exit, Failure> {
    let path = &arguments.of.config;
    // Also when it is not enabled: data may be left.
    let config = Config::examine(path)?;
    let age = Duration::from_secs(arguments.minutes.saturating_mul(60));
    let mut deleted = 0;
    let mut failed = false;
    for output in &config.outputs {
        let Destination::Files(Target::File { folder, name }) = &output.place else { continue };
        let settings = Settings::new(Place::open(path)?.folder.join(folder), name.clone());
        let files = outputs::file::expired(&settings, age);
        let files = files.map_err(|e| Failure::new(format!("{} cannot be read: {e}", settings.folder.display())))?;
        for file in files {
            if arguments.dry_run {
                say(file.display());
                continue;
            }
            match std::fs::remove_file(&file) {
                Ok(()) => deleted += 1,
                Err(error) => {
                    eprintln!("{} cannot be deleted: {error}", file.display());
                    failed = true;
                }
            }
        }
    }
    if !arguments.dry_run {
        say(format_args!("{deleted} files deleted"));
    }
    Ok(if failed { Exit::Incomplete } else { Exit::Done })
}
