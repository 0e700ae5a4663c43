//! `estreamer collect`.

use super::stop_flag;
use crate::arguments::Collect;
use crate::exit::{Exit, Failure};
use crate::live::Live;
use crate::logging;
use collector::config::{Config, Secret};
use collector::run::Collector;
use collector::stats::{OutputCounts, Stats};
use std::io::IsTerminal;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(crate) fn run(arguments: &Collect) -> Result<Exit, Failure> {
    let config = load(&arguments.config)?;
    logging::start(config.log_level, config.log_file.as_deref())?;
    for warning in &config.warnings {
        tracing::warn!("{}: {warning}", arguments.config.display());
    }
    let stop = stop_flag()?;
    loop {
        let collector = Collector::start(config.clone())?;
        let status = collector.status().clone();
        let shown = !config.prints() || !std::io::stdout().is_terminal();
        let mut live = shown.then(|| Live::new(&status)).flatten();
        while !stop.load(Ordering::Relaxed) && !collector.ended() {
            std::thread::sleep(Duration::from_millis(50));
            if let Some(live) = &mut live {
                live.tick(&status);
            }
        }
        collector.stop();
        let outcome = collector.join();
        drop(live);
        for source in &status.sources {
            tracing::info!("Stopped. {}: {}", source.name, summary(source));
        }
        for output in &status.outputs {
            tracing::info!("{}: {}", output.name, lines(&output.counts()));
        }
        match outcome {
            Ok(()) => return Ok(Exit::Done),
            Err(error) if error.closed() => return Ok(Exit::Done),
            Err(error) if error.again() && !stop.load(Ordering::Relaxed) => {
                tracing::error!("{error}. Starting again from the checkpoint");
                std::thread::sleep(Duration::from_secs(1));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// What became of the records of an output: the parts add up to the whole.
fn lines(counts: &OutputCounts) -> String {
    format!(
        "{} received + {} waiting before = {} delivered + {} filtered + {} refused + {} dropped + {} pending",
        counts.received,
        counts.before,
        counts.delivered,
        counts.filtered,
        counts.failed,
        counts.dropped,
        counts.pending
    )
}

/// What became of the records of a management center: the parts add up to the whole.
fn summary(stats: &Stats) -> String {
    let counts = stats.counts();
    format!(
        "{} received = {} delivered + {} filtered + {} not understood + {} known before + {} sent by another member + {} pending",
        counts.received,
        counts.delivered,
        counts.filtered,
        counts.failed,
        counts.known,
        counts.duplicate,
        counts.pending
    )
}

/// Reads a configuration; the password may come from the environment.
pub(crate) fn load(path: &Path) -> Result<Config, Failure> {
    let mut config = Config::load(path)?;
    if let Ok(password) = std::env::var("ESTREAMER_PASSWORD") {
        for server in config.servers.iter_mut().filter(|s| s.password.is_none()) {
            server.password = Some(Secret(password.clone()));
        }
    }
    Ok(config)
}
