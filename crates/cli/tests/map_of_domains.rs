//! Each domain has a map of its own: a client that is bound to one gets the hosts of that one, by protocol and command.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::{Process, Site, wait_for};

/// The hosts in an answer, as text.
fn addresses(lines: &str) -> BTreeSet<String> {
    let hosts = lines.lines().filter(|line| line.starts_with('{'));
    hosts.map(|line| serde_json::from_str::<Value>(line).unwrap().to_string()).collect()
}

/// Starts a sensor that reads connections of these clients to a server.
fn feed(site: &Site, device: &str, domain: Option<&str>, clients: &[&str], server: &str) -> Process {
    let line = |number: usize, from: &str| {
        let line = json!({
            "timestamp": "2025-03-04T09:15:27.482913+0100", "flow_id": number + 1, "event_type": "flow", "proto": "TCP",
            "src_ip": from, "src_port": 50_000, "dest_ip": server, "dest_port": 80, "app_proto": "http",
            "ether": {"src_macs": [format!("02:00:00:00:{device:0>2}:{number:02x}")],
                      "dest_macs": [format!("02:00:00:00:{device:0>2}:ff")]},
            "flow": {"pkts_toserver": 6, "pkts_toclient": 5, "state": "closed", "start": "2025-03-04T09:15:26.000000+0100"},
        });
        format!("{line}\n")
    };
    let (home, file) = (site.home(), site.path(&format!("eve.{device}.json")));
    fs::write(&file, clients.iter().enumerate().map(|(number, from)| line(number, from)).collect::<String>()).unwrap();
    let mut arguments = vec!["sensor", "eve", "--home", &home, "--device", device, "--name", device];
    arguments.extend(domain.into_iter().flat_map(|domain| ["--domain", domain]));
    site.start(device, &[&arguments[..], &[file.to_str().unwrap()]].concat())
}

#[test]
fn a_client_of_a_domain_gets_its_hosts_alone() {
    let site = Site::new();
    site.settings("host_check = false\n");
    let home = site.home();
    let global = site.client("127.0.0.1");
    site.run(&["domains", "add", "--home", &home, "2", "Plant"]).success();
    let plant = site.path("plant.pkcs12");
    let add = ["clients", "add", "--home", &home, "siem.example", "--accept-unresolved", "--domain", "Plant", "--out"];
    site.run(&[&add[..], &[plant.to_str().unwrap()]].concat()).success();
    let server = site.serve(&[]);
    server.process.line("The network map of netmap 0 has 0 hosts");
    // Both domains have 10.0.0.5, which is another host in each.
    // What is seen of the second before it has a map waits for the map.
    let _one = feed(&site, "1", None, &["10.0.0.1", "10.0.0.2"], "10.0.0.5");
    let _two = feed(&site, "2", Some("Plant"), &["10.0.0.3", "10.0.0.4", "10.0.0.6"], "10.0.0.5");
    let hosts = |netmap: &str, at: &str| {
        let said = site.run(&["hosts", "--home", &home, "--json", "--netmap", netmap, at]);
        said.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    wait_for("both maps", || (hosts("0", "all").len() == 3 && hosts("2", "all").len() == 4).then_some(()));
    let mac = |netmap| hosts(netmap, "10.0.0.5")[0]["macs"][0].as_str().map(str::to_owned);
    wait_for("their MAC addresses", || (mac("0").is_some() && mac("2").is_some()).then_some(()));
    assert_ne!(mac("0"), mac("2"));
    let plants = site.run(&["hosts", "--home", &home, "--json", "--domain", "plant"]).success();
    assert_eq!(plants.lines().count(), 4);

    let port = server.address.port().to_string();
    let ask = |pkcs12: &Path, hosts: &str| {
        let pkcs12 = pkcs12.to_str().unwrap();
        let said = site.run(&["ssl-test", "127.0.0.1", "--port", &port, "-pk", pkcs12, "-h", hosts, "--json"]);
        addresses(&said.success())
    };
    let have = |answers: &BTreeSet<String>, wanted: &[&str], others: &[&str]| {
        assert_eq!(answers.len(), wanted.len(), "{answers:#?}");
        let text = answers.iter().cloned().collect::<String>();
        assert!(wanted.iter().all(|at| text.contains(&format!("\"{at}\""))), "{wanted:?}: {text}");
        assert!(!others.iter().any(|at| text.contains(&format!("\"{at}\""))), "{others:?}: {text}");
    };
    let (of_global, of_plant) =
        (["10.0.0.1", "10.0.0.2", "10.0.0.5"], ["10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
    have(&ask(&global, "10.0.0.0/8"), &of_global, &["10.0.0.3", "02:00:00:00:02:ff"]);
    have(&ask(&plant, "10.0.0.0/8"), &of_plant, &["10.0.0.1", "02:00:00:00:01:ff"]);
    // The same address, and hosts of the other domain by name.
    have(&ask(&global, "10.0.0.5"), &["02:00:00:00:01:ff"], &["02:00:00:00:02:ff"]);
    have(&ask(&plant, "10.0.0.5"), &["02:00:00:00:02:ff"], &["02:00:00:00:01:ff"]);
    for (pkcs12, hidden) in [(&global, "10.0.0.3"), (&plant, "10.0.0.1")] {
        let pkcs12 = pkcs12.to_str().unwrap();
        let said = site.run(&["ssl-test", "127.0.0.1", "--port", &port, "-pk", pkcs12, "-h", hidden, "--json"]);
        said.failed(3, &[hidden, "the server knows no such host"]);
    }
}
