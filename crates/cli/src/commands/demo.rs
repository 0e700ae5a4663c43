//! `estreamer demo`: simulator, archive, server, TLS and collector in one process, and a count at both ends.

use super::stop_flag;
use crate::arguments::Demo;
use crate::exit::{Exit, Failure, hint, say};
use crate::logging;
use collector::config::Config;
use collector::run::{Collector, ExtraOutput};
use outputs::{Destination, Format, Resolved};
use sensors::simulate::{Settings, Simulation};
use server::{Home, Options, Server};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use wire::decode::Value;

/// Where the collected events are left.
const DATA: &str = "demo-data";

/// Events a second when a time is given and no rate.
const RATE: u32 = 200;

/// Above this rate only every n-th event is shown.
const SHOWN: u64 = 500;

/// How long the collector may take to come up to date at the end before the demo calls events missing.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn run(arguments: &Demo) -> Result<Exit, Failure> {
    logging::start("warn");
    let stop = stop_flag()?;
    let temporary = tempfile::Builder::new().prefix("estreamer-demo-").tempdir()?;
    let data = fresh_folder()?;

    let home = Home::init(&temporary.path().join("home"), &["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let bundle = temporary.path().join("client.pkcs12");
    pki::files::write_private(&bundle, &home.clients()?.add(&home, "127.0.0.1", None)?.bundle)?;
    let archive = home.archive();
    let netmap = home.settings()?.netmap;
    let service = Service::start(home)?;
    say(format_args!("Server: {} (TLS, client certificate required)", service.address));

    let config = config(&service.address, &bundle, temporary.path(), &data)?;
    let seen = Arc::new(Seen::default());
    let show = ExtraOutput {
        name: "terminal".into(),
        format: Box::new(Readable { seen: seen.clone() }),
        destination: Box::new(Terminal { seen: seen.clone() }),
    };
    let collector = Collector::start_with(config, vec![show])?;
    say(format_args!("Collector: writing JSON to {}", data.display()));

    let mut settings = Settings::new(arguments.seed);
    settings.events = arguments.events;
    settings.rate = match (arguments.rate, arguments.events) {
        (Some(rate), _) => NonZeroU32::new(rate),
        (None, None) => NonZeroU32::new(RATE),
        (None, Some(_)) => None,
    };
    let mut simulation = Simulation::open(settings, &archive, netmap)?;
    let counters = simulation.counters().clone();
    let enough = Arc::new(AtomicBool::new(false));
    let until = enough.clone();
    let simulator = std::thread::Builder::new().name("simulator".into()).spawn(move || simulation.run(&until))?;

    let begin = Instant::now();
    let mut status = Status::new(seen.clone());
    let limit = arguments.events.is_none().then_some(Duration::from_secs(arguments.seconds));
    while !simulator.is_finished() {
        if stop.load(Ordering::Relaxed) || limit.is_some_and(|l| begin.elapsed() >= l) {
            enough.store(true, Ordering::Relaxed);
        }
        std::thread::sleep(Duration::from_millis(20));
        status.tick(counters.events(), &collector);
    }
    simulator.join().map_err(|_| Failure::new("internal error: the simulator ended unexpectedly"))??;

    let sent = counters.events();
    let deadline = Instant::now() + PATIENCE;
    let mut newest = (0, Instant::now());
    while collector.status().sum(|s| &s.delivered) < sent + seen.metadata.load(Ordering::Relaxed) && !collector.ended()
    {
        // As long as events come there is no hurry.
        let delivered = collector.status().sum(|s| &s.delivered);
        if delivered != newest.0 {
            newest = (delivered, Instant::now());
        }
        if newest.1.elapsed() > PATIENCE && Instant::now() > deadline {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
        status.tick(sent, &collector);
    }
    let elapsed = begin.elapsed();
    collector.stop();
    collector.join()?;
    status.end();
    service.stop()?;
    summary(&counters.by_type(), &data, elapsed)
}

/// `demo-data` in the current folder, empty: what an earlier demo left there is removed, other things are not touched.
fn fresh_folder() -> Result<PathBuf, Failure> {
    let data = std::path::absolute(DATA)?;
    let failed = |e: std::io::Error| Failure::new(format!("{} cannot be made ready: {e}", data.display()));
    std::fs::create_dir_all(&data).map_err(failed)?;
    for path in files(&data).map_err(failed)? {
        std::fs::remove_file(&path).map_err(failed)?;
    }
    Ok(data)
}

/// The event files of a demo, oldest first.
fn files(data: &Path) -> std::io::Result<Vec<PathBuf>> {
    let ours = |p: &PathBuf| {
        let name = p.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("events.") && name.ends_with(".json")
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(data)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(ours);
    files.sort();
    Ok(files)
}

fn config(address: &SocketAddr, bundle: &Path, folder: &Path, data: &Path) -> Result<Config, Failure> {
    let text = serde_json::json!({
        "connectTimeout": 10,
        "start": 0,
        "subscription": {"servers": [{"host": address.ip().to_string(), "port": address.port(), "pkcs12Filepath": bundle}]},
        "handler": {"outputters": [
            {"adapter": "json", "stream": {"uri": format!("file://{}/events.{{0}}.json", data.display()),
                                           "options": {"rotate": true, "maxLogs": 1_000_000}}}
        ]}
    });
    Ok(Config::parse(&text.to_string(), Path::new("the configuration of the demo"), folder.to_owned())?)
}

/// The server in threads of its own.
struct Service {
    address: SocketAddr,
    shutdown: tokio::sync::oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Service {
    fn start(home: Home) -> Result<Service, Failure> {
        let (tell, told) = mpsc::channel();
        let (shutdown, ended) = tokio::sync::oneshot::channel::<()>();
        let options = Options { listen: Some(vec![SocketAddr::from(([127, 0, 0, 1], 0))]), ..Options::default() };
        let thread = std::thread::Builder::new().name("server".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(Failure::from(error)))),
            };
            runtime.block_on(async {
                match Server::bind(home, options) {
                    Ok(server) => {
                        let address = server.local_addresses().first().copied();
                        let _ = tell.send(address.ok_or_else(|| Failure::new("the server has no address")));
                        server.run(async { drop(ended.await) }).await;
                    }
                    Err(error) => drop(tell.send(Err(error.into()))),
                }
            });
        })?;
        let address = told.recv().map_err(|_| Failure::new("internal error: the server ended unexpectedly"))??;
        Ok(Service { address, shutdown, thread })
    }

    fn stop(self) -> Result<(), Failure> {
        let _ = self.shutdown.send(());
        self.thread.join().map_err(|_| Failure::new("internal error: the server ended unexpectedly"))
    }
}

