//! Copies of complete files on another host, by the system's `scp`: keys, known hosts, proxies and whatever else are as
//! `ssh` knows them for the user who runs this. Nothing is ever asked (`BatchMode`), and the key of a host must be known.
//!
//! Files go to hidden names (`.NAME.part`) and are renamed when all of them are there: by `mv` in an `ssh`, or where no
//! commands are allowed by `sftp`. Where neither is possible they get their names at once, and a reader there may see half
//! a file. A file is copied at least once: after a crash between copy and deletion it is copied again, under the same
//! name. Collectors on several hosts need names or folders of their own.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use thiserror::Error;

/// Bytes of what a program says that are kept.
const SAID: usize = 1000;

/// A folder on another host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remote {
    /// Name there; `None` as the configuration of `ssh` says.
    pub user: Option<String>,
    /// Name or address of the host; an IPv6 address without brackets.
    pub host: String,
    /// TCP port; `None` as the configuration of `ssh` says, which is 22.
    pub port: Option<u16>,
    /// The folder, which must exist there. Without a leading slash it is relative to the home folder of the user; empty for
    /// that itself. Letters, digits and `._-+=,@/`.
    pub folder: String,
    /// File with the private key, without a passphrase; `None` as the configuration of `ssh` says.
    pub key: Option<PathBuf>,
    /// Configuration file of `ssh` in place of the user's.
    pub config: Option<PathBuf>,
}

/// Copies files to a [`Remote`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scp {
    remote: Remote,
    programs: Programs,
}

/// Paths of programs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Programs {
    scp: PathBuf,
    ssh: PathBuf,
    sftp: PathBuf,
}

