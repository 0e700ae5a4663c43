//! A Unix stream socket on which Suricata connects (`filetype: unix_stream`).

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::follow::Found;
use super::lines::{Cut, Lines};

/// The most connections at once.
const MAX_CONNECTIONS: usize = 16;

/// Whether a path is a socket.
pub(super) fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
}

/// Listens, and reads from whoever connects.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    listener: UnixListener,
    connections: Vec<(UnixStream, Lines)>,
    /// The connection that is looked at next, and the line found last in it.
    turn: usize,
    line: Option<(usize, std::ops::Range<usize>)>,
    /// What remained of a connection that has ended.
    last: Vec<u8>,
}

impl Socket {
    /// Makes the socket. One that nobody listens on any more is taken over.
    pub(super) fn open(path: &Path) -> io::Result<Socket> {
        if is_socket(path) {
            if UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(ErrorKind::AddrInUse, "another program listens on it"));
            }
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Socket { path: path.to_owned(), listener, connections: Vec::new(), turn: 0, line: None, last: Vec::new() })
    }

    /// Looks for the next line, in all connections in turn.
    pub(super) fn poll(&mut self) -> io::Result<Found> {
        self.line = None;
        self.accept()?;
        let mut idle = 0;
        while idle < self.connections.len() {
            let at = self.turn % self.connections.len();
            let Some((stream, lines)) = self.connections.get_mut(at) else { break };
            match lines.take() {
                Some(Cut::Line(range)) => {
                    self.line = Some((at, range));
                    return Ok(Found::Line);
                }
                Some(Cut::TooLong) => return Ok(Found::TooLong),
                None => {}
            }
            match stream.read(lines.space()) {
                Ok(0) => return Ok(self.end(at)),
                Ok(count) => {
                    lines.filled(count);
                    idle = 0;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    idle += 1;
                    self.turn = at + 1;
                }
                Err(error) => {
                    tracing::warn!(%error, "A connection on the socket failed; Suricata connects again by itself.");
                    return Ok(self.end(at));
                }
            }
        }
        Ok(Found::Nothing)
    }

    /// The line that was found last.
    pub(super) fn line(&self) -> &[u8] {
        match &self.line {
            Some((at, range)) => self.connections.get(*at).map_or(&[], |(_, lines)| lines.bytes(range.clone())),
            None => &self.last,
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        while self.connections.len() < MAX_CONNECTIONS {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    tracing::info!(socket = %self.path.display(), "Suricata has connected.");
                    self.connections.push((stream, Lines::default()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A connection has ended: what is left in it is its last line.
    fn end(&mut self, at: usize) -> Found {
        let (_, mut lines) = self.connections.swap_remove(at);
        tracing::info!(socket = %self.path.display(), "A connection has ended.");
        match lines.rest() {
            Some(Cut::Line(range)) => {
                self.last = lines.bytes(range).to_vec();
                Found::Line
            }
            Some(Cut::TooLong) => Found::TooLong,
            // There may be more in the others.
            None => {
                self.last.clear();
                Found::Ended
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Suricata then knows that nobody listens; if it fails, the next sensor takes the socket over.
        let _ = fs::remove_file(&self.path);
    }
}
