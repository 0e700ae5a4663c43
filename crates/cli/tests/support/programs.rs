//! Programs of others that receive events: rsyslog, netcat, and a Python script that answers like an HTTP receiver.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Process, free_port, wait_for};

/// The path of a program, `None` with a message when it is not there.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    if found.is_none() {
        println!("skipped: there is no {name}");
    }
    found
}

/// A line of the kernel's table of sockets: that of a program which listens on this port.
fn socket(table: &str, port: u16) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap();
    let address = format!(":{port:04X}");
    let ours = |line: &&str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        // Connections have another port at the other end.
        fields.next().is_some_and(|local| local.ends_with(&address))
            && fields.next().is_some_and(|r| r.ends_with(":0000"))
    };
    text.lines().find(ours).map(str::to_owned)
}

/// Waits until a program listens on a port, without talking to it. (A connection would be its first.)
pub fn listens(table: &str, port: u16, process: &Process) {
    wait_for(&format!("{table} port {port}"), || {
        process.alive();
        socket(table, port).map(drop)
    });
}

/// How many datagrams the kernel has dropped that a program on this port was too slow for.
pub fn dropped(port: u16) -> usize {
    socket("udp", port).and_then(|line| line.rsplit(' ').find(|f| !f.is_empty())?.parse().ok()).unwrap_or(0)
}

/// The openbsd netcat, with what it receives in a file.
pub struct Netcat {
    pub port: u16,
    pub output: PathBuf,
    pub process: Process,
}

impl Netcat {
    /// Listens; `options` are more of its own.
    pub fn start(folder: &Path, table: &str, options: &[&str]) -> Option<Netcat> {
        let program = find("nc")?;
        let help = Command::new(&program).arg("-h").output().unwrap();
        let text = [help.stdout, help.stderr].concat();
        if !String::from_utf8_lossy(&text).contains("OpenBSD") {
            println!("skipped: nc is not that of OpenBSD");
            return None;
        }
        let (port, output) = (free_port(), folder.join(format!("nc.{table}")));
        let mut command = Command::new(program);
        command.args(["-l", "-k", "-n", "-d"]).args(options).args(["127.0.0.1", &port.to_string()]);
        let process = Process::spawn(&output, &mut command);
        listens(table, port, &process);
        Some(Netcat { port, output, process })
    }

    pub fn received(&self) -> Vec<u8> {
        fs::read(&self.output).unwrap()
    }
}

/// How rsyslog is to be spoken to.
pub struct Tls {
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The name in the certificate that a client must have.
    pub client: Option<String>,
}

/// rsyslog with a TCP and a UDP port; what it understands of messages is in a file.
pub struct Rsyslog {
    pub port: u16,
    output: PathBuf,
    pub process: Process,
}

impl Rsyslog {
    pub fn start(folder: &Path, tls: Option<&Tls>) -> Option<Rsyslog> {
        Rsyslog::start_at(free_port(), folder, tls)
    }

