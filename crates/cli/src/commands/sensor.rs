//! `estreamer sensor`.

use super::stop_flag;
use crate::arguments::{Eve, Sensor, Simulate, Unified2};
use crate::exit::{Exit, Failure};
use crate::logging;
use sensors::eve::{self, EveSensor};
use sensors::simulate::{self, Simulation};
use sensors::snort::{self, SnortSensor};
use server::Home;
use std::num::NonZeroU32;

pub(crate) fn run(arguments: &Sensor) -> Result<Exit, Failure> {
    logging::start("info");
    match arguments {
        Sensor::Unified2(arguments) => unified2(arguments),
        Sensor::Eve(arguments) => eve(arguments),
        Sensor::Simulate(arguments) => simulate(arguments),
    }
}

fn unified2(arguments: &Unified2) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.home)?;
    let mut settings = snort::Settings::new(&arguments.spool, arguments.device, &arguments.name);
    settings.base = arguments.base.clone();
    settings.maps = arguments.maps.clone();
    let mut sensor = SnortSensor::open(&settings, &home.archive(), home.settings()?.netmap)?;
    let stop = stop_flag()?;
    if arguments.once {
        sensor.drain(&stop)?;
    } else {
        tracing::info!("Following {}", arguments.spool.display());
        sensor.run(&stop)?;
    }
    let totals = sensor.totals();
    println!(
        "{} events, {} packets and {} extra data records read into the archive; {} not mapped, {} damaged",
        totals.events, totals.packets, totals.extra_data, totals.unmapped, totals.malformed
    );
    Ok(if totals.malformed + totals.unmapped > 0 { Exit::Incomplete } else { Exit::Done })
}

fn eve(arguments: &Eve) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.home)?;
    let netmap = match arguments.netmap {
        Some(netmap) => netmap,
        None => home.settings()?.netmap,
    };
    let mut settings = eve::Settings::new(&arguments.input, arguments.device, &arguments.name, netmap);
    settings.socket = arguments.socket;
    settings.identity.domain.clone_from(&arguments.domain);
    settings.identity.zone.clone_from(&arguments.zone);
    settings.bounds.flows = usize::try_from(arguments.flows).unwrap_or(usize::MAX);
    settings.bounds.age = arguments.flow_age;
    if !arguments.once && settings.compressed() {
        return Err(eve::EveError::Compressed { path: arguments.input.clone() }.into());
    }
    let mut sensor = EveSensor::open(&settings, &home.archive(), &home.dir().join("sensors"))?;
    let stop = stop_flag()?;
    if arguments.once {
        sensor.drain(&stop)?;
    } else {
        tracing::info!("Following {}", arguments.input.display());
        sensor.run(&stop)?;
    }
    let tally = sensor.tally();
    if arguments.once {
        println!("{tally}");
    }
    println!(
        "{} lines read; {} have no record, {} are no events; {} flows without their end",
        tally.lines(),
        tally.unmapped(),
        tally.bad(),
        tally.unfinished()
    );
    Ok(if tally.bad() > 0 { Exit::Incomplete } else { Exit::Done })
}

fn simulate(arguments: &Simulate) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.home)?;
    let mut settings = simulate::Settings::new(arguments.seed);
    settings.events = arguments.events;
    settings.rate = arguments.rate.and_then(NonZeroU32::new);
    let mut simulation = Simulation::open(settings, &home.archive(), home.settings()?.netmap)?;
    let before = simulation.progress().events();
    let stop = stop_flag()?;
    simulation.run(&stop)?;
    let events = simulation.progress().events();
    println!("{} events simulated; the archive has {events} of seed {}", events - before, arguments.seed);
    Ok(Exit::Done)
}
