//! The arguments of every command.

mod clients;
mod control;
mod hosts;
mod operations;
mod publish;
mod service;
mod store;

pub(crate) use clients::*;
pub(crate) use control::*;
pub(crate) use hosts::*;
pub(crate) use operations::*;
pub(crate) use publish::*;
pub(crate) use service::*;
pub(crate) use store::*;

use clap::{Args, Parser, Subcommand, ValueEnum};
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
                  events that did not arrive, a collector that does not run or has not connected, warnings of a check).\nThis software is independent of Cisco and not endorsed by it."
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
    #[command(after_help = INIT_HELP)]
    Init(Init),
    /// Run the eStreamer service
    #[command(after_help = SERVER_HELP)]
    Server(Server),
    /// Start, stop, restart or reload the service, or ask how it is doing
    #[command(after_help = MANAGE_HELP)]
    Manage(Manage),
    /// Create, list, renew, download and remove the clients of a server
    #[command(subcommand)]
    Clients(Clients),
    /// Password and tokens of the administration page and API; the server's certificate
    #[command(subcommand)]
    Admin(Admin),
    /// List the hosts of a server's network map
    #[command(after_help = HOSTS_HELP)]
    Hosts(ListHosts),
    /// Feed a server's archive
    #[command(subcommand)]
    Sensor(Sensor),
    /// Write records from lines of JSON to a server's archive
    #[command(after_help = PUBLISH_HELP)]
    Publish(Publish),
    /// Create, list and remove the tokens of those who publish over HTTP
    #[command(subcommand)]
    Tokens(Tokens),
    /// Take care of a server's archive: examine, repair, export, prune
    #[command(subcommand)]
    Store(Store),
    #[command(flatten)]
    Control(Control),
    #[command(flatten)]
    Operation(Operation),
    /// Try out a server: the reference client, with the options of ssl_test.pl
    #[command(
        disable_help_flag = true,
        after_help = "Example:\n  estreamer ssl-test fmc.example.com -s all --count 10\n  estreamer ssl-test fmc.example.com -o csv -f events.csv\n  \
                      estreamer ssl-test fmc.example.com -o pcap -f packets.pcap --seconds 60\n  \
                      estreamer ssl-test fmc.example.com -o snmp -f traps.example.com --community public\n  \
                      estreamer ssl-test fmc.example.com -o syslog -f logs.example.com:514 --priority local0.notice\n  \
                      estreamer ssl-test fmc.example.com -h 10.0.0.0/8 --json\n  estreamer ssl-test -i 2001:db8::1 -pk client.pkcs12\n\n\
                      The options of ssl_test.pl may be shortened as there: -po, -pk, -pa, --outp.\nThe password of the PKCS#12 file may \
                      be given in ESTREAMER_PASSWORD, those of an SNMPv3 user in\nESTREAMER_SNMP_AUTH and ESTREAMER_SNMP_PRIV.\nIt ends \
                      with the connection, with Ctrl-C, or at --count or --seconds. Exit codes: 0 it ended so,\n1 no connection, a \
                      broken one or an output that failed, 2 wrong arguments, 3 something is missing (records\nnot understood or not \
                      handed on, hosts the server does not know)."
    )]
    SslTest(Box<SslTest>),
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
    #[arg(env = "ESTREAMER_HOME", hide_env_values = true)]
    pub(crate) dir: PathBuf,
    /// Name or address of this server for its certificate; may be given several times [default: this host's name]
    #[arg(long = "name", value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// File with the password of the administration page [default: asked for at a terminal]
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Server {
    /// The home made by `estreamer init`
    #[arg(long, value_name = "DIR", env = "ESTREAMER_HOME", hide_env_values = true)]
    pub(crate) home: PathBuf,
    /// Address to listen on; may be given several times [default: the settings; all addresses, port 8302]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<SocketAddr>,
    /// Address of the administration page; may be given several times [default: the settings; port 8443 of this machine]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) admin: Vec<SocketAddr>,
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
pub(crate) enum Sensor {
    /// Follow a Snort unified2 spool
    #[command(
        after_help = "Example:\n  estreamer sensor unified2 --home /var/lib/estreamer --maps /etc/snort /var/log/snort"
    )]
    Unified2(Unified2),
    /// Follow the eve.json of Suricata, or listen on a socket for it
    #[command(
        after_help = "Example:\n  estreamer sensor eve --home /var/lib/estreamer --device 3 --name ids-3 /var/log/suricata/eve.json\n  \
                      estreamer sensor eve --home /var/lib/estreamer --socket /run/suricata/eve.sock\n  \
                      estreamer sensor eve --home /var/lib/estreamer --once eve.json.gz\n\n\
                      A file is read on from where the last run ended, across rotations. What is read from a\nsocket (filetype: \
                      unix_stream) is kept until the archive has it; what Suricata says while\nnobody listens is lost. What each type \
                      of line became is logged every five minutes.\n\n\
                      Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 some lines are no events."
    )]
    Eve(Eve),
    /// Make up the events of an enterprise
    #[command(after_help = "Example:\n  estreamer sensor simulate --home /var/lib/estreamer --events 100000")]
    Simulate(Simulate),
    /// Put the records of captured streams into the archive again
    #[command(after_help = REPLAY_HELP)]
    Replay(Replay),
    /// Take records as lines of JSON from a Unix socket and over HTTP
    #[command(after_help = RECORD_JSON_HELP)]
    RecordJson(RecordJson),
}

