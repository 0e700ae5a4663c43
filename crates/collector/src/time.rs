//! Seconds as text.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Writes date and time of Unix seconds and remembers the last one: events come in order.
#[derive(Debug, Default)]
pub(crate) struct TimeText {
    /// UTC, and `Z` behind it, when there is none.
    zone: Option<TimeZone>,
    second: Option<u64>,
    text: String,
}

impl TimeText {
    /// In the time zone of this machine, and without a word of it.
    pub(crate) fn local() -> Self {
        TimeText { zone: Some(TimeZone::system()), ..TimeText::default() }
    }

    /// The text for a second, `2024-04-24T23:06:45Z`, with six decimals when `micro` is not 0. Microseconds beyond a
    /// second are carried.
    pub(crate) fn text(&mut self, second: u64, micro: u64) -> String {
        let second = second + micro / 1_000_000;
        if self.second != Some(second) {
            let time = i64::try_from(second).ok().and_then(|s| Timestamp::from_second(s).ok());
            self.text = match (time, &self.zone) {
                (Some(time), None) => time.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
                (Some(time), Some(zone)) => time.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S").to_string(),
                (None, _) => second.to_string(),
            };
            self.second = Some(second);
        }
        let micro = micro % 1_000_000;
        let mut text = String::with_capacity(self.text.len() + 8);
        text.push_str(&self.text);
        if micro != 0 {
            text.push('.');
            let mut place = 100_000;
            while place > 0 {
                text.push(char::from(b'0' + (micro / place % 10) as u8));
                place /= 10;
            }
        }
        if self.zone.is_none() {
            text.push('Z');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utc_with_six_decimals_only_when_there_are_any() {
        let mut time = TimeText::default();
        assert_eq!(time.text(1_714_000_005, 0), "2024-04-24T23:06:45Z");
        assert_eq!(time.text(1_714_000_005, 42), "2024-04-24T23:06:45.000042Z");
        assert_eq!(time.text(1_714_000_005, 1_000_001), "2024-04-24T23:06:46.000001Z");
        assert_eq!(time.text(0, 0), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn local_time_has_no_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(-5));
        let mut time = TimeText { zone: Some(zone), ..TimeText::default() };
        assert_eq!(time.text(1_714_000_005, 42), "2024-04-24T18:06:45.000042");
    }
}
