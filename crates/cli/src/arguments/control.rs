//! The arguments of the commands that say what is captured, by whom, and where.

use super::OfHome;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use control::EventType;

/// Highest netmap id: a record has 15 bits for it.
const MAX_NETMAP: i64 = 0x7fff;

#[derive(Debug, Subcommand)]
pub(crate) enum Control {
    /// List, check and uncheck the event types that are captured and may be sent
    #[command(subcommand)]
    Events(Events),
    /// List, pause, resume and forget the sensors of a server
    #[command(subcommand)]
    Sensors(Sensors),
    /// List and add the domains of a server
    #[command(subcommand)]
    Domains(Domains),
    /// Hold the whole service, for a backup: no sensor writes, no session gets events, and none ends
    #[command(
        after_help = "Example:\n  estreamer pause --home /var/lib/estreamer --reason backup && tar -C /var/lib/estreamer -cf backup.tar archive \
                      sensors\n  estreamer resume --home /var/lib/estreamer\n\nIt returns when every sensor that runs has said that it holds, and the network map does: from then \
                      on nothing changes in archive/ and sensors/.\nExit codes: 0 so it is, 1 it failed, 3 the service is paused, but some did \
                      not say so in time."
    )]
    Pause(Pause),
    /// End a pause: sensors and sessions go on where they were
    #[command(after_help = "Example:\n  estreamer resume --home /var/lib/estreamer")]
    Resume(OfHome),
}

#[derive(Debug, Args)]
pub(crate) struct Listing {
    #[command(flatten)]
    pub(crate) of: OfHome,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Events {
    /// List the event types, and whether they are captured
    #[command(after_help = "Example:\n  estreamer events list --home /var/lib/estreamer")]
    List(Listing),
    /// Check event types: they are captured, and sent to clients that ask for them
    #[command(after_help = "Example:\n  estreamer events check --home /var/lib/estreamer packets extra-data")]
    Check(EventTypes),
    /// Uncheck event types: they are neither captured nor sent from now on; what is archived stays
    #[command(
        after_help = "Example:\n  estreamer events uncheck --home /var/lib/estreamer discovery\n\nConnection events belong to discovery. It takes \
                      effect at once, in open sessions too. Checked again, what is archived\nis sent again to whoever asks for that time; what \
                      happened meanwhile was not captured."
    )]
    Uncheck(EventTypes),
}

#[derive(Debug, Args)]
pub(crate) struct EventTypes {
    #[command(flatten)]
    pub(crate) of: OfHome,
    /// The event types
    #[arg(required = true, value_name = "TYPE", value_parser = PossibleValuesParser::new(EventType::ALL.map(EventType::key)))]
    pub(crate) types: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sensors {
    /// List the sensors that ever ran, and how they are doing
    #[command(after_help = "Example:\n  estreamer sensors list --home /var/lib/estreamer")]
    List(Listing),
    /// Hold a sensor: it writes nothing and keeps its place
    #[command(after_help = "Example:\n  estreamer sensors pause --home /var/lib/estreamer 3")]
    Pause(OneSensor),
    /// Let a sensor go on where it was held
    #[command(after_help = "Example:\n  estreamer sensors resume --home /var/lib/estreamer 3")]
    Resume(OneSensor),
    /// Take a sensor off the list; one that runs comes back
    #[command(after_help = "Example:\n  estreamer sensors forget --home /var/lib/estreamer 3")]
    Forget(OneSensor),
}

#[derive(Debug, Args)]
pub(crate) struct OneSensor {
    #[command(flatten)]
    pub(crate) of: OfHome,
    /// Number of the sensor in the list
    pub(crate) id: i64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Domains {
    /// List the domains: those with a name, and those with an archive
    #[command(after_help = "Example:\n  estreamer domains list --home /var/lib/estreamer")]
    List(Listing),
    /// Name a domain; sensors with this netmap id feed it, clients added for it get it
    #[command(
        after_help = "Example:\n  estreamer domains add --home /var/lib/estreamer 2 plant\n  estreamer sensor eve --home /var/lib/estreamer --domain \
                      plant --device 5 /var/log/suricata/eve.json\n  estreamer clients add --home /var/lib/estreamer --domain plant siem.example.com"
    )]
    Add {
        #[command(flatten)]
        of: OfHome,
        /// Its netmap id, 0 to 32767
        #[arg(value_name = "N", value_parser = netmap())]
        netmap: u32,
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Pause {
    #[command(flatten)]
    pub(crate) of: OfHome,
    /// Why, for logs and lists
    #[arg(long, value_name = "TEXT", default_value = "backup")]
    pub(crate) reason: String,
    /// How long to wait for the sensors, in seconds
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
}

/// The domain something belongs to.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct InDomain {
    /// Netmap id of the domain: which archive it is [default: the one of the settings]
    #[arg(long, value_name = "N", value_parser = netmap())]
    pub(crate) netmap: Option<u32>,
    /// Name of the domain, as `estreamer domains list` has it
    #[arg(long, value_name = "NAME")]
    pub(crate) domain: Option<String>,
}

fn netmap() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=MAX_NETMAP)
}
