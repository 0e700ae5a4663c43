//! Where lines go.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Format;
use super::entry::Entry;
use super::syslog::Syslog;

pub(super) enum Sink {
    Writer(Box<dyn Write + Send>),
    File { path: PathBuf, file: File },
    Syslog(Syslog),
}

impl Sink {
    pub(super) fn file(path: &Path) -> io::Result<Sink> {
        Ok(Sink::File { path: path.to_path_buf(), file: open(path)? })
    }

    /// There is nowhere to report a log that cannot be written.
    pub(super) fn write(&mut self, entry: &Entry, format: Format, host: &str, pid: u32) {
        let line = || {
            let mut line = match format {
                Format::Text => entry.line(host, pid),
                Format::Json => entry.json(host, pid),
            };
            line.push('\n');
            line
        };
        let _ = match self {
            Sink::Writer(writer) => writer.write_all(line().as_bytes()).and_then(|()| writer.flush()),
            Sink::File { file, .. } => file.write_all(line().as_bytes()),
            Sink::Syslog(syslog) => {
                let text = match format {
                    Format::Text => entry.body(),
                    Format::Json => entry.json(host, pid),
                };
                syslog.send(entry.time, entry.level, host, pid, &text);
                Ok(())
            }
        };
    }

    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Sink::File { path, file } = self {
            *file = open(path)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sink::Writer(_) => f.write_str("Writer"),
            Sink::File { path, .. } => f.debug_tuple("File").field(path).finish(),
            Sink::Syslog(syslog) => syslog.fmt(f),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}
