//! A collector as a service: started, looked at, stopped; its log, its signs of life, its configuration.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Collector, Daemon, Finished, Process, SOON, Server, Site, configuration, free_port, wait_for};

/// A server with events, and a collector for it.
struct Pair {
    site: Site,
    server: Server,
    collector: Collector,
}

impl Pair {
    fn new() -> Pair {
        let site = Site::new();
        let pkcs12 = site.client("127.0.0.1");
        site.run(&["sensor", "simulate", "--home", &site.home(), "--events", "200"]).success();
        let server = site.serve(&[]);
        let collector = site.collector("collector", server.address, &pkcs12);
        Pair { site, server, collector }
    }

    fn run(&self, command: &[&str]) -> Finished {
        let config = self.collector.config();
        self.site.run(&[command, &["--config", config.to_str().unwrap()]].concat())
    }

    /// A file of the instance.
    fn file(&self, end: &str) -> PathBuf {
        self.collector.folder.join(format!("127.0.0.1-{}_{end}", self.server.address.port()))
    }

    fn configured(&self, change: impl FnOnce(&mut Value)) {
        let mut document: Value = serde_json::from_slice(&fs::read(self.collector.config()).unwrap()).unwrap();
        change(&mut document);
        self.collector.configure(document);
    }

    /// Starts it in the background; the daemon goes with its value.
    fn start(&self) -> Daemon {
        let said = self.run(&["start"]).success();
        assert!(said.starts_with("Starting \"estreamer collect --config "), "{said}");
        let pid = said.trim_end().rsplit_once("\". Started. pid=").unwrap().1;
        Daemon(pid.parse().unwrap())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.collector.folder.join("estreamer.log")).unwrap_or_default()
    }

    /// Waits until events have come.
    fn collected(&self) {
        wait_for("the simulated events", || (self.collector.counts().0 >= 200).then_some(()));
    }
}

impl Drop for Pair {
    /// A collector in the background does not outlive a test that failed.
    fn drop(&mut self) {
        if self.file("proc.pid").exists() {
            self.run(&["stop", "--timeout", "5"]);
        }
    }
}

#[test]
fn a_life_in_the_background() {
    let pair = Pair::new();
    pair.run(&["status"]).failed(3, &[]);
    assert!(pair.run(&["stop"]).success().contains("Not running"));
    // A file left by a process that was killed, with the number of a living stranger.
    fs::write(pair.file("proc.pid"), std::process::id().to_string()).unwrap();
    let status = pair.run(&["status"]);
    assert!(status.code == Some(3) && status.out.starts_with("status_id=0 status=\"Stopped\"\n"), "{status:?}");

    let daemon = pair.start();
    assert_eq!(fs::read_to_string(pair.file("proc.pid")).unwrap(), daemon.0.to_string(), "as eNcore writes it");
    let status = pair.run(&["status"]).success();
    assert!(status.starts_with("status_id=1 status=\"Running\"\n"), "{status}");
    assert!(status.contains(&format!("pid {}", daemon.0)), "{status}");
    assert!(pair.run(&["start"]).success().ends_with(" is already running.\n"));
    pair.run(&["collect"]).failed(1, &["another collector is running", &daemon.0.to_string()]);

    pair.collected();
    let bookmark = wait_for("the bookmark", || {
        let text = fs::read_to_string(pair.file("bookmark.dat")).ok()?;
        serde_json::from_str::<Value>(&text).ok()?["1"].as_u64()
    });
    assert!(bookmark > 1_600_000_000, "{bookmark}");
    for end in ["bookmark.dat", "status.dat", "state.db"] {
        let mode = fs::metadata(pair.file(end)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{end}");
    }
    let state: Value = serde_json::from_slice(&fs::read(pair.file("status.dat")).unwrap()).unwrap();
    assert_eq!(state["state"], json!({"id": 1, "description": "Running"}));

    // The log so far is packed; the collector goes on in a new file.
    pair.run(&["archive"]).success();
    let packages: Vec<PathBuf> = names(&pair.collector.folder, "encore-log-");
    assert!(packages.len() == 1 && packages[0].to_str().unwrap().ends_with(".tar.gz"), "{packages:?}");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(&packages[0]).unwrap()));
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(entry.path().unwrap(), Path::new("estreamer.log"));
    let mut old = String::new();
    std::io::Read::read_to_string(&mut entry, &mut old).unwrap();
    assert!(old.contains("Connection   INFO     Connected to 127.0.0.1:"), "{old}");

    let said = pair.run(&["restart"]).success();
    assert!(
        said.contains(&format!(
            "Found pid. Terminating \"estreamer collect --config {}\" ({})",
            pair.collector.config().display(),
            daemon.0
        )),
        "{said}"
    );
    assert!(!daemon.runs());
    let second = Daemon(said.trim_end().rsplit_once("pid=").unwrap().1.parse().unwrap());
    assert!(pair.log().contains("The log file was opened again") && pair.log().contains("Goodbye"));
    // kill -9 leaves its files, and nobody is taken in by them.
    second.signal(Signal::KILL);
    wait_for("its end", || (!second.runs()).then_some(()));
    let status = pair.run(&["status"]);
    status.failed(3, &[]);
    assert!(status.out.starts_with("status_id=0 status=\"Stopped\"") && status.out.contains("did not end in order"));
    let third = pair.start();
    pair.run(&["stop"]).success();
    assert!(!third.runs() && !pair.file("proc.pid").exists());
    assert_eq!(pair.collector.counts().0, 200, "and all of it came once");
}

