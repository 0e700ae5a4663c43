//! Clients that take what comes, in a process of their own. Commands and answers are lines on its pipes.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use pki::{Bundle, ServerTrust, TlsVersions};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use wire::client::{ClientEvent, ClientRequest, ClientSession};
use wire::layout;
use wire::record::record_type;
use wire::request::EventVersion;
use wire::subscription::newest_events;

use super::stand::{Server, Usage};

const ROLE: &str = "ESTREAMER_BENCH_DRAIN";

/// What all clients of a process ask for.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) flags: u32,
    pub(crate) start: u32,
    pub(crate) events: Vec<(u16, u16)>,
}

impl Request {
    /// Everything in the newest version, as a collector asks for it.
    pub(crate) fn newest() -> Request {
        let events = newest_events().iter().map(|e| (e.code, e.version)).collect();
        Request { flags: 0x4890_0061, start: 0, events }
    }

    /// One event type in one version.
    pub(crate) fn version(code: u16, version: u16) -> Request {
        Request { flags: 0x4880_0000, start: 0, events: vec![(code, version)] }
    }

    /// Everything as products of 5.x and 6.0 had it.
    pub(crate) fn older() -> Request {
        let older = [(12, 4), (21, 4), (31, 9), (61, 10), (71, 11), (91, 6), (101, 3), (111, 4), (131, 1)];
        Request { events: older.to_vec(), ..Request::newest() }
    }

    /// Flags without an extended request.
    pub(crate) fn plain(flags: u32) -> Request {
        Request { flags: 0x0080_0000 | flags, start: 0, events: Vec::new() }
    }
}

