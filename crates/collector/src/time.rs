//! Seconds as text.

/// Writes UTC date and time of Unix seconds, `2024-04-24T23:06:45`, and remembers the last one: events come in order.
#[derive(Debug, Default)]
pub(crate) struct TimeText {
    second: Option<u64>,
    text: String,
}

impl TimeText {
    /// The text for a second, with six decimals when `micro` is not 0. Microseconds beyond a second are carried.
    pub(crate) fn text(&mut self, second: u64, micro: u64) -> String {
        let second = second + micro / 1_000_000;
        if self.second != Some(second) {
            let time = i64::try_from(second).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
            self.text = match time {
                Some(time) => time.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
                None => second.to_string(),
            };
            self.second = Some(second);
        }
        let micro = micro % 1_000_000;
        if micro == 0 { self.text.clone() } else { format!("{}.{micro:06}", self.text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utc_with_six_decimals_only_when_there_are_any() {
        let mut time = TimeText::default();
        assert_eq!(time.text(1_714_000_005, 0), "2024-04-24T23:06:45");
        assert_eq!(time.text(1_714_000_005, 42), "2024-04-24T23:06:45.000042");
        assert_eq!(time.text(1_714_000_005, 1_000_001), "2024-04-24T23:06:46.000001");
        assert_eq!(time.text(0, 0), "1970-01-01T00:00:00");
    }
}
