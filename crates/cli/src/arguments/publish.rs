//! The arguments of the commands that take records from other programs.

use clap::Args;
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
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    #[command(flatten)]
    pub(crate) device: Device,
    /// Name under which the ids of lines are known
    #[arg(long, value_name = "NAME", default_value = "publish")]
    pub(crate) source: String,
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
