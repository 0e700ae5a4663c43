//! What a running service tells of itself, and what it does when asked.

use super::notify::Notify;
use admin::{Admin, Presence};
use serde_json::{Value, json};
use server::{Handle, Home};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// What is known of this service.
pub(crate) struct Told {
    pub(crate) handle: Handle,
    pub(crate) home: Home,
    pub(crate) notify: Notify,
    /// The options of the command line.
    pub(crate) options: Vec<String>,
    /// It runs in the background by itself.
    pub(crate) background: bool,
    /// Where the log goes, in words.
    pub(crate) log: String,
    /// The administration page, or why there can be none.
    pub(crate) admin: Result<Admin, String>,
    begun: u64,
    /// What the last reload came to.
    reload: Mutex<Option<Value>>,
}

impl Told {
    pub(crate) fn new(handle: Handle, home: Home, notify: Notify) -> Told {
        Told {
            handle,
            home,
            notify,
            options: Vec::new(),
            background: false,
            log: String::new(),
            admin: Err("it was not started".into()),
            begun: now(),
            reload: Mutex::default(),
        }
    }

    /// How the service is doing.
    pub(crate) fn status(&self) -> Value {
        let stats = self.handle.stats();
        let addresses: Vec<String> = self.handle.local_addresses().iter().map(ToString::to_string).collect();
        let sessions: Vec<Value> = stats
            .sessions
            .iter()
            .map(|s| {
                json!({
                    "number": s.number, "client": s.name, "peer": s.peer.to_string(), "connected": seconds(s.connected),
                    "state": s.state.word(), "request": s.request, "second": s.second, "lag_seconds": s.lag,
                    "records": s.records, "bytes": s.bytes, "pending_bytes": s.pending,
                })
            })
            .collect();
        json!({
            "pid": std::process::id(),
            "version": env!("CARGO_PKG_VERSION"),
            "started": self.begun,
            "listen": addresses,
            "options": self.options,
            "background": self.background,
            "unit": unit(),
            "log": self.log,
            "administration": self.administration(),
            "accepted": stats.accepted,
            "refused": stats.refused,
            "sessions": sessions,
            "reload": *self.last(),
        })
    }

    /// Where the administration page is, or why it is off.
    fn administration(&self) -> Value {
        match self.admin.as_ref().map(Admin::presence) {
            Ok(Presence::Listening(addresses)) => {
                let urls: Vec<String> = addresses.iter().map(|address| format!("https://{address}/")).collect();
                json!({"urls": urls, "off": null})
            }
            Ok(Presence::Off(why)) => json!({"urls": [], "off": why}),
            Err(why) => json!({"urls": [], "off": why}),
        }
    }

    /// Reads settings and certificates again, for a signal or a question, and says what came of it.
    pub(crate) fn reload(&self) -> Value {
        // One after the other.
        let mut last = self.last();
        self.notify.reloading();
        let mut came = match self.handle.reload() {
            Ok(done) => json!({"restart_needed": done.restart_needed, "log_failed": done.log_failed}),
            Err(error) => {
                tracing::error!("{error}. The old settings stay in force");
                json!({"error": error.to_string()})
            }
        };
        came["time"] = now().into();
        self.notify.ready();
        *last = Some(came.clone());
        came
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<Value>> {
        self.reload.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The unit of systemd that runs this process, if one does.
fn unit() -> Option<String> {
    let own = std::env::var("SYSTEMD_EXEC_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    let notified = std::env::var_os("NOTIFY_SOCKET").is_some_and(|path| !path.is_empty());
    if !own && !notified {
        return None;
    }
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let last = |line: &str| line.rsplit('/').next().filter(|n| n.ends_with(".service")).map(str::to_owned);
    Some(groups.lines().find_map(last).unwrap_or_else(|| "a unit".to_owned()))
}

fn now() -> u64 {
    seconds(SystemTime::now())
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
