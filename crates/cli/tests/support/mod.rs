//! What the tests share: a home, its server, a client, a collector, each as the built command in a process of its own.
//!
//! A process is killed when its value is dropped. Every wait has a deadline.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests may fail loudly; clippy knows only #[test] functions as such"
)]

pub mod archived;
pub mod authority;
pub mod backdated;
pub mod browser;
pub mod disk;
pub mod lines;
pub mod peer;
pub mod programs;
pub mod receivers;

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The longest wait for what must come.
pub const SOON: Duration = Duration::from_secs(60);

/// The command under test: the one that was built with the tests, or what `ESTREAMER_TEST_PROGRAM` names, as a release
/// build for large runs.
pub fn program() -> OsString {
    env::var_os("ESTREAMER_TEST_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_estreamer").into())
}

/// A number from the environment.
pub fn number(key: &str) -> Option<u64> {
    env::var(key).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{key} must be a number, not {text:?}")))
}

/// A small generator of random numbers.
pub struct Dice(u64);

impl Dice {
    /// Dice that fall as `ESTREAMER_TEST_SEED` says, or as they like; the seed is printed.
    pub fn new(name: &str) -> Dice {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = number("ESTREAMER_TEST_SEED").unwrap_or(u64::from(clock.subsec_nanos()) | 1);
        println!("{name}: ESTREAMER_TEST_SEED={seed}");
        Dice(seed)
    }

    /// A number from 0 to `limit` - 1.
    pub fn below(&mut self, limit: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    /// 0, 1 and 2 in random order.
    pub fn order(&mut self) -> [u8; 3] {
        let mut order = [0, 1, 2];
        for i in [2, 1] {
            let j = usize::try_from(self.below(i as u64 + 1)).unwrap();
            order.swap(i, j);
        }
        order
    }
}

/// A temporary folder with the home of a server and whatever belongs to a test.
pub struct Site {
    dir: TempDir,
}

impl Site {
    /// A folder with a fresh home whose server is called localhost.
    pub fn new() -> Site {
        let site = Site::empty();
        site.init();
        site
    }

    /// A folder with nothing in it.
    pub fn empty() -> Site {
        Site { dir: tempfile::tempdir().unwrap() }
    }

    /// Makes the home.
    pub fn init(&self) {
        self.run(&["init", &self.home(), "--name", "localhost", "--name", "127.0.0.1"]).success();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The home, as an argument.
    pub fn home(&self) -> String {
        self.path("home").to_str().unwrap().to_owned()
    }

    /// Replaces the server's settings.
    pub fn settings(&self, text: &str) {
        fs::write(self.path("home/settings.toml"), text).unwrap();
    }

    /// Runs a command to its end, in this folder.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        run(Command::new(program()).args(arguments).current_dir(self.dir.path()), b"")
    }

    /// Adds a client; gives its PKCS#12 file, which has no password.
    pub fn client(&self, host: &str) -> PathBuf {
        let file = self.path(&format!("{host}.pkcs12"));
        let out = file.to_str().unwrap();
        self.run(&["clients", "add", "--home", &self.home(), host, "--out", out]).success();
        file
    }

    /// Starts a command that stays.
    pub fn start(&self, name: &str, arguments: &[&str]) -> Process {
        Process::start(&self.path(&format!("{name}.log")), self.dir.path(), arguments)
    }

    /// Starts the server on a free port.
    pub fn serve(&self, arguments: &[&str]) -> Server {
        self.serve_at(0, arguments)
    }

    /// Starts the server on a port.
    pub fn serve_at(&self, port: u16, arguments: &[&str]) -> Server {
        let (home, listen) = (self.home(), format!("127.0.0.1:{port}"));
        let all = [&["server", "--nodaemon", "--home", &home, "--listen", &listen], arguments].concat();
        let process = self.start("server", &all);
        let address = listening(&process);
        Server { process, address }
    }

    /// Makes the folder of a collector.
    pub fn collector(&self, name: &str, address: SocketAddr, pkcs12: &Path) -> Collector {
        let folder = self.path(name);
        fs::create_dir(&folder).unwrap();
        let collector = Collector { folder };
        collector.configure(configuration(address, pkcs12));
        collector
    }
}

/// The address of a server's "Listening on" line.
fn listening(process: &Process) -> SocketAddr {
    let line = process.line("Listening on ");
    line.rsplit(' ').next().unwrap().trim_end_matches("/tcp").parse().unwrap()
}

/// A running server.
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
}

