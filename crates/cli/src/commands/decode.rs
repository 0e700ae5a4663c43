//! `estreamer decode`: a file of captured messages, one line a record or host.

use crate::arguments::Decode;
use crate::exit::{Exit, Failure};
use collector::resolve::{Item, Resolver};
use collector::tables::Tables;
use outputs::{Format, Options, Resolved};
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use wire::client::MESSAGE_LIMIT;
use wire::decode::Decoder;
use wire::message::{self, Bundle, Message, MessageType};

/// Bytes read from the file at a time.
const READ: usize = 1 << 20;

pub(crate) fn run(arguments: &Decode) -> Result<Exit, Failure> {
    let mut input = open(&arguments.file)?;
    let name = arguments.file.display().to_string();
    let options = Options {
        extended: arguments.extended,
        csv: arguments.columns.clone(),
        host: host_name(),
        ..Options::default()
    };
    let format = outputs::by_name(&arguments.format, arguments.dialect, &options);
    let format = format.map_err(|error| Failure::new(error.to_string()))?;
    let mut output = Output {
        number: arguments.number,
        format,
        out: BufWriter::with_capacity(256 << 10, std::io::stdout().lock()),
        tables: Tables::built_in(),
        decoder: Decoder::new(),
        resolver: Resolver::with(arguments.dialect.naming()),
        line: Vec::new(),
        flawed: 0,
    };
    let begun = output.header();
    let outcome = begun.and_then(|()| output.stream(&mut input, &name)).and_then(|()| Ok(output.out.flush()?));
    match outcome {
        Ok(()) => {}
        // Who reads the output has seen enough (`| head`).
        Err(Stop::Io(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(Exit::Done),
        Err(Stop::Io(error)) => return Err(Failure::new(format!("the output cannot be written: {error}"))),
        Err(Stop::Input(text)) => {
            output.out.flush()?;
            return Err(Failure::new(text));
        }
    }
    if output.flawed > 0 {
        eprintln!("estreamer: {} records of {name} could not be decoded, or only in part", output.flawed);
        return Ok(Exit::Incomplete);
    }
    Ok(Exit::Done)
}

fn open(path: &Path) -> Result<Box<dyn Read>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    match File::open(path) {
        Ok(file) => Ok(Box::new(file)),
        Err(error) => Err(Failure::new(format!("{} cannot be opened: {error}", path.display()))),
    }
}

/// Why decoding ends early.
enum Stop {
    Io(std::io::Error),
    Input(String),
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Stop::Io(error)
    }
}

struct Output<W> {
    number: bool,
    format: Box<dyn Format>,
    out: W,
    tables: Tables,
    decoder: Decoder,
    resolver: Resolver,
    line: Vec<u8>,
    flawed: u64,
}

/// The name of this machine.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

impl<W: Write> Output<W> {
    /// What a format begins with, as CSV does with the names of its columns.
    fn header(&mut self) -> Result<(), Stop> {
        if self.format.header(&mut self.line) {
            self.out.write_all(&self.line)?;
        }
        self.line.clear();
        Ok(())
    }

    fn stream(&mut self, input: &mut dyn Read, name: &str) -> Result<(), Stop> {
        let mut buffer: Vec<u8> = Vec::new();
        let (mut offset, mut index) = (0u64, 0u64);
        loop {
            let before = buffer.len();
            let read = input.take(READ as u64).read_to_end(&mut buffer);
            read.map_err(|e| Stop::Input(format!("{name} cannot be read: {e}")))?;
            let end = buffer.len() == before;
            let mut used = 0;
            loop {
                let rest = buffer.get(used..).unwrap_or_default();
                match message::first(rest, MESSAGE_LIMIT) {
                    Ok(Some(message)) => {
                        self.message(&message, index)?;
                        used += message.size();
                        index += 1;
                    }
                    Ok(None) if end && !rest.is_empty() => {
                        let wanted = message::announced(rest).map_or("its header".to_owned(), |n| format!("{n} bytes"));
                        return Err(Stop::Input(format!(
                            "{name}: message {index} at offset {} is cut short: {} bytes are there of {wanted}",
                            offset + used as u64,
                            rest.len()
                        )));
                    }
                    Ok(None) => break,
                    Err(error) => {
                        return Err(Stop::Input(format!(
                            "{name}: message {index} at offset {}: {error}. The file must hold eStreamer messages back to back",
                            offset + used as u64
                        )));
                    }
                }
            }
            buffer.drain(..used);
            offset += used as u64;
            if end {
                return Ok(());
            }
        }
    }

    fn message(&mut self, message: &Message<'_>, index: u64) -> Result<(), Stop> {
        match message.kind {
            MessageType::EVENT_DATA => self.record(message.body, index),
            MessageType::BUNDLE => {
                let bundle = match Bundle::parse(message.body) {
                    Ok(bundle) => bundle,
                    Err(error) => return self.flaw(index, &error),
                };
                for item in bundle.items {
                    match item {
                        Ok(Message { kind: MessageType::EVENT_DATA, body }) => self.record(body, index)?,
                        Ok(other) => self.flaw(index, &format!("a bundle holds a {} message", other.kind))?,
                        Err(error) => self.flaw(index, &format!("an item reaches beyond its bundle: {error}"))?,
                    }
                }
                Ok(())
            }
            // The end of an answer has no host.
            MessageType::SINGLE_HOST_DATA | MessageType::MULTIPLE_HOST_DATA if !message.body.is_empty() => {
                self.host(message, index)
            }
            // The dialogue itself is no record.
            known if known.name().is_some() => Ok(()),
            unknown => self.flaw(index, &format!("{unknown} of {} bytes is not known", message.body.len())),
        }
    }

    fn host(&mut self, message: &Message<'_>, index: u64) -> Result<(), Stop> {
        let block = self.decoder.decode_block(1, message.body);
        if let Some(problem) = block.problem() {
            self.flawed += 1;
            eprintln!("message {index}: {}: {problem}", message.kind);
        }
        self.line.clear();
        if self.format.host(message.kind, block, &mut self.line) {
            print(&mut self.out, self.number.then_some(index), &self.line)?;
        }
        Ok(())
    }

    fn record(&mut self, item: &[u8], index: u64) -> Result<(), Stop> {
        let record = match self.decoder.decode(item) {
            Ok(record) => record,
            Err(error) => {
                self.flawed += 1;
                eprintln!("message {index}: {error}");
                return Ok(());
            }
        };
        if record.layout.is_some_and(|l| l.metadata) {
            self.tables.store(&record);
        }
        if let Some(problem) = record.problem() {
            self.flawed += 1;
            eprintln!("message {index}: {problem}");
        }
        let mut names: Vec<Item<'_>> = Vec::new();
        self.resolver.resolve(&record, &self.tables, &mut names);
        self.line.clear();
        if self.format.format(&Resolved { record: &record, computed: &names }, &mut self.line) {
            print(&mut self.out, self.number.then_some(index), &self.line)?;
        }
        Ok(())
    }

    fn flaw(&mut self, index: u64, error: &dyn std::fmt::Display) -> Result<(), Stop> {
        self.flawed += 1;
        eprintln!("message {index}: {error}");
        Ok(())
    }
}

fn print(out: &mut impl Write, number: Option<u64>, line: &[u8]) -> std::io::Result<()> {
    if let Some(number) = number {
        write!(out, "{number}\t")?;
    }
    out.write_all(line)
}
