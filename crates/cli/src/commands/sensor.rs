//! `estreamer sensor`.

use super::{domain, publish::device, stop_flag, tokens::tokens};
use crate::arguments::{Eve, RecordJson, Replay, Sensor, Simulate, Times, Unified2};
use crate::exit::{Exit, Failure, say};
use crate::logging;
use crate::service::notify::Notify;
use sensors::eve::{self, EveSensor};
use sensors::replay;
use sensors::simulate::{self, Simulation};
use sensors::snort::{self, SnortSensor};
use server::Home;
use std::num::NonZeroU32;

pub(crate) fn run(arguments: &Sensor) -> Result<Exit, Failure> {
    logging::start("info");
    let ended = match arguments {
        Sensor::Unified2(arguments) => unified2(arguments),
        Sensor::Eve(arguments) => eve(arguments),
        Sensor::Simulate(arguments) => simulate(arguments),
        Sensor::Replay(arguments) => replay(arguments),
        Sensor::RecordJson(arguments) => record_json(arguments),
    };
    Notify::from_environment().stopping();
    ended
}

/// Tells the service manager that the sensor is open, and what it does.
fn ready(doing: &str) {
    let notify = Notify::from_environment();
    notify.ready();
    notify.status(doing);
}

fn unified2(arguments: &Unified2) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.home)?;
    let mut settings = snort::Settings::new(&arguments.spool, arguments.device, &arguments.name);
    settings.base = arguments.base.clone();
    settings.maps = arguments.maps.clone();
    let place = domain::of_sensor(&home, &arguments.place)?;
    settings.registry = Some(place.registry(&home));
    settings.map = Some(home.map_path());
    let mut sensor = SnortSensor::open(&settings, &home.archive(), place.netmap)?;
    let stop = stop_flag()?;
    ready(&format!("Following {}", arguments.spool.display()));
    if arguments.once {
        sensor.drain(&stop)?;
    } else {
        tracing::info!("Following {}", arguments.spool.display());
        sensor.run(&stop)?;
    }
    let totals = sensor.totals();
    say(format_args!(
        "{} events, {} packets and {} extra data records read into the archive; {} not mapped, {} damaged",
        totals.events, totals.packets, totals.extra_data, totals.unmapped, totals.malformed
    ));
    left_out(sensor.counters().discarded());
    Ok(if totals.malformed + totals.unmapped > 0 { Exit::Incomplete } else { Exit::Done })
}

fn eve(arguments: &Eve) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.home)?;
    let place = domain::of_sensor(&home, &arguments.place)?;
    let mut settings = eve::Settings::new(&arguments.input, arguments.device, &arguments.name, place.netmap);
    settings.registry = Some(place.registry(&home));
    settings.socket = arguments.socket;
    settings.identity.domain = place.name;
    settings.map = Some(home.map_path());
    settings.identity.zone.clone_from(&arguments.zone);
    settings.bounds.flows = usize::try_from(arguments.flows).unwrap_or(usize::MAX);
    settings.bounds.age = arguments.flow_age;
    if !arguments.once && settings.compressed() {
        return Err(eve::EveError::Compressed { path: arguments.input.clone() }.into());
    }
    let mut sensor = EveSensor::open(&settings, &home.archive(), &home.dir().join("sensors"))?;
    let stop = stop_flag()?;
    ready(&format!("Following {}", arguments.input.display()));
    if arguments.once {
        sensor.drain(&stop)?;
    } else {
        tracing::info!("Following {}", arguments.input.display());
        sensor.run(&stop)?;
    }
    let tally = sensor.tally();
    if arguments.once {
        say(format_args!("{tally}"));
    }
    say(format_args!(
        "{} lines read; {} have no record, {} are no events; {} flows without their end",
        tally.lines(),
        tally.unmapped(),
        tally.bad(),
        tally.unfinished()
    ));
    left_out(sensor.counters().discarded());
    Ok(if tally.bad() > 0 { Exit::Incomplete } else { Exit::Done })
}

fn simulate(arguments: &Simulate) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.home)?;
    let mut settings = simulate::Settings::new(arguments.seed);
    settings.events = arguments.events;
    settings.rate = arguments.rate.and_then(NonZeroU32::new);
    let place = domain::of_sensor(&home, &arguments.place)?;
    settings.registry = Some(place.registry(&home));
    let mut simulation = Simulation::open(settings, &home.archive(), place.netmap)?;
    let before = simulation.progress().events();
    let stop = stop_flag()?;
    ready("Simulating events");
    simulation.run(&stop)?;
    let events = simulation.progress().events();
    match simulation.counters().discarded() {
        0 => say(format_args!(
            "{} events simulated; the archive has {events} of seed {}",
            events - before,
            arguments.seed
        )),
        left => say(format_args!(
            "{} events of seed {} simulated, {left} of them left out of the archive: their types are not captured",
            events - before,
            arguments.seed
        )),
    }
    Ok(Exit::Done)
}

fn replay(arguments: &Replay) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.home)?;
    let place = domain::of_sensor(&home, &arguments.place)?;
    let settings = replay::Settings {
        files: arguments.files.clone(),
        speed: arguments.speed.0,
        shifted: arguments.times == Times::Shifted,
        again: arguments.again,
        registry: Some(place.registry(&home)),
    };
    let mut replay = replay::Replay::open(settings, &home.archive(), place.netmap)?;
    let before = replay.events();
    let stop = stop_flag()?;
    ready("Replaying captured streams");
    let complete = replay.run(&stop)?;
    let totals = replay.totals();
    say(format_args!(
        "{} events ({} of unknown types) and {} metadata records replayed; {before} events were in the archive before, \
         {} records are kept with their flaws, {} damaged ones skipped",
        totals.events, totals.unknown, totals.metadata, totals.flawed, totals.damaged
    ));
    left_out(totals.discarded);
    if !complete {
        return Err(Failure::new("stopped before the end; the same command goes on where it ended"));
    }
    Ok(if totals.damaged > 0 { Exit::Incomplete } else { Exit::Done })
}

fn record_json(arguments: &RecordJson) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.home)?;
    let mut settings = publish::Settings::new("");
    device(&mut settings, &arguments.device);
    let place = domain::of_sensor(&home, &arguments.place)?;
    settings.registry = Some(place.registry(&home));
    let mut service = publish::Service::new(&home.archive(), place.netmap, settings)?;
    let stop = stop_flag()?;
    if let Some(path) = &arguments.socket {
        service.socket(path)?;
    }
    if let Some(address) = arguments.listen {
        let tls = if arguments.plain_http { None } else { Some(pki::web_config(home.server_identity()?)?) };
        service.listen(address, tls, tokens(&home))?;
    }
    ready("Taking records as lines of JSON");
    service.run(&stop)?;
    Ok(Exit::Done)
}

/// Says how many events were left out, if any were.
fn left_out(events: u64) {
    if events > 0 {
        say(format_args!("{events} records were left out of the archive: their event types are not captured"));
    }
}