/// The folder of a collector: configuration, state and `data/`.
pub struct Collector {
    pub folder: PathBuf,
}

/// A configuration with one JSON output, files without limit.
pub fn configuration(address: SocketAddr, pkcs12: &Path) -> Value {
    json!({
        "start": 0,
        "dialect": "standard",
        "logging": {"level": "INFO"},
        "subscription": {
            "servers": [{"host": address.ip().to_string(), "port": address.port(), "pkcs12Filepath": pkcs12}],
        },
        "handler": {"outputters": [{
            "adapter": "json",
            "enabled": true,
            "stream": {"uri": "relfile:///data/events.{0}.json", "options": {"rotate": true, "maxLogs": 1_000_000_000}},
        }]},
    })
}

impl Collector {
    /// Writes `estreamer.conf`.
    pub fn configure(&self, configuration: Value) {
        fs::write(self.config(), serde_json::to_vec_pretty(&configuration).unwrap()).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.folder.join("estreamer.conf")
    }

    /// Starts it.
    pub fn start(&self) -> Process {
        let config = self.config();
        Process::start(&self.folder.join("log"), &self.folder, &["collect", "--config", config.to_str().unwrap()])
    }

    /// The event files, oldest first.
    pub fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.folder.join("data")) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
        files.sort();
        files
    }

    /// Hands over every whole line there is.
    pub fn each_line(&self, mut take: impl FnMut(&[u8])) {
        for path in self.files() {
            let mut reader = BufReader::with_capacity(1 << 20, File::open(path).unwrap());
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).unwrap() > 0 {
                // The file grows while it is read: what comes behind half a line is not a line either.
                let Some(whole) = line.strip_suffix(b"\n") else { break };
                take(whole);
                line.clear();
            }
        }
    }

    /// Every line, as JSON.
    pub fn lines(&self) -> Vec<Value> {
        let mut lines = Vec::new();
        self.each_line(|line| lines.push(serde_json::from_slice(line).unwrap()));
        lines
    }

    /// How many lines there are of events and of metadata.
    pub fn counts(&self) -> (usize, usize) {
        let (mut events, mut metadata) = (0, 0);
        self.each_line(|line| if is_metadata(line) { metadata += 1 } else { events += 1 });
        (events, metadata)
    }

    /// Waits for this many event lines, as long as there are more and more.
    pub fn wait_for_events(&self, count: usize, process: &Process) {
        wait_for_all(&format!("events in {}", self.folder.display()), count, || {
            process.alive();
            self.counts().0
        });
    }
}

/// The record type a line begins with.
pub fn record_type(line: &[u8]) -> u16 {
    let digits = line.strip_prefix(b"{\"recordType\": ").unwrap_or_default();
    let end = digits.iter().position(|b| *b == b',').unwrap_or(0);
    let text = std::str::from_utf8(&digits[..end]).unwrap();
    text.parse().unwrap_or_else(|_| panic!("no event: {}", String::from_utf8_lossy(line)))
}

/// Whether a line is metadata.
pub fn is_metadata(line: &[u8]) -> bool {
    wire::layout::record(record_type(line)).is_some_and(|r| r.metadata)
}

/// What the lines of a folder are, small enough for millions: hashes of the event lines, sorted, and of the different
/// metadata lines.
#[derive(PartialEq, Eq)]
pub struct Digest {
    pub events: Vec<u64>,
    pub metadata: Vec<u64>,
}

impl Digest {
    pub fn of(collector: &Collector) -> Digest {
        let mut digest = Digest { events: Vec::new(), metadata: Vec::new() };
        collector.each_line(|line| {
            let hash = u64::from_str_radix(&pki::fingerprint(line)[..16], 16).unwrap();
            if is_metadata(line) { digest.metadata.push(hash) } else { digest.events.push(hash) }
        });
        digest.events.sort_unstable();
        digest.metadata.sort_unstable();
        digest.metadata.dedup();
        digest
    }
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Finished {
    /// It must have ended well.
    pub fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.out
    }

    /// It must have ended with this code, and standard error must have all these words.
    pub fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for words in words {
            assert!(self.err.contains(words), "{words:?} is missing in {self:#?}");
        }
        assert!(!self.err.contains("panicked"), "{self:#?}");
    }
}

/// Runs a command to its end, with this standard input.
pub fn run(command: &mut Command, input: &[u8]) -> Finished {
    let outputs = tempfile::tempdir().unwrap();
    let (out, err) = (outputs.path().join("out"), outputs.path().join("err"));
    let mut child = command
        .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap())
        .spawn()
        .unwrap();
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input).unwrap();
    }
    let mut child = Process { child, log: err.clone(), begin: 0 };
    let status = child.wait();
    let text = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    Finished { code: status.code(), out: text(&out), err: text(&err) }
}

