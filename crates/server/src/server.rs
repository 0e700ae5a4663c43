//! The service: sockets, connections, reload, shutdown.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use archive::{Catalog, Tail};
use pki::{Resolver, SystemResolver};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::clients::Clients;
use crate::connection;
use crate::error::{Error, Result};
use crate::home::Home;
use crate::log::{Control, Speaker, say};
use crate::progress::Stats;
use crate::settings::Settings;
use crate::sockets;
use crate::table::Table;

/// How long sessions have to end at shutdown.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// How often the list of clients is compared with the open sessions.
const CLIENTS: Duration = Duration::from_millis(400);

/// How long the follower waits before it looks whether it is still wanted.
const FOLLOW: Duration = Duration::from_millis(250);

/// Pause after an error that would come again at once.
const PAUSE: Duration = Duration::from_secs(1);

/// Archive reads at a time, for each processor.
const READS: usize = 4;

/// What a program may set besides the settings file.
#[derive(Default)]
pub struct Options {
    /// Addresses to listen on, instead of those of the settings; port 0 takes any free one.
    pub listen: Option<Vec<SocketAddr>>,
    /// Turns the comparison of certificate name and remote address off, whatever the settings say.
    pub no_host_check: bool,
    /// What looks names up; the system's resolver if there is none.
    pub resolver: Option<Arc<dyn Resolver>>,
    /// The log, so that a reload can change its level and open its file again.
    pub log: Option<Control>,
    /// A level from the command line, which a reload does not change.
    pub level_fixed: bool,
}

/// The eStreamer service of a home, listening.
pub struct Server {
    shared: Arc<Shared>,
    listeners: Vec<TcpListener>,
}

/// Reloads and watches a running [`Server`]; as many as are needed.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) table: Arc<Table>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) catalog: Arc<Catalog>,
    /// The folder of the network map.
    pub(crate) folder: PathBuf,
    /// Changes with every commit.
    pub(crate) heads: watch::Receiver<u64>,
    pub(crate) reads: Arc<Semaphore>,
    home: Home,
    /// The settings the service started with.
    started: Settings,
    settings: RwLock<Arc<Settings>>,
    tls: RwLock<Arc<ServerConfig>>,
    addresses: Vec<SocketAddr>,
    options: Options,
}

impl Server {
    /// Reads settings, certificates and clients of a home, repairs what a crash left in its archive, and listens.
    /// Connections wait until [`Server::run`]. Call it in a Tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`Error::Listen`], [`Error::Settings`], [`Error::Database`], [`Error::Pki`], [`Error::Archive`],
    /// [`Error::Io`] if a thread cannot be made.
    pub fn bind(home: Home, options: Options) -> Result<Server> {
        let settings = home.settings()?;
        let clients = Arc::new(home.clients()?);
        let tls = tls_config(&home, &clients)?;
        let (root, netmap) = (home.archive(), settings.netmap);
        // Opening as a writer repairs; nothing is ever written.
        drop(archive::Archive::open(&root, netmap, archive::Options::default())?);
        let listeners = sockets::listen(options.listen.as_ref().unwrap_or(&settings.listen))?;
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>();
        let addresses = addresses.map_err(Error::io("ask for the address of a socket of", home.dir()))?;
        sockets::allow_files(&settings);
        let (sender, heads) = watch::channel(0);
        let tail = Tail::new(&root, netmap);
        let follower = std::thread::Builder::new().name("archive".into()).spawn(move || follow(tail, &sender));
        follower.map_err(Error::io("start a thread to follow", &root))?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let parent = Speaker::parent();
        for address in &addresses {
            say!(info, parent, "ConnectionHandler", "Listening on {address}/tcp");
        }
        let shared = Shared {
            table: Arc::default(),
            resolver: options.resolver.clone().unwrap_or_else(|| Arc::new(SystemResolver)),
            catalog: Catalog::new(&root, netmap),
            folder: root.join(format!("netmap_{netmap}")),
            heads,
            reads: Arc::new(Semaphore::new(READS * processors)),
            started: settings.clone(),
            settings: RwLock::new(Arc::new(settings)),
            tls: RwLock::new(tls),
            clients,
            home,
            addresses,
            options,
        };
        Ok(Server { shared: Arc::new(shared), listeners })
    }

    /// The addresses it listens on.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.shared.addresses
    }

    /// A handle to reload and watch it.
    pub fn handle(&self) -> Handle {
        Handle { shared: self.shared.clone() }
    }

    /// Serves until `shutdown` is ready. Then nobody is let in any more, and sessions send what they have begun, say
    /// goodbye as TLS does (an eStreamer server sends no error message then, eStreamer Integration Guide 5.3 p.22), and
    /// are given 5 seconds for it.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Server { shared, listeners } = self;
        let parent = Speaker::parent();
        let (sender, mut connections) = mpsc::channel(64);
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(accept(listener, sender.clone()));
        }
        let mut sessions = JoinSet::new();
        let mut clients = interval(CLIENTS);
        clients.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut version = None;
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some((stream, peer)) = connections.recv() => {
                    if let Some(session) = admit(stream, peer, &shared) {
                        sessions.spawn(session);
                    }
                }
                Some(ended) = sessions.join_next() => {
                    if let Err(error) = ended {
                        say!(error, parent, "ConnectionHandler", "A connection ended by a defect of this program: {error}");
                    }
                }
                _ = clients.tick() => stop_removed(&shared, &mut version),
            }
        }
        say!(info, parent, "ConnectionHandler", "Shutting down, {} connections", sessions.len());
        accepting.abort_all();
        shared.table.stop_all();
        let all = async { while sessions.join_next().await.is_some() {} };
        if timeout(SHUTDOWN, all).await.is_err() {
            say!(
                warn,
                parent,
                "ConnectionHandler",
                "{} connections did not end in time and were cut off",
                sessions.len()
            );
            sessions.shutdown().await;
        }
    }
}