    pub fn start_at(port: u16, folder: &Path, tls: Option<&Tls>) -> Option<Rsyslog> {
        let program = find("rsyslogd")?;
        fs::create_dir(folder).unwrap();
        let home = folder.display();
        let (mut driver, mut mode) = (String::new(), String::new());
        if let Some(tls) = tls {
            let name = ["ossl", "gtls"].into_iter().find(|name| has_driver(name));
            let Some(name) = name else {
                println!("skipped: rsyslog has no TLS (packages rsyslog-openssl or rsyslog-gnutls)");
                return None;
            };
            let Tls { authority, certificate, key, client } = tls;
            let [authority, certificate, key] = [authority, certificate, key].map(|path| path.display());
            driver = format!(
                r#"defaultNetstreamDriver="{name}" defaultNetstreamDriverCAFile="{authority}"
                   defaultNetstreamDriverCertFile="{certificate}" defaultNetstreamDriverKeyFile="{key}""#
            );
            let who = match client {
                Some(name) => format!(r#"streamDriver.authMode="x509/name" permittedPeer=["{name}"]"#),
                None => r#"streamDriver.authMode="anon""#.to_owned(),
            };
            mode = format!(r#"streamDriver.name="{name}" streamDriver.mode="1" {who}"#);
        }
        let text = format!(
            r#"global(workDirectory="{home}" maxMessageSize="64k" {driver})
module(load="imtcp" {mode})
module(load="imudp")
input(type="imtcp" port="{port}" address="127.0.0.1" ruleset="all")
input(type="imudp" port="{port}" address="127.0.0.1" ruleset="all" rcvbufSize="1m")
template(name="all" type="string" string="%inputname% %pri% %protocol-version% %hostname% %app-name%|%msg%\n")
ruleset(name="all") {{ action(type="omfile" file="{home}/out" template="all" ioBufferSize="1" flushOnTXEnd="on") }}
"#
        );
        fs::write(folder.join("conf"), text).unwrap();
        let mut command = Command::new(program);
        command.arg("-n").arg("-f").arg(folder.join("conf")).arg("-i").arg(folder.join("pid"));
        let process = Process::spawn(&folder.join("log"), &mut command);
        listens("tcp", port, &process);
        listens("udp", port, &process);
        Some(Rsyslog { port, output: folder.join("out"), process })
    }

    /// The messages: what stands before the line, and the line.
    pub fn received(&self) -> Vec<(String, String)> {
        let text = fs::read(&self.output).unwrap_or_default();
        let text = String::from_utf8(text).unwrap();
        // The last line may be half written.
        let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        lines.map(|line| line.split_once('|').unwrap()).map(|(head, line)| (head.to_owned(), line.to_owned())).collect()
    }
}

fn has_driver(name: &str) -> bool {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let all = folders.chain(["/usr/lib".into(), "/usr/lib64".into()]);
    all.into_iter().any(|folder: PathBuf| folder.join(format!("rsyslog/lmnsd_{name}.so")).exists())
}

/// `receiver.py`: Splunk, Elasticsearch or a receiver of lines.
pub struct Script {
    pub port: u16,
    folder: PathBuf,
    kind: String,
    process: Process,
}

impl Script {
    pub fn start(folder: &Path, kind: &str) -> Option<Script> {
        let there = Command::new("python3").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
        if !there {
            println!("skipped: there is no python3");
            return None;
        }
        fs::create_dir(folder).unwrap();
        let port = free_port();
        let process = script(folder, kind, port);
        Some(Script { port, folder: folder.to_owned(), kind: kind.to_owned(), process })
    }

    /// `kill -9`, and a new one at the same port.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = script(&self.folder, &self.kind, self.port);
    }

    /// Whether it keeps what it takes in memory, and acknowledges nothing.
    pub fn hold(&self, hold: bool) {
        let file = self.folder.join("hold");
        if hold { fs::write(file, "") } else { fs::remove_file(file) }.unwrap();
    }

    /// What it has stored, in the order in which it was.
    pub fn stored(&self) -> Vec<Vec<u8>> {
        let text = fs::read(self.folder.join("stored")).unwrap_or_default();
        text.split_inclusive(|b| *b == b'\n').filter_map(|line| line.strip_suffix(b"\n")).map(<[u8]>::to_vec).collect()
    }

    /// How often it has done this.
    pub fn count(&self, what: &str) -> usize {
        let text = fs::read_to_string(self.folder.join("done")).unwrap_or_default();
        text.lines().filter(|line| *line == what).count()
    }

    /// It must be well.
    pub fn check(&self) {
        self.process.alive();
        assert!(!self.process.log().contains("Traceback"), "{}", self.process.log());
    }
}

fn script(folder: &Path, kind: &str, port: u16) -> Process {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/receiver.py");
    let mut command = Command::new("python3");
    command.arg(path).arg(kind).arg(port.to_string()).arg(folder);
    let process = Process::spawn(&folder.join("log"), &mut command);
    listens("tcp", port, &process);
    process
}
