//! `estreamer setup`: eNcore's question for the output.

use super::config_init;
use super::place::Place;
use super::presets::{rewrite, set};
use crate::arguments::{ConfigInit, OfConfig, Preset};
use crate::exit::{Exit, Failure, hint, say};
use collector::config::{ConfigError, document};
use serde_json::json;
use std::io::BufRead;

/// Where the path of an output stands.
const URI: &str = "$.handler.outputters[0].stream.uri";

pub(crate) fn run(arguments: &OfConfig) -> Result<Exit, Failure> {
    let path = &arguments.config;
    let mut place = match Place::open(path) {
        Ok(place) => place,
        // The first run: everything has to be asked for.
        Err(ConfigError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return config_init::run(&ConfigInit {
                file: path.clone(),
                host: None,
                port: None,
                pkcs12: None,
                no_password: false,
                output: None,
                to: None,
                start: None,
                force: false,
            });
        }
        Err(error) => return Err(error.into()),
    };
    if document::is_toml(path) {
        return Err(Failure::new(format!(
            "{} is TOML, whose comments would be lost. Edit it; `estreamer config check` explains it",
            path.display()
        )));
    }
    hint(format_args!("Would you like to output to (1) Splunk, (2) CEF or (3) JSON? "));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    let preset = match answer.trim() {
        "1" => Preset::Splunk,
        "2" => Preset::Cef,
        "3" => Preset::Json,
        _ => {
            say(format_args!("No changes made"));
            return Ok(Exit::Failed);
        }
    };
    set(&mut place.document, &["handler", "outputters"], json!([preset.outputter(preset.uri())]));
    set(&mut place.document, &["enabled"], true.into());
    rewrite(path, &place.document)?;
    match preset {
        Preset::Cef => say(format_args!(
            "Set host and port of the receiver before you start it: {URI} in {}, or\n  estreamer configure {} --stream0 udp://HOST:PORT",
            path.display(),
            path.display()
        )),
        _ => say(format_args!("To write elsewhere, change {URI} in {}", path.display())),
    }
    Ok(Exit::Done)
}
