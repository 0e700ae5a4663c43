//! Intrusion events as SNMP traps (`sfEvent` of `mib/ESTREAMER-ALERT-MIB.txt`), version 2c or 3, by UDP.
//!
//! The objects are those of the SDK's client. Its MIB is not public, so this one is our own, below `experimental`.
//! [`Alerts`] says which events are sent at once and which together.

mod ber;
mod trap;
mod usm;

pub use trap::ROOT;
pub use usm::{Authentication, SHORTEST_PASSWORD};

use crate::alert::{Alert, Alerts};
use crate::output::{Output, OutputError};
use crate::receiver::Receiver;
use crate::text::cut;
use ber::{INTEGER, OCTETS, SEQUENCE, number, of, tlv};
use std::time::{Duration, Instant};
use usm::User;
use wire::decode::Record;

/// The community of the SDK's client.
pub const COMMUNITY: &str = "sf_community";

/// How traps are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// SNMPv2c.
    V2c {
        /// The community.
        community: String,
    },
    /// SNMPv3 with the user-based security model.
    V3 {
        /// The user.
        user: String,
        /// Protocol and password of authentication; none without.
        authentication: Option<(Authentication, String)>,
        /// Password of privacy (AES-128); none without.
        privacy: Option<String>,
        /// The engine id of this sender, 5 to 32 octets: see [`engine_id`].
        engine: Vec<u8>,
    },
}

/// The engine id of this machine: `0x8000000004` (no enterprise, text follows; RFC 3411 section 5) and the host's name,
/// cut at 27 octets.
pub fn engine_id() -> Vec<u8> {
    let mut host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    cut(&mut host, 27);
    [&[0x80, 0, 0, 0, 4][..], host.as_bytes()].concat()
}

/// Sends traps.
pub struct Snmp {
    receiver: Receiver,
    alerts: Alerts,
    sender: Sender,
    begun: Instant,
    id: i32,
}

enum Sender {
    V2c(String),
    V3(Box<User>),
}

impl Snmp {
    /// Sends to `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`, port 162 unless it says another. Events of low priority are
    /// collected for `collect`.
    ///
    /// # Errors
    /// If there is no such receiver, or the traps cannot be protected as asked.
    pub fn new(receiver: &str, version: &Version, collect: Duration) -> Result<Self, OutputError> {
        let sender = match version {
            Version::V2c { community } => Sender::V2c(community.clone()),
            Version::V3 { user, authentication, privacy, engine } => {
                let authentication = authentication.as_ref().map(|(protocol, password)| (*protocol, password.as_str()));
                Sender::V3(Box::new(User::new(engine, user, authentication, privacy.as_deref())?))
            }
        };
        let (receiver, alerts) = (Receiver::udp(receiver, 162)?, Alerts::new(collect));
        Ok(Snmp { receiver, alerts, sender, begun: Instant::now(), id: 0 })
    }

    fn send(&mut self, alerts: &[Alert]) -> Result<(), OutputError> {
        for alert in alerts {
            self.id = self.id.checked_add(1).unwrap_or(1);
            // Hundredths of a second; they begin anew after 497 days, as they do everywhere.
            let uptime = (self.begun.elapsed().as_millis() / 10) as u32;
            let pdu = trap::pdu(alert, self.id, uptime);
            let message = match &mut self.sender {
                Sender::V2c(community) => v2c(community, pdu),
                Sender::V3(user) => user.message(self.id, pdu)?,
            };
            self.receiver.send(&message)?;
        }
        Ok(())
    }
}

/// A message of version 2c (RFC 1901), which has the number 1.
fn v2c(community: &str, pdu: Vec<u8>) -> Vec<u8> {
    of(SEQUENCE, &[number(INTEGER, 1), tlv(OCTETS, community.as_bytes()), pdu])
}

impl Output for Snmp {
    fn record(&mut self, record: &Record<'_>) -> Result<bool, OutputError> {
        let (taken, alerts) = self.alerts.take(record);
        self.send(&alerts)?;
        Ok(taken)
    }

    fn flush(&mut self) -> Result<(), OutputError> {
        let alerts = self.alerts.due();
        self.send(&alerts)
    }

    fn finish(&mut self) -> Result<u64, OutputError> {
        let alerts = self.alerts.rest();
        self.send(&alerts)?;
        Ok(self.receiver.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_version_2c() {
        let expected = [&[0x30, 19, 2, 1, 1, 4, 12][..], b"sf_community", &[0xa7, 0]].concat();
        assert_eq!(v2c(COMMUNITY, vec![0xa7, 0]), [&[0x30, expected.len() as u8 - 2], &expected[2..]].concat());
        let engine = engine_id();
        assert!((6..=32).contains(&engine.len()) && engine.starts_with(&[0x80, 0, 0, 0, 4]), "{engine:?}");
    }
}
