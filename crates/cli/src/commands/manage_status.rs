//! The status of the service in words.

use crate::exit::{Exit, Failure, say};
use crate::service::server_pid::{State, state};
use crate::service::socket::ask;
use jiff::Timestamp;
use serde_json::{Value, json};
use server::Home;

/// The status, and 3 when the service does not run.
pub(crate) fn run(home: &Home, as_json: bool) -> Result<Exit, Failure> {
    let state = state(home);
    let mut said = match state {
        State::Running(_) => ask(home, "status"),
        State::Starting | State::Stopped => Ok(json!({})),
    };
    if let Ok(status) = &mut said {
        status["running"] = matches!(state, State::Running(_)).into();
        status["archive"] = archive(home);
        status["paused"] = paused(home);
    }
    if as_json {
        // Without an answer what is known by looking is told.
        say(said.unwrap_or_else(|e| json!({"running": true, "error": e.to_string(), "archive": archive(home)})));
    } else {
        match said {
            Ok(status) => words(home, state, &status).iter().for_each(say),
            Err(error) => say(format_args!("The service runs, but does not answer: {error}")),
        }
    }
    Ok(if state == State::Stopped { Exit::Incomplete } else { Exit::Done })
}

fn words(home: &Home, state: State, status: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let dir = home.dir().display();
    match state {
        State::Stopped => lines.push(format!("The service of {dir} does not run")),
        State::Starting => lines.push(format!("The service of {dir} is starting")),
        State::Running(pid) => {
            let how = match (status["unit"].as_str(), status["background"].as_bool()) {
                (Some(unit), _) => format!("run by systemd ({unit})"),
                (None, Some(true)) => "in the background".to_owned(),
                _ => "in the foreground".to_owned(),
            };
            let since = time(status["started"].as_i64().unwrap_or(0));
            lines.push(format!("The service of {dir} runs: pid {pid}, since {since}, {how}"));
            running(status, &mut lines);
        }
    }
    lines.push(match (status["archive"]["first_second"].as_i64(), status["archive"]["last_second"].as_i64()) {
        (Some(first), Some(last)) => {
            let age = (Timestamp::now().as_second() - last).max(0);
            format!(
                "Archive of netmap {}: from {} to {}, {age} s ago",
                status["archive"]["netmap"],
                time(first),
                time(last)
            )
        }
        _ => match status["archive"]["error"].as_str() {
            Some(error) => format!("The archive cannot be read: {error}"),
            None => format!("Archive of netmap {}: empty", status["archive"]["netmap"]),
        },
    });
    if let Some(reason) = status["paused"]["reason"].as_str() {
        let since = time(status["paused"]["since"].as_i64().unwrap_or(0));
        lines.push(format!("Paused since {since}: {reason}"));
    }
    lines
}

fn running(status: &Value, lines: &mut Vec<String>) {
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    lines.push(format!("Listening on {}", list(&status["listen"]).join(", ")));
    lines.push(match status["administration"]["off"].as_str() {
        Some(why) => format!("Administration page: off: {why}"),
        None => format!("Administration page: {}", list(&status["administration"]["urls"]).join(", ")),
    });
    let options = list(&status["options"]);
    if !options.is_empty() {
        lines.push(format!("Options: {}", options.join(" ")));
    }
    lines.push(format!("Log: {}", status["log"].as_str().unwrap_or_default()));
    let sessions = status["sessions"].as_array().map(Vec::as_slice).unwrap_or_default();
    lines.push(format!(
        "Connections: {} open; {} accepted and {} refused since the start",
        sessions.len(),
        status["accepted"],
        status["refused"]
    ));
    for session in sessions {
        let lag = match session["lag_seconds"].as_u64() {
            Some(lag) => format!(", {lag} s behind"),
            None => String::new(),
        };
        lines.push(format!(
            "  [{}] {} from {}, since {}: {}, {} records, {} bytes{lag}",
            session["number"],
            session["client"].as_str().unwrap_or("(no name yet)"),
            session["peer"].as_str().unwrap_or_default(),
            time(session["connected"].as_i64().unwrap_or(0)),
            session["state"].as_str().unwrap_or_default(),
            session["records"],
            session["bytes"],
        ));
    }
    let reload = &status["reload"];
    if let Some(at) = reload["time"].as_i64() {
        lines.push(match reload["error"].as_str() {
            Some(error) => format!("The reload of {} was rejected, the old settings stay in force: {error}", time(at)),
            None => format!("Last reload: {}", time(at)),
        });
    }
}

fn archive(home: &Home) -> Value {
    let netmap = home.settings().map(|s| s.netmap).unwrap_or_default();
    match archive::span(&home.archive(), netmap) {
        Ok(Some((first, last))) => json!({"netmap": netmap, "first_second": first, "last_second": last}),
        Ok(None) => json!({"netmap": netmap, "first_second": null, "last_second": null}),
        Err(error) => json!({"netmap": netmap, "error": error.to_string()}),
    }
}

/// What an administrator has set, if anything was ever set.
fn paused(home: &Home) -> Value {
    let path = home.control_path();
    if !path.exists() {
        return Value::Null;
    }
    match control::Control::open(&path).and_then(|control| control.pause()) {
        Ok(Some(pause)) => json!({"reason": pause.reason, "since": pause.since}),
        Ok(None) => Value::Null,
        Err(error) => json!({"error": error.to_string()}),
    }
}

fn time(second: i64) -> String {
    pki::time_text(second)
}
