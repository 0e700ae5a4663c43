//! The arguments of the commands that take records from other programs.

use super::InDomain;
use clap::{Args, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// What `estreamer publish --help` ends with.
pub(crate) const PUBLISH_HELP: &str = "\
Examples:
  echo '{\"recordType\": 112, \"id\": \"a-1\", \"policyId\": 7, \"eventDescription\": \"Two failed logins\"}' |
    estreamer publish --home /var/lib/estreamer --device 9 --name my-program -
  estreamer decode --format json capture.bin | estreamer publish --home /var/lib/estreamer -

A line has recordType and the fields of the record by name; `estreamer schema show 112` lists them, docs/server.md has
the rest. A line with an id is accepted once. What is wrong with a line is told with its number, and the others are
published all the same. Exit codes: 0 all lines are in the archive, 1 it failed, 3 some lines were rejected.";

#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The server's home
    #[arg(long, value_name = "DIR", env = "ESTREAMER_HOME", hide_env_values = true)]
    pub(crate) home: PathBuf,
    #[command(flatten)]
    pub(crate) device: Device,
    /// Name under which the ids of lines are known
    #[arg(long, value_name = "NAME", default_value = "publish")]
    pub(crate) source: String,
    #[command(flatten)]
    pub(crate) place: InDomain,
    /// A file of JSON lines, or - for standard input
    pub(crate) file: PathBuf,
}

/// The device that events come from.
#[derive(Debug, Args)]
pub(crate) struct Device {
    /// Device id of events that have none
    #[arg(long, value_name = "N")]
    pub(crate) device: Option<u32>,
    /// Name of that device
    #[arg(long, value_name = "NAME", requires = "device")]
    pub(crate) name: Option<String>,
}

/// What `estreamer sensor replay --help` ends with.
pub(crate) const REPLAY_HELP: &str = "\
Examples:
  estreamer sensor replay --home /var/lib/estreamer --speed 10 --times shifted capture.bin
  estreamer sensor replay --home /var/lib/estreamer monday.bin tuesday.bin

A file holds messages back to back, as for `estreamer decode`. A replay that was stopped or killed goes on where it
ended, by the names of its files. Exit codes: 0 all records are in the archive, 1 it failed or was stopped, 3 some
messages were damaged and skipped.";

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The server's home
    #[arg(long, value_name = "DIR", env = "ESTREAMER_HOME", hide_env_values = true)]
    pub(crate) home: PathBuf,
    /// How fast: original (as the records were archived first), N times as fast, or max
    #[arg(long, value_name = "SPEED", default_value = "max", value_parser = Speed::parse)]
    pub(crate) speed: Speed,
    /// Whether the times of events stay, or are moved so that the first is now
    #[arg(long, value_enum, value_name = "TIMES", default_value_t = Times::Original)]
    pub(crate) times: Times,
    /// Begin anew, although these files were replayed before
    #[arg(long)]
    pub(crate) again: bool,
    #[command(flatten)]
    pub(crate) place: InDomain,
    /// Files of captured messages
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// Speed of a replay; `None` is as fast as possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Speed(pub(crate) Option<NonZeroU32>);

impl Speed {
    fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "max" => Ok(Speed(None)),
            "original" => Ok(Speed(Some(NonZeroU32::MIN))),
            times => {
                times.parse().map(|n| Speed(Some(n))).map_err(|_| "it must be original, max or a number from 1 on")
            }
        }
    }
}

/// Times of replayed events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Times {
    /// As they were
    Original,
    /// Moved so that the first is now
    Shifted,
}

/// What `estreamer sensor record-json --help` ends with.
pub(crate) const RECORD_JSON_HELP: &str = "\
Examples:
  estreamer sensor record-json --home /var/lib/estreamer --socket /run/estreamer/records.socket --device 9
  estreamer tokens add --home /var/lib/estreamer my-program
  estreamer sensor record-json --home /var/lib/estreamer --listen 0.0.0.0:8303
  curl --cacert /var/lib/estreamer/ca/ca.crt -H 'Authorization: Bearer TOKEN' --data-binary @records.json \\
    https://estreamer.example.com:8303/records

Lines are those of `estreamer publish`. An answer comes when the records are in the archive.";

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("door").required(true).multiple(true).args(["socket", "listen"]))]
pub(crate) struct RecordJson {
    /// The server's home
    #[arg(long, value_name = "DIR", env = "ESTREAMER_HOME", hide_env_values = true)]
    pub(crate) home: PathBuf,
    /// Listen at a Unix socket
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Listen for POST /records over HTTPS, with the server's certificate
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// HTTP without TLS, on a loopback address only
    #[arg(long, requires = "listen")]
    pub(crate) plain_http: bool,
    #[command(flatten)]
    pub(crate) device: Device,
    #[command(flatten)]
    pub(crate) place: InDomain,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    /// Make a token; it is shown this once
    #[command(after_help = "Example:\n  estreamer tokens add --home /var/lib/estreamer my-program")]
    Add(Token),
    /// List the names of tokens
    #[command(after_help = "Example:\n  estreamer tokens list --home /var/lib/estreamer")]
    List {
        /// The server's home
        #[arg(long, value_name = "DIR", env = "ESTREAMER_HOME", hide_env_values = true)]
        home: PathBuf,
    },
    /// Remove a token: it is refused from now on
    #[command(after_help = "Example:\n  estreamer tokens remove --home /var/lib/estreamer my-program")]
    Remove(Token),
}

#[derive(Debug, Args)]
pub(crate) struct Token {
    /// The server's home
    #[arg(long, value_name = "DIR", env = "ESTREAMER_HOME", hide_env_values = true)]
    pub(crate) home: PathBuf,
    /// Name of the token; what is published with it has the source http.NAME
    pub(crate) name: String,
}
