//! Certificates that end: what is told about it, and when.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pki::CertificateInfo;

use crate::clients::Client;
use crate::error::Result;
use crate::home::Home;
use crate::log::{Speaker, say};
use crate::server::Shared;

/// So many days before a certificate ends there are warnings.
pub const WARN_DAYS: i64 = 30;

/// A certificate of the service itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The authority, which all others hang on.
    Authority,
    /// The server's.
    Server,
}

impl What {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            What::Authority => "authority",
            What::Server => "server",
        }
    }
}

/// How long a certificate of the service lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Whose it is.
    pub what: What,
    /// Its end, Unix seconds.
    pub not_after: i64,
}

impl Life {
    /// Whole days to its end; negative when it is over.
    pub fn days(&self, now: i64) -> i64 {
        days(self.not_after, now)
    }
}

/// Whole days from `now` to `end`, both Unix seconds; negative when it is over.
pub fn days(end: i64, now: i64) -> i64 {
    end.saturating_sub(now).div_euclid(86_400)
}

/// The certificates of a home's authority and server, in this order.
///
/// # Errors
/// [`Error::Pki`](crate::Error::Pki) when one cannot be read.
pub fn lives(home: &Home) -> Result<Vec<Life>> {
    let server = home.server_identity()?.chain.into_iter().next();
    let certificates = [(What::Authority, Some(home.authority_certificate()?)), (What::Server, server)];
    let mut lives = Vec::new();
    for (what, certificate) in certificates {
        if let Some(certificate) = certificate {
            lives.push(Life { what, not_after: CertificateInfo::read(&certificate)?.not_after });
        }
    }
    Ok(lives)
}

/// What is to be told about a client's certificate, if it ends soon or has ended.
pub fn client_warning(client: &Client, now: i64) -> Option<String> {
    let end = ends(client.not_after, now)?;
    Some(format!(
        "The certificate of the client {} {end}. Renew it: estreamer clients renew {}",
        client.name, client.name
    ))
}

/// What is to be told about all certificates that end soon or have ended.
pub fn warnings(lives: &[Life], clients: &[Client], now: i64) -> Vec<String> {
    let own = lives.iter().filter_map(|life| {
        let end = ends(life.not_after, now)?;
        Some(match life.what {
            What::Authority => format!(
                "The certificate of the authority {end}. Then nobody can connect any more: make a new home, and give every client \
                 a new certificate"
            ),
            What::Server => format!(
                "The certificate of the server {end}. Renew it: estreamer admin renew-server-certificate, then reload the service"
            ),
        })
    });
    own.chain(clients.iter().filter_map(|client| client_warning(client, now))).collect()
}

fn ends(not_after: i64, now: i64) -> Option<String> {
    let text = pki::time_text(not_after);
    match days(not_after, now) {
        left if left < 0 => Some(format!("ended on {text}")),
        left if left < WARN_DAYS => Some(format!("ends on {text}, in {left} days")),
        _ => None,
    }
}

/// How often certificates are looked at.
const LOOK: Duration = Duration::from_secs(86_400);

/// Looks at the certificates at the start and once a day: renews the server's when it is time, and logs what ends soon.
pub(crate) async fn watch(shared: Arc<Shared>) {
    loop {
        let shared = shared.clone();
        // Reads and writes files.
        let looked = tokio::task::spawn_blocking(move || look(&shared, now())).await;
        if let Ok(Err(error)) = looked {
            say!(error, Speaker::parent(), "ConnectionHandler", "The certificates cannot be looked at: {error}");
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn look(shared: &Shared, now: i64) -> Result<()> {
    let parent = Speaker::parent();
    let present = lives(&shared.home)?;
    if due(&present, now) {
        let done = shared.home.renew_server(&[]).and_then(|info| shared.read_tls().map(|()| info));
        match done {
            Ok(info) => {
                let end = pki::time_text(info.not_after);
                say!(
                    info,
                    parent,
                    "ConnectionHandler",
                    "The certificate of the server was renewed; it is valid until {end}"
                );
            }
            Err(error) => {
                say!(error, parent, "ConnectionHandler", "The certificate of the server cannot be renewed: {error}")
            }
        }
    }
    for warning in warnings(&lives(&shared.home)?, &shared.clients.list(false)?, now) {
        say!(warn, parent, "ConnectionHandler", "{warning}");
    }
    Ok(())
}

/// Whether the server's certificate is to be renewed: it ends soon, and a new one would last longer, since none outlives
/// the authority.
fn due(lives: &[Life], now: i64) -> bool {
    let end = |what| lives.iter().find(|l| l.what == what).map(|l| l.not_after);
    match (end(What::Server), end(What::Authority)) {
        (Some(server), Some(authority)) => days(server, now) < WARN_DAYS && authority > server && authority > now,
        _ => false,
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| i64::try_from(t.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_come_thirty_days_before_the_end() {
        let day = 86_400;
        let client = |name: &str, not_after| Client {
            name: name.into(),
            serial: String::new(),
            fingerprint: String::new(),
            not_before: 0,
            not_after,
            created: 0,
            removed: None,
            kept: false,
            older: false,
            netmap: None,
        };
        let lives =
            [Life { what: What::Authority, not_after: 1000 * day }, Life { what: What::Server, not_after: 129 * day }];
        let clients = [client("a", 130 * day), client("b", 130 * day - 1), client("c", 99 * day)];
        let warnings = warnings(&lives, &clients, 100 * day);
        let [server, b, c] = &warnings[..] else { panic!("{warnings:?}") };
        assert!(
            server.starts_with("The certificate of the server ends on 1970-05-10 00:00:00 UTC, in 29 days."),
            "{server}"
        );
        assert!(b.contains("client b ends on") && b.ends_with("estreamer clients renew b"), "{b}");
        assert!(c.contains("client c ended on"), "{c}");
    }

    #[test]
    fn the_server_is_renewed_in_time_and_not_beyond_its_authority() {
        let day = 86_400;
        let at = |server: i64, authority: i64| {
            due(
                &[Life { what: What::Authority, not_after: authority }, Life { what: What::Server, not_after: server }],
                100 * day,
            )
        };
        assert!(at(129 * day, 1000 * day) && at(50 * day, 1000 * day));
        assert!(!at(130 * day, 1000 * day), "it is not time");
        assert!(!at(129 * day, 129 * day), "a new one would end at the same time");
        assert!(!at(50 * day, 60 * day), "the authority is over");
    }
}
