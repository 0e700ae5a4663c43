//! Where a collector's or sensor's log goes.

use crate::exit::Failure;
use crate::live::Above;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Mutex;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Logs to standard error, and to a file if one is named. `ESTREAMER_LOG` overrides the level.
pub(crate) fn start(level: &str, file: Option<&Path>) -> Result<(), Failure> {
    let filter = EnvFilter::try_from_env("ESTREAMER_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let file = match file {
        None => None,
        Some(path) => {
            let open = OpenOptions::new().create(true).append(true).open(path);
            let file =
                open.map_err(|e| Failure::new(format!("the log file {} cannot be opened: {e}", path.display())))?;
            Some(layer().with_ansi(false).with_target(false).with_writer(Mutex::new(file)))
        }
    };
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let stderr = layer().with_target(false).with_ansi(terminal).with_writer(Above::default);
    tracing_subscriber::registry().with(filter).with(stderr).with(file).init();
    Ok(())
}