/// What came.
pub(crate) struct Done {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

/// The process of clients, seen from the benchmark.
pub(crate) struct Clients {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    count: usize,
}

impl Clients {
    /// So many clients with their handshake done and nothing asked yet.
    pub(crate) fn connect(server: &Server, request: &Request, count: usize) -> Clients {
        let events: Vec<_> = request.events.iter().map(|(code, version)| format!("{code}:{version}")).collect();
        let words = [
            server.address.clone(),
            server.pkcs12.display().to_string(),
            count.to_string(),
            request.flags.to_string(),
            request.start.to_string(),
            events.join(","),
        ];
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(ROLE, words.join("\n")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut clients = Clients { child, input, output, count };
        assert_eq!(clients.line(), "connected");
        clients
    }

    /// All ask, and take what there is up to so many events each.
    pub(crate) fn replay(&mut self, events: u64) -> Done {
        writeln!(self.input, "replay {events}").unwrap();
        let line = self.line();
        let mut numbers = line.split(' ').map(|n| n.parse::<u64>().unwrap());
        let mut next = || numbers.next().unwrap();
        Done { events: next(), bytes: next(), time: Duration::from_nanos(next()) }
    }

    /// All ask, and wait for what is new.
    pub(crate) fn start(&mut self) {
        writeln!(self.input, "live").unwrap();
        assert_eq!(self.line(), "live");
    }

    /// When each had the next event.
    pub(crate) fn arrivals(&mut self) -> Vec<Duration> {
        (0..self.count).map(|_| Duration::from_nanos(self.line().parse().unwrap())).collect()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the clients failed");
        line.trim_end().to_owned()
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether this process is to be the clients.
pub(crate) fn is_wanted() -> bool {
    std::env::var_os(ROLE).is_some()
}

/// The process of clients.
pub(crate) fn main() {
    let words = std::env::var(ROLE).unwrap();
    let words: Vec<_> = words.split('\n').collect();
    let [address, pkcs12, count, flags, start, events] = words[..] else { panic!("{words:?}") };
    let number = |text: &str| text.parse::<u64>().unwrap();
    let pairs = events.split(',').filter_map(|pair| pair.split_once(':'));
    let events = pairs.map(|(c, v)| EventVersion { code: c.parse().unwrap(), version: v.parse().unwrap() }).collect();
    let request = ClientRequest { timestamp: number(start) as u32, flags: number(flags) as u32, events };
    let bundle = Bundle::load_pkcs12(pkcs12.as_ref(), None).unwrap();
    let config = pki::client_config(&bundle, ServerTrust::Authorities, TlsVersions::From12).unwrap();
    let count = number(count) as usize;
    let clients: Vec<_> = (0..count).map(|_| Client::connect(address, &config, &request)).collect();
    println!("connected");
    let mut command = String::new();
    std::io::stdin().read_line(&mut command).unwrap();
    match command.trim_end().split_once(' ') {
        Some((_, events)) => replay(clients, number(events)),
        None => live(clients),
    }
}

fn replay(clients: Vec<Client>, events: u64) {
    let begun = Instant::now();
    let threads: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            std::thread::spawn(move || {
                client.say();
                while client.events < events {
                    client.take();
                }
                (client.events, client.bytes, begun.elapsed())
            })
        })
        .collect();
    let done: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    let (events, bytes) = done.iter().fold((0, 0), |(e, b), d| (e + d.0, b + d.1));
    let time = done.iter().map(|d| d.2).max().unwrap();
    println!("{events} {bytes} {}", time.as_nanos());
}

fn live(clients: Vec<Client>) {
    let ready = Arc::new(Barrier::new(clients.len() + 1));
    for mut client in clients {
        let ready = ready.clone();
        let body = move || {
            client.say();
            while !client.metadata {
                client.take();
            }
            ready.wait();
            loop {
                let before = client.events;
                client.take();
                if client.events > before {
                    println!("{}", Usage::now().as_nanos());
                }
            }
        };
        std::thread::Builder::new().stack_size(256 << 10).spawn(body).unwrap();
    }
    ready.wait();
    println!("live");
    loop {
        std::thread::park();
    }
}

struct Client {
    tls: StreamOwned<ClientConnection, TcpStream>,
    session: ClientSession,
    buffer: Vec<u8>,
    filled: usize,
    events: u64,
    bytes: u64,
    metadata: bool,
}

impl Client {
    fn connect(address: &str, config: &Arc<ClientConfig>, request: &ClientRequest) -> Client {
        let connection = ClientConnection::new(config.clone(), pki::server_name("localhost")).unwrap();
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        // A request that selects nothing is to be seen as such, not to be waited for.
        socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        let mut tls = StreamOwned::new(connection, socket);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).unwrap();
        }
        let session = ClientSession::new(request.clone());
        Client { tls, session, buffer: Vec::new(), filled: 0, events: 0, bytes: 0, metadata: false }
    }

    fn say(&mut self) {
        let out = self.session.take_output();
        if !out.is_empty() {
            self.tls.write_all(&out).unwrap();
            self.tls.flush().unwrap();
        }
    }

    /// Takes what comes next.
    fn take(&mut self) {
        if self.buffer.len() < self.filled + (16 << 10) {
            self.buffer.resize(self.filled + (128 << 10), 0);
        }
        match self.tls.read(&mut self.buffer[self.filled..]) {
            Ok(0) => panic!("the server closed"),
            Ok(n) => {
                self.filled += n;
                self.bytes += n as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
        let mut used = 0;
        while let Some((size, event)) = self.session.receive(&self.buffer[used..self.filled]).unwrap() {
            used += size;
            match event {
                ClientEvent::Records(records) => {
                    for record in records {
                        let metadata = layout::record(record_type(record.unwrap())).is_some_and(|r| r.metadata);
                        self.metadata |= metadata;
                        self.events += u64::from(!metadata);
                    }
                    self.session.acknowledge();
                }
                ClientEvent::Services(_) | ClientEvent::KeepAlive => {}
                other => panic!("{other:?}"),
            }
        }
        self.buffer.copy_within(used..self.filled, 0);
        self.filled -= used;
        self.say();
        // An idle client keeps no large buffer.
        if self.filled == 0 {
            self.buffer.truncate(128 << 10);
        }
    }
}