impl Handle {
    /// Reads settings and the server's certificate again, sets the log's level and opens its file again. New
    /// connections get the new settings, open ones keep theirs. What needs a restart is logged.
    ///
    /// # Errors
    /// [`Error::Settings`] or [`Error::Pki`]; everything then stays as it was.
    pub fn reload(&self) -> Result<()> {
        let shared = &self.shared;
        let settings = shared.home.settings()?;
        let tls = tls_config(&shared.home, &shared.clients)?;
        let parent = Speaker::parent();
        for key in shared.started.restart_needed(&settings) {
            say!(
                warn,
                parent,
                "ConnectionHandler",
                "The new value of \"{key}\" in settings.toml counts after a restart only"
            );
        }
        if let Some(log) = &shared.options.log {
            if !shared.options.level_fixed {
                log.set_level(settings.log_level.into());
            }
            if let Err(error) = log.reopen() {
                say!(
                    error,
                    parent,
                    "ConnectionHandler",
                    "The log file cannot be opened again ({error}); the old one is used"
                );
            }
        }
        *shared.tls.write().unwrap_or_else(PoisonError::into_inner) = tls;
        *shared.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        say!(info, parent, "ConnectionHandler", "Settings and certificates were read again");
        Ok(())
    }

    /// How the service and its sessions are doing.
    pub fn stats(&self) -> Stats {
        let committed = self.shared.catalog.head().ok().flatten().map_or(0, |head| head.second);
        self.shared.table.stats(committed)
    }

    /// Ends one session, by its number, with an error message that tells the client so; false when there is none (any
    /// more). The client may connect again: to keep it out, remove it from the list.
    pub fn stop_session(&self, number: u32) -> bool {
        self.shared.table.stop(number)
    }

    /// The addresses the service listens on.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.shared.addresses
    }
}

impl Shared {
    /// The settings for a new connection.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn tls(&self) -> Arc<ServerConfig> {
        self.tls.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn host_check(&self, settings: &Settings) -> bool {
        settings.host_check && !self.options.no_host_check
    }
}

fn tls_config(home: &Home, clients: &Arc<Clients>) -> Result<Arc<ServerConfig>> {
    Ok(pki::server_config(home.server_identity()?, home.authority_certificate()?, clients.clone())?)
}

/// Accepts until it is dropped. Errors such as "too many open files" pass, so it goes on after a pause.
async fn accept(listener: TcpListener, connections: mpsc::Sender<(TcpStream, SocketAddr)>) {
    loop {
        match listener.accept().await {
            Ok(connection) => {
                if connections.send(connection).await.is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                say!(error, Speaker::parent(), "ConnectionHandler", "A connection cannot be accepted: {error}");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Lets a connection in, if there is room.
fn admit(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) -> Option<impl Future<Output = ()> + use<>> {
    let parent = Speaker::parent();
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let family = if peer.is_ipv4() { "IPv4" } else { "IPv6" };
    say!(info, parent, "ConnectionHandler", "Accepted {family} connection from {peer}/tcp");
    let settings = shared.settings();
    let entry = match shared.table.admit(peer, &settings) {
        Ok(entry) => entry,
        Err(full) => {
            say!(warn, parent, "ConnectionHandler", "Closed {peer} without a word: {}", full.because(peer.ip()));
            return None;
        }
    };
    if let Err(error) = sockets::tune(&stream) {
        // The connection works without, if less well; most likely the client is gone already.
        say!(debug, parent, "ConnectionHandler", "Socket options of {peer} cannot be set: {error}");
    }
    Some(connection::serve(stream, peer, entry, settings, shared.clone()))
}

/// Ends the sessions of clients that were removed since the last look.
fn stop_removed(shared: &Shared, seen: &mut Option<i64>) {
    let mut look = || {
        let version = shared.clients.version()?;
        if *seen != Some(version) {
            let listed = shared.clients.fingerprints()?;
            shared.table.stop_unlisted(|fingerprint| listed.contains(fingerprint));
            *seen = Some(version);
        }
        Ok::<_, Error>(())
    };
    if let Err(error) = look() {
        say!(error, Speaker::parent(), "ConnectionHandler", "The list of clients cannot be read: {error}");
    }
}

/// Tells sessions of commits, until no one listens any more.
fn follow(mut tail: Tail, heads: &watch::Sender<u64>) {
    let mut failed = false;
    while !heads.is_closed() {
        match tail.wait(FOLLOW) {
            Ok(Some(_)) => heads.send_modify(|n| *n = n.wrapping_add(1)),
            Ok(None) => failed = false,
            Err(error) => {
                if !std::mem::replace(&mut failed, true) {
                    say!(error, Speaker::parent(), "Unified2Iterator", "The archive cannot be followed: {error}");
                }
                std::thread::sleep(PAUSE);
            }
        }
    }
}
