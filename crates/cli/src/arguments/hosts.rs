//! The arguments of `estreamer hosts`.

use clap::Args;
use std::path::PathBuf;

/// What `estreamer hosts --help` ends with.
pub(crate) const HOSTS_HELP: &str = "\
Examples:
  estreamer hosts --home /var/lib/estreamer
  estreamer hosts --home /var/lib/estreamer 10.0.0.7
  estreamer hosts --home /var/lib/estreamer 10.0.0.0/24,fd00::1 --json
  estreamer hosts --home /var/lib/estreamer --search nginx
  estreamer hosts --home /var/lib/estreamer --domain plant

Hosts come from what sensors report; docs/server.md, \"Network map\", says what becomes a host. Each domain has hosts of its
own. The command only reads the map; it needs no running service. With --json each host is a line with an
object; times are Unix seconds. Exit codes: 0 done, 1 it failed, 3 there is no such host.";

#[derive(Debug, Args)]
pub(crate) struct ListHosts {
    /// The server's home
    #[arg(long, value_name = "DIR", env = "ESTREAMER_HOME", hide_env_values = true)]
    pub(crate) home: PathBuf,
    /// Addresses, ranges (10.0.0.1-10.0.0.9) and networks (10.0.0.0/24), with commas between; or all
    #[arg(value_name = "ADDRESSES", default_value = "all")]
    pub(crate) addresses: String,
    #[command(flatten)]
    pub(crate) domain: super::InDomain,
    /// Only hosts with this text in an address, name, user, system, server or client application
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
    /// Print a JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}
