//! `estreamer ssl-test`: the reference client.

use super::stop_flag;
use crate::arguments::{Arguments, Begin, SslTest, SslTestOutput};
use crate::exit::{Exit, Failure};
use crate::logging;
use clap::CommandFactory;
use clap::error::ErrorKind;
use client::bookmark::{self, Bookmark};
use client::endpoint::Endpoint;
use client::hosts::{self, Answer, Query, Wanted};
use client::identity::{self, Identity, IdentityError};
use client::pcap::{Format, Pcap};
use client::print::Print;
use client::snmp::{self, Snmp, Version};
use client::stream::{self, End, Limits, Summary};
use client::syslog::{self, Syslog};
use client::{Output, OutputError, Plugin, SessionError, csv::Csv};
use outputs::{Format as _, Json};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wire::hosts::{BANNERS, NOTES};

/// Standard output, as errors call it.
const STDOUT: &str = "standard output";

/// The options of `ssl_test.pl`, which takes any beginning of one, behind one hyphen or two.
const SDK: [&str; 10] = ["port", "pkcs12", "password", "start", "output", "file", "host", "ipv6", "verbose", "domain"];

/// The arguments of this process, those of `ssl-test` spelled out: `-po` and `--po` are `--port`.
pub(crate) fn spelled(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.collect();
    if arguments.get(1).is_some_and(|command| command == "ssl-test") {
        let options = arguments.iter_mut().skip(2).take_while(|argument| *argument != "--");
        for argument in options {
            if let Some(long) = argument.to_str().and_then(spell) {
                *argument = long.into();
            }
        }
    }
    arguments
}

/// One argument spelled out; `None` where nothing is to be done: it is no option, or one of a single letter.
fn spell(argument: &str) -> Option<String> {
    let name = argument.strip_prefix('-')?;
    let name = name.strip_prefix('-').unwrap_or(name);
    let (name, value) = match name.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (name, None),
    };
    let mut fitting = SDK.iter().filter(|option| name.len() > 1 && option.starts_with(name));
    let option = fitting.next().filter(|_| fitting.next().is_none())?;
    Some(match value {
        Some(value) => format!("--{option}={value}"),
        None => format!("--{option}"),
    })
}

pub(crate) fn run(arguments: &SslTest) -> Result<Exit, Failure> {
    check(arguments);
    logging::start(if arguments.verbose { "info,client=debug" } else { "warn" });
    let stop = stop_flag()?;
    let pkcs12 = match &arguments.pkcs12 {
        Some(path) => path.clone(),
        None => identity::first_in(Path::new("."))?,
    };
    tracing::debug!("The client's certificate is {}", pkcs12.display());
    let host = arguments.server.trim_start_matches('[').trim_end_matches(']');
    let pin = PathBuf::from(format!("{}-{}.pin", host.replace('/', "_"), arguments.port));
    let identity = unlock(&pkcs12, arguments.password.as_deref(), &pin)?;
    let endpoint = Endpoint {
        host: arguments.server.clone(),
        port: arguments.port,
        ipv6: arguments.ipv6,
        timeout: Duration::from_secs(arguments.timeout),
    };
    match arguments.hosts.is_empty() {
        true => events(arguments, &endpoint, &identity, &stop),
        false => ask(arguments, &endpoint, &identity, &stop),
    }
}

/// Refuses arguments that do not go together, as clap refuses wrong ones.
fn check(arguments: &SslTest) {
    let refuse = |text: &str| Arguments::command().error(ErrorKind::ArgumentConflict, text).exit();
    let output = arguments.output;
    if !arguments.hosts.is_empty() && output != SslTestOutput::Print {
        refuse("host data (-h) can be printed only: leave out -o, or use --json");
    }
    let to_terminal = arguments.file.as_deref().is_none_or(|file| file == "-") && std::io::stdout().is_terminal();
    match output {
        SslTestOutput::Pcap if to_terminal => refuse("packets are not written to a terminal: name a file with -f"),
        SslTestOutput::Snmp if arguments.file.is_none() => refuse("name the receiver of the traps with -f HOST[:PORT]"),
        _ => {}
    }
    if arguments.pcapng && output != SslTestOutput::Pcap {
        refuse("--pcapng belongs to -o pcap");
    }
}

