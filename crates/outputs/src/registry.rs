//! Formats by name.

use crate::cef::{self, Cef, DELIMITERS, EncoreCef, Leef, StandardCef, Syslog};
use crate::clock::Clock;
use crate::csv::Csv;
use crate::dialect::Dialect;
use crate::fmc::{FMC, FmcSyslog};
use crate::json::Json;
use crate::mapping::plan::{Plans, Shown};
use crate::mapping::{Mapping, MappingError};
use crate::packet::PacketEncoding;
use crate::pretty::{KvPair, Pretty};
use crate::raw::{Base64, Raw};
use crate::resolved::Format;
use crate::splunk::{self, EncoreValues, KeyValue, QuotedValues};
use crate::style::Case;
use crate::text::Piece;
use crate::tree::{OBJECTS, Objects};
use thiserror::Error;

/// What formats can be told. A format takes what concerns it and leaves the rest.
#[derive(Debug, Clone)]
pub struct Options {
    /// How the payload of packets is shown.
    pub packets: PacketEncoding,
    /// Whole packets are printed, too.
    pub original_packet: bool,
    /// CEF and LEEF lines begin with a syslog header. eNcore's always do.
    pub syslog: bool,
    /// The host in it: the name of this machine.
    pub host: String,
    /// The time in it.
    pub clock: Clock,
    /// Its facility, 0 to 23; 1 is user. eNcore's is always 1.
    pub facility: u8,
    /// CEF and LEEF: the fields that have no key of their own are printed under their names.
    pub extended: bool,
    /// What separates the values of a LEEF line: a tab, `^` or `~`.
    pub delimiter: char,
    /// Which records a CSV file has: one of [`csv_sets`].
    pub csv: String,
    /// base64: whole messages, with their header, instead of records.
    pub passthru: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            packets: PacketEncoding::Hex,
            original_packet: true,
            syslog: true,
            host: "localhost".into(),
            clock: Clock::utc(),
            facility: 1,
            extended: false,
            delimiter: '\t',
            csv: "intrusion".into(),
            passthru: false,
        }
    }
}

