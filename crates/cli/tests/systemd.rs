//! What the service manager is told by the service and by sensors.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

use rustix::process::Signal;
use support::{Process, SOON, Site, wait_for};

/// A service manager.
struct Manager {
    socket: UnixDatagram,
    path: String,
}

impl Manager {
    fn new(site: &Site) -> Manager {
        let path = site.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Manager { socket, path: path.to_str().unwrap().to_owned() }
    }

    /// The next message that begins like this.
    fn next(&self, wanted: &str) -> String {
        let begun = Instant::now();
        loop {
            let mut buffer = [0; 4096];
            let length = self.socket.recv(&mut buffer).unwrap_or_else(|e| panic!("{wanted} did not come: {e}"));
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.starts_with(wanted) {
                return text;
            }
            assert!(begun.elapsed() < SOON, "{wanted} did not come");
        }
    }

    /// Takes all that has come; says whether one of them begins like this.
    fn any(&self, wanted: &str) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let mut found = false;
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            found |= buffer[..length].starts_with(wanted.as_bytes());
        }
        self.socket.set_nonblocking(false).unwrap();
        found
    }
}

fn serve(site: &Site, manager: &Manager, watchdog: &str) -> Process {
    let home = site.home();
    let arguments = ["server", "--nodaemon", "--home", &home, "--listen", "127.0.0.1:0"];
    let variables = [("NOTIFY_SOCKET", manager.path.as_str()), ("WATCHDOG_USEC", watchdog)];
    Process::start_with(&site.path("server.log"), &site.path(""), &arguments, &variables)
}

#[test]
fn the_service_tells_of_start_life_reload_and_end() {
    let site = Site::new();
    let manager = Manager::new(&site);
    let mut process = serve(&site, &manager, "600000");
    assert_eq!(manager.next("READY="), "READY=1");
    for _ in 0..3 {
        assert_eq!(manager.next("WATCHDOG="), "WATCHDOG=1");
    }
    assert!(manager.next("STATUS=").starts_with("STATUS=Listening on 127.0.0.1:"));
    process.signal(Signal::HUP);
    let reloading = manager.next("RELOADING=1\nMONOTONIC_USEC=");
    assert!(reloading.rsplit('=').next().unwrap().parse::<u64>().unwrap() > 0);
    manager.next("READY=1");
    // A reload that is rejected ends as well.
    site.settings("max_connections = 0\n");
    site.run(&["manage", "reload", "--home", &site.home()]).failed(1, &["max_connections"]);
    manager.next("RELOADING=1");
    manager.next("READY=1");
    process.signal(Signal::TERM);
    assert_eq!(manager.next("STOPPING="), "STOPPING=1");
    assert!(process.wait().success());
}

#[test]
fn sensors_tell_that_they_are_open_and_that_they_end() {
    let site = Site::new();
    let manager = Manager::new(&site);
    let (home, eve) = (site.home(), site.path("eve.json"));
    fs::write(&eve, "").unwrap();
    let spool = site.path("spool");
    fs::create_dir(&spool).unwrap();
    let (eve, spool, socket) =
        (eve.display().to_string(), spool.display().to_string(), site.path("s").display().to_string());
    for arguments in [
        &["eve", "--device", "3", &eve][..],
        &["unified2", "--device", "4", &spool],
        &["record-json", "--socket", &socket],
        &["simulate", "--rate", "1"],
    ] {
        let all = [&["sensor"], arguments, &["--home", &home]].concat();
        let variables = [("NOTIFY_SOCKET", manager.path.as_str())];
        let mut process = Process::start_with(&site.path("sensor.log"), &site.path(""), &all, &variables);
        manager.next("READY=1");
        manager.next("STATUS=");
        process.signal(Signal::TERM);
        manager.next("STOPPING=1");
        wait_for("its end", || (!process.running()).then_some(()));
    }
    // One that cannot be opened is never ready.
    manager.any("");
    let all = ["sensor", "unified2", "--home", &home, "/no/such/spool", "--once"];
    let variables = [("NOTIFY_SOCKET", manager.path.as_str())];
    let mut process = Process::start_with(&site.path("sensor.log"), &site.path(""), &all, &variables);
    let status = process.wait();
    assert_eq!(manager.any("READY=1"), status.success(), "{}", process.log());
}
