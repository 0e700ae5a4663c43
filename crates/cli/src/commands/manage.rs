//! `estreamer manage`: the service as `manage_estreamer.pl` manages it.

use crate::arguments::{Action, Manage};
use crate::exit::{Exit, Failure, hint, say};
use crate::service::background::{self, wait_for_end};
use crate::service::server_pid::{State, state};
use crate::service::socket::ask;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use server::Home;
use std::io::BufRead;
use std::time::{Duration, Instant};

/// How long the service may take to end: its sessions have five seconds.
const END: Duration = Duration::from_secs(30);

/// How long one that is starting may take to listen.
const START: Duration = Duration::from_secs(60);

const MENU: &str = "
  1) Query status
  2) Stop
  3) Start
  4) Restart
  5) Reload
  0) Exit";

pub(crate) fn run(arguments: &Manage) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.home)?;
    match arguments.action {
        Some(action) => act(&home, action, arguments.json),
        None => menu(&home, arguments.json),
    }
}

/// Asks what to do until it is told to leave.
fn menu(home: &Home, json: bool) -> Result<Exit, Failure> {
    let mut last = Ok(Exit::Done);
    say(format_args!("The eStreamer service of {}", home.dir().display()));
    let mut input = std::io::stdin().lock();
    loop {
        say(MENU);
        hint(format_args!("Choice: "));
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            say("");
            return last;
        }
        let action = match line.trim().to_lowercase().as_str() {
            "" => continue,
            "0" | "q" | "quit" | "exit" => return last,
            word => <Action as clap::ValueEnum>::from_str(word, true),
        };
        let Ok(action) = action else {
            eprintln!("estreamer: {:?} is no choice: give a number from 0 to 5", line.trim());
            continue;
        };
        last = act(home, action, json).or_else(|error| {
            eprintln!("estreamer: {error}");
            Ok(Exit::Failed)
        });
    }
}

fn act(home: &Home, action: Action, json: bool) -> Result<Exit, Failure> {
    match action {
        Action::Status => super::manage_status::run(home, json),
        Action::Stop => stop(home).map(|_| Exit::Done),
        Action::Start => start(home),
        Action::Restart => restart(home),
        Action::Reload => reload(home),
    }
}

fn start(home: &Home) -> Result<Exit, Failure> {
    match settled(home)? {
        State::Running(pid) => say(format_args!("The service runs already (pid {pid})")),
        State::Starting | State::Stopped => begin(home, &[])?,
    }
    Ok(Exit::Done)
}

fn begin(home: &Home, options: &[String]) -> Result<(), Failure> {
    match background::start(home, options) {
        Ok(pid) => say(format_args!("The service runs (pid {pid}); its log is {}", background::log_name(home))),
        // Somebody else was faster.
        Err(error) => match state(home) {
            State::Running(pid) => say(format_args!("The service runs already (pid {pid})")),
            State::Starting | State::Stopped => return Err(error),
        },
    }
    Ok(())
}

/// Stops the service; gives what it said of itself before.
fn stop(home: &Home) -> Result<Option<Value>, Failure> {
    let State::Running(pid) = settled(home)? else {
        say("The service does not run");
        return Ok(None);
    };
    let said = ask(home, "status").ok();
    leave_to_systemd(said.as_ref(), "stop")?;
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let killed = process.map_or(Err(Errno::SRCH), |process| kill_process(process, Signal::TERM));
    match killed {
        // It has ended by itself just now.
        Ok(()) | Err(Errno::SRCH) => {}
        Err(Errno::PERM) => {
            return Err(Failure::new(format!(
                "this user may not stop the service (pid {pid}): run the command as the user whose process it is, or as root"
            )));
        }
        Err(error) => return Err(Failure::new(format!("the service (pid {pid}) cannot be told to end: {error}"))),
    }
    if !wait_for_end(home, END) {
        return Err(Failure::new(format!(
            "the service (pid {pid}) has not ended after {} s; its log is {}. The last resort is \"kill -9 {pid}\": nothing \
             is lost by it",
            END.as_secs(),
            background::log_name(home)
        )));
    }
    match said.as_ref().and_then(|s| s["sessions"].as_array()).map(Vec::len) {
        Some(1) => say("The service has stopped; 1 connection was open"),
        Some(open) => say(format_args!("The service has stopped; {open} connections were open")),
        None => say("The service has stopped"),
    }
    Ok(said)
}

fn restart(home: &Home) -> Result<Exit, Failure> {
    if let State::Running(_) = settled(home)? {
        leave_to_systemd(ask(home, "status").ok().as_ref(), "restart")?;
        // A service that could not be started again must not be stopped.
        let unsound = |e| Failure::new(format!("{e}. The service is not restarted and runs on as it was"));
        home.settings().map_err(unsound)?;
        home.server_identity().map_err(unsound)?;
    }
    let said = stop(home)?;
    let options = said.as_ref().and_then(|s| s["options"].as_array());
    let options: Vec<String> = options.into_iter().flatten().filter_map(|o| Some(o.as_str()?.to_owned())).collect();
    if !options.is_empty() {
        say(format_args!("Starting it again with {}", options.join(" ")));
    }
    if said.is_some_and(|s| s["background"] == false) {
        say("It ran in the foreground; now it runs in the background");
    }
    begin(home, &options)?;
    Ok(Exit::Done)
}

fn reload(home: &Home) -> Result<Exit, Failure> {
    let State::Running(pid) = settled(home)? else {
        eprintln!("estreamer: the service does not run; it reads its settings when it starts");
        return Ok(Exit::Incomplete);
    };
    let failed = |e| Failure::new(format!("the service (pid {pid}) does not answer: {e}; its log may say why"));
    let came = ask(home, "reload").map_err(failed)?;
    if let Some(error) = came["error"].as_str() {
        return Err(Failure::new(format!("the reload was rejected: {error}. The old settings stay in force")));
    }
    say("Settings and certificates were read again; open sessions keep the old settings");
    for key in came["restart_needed"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        say(format_args!("The new value of \"{key}\" counts after a restart only"));
    }
    if let Some(error) = came["log_failed"].as_str() {
        say(format_args!("The log file cannot be opened again ({error}); the old one is used"));
    }
    Ok(Exit::Done)
}

/// Whether the service runs; one that is starting is waited for.
fn settled(home: &Home) -> Result<State, Failure> {
    let end = Instant::now() + START;
    loop {
        match state(home) {
            State::Starting if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
            State::Starting => {
                let seconds = START.as_secs();
                return Err(Failure::new(format!(
                    "the service has been starting for {seconds} s and does not listen yet"
                )));
            }
            settled => return Ok(settled),
        }
    }
}

/// systemd would think that the service has failed, or start it again.
fn leave_to_systemd(said: Option<&Value>, verb: &str) -> Result<(), Failure> {
    match said.and_then(|s| s["unit"].as_str()) {
        None => Ok(()),
        Some(unit) => Err(Failure::new(format!(
            "systemd runs this service ({unit}), so it is not touched here: use \"systemctl {verb} {}\"",
            if unit.ends_with(".service") { unit } else { "UNIT" }
        ))),
    }
}
