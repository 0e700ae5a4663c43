//! The outputs of a configuration: formats, filters, destinations and their options.

use super::network::is_network;
use super::{ConfigError, LineFormat, Object, Output, Place, Reader};
use crate::filter::Filter;
use outputs::{Clock, Dialect, FormatError, Options, PacketEncoding, Settings, Target};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of this machine.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

impl Reader<'_> {
    pub(super) fn outputs(
        &mut self,
        root: &Object<'_>,
        handler: &Object<'_>,
        folder: &Path,
    ) -> Result<Vec<Output>, ConfigError> {
        let wanted = "a list of outputters: [{\"adapter\": \"json\", \"enabled\": true, \"stream\": {\"uri\": …}}]";
        let key = handler.key("outputters");
        let list = match handler.value("outputters") {
            None => return Err(self.missing(key, wanted)),
            Some(value) => value.as_array().ok_or_else(|| self.wrong(&key, value, wanted))?,
        };
        let defaults = self.defaults(root)?;
        let mut outputs: Vec<Output> = Vec::new();
        for (i, entry) in list.iter().enumerate() {
            let place = format!("{key}[{i}]");
            let map = entry.as_object().ok_or_else(|| self.wrong(&place, entry, wanted))?;
            let entry = Object { map, place };
            self.known(&entry, &["adapter", "enabled", "passthru", "stream", "filter", "dialect", "format"]);
            if !self.flag(&entry, "enabled", true)? {
                continue;
            }
            let format = self.format(&entry, &defaults, root.value("dialect").is_some())?;
            let stream = self.section(&entry, "stream", "where the lines go: {\"uri\": …}")?;
            self.known(&stream, &["uri", "options"]);
            let uri = self.text(
                &stream,
                "uri",
                "a stream URI, for example relfile:///data/json/encore.{0}.json or stdout://",
            )?;
            if uri.contains("{host}") || uri.contains("{port}") {
                return Err(self.wrong(
                    &stream.key("uri"),
                    &Value::from(uri),
                    "the receiver's address where the placeholders are, for example udp://192.0.2.20:514. `estreamer \
                     configure FILE --stream0 URI` sets it for the first outputter",
                ));
            }
            // The state of an output is found by its URI.
            if outputs.iter().any(|o: &Output| o.uri == uri) {
                return Err(self.wrong(
                    &stream.key("uri"),
                    &Value::from(uri),
                    "another stream than that of an outputter before",
                ));
            }
            let filter = self.filter(&entry)?;
            let name = self.label(&entry, "name")?.unwrap_or_else(|| super::document::without_user(&uri));
            if outputs.iter().any(|o: &Output| o.name == name) {
                self.warnings.push(format!("{} is {name}, as that of another outputter", entry.key("name")));
            }
            let (place, files, key) = if is_network(&uri) {
                // They are no lines: the receiver could not tell where one ends.
                if matches!(format.name.as_str(), "raw" | "pretty") {
                    let value = Value::from(format.name);
                    return Err(self.wrong(&entry.key("adapter"), &value, "a format of lines to go over the network"));
                }
                let network = self.network(&stream, &uri, folder)?;
                (Place::Network(Box::new(network)), Settings::new("", ""), None)
            } else {
                let target: Result<Target, _> = uri.parse();
                let target = target.map_err(|source| ConfigError::Uri {
                    path: self.path.into(),
                    key: stream.key("uri"),
                    source: Box::new(source),
                })?;
                let (files, key) = self.file_options(&stream, matches!(target, Target::Scp { .. }))?;
                (Place::Files(target), files, key)
            };
            outputs.push(Output { format, name, uri, place, filter, files, key });
        }
        if outputs.is_empty() {
            self.warnings.push(format!("{key} has no enabled entry: records are read and dropped"));
        }
        Ok(outputs)
    }

    pub(super) fn filter(&mut self, object: &Object<'_>) -> Result<Option<Filter>, ConfigError> {
        let Some(value) = object.value("filter") else { return Ok(None) };
        let key = object.key("filter");
        let wrong = |source| ConfigError::Filter { path: self.path.into(), key: key.clone(), source: Box::new(source) };
        match value {
            Value::String(text) if text.trim().is_empty() => Ok(None),
            Value::String(text) => Filter::parse(text).map(Some).map_err(wrong),
            other => Err(self.wrong(&key, other, "a filter, as in \"class == intrusion and destinationPort == 443\"")),
        }
    }

    /// The options of files: eNcore's, and ours for what it cannot do.
    fn file_options(
        &mut self,
        stream: &Object<'_>,
        scp: bool,
    ) -> Result<(outputs::Settings, Option<PathBuf>), ConfigError> {
        let lines = if scp { 500 } else { 10_000 };
        let mut files = outputs::Settings::new("", "");
        files.lines_per_file = Some(lines);
        let Some(options) = self.optional_section(stream, "options")? else { return Ok((files, None)) };
        let mut known = vec!["rotate", "maxLogs", "maxBytes", "maxSeconds", "aligned", "compress"];
        known.extend(if scp { &["scpKeyFilepath"][..] } else { &["partial", "keepFiles", "keepBytes", "keepSeconds"] });
        self.known(&options, &known);
        let count = |name, default, wanted| {
            let n = self.number(&options, name, default, wanted)?.max(1);
            Ok::<_, ConfigError>(options.value(name).map(|_| n))
        };
        let to_size = |n| usize::try_from(n).unwrap_or(usize::MAX);
        let most = self.number(&options, "maxLogs", lines as u64, "a number of records, at least 1")?.max(1);
        let rotate = self.flag(&options, "rotate", true)? || scp;
        files.lines_per_file = rotate.then_some(to_size(most));
        files.max_bytes = count("maxBytes", 0, "a number of bytes, at least 1")?;
        files.max_age = count("maxSeconds", 0, "a number of seconds, at least 1")?.map(Duration::from_secs);
        files.aligned = self.flag(&options, "aligned", false)?;
        files.partial = self.flag(&options, "partial", false)?;
        files.compression = match options.value("compress") {
            None => None,
            Some(Value::String(how)) if how == "gzip" => Some(outputs::file::Compression::Gzip),
            Some(Value::String(how)) if how == "zstd" => Some(outputs::file::Compression::Zstd),
            Some(other) => return Err(self.wrong(&options.key("compress"), other, "gzip or zstd")),
        };
        files.retention.files = count("keepFiles", 0, "a number of files, at least 1")?.map(to_size);
        files.retention.bytes = count("keepBytes", 0, "a number of bytes, at least 1")?;
        files.retention.age = count("keepSeconds", 0, "a number of seconds, at least 1")?.map(Duration::from_secs);
        let key = match options.value("scpKeyFilepath").filter(|_| scp) {
            None => None,
            Some(Value::String(path)) if path.is_empty() => None,
            Some(_) => Some(self.text(&options, "scpKeyFilepath", "the path of a private key")?.into()),
        };
        Ok((files, key))
    }

    /// What holds for the formats of all outputs.
    fn defaults(&mut self, root: &Object<'_>) -> Result<LineFormat, ConfigError> {
        // A file without this key is one of eNcore's.
        let dialect = self.dialect(root)?.unwrap_or(Dialect::Encore5);
        let mut options = Options { host: host_name(), ..Options::default() };
        options.packets = self.packets(root)?;
        if let Some(subscription) = self.optional_section(root, "subscription")?
            && let Some(records) = self.optional_section(&subscription, "records")?
        {
            options.original_packet = self.flag(&records, "includeOriginalPacket", true)?;
        }
        Ok(LineFormat { name: String::new(), dialect, options })
    }

    /// How payloads of packets are printed; a relative of eNcore has the key at the top.
    fn packets(&mut self, root: &Object<'_>) -> Result<PacketEncoding, ConfigError> {
        let mut found = root.value("packetEncoding").map(|value| (root.key("packetEncoding"), value));
        if let Some(subscription) = self.optional_section(root, "subscription")?
            && let Some(records) = self.optional_section(&subscription, "records")?
            && let Some(value) = records.value("packetEncoding")
        {
            found = Some((records.key("packetEncoding"), value));
        }
        let Some((key, value)) = found else { return Ok(PacketEncoding::Hex) };
        Ok(match value.as_str().map(str::to_ascii_lowercase).as_deref() {
            Some("hex") => PacketEncoding::Hex,
            Some("ascii") => PacketEncoding::Ascii,
            Some("utf-8" | "utf8") => PacketEncoding::Utf8,
            // Any other text is hex to eNcore, too.
            Some(other) => {
                self.warnings
                    .push(format!("{key} is {other:?}, none of hex, ascii and utf-8: packets are printed in hex"));
                PacketEncoding::Hex
            }
            None => return Err(self.wrong(&key, value, "hex, ascii or utf-8")),
        })
    }

    fn dialect(&self, object: &Object<'_>) -> Result<Option<Dialect>, ConfigError> {
        let wrong = |value| self.wrong(&object.key("dialect"), value, "encore-5, encore-3 or standard");
        match object.value("dialect") {
            None => Ok(None),
            Some(value) => value.as_str().and_then(|text| text.parse().ok()).map(Some).ok_or_else(|| wrong(value)),
        }
    }

    /// Messages as they came instead of records: only formats that write bytes can do so.
    fn passthru(&mut self, entry: &Object<'_>, format: &str) -> Result<bool, ConfigError> {
        let passthru = self.flag(entry, "passthru", false)?;
        if passthru && !matches!(format, "base64" | "raw") {
            let key = entry.key("passthru");
            self.warnings
                .push(format!("{key} does nothing with {format}: only base64 and raw write messages as they are"));
        }
        Ok(passthru)
    }

    /// Format, dialect and options of an output, checked. `chosen`: the file names a dialect.
    fn format(&mut self, entry: &Object<'_>, defaults: &LineFormat, chosen: bool) -> Result<LineFormat, ConfigError> {
        let wanted = "the name of a format: json, splunk, kvpair, cef, cef2, leef, csv, pretty, base64 or raw";
        let adapter = self.text(entry, "adapter", wanted)?;
        let mut format = defaults.clone();
        format.name = match adapter.as_str() {
            // eNcore's names of what writes messages as they are.
            "binary" | "binstr" | "popo" => "raw".to_owned(),
            other => other.to_owned(),
        };
        format.dialect = self.dialect(entry)?.unwrap_or(format.dialect);
        let chosen = chosen || entry.value("dialect").is_some();
        format.options.passthru = self.passthru(entry, &format.name)?;
        let options = &mut format.options;
        // eNcore's times are local.
        options.clock = if format.dialect == Dialect::Standard { Clock::utc() } else { Clock::local() };
        if let Some(own) = self.optional_section(entry, "format")? {
            self.known(&own, &["syslog", "facility", "extended", "delimiter", "columns", "host"]);
            options.syslog = self.flag(&own, "syslog", options.syslog)?;
            options.extended = self.flag(&own, "extended", options.extended)?;
            let facility = "a syslog facility, 0 to 23";
            let number = self.number(&own, "facility", options.facility.into(), facility)?;
            let fits = u8::try_from(number).ok().filter(|n| *n < 24);
            options.facility = fits.ok_or_else(|| self.wrong(&own.key("facility"), &number.into(), facility))?;
            if own.value("delimiter").is_some() {
                let wanted = "one character: a tab, ^ or ~";
                let text = self.text(&own, "delimiter", wanted)?;
                let mut chars = text.chars();
                let (first, second) = (chars.next(), chars.next());
                let one = first.filter(|_| second.is_none());
                options.delimiter =
                    one.ok_or_else(|| self.wrong(&own.key("delimiter"), &text.clone().into(), wanted))?;
            }
            if own.value("columns").is_some() {
                options.csv = self.text(&own, "columns", "a set of CSV columns, for example intrusion")?;
            }
            if own.value("host").is_some() {
                options.host = self.text(&own, "host", "the name of this host in syslog headers")?;
            }
        }
        match format.make() {
            Ok(_) => Ok(format),
            // A file of eNcore's names no dialect: its formats that never worked there, or that wrote objects of
            // Python's, are written in one that exists.
            Err(FormatError::Dialect { name, reason, dialects, .. }) if !chosen && !dialects.is_empty() => {
                format.dialect = dialects.first().and_then(|d| d.parse().ok()).unwrap_or(Dialect::Standard);
                self.notices.push(format!(
                    "{} is {name}, which is written in the dialect {}, because {reason}",
                    entry.key("adapter"),
                    format.dialect
                ));
                Ok(format)
            }
            Err(source) => {
                Err(ConfigError::Format { path: self.path.into(), key: entry.key("adapter"), source: Box::new(source) })
            }
        }
    }
}
