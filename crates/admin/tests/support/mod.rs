//! A service with its administration in this process, and a client that speaks HTTP over TLS.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may fail loudly; clippy knows only #[test] functions as such"
)]

pub mod description;

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use admin::{Admin, Clock, Password};
use control::Control;
use description::Description;
use pki::{Authority, AuthorityOptions, KeyKind};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use server::{Handle, Home, Server};
use tokio::sync::oneshot;
use tracing_subscriber::layer::SubscriberExt;

/// Longest wait for what must come.
pub const SOON: Duration = Duration::from_secs(30);

pub const PASSWORD: &str = "correct horse";

pub struct Stand {
    pub home: Home,
    pub handle: Handle,
    pub control: Control,
    pub clock: Arc<AtomicI64>,
    pub description: Description,
    address: SocketAddr,
    log: Log,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stand {
    /// A service whose administrator has [`PASSWORD`].
    pub fn new() -> Stand {
        let stand = Stand::without_password();
        Password::of(&stand.home).set(PASSWORD).unwrap();
        stand.listening()
    }

    /// A service whose administrator has no password yet.
    pub fn without_password() -> Stand {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::init_with(&dir.path().join("home"), &["localhost".into()], KeyKind::EcdsaP256).unwrap();
        std::fs::write(home.settings_path(), "client_keys = \"ecdsa-p256\"\n").unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let clock = Arc::new(AtomicI64::new(i64::try_from(now).unwrap()));
        let log = Log::default();
        let lines = server::log::Lines::to_writer(log.clone(), tracing::Level::INFO);
        let options = server::Options {
            listen: Some(vec!["127.0.0.1:0".parse().unwrap()]),
            log: Some(lines.control()),
            ..server::Options::default()
        };
        let time = clock.clone();
        let resolver = |name: &str| match name {
            "siem.example" => Ok(vec![IpAddr::from([127, 0, 0, 1])]),
            _ => Err(io::Error::other("no such name")),
        };
        let administration = admin::Options {
            listen: Some(vec!["127.0.0.1:0".parse().unwrap()]),
            resolver: Some(Arc::new(resolver)),
            clock: Clock::new(move || time.load(Ordering::Relaxed)),
        };
        let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(lines));
        let (stop, stopped) = oneshot::channel();
        let (ready, bound) = std::sync::mpsc::channel();
        let served = home.clone();
        let thread = std::thread::spawn(move || {
            let _here = tracing::dispatcher::set_default(&dispatch);
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&dispatch)))
                .build()
                .unwrap();
            runtime.block_on(async move {
                let server = Server::bind(served.clone(), options).unwrap();
                let admin = Admin::new(served, server.handle(), administration).unwrap();
                ready.send(server.handle()).unwrap();
                tokio::spawn(admin.run(std::future::pending()));
                let _ = tokio::join!(server.run(async {
                    let _ = stopped.await;
                }));
            });
        });
        let handle = bound.recv().unwrap();
        let control = Control::open(&home.control_path()).unwrap();
        Stand {
            home,
            handle,
            control,
            clock,
            description: Description::read(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            log,
            stop: Some(stop),
            thread: Some(thread),
            _dir: dir,
        }
    }

    /// Waits until the page is there.
    pub fn listening(mut self) -> Stand {
        let line = wait_for("the page", || {
            let log = self.log();
            let (_, rest) = log.split_once("Administration page on https://")?;
            rest.split_once("/\n").map(|(address, _)| address.to_owned())
        });
        self.address = line.parse().unwrap();
        self
    }

    pub fn log(&self) -> String {
        String::from_utf8(self.log.0.lock().unwrap().clone()).unwrap()
    }

    pub fn logged(&self, words: &str) {
        wait_for(words, || self.log().contains(words).then_some(()));
    }

    pub fn pass(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Where the page is.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// A connection to it.
    pub fn connect(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.home.authority_certificate().unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket.set_nodelay(true).unwrap();
        StreamOwned::new(connection, socket)
    }

    /// Asks with these headers; checks the answer against the description.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            text.push_str(&format!("Host: {}\r\n", self.host()));
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                text.push_str("Content-Type: application/json\r\n");
            }
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        text.push_str(body);
        let answer = self.raw(text.as_bytes());
        self.description.check(method, path, &answer);
        answer
    }

    /// Sends bytes, and reads the answer to its end.
    pub fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        // It may answer and close before all is sent.
        let _ = stream.write_all(bytes).and_then(|()| stream.flush());
        Answer::read(&mut stream)
    }

    /// Somebody who is logged in.
    pub fn log_in(&self) -> Browser<'_> {
        let answer = self.ask("POST", "/api/v1/session", &[], &json!({ "password": PASSWORD }).to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let csrf = answer.json()["csrf"].as_str().unwrap().to_owned();
        Browser { stand: self, cookie, csrf }
    }

    /// A script with a token.
    pub fn script(&self) -> Script<'_> {
        let token = admin::tokens(&self.home).add("script").unwrap();
        Script { stand: self, token }
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            thread.join().unwrap();
        }
    }
}

/// An administrator with the page.
pub struct Browser<'a> {
    stand: &'a Stand,
    pub cookie: String,
    pub csrf: String,
}

impl Browser<'_> {
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let origin = format!("https://{}", self.stand.host());
        let mut headers = vec![("Cookie", self.cookie.as_str())];
        if method != "GET" {
            headers.extend([("X-CSRF-Token", self.csrf.as_str()), ("Origin", origin.as_str())]);
        }
        self.stand.ask(method, path, &headers, body)
    }

    pub fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }
}

/// A program with a token.
pub struct Script<'a> {
    stand: &'a Stand,
    pub token: String,
}

impl Script<'_> {
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.stand.ask(method, path, &[("Authorization", &format!("Bearer {}", self.token))], body)
    }
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads one to the end of the connection.
    pub fn read(stream: &mut impl Read) -> Answer {
        let mut bytes = Vec::new();
        let mut buffer = [0; 16384];
        // A reset after the answer does not matter.
        while let Ok(n) = stream.read(&mut buffer)
            && n > 0
        {
            bytes.extend_from_slice(&buffer[..n]);
        }
        let at = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or_else(|| {
            panic!("no answer: {:?}", String::from_utf8_lossy(&bytes));
        });
        let head = String::from_utf8(bytes[..at].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Answer { status, headers, body: bytes[at + 4..].to_vec() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Asserts that it was refused, in these words.
    pub fn refused(&self, status: u16, words: &str) -> &Answer {
        assert_eq!(self.status, status, "{}", self.text());
        let error = self.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(words), "{error}");
        self
    }
}

/// Makes a home's server certificate end in so many days; the authority lasts longer.
pub fn shorten(home: &Home, days: u32) {
    let authority = home.authority().unwrap();
    let identity = home.server_identity().unwrap();
    let issued = authority.renew_server(&["localhost"], days, &identity.key).unwrap();
    let path = home.dir().join("server/server.crt");
    pki::write_private(&path, pki::certificate_to_pem(&issued.certificate).as_bytes()).unwrap();
}

/// An authority nobody knows.
pub fn stranger() -> Authority {
    Authority::create(&AuthorityOptions { key: KeyKind::EcdsaP256, ..AuthorityOptions::default() }).unwrap()
}

/// Tries until it has a value.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < SOON, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
