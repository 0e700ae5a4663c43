//! The eStreamer service: listener, sessions, clients.
//!
//! A [`Home`] is the folder of an installation: authority, server certificate, list of clients, settings, archive and
//! log. A [`Server`] listens on TCP 8302, lets the clients of the list in, and streams the archive to each in the form
//! it asks for. It reads the archive and never writes events.
//!
//! | To | use |
//! |---|---|
//! | make or open an installation | [`Home`] |
//! | add, list and remove clients | [`Clients`] |
//! | run the service, reload it, watch it | [`Server`], [`Handle`] |
//! | get log lines as an appliance writes them | [`log::Lines`] |
//!
//! One task serves one connection. Sessions that have sent everything wait for a single thread that follows the
//! archive, so hundreds of idle clients cost next to nothing.
//!
//! ```no_run
//! use server::{Home, Options, Server, log::Lines};
//! use tracing_subscriber::layer::SubscriberExt;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let lines = Lines::to_writer(std::io::stderr(), tracing::Level::INFO);
//! let options = Options { log: Some(lines.control()), ..Options::default() };
//! tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines))?;
//!
//! let home = Home::init("/var/lib/estreamer".as_ref(), &["fmc.example.com".into()])?;
//! let added = home.clients()?.add(&home, "192.0.2.7", Some("secret"))?;
//! pki::write_private("192.0.2.7.pkcs12".as_ref(), &added.bundle)?;
//!
//! let server = Server::bind(home, options)?;
//! let handle = server.handle(); // handle.reload(), handle.stats()
//! server.run(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await;
//! # Ok(())
//! # }
//! ```

mod bytes;
mod care;
mod clients;
mod connection;
mod domains;
mod error;
pub mod expiry;
mod feed;
mod home;
mod hosts;
pub mod log;
mod mapping;
mod orders;
mod progress;
mod pulse;
mod selection;
mod server;
mod session;
mod settings;
mod sockets;
mod table;

pub use bytes::Bytes;
pub use clients::{Added, Client, Clients, New, check_resolves};
pub use error::{Error, Result};
pub use home::Home;
pub use progress::{SessionState, SessionStats, Stats};
pub use server::{Handle, Options, Reloaded, Server};
pub use settings::{KeySetting, LevelSetting, Settings};
