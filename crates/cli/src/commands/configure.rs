//! `estreamer configure`: what eNcore's configure.py does for other tools.

use super::place::Place;
use super::presets::{rewrite, set};
use super::status;
use crate::arguments::{Configure, Now, Preset, Printed};
use crate::exit::{Exit, Failure, say};
use crate::service::pid;
use collector::config::document;
use serde_json::{Value, json};

pub(crate) fn run(arguments: &Configure) -> Result<Exit, Failure> {
    let mut place = Place::open(&arguments.file)?;
    let changes = changes(arguments);
    if !changes.is_empty() {
        if document::is_toml(&arguments.file) {
            return Err(Failure::new(format!(
                "{} is TOML, whose comments would be lost. Edit it; values of JSON files can be set",
                arguments.file.display()
            )));
        }
        for (keys, value) in changes {
            set(&mut place.document, keys, value);
        }
        rewrite(&arguments.file, &place.document)?;
    }
    if let Some(Now::Now) = arguments.bookmark {
        let second = jiff::Timestamp::now().as_second();
        let second = u32::try_from(second).map_err(|_| Failure::new("the clock is wrong"))?;
        let path = place.instance()?.bookmark();
        collector::encore::write_bookmark(&path, second)
            .map_err(|e| Failure::new(format!("{} cannot be written: {e}", path.display())))?;
    }
    if let Some(name) = arguments.print {
        say(printed(&place, name)?);
    }
    Ok(Exit::Done)
}

type Change = (&'static [&'static str], Value);

fn changes(arguments: &Configure) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    let mut add = |keys, value: Option<Value>| changes.extend(value.map(|value| (keys, value)));
    let output = arguments.output.map(Preset::from);
    add(&["handler", "outputters"], output.map(|preset| json!([preset.outputter(preset.uri())])));
    add(&["enabled"], arguments.enabled.map(Value::from));
    add(&["conditions"], arguments.conditions.as_ref().map(|word| json!([word])));
    add(&["logging", "stdOut"], arguments.logstdout.map(Value::from));
    add(&["logging", "stdErr"], arguments.logstderr.map(Value::from));
    add(&["logging", "level"], arguments.debug.map(|debug| if debug { "DEBUG" } else { "INFO" }.into()));
    add(&["subscription", "servers", "0", "host"], arguments.host.clone().map(Value::from));
    add(&["subscription", "servers", "0", "port"], arguments.port.map(Value::from));
    add(&["handler", "outputters", "0", "stream", "uri"], arguments.stream0.clone().map(Value::from));
    add(&["handler", "records", "connections"], arguments.connections.map(Value::from));
    add(&["handler", "records", "packets"], arguments.packets.map(Value::from));
    add(&["handler", "records", "metadata"], arguments.metadata.map(Value::from));
    changes
}

fn printed(place: &Place, name: Printed) -> Result<String, Failure> {
    let value = |pointer: &str| match place.value(pointer) {
        None | Some(Value::Null) => String::new(),
        // As Python prints them.
        Some(Value::Bool(true)) => "True".to_owned(),
        Some(Value::Bool(false)) => "False".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let absolute = |path: std::path::PathBuf| std::path::absolute(&path).unwrap_or(path).display().to_string();
    Ok(match name {
        Printed::Host => value("/subscription/servers/0/host"),
        Printed::Port => value("/subscription/servers/0/port"),
        Printed::Stream0 => value("/handler/outputters/0/stream/uri"),
        Printed::Enabled => value("/enabled"),
        Printed::Metadata => value("/handler/records/metadata"),
        Printed::Pkcs12 => value("/subscription/servers/0/pkcs12Filepath"),
        Printed::PrivateKey => absolute(place.instance()?.key()),
        Printed::PublicKey => absolute(place.instance()?.certificate()),
        Printed::StatusFile => absolute(place.instance()?.status()),
        Printed::PidFile => absolute(place.instance()?.pid()),
        Printed::Stem => place.instance()?.stem().display().to_string(),
        Printed::Pid => {
            let number = pid::running(&place.instance()?.pid()).flatten();
            number.map_or("-1".to_owned(), |number| number.to_string())
        }
        Printed::SplunkStatus => status::line(&place.instance()?),
    })
}
