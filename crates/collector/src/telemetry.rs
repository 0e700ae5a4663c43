//! What a running collector says of itself: metrics in the text form of Prometheus, and whether it is well, as JSON.
//! `docs/metrics.md` has what each metric means.

use crate::stats::{Counter, OutputCounts, SourceCounts, State, Stats, Status};
use serde_json::{Value, json};
use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A receiver that cannot be reached is a fault when lines have been waiting for it for longer than this.
const PATIENCE: Duration = Duration::from_secs(60);

/// All metrics, in the text form of Prometheus (version 0.0.4).
pub fn metrics(status: &Status) -> String {
    let mut page = Page::default();
    page.metric("estreamer_info", "gauge", "The version of this program.");
    page.value("estreamer_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.metric("estreamer_uptime_seconds", "gauge", "Time since the collector was started.");
    page.value("estreamer_uptime_seconds", &[], status.started.elapsed().as_secs_f64());
    sources(&mut page, status);
    outputs(&mut page, status);
    page.text
}

fn sources(page: &mut Page, status: &Status) {
    // One look for all counts, so that they add up.
    let counts: Vec<SourceCounts> = status.sources.iter().map(|s| s.counts()).collect();
    type Count = fn(&SourceCounts) -> u64;
    let counters: [(&str, &str, &str, Count); 4] = [
        ("received_total", "counter", "Records taken from the connection.", |c| c.received),
        ("delivered_total", "counter", "Records that are durable in every output that wants them.", |c| c.delivered),
        ("failed_total", "counter", "Records whose header could not be understood.", |c| c.failed),
        ("pending", "gauge", "Records received and not yet delivered.", |c| c.pending),
    ];
    for (name, kind, help, count) in counters {
        let name = format!("estreamer_source_{name}");
        page.metric(&name, kind, help);
        for (stats, counts) in status.sources.iter().zip(&counts) {
            page.value(&name, &[("source", &stats.name)], count(counts));
        }
    }
    let name = "estreamer_source_filtered_total";
    page.metric(name, "counter", "Records that are not delivered on purpose, by reason.");
    for (stats, counts) in status.sources.iter().zip(&counts) {
        let reasons = [("configuration", counts.filtered), ("known", counts.known), ("duplicate", counts.duplicate)];
        for (reason, count) in reasons {
            page.value(name, &[("source", &stats.name), ("reason", reason)], count);
        }
    }
    type More = fn(&Stats) -> &Counter;
    let more: [(&str, &str, More); 4] = [
        ("damaged", "Of the delivered: records that could only be read in part.", |s| &s.damaged),
        ("opaque", "Of the delivered: records of unknown types or blocks, written as bytes.", |s| &s.opaque),
        ("bytes", "Bytes taken from the connection, inside TLS.", |s| &s.bytes),
        ("connections", "Connections made.", |s| &s.connections),
    ];
    for (name, help, counter) in more {
        let name = format!("estreamer_source_{name}_total");
        page.metric(&name, "counter", help);
        for stats in &status.sources {
            page.value(&name, &[("source", &stats.name)], counter(stats).value());
        }
    }
    type Gauge = fn(&Stats) -> Option<f64>;
    let gauges: [(&str, &str, Gauge); 4] = [
        ("connected", "1 while there is a connection to the management center.", |s| {
            Some(f64::from(s.state() == State::Running))
        }),
        ("lag_seconds", "How far the delivered events are behind the management center.", |s| {
            s.lag().map(|lag| lag.as_secs_f64())
        }),
        ("silent_seconds", "Time since anything was read from the connection, keep-alives included.", |s| {
            s.silent().map(|silent| silent.as_secs_f64())
        }),
        ("position_seconds", "Archival time of the newest event delivered, as a Unix second.", |s| {
            Some(s.second.load(Ordering::Relaxed)).filter(|second| *second != 0).map(f64::from)
        }),
    ];
    for (name, help, gauge) in gauges {
        let name = format!("estreamer_source_{name}");
        page.metric(&name, "gauge", help);
        for stats in &status.sources {
            if let Some(value) = gauge(stats) {
                page.value(&name, &[("source", &stats.name)], value);
            }
        }
    }
}

fn outputs(page: &mut Page, status: &Status) {
    let counts: Vec<OutputCounts> = status.outputs.iter().map(|o| o.counts()).collect();
    type Count = fn(&OutputCounts) -> f64;
    let metrics: [(&str, &str, &str, Count); 11] = [
        (
            "received_total",
            "counter",
            "Records given to the output, and lines that waited in its spool at the start.",
            |c| (c.received + c.before) as f64,
        ),
        ("delivered_total", "counter", "Lines that are durable, or that the receiver has taken.", |c| {
            c.delivered as f64
        }),
        ("filtered_total", "counter", "Records for which this output has no line.", |c| c.filtered as f64),
        ("failed_total", "counter", "Lines that the receiver will never take.", |c| c.failed as f64),
        ("dropped_total", "counter", "Lines dropped because the spool was full.", |c| c.dropped as f64),
        ("pending", "gauge", "Lines on their way.", |c| c.pending as f64),
        ("spool_bytes", "gauge", "Bytes of the lines that wait in the spool.", |c| c.pending_bytes as f64),
        ("waiting_seconds", "gauge", "How long the oldest line in the spool has been waiting.", |c| {
            c.waiting.as_secs_f64()
        }),
        ("retries_total", "counter", "Attempts to send that failed and were, or will be, repeated.", |c| {
            c.retries as f64
        }),
        ("truncated_total", "counter", "Lines cut to fit into a datagram.", |c| c.truncated as f64),
        ("working", "gauge", "0 while the output cannot be written to or its receiver not be reached.", |c| {
            f64::from(c.failing.is_none() && c.connected != Some(false))
        }),
    ];
    for (name, kind, help, count) in metrics {
        let name = format!("estreamer_output_{name}");
        page.metric(&name, kind, help);
        for (output, counts) in status.outputs.iter().zip(&counts) {
            page.value(&name, &[("output", &output.name), ("format", &output.format)], count(counts));
        }
    }
}

/// Whether all is well, and what is the matter: the answer to `/healthz`.
pub fn health(status: &Status) -> (bool, Value) {
    let mut healthy = true;
    let mut sources = Vec::new();
    for stats in &status.sources {
        let (state, reason) = match stats.state() {
            State::Starting => ("starting", None),
            State::Running => ("running", None),
            State::Waiting(reason) => ("waiting", Some(reason)),
            State::Stopped => ("stopped", None),
        };
        healthy &= state == "running";
        sources.push(json!({
            "name": stats.name, "state": state, "reason": reason, "received": stats.received.value(),
            "delivered": stats.delivered.value(), "pending": stats.pending(),
            "lagSeconds": stats.lag().map(|lag| lag.as_secs()), "silentSeconds": stats.silent().map(|s| s.as_secs()),
            "position": Some(stats.second.load(Ordering::Relaxed)).filter(|second| *second != 0),
        }));
    }
    let mut outputs = Vec::new();
    for output in &status.outputs {
        let counts = output.counts();
        let away = counts.connected == Some(false) && counts.waiting > PATIENCE;
        let failing = counts.failing.filter(|_| away || counts.connected.is_none());
        healthy &= failing.is_none() && !away;
        outputs.push(json!({
            "name": output.name, "format": output.format, "failing": failing, "delivered": counts.delivered,
            "pending": counts.pending, "waitingSeconds": counts.waiting.as_secs(), "dropped": counts.dropped,
            "refused": counts.failed,
        }));
    }
    (healthy, json!({"healthy": healthy, "sources": sources, "outputs": outputs}))
}

/// A page of metrics.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{}{label}=\"{text}\"", if i == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::OutputStats;
    use std::sync::Arc;

    fn status() -> Status {
        let output = Arc::new(OutputStats::new("relfile:///x", "json", None));
        Status::new(vec![Arc::new(Stats::new("a\"b"))], vec![output])
    }

    #[test]
    fn metrics_are_those_of_sources_and_outputs() {
        let status = status();
        status.sources[0].received.add(7);
        status.sources[0].known.add(2);
        status.outputs[0].write(5, 4);
        let page = metrics(&status);
        for line in [
            "# TYPE estreamer_source_received_total counter",
            "estreamer_source_received_total{source=\"a\\\"b\"} 7",
            "estreamer_source_filtered_total{source=\"a\\\"b\",reason=\"known\"} 2",
            "estreamer_source_pending{source=\"a\\\"b\"} 5",
            "estreamer_source_connected{source=\"a\\\"b\"} 0",
            "estreamer_output_pending{output=\"relfile:///x\",format=\"json\"} 4",
            "estreamer_output_working{output=\"relfile:///x\",format=\"json\"} 1",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} in\n{page}");
        }
        assert!(!page.contains("lag_seconds{"), "there is none before the first event");
        for line in page.lines().filter(|l| !l.starts_with('#')) {
            assert!(line.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok(), "{line}");
        }
    }

    #[test]
    fn it_is_well_when_connected_and_every_output_works() {
        let status = status();
        assert!(!health(&status).0);
        status.enter(&State::Running);
        assert!(health(&status).0);
        status.outputs[0].fail(Some("disk full".into()));
        let (healthy, report) = health(&status);
        assert_eq!((healthy, report["outputs"][0]["failing"].as_str()), (false, Some("disk full")));
        status.outputs[0].fail(None);
        status.enter(&State::Waiting("refused".into()));
        let (healthy, report) = health(&status);
        assert_eq!((healthy, report["sources"][0]["reason"].as_str()), (false, Some("refused")));
    }
}
