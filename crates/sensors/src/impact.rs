//! Impact of intrusion events by the network map, and the alerts for those that matter.

use netmap::{Attack, Judge};
use wire::event::{Event, Value};

use crate::feed::FeedError;

/// Bytes of a rule's message in an alert.
const MESSAGE: usize = 1024;

/// Judges an intrusion event (record 400): sets impact flags and level where the network map says something, and gives the
/// impact alert (record 9) that is due.
pub(crate) fn assess(
    judge: &mut Judge,
    attack: &Attack,
    message: &str,
    event: &mut Event,
) -> Result<Option<Event>, FeedError> {
    let impact = judge.judge(attack);
    if impact == netmap::Impact::default() {
        return Ok(None);
    }
    let number = |name: &str| match event.named(name) {
        Some(Value::Uint(number)) => u8::try_from(*number).unwrap_or(0),
        _ => 0,
    };
    // What the sensor says itself stays.
    let flags = number("impactFlags") | impact.flags;
    let value = |name: &str| event.named(name).cloned().unwrap_or_default();
    let mut alert = None;
    if impact.alerts() {
        let mut made = Event::new(9)?;
        made.set_netmap(event.netmap());
        for name in ["eventId", "deviceId", "eventSecond", "sourceIpAddress", "destinationIpAddress"] {
            made.set(name, value(name))?;
        }
        let message = (0..=MESSAGE.min(message.len())).rev().find_map(|end| message.get(..end)).unwrap_or_default();
        made.set("impact", flags)?.set("description", format!("{message} [Impact: {}]", impact.words()))?;
        alert = Some(made);
    }
    event.set("impactFlags", flags)?.set("impact", impact.level)?;
    Ok(alert)
}
