//! The service as a whole.

use super::archive::{Disk, disk};
use crate::answer::{Answer, Problem};
use crate::app::{App, audit};
use crate::call::Call;
use control::{SensorState, SensorStatus};
use serde::Deserialize;
use serde_json::{Value, json};

/// Less room than this is told, in percent of the disk.
const LITTLE: u64 = 5;

pub(crate) fn show(app: &App, _: &Call) -> Result<Answer, Problem> {
    let stats = app.handle.stats();
    let now = app.clock.now();
    let paused = app.control.pause()?.map(|p| described(&p));
    let lives = server::expiry::lives(&app.home)?;
    let certificates: Vec<Value> = lives
        .iter()
        .map(|l| json!({ "what": l.what.word(), "not_after": l.not_after, "expires_in_days": l.days(now) }))
        .collect();
    let mut warnings = server::expiry::warnings(&lives, &app.clients.list(false)?, now);
    warnings.extend(app.handle.storage_alarm());
    warnings.extend(disk(app).ok().and_then(|disk| scarce(&disk)));
    warnings.extend(app.control.sensors()?.iter().filter_map(trouble));
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

/// What is told of a disk with little room.
fn scarce(disk: &Disk) -> Option<String> {
    let percent = disk.free.saturating_mul(100) / disk.total.max(1);
    (percent < LITTLE).then(|| {
        let free = disk.free >> 20;
        format!(
            "The disk of the archive has {free} MiB free, {percent} %: make room, or keep less (keep_days, keep_bytes)"
        )
    })
}

/// What is told of a sensor that should read and does not.
fn trouble(sensor: &SensorStatus) -> Option<String> {
    match (sensor.state, &sensor.waiting) {
        (SensorState::Waiting, Some(waiting)) => Some(format!("The sensor {} waits: {waiting}", sensor.name)),
        (SensorState::Silent, _) => {
            let seen = pki::time_text(sensor.seen);
            Some(format!(
                "The sensor {} is silent: it reported last at {seen} and did not say that it ended",
                sensor.name
            ))
        }
        _ => None,
    }
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
