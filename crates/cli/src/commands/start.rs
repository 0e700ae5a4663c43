//! `estreamer start` and `restart`: a collector in the background.

use super::collect::{load, unlock};
use super::place::{self, Place};
use super::stop;
use crate::arguments::{Restart, Start};
use crate::exit::{Exit, Failure, hint, say};
use crate::service::{pid, status};
use collector::config::{Config, Instance, Secret};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a collector may take to be there; opening a big state file takes its time.
const START: Duration = Duration::from_secs(60);

pub(crate) fn run(arguments: &Start) -> Result<Exit, Failure> {
    let path = std::path::absolute(&arguments.of.config)?;
    let mut config = load(&path)?;
    let instance = config.instance();
    let command = place::command(&arguments.of.config);
    if pid::running(&instance.pid()).is_some() {
        say(format_args!("{command} is already running."));
        return Ok(Exit::Done);
    }
    // The child has no terminal to ask at. What is in the file or in the environment it finds there itself.
    let known: Vec<bool> = config.servers.iter().map(|server| server.password.is_some()).collect();
    unlock(&mut config)?;
    let typed = config.servers.iter().zip(known).filter(|(_, known)| !known);
    let mut typed = typed.filter_map(|(server, _)| server.password.as_ref());
    let asked = typed.next();
    if typed.any(|other| asked.is_some_and(|asked| asked.0 != other.0)) {
        return Err(Failure::new(
            "the PKCS#12 files have different passwords: write each into the configuration, beside its pkcs12Filepath",
        ));
    }
    hint(format_args!("Starting \"{command}\". "));
    let mut child = spawn(&path, &config, asked, &instance)?;
    match up(&mut child, &instance, Duration::from_secs(arguments.wait)) {
        Err(failure) => {
            // What eNcore prints for a service that is not there.
            say(format_args!("Started. pid=-1"));
            Err(failure)
        }
        Ok(trouble) => {
            say(format_args!("Started. pid={}", child.id()));
            let _ = std::fs::remove_file(instance.early());
            let Some(trouble) = trouble else { return Ok(Exit::Done) };
            let log = Place::open(&path)?.log();
            eprintln!("{trouble} It goes on trying; its log is {}", log.display());
            Ok(Exit::Incomplete)
        }
    }
}

pub(crate) fn again(arguments: &Restart) -> Result<Exit, Failure> {
    stop::stop(&arguments.start.of.config, Duration::from_secs(arguments.timeout))?;
    run(&arguments.start)
}

fn spawn(path: &Path, config: &Config, asked: Option<&Secret>, instance: &Instance) -> Result<Child, Failure> {
    // What it says before its log is open must not be lost; nobody reads a pipe later on.
    let early = instance.early();
    let out = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&early);
    let out = out.map_err(|e| Failure::new(format!("{} cannot be written: {e}", early.display())))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("collect").arg("--detached").arg("--config").arg(path);
    if let Some(password) = asked {
        command.env("ESTREAMER_PASSWORD", &password.0);
    }
    let folder = std::path::absolute(&config.folder)?;
    command.current_dir(folder).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
    Ok(command.spawn()?)
}

/// Waits until it runs, and for its connection. What keeps it from that, if it runs without one.
fn up(child: &mut Child, instance: &Instance, patience: Duration) -> Result<Option<String>, Failure> {
    let begun = Instant::now();
    let mut there: Option<Instant> = None;
    loop {
        if child.try_wait()?.is_some() {
            let said = std::fs::read_to_string(instance.early()).unwrap_or_default();
            let said = said.trim().trim_start_matches("estreamer: ");
            let said = if said.is_empty() { "It ended at once: its log says why" } else { said };
            return Err(Failure::new(format!("the collector did not start. {said}")));
        }
        let own = pid::running(&instance.pid()) == Some(Some(child.id()));
        let state = status::read(instance).filter(|s| own && s["pid"] == child.id());
        let id = state.as_ref().and_then(|s| s["state"]["id"].as_i64());
        if id.is_some() {
            there.get_or_insert_with(Instant::now);
        }
        if id == Some(status::RUNNING.id) {
            return Ok(None);
        }
        let reason = state.as_ref().and_then(|s| s["reason"].as_str()).map(str::to_owned);
        if id == Some(status::ERROR.id) && reason.is_some() {
            // A first attempt that failed tells what is wrong; a collector that ends on it is seen above.
            std::thread::sleep(Duration::from_millis(200));
            if child.try_wait()?.is_none() {
                return Ok(reason);
            }
            continue;
        }
        if there.is_some_and(|since| since.elapsed() >= patience) {
            return Ok(Some(format!("It has not connected after {} s.", patience.as_secs())));
        }
        if begun.elapsed() > START.max(patience) {
            return Err(Failure::new(format!(
                "the collector (pid {}) is not ready after {} s",
                child.id(),
                START.max(patience).as_secs()
            )));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
