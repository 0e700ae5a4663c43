//! `estreamer config init`: a new configuration, with what each key is for.

use super::presets::write;
use crate::arguments::{ConfigInit, Preset};
use crate::exit::{Exit, Failure, say};
use collector::config::{Config, document};
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// How often a wrong answer is asked again.
const ATTEMPTS: usize = 3;

/// What was given or answered.
struct Answers {
    host: String,
    port: u16,
    /// As it goes into the file.
    pkcs12: String,
    password: Option<String>,
    preset: Preset,
    uri: String,
    start: u8,
}

pub(crate) fn run(arguments: &ConfigInit) -> Result<Exit, Failure> {
    let file = &arguments.file;
    if file.exists() && !arguments.force {
        return Err(Failure::new(format!(
            "{} is there already. Take another name, or --force to replace it",
            file.display()
        )));
    }
    let asks = std::io::stdin().is_terminal();
    let host = given_or(arguments.host.clone(), asks, "--host", "Name or address of the management center: ")?;
    if host.is_empty() || host == "1.2.3.4" || host.contains(char::is_whitespace) {
        return Err(Failure::new(format!("{host:?} is no name or address of a management center")));
    }
    let port = match arguments.port {
        Some(port) => port,
        None if asks => number(&ask("Its port [8302]: ")?, 8302)?,
        None => 8302,
    };
    let (pkcs12, password, locked) = certificate(arguments, asks)?;
    let preset = match arguments.output {
        Some(preset) => preset,
        None if asks => choose(&ask("Output: (1) Splunk, (2) CEF, (3) JSON, (4) LEEF [3]: ")?)?,
        None => return Err(missing("--output")),
    };
    let uri = match (&arguments.to, preset) {
        (Some(uri), _) => uri.clone(),
        (None, Preset::Cef) => {
            let receiver =
                given_or(None, asks, "--to", "Receiver, as udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT: ")?;
            if receiver.contains("://") { receiver } else { format!("udp://{receiver}") }
        }
        (None, preset) if asks => {
            let answer = ask(&format!("Where to [{}]: ", preset.uri()))?;
            if answer.is_empty() { preset.uri().to_owned() } else { answer }
        }
        (None, preset) => preset.uri().to_owned(),
    };
    let start = match arguments.start {
        Some(start) => start,
        None if asks => {
            let answer = ask("Begin with (0) the oldest data, (1) what comes from now on [0]: ")?;
            if answer == "1" { 1 } else { 2 }
        }
        None => 2,
    };
    let answers = Answers { host, port, pkcs12, password, preset, uri, start };
    let text = if document::is_toml(file) { toml(&answers) } else { json_text(&answers)? };
    // What would be refused later is refused now.
    Config::parse(&text, file, document::folder(file))?;
    let mode = if answers.password.is_some() { 0o600 } else { 0o644 };
    write(file, text.as_bytes(), mode)
        .map_err(|e| Failure::new(format!("{} cannot be written: {e}", file.display())))?;
    let name = file.display();
    say(format_args!(
        "{name} is written. Now:\n  estreamer config check {name}\n  estreamer test --config {name}\n  estreamer start --config {name}"
    ));
    if locked {
        eprintln!(
            "The PKCS#12 file needs a password, which is not in {name}: give it in ESTREAMER_PASSWORD, or set password beside \
             pkcs12Filepath"
        );
        return Ok(if arguments.no_password { Exit::Done } else { Exit::Incomplete });
    }
    Ok(Exit::Done)
}

/// The PKCS#12 file, opened; its password, if it has one and it is to be kept; and whether it stays closed without.
fn certificate(arguments: &ConfigInit, asks: bool) -> Result<(String, Option<String>, bool), Failure> {
    let path: PathBuf = match &arguments.pkcs12 {
        Some(path) => path.clone(),
        None if asks => {
            let answer = ask("PKCS#12 file of this client [client.pkcs12]: ")?;
            if answer.is_empty() { "client.pkcs12".into() } else { answer.into() }
        }
        None => return Err(missing("--pkcs12")),
    };
    let bytes = pki::read_bounded(&path, pki::files::MAX_FILE)?;
    let open = |password: Option<&str>| pki::Bundle::from_pkcs12(&bytes, password);
    let mut password = std::env::var("ESTREAMER_PASSWORD").ok();
    let mut outcome = open(password.as_deref());
    for _ in 0..ATTEMPTS {
        let closed = matches!(outcome, Err(ref error) if is_password(error));
        if !closed || !asks {
            break;
        }
        let prompt = format!("Password of {}: ", path.display());
        let asked = client::password::ask(&prompt)
            .map_err(|e| Failure::new(format!("the password cannot be asked for: {e}")))?;
        outcome = open(Some(&asked));
        password = Some(asked.to_string());
    }
    let needs_one = open(None).is_err();
    let locked = match outcome {
        Ok(bundle) => {
            if let Ok(info) = bundle.info() {
                say(format_args!(
                    "The certificate is that of {}, valid to {}",
                    info.subject,
                    pki::time_text(info.not_after)
                ));
            }
            false
        }
        // Nobody was asked: the file can still be written.
        Err(pki::Error::PasswordNeeded) if password.is_none() => true,
        Err(error) => return Err(error.in_file(&path).into()),
    };
    let keep = needs_one && !locked && !arguments.no_password;
    let closed_later = needs_one && !keep;
    Ok((beside(&arguments.file, &path)?, password.filter(|_| keep), closed_later))
}

