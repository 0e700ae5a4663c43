//! UDP: a datagram for each line.
//!
//! UDP loses datagrams without a word, and a fast sender overruns a slow receiver. What is noticed is a receiver on a
//! host that says so (ICMP port unreachable); then the last batches are sent again. Prefer TCP.

use super::doubt::Doubt;
use super::syslog::Message;
use super::{Endpoint, Failure, Settled, SetupError, Transport};
use crate::spool::Lines;
use std::io;
use std::net::UdpSocket;
use std::time::Duration;

/// The largest payload of a datagram over IPv4: 65,535 less the headers of IP and UDP.
pub const LARGEST: usize = 65_507;

/// Where and how to send datagrams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The receiver.
    pub to: Endpoint,
    /// How lines become messages.
    pub message: Message,
    /// Put a line feed behind plain lines, as eNcore does. Syslog messages never have one.
    pub line_feed: bool,
    /// Bytes of a datagram, 480 (what every receiver of syslog takes, RFC 5426 3.2) to [`LARGEST`]. Longer messages are
    /// cut short at a character's end, and counted.
    pub largest: usize,
    /// How long a batch may still turn out to be refused.
    pub doubt: Duration,
}

impl Settings {
    /// Plain lines with a line feed to this receiver, of any size that a datagram can have, in doubt for half a second.
    pub fn new(to: Endpoint) -> Settings {
        let doubt = Duration::from_millis(500);
        Settings { to, message: Message::Plain, line_feed: true, largest: LARGEST, doubt }
    }
}

/// Sends datagrams.
#[derive(Debug)]
pub struct Datagram {
    settings: Settings,
    socket: Option<UdpSocket>,
    doubt: Doubt,
}

impl Datagram {
    /// A transport with these settings; nothing is sent yet.
    ///
    /// # Errors
    /// [`SetupError::Setting`].
    pub fn new(settings: Settings) -> Result<Datagram, SetupError> {
        settings.message.check()?;
        if !(480..=LARGEST).contains(&settings.largest) {
            let problem = format!("it must be from 480 to {LARGEST} bytes");
            return Err(SetupError::setting("the size of datagrams", settings.largest.to_string(), problem));
        }
        Ok(Datagram { doubt: Doubt::new(settings.doubt), settings, socket: None })
    }

    fn connect(&self) -> Result<UdpSocket, Failure> {
        let to = &self.settings.to;
        let failed = |error: io::Error| {
            Failure::again(format!("cannot send to udp://{to}: {error}; check the name and the network"))
        };
        let mut last = None;
        for address in to.resolve().map_err(failed)? {
            let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            match UdpSocket::bind(any).and_then(|socket| socket.connect(address).map(|()| socket)) {
                Ok(socket) => return Ok(socket),
                Err(error) => last = Some(error),
            }
        }
        Err(failed(last.unwrap_or_else(|| io::Error::other("the name has no address"))))
    }

    fn failed(&self, error: &io::Error) -> Failure {
        let to = &self.settings.to;
        Failure::again(match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                format!("nobody receives at udp://{to}: {error}; start the receiver, or check the port")
            }
            _ => format!("cannot send to udp://{to}: {error}; check the network"),
        })
    }
}

impl Transport for Datagram {
    fn describe(&self) -> String {
        format!("udp://{}", self.settings.to)
    }

    fn window(&self) -> usize {
        usize::MAX
    }

    fn send(&mut self, lines: &Lines) -> Result<(), Failure> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connect()?,
        };
        let header = self.settings.message.header();
        let feed = self.settings.line_feed && self.settings.message == Message::Plain;
        let mut truncated = 0;
        let mut datagram = Vec::new();
        for (i, (_, line)) in lines.iter().enumerate() {
            datagram.clear();
            datagram.extend_from_slice(&header);
            datagram.extend_from_slice(line);
            let most = self.settings.largest - usize::from(feed);
            if datagram.len() > most {
                datagram.truncate(whole_characters(&datagram, most));
                truncated += 1;
            }
            if feed {
                datagram.push(b'\n');
            }
            match socket.send(&datagram) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) => {
                    let size = datagram.len();
                    let reason = format!(
                        "a datagram of {size} bytes is too large for the way to {}; set a smaller size",
                        self.settings.to
                    );
                    self.socket = Some(socket);
                    return Err(Failure::Refused { line: Some(i), reason });
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
        self.doubt.push(lines.size(), truncated);
        self.socket = Some(socket);
        Ok(())
    }

    fn settled(&mut self) -> Result<Vec<Settled>, Failure> {
        // Where a port is closed the answer comes after the datagram.
        if let Some(socket) = &self.socket
            && let Some(error) = socket.take_error().ok().flatten()
        {
            let in_doubt = !self.doubt.is_empty();
            self.socket = None;
            if in_doubt {
                return Err(self.failed(&error));
            }
        }
        Ok(self.doubt.settled(|| true))
    }

    fn reset(&mut self) {
        self.socket = None;
        self.doubt.clear();
    }

    fn finish(&mut self, within: Duration) -> Vec<Settled> {
        std::thread::sleep(within.min(self.settings.doubt));
        self.settled().unwrap_or_default()
    }

    fn connected(&self) -> bool {
        self.socket.is_some()
    }
}

/// The length of the longest beginning with at most `most` bytes that does not end inside a character.
fn whole_characters(bytes: &[u8], most: usize) -> usize {
    let inside = |at: &usize| bytes.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
    // Bytes that are not UTF-8 have no characters; then it ends anywhere.
    (most.saturating_sub(3)..=most).rev().find(|at| !inside(at)).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_not_torn() {
        for (text, most, length) in
            [("abc", 2, 2), ("aü", 2, 1), ("aü", 3, 3), ("a€", 3, 1), ("😀😀", 7, 4), ("😀", 3, 0)]
        {
            assert_eq!(whole_characters(text.as_bytes(), most), length, "{text}");
        }
        assert_eq!(whole_characters(&[0x80; 10], 6), 6);
    }
}
