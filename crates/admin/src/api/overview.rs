//! The service as a whole.

use crate::answer::{Answer, Problem};
use crate::app::{App, audit};
use crate::call::Call;
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) fn show(app: &App, _: &Call) -> Result<Answer, Problem> {
    let stats = app.handle.stats();
    let now = app.clock.now();
    let paused = app.control.pause()?.map(|p| described(&p));
    let lives = server::expiry::lives(&app.home)?;
    let certificates: Vec<Value> = lives
        .iter()
        .map(|l| json!({ "what": l.what.word(), "not_after": l.not_after, "expires_in_days": l.days(now) }))
        .collect();
    let warnings = server::expiry::warnings(&lives, &app.clients.list(false)?, now);
    Ok(Answer::json(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "hostname": app.hostname,
        "listen": app.handle.local_addresses().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "started": app.started,
        "now": now,
        "paused": paused,
        "accepted": stats.accepted,
        "refused": stats.refused,
        "open": stats.sessions.len(),
        "certificates": certificates,
        "warnings": warnings,
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: String,
}

pub(crate) fn pause(app: &App, call: &Call) -> Result<Answer, Problem> {
    let Reason { reason } = call.json()?;
    let pause = app.control.set_pause(&reason)?;
    audit(&call.who, format_args!("paused the service: {reason}"));
    Ok(Answer::json(&described(&pause)))
}

pub(crate) fn resume(app: &App, call: &Call) -> Result<Answer, Problem> {
    app.control.resume()?;
    audit(&call.who, "ended the pause of the service");
    Ok(Answer::done())
}

pub(crate) fn openapi(_: &App, _: &Call) -> Result<Answer, Problem> {
    Ok(Answer::bytes("application/yaml", crate::OPENAPI))
}

fn described(pause: &control::Pause) -> Value {
    json!({ "reason": pause.reason, "since": pause.since })
}
