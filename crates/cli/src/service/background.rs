//! Starting the service in the background.

use super::server_pid::{State, running, state};
use crate::exit::Failure;
use server::Home;
use server::log::{SyslogAddress, Target};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a service may take to listen: an archive that a crash left behind is repaired first.
const START: Duration = Duration::from_secs(60);

/// Set in the environment of a service that runs in the background.
pub(crate) const DETACHED: &str = "ESTREAMER_DETACHED";

/// What tells a process that systemd has started it: not so for one that is started by such a process.
const SYSTEMD: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "SYSTEMD_EXEC_PID", "INVOCATION_ID", "LISTEN_FDS"];

/// Starts this program as `server` with these options, detached from the terminal, and waits until it listens. Gives its
/// process id. Root starts it as the owner of the home.
pub(crate) fn start(home: &Home, options: &[String]) -> Result<u32, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("server").arg("--nodaemon").arg("--home").arg(std::path::absolute(home.dir())?).args(options);
    for key in SYSTEMD {
        command.env_remove(key);
    }
    // What the service says before its log is open must not be lost; nobody reads a pipe later on.
    let early = home.dir().join("run").join("server.out");
    match std::fs::remove_file(&early) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let out = std::fs::File::create(&early)?;
    if let Some((user, group)) = owner(home)? {
        std::os::unix::fs::chown(&early, Some(user), Some(group))?;
        command.uid(user).gid(group);
    }
    let mut child = command
        .env(DETACHED, "1")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
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
            return Ok(child.id());
        }
        if Instant::now() > end {
            return Err(Failure::new(format!(
                "the service (pid {}) does not listen after {} s; its log is {}",
                child.id(),
                START.as_secs(),
                log_name(home)
            )));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The owner of a home, if root starts the service of somebody else: files of root in it would shut that user out.
fn owner(home: &Home) -> std::io::Result<Option<(u32, u32)>> {
    let owner = std::fs::metadata(home.dir())?;
    let foreign = rustix::process::geteuid().is_root() && owner.uid() != 0;
    Ok(foreign.then(|| (owner.uid(), owner.gid())))
}

/// Leaves the terminal and its session, so that nothing that happens there ends the service.
pub(crate) fn detach() {
    // It fails for who leads a process group already, and then there is nothing to leave.
    let _ = rustix::process::setsid();
}

/// Waits until the service is gone; says whether it is.
pub(crate) fn wait_for_end(home: &Home, most: Duration) -> bool {
    let end = Instant::now() + most;
    while state(home) != State::Stopped {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Where the log of a service in the background goes: where the settings say, but there is no standard error.
pub(crate) fn log_target(home: &Home) -> Target {
    match home.settings().map(|s| s.log_target(home.dir())) {
        Ok(Target::StandardError) | Err(_) => Target::File(default_log(home)),
        Ok(target) => target,
    }
}

/// The same in words.
pub(crate) fn log_name(home: &Home) -> String {
    target_name(&log_target(home))
}

/// A place for log lines in words.
pub(crate) fn target_name(target: &Target) -> String {
    match target {
        Target::StandardError => "standard error".to_owned(),
        Target::File(path) => path.display().to_string(),
        Target::Syslog(SyslogAddress::Local(path)) => format!("syslog ({})", path.display()),
        Target::Syslog(SyslogAddress::Udp { host, port }) => format!("syslog ({host}, UDP port {port})"),
    }
}

fn default_log(home: &Home) -> PathBuf {
    home.dir().join("log").join("server.log")
}
