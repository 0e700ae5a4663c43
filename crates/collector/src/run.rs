//! A running collector: threads, connection, reconnection, monitor line.

use crate::checkpoint::{Checkpoint, CheckpointError, Resume};
use crate::config::{Config, Output, Place, Server};
use crate::connect::{self, ConnectError};
use crate::deliver::{Delivery, DeliveryError, Source};
use crate::intake::{Batch, Intake, SessionEnd};
use crate::monitor;
use crate::stats::{OutputStats, State, Stats, Status};
use crate::twins::{Limits, Twins};
use crate::web::Web;
use crate::work::{Formatted, Lines, Origin, Plan, SingleLine, Worker};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use outputs::Remote as Spooled;
use outputs::scp::{Remote, Scp};
use outputs::{Destination, Error as DestinationError, File, Format, Metrics, Settings, Stdout, Target};
use rustls::ClientConfig;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use wire::client::ClientRequest;
use wire::resolution::Naming;

/// Batches between two stages of the pipeline.
const QUEUE: usize = 8;

/// Bytes asked for in one read.
const READ: usize = 256 << 10;

/// How long to wait for what the management center said last.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The longest pause between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why a collector could not start or ended by itself.
#[derive(Debug, Error)]
pub enum RunError {
    /// The state file.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A destination.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// The program, key or host for copies.
    #[error(transparent)]
    Scp(#[from] outputs::scp::ScpError),
    /// The certificate file.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A receiver.
    #[error(transparent)]
    Network(#[from] outputs::transport::SetupError),
    /// A format.
    #[error(transparent)]
    Format(#[from] outputs::FormatError),
    /// Delivery.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    /// The address for metrics.
    #[error("{address} cannot be listened on for metrics: {source}. Choose another monitor.listen, or none")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The operating system gives no thread.
    #[error("no thread can be started: {0}")]
    Thread(std::io::Error),
    /// A part of the collector failed in a way it should not.
    #[error("internal error: {0} ended unexpectedly; what was not durable is delivered after the next start")]
    Internal(&'static str),
}

/// An output of the caller's own. Its name must be the same at every start, or its state is not found.
pub struct ExtraOutput {
    /// What the checkpoint calls it.
    pub name: String,
    /// Makes the lines.
    pub format: Box<dyn Format>,
    /// Takes them.
    pub destination: Box<dyn Destination>,
}

/// A collector at work.
#[derive(Debug)]
pub struct Collector {
    status: Arc<Status>,
    stop: Arc<AtomicBool>,
    intakes: Vec<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
    delivery: JoinHandle<Result<(), DeliveryError>>,
    /// Threads that look on.
    observers: Vec<JoinHandle<()>>,
}

impl RunError {
    /// Starting again goes on from the checkpoint, and nothing is lost.
    pub fn again(&self) -> bool {
        matches!(self, RunError::Delivery(DeliveryError::Again(_)))
    }

    /// Nobody reads standard output any more: no fault.
    pub fn closed(&self) -> bool {
        matches!(self, RunError::Delivery(DeliveryError::Closed(_)))
    }
}

impl Collector {
    /// Opens state, certificate and destinations, then collects until [`Collector::stop`]. What fails here needs a
    /// person; what fails later is tried again for ever.
    pub fn start(config: Config) -> Result<Collector, RunError> {
        Collector::start_with(config, Vec::new())
    }

    /// As [`Collector::start`], with outputs beside those of the configuration.
    pub fn start_with(config: Config, extra: Vec<ExtraOutput>) -> Result<Collector, RunError> {
        let stop: Arc<AtomicBool> = Arc::default();
        // A certificate that is of no use is told before anything is opened.
        let tls = |server: &Server| connect::tls(server, &config.instance_of(server));
        let tls: Vec<Arc<ClientConfig>> = config.servers.iter().map(tls).collect::<Result<_, _>>()?;
        let listen = |address| Web::bind(address).map_err(|source| RunError::Listen { address, source });
        let web = config.monitor.listen.map(listen).transpose()?;
        let (mut checkpoint, mut resume) = Checkpoint::open(&config.state_file())?;
        crate::encore::take_over(&config, &mut resume);
        join(&config, &mut resume);
        let mut parts = outputs(&config, &resume)?;
        for output in extra {
            parts.stats.push(Arc::new(OutputStats::new(&output.name, "", None)));
            parts.destinations.push((output.name, output.destination));
            parts.formats.push(Lines { format: output.format, filter: None, naming: Naming::Ours });
        }
        let counters = config.servers.iter().map(|s| Arc::new(Stats::new(&s.name()))).collect();
        let status = Arc::new(Status::new(counters, parts.stats));
        let plan = Arc::new(Plan {
            formats: parts.formats,
            selection: config.selection.clone(),
            filter: config.filter.clone(),
            origins: origins(&config, &status),
            uids: config.event_uids,
        });
        let (batches, work) = bounded::<Batch>(QUEUE);
        let (done, results) = bounded::<Formatted>(QUEUE);
        let cores = std::thread::available_parallelism().map_or(2, |n| n.get());
        let mut workers = Vec::new();
        let (used, spare) = bounded(2 * QUEUE);
        for i in 0..cores.clamp(1, 8) {
            let (work, done) = (work.clone(), done.clone());
            let worker = Worker::new(plan.clone(), spare.clone());
            workers.push(thread(&format!("worker-{i}"), move || run_worker(worker, &work, &done))?);
        }
        drop((work, done));
        let (sources, sets) = sources(&config, &mut resume);
        checkpoint.forget(resume.seen.keys())?;
        let delivery = Delivery::new(sources, sets, parts.destinations, checkpoint, status.clone(), used);
        let until = stop.clone();
        let delivery = thread("delivery", move || {
            let outcome = delivery.run(&results, &until);
            // Without delivery there is no point in reading on.
            until.store(true, Ordering::Relaxed);
            outcome
        })?;
        let mut intakes = Vec::new();
        let config = Arc::new(config);
        for (i, ((server, tls), stats)) in config.servers.iter().zip(tls).zip(&status.sources).enumerate() {
            let position = resume.sources.remove(&server.key()).unwrap_or_default();
            let reader = Reader {
                intake: Intake::new(i, &position, stats.clone()),
                server: server.clone(),
                config: config.clone(),
                tls,
                batches: batches.clone(),
                stats: stats.clone(),
                stop: stop.clone(),
            };
            intakes.push(thread(&format!("intake-{i}"), move || reader.run())?);
        }
        drop(batches);
        let (watched, until) = (status.clone(), stop.clone());
        let mut observers = vec![thread("monitor", move || monitor::run(&watched, &config.monitor, &until))?];
        if let Some(web) = web {
            let (watched, until) = (status.clone(), stop.clone());
            observers.push(thread("metrics", move || web.run(&watched, &until))?);
        }
        Ok(Collector { status, stop, intakes, workers, delivery, observers })
    }

    /// The counters.
    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Whether it has ended by itself: [`Collector::join`] says why.
    pub fn ended(&self) -> bool {
        self.delivery.is_finished()
    }

    /// Tells it to stop: what was received is delivered first.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits until it has stopped.
    pub fn join(self) -> Result<(), RunError> {
        for intake in self.intakes {
            intake.join().map_err(|_| RunError::Internal("an intake"))?;
        }
        for worker in self.workers {
            worker.join().map_err(|_| RunError::Internal("a worker"))?;
        }
        let outcome = self.delivery.join().map_err(|_| RunError::Internal("delivery"))?;
        self.stop.store(true, Ordering::Relaxed);
        for observer in self.observers {
            observer.join().map_err(|_| RunError::Internal("the monitor"))?;
        }
        self.status.enter(&State::Stopped);
        Ok(outcome?)
    }
}

/// The outputs of a configuration, opened.
struct Outputs {
    destinations: Vec<(String, Box<dyn Destination>)>,
    formats: Vec<Lines>,
    stats: Vec<Arc<OutputStats>>,
}

fn outputs(config: &Config, resume: &Resume) -> Result<Outputs, RunError> {
    let mut outputs = Outputs { destinations: Vec::new(), formats: Vec::new(), stats: Vec::new() };
    for output in &config.outputs {
        let state = resume.destinations.get(&output.uri).map(String::as_str);
        let (destination, sender) = open(output, &config.folder, state)?;
        outputs.destinations.push((output.uri.clone(), destination));
        outputs.stats.push(Arc::new(OutputStats::new(&output.name, &output.format.name, sender)));
        let format = output.format.make()?;
        outputs.formats.push(Lines {
            format: match &output.place {
                Place::Files(_) => format,
                Place::Network(_) => Box::new(SingleLine(format)),
            },
            filter: output.filter.clone(),
            naming: output.format.naming(),
        });
    }
    Ok(outputs)
}

fn origins(config: &Config, status: &Status) -> Vec<Origin> {
    let several = config.servers.len() > 1;
    let origin = |(server, stats): (&Server, &Arc<Stats>)| Origin {
        stats: stats.clone(),
        name: (several || server.name.is_some()).then(|| server.set.clone().unwrap_or_else(|| server.name())),
        identity: server.set.clone().unwrap_or_else(|| server.key()),
        twin: server.set.is_some(),
    };
    config.servers.iter().zip(&status.sources).map(origin).collect()
}

/// A member that joins a set begins where the others are: what came before they have delivered, and it is forgotten.
fn join(config: &Config, resume: &mut Resume) {
    for server in config.servers.iter().filter(|s| s.set.is_some()) {
        let second = |s: &Server| resume.sources.get(&s.key()).and_then(|position| position.second);
        let others = config.servers.iter().filter(|other| other.set == server.set).filter_map(second).max();
        if let (None, Some(newest)) = (second(server), others) {
            tracing::info!("{} joins a set: it begins at second {newest}, where the others are", server.name());
            resume.sources.entry(server.key()).or_default().second = Some(newest);
        }
    }
}

/// What delivery is to know of the sources, and the sets they belong to.
fn sources(config: &Config, resume: &mut Resume) -> (Vec<Source>, Vec<(String, Twins)>) {
    // What members have sent is stored by their numbers: these must not depend on the order in the file, and a set that
    // gains or loses a member is another one.
    let mut members: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (set, server) in config.servers.iter().filter_map(|s| Some((s.set.as_deref()?, s))) {
        members.entry(set).or_default().insert(server.key());
    }
    let mut sources = Vec::new();
    for server in &config.servers {
        let key = server.key();
        let member = server.set.as_deref().and_then(|set| {
            let number = members.keys().position(|name| *name == set)?;
            Some((number, members.get(set)?.iter().position(|member| *member == key)?))
        });
        sources.push(Source { key, member });
    }
    let mut sets: Vec<(String, Twins)> = Vec::new();
    for (name, members) in &members {
        let name = format!("{name}: {}", members.iter().map(String::as_str).collect::<Vec<_>>().join(" "));
        let seen = resume.seen.remove(&name).unwrap_or_default();
        sets.push((name, Twins::new(members.len(), Limits::default(), seen)));
    }
    // What the members have named is no news when another of them says it again.
    for (server, source) in config.servers.iter().zip(&sources) {
        let Some((set, _)) = source.member else { continue };
        let metadata = resume.sources.get(&server.key()).map(|p| &p.metadata[..]).unwrap_or_default();
        if let Some((_, twins)) = sets.get_mut(set) {
            for (key, item) in metadata {
                twins.is_news(key, crate::uid::content(item));
            }
        }
    }
    (sources, sets)
}

type Opened = (Box<dyn Destination>, Option<Arc<Metrics>>);

fn open(output: &Output, folder: &Path, state: Option<&str>) -> Result<Opened, RunError> {
    let mut files = output.files.clone();
    output.format.make()?.header(&mut files.header);
    let target = match &output.place {
        Place::Files(target) => target,
        Place::Network(network) => {
            let transport = network.carrier.make()?;
            let (spool, sender) = (network.spool.clone(), network.sender.clone());
            let remote = Spooled::open(&output.uri, spool, sender, transport, state)?;
            let metrics = remote.metrics();
            return Ok((Box::new(remote), Some(metrics)));
        }
    };
    let destination: Box<dyn Destination> = match target {
        Target::Stdout => {
            let mut stdout = Stdout::new();
            stdout.write(&files.header, 0)?;
            Box::new(stdout)
        }
        Target::File { folder: below, name } => {
            let settings = Settings { folder: folder.join(below), name: name.clone(), ..files };
            Box::new(File::open(settings, state)?)
        }
        Target::Scp { remote, name } => {
            let remote = Remote { key: output.key.as_ref().map(|key| folder.join(key)), ..remote.clone() };
            // A folder for each remote: what waits there must not be taken for files of another.
            let waiting = folder.join("scp").join(remote.label());
            let copy = Some(Scp::new(remote, name)?);
            Box::new(File::open(Settings { folder: waiting, name: name.clone(), copy, ..files }, state)?)
        }
    };
    Ok((destination, None))
}

fn thread<T: Send + 'static>(name: &str, body: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, RunError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(RunError::Thread)
}

fn run_worker(mut worker: Worker, work: &Receiver<Batch>, done: &Sender<Formatted>) {
    while let Ok(batch) = work.recv() {
        if done.send(worker.run(&batch)).is_err() {
            return;
        }
    }
}

/// Connects, reads, reconnects.
struct Reader {
    server: Server,
    config: Arc<Config>,
    tls: Arc<ClientConfig>,
    intake: Intake,
    batches: Sender<Batch>,
    stats: Arc<Stats>,
    stop: Arc<AtomicBool>,
}

/// Why a connection ended.
#[derive(Debug, Error)]
enum Ended {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Session(#[from] SessionEnd),
    #[error("{0}")]
    Lost(String),
}

impl Reader {
    fn run(mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!("the network cannot be used: {error}");
                self.stop.store(true, Ordering::Relaxed);
                return;
            }
        };
        runtime.spawn(crate::alive::beat(self.stats.clone()));
        runtime.block_on(self.connections());
        self.intake.flush();
        // The queue may be full; delivery is still at work, or gone, and then nobody waits for these.
        while let Some(batch) = self.intake.next_batch() {
            if self.batches.send(batch).is_err() {
                break;
            }
        }
    }

    async fn connections(&mut self) {
        let mut pause = Duration::from_secs(1);
        while !self.stopping() {
            let before = self.stats.received.value();
            let ended = match self.connection().await {
                Ok(()) => return,
                Err(ended) => ended,
            };
            self.intake.flush();
            self.forward().await;
            if self.stats.received.value() != before {
                pause = Duration::from_secs(1);
            }
            let wait = jitter(pause);
            let name = &self.stats.name;
            tracing::error!("{name}: {ended} Next attempt in {:.0} s", wait.as_secs_f64().max(1.0));
            self.stats.enter(State::Waiting(ended.to_string()));
            self.sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One connection, from the first byte to the last. `Ok` when told to stop.
    async fn connection(&mut self) -> Result<(), Ended> {
        let server = &self.server;
        let mut stream = connect::open(server, self.tls.clone(), self.config.connect_timeout).await?;
        self.stats.connections.add(1);
        let timestamp = self.intake.second().unwrap_or(u32::from(self.config.start));
        let (flags, events) = self.config.request();
        let request = ClientRequest { timestamp, flags, events };
        tracing::info!(
            "Connected to {}:{}; asking for everything {}",
            server.host,
            server.port,
            match timestamp {
                0 => "there is".to_owned(),
                u32::MAX => "that comes from now on".to_owned(),
                second => format!("archived since second {second}"),
            }
        );
        self.intake.begin(request);
        self.stats.ask(timestamp);
        self.stats.enter(State::Running);
        self.stats.hear();
        let mut messages = 0;
        loop {
            if let Err(ended) = self.send(&mut stream).await {
                self.last_words(&mut stream).await?;
                return Err(ended);
            }
            if self.stopping() {
                let _ = tokio::time::timeout(Duration::from_secs(1), stream.shutdown()).await;
                return Ok(());
            }
            self.intake.buffer.reserve(READ);
            tokio::select! {
                biased;
                read = stream.read_buf(&mut self.intake.buffer) => {
                    let n = read.map_err(|e| lost(&e, messages))?;
                    if n == 0 {
                        return Err(Ended::Lost(closed(messages)));
                    }
                    self.stats.hear();
                    self.stats.bytes.add(n as u64);
                    messages += self.intake.process()?;
                    self.forward().await;
                }
                // The server has nothing more for now: what is there is not to wait. Polled after the read, so that a
                // full pipe fills whole batches.
                () = std::future::ready(()), if self.intake.waiting() => {
                    self.intake.flush();
                    self.forward().await;
                }
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
        }
    }

    /// Takes in what had come when nothing could be sent any more: the server may have said why it goes.
    async fn last_words(&mut self, stream: &mut TlsStream<TcpStream>) -> Result<(), Ended> {
        let end = tokio::time::Instant::now() + LAST_WORDS;
        loop {
            self.intake.buffer.reserve(READ);
            match tokio::time::timeout_at(end, stream.read_buf(&mut self.intake.buffer)).await {
                Ok(Ok(n)) if n > 0 => {
                    self.intake.process()?;
                    self.forward().await;
                }
                // An alert of TLS says more than a broken pipe.
                Ok(Err(error)) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
                    return Err(lost(&error, 0));
                }
                _ => return Ok(()),
            }
        }
    }

    async fn send(&mut self, stream: &mut TlsStream<TcpStream>) -> Result<(), Ended> {
        let out = self.intake.take_output();
        if out.is_empty() {
            return Ok(());
        }
        let write = async {
            stream.write_all(&out).await?;
            stream.flush().await
        };
        match tokio::time::timeout(Duration::from_secs(60), write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(lost(&error, 1)),
            Err(_) => Err(Ended::Lost("The management center takes no acknowledgements for 60 s.".into())),
        }
    }

    /// Hands closed batches to the workers; waits while they are behind, and the connection with it.
    async fn forward(&mut self) {
        while let Some(batch) = self.intake.next_batch() {
            let mut batch = batch;
            loop {
                match self.batches.try_send(batch) {
                    Ok(()) => break,
                    Err(TrySendError::Full(back)) => {
                        batch = back;
                        tokio::time::sleep(Duration::from_micros(500)).await;
                    }
                    // Delivery is gone; the stop flag is set.
                    Err(TrySendError::Disconnected(_)) => return,
                }
            }
        }
    }

    async fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.stopping() && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(50).min(end - Instant::now())).await;
        }
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What a connection that breaks means. Before the first message it is a refusal: with TLS 1.3 the server looks at the
/// client's certificate when the client believes the handshake is over.
fn lost(error: &std::io::Error, messages: usize) -> Ended {
    let tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    Ended::Lost(match error.kind() {
        std::io::ErrorKind::UnexpectedEof => closed(messages),
        _ if tls || messages == 0 => pki::explain_connect_io(error).to_string(),
        _ => format!("The connection to the management center broke: {error}."),
    })
}

fn closed(messages: usize) -> String {
    match messages {
        0 => pki::explain_silent_close().to_string(),
        _ => "The management center closed the connection, as it does when its service is restarted.".to_owned(),
    }
}

/// A pause of 50 to 100 % of `pause`: many collectors must not come back in the same moment.
fn jitter(pause: Duration) -> Duration {
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    pause.mul_f64(0.5 + (random % 1000) as f64 / 2000.0)
}

/// What `estreamer test` finds out.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Address connected to.
    pub address: std::net::SocketAddr,
    /// TLS version and cipher suite.
    pub tls: String,
    /// SHA-256 fingerprint of the server's certificate.
    pub fingerprint: String,
    /// Services offered, in an extended session.
    pub services: Vec<u32>,
    /// The first message that came.
    pub first: &'static str,
}

/// Connects to a server of the configuration, asks for what comes from now on, and waits for the first answer: what
/// eNcore's `test` does.
pub fn probe(config: &Config, server: &Server) -> Result<Probe, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(probe_async(config, server))
}

async fn probe_async(config: &Config, server: &Server) -> Result<Probe, String> {
    let tls = connect::tls(server, &config.instance_of(server)).map_err(|e| e.to_string())?;
    let mut stream = connect::open(server, tls, config.connect_timeout).await.map_err(|e| e.to_string())?;
    let (tcp, connection) = stream.get_ref();
    let address = tcp.peer_addr().map_err(|e| e.to_string())?;
    let version = connection.protocol_version().map_or("TLS".to_owned(), |v| format!("{v:?}"));
    let suite = connection.negotiated_cipher_suite().map_or(String::new(), |s| format!(" {:?}", s.suite()));
    let fingerprint =
        connection.peer_certificates().and_then(|c| c.first()).map_or(String::new(), |c| pki::fingerprint(c));
    let (flags, events) = config.request();
    let request = ClientRequest { timestamp: u32::MAX, flags, events };
    let mut session = wire::client::ClientSession::new(request);
    let out = session.take_output();
    stream.write_all(&out).await.map_err(|e| lost(&e, 0).to_string())?;
    let mut buffer = Vec::new();
    // A plain session answers with a keep-alive at the latest, and that may take a while.
    let deadline = config.connect_timeout.max(Duration::from_secs(60));
    let answer = async {
        loop {
            match session.receive(&buffer).map_err(|e| e.to_string())? {
                None => {}
                Some((_, wire::client::ClientEvent::Services(services))) => {
                    return Ok((services, "Streaming Information"));
                }
                Some((_, wire::client::ClientEvent::Error { code, text })) => {
                    return Err(SessionEnd::Server { code, text }.to_string());
                }
                Some((_, wire::client::ClientEvent::KeepAlive)) => return Ok((Vec::new(), "Null")),
                Some(_) => return Ok((Vec::new(), "event data")),
            }
            match stream.read_buf(&mut buffer).await {
                Ok(0) => return Err(closed(0)),
                Ok(_) => {}
                Err(error) => return Err(lost(&error, 0).to_string()),
            }
        }
    };
    let (services, first) = tokio::time::timeout(deadline, answer).await.unwrap_or_else(|_| {
        Err(format!("TLS works, but no answer came within {} s. Is this the eStreamer port?", deadline.as_secs()))
    })?;
    let _ = stream.shutdown().await;
    Ok(Probe { address, tls: format!("{version}{suite}"), fingerprint, services, first })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twins::{MEMBERS, Seen};

    fn config(hosts: &[&str]) -> Config {
        let entry = |host: &&str| format!(r#"{{"host": "{host}", "pkcs12Filepath": "c", "set": "pair"}}"#);
        let list: Vec<String> = hosts.iter().map(entry).collect();
        let servers = list.join(",");
        let text = format!(r#"{{"subscription": {{"servers": [{servers}]}}, "handler": {{"outputters": []}}}}"#);
        Config::parse(&text, Path::new("e.conf"), "/e".into()).unwrap()
    }

    #[test]
    fn who_joins_a_set_begins_where_the_others_are() {
        let mut resume = Resume::default();
        join(&config(&["a", "b"]), &mut resume);
        assert!(resume.sources.is_empty(), "all of them are new");
        resume.sources.entry("a:8302".into()).or_default().second = Some(5);
        resume.sources.entry("b:8302".into()).or_default().second = Some(9);
        join(&config(&["a", "b", "c"]), &mut resume);
        let second = |key: &str| resume.sources[key].second;
        assert_eq!([second("a:8302"), second("b:8302"), second("c:8302")], [Some(5), Some(9), Some(9)]);
    }

    #[test]
    fn members_keep_their_numbers_whatever_their_order() {
        let members = |hosts: &[&str], resume: &mut Resume| {
            let (sources, sets) = sources(&config(hosts), resume);
            let numbers: Vec<(String, usize)> = sources.into_iter().map(|s| (s.key, s.member.unwrap().1)).collect();
            (numbers, sets[0].0.clone(), sets[0].1.len())
        };
        let stored = || Resume {
            seen: [("pair: a:8302 b:8302".to_owned(), vec![(7, Seen { second: 1, counts: [1; MEMBERS] })])]
                .into_iter()
                .collect(),
            ..Resume::default()
        };
        let (first, second) = (("a:8302".to_owned(), 0), ("b:8302".to_owned(), 1));
        let (numbers, name, seen) = members(&["a", "b"], &mut stored());
        assert_eq!((numbers, name.as_str(), seen), (vec![first.clone(), second.clone()], "pair: a:8302 b:8302", 1));
        assert_eq!(members(&["b", "a"], &mut stored()).0, [second, first]);
        let mut resume = stored();
        assert_eq!(members(&["a", "b", "c"], &mut resume).2, 0, "another set knows nothing yet");
        assert_eq!(resume.seen.len(), 1, "what is left is to be forgotten");
    }
}
