//! What systemd is told (`sd_notify`): lines of `KEY=VALUE` to the socket it names.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The service manager, if there is one.
#[derive(Debug)]
pub(crate) struct Notify {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// As the environment of this process says.
    pub(crate) fn from_environment() -> Notify {
        let to = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()).and_then(|path| {
            match open(path.as_bytes()) {
                Ok(to) => Some(to),
                Err(error) => {
                    tracing::warn!("the service manager cannot be told anything: {error}");
                    None
                }
            }
        });
        // A watchdog that waits for another process is none of ours.
        let ours = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let time = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok());
        let watchdog = time.filter(|usec| *usec > 0 && ours && to.is_some()).map(Duration::from_micros);
        Notify { to, watchdog }
    }

    /// How long the watchdog waits for a sign of life.
    pub(crate) fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// It is up.
    pub(crate) fn ready(&self) {
        self.send("READY=1");
    }

    /// Whether there is a service manager that listens.
    pub(crate) fn is_there(&self) -> bool {
        self.to.is_some()
    }

    /// It reads its settings again; [`ready`](Self::ready) ends that.
    pub(crate) fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1000));
    }

    /// It ends.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// It lives.
    pub(crate) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// What it does, in a line.
    pub(crate) fn status(&self, text: &str) {
        self.send(&format!("STATUS={}", text.replace('\n', " ")));
    }

    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.to {
            // A manager that takes nothing now asks again by its watchdog; nobody must wait for it.
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }
}

fn open(path: &[u8]) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match path.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}
