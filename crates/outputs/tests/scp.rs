//! Copies by the system's `scp` to a real `sshd` on this host. Skipped where there is none.

#![allow(clippy::unwrap_used, clippy::expect_used)] // Tests may fail loudly.

use outputs::file::{Compression, Metrics};
use outputs::scp::{Remote, Scp};
use outputs::{Destination, File, Settings};
use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SSHD: &str = "/usr/sbin/sshd";

/// A host with `sshd`, and a client that knows its key.
struct Host {
    dir: TempDir,
    port: u16,
    address: &'static str,
    sshd: Option<Child>,
}

impl Host {
    /// `None` where there is no `sshd`.
    fn new(address: &'static str, options: &str) -> Option<Host> {
        let free = TcpListener::bind((address, 0)).and_then(|listener| listener.local_addr());
        let (Ok(free), true) = (free, Path::new(SSHD).exists() && Scp::new("h/".parse().unwrap(), "").is_ok()) else {
            eprintln!("skipped: no {SSHD}, no scp, or no address {address}");
            return None;
        };
        // Where sshd begins as root it wants this folder.
        let _ = fs::create_dir_all("/run/sshd");
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        for key in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            let keygen = keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.path().join(key));
            assert!(keygen.status().unwrap().success());
        }
        fs::copy(dir.path().join("user.pub"), dir.path().join("authorized")).unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        let config = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nSubsystem sftp internal-sftp\nPermitRootLogin prohibit-password\n{options}\n",
            path("host"),
            path("authorized"),
        );
        fs::write(dir.path().join("sshd_config"), config).unwrap();
        let client =
            format!("UserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\nIdentitiesOnly yes\n", path("known"));
        fs::write(dir.path().join("ssh_config"), client).unwrap();
        let mut host = Host { dir, port: free.port(), address, sshd: None };
        host.know();
        host.start();
        Some(host)
    }

    fn know(&self) {
        let key = fs::read_to_string(self.dir.path().join("host.pub")).unwrap();
        fs::write(self.dir.path().join("known"), format!("[{}]:{} {key}", self.address, self.port)).unwrap();
    }

    fn start(&mut self) {
        let log = fs::File::create(self.dir.path().join("sshd.log")).unwrap();
        let config = self.dir.path().join("sshd_config");
        let mut sshd = Command::new(SSHD);
        sshd.args(["-D", "-e", "-p", &self.port.to_string(), "-o"]).arg(format!("ListenAddress={}", self.address));
        let sshd = sshd.arg("-f").arg(config).stdin(Stdio::null()).stderr(log).spawn().unwrap();
        self.sshd = Some(sshd);
        wait("sshd", || TcpStream::connect((self.address, self.port)).is_ok());
    }

    fn stop(&mut self) {
        if let Some(mut sshd) = self.sshd.take() {
            let _ = sshd.kill();
            let _ = sshd.wait();
        }
    }

    fn settings(&self, lines: usize) -> Settings {
        let remote = Remote {
            host: self.address.into(),
            port: Some(self.port),
            folder: self.dir.path().join("in").display().to_string(),
            key: Some(self.dir.path().join("user")),
            config: Some(self.dir.path().join("ssh_config")),
            user: None,
        };
        let copy = Some(Scp::new(remote, "e{0}.json").unwrap());
        Settings { lines_per_file: Some(lines), copy, ..Settings::new(self.local(), "e{0}.json") }
    }

    fn local(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// Names and contents of what has arrived.
    fn arrived(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.dir.path().join("in")).unwrap().map(|e| e.unwrap());
        entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
    }

    fn lines(&self) -> String {
        String::from_utf8(self.arrived().into_values().flatten().collect()).unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.dir.path().join("sshd.log")).unwrap_or_default());
        }
    }
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !done() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn copied(metrics: &Metrics, n: u64) {
    wait(&format!("{n} copies; last error: {:?}", metrics.last_error()), || {
        metrics.copied.load(Ordering::Relaxed) == n && metrics.pending_copies.load(Ordering::Relaxed) == 0
    });
    assert_eq!(metrics.last_error(), None);
}

