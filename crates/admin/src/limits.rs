//! How often somebody may try a password.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Failures of an address within [`MINUTE`].
const OF_ADDRESS: u32 = 5;

/// Failures of all addresses within [`MINUTE`].
const OF_ALL: u32 = 60;

/// Seconds after which a failure is forgotten.
const MINUTE: i64 = 60;

/// Failures of late, by address. There are no more than [`OF_ALL`] addresses in it.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<HashMap<IpAddr, Vec<i64>>>);

impl Attempts {
    /// Begins an attempt. It counts as a failure until [`Attempts::succeeded`], so that many at the same time do not
    /// get around the limit.
    ///
    /// # Errors
    /// The seconds after which to try again.
    pub(crate) fn begin(&self, address: IpAddr, now: i64) -> Result<(), i64> {
        let mut failures = self.lock();
        failures.retain(|_, times| {
            times.retain(|t| now - *t < MINUTE);
            !times.is_empty()
        });
        let wait = |times: &mut dyn Iterator<Item = i64>| times.min().map_or(1, |first| (first + MINUTE - now).max(1));
        let own = failures.get(&site(address)).map_or(&[][..], Vec::as_slice);
        if own.len() >= OF_ADDRESS as usize {
            return Err(wait(&mut own.iter().copied()));
        }
        if failures.values().map(Vec::len).sum::<usize>() >= OF_ALL as usize {
            return Err(wait(&mut failures.values().flatten().copied()));
        }
        failures.entry(site(address)).or_default().push(now);
        Ok(())
    }

    /// The last attempt of an address was none of a stranger: its failures are forgotten.
    pub(crate) fn succeeded(&self, address: IpAddr) {
        self.lock().remove(&site(address));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Vec<i64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever has an IPv6 address has 2^64 of them.
fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn five_failures_a_minute_and_a_success_forgives() {
        let attempts = Attempts::default();
        let a = address("2001:db8::1");
        for second in 0..5 {
            attempts.begin(a, second).unwrap();
        }
        assert_eq!(attempts.begin(address("2001:db8::2"), 5), Err(55), "the same network");
        attempts.begin(address("2001:db8:1::1"), 5).unwrap();
        attempts.begin(a, 60).unwrap();
        assert_eq!(attempts.begin(a, 60), Err(1));
        attempts.succeeded(a);
        attempts.begin(a, 60).unwrap();
    }

    #[test]
    fn there_is_a_limit_over_all() {
        let attempts = Attempts::default();
        for i in 0..OF_ALL {
            attempts.begin(IpAddr::V4((0x0a00_0000 + i).into()), 10).unwrap();
        }
        assert_eq!(attempts.begin(address("192.0.2.1"), 30), Err(40));
        attempts.begin(address("192.0.2.1"), 70).unwrap();
        assert_eq!(attempts.lock().len(), 1);
    }
}
