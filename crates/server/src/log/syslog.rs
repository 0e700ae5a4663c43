//! Lines for a syslog daemon.
//!
//! A thread sends them, so that a daemon which takes nothing never holds the service up. Lines wait for a daemon that is
//! not there, as many as there is room for; what found none is counted, and the daemon is told once it listens again.
//!
//! A local socket gets what `syslog(3)` of the C library sends: `<PRI>Mon D HH:MM:SS SF-IMS[PID]: text`, local time and no
//! host. Over UDP goes RFC 5424, whose time and host cannot be misunderstood. Receivers write both as
//! `HOST SF-IMS[PID]: text`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, ToSocketAddrs, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::Level;

use super::entry::{PROGRAM, cut};
use super::target::{Facility, SyslogAddress};

/// Lines that may wait.
const ROOM: usize = 4096;

/// The longest message: receivers take 8 KiB where nobody has said otherwise.
const LONGEST: usize = 8000;

/// Time between two tries to reach a daemon.
const RETRY: Duration = Duration::from_millis(250);

/// How long one send may take before it is tried again.
const SEND: Duration = Duration::from_secs(5);

/// A daemon, and the lines on their way to it.
#[derive(Debug)]
pub(super) struct Syslog {
    address: SyslogAddress,
    facility: Facility,
    lines: SyncSender<Vec<u8>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    queued: AtomicU64,
    done: AtomicU64,
    lost: AtomicU64,
}

/// What [`Syslog::waiting`] waits for.
#[derive(Debug)]
pub(super) struct Waiting(Arc<Counts>);

