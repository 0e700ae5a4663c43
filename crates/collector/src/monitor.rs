//! The monitor: a line in the log about each source, now and then, with the words of eNcore's.

use crate::config::Monitor;
use crate::stats::{State, Stats, Status};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often it looks whether it is to stop.
const TICK: Duration = Duration::from_millis(100);

/// A source that is silent for longer is spoken of.
const SILENCE: Duration = Duration::from_secs(120);

/// Writes lines until it is told to stop.
pub(crate) fn run(status: &Status, monitor: &Monitor, stop: &AtomicBool) {
    let mut next = Instant::now() + monitor.period;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(TICK);
        if Instant::now() < next {
            continue;
        }
        next += monitor.period;
        for stats in &status.sources {
            let name = if status.sources.len() > 1 { format!(" ({})", stats.name) } else { String::new() };
            tracing::info!(target: "Monitor", "{}{name}", line(stats, monitor, status.started.elapsed()));
            if let Some(silent) = stats.silent().filter(|s| *s > monitor.period.max(SILENCE))
                && stats.state() == State::Running
            {
                tracing::warn!(
                    "No data for {} s{name}, not even a keep-alive. A management center is silent while it makes a backup",
                    silent.as_secs()
                );
            }
        }
    }
}

/// The words and blanks of eNcore's line: people search their logs for "ev/sec".
fn line(stats: &Stats, monitor: &Monitor, running: Duration) -> String {
    let mut line = match stats.state() {
        State::Starting => "Starting.",
        State::Running => "Running.",
        State::Waiting(_) => "Error.",
        State::Stopped => "Stopped.",
    }
    .to_owned();
    let handled = stats.delivered.value();
    if monitor.handled {
        line.push_str(&format!(" {handled} handled;"));
    }
    line.push_str(&format!(" average rate {:.2} ev/sec; ", handled as f64 / running.as_secs_f64()));
    if monitor.bookmark {
        let second = i64::from(stats.second.load(Ordering::Relaxed));
        if let Ok(time) = jiff::Timestamp::from_second(second) {
            line.push_str(&format!(" bookmark {};", time.strftime("%Y-%m-%dT%H:%M:%SZ")));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_that_of_encore() {
        let stats = Stats::new("fmc");
        stats.delivered.add(50);
        stats.second.store(1_714_000_005, Ordering::Relaxed);
        let mut monitor = Monitor { handled: true, bookmark: false, ..Monitor::default() };
        let text = |monitor: &Monitor| line(&stats, monitor, Duration::from_secs(120));
        assert_eq!(text(&monitor), "Starting. 50 handled; average rate 0.42 ev/sec; ");
        monitor.bookmark = true;
        stats.enter(State::Running);
        assert_eq!(text(&monitor), "Running. 50 handled; average rate 0.42 ev/sec;  bookmark 2024-04-24T23:06:45Z;");
    }
}