/// Why files cannot be copied.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScpError {
    /// A program is not there.
    #[error(
        "{program} is not installed, or not in PATH; install the OpenSSH client (package openssh-client or openssh-clients)"
    )]
    Missing {
        /// Its name.
        program: &'static str,
    },
    /// The key cannot be read.
    #[error("the key {} cannot be read: {source}; scpKeyFilepath names a private key that this user may read", path.display())]
    Key {
        /// The key file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Something a shell or `scp` would understand in another way.
    #[error("{what} {text:?} {problem}")]
    Text {
        /// Host, user or folder.
        what: &'static str,
        /// What it is.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The copy or the renaming failed.
    #[error("cannot copy to {target}: {said}{}", remedy(said))]
    Failed {
        /// User, host and folder.
        target: String,
        /// What the program said.
        said: String,
    },
    /// Something failed here.
    #[error("cannot {action} {}: {source}", path.display())]
    Local {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl FromStr for Remote {
    type Err = ScpError;

    /// `user@host:port/folder`, as it stands behind `scp://`; user and port may be missing. `/:folder` and `:folder` are
    /// relative to the home folder. An IPv6 address is in brackets.
    fn from_str(text: &str) -> Result<Remote, ScpError> {
        let wrong = |problem| ScpError::Text { what: "the target", text: text.to_owned(), problem };
        let (user, rest) = match text.split_once('/').map_or(text, |(before, _)| before).rfind('@') {
            Some(at) => (text.get(..at), text.get(at + 1..).unwrap_or_default()),
            None => (None, text),
        };
        if let Some((user, _)) = user.and_then(|user| user.split_once(':')) {
            // A password must not get into a log.
            let problem = "is followed by a password; use a key (scpKeyFilepath) in its place";
            return Err(ScpError::Text { what: "the user", text: user.to_owned(), problem });
        }
        let (host, rest) = match rest.strip_prefix('[') {
            Some(inside) => inside.split_once(']').ok_or_else(|| wrong("has a bracket that is not closed"))?,
            None => rest.split_at(rest.find([':', '/']).unwrap_or(rest.len())),
        };
        let digits = rest.strip_prefix(':').map_or(0, |r| r.bytes().take_while(u8::is_ascii_digit).count());
        let (port, folder) = match rest.get(1..=digits).filter(|_| digits > 0) {
            Some(port) if matches!(rest.as_bytes().get(digits + 1), None | Some(b':' | b'/')) => {
                let port = port.parse().ok().filter(|port| *port > 0);
                let port: u16 = port.ok_or_else(|| wrong("has no TCP port from 1 to 65535"))?;
                (Some(port), rest.get(digits + 1..).unwrap_or_default())
            }
            _ => (None, rest),
        };
        let folder = match folder.strip_prefix("/:") {
            Some(relative) => relative,
            None => folder.strip_prefix(':').unwrap_or(folder),
        };
        let folder = if folder == "/" { folder } else { folder.trim_end_matches('/') };
        let remote = Remote {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
            folder: folder.to_owned(),
            ..Remote::default()
        };
        remote.check()?;
        Ok(remote)
    }
}

impl Remote {
    /// A folder name that no other remote has, for the files that wait.
    pub fn label(&self) -> String {
        let user = self.user.as_deref().map_or(String::new(), |user| format!("{user}@"));
        let port = self.port.map_or(String::new(), |port| format!("%{port}"));
        format!("{user}{}{port}%%{}", self.host.replace(':', "-"), self.folder.replace('/', "%"))
    }

    fn check(&self) -> Result<(), ScpError> {
        let fail = |what, text: &str, problem| Err(ScpError::Text { what, text: text.to_owned(), problem });
        if self.host.is_empty() {
            return fail("the host", &self.host, "is missing; write scp://user@host/folder/name{0}.json");
        }
        let address = self.host.contains(':');
        let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b) || (address && b":%".contains(&b));
        if !self.host.bytes().all(good) || self.host.starts_with('-') {
            return fail("the host", &self.host, "is neither a host name nor an IP address");
        }
        if let Some(user) = &self.user {
            let good = |b: u8| b.is_ascii_alphanumeric() || b"._-$".contains(&b);
            if user.is_empty() || !user.bytes().all(good) || user.starts_with('-') {
                return fail("the user", user, "may have letters, digits and ._-$ only");
            }
        }
        plain("the remote folder", &self.folder)
    }

    /// Where a file of this name is, in words that neither a shell nor `scp` takes for something else.
    fn place(&self, name: &str) -> String {
        match self.folder.trim_end_matches('/') {
            "" if self.folder.is_empty() => format!("./{name}"),
            folder if folder.starts_with('/') || folder.is_empty() => format!("{folder}/{name}"),
            folder => format!("./{folder}/{name}"),
        }
    }
}

/// Old versions of `scp` give remote names to a shell and new ones do not: what both take for the same is allowed.
fn plain(what: &'static str, text: &str) -> Result<(), ScpError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-+=,@/".contains(&b);
    match text.bytes().all(good) {
        true => Ok(()),
        false => {
            let problem = "may have letters, digits and ._-+=,@/ only";
            Err(ScpError::Text { what, text: text.to_owned(), problem })
        }
    }
}

impl Scp {
    /// Looks whether all that is needed is there. `name` is that of the files, with `{0}`.
    pub fn new(remote: Remote, name: &str) -> Result<Scp, ScpError> {
        remote.check()?;
        plain("the file name", &name.replace("{0}", ""))?;
        if let Some(key) = &remote.key {
            let readable = fs::File::open(key).and_then(|mut file| file.read(&mut [0]));
            readable.map_err(|source| ScpError::Key { path: key.clone(), source })?;
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let find = |program| find(&path, program);
        Ok(Scp { programs: Programs { scp: find("scp")?, ssh: find("ssh")?, sftp: find("sftp")? }, remote })
    }
}

fn find(path: &OsStr, program: &'static str) -> Result<PathBuf, ScpError> {
    let mut places = std::env::split_paths(path).map(|folder| folder.join(program));
    places.find(|path| path.is_file()).ok_or(ScpError::Missing { program })
}

/// How files get their names there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rename {
    Shell,
    Sftp,
    Not,
}

/// A [`Scp`] at work: it remembers what the other host allows.
#[derive(Debug)]
pub(crate) struct Session {
    scp: Scp,
    rename: Rename,
}

/// How a program ended that did not succeed.
struct Failure {
    /// It is the connection that failed.
    connection: bool,
    said: String,
}

impl Session {
    pub(crate) fn new(scp: Scp) -> Session {
        Session { scp, rename: Rename::Shell }
    }

    /// User, host and folder.
    pub(crate) fn describe(&self) -> String {
        let Remote { user, host, folder, .. } = &self.scp.remote;
        match user {
            Some(user) => format!("{user}@{host}:{folder}"),
            None => format!("{host}:{folder}"),
        }
    }

    /// Copies files, all or none as far as this can know. `local` is a folder for a helping folder.
    pub(crate) fn copy(&mut self, local: &Path, files: &[&Path], stop: &AtomicBool) -> Result<(), ScpError> {
        let names: Vec<&str> = files.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        let fail = |s: &Session, f: Failure| ScpError::Failed { target: s.describe(), said: f.said };
        if self.rename != Rename::Not {
            // Links carry the names that the files are to have there at first.
            let stage = local.join(".scp");
            let sources = self.stage(&stage, files, &names)?;
            let sent = self.send(&sources, stop);
            let _ = fs::remove_dir_all(&stage);
            sent.map_err(|f| fail(self, f))?;
            let refused = match self.name(self.rename, &names, stop) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            if self.rename == Rename::Shell {
                match self.name(Rename::Sftp, &names, stop) {
                    Ok(()) => {
                        tracing::debug!(target = self.describe(), "no commands are allowed there; sftp renames");
                        self.rename = Rename::Sftp;
                        return Ok(());
                    }
                    Err(f) if f.connection => return Err(fail(self, refused)),
                    Err(_) => {}
                }
            } else if refused.connection {
                return Err(fail(self, refused));
            }
            self.send(files, stop).map_err(|f| fail(self, f))?;
            tracing::warn!(
                target = self.describe(),
                said = refused.said,
                "files cannot be renamed there: from now on a reader there may see one that is not complete"
            );
            self.rename = Rename::Not;
            return Ok(());
        }
        self.send(files, stop).map_err(|f| fail(self, f))
    }

    fn stage(&self, stage: &Path, files: &[&Path], names: &[&str]) -> Result<Vec<PathBuf>, ScpError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| ScpError::Local { action, path, source }
        };
        if stage.symlink_metadata().is_ok() {
            fs::remove_dir_all(stage).map_err(failed("empty", stage))?;
        }
        fs::create_dir(stage).map_err(failed("create", stage))?;
        files
            .iter()
            .zip(names)
            .map(|(file, name)| {
                let link = stage.join(hidden(name));
                std::os::unix::fs::symlink(file, &link).map_err(failed("create", &link))?;
                Ok(link)
            })
            .collect()
    }

    /// Sends files under the names they have here.
    fn send<P: AsRef<Path>>(&self, files: &[P], stop: &AtomicBool) -> Result<(), Failure> {
        let mut command = self.command(&self.scp.programs.scp);
        command.arg("--").args(files.iter().map(|f| f.as_ref().as_os_str()));
        command.arg(format!("{}:{}", self.host_in_brackets(), self.scp.remote.place("")));
        run(command, "", stop)
    }

    fn name(&self, how: Rename, names: &[&str], stop: &AtomicBool) -> Result<(), Failure> {
        let place = |name: &str| self.scp.remote.place(name);
        let pairs = names.iter().map(|name| (place(&hidden(name)), place(name)));
        if how == Rename::Shell {
            let mut command = self.command(&self.scp.programs.ssh);
            let moves: Vec<String> = pairs.map(|(from, to)| format!("mv -f {from} {to}")).collect();
            command.arg("-T").arg("--").arg(&self.scp.remote.host).arg(moves.join(" && "));
            return run(command, "", stop);
        }
        let mut command = self.command(&self.scp.programs.sftp);
        command.args(["-b", "-", "--"]).arg(self.host_in_brackets());
        let mut batch = String::new();
        for (from, to) in pairs {
            let _ = writeln!(batch, "rename {from} {to}");
        }
        run(command, &batch, stop)
    }

    fn host_in_brackets(&self) -> String {
        let host = &self.scp.remote.host;
        if host.contains(':') { format!("[{host}]") } else { host.clone() }
    }

    /// A program with the options that `scp`, `ssh` and `sftp` have in common.
    fn command(&self, program: &Path) -> Command {
        let Remote { user, port, key, config, .. } = &self.scp.remote;
        let mut command = Command::new(program);
        if let Some(config) = config {
            command.arg("-F").arg(config);
        }
        // Nothing is asked, and a connection that hangs ends.
        for option in ["BatchMode=yes", "ConnectTimeout=30", "ServerAliveInterval=15", "ServerAliveCountMax=4"] {
            command.args(["-o", option]);
        }
        if let Some(user) = user {
            command.arg("-o").arg(format!("User={user}"));
        }
        if let Some(port) = port {
            command.arg("-o").arg(format!("Port={port}"));
        }
        if let Some(key) = key {
            command.arg("-i").arg(key);
        }
        command
    }
}

