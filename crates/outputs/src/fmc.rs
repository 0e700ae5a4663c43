//! The syslog of threat defense devices: `%FTD-1-430003: Key: Value, Key: Value`.

use crate::mapping::item::{Item, first};
use crate::mapping::places::Parts;
use crate::mapping::plan::{Plans, Shown, TemplatePart};
use crate::resolved::{Format, Resolved};
use crate::style::{Style, character, classes, iso, raw, text, write};
use crate::text::{Line, Piece};

/// How these lines are made.
pub(crate) const FMC: Shown = Shown { equals: ": ", versions: true, ..crate::cef::ENCORE };

/// Lines as a device would send them.
#[derive(Debug)]
pub(crate) struct FmcSyslog {
    pub(crate) plans: Plans,
    /// The priority in angle brackets; `None` when lines have no syslog header.
    pub(crate) priority: Option<Piece>,
    /// Stands for devices without a name.
    pub(crate) host: String,
}

impl Format for FmcSyslog {
    fn format(&self, event: &Resolved<'_>, out: &mut Vec<u8>) -> bool {
        let parts = Parts::new(event.record);
        let Some(plan) = self.plans.plan(event.record, parts.main.as_ref()) else { return false };
        let named =
            |name: &str| event.computed.iter().find(|(n, _)| *n == name).map(|(_, value)| Item::computed(value));
        let mut line = Line::new(out, 512 + 4 * event.record.bytes().len());
        if let Some(priority) = &self.priority {
            let second = named("eventSecond").and_then(|item| item.as_uint()).unwrap_or(0);
            line = iso(second, line.piece(priority)).bytes(b" ");
            line = match named("sensor") {
                Some(Item::Text(name)) if !name.is_empty() => host(name, line),
                _ => raw(line, self.host.as_bytes()),
            };
            line = line.bytes(b" : ");
        }
        let event = plan.event(parts, event);
        line = line.bytes(b"%FTD-1-");
        for part in &plan.id {
            line = match part {
                TemplatePart::Text(text) => line.piece(text),
                TemplatePart::Value(sources) => match first(sources, &event) {
                    Some(item) => write(&Values, &item, line),
                    None => line,
                },
            };
        }
        line = line.bytes(b": ");
        let start = line.at;
        for slot in &plan.slots {
            if let Some(item) = first(&slot.sources, &event).filter(|item| !Values.omits(item)) {
                line = write(&Values, &item, line.piece(&slot.key)).bytes(b", ");
            }
        }
        if line.at > start {
            line = line.back(2);
        }
        line.finish();
        true
    }
}

/// The name of a device without what separates the parts of a syslog header.
fn host<'o>(name: &str, line: Line<'o>) -> Line<'o> {
    let odd = |c: char| c.is_whitespace() || c.is_control();
    name.chars().fold(line, |line, c| character(line, if odd(c) { '_' } else { c }))
}

/// Devices escape nothing; only line ends cannot stay.
#[derive(Debug)]
struct Values;

impl Style for Values {
    const CLASS: [u8; 256] = classes(b"", b"");

    fn shown(&self) -> &Shown {
        &FMC
    }

    fn odd<'o>(&self, text: &str, out: Line<'o>) -> Line<'o> {
        text.chars().fold(out, |out, c| match c {
            '\n' | '\r' => out.bytes(b" "),
            '\0' => out,
            c => character(out, c),
        })
    }

    fn payload<'o>(&self, payload: &Item<'_>, out: Line<'o>) -> Line<'o> {
        let Item::HexPayload(hex) = payload else { return out };
        text(self, hex.as_bytes(), false, out)
    }

    fn omits(&self, item: &Item<'_>) -> bool {
        match item {
            Item::Uint(_) => false,
            item => item.is_zero(),
        }
    }
}
