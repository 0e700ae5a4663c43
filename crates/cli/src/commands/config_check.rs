//! `estreamer config check`: what a configuration does, in plain words.

use super::collect::{exposed, with_environment};
use crate::exit::{self, Exit, Failure};
use collector::config::network::Carrier;
use collector::config::{Config, Output, Place, Server};
use collector::credentials::{self, Source};
use collector::encore;
use outputs::file::Compression;
use outputs::spool::Overflow;
use outputs::{Dialect, Target};
use std::path::Path;
use wire::request::Start;

/// A certificate that ends this soon is warned about.
const SOON: i64 = 30 * 86_400;

/// Event types by their codes.
const EVENTS: [(u16, &str); 9] = [
    (12, "intrusion"),
    (21, "metadata"),
    (31, "correlation"),
    (61, "discovery"),
    (71, "connection"),
    (91, "user"),
    (101, "malware"),
    (111, "file"),
    (131, "impact"),
];

pub(crate) fn run(path: &Path) -> Result<Exit, Failure> {
    let mut config = Config::examine(path)?;
    with_environment(&mut config);
    let mut report = Report { warnings: config.warnings.clone(), errors: Vec::new() };
    report.warnings.extend(exposed(path, &config));
    exit::say(path.display());
    if !config.enabled {
        report.warnings.push("enabled is false: `start` and `collect` refuse. Set it to true to collect".to_owned());
    }
    for server in &config.servers {
        self::server(&config, server, &mut report);
    }
    request(&config);
    selection(&config);
    for (number, output) in config.outputs.iter().enumerate() {
        self::output(number, output, &config);
    }
    state(&config, &mut report);
    log(&config);
    for notice in &config.notices {
        say("note", notice);
    }
    for warning in &report.warnings {
        say("warning", warning);
    }
    for error in &report.errors {
        say("error", error);
    }
    Ok(match (report.errors.is_empty(), report.warnings.is_empty()) {
        (false, _) => Exit::Failed,
        (true, false) => Exit::Incomplete,
        (true, true) => Exit::Done,
    })
}

/// What is to be told at the end.
struct Report {
    warnings: Vec<String>,
    errors: Vec<String>,
}

fn say(what: &str, text: &str) {
    exit::say(format_args!("  {what:<12} {text}"));
}

fn server(config: &Config, server: &Server, report: &mut Report) {
    let instance = config.instance_of(server);
    let name = server.name.as_ref().map(|name| format!(", called {name}")).unwrap_or_default();
    let set = server.set.as_ref().map(|set| format!(", of the set {set}: each event of it once")).unwrap_or_default();
    say(
        "server",
        &format!(
            "{}, port {}, up to {} s to connect{name}{set}",
            server.host,
            server.port,
            config.connect_timeout.as_secs()
        ),
    );
    let credentials = match credentials::load(server, &instance) {
        Ok(credentials) => credentials,
        Err(error) => return report.errors.push(error.to_string()),
    };
    let from = match &credentials.source {
        Source::Pkcs12(path) => format!("PKCS#12 file {}", path.display()),
        Source::Extracted(path) => format!("what eNcore extracted: {}", path.display()),
    };
    say("certificate", &from);
    match credentials.bundle.info() {
        Err(error) => report.errors.push(error.to_string()),
        Ok(info) => {
            let (from, to) = (pki::time_text(info.not_before), pki::time_text(info.not_after));
            say("", &format!("subject {}, valid from {from} to {to}", info.subject));
            let now = jiff::Timestamp::now().as_second();
            if now > info.not_after {
                report.errors.push(format!("the client's certificate ended at {to}: create the client again"));
            } else if now < info.not_before {
                report.errors.push(format!("the client's certificate is valid from {from}: is the clock right?"));
            } else if now + SOON > info.not_after {
                report.warnings.push(format!("the client's certificate ends at {to}: create the client again in time"));
            }
        }
    }
    if credentials.bundle.authorities.is_empty() {
        let pin = instance.pin();
        let known = if pin.exists() { "is remembered in" } else { "will be remembered in" };
        say("", &format!("no authority: the certificate the server shows first {known} {}", pin.display()));
    }
    for authority in &credentials.bundle.authorities {
        if let Ok(info) = pki::CertificateInfo::read(authority) {
            let to = pki::time_text(info.not_after);
            say("", &format!("the server is verified by {}, valid to {to}", info.subject));
        }
    }
}

fn request(config: &Config) {
    let (flags, events) = config.request();
    let set = wire::request::flags().iter().filter(|flag| flags & 1 << flag.bit != 0);
    let words: Vec<&str> = set.map(|flag| flag.words).filter(|words| !words.is_empty()).collect();
    say("request", &format!("flags {flags:#010x}: {}", words.join(", ")));
    if flags & wire::request::flag::EXTENDED == 0 {
        say("", "no event types: only what the flags stand for");
        return;
    }
    let name = |code: u16| EVENTS.iter().find(|(number, _)| *number == code).map_or("event type", |(_, name)| name);
    let events: Vec<String> =
        events.iter().map(|e| format!("{} {} (version {})", name(e.code), e.code, e.version)).collect();
    say("", &format!("event types {}", events.join(", ")));
}

