//! How connections are doing, for who watches the service.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::SystemTime;

/// What a connection tells about itself.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    identity: OnceLock<(String, String)>,
    netmap: OnceLock<u32>,
    request: OnceLock<(u32, String)>,
    state: AtomicU8,
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// Archival second of the last record sent.
    pub(crate) second: AtomicU32,
    /// Archival second up to which the archive was read.
    pub(crate) read: AtomicU32,
    /// Bytes of messages that wait to be sent, and of records that were read for them.
    pub(crate) pending: AtomicU64,
    /// Nothing more is committed, and all of it is sent.
    pub(crate) current: AtomicBool,
}

impl Progress {
    /// Remembers the client's name and the fingerprint of its certificate.
    pub(crate) fn identify(&self, name: &str, fingerprint: &str) {
        // A connection has one certificate, so this is called once.
        let _ = self.identity.set((name.to_owned(), fingerprint.to_owned()));
    }

    /// Remembers the domain the client is bound to.
    pub(crate) fn bind(&self, netmap: u32) {
        let _ = self.netmap.set(netmap);
    }

    /// The domain, once it is known.
    pub(crate) fn netmap(&self) -> Option<u32> {
        self.netmap.get().copied()
    }

    /// Remembers what was requested: a request lasts for the whole connection.
    pub(crate) fn request(&self, start: u32, words: &str) {
        let _ = self.request.set((start, words.to_owned()));
        self.enter(SessionState::Streaming);
    }

    pub(crate) fn enter(&self, state: SessionState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// The fingerprint of the client's certificate, once it is known.
    pub(crate) fn fingerprint(&self) -> Option<&str> {
        self.identity.get().map(|(_, fingerprint)| fingerprint.as_str())
    }

    /// What is told of it; `committed` is the archival second of the archive's last commit.
    pub(crate) fn stats(&self, number: u32, peer: SocketAddr, connected: SystemTime, committed: u32) -> SessionStats {
        let state = match self.state.load(Ordering::Relaxed) {
            s if s == SessionState::Handshake as u8 => SessionState::Handshake,
            s if s == SessionState::Request as u8 => SessionState::Request,
            s if s == SessionState::Streaming as u8 => SessionState::Streaming,
            _ => SessionState::Paused,
        };
        let (start, request) = self.request.get().map_or((None, None), |(s, r)| (Some(*s), Some(r.clone())));
        let read = self.read.load(Ordering::Relaxed);
        let lag = match (self.current.load(Ordering::Relaxed), read) {
            (true, _) => Some(0),
            (false, 0) => None,
            (false, read) => Some(committed.saturating_sub(read)),
        };
        SessionStats {
            number,
            name: self.identity.get().map(|(name, _)| name.clone()),
            peer,
            connected,
            state,
            streaming: matches!(state, SessionState::Streaming | SessionState::Paused),
            request,
            start,
            records: self.records.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            second: self.second.load(Ordering::Relaxed),
            pending: self.pending.load(Ordering::Relaxed),
            lag,
            netmap: self.netmap(),
        }
    }
}

/// How the service is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Sessions since the start: connections with a handshake and room for them.
    pub accepted: u64,
    /// Connections turned away because there were too many sessions.
    pub refused: u64,
    /// Archival second of the archive's last commit; 0 when nothing was ever committed, or it cannot be read.
    pub committed: u32,
    /// The connections there are, oldest first.
    pub sessions: Vec<SessionStats>,
}

/// How a connection is doing. Rates are the difference of two looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionStats {
    /// Its number: the TID of its log lines and the connection id of its bundles.
    pub number: u32,
    /// The client's certificate name; `None` until the handshake is done.
    pub name: Option<String>,
    /// The client's address.
    pub peer: SocketAddr,
    /// When it connected.
    pub connected: SystemTime,
    /// How far it has come.
    pub state: SessionState,
    /// Whether its request is complete.
    pub streaming: bool,
    /// What it requested, in the words of a management center's log (`Since 0 w/ NS Events …`); `None` until then.
    pub request: Option<String>,
    /// The timestamp of its request: a Unix second, 0 for all there is, 4294967295 for what is new.
    pub start: Option<u32>,
    /// Records sent.
    pub records: u64,
    /// Bytes of messages sent, TLS not counted.
    pub bytes: u64,
    /// Archival second of the last record; 0 before the first.
    pub second: u32,
    /// Bytes that were read for it and have not left yet: bounded, however slow the client is.
    pub pending: u64,
    /// Seconds between the archive's last commit and the one it has reached, whether or not there was anything for it; 0
    /// when it has everything. `None` before it has read anything, and for sessions that ask for hosts alone.
    pub lag: Option<u32>,
    /// Netmap id of the domain whose archive it gets; `None` until the client is known.
    pub netmap: Option<u32>,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SessionState {
    /// TCP is connected; TLS is not, or the name of the client is being looked up.
    Handshake,
    /// The client may stay; its request is not complete.
    Request,
    /// The request is complete: records are sent as they come.
    Streaming,
    /// An administrator holds the stream.
    Paused,
}

impl SessionState {
    /// One word for it, in lower case.
    pub fn word(self) -> &'static str {
        match self {
            SessionState::Handshake => "handshake",
            SessionState::Request => "request",
            SessionState::Streaming => "streaming",
            SessionState::Paused => "paused",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_what_is_not_read_yet() {
        let progress = Progress::default();
        let stats = |progress: &Progress| progress.stats(1, ([127, 0, 0, 1], 1).into(), SystemTime::UNIX_EPOCH, 100);
        assert_eq!((stats(&progress).lag, stats(&progress).state), (None, SessionState::Handshake));
        progress.identify("a", "aa");
        progress.enter(SessionState::Request);
        assert_eq!((stats(&progress).state.word(), stats(&progress).request), ("request", None));
        progress.request(7, "Since 7");
        let streams = stats(&progress);
        assert_eq!((streams.start, streams.request.as_deref(), streams.streaming), (Some(7), Some("Since 7"), true));
        progress.read.store(40, Ordering::Relaxed);
        assert_eq!(stats(&progress).lag, Some(60));
        progress.current.store(true, Ordering::Relaxed);
        assert_eq!(stats(&progress).lag, Some(0), "nothing was committed since for this client");
        progress.enter(SessionState::Paused);
        assert!(stats(&progress).streaming && stats(&progress).state == SessionState::Paused);
    }
}
