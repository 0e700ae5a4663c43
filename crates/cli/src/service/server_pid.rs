//! `run/server.pid`: the process id of a home's service, locked as long as it lives.

use crate::exit::Failure;
use rustix::fs::{FlockOperation, flock};
use server::Home;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

/// How often, and with what pauses, the lock is tried: who looks whether a service runs holds it for a moment.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(15);

/// Whether a home's service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Stopped,
    /// It does not listen yet.
    Starting,
    /// With this process id.
    Running(u32),
}

/// Looks whether the service runs.
pub(crate) fn state(home: &Home) -> State {
    let Ok(file) = File::open(path(home)) else { return State::Stopped };
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return State::Stopped;
    }
    let pid = io::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
    pid.map_or(State::Starting, State::Running)
}

/// The process id of the service, if it listens.
pub(crate) fn running(home: &Home) -> Option<u32> {
    match state(home) {
        State::Running(pid) => Some(pid),
        State::Starting | State::Stopped => None,
    }
}

/// The file, locked.
#[derive(Debug)]
pub(crate) struct PidFile(File);

impl PidFile {
    /// Takes the lock; a home has one service.
    pub(crate) fn lock(home: &Home) -> Result<PidFile, Failure> {
        let path = path(home);
        let failed = |e: io::Error| Failure::new(format!("{} cannot be opened: {e}", path.display()));
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        let mut tries = 0;
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            tries += 1;
            if tries == TRIES {
                return Err(Failure::new(format!("a service of {} is running already", home.dir().display())));
            }
            std::thread::sleep(PAUSE);
        }
        file.set_len(0).map_err(failed)?;
        Ok(PidFile(file))
    }

    /// Says that the service listens.
    pub(crate) fn write(&self) -> io::Result<()> {
        (&self.0).write_all(format!("{}\n", std::process::id()).as_bytes())
    }
}

fn path(home: &Home) -> PathBuf {
    home.dir().join("run").join("server.pid")
}
