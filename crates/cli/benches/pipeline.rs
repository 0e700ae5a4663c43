//! The whole way: archive -> TLS -> decode -> JSON file, with the real programs, both ends on this machine.
//!
//! `cargo bench -p estreamer --bench pipeline`. State and output are in `/dev/shm` (tmpfs) when it is there, so that the
//! figure is about the programs and not about a disk. `ESTREAMER_BENCH_EVENTS` sets the number of events.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_estreamer");

fn main() {
    let events: u64 = std::env::var("ESTREAMER_BENCH_EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(500_000);
    let shm = Path::new("/dev/shm");
    let folder = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap();
    let at = |name: &str| folder.path().join(name);
    run(&["init", at("home").to_str().unwrap(), "--name", "localhost"]);
    run(&["clients", "add", "--home", at("home").to_str().unwrap(), "127.0.0.1", "--out", at("client.pkcs12").to_str().unwrap()]);
    let start = Instant::now();
    run(&["sensor", "simulate", "--home", at("home").to_str().unwrap(), "--events", &events.to_string()]);
    report("simulator -> archive", events, start.elapsed());

    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    let server = start_program(&["server", "--nodaemon", "--home", at("home").to_str().unwrap(), "--listen", &listen]);
    wait(|| std::net::TcpStream::connect(&listen).is_ok());
    std::fs::write(
        at("estreamer.conf"),
        format!(
            r#"{{"start": 0, "subscription": {{"servers": [{{"host": "127.0.0.1", "port": {port}, "pkcs12Filepath": "client.pkcs12"}}]}},
                "handler": {{"outputters": [{{"adapter": "json", "stream": {{"uri": "relfile:///events.{{0}}.json",
                "options": {{"maxLogs": 100000000}}}}}}]}}}}"#
        ),
    )
    .unwrap();
    let start = Instant::now();
    let collector = start_program(&["collect", "--config", at("estreamer.conf").to_str().unwrap()]);
    let mut seen = Lines::default();
    wait(|| seen.count(folder.path()) >= events);
    report("archive -> TLS -> decode -> JSON", events, start.elapsed());
    println!("{:<36} {:>7.1} MB", "JSON written", seen.bytes as f64 / 1e6);
    println!("{:<36} {:>7.1} MB", "server, peak resident", peak(&server));
    println!("{:<36} {:>7.1} MB", "collector, peak resident", peak(&collector));
    for mut child in [server, collector] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

fn run(arguments: &[&str]) {
    let status = Command::new(PROGRAM).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{arguments:?}");
}

fn start_program(arguments: &[&str]) -> Child {
    Command::new(PROGRAM).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn wait(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(600), "it takes too long");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn report(what: &str, events: u64, time: Duration) {
    println!("{what:<36} {:>7.0} events/s ({events} in {:.2} s)", events as f64 / time.as_secs_f64(), time.as_secs_f64());
}

/// Counts event lines of a growing file without taking much time from the programs measured.
#[derive(Default)]
struct Lines {
    file: Option<std::fs::File>,
    lines: u64,
    bytes: u64,
    expected: u64,
}

impl Lines {
    fn count(&mut self, folder: &Path) -> u64 {
        let path = || {
            let mut files = std::fs::read_dir(folder).ok()?.filter_map(|f| Some(f.ok()?.path()));
            files.find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("events.")))
        };
        if self.file.is_none() {
            self.file = path().and_then(|p| std::fs::File::open(p).ok());
        }
        let Some(file) = &mut self.file else { return 0 };
        // Reading gigabytes of JSON costs more than writing them: look at the size first, and read only once it has
        // stopped growing.
        let size = file.metadata().unwrap().len();
        if size == 0 || size != self.expected {
            self.expected = size;
            std::thread::sleep(Duration::from_millis(20));
            return self.lines;
        }
        let mut buffer = vec![0; 1 << 20];
        loop {
            let n = file.read(&mut buffer).unwrap();
            if n == 0 {
                break;
            }
            self.bytes += n as u64;
            let text = &buffer[..n];
            self.lines += text.iter().filter(|b| **b == b'\n').count() as u64;
        }
        self.lines
    }
}

/// Peak resident size of a process in megabytes.
fn peak(child: &Child) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1000.0
}
