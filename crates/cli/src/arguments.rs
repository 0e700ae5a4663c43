//! The arguments of every command.

use clap::{Args, Parser, Subcommand};
use outputs::Dialect;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Collector, server and reference client for Cisco/Sourcefire eStreamer.
///
/// eStreamer is the TLS protocol (TCP 8302) by which a Secure Firewall Management Center streams security events.
/// `estreamer collect` reads such a stream and writes JSON; `estreamer server` offers one, fed by open sensors;
/// `estreamer demo` shows both at work on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "estreamer",
    version,
    propagate_version = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 done but something is missing (undecodable input, \
                  events that did not arrive).\nThis software is independent of Cisco and not endorsed by it."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show everything at work: simulator, archive, server, TLS and collector on this machine
    #[command(after_help = "Example:\n  estreamer demo --seconds 10\n\nThe collected events are left in ./demo-data/.")]
    Demo(Demo),
    /// Make the home of a server: authority, certificate, settings
    #[command(after_help = "Example:\n  estreamer init /var/lib/estreamer --name estreamer.example.com")]
    Init(Init),
    /// Run the eStreamer service
    #[command(
        after_help = "Example:\n  estreamer server --home /var/lib/estreamer --nodaemon\n\nSIGHUP reads the settings again, SIGTERM ends \
                      all sessions and the service."
    )]
    Server(Server),
    /// Create, list and remove the clients of a server
    #[command(subcommand)]
    Clients(Clients),
    /// Feed a server's archive
    #[command(subcommand)]
    Sensor(Sensor),
    /// Collect from a management center
    #[command(
        after_help = "Example:\n  estreamer collect --config estreamer.conf\n\nThe password of the PKCS#12 file may be given in \
                            ESTREAMER_PASSWORD instead of in the file.\nSIGTERM and Ctrl-C stop it after what was received is delivered."
    )]
    Collect(Collect),
    /// Connect to a management center and say what happens
    #[command(
        after_help = "Example:\n  estreamer test --config estreamer.conf\n\nThe password of the PKCS#12 file may be given in \
                            ESTREAMER_PASSWORD instead of in the file."
    )]
    Test(Test),
    /// Decode a file of captured messages
    #[command(
        after_help = "Example:\n  estreamer decode --format json capture.bin\n  estreamer decode --format cef --dialect encore-5 capture.bin\n\nThe file holds messages back to back, as they come from a \
                      server, bundles included.\nA record that cannot be decoded gives a line on standard error; the rest is still \
                      printed, and the exit code is 3."
    )]
    Decode(Decode),
    /// Print what is known of records and data blocks
    #[command(subcommand)]
    Schema(Schema),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  estreamer completions bash > /etc/bash_completion.d/estreamer")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How long to simulate events
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// Simulate exactly this many events, as fast as possible unless --rate is given
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) events: Option<u64>,
    /// Events a second (default 200 with --seconds)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) rate: Option<u32>,
    /// Same seed, same events
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The folder to make
    pub(crate) dir: PathBuf,
    /// Name or address of this server for its certificate; may be given several times [default: this host's name]
    #[arg(long = "name", value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Server {
    /// The home made by `estreamer init`
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// Address to listen on; may be given several times [default: the settings; all addresses, port 8302]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<SocketAddr>,
    /// Stay in the foreground
    #[arg(long)]
    pub(crate) nodaemon: bool,
    /// Log every status message
    #[arg(long)]
    pub(crate) debug: bool,
    /// Do not compare the name in a client's certificate with its address; all other checks stay
    #[arg(long)]
    pub(crate) nohostcheck: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Clients {
    /// Create a client: issues its certificate and writes HOST.pkcs12
    #[command(after_help = "Example:\n  estreamer clients add --home /var/lib/estreamer 192.0.2.10")]
    Add {
        /// The server's home
        #[arg(long, value_name = "DIR")]
        home: PathBuf,
        /// Host name or address of the client, as the server sees it
        host: String,
        /// Password of the PKCS#12 file
        #[arg(long, value_name = "TEXT")]
        password: Option<String>,
        /// Where to write the PKCS#12 file [default: HOST.pkcs12 in the current folder]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List the clients
    #[command(after_help = "Example:\n  estreamer clients list --home /var/lib/estreamer")]
    List {
        /// The server's home
        #[arg(long, value_name = "DIR")]
        home: PathBuf,
    },
    /// Remove a client: its certificate is refused from now on
    #[command(after_help = "Example:\n  estreamer clients remove --home /var/lib/estreamer 192.0.2.10")]
    Remove {
        /// The server's home
        #[arg(long, value_name = "DIR")]
        home: PathBuf,
        /// The client
        host: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sensor {
    /// Follow a Snort unified2 spool
    #[command(
        after_help = "Example:\n  estreamer sensor unified2 --home /var/lib/estreamer --maps /etc/snort /var/log/snort"
    )]
    Unified2(Unified2),
    /// Make up the events of an enterprise
    #[command(after_help = "Example:\n  estreamer sensor simulate --home /var/lib/estreamer --events 100000")]
    Simulate(Simulate),
}

#[derive(Debug, Args)]
pub(crate) struct Unified2 {
    /// The server's home
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// The spool folder, or one file
    pub(crate) spool: PathBuf,
    /// Base name of the spool files, when the folder has several
    #[arg(long, value_name = "NAME")]
    pub(crate) base: Option<String>,
    /// Folder with sid-msg.map, gen-msg.map and classification.config
    #[arg(long, value_name = "DIR")]
    pub(crate) maps: Option<PathBuf>,
    /// Device id of this sensor
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) device: u32,
    /// Name of this sensor
    #[arg(long, value_name = "NAME", default_value = "snort")]
    pub(crate) name: String,
    /// End when all there is has been read
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// The server's home
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// Same seed, same events
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Stop after this many events, counted over restarts
    #[arg(long, value_name = "N")]
    pub(crate) events: Option<u64>,
    /// Events a second [default: as fast as possible]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) rate: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Collect {
    /// The configuration, as eNcore writes it
    #[arg(long, value_name = "FILE", default_value = "estreamer.conf")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The configuration, as eNcore writes it
    #[arg(long, value_name = "FILE", default_value = "estreamer.conf")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Decode {
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "json", value_parser = clap::builder::PossibleValuesParser::new(outputs::registry::NAMES))]
    pub(crate) format: String,
    /// Whose lines they are to be like: encore-5, encore-3 or standard
    #[arg(long, value_name = "DIALECT", default_value_t = Dialect::Standard)]
    pub(crate) dialect: Dialect,
    /// Fields that CEF and LEEF have no key for are printed under their names
    #[arg(long)]
    pub(crate) extended: bool,
    /// Which records the CSV has, one set of columns each
    #[arg(long, value_name = "SET", default_value = "intrusion")]
    pub(crate) columns: String,
    /// Begin each line with the number of its message in the file, from 0, and a tab
    #[arg(long)]
    pub(crate) number: bool,
    /// The file, or - for standard input
    pub(crate) file: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Schema {
    /// All record types and data blocks
    #[command(after_help = "Example:\n  estreamer schema list | grep Connection")]
    List,
    /// The fields of a record type (71) or data block (1:174, series and number)
    #[command(after_help = "Example:\n  estreamer schema show 400\n  estreamer schema show 1:174")]
    Show {
        /// Record type, or series:number of a data block
        #[arg(value_name = "TYPE")]
        name: String,
    },
}
