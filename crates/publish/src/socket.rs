//! Lines of JSON over a Unix socket.
//!
//! What comes is committed when nothing more comes for a moment, or when there is much. After an empty line, and when
//! the other side closes its half, a line of JSON says what has become of the lines since the last answer. While the source
//! is held nothing more is read, so that the other side waits.

use crate::lines::Lines;
use crate::report::Report;
use crate::sources::{Group, Sources};
use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// Connections at the same time; more wait.
const CONNECTIONS: usize = 64;

/// When nothing comes for so long, what came is committed.
const QUIET: Duration = Duration::from_millis(20);

/// Lines committed together at most.
const GROUP: usize = 1000;

/// Bytes of lines committed together at most, but for the last one.
const GROUP_BYTES: usize = 4 << 20;

/// How long the other side may take to read an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Name of the source of all that comes by the socket.
pub(crate) const SOURCE: &str = "socket";

/// Listens at a path, which only this user and its group can use. A socket nobody listens at any more is replaced.
pub(crate) fn bind(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    let left = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if left && std::os::unix::net::UnixStream::connect(path).is_err() {
        fs::remove_file(path)?;
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Takes connections for ever.
pub(crate) async fn serve(sources: Arc<Sources>, listener: UnixListener) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("a connection was not accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let sources = sources.clone();
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection(&sources, stream).await {
                tracing::warn!("a connection to the socket ended: {error}");
            }
        });
    }
}

/// What a piece of the stream holds.
enum Entry {
    Line(u64, Result<Vec<u8>, crate::LineError>),
    /// An empty line: an answer is wanted.
    Answer,
}

async fn connection(sources: &Arc<Sources>, mut stream: UnixStream) -> io::Result<()> {
    let mut lines = Lines::new();
    let mut group = Group::new();
    let mut bytes = 0;
    let mut report = Report::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = match group.is_empty() {
            true => Some(stream.read(&mut buffer).await?),
            false => tokio::time::timeout(QUIET, stream.read(&mut buffer)).await.ok().transpose()?,
        };
        let mut entries = Vec::new();
        let take = |number, line: Result<&[u8], _>| -> Result<(), Infallible> {
            entries.push(match line {
                Ok([]) => Entry::Answer,
                line => Entry::Line(number, line.map(<[u8]>::to_vec)),
            });
            Ok(())
        };
        match read {
            None => publish(sources, &mut group, &mut bytes, &mut report, &mut stream).await?,
            Some(0) => {
                let Ok(()) = lines.finish(take);
                entries.push(Entry::Answer);
            }
            Some(read) => {
                let Ok(()) = lines.push(buffer.get(..read).unwrap_or_default(), take);
            }
        }
        for entry in entries {
            match entry {
                Entry::Line(number, line) => {
                    bytes += line.as_ref().map_or(0, Vec::len);
                    group.push((number, line));
                    if group.len() >= GROUP || bytes >= GROUP_BYTES {
                        publish(sources, &mut group, &mut bytes, &mut report, &mut stream).await?;
                    }
                }
                Entry::Answer => {
                    publish(sources, &mut group, &mut bytes, &mut report, &mut stream).await?;
                    let text = serde_json::to_string(&std::mem::take(&mut report))?;
                    say(&mut stream, &text).await?;
                }
            }
        }
        if read == Some(0) {
            return Ok(());
        }
    }
}

/// Publishes what has come. When that fails the other side is told, and the connection ends.
async fn publish(
    sources: &Arc<Sources>,
    group: &mut Group,
    bytes: &mut usize,
    report: &mut Report,
    stream: &mut UnixStream,
) -> io::Result<()> {
    *bytes = 0;
    if group.is_empty() {
        return Ok(());
    }
    let (sources, lines) = (sources.clone(), std::mem::take(group));
    let outcome = match tokio::task::spawn_blocking(move || sources.publish(SOURCE, lines, true)).await {
        Ok(Ok(more)) => {
            report.add(more);
            return Ok(());
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    let Report { accepted, known, discarded, .. } = *report;
    let text = serde_json::json!({ "error": outcome, "accepted": accepted, "known": known, "discarded": discarded });
    say(stream, &text.to_string()).await?;
    Err(io::Error::other(outcome))
}

async fn say(stream: &mut UnixStream, text: &str) -> io::Result<()> {
    let line = format!("{text}\n");
    match tokio::time::timeout(PATIENCE, stream.write_all(line.as_bytes())).await {
        Ok(written) => written,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "nobody reads the answers")),
    }
}
