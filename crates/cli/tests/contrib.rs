//! What lies in contrib/: the script with eNcore's words, and the units of systemd.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Daemon, Finished, Site, run};

fn contrib(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contrib").join(name)
}

/// Runs a copy of the script in a folder.
fn script(folder: &Path, name: &str, word: &str, input: &[u8]) -> Finished {
    let place = folder.join(name);
    fs::copy(contrib("encore.sh"), &place).unwrap();
    let mut command = Command::new("sh");
    command.arg(&place).args([word].iter().filter(|w| !w.is_empty())).env("ESTREAMER", env!("CARGO_BIN_EXE_estreamer"));
    run(&mut command, input)
}

#[test]
fn encore_sh_has_the_words_of_encore() {
    let site = Site::new();
    let pkcs12 = site.client("127.0.0.1");
    let server = site.serve(&[]);
    let collector = site.collector("collector", server.address, &pkcs12);
    let folder = &collector.folder;
    let encore = |word: &str| script(folder, "encore.sh", word, b"");
    let splencore = |word: &str| script(folder, "splencore.sh", word, b"");

    assert!(encore("").code == Some(1) && encore("").out.contains("Usage: "));
    assert!(encore("stop").success().contains("Not running"));
    assert_eq!(splencore("stop").success(), "Splencore not running\n");
    assert_eq!(splencore("status").success(), "status_id=0 status=\"Stopped\"\n");
    assert!(encore("test").success().contains("Connection successful"));
    let started = encore("start").success();
    assert!(started.starts_with("Starting \"estreamer collect --config estreamer.conf\". Started. pid="), "{started}");
    let daemon = Daemon(started.trim_end().rsplit_once("pid=").unwrap().1.parse().unwrap());
    assert!(
        encore("start").success().contains("\ncollect") || encore("start").success().contains("is already running.")
    );
    assert_eq!(splencore("status").success(), "status_id=1 status=\"Running\"\n");
    encore("archive").success();
    encore("clean").success();
    assert!(splencore("stop").success().starts_with("Splencore found pid. Terminating "));
    assert!(!daemon.runs());
    // The first run copies the template and asks for the output, then for the host.
    let fresh = site.path("fresh");
    fs::create_dir(&fresh).unwrap();
    let template = include_str!("../../collector/tests/data/default.conf").replace("fmc.example.com", "1.2.3.4");
    fs::write(fresh.join("default.conf"), template).unwrap();
    let first = script(&fresh, "encore.sh", "start", b"3\n");
    first.failed(1, &[]);
    for words in [
        "Would you like to output to (1) Splunk, (2) CEF or (3) JSON?",
        "$.handler.outputters[0].stream.uri",
        "You have not configured your FMC host",
    ] {
        assert!(first.out.contains(words), "{words}: {first:?}");
    }
    let mut configure = Command::new(env!("CARGO_BIN_EXE_estreamer"));
    configure.args(["configure", "estreamer.conf", "--host", "127.0.0.1", "--print", "stream0"]).current_dir(&fresh);
    assert_eq!(run(&mut configure, b"").success(), "relfile:///data/json/encore.{0}.json\n");
    script(&fresh, "encore.sh", "test", b"").failed(1, &["client.pkcs12 does not exist", "Download it"]);
    let cef = script(&fresh, "encore.sh", "setup", b"2\n").success();
    assert!(cef.contains("Set host and port of the receiver"), "{cef}");
    script(&fresh, "encore.sh", "start", b"").failed(1, &["udp://{host}:{port}", "placeholders"]);
    let none = script(&fresh, "encore.sh", "setup", b"9\n");
    assert!(none.code == Some(1) && none.out.contains("No changes made"), "{none:?}");
}

const UNITS: [&str; 4] = [
    "estreamer-collector.service",
    "estreamer-collector@.service",
    "estreamer-server.service",
    "estreamer-sensor@.service",
];

#[test]
fn the_units_of_systemd_are_shut_in() {
    for name in UNITS {
        let unit = contrib("systemd").join(name);
        let text = fs::read_to_string(&unit).unwrap();
        assert!(text.contains("Type=notify"), "{name}");
        assert!(text.contains("WatchdogSec=") || name.contains("sensor"), "{name}");
        let analyzed = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager", "--threshold=20"])
            .arg(&unit)
            .env("SYSTEMD_COLORS", "0")
            .stdin(Stdio::null())
            .output();
        let Ok(analyzed) = analyzed else {
            println!("skipped: there is no systemd-analyze");
            return;
        };
        let said = String::from_utf8_lossy(&analyzed.stdout).into_owned() + &String::from_utf8_lossy(&analyzed.stderr);
        if said.contains("unrecognized option") || said.contains("Unknown option") {
            println!("skipped: systemd-analyze is too old");
            return;
        }
        // Exposure in tenths: above 2.0 it fails.
        assert!(analyzed.status.success(), "{name}: {said}");
        assert!(said.contains("Overall exposure level"), "{name}: {said}");
    }
}

#[test]
fn the_units_of_systemd_are_sound() {
    let folder = tempfile::tempdir().unwrap();
    for name in UNITS {
        // A unit is checked with the programs it starts, and a template under a name.
        let text = fs::read_to_string(contrib("systemd").join(name)).unwrap();
        let unit = folder.path().join(name.replace('@', "@one"));
        fs::write(&unit, text.replace("/usr/bin/estreamer", env!("CARGO_BIN_EXE_estreamer"))).unwrap();
        let verified = Command::new("systemd-analyze").arg("verify").arg(&unit).stdin(Stdio::null()).output();
        let Ok(verified) = verified else {
            println!("skipped: there is no systemd-analyze");
            return;
        };
        let said = String::from_utf8_lossy(&verified.stderr);
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("estreamer-")).collect();
        assert!(verified.status.success() && ours.is_empty(), "{name}: {said}");
    }
}
