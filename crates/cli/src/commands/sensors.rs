//! `estreamer sensors`: who feeds the archives, and how they are doing.

use super::domain;
use crate::arguments::{Listing, Sensors};
use crate::exit::{Exit, Failure, say};
use control::{Control, Domain, SensorStatus};
use serde_json::{Value, json};
use server::Home;

pub(crate) fn run(arguments: &Sensors) -> Result<Exit, Failure> {
    match arguments {
        Sensors::List(listing) => list(listing),
        Sensors::Pause(one) => {
            open(&one.of.home)?.set_sensor_paused(one.id, true)?;
            say(format_args!("Sensor {} is paused: it writes nothing and keeps its place", one.id));
            Ok(Exit::Done)
        }
        Sensors::Resume(one) => {
            open(&one.of.home)?.set_sensor_paused(one.id, false)?;
            say(format_args!("Sensor {} goes on", one.id));
            Ok(Exit::Done)
        }
        Sensors::Forget(one) => {
            open(&one.of.home)?.forget_sensor(one.id)?;
            say(format_args!("Sensor {} is off the list", one.id));
            Ok(Exit::Done)
        }
    }
}

fn open(home: &std::path::Path) -> Result<Control, Failure> {
    Ok(Control::open(&Home::open(home)?.control_path())?)
}

fn list(arguments: &Listing) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.of.home)?;
    let control = Control::open(&home.control_path())?;
    let (sensors, domains) = (control.sensors()?, control.domains()?);
    if arguments.json {
        say(Value::Array(sensors.iter().map(|sensor| json(sensor, &domains)).collect()));
        return Ok(Exit::Done);
    }
    if let Some(pause) = control.pause()? {
        say(format_args!("The whole service is paused since {}: {}", pki::time_text(pause.since), pause.reason));
    }
    if sensors.is_empty() {
        say(format_args!("No sensor has run yet. Start one: estreamer sensor --help"));
        return Ok(Exit::Done);
    }
    let head = [
        "ID",
        "DOMAIN",
        "DEVICE",
        "NAME",
        "KIND",
        "STATE",
        "EVENTS/S",
        "EVENTS",
        "LEFT OUT",
        "LAG",
        "LAST EVENT",
        "SOURCE",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(sensors.iter().map(|sensor| row(sensor, &domains)));
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..head.len()).map(|column| width(column).unwrap_or(0)).collect();
    for row in &rows {
        let line: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        say(line.trim_end());
    }
    for sensor in &sensors {
        if let Some(waiting) = &sensor.waiting {
            say(format_args!("Sensor {} waits: {waiting}", sensor.id));
        }
    }
    Ok(Exit::Done)
}

fn row(sensor: &SensorStatus, domains: &[Domain]) -> [String; 12] {
    let state = match sensor.paused && sensor.state.word() != "paused" {
        true => format!("{} (to pause)", sensor.state.word()),
        false => sensor.state.word().to_owned(),
    };
    let dash = || "-".to_owned();
    [
        sensor.id.to_string(),
        domain::show(domains, sensor.netmap),
        sensor.device.to_string(),
        sensor.name.clone(),
        sensor.kind.clone(),
        state,
        format!("{:.0}", sensor.rate),
        sensor.events.to_string(),
        sensor.discarded.to_string(),
        sensor.lag.map_or_else(dash, |lag| format!("{lag} s")),
        sensor.last_event.map_or_else(dash, pki::time_text),
        sensor.source.clone(),
    ]
}

fn json(sensor: &SensorStatus, domains: &[Domain]) -> Value {
    json!({
        "id": sensor.id,
        "netmap": sensor.netmap,
        "domain": domains.iter().find(|d| d.netmap == sensor.netmap).map(|d| &d.name),
        "source": sensor.source,
        "device": sensor.device,
        "name": sensor.name,
        "kind": sensor.kind,
        "state": sensor.state.word(),
        "paused": sensor.paused,
        "waiting": sensor.waiting,
        "started": sensor.started,
        "seen": sensor.seen,
        "events": sensor.events,
        "discarded": sensor.discarded,
        "rate": sensor.rate,
        "lastEvent": sensor.last_event,
        "lag": sensor.lag,
    })
}
