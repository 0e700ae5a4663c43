//! What the API says and does. Every answer is checked against `openapi.yaml` (see `support`).
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use control::{Beat, EventType, Post, Sensor};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use support::{Stand, shorten, wait_for};

#[test]
fn the_description_is_complete() {
    let stand = Stand::new();
    let served: BTreeSet<_> = admin::routes().map(|(method, path)| (method.to_owned(), path)).collect();
    assert_eq!(served, stand.description.routes());
    assert_eq!(served.len(), 26);
    let browser = stand.log_in();
    browser.ask("GET", "/api/v1/nothing", "").refused(404, "there is no /api/v1/nothing");
    browser.ask("GET", "/api/", "").refused(404, "there is no /api/");
    let answer = browser.ask("POST", "/api/v1/overview", "");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
    let answer = browser.ask("GET", "/api/v1/clients/a", "");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("DELETE")));
    for (body, words) in [
        ("", "not understood"),
        ("{", "not understood"),
        ("{\"captured\": 1}", "boolean"),
        (r#"{"x":1}"#, "unknown field"),
    ] {
        browser.ask("PUT", "/api/v1/events/file", body).refused(422, words);
    }
}

#[test]
fn the_overview_tells_pause_and_certificates() {
    let stand = Stand::new();
    let browser = stand.log_in();
    let overview = browser.get("/api/v1/overview");
    assert_eq!(overview["paused"], Value::Null);
    assert_eq!(overview["listen"], json!([stand.handle.local_addresses()[0].to_string()]));
    assert!(!overview["warnings"].to_string().contains("certificate"), "{overview}");
    assert_eq!(overview["certificates"][1]["what"], "server");

    browser.ask("PUT", "/api/v1/pause", r#"{"reason": ""}"#).refused(422, "1 to 128 characters");
    let paused = browser.ask("PUT", "/api/v1/pause", r#"{"reason": "backup"}"#);
    assert_eq!((paused.status, &paused.json()["reason"]), (200, &json!("backup")));
    assert_eq!(stand.control.pause().unwrap().unwrap().reason, "backup");
    assert_eq!(browser.get("/api/v1/overview")["paused"], paused.json());
    for _ in 0..2 {
        assert_eq!(browser.ask("DELETE", "/api/v1/pause", "").status, 204);
    }
    assert_eq!(browser.get("/api/v1/overview")["paused"], Value::Null);

    shorten(&stand.home, 10);
    let overview = browser.get("/api/v1/overview");
    assert!((9..=10).contains(&overview["certificates"][1]["expires_in_days"].as_i64().unwrap()), "{overview}");
    let warning = overview["warnings"][0].as_str().unwrap_or_default();
    assert!(
        warning.starts_with("The certificate of the server ends on ") && warning.contains("renew-server"),
        "{warning}"
    );
}

#[test]
fn event_types_are_switched() {
    let stand = Stand::new();
    let browser = stand.log_in();
    let types = browser.get("/api/v1/events")["types"].as_array().unwrap().clone();
    let keys: Vec<_> = types.iter().map(|t| t["key"].as_str().unwrap()).collect();
    assert_eq!(keys, EventType::ALL.map(EventType::key));
    assert!(types.iter().all(|t| t["captured"] == true));
    let row = browser.ask("PUT", "/api/v1/events/packets", r#"{"captured": false}"#).json();
    assert_eq!((&row["title"], &row["captured"]), (&json!("Intrusion Event Packet Data"), &json!(false)));
    assert!(!stand.control.captured().unwrap().contains(EventType::Packets));
    assert_eq!(browser.get("/api/v1/events")["types"][1]["captured"], false);
    assert_eq!(browser.ask("PUT", "/api/v1/events/packets", r#"{"captured": true}"#).json()["captured"], true);
    let unknown = browser.ask("PUT", "/api/v1/events/Packets", r#"{"captured": true}"#);
    assert!(unknown.refused(404, "Packets").json()["remedy"].as_str().unwrap().contains("impact-alerts"));
    stand.logged("the administrator at 127.0.0.1: unchecked Intrusion Event Packet Data");
}

#[test]
fn domains_have_names() {
    let stand = Stand::new();
    let browser = stand.log_in();
    assert_eq!(browser.get("/api/v1/domains"), json!({"domains": [{"netmap": 0, "name": "Global"}]}));
    let add = |netmap: u32, name: &str| {
        browser.ask("POST", "/api/v1/domains", &json!({"netmap": netmap, "name": name}).to_string())
    };
    assert_eq!(add(3, "Branch").status, 201);
    add(3, "Other").refused(409, "already");
    add(4, "branch").refused(409, "already");
    add(5, "").refused(422, "1 to 128");
    add(40_000, "Far").refused(422, "32767");
    let domains = browser.get("/api/v1/domains");
    assert_eq!(domains["domains"][1], json!({"netmap": 3, "name": "Branch"}));
    // A client of that domain.
    let client = json!({"name": "192.0.2.5", "netmap": 3}).to_string();
    let row = browser.ask("POST", "/api/v1/clients", &client).json()["client"].clone();
    assert_eq!((&row["netmap"], &row["domain"]), (&json!(3), &json!("Branch")));
    let client = json!({"name": "192.0.2.6", "netmap": 40_000}).to_string();
    browser.ask("POST", "/api/v1/clients", &client).refused(422, "32767");
}

#[test]
fn sensors_are_listed_held_and_forgotten() {
    let stand = Stand::new();
    let browser = stand.log_in();
    let about = Sensor { netmap: 0, source: "eve-3", device: 3, name: "ids-3", kind: "eve" };
    let mut post = Post::open(&stand.home.control_path(), &about).unwrap();
    post.beat(&Beat { events: vec![(EventType::Intrusion, 17)], lag: Some(2), ..Beat::default() }).unwrap();
    let sensor = browser.get("/api/v1/sensors")["sensors"][0].clone();
    assert_eq!(
        (&sensor["name"], &sensor["state"], &sensor["events"]),
        (&json!("ids-3"), &json!("running"), &json!(17))
    );
    assert_eq!((&sensor["domain"], &sensor["lag_seconds"]), (&json!("Global"), &json!(2)));
    let path = format!("/api/v1/sensors/{}", sensor["id"]);

    post.beat(&Beat { waiting: Some("the archive has no room".into()), ..Beat::default() }).unwrap();
    let warnings = browser.get("/api/v1/overview")["warnings"].clone();
    assert!(warnings.to_string().contains("The sensor ids-3 waits: the archive has no room"), "{warnings}");

    let held = browser.ask("PUT", &path, r#"{"paused": true}"#).json();
    assert_eq!(held["paused"], true);
    assert!(post.refresh().hold.is_some());
    post.beat(&Beat::default()).unwrap();
    assert_eq!(browser.get("/api/v1/sensors")["sensors"][0]["state"], "paused");
    browser.ask("DELETE", &path, "").refused(409, "runs");
    drop(post);
    assert_eq!(browser.get("/api/v1/sensors")["sensors"][0]["state"], "stopped");
    assert_eq!(browser.ask("DELETE", &path, "").status, 204);
    browser.ask("DELETE", &path, "").refused(404, "no sensor");
    browser.ask("PUT", &path, r#"{"paused": true}"#).refused(404, "no sensor");
    browser.ask("PUT", "/api/v1/sensors/x", r#"{"paused": true}"#).refused(404, "no sensor x");
}

#[test]
fn rates_archive_log_and_hosts() {
    let stand = Stand::new();
    let browser = stand.log_in();
    let rates = browser.get("/api/v1/rates?minutes=5");
    let lengths: Vec<_> =
        rates["series"].as_array().unwrap().iter().map(|s| s["values"].as_array().unwrap().len()).collect();
    assert_eq!((lengths, &rates["step_seconds"]), (vec![30; 9], &json!(10)));
    for wrong in ["minutes=0", "minutes=1441", "minutes=x", "minutes="] {
        browser.ask("GET", &format!("/api/v1/rates?{wrong}"), "").refused(422, "from 1 to 1440");
    }

    let before = browser.get("/api/v1/archive");
    assert_eq!((&before["netmaps"][0]["segments"], &before["netmaps"][0]["first_second"]), (&json!(0), &Value::Null));
    let (mut archive, _) = archive::Archive::open(&stand.home.archive(), 0, archive::Options::default()).unwrap();
    let mut batch = archive::Batch::new();
    batch.push_event(&[&[0, 0, 0, 4, 0, 0, 0, 20][..], &[0; 20]].concat()).unwrap();
    let commit = archive.commit(&mut batch).unwrap();
    let after = browser.get("/api/v1/archive");
    assert_eq!(
        (&after["netmaps"][0]["segments"], &after["netmaps"][0]["last_second"]),
        (&json!(1), &json!(commit.second))
    );
    assert_eq!(after["retention"], json!({"days": null, "bytes": null, "free": 1_000_000_000}));
    std::fs::write(stand.home.settings_path(), "keep_days = 30\nkeep_bytes = \"2GB\"\nkeep_free_bytes = \"0\"\n")
        .unwrap();
    stand.handle.reload().unwrap();
    let retention = browser.get("/api/v1/archive")["retention"].clone();
    assert_eq!(retention, json!({"days": 30, "bytes": 2_000_000_000_u64, "free": null}));
    assert!(after["disk"]["free"].as_u64().unwrap() <= after["disk"]["total"].as_u64().unwrap());

    let lines = browser.get("/api/v1/log?limit=2")["lines"].as_array().unwrap().clone();
    assert_eq!(lines.len(), 2);
    assert!(lines[1]["text"].as_str().unwrap().contains("logged in as administrator"), "{lines:?}");
    let last = lines[1]["number"].as_u64().unwrap();
    assert_eq!(browser.get(&format!("/api/v1/log?after={last}"))["lines"], json!([]));
    let older = browser.get(&format!("/api/v1/log?after={}&level=info", last - 1));
    assert_eq!(older["lines"][0], lines[1]);
    assert_eq!(browser.get("/api/v1/log?level=error")["lines"], json!([]));
    for wrong in ["level=loud", "limit=0", "limit=2001", "after=-1"] {
        browser.ask("GET", &format!("/api/v1/log?{wrong}"), "").refused(422, "must be");
    }

    assert_eq!(browser.get("/api/v1/hosts")["total"], 0);
    for wrong in ["netmap=40000", "limit=0", "after=x"] {
        browser.ask("GET", &format!("/api/v1/hosts?{wrong}"), "").refused(422, "must be");
    }
}

#[test]
fn the_certificate_is_read_again_with_the_service() {
    let stand = Stand::new();
    let shown = || {
        let mut stream = stand.connect();
        stream.conn.complete_io(&mut stream.sock).unwrap();
        pki::fingerprint(&stream.conn.peer_certificates().unwrap()[0])
    };
    let before = shown();
    let renewed = stand.home.renew_server(&[]).unwrap();
    assert_eq!(shown(), before);
    stand.handle.reload().unwrap();
    assert_eq!(shown(), renewed.fingerprint);
}

#[test]
fn the_page_is_served_with_what_keeps_it_safe() {
    let stand = Stand::new();
    let page = stand.ask("GET", "/", &[], "");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    for (name, words) in [
        ("content-security-policy", "default-src 'self'"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-cache"),
    ] {
        assert!(page.header(name).is_some_and(|value| value.contains(words)), "{name}: {page:?}");
    }
    let tag = page.header("etag").unwrap();
    let known = stand.ask("GET", "/index.html", &[("If-None-Match", tag)], "");
    assert_eq!((known.status, known.body.len()), (304, 0));
    assert_eq!(stand.ask("GET", "/", &[("If-None-Match", "\"other\"")], "").status, 200);
    let head = stand.ask("HEAD", "/", &[], "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(page.body.len().to_string().as_str()));
    assert_eq!(stand.ask("POST", "/", &[], "").status, 405);
    for path in ["/../Cargo.toml", "/%2e%2e/Cargo.toml", "/..%2fCargo.toml", "//etc/passwd", "/nothing.js", "/.hidden"]
    {
        stand.ask("GET", path, &[], "").refused(404, "no such page");
    }
    // HEAD of the API too.
    let script = stand.script();
    let head = script.ask("HEAD", "/api/v1/events", "");
    assert!(head.status == 200 && head.body.is_empty() && head.header("content-length") != Some("0"));
}

#[test]
fn several_at_once_are_answered() {
    let stand = Stand::new();
    let browser = stand.log_in();
    std::thread::scope(|scope| {
        let ask = || (0..5).for_each(|_| drop(browser.get("/api/v1/overview")));
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
    });
    wait_for("the log", || stand.log().contains("logged in").then_some(()));
}
