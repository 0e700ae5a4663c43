//! The arguments of the commands that run a collector.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Operation {
    /// Collect from a management center, in the foreground
    #[command(
        visible_alias = "foreground",
        after_help = "Example:\n  estreamer collect --config estreamer.conf\n\nThe password of the PKCS#12 file may be given in \
                      ESTREAMER_PASSWORD instead of in the file; at a terminal it is asked for.\nSIGTERM and Ctrl-C stop it after \
                      what was received is delivered, SIGHUP opens the log file again, SIGUSR1 prints the\nstatus as JSON."
    )]
    Collect(Collect),
    /// Connect to a management center and say what happens
    #[command(
        after_help = "Example:\n  estreamer test --config estreamer.conf\n\nThe password of the PKCS#12 file may be given in \
                            ESTREAMER_PASSWORD instead of in the file; at a terminal it is asked for."
    )]
    Test(OfConfig),
    /// Start a collector in the background
    #[command(
        after_help = "Example:\n  estreamer start --config estreamer.conf\n\nIt prints \"Started. pid=N\" when the collector runs. Exit codes: 0 \
                            it runs and is connected (or ran already), 1 it did not\nstart, 3 it runs and has not connected yet: standard \
                            error says why. Without logging.filepath its log is\nestreamer.log beside the configuration."
    )]
    Start(Start),
    /// Stop a collector
    #[command(
        after_help = "Example:\n  estreamer stop --config estreamer.conf\n\nExit codes: 0 it has stopped, or did not run; 1 it could not be \
                            stopped."
    )]
    Stop(Stop),
    /// Stop a collector and start it again
    #[command(after_help = "Example:\n  estreamer restart --config estreamer.conf\n\nExit codes are those of start.")]
    Restart(Restart),
    /// Say what a collector does
    #[command(
        after_help = "Example:\n  estreamer status --config estreamer.conf\n  status_id=1 status=\"Running\"\n\nThe number is 1 running, -1 not \
                            connected, 2 starting, 3 stopping, 0 stopped. Exit codes: 0 the collector runs, 3 it does\nnot run, 1 the \
                            configuration cannot be read."
    )]
    Status(Status),
    /// Choose an output, as eNcore's set-up does
    #[command(
        after_help = "Example:\n  estreamer setup --config estreamer.conf\n  echo 3 | estreamer setup\n\nIt replaces the list of outputters by \
                            the chosen one. `estreamer config init` makes a new configuration."
    )]
    Setup(OfConfig),
    /// Delete complete data files that are old
    #[command(
        after_help = "Example:\n  estreamer clean --config estreamer.conf --minutes 1440\n\nOnly files whose names the outputs of the \
                            configuration make are deleted, never one that is written or the newest."
    )]
    Clean(Clean),
    /// Pack the log file into encore-log-DATE.tar.gz, without stopping the collector
    #[command(after_help = "Example:\n  estreamer archive --config estreamer.conf")]
    Archive(OfConfig),
    /// Check or write a configuration
    #[command(subcommand)]
    Config(Config),
    /// Set and print values of a configuration, as eNcore's configure.py
    #[command(
        infer_long_args = true,
        after_help = "Examples:\n  estreamer configure estreamer.conf --host fmc.example.com --output json --enabled true\n  estreamer configure \
                      estreamer.conf --print splunkstatus\n\nThe file must be JSON; it is written with sorted keys, as eNcore does. \
                      Option names may be shortened."
    )]
    Configure(Box<Configure>),
}

