//! `estreamer collect`.

use super::place::DEFAULT_LOG;
use super::stop_flag;
use crate::arguments::Collect;
use crate::exit::{Exit, Failure};
use crate::live::Live;
use crate::logging;
use crate::service::notify::Notify;
use crate::service::pid::PidFile;
use crate::service::status::{self, Observer};
use collector::alive::Watch;
use collector::config::{Config, Secret, document};
use collector::run::{Collector, RunError};
use collector::stats::{OutputCounts, Stats, Status};
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGUSR1};
use std::io::{IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Time between two looks at what was asked for.
const TICK: Duration = Duration::from_millis(50);

/// What stands still for this long hangs, unless the watchdog waits longer.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(arguments: &Collect) -> Result<Exit, Failure> {
    let path = &arguments.of.config;
    let mut config = load(path)?;
    if arguments.detached {
        // The parent has the terminal; nothing that happens there is meant for this process. It fails for the leader of
        // a group, which a process started by hand may be, and then there is nothing to leave.
        let _ = rustix::process::setsid();
        config.log.file.get_or_insert_with(|| config.folder.join(DEFAULT_LOG));
        (config.log.stdout, config.log.stderr) = (false, false);
    }
    let log = logging::collector(&config.log)?;
    let to_file_only = config.log.file.is_some() && !config.log.stderr;
    let outcome = unlock(&mut config).and_then(|()| Service::open(path, config, log)?.run());
    if let (Err(failure), true) = (&outcome, to_file_only) {
        tracing::error!("{failure}");
    }
    outcome
}

/// A collector with what a service has around it.
struct Service {
    config: Config,
    log: logging::Handle,
    /// Held as long as it runs.
    _pid: PidFile,
    observer: Observer,
    notify: Notify,
    stop: Arc<AtomicBool>,
    hangup: Arc<AtomicBool>,
    asked: Arc<AtomicBool>,
    enabled: Enabled,
    /// When the status was logged last (`monitor.details`).
    detailed: Instant,
}

/// How a turn of the collector ended.
enum Turn {
    Again,
    Done,
}

impl Service {
    fn open(path: &Path, config: Config, log: logging::Handle) -> Result<Service, Failure> {
        let flag = |signal| -> Result<Arc<AtomicBool>, Failure> {
            let flag: Arc<AtomicBool> = Arc::default();
            signal_hook::flag::register(signal, flag.clone())?;
            Ok(flag)
        };
        // Before anybody can find the process and signal it.
        let (stop, hangup, asked) = (stop_flag()?, flag(SIGHUP)?, flag(SIGUSR1)?);
        let pid = PidFile::take(&config.instance().pid())?;
        banner(path, &config);
        Ok(Service {
            _pid: pid,
            observer: Observer::new(&config),
            notify: Notify::from_environment(),
            stop,
            hangup,
            asked,
            enabled: Enabled::new(path),
            detailed: Instant::now(),
            config,
            log,
        })
    }