/// What the demo has shown.
#[derive(Debug, Default)]
struct Seen {
    events: AtomicU64,
    metadata: AtomicU64,
    /// Delivered in the last second: above [`SHOWN`] not every event is shown.
    rate: AtomicU64,
    status: std::sync::Mutex<String>,
}

/// One readable line an event, for a terminal.
struct Readable {
    seen: Arc<Seen>,
}

impl Format for Readable {
    fn format(&self, event: &Resolved<'_>, out: &mut Vec<u8>) -> bool {
        let record = event.record;
        let Some(layout) = record.layout else { return false };
        if layout.metadata {
            self.seen.metadata.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let number = self.seen.events.fetch_add(1, Ordering::Relaxed);
        let one_in = self.seen.rate.load(Ordering::Relaxed) / SHOWN + 1;
        if !number.is_multiple_of(one_in) || !std::io::stdout().is_terminal() {
            return false;
        }
        let name = |key: &str| {
            let found = event.computed.iter().find(|(k, _)| *k == key);
            found.and_then(|(_, v)| if let outputs::Computed::Text(t) = v { Some(t.as_ref()) } else { None })
        };
        let address = |keys: &[&str]| {
            let octets = keys.iter().find_map(|k| record.field(k)).and_then(|v| v.octets());
            octets.and_then(|o| <&[u8; 16]>::try_from(o).ok()).map(|o| wire::event::address(o).to_string())
        };
        let text = |key: &str| record.field(key).and_then(|v| if let Value::Text(t) = v { Some(t) } else { None });
        let time = name("eventDateTime").and_then(|t| t.get(11..19)).unwrap_or("--:--:--");
        let mut line = format!("{time}  {:<24}", layout.name);
        let from = address(&["initiatorIpAddress", "sourceIpAddress", "ipv6Address"]);
        let to = address(&["responderIpAddress", "destinationIpAddress"]);
        match (from, to) {
            (Some(from), Some(to)) => line.push_str(&format!(" {from} -> {to}")),
            (Some(from), None) => line.push_str(&format!(" {from}")),
            _ => {}
        }
        for key in ["message", "applicationProtocol", "firewallRuleAction", "disposition", "user", "eventDescription"] {
            if let Some(value) = name(key) {
                line.push_str(&format!("  {value}"));
            }
        }
        if let Some(file) = text("fileName").filter(|t| !t.is_empty()) {
            line.push_str(&format!("  {}", collector::tables::text(file)));
        }
        // What an event says must not steer the terminal.
        line.retain(|c| !c.is_control());
        line.push('\n');
        out.extend_from_slice(line.as_bytes());
        true
    }
}

/// The terminal: event lines above, the status line below them.
struct Terminal {
    seen: Arc<Seen>,
}

impl Destination for Terminal {
    fn describe(&self) -> String {
        "the terminal".into()
    }

