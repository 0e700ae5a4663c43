//! A server in this process, an archive to write to, and a small blocking client.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests may fail loudly; clippy knows only #[test] functions as such"
)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use archive::{Archive, Batch, Clock};
use pki::{Bundle, KeyKind, ServerTrust, TlsVersions};
use rustls::{ClientConnection, StreamOwned};
use server::{Clients, Handle, Home, Options, Server};
use tokio::sync::oneshot;
use tracing_subscriber::layer::SubscriberExt;
use wire::client::{ClientEvent, ClientRequest, ClientSession};
use wire::event::Event;
use wire::record::RecordHeader;
use wire::request::EventVersion;
use wire::subscription::newest_events;

/// Flags of eNcore: everything, extended, with archival timestamps.
pub const EXTENDED: u32 = 0x4890_0061;
pub const NOW: u32 = u32::MAX;
/// Longest wait for what must come.
pub const SOON: Duration = Duration::from_secs(20);

pub struct Stand {
    pub home: Home,
    pub clients: Clients,
    pub handle: Handle,
    second: Arc<AtomicU32>,
    archive: Archive,
    commits: u32,
    log: Log,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    dir: tempfile::TempDir,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stand {
    /// A server on 127.0.0.1 and ::1 with these settings added to the defaults.
    pub fn new(settings: &str) -> Stand {
        Stand::with(settings, KeyKind::EcdsaP256, |_| {})
    }

    pub fn with(settings: &str, kind: KeyKind, change: impl FnOnce(&mut Options)) -> Stand {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::init_with(&dir.path().join("home"), &["localhost".into()], kind).unwrap();
        let keys = if kind == KeyKind::EcdsaP256 { "client_keys = \"ecdsa-p256\"\n" } else { "" };
        // The clock of these archives stands still, and their events are counted: a map's own would be in the way.
        let map = if settings.contains("network_map") { "" } else { "network_map = false\n" };
        std::fs::write(home.settings_path(), format!("{keys}{map}{settings}")).unwrap();
        let second = Arc::new(AtomicU32::new(1_000_000));
        let now = second.clone();
        let options = archive::Options {
            segment_seconds: 500,
            clock: Clock::new(move || now.load(Ordering::Relaxed)),
            ..archive::Options::default()
        };
        let (archive, _) = Archive::open(&home.archive(), 0, options).unwrap();

        let log = Log::default();
        let lines = server::log::Lines::to_writer(log.clone(), tracing::Level::INFO);
        let mut options = Options {
            listen: Some(vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()]),
            log: Some(lines.control()),
            ..Options::default()
        };
        change(&mut options);
        let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(lines));
        let (stop, stopped) = oneshot::channel();
        let (ready, bound) = std::sync::mpsc::channel();
        let served = home.clone();
        let thread = std::thread::spawn(move || {
            let _here = tracing::dispatcher::set_default(&dispatch);
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&dispatch)))
                .build()
                .unwrap();
            runtime.block_on(async move {
                let server = Server::bind(served, options).unwrap();
                ready.send(server.handle()).unwrap();
                server
                    .run(async {
                        let _ = stopped.await;
                    })
                    .await;
            });
        });
        let handle = bound.recv().unwrap();
        let clients = home.clients().unwrap();
        Stand { home, clients, handle, second, archive, commits: 0, log, stop: Some(stop), thread: Some(thread), dir }
    }

    pub fn v4(&self) -> SocketAddr {
        self.handle.local_addresses()[0]
    }

    pub fn v6(&self) -> SocketAddr {
        self.handle.local_addresses()[1]
    }

    /// Adds a client and gives its PKCS#12 file, opened.
    pub fn client(&self, name: &str) -> Bundle {
        let added = self.clients.add(&self.home, name, Some("secret")).unwrap();
        Bundle::from_pkcs12(&added.bundle, Some("secret")).unwrap()
    }

    /// A connected client for 127.0.0.1, made on the first call.
    pub fn connect(&self, bundle: &Bundle, timestamp: u32, flags: u32, events: Vec<EventVersion>) -> Peer {
        Peer::connect(self.v4(), bundle, ClientRequest { timestamp, flags, events }).unwrap()
    }

    /// Sets the archival second of the next commits.
    pub fn at(&mut self, second: u32) -> &mut Self {
        self.second.store(second, Ordering::Relaxed);
        self
    }

    /// Commits metadata and events.
    pub fn commit(&mut self, metadata: &[Vec<u8>], events: &[Vec<u8>]) {
        let mut batch = Batch::new();
        for item in metadata {
            // Record type and id name a device.
            batch.push_sticky(&[&item[8..12], &item[16..20]].concat(), item).unwrap();
        }
        for item in events {
            batch.push_event(item).unwrap();
        }
        self.archive.commit(&mut batch).unwrap();
    }

    /// Commits events as a sensor does, which tells whose they are.
    pub fn commit_as(&mut self, source: &str, events: &[Vec<u8>]) {
        let mut batch = Batch::new();
        for item in events {
            batch.push_event(item).unwrap();
        }
        self.commits += 1;
        batch.set_position(source.as_bytes(), &self.commits.to_be_bytes()).unwrap();
        self.archive.commit(&mut batch).unwrap();
    }

    pub fn log(&self) -> String {
        String::from_utf8(self.log.0.lock().unwrap().clone()).unwrap()
    }

    /// Waits for a log line with these words.
    pub fn logged(&self, words: &str) {
        wait_for(words, || self.log().contains(words).then_some(()));
    }

    /// Asserts that the texts of lines come in this order, perhaps with others between them.
    pub fn logged_in_order(&self, lines: &[&str]) {
        let log = self.log();
        let mut rest = log.as_str();
        for line in lines {
            let Some(at) = rest.find(line) else { panic!("{line:?} is missing or out of order in\n{log}") };
            rest = &rest[at + line.len()..];
        }
    }

    pub fn segments(&self) -> Vec<PathBuf> {
        let folder = self.home.archive().join("netmap_0");
        let mut found: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        found.retain(|p| p.to_string_lossy().contains("unified2."));
        found.sort();
        found
    }

    pub fn shut_down(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.shut_down();
        }
    }
}