#[derive(Debug, Args)]
pub(crate) struct Collect {
    #[command(flatten)]
    pub(crate) of: OfConfig,
    /// Leave the terminal: the log goes to its file alone (what `start` uses)
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OfConfig {
    /// The configuration, as eNcore writes it, or in TOML
    #[arg(long, value_name = "FILE", default_value = "estreamer.conf")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    #[command(flatten)]
    pub(crate) of: OfConfig,
    /// How long to wait for the connection, in seconds
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u64).range(..=3600))]
    pub(crate) wait: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    pub(crate) of: OfConfig,
    /// How long it may take to deliver what was received, in seconds; then it is killed (nothing is lost: it comes again)
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Restart {
    #[command(flatten)]
    pub(crate) start: Start,
    /// How long it may take to stop, in seconds
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) of: OfConfig,
    /// Print the whole status as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Clean {
    #[command(flatten)]
    pub(crate) of: OfConfig,
    /// Files that were not changed for so many minutes
    #[arg(long, value_name = "N", default_value_t = 720)]
    pub(crate) minutes: u64,
    /// Only say which
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Explain what a configuration does, and what is wrong with it
    #[command(
        after_help = "Example:\n  estreamer config check estreamer.conf\n\nNothing is connected to. Exit codes: 0 nothing to remark, 1 it cannot \
                            be used, 3 it can be used, but there are warnings."
    )]
    Check {
        /// The configuration
        #[arg(default_value = "estreamer.conf")]
        file: PathBuf,
    },
    /// Write a new configuration, asking for what is not given
    #[command(
        after_help = "Examples:\n  estreamer config init\n  estreamer config init fmc.toml --host fmc.example.com --pkcs12 client.pkcs12 --output \
                            json\n  estreamer config init --host fmc.example.com --pkcs12 client.pkcs12 --output cef --to udp://192.0.2.20:514\n\n\
                            The file is TOML when its name ends in .toml, else JSON. The password of the PKCS#12 file may be given in\n\
                            ESTREAMER_PASSWORD. Lines have the dialect \"standard\"; set \"encore-5\" for those of eNcore."
    )]
    Init(ConfigInit),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigInit {
    /// The file to write
    #[arg(default_value = "estreamer.conf")]
    pub(crate) file: PathBuf,
    /// Name or address of the management center
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Its port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// The PKCS#12 file it issued for this machine
    #[arg(long, value_name = "FILE")]
    pub(crate) pkcs12: Option<PathBuf>,
    /// Leave the password out of the file: it will be given in ESTREAMER_PASSWORD
    #[arg(long)]
    pub(crate) no_password: bool,
    /// What to write
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<Preset>,
    /// Where to: a stream URI [default: files below data/]
    #[arg(long, value_name = "URI")]
    pub(crate) to: Option<String>,
    /// Where to begin: 0 oldest data, 1 from now on, 2 where it ended
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(..=2))]
    pub(crate) start: Option<u8>,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// An output that set-up makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// key=value lines for Splunk
    Splunk,
    /// ArcSight's CEF
    Cef,
    /// JSON lines
    Json,
    /// CEF with all fields
    Cef2,
    /// QRadar's LEEF
    Leef,
}

/// Booleans as configure.py takes them: `true` in any case, or `1`; all else is false.
fn truth(text: &str) -> Result<bool, std::convert::Infallible> {
    Ok(text.eq_ignore_ascii_case("true") || text == "1")
}

#[derive(Debug, Args)]
pub(crate) struct Configure {
    /// The configuration
    pub(crate) file: PathBuf,
    /// `enabled`
    #[arg(long, value_name = "BOOL", value_parser = truth)]
    pub(crate) enabled: Option<bool>,
    /// `conditions`: this one alone
    #[arg(long, value_name = "WORD")]
    pub(crate) conditions: Option<String>,
    /// `logging.stdOut`
    #[arg(long, value_name = "BOOL", value_parser = truth)]
    pub(crate) logstdout: Option<bool>,
    /// `logging.stdErr`
    #[arg(long, value_name = "BOOL", value_parser = truth)]
    pub(crate) logstderr: Option<bool>,
    /// Host of the management center
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Its port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// Stream URI of the first outputter
    #[arg(long, value_name = "URI")]
    pub(crate) stream0: Option<String>,
    /// `handler.records.connections`
    #[arg(long, value_name = "BOOL", value_parser = truth)]
    pub(crate) connections: Option<bool>,
    /// `handler.records.packets`
    #[arg(long, value_name = "BOOL", value_parser = truth)]
    pub(crate) packets: Option<bool>,
    /// `handler.records.metadata`
    #[arg(long, value_name = "BOOL", value_parser = truth)]
    pub(crate) metadata: Option<bool>,
    /// Replace the outputters by one of these
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<EncorePreset>,
    /// Go on from this moment at the next start
    #[arg(long, value_name = "WHEN")]
    pub(crate) bookmark: Option<Now>,
    /// Log at level DEBUG
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", value_parser = truth)]
    pub(crate) debug: Option<bool>,
    /// Print a value
    #[arg(long, value_enum, value_name = "NAME")]
    pub(crate) print: Option<Printed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Now {
    /// This moment
    Now,
}

/// The outputs of eNcore's set-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EncorePreset {
    Splunk,
    Cef,
    Cef2,
    Json,
}

/// What configure.py prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
pub(crate) enum Printed {
    Host,
    Port,
    Stream0,
    Enabled,
    Pkcs12,
    PrivateKey,
    PublicKey,
    StatusFile,
    PidFile,
    Stem,
    Pid,
    #[value(name = "splunkstatus")]
    SplunkStatus,
    Metadata,
}
