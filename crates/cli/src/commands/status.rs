//! `estreamer status`.

use super::place::Place;
use crate::arguments::Status;
use crate::exit::{Exit, Failure, say};
use crate::service::{pid, status};
use collector::config::Instance;
use serde_json::Value;

pub(crate) fn run(arguments: &Status) -> Result<Exit, Failure> {
    let instance = Place::open(&arguments.of.config)?.instance()?;
    let number = pid::running(&instance.pid());
    if arguments.json {
        let mut all = status::read(&instance).unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let (id, word) = status::current(&instance, number.is_some());
        all["running"] = number.is_some().into();
        all["state"] = serde_json::json!({"id": id, "description": word});
        say(all);
    } else {
        say(line(&instance));
        for line in words(&instance, number) {
            say(line);
        }
    }
    Ok(if number.is_some() { Exit::Done } else { Exit::Incomplete })
}

/// The line Splunk's search looks for.
pub(crate) fn line(instance: &Instance) -> String {
    let lives = pid::running(&instance.pid()).is_some();
    let (id, word) = status::current(instance, lives);
    format!("status_id={id} status=\"{word}\"")
}

fn words(instance: &Instance, number: Option<Option<u32>>) -> Vec<String> {
    let said = status::read(instance);
    let text = |key: &str| said.as_ref().and_then(|s| s[key].as_str()).unwrap_or_default().to_owned();
    let count = |key: &str| said.as_ref().and_then(|s| s[key].as_u64());
    let mut lines = Vec::new();
    match number {
        Some(Some(pid)) => lines.push(format!("pid {pid}, since {}", text("start"))),
        Some(None) => lines.push("It is starting".to_owned()),
        None if said.as_ref().is_some_and(|s| s["state"]["id"] == status::RUNNING.id) => lines.push(format!(
            "It does not run, and did not end in order: it was killed, or the machine went down. Its last sign is of {}",
            text("now")
        )),
        None if said.is_some() => lines.push(format!("It does not run; it ended at {}", text("now"))),
        None => lines.push("It has never run with this configuration".to_owned()),
    }
    if said.is_some() {
        lines.push(format!("management center {}", text("server")));
        if let Some(events) = count("events") {
            let pending = count("pending").unwrap_or(0);
            lines.push(format!("{events} records handled, {pending} under way"));
        }
        if let Some(second) = count("bookmark").filter(|second| *second > 0) {
            let second = i64::try_from(second).unwrap_or(i64::MAX);
            let lag = match number {
                Some(_) => format!(", {} s behind the clock", (jiff::Timestamp::now().as_second() - second).max(0)),
                None => String::new(),
            };
            lines.push(format!("bookmark {second} ({}){lag}", pki::time_text(second)));
        }
        let reason = text("reason");
        if !reason.is_empty() {
            lines.push(reason);
        }
    }
    lines
}