#[derive(Debug, Args)]
pub(crate) struct Unified2 {
    /// The server's home
    #[arg(long, value_name = "DIR", env = "ESTREAMER_HOME", hide_env_values = true)]
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
    #[command(flatten)]
    pub(crate) place: InDomain,
    /// End when all there is has been read
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Eve {
    /// The server's home
    #[arg(long, value_name = "DIR", env = "ESTREAMER_HOME", hide_env_values = true)]
    pub(crate) home: PathBuf,
    /// The eve.json, compressed with --once, or the socket
    #[arg(value_name = "FILE|SOCKET")]
    pub(crate) input: PathBuf,
    /// Make a Unix socket of this name, on which Suricata connects
    #[arg(long, conflicts_with = "once")]
    pub(crate) socket: bool,
    /// Device id of this sensor; each sensor has its own
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) device: u32,
    /// Name of this sensor
    #[arg(long, value_name = "NAME", default_value = "suricata")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) place: InDomain,
    /// Security zone that traffic comes in from
    #[arg(long, value_name = "NAME")]
    pub(crate) zone: Option<String>,
    /// Flows whose end is waited for, at most
    #[arg(long, value_name = "N", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) flows: u32,
    /// How long the end of a flow is waited for, in seconds
    #[arg(long, value_name = "N", default_value_t = 3600)]
    pub(crate) flow_age: u64,
    /// End when all there is has been read; flows without an end become connection events
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// The server's home
    #[arg(long, value_name = "DIR", env = "ESTREAMER_HOME", hide_env_values = true)]
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
    #[command(flatten)]
    pub(crate) place: InDomain,
}