fn is_password(error: &pki::Error) -> bool {
    matches!(error.root(), pki::Error::PasswordNeeded | pki::Error::WrongPassword)
}

/// The path of a file as a configuration names it: by its name when it is in the same folder.
fn beside(config: &Path, path: &Path) -> Result<String, Failure> {
    let (config, path) = (std::path::absolute(config)?, std::path::absolute(path)?);
    let name = if path.parent() == config.parent() { path.file_name().map(PathBuf::from) } else { None };
    let name = name.unwrap_or(path);
    let text = name.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure::new(format!("{} is no UTF-8 and cannot stand in a configuration", name.display())))
}

fn given_or(given: Option<String>, asks: bool, option: &str, question: &str) -> Result<String, Failure> {
    match given {
        Some(text) => Ok(text),
        None if !asks => Err(missing(option)),
        None => {
            for _ in 0..ATTEMPTS {
                let answer = ask(question)?;
                if !answer.is_empty() {
                    return Ok(answer);
                }
            }
            Err(missing(option))
        }
    }
}

fn missing(option: &str) -> Failure {
    Failure::new(format!("{option} is missing, and there is no answer: see estreamer config init --help"))
}

fn ask(question: &str) -> Result<String, Failure> {
    let mut out = std::io::stdout();
    out.write_all(question.as_bytes())?;
    out.flush()?;
    let mut answer = String::new();
    if std::io::stdin().read_line(&mut answer)? == 0 {
        return Err(Failure::new("there is no answer"));
    }
    Ok(answer.trim().to_owned())
}

fn number(answer: &str, default: u16) -> Result<u16, Failure> {
    match answer {
        "" => Ok(default),
        text => {
            let port = text.parse().ok().filter(|port| *port != 0);
            port.ok_or_else(|| Failure::new(format!("{text:?} is no TCP port, 1 to 65535")))
        }
    }
}

fn choose(answer: &str) -> Result<Preset, Failure> {
    Ok(match answer {
        "1" => Preset::Splunk,
        "2" => Preset::Cef,
        "" | "3" => Preset::Json,
        "4" => Preset::Leef,
        other => return Err(Failure::new(format!("{other:?} is none of 1, 2, 3 and 4"))),
    })
}

fn outputter(answers: &Answers) -> Value {
    answers.preset.outputter(&answers.uri)
}

fn json_text(answers: &Answers) -> Result<String, Failure> {
    let mut server = json!({
        "host": answers.host, "port": answers.port,
        "pkcs12Filepath@comment": "The file the management center issued for the address of this machine",
        "pkcs12Filepath": answers.pkcs12,
    });
    if let (Some(password), Some(map)) = (&answers.password, server.as_object_mut()) {
        map.insert("password".into(), password.as_str().into());
    }
    let document = json!({
        "@comment": "Keys with comment in their name are comments. estreamer config check FILE explains the rest",
        "enabled": true,
        "start@comment": "At the first start: 0 or 2 the oldest data, 1 what comes from now on. Later it goes on where it ended",
        "start": answers.start,
        "dialect@comment": "Whose lines: standard, or encore-5 or encore-3 for those of eNcore",
        "dialect": "standard",
        "logging": {"filepath": "estreamer.log", "level": "INFO", "maxBytes": 100_000_000, "keepFiles": 5},
        "monitor": {"period": 120, "handled": true, "bookmark": true},
        "subscription": {"servers": [server]},
        "handler": {
            "records@comment": "What is written; what is not written is not asked for",
            "records": {
                "connections": true, "intrusion": true, "packets": true, "core": true, "rna": true, "rua": true,
                "metadata": false, "include": [], "exclude": [],
            },
            "outputters": [outputter(answers)],
        },
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// The same in TOML. A text of JSON is one of TOML.
fn toml(answers: &Answers) -> String {
    let text = |value: &str| Value::from(value).to_string();
    let password = answers.password.as_deref().map(|p| format!("password = {}\n", text(p))).unwrap_or_default();
    let options = match answers.uri.contains("file://") {
        true => "# A new file after so many lines\noptions = { maxLogs = 10000, rotate = true }\n",
        false => "",
    };
    format!(
        "# A collector of estreamer. `estreamer config check FILE` explains it.
enabled = true
# At the first start: 0 or 2 the oldest data, 1 what comes from now on. Later it goes on where it ended.
start = {start}
# Whose lines: \"standard\", or \"encore-5\" or \"encore-3\" for those of eNcore.
dialect = \"standard\"

[logging]
filepath = \"estreamer.log\"
level = \"INFO\"
# The file is renamed at this size, and so many are kept.
maxBytes = 100_000_000
keepFiles = 5

[monitor]
period = 120
handled = true
bookmark = true

[[subscription.servers]]
host = {host}
port = {port}
# The file the management center issued for the address of this machine.
pkcs12Filepath = {pkcs12}
{password}
# What is written; what is not written is not asked for.
[handler.records]
connections = true
intrusion = true
packets = true
# Files, malware, correlation.
core = true
# Discovery.
rna = true
# Users.
rua = true
metadata = false
include = []
exclude = []

[[handler.outputters]]
adapter = {adapter}
enabled = true

[handler.outputters.stream]
uri = {uri}
{options}",
        start = answers.start,
        host = text(&answers.host),
        port = answers.port,
        pkcs12 = text(&answers.pkcs12),
        adapter = text(answers.preset.adapter()),
        uri = text(&answers.uri),
    )
}
