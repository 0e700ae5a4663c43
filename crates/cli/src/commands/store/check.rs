//! `estreamer store check`.

use super::{name, netmaps, time};
use crate::arguments::StoreCheck;
use crate::exit::{Exit, Failure, say};
use archive::{Checked, Finding, Severity};
use serde_json::{Value, json};
use server::{Bytes, Home};
use wire::decode::Decoder;

/// Bytes before the record in an item.
const ITEM_HEADER: usize = 8;

pub(crate) fn run(arguments: &StoreCheck) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.home)?;
    let (mut sum, mut maps) = (Sum::default(), Vec::new());
    for netmap in netmaps(&home, arguments.netmap)? {
        let (mut decoder, mut segments) = (Decoder::new(), Vec::new());
        let mut examine = |item: &[u8]| flaw(&mut decoder, item);
        let rest = archive::check(&home.archive(), netmap, &mut examine, |checked| {
            sum.add(&checked);
            if arguments.json {
                segments.push(segment_json(&checked));
            } else {
                say(segment(&checked));
                checked.findings.iter().map(finding).for_each(say);
                if checked.more > 0 {
                    say(format_args!("  and {} more findings in this segment", checked.more));
                }
            }
        })?;
        rest.iter().for_each(|finding| sum.find(finding));
        if arguments.json {
            let findings: Vec<_> = rest.iter().map(finding_json).collect();
            maps.push(json!({"netmap": netmap, "segments": segments, "findings": findings}));
        } else {
            rest.iter().map(finding).for_each(say);
        }
    }
    if arguments.json {
        say(json!({
            "netmaps": maps, "events": sum.events, "lost": sum.lost, "bytes": sum.bytes, "curable": sum.curable,
            "losses": sum.losses, "notes": sum.notes,
        }));
    } else {
        say(&sum);
    }
    Ok(if sum.curable + sum.losses > 0 { Exit::Incomplete } else { Exit::Done })
}

/// What is wrong with a record.
fn flaw(decoder: &mut Decoder, item: &[u8]) -> Option<String> {
    match decoder.decode(item.get(ITEM_HEADER..).unwrap_or_default()) {
        Ok(record) => record.problem().map(ToString::to_string),
        Err(error) => Some(error.to_string()),
    }
}

/// What all segments have together.
#[derive(Debug, Default)]
struct Sum {
    segments: u64,
    events: u64,
    bytes: u64,
    lost: u64,
    notes: u64,
    curable: u64,
    losses: u64,
}

impl Sum {
    fn add(&mut self, checked: &Checked) {
        self.segments += 1;
        self.events += checked.events;
        self.bytes += checked.bytes;
        checked.findings.iter().for_each(|finding| self.find(finding));
    }

    fn find(&mut self, finding: &Finding) {
        match finding.what.severity() {
            Severity::Note => self.notes += 1,
            Severity::Curable => self.curable += 1,
            Severity::Loss => {
                self.losses += 1;
                self.lost += finding.events;
            }
        }
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} events in {} segments, {}", self.events, self.segments, Bytes(self.bytes))?;
        if self.losses > 0 {
            write!(
                f,
                "; {} places are damaged or missing, with {} events: \"estreamer store repair --cut\" cuts them out",
                self.losses, self.lost
            )?;
        }
        if self.curable > 0 {
            let places = self.curable;
            write!(f, "; {places} places can be made good without loss: \"estreamer store repair\"")?;
        }
        if self.losses + self.curable == 0 {
            write!(f, ": all is well")?;
        }
        if self.notes > 0 {
            write!(f, "; {} notes", self.notes)?;
        }
        Ok(())
    }
}

/// How a segment is.
fn state(checked: &Checked) -> &'static str {
    match (checked.severity(), checked.newest) {
        (None, false) => "good",
        (None, true) => "good, newest",
        (Some(Severity::Note), _) => "good, with notes",
        (Some(Severity::Curable), _) => "can be repaired",
        (Some(Severity::Loss), _) => "DAMAGED",
    }
}

fn segment(checked: &Checked) -> String {
    format!(
        "netmap_{}/{}  {} to {}  {} events, {} metadata, {} bytes: {}",
        checked.netmap,
        name(&checked.path),
        time(checked.start),
        checked.last.map_or_else(|| "?".to_owned(), time),
        checked.events,
        checked.metadata,
        checked.bytes,
        state(checked)
    )
}

fn finding(finding: &Finding) -> String {
    let level = match finding.what.severity() {
        Severity::Note => "note",
        Severity::Curable => "curable",
        Severity::Loss => "LOSS",
    };
    let (path, Finding { offset, bytes, events, what, .. }) = (finding.path.display(), finding);
    format!("  {level}: {path}, offset {offset}, {bytes} bytes, {events} events: {what}")
}

fn segment_json(checked: &Checked) -> Value {
    json!({
        "path": checked.path, "first": checked.start, "last": checked.last, "firstSequence": checked.first_sequence,
        "events": checked.events, "metadata": checked.metadata, "bytes": checked.bytes, "newest": checked.newest,
        "state": state(checked), "lost": checked.lost(),
        "findings": checked.findings.iter().map(finding_json).collect::<Vec<_>>(), "moreFindings": checked.more,
    })
}

fn finding_json(finding: &Finding) -> Value {
    let severity = match finding.what.severity() {
        Severity::Note => "note",
        Severity::Curable => "curable",
        Severity::Loss => "loss",
    };
    json!({
        "path": finding.path, "offset": finding.offset, "bytes": finding.bytes, "events": finding.events,
        "severity": severity, "what": finding.what.to_string(),
    })
}
