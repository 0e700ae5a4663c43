//! Receivers in the test process, and what they have received.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Process, wait_for, wait_for_all};

/// The id of an event line of `handler.eventUids` in JSON.
pub fn uid(line: &[u8]) -> u128 {
    const NAME: &[u8] = b"\"eventUid\": \"";
    // It is near the end.
    let at = (0..line.len().saturating_sub(NAME.len())).rev().find(|at| line[*at..].starts_with(NAME));
    let digits = at.and_then(|at| std::str::from_utf8(line.get(at + NAME.len()..at + NAME.len() + 32)?).ok());
    let id = digits.and_then(|digits| u128::from_str_radix(digits, 16).ok());
    id.unwrap_or_else(|| panic!("no id: {}", String::from_utf8_lossy(line)))
}

/// A line as a number.
pub fn hash(line: &[u8]) -> u64 {
    u64::from_str_radix(&pki::fingerprint(line)[..16], 16).unwrap()
}

/// What became of one event.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    pub hash: u64,
    /// When it came last.
    pub last: Instant,
}

/// The event lines that have arrived.
#[derive(Debug, Default)]
pub struct Arrivals {
    pub events: HashMap<u128, Event>,
    /// Ids in the order of their first arrival.
    pub order: Vec<u128>,
    /// Lines that had come before.
    pub repeats: usize,
    /// The longest time after which one came again.
    pub longest: Duration,
    /// Repeats that were other lines than the first with this id.
    pub changed: usize,
}

impl Arrivals {
    /// Takes a line. Whether it is a new one.
    pub fn take(&mut self, line: &[u8]) -> bool {
        let (id, hash, now) = (uid(line), hash(line), Instant::now());
        let Some(known) = self.events.get_mut(&id) else {
            self.events.insert(id, Event { hash, last: now });
            self.order.push(id);
            return true;
        };
        self.repeats += 1;
        self.changed += usize::from(known.hash != hash);
        self.longest = self.longest.max(now - known.last);
        known.last = now;
        false
    }

    /// They are the events of these lines, by ids and content.
    pub fn assert_same(&self, name: &str, lines: &HashMap<u128, u64>) {
        let missing = lines.keys().filter(|id| !self.events.contains_key(id)).count();
        let strange = self.events.keys().filter(|id| !lines.contains_key(id)).count();
        let different = self.events.iter().filter(|(id, e)| lines.get(id).is_some_and(|hash| *hash != e.hash)).count();
        let faults = [missing, strange, different, self.changed];
        assert_eq!(faults, [0; 4], "{name}: of {} events are missing, unknown, different, changed", lines.len());
    }
}

/// Arrivals that several threads know of.
pub type Shared = Arc<Mutex<Arrivals>>;

pub fn locked(arrivals: &Shared) -> MutexGuard<'_, Arrivals> {
    arrivals.lock().unwrap()
}

/// Waits for so many different events, as long as there are more and more.
pub fn wait_for_arrivals(arrivals: &Shared, count: usize, process: &Process) {
    wait_for_all("events at the receiver", count, || {
        process.alive();
        locked(arrivals).events.len()
    });
}

/// A receiver of lines over TCP that can be stopped at any moment, and started again at its port.
pub struct LineReceiver {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LineReceiver {
    pub fn start(port: u16, arrivals: &Shared) -> LineReceiver {
        let listener = wait_for("the port", || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
        listener.set_nonblocking(true).unwrap();
        let (stop, arrivals) = (Arc::<AtomicBool>::default(), arrivals.clone());
        let until = stop.clone();
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                match listener.accept() {
                    // One after the other: a sender that comes back has died before.
                    Ok((socket, _)) => read_lines(&socket, &arrivals, &until),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
        LineReceiver { stop, thread: Some(thread) }
    }

    /// Hangs up and listens no more.
    pub fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for LineReceiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Takes every whole line until the other side closes.
fn read_lines(socket: &TcpStream, arrivals: &Shared, stop: &AtomicBool) {
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut reader = BufReader::with_capacity(1 << 20, socket);
    let mut line = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match reader.read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => {
                // A torn line is none.
                let Some(whole) = line.strip_suffix(b"\n") else { return };
                locked(arrivals).take(whole);
                line.clear();
            }
            // What was read of a line stays.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

/// An Elasticsearch at this port: `judge` says with which status it answers to a document, given the number of it in its
/// request and its line.
pub fn bulk(judge: impl Fn(usize, &[u8]) -> u16 + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let judge = Arc::new(judge);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let judge = judge.clone();
            std::thread::spawn(move || answer_bulk(stream, judge.as_ref()));
        }
    });
    port
}

fn answer_bulk(mut stream: TcpStream, judge: &dyn Fn(usize, &[u8]) -> u16) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut length = 0;
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap_or(0) > 0 && line != "\r\n" {
            if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = n.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        if length == 0 || reader.read_exact(&mut body).is_err() {
            return;
        }
        let documents = body.split(|b| *b == b'\n').skip(1).step_by(2);
        let items: Vec<Value> = documents.enumerate().map(|(i, document)| item(judge(i, document))).collect();
        let answer = json!({"errors": true, "items": items}).to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
        if write!(stream, "{head} {}\r\n\r\n{answer}", answer.len()).is_err() {
            return;
        }
    }
}

fn item(status: u16) -> Value {
    match status {
        200..=299 => json!({"create": {"status": status}}),
        _ => json!({"create": {"status": status, "error": {"type": "mapper_parsing_exception", "reason": "no"}}}),
    }
}
