//! Standard output: for pipes. At least once, as a pipe cannot be cut off.

use crate::destination::{Destination, Error};
use std::io::{self, Write};
use std::time::Duration;

/// Bytes kept back before they are written.
const BUFFER: usize = 64 * 1024;

/// Lines to standard output, or to another stream.
#[derive(Debug)]
pub struct Stdout<W = io::Stdout> {
    stream: W,
    buffer: Vec<u8>,
}

impl Stdout {
    /// Standard output.
    pub fn new() -> Self {
        Stdout::to(io::stdout())
    }
}

impl Default for Stdout {
    fn default() -> Self {
        Stdout::new()
    }
}

impl<W: Write> Stdout<W> {
    /// Another stream in place of standard output.
    pub fn to(stream: W) -> Self {
        Stdout { stream, buffer: Vec::new() }
    }

    /// Writes the buffer; what could not be written stays there.
    fn flush(&mut self) -> Result<(), Error> {
        let mut done = 0;
        let result = loop {
            let left = self.buffer.get(done..).unwrap_or_default();
            if left.is_empty() {
                break self.stream.flush();
            }
            match self.stream.write(left) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Another program made the terminal or pipe non-blocking.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(5)),
                Err(e) => break Err(e),
            }
        };
        self.buffer.drain(..done.min(self.buffer.len()));
        let target = || "standard output".to_owned();
        result.map_err(|source| match source.kind() {
            io::ErrorKind::BrokenPipe => Error::Closed { target: target() },
            _ => Error::Write { target: target(), source },
        })
    }
}

impl<W: Write + Send> Destination for Stdout<W> {
    fn describe(&self) -> String {
        "standard output".to_owned()
    }

    fn room(&self) -> usize {
        usize::MAX
    }

    fn write(&mut self, bytes: &[u8], _lines: usize) -> Result<(), Error> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.flush()
    }

    fn state(&self) -> String {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn lines_arrive_at_sync() {
        let mut out = Stdout::to(Vec::new());
        assert_eq!((out.room(), out.state().as_str()), (usize::MAX, ""));
        out.write(b"one\n", 1).unwrap();
        out.write(b"two\nthree\n", 2).unwrap();
        assert!(out.stream.is_empty());
        out.sync().unwrap();
        assert_eq!(out.stream, b"one\ntwo\nthree\n");
        out.write(&[b'x'; 2 * BUFFER], 1).unwrap();
        out.write(b"\n", 1).unwrap();
        out.sync().unwrap();
        assert_eq!(out.stream.len(), 14 + 2 * BUFFER + 1);
    }

    #[test]
    fn a_reader_that_has_gone_is_an_error_of_its_own() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut out = Stdout::to(ours);
        drop(theirs);
        out.write(b"one\n", 1).unwrap();
        let error = out.sync().unwrap_err();
        assert!(error.closed() && !error.rewound(), "{error}");
    }

    #[test]
    fn a_slow_reader_of_a_non_blocking_stream_gets_everything() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let reader = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).map(|_| got)
        });
        let mut out = Stdout::to(ours);
        let line = [&[b'x'; 999_999][..], b"\n"].concat();
        out.write(&line, 1).unwrap();
        out.sync().unwrap();
        drop(out);
        assert!(reader.join().unwrap().unwrap() == line);
    }

    #[test]
    fn after_an_error_nothing_is_written_twice() {
        /// Takes three bytes, fails once, then takes everything.
        struct Flaky(Vec<u8>, u8);
        impl Write for Flaky {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1 += 1;
                let n = match self.1 {
                    1 => 3,
                    2 => return Err(io::ErrorKind::StorageFull.into()),
                    _ => bytes.len(),
                };
                self.0.extend_from_slice(&bytes[..n]);
                Ok(n)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = Stdout::to(Flaky(Vec::new(), 0));
        out.write(b"one\ntwo\n", 2).unwrap();
        assert!(out.sync().is_err());
        out.sync().unwrap();
        assert_eq!(out.stream.0, b"one\ntwo\n");
    }
}
