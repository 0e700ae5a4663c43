//! The whole way: archive -> TLS -> decode -> JSON file, or another format, with the real programs, both ends on this machine.
//!
//! `cargo bench -p estreamer --bench pipeline`. State and output are in `/dev/shm` (tmpfs) when it is there, so that the
//! figure is about the programs and not about a disk. `ESTREAMER_BENCH_EVENTS` sets the number of events;
//! `ESTREAMER_BENCH_FORMAT` (`json`, `splunk`, `cef`, ...) and `ESTREAMER_BENCH_DIALECT` (`encore-5`, `standard`, ...) what
//! is written.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_estreamer");

fn main() {
    let events: u64 = std::env::var("ESTREAMER_BENCH_EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(500_000);
    let text = |key: &str, usual: &str| std::env::var(key).unwrap_or_else(|_| usual.to_owned());
    let format = text("ESTREAMER_BENCH_FORMAT", "json");
    let dialect = text("ESTREAMER_BENCH_DIALECT", "encore-5");
    let shm = Path::new("/dev/shm");
    let folder = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap();
    let at = |name: &str| folder.path().join(name);
    run(&["init", at("home").to_str().unwrap(), "--name", "localhost"]);
    run(&[
        "clients",
        "add",
        "--home",
        at("home").to_str().unwrap(),
        "127.0.0.1",
        "--out",
        at("client.pkcs12").to_str().unwrap(),
    ]);
    let start = Instant::now();
    run(&["sensor", "simulate", "--home", at("home").to_str().unwrap(), "--events", &events.to_string()]);
    report("simulator -> archive", events, start.elapsed());

    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    let server = start_program(&["server", "--nodaemon", "--home", at("home").to_str().unwrap(), "--listen", &listen]);
    wait(|| std::net::TcpStream::connect(&listen).is_ok());
    let metrics = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::fs::write(
        at("estreamer.conf"),
        format!(
            r#"{{"start": 0, "subscription": {{"servers": [{{"host": "127.0.0.1", "port": {port}, "pkcs12Filepath": "client.pkcs12"}}]}},
                "monitor": {{"listen": "127.0.0.1:{metrics}"}},
                "handler": {{"outputters": [{{"adapter": "{format}", "dialect": "{dialect}", "stream": {{"uri": "relfile:///events.{{0}}.json",
                "options": {{"maxLogs": 100000000}}}}}}]}}}}"#
        ),
    )
    .unwrap();
    warm_up(&at("warm"), events * 4600);
    let start = Instant::now();
    let collector = start_program(&["collect", "--config", at("estreamer.conf").to_str().unwrap()]);
    let mut seen = Output { folder: folder.path().to_owned(), bytes: 0, grown: start };
    wait(|| seen.idle() && all_delivered(metrics, events));
    report(&format!("archive -> TLS -> decode -> {format}"), events, seen.grown - start);
    println!("{:<36} {:>7.1} MB ({dialect}, {} lines)", "written", seen.bytes as f64 / 1e6, seen.lines());
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
    println!(
        "{what:<36} {:>7.0} events/s ({events} in {:.2} s)",
        events as f64 / time.as_secs_f64(),
        time.as_secs_f64()
    );
}

/// Whether the collector has so many records, and none on its way. (Not every format prints every event.)
fn all_delivered(port: u16, events: u64) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut socket = std::net::TcpStream::connect(("127.0.0.1", port))?;
        socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        socket.read_to_string(&mut page)?;
        Ok(page)
    };
    let page = ask().unwrap_or_default();
    let sum = |name: &str| -> f64 {
        let lines = page.lines().filter(|l| l.split('{').next() == Some(name));
        lines.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    sum("estreamer_source_received_total") >= events as f64 && sum("estreamer_source_pending") == 0.0
}

/// Fills and frees memory: a virtual machine gets the memory of its host on first use, and that is slower than anything
/// measured here.
fn warm_up(path: &Path, bytes: u64) {
    let mut file = std::fs::File::create(path).unwrap();
    std::io::copy(&mut std::io::repeat(1).take(bytes), &mut file).unwrap();
    std::fs::remove_file(path).unwrap();
}

/// The growing output. Only its size is looked at while it grows, so that the programs have the machine for themselves.
struct Output {
    folder: std::path::PathBuf,
    bytes: u64,
    grown: Instant,
}

impl Output {
    fn path(&self) -> Option<std::path::PathBuf> {
        let mut files = std::fs::read_dir(&self.folder).ok()?.filter_map(|f| Some(f.ok()?.path()));
        files.find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("events.")))
    }

    /// It has not grown for half a second.
    fn idle(&mut self) -> bool {
        let bytes = self.path().and_then(|p| p.metadata().ok()).map_or(0, |m| m.len());
        if bytes != self.bytes {
            (self.bytes, self.grown) = (bytes, Instant::now());
        }
        bytes > 0 && self.grown.elapsed() > Duration::from_millis(500)
    }

    fn lines(&self) -> u64 {
        let mut file = std::fs::File::open(self.path().unwrap()).unwrap();
        let mut buffer = vec![0; 1 << 20];
        let mut lines = 0;
        loop {
            match file.read(&mut buffer).unwrap() {
                0 => return lines,
                n => lines += buffer.iter().take(n).filter(|b| **b == b'\n').count() as u64,
            }
        }
    }
}

/// Peak resident size of a process in megabytes.
fn peak(child: &Child) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1000.0
}
