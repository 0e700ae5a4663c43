//! A host and a port.

use super::SetupError;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// A receiver's host (name, IPv4 or IPv6 address) and port. As text `HOST:PORT`, IPv6 addresses in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Name or address, without brackets.
    pub host: String,
    /// Port, not 0.
    pub port: u16,
}

impl Endpoint {
    /// The addresses that the name has now, never none.
    pub(super) fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let addresses: Vec<SocketAddr> = (self.host.as_str(), self.port).to_socket_addrs()?.collect();
        match addresses.is_empty() {
            true => Err(io::Error::other("the name has no address")),
            false => Ok(addresses),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for Endpoint {
    type Err = SetupError;

    fn from_str(text: &str) -> Result<Endpoint, SetupError> {
        let wrong = |problem: &str| SetupError::setting("the receiver", text, problem);
        let form = "write HOST:PORT, as in logs.example.com:514 or [2001:db8::7]:514";
        let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong(form))?;
        let port = port.parse().ok().filter(|port| *port != 0);
        let port = port.ok_or_else(|| wrong("the port must be a number from 1 to 65535"))?;
        let bare = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(bare) => bare,
            None if host.contains([':', '[', ']']) => return Err(wrong("put an IPv6 address in brackets")),
            None => host,
        };
        if bare.is_empty() || bare.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/') {
            return Err(wrong(form));
        }
        Ok(Endpoint { host: bare.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for text in ["logs.example.com:514", "192.0.2.1:6514", "[2001:db8::7]:1"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for text in ["", "host", "host:", "host:0", "host:65536", ":5", "::1:514", "[]:5", "a b:5", "http://x:5"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
        let error = "{host}:{port}".parse::<Endpoint>().unwrap_err().to_string();
        assert_eq!(error, "the receiver cannot be \"{host}:{port}\": the port must be a number from 1 to 65535");
    }
}
