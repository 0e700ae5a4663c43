//! The time in the syslog header of CEF and LEEF lines.

use crate::style::raw;
use crate::text::Line;
use std::fmt;
use std::sync::Arc;

/// Tells the time of day that is printed.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// Now, in UTC.
    pub fn utc() -> Self {
        Clock::new(|| jiff::Timestamp::now().as_second())
    }

    /// Now, in the time zone of this machine.
    pub fn local() -> Self {
        Clock::new(|| {
            let now = jiff::Zoned::now();
            now.timestamp().as_second() + i64::from(now.offset().seconds())
        })
    }

    /// Any other clock. It gives the seconds since midnight of 1 January 1970 as clocks on the wall show them, that is
    /// epoch seconds and the offset of the time zone.
    pub fn new(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Clock(Arc::new(now))
    }

    /// A clock that stands still.
    pub fn fixed(second: i64) -> Self {
        Clock::new(move || second)
    }

    /// `Mar 05 07:08:09`, as eNcore writes it, or with a blank for the zero of the day (RFC 3164).
    pub(crate) fn stamp<'o>(&self, zero: bool, out: Line<'o>) -> Line<'o> {
        const MONTHS: [&[u8; 4]; 12] = [
            b"Jan ", b"Feb ", b"Mar ", b"Apr ", b"May ", b"Jun ", b"Jul ", b"Aug ", b"Sep ", b"Oct ", b"Nov ", b"Dec ",
        ];
        let second = (self.0)();
        let (_, month, day) = date(second.div_euclid(86_400));
        let of_day = second.rem_euclid(86_400);
        let digits = |n: i64| [b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8];
        let day = match digits(day) {
            [b'0', ones] if !zero => [b' ', ones],
            digits => digits,
        };
        let month = usize::try_from(month - 1).ok().and_then(|m| MONTHS.get(m)).copied().unwrap_or(b"    ");
        let out = raw(out.bytes(month).bytes(&day).bytes(b" "), &digits(of_day / 3600));
        out.bytes(b":").bytes(&digits(of_day / 60 % 60)).bytes(b":").bytes(&digits(of_day % 60))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::utc()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Year, month and day of a day counted from 1 January 1970 (years begin in March here, so that leap days come last).
pub(crate) fn date(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let of_era = day.rem_euclid(146_097);
    let era = day.div_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (400 * era + year + i64::from(month < 3), month, of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(second: i64, zero: bool) -> String {
        let mut out = Vec::new();
        Clock::fixed(second).stamp(zero, Line::new(&mut out, 0)).finish();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn stamps() {
        assert_eq!(stamp(1_709_622_489, true), "Mar 05 07:08:09\n");
        assert_eq!(stamp(1_709_622_489, false), "Mar  5 07:08:09\n");
        assert_eq!(stamp(0, true), "Jan 01 00:00:00\n");
        assert_eq!(stamp(951_782_400, true), "Feb 29 00:00:00\n");
        assert_eq!(stamp(1_735_689_599, true), "Dec 31 23:59:59\n");
    }

    #[test]
    fn every_day_is_what_the_calendar_says() {
        for day in -800..40_000 {
            let zoned = jiff::Timestamp::from_second(day * 86_400).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
            let expected = (zoned.year().into(), zoned.month().into(), zoned.day().into());
            assert_eq!(date(day), expected);
        }
    }
}
