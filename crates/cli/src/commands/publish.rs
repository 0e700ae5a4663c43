//! `estreamer publish`: lines of JSON to an archive.

use super::{domain, stop_flag};
use crate::arguments::{Device, Publish};
use crate::exit::{Exit, Failure, say};
use crate::logging;
use publish::{Line, LineError, Lines, Publisher, Report, Settings};
use sensors::feed::Limits;
use server::Home;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Commits of a file: large.
const LIMITS: Limits = Limits { bytes: 4 << 20, events: 5_000, age: Duration::from_millis(250) };

/// When no line comes for so long, what came is committed.
const QUIET: Duration = Duration::from_millis(20);

/// Bytes read at a time.
const READ: usize = 64 << 10;

/// A line with its number, or why there are no more.
type Read1 = Result<(u64, Result<Vec<u8>, LineError>), std::io::Error>;

pub(crate) fn run(arguments: &Publish) -> Result<Exit, Failure> {
    logging::start("warn");
    let home = Home::open(&arguments.home)?;
    let mut settings = Settings::new(&arguments.source);
    settings.limits = LIMITS;
    device(&mut settings, &arguments.device);
    let name = arguments.file.display().to_string();
    let input = open(&arguments.file)?;
    let stop = stop_flag()?;
    let place = domain::of_sensor(&home, &arguments.place)?;
    settings.registry = Some(place.registry(&home));
    let mut publisher = Publisher::open(&home.archive(), place.netmap, &settings, &stop)?;

    // Reading waits for whoever writes the lines: it must not keep those that came from being committed.
    let (sender, lines) = sync_channel(1000);
    std::thread::spawn(move || read(input, &sender));
    let mut report = Report::default();
    let outcome = take(&lines, &mut publisher, &mut report, &name, &stop);
    // What was taken before a failure is as good as any.
    publisher.commit(&stop)?;
    outcome?;
    say(format_args!(
        "{} records published, {} known already, {} lines rejected",
        report.accepted, report.known, report.rejected
    ));
    if report.discarded > 0 {
        say(format_args!("{} records were left out: their event types are not captured", report.discarded));
    }
    Ok(if report.rejected > 0 { Exit::Incomplete } else { Exit::Done })
}

/// The device of a source.
pub(crate) fn device(settings: &mut Settings, device: &Device) {
    settings.device = device.device;
    settings.device_name = device.name.clone();
}

fn open(path: &Path) -> Result<Box<dyn Read + Send>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    match File::open(path) {
        Ok(file) => Ok(Box::new(file)),
        Err(error) => Err(Failure::new(format!("{} cannot be opened: {error}", path.display()))),
    }
}

fn read(mut input: Box<dyn Read + Send>, sender: &SyncSender<Read1>) {
    let mut lines = Lines::new();
    let mut buffer = vec![0; READ];
    let send = |number, line: Result<&[u8], LineError>| sender.send(Ok((number, line.map(<[u8]>::to_vec))));
    loop {
        let done = match input.read(&mut buffer) {
            Ok(0) => {
                let _ = lines.finish(send);
                return;
            }
            Ok(read) => lines.push(buffer.get(..read).unwrap_or_default(), send),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(()),
            Err(error) => sender.send(Err(error)),
        };
        if done.is_err() {
            return;
        }
    }
}

fn take(
    lines: &Receiver<Read1>,
    publisher: &mut Publisher,
    report: &mut Report,
    name: &str,
    stop: &std::sync::atomic::AtomicBool,
) -> Result<(), Failure> {
    while !stop.load(Ordering::Relaxed) {
        if publisher.held() {
            publisher.commit(stop)?;
            if !publisher.wait_while_held(stop) {
                break;
            }
        }
        let (number, line) = match lines.recv_timeout(QUIET) {
            Ok(Ok(line)) => line,
            Ok(Err(error)) => return Err(Failure::new(format!("{name} cannot be read: {error}"))),
            Err(RecvTimeoutError::Timeout) => {
                publisher.commit(stop)?;
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        let parsed = match line {
            Ok(line) if line.is_empty() => continue,
            Ok(line) => publish::parse(&line, &publisher.settings().defaults()),
            Err(error) => Err(error),
        };
        tell(name, number, &parsed);
        publisher.take(number, parsed, report)?;
        if publisher.due() {
            publisher.commit(stop)?;
        }
    }
    Err(Failure::new(format!(
        "stopped: {} records were published and {} lines rejected; the rest of {name} was not read",
        report.accepted, report.rejected
    )))
}

fn tell(name: &str, number: u64, parsed: &Result<Line, LineError>) {
    if let Err(error) = parsed {
        eprintln!("estreamer: {name}, line {number}: {error}");
    }
}
