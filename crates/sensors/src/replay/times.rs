//! The times in events, and moving them.

use wire::event::{Event, Value};

/// Fields that hold a Unix second in which something happened, by canonical name.
const SECONDS: [&str; 17] = [
    "connectionEventTimestamp",
    "connectionTimestamp",
    "correlationEventSecond",
    "eventSecond",
    "fileEventTimestamp",
    "firstConnectionTime",
    "firstPacketTimestamp",
    "firstSeen",
    "lastConnectionTime",
    "lastPacketTimestamp",
    "lastSeen",
    "lastUsed",
    "malwareEventTimestamp",
    "packetSecond",
    "startTime",
    "timestamp",
    "triggerEventSecond",
];

/// Those of them that say when the event itself happened.
const EVENT: [&str; 6] = [
    "eventSecond",
    "correlationEventSecond",
    "fileEventTimestamp",
    "malwareEventTimestamp",
    "packetSecond",
    "timestamp",
];

/// When an event happened, if it says so.
pub(super) fn second(event: &Event) -> Option<u32> {
    EVENT.iter().find_map(|name| match event.named(name) {
        Some(Value::Uint(second)) => u32::try_from(*second).ok().filter(|second| is_time(*second)),
        _ => None,
    })
}

/// Moves all times of an event by so many seconds.
pub(super) fn shift(event: &mut Event, seconds: i64) {
    event.each_value(&mut |field, value| {
        if let Value::Uint(second) = value
            && SECONDS.contains(&field.name)
            && let Ok(old) = u32::try_from(*second)
            && is_time(old)
        {
            let moved = i64::from(old).saturating_add(seconds).clamp(1, u32::MAX.into());
            *second = moved.unsigned_abs();
        }
    });
}

/// 0 and the largest number are no times: not set, never.
fn is_time(second: u32) -> bool {
    second != 0 && second != u32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::layout;

    /// Names that sound like times and are none of an event: durations, validity of certificates, the time of a file.
    const OTHERS: [&str; 4] = ["leaseTime", "validStartDate", "validFinishDate", "fileTimestamp"];

    #[test]
    fn every_field_that_sounds_like_a_time_is_decided_on() {
        let layouts =
            layout::blocks().chain(layout::records().iter().map(|r| r.body)).chain([layout::DISCOVERY_HEADER]);
        let names: std::collections::BTreeSet<&str> =
            layouts.flat_map(|l| l.fields).filter(|f| f.fixed == 4).map(|f| f.name).collect();
        for name in SECONDS.iter().chain(&EVENT).chain(&OTHERS) {
            assert!(names.contains(name), "{name} is no field");
        }
        let endings = ["Second", "Timestamp", "timestamp", "Time", "Seen", "Used", "Date"];
        for name in names.iter().filter(|name| endings.iter().any(|ending| name.ends_with(ending))) {
            assert!(SECONDS.contains(name) || OTHERS.contains(name), "{name}");
        }
    }

    #[test]
    fn all_times_of_an_event_move_together_and_what_is_not_set_stays() {
        let mut event = Event::new(71).unwrap();
        event.set("eventSecond", 1000u32).unwrap().set("firstPacketTimestamp", 990u32).unwrap();
        assert_eq!(second(&event), Some(1000));
        shift(&mut event, 500);
        assert_eq!(second(&event), Some(1500));
        assert_eq!(event.named("firstPacketTimestamp"), Some(&Value::Uint(1490)));
        assert_eq!(event.named("lastPacketTimestamp"), Some(&Value::Unset));
        shift(&mut event, -1_000_000);
        assert_eq!(second(&event), Some(1));
    }
}
