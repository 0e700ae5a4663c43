//! The arguments of the commands about clients and administrators.

use super::InDomain;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What `estreamer init --help` ends with.
pub(crate) const INIT_HELP: &str = "\
Examples:
  estreamer init /var/lib/estreamer --name estreamer.example.com
  estreamer init /var/lib/estreamer --admin-password-file /run/secrets/estreamer

At a terminal it asks for the password of the administration page (https://127.0.0.1:8443/ when the service runs);
ESTREAMER_ADMIN_PASSWORD gives it too. Without a password the page stays off: `estreamer admin password` sets one later.";

/// The home a command is about.
#[derive(Debug, Args)]
pub(crate) struct OfHome {
    /// The server's home
    #[arg(long, value_name = "DIR", env = "ESTREAMER_HOME", hide_env_values = true)]
    pub(crate) home: PathBuf,
}

/// A PKCS#12 file to be made.
#[derive(Debug, Args)]
pub(crate) struct Bundle {
    /// Password of the PKCS#12 file
    #[arg(long, value_name = "TEXT")]
    pub(crate) password: Option<String>,
    /// Where to write the PKCS#12 file [default: HOST.pkcs12 in the current folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Keep no copy of the PKCS#12 file on the server: it cannot be downloaded again
    #[arg(long)]
    pub(crate) no_keep: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Clients {
    /// Create a client: issues its certificate and writes HOST.pkcs12
    #[command(
        after_help = "Examples:\n  estreamer clients add --home /var/lib/estreamer 192.0.2.10\n  estreamer clients add --home /var/lib/estreamer \
                      siem.example.com --password secret --out siem.pkcs12\\n  estreamer clients add --home /var/lib/estreamer \\
                      --domain plant 192.0.2.11\\n\nThe client is let in only from the address, or an address its \
                      name resolves to; so a name must resolve now,\nunless --accept-unresolved is given."
    )]
    Add {
        #[command(flatten)]
        of: OfHome,
        /// Host name or address of the client, as the server sees it
        host: String,
        #[command(flatten)]
        bundle: Bundle,
        #[command(flatten)]
        place: InDomain,
        /// Create it although its name does not resolve now
        #[arg(long)]
        accept_unresolved: bool,
    },
    /// List the clients
    #[command(
        after_help = "Examples:\n  estreamer clients list --home /var/lib/estreamer\n  estreamer clients list --home /var/lib/estreamer --json\n\n\
                      Certificates that end within 30 days are told on standard error too."
    )]
    List {
        #[command(flatten)]
        of: OfHome,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the PKCS#12 file of a client again, as it was made
    #[command(after_help = "Example:\n  estreamer clients download --home /var/lib/estreamer 192.0.2.10")]
    Download {
        #[command(flatten)]
        of: OfHome,
        /// The client
        host: String,
        /// Where to write the PKCS#12 file [default: HOST.pkcs12 in the current folder]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Give a client a new certificate; the old one stays good until the new one is first used
    #[command(
        after_help = "Example:\n  estreamer clients renew --home /var/lib/estreamer 192.0.2.10 --out new.pkcs12\n\nWhen the client has \
                      connected with the new certificate, the old one is refused as revoked."
    )]
    Renew {
        #[command(flatten)]
        of: OfHome,
        /// The client
        host: String,
        #[command(flatten)]
        bundle: Bundle,
    },
    /// Remove a client: its sessions end, and its certificate is refused from now on
    #[command(
        visible_alias = "delete",
        after_help = "Example:\n  estreamer clients remove --home /var/lib/estreamer 192.0.2.10"
    )]
    Remove {
        #[command(flatten)]
        of: OfHome,
        /// The client
        host: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Admin {
    /// Set the password of the administration page, which also switches it on
    #[command(
        after_help = "Examples:\n  estreamer admin password --home /var/lib/estreamer\n  estreamer admin password --home /var/lib/estreamer \
                      --password-file secret.txt\n\nIt is asked for at a terminal, or taken from the first line of the file or from \
                      ESTREAMER_ADMIN_PASSWORD.\nWho is logged in must log in again. A running service opens the page at once."
    )]
    Password {
        #[command(flatten)]
        of: OfHome,
        /// File with the password
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Create, list and remove the tokens of scripts that use the API
    #[command(subcommand)]
    Tokens(AdminTokens),
    /// Issue the server's certificate anew, by the same authority and for the same key
    #[command(
        after_help = "Examples:\n  estreamer admin renew-server-certificate --home /var/lib/estreamer\n  estreamer admin renew-server-certificate \
                      --home /var/lib/estreamer --name fmc.example.com --name 192.0.2.1\n\nThe service does it by itself 30 days before the \
                      end. Clients that verify it with the authority in their PKCS#12 file\ngo on; one that has pinned the certificate must \
                      be told the new one. Reload the service (SIGHUP) to use it at once."
    )]
    RenewServerCertificate {
        #[command(flatten)]
        of: OfHome,
        /// Name or address of this server; may be given several times [default: those of the present certificate]
        #[arg(long = "name", value_name = "NAME")]
        names: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminTokens {
    /// Create a token and print it
    #[command(
        after_help = "Example:\n  TOKEN=$(estreamer admin tokens add --home /var/lib/estreamer backup)\n  curl --cacert /var/lib/estreamer/ca/ca.crt \
                      -H \"Authorization: Bearer $TOKEN\" https://localhost:8443/api/v1/overview"
    )]
    Add {
        #[command(flatten)]
        of: OfHome,
        /// A name for it, which the log will have
        name: String,
    },
    /// List the names of the tokens
    #[command(after_help = "Example:\n  estreamer admin tokens list --home /var/lib/estreamer")]
    List {
        #[command(flatten)]
        of: OfHome,
    },
    /// Remove a token: it is refused from now on
    #[command(after_help = "Example:\n  estreamer admin tokens remove --home /var/lib/estreamer backup")]
    Remove {
        #[command(flatten)]
        of: OfHome,
        /// Its name
        name: String,
    },
}
