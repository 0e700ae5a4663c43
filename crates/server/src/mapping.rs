//! The mappers of a service: one for each netmap there is an archive of.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use netmap::{Mapper, Orders, Policy};

use crate::log::{Speaker, say};

/// How often to look for new netmaps, and to try again what could not be opened.
const LOOK: Duration = Duration::from_secs(2);

/// The longest time in which nobody looks whether to stop.
const ATTENTION: Duration = Duration::from_millis(50);

/// What an administrator wants now.
pub(crate) type Ask = Arc<dyn Fn() -> Orders + Send + Sync>;

/// Runs mappers until it is stopped or dropped.
pub(crate) struct Mappers {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Mappers {
    /// Starts mappers for the archives below `root`.
    pub(crate) fn start(root: PathBuf, map: PathBuf, policy: Policy, ask: Ask) -> std::io::Result<Mappers> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("netmap".into());
        let thread = thread.spawn(move || manage(&root, &map, &policy, &ask, &stopped))?;
        Ok(Mappers { stop, thread: Some(thread) })
    }

    /// Ends all mappers and waits until they have written what they know. This blocks.
    pub(crate) fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            say!(error, Speaker::parent(), "NetworkMap", "The network map ended by a defect of this program");
        }
    }
}

impl Drop for Mappers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn manage(root: &std::path::Path, map: &std::path::Path, policy: &Policy, ask: &Ask, stop: &Arc<AtomicBool>) {
    let parent = Speaker::parent();
    let mut running: BTreeMap<u32, JoinHandle<()>> = BTreeMap::new();
    let mut said = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        running.retain(|_, thread| !thread.is_finished());
        // A mapper that begins writes.
        let netmaps = if ask().hold { Vec::new() } else { archive::netmaps(root).unwrap_or_default() };
        for netmap in netmaps {
            if running.contains_key(&netmap) {
                continue;
            }
            match begin(root, netmap, map, policy, ask, stop) {
                Ok(thread) => {
                    said.remove(&netmap);
                    running.insert(netmap, thread);
                }
                Err(error) => {
                    if said.get(&netmap) != Some(&error) {
                        say!(error, parent, "NetworkMap", "The network map of netmap {netmap} is not kept: {error}");
                        said.insert(netmap, error);
                    }
                }
            }
        }
        let since = Instant::now();
        while since.elapsed() < LOOK && !stop.load(Ordering::Relaxed) {
            thread::sleep(ATTENTION);
        }
    }
    for (netmap, thread) in running {
        if thread.join().is_err() {
            say!(error, parent, "NetworkMap", "The mapper of netmap {netmap} ended by a defect of this program");
        }
    }
}

fn begin(
    root: &std::path::Path,
    netmap: u32,
    map: &std::path::Path,
    policy: &Policy,
    ask: &Ask,
    stop: &Arc<AtomicBool>,
) -> Result<JoinHandle<()>, String> {
    let mapper = Mapper::open(root, netmap, map, policy.clone(), archive::Clock::system());
    let mapper = mapper.map_err(|error| error.to_string())?;
    let hosts = mapper.hosts();
    say!(info, Speaker::parent(), "NetworkMap", "The network map of netmap {netmap} has {hosts} hosts");
    let (stop, ask) = (stop.clone(), ask.clone());
    let thread = thread::Builder::new().name(format!("netmap {netmap}"));
    thread.spawn(move || mapper.run(&stop, || ask())).map_err(|error| error.to_string())
}
