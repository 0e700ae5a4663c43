//! The arguments of `estreamer store`.

use clap::{Args, Subcommand};
use server::Bytes;
use std::path::PathBuf;

const CHECK_HELP: &str = "\
Examples:
  estreamer store check --home /var/lib/estreamer
  estreamer store check --home /var/lib/estreamer --netmap 0 --json

Everything is read: headers, checksums, sequence numbers, seconds, copies of metadata, and every record along the schema.
Nothing is changed, and service and sensors may run. A line for each segment tells the time of its events (UTC), their
number, its bytes and its state; a line for each finding tells file, offset, bytes and how many events are lost by it.

Exit codes: 0 all is well (notes, as of records that are not as their type should be, count as well), 1 it failed,
3 something is damaged, missing or can be repaired.";

const REPAIR_HELP: &str = "\
Examples:
  estreamer store repair --home /var/lib/estreamer
  estreamer store repair --home /var/lib/estreamer --cut

Without --cut only that is made good by which nothing is lost: what a crash left behind, damaged segment headers,
incomplete copies of metadata. With --cut damaged bytes are cut out of their segments into files
unified2.SECOND.damaged-OFFSET beside them, and the gap in the numbers is marked; all good events stay as they are.

Service and sensors may run: a segment is replaced by renaming a complete copy, and only when nobody writes to it any
more. Run it as the user who owns the archive. The disk needs room for a copy of the largest damaged segment.

Exit codes: 0 all is well now, 1 it failed (what was told before is done), 3 something is left: use --cut, or it is
nothing that can be repaired.";

const EXPORT_HELP: &str = "\
Examples:
  estreamer store export --home /var/lib/estreamer --from 2026-03-01T08:00:00Z --to 2026-03-01T09:00:00Z -o hour.bin
  estreamer store export --home /var/lib/estreamer --from 1772352000 --types 400,2,110 -o intrusions.bin.zst
  estreamer store export --home /var/lib/estreamer --from 2026-03-01 | estreamer decode --format json -
  estreamer store export --home /var/lib/estreamer --types 71 | estreamer decode --format cef --dialect encore-5 -
  zstdcat intrusions.bin.zst | estreamer decode --format csv -

The file holds messages as they go over the wire, each with an archival timestamp; `estreamer decode` and `estreamer
sensor replay` read it (unpacked). Times are those at which events were archived: from --from on, up to but not with
--to. A time is a Unix second, an RFC 3339 time, or a date (its beginning in UTC). The metadata that is in force at the
beginning comes first, and what changes later before the events that need it; --types chooses events only.

A file gets its name when it is complete; until then it is called FILE.part. Service and sensors may run.

Exit codes: 0 all of it, 1 it failed, 3 some events of that time are damaged or missing in the archive.";

const PRUNE_HELP: &str = "\
Examples:
  estreamer store prune --home /var/lib/estreamer --dry-run
  estreamer store prune --home /var/lib/estreamer --keep-bytes 5GB

Deletes the oldest segments at once, as the service does every minute with keep_days, keep_bytes and keep_free_bytes of
the settings; the options are used instead of them. The newest segment of each network map always stays.";

/// What `estreamer store` does.
#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Examine all of the archive; changes nothing
    #[command(after_help = CHECK_HELP)]
    Check(StoreCheck),
    /// Make good what can be made good
    #[command(after_help = REPAIR_HELP)]
    Repair(StoreRepair),
    /// Write the events of a time to a file, as they go over the wire
    #[command(after_help = EXPORT_HELP)]
    Export(StoreExport),
    /// Show how much there is, of which time
    #[command(after_help = "Example:\n  estreamer store size --home /var/lib/estreamer --json")]
    Size(StoreSize),
    /// Delete the oldest segments now
    #[command(after_help = PRUNE_HELP)]
    Prune(StorePrune),
}