#[derive(Debug, Args)]
pub(crate) struct SslTest {
    /// The server: name, IPv4 or IPv6 address
    pub(crate) server: String,
    /// Port of the server
    #[arg(long, value_name = "PORT", default_value_t = 8302, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,
    /// PKCS#12 file of the client [default: the first *.pkcs12 of this folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) pkcs12: Option<PathBuf>,
    /// Its password; asked for where there is a terminal
    #[arg(long, value_name = "TEXT")]
    pub(crate) password: Option<String>,
    /// Where to begin: all, now, bookmark, or a Unix second
    #[arg(short, long, value_name = "WHEN", default_value = "bookmark", value_parser = Begin::parse)]
    pub(crate) start: Begin,
    /// What to do with what comes
    #[arg(short, long, value_enum, value_name = "NAME", default_value_t = SslTestOutput::Print)]
    pub(crate) output: SslTestOutput,
    /// Output file, or - for standard output; for snmp the receiver, for syslog a server or socket [default: /dev/log]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<String>,
    /// Print host data instead: an address, range (a-b, a,b) or block (a/n), or several with commas; may be repeated
    #[arg(short = 'h', long = "host", alias = "hosts", value_name = "HOSTS", value_parser = Hosts::parse)]
    pub(crate) hosts: Vec<Hosts>,
    /// Connect by IPv6 only
    #[arg(short = 'i', long)]
    pub(crate) ipv6: bool,
    /// Log the dialogue to standard error
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Take only the records of this domain (netmap id)
    #[arg(short, long, value_name = "ID", value_parser = clap::value_parser!(u16).range(..=0x7fff))]
    pub(crate) domain: Option<u16>,
    /// Ask for the newest event versions in an extended request, instead of for those ssl_test.pl asks for
    #[arg(long)]
    pub(crate) extended: bool,
    /// End after this many events, rows, packets or alerts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after this time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub(crate) seconds: Option<u64>,
    /// Time for TCP and TLS, and for the answer to a host request, in seconds
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
    /// The bookmark
    #[arg(long, value_name = "FILE", default_value = client::bookmark::DEFAULT)]
    pub(crate) bookmark: PathBuf,
    /// Hosts: with the notes
    #[arg(long, requires = "hosts", help_heading = "Host data")]
    pub(crate) notes: bool,
    /// Hosts: with the banners of their servers
    #[arg(long, requires = "hosts", help_heading = "Host data")]
    pub(crate) banners: bool,
    /// Hosts: as JSON lines
    #[arg(long, requires = "hosts", help_heading = "Host data")]
    pub(crate) json: bool,
    /// Hosts: in the layout of a data type: 0 (3.5), 2 (4.7), 4 (4.9), 6 (5.0 and later)
    #[arg(long, value_name = "N", requires = "hosts", help_heading = "Host data", value_parser = clap::value_parser!(u32).range(..=7))]
    pub(crate) data_type: Option<u32>,
    /// pcap: write pcapng, which takes all link types
    #[arg(long, help_heading = "Captures")]
    pub(crate) pcapng: bool,
    /// snmp, syslog: collect events of priority 3 and lower for this many seconds; 0 sends them at once
    #[arg(long, value_name = "N", default_value_t = client::alert::COLLECT.as_secs(), help_heading = "Alerts", value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub(crate) collect: u64,
    /// syslog: facility and severity
    #[arg(long, value_name = "FACILITY.SEVERITY", default_value = "user.notice", help_heading = "Alerts", value_parser = priority)]
    pub(crate) priority: client::syslog::Priority,
    /// snmp: community of version 2c
    #[arg(long, value_name = "TEXT", default_value = client::snmp::COMMUNITY, help_heading = "Alerts")]
    pub(crate) community: String,
    /// snmp: user of version 3, which is used then
    #[arg(long, value_name = "NAME", help_heading = "Alerts", conflicts_with = "community")]
    pub(crate) user: Option<String>,
    /// snmp: authentication of the user: SHA, SHA-224, SHA-256, SHA-384, SHA-512
    #[arg(long, value_name = "NAME", default_value = "SHA", requires = "user", help_heading = "Alerts", value_parser = authentication)]
    pub(crate) auth: client::snmp::Authentication,
    /// snmp: its password; without it nothing is authenticated
    #[arg(long, value_name = "TEXT", requires = "user", help_heading = "Alerts")]
    pub(crate) auth_password: Option<String>,
    /// snmp: password of privacy (AES); without it nothing is encrypted
    #[arg(long, value_name = "TEXT", requires = "user", help_heading = "Alerts")]
    pub(crate) priv_password: Option<String>,
    /// snmp: engine id of version 3 [default: 0x8000000004 and the name of this host in hex]
    #[arg(long, value_name = "HEX", requires = "user", help_heading = "Alerts", value_parser = Engine::parse)]
    pub(crate) engine_id: Option<Engine>,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SslTestOutput {
    /// All fields of all records, to be read
    Print,
    /// Intrusion events, a row each
    Csv,
    /// Packets, as a capture
    Pcap,
    /// Intrusion events, as SNMP traps
    Snmp,
    /// Intrusion events, as syslog lines
    Syslog,
}

/// Where `ssl-test` begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    All,
    Now,
    Bookmark,
    Second(u32),
}

impl Begin {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "all" => Begin::All,
            "now" => Begin::Now,
            "bookmark" => Begin::Bookmark,
            second => {
                let second = second.parse().map_err(|_| "it must be all, now, bookmark or a Unix second")?;
                Begin::Second(second)
            }
        })
    }
}

/// The hosts of one option.
#[derive(Debug, Clone)]
pub(crate) struct Hosts(pub(crate) Vec<client::hosts::Query>);

impl Hosts {
    fn parse(text: &str) -> Result<Self, client::hosts::QueryError> {
        client::hosts::parse(text).map(Hosts)
    }
}

/// An SNMP engine id.
#[derive(Debug, Clone)]
pub(crate) struct Engine(pub(crate) Vec<u8>);

impl Engine {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let wrong = "it must be 5 to 32 octets in hex, such as 0x80000000046669727374";
        let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
        let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let octets: Vec<u8> = digits.chunks(2).map_while(octet).collect();
        let whole = digits.len() == 2 * octets.len() && digits.iter().all(u8::is_ascii_hexdigit);
        if whole && (5..=32).contains(&octets.len()) { Ok(Engine(octets)) } else { Err(wrong) }
    }
}

fn priority(text: &str) -> Result<client::syslog::Priority, &'static str> {
    client::syslog::Priority::parse(text)
        .ok_or("it must be a facility and a severity, such as user.notice or local0.err")
}

fn authentication(text: &str) -> Result<client::snmp::Authentication, &'static str> {
    client::snmp::Authentication::parse(text).ok_or("it must be SHA, SHA-224, SHA-256, SHA-384 or SHA-512")
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
