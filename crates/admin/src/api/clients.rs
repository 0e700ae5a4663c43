//! Clients: created, listed, downloaded, renewed, deleted.

use super::domains::Names;
use crate::answer::{Answer, Problem};
use crate::app::{App, audit};
use crate::call::Call;
use hyper::header::CONTENT_DISPOSITION;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};
use server::{Added, Client, New};

/// What stands in a part of a path as it is.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b':');

pub(crate) fn list(app: &App, _: &Call) -> Result<Answer, Problem> {
    let rows = Rows::new(app)?;
    let clients: Vec<Value> = app.clients.list(false)?.iter().map(|c| rows.row(c)).collect();
    Ok(Answer::json(&json!({ "clients": clients })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    password: Option<String>,
    #[serde(default)]
    netmap: Option<u32>,
    #[serde(default)]
    accept_unresolved: bool,
    #[serde(default = "yes")]
    keep: bool,
}

fn yes() -> bool {
    true
}

pub(crate) fn add(app: &App, call: &Call) -> Result<Answer, Problem> {
    let create: Create = call.json()?;
    let name = create.name.trim();
    if !create.accept_unresolved && app.clients.find(name)?.is_none() {
        server::check_resolves(name, &*app.resolver)?;
    }
    if let Some(netmap) = create.netmap.filter(|n| *n > 0x7fff) {
        return Err(control::Error::BadNetmap(netmap).into());
    }
    let new = New { host: name, password: create.password.as_deref(), keep: create.keep, netmap: create.netmap };
    let added = app.clients.create_client(&app.home, &new)?;
    audit(&call.who, format_args!("created the client {}, certificate {}", added.client.name, added.client.serial));
    handed_out(app, &added)
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Renew {
    password: Option<String>,
}

pub(crate) fn renew(app: &App, call: &Call) -> Result<Answer, Problem> {
    let renew: Renew = if call.body.is_empty() { Renew::default() } else { call.json()? };
    let new = New { host: call.parameter(), password: renew.password.as_deref(), keep: true, netmap: None };
    let added = app.clients.renew(&app.home, &new)?;
    audit(&call.who, format_args!("renewed the client {}, certificate {}", added.client.name, added.client.serial));
    handed_out(app, &added)
}

pub(crate) fn download(app: &App, call: &Call) -> Result<Answer, Problem> {
    let name = call.parameter();
    let bundle = app.clients.download(name)?;
    audit(&call.who, format_args!("downloaded the PKCS#12 file of {name}"));
    // Host names and addresses have nothing that would have to be quoted; what a file system cannot have is replaced.
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".-_:".contains(c) { c } else { '_' };
    let file: String = name.chars().map(plain).collect();
    let attachment = format!("attachment; filename=\"{file}.pkcs12\"");
    Ok(Answer::bytes("application/x-pkcs12", bundle).with(CONTENT_DISPOSITION, &attachment))
}

pub(crate) fn remove(app: &App, call: &Call) -> Result<Answer, Problem> {
    let name = call.parameter();
    app.clients.remove(name)?;
    audit(&call.who, format_args!("deleted the client {name}"));
    Ok(Answer::done())
}

fn handed_out(app: &App, added: &Added) -> Result<Answer, Problem> {
    let client = Rows::new(app)?.row(&added.client);
    let download = format!("/api/v1/clients/{}/pkcs12", utf8_percent_encode(&added.client.name, PART));
    Ok(Answer::created(&json!({ "client": client, "download": download })))
}

/// What rows need besides the list.
struct Rows {
    now: i64,
    /// The netmap of clients that are bound to none.
    netmap: u32,
    names: Names,
    sessions: Vec<String>,
}

impl Rows {
    fn new(app: &App) -> Result<Rows, Problem> {
        let netmap = app.handle.settings().netmap;
        let sessions = app.handle.stats().sessions.into_iter().filter_map(|s| s.name).collect();
        Ok(Rows { now: app.clock.now(), netmap, names: Names::read(app)?, sessions })
    }

    fn row(&self, client: &Client) -> Value {
        let netmap = client.netmap.unwrap_or(self.netmap);
        json!({
            "name": client.name,
            "netmap": netmap,
            "domain": self.names.of(netmap),
            "created": client.created,
            "not_before": client.not_before,
            "not_after": client.not_after,
            "expires_in_days": server::expiry::days(client.not_after, self.now),
            "warning": server::expiry::client_warning(client, self.now),
            "serial": client.serial,
            "fingerprint": client.fingerprint,
            "sessions": self.sessions.iter().filter(|s| s.eq_ignore_ascii_case(&client.name)).count(),
            "downloadable": client.kept,
            "older_valid": client.older,
        })
    }
}
