//! `estreamer stop`.

use super::place::{self, Place};
use crate::arguments::Stop;
use crate::exit::{Exit, Failure, say};
use crate::service::pid;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::time::{Duration, Instant};

/// After SIGKILL a process is gone, unless it hangs in the kernel.
const KILLED: Duration = Duration::from_secs(10);

pub(crate) fn run(arguments: &Stop) -> Result<Exit, Failure> {
    stop(&arguments.of.config, Duration::from_secs(arguments.timeout))?;
    Ok(Exit::Done)
}

/// Stops the collector of a configuration, if it runs.
pub(crate) fn stop(config: &Path, timeout: Duration) -> Result<(), Failure> {
    let file = Place::open(config)?.instance()?.pid();
    // A collector that has just taken its file writes its number a moment later.
    let begun = Instant::now();
    let number = loop {
        match pid::running(&file) {
            None => {
                say(format_args!("Not running"));
                return Ok(());
            }
            Some(Some(number)) => break number,
            Some(None) if begun.elapsed() > timeout => {
                return Err(Failure::new(format!("{} is in use, but has no process id", file.display())));
            }
            Some(None) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    say(format_args!("Found pid. Terminating \"{}\" ({number})", place::command(config)));
    let cannot = |e: rustix::io::Errno| Failure::new(format!("process {number} cannot be stopped: {e}"));
    let target = i32::try_from(number).ok().and_then(Pid::from_raw);
    let target = target.ok_or_else(|| Failure::new(format!("{} holds no process id: {number}", file.display())))?;
    if signal(target, Signal::TERM).map_err(cannot)? && gone(&file, number, timeout) {
        return Ok(());
    }
    if pid::running(&file) == Some(Some(number)) {
        eprintln!(
            "It did not stop within {} s and is killed. What it had not delivered comes again",
            timeout.as_secs()
        );
        signal(target, Signal::KILL).map_err(cannot)?;
        if !gone(&file, number, KILLED) {
            return Err(Failure::new(format!("process {number} does not end")));
        }
    }
    Ok(())
}

/// Sends a signal; false when the process is not there any more.
fn signal(target: Pid, signal: Signal) -> Result<bool, rustix::io::Errno> {
    match kill_process(target, signal) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(error),
    }
}

fn gone(file: &Path, number: u32, timeout: Duration) -> bool {
    let end = Instant::now() + timeout;
    while pid::running(file) == Some(Some(number)) {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}
