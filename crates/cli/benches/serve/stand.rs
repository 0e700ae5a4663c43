//! Archives of one kind of events, and the real server with what it uses.

use std::cell::RefCell;
use std::net::TcpListener;
use std::ops::Sub;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use archive::{Archive, Batch, Kind, Options, Read, Reader, Start};

const PROGRAM: &str = env!("CARGO_BIN_EXE_estreamer");

/// Events of the simulator that the archives are made of, over and over.
const SAMPLE: u64 = 100_000;

/// Bytes of a commit, as sensors in a hurry make them.
const COMMIT: usize = 1 << 20;

/// What an archive holds; each is a network map of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Mixed = 1,
    Connections = 2,
    Intrusions = 3,
}

impl Content {
    fn has(self, record_type: u16) -> bool {
        match self {
            Content::Mixed => true,
            Content::Connections => record_type == 71,
            Content::Intrusions => record_type == 400,
        }
    }
}

/// A home, and archives in it.
pub(crate) struct Stand {
    folder: tempfile::TempDir,
}

impl Stand {
    pub(crate) fn new() -> Stand {
        let shm = Path::new("/dev/shm");
        let folder = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap();
        let stand = Stand { folder };
        let home = stand.home();
        let home = home.to_str().unwrap();
        run(&["init", home, "--name", "localhost"]);
        run(&["clients", "add", "--home", home, "127.0.0.1", "--out", stand.pkcs12().to_str().unwrap()]);
        run(&["sensor", "simulate", "--home", home, "--events", &SAMPLE.to_string()]);
        stand
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn pkcs12(&self) -> PathBuf {
        self.folder.path().join("client.pkcs12")
    }

    /// Makes an archive of so many events.
    pub(crate) fn fill(&self, content: Content, events: u64) {
        let root = self.home().join("archive");
        let mut reader = Reader::open(&root, 0, Start::Genesis).unwrap();
        let (mut items, mut sample, mut sticky) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let kind = match reader.next(&mut items).unwrap() {
                Read::Batch(info) => info.kind,
                Read::End => break,
                Read::Lost(lost) => panic!("{lost:?}"),
            };
            let mut rest = items.as_slice();
            while let Some(length) = rest.get(4..8) {
                let length = 8 + u32::from_be_bytes(length.try_into().unwrap()) as usize;
                let (item, after) = rest.split_at(length);
                match kind {
                    Kind::Sticky { .. } => sticky.push(item.to_vec()),
                    Kind::Events if content.has(wire::record::record_type(&item[8..])) => sample.push(item.to_vec()),
                    Kind::Events => {}
                }
                rest = after;
            }
        }
        let (mut archive, _) = Archive::open(&root, content as u32, Options::default()).unwrap();
        let (mut batch, mut bytes) = (Batch::new(), 0u64);
        for (number, item) in sticky.iter().enumerate() {
            batch.push_sticky(&number.to_be_bytes(), item).unwrap();
        }
        for item in sample.iter().cycle().take(events as usize) {
            batch.push_event(item).unwrap();
            bytes += item.len() as u64;
            if batch.event_bytes() >= COMMIT {
                archive.commit(&mut batch).unwrap();
            }
        }
        archive.commit(&mut batch).unwrap();
        println!("{events} events of {} bytes in the archive ({content:?})", bytes / events);
    }

    /// The server of one of them.
    pub(crate) fn serve(&self, content: Content) -> Server {
        let home = self.home();
        let settings = format!(
            "netmap = {}\nmax_connections = 2000\nmax_connections_per_address = 2000\nlog_level = \"warn\"\n",
            content as u32
        );
        std::fs::write(home.join("settings.toml"), settings).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let program = std::env::var("ESTREAMER_BENCH_SERVER").unwrap_or_else(|_| PROGRAM.to_owned());
        let mut command = Command::new(program);
        command.args(["server", "--nodaemon", "--home", home.to_str().unwrap(), "--listen", &address]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
        wait(|| std::net::TcpStream::connect(&address).is_ok());
        let (archive, _) = Archive::open(&home.join("archive"), content as u32, Options::default()).unwrap();
        Server { child, address, pkcs12: self.pkcs12(), archive: RefCell::new(archive), last: self.last_event(content) }
    }

    fn last_event(&self, content: Content) -> Vec<u8> {
        let mut reader = Reader::open(&self.home().join("archive"), content as u32, Start::Genesis).unwrap();
        let mut items = Vec::new();
        loop {
            if let Read::Batch(info) = reader.next(&mut items).unwrap()
                && info.kind == Kind::Events
            {
                let length = 8 + u32::from_be_bytes(items[4..8].try_into().unwrap()) as usize;
                return items[..length].to_vec();
            }
        }
    }
}

/// The running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    pub pkcs12: PathBuf,
    archive: RefCell<Archive>,
    last: Vec<u8>,
}

impl Server {
    /// The processor time it has used.
    pub(crate) fn usage(&self) -> Usage {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
        // utime and stime, fields 14 and 15 of proc(5), in ticks of 10 ms.
        Usage(Duration::from_millis(10 * (ticks(11) + ticks(12))))
    }

    pub(crate) fn memory(&self) -> Memory {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).unwrap_or_default();
        let of = |name: &str| {
            let line = rollup.lines().find(|l| l.starts_with(name)).unwrap_or_default();
            line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1e3
        };
        Memory { resident: of("Rss:"), proportional: of("Pss:") }
    }

    /// Puts one more event into the archive.
    pub(crate) fn commit_one(&self) {
        let mut batch = Batch::new();
        batch.push_event(&self.last).unwrap();
        self.archive.borrow_mut().commit(&mut batch).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage(Duration);

impl Usage {
    pub(crate) fn as_secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }

    /// Time that two processes agree on.
    pub(crate) fn now() -> Duration {
        SystemTime::UNIX_EPOCH.elapsed().unwrap()
    }
}

impl Sub for Usage {
    type Output = Usage;

    fn sub(self, before: Usage) -> Usage {
        Usage(self.0 - before.0)
    }
}

/// Megabytes.
pub(crate) struct Memory {
    pub(crate) resident: f64,
    pub(crate) proportional: f64,
}

fn run(arguments: &[&str]) {
    let status = Command::new(PROGRAM).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{arguments:?}");
}

fn wait(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "it takes too long");
        std::thread::sleep(Duration::from_millis(10));
    }
}
