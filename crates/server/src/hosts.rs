//! Answers to host data requests of one session, from the network map.
//!
//! Hosts are read a hundred at a time, on a thread for blocking work, while the session goes on; the next hundred only when
//! the client has taken these.

use std::collections::VecDeque;
use std::future::pending;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use netmap::Map;
use tokio::sync::Semaphore;
use wire::event::Block;
use wire::hosts::HostRequest;

/// Hosts read at a time.
const HOSTS: u32 = 100;

/// Requests that may wait; nothing more is read from a client that has sent as many.
const WAITING: usize = 64;

/// Whose hosts a session may see, and what it has asked for.
pub(crate) struct Hosts {
    map: PathBuf,
    netmap: u32,
    waiting: VecDeque<HostRequest>,
    /// Where the answer to the first request has come to.
    after: Option<IpAddr>,
    sent: u64,
    open: Option<Box<Map>>,
    reading: Option<Pin<Box<dyn Future<Output = Option<Found>> + Send>>>,
}

/// Hosts for the first request.
#[derive(Default)]
pub(crate) struct Found {
    map: Option<Box<Map>>,
    /// Full host profiles in the layout that was asked for.
    pub(crate) hosts: Vec<Block>,
    after: Option<IpAddr>,
    end: bool,
    error: Option<String>,
}

/// What is to be done with what was found.
pub(crate) struct Answer {
    pub(crate) request: HostRequest,
    pub(crate) hosts: Vec<Block>,
    /// How many hosts the whole answer has, when this is the end of it.
    pub(crate) end: Option<u64>,
    /// Why there are no more.
    pub(crate) error: Option<String>,
}

impl Hosts {
    pub(crate) fn new(map: PathBuf, netmap: u32) -> Hosts {
        Hosts { map, netmap, waiting: VecDeque::new(), after: None, sent: 0, open: None, reading: None }
    }

    /// Takes a request.
    pub(crate) fn ask(&mut self, request: HostRequest) {
        self.waiting.push_back(request);
    }

    /// Whether so many requests wait that no more are to be read.
    pub(crate) fn full(&self) -> bool {
        self.waiting.len() >= WAITING
    }

    /// Reads hosts for the first request, if there is one and nothing is being read.
    pub(crate) fn read(&mut self, reads: &Arc<Semaphore>) {
        let Some(request) = self.waiting.front().copied().filter(|_| self.reading.is_none()) else { return };
        let (open, path, netmap, after) = (self.open.take(), self.map.clone(), self.netmap, self.after);
        let reads = reads.clone();
        let work = move || find(open, &path, netmap, &request, after);
        self.reading = Some(Box::pin(async move {
            let _turn = reads.acquire_owned().await.ok()?;
            tokio::task::spawn_blocking(work).await.ok()
        }));
    }

    /// Waits for what is being read, if something is.
    pub(crate) async fn found(&mut self) -> Option<Found> {
        match &mut self.reading {
            Some(reading) => reading.await,
            None => pending().await,
        }
    }

    /// Takes what was read.
    pub(crate) fn answer(&mut self, found: Option<Found>) -> Option<Answer> {
        self.reading = None;
        let failed = || Found { end: true, error: Some("the reader failed".to_owned()), ..Found::default() };
        let found = found.unwrap_or_else(failed);
        let request = self.waiting.front().copied()?;
        self.sent += found.hosts.len() as u64;
        (self.after, self.open) = (found.after, found.map);
        let mut end = None;
        if found.end {
            self.waiting.pop_front();
            end = Some(std::mem::take(&mut self.sent));
            self.after = None;
            if self.waiting.is_empty() {
                self.open = None;
            }
        }
        Some(Answer { request, hosts: found.hosts, end, error: found.error })
    }
}

/// All of it blocks.
fn find(
    open: Option<Box<Map>>,
    path: &std::path::Path,
    netmap: u32,
    request: &HostRequest,
    after: Option<IpAddr>,
) -> Found {
    let map = match open {
        Some(map) => Ok(Some(map)),
        None => Map::open(path, netmap).map(|map| map.map(Box::new)),
    };
    let map = match map {
        Ok(Some(map)) => map,
        // Nothing was learned yet.
        Ok(None) => return Found { end: true, ..Found::default() },
        Err(error) => return Found { end: true, error: Some(error.to_string()), ..Found::default() },
    };
    let (first, last) = request.ends();
    let hosts = match request.multiple() {
        true => map.range(first, last, after, HOSTS),
        false => map.host(first).map(|host| host.map(|host| (first, host)).into_iter().collect()),
    };
    match hosts {
        Ok(hosts) => Found {
            after: hosts.last().map(|(at, _)| *at),
            end: !request.multiple() || (hosts.len() as u64) < u64::from(HOSTS),
            hosts: hosts.iter().map(|(_, host)| netmap::profile::full(host, request)).collect(),
            map: Some(map),
            error: None,
        },
        Err(error) => Found { end: true, error: Some(error.to_string()), ..Found::default() },
    }
}
