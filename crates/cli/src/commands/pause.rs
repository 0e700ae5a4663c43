//! `estreamer pause` and `estreamer resume`: the whole service stands still, for a backup.

use super::domain::Chosen;
use crate::arguments::{OfHome, Pause};
use crate::exit::{Exit, Failure, say};
use control::{Control, SensorState, SensorStatus};
use sensors::Registry;
use server::Home;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Time between looks at what the sensors report.
const LOOK: Duration = Duration::from_millis(50);

/// How long everybody has to see the pause at least: the service, which may be deleting old segments, reports nothing.
const SEEN: Duration = Duration::from_secs(1);

pub(crate) fn pause(arguments: &Pause) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.of.home)?;
    let control = Control::open(&home.control_path())?;
    let registry = Chosen { netmap: 0, name: None }.registry(&home);
    control.set_pause(&arguments.reason)?;
    let end = Instant::now() + Duration::from_secs(arguments.timeout);
    sleep(SEEN);
    loop {
        let (hold, others) = count(&registry, control.sensors()?);
        let mut maps = archive::netmaps(&home.archive()).unwrap_or_default();
        maps.retain(|netmap| netmap::writes(&home.map_path(), *netmap));
        if others.is_empty() && maps.is_empty() {
            say(format_args!("paused; {hold} sensors hold"));
            return Ok(Exit::Done);
        }
        if Instant::now() >= end {
            let mut names: Vec<_> =
                others.iter().map(|s| format!("{} ({}, sensor {})", s.name, s.source, s.id)).collect();
            names.extend(maps.iter().map(|netmap| format!("the network map of netmap {netmap}")));
            eprintln!(
                "estreamer: the service is paused and {hold} sensors hold, but not yet: {}. They may still write, so do not copy \
                 the archive; \"estreamer sensors list\" shows how they are doing, \"estreamer resume\" ends the pause",
                names.join(", ")
            );
            return Ok(Exit::Incomplete);
        }
        sleep(LOOK);
    }
}

/// How many sensors hold, and which run and do not. One that ended without a word has given its lock back.
fn count(registry: &Registry, sensors: Vec<SensorStatus>) -> (usize, Vec<SensorStatus>) {
    let running = |sensor: &SensorStatus| {
        sensor.state != SensorState::Stopped && registry.runs(sensor.netmap, sensor.source.as_bytes())
    };
    let (hold, others): (Vec<_>, Vec<_>) =
        sensors.into_iter().filter(running).partition(|sensor| sensor.state == SensorState::Paused);
    (hold.len(), others)
}

pub(crate) fn resume(arguments: &OfHome) -> Result<Exit, Failure> {
    let control = Control::open(&Home::open(&arguments.home)?.control_path())?;
    match control.pause()? {
        Some(pause) => {
            control.resume()?;
            say(format_args!(
                "The service goes on; it was paused since {}: {}",
                pki::time_text(pause.since),
                pause.reason
            ));
        }
        None => say("The service was not paused"),
    }
    Ok(Exit::Done)
}