fn selection(config: &Config) {
    let selection = &config.selection;
    let classes = [
        (selection.connections, "connection"),
        (selection.intrusion, "intrusion"),
        (selection.packets, "packet"),
        (selection.core, "file, malware and correlation"),
        (selection.rna, "discovery"),
        (selection.rua, "user"),
        (selection.metadata, "metadata"),
    ];
    let named = |wanted: bool| {
        let names: Vec<&str> = classes.iter().filter(|(on, _)| *on == wanted).map(|(_, name)| *name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    say("records", &format!("written: {}; not written: {}", named(true), named(false)));
    let list = |types: &[u16]| types.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    if !selection.include.is_empty() {
        say("", &format!("always written: types {}", list(&selection.include)));
    }
    if !selection.exclude.is_empty() {
        say("", &format!("never written: types {}", list(&selection.exclude)));
    }
    if let Some(filter) = &config.filter {
        say("filter", &filter.to_string());
    }
}

fn output(number: usize, output: &Output, config: &Config) {
    let dialect = match output.format.dialect {
        Dialect::Standard => "standard",
        Dialect::Encore5 => "encore-5",
        Dialect::Encore3 => "encore-3",
    };
    let words = if output.format.options.passthru { ", whole messages" } else { "" };
    say(&format!("output {}", number + 1), &format!("{} in the dialect {dialect}{words}", output.format.name));
    match &output.place {
        Place::Files(Target::Stdout) => say("", "to standard output"),
        Place::Files(Target::File { folder, name }) => {
            let name = if name.is_empty() { "log{0}" } else { name };
            say("", &format!("to files {}", config.folder.join(folder).join(name).display()));
            files(output, name.contains("{0}"));
        }
        Place::Files(Target::Scp { remote, name }) => {
            say("", &format!("copied by scp to {}, as {name}", remote.label()));
            files(output, true);
        }
        Place::Network(network) => {
            let how = match &network.carrier {
                Carrier::Stream(settings) if settings.tls.is_some() => "TLS",
                Carrier::Stream(_) => "TCP, not encrypted",
                Carrier::Datagram(_) => "UDP, not encrypted, nothing is confirmed",
                Carrier::Hec(_) => "Splunk's HTTP event collector",
                Carrier::Elastic(_) => "bulk requests of Elasticsearch",
                Carrier::Post(_) => "HTTP POST of lines",
            };
            say("", &format!("to {} ({how})", collector::config::document::without_user(&output.uri)));
            let full = match network.spool.overflow {
                Overflow::Block => "everything waits when it is full",
                Overflow::Drop => "lines are dropped and counted when it is full",
            };
            let (folder, size) = (network.spool.folder.display(), bytes(network.spool.limit));
            say("", &format!("lines wait in {folder}, up to {size}; {full}"));
        }
    }
    if let Some(filter) = &output.filter {
        say("", &format!("only {filter}"));
    }
}

fn files(output: &Output, numbered: bool) {
    let files = &output.files;
    let mut new = Vec::new();
    new.extend(files.lines_per_file.map(|lines| format!("{lines} lines")));
    new.extend(files.max_bytes.map(bytes));
    new.extend(files.max_age.map(|age| format!("{} s", age.as_secs())));
    if !numbered {
        say("", "one file without end: its name has no {0}");
    } else if new.is_empty() {
        say("", "one file without end");
    } else {
        say("", &format!("a new file after {}", new.join(" or ")));
    }
    match files.compression {
        Some(Compression::Gzip) => say("", "complete files are compressed with gzip"),
        Some(Compression::Zstd) => say("", "complete files are compressed with zstd"),
        None => {}
    }
    let keep = &files.retention;
    let mut kept = Vec::new();
    kept.extend(keep.files.map(|n| format!("{n} files")));
    kept.extend(keep.bytes.map(bytes));
    kept.extend(keep.age.map(|age| format!("{} s", age.as_secs())));
    if !kept.is_empty() {
        say("", &format!("complete files are deleted beyond {}", kept.join(" or ")));
    } else if files.copy.is_none() && output.key.is_none() {
        say("", "complete files are kept for ever; keepFiles, keepBytes or keepSeconds limit them");
    }
}

fn bytes(count: u64) -> String {
    match count {
        n if n >= 1 << 30 => format!("{:.1} GiB", n as f64 / f64::from(1 << 30)),
        n if n >= 1 << 20 => format!("{:.1} MiB", n as f64 / f64::from(1 << 20)),
        n => format!("{n} bytes"),
    }
}

fn state(config: &Config, report: &mut Report) {
    let state = config.state_file();
    let first = match config.start {
        Start::Now => "with what comes from now on",
        Start::Genesis | Start::Second(_) => "with the oldest data there is",
    };
    match state.exists() {
        true => say("state", &format!("{}: it goes on where it ended", state.display())),
        false => say("state", &format!("none yet ({}): it begins {first}", state.display())),
    }
    for server in &config.servers {
        let instance = config.instance_of(server);
        match encore::bookmark(&instance.bookmark()) {
            Ok(Some(second)) if config.follow_bookmark && !state.exists() => {
                let time = pki::time_text(i64::from(second));
                say("", &format!("but {} goes on at {time}, as {} says", server.name(), instance.bookmark().display()));
            }
            Ok(_) => {}
            Err(error) => report.warnings.push(error.to_string()),
        }
        if instance.cache().exists() {
            say("", &format!("{} is not read: names come again from the server", instance.cache().display()));
        }
    }
}

fn log(config: &Config) {
    let log = &config.log;
    let mut places = Vec::new();
    places.extend(log.file.as_ref().map(|file| match log.max_bytes {
        0 => format!("{}, never rotated", file.display()),
        size => format!("{}, rotated at {}, {} kept", file.display(), bytes(size), log.keep_files),
    }));
    places.extend(log.stdout.then(|| "standard output".to_owned()));
    places.extend(log.stderr.then(|| "standard error".to_owned()));
    let form = if log.json { "JSON" } else { "eNcore's lines" };
    say("log", &format!("{form}, level {}, to {}", log.level, places.join(" and ")));
}