/// Why there is no such format.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Nobody knows it.
    #[error("there is no format {name:?}; write one of {}", list(NAMES))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The format exists, but not in this dialect.
    #[error("the format {name} has no dialect {dialect}: {reason}; write {}", list(dialects))]
    Dialect {
        /// The format.
        name: &'static str,
        /// The dialect.
        dialect: Dialect,
        /// Why not.
        reason: &'static str,
        /// The dialects it has.
        dialects: &'static [&'static str],
    },
    /// There is no such set of columns.
    #[error("there is no set of CSV columns {name:?}; write one of {}", list(sets))]
    Columns {
        /// What was asked for.
        name: String,
        /// What there is.
        sets: Vec<String>,
    },
    /// A value out of range.
    #[error("{option} cannot be {value}; it must be {allowed}")]
    Option {
        /// Which option.
        option: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A mapping of this program is damaged.
    #[error(transparent)]
    Mapping(#[from] MappingError),
}

fn list<S: AsRef<str>>(names: impl AsRef<[S]>) -> String {
    names.as_ref().iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

/// The names of all formats.
pub const NAMES: &[&str] =
    &["json", "splunk", "kvpair", "cef", "cef2", "leef", "csv", "ecs", "ocsf", "fmc-syslog", "pretty", "base64", "raw"];

/// The names of the sets of CSV columns.
pub fn csv_sets() -> Result<Vec<String>, MappingError> {
    crate::csv::sets()
}

const SPLUNK_5: (&str, &str) = ("splunk-encore-5", include_str!("../mapping/splunk-encore-5.toml"));
const SPLUNK_3: (&str, &str) = ("splunk-encore-3", include_str!("../mapping/splunk-encore-3.toml"));
const SPLUNK: (&str, &str) = ("splunk-standard", include_str!("../mapping/splunk-standard.toml"));
const KVPAIR: (&str, &str) = ("kvpair-standard", include_str!("../mapping/kvpair-standard.toml"));
const CEF_5: (&str, &str) = ("cef-encore-5", include_str!("../mapping/cef-encore-5.toml"));
const CEF2_5: (&str, &str) = ("cef2-encore-5", include_str!("../mapping/cef2-encore-5.toml"));
const CEF_3: (&str, &str) = ("cef-encore-3", include_str!("../mapping/cef-encore-3.toml"));
const CEF: (&str, &str) = ("cef-standard", include_str!("../mapping/cef-standard.toml"));
const LEEF: (&str, &str) = ("leef-standard", include_str!("../mapping/leef-standard.toml"));

const ECS: (&str, &str) = ("ecs-standard", include_str!("../mapping/ecs-standard.toml"));
const OCSF: (&str, &str) = ("ocsf-standard", include_str!("../mapping/ocsf-standard.toml"));
const FMC_SYSLOG: (&str, &str) = ("fmc-syslog-standard", include_str!("../mapping/fmc-syslog-standard.toml"));

/// The format of this name in this dialect.
///
/// ```
/// # fn main() -> Result<(), outputs::FormatError> {
/// use outputs::{Dialect, Options};
/// let options = Options { host: "collector-1".into(), ..Options::default() };
/// let format = outputs::by_name("cef", Dialect::Encore5, &options)?;
/// # Ok(()) }
/// ```
pub fn by_name(name: &str, dialect: Dialect, options: &Options) -> Result<Box<dyn Format>, FormatError> {
    if options.facility > 23 {
        let value = options.facility.to_string();
        return Err(FormatError::Option { option: "facility", value, allowed: "0 to 23" });
    }
    if options.host.is_empty() || options.host.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let allowed = "a name without blanks";
        return Err(FormatError::Option { option: "host", value: format!("{:?}", options.host), allowed });
    }
    let no = |name, reason, dialects| Err(FormatError::Dialect { name, dialect, reason, dialects });
    Ok(match (name, dialect) {
        ("json", Dialect::Encore5) => Box::new(Json::encore_5(options.packets, options.original_packet)),
        ("json", Dialect::Encore3) => Box::new(Json::encore_3(options.original_packet)),
        ("json", _) => Box::new(Json::new()),
        ("splunk", Dialect::Encore5) => encore_splunk(&[SPLUNK_5], false, options)?,
        ("splunk", Dialect::Encore3) => encore_splunk(&[SPLUNK_5, SPLUNK_3], true, options)?,
        ("splunk", Dialect::Standard) => {
            let mut mapping = Mapping::load(&[SPLUNK_5, SPLUNK])?;
            without_original(&mut mapping, options);
            quoted(mapping, splunk::ENCORE, false, options)
        }
        ("kvpair", Dialect::Standard) => {
            let mut mapping = Mapping::load(&[KVPAIR])?;
            without_original(&mut mapping, options);
            let front = ["recordType", "eventSecond"];
            quoted(mapping, Shown { case: Case::Dotted, front, ..splunk::ENCORE }, true, options)
        }
        ("kvpair", Dialect::Encore3) => Box::new(KvPair::new()),
        ("kvpair", _) => return no("kvpair", "eNcore 5's kvpair fails at every event", &["encore-3", "standard"]),
        ("cef", Dialect::Encore5) => encore_cef(&[CEF_5], true, options)?,
        ("cef2", Dialect::Encore5) => encore_cef(&[CEF2_5], true, options)?,
        ("cef", Dialect::Encore3) => encore_cef(&[CEF_5, CEF_3], false, options)?,
        ("cef2", Dialect::Encore3) => {
            return no("cef2", "cef2 came with eNcore 5.0.3", &["encore-5", "standard"]);
        }
        ("cef", Dialect::Standard) => standard_cef(options.extended, options)?,
        ("cef2", Dialect::Standard) => standard_cef(true, options)?,
        ("leef", Dialect::Standard) => leef(options)?,
        ("leef", _) => return no("leef", "eNcore has no LEEF", &["standard"]),
        ("csv", Dialect::Standard) => Box::new(Csv::new(&options.csv)?),
        ("csv", _) => return no("csv", "eNcore's csv never worked as an output", &["standard"]),
        ("ecs", Dialect::Standard) => objects(&[ECS], options)?,
        ("ecs", _) => return no("ecs", "eNcore has no ECS", &["standard"]),
        ("ocsf", Dialect::Standard) => objects(&[OCSF], options)?,
        ("ocsf", _) => return no("ocsf", "eNcore's OCSF edition wrote no reliable JSON", &["standard"]),
        ("fmc-syslog", Dialect::Standard) => {
            let plans = Plans::new(Mapping::load(&[FMC_SYSLOG])?, FMC);
            // 1 is alert, the severity in the name of the message.
            let priority = options.syslog.then(|| Piece::new(&format!("<{}>", options.facility * 8 + 1)));
            Box::new(FmcSyslog { plans, priority, host: options.host.clone() })
        }
        ("fmc-syslog", _) => return no("fmc-syslog", "eNcore has no such lines", &["standard"]),
        ("pretty", Dialect::Encore3 | Dialect::Standard) => Box::new(Pretty::new()),
        ("pretty", _) => return no("pretty", "eNcore 5's pretty fails at every event", &["encore-3", "standard"]),
        ("base64", Dialect::Standard) => Box::new(Base64 { messages: options.passthru }),
        ("base64", _) => return no("base64", "eNcore's base64 is a pickled Python object", &["standard"]),
        ("raw", Dialect::Standard) => Box::new(Raw),
        ("raw", _) => return no("raw", "eNcore's binary is a pickled Python object", &["standard"]),
        _ => return Err(FormatError::Unknown { name: name.to_owned() }),
    })
}

fn encore_splunk(
    files: &[(&'static str, &str)],
    transport: bool,
    options: &Options,
) -> Result<Box<dyn Format>, FormatError> {
    let mut mapping = Mapping::load(files)?;
    without_original(&mut mapping, options);
    let style = EncoreValues { packets: options.packets, transport };
    Ok(Box::new(KeyValue { plans: Plans::new(mapping, splunk::ENCORE), style }))
}

/// The whole packet is left out if that is wanted.
fn without_original(mapping: &mut Mapping, options: &Options) {
    if options.original_packet {
        return;
    }
    mapping.computed.insert("originalPacket".into(), String::new());
    mapping.fields.insert("packetData".into(), String::new());
    for entry in mapping.records.values_mut() {
        entry.keys.retain(|(key, _)| !matches!(key.as_str(), "original_packet" | "packetData"));
    }
}

fn quoted(mapping: Mapping, shown: Shown, comma: bool, options: &Options) -> Box<dyn Format> {
    let shown = Shown { rest: true, versions: true, ..shown };
    let style = QuotedValues { packets: options.packets, shown, comma };
    Box::new(KeyValue { plans: Plans::new(mapping, shown), style })
}

fn encore_cef(files: &[(&'static str, &str)], five: bool, options: &Options) -> Result<Box<dyn Format>, FormatError> {
    let plans = Plans::new(Mapping::load(files)?, cef::ENCORE);
    // Version 3 has no other encoding.
    let packets = if five { options.packets } else { PacketEncoding::Ascii };
    let style = EncoreCef { packets, original: options.original_packet, transport: !five, bars: five };
    let syslog = Some(syslog(13, true, options));
    Ok(Box::new(Cef { plans, style, syslog, start: Piece::new("CEF:0|Cisco|Firepower|6.0|"), leef: None }))
}

fn standard_cef(extended: bool, options: &Options) -> Result<Box<dyn Format>, FormatError> {
    let shown = Shown { rest: extended, versions: true, ..cef::ENCORE };
    let mut mapping = Mapping::load(&[CEF])?;
    without_original(&mut mapping, options);
    let plans = Plans::new(mapping, shown);
    let style = StandardCef { packets: options.packets, shown };
    let syslog = options.syslog.then(|| syslog(options.facility * 8 + 5, false, options));
    Ok(Box::new(Cef { plans, style, syslog, start: Piece::new("CEF:0|Cisco|Firepower|6.0|"), leef: None }))
}

fn leef(options: &Options) -> Result<Box<dyn Format>, FormatError> {
    let Some(delimiter) = u8::try_from(options.delimiter).ok().filter(|d| DELIMITERS.contains(d)) else {
        let value = format!("{:?}", options.delimiter);
        return Err(FormatError::Option { option: "delimiter", value, allowed: "a tab, ^ or ~" });
    };
    let shown = Shown { rest: options.extended, versions: true, ..cef::ENCORE };
    let mut mapping = Mapping::load(&[LEEF])?;
    without_original(&mut mapping, options);
    let plans = Plans::new(mapping, shown);
    let style = Leef { packets: options.packets, shown, delimiter };
    let syslog = options.syslog.then(|| syslog(options.facility * 8 + 5, false, options));
    let header = Piece::new(&format!("x{delimiter:02X}|"));
    Ok(Box::new(Cef { plans, style, syslog, start: Piece::new("LEEF:2.0|Cisco|Firepower|6.0|"), leef: Some(header) }))
}

/// Nested objects of events.
fn objects(files: &[(&'static str, &str)], options: &Options) -> Result<Box<dyn Format>, FormatError> {
    let mapping = || {
        let mut mapping = Mapping::load(files)?;
        without_original(&mut mapping, options);
        Ok(mapping)
    };
    Ok(Box::new(Objects::new(mapping, OBJECTS, options.packets)?))
}

fn syslog(priority: u8, zero: bool, options: &Options) -> Syslog {
    Syslog {
        priority: Piece::new(&format!("<{priority}>")),
        clock: options.clock.clone(),
        zero,
        host: Piece::new(&format!(" {} ", options.host)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::expr::{Expr, Part, Term};
    use crate::mapping::item::NAMES as MOST_NAMES;
    use crate::mapping::places::Shape;
    use std::collections::BTreeSet;
    use wire::layout::{self, Layout};

    /// Every mapping with its name.
    fn mappings() -> Vec<(String, Mapping, Shown)> {
        let rest = |shown: Shown| Shown { rest: true, versions: true, ..shown };
        let mut all: Vec<(String, Mapping, Shown)> = [
            ("splunk encore-5", &[SPLUNK_5][..], splunk::ENCORE),
            ("splunk encore-3", &[SPLUNK_5, SPLUNK_3], splunk::ENCORE),
            ("splunk standard", &[SPLUNK_5, SPLUNK], rest(splunk::ENCORE)),
            ("kvpair standard", &[KVPAIR], Shown { case: Case::Dotted, ..rest(splunk::ENCORE) }),
            ("cef encore-5", &[CEF_5], cef::ENCORE),
            ("cef2 encore-5", &[CEF2_5], cef::ENCORE),
            ("cef encore-3", &[CEF_5, CEF_3], cef::ENCORE),
            ("cef standard", &[CEF], rest(cef::ENCORE)),
            ("leef standard", &[LEEF], rest(cef::ENCORE)),
        ]
        .into_iter()
        .map(|(name, files, shown)| (name.to_owned(), Mapping::load(files).unwrap(), shown))
        .collect();
        for set in csv_sets().unwrap() {
            all.push((format!("csv {set}"), crate::csv::mapping(&set).unwrap().0, cef::ENCORE));
        }
        all
    }

    fn paths<'e>(expr: &'e Expr, found: &mut Vec<&'e str>) {
        for term in &expr.0 {
            match term {
                Term::Path(path) => found.push(path),
                Term::Call(crate::mapping::expr::Function::Table, a) => a.iter().skip(1).for_each(|a| paths(a, found)),
                Term::Call(_, arguments) => arguments.iter().for_each(|a| paths(a, found)),
                _ => {}
            }
        }
    }

    #[test]
    fn every_path_leads_to_a_field() {
        let mut bad = Vec::new();
        for (name, mapping, _) in mappings() {
            // Records may share a key whose source only one of them has.
            let (mut used, mut good) = (BTreeSet::new(), BTreeSet::new());
            for (record_type, entry) in &mapping.records {
                let record = layout::record(*record_type);
                assert!(record.is_some(), "{name}: there is no record {record_type}");
                let main = record.map(|r| r.main_layout());
                // Other versions of the block have the same name, or nearly.
                let named = |l: &&Layout| main.is_some_and(|m| l.title.split(' ').next() == m.title.split(' ').next());
                let layouts = layout::blocks().filter(named).chain(record.map(|r| r.body)).chain(main);
                let shapes: Vec<Shape> = layouts.map(|main| Shape { record, main: Some(main) }).collect();
                let parts = entry.id.0.iter().chain(&entry.name.0);
                let header = parts.filter_map(|p| if let Part::Value(expr) = p { Some(expr) } else { None });
                let mut found = Vec::new();
                for expr in header.chain([&entry.severity]).chain(entry.keys.iter().map(|(_, expr)| expr)) {
                    paths(expr, &mut found);
                }
                for path in found {
                    used.insert(path);
                    if shapes.iter().any(|shape| shape.find(path).is_some()) {
                        good.insert(path);
                    }
                }
            }
            bad.extend(used.difference(&good).map(|path| format!("{name}: {path}")));
        }
        assert!(bad.is_empty(), "{} paths lead nowhere:\n{}", bad.len(), bad.join("\n"));
    }

    #[test]
    fn no_key_stands_twice_in_a_line() {
        for (name, mapping, shown) in mappings() {
            let plans = Plans::new(mapping, shown);
            for record in layout::records() {
                let own = record.main_layout();
                let versions = layout::blocks().filter(|l| l.title.split(' ').next() == own.title.split(' ').next());
                for main in [own, record.body].into_iter().chain(versions) {
                    let Some(plan) = plans.compile(Some(record), Some(main)) else { continue };
                    assert!(plan.slots.len() < 256 && plan.names_len() <= MOST_NAMES, "{name}: {}", record.record_type);
                    let mut keys = plan.keys();
                    keys.sort();
                    if let Some(twice) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
                        panic!("{name}: record {} prints {:?} twice", record.record_type, twice[0]);
                    }
                }
            }
        }
    }

    #[test]
    fn what_there_is_not_is_said() {
        let error = |name, dialect, options: &Options| by_name(name, dialect, options).err().unwrap().to_string();
        let options = Options::default();
        let unknown = error("xml", Dialect::Standard, &options);
        assert!(unknown.contains("xml") && NAMES.iter().all(|n| unknown.contains(n)), "{unknown}");
        let leef = error("leef", Dialect::Encore5, &options);
        assert!(leef.contains("encore-5") && leef.ends_with("write standard"), "{leef}");
        assert!(error("cef2", Dialect::Encore3, &options).ends_with("write encore-5, standard"));
        let csv = error("csv", Dialect::Standard, &Options { csv: "x".into(), ..options.clone() });
        assert!(csv.contains("\"x\"") && csv.contains("intrusion"), "{csv}");
        let host = error("cef", Dialect::Standard, &Options { host: "a b".into(), ..options.clone() });
        assert!(host.contains("\"a b\""), "{host}");
        let delimiter = error("leef", Dialect::Standard, &Options { delimiter: '=', ..options.clone() });
        assert!(delimiter.contains("'='"), "{delimiter}");
        assert!(error("cef", Dialect::Standard, &Options { facility: 24, ..options }).contains("24"));
    }

    #[test]
    fn every_format_exists_in_some_dialect() {
        for name in NAMES {
            assert!(by_name(name, Dialect::Standard, &Options::default()).is_ok(), "{name}");
        }
    }
}