    fn run(mut self) -> Result<Exit, Failure> {
        let outcome = loop {
            match self.turn() {
                Ok(Turn::Again) => {}
                Ok(Turn::Done) => break Ok(Exit::Done),
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = &outcome {
            self.observer.last(&Status::new(Vec::new(), Vec::new()), status::ERROR, Some(error.to_string()));
        }
        Ok(outcome?)
    }

    /// From a start to an end.
    fn turn(&mut self) -> Result<Turn, RunError> {
        self.observer.last(&Status::new(Vec::new(), Vec::new()), status::STARTING, None);
        let collector = Collector::start(self.config.clone())?;
        self.notify.ready();
        let status = collector.status().clone();
        let shown = !self.config.prints() || !std::io::stdout().is_terminal();
        let mut live = shown.then(|| Live::new(&status)).flatten();
        let watchdog = self.notify.watchdog();
        let mut watch = Watch::new(watchdog.map_or(PATIENCE, |time| time.max(PATIENCE)), Instant::now());
        let mut said = Instant::now();
        while !self.stop.load(Ordering::Relaxed) && !collector.ended() {
            std::thread::sleep(TICK);
            self.tend(&status);
            if let Some(live) = &mut live {
                live.tick(&status);
            }
            if watchdog.is_some_and(|time| said.elapsed() >= (time / 3).min(Duration::from_secs(5))) {
                said = Instant::now();
                match watch.look(&status, said) {
                    None => self.notify.alive(),
                    Some(what) => tracing::error!("{what}; the service manager is not told that all is well"),
                }
            }
        }
        if self.stop.load(Ordering::Relaxed) {
            self.notify.stopping();
            self.observer.last(&status, status::STOPPING, None);
            tracing::info!("Stopping...");
        }
        collector.stop();
        let outcome = collector.join();
        drop(live);
        for source in &status.sources {
            tracing::info!("Stopped. {}: {}", source.name, summary(source));
        }
        for output in &status.outputs {
            tracing::info!("{}: {}", output.name, lines(&output.counts()));
        }
        let again = outcome.as_ref().is_err_and(RunError::again) && !self.stop.load(Ordering::Relaxed);
        match outcome {
            Err(error) if again => {
                tracing::error!("{error}. Starting again from the checkpoint");
                std::thread::sleep(Duration::from_secs(1));
                Ok(Turn::Again)
            }
            Err(error) if !error.closed() => {
                self.observer.last(&status, status::ERROR, Some(error.to_string()));
                Err(error)
            }
            _ => {
                self.observer.last(&status, status::STOPPED, None);
                tracing::info!("Goodbye");
                Ok(Turn::Done)
            }
        }
    }

    /// Does what was asked for since the last look.
    fn tend(&mut self, status: &Status) {
        if self.hangup.swap(false, Ordering::Relaxed) {
            self.log.reopen();
        }
        if self.asked.swap(false, Ordering::Relaxed) {
            let text = self.structure(status);
            tracing::info!(target: "Monitor", "{text}");
            // eNcore prints it; where events are printed it would be taken for one.
            if !self.config.log.stdout && !self.config.prints() {
                let _ = writeln!(std::io::stdout(), "{text}");
            }
        }
        if self.config.monitor.details && self.detailed.elapsed() >= self.config.monitor.period {
            self.detailed = Instant::now();
            tracing::info!(target: "Monitor", "{}", self.structure(status));
        }
        if self.enabled.gone() {
            tracing::info!("settings.enabled == False.");
            self.stop.store(true, Ordering::Relaxed);
        }
        if self.observer.turn(status) {
            let (code, reason) = status::code(status);
            let reason = reason.map(|reason| format!(" {reason}")).unwrap_or_default();
            self.notify.status(&format!("{}. {} handled;{reason}", code.word, status.sum(|s| &s.delivered)));
        }
    }

    fn structure(&self, status: &Status) -> Value {
        let (code, reason) = status::code(status);
        self.observer.structure(status, code, reason.as_deref())
    }
}

/// `enabled` in the file, which stops a running collector when it becomes false.
struct Enabled {
    path: PathBuf,
    looked: Instant,
    changed: Option<SystemTime>,
}

impl Enabled {
    fn new(path: &Path) -> Enabled {
        let changed = std::fs::metadata(path).and_then(|data| data.modified()).ok();
        Enabled { path: path.to_owned(), looked: Instant::now(), changed }
    }

    fn gone(&mut self) -> bool {
        if self.looked.elapsed() < Duration::from_millis(500) {
            return false;
        }
        self.looked = Instant::now();
        let changed = std::fs::metadata(&self.path).and_then(|data| data.modified()).ok();
        if changed == self.changed {
            return false;
        }
        self.changed = changed;
        // A file that is being written may be no configuration for a moment.
        document::read(&self.path).is_ok_and(|document| document.get("enabled") == Some(&Value::Bool(false)))
    }
}

/// What eNcore says at its start.
fn banner(path: &Path, config: &Config) {
    let system = rustix::system::uname();
    tracing::info!("estreamer version: {}", env!("CARGO_PKG_VERSION"));
    tracing::info!(
        "Platform version: {} {} {}",
        system.sysname().to_string_lossy(),
        system.release().to_string_lossy(),
        system.machine().to_string_lossy()
    );
    tracing::info!("Starting client (pid={}).", std::process::id());
    if let Ok(document) = document::read(path) {
        tracing::info!("Settings: {}", document::redacted(&document));
    }
    for notice in &config.notices {
        tracing::info!(target: "Settings", "{}: {notice}", path.display());
    }
    for warning in config.warnings.iter().chain(&exposed(path, config)) {
        tracing::warn!(target: "Settings", "{}: {warning}", path.display());
    }
}

/// Secrets that others on this machine can read.
pub(crate) fn exposed(path: &Path, config: &Config) -> Vec<String> {
    let open = |file: &Path| {
        let mode = std::fs::metadata(file).map_or(0, |data| data.permissions().mode() & 0o777);
        (mode & 0o007 != 0).then_some(mode)
    };
    let mut warnings = Vec::new();
    let secrets = document::read(path).is_ok_and(|document| document::redacted(&document) != document);
    if let Some(mode) = open(path).filter(|_| secrets) {
        warnings.push(format!(
            "the file holds secrets and everybody can read it (mode {mode:04o}): run \"chmod 600\" on it"
        ));
    }
    for server in &config.servers {
        let pkcs12 = &server.pkcs12;
        if let Some(mode) = open(pkcs12) {
            warnings.push(format!(
                "{} holds a private key and everybody can read it (mode {mode:04o}): run \"chmod 600\" on it",
                pkcs12.display()
            ));
        }
    }
    warnings
}

/// What became of the records of an output: the parts add up to the whole.
fn lines(counts: &OutputCounts) -> String {
    format!(
        "{} received + {} waiting before = {} delivered + {} filtered + {} refused + {} dropped + {} pending",
        counts.received,
        counts.before,
        counts.delivered,
        counts.filtered,
        counts.failed,
        counts.dropped,
        counts.pending
    )
}

/// What became of the records of a management center: the parts add up to the whole.
fn summary(stats: &Stats) -> String {
    let counts = stats.counts();
    format!(
        "{} received = {} delivered + {} filtered + {} not understood + {} known before + {} sent by another member + {} pending",
        counts.received,
        counts.delivered,
        counts.filtered,
        counts.failed,
        counts.known,
        counts.duplicate,
        counts.pending
    )
}

/// Reads a configuration that is enabled; the password may come from the environment.
pub(crate) fn load(path: &Path) -> Result<Config, Failure> {
    let mut config = Config::load(path)?;
    with_environment(&mut config);
    Ok(config)
}

/// Takes the password from the environment, if it is there.
pub(crate) fn with_environment(config: &mut Config) {
    if let Ok(password) = std::env::var("ESTREAMER_PASSWORD") {
        for server in config.servers.iter_mut().filter(|s| s.password.is_none()) {
            server.password = Some(Secret(password.clone()));
        }
    }
}

/// Asks for the passwords of PKCS#12 files that need one, when there is somebody to ask.
pub(crate) fn unlock(config: &mut Config) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Ok(());
    }
    for i in 0..config.servers.len() {
        let server = &config.servers[i];
        if !collector::credentials::needs_password(server, &config.instance_of(server)) {
            continue;
        }
        let asked = client::password::ask(&format!("Password of {}: ", server.pkcs12.display()));
        let asked = asked.map_err(|e| Failure::new(format!("the password cannot be asked for: {e}")))?;
        config.servers[i].password = Some(Secret(asked.to_string()));
    }
    Ok(())
}