/// Writes lines and makes checkpoints; returns the state.
fn write(file: &mut File, lines: std::ops::Range<usize>) -> String {
    for n in lines {
        while file.room() == 0 {
            file.sync().unwrap();
            file.stored(&file.state());
        }
        file.write(format!("{n}\n").as_bytes(), 1).unwrap();
    }
    file.sync().unwrap();
    file.stored(&file.state());
    file.state()
}

fn expected(lines: std::ops::Range<usize>) -> String {
    lines.map(|n| format!("{n}\n")).collect()
}

#[test]
fn files_arrive_whole_and_are_deleted_here() {
    let Some(host) = Host::new("127.0.0.1", "") else { return };
    let mut file = File::open(host.settings(3), None).unwrap();
    write(&mut file, 0..300);
    copied(&file.metrics(), 100);
    assert_eq!(host.lines(), expected(0..300));
    assert!(host.arrived().keys().all(|name| name.starts_with("e1")), "no name is hidden");
    assert_eq!(fs::read_dir(host.local()).unwrap().count(), 0);
    assert_eq!(file.metrics().copy_failures.load(Ordering::Relaxed), 0);
}

#[test]
fn while_the_host_is_away_files_wait_and_a_restart_finds_them() {
    let Some(mut host) = Host::new("127.0.0.1", "") else { return };
    host.stop();
    let mut settings = host.settings(2);
    settings.compression = Some(Compression::Gzip);
    let mut file = File::open(settings.clone(), None).unwrap();
    write(&mut file, 0..5);
    let metrics = file.metrics();
    wait("a failure", || metrics.last_error().is_some());
    let error = metrics.last_error().unwrap();
    assert!(error.contains("cannot copy to 127.0.0.1:/") && error.contains("Connection refused"), "{error}");
    assert_eq!(metrics.pending_copies.load(Ordering::Relaxed), 2);
    let state = write(&mut file, 5..7);
    drop(file);
    let mut file = File::open(settings, Some(&state)).unwrap();
    assert_eq!(file.metrics().pending_copies.load(Ordering::Relaxed), 3);
    host.start();
    write(&mut file, 7..9);
    copied(&file.metrics(), 4);
    let text: String = host
        .arrived()
        .into_iter()
        .map(|(name, packed)| {
            assert!(name.ends_with(".json.gz"), "{name}");
            std::io::read_to_string(flate2::read::GzDecoder::new(packed.as_slice())).unwrap()
        })
        .collect();
    assert_eq!(text, expected(0..8));
}

#[test]
fn a_host_that_is_not_known_gets_nothing() {
    let Some(host) = Host::new("127.0.0.1", "") else { return };
    fs::remove_file(host.dir.path().join("known")).unwrap();
    let mut file = File::open(host.settings(2), None).unwrap();
    write(&mut file, 0..2);
    let metrics = file.metrics();
    wait("a failure", || metrics.copy_failures.load(Ordering::Relaxed) > 0 && metrics.last_error().is_some());
    let error = metrics.last_error().unwrap();
    assert!(error.contains("Host key verification failed"), "{error}");
    assert!(error.contains("connect once by hand as the user who runs this. 1 files wait in "), "{error}");
    assert_eq!(host.lines(), "");
    host.know();
    copied(&metrics, 1);
    assert_eq!(host.lines(), expected(0..2));
}

#[test]
fn where_only_sftp_is_allowed_files_are_renamed_too() {
    let Some(host) = Host::new("127.0.0.1", "ForceCommand internal-sftp") else { return };
    let mut file = File::open(host.settings(2), None).unwrap();
    write(&mut file, 0..7);
    copied(&file.metrics(), 3);
    write(&mut file, 7..9);
    copied(&file.metrics(), 4);
    assert_eq!(host.lines(), expected(0..8));
    assert!(host.arrived().keys().all(|name| name.starts_with("e1")));
}

#[test]
fn addresses_of_version_6() {
    let Some(host) = Host::new("::1", "") else { return };
    let mut file = File::open(host.settings(2), None).unwrap();
    write(&mut file, 0..5);
    copied(&file.metrics(), 2);
    assert_eq!(host.lines(), expected(0..4));
}
