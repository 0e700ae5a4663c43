//! A Unix stream socket on which Suricata connects (`filetype: unix_stream`).
//!
//! A thread reads from it and puts whole lines into the [`spool`], from where the sensor takes them.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::follow::Found;
use super::lines::{Cut, Lines};
use super::place::Place;
use super::spool::{self, Reader, TOO_LONG, Writer};

/// The most connections at once.
const MAX_CONNECTIONS: usize = 16;

/// How long the thread waits for something to read before it looks at other things.
const TURN: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Time between tries at a spool that cannot be written.
const RETRY: Duration = Duration::from_secs(1);

/// How long the thread reads what is there when the sensor ends.
const LAST: Duration = Duration::from_secs(1);

/// Whether a path is a socket.
pub(super) fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
}

/// Listens, and gives what those who connect have said.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    reader: Reader,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Socket {
    /// Makes the socket. One that nobody listens on any more is taken over. What was read from it before and is not
    /// committed, at `place`, comes first.
    pub(super) fn open(path: &Path, spool: &Path, place: Option<&Place>) -> io::Result<Socket> {
        if is_socket(path) {
            if UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(ErrorKind::AddrInUse, "another program listens on it"));
            }
            fs::remove_file(path)?;
        }
        let (writer, reader) = spool::open(spool, place)?;
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
        listener.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let intake = Intake {
            path: path.to_owned(),
            listener,
            connections: Vec::new(),
            writer,
            stop: stop.clone(),
            full: false,
        };
        let thread = thread::Builder::new().name("eve socket".into()).spawn(move || intake.run())?;
        Ok(Socket { path: path.to_owned(), reader, stop, thread: Some(thread) })
    }

    /// Looks for the next line.
    pub(super) fn poll(&mut self) -> io::Result<Found> {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Err(io::Error::other("the thread that reads from it has ended"));
        }
        Ok(match self.reader.next()? {
            false => Found::Nothing,
            true if self.reader.line().is_none() => Found::TooLong,
            true => Found::Line,
        })
    }

    /// The line that was found last.
    pub(super) fn line(&self) -> &[u8] {
        self.reader.line().unwrap_or_default()
    }

    /// The place behind it.
    pub(super) fn place(&self) -> Place {
        self.reader.place()
    }

    /// The archive has all lines before this place.
    pub(super) fn committed(&mut self, place: &Place) {
        if let Err(error) = self.reader.committed(place) {
            // They are read over at the next start.
            tracing::warn!(%error, "A file of lines that the archive has cannot be deleted.");
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Suricata then knows that nobody listens; if it fails, the next sensor takes the socket over.
        let _ = fs::remove_file(&self.path);
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread has.
struct Intake {
    path: PathBuf,
    listener: UnixListener,
    connections: Vec<(UnixStream, Lines)>,
    writer: Writer,
    stop: Arc<AtomicBool>,
    /// It was said that there is no room.
    full: bool,
}

impl Intake {
    fn run(mut self) {
        let mut batch = Vec::new();
        while !self.stopped() {
            let room = self.has_room();
            match self.wait(room) {
                Ok(()) => {}
                Err(error) => {
                    tracing::error!(%error, "The socket cannot be read. It is tried again every second.");
                    thread::sleep(RETRY);
                }
            }
            if room {
                self.accept();
                self.read(&mut batch);
                self.store(&mut batch);
            }
            let turned = self.writer.turn();
            self.complain(turned);
        }
        // Nothing of what Suricata has handed over already is to be lost.
        let end = Instant::now() + LAST;
        while self.has_room() && Instant::now() < end && self.read(&mut batch) {
            self.store(&mut batch);
        }
        let rest: Vec<_> = std::mem::take(&mut self.connections);
        for (_, lines) in rest {
            last_line(lines, &mut batch);
        }
        self.store(&mut batch);
        let finished = self.writer.finish();
        self.complain(finished);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn has_room(&mut self) -> bool {
        let room = self.writer.has_room();
        if !room && !std::mem::replace(&mut self.full, true) {
            tracing::error!(
                socket = %self.path.display(),
                "The archive takes nothing and what was read waits for it in 256 MiB of files, which are full: nothing more \
                 is read, and Suricata drops what it has to say."
            );
        }
        if room && std::mem::take(&mut self.full) {
            tracing::info!(socket = %self.path.display(), "There is room for more lines again.");
        }
        room
    }

    /// Waits until there is something to do.
    fn wait(&self, room: bool) -> io::Result<()> {
        let mut all = Vec::new();
        if room {
            all.extend(self.connections.iter().map(|(stream, _)| PollFd::new(stream, PollFlags::IN)));
            if self.connections.len() < MAX_CONNECTIONS {
                all.push(PollFd::new(&self.listener, PollFlags::IN));
            }
        }
        match poll(&mut all, Some(&TURN)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn accept(&mut self) {
        while self.connections.len() < MAX_CONNECTIONS {
            match self.listener.accept().and_then(|(stream, _)| stream.set_nonblocking(true).map(|()| stream)) {
                Ok(stream) => {
                    tracing::info!(socket = %self.path.display(), "Suricata has connected.");
                    self.connections.push((stream, Lines::default()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) => {
                    tracing::error!(%error, "A connection on the socket cannot be accepted.");
                    thread::sleep(RETRY);
                    break;
                }
            }
        }
    }

    /// Reads once from each connection; says whether anything came. Whole lines are put into the batch.
    fn read(&mut self, batch: &mut Vec<u8>) -> bool {
        let mut came = false;
        let mut at = 0;
        while let Some((stream, lines)) = self.connections.get_mut(at) {
            let mut ended = false;
            match stream.read(lines.space()) {
                Ok(0) => ended = true,
                Ok(count) => {
                    lines.filled(count);
                    came = true;
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => {
                    tracing::warn!(%error, "A connection on the socket failed; Suricata connects again by itself.");
                    ended = true;
                }
            }
            while let Some(cut) = lines.take() {
                put(lines, cut, batch);
            }
            if ended {
                let (_, lines) = self.connections.swap_remove(at);
                tracing::info!(socket = %self.path.display(), "A connection has ended.");
                came = true;
                last_line(lines, batch);
            } else {
                at += 1;
            }
        }
        came
    }

    /// Puts a batch into the spool. While that fails nothing is read.
    fn store(&mut self, batch: &mut Vec<u8>) {
        let mut said = false;
        while !batch.is_empty() {
            match self.writer.append(batch) {
                Ok(()) => {
                    if said {
                        tracing::info!("What is read from the socket can be written down again.");
                    }
                    batch.clear();
                }
                Err(error) if self.stopped() => {
                    tracing::error!(%error, bytes = batch.len(), "What was read from the socket last is lost.");
                    batch.clear();
                }
                Err(error) => {
                    if !std::mem::replace(&mut said, true) {
                        tracing::error!(
                            %error,
                            "What is read from the socket cannot be written down. It is tried again every second; \
                             meanwhile nothing is read, and Suricata drops what it has to say."
                        );
                    }
                    thread::sleep(RETRY);
                }
            }
        }
    }

    fn complain(&self, done: io::Result<()>) {
        if let Err(error) = done {
            tracing::warn!(%error, socket = %self.path.display(), "The files of lines from the socket cannot be kept well.");
            if !self.stopped() {
                thread::sleep(RETRY);
            }
        }
    }
}

fn put(lines: &Lines, cut: Cut, batch: &mut Vec<u8>) {
    match cut {
        Cut::Line(range) => batch.extend_from_slice(lines.bytes(range)),
        Cut::TooLong => batch.extend_from_slice(TOO_LONG),
    }
    batch.push(b'\n');
}

/// What is left of a connection that has ended is its last line.
fn last_line(mut lines: Lines, batch: &mut Vec<u8>) {
    if let Some(cut) = lines.rest() {
        put(&lines, cut, batch);
    }
}
