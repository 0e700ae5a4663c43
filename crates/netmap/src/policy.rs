//! Which hosts a map has, how many, and for how long.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Deserialize;

use crate::error::Error;

/// Seconds in a week, after which a management center forgets what it does not see any more (10,080 minutes).
pub const WEEK: u32 = 7 * 86_400;

/// The networks that are monitored unless the settings say otherwise: what RFC 1918, RFC 4193, RFC 3927 and RFC 4291 keep
/// for inside.
pub const INSIDE: [&str; 6] =
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"];

/// What a discovery rule and the advanced settings of a management center's discovery policy say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Addresses in these networks become hosts.
    pub monitored: Networks,
    /// The most hosts a map has.
    pub host_limit: u32,
    /// What happens to a host beyond.
    pub at_limit: AtLimit,
    /// Seconds after which hosts, servers and client applications that are not seen any more are forgotten.
    pub timeout: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Policy { monitored: Networks::inside(), host_limit: 50_000, at_limit: AtLimit::Drop, timeout: WEEK }
    }
}

/// What happens to a host when there is no room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum AtLimit {
    /// It does not get into the map: record 44, Host Dropped.
    #[default]
    Drop,
    /// The host that was not seen for the longest time makes room: record 21, Host Deleted.
    Replace,
}

/// A set of networks, in which IPv4 addresses stand as `::ffff:a.b.c.d`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks(Vec<(u128, u8)>);

impl Networks {
    /// [`INSIDE`].
    pub fn inside() -> Networks {
        INSIDE.iter().filter_map(|text| text.parse().ok()).fold(Networks::default(), Networks::with)
    }

    /// Reads networks, each an address and a prefix length, or an address alone.
    ///
    /// # Errors
    /// [`Error::Network`] names the first that is none.
    pub fn parse<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Result<Networks, Error> {
        texts.into_iter().try_fold(Networks::default(), |all, text| Ok(all.with(text.as_ref().parse()?)))
    }

    /// Whether an address is in one of them.
    pub fn contains(&self, address: &[u8; 16]) -> bool {
        let address = u128::from_be_bytes(*address);
        self.0.iter().any(|(network, prefix)| (address ^ network).leading_zeros() >= u32::from(*prefix))
    }

    fn with(mut self, network: Network) -> Networks {
        self.0.push((network.0, network.1));
        self
    }
}

impl fmt::Display for Networks {
    /// Joined by blanks, as [`Networks::parse`] takes them apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (network, prefix)) in self.0.iter().enumerate() {
            let blank = if at == 0 { "" } else { " " };
            match wire::event::address(&network.to_be_bytes()) {
                IpAddr::V4(v4) if *prefix >= 96 => write!(f, "{blank}{v4}/{}", prefix - 96)?,
                address => write!(f, "{blank}{address}/{prefix}")?,
            }
        }
        Ok(())
    }
}

struct Network(u128, u8);

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Network, Error> {
        let wrong = || Error::Network { text: text.to_owned() };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(most);
        if prefix > most {
            return Err(wrong());
        }
        let prefix = prefix + (128 - most);
        let bits = u128::from_be_bytes(wire::event::sixteen(address));
        let mask = u128::MAX.checked_shl(u32::from(128 - prefix)).unwrap_or(0);
        Ok(Network(bits & mask, prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::event::sixteen;

    fn has(networks: &[&str], address: &str) -> bool {
        Networks::parse(networks).unwrap().contains(&sixteen(address.parse().unwrap()))
    }

    #[test]
    fn networks_hold_what_their_prefix_says() {
        assert!(has(&["10.1.2.3/8"], "10.255.0.1") && !has(&["10.0.0.0/8"], "11.0.0.1"));
        assert!(has(&["0.0.0.0/0"], "8.8.8.8") && !has(&["0.0.0.0/0"], "2001:db8::1"));
        assert!(has(&["::/0"], "8.8.8.8") && has(&["::/0"], "2001:db8::1"));
        assert!(has(&["192.0.2.7"], "192.0.2.7") && !has(&["192.0.2.7"], "192.0.2.8"));
        assert!(!has(&[], "10.0.0.1"));
        assert!(Policy::default().monitored.contains(&sixteen("172.31.0.1".parse().unwrap())));
        assert!(!Policy::default().monitored.contains(&sixteen("172.32.0.1".parse().unwrap())));
        for bad in ["10.0.0.0/33", "10.0.0", "x", "::/129", "10.0.0.0/x", "10.0.0.0/"] {
            let error = Networks::parse([bad]).unwrap_err().to_string();
            assert!(error.contains(bad) && error.contains("10.0.0.0/8"), "{error}");
        }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        for networks in [Networks::inside(), Networks::parse(["::/0", "0.0.0.0/0", "::1"]).unwrap()] {
            assert_eq!(Networks::parse(networks.to_string().split(' ')).unwrap(), networks);
        }
        assert_eq!(Networks::inside().to_string(), INSIDE.join(" "));
    }
}
