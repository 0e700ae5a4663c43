//! The live view of a collector on a terminal: a line for each management center and each output, below the log.

use collector::stats::{OutputStats, State, Stats, Status};
use indicatif::{HumanBytes, HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often the lines are drawn.
const PERIOD: Duration = Duration::from_millis(250);

/// The time over which rates are taken.
const SPAN: Duration = Duration::from_secs(3);

/// A source that is further behind is catching up.
const BEHIND: Duration = Duration::from_secs(60);

/// What the terminal shows; the log is written above it.
fn screen() -> &'static MultiProgress {
    static SCREEN: OnceLock<MultiProgress> = OnceLock::new();
    SCREEN.get_or_init(MultiProgress::new)
}

/// A stream for a log that does not get into the way of the lines.
#[derive(Debug)]
pub(crate) struct Above<W>(W);

impl Above<io::Stderr> {
    pub(crate) fn stderr() -> Self {
        Above(io::stderr())
    }
}

impl Above<io::Stdout> {
    pub(crate) fn stdout() -> Self {
        Above(io::stdout())
    }
}

impl<W: Write> Write for Above<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        screen().suspend(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The lines of a collector.
pub(crate) struct Live {
    lines: Vec<ProgressBar>,
    sources: Vec<Speed>,
    outputs: Vec<Speed>,
    drawn: Option<Instant>,
}

impl Live {
    /// Nothing where there is no terminal.
    pub(crate) fn new(status: &Status) -> Option<Live> {
        if !io::stderr().is_terminal() {
            return None;
        }
        let style = ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let line = |_| screen().add(ProgressBar::no_length().with_style(style.clone()));
        Some(Live {
            lines: (0..status.sources.len() + status.outputs.len()).map(line).collect(),
            sources: status.sources.iter().map(|_| Speed::default()).collect(),
            outputs: status.outputs.iter().map(|_| Speed::default()).collect(),
            drawn: None,
        })
    }

    /// Draws the lines when it is time.
    pub(crate) fn tick(&mut self, status: &Status) {
        let now = Instant::now();
        if self.drawn.is_some_and(|drawn| now - drawn < PERIOD) {
            return;
        }
        self.drawn = Some(now);
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let mut texts = Vec::with_capacity(self.lines.len());
        for (stats, speed) in status.sources.iter().zip(&mut self.sources) {
            let second = stats.second.load(Ordering::Relaxed);
            speed.note(now, stats.delivered.value(), second);
            texts.push(source(stats, speed, second, clock));
        }
        for (stats, speed) in status.outputs.iter().zip(&mut self.outputs) {
            speed.note(now, stats.counts().delivered, 0);
            texts.push(output(stats, speed));
        }
        for (line, mut text) in self.lines.iter().zip(texts) {
            // What a server says must not steer the terminal.
            text.retain(|c| !c.is_control());
            line.set_message(text);
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.lines.iter().for_each(ProgressBar::finish_and_clear);
    }
}

/// How fast something goes.
#[derive(Debug, Default)]
struct Speed {
    /// The last few seconds: when, how many, and at which archival second.
    notes: std::collections::VecDeque<(Instant, u64, u32)>,
    /// The archival second at the beginning.
    first: Option<u32>,
}

impl Speed {
    fn note(&mut self, now: Instant, count: u64, second: u32) {
        if second != 0 {
            self.first.get_or_insert(second);
        }
        self.notes.push_back((now, count, second));
        while self.notes.get(1).is_some_and(|(time, ..)| now - *time >= SPAN) {
            self.notes.pop_front();
        }
    }

    /// Between the first and the last note: records a second, and archival seconds a second.
    fn rates(&self) -> (f64, f64) {
        let (Some(first), Some(last)) = (self.notes.front(), self.notes.back()) else { return (0.0, 0.0) };
        let time = (last.0 - first.0).as_secs_f64();
        if time <= 0.0 {
            return (0.0, 0.0);
        }
        let seconds = if first.2 == 0 { 0 } else { last.2.saturating_sub(first.2) };
        ((last.1.saturating_sub(first.1)) as f64 / time, f64::from(seconds) / time)
    }

    /// How much of a backlog is done, and how long the rest will take.
    fn backlog(&self, second: u32, clock: u64) -> Option<(f64, Option<Duration>)> {
        let first = u64::from(self.first?);
        let (done, all) = (u64::from(second).saturating_sub(first), clock.checked_sub(first).filter(|all| *all > 0)?);
        let (_, speed) = self.rates();
        // While it catches up, the clock goes on.
        let rest = clock.saturating_sub(u64::from(second)) as f64 / (speed - 1.0);
        let rest = (speed > 1.01 && rest < 1e9).then(|| Duration::from_secs_f64(rest.ceil()));
        Some((done as f64 / all as f64, rest))
    }
}

fn source(stats: &Stats, speed: &Speed, second: u32, clock: u64) -> String {
    let name = &stats.name;
    let delivered = HumanCount(stats.delivered.value());
    match stats.state() {
        State::Starting => format!("{name}: connecting"),
        State::Stopped => format!("{name}: stopped, {delivered} delivered"),
        State::Waiting(reason) => format!("{name}: not connected, {delivered} delivered. {reason}"),
        State::Running => {
            let rate = HumanCount(speed.rates().0.round() as u64);
            let mut text = format!("{name}: {rate} events/s, {delivered} delivered");
            match stats.lag() {
                None => text.push_str(", nothing yet"),
                Some(lag) if lag < BEHIND => text.push_str(&format!(", {} s behind", lag.as_secs())),
                Some(lag) => {
                    text.push_str(&format!(", {} behind", time(lag)));
                    if let Some((share, rest)) = speed.backlog(second, clock) {
                        text.push_str(&format!(" {} {:.0} %", bar(share), share * 100.0));
                        if let Some(rest) = rest {
                            text.push_str(&format!(", done in {}", time(rest)));
                        }
                    }
                }
            }
            if let Some(silent) = stats.silent().filter(|s| *s >= BEHIND) {
                text.push_str(&format!(", no data for {}", time(silent)));
            }
            text
        }
    }
}

fn output(stats: &OutputStats, speed: &Speed) -> String {
    let counts = stats.counts();
    let mut text =
        format!("  -> {} ({}): {} lines/s", stats.name, stats.format, HumanCount(speed.rates().0.round() as u64));
    if counts.pending > 0 {
        text.push_str(&format!(", {} pending", HumanCount(counts.pending)));
    }
    if counts.pending_bytes > 0 {
        text.push_str(&format!(" ({} in the spool)", HumanBytes(counts.pending_bytes)));
    }
    for (what, count) in [("refused", counts.failed), ("dropped", counts.dropped)] {
        if count > 0 {
            text.push_str(&format!(", {} {what}", HumanCount(count)));
        }
    }
    if let Some(error) = counts.failing {
        text.push_str(&format!(". {error}"));
    }
    text
}

/// A bar of twenty places.
fn bar(share: f64) -> String {
    let full = (share.clamp(0.0, 1.0) * 20.0) as usize;
    format!("[{}{}]", "=".repeat(full), " ".repeat(20 - full))
}

/// A time, as coarse as people say it.
fn time(time: Duration) -> String {
    match time.as_secs() {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7200 => format!("{} min", s / 60),
        s @ 7200..172_800 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_has_an_end_in_sight_when_it_goes_faster_than_the_clock() {
        let begin = Instant::now();
        let mut speed = Speed::default();
        speed.note(begin, 0, 1000);
        assert_eq!(speed.backlog(1000, 2000), Some((0.0, None)), "nothing is known yet");
        speed.note(begin + Duration::from_secs(2), 500, 1202);
        assert_eq!(speed.rates(), (250.0, 101.0));
        // 800 seconds are left, at 100 a second more than the clock.
        assert_eq!(speed.backlog(1202, 2002), Some((202.0 / 1002.0, Some(Duration::from_secs(8)))));
        speed.note(begin + Duration::from_secs(9), 500, 1202);
        assert_eq!(speed.backlog(1202, 2002).unwrap().1, None, "it has come to a halt");
        assert_eq!(bar(0.5), "[==========          ]");
        assert_eq!(
            [5, 600, 10_000, 1_000_000].map(|s| time(Duration::from_secs(s))),
            ["5 s", "10 min", "2 h", "11 days"]
        );
    }
}
