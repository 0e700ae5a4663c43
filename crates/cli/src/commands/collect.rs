//! `estreamer collect`.

use super::stop_flag;
use crate::arguments::Collect;
use crate::exit::{Exit, Failure};
use crate::logging;
use collector::config::{Config, Secret};
use collector::run::Collector;
use collector::stats::Stats;
use outputs::Counts;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(crate) fn run(arguments: &Collect) -> Result<Exit, Failure> {
    let config = load(&arguments.config)?;
    logging::start(config.log.level, config.log.file.as_deref())?;
    for warning in &config.warnings {
        tracing::warn!("{}: {warning}", arguments.config.display());
    }
    let stop = stop_flag()?;
    loop {
        let collector = Collector::start(config.clone())?;
        while !stop.load(Ordering::Relaxed) && !collector.ended() {
            std::thread::sleep(Duration::from_millis(50));
        }
        collector.stop();
        let (stats, receivers) = (collector.stats().clone(), collector.receivers().to_vec());
        let outcome = collector.join();
        tracing::info!("{}", summary(&stats));
        for (uri, metrics) in receivers {
            tracing::info!("{uri}: {}", receiver(&metrics.counts()));
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

fn receiver(counts: &Counts) -> String {
    format!(
        "{} lines written = {} sent + {} refused + {} dropped + {} pending",
        counts.written, counts.sent, counts.failed, counts.dropped, counts.pending
    )
}

fn summary(stats: &Stats) -> String {
    format!(
        "Stopped. {} received = {} delivered + {} filtered + {} not understood + {} known before + {} pending",
        stats.received.value(),
        stats.delivered.value(),
        stats.filtered.value(),
        stats.failed.value(),
        stats.known.value(),
        stats.pending()
    )
}

/// Reads a configuration; the password may come from the environment.
pub(crate) fn load(path: &Path) -> Result<Config, Failure> {
    let mut config = Config::load(path)?;
    if let Ok(password) = std::env::var("ESTREAMER_PASSWORD") {
        config.server.password = Some(Secret(password));
    }
    Ok(config)
}
