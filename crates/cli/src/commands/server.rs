//! `estreamer server`.

use crate::arguments::Server as Arguments;
use crate::exit::{Exit, Failure};
use server::log::Lines;
use server::{Home, Options, Server};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How long a service in the background may take to listen.
const START: Duration = Duration::from_secs(20);

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.home)?;
    if arguments.nodaemon { foreground(arguments, home) } else { background(arguments, &home) }
}

fn foreground(arguments: &Arguments, home: Home) -> Result<Exit, Failure> {
    let settings = home.settings()?;
    let level = if arguments.debug { tracing::Level::DEBUG } else { settings.log_level.into() };
    // In the foreground the lines are for the terminal; in the background there is none.
    let lines = if std::env::var_os(DETACHED).is_some() {
        let path = log_file(&home);
        let failed = |e| Failure::new(format!("the log file {} cannot be opened: {e}", path.display()));
        Lines::to_file(&path, level).map_err(failed)?
    } else {
        Lines::to_writer(std::io::stderr(), level)
    };
    let log = lines.control();
    tracing_subscriber::registry().with(lines).init();
    let options = Options {
        listen: Some(arguments.listen.clone()).filter(|l| !l.is_empty()),
        no_host_check: arguments.nohostcheck,
        log: Some(log),
        level_fixed: arguments.debug,
        ..Options::default()
    };
    let pid_file = PidFile::lock(&home)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = Server::bind(home, options)?;
        pid_file.write()?;
        let handle = server.handle();
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                if let Err(error) = handle.reload() {
                    tracing::error!("{error}. The old settings stay in force");
                }
            }
        });
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        server
            .run(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            })
            .await;
        Ok(Exit::Done)
    })
}

/// Set in the environment of a service that runs in the background.
const DETACHED: &str = "ESTREAMER_DETACHED";

/// Starts this command again, detached from the terminal, and waits until it listens.
fn background(arguments: &Arguments, home: &Home) -> Result<Exit, Failure> {
    use std::os::unix::process::CommandExt;
    if let Some(pid) = running(home) {
        return Err(Failure::new(format!("the service of {} is running already (pid {pid})", home.dir().display())));
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("server").arg("--nodaemon").arg("--home").arg(std::path::absolute(home.dir())?);
    for address in &arguments.listen {
        command.arg("--listen").arg(address.to_string());
    }
    for (set, flag) in [(arguments.debug, "--debug"), (arguments.nohostcheck, "--nohostcheck")] {
        if set {
            command.arg(flag);
        }
    }
    // What the service says before its log is open must not be lost; nobody reads a pipe later on.
    let early = home.dir().join("run").join("server.out");
    let out = std::fs::File::create(&early)?;
    let mut child = command
        .env(DETACHED, "1")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .process_group(0)
        .spawn()?;
    let end = Instant::now() + START;
    loop {
        if child.try_wait()?.is_some() {
            let said = std::fs::read_to_string(&early).unwrap_or_default();
            return Err(Failure::new(format!(
                "the service did not start. {}",
                said.trim().trim_start_matches("estreamer: ")
            )));
        }
        if running(home) == Some(child.id()) {
            println!("The service runs (pid {}); its log is {}", child.id(), log_file(home).display());
            return Ok(Exit::Done);
        }
        if Instant::now() > end {
            return Err(Failure::new(format!(
                "the service (pid {}) does not listen after {} s; its log is {}",
                child.id(),
                START.as_secs(),
                log_file(home).display()
            )));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The log of a service in the background: the file of the settings, else `log/server.log`.
fn log_file(home: &Home) -> PathBuf {
    match home.settings().map(|s| s.log_target(home.dir())) {
        Ok(server::log::Target::File(path)) => path,
        _ => home.dir().join("log").join("server.log"),
    }
}

fn pid_path(home: &Home) -> PathBuf {
    home.dir().join("run").join("server.pid")
}

/// The process id of the service, if it runs: it holds a lock on its file as long as it lives.
fn running(home: &Home) -> Option<u32> {
    use rustix::fs::{FlockOperation, flock};
    let file = std::fs::File::open(pid_path(home)).ok()?;
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    std::io::read_to_string(file).ok()?.trim().parse().ok()
}

/// The file with the process id, locked.
struct PidFile(std::fs::File);

impl PidFile {
    /// Takes the lock; a home has one service.
    fn lock(home: &Home) -> Result<PidFile, Failure> {
        use rustix::fs::{FlockOperation, flock};
        let path = pid_path(home);
        let failed = |e: std::io::Error| Failure::new(format!("{} cannot be opened: {e}", path.display()));
        let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Failure::new(format!("a service of {} is running already", home.dir().display())));
        }
        file.set_len(0).map_err(failed)?;
        Ok(PidFile(file))
    }

    /// Says that the service listens.
    fn write(&self) -> Result<(), Failure> {
        use std::io::Write;
        (&self.0).write_all(format!("{}\n", std::process::id()).as_bytes())?;
        Ok(())
    }
}
