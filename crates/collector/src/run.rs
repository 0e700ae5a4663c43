//! A running collector: threads, connection, reconnection, monitor line.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::{Config, Output, Place};
use crate::connect::{self, ConnectError};
use crate::deliver::{Delivery, DeliveryError};
use crate::intake::{Batch, Intake, SessionEnd};
use crate::stats::{State, Stats};
use crate::work::{Formatted, Lines, Plan, SingleLine, Worker};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use outputs::Remote as Spooled;
use outputs::scp::{Remote, Scp};
use outputs::{Destination, Error as DestinationError, File, Format, Metrics, Settings, Stdout, Target};
use rustls::ClientConfig;
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
    stats: Arc<Stats>,
    stop: Arc<AtomicBool>,
    intake: JoinHandle<()>,
    workers: Vec<JoinHandle<()>>,
    delivery: JoinHandle<Result<(), DeliveryError>>,
    receivers: Vec<(String, Arc<Metrics>)>,
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
        let stats: Arc<Stats> = Arc::default();
        let stop: Arc<AtomicBool> = Arc::default();
        let tls = connect::tls(&config.server, &config.instance())?;
        let (checkpoint, mut resume) = Checkpoint::open(&config.state_file())?;
        crate::encore::take_over(&config, &mut resume);
        let mut destinations: Vec<(String, Box<dyn Destination>)> = Vec::new();
        let mut formats: Vec<Lines> = Vec::new();
        let mut receivers = Vec::new();
        for output in &config.outputs {
            let state = resume.destinations.get(&output.uri).map(String::as_str);
            destinations.push((output.uri.clone(), open(output, &config.folder, state, &mut receivers)?));
            let format = output.format.make()?;
            formats.push(Lines {
                format: match &output.place {
                    Place::Files(_) => format,
                    Place::Network(_) => Box::new(SingleLine(format)),
                },
                filter: output.filter.clone(),
                naming: output.format.naming(),
            });
        }
        for output in extra {
            destinations.push((output.name, output.destination));
            formats.push(Lines { format: output.format, filter: None, naming: Naming::Ours });
        }
        let plan = Arc::new(Plan {
            formats,
            selection: config.selection.clone(),
            filter: config.filter.clone(),
            stats: stats.clone(),
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
        let delivery = Delivery::new(destinations, checkpoint, stats.clone(), used);
        let until = stop.clone();
        let delivery = thread("delivery", move || {
            let outcome = delivery.run(&results, &until);
            // Without delivery there is no point in reading on.
            until.store(true, Ordering::Relaxed);
            outcome
        })?;
        let reader = Reader {
            intake: Intake::new(&resume, stats.clone()),
            config,
            tls,
            batches,
            stats: stats.clone(),
            stop: stop.clone(),
            started: Instant::now(),
        };
        let intake = thread("intake", move || reader.run())?;
        Ok(Collector { stats, stop, intake, workers, delivery, receivers })
    }

    /// The counters.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// The counters of the receivers in the network, by their URIs.
    pub fn receivers(&self) -> &[(String, Arc<Metrics>)] {
        &self.receivers
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
        self.intake.join().map_err(|_| RunError::Internal("the intake"))?;
        for worker in self.workers {
            worker.join().map_err(|_| RunError::Internal("a worker"))?;
        }
        let outcome = self.delivery.join().map_err(|_| RunError::Internal("delivery"))?;
        self.stats.enter(State::Stopped);
        Ok(outcome?)
    }
}

fn open(
    output: &Output,
    folder: &Path,
    state: Option<&str>,
    receivers: &mut Vec<(String, Arc<Metrics>)>,
) -> Result<Box<dyn Destination>, RunError> {
    let mut files = output.files.clone();
    output.format.make()?.header(&mut files.header);
    let target = match &output.place {
        Place::Files(target) => target,
        Place::Network(network) => {
            let transport = network.carrier.make()?;
            let (spool, sender) = (network.spool.clone(), network.sender.clone());
            let remote = Spooled::open(&output.uri, spool, sender, transport, state)?;
            receivers.push((output.uri.clone(), remote.metrics()));
            return Ok(Box::new(remote));
        }
    };
    Ok(match target {
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
    })
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
    config: Config,
    tls: Arc<ClientConfig>,
    intake: Intake,
    batches: Sender<Batch>,
    stats: Arc<Stats>,
    stop: Arc<AtomicBool>,
    started: Instant,
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
            tracing::error!("{ended} Next attempt in {:.0} s", wait.as_secs_f64().max(1.0));
            self.stats.enter(State::Waiting(ended.to_string()));
            self.sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One connection, from the first byte to the last. `Ok` when told to stop.
    async fn connection(&mut self) -> Result<(), Ended> {
        let server = &self.config.server;
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
        self.stats.enter(State::Running);
        let mut monitor = tokio::time::interval(self.config.monitor.period);
        monitor.reset();
        let mut heard = Instant::now();
        let mut messages = 0;
        loop {
            self.send(&mut stream).await?;
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
                    heard = Instant::now();
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
                _ = monitor.tick() => self.monitor(heard),
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
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

    fn monitor(&self, heard: Instant) {
        let monitor = &self.config.monitor;
        // The words and blanks of eNcore's line: people search their logs for "ev/sec".
        let mut line = "Running.".to_owned();
        let handled = self.stats.delivered.value();
        if monitor.handled {
            line.push_str(&format!(" {handled} handled;"));
        }
        line.push_str(&format!(" average rate {:.2} ev/sec; ", handled as f64 / self.started.elapsed().as_secs_f64()));
        if monitor.bookmark {
            let second = i64::from(self.stats.second.load(Ordering::Relaxed));
            if let Ok(time) = jiff::Timestamp::from_second(second) {
                line.push_str(&format!(" bookmark {};", time.strftime("%Y-%m-%dT%H:%M:%SZ")));
            }
        }
        tracing::info!(target: "Monitor", "{line}");
        let silent = heard.elapsed();
        if silent > monitor.period.max(Duration::from_secs(120)) {
            tracing::warn!(
                "No data for {} s, not even a keep-alive. A management center is silent while it makes a backup",
                silent.as_secs()
            );
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

/// Connects, asks for what comes from now on, and waits for the first answer: what eNcore's `test` does.
pub fn probe(config: &Config) -> Result<Probe, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(probe_async(config))
}

async fn probe_async(config: &Config) -> Result<Probe, String> {
    let tls = connect::tls(&config.server, &config.instance()).map_err(|e| e.to_string())?;
    let mut stream = connect::open(&config.server, tls, config.connect_timeout).await.map_err(|e| e.to_string())?;
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
