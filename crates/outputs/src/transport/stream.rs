//! TCP and TLS: lines one after the other.
//!
//! That bytes were written says only that this host's kernel has them. So the last batches are in doubt for
//! [`Settings::doubt`], counted from when the receiver's host has acknowledged all and takes more without delay, and no
//! more than 16 MiB: when the connection breaks they are sent again, and the receiver may get them twice. When all is well
//! at the end, the connection is closed for writing, and a receiver that closes its side too has read all.
//!
//! What remains: a receiver whose program hangs for longer than that, and then dies, loses what its kernel had taken for
//! it. Only a protocol with answers, as that of Splunk, can know better.

use super::doubt::Doubt;
use super::outstanding::acknowledged;
use super::syslog::{Framing, Message};
use super::{Endpoint, Failure, Settled, SetupError, Transport, tls};
use crate::spool::Lines;
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Idle time before the first keep-alive probe, time between probes, and probes before the connection is given up.
const KEEP_ALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(10), 5);

/// A write that takes longer says that the receiver does not read.
const SLOW: Duration = Duration::from_millis(100);

/// Bytes of answers read and thrown away in one look: receivers of lines have nothing to say.
const CHATTER: usize = 64 * 1024;

/// Where and how to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The receiver. A name is looked up for each connection, and its addresses are tried in turn.
    pub to: Endpoint,
    /// TLS, or none.
    pub tls: Option<tls::Settings>,
    /// How lines become messages.
    pub message: Message,
    /// Where a message ends.
    pub framing: Framing,
    /// Time for a connection, and for the handshake of TLS.
    pub connect_timeout: Duration,
    /// Time for which the receiver may take nothing at all.
    pub write_timeout: Duration,
    /// How long a batch may still turn out to be lost.
    pub doubt: Duration,
}

impl Settings {
    /// Lines or messages to this receiver over TCP, framed as is usual for them; 10 s to connect, 30 s to write, 2 s of
    /// doubt.
    pub fn new(to: Endpoint, message: Message) -> Settings {
        Settings {
            to,
            tls: None,
            framing: message.framing(),
            message,
            connect_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            doubt: Duration::from_secs(2),
        }
    }
}

/// Sends over one connection, made when needed.
#[derive(Debug)]
pub struct Stream {
    settings: Settings,
    connection: Option<Connection>,
    doubt: Doubt,
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum Connection {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// A transport with these settings; nothing is connected yet.
    ///
    /// # Errors
    /// [`SetupError`] for settings or files that cannot be used.
    pub fn new(settings: Settings) -> Result<Stream, SetupError> {
        settings.message.check()?;
        if settings.connect_timeout.is_zero() || settings.write_timeout.is_zero() {
            return Err(SetupError::setting("the time limit of a connection", "0", "it must be longer"));
        }
        if let Some(tls) = &settings.tls {
            tls.config()?;
            tls.name(&settings.to.host)?;
        }
        let doubt = Doubt::new(settings.doubt);
        Ok(Stream { settings, connection: None, doubt, buffer: Vec::new() })
    }

    fn connect(&self) -> Result<Connection, Failure> {
        let failed = |at: &str, error: &io::Error| {
            let remedy = match error.kind() {
                io::ErrorKind::ConnectionRefused => "start the receiver, or check the port and firewalls",
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "check the address and firewalls",
                _ => "check the name and the network",
            };
            Failure::again(format!("cannot connect to {}{at}: {error}; {remedy}", self.describe()))
        };
        let mut last = None;
        for address in self.settings.to.resolve().map_err(|error| failed("", &error))? {
            match TcpStream::connect_timeout(&address, self.settings.connect_timeout) {
                Ok(socket) => return self.begin(socket),
                Err(error) => last = Some(failed(&format!(" ({})", address.ip()), &error)),
            }
        }
        Err(last.unwrap_or_else(|| Failure::again("the name of the receiver has no address")))
    }

    fn begin(&self, socket: TcpStream) -> Result<Connection, Failure> {
        let set = prepare(&socket, &self.settings);
        set.map_err(|error| Failure::again(format!("cannot set up the connection to {}: {error}", self.describe())))?;
        let Some(tls) = &self.settings.tls else { return Ok(Connection::Plain(socket)) };
        let setup = |error: SetupError| Failure::again(error.to_string());
        let (config, name) = (tls.config().map_err(setup)?, tls.name(&self.settings.to.host).map_err(setup)?);
        let connection = ClientConnection::new(config, name);
        let mut connection = connection.map_err(|error| setup(SetupError::Tls(error.to_string())))?;
        let (mut socket, until) = (socket, Instant::now() + self.settings.connect_timeout);
        while connection.is_handshaking() {
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let step = socket.set_read_timeout(Some(left)).and_then(|()| {
                if connection.wants_write() {
                    connection.write_tls(&mut socket).map(|_| ())
                } else {
                    read_tls(&mut connection, &mut socket)
                }
            });
            step.map_err(|error| self.handshake_failed(&error))?;
            if Instant::now() >= until {
                return Err(self.handshake_failed(&io::ErrorKind::TimedOut.into()));
            }
        }
        Ok(Connection::Tls(Box::new(StreamOwned::new(connection, socket))))
    }

    fn handshake_failed(&self, error: &io::Error) -> Failure {
        let remedy = match tls::inside(error) {
            Some(error) => tls::remedy(error),
            None => "the port may not speak TLS, or the server wants a client certificate",
        };
        Failure::again(format!("no TLS with {}: {error}; {remedy}", self.describe()))
    }

    fn broken(&self, error: &io::Error) -> Failure {
        let to = self.describe();
        Failure::again(match (tls::inside(error), error.kind()) {
            (Some(cause), _) => format!("the connection to {to} is broken: {error}; {}", tls::remedy(cause)),
            (None, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {
                let seconds = self.settings.write_timeout.as_secs();
                format!("{to} has taken nothing for {seconds} s; look at the receiver")
            }
            _ => {
                // A server that refuses a certificate may be gone before its alert is read.
                let tls = if self.settings.tls.is_some() {
                    "; it may not accept the client certificate, or want one"
                } else {
                    ""
                };
                format!("the connection to {to} is broken: {error}; look at the log of the receiver{tls}")
            }
        })
    }

    /// Notices that the receiver has gone. Without anything in doubt that is no error: a new connection will be made.
    fn look(&mut self) -> Result<(), Failure> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let Err(error) = connection.look() else { return Ok(()) };
        self.connection = None;
        // An alert says why, as when the certificate is not wanted.
        if self.doubt.is_empty() && tls::inside(&error).is_none() {
            return Ok(());
        }
        Err(self.broken(&error))
    }
}

impl Transport for Stream {
    fn describe(&self) -> String {
        let scheme = if self.settings.tls.is_some() { "tls" } else { "tcp" };
        format!("{scheme}://{}", self.settings.to)
    }

