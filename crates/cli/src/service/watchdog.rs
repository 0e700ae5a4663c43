//! Signs of life for the service manager, as long as there is life.

use super::told::Told;
use std::time::Duration;

/// How often the line of the status is written where no watchdog waits.
const TURN: Duration = Duration::from_secs(10);

/// The shortest time after which a part counts as standing still; its own turns are half a second.
const LEAST: Duration = Duration::from_secs(3);

/// Tells the manager that the service lives, but only while all parts of it make progress. It has a thread of its own: the
/// others may be what stands still.
pub(crate) fn run(told: &Told) {
    let watchdog = told.notify.watchdog();
    let turn = watchdog.map_or(TURN, |time| time / 3);
    let within = watchdog.map_or(LEAST, |time| (time / 2).max(LEAST));
    let mut stuck = None;
    loop {
        match told.handle.alive(within) {
            Ok(()) => {
                if stuck.take().is_some() {
                    tracing::info!("All parts of the service make progress again");
                }
                told.notify.alive();
            }
            Err(part) => {
                if stuck.as_ref() != Some(&part) {
                    tracing::error!(
                        "No progress for {} s: {part}. The service manager gets no sign of life until there is",
                        within.as_secs()
                    );
                    stuck = Some(part);
                }
            }
        }
        told.notify.status(&line(told));
        std::thread::sleep(turn);
    }
}

/// What the service manager shows of the service. It must not wait for a disk.
fn line(told: &Told) -> String {
    let (open, accepted) = told.handle.connections();
    let addresses: Vec<String> = told.handle.local_addresses().iter().map(ToString::to_string).collect();
    format!("Listening on {}; {open} connections open, {accepted} so far", addresses.join(", "))
}