fn hidden(name: &str) -> String {
    format!(".{name}.part")
}

/// Runs a program to its end, or until told to stop.
fn run(mut command: Command, input: &str, stop: &AtomicBool) -> Result<(), Failure> {
    let here = |e: io::Error| Failure { connection: true, said: e.to_string() };
    // A group of its own: a signal from the terminal is for the collector, which ends what it began.
    command.env("LC_ALL", "C").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    if stop.load(Ordering::Relaxed) {
        return Err(Failure { connection: true, said: "stopped".into() });
    }
    let program = Path::new(command.get_program()).display().to_string();
    let mut child = command.spawn().map_err(|e| Failure { connection: true, said: format!("{program}: {e}") })?;
    let (tell, said) = mpsc::channel();
    if let Some(stderr) = child.stderr.take() {
        std::thread::spawn(move || tell.send(listen(stderr)));
    }
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ended says why in another way.
        let _ = stdin.write_all(input.as_bytes());
    }
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if !stop.load(Ordering::Relaxed) => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                end(&mut child);
                return Err(Failure { connection: true, said: "stopped".into() });
            }
            Err(e) => {
                end(&mut child);
                return Err(here(e));
            }
        }
    };
    if status.success() {
        return Ok(());
    }
    // A connection that `ssh` keeps for others (ControlPersist) keeps this open as well.
    let said = said.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
    let said = if said.is_empty() { format!("{program} ended with {status}") } else { said };
    Err(Failure { connection: status.code().is_none_or(|code| code == 255), said })
}

fn end(child: &mut Child) {
    // Before it is waited for its number cannot be that of another.
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
}

/// The last lines a program says, in one.
fn listen(mut from: impl Read) -> String {
    let (mut said, mut chunk) = (Vec::new(), [0; 512]);
    while let Ok(n @ 1..) = from.read(&mut chunk) {
        said.extend_from_slice(chunk.get(..n).unwrap_or_default());
        said.drain(..said.len().saturating_sub(SAID));
    }
    let said = String::from_utf8_lossy(&said);
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('@'));
    let text: Vec<&str> = lines.collect();
    text.join("; ").replace(|c: char| c.is_control(), " ")
}

fn remedy(said: &str) -> &'static str {
    for (words, remedy) in [
        (
            "Host key verification failed",
            "; the key of that host is not known, or has changed: connect once by hand as the user who runs this",
        ),
        (
            "Permission denied (",
            "; the host does not accept this user's key: put the public key into authorized_keys there, and name the \
             private one by scpKeyFilepath",
        ),
        ("No such file or directory", "; the folder must exist there"),
        ("Not a directory", "; the folder must exist there"),
    ] {
        if said.contains(words) {
            return remedy;
        }
    }
    ""
}

#[cfg(test)]
mod tests;