impl Waiting {
    /// Waits until all that was queued is sent, at most so long.
    pub(super) fn until_sent(self, most: Duration) {
        let end = Instant::now() + most;
        while self.0.done.load(Ordering::Acquire) < self.0.queued.load(Ordering::Acquire) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Syslog {
    pub(super) fn start(address: SyslogAddress, facility: Facility) -> io::Result<Syslog> {
        let (lines, queue) = sync_channel(ROOM);
        let counts = Arc::new(Counts::default());
        let mut worker = Worker {
            address: address.clone(),
            facility,
            socket: None,
            counts: counts.clone(),
            pid: std::process::id(),
        };
        std::thread::Builder::new().name("syslog".into()).spawn(move || worker.run(&queue))?;
        Ok(Syslog { address, facility, lines, counts })
    }

    /// Queues a line, or counts it if there is no room.
    pub(super) fn send(&self, time: Timestamp, level: Level, host: &str, pid: u32, text: &str) {
        let message = message(&self.address, self.facility, time, level, host, pid, text);
        self.counts.queued.fetch_add(1, Ordering::AcqRel);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.lines.try_send(message) {
            self.counts.done.fetch_add(1, Ordering::AcqRel);
            self.counts.lost.fetch_add(1, Ordering::AcqRel);
        }
    }

    pub(super) fn waiting(&self) -> Waiting {
        Waiting(self.counts.clone())
    }
}

fn message(
    address: &SyslogAddress,
    facility: Facility,
    time: Timestamp,
    level: Level,
    host: &str,
    pid: u32,
    text: &str,
) -> Vec<u8> {
    let priority = (facility as u8) * 8 + severity(level);
    let mut message = match address {
        SyslogAddress::Local(_) => {
            let local = time.to_zoned(TimeZone::system());
            format!("<{priority}>{} {PROGRAM}[{pid}]: {text}", local.strftime("%b %e %H:%M:%S"))
        }
        SyslogAddress::Udp { .. } => format!("<{priority}>1 {time:.6} {} {PROGRAM} {pid} - - {text}", name(host)),
    };
    cut(&mut message, LONGEST);
    message.into_bytes()
}

/// A host name as RFC 5424 wants it: printable, and never empty.
fn name(host: &str) -> String {
    let name: String = host.chars().filter(char::is_ascii_graphic).take(255).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

enum Socket {
    Datagram(UnixDatagram),
    /// Some daemons want a stream; a NUL ends each message then, as the C library does it.
    Stream(UnixStream),
    Udp(UdpSocket),
}

struct Worker {
    address: SyslogAddress,
    facility: Facility,
    socket: Option<Socket>,
    counts: Arc<Counts>,
    pid: u32,
}

impl Worker {
    /// Sends until there is no log any more.
    fn run(&mut self, queue: &Receiver<Vec<u8>>) {
        while let Ok(line) = queue.recv() {
            self.deliver(line);
            self.counts.done.fetch_add(1, Ordering::AcqRel);
            let lost = self.counts.lost.swap(0, Ordering::AcqRel);
            if lost > 0 {
                let text = format!(
                    "[{}] {}:syslog [ERROR] {lost} log lines found no room while syslog took none, and are lost",
                    self.pid,
                    super::PARENT
                );
                let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
                let (address, facility, pid) = (&self.address, self.facility, self.pid);
                self.deliver(message(address, facility, Timestamp::now(), Level::ERROR, &host, pid, &text));
            }
        }
    }

    /// Tries until somebody takes it.
    fn deliver(&mut self, mut message: Vec<u8>) {
        loop {
            match self.send(&message) {
                Ok(()) => return,
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) => {
                    if message.len() <= 480 {
                        return;
                    }
                    // Half a line is better than none.
                    message.truncate(message.len() / 2);
                }
                Err(error) => {
                    let busy = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                    // What was sent of a stream's message is not known: begin anew.
                    if !busy || matches!(self.socket, Some(Socket::Stream(_))) {
                        self.socket = None;
                    }
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        if self.socket.is_none() {
            self.socket = Some(connect(&self.address)?);
        }
        match &mut self.socket {
            Some(Socket::Datagram(socket)) => socket.send(message).map(drop),
            Some(Socket::Stream(socket)) => {
                use io::Write;
                let mut whole = message.to_vec();
                whole.push(0);
                socket.write_all(&whole)
            }
            Some(Socket::Udp(socket)) => socket.send(message).map(drop),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

fn connect(address: &SyslogAddress) -> io::Result<Socket> {
    match address {
        SyslogAddress::Local(path) => local(path),
        SyslogAddress::Udp { host, port } => {
            let mut last = io::Error::from(io::ErrorKind::NotFound);
            for to in (host.as_str(), *port).to_socket_addrs()? {
                let socket = if to.is_ipv4() {
                    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
                } else {
                    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))
                };
                match socket.and_then(|socket| socket.connect(to).map(|()| socket)) {
                    Ok(socket) => {
                        socket.set_write_timeout(Some(SEND))?;
                        return Ok(Socket::Udp(socket));
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }
}

fn local(path: &Path) -> io::Result<Socket> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND))?;
    match socket.connect(path) {
        Ok(()) => Ok(Socket::Datagram(socket)),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PROTOTYPE.raw_os_error()) => {
            let socket = UnixStream::connect(path)?;
            socket.set_write_timeout(Some(SEND))?;
            Ok(Socket::Stream(socket))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Lines, Speaker, say};
    use std::io::Read;
    use std::os::unix::net::UnixListener;
    use tracing_subscriber::layer::SubscriberExt;

    fn received(socket: &UnixDatagram) -> String {
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut buffer = [0; 9000];
        let count = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    fn log_to(address: SyslogAddress, facility: Facility, work: impl FnOnce(&super::super::Control)) {
        let lines = Lines::to_syslog(address, facility, Level::DEBUG).unwrap();
        let control = lines.control();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || work(&control));
    }

    #[test]
    fn a_local_daemon_gets_what_the_c_library_sends_and_may_come_and_go() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("log");
        let pid = std::process::id();
        log_to(SyslogAddress::Local(path.clone()), Facility::Local3, |control| {
            // Nobody listens yet; the line waits.
            say!(error, Speaker::parent(), "ConnectionHandler", "first\nforged");
            let daemon = UnixDatagram::bind(&path).unwrap();
            let first = received(&daemon);
            assert!(first.starts_with("<155>"), "local3 and error: {first}");
            let rest = format!(" SF-IMS[{pid}]: [{pid}] Event Streamer:ConnectionHandler [ERROR] first\\nforged");
            assert_eq!(&first[5 + 15..], rest, "15 characters of time: {first}");
            for (text, priority) in [("w", 156), ("i", 158), ("d", 159)] {
                match text {
                    "w" => say!(warn, Speaker::parent(), "x", "{text}"),
                    "i" => say!(info, Speaker::parent(), "x", "{text}"),
                    _ => say!(debug, Speaker::parent(), "x", "{text}"),
                }
                assert!(received(&daemon).starts_with(&format!("<{priority}>")));
            }
            // The daemon starts anew, with another socket under the name.
            drop(daemon);
            std::fs::remove_file(&path).unwrap();
            say!(info, Speaker::parent(), "x", "while it is away");
            let daemon = UnixDatagram::bind(&path).unwrap();
            assert!(received(&daemon).ends_with("[INFO] while it is away"));
            say!(info, Speaker::parent(), "x", "{}", "ü".repeat(9000));
            assert!((LONGEST - 1..=LONGEST).contains(&received(&daemon).len()), "cut, and still a text");
            control.flush(Duration::from_secs(20));
        });
    }

    #[test]
    fn a_daemon_that_takes_nothing_holds_nobody_up_and_learns_what_it_missed() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("log");
        log_to(SyslogAddress::Local(path.clone()), Facility::Daemon, |control| {
            for n in 0..ROOM + 500 {
                say!(info, Speaker::parent(), "x", "line {n}");
            }
            let daemon = UnixDatagram::bind(&path).unwrap();
            let mut lines = Vec::new();
            let lost = loop {
                let line = received(&daemon);
                if line.contains("log lines found no room") {
                    break line;
                }
                lines.push(line);
            };
            let count: usize = lost.split("[ERROR] ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
            // The loss is told at the first occasion; the rest follows.
            while lines.len() + count < ROOM + 500 {
                lines.push(received(&daemon));
            }
            assert!((490..=500).contains(&count), "{count}");
            assert!(lines.iter().enumerate().all(|(n, line)| line.ends_with(&format!("line {n}"))));
            control.flush(Duration::from_secs(20));
        });
    }

    #[test]
    fn daemons_with_a_stream_and_over_udp() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("log");
        let listener = UnixListener::bind(&path).unwrap();
        log_to(SyslogAddress::Local(path), Facility::Daemon, |_| {
            say!(info, Speaker::parent(), "x", "one");
            let mut stream = listener.accept().unwrap().0;
            let mut bytes = [0; 1000];
            let mut got = Vec::new();
            while !got.ends_with(&[0]) {
                let count = stream.read(&mut bytes).unwrap();
                got.extend_from_slice(&bytes[..count]);
            }
            assert!(got.starts_with(b"<30>") && got.ends_with(b"[INFO] one\0"));
        });
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let address = SyslogAddress::Udp { host: "localhost".into(), port: receiver.local_addr().unwrap().port() };
        // A name of both families may lead to an address where nobody listens; UDP tells later if at all.
        let address = match address {
            SyslogAddress::Udp { port, .. } => SyslogAddress::Udp { host: "127.0.0.1".into(), port },
            local => local,
        };
        log_to(address, Facility::Local0, |_| {
            say!(warn, Speaker::parent(), "x", "two");
            let mut buffer = [0; 1000];
            let count = receiver.recv(&mut buffer).unwrap();
            let text = std::str::from_utf8(&buffer[..count]).unwrap();
            let words: Vec<&str> = text.splitn(8, ' ').collect();
            assert_eq!(words[0], "<132>1");
            words[1].parse::<Timestamp>().unwrap();
            assert_eq!((words[3], words[5], words[6]), ("SF-IMS", "-", "-"));
            assert!(words[7].ends_with("Event Streamer:x [WARN] two"), "{text}");
        });
    }
}