fn names(folder: &Path, start: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.filter(|p| p.file_name().unwrap().to_str().unwrap().starts_with(start)).collect()
}

#[test]
fn what_does_not_start_says_why() {
    let pair = Pair::new();
    let nowhere = free_port();
    pair.configured(|c| c["subscription"]["servers"][0]["port"] = nowhere.into());
    let started = pair.run(&["start", "--wait", "30"]);
    started.failed(3, &["refused the connection", "estreamer.log"]);
    let daemon = Daemon(started.out.trim_end().rsplit_once("pid=").unwrap().1.parse().unwrap());
    let status = pair.run(&["status"]).success();
    assert!(status.starts_with("status_id=-1 status=\"Error\"") && status.contains("refused"), "{status}");
    pair.run(&["stop"]).success();
    assert!(!daemon.runs());
    fs::write(pair.site.path("broken.pkcs12"), "no PKCS#12").unwrap();
    let broken = pair.site.path("broken.pkcs12");
    pair.configured(|c| c["subscription"]["servers"][0]["pkcs12Filepath"] = broken.to_str().unwrap().into());
    let started = pair.run(&["start"]);
    started.failed(1, &["did not start", "broken.pkcs12"]);
    assert!(started.out.ends_with("Started. pid=-1\n"), "{started:?}");
}

#[test]
fn enabled_false_stops_it() {
    let pair = Pair::new();
    let mut process = pair.collector.start();
    process.line("Connected to");
    let config = pair.collector.config();
    pair.site.run(&["configure", config.to_str().unwrap(), "--enab", "FALSE"]).success();
    process.line("settings.enabled == False.");
    assert!(process.wait().success());
    pair.run(&["start"]).failed(1, &["enabled is false"]);
}

#[test]
fn the_log_has_the_lines_of_encore_and_signals_are_heard() {
    let pair = Pair::new();
    pair.configured(|c| {
        c["logging"] = json!({"filepath": "estreamer.log", "stdOut": true, "level": "INFO"});
        c["monitor"] = json!({"period": 1, "handled": true, "bookmark": true, "details": true});
        c["workerProcesses"] = 4.into();
        c["alwaysAtemptToContinue"] = true.into();
    });
    let mut process = pair.collector.start();
    let line = process.line(" handled; average rate ");
    // 2020-05-28 16:02:56,957 Monitor      INFO     Running. ...
    let (time, rest) = line.split_at(24);
    assert!(rest.starts_with("Monitor      INFO     Running. "), "{line}");
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_eq!(shape, "9999-99-99 99:99:99,999 ");
    assert!(process.line(" bookmark ").contains(" ev/sec;  bookmark "), "the two blanks of eNcore");
    assert!(process.log().contains("Controller   INFO     Starting client (pid="));
    assert!(process.line("workerProcesses does nothing").contains(" Settings     INFO     "));
    assert!(process.line("Did you mean alwaysAttemptToContinue?").contains(" Settings     WARNING  "));
    process.line("Monitor      INFO     {\"start\":");
    let before = process.log().matches("\"cumulative_rate\"").count();
    process.signal(Signal::USR1);
    process.lines("\"cumulative_rate\"", before + 1);
    let log = pair.collector.folder.join("estreamer.log");
    fs::rename(&log, log.with_extension("old")).unwrap();
    process.signal(Signal::HUP);
    wait_for("the new log", || log.exists().then_some(()));
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o137, 0);
    assert!(process.terminate().success());
    assert!(pair.log().contains("Goodbye"));
}

