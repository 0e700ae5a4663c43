//! `kill -9` at any moment: every line arrives, in order, and only what was under way comes twice.

#![allow(clippy::unwrap_used, clippy::expect_used)] // Tests may fail loudly.

mod support;

use outputs::sender;
use outputs::transport::stream::{self, Stream};
use outputs::transport::syslog::Message;
use outputs::{Destination, Remote};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{duplicates, line, lines, ms, quick, spool_settings, wait};
use tempfile::TempDir;

const FOLDER: &str = "OUTPUTS_TEST_FOLDER";
const PORT: &str = "OUTPUTS_TEST_PORT";
const LINES: usize = 4000;
const DOUBT: Duration = Duration::from_millis(50);

/// Position and state, replaced in one step: the collector's checkpoint.
fn checkpoint(folder: &Path, written: usize, state: &str) {
    let new = folder.join("checkpoint.new");
    fs::write(&new, format!("{written} {state}")).unwrap();
    fs::rename(new, folder.join("checkpoint")).unwrap();
}

/// The process that is killed. As a test of its own it does nothing.
#[test]
fn child() {
    let (Ok(folder), Ok(port)) = (std::env::var(FOLDER), std::env::var(PORT)) else { return };
    let folder = PathBuf::from(folder);
    let stored = fs::read_to_string(folder.join("checkpoint")).ok();
    let (mut written, state) = match stored.as_deref().and_then(|text| text.split_once(' ')) {
        Some((written, state)) => (written.parse().unwrap(), Some(state)),
        None => (0, None),
    };
    let to = format!("127.0.0.1:{port}").parse().unwrap();
    let settings = stream::Settings { doubt: DOUBT, ..stream::Settings::new(to, Message::Plain) };
    let transport = Box::new(Stream::new(settings).unwrap());
    let settings = sender::Settings { lines: 100, ..quick() };
    let mut to = Remote::open("test", spool_settings(&folder.join("spool")), settings, transport, state).unwrap();
    // Should nobody kill it, it ends.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        for _ in 0..20 {
            if to.room() == 0 || written == LINES {
                break;
            }
            to.write(format!("{}\n", line(written)).as_bytes(), 1).unwrap();
            written += 1;
        }
        to.sync().unwrap();
        let state = to.state();
        checkpoint(&folder, written, &state);
        to.stored(&state);
        if written == LINES && to.metrics().counts().pending == 0 {
            return;
        }
        std::thread::sleep(ms(10));
    }
}

#[test]
fn a_killed_process_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let got = Arc::new(Mutex::new(Vec::new()));
    let received = Arc::clone(&got);
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let mut socket = BufReader::new(socket);
            let mut text = String::new();
            while socket.read_line(&mut text).unwrap_or(0) > 0 {
                // What was cut off by the kill is no line.
                if let Some(line) = text.strip_suffix('\n') {
                    received.lock().unwrap().push((Instant::now(), line.to_owned()));
                }
                text.clear();
            }
        }
    });
    let start = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--nocapture"]).env(FOLDER, folder.path()).env(PORT, port.to_string());
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let received = || got.lock().unwrap().len();
    // How many lines had come at each kill, and when it was.
    let mut kills = Vec::new();
    for more in [1, 60, 300, 2000, 20] {
        let mut child = start();
        let enough = received() + more;
        wait("receiving", || received() >= enough || child.try_wait().unwrap().is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        let time = Instant::now();
        // Until the connection has been read to its end.
        let mut before = usize::MAX;
        wait("the end", || {
            std::thread::sleep(ms(30));
            std::mem::replace(&mut before, received()) == received()
        });
        kills.push((received(), time));
    }
    assert!(start().wait().unwrap().success());
    std::thread::sleep(ms(50));
    let got = got.lock().unwrap().clone();
    let texts: Vec<String> = got.iter().map(|(_, line)| line.clone()).collect();
    let again = duplicates(&texts, &lines(0..LINES));
    // What may come twice: all that was in doubt, with some time for a slow machine.
    let window = DOUBT + ms(1500);
    let recent = |(count, time): &(usize, Instant)| {
        got[..*count].iter().filter(|(at, _)| time.saturating_duration_since(*at) <= window).count()
    };
    let most: usize = kills.iter().map(recent).sum();
    println!("{again} of {LINES} lines came twice, {most} might have");
    assert!(again <= most, "{again} of {most}");
}
