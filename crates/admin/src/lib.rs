//! Administration of an eStreamer service over HTTPS: a REST API and the page that uses it.
//!
//! It has a port of its own and the service's certificate, and runs in the service's process, because sessions and log
//! lines are there. Until an administrator has a password ([`Password`]) the port is closed. `openapi.yaml` beside this
//! crate describes the API and is served by it; everything in `assets/` is the page.
//!
//! | To | use |
//! |---|---|
//! | set the password, check one | [`Password`] |
//! | let scripts in | [`tokens`] |
//! | run it beside a [`server::Server`] | [`Admin`] |
//!
//! Every request goes the same way: `listen` takes the connection and bounds what it may cost, `app` finds the route,
//! finds out who asks, and calls the function of `api` that answers. Those functions block, each on a thread for such
//! work, so many at a time.
//!
//! ```no_run
//! # async fn example(home: server::Home, handle: server::Handle) -> Result<(), Box<dyn std::error::Error>> {
//! admin::Password::of(&home).set("a long password")?;
//! let admin = admin::Admin::new(home, handle, admin::Options::default())?;
//! admin.run(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await;
//! # Ok(())
//! # }
//! ```

mod answer;
mod api;
mod app;
mod assets;
mod call;
mod limits;
mod listen;
mod logins;
mod origin;
mod password;
mod rates;
mod routes;

pub use app::{Admin, Clock, Error, Options, Presence};
pub use password::{MIN_PASSWORD, Password, PasswordError, check_password};
pub use routes::routes;

/// The tokens of scripts that use the API of a home.
pub fn tokens(home: &server::Home) -> pki::Tokens {
    pki::Tokens::new(&home.dir().join("admin.tokens"))
}

/// The OpenAPI description of the API, in YAML.
pub const OPENAPI: &str = include_str!("../openapi.yaml");