    fn window(&self) -> usize {
        usize::MAX
    }

    fn send(&mut self, lines: &Lines) -> Result<(), Failure> {
        self.look()?;
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let header = self.settings.message.header();
        self.buffer.clear();
        for (_, line) in lines.iter() {
            self.settings.framing.push(&header, line, &mut self.buffer);
        }
        let begun = Instant::now();
        connection.write(&self.buffer).map_err(|error| self.broken(&error))?;
        if begun.elapsed() >= SLOW {
            self.doubt.slow();
        }
        self.doubt.push(self.buffer.len(), 0);
        self.connection = Some(connection);
        Ok(())
    }

    fn settled(&mut self) -> Result<Vec<Settled>, Failure> {
        self.look()?;
        let socket = self.connection.as_ref().map(Connection::socket);
        Ok(self.doubt.settled(|| socket.is_none_or(acknowledged)))
    }

    fn reset(&mut self) {
        self.connection = None;
        self.doubt.clear();
    }

    fn finish(&mut self, within: Duration) -> Vec<Settled> {
        let Some(mut connection) = self.connection.take() else { return Vec::new() };
        match connection.close(Instant::now() + within) {
            true => self.doubt.all(),
            // Nobody answers: what is older than the doubt is as good as ever.
            false => self.doubt.settled(|| acknowledged(connection.socket())),
        }
    }

    fn connected(&self) -> bool {
        self.connection.is_some()
    }
}

impl Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Connection::Plain(socket) => socket.write_all(bytes),
            Connection::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Connection::Plain(socket) => socket,
            Connection::Tls(stream) => &stream.sock,
        }
    }

    /// Reads what there is, without waiting; an error when the other side has closed.
    fn look(&mut self) -> io::Result<()> {
        self.socket().set_nonblocking(true)?;
        let looked = self.drain();
        self.socket().set_nonblocking(false)?;
        looked
    }

    fn drain(&mut self) -> io::Result<()> {
        let mut chunk = [0; 4096];
        let mut chatter = 0;
        while chatter < CHATTER {
            let read = match self {
                Connection::Plain(socket) => socket.read(&mut chunk),
                Connection::Tls(stream) => match read_tls(&mut stream.conn, &mut stream.sock) {
                    Ok(()) => throw_away(&mut stream.conn),
                    Err(error) => Err(error),
                },
            };
            match read {
                Ok(0) => return Err(closed()),
                Ok(n) => chatter += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says that no more comes, and waits for the other side to say the same. `false` if it does not.
    fn close(&mut self, until: Instant) -> bool {
        if let Connection::Tls(stream) = self {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        if self.socket().shutdown(Shutdown::Write).is_err() {
            return false;
        }
        loop {
            match self.look() {
                Ok(()) if Instant::now() >= until => return false,
                Ok(()) => std::thread::sleep(Duration::from_millis(2)),
                Err(error) => return error.kind() == io::ErrorKind::UnexpectedEof,
            }
        }
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the receiver has closed it")
}

fn prepare(socket: &TcpStream, settings: &Settings) -> io::Result<()> {
    use rustix::net::sockopt;
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(settings.write_timeout))?;
    socket.set_read_timeout(Some(settings.connect_timeout))?;
    let (idle, interval, count) = KEEP_ALIVE;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, idle)?;
    sockopt::set_tcp_keepintvl(socket, interval)?;
    sockopt::set_tcp_keepcnt(socket, count)?;
    // Also what was written and is not acknowledged must not hang for the kernel's quarter of an hour.
    let unacknowledged = u32::try_from(settings.write_timeout.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(socket, unacknowledged)?;
    Ok(())
}

/// Reads what the server sends of TLS itself; an error when the connection ends.
fn read_tls(connection: &mut ClientConnection, socket: &mut TcpStream) -> io::Result<()> {
    if connection.read_tls(socket)? == 0 {
        return Err(closed());
    }
    match connection.process_new_packets() {
        Ok(state) if state.peer_has_closed() => Err(closed()),
        Ok(_) => Ok(()),
        Err(error) => {
            // The alert tells the server why.
            let _ = connection.write_tls(socket);
            Err(io::Error::new(io::ErrorKind::InvalidData, error))
        }
    }
}

/// Takes out what the server said. At least 1, as there was a message of TLS.
fn throw_away(connection: &mut ClientConnection) -> io::Result<usize> {
    let mut chunk = [0; 4096];
    let mut taken = 1;
    loop {
        match connection.reader().read(&mut chunk) {
            Ok(0) => return Ok(taken),
            Ok(n) => taken += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(taken),
            Err(error) => return Err(error),
        }
    }
}
