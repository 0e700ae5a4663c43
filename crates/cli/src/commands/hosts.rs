//! `estreamer hosts`.

use crate::arguments::ListHosts;
use crate::exit::{Exit, Failure};
use client::hosts::Query;
use netmap::{Described, Map};
use server::Home;
use std::io::Write;
use std::net::IpAddr;

/// Hosts read at a time.
const HOSTS: u32 = 500;

pub(crate) fn run(arguments: &ListHosts) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.home)?;
    let netmap = match super::domain::of_client(&home, &arguments.domain)? {
        Some(netmap) => netmap,
        None => home.settings()?.netmap,
    };
    let ranges = match arguments.addresses.as_str() {
        "all" => vec![(IpAddr::from([0; 16]), IpAddr::from([255; 16]))],
        text => client::hosts::parse(text)?.into_iter().map(ends).collect(),
    };
    let Some(map) = Map::open(&home.map_path(), netmap)? else {
        eprintln!(
            "There is no network map yet: the service makes it from what sensors report (network_map in {}).",
            home.settings_path().display()
        );
        return Ok(Exit::Incomplete);
    };
    let search = arguments.search.as_deref().map(str::to_lowercase);
    let mut out = std::io::stdout().lock();
    let mut printed = 0u64;
    for (first, last) in ranges {
        let mut after = None;
        loop {
            let hosts = map.range(first, last, after, HOSTS)?;
            for (at, host) in &hosts {
                let described = map.describe(*at, host)?;
                let words = text(&described);
                if search.as_ref().is_some_and(|text| !words.to_lowercase().contains(text)) {
                    continue;
                }
                printed += 1;
                let line = if arguments.json { serde_json::to_string(&described)? + "\n" } else { words };
                match out.write_all(line.as_bytes()) {
                    // Whoever reads has seen enough.
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(Exit::Done),
                    written => written?,
                }
            }
            after = hosts.last().map(|(at, _)| *at);
            if (hosts.len() as u64) < u64::from(HOSTS) {
                break;
            }
        }
    }
    if printed == 0 {
        eprintln!("No such host in the network map.");
        return Ok(Exit::Incomplete);
    }
    Ok(Exit::Done)
}

fn ends(query: Query) -> (IpAddr, IpAddr) {
    match query {
        Query::One(at) => (at, at),
        Query::Range(first, last) => (first, last),
    }
}

/// A host on a few lines.
fn text(host: &Described) -> String {
    let mut text = host.address.to_string();
    let mut add = |word: &str| {
        text.push_str("  ");
        // What a host calls itself must not steer the terminal.
        text.extend(word.chars().filter(|c| !c.is_control()));
    };
    host.name.iter().for_each(|name| add(name));
    host.os.iter().for_each(|os| add(&format!("[{os}]")));
    host.macs.iter().for_each(|mac| add(mac));
    add(&format!("last seen {}", pki::time_text(host.last_seen.into())));
    let others: Vec<_> = host.addresses.iter().filter(|a| **a != host.address).map(ToString::to_string).collect();
    let mut lines = vec![others.join(", ")];
    for server in &host.servers {
        let name = server.name.as_deref().unwrap_or("unknown");
        let known: Vec<_> = [&*server.vendor, &*server.version].into_iter().filter(|t| !t.is_empty()).collect();
        lines.push(format!("{}/{} {name} {}", server.port, server.protocol, known.join(" ")));
    }
    lines.extend(host.clients.iter().map(|client| format!("client {} {}", client.name, client.version)));
    lines.extend((!host.users.is_empty()).then(|| format!("users {}", host.users.join(", "))));
    for line in lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()) {
        text.push_str("\n    ");
        text.extend(line.chars().filter(|c| !c.is_control()));
    }
    text.push('\n');
    text
}
