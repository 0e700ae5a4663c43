//! How long an event is on its way from the archive to where it is wanted, while 5,000 come each second.
//!
//! `cargo bench -p estreamer --bench latency`. The benchmark reads the archive at the same time as the server: an event
//! counts as archived when a reader can see it. The clock stops when its line can be read, from a file or from a
//! connection. Lines are matched by their number. `ESTREAMER_BENCH_RATE` and `ESTREAMER_BENCH_SECONDS` set how much.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use archive::{Kind, Read as Next, Reader, Start};

const PROGRAM: &str = env!("CARGO_BIN_EXE_estreamer");

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(1);

fn main() {
    let number = |key: &str, usual| std::env::var(key).ok().and_then(|n| n.parse().ok()).unwrap_or(usual);
    let rate: usize = number("ESTREAMER_BENCH_RATE", 5000);
    let seconds: usize = number("ESTREAMER_BENCH_SECONDS", 20);
    let shm = Path::new("/dev/shm");
    let mut folders = vec![("disk", tempfile::tempdir().unwrap())];
    if shm.is_dir() {
        folders.insert(0, ("tmpfs", tempfile::tempdir_in(shm).unwrap()));
    }
    println!("added latency at {rate} events/s for {seconds} s, in milliseconds");
    for (place, folder) in &folders {
        for (name, options) in
            [("file", None), ("tcp", Some("")), ("tcp, batchMilliseconds 0", Some(r#""batchMilliseconds": 0"#))]
        {
            let folder = folder.path().join(name.replace(' ', "_"));
            std::fs::create_dir(&folder).unwrap();
            let late = measure(&folder, options, rate, rate * seconds);
            let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
            println!(
                "{:<32} p50 {:>7.1}  p90 {:>7.1}  p99 {:>7.1}  p99.9 {:>7.1}  max {:>7.1}  ({} events)",
                format!("{name} ({place})"),
                at(0.5),
                at(0.9),
                at(0.99),
                at(0.999),
                at(1.0),
                late.len()
            );
            std::fs::remove_dir_all(&folder).unwrap();
        }
    }
}

/// The times on the way, shortest first: to a file, or with `options` to a TCP connection.
fn measure(folder: &Path, options: Option<&str>, rate: usize, events: usize) -> Vec<Duration> {
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (home, pkcs12) = (at("home"), at("client.pkcs12"));
    run(&["init", &home, "--name", "localhost"]);
    run(&["clients", "add", "--home", &home, "127.0.0.1", "--out", &pkcs12]);
    // The archive has to be there for its reader.
    run(&["sensor", "simulate", "--home", &home, "--events", "1"]);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    let server = start(&["server", "--nodaemon", "--home", &home, "--listen", &listen]);
    wait(|| std::net::TcpStream::connect(&listen).is_ok());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = match options {
        None => r#""uri": "relfile:///events.{0}.json", "options": {"maxLogs": 100000000}"#.to_owned(),
        Some(options) => format!(r#""uri": "tcp://{}", "options": {{{options}}}"#, listener.local_addr().unwrap()),
    };
    let config = format!(
        r#"{{"start": 0, "subscription": {{"servers": [{{"host": "127.0.0.1", "port": {port}, "pkcs12Filepath": "client.pkcs12"}}]}},
            "handler": {{"filter": "class != metadata", "outputters": [{{"adapter": "json", "stream": {{{stream}}}}}]}}}}"#
    );
    std::fs::write(at("estreamer.conf"), config).unwrap();

    let done = Arc::new(AtomicUsize::new(0));
    let archived = follow_archive(PathBuf::from(&home).join("archive"), events);
    let arrived = match options {
        None => follow_file(folder.to_owned(), events, done.clone()),
        Some(_) => receive(listener, events, done.clone()),
    };
    let collector = start(&["collect", "--config", &at("estreamer.conf")]);
    wait(|| done.load(Ordering::Relaxed) == 1);
    let (rate, total) = (rate.to_string(), events.to_string());
    let sensor = start(&["sensor", "simulate", "--home", &home, "--events", &total, "--rate", &rate]);
    let (archived, arrived) = (archived.join().unwrap(), arrived.join().unwrap());
    for mut child in [sensor, collector, server] {
        let _ = child.kill();
        child.wait().unwrap();
    }
    // Not the first second: the simulation has just started, and names are new.
    let skip = events / 20;
    let mut late: Vec<Duration> =
        archived.iter().zip(&arrived).skip(skip).map(|(from, to)| to.saturating_duration_since(*from)).collect();
    late.sort_unstable();
    late
}

/// When each event could be read in the archive.
fn follow_archive(folder: PathBuf, events: usize) -> JoinHandle<Vec<Instant>> {
    std::thread::spawn(move || {
        let mut reader = Reader::open(&folder, 0, Start::Genesis).unwrap();
        let (mut items, mut times) = (Vec::new(), Vec::with_capacity(events));
        while times.len() < events {
            match reader.next(&mut items).unwrap() {
                Next::Batch(info) if info.kind == Kind::Events => {
                    let now = Instant::now();
                    times.extend(std::iter::repeat_n(now, info.items as usize));
                }
                Next::Batch(_) => {}
                Next::End => std::thread::sleep(LOOK),
                Next::Lost(lost) => panic!("{lost:?}"),
            }
        }
        times
    })
}

/// When each line could be read in the file.
fn follow_file(folder: PathBuf, events: usize, done: Arc<AtomicUsize>) -> JoinHandle<Vec<Instant>> {
    let find = move || {
        let mut files = std::fs::read_dir(&folder).ok()?.filter_map(|f| Some(f.ok()?.path()));
        files.find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("events.")))
    };
    std::thread::spawn(move || {
        let path = loop {
            match find() {
                Some(path) => break path,
                None => std::thread::sleep(LOOK),
            }
        };
        count(File::open(path).unwrap(), events, &done)
    })
}

/// When each line could be read from the connection.
fn receive(listener: TcpListener, events: usize, done: Arc<AtomicUsize>) -> JoinHandle<Vec<Instant>> {
    std::thread::spawn(move || count(listener.accept().unwrap().0, events, &done))
}

fn count(mut input: impl Read, events: usize, done: &AtomicUsize) -> Vec<Instant> {
    let (mut buffer, mut times) = (vec![0; 1 << 18], Vec::with_capacity(events));
    while times.len() < events {
        match input.read(&mut buffer).unwrap() {
            0 => std::thread::sleep(LOOK),
            n => {
                let now = Instant::now();
                times.extend(buffer.iter().take(n).filter(|b| **b == b'\n').map(|_| now));
                done.store(times.len(), Ordering::Relaxed);
            }
        }
    }
    times
}

fn run(arguments: &[&str]) {
    let status = Command::new(PROGRAM).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{arguments:?}");
}

fn start(arguments: &[&str]) -> Child {
    Command::new(PROGRAM).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn wait(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "it takes too long");
        std::thread::sleep(Duration::from_millis(10));
    }
}
