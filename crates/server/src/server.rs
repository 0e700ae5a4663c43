//! The service: sockets, connections, reload, shutdown.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use archive::Tail;
use pki::{Resolver, SystemResolver};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::care::{self, Alarm};
use crate::clients::Clients;
use crate::connection;
use crate::domains::{Domain, Domains};
use crate::error::{Error, Result};
use crate::expiry;
use crate::home::Home;
use crate::hosts::Hosts;
use crate::log::{Control, Recent, Speaker, say};
use crate::mapping::Mappers;
use crate::orders::{self, Orders};
use crate::progress::Stats;
use crate::pulse::{Beat, Pulse};
use crate::settings::Settings;
use crate::sockets;
use crate::table::Table;

/// How long sessions have to end at shutdown.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// How often the list of clients is compared with the open sessions.
const CLIENTS: Duration = Duration::from_millis(400);

/// How long the follower waits before it looks whether it is still wanted.
const FOLLOW: Duration = Duration::from_millis(250);

/// How long accepting waits before it shows that it is alive.
const ACCEPT: Duration = Duration::from_millis(500);

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
    listeners: Vec<(TcpListener, Beat)>,
    /// Of what starts sessions and ends those of removed clients.
    beat: Beat,
}

/// Reloads and watches a running [`Server`]; as many as are needed.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

/// What a reload did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Keys of `settings.toml` whose new values count after a restart only.
    pub restart_needed: Vec<&'static str>,
    /// Why the log file could not be opened again; the old one is used then.
    pub log_failed: Option<String>,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) table: Arc<Table>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) domains: Domains,
    /// What may be sent, and whether anything is.
    pub(crate) orders: watch::Receiver<Orders>,
    pub(crate) reads: Arc<Semaphore>,
    /// What is wrong with the room for the archive.
    pub(crate) alarm: Alarm,
    /// Makes the retention look at once; it ends with this.
    care: std::sync::mpsc::Sender<()>,
    pub(crate) home: Home,
    /// The settings the service started with.
    started: Settings,
    settings: RwLock<Arc<Settings>>,
    tls: RwLock<Arc<ServerConfig>>,
    /// How often the certificates were read again.
    certificates: AtomicU64,
    addresses: Vec<SocketAddr>,
    options: Options,
    pulse: Arc<Pulse>,
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
        // On a full disk not even the database can be opened.
        care::at_start(&home.archive(), &settings);
        let clients = Arc::new(home.clients()?);
        let tls = tls_config(&home, &clients)?;
        let (root, netmap) = (home.archive(), settings.netmap);
        let pulse = Arc::new(Pulse::default());
        let domains = Domains::open(root, netmap, pulse.clone())?;
        let control = home.control_path();
        let orders = orders::follow(control.clone()).map_err(Error::io("start a thread to follow", &control))?;
        let listeners = sockets::listen(options.listen.as_ref().unwrap_or(&settings.listen))?;
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>();
        let addresses = addresses.map_err(Error::io("ask for the address of a socket of", home.dir()))?;
        sockets::allow_files(&settings);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let parent = Speaker::parent();
        for address in &addresses {
            say!(info, parent, "ConnectionHandler", "Listening on {address}/tcp");
        }
        let (care, wake) = std::sync::mpsc::channel();
        let shared = Arc::new(Shared {
            alarm: Alarm::default(),
            care,
            table: Arc::default(),
            resolver: options.resolver.clone().unwrap_or_else(|| Arc::new(SystemResolver)),
            domains,
            orders,
            reads: Arc::new(Semaphore::new(READS * processors)),
            started: settings.clone(),
            settings: RwLock::new(Arc::new(settings)),
            tls: RwLock::new(tls),
            certificates: AtomicU64::new(0),
            clients,
            home,
            addresses,
            options,
            pulse,
        });
        let kept = Arc::downgrade(&shared);
        let retention = std::thread::Builder::new().name("retention".into()).spawn(move || care::run(&kept, &wake));
        retention.map_err(Error::io("start a thread for the retention of", &shared.home.archive()))?;
        let beat = shared.pulse.part("the table of connections");
        let accepting = |address: &SocketAddr| shared.pulse.part(format!("accepting connections on {address}"));
        let beats: Vec<_> = shared.addresses.iter().map(accepting).collect();
        Ok(Server { listeners: listeners.into_iter().zip(beats).collect(), shared, beat })
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
        let Server { shared, listeners, beat } = self;
        let parent = Speaker::parent();
        let mappers = shared.mappers();
        let (sender, mut connections) = mpsc::channel(64);
        let mut accepting = JoinSet::new();
        let beats: Vec<Beat> = listeners.iter().map(|(_, beat)| beat.clone()).collect();
        for (listener, beat) in listeners {
            accepting.spawn(accept(listener, sender.clone(), beat));
        }
        accepting.spawn(expiry::watch(shared.clone()));
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
                _ = clients.tick() => {
                    beat.now();
                    stop_removed(&shared, &mut version);
                }
            }
        }
        say!(info, parent, "ConnectionHandler", "Shutting down, {} connections", sessions.len());
        accepting.abort_all();
        // Nothing is expected of these any more.
        drop((beat, beats));
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
        if let Some(mappers) = mappers {
            // What they have not written they read again.
            let _ = timeout(SHUTDOWN, tokio::task::spawn_blocking(move || mappers.finish())).await;
        }
    }
}