    fn room(&self) -> usize {
        usize::MAX
    }

    fn write(&mut self, bytes: &[u8], _lines: usize) -> Result<(), outputs::Error> {
        if !bytes.is_empty() {
            let status = self.seen.status.lock().map(|s| s.clone()).unwrap_or_default();
            let mut out = std::io::stdout().lock();
            // The terminal is only for show: that it cannot be written to does not stop the events.
            let _ = out
                .write_all(b"\r\x1b[2K")
                .and_then(|()| out.write_all(bytes))
                .and_then(|()| out.write_all(status.as_bytes()));
            let _ = out.flush();
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), outputs::Error> {
        Ok(())
    }

    fn state(&self) -> String {
        String::new()
    }
}

/// The live status line; without a terminal a line a second.
struct Status {
    seen: Arc<Seen>,
    terminal: bool,
    last: Instant,
    before: u64,
}

impl Status {
    fn new(seen: Arc<Seen>) -> Self {
        Status { seen, terminal: std::io::stdout().is_terminal(), last: Instant::now(), before: 0 }
    }

    fn tick(&mut self, sent: u64, collector: &Collector) {
        let pause = Duration::from_millis(if self.terminal { 250 } else { 1000 });
        let elapsed = self.last.elapsed();
        if elapsed < pause {
            return;
        }
        let received =
            collector.status().sum(|s| &s.delivered).saturating_sub(self.seen.metadata.load(Ordering::Relaxed));
        let rate = (received.saturating_sub(self.before) as f64 / elapsed.as_secs_f64()) as u64;
        self.seen.rate.store(rate, Ordering::Relaxed);
        let second = u64::from(collector.status().second());
        let lag = if second == 0 { 0 } else { Settings::system_time().as_secs().saturating_sub(second) };
        let line = format!("{received} events collected of {sent} sent, {rate}/s, {lag} s behind");
        if self.terminal {
            let line = format!("\x1b[7m {line} \x1b[0m");
            let mut out = std::io::stdout().lock();
            let _ = write!(out, "\r\x1b[2K{line}").and_then(|()| out.flush());
            if let Ok(mut status) = self.seen.status.lock() {
                *status = line;
            }
        } else {
            say(format_args!("{line}"));
        }
        self.last = Instant::now();
        self.before = received;
    }

    fn end(&self) {
        if self.terminal {
            hint(format_args!("\r\x1b[2K"));
        }
    }
}

/// Counts what is in the files and compares it with what was sent.
fn summary(sent: &[(u16, u64)], data: &Path, elapsed: Duration) -> Result<Exit, Failure> {
    let mut received: BTreeMap<u16, u64> = BTreeMap::new();
    let mut metadata = 0;
    for path in files(data)? {
        for line in BufReader::new(File::open(&path)?).split(b'\n') {
            let line = line?;
            let record_type = line.strip_prefix(b"{\"recordType\": ").and_then(leading_number);
            let Some(record_type) = record_type else {
                return Err(Failure::new(format!("{} has a line that is no event", path.display())));
            };
            if wire::layout::record(record_type).is_some_and(|r| r.metadata) {
                metadata += 1;
            } else {
                *received.entry(record_type).or_default() += 1;
            }
        }
    }
    let sent: BTreeMap<u16, u64> = sent.iter().copied().collect();
    say(format_args!("\n{:<40} {:>10} {:>10}", "record type", "sent", "received"));
    let mut types: Vec<u16> = sent.keys().chain(received.keys()).copied().collect();
    types.sort_unstable();
    types.dedup();
    for t in types {
        let name = wire::layout::record(t).map_or("", |r| r.name);
        let count = |of: &BTreeMap<u16, u64>| of.get(&t).copied().unwrap_or(0);
        say(format_args!("{:<40} {:>10} {:>10}", format!("{t} {name}"), count(&sent), count(&received)));
    }
    let (all_sent, all_received): (u64, u64) = (sent.values().sum(), received.values().sum());
    say(format_args!("{:<40} {all_sent:>10} {all_received:>10}", "all events"));
    say(format_args!(
        "\nsent = {all_sent}, received = {all_received}, and {metadata} metadata records, in {:.1} s ({:.0} events/s)",
        elapsed.as_secs_f64(),
        all_received as f64 / elapsed.as_secs_f64()
    ));
    say(format_args!("JSON files: {}", data.display()));
    if sent == received {
        return Ok(Exit::Done);
    }
    eprintln!("estreamer: sent and received differ");
    Ok(Exit::Incomplete)
}

fn leading_number(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(bytes.get(..digits)?).ok()?.parse().ok()
}
