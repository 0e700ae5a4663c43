//! Configurations of eNcore are read as they are: all keys of its template, and what its set-up makes of it.
#![allow(clippy::unwrap_used, clippy::panic)]

use collector::config::network::Carrier;
use collector::config::{Config, ConfigError, Log, Place};
use outputs::transport::syslog::Message;
use outputs::{Dialect, Target};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// eNcore's template with every key of 1.x to 5.x.
const TEMPLATE: &str = include_str!("data/default.conf");

fn template() -> Value {
    serde_json::from_str(TEMPLATE).unwrap()
}

fn parse(document: &Value) -> Result<Config, ConfigError> {
    Config::parse(&document.to_string(), Path::new("estreamer.conf"), PathBuf::from("/opt/encore"))
}

/// What set-up puts in place of the outputters.
fn preset(adapter: &str, uri: &str, options: Value) -> Value {
    let mut document = template();
    document["handler"]["outputters"] =
        json!([{"adapter": adapter, "enabled": true, "stream": {"uri": uri, "options": options}}]);
    document
}

#[test]
fn the_template_with_all_its_keys() {
    let config = parse(&template()).unwrap();
    let empty = "handler.outputters has no enabled entry: records are read and dropped";
    assert_eq!(config.warnings, [empty]);
    // Each key that does nothing is told once, with what happens instead.
    let idle = [
        "alwaysAttemptToContinue",
        "batchSize",
        "maxQueueSize",
        "monitor.subscribed",
        "monitor.velocity",
        "queueSize",
        "responseTimeout",
        "subscription.records.connection",
        "subscription.servers[0].tlsVersion",
        "workerProcesses",
    ];
    let mut told: Vec<&str> = config.notices.iter().map(|n| n.split(" does nothing: ").next().unwrap()).collect();
    told.sort_unstable();
    assert_eq!(told, idle);
    assert_eq!((config.servers[0].host.as_str(), config.servers[0].port), ("fmc.example.com", 8302));
    assert_eq!(config.connect_timeout, Duration::from_secs(10));
    assert_eq!(config.flags, 0x4890_0061);
    assert!(config.follow_bookmark && config.enabled);
    let file = Some(PathBuf::from("/opt/encore/estreamer.log"));
    assert_eq!(config.log, Log { file, stdout: true, stderr: false, ..Log::default() });
}

#[test]
fn the_presets_of_set_up() {
    let files = json!({"rotate": true, "maxLogs": 10000});
    let presets = [
        ("splunk", "relfile:///data/splunk/encore.{0}.log", "data/splunk", "encore.{0}.log"),
        ("json", "relfile:///data/json/encore.{0}.json", "data/json", "encore.{0}.json"),
        ("cef2", "relfile:///data/cef2/encore{0}.cef", "data/cef2", "encore{0}.cef"),
    ];
    for (adapter, uri, folder, name) in presets {
        let config = parse(&preset(adapter, uri, files.clone())).unwrap();
        assert_eq!(config.warnings, Vec::<String>::new(), "{adapter}");
        let output = &config.outputs[0];
        assert_eq!((output.format.name.as_str(), output.format.dialect), (adapter, Dialect::Encore5));
        assert_eq!(output.files.lines_per_file, Some(10_000));
        let Place::Files(Target::File { folder: there, name: named }) = &output.place else { panic!("{output:?}") };
        assert_eq!((there.as_path(), named.as_str()), (Path::new(folder), name));
    }
    let error = parse(&preset("cef", "udp://{host}:{port}", json!({}))).unwrap_err().to_string();
    assert!(error.contains("handler.outputters[0].stream.uri is \"udp://{host}:{port}\""), "{error}");
    assert!(error.contains("udp://192.0.2.20:514") && error.contains("--stream0"), "{error}");
    let config = parse(&preset("cef", "udp://192.0.2.20:514", json!({}))).unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    let Place::Network(network) = &config.outputs[0].place else { panic!() };
    assert!(matches!(&network.carrier, Carrier::Datagram(s) if s.message == Message::Plain && s.line_feed));
}

