//! Sensors.

use super::domains::Names;
use super::sessions::round;
use crate::answer::{Answer, Problem};
use crate::app::{App, audit};
use crate::call::Call;
use control::{SensorState, SensorStatus};
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) fn list(app: &App, _: &Call) -> Result<Answer, Problem> {
    let names = Names::read(app)?;
    let sensors: Vec<Value> = app.control.sensors()?.iter().map(|s| row(s, &names)).collect();
    Ok(Answer::json(&json!({ "sensors": sensors })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    paused: bool,
}

pub(crate) fn set(app: &App, call: &Call) -> Result<Answer, Problem> {
    let id = call.number("sensor")?;
    let Change { paused } = call.json()?;
    app.control.set_sensor_paused(id, paused)?;
    let sensor = find(app, id)?;
    audit(&call.who, format_args!("{} the sensor {}", if paused { "paused" } else { "resumed" }, sensor.name));
    Ok(Answer::json(&row(&sensor, &Names::read(app)?)))
}

pub(crate) fn forget(app: &App, call: &Call) -> Result<Answer, Problem> {
    let id = call.number("sensor")?;
    let sensor = find(app, id)?;
    if !matches!(sensor.state, SensorState::Silent | SensorState::Stopped) {
        let error = format!("the sensor {} runs, so it would come back at once", sensor.name);
        return Err(Problem::new(StatusCode::CONFLICT, error).remedy("stop it first").code("running"));
    }
    app.control.forget_sensor(id)?;
    audit(&call.who, format_args!("took the sensor {} off the list", sensor.name));
    Ok(Answer::done())
}

fn find(app: &App, id: i64) -> Result<SensorStatus, Problem> {
    let sensor = app.control.sensors()?.into_iter().find(|s| s.id == id);
    sensor.ok_or_else(|| control::Error::NoSensor(id).into())
}

fn row(sensor: &SensorStatus, names: &Names) -> Value {
    json!({
        "id": sensor.id,
        "netmap": sensor.netmap,
        "domain": names.of(sensor.netmap),
        "device": sensor.device,
        "name": sensor.name,
        "source": sensor.source,
        "kind": sensor.kind,
        "state": sensor.state.word(),
        "paused": sensor.paused,
        "waiting": sensor.waiting,
        "started": sensor.started,
        "seen": sensor.seen,
        "events": sensor.events,
        "discarded": sensor.discarded,
        "events_per_second": round(sensor.rate),
        "last_event": sensor.last_event,
        "lag_seconds": sensor.lag,
    })
}