#[derive(Debug, Args)]
pub(crate) struct StoreCheck {
    /// The server's home
    #[arg(long, value_name = "DIR", env = "ESTREAMER_HOME", hide_env_values = true)]
    pub(crate) home: PathBuf,
    /// Only this network map [default: all there are]
    #[arg(long, value_name = "N")]
    pub(crate) netmap: Option<u32>,
    /// Print one JSON object instead of lines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StoreRepair {
    /// The server's home
    #[arg(long, value_name = "DIR", env = "ESTREAMER_HOME", hide_env_values = true)]
    pub(crate) home: PathBuf,
    /// Only this network map [default: all there are]
    #[arg(long, value_name = "N")]
    pub(crate) netmap: Option<u32>,
    /// Cut damaged bytes out, and mark gaps
    #[arg(long)]
    pub(crate) cut: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StoreExport {
    /// The server's home
    #[arg(long, value_name = "DIR", env = "ESTREAMER_HOME", hide_env_values = true)]
    pub(crate) home: PathBuf,
    /// First archival second [default: the oldest there is]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) from: Option<u32>,
    /// First archival second that is not wanted any more [default: all there is now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) to: Option<u32>,
    /// The network map [default: that of the settings]
    #[arg(long, value_name = "N")]
    pub(crate) netmap: Option<u32>,
    /// Record types of the events, by number or name, with commas between [default: all]
    #[arg(long, value_name = "TYPES", value_delimiter = ',', value_parser = record_types)]
    pub(crate) types: Vec<Types>,
    /// The file, packed when its name ends in .gz or .zst; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct StoreSize {
    /// The server's home
    #[arg(long, value_name = "DIR", env = "ESTREAMER_HOME", hide_env_values = true)]
    pub(crate) home: PathBuf,
    /// Print one JSON object instead of lines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StorePrune {
    /// The server's home
    #[arg(long, value_name = "DIR", env = "ESTREAMER_HOME", hide_env_values = true)]
    pub(crate) home: PathBuf,
    /// Days to keep; 0 is for ever
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=36_525))]
    pub(crate) keep_days: Option<u32>,
    /// Size that the archive of a network map may have; 0 is any
    #[arg(long, value_name = "SIZE")]
    pub(crate) keep_bytes: Option<Bytes>,
    /// Free space that is to be left; 0 is none
    #[arg(long, value_name = "SIZE")]
    pub(crate) keep_free_bytes: Option<Bytes>,
    /// Only tell what would go
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Record types that a word stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Types(pub(crate) Vec<u16>);

/// A time as a Unix second.
fn time(text: &str) -> Result<u32, String> {
    let second = if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        text.parse::<i64>().ok()
    } else if let Ok(time) = text.parse::<jiff::Timestamp>() {
        Some(time.as_second())
    } else {
        // A date alone: of a time without a zone nobody could say which second it is.
        let date = text.parse::<jiff::civil::Date>().ok().filter(|_| text.len() == "2026-03-01".len());
        let date = date.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok());
        date.map(|date| date.timestamp().as_second())
    };
    second.and_then(|second| u32::try_from(second).ok()).ok_or_else(|| {
        "give a Unix second, a time such as 2026-03-01T08:00:00Z, or a date from 1970 to 2106".to_owned()
    })
}

/// The record types of a number or name.
fn record_types(text: &str) -> Result<Types, String> {
    let text = text.trim();
    if let Ok(number) = text.parse::<u16>() {
        return Ok(Types(vec![number]));
    }
    let plain = |name: &str| name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let wanted = plain(text);
    // Those of today first.
    let named = |same: &dyn Fn(&str) -> bool| -> Vec<u16> {
        let records = wire::layout::records().iter().filter(|record| !record.metadata && same(&plain(record.name)));
        let (now, before): (Vec<_>, Vec<_>) = records.partition(|record| record.event == record.record_type);
        now.into_iter().chain(before).map(|record| record.record_type).collect()
    };
    let exact = named(&|name| name == wanted);
    if !exact.is_empty() {
        return Ok(Types(exact));
    }
    let like = if wanted.is_empty() { Vec::new() } else { named(&|name| name.contains(&wanted)) };
    let like: Vec<String> =
        like.into_iter().take(10).filter_map(|n| Some(format!("{n} {}", wire::layout::record(n)?.name))).collect();
    Err(match like.is_empty() {
        true => "no event has that name; `estreamer schema list` has them all".to_owned(),
        false => format!("is one of these meant: {}?", like.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_rfc_3339_or_dates() {
        for (text, second) in [
            ("0", 0),
            ("1772352000", 1_772_352_000),
            ("2026-03-01T08:00:00Z", 1_772_352_000),
            ("2026-03-01T09:00:00+01:00", 1_772_352_000),
            ("2026-03-01T08:00:00.9Z", 1_772_352_000),
            ("2026-03-01", 1_772_323_200),
        ] {
            assert_eq!(time(text), Ok(second), "{text}");
        }
        for text in ["", "now", "-1", "1969-12-31", "2107-01-01", "2026-03-01T08:00:00", "4294967296", "2026-13-01"] {
            assert!(time(text).unwrap_err().contains("Unix second"), "{text}");
        }
    }

    #[test]
    fn types_are_numbers_or_names() {
        assert_eq!(record_types("400"), Ok(Types(vec![400])));
        let name = wire::layout::record(400).unwrap().name;
        assert!(record_types(&name.to_uppercase()).unwrap().0.contains(&400), "{name}");
        assert!(record_types("parrot").unwrap_err().contains("schema list"));
        assert!(record_types("").is_err());
        assert!(record_types("intrusion").is_err_and(|error| error.contains("400")), "{:?}", record_types("intrusion"));
    }
}
