//! The rule "certificate name = remote address".
//!
//! After the TLS handshake an eStreamer server resolves the common name of the client's
//! certificate and compares the result with the address the client connects from. If they differ
//! it closes the connection without a message (eStreamer Integration Guide 5.3.1 p.2-6).

use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};

/// Turns a host name into addresses.
pub trait Resolver: Send + Sync {
    /// The IPv4 and IPv6 addresses of a host name, in any order.
    ///
    /// # Errors
    /// Any error means that the name cannot be resolved now.
    fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

impl<F> Resolver for F
where
    F: Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync,
{
    fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self(name)
    }
}

/// The resolver of the operating system. It blocks for as long as that one does.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
    }
}

/// What the rule says about a client. Its text is one sentence for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameCheck {
    /// The certificate was issued for this peer.
    Matched {
        /// The certificate's common name.
        name: String,
        /// Whether the name had to be looked up, because it is no address.
        looked_up: bool,
        /// Every address of the name.
        addresses: Vec<IpAddr>,
        /// The one that is the peer's.
        address: IpAddr,
    },
    /// The certificate was issued to a different client.
    Mismatch {
        /// The certificate's common name.
        name: String,
        /// Whether the name had to be looked up, because it is no address.
        looked_up: bool,
        /// Every address of the name; at least one.
        addresses: Vec<IpAddr>,
        /// The peer's address.
        peer: IpAddr,
    },
    /// The name has no address now.
    Unresolvable {
        /// The certificate's common name.
        name: String,
        /// The peer's address.
        peer: IpAddr,
        /// The resolver's words.
        reason: String,
    },
}

impl NameCheck {
    /// Whether the client may stay.
    pub fn is_match(&self) -> bool {
        matches!(self, Self::Matched { .. })
    }
}

impl fmt::Display for NameCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matched { name, address, .. } => {
                let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
                write!(f, "Matched Certificate CN:{name} to {address} ({family})")
            }
            Self::Mismatch { name, peer, .. } => write!(
                f,
                "Certificate Common Name {name} does not match remote host: {peer}. It was issued to a different client."
            ),
            Self::Unresolvable { name, reason, .. } => {
                write!(f, "Certificate Common Name {name} cannot be resolved: {reason}")
            }
        }
    }
}

/// Applies the rule to a certificate's common name and the address of the peer.
///
/// A name that is an address stands for itself, without a look-up; a pair of brackets around an
/// IPv6 address is ignored. IPv4 addresses mapped into IPv6 (`::ffff:192.0.2.7`), as a dual-stack
/// socket reports them, are the IPv4 address, on either side.
pub fn check_name(name: &str, peer: IpAddr, resolver: &dyn Resolver) -> NameCheck {
    let peer = peer.to_canonical();
    let literal = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name).parse::<IpAddr>();
    let looked_up = literal.is_err();
    let found = match literal {
        Ok(address) => Ok(vec![address]),
        Err(_) => look_up(name, resolver),
    };
    let mut addresses: Vec<IpAddr> = Vec::new();
    let reason = match found {
        Ok(found) => {
            for address in found {
                let address = address.to_canonical();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            "the name has no address".to_owned()
        }
        Err(error) => error.to_string(),
    };
    let name = name.to_owned();
    if addresses.is_empty() {
        NameCheck::Unresolvable { name, peer, reason }
    } else if addresses.contains(&peer) {
        NameCheck::Matched { name, looked_up, addresses, address: peer }
    } else {
        NameCheck::Mismatch { name, looked_up, addresses, peer }
    }
}

fn look_up(name: &str, resolver: &dyn Resolver) -> io::Result<Vec<IpAddr>> {
    // A certificate's name is text of its maker's choice; only what can be a name is asked for.
    if name.is_empty() || name.len() > 253 || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no host name"));
    }
    resolver.addresses(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolver(name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(match name {
            "siem" => vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()],
            "mapped" => vec!["::ffff:192.0.2.7".parse().unwrap(), "192.0.2.7".parse().unwrap()],
            "nothing" => vec![],
            _ => return Err(io::Error::other("no such host")),
        })
    }

    #[test]
    fn the_rule() {
        // name, peer, outcome
        for (name, peer, outcome) in [
            ("192.0.2.7", "192.0.2.7", "matched"),
            ("192.0.2.7", "::ffff:192.0.2.7", "matched"),
            ("::ffff:192.0.2.7", "192.0.2.7", "matched"),
            ("192.0.2.7", "192.0.2.8", "mismatch"),
            ("2001:db8::7", "2001:db8:0:0::7", "matched"),
            ("2001:DB8::7", "2001:db8::7", "matched"),
            ("[2001:db8::7]", "2001:db8::7", "matched"),
            ("2001:db8::7", "2001:db8::8", "mismatch"),
            ("siem", "192.0.2.7", "matched"),
            ("siem", "2001:db8::7", "matched"),
            ("siem", "::ffff:192.0.2.7", "matched"),
            ("siem", "192.0.2.8", "mismatch"),
            ("mapped", "192.0.2.7", "matched"),
            ("nothing", "192.0.2.7", "unresolvable"),
            ("unknown", "192.0.2.7", "unresolvable"),
            ("", "192.0.2.7", "unresolvable"),
            ("192.0.2.7/24", "192.0.2.7", "unresolvable"),
            ("192.0.2.07", "192.0.2.7", "unresolvable"),
            ("siem\n192.0.2.7", "192.0.2.7", "unresolvable"),
        ] {
            let check = check_name(name, peer.parse().unwrap(), &resolver);
            let got = match check {
                NameCheck::Matched { .. } => "matched",
                NameCheck::Mismatch { .. } => "mismatch",
                NameCheck::Unresolvable { .. } => "unresolvable",
            };
            assert_eq!(got, outcome, "{name} {peer}: {check:?}");
            assert_eq!(check.is_match(), outcome == "matched");
        }
    }

    #[test]
    fn the_log_gets_every_value() {
        let peer = "::ffff:10.48.26.47".parse().unwrap();
        let check = check_name("192.168.27.100", peer, &resolver);
        assert_eq!(
            check.to_string(),
            "Certificate Common Name 192.168.27.100 does not match remote host: 10.48.26.47. It was issued to a different client."
        );
        assert_eq!(
            check_name("mapped", "192.0.2.7".parse().unwrap(), &resolver),
            NameCheck::Matched {
                name: "mapped".into(),
                looked_up: true,
                addresses: vec!["192.0.2.7".parse().unwrap()],
                address: "192.0.2.7".parse().unwrap(),
            }
        );
        let check = check_name("192.0.2.7", "192.0.2.7".parse().unwrap(), &resolver);
        assert_eq!(check.to_string(), "Matched Certificate CN:192.0.2.7 to 192.0.2.7 (IPv4)");
        let check = check_name("unknown", "192.0.2.7".parse().unwrap(), &resolver);
        assert_eq!(check.to_string(), "Certificate Common Name unknown cannot be resolved: no such host");
    }

    #[test]
    fn the_system_knows_itself() {
        let check = check_name("localhost", "127.0.0.1".parse().unwrap(), &SystemResolver);
        assert!(check.is_match(), "{check:?}");
    }
}
