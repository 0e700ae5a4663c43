//! The archives that are served, one for each domain (netmap), opened when a session first needs them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use archive::{Catalog, Tail};
use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::log::{Speaker, say};
use crate::pulse::{Beat, Pulse};
use crate::server::follow;

/// The archive of a domain.
#[derive(Debug)]
pub(crate) struct Domain {
    pub(crate) netmap: u32,
    pub(crate) catalog: Arc<Catalog>,
    /// Its folder; it need not be there yet.
    pub(crate) folder: PathBuf,
    /// Changes with every commit.
    pub(crate) heads: watch::Receiver<u64>,
    /// Its follower is waited for as long as it is served.
    _beat: Beat,
}

/// All that were needed so far.
#[derive(Debug)]
pub(crate) struct Domains {
    root: PathBuf,
    pulse: Arc<Pulse>,
    open: Mutex<BTreeMap<u32, Arc<Domain>>>,
}

impl Domains {
    /// The domains below an archive's root. What a crash left in their archives is repaired; where that fails for
    /// another domain than the first, `netmap`, the log says so.
    /// `pulse` shows that each domain is followed.
    pub(crate) fn open(root: PathBuf, netmap: u32, pulse: Arc<Pulse>) -> Result<Domains> {
        // Opening as a writer repairs; nothing is ever written.
        drop(archive::Archive::open(&root, netmap, archive::Options::default())?);
        for other in archive::netmaps(&root)?.into_iter().filter(|other| *other != netmap) {
            if let Err(error) = archive::Archive::open(&root, other, archive::Options::default()) {
                say!(
                    error,
                    Speaker::parent(),
                    "Unified2Iterator",
                    "The archive of netmap {other} cannot be examined: {error}"
                );
            }
        }
        let domains = Domains { root, pulse, open: Mutex::default() };
        domains.get(netmap)?;
        Ok(domains)
    }

    /// Archival second of the last commit; 0 when nothing was ever committed, or it cannot be read.
    pub(crate) fn committed(&self, netmap: u32) -> u32 {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(&netmap).and_then(|domain| domain.catalog.head().ok().flatten()).map_or(0, |head| head.second)
    }

    /// Bytes of deleted segments that sessions still read: they are free only when these sessions are past them.
    pub(crate) fn held(&self) -> u64 {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().map(|domain| domain.catalog.held()).sum()
    }

    /// A domain, whether or not it has an archive yet.
    pub(crate) fn get(&self, netmap: u32) -> Result<Arc<Domain>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(domain) = open.get(&netmap) {
            return Ok(domain.clone());
        }
        let (sender, heads) = watch::channel(0);
        let tail = Tail::new(&self.root, netmap);
        let beat = self.pulse.part(format!("the follower of the archive of netmap {netmap}"));
        let own = beat.clone();
        let follower = thread::Builder::new().name("archive".into()).spawn(move || follow(tail, &sender, &own));
        follower.map_err(Error::io("start a thread to follow", &self.root))?;
        let domain = Arc::new(Domain {
            netmap,
            catalog: Catalog::new(&self.root, netmap),
            folder: self.root.join(format!("netmap_{netmap}")),
            heads,
            _beat: beat,
        });
        open.insert(netmap, domain.clone());
        Ok(domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn each_domain_has_a_pulse_as_long_as_it_is_served() {
        let dir = tempfile::tempdir().unwrap();
        let pulse = Arc::new(Pulse::default());
        let domains = Domains::open(dir.path().to_owned(), 3, pulse.clone()).unwrap();
        let name = |netmap: u32| format!("the follower of the archive of netmap {netmap}");
        assert_eq!(pulse.names(), [name(3)]);
        let session = domains.get(7).unwrap();
        domains.get(7).unwrap();
        assert_eq!(pulse.names(), [name(3), name(7)]);
        drop(domains);
        // A follower ends when it next looks; that of a domain somebody still has goes on.
        let deadline = Instant::now() + Duration::from_secs(60);
        while pulse.names() != [name(7)] {
            assert!(Instant::now() < deadline, "{:?}", pulse.names());
            thread::sleep(Duration::from_millis(5));
        }
        drop(session);
    }
}