#[test]
fn a_log_in_json_and_rotated() {
    let pair = Pair::new();
    pair.configured(|c| {
        c["logging"] =
            json!({"filepath": "estreamer.log", "stdOut": false, "format": "json", "maxBytes": 300, "keepFiles": 50});
    });
    let mut process = pair.collector.start();
    pair.collected();
    assert!(process.terminate().success());
    assert_eq!(process.log(), "", "nothing elsewhere");
    let mut loggers = Vec::new();
    let files = names(&pair.collector.folder, "estreamer.log");
    assert!(files.len() > 1, "{files:?}");
    for file in files {
        for line in fs::read_to_string(file).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            assert!(line["time"].as_str().unwrap().ends_with('Z') && line["message"].is_string(), "{line}");
            loggers.push(line["logger"].as_str().unwrap().to_owned());
        }
    }
    assert!(loggers.iter().any(|l| l == "Connection") && loggers.iter().any(|l| l == "Controller"), "{loggers:?}");
}

#[test]
fn the_service_manager_is_told() {
    let pair = Pair::new();
    let path = pair.site.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let next = |wanted: &str| {
        let begun = Instant::now();
        loop {
            let mut buffer = [0; 4096];
            let length = socket.recv(&mut buffer).unwrap_or_else(|e| panic!("{wanted} did not come: {e}"));
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.starts_with(wanted) {
                return text;
            }
            assert!(begun.elapsed() < SOON, "{wanted} did not come");
        }
    };
    let config = pair.collector.config();
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "600000")];
    let arguments = ["collect", "--config", config.to_str().unwrap()];
    let log = pair.collector.folder.join("log");
    let mut process = Process::start_with(&log, &pair.collector.folder, &arguments, &variables);
    assert_eq!(next("READY="), "READY=1");
    next("STATUS=Running.");
    let mut last = Instant::now();
    for _ in 0..5 {
        assert_eq!(next("WATCHDOG="), "WATCHDOG=1");
        last = Instant::now();
    }
    assert!(last.elapsed() < Duration::from_secs(10));
    process.signal(Signal::TERM);
    assert_eq!(next("STOPPING="), "STOPPING=1");
    assert!(process.wait().success());
}

#[test]
fn old_data_is_cleaned_up() {
    let pair = Pair::new();
    let data = pair.collector.folder.join("data");
    fs::create_dir(&data).unwrap();
    for name in ["events.1700000000.json", "events.1700000001.json", "events.1700000002.json", "mine.json"] {
        fs::write(data.join(name), "{}\n").unwrap();
    }
    let would = pair.run(&["clean", "--minutes", "0", "--dry-run"]).success();
    assert_eq!(would.lines().count(), 2, "{would}");
    assert_eq!(pair.run(&["clean"]).success(), "0 files deleted\n", "they are young");
    assert_eq!(pair.run(&["clean", "--minutes", "0"]).success(), "2 files deleted\n");
    assert!(data.join("events.1700000002.json").exists() && data.join("mine.json").exists());
}

