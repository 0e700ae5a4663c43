//! `run/server.sock`: the service says how it is doing and reloads when asked, and answers what came of it.
//!
//! A line of JSON each way: `{"do": "status"}` or `{"do": "reload"}`. The socket is in a folder that only the owner of the
//! home can enter, and has mode 0600.

use super::told::Told;
use serde_json::{Value, json};
use server::Home;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::time::timeout;

/// The longest question and answer, in bytes.
const QUESTION: u64 = 4096;
const ANSWER: u64 = 64 << 20;

/// How long a question may take to come, and an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest path that fits into the address of a socket.
const SHORT: usize = 100;

/// The path of the socket, and a folder that must stay open as long as the path is used: long ones are told by it.
fn path(home: &Home) -> io::Result<(PathBuf, Option<fs::File>)> {
    let run = home.dir().join("run");
    let path = run.join("server.sock");
    if path.as_os_str().len() <= SHORT {
        return Ok((path, None));
    }
    let folder = fs::File::open(run)?;
    Ok((format!("/proc/self/fd/{}/server.sock", folder.as_raw_fd()).into(), Some(folder)))
}

/// Makes the socket. The caller has the lock of the process id, so one that is there is left over.
pub(crate) fn listen(home: &Home) -> io::Result<UnixListener> {
    let (path, _folder) = path(home)?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Removes the socket at the end.
pub(crate) fn remove(home: &Home) {
    if let Ok((path, _folder)) = path(home) {
        // A socket that is left over is removed by the next service.
        let _ = fs::remove_file(path);
    }
}

/// Answers until it is dropped.
pub(crate) async fn serve(listener: UnixListener, told: Arc<Told>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let told = told.clone();
                tokio::spawn(async move {
                    // Who asks and does not wait for the answer has none.
                    let _ = timeout(PATIENCE, answer(stream, told)).await;
                });
            }
            Err(error) => {
                tracing::warn!("A question to the service cannot be taken: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn answer(mut stream: tokio::net::UnixStream, told: Arc<Told>) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    tokio::io::BufReader::new(reader.take(QUESTION)).read_line(&mut line).await?;
    let question: Value = serde_json::from_str(&line).unwrap_or_default();
    // Both look at files.
    let work = move || match question["do"].as_str() {
        Some("status") => told.status(),
        Some("reload") => told.reload(),
        _ => json!({"error": "the question is not understood; ask {\"do\": \"status\"} or {\"do\": \"reload\"}"}),
    };
    let answer = tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?;
    writer.write_all(format!("{answer}\n").as_bytes()).await?;
    writer.shutdown().await
}

/// Asks a running service.
pub(crate) fn ask(home: &Home, what: &str) -> io::Result<Value> {
    let (path, _folder) = path(home)?;
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{}\n", json!({"do": what})).as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream.take(ANSWER)).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it gave no whole answer"))
}
