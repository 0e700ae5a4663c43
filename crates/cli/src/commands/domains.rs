//! `estreamer domains`.

use super::domain;
use crate::arguments::{Domains, Listing};
use crate::exit::{Exit, Failure, say};
use control::Control;
use serde_json::{Value, json};
use server::Home;
use std::collections::BTreeSet;

pub(crate) fn run(arguments: &Domains) -> Result<Exit, Failure> {
    match arguments {
        Domains::List(listing) => list(listing),
        Domains::Add { of, netmap, name } => {
            Control::open(&Home::open(&of.home)?.control_path())?.add_domain(*netmap, name)?;
            say(format_args!("Netmap {netmap} is domain \"{name}\""));
            Ok(Exit::Done)
        }
    }
}

fn list(arguments: &Listing) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.of.home)?;
    let (domains, default) = (domain::known(&home)?, home.settings()?.netmap);
    let archives: BTreeSet<u32> = archive::netmaps(&home.archive())?.into_iter().collect();
    let clients = home.clients()?.list(false)?;
    let mut all = archives.clone();
    all.extend(domains.iter().map(|domain| domain.netmap).chain([default]));
    all.extend(clients.iter().filter_map(|client| client.netmap));
    let count = |netmap| clients.iter().filter(|client| client.netmap.unwrap_or(default) == netmap).count();
    let name = |netmap| domains.iter().find(|domain| domain.netmap == netmap).map(|domain| domain.name.as_str());
    if arguments.json {
        let value = |netmap: u32| {
            json!({ "netmap": netmap, "name": name(netmap), "archive": archives.contains(&netmap), "clients": count(netmap),
                    "default": netmap == default })
        };
        say(Value::Array(all.into_iter().map(value).collect()));
        return Ok(Exit::Done);
    }
    for netmap in all {
        let archive = if archives.contains(&netmap) { "archive" } else { "no archive yet" };
        let default = if netmap == default { "\tdefault" } else { "" };
        say(format_args!("{netmap}\t{}\t{archive}\t{} clients{default}", name(netmap).unwrap_or("-"), count(netmap)));
    }
    Ok(Exit::Done)
}