#[test]
fn no_secret_leaves_the_configuration() {
    let site = Site::new();
    let (file, home) = (site.path("secret.pkcs12"), site.home());
    let secret = "correct-horse-battery";
    let path = file.to_str().unwrap();
    site.run(&["clients", "add", "--home", &home, "127.0.0.1", "--password", secret, "--out", path]).success();
    let server = site.serve(&[]);
    let collector = site.collector("collector", server.address, &file);
    let mut document = configuration(server.address, &file);
    document["subscription"]["servers"][0]["password"] = secret.into();
    document["logging"] = json!({"filepath": "estreamer.log", "level": "TRACE"});
    let receiver = format!("http://127.0.0.1:{}", free_port());
    document["handler"]["outputters"].as_array_mut().unwrap().push(json!({
        "adapter": "json",
        "stream": {"uri": receiver, "options": {"type": "ndjson", "token": secret, "headers": {"X-Key": secret}}}
    }));
    collector.configure(document);
    let config = collector.config();
    let check = site.run(&["config", "check", config.to_str().unwrap()]);
    assert!(!(check.out + &check.err).contains(secret));
    let mut process = Process::start_with(
        &collector.folder.join("log"),
        &collector.folder,
        &["collect", "--config", config.to_str().unwrap()],
        &[("ESTREAMER_LOG", "trace")],
    );
    process.line("Connected to");
    process.signal(Signal::USR1);
    process.line("\"cumulative_rate\"");
    process.terminate();
    let mut looked = 0;
    for entry in fs::read_dir(&collector.folder).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_file() && entry != config {
            let bytes = fs::read(&entry).unwrap();
            let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "{} holds the secret:\n{}", entry.display(), String::from_utf8_lossy(&bytes));
            looked += 1;
        }
    }
    assert!(looked >= 4, "log, estreamer.log, state and status");
}

#[test]
fn a_configuration_is_written_and_explained() {
    let pair = Pair::new();
    let port = pair.server.address.port().to_string();
    let secret = pair.site.path("secret.pkcs12");
    let (home, out) = (pair.site.home(), secret.to_str().unwrap());
    pair.site.run(&["clients", "add", "--home", &home, "::1", "--password", "right", "--out", out]).success();
    let init = |file: &str, more: &[&str]| {
        let given = ["config", "init", file, "--host", "127.0.0.1", "--port", &port, "--output"];
        pair.site.run(&[&given[..], more].concat())
    };
    for file in ["one.conf", "one.toml"] {
        init(file, &["json", "--pkcs12", "127.0.0.1.pkcs12", "--start", "0"]).success();
        let written = fs::read_to_string(pair.site.path(file)).unwrap();
        assert!(written.contains("standard") && written.contains("comment") != file.ends_with("toml"), "{written}");
        init(file, &["json", "--pkcs12", "127.0.0.1.pkcs12"]).failed(1, &["is there already", "--force"]);
        let check = pair.site.run(&["config", "check", file]).success();
        for words in [
            "server       127.0.0.1, port",
            "subject CN=127.0.0.1",
            "the server is verified by",
            "flags 0x48900061",
            "connection 71 (version 17)",
            "json in the dialect standard",
            "data/json/encore.{0}.json",
            "a new file after 10000 lines",
            "it begins with the oldest data there is",
            "estreamer.log, rotated at",
        ] {
            assert!(check.contains(words), "{words:?} is missing in {check}");
        }
        pair.site.run(&["test", "--config", file]).success();
    }
    init("x.conf", &["cef", "--pkcs12", "127.0.0.1.pkcs12"]).failed(1, &["--to is missing"]);
    init("x.conf", &["cef", "--pkcs12", "127.0.0.1.pkcs12", "--to", "udp://{host}:1"]).failed(1, &["placeholders"]);
    init("x.conf", &["json", "--pkcs12", "nothing.pkcs12"]).failed(1, &["nothing.pkcs12"]);
    assert!(!pair.site.path("x.conf").exists());
    // A password nobody gave is told; one that was given is kept private.
    init("y.conf", &["json", "--pkcs12", out]).failed(3, &["needs a password", "ESTREAMER_PASSWORD"]);
    pair.site.run(&["config", "check", "y.conf"]).failed(1, &[]);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_estreamer"));
    command.args(["config", "init", "z.toml", "--host", "h", "--pkcs12", out, "--output", "splunk"]);
    command.env("ESTREAMER_PASSWORD", "right").current_dir(pair.site.path(""));
    support::run(&mut command, b"").success();
    assert_eq!(fs::metadata(pair.site.path("z.toml")).unwrap().permissions().mode() & 0o777, 0o600);
    pair.site.run(&["config", "check", "z.toml"]).success();
    // Warnings are an exit code of their own.
    pair.configured(|c| c["handlr"] = 1.into());
    let config = pair.collector.config();
    let check = pair.site.run(&["config", "check", config.to_str().unwrap()]);
    assert!(check.code == Some(3) && check.out.contains("Did you mean handler?"), "{check:?}");
    let pkcs12 = pair.site.path("127.0.0.1.pkcs12");
    fs::set_permissions(&pkcs12, fs::Permissions::from_mode(0o644)).unwrap();
    let check = pair.site.run(&["config", "check", config.to_str().unwrap()]);
    assert!(check.out.contains("holds a private key and everybody can read it"), "{check:?}");
    let disabled = |c: &mut Value| c["enabled"] = false.into();
    pair.configured(disabled);
    let check = pair.site.run(&["config", "check", config.to_str().unwrap()]);
    assert!(check.code == Some(3) && check.out.contains("enabled is false"), "{check:?}");
}