/// What a client sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Services,
    KeepAlive,
    Records(Vec<Vec<u8>>),
    Host(bool, Vec<u8>),
    HostsEnd(bool),
    Error(i32, String),
    /// The connection is closed, as TLS does it.
    Closed,
    Broken(String),
    /// Nothing came in the time given.
    Nothing,
}

pub struct Peer {
    tls: StreamOwned<ClientConnection, TcpStream>,
    pub session: ClientSession,
    input: Vec<u8>,
    pub acknowledge: bool,
    /// Says only what [`Peer::write`] is told to.
    pub mute: bool,
}

impl Peer {
    pub fn connect(address: SocketAddr, bundle: &Bundle, request: ClientRequest) -> io::Result<Peer> {
        Peer::connect_as(address, bundle, request, TlsVersions::From12)
    }

    pub fn connect_as(
        address: SocketAddr,
        bundle: &Bundle,
        request: ClientRequest,
        versions: TlsVersions,
    ) -> io::Result<Peer> {
        let config = pki::client_config(bundle, ServerTrust::Authorities, versions).unwrap();
        let connection = ClientConnection::new(config, pki::server_name("localhost")).unwrap();
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let mut peer = Peer::over(connection, socket, request);
        peer.say()?;
        Ok(peer)
    }

    /// A client that has sent nothing yet.
    pub fn over(connection: ClientConnection, socket: TcpStream, request: ClientRequest) -> Peer {
        let session = ClientSession::new(request);
        Peer { tls: StreamOwned::new(connection, socket), session, input: Vec::new(), acknowledge: true, mute: false }
    }

    /// Sends what the session has to say.
    pub fn say(&mut self) -> io::Result<()> {
        let output = self.session.take_output();
        if self.mute { Ok(()) } else { self.write(&output) }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tls.sock.set_read_timeout(Some(SOON))?;
        self.tls.write_all(bytes)?;
        self.tls.flush()
    }

