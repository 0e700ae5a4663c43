//! The contract of `docs/metrics.md`: what became of every record adds up, after every fault, and is what the files say.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use support::{Site, configuration, free_port, wait_for};

/// Metrics by name and labels.
struct Metrics(BTreeMap<String, f64>);

fn get(port: u16, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

impl Metrics {
    /// Asks for them. Whatever happens meanwhile, they add up.
    fn read(port: u16) -> Metrics {
        let (status, page) = get(port, "/metrics");
        assert_eq!(status, "HTTP/1.1 200 OK");
        let lines = page.lines().filter(|l| !l.starts_with('#')).map(|l| l.rsplit_once(' ').unwrap());
        let metrics = Metrics(lines.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect());
        let source = |what: &str| metrics.sum(&format!("estreamer_source_{what}"), "");
        let done = ["delivered_total", "filtered_total", "failed_total", "pending"].map(source);
        assert_eq!(source("received_total"), done.iter().sum::<f64>(), "{page}");
        for name in ["file", "receiver", "bulk"] {
            let output = |what: &str| metrics.output(name, what);
            let parts = ["delivered_total", "filtered_total", "failed_total", "dropped_total", "pending"];
            assert_eq!(output("received_total"), parts.map(output).iter().sum::<f64>(), "{name}: {page}");
        }
        metrics
    }

    fn sum(&self, name: &str, label: &str) -> f64 {
        let named = |key: &str| key.split('{').next() == Some(name) && key.contains(label);
        self.0.iter().filter(|(key, _)| named(key)).map(|(_, value)| value).sum()
    }

    fn output(&self, name: &str, what: &str) -> f64 {
        self.sum(&format!("estreamer_output_{what}"), &format!("output=\"{name}\""))
    }

    /// Asks until so many records have come and nothing is on its way.
    fn settled(port: u16, received: usize, outputs: &[&str]) -> Metrics {
        wait_for("nothing to be pending", || {
            let metrics = Metrics::read(port);
            let pending = metrics.sum("estreamer_source_pending", "")
                + outputs.iter().map(|name| metrics.output(name, "pending")).sum::<f64>();
            let all = metrics.sum("estreamer_source_received_total", "") >= received as f64;
            (all && pending == 0.0 && metrics.sum("estreamer_source_connected", "") == 1.0).then_some(metrics)
        })
    }
}

/// Takes lines until it has so many, then hangs up and listens no more.
fn receive(port: u16, limit: usize) -> std::thread::JoinHandle<()> {
    let listener = wait_for("the port", || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        BufReader::new(stream).lines().map_while(Result::ok).take(limit).for_each(drop);
    })
}

/// An Elasticsearch that takes every document but each tenth of a request.
fn bulk(refused: Arc<AtomicUsize>) -> u16 {
    support::receivers::bulk(move |number, _| match number % 10 {
        9 => {
            refused.fetch_add(1, Ordering::Relaxed);
            400
        }
        _ => 201,
    })
}

#[test]
fn what_became_of_every_record_adds_up_after_every_fault() {
    let site = Site::new();
    let pkcs12 = site.client("127.0.0.1");
    let home = site.home();
    let feed = |total: &str| site.run(&["sensor", "simulate", "--home", &home, "--events", total]).success();
    feed("2000");
    let (fmc, metrics, tcp) = (free_port(), free_port(), free_port());
    let mut server = site.serve_at(fmc, &[]);
    let collector = site.collector("collector", server.address, &pkcs12);
    let refused: Arc<AtomicUsize> = Arc::default();
    let mut config = configuration(server.address, &pkcs12);
    config["monitor"] = json!({"period": 120, "handled": true, "listen": format!("127.0.0.1:{metrics}")});
    config["dialect"] = "standard".into();
    config["handler"]["filter"] = "not (class == connection and destinationPort == 443)".into();
    config["handler"]["outputters"][0]["name"] = "file".into();
    let more = [
        json!({"name": "receiver", "adapter": "cef", "stream": {"uri": format!("tcp://127.0.0.1:{tcp}")}}),
        json!({"name": "bulk", "adapter": "json", "filter": "class in (intrusion, file)",
               "stream": {"uri": format!("http://127.0.0.1:{}", bulk(refused.clone())), "options": {"type": "elasticsearch"}}}),
    ];
    config["handler"]["outputters"].as_array_mut().unwrap().extend(more);
    collector.configure(config);
    let mut process = collector.start();
    process.line("Connected to");

    // The receiver is not there: what is for it waits, and nothing else does.
    let settled = Metrics::settled(metrics, 2000, &["file", "bulk"]);
    assert!(settled.output("receiver", "pending") > 0.0 && settled.output("receiver", "delivered_total") == 0.0);
    let lines = || collector.counts().0 + collector.counts().1;
    assert_eq!(settled.output("file", "delivered_total"), lines() as f64);
    assert_eq!(settled.sum("estreamer_source_delivered_total", ""), lines() as f64);
    assert!(settled.sum("estreamer_source_filtered_total", "configuration") > 0.0);
    // What the bulk receiver refused, and what it took.
    assert_eq!(settled.output("bulk", "failed_total"), refused.load(Ordering::Relaxed) as f64);
    assert!(settled.output("bulk", "delivered_total") > 0.0 && settled.output("bulk", "filtered_total") > 0.0);

    // It takes a part and hangs up, while the server dies.
    let first = receive(tcp, 300);
    server.process.kill();
    first.join().unwrap();
    Metrics::read(metrics);
    let (status, health) = wait_for("the server to be missed", || {
        let (status, health) = get(metrics, "/healthz");
        status.contains("503").then_some((status, health))
    });
    let health: Value = serde_json::from_str(&health).unwrap_or_else(|e| panic!("{e}: {status} {health}"));
    assert_eq!(health["sources"][0]["state"], "waiting", "{health}");

    // Everything comes back, with more events.
    feed("3000");
    server = site.serve_at(fmc, &[]);
    let _receiving = receive(tcp, usize::MAX);
    let settled = Metrics::settled(metrics, 3000, &["file", "receiver", "bulk"]);
    assert_eq!(settled.sum("estreamer_source_delivered_total", ""), lines() as f64);
    assert_eq!(settled.output("file", "delivered_total"), lines() as f64);
    assert!(settled.output("receiver", "retries_total") > 0.0);
    assert_eq!(settled.output("receiver", "received_total"), lines() as f64);
    assert!(get(metrics, "/healthz").0.contains("200"), "{}", get(metrics, "/healthz").1);
    let total = lines();

    // A collector that was killed knows what it has delivered.
    process.kill();
    process = collector.start();
    process.line("Connected to");
    let settled = Metrics::settled(metrics, 1, &["file", "receiver", "bulk"]);
    assert_eq!(settled.output("file", "received_total"), 0.0);
    assert_eq!(lines(), total);
    assert!(process.terminate().success());
    drop(server);
}