/// A running command whose output goes to a file, after that of earlier ones.
pub struct Process {
    child: Child,
    log: PathBuf,
    /// Where its own output begins.
    begin: usize,
}

impl Process {
    /// Starts the command; its output is appended to `log`.
    pub fn start(log: &Path, folder: &Path, arguments: &[&str]) -> Process {
        Process::start_with(log, folder, arguments, &[])
    }

    /// The same, with these variables in its environment.
    pub fn start_with(log: &Path, folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Process {
        let mut command = Command::new(program());
        Process::spawn(log, command.args(arguments).envs(variables.iter().copied()).current_dir(folder))
    }

    /// Starts another program in the same way.
    pub fn spawn(log: &Path, command: &mut Command) -> Process {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let begin = usize::try_from(file.metadata().unwrap().len()).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0)
            .spawn()
            .unwrap();
        Process { child, log: log.to_owned(), begin }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// All it has said.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()[self.begin..]).into_owned()
    }

    /// Waits for a line with these words.
    pub fn line(&self, words: &str) -> String {
        wait_for(&format!("{words:?} in {}", self.log.display()), || {
            let log = self.log();
            // The last line may be half written.
            let found = log.split_inclusive('\n').find(|l| l.contains(words) && l.ends_with('\n'));
            if found.is_none() {
                self.alive();
            }
            found.map(|l| l.trim_end().to_owned())
        })
    }

    /// Waits until so many lines have these words.
    pub fn lines(&self, words: &str, count: usize) {
        wait_for(&format!("{count} × {words:?} in {}", self.log.display()), || {
            (self.log().matches(words).count() >= count).then_some(())
        });
    }

    pub fn running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// It must not have ended. (A process nobody has waited for is still in `/proc`, as a zombie.)
    pub fn alive(&self) {
        let state = self.status("State:");
        assert!(!state.starts_with('Z'), "the process has ended:\n{}", self.log());
    }

    /// A line of `/proc/PID/status`.
    fn status(&self, key: &str) -> String {
        let text = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default().trim().to_owned()
    }

    /// The most memory it ever had, in MiB.
    pub fn peak_memory(&self) -> u64 {
        self.kilobytes("VmHWM:") / 1024
    }

    /// The memory it has now, in MiB.
    pub fn memory(&self) -> u64 {
        self.kilobytes("VmRSS:") / 1024
    }

    fn kilobytes(&self, key: &str) -> u64 {
        let text = self.status(key);
        text.trim_end_matches(" kB").parse().unwrap_or_else(|_| panic!("{key} {text:?}"))
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// SIGTERM, and the end it leads to.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A service in the background, known by its process id alone.
pub struct Daemon(pub u32);

impl Daemon {
    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0).unwrap()).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Nobody but init waits for it; a zombie has ended too.
    pub fn runs(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        status.contains("State:") && !status.contains("State:\tZ")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It leads a process group of its own, so a process that has its number by now is not met.
        if self.runs() {
            let _ = kill_process_group(self.pid(), Signal::KILL);
        }
    }
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

/// Waits until there are so many, as long as there are more and more of them.
pub fn wait_for_all(what: &str, wanted: usize, mut count: impl FnMut() -> usize) {
    let (mut seen, mut grown) = (0, Instant::now());
    loop {
        let begun = Instant::now();
        let counted = count();
        if counted >= wanted {
            return;
        }
        if counted != seen {
            (seen, grown) = (counted, Instant::now());
        }
        assert!(grown.elapsed() < SOON, "waited in vain for {what}: {seen} of {wanted}");
        // Counting must not take the time of what is counted.
        std::thread::sleep(Duration::from_millis(10).max(begun.elapsed() * 5));
    }
}

/// A free port outside of the range from which connections take theirs, so that a server can come back to it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(61).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + (number % 20_000) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Data that is not part of the project, if it is there: a file or folder of `../shared`.
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(name);
    if !path.exists() {
        println!("skipped: there is no ../shared/{name}");
        return None;
    }
    Some(path)
}

/// Whether there is an openssl command.
pub fn has_openssl() -> bool {
    let there = Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    if !there {
        println!("skipped: there is no openssl command");
    }
    there
}

/// The content of a gzip file.
pub fn gunzip(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}