    /// The next thing that comes within `time`.
    pub fn next(&mut self, time: Duration) -> Seen {
        let until = Instant::now() + time;
        loop {
            match self.session.receive(&self.input) {
                Ok(Some((used, event))) => {
                    let seen = match event {
                        ClientEvent::Services(_) => Seen::Services,
                        ClientEvent::KeepAlive => Seen::KeepAlive,
                        ClientEvent::Records(records) => {
                            assert_eq!(records.missed, 0);
                            Seen::Records(records.map(|r| r.unwrap().to_vec()).collect())
                        }
                        ClientEvent::Host { multiple, block } => Seen::Host(multiple, block.to_vec()),
                        ClientEvent::HostsEnd { multiple } => Seen::HostsEnd(multiple),
                        ClientEvent::Error { code, text } => Seen::Error(code, text),
                        ClientEvent::Unknown(message) => panic!("{message:?}"),
                    };
                    self.input.drain(..used);
                    if matches!(seen, Seen::Records(_)) && self.acknowledge {
                        self.session.acknowledge();
                    }
                    if let Err(error) = self.say() {
                        return Seen::Broken(error.to_string());
                    }
                    return seen;
                }
                Ok(None) => {}
                Err(error) => panic!("{error}"),
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Seen::Nothing;
            }
            self.tls.sock.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
            let mut buffer = [0; 32 << 10];
            match self.tls.read(&mut buffer) {
                Ok(0) => return Seen::Closed,
                Ok(n) => self.input.extend_from_slice(&buffer[..n]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Seen::Broken(error.to_string()),
            }
        }
    }

    /// The next `count` records.
    pub fn records(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        while records.len() < count {
            match self.next(SOON) {
                Seen::Records(more) => records.extend(more),
                Seen::Services | Seen::KeepAlive => {}
                other => panic!("{other:?} after {} of {count} records", records.len()),
            }
        }
        assert_eq!(records.len(), count, "more records than expected: {:?}", types(&records));
        records
    }

    /// Nothing but keep-alives comes for a moment.
    pub fn quiet(&mut self) {
        match self.next(Duration::from_millis(150)) {
            Seen::Nothing | Seen::KeepAlive | Seen::Services => {}
            other => panic!("{other:?}"),
        }
    }

    /// Waits for the end of the connection, with what came before it.
    pub fn end(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        loop {
            match self.next(SOON) {
                Seen::Records(_) | Seen::KeepAlive => {}
                last @ (Seen::Closed | Seen::Broken(_) | Seen::Nothing) => {
                    seen.push(last);
                    return seen;
                }
                other => seen.push(other),
            }
        }
    }
}

/// A request like a collector's: everything in the newest version.
pub fn everything() -> Vec<EventVersion> {
    newest_events()
}

pub fn types(records: &[Vec<u8>]) -> Vec<u16> {
    records.iter().map(|r| RecordHeader::parse(r).unwrap().record_type).collect()
}

pub fn seconds(records: &[Vec<u8>]) -> Vec<Option<u32>> {
    records.iter().map(|r| RecordHeader::parse(r).unwrap().timestamp).collect()
}

/// A connection event (record 71) with its initiator's port as a mark, as an archive item.
pub fn connection(mark: u16) -> Vec<u8> {
    let mut event = Event::new(71).unwrap();
    event.discovery_mut().unwrap().set("hasIpv6", 1u8).unwrap();
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    event.set("initiatorIpAddress", address).unwrap().set("initiatorPort", mark).unwrap();
    event.set("clientUrl", "http://example.com/").unwrap();
    item(&event)
}

/// A packet (record 2) with this much data.
pub fn packet(mark: u32, size: usize) -> Vec<u8> {
    let mut event = Event::new(2).unwrap();
    event.set("eventId", mark).unwrap().set("packetData", vec![0x55; size].as_slice()).unwrap();
    item(&event)
}

/// The name of a device (record 123), as an archive item.
pub fn device(id: u32, name: &str) -> Vec<u8> {
    let mut event = Event::new(123).unwrap();
    event.set("id", id).unwrap().set("name", name).unwrap();
    let mut item = Vec::new();
    event.encode_item(None, &mut item);
    item
}

fn item(event: &Event) -> Vec<u8> {
    let mut item = Vec::new();
    event.encode_item(Some(0), &mut item);
    item
}

/// Tries until it has a value.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < SOON, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
