//! The publishers of a service, one for each source, and its groups of lines.

use crate::error::LineError;
use crate::line::{Line, parse};
use crate::publisher::{PublishError, Publisher, Settings};
use crate::report::Report;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Lines with their numbers, and what is wrong with those that are too long.
pub(crate) type Group = Vec<(u64, Result<Vec<u8>, LineError>)>;

/// Who publishes through a service, each by a publisher of its own.
#[derive(Debug)]
pub(crate) struct Sources {
    root: PathBuf,
    netmap: u32,
    settings: Settings,
    /// Set when the service ends: nobody waits any longer.
    stopping: AtomicBool,
    open: Mutex<HashMap<String, Arc<Mutex<Publisher>>>>,
}

impl Sources {
    /// Sources that write to the archive of `netmap` below `root`; their names apart, they have the same settings.
    pub(crate) fn new(root: PathBuf, netmap: u32, settings: Settings) -> Self {
        Sources { root, netmap, settings, stopping: AtomicBool::new(false), open: Mutex::new(HashMap::new()) }
    }

    /// Opens a source before anything comes for it, so that it is known.
    pub(crate) fn prepare(&self, source: &str) {
        if let Err(error) = self.publisher(source) {
            tracing::warn!(source, "the source cannot be opened yet: {error}");
        }
    }

    /// Nobody waits for the end of a pause any longer.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Publishes a group of lines; what the report says is durable. It takes a sync of the disk. While the source is held
    /// this is refused, or, if `patient`, takes as long.
    pub(crate) fn publish(&self, source: &str, group: Group, patient: bool) -> Result<Report, PublishError> {
        let defaults = self.settings.defaults();
        // The work for the processor is done before others have to wait.
        let lines: Vec<_> =
            group.into_iter().map(|(number, line)| (number, line.and_then(|line| parse(&line, &defaults)))).collect();
        let publisher = self.publisher(source)?;
        let mut publisher = publisher.lock().unwrap_or_else(PoisonError::into_inner);
        while let Err(held) = publisher.enter() {
            if !patient || !publisher.wait_while_held(&self.stopping) {
                return Err(held);
            }
        }
        let published = take(&mut publisher, lines);
        publisher.leave();
        published
    }

    fn publisher(&self, source: &str) -> Result<Arc<Mutex<Publisher>>, PublishError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(publisher) = open.get(source) {
            return Ok(publisher.clone());
        }
        let settings = Settings { source: source.to_owned(), ..self.settings.clone() };
        let publisher = Publisher::open(&self.root, self.netmap, &settings, &AtomicBool::new(true))?;
        let publisher = Arc::new(Mutex::new(publisher));
        open.insert(source.to_owned(), publisher.clone());
        Ok(publisher)
    }
}

fn take(publisher: &mut Publisher, lines: Vec<(u64, Result<Line, LineError>)>) -> Result<Report, PublishError> {
    let mut report = Report::default();
    // When there is no room the caller is told, and keeps its lines.
    let once = AtomicBool::new(true);
    let taken = lines.into_iter().try_for_each(|(number, line)| publisher.take(number, line, &mut report));
    match taken.and_then(|()| publisher.commit(&once)) {
        Ok(()) => Ok(report),
        Err(error) => {
            publisher.discard()?;
            Err(error)
        }
    }
}
