//! Live sessions.

use crate::answer::{Answer, Problem};
use crate::app::{App, audit};
use crate::call::Call;
use hyper::StatusCode;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) fn list(app: &App, _: &Call) -> Result<Answer, Problem> {
    let sessions = app.handle.stats().sessions;
    let rates = app.rates.look(&sessions);
    let rows: Vec<Value> = sessions
        .iter()
        .zip(rates)
        .map(|(s, (records, bytes))| {
            json!({
                "number": s.number,
                "client": s.name,
                "peer": s.peer.to_string(),
                "connected": unix(s.connected),
                "state": s.state.word(),
                "request": s.request,
                "start": s.start.map(start),
                "second": s.second,
                "lag_seconds": s.lag,
                "records": s.records,
                "bytes": s.bytes,
                "records_per_second": round(records),
                "bytes_per_second": round(bytes),
                "pending_bytes": s.pending,
            })
        })
        .collect();
    Ok(Answer::json(&json!({ "sessions": rows })))
}

pub(crate) fn end(app: &App, call: &Call) -> Result<Answer, Problem> {
    let number: u32 = call.number("session")?;
    if !app.handle.stop_session(number) {
        return Err(Problem::new(StatusCode::NOT_FOUND, format!("there is no session {number}")));
    }
    audit(&call.who, format_args!("ended session {number}"));
    Ok(Answer::done())
}

/// Where a request begins: the timestamp 0 means all there is, and all bits set what is new.
fn start(timestamp: u32) -> String {
    match timestamp {
        0 => "genesis".to_owned(),
        u32::MAX => "now".to_owned(),
        second => second.to_string(),
    }
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs())
}

/// To one decimal.
pub(crate) fn round(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}
