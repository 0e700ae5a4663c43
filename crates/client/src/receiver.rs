//! A receiver of datagrams: a UDP port, or a socket of this machine.

use crate::output::OutputError;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Receiver {
    socket: Socket,
    name: String,
    /// Datagrams that were refused.
    pub(crate) refused: u64,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Local(UnixDatagram),
}

impl Receiver {
    /// A UDP receiver: `HOST`, `HOST:PORT`, an IPv6 address with or without brackets, `[ADDRESS]:PORT`.
    pub(crate) fn udp(text: &str, port: u16) -> Result<Self, OutputError> {
        let failed = |source| OutputError::Receiver {
            name: text.to_owned(),
            source,
            remedy: "Give a name or address, and a port behind a colon where it is not the usual one",
        };
        let (host, port) = host_and_port(text, port).ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let mut outcome = Err(io::Error::other("the name has no address"));
        for address in (host, port).to_socket_addrs().map_err(failed)? {
            outcome = connect(address);
            if outcome.is_ok() {
                break;
            }
        }
        Ok(Receiver { socket: Socket::Udp(outcome.map_err(failed)?), name: text.to_owned(), refused: 0 })
    }

    /// A socket of this machine.
    pub(crate) fn local(path: &Path) -> Result<Self, OutputError> {
        let connect = || {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            Ok(socket)
        };
        let name = path.display().to_string();
        match connect() {
            Ok(socket) => Ok(Receiver { socket: Socket::Local(socket), name, refused: 0 }),
            Err(source) => Err(OutputError::Receiver {
                name,
                source,
                remedy: "Is a syslog service running here? Name a server with -f to send there by UDP",
            }),
        }
    }

    /// Whether it is a socket of this machine.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self.socket, Socket::Local(_))
    }

    /// Sends a datagram. One that nobody takes is counted, and told the first time: receivers are restarted.
    pub(crate) fn send(&mut self, datagram: &[u8]) -> Result<(), OutputError> {
        let send = || match &self.socket {
            Socket::Udp(socket) => socket.send(datagram),
            Socket::Local(socket) => socket.send(datagram),
        };
        // An error may be the answer to an earlier datagram; this one was not sent then.
        let refusal = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        match send().or_else(|error| if refusal(&error) { send().inspect(|_| ()) } else { Err(error) }) {
            Ok(_) => Ok(()),
            Err(error) if refusal(&error) => {
                self.refused += 1;
                if self.refused == 1 {
                    tracing::warn!("{} refuses what is sent: nothing listens there", self.name);
                }
                Ok(())
            }
            Err(source) => {
                let remedy = "Is the network of this machine up?";
                Err(OutputError::Receiver { name: self.name.clone(), source, remedy })
            }
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    Ok(socket)
}

fn host_and_port(text: &str, port: u16) -> Option<(&str, u16)> {
    if let Some(rest) = text.strip_prefix('[') {
        return match rest.split_once(']')? {
            (host, "") => Some((host, port)),
            (host, number) => Some((host, number.strip_prefix(':')?.parse().ok()?)),
        };
    }
    match text.split_once(':') {
        // More colons: an IPv6 address.
        Some((_, rest)) if rest.contains(':') => Some((text, port)),
        Some((host, number)) => Some((host, number.parse().ok()?)),
        None => Some((text, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_ports() {
        for (text, expected) in [
            ("log.example", Some(("log.example", 514))),
            ("192.0.2.1:1514", Some(("192.0.2.1", 1514))),
            ("::1", Some(("::1", 514))),
            ("[::1]", Some(("::1", 514))),
            ("[2001:db8::1]:99", Some(("2001:db8::1", 99))),
            ("log.example:syslog", None),
            ("[::1", None),
        ] {
            assert_eq!(host_and_port(text, 514), expected, "{text}");
        }
    }

    #[test]
    fn refusals_are_counted() {
        let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
        let name = nobody.local_addr().unwrap().to_string();
        let mut receiver = Receiver::udp(&name, 1).unwrap();
        receiver.send(b"one").unwrap();
        assert_eq!(nobody.recv(&mut [0; 9]).unwrap(), 3);
        drop(nobody);
        for _ in 0..20 {
            receiver.send(b"more").unwrap();
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!(receiver.refused <= 20, "{receiver:?}");
        let nowhere = Receiver::local(Path::new("/no/such/socket")).unwrap_err();
        assert!(nowhere.to_string().contains("-f"), "{nowhere}");
    }
}