impl Handle {
    /// Reads settings and the server's certificate again, sets the log's level and opens its file again. New
    /// connections get the new settings, open ones keep theirs. What needs a restart is logged.
    ///
    /// # Errors
    /// [`Error::Settings`] or [`Error::Pki`]; everything then stays as it was.
    pub fn reload(&self) -> Result<Reloaded> {
        let shared = &self.shared;
        let settings = shared.home.settings()?;
        let tls = tls_config(&shared.home, &shared.clients)?;
        let parent = Speaker::parent();
        let restart_needed = shared.started.restart_needed(&settings);
        let mut log_failed = None;
        for key in &restart_needed {
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
                log_failed = Some(error.to_string());
            }
        }
        shared.use_tls(tls);
        *shared.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        // Nobody listens if the thread could not go on; it has said why.
        let _ = shared.care.send(());
        say!(info, parent, "ConnectionHandler", "Settings and certificates were read again");
        Ok(Reloaded { restart_needed, log_failed })
    }

    /// How many connections there are, and how many were let in since the start. Needs no look at the archive.
    pub fn connections(&self) -> (usize, u64) {
        self.shared.table.counts()
    }

    /// Says whether the service makes progress: every part of it has shown a sign of life within this time.
    ///
    /// # Errors
    /// The name of a part that has not: which archive's follower, accepting on which address, the table of connections.
    pub fn alive(&self, within: Duration) -> std::result::Result<(), String> {
        self.shared.pulse.check(within)
    }

    /// The settings in force, as they were read last.
    pub fn settings(&self) -> Arc<Settings> {
        self.shared.settings()
    }

    /// What is wrong with the room for the archive now, in words; `None` when nothing is.
    pub fn storage_alarm(&self) -> Option<String> {
        self.shared.alarm.get()
    }

    /// A number that changes whenever the service has read its certificates again, for others who use them.
    pub fn certificates_read(&self) -> u64 {
        self.shared.certificates.load(Ordering::Acquire)
    }

    /// How the service and its sessions are doing.
    pub fn stats(&self) -> Stats {
        let shared = &self.shared;
        shared.table.stats(shared.started.netmap, |netmap| shared.domains.committed(netmap))
    }

    /// Ends one session, by its number, with an error message that tells the client so; false when there is none (any
    /// more). The client may connect again: to keep it out, remove it from the list.
    pub fn stop_session(&self, number: u32) -> bool {
        self.shared.table.stop(number)
    }

    /// The recent lines of the log, if the service was given one.
    pub fn recent(&self) -> Option<Recent> {
        self.shared.options.log.as_ref().map(Control::recent)
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

    /// Reads the certificates again, for new connections.
    pub(crate) fn read_tls(&self) -> Result<()> {
        self.use_tls(tls_config(&self.home, &self.clients)?);
        Ok(())
    }

    fn use_tls(&self, tls: Arc<ServerConfig>) {
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = tls;
        self.certificates.fetch_add(1, Ordering::Release);
    }

    /// The domain the client with a certificate is bound to.
    pub(crate) fn domain_of(&self, fingerprint: &str) -> Result<Arc<Domain>> {
        let netmap = self.clients.netmap_of(fingerprint)?.unwrap_or(self.started.netmap);
        self.domains.get(netmap)
    }

    /// What a session of a domain needs to answer host data requests.
    pub(crate) fn hosts(&self, netmap: u32) -> Hosts {
        Hosts::new(self.home.map_path(), netmap)
    }

    /// Starts keeping network maps, if they are wanted.
    fn mappers(&self) -> Option<Mappers> {
        if !self.started.network_map {
            return None;
        }
        let (root, map, policy) = (self.home.archive(), self.home.map_path(), self.started.map_policy());
        let orders = self.orders.clone();
        let ask = Arc::new(move || {
            let orders = orders.borrow();
            let tell = orders.captured.contains(control::EventType::Discovery);
            netmap::Orders { hold: orders.pause.is_some(), tell }
        });
        match Mappers::start(root, map, policy, ask) {
            Ok(mappers) => Some(mappers),
            Err(error) => {
                say!(error, Speaker::parent(), "NetworkMap", "There is no thread for the network map: {error}");
                None
            }
        }
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
async fn accept(listener: TcpListener, connections: mpsc::Sender<(TcpStream, SocketAddr)>, beat: Beat) {
    loop {
        beat.now();
        // Nothing is lost when waiting for a connection is given up.
        let Ok(accepted) = timeout(ACCEPT, listener.accept()).await else { continue };
        match accepted {
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
    if let Err(error) = sockets::tune(&stream, settings.stall()) {
        // The connection works without, if less well; most likely the client is gone already.
        say!(debug, parent, "ConnectionHandler", "Socket options of {peer} cannot be set: {error}");
    }
    Some(connection::serve(stream, peer, entry, settings, shared.clone()))
}

/// Ends the sessions of clients that were removed since the last look.
fn stop_removed(shared: &Shared, seen: &mut Option<(i64, i64)>) {
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
pub(crate) fn follow(mut tail: Tail, heads: &watch::Sender<u64>, beat: &Beat) {
    let mut failed = false;
    while !heads.is_closed() {
        beat.now();
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
