//! `estreamer clients`.

use super::domain;
use crate::arguments::{Bundle, Clients};
use crate::exit::{Exit, Failure, say};
use serde_json::json;
use server::{Added, Client, Home, New, expiry};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) fn run(arguments: &Clients) -> Result<Exit, Failure> {
    match arguments {
        Clients::Add { of, host, bundle, place, accept_unresolved } => {
            let home = Home::open(&of.home)?;
            let path = free(host, bundle.out.as_deref())?;
            let clients = home.clients()?;
            if !accept_unresolved && clients.find(host)?.is_none() {
                server::check_resolves(host, &pki::SystemResolver).map_err(|error| match error {
                    server::Error::Unresolved { .. } => Failure::new(format!("{error} (--accept-unresolved)")),
                    error => error.into(),
                })?;
            }
            let added =
                clients.create_client(&home, &New { netmap: domain::of_client(&home, place)?, ..new(host, bundle) })?;
            hand_out(&added, &path, "is a client")?;
        }
        Clients::Renew { of, host, bundle } => {
            let home = Home::open(&of.home)?;
            let path = free(host, bundle.out.as_deref())?;
            let added = home.clients()?.renew(&home, &new(host, bundle))?;
            hand_out(&added, &path, "has a new certificate")?;
            say("The old certificate is good until the new one is first used, or until it ends");
        }
        Clients::Download { of, host, out } => {
            let path = free(host, out.as_deref())?;
            let bundle = Home::open(&of.home)?.clients()?.download(host)?;
            pki::write_private(&path, &bundle)?;
            say(format_args!("The key and certificate of {host} are in {}", path.display()));
        }
        Clients::List { of, json } => list(&Home::open(&of.home)?, *json)?,
        Clients::Remove { of, host } => {
            Home::open(&of.home)?.clients()?.remove(host)?;
            say(format_args!("{host} is removed: its sessions end, and its certificate is refused from now on"));
        }
    }
    Ok(Exit::Done)
}

fn new<'a>(host: &'a str, bundle: &'a Bundle) -> New<'a> {
    New { host, password: bundle.password.as_deref(), keep: !bundle.no_keep, netmap: None }
}

/// Where a PKCS#12 file goes; never over another.
fn free(host: &str, out: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = out.map_or_else(|| PathBuf::from(format!("{}.pkcs12", host.replace('/', "_"))), Path::to_path_buf);
    if path.exists() {
        return Err(Failure::new(format!("{} exists; move it away or name another file with --out", path.display())));
    }
    Ok(path)
}

fn hand_out(added: &Added, path: &Path, what: &str) -> Result<(), Failure> {
    pki::write_private(path, &added.bundle)?;
    say(format_args!("{} {what}; its key and certificate are in {}", added.client.name, path.display()));
    say(format_args!("The certificate is valid until {}", pki::time_text(added.client.not_after)));
    Ok(())
}

fn list(home: &Home, as_json: bool) -> Result<(), Failure> {
    let clients = home.clients()?.list(false)?;
    let now =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| i64::try_from(t.as_secs()).unwrap_or(i64::MAX));
    if as_json {
        let default = home.settings()?.netmap;
        let rows: Vec<_> = clients.iter().map(|client| row(client, default, now)).collect();
        say(serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    if clients.is_empty() {
        say(format_args!("No clients. Create one: estreamer clients add --home {} HOST", home.dir().display()));
    }
    let domains = domain::known(home)?;
    for client in clients {
        let Client { name, not_after, fingerprint, netmap, .. } = &client;
        let domain = netmap.map_or_else(|| "default".to_owned(), |netmap| domain::show(&domains, netmap));
        say(format_args!("{name}\tuntil {}\t{fingerprint}\t{domain}", pki::time_text(*not_after)));
        if let Some(warning) = expiry::client_warning(&client, now) {
            eprintln!("{warning}");
        }
    }
    Ok(())
}

/// As the API has it.
fn row(client: &Client, default: u32, now: i64) -> serde_json::Value {
    json!({
        "name": client.name,
        "netmap": client.netmap.unwrap_or(default),
        "created": client.created,
        "not_before": client.not_before,
        "not_after": client.not_after,
        "expires_in_days": expiry::days(client.not_after, now),
        "warning": expiry::client_warning(client, now),
        "serial": client.serial,
        "fingerprint": client.fingerprint,
        "downloadable": client.kept,
        "older_valid": client.older,
    })
}
