//! What the server gives to one client, to many at once, and in older versions, and what idle clients cost.
//!
//! `cargo bench -p estreamer --bench serve`, or with `-- NAME...` some of the cases: `one`, `fan`, `older`, `mixed`,
//! `idle`. The archive is in `/dev/shm` (tmpfs) when that is there. The server is the real program in a process of its
//! own, so that its processor time can be read: events a second *and core* are events through the time that the server
//! was computing, in user and kernel mode, TLS included. The clients are another process; what they compute does not
//! count. They take TLS apart, count records and acknowledge; they decode nothing.
//!
//! `ESTREAMER_BENCH_EVENTS` sets how many events the archive has, `ESTREAMER_BENCH_CLIENTS` how many clients come at once
//! and `ESTREAMER_BENCH_IDLE` how many wait. `ESTREAMER_BENCH_SERVER` is another program to measure, for comparisons.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod drain;
mod stand;

use std::time::Duration;

use drain::{Clients, Request};
use stand::{Content, Stand, Usage};

fn main() {
    if drain::is_wanted() {
        return drain::main();
    }
    let number = |key: &str, usual: u64| std::env::var(key).ok().and_then(|n| n.parse().ok()).unwrap_or(usual);
    let events = number("ESTREAMER_BENCH_EVENTS", 1_000_000);
    let many = number("ESTREAMER_BENCH_CLIENTS", 50) as usize;
    let idle = number("ESTREAMER_BENCH_IDLE", 500) as usize;
    // Cargo adds "--bench".
    let wanted: Vec<_> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    let stand = Stand::new();
    println!("{:<44} {:>10} {:>12} {:>9} {:>10}", "", "events/s", "events/s/core", "MB/s", "server CPU");
    if wants("one") || wants("fan") || wants("older") || wants("idle") {
        stand.fill(Content::Connections, events);
        let server = stand.serve(Content::Connections);
        if wants("one") || wants("fan") {
            let one = replay("connection events, one client", &server, &Request::newest(), 1, events);
            if wants("fan") {
                let share = events / (many as u64 / 5).max(1);
                let fan =
                    replay(&format!("the same, {many} clients at once"), &server, &Request::newest(), many, share);
                println!(
                    "{:<44} {:>9.0}% {:>11.0}%",
                    format!("{many} clients together, of one"),
                    100.0 * fan.0 / one.0,
                    100.0 * fan.1 / one.1
                );
            }
        }
        if wants("older") {
            for version in [16, 14, 10] {
                replay_version(71, version, &server, events);
            }
            replay("in version 5 by plain flags, single messages", &server, &Request::plain(1 << 26), 1, events);
        }
        drop(server);
        if wants("idle") {
            // One that has done nothing else before.
            wait_idle(&stand.serve(Content::Connections), idle);
        }
    }
    if wants("older") {
        stand.fill(Content::Intrusions, events);
        let server = stand.serve(Content::Intrusions);
        replay("intrusion events, one client", &server, &Request::newest(), 1, events);
        for version in [9, 5, 3] {
            replay_version(12, version, &server, events);
        }
        replay("in version 3 by plain flags, single messages", &server, &Request::plain(1 << 6), 1, events);
    }
    if wants("mixed") {
        stand.fill(Content::Mixed, events);
        let server = stand.serve(Content::Mixed);
        replay("the mix of the simulator, one client", &server, &Request::newest(), 1, events);
        replay("the mix in versions of 5.x and 6.0", &server, &Request::older(), 1, events);
    }
}

/// One event type as a version has it.
fn replay_version(code: u16, version: u16, server: &stand::Server, events: u64) {
    let product = wire::versions::event_type(code).and_then(|t| t.answer(version)).map_or("", |v| v.product);
    replay(&format!("in version {version} ({product})"), server, &Request::version(code, version), 1, events);
}

/// Events a second, and a second of the server's processor time.
fn replay(what: &str, server: &stand::Server, request: &Request, clients: usize, events: u64) -> (f64, f64) {
    // Who comes first finds the archive in the page cache: it is on tmpfs.
    let mut group = Clients::connect(server, request, clients);
    let before = server.usage();
    let done = group.replay(events);
    let used = server.usage() - before;
    let total = done.events as f64;
    let (rate, each) = (total / done.time.as_secs_f64(), total / used.as_secs_f64());
    println!(
        "{what:<44} {rate:>10.0} {each:>12.0} {:>10.0} {:>8.2} s",
        done.bytes as f64 / 1e6 / done.time.as_secs_f64(),
        used.as_secs_f64()
    );
    (rate, each)
}

/// What clients cost that wait, and how soon they all have what is new.
fn wait_idle(server: &stand::Server, count: usize) {
    let empty = server.memory();
    let before = server.usage();
    let mut group = Clients::connect(server, &Request { start: u32::MAX, ..Request::newest() }, count);
    group.start();
    let connected = server.usage() - before;
    std::thread::sleep(Duration::from_secs(2));
    let full = server.memory();
    println!(
        "{:<44} {:>7.1} MB resident, {:.1} MB PSS ({:.1} MB without them)",
        format!("{count} live clients"),
        full.resident,
        full.proportional,
        empty.resident
    );
    println!(
        "{:<44} {:>7.2} ms of processor time each",
        "their handshakes and requests",
        1e3 * connected.as_secs_f64() / count as f64
    );
    let before = server.usage();
    std::thread::sleep(Duration::from_secs(5));
    println!("{:<44} {:>7.2} % of a core", "while nothing happens", 20.0 * (server.usage() - before).as_secs_f64());
    let mut all = Vec::new();
    for _ in 0..20 {
        let begun = Usage::now();
        server.commit_one();
        let mut arrivals = group.arrivals();
        arrivals.sort_unstable();
        all.push((arrivals[count / 2] - begun, arrivals[count - 1] - begun));
        std::thread::sleep(Duration::from_millis(50));
    }
    all.sort_unstable_by_key(|(_, last)| *last);
    let ms = |t: Duration| t.as_secs_f64() * 1e3;
    let (middle, worst) = (all[all.len() / 2], all[all.len() - 1]);
    println!(
        "{:<44} {:>7.1} ms to half of them, {:.1} ms to the last ({:.1} ms at worst of {})",
        "one new event, from its commit on",
        ms(middle.0),
        ms(middle.1),
        ms(worst.1),
        all.len()
    );
    println!("{:<44} {:>7.1} MB resident", "after that", server.memory().resident);
}
