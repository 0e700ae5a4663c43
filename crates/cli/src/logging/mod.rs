//! Where logs go, and how their lines look.

mod file;
mod form;

use crate::exit::Failure;
use crate::live::Above;
use collector::config::Log;
use file::{LogFile, LogWriter};
use form::{Encore, Json};
use std::sync::Arc;
use tracing::Subscriber;
use tracing_subscriber::fmt::{MakeWriter, layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Overrides the level of every log.
const LEVEL: &str = "ESTREAMER_LOG";

fn filter(level: &str) -> EnvFilter {
    EnvFilter::try_from_env(LEVEL).unwrap_or_else(|_| EnvFilter::new(level))
}

/// Logs to standard error. `ESTREAMER_LOG` overrides the level.
pub(crate) fn start(level: &str) {
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let stderr = layer().with_target(false).with_ansi(terminal).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(filter(level)).with(stderr).init();
}

/// The log of a collector, to be opened again when its file was renamed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Handle(Option<Arc<LogFile>>);

impl Handle {
    /// Goes on in a file of the configured name.
    pub(crate) fn reopen(&self) {
        if let Some(file) = &self.0 {
            match file.reopen() {
                Ok(()) => tracing::info!("The log file was opened again"),
                Err(error) => {
                    tracing::error!("the log file cannot be opened again: {error}. The old one is written on")
                }
            }
        }
    }
}

/// The log of a collector: in the lines of eNcore, or as JSON, where the configuration says.
pub(crate) fn collector(log: &Log) -> Result<Handle, Failure> {
    let file = match &log.file {
        None => None,
        Some(path) => {
            let opened = LogFile::open(path, log.max_bytes, log.keep_files);
            let failed = |e| Failure::new(format!("the log file {} cannot be opened: {e}", path.display()));
            Some(Arc::new(opened.map_err(failed)?))
        }
    };
    let to_file = file.clone().map(|file| lines(log, Shared(file)));
    // Above the live view, where there is one.
    let stdout = log.stdout.then(|| lines(log, Above::stdout));
    let stderr = log.stderr.then(|| lines(log, Above::stderr));
    tracing_subscriber::registry().with(filter(log.level)).with(to_file).with(stdout).with(stderr).init();
    Ok(Handle(file))
}

/// Lets the log's file be written from everywhere.
struct Shared(Arc<LogFile>);

impl<'a> MakeWriter<'a> for Shared {
    type Writer = LogWriter<'a>;

    fn make_writer(&'a self) -> LogWriter<'a> {
        self.0.writer()
    }
}

fn lines<S, W>(log: &Log, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = layer().with_ansi(false).with_writer(writer);
    if log.json { layer.event_format(Json).boxed() } else { layer.event_format(Encore).boxed() }
}