#[test]
fn adapters_that_get_messages_as_they_are() {
    for (adapter, format) in [("base64", "base64"), ("binary", "raw"), ("binstr", "raw"), ("popo", "raw")] {
        let mut document = preset(adapter, "relfile:///x.{0}", json!({}));
        document["handler"]["outputters"][0]["passthru"] = true.into();
        document["handler"]["outputters"][0]["name"] = "any".into();
        let config = parse(&document).unwrap();
        assert_eq!(config.warnings, Vec::<String>::new(), "{adapter}");
        let line = &config.outputs[0].format;
        assert_eq!((line.name.as_str(), line.options.passthru), (format, true), "{adapter}");
    }
    let mut document = preset("json", "relfile:///x.{0}", json!({}));
    document["handler"]["outputters"][0]["passthru"] = true.into();
    assert!(parse(&document).unwrap().warnings[0].contains("passthru does nothing with json"));
    // Formats that never worked, or only in 3.x, are written in a dialect that has them.
    for (adapter, dialect) in [("kvpair", Dialect::Encore3), ("pretty", Dialect::Encore3), ("csv", Dialect::Standard)] {
        let config = parse(&preset(adapter, "relfile:///x.{0}", json!({}))).unwrap();
        assert_eq!(config.outputs[0].format.dialect, dialect);
        assert!(config.notices.iter().any(|n| n.contains("is written in the dialect")), "{:?}", config.notices);
    }
    let mut chosen = preset("csv", "relfile:///x.{0}", json!({}));
    chosen["dialect"] = "encore-5".into();
    assert!(parse(&chosen).unwrap_err().to_string().contains("no dialect encore-5"));
}

#[test]
fn what_encore_takes_more_loosely() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut document = preset("json", "relfile:///x.{0}", json!({}));
        change(&mut document);
        parse(&document).unwrap()
    };
    let config = with(&|c| c["start"] = 7.into());
    assert!(config.follow_bookmark && config.warnings[0].contains("start is 7"));
    assert!(!with(&|c| c["start"] = 0.into()).follow_bookmark);
    let config = with(&|c| c["conditions"] = json!(["splunk"]));
    assert_eq!(config.warnings, Vec::<String>::new());
    assert!(config.notices.iter().any(|n| n.contains("\"splunk\"")));
    assert!(with(&|c| c["conditions"] = json!(["base"])).warnings[0].contains("no condition"));
    let config = with(&|c| c["subscription"]["records"]["packetEncoding"] = "octal".into());
    assert!(config.warnings[0].contains("hex"));
    let config = with(&|c| c["handler"]["records"]["flows"] = 1.into());
    assert!(config.notices.iter().any(|n| n.contains("handler.records.flows does nothing")));
    assert!(!with(&|c| c["handler"]["records"]["rna"] = 0.into()).selection.rna);
    let config = with(&|c| c["logging"]["format"] = "%(message)s".into());
    assert!(config.notices.iter().any(|n| n.contains("logging.format")) && !config.log.json);
    assert!(with(&|c| c["logging"]["format"] = "json".into()).log.json);
    let mut silent = with(&|c| c["logging"] = json!({"stdOut": false, "stdErr": false}));
    assert!(silent.log.stderr && silent.warnings.remove(0).contains("standard error"));
    // Events on standard output are not mixed with the log.
    let config = with(&|c| c["handler"]["outputters"][0]["stream"]["uri"] = "stdout://".into());
    assert_eq!((config.log.stdout, config.log.stderr), (false, true));
}

#[test]
fn the_same_in_toml() {
    let text = r#"
start = 2
[logging]
level = "DEBUG"
[[subscription.servers]]
host = "fmc.example.com"
pkcs12Filepath = "client.pkcs12"
[[handler.outputters]]
adapter = "json"
stream = { uri = "relfile:///data/x.{0}.json", options = { maxLogs = 5 } }
"#;
    let config = Config::parse(text, Path::new("c.toml"), PathBuf::from("/c")).unwrap();
    assert_eq!((config.log.level, config.outputs[0].files.lines_per_file), ("debug", Some(5)));
    let error = Config::parse(&text.replace("DEBUG", "LOUD"), Path::new("c.toml"), PathBuf::new()).unwrap_err();
    assert!(error.to_string().starts_with("c.toml: logging.level is \"LOUD\""), "{error}");
}