/// Opens the PKCS#12 file; asks for the password when it needs one that was not given.
fn unlock(path: &Path, password: Option<&str>, pin: &Path) -> Result<Identity, Failure> {
    let given = password.map(str::to_owned).or_else(|| std::env::var("ESTREAMER_PASSWORD").ok());
    let outcome = identity::load(path, given.as_deref(), pin);
    match outcome {
        Err(IdentityError::Password { .. }) if given.is_none() && std::io::stdin().is_terminal() => {
            let asked = client::password::ask(&format!("Password of {}: ", path.display()));
            let asked = asked.map_err(|e| Failure::new(format!("the password cannot be asked for: {e}")))?;
            Ok(identity::load(path, Some(&asked), pin)?)
        }
        outcome => Ok(outcome?),
    }
}

fn events(arguments: &SslTest, endpoint: &Endpoint, identity: &Identity, stop: &AtomicBool) -> Result<Exit, Failure> {
    let mut bookmark = Bookmark::open(&arguments.bookmark);
    let timestamp = match arguments.start {
        Begin::All => 0,
        Begin::Now => bookmark::now(),
        Begin::Bookmark => bookmark.second().unwrap_or_else(bookmark::now),
        Begin::Second(second) => second,
    };
    let plugin = match arguments.output {
        SslTestOutput::Print => Plugin::Print,
        SslTestOutput::Csv => Plugin::Csv,
        SslTestOutput::Pcap => Plugin::Pcap,
        SslTestOutput::Snmp => Plugin::Snmp,
        SslTestOutput::Syslog => Plugin::Syslog,
    };
    let request = match arguments.extended {
        true => plugin.extended_request(timestamp),
        false => plugin.request(timestamp),
    };
    let limits =
        Limits { count: arguments.count, time: arguments.seconds.map(Duration::from_secs), domain: arguments.domain };
    let mut output = match output(arguments) {
        Err(error) if error.reader_gone() => return Ok(Exit::Done),
        output => output?,
    };
    let summary = stream::run(endpoint, identity, request, &limits, &mut bookmark, output.as_mut(), stop)?;
    Ok(tell(&summary))
}

fn tell(summary: &Summary) -> Exit {
    let Summary { received, taken, flawed, lost, end } = *summary;
    tracing::info!("{received} records received, {taken} of them taken by the output");
    if end == End::Closed {
        eprintln!("estreamer: the server has closed the connection");
    }
    if flawed > 0 {
        eprintln!("estreamer: {flawed} of {received} records could not be decoded, or only in part");
    }
    if lost > 0 {
        eprintln!("estreamer: {lost} of {taken} could not be handed on");
    }
    if flawed + lost > 0 { Exit::Incomplete } else { Exit::Done }
}

/// Where text goes, and what errors call it.
fn text_file(file: Option<&str>) -> Result<(Box<dyn Write>, String), OutputError> {
    match file {
        None | Some("-") => Ok((Box::new(BufWriter::new(std::io::stdout())), STDOUT.to_owned())),
        Some(name) => match File::create(name) {
            Ok(file) => Ok((Box::new(BufWriter::new(file)), name.to_owned())),
            Err(source) => Err(OutputError::Write { name: name.to_owned(), source }),
        },
    }
}

fn output(arguments: &SslTest) -> Result<Box<dyn Output>, OutputError> {
    let file = arguments.file.as_deref();
    let collect = Duration::from_secs(arguments.collect);
    Ok(match arguments.output {
        SslTestOutput::Print => {
            let (out, name) = text_file(file)?;
            Box::new(Print::new(out, &name))
        }
        SslTestOutput::Csv => {
            let (out, name) = text_file(file)?;
            Box::new(Csv::new(out, &name)?)
        }
        SslTestOutput::Pcap => {
            let format = if arguments.pcapng { Format::Pcapng } else { Format::Classic };
            Box::new(match file {
                None | Some("-") => Pcap::stream(Box::new(BufWriter::new(std::io::stdout())), STDOUT, format),
                Some(name) => Pcap::file(Path::new(name), format)?,
            })
        }
        SslTestOutput::Snmp => Box::new(Snmp::new(file.unwrap_or_default(), &version(arguments), collect)?),
        SslTestOutput::Syslog => Box::new(Syslog::new(file.unwrap_or(syslog::LOCAL), arguments.priority, collect)?),
    })
}