#[test]
fn values_are_set_and_printed_as_configure_py_does() {
    let dir = tempfile::tempdir().unwrap();
    let folder = fs::canonicalize(dir.path()).unwrap();
    let template = include_str!("../../collector/tests/data/default.conf");
    fs::write(folder.join("estreamer.conf"), template).unwrap();
    let configure = |options: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_estreamer"));
        command.arg("configure").arg("estreamer.conf").args(options).current_dir(&folder);
        support::run(&mut command, b"").success()
    };
    let print = |name: &str| configure(&["--print", name]).trim_end().to_owned();
    configure(&[
        "--host",
        "fmc-2.example.com",
        "--port",
        "8303",
        "--enabled",
        "True",
        "--metadata",
        "0",
        "--packets=no",
    ]);
    configure(&["--output", "splunk"]);
    assert_eq!(print("stream0"), "relfile:///data/splunk/encore.{0}.log");
    configure(&[
        "--stream",
        "relfile:///x/{0}.log",
        "--conditions",
        "splunk",
        "--logstdout",
        "false",
        "--logstderr",
        "1",
    ]);
    assert_eq!(print("host"), "fmc-2.example.com");
    assert_eq!((print("port"), print("enabled"), print("metadata")), ("8303".into(), "True".into(), "False".into()));
    assert_eq!((print("stream0"), print("pkcs12")), ("relfile:///x/{0}.log".into(), "client.pkcs12".into()));
    let stem = folder.join("fmc-2.example.com-8303").display().to_string();
    assert_eq!(print("stem"), stem);
    for (name, end) in [
        ("privateKey", "_pkcs.key"),
        ("publicKey", "_pkcs.cert"),
        ("statusFile", "_status.dat"),
        ("pidFile", "_proc.pid"),
    ] {
        assert_eq!(print(name), format!("{stem}{end}"));
    }
    assert_eq!((print("pid"), print("splunkstatus")), ("-1".into(), "status_id=0 status=\"Stopped\"".into()));
    configure(&["--bookmark", "now"]);
    let text = fs::read_to_string(format!("{stem}_bookmark.dat")).unwrap();
    assert!(serde_json::from_str::<Value>(&text).unwrap()["1"].is_u64(), "a whole second: {text}");
    let text = fs::read_to_string(folder.join("estreamer.conf")).unwrap();
    assert!(text.starts_with("{\n    \"alwaysAttemptToContinue\": false,\n"), "sorted, four blanks: {text}");
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["conditions"], json!(["splunk"]));
    assert_eq!(document["logging"]["stdOut"], json!(false));
    assert_eq!(document["handler"]["records"]["packets"], json!(false));
    assert_eq!(document["start@comment"], "0 for genesis, 1 for now, 2 for bookmark", "comments stay");
}