fn version(arguments: &SslTest) -> Version {
    let secret = |given: &Option<String>, name: &str| given.clone().or_else(|| std::env::var(name).ok());
    let Some(user) = arguments.user.clone() else {
        return Version::V2c { community: arguments.community.clone() };
    };
    let engine = arguments.engine_id.as_ref().map_or_else(snmp::engine_id, |engine| engine.0.clone());
    let hex: String = engine.iter().map(|octet| format!("{octet:02x}")).collect();
    tracing::info!("SNMP engine id 0x{hex}; snmptrapd wants: createUser -e 0x{hex} {user} ...");
    Version::V3 {
        user,
        authentication: secret(&arguments.auth_password, "ESTREAMER_SNMP_AUTH")
            .map(|password| (arguments.auth, password)),
        privacy: secret(&arguments.priv_password, "ESTREAMER_SNMP_PRIV"),
        engine,
    }
}

/// Host data, printed or as JSON lines.
fn ask(arguments: &SslTest, endpoint: &Endpoint, identity: &Identity, stop: &AtomicBool) -> Result<Exit, Failure> {
    let queries: Vec<Query> = arguments.hosts.iter().flat_map(|hosts| hosts.0.iter().copied()).collect();
    let flags = if arguments.notes { NOTES } else { 0 } | if arguments.banners { BANNERS } else { 0 };
    let wanted = Wanted { data_type: arguments.data_type, flags };
    let mut hosts = match text_file(arguments.file.as_deref())? {
        (out, name) if arguments.json => HostOutput::Json { json: Json::new(), out, name, line: Vec::new() },
        (out, name) => HostOutput::Print(Print::new(out, &name)),
    };
    let (mut found, mut missing) = (0u64, 0u64);
    let patience = Duration::from_secs(arguments.timeout);
    let mut take = |query: &Query, answer: Answer<'_>| -> Result<(), SessionError> {
        match answer {
            Answer::Host { kind, block } => {
                found += 1;
                hosts.host(kind, block)?;
            }
            Answer::End(count) => {
                hosts.flush()?;
                if count == 0 {
                    missing += 1;
                    eprintln!("estreamer: {query}: not found, the server knows no such host");
                }
            }
        }
        Ok(())
    };
    let flawed = match hosts::ask(endpoint, identity, &queries, wanted, patience, &mut take, stop) {
        Err(SessionError::Output(error)) if error.reader_gone() => return Ok(Exit::Done),
        outcome => outcome?,
    };
    tracing::info!("{found} hosts");
    if stop.load(Ordering::Relaxed) {
        return Ok(Exit::Done);
    }
    Ok(if flawed + missing > 0 { Exit::Incomplete } else { Exit::Done })
}

enum HostOutput {
    Print(Print<Box<dyn Write>>),
    Json { json: Json, out: Box<dyn Write>, name: String, line: Vec<u8> },
}

impl HostOutput {
    fn host(&mut self, kind: wire::message::MessageType, block: wire::decode::View<'_>) -> Result<(), OutputError> {
        match self {
            HostOutput::Print(print) => print.host(kind, block),
            HostOutput::Json { json, out, name, line } => {
                line.clear();
                json.host(kind, block, line);
                out.write_all(line).map_err(|source| OutputError::Write { name: name.clone(), source })
            }
        }
    }

    fn flush(&mut self) -> Result<(), OutputError> {
        match self {
            HostOutput::Print(print) => print.flush(),
            HostOutput::Json { out, name, .. } => {
                out.flush().map_err(|source| OutputError::Write { name: name.clone(), source })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_sdk_are_spelled_out() {
        let spelled = |arguments: &[&str]| -> Vec<String> {
            let all = ["estreamer", "ssl-test"].iter().chain(arguments).map(OsString::from);
            super::spelled(all).into_iter().skip(2).map(|a| a.into_string().unwrap()).collect()
        };
        assert_eq!(
            spelled(&["-po", "1", "-pk=a", "--pa", "x", "-outp", "csv", "-ipv6", "-h", "::1", "host", "--host", "::2"]),
            [
                "--port",
                "1",
                "--pkcs12=a",
                "--password",
                "x",
                "--output",
                "csv",
                "--ipv6",
                "-h",
                "::1",
                "host",
                "--host",
                "::2"
            ]
        );
        assert_eq!(
            spelled(&["-p", "-ocsv", "-s", "all", "--seconds", "--", "-po"]),
            ["-p", "-ocsv", "-s", "all", "--seconds", "--", "-po"]
        );
        let other = ["estreamer", "clients", "-po"].map(OsString::from);
        assert_eq!(super::spelled(other.clone().into_iter()), other);
    }
}
