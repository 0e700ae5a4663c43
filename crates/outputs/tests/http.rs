//! Splunk, Elasticsearch and others against a server in the test: what is sent, and what the answers lead to.

#![allow(clippy::unwrap_used, clippy::expect_used)] // Tests may fail loudly.

mod support;

use flate2::read::GzDecoder;
use outputs::sender;
use outputs::transport::elastic::{self, Elastic};
use outputs::transport::hec::{self, Acknowledgement, Hec};
use outputs::transport::http::{self, Credentials};
use outputs::transport::post::{self, Post};
use outputs::transport::{Secret, tls};
use outputs::{Remote, Transport};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use support::http::{Reply, Request, Server, ok};
use support::tls::Authority;
use support::{Caller, Watch, all_sent, duplicates, law, line, lines, ms, quick, remote, spool_settings, wait};
use tempfile::TempDir;

fn settings(server: &Server) -> http::Settings {
    http::Settings { timeout: ms(1500), connect_timeout: ms(1000), ..http::Settings::new(server.url()) }
}

fn post(server: &Server) -> Post {
    Post::new(post::Settings::new(settings(server))).unwrap()
}

fn status(status: u16) -> Reply {
    Reply::Status(status, "", "words".to_owned())
}

/// Sends lines until all are done.
fn send(folder: &Path, transport: impl Transport + 'static, count: usize) -> outputs::Counts {
    let mut caller = Caller::new(remote(folder, transport, None));
    let metrics = caller.to.metrics();
    let _watch = Watch::new(metrics.clone());
    caller.write(count);
    all_sent(&metrics)
}

fn rejected(folder: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(folder.join("rejected.jsonl")).unwrap_or_default();
    let entries = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let field = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    entries.map(|entry| (field(&entry, "line"), field(&entry, "reason"))).collect()
}

#[test]
fn lines_are_posted() {
    let server = Server::new(|_, _| Reply::Status(204, "", String::new()));
    let folder = TempDir::new().unwrap();
    let mut http = settings(&server);
    http.url = format!("{}/in/here/", server.url());
    http.credentials = Credentials::Basic { user: "me".to_owned(), password: Secret::new("geheim") };
    http.headers.push(("X-Tenant".to_owned(), Secret::new("7")));
    let counts = send(folder.path(), Post::new(post::Settings::new(http)).unwrap(), 25);
    assert_eq!((counts.sent, counts.batches), (25, 3));
    let requests = server.requests();
    assert_eq!(requests.iter().flat_map(Request::lines).collect::<Vec<_>>(), lines(0..25));
    let first = &requests[0];
    assert_eq!(first.path, "/in/here");
    assert_eq!(first.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(first.header("authorization"), Some("Basic bWU6Z2VoZWlt"));
    assert_eq!(first.header("x-tenant"), Some("7"));
    assert!(first.text().ends_with("}\n"));
}

#[test]
fn bodies_can_be_compressed() {
    let server = Server::new(|_, _| ok(""));
    let folder = TempDir::new().unwrap();
    let http = http::Settings { gzip: true, ..settings(&server) };
    send(folder.path(), Post::new(post::Settings::new(http)).unwrap(), 10);
    let request = &server.requests()[0];
    assert_eq!(request.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    GzDecoder::new(request.body.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(text, lines(0..10).join("\n") + "\n");
}

#[test]
fn errors_are_repeated_in_order() {
    let server = Server::new(|number, _| match number {
        0 => status(500),
        1 => Reply::Status(429, "retry-after: 1\r\n", String::new()),
        2 => Reply::Hang,
        3 => Reply::Status(302, "location: http://elsewhere.example.com/\r\n", String::new()),
        4 => status(401),
        5 => Reply::Silence(ms(1800)),
        6 => ok("x".repeat(17 << 20)),
        _ => ok(""),
    });
    let folder = TempDir::new().unwrap();
    let mut caller = Caller::new(remote(folder.path(), post(&server), None));
    let metrics = caller.to.metrics();
    let _watch = Watch::new(metrics.clone());
    caller.write(15);
    let mut errors: Vec<String> = Vec::new();
    wait("sending everything", || {
        let counts = law(&metrics);
        errors.extend(counts.last_error.filter(|error| errors.last() != Some(error)));
        counts.pending == 0
    });
    let expected =
        ["answers 500: words", "answers 429", "cannot post", "redirects", "token", "timeout", "check the URL"];
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(errors.len(), 7, "{errors:?}");
    let bodies: Vec<_> = server.requests().iter().skip(7).flat_map(Request::lines).collect();
    assert_eq!(bodies, lines(0..15));
    // Answers with 429 say when to come again.
    assert_eq!(law(&metrics).retries, 7);
}

#[test]
fn lines_that_are_refused_are_found_and_put_aside() {
    let server = Server::new(|_, request| match request.text().contains(": 7,") || request.text().contains(": 13,") {
        true => Reply::Status(400, "", "no sevens".to_owned()),
        false => ok(""),
    });
    let folder = TempDir::new().unwrap();
    let counts = send(folder.path(), post(&server), 30);
    assert_eq!((counts.sent, counts.failed), (28, 2));
    let good = server
        .requests()
        .iter()
        .filter(|r| !r.text().contains(": 7,") && !r.text().contains(": 13,"))
        .flat_map(Request::lines)
        .collect::<Vec<_>>();
    assert_eq!(good, lines((0..30).filter(|n| ![7, 13].contains(n))));
    let aside = rejected(folder.path());
    assert_eq!(aside.iter().map(|(line, _)| line.clone()).collect::<Vec<_>>(), lines([7, 13]));
    assert!(aside[0].1.ends_with("answers 400: no sevens"), "{}", aside[0].1);
}

#[test]
fn batches_too_large_for_the_receiver_become_smaller() {
    let server = Server::new(|_, request| if request.body.len() > 150 { status(413) } else { ok("") });
    let folder = TempDir::new().unwrap();
    let counts = send(folder.path(), post(&server), 30);
    assert_eq!((counts.sent, counts.failed), (30, 0));
    let small = server.requests().iter().filter(|r| r.body.len() <= 150).flat_map(Request::lines).collect::<Vec<_>>();
    assert_eq!(small, lines(0..30));
}

#[test]
fn https_is_verified() {
    let authority = Authority::new();
    let server = Server::tls(authority.server("localhost", true), |_, _| ok(""));
    let url = format!("https://localhost:{}", server.address.port());
    let (certificate, key) = authority.issue("client");
    let client = Some(tls::ClientFiles { certificate, key });
    let good = tls::Settings { authorities: Some(authority.file()), server_name: None, client };
    let with = |url: &str, tls: &tls::Settings| {
        let http = http::Settings { url: url.to_owned(), tls: tls.clone(), ..settings(&server) };
        Post::new(post::Settings::new(http)).unwrap()
    };
    let folder = TempDir::new().unwrap();
    assert_eq!(send(folder.path(), with(&url, &good), 5).sent, 5);
    let elsewhere = Authority::new();
    let stranger = tls::Settings { authorities: Some(elsewhere.file()), ..good.clone() };
    let other = url.replace("localhost", "127.0.0.1");
    let nobody = tls::Settings { client: None, ..good.clone() };
    let cases =
        [(&url, &stranger, "issued the server"), (&other, &good, "name"), (&url, &nobody, "client certificate")];
    for (url, tls, expected) in cases {
        let folder = TempDir::new().unwrap();
        let mut caller = Caller::new(remote(folder.path(), with(url, tls), None));
        let metrics = caller.to.metrics();
        caller.write(1);
        wait("an error", || metrics.counts().last_error.is_some());
        let error = law(&metrics).last_error.unwrap();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_proxy_is_asked_with_its_password() {
    let server = Server::new(|_, _| Reply::Status(407, "", String::new()));
    let mut http = http::Settings { url: "http://receiver.example.com:9".to_owned(), ..settings(&server) };
    http.proxy = Some(Secret::new(format!("http://me:geheim@{}", server.address)));
    let folder = TempDir::new().unwrap();
    let mut caller = Caller::new(remote(folder.path(), Post::new(post::Settings::new(http)).unwrap(), None));
    let metrics = caller.to.metrics();
    caller.write(1);
    wait("an error", || metrics.counts().last_error.is_some());
    let request = server.requests()[0].clone();
    assert!(request.path.starts_with("CONNECT receiver.example.com:9 "), "{}", request.path);
    assert!(request.header("proxy-authorization").unwrap().starts_with("Basic bWU6Z2VoZWlt"));
    let error = law(&metrics).last_error.unwrap();
    assert!(error.contains("proxy") && !error.contains("geheim"), "{error}");
}

// Splunk.

fn hec(server: &Server, change: impl FnOnce(&mut hec::Settings)) -> Hec {
    let credentials = Credentials::Splunk(Secret::new("geheim"));
    let mut settings = hec::Settings::new(http::Settings { credentials, ..settings(server) });
    change(&mut settings);
    Hec::new(settings).unwrap()
}

fn success() -> Reply {
    ok(r#"{"text":"Success","code":0}"#)
}

fn events(requests: &[Request]) -> Vec<String> {
    let events = requests.iter().filter(|r| r.path.ends_with("/event")).flat_map(Request::lines);
    events.map(|line| line.strip_prefix("{\"event\":").unwrap().strip_suffix('}').unwrap().to_owned()).collect()
}

#[test]
fn splunk_gets_events() {
    let server = Server::new(|_, _| success());
    let folder = TempDir::new().unwrap();
    let counts = send(folder.path(), hec(&server, |_| ()), 25);
    assert_eq!(counts.sent, 25);
    assert_eq!(events(&server.requests()), lines(0..25));
    let first = &server.requests()[0];
    assert_eq!(first.path, "/services/collector/event");
    assert_eq!(first.header("authorization"), Some("Splunk geheim"));
    assert_eq!(first.header("x-splunk-request-channel"), None);
    let raw = hec(&server, |s| (s.raw, s.sourcetype) = (true, Some("a b".to_owned())));
    let folder = TempDir::new().unwrap();
    send(folder.path(), raw, 3);
    let last = server.requests().pop().unwrap();
    assert_eq!(last.path, "/services/collector/raw?sourcetype=a%20b");
    assert_eq!(last.header("x-splunk-request-channel").map(str::len), Some(36));
    assert_eq!(last.lines(), lines(0..3));
}

#[test]
fn splunk_that_is_busy_or_picky() {
    let server = Server::new(|number, request| {
        let lines = request.lines();
        match number {
            0 => Reply::Status(503, "", r#"{"text":"Server is busy","code":9}"#.to_owned()),
            1 => Reply::Status(400, "", r#"{"text":"Incorrect index","code":7,"invalid-event-number":0}"#.to_owned()),
            _ => match lines.iter().position(|line| line.contains(": 4,")) {
                Some(bad) => {
                    let body = json!({"text": "Invalid data format", "code": 6, "invalid-event-number": bad});
                    Reply::Status(400, "", body.to_string())
                }
                None => success(),
            },
        }
    });
    let folder = TempDir::new().unwrap();
    let counts = send(folder.path(), hec(&server, |_| ()), 10);
    assert_eq!((counts.sent, counts.failed), (9, 1));
    assert_eq!(rejected(folder.path())[0].0, line(4));
    assert!(rejected(folder.path())[0].1.contains("Invalid data format"));
    // 10 lines three times, then those before the bad one, from it on, and those after it.
    let sizes: Vec<usize> = server.requests().iter().map(|r| r.lines().len()).collect();
    assert_eq!(sizes, [10, 10, 10, 4, 6, 5]);
}

/// A Splunk that acknowledges what its function says: given the number of polls, and an id.
fn indexer(acknowledge: impl Fn(usize, u64) -> bool + Send + Sync + 'static) -> Server {
    let count = Mutex::new((0, 0));
    Server::new(move |_, request| {
        let mut count = count.lock().unwrap();
        if request.path == "/services/collector/event" {
            count.0 += 1;
            return ok(json!({"text": "Success", "code": 0, "ackId": count.0 - 1}).to_string());
        }
        assert!(request.path.starts_with("/services/collector/ack?channel="), "{}", request.path);
        count.1 += 1;
        let asked: Value = serde_json::from_slice(&request.body).unwrap();
        let ids = asked["acks"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap());
        let acks: serde_json::Map<String, Value> =
            ids.map(|id| (id.to_string(), json!(acknowledge(count.1, id)))).collect();
        ok(json!({ "acks": acks }).to_string())
    })
}

fn acknowledged(settings: &mut hec::Settings) {
    settings.acknowledgement = Some(Acknowledgement { channel: None, poll: ms(20), timeout: ms(300), window: 3 });
}

#[test]
fn splunk_acknowledges_late_and_out_of_order() {
    // Odd ids at the second question, even ones at the fourth.
    let server = indexer(|polls, id| if id % 2 == 1 { polls >= 2 } else { polls >= 4 });
    let folder = TempDir::new().unwrap();
    let mut caller = Caller::new(remote(folder.path(), hec(&server, acknowledged), None));
    let metrics = caller.to.metrics();
    let _watch = Watch::new(metrics.clone());
    caller.write(100);
    assert_eq!(all_sent(&metrics).retries, 0);
    let requests = server.requests();
    assert_eq!(events(&requests), lines(0..100));
    let channels: HashSet<_> = requests.iter().map(|r| r.header("x-splunk-request-channel").unwrap()).collect();
    assert_eq!(channels.len(), 1);
    // No more than three batches at once.
    let posts: Vec<bool> = requests.iter().map(|r| r.path.ends_with("/event")).collect();
    assert!(posts.windows(4).all(|four| four.contains(&false)));
}

#[test]
fn what_splunk_never_acknowledges_is_sent_again() {
    let server = indexer(|_, id| id >= 4);
    let folder = TempDir::new().unwrap();
    let mut caller = Caller::new(remote(folder.path(), hec(&server, acknowledged), None));
    let metrics = caller.to.metrics();
    let _watch = Watch::new(metrics.clone());
    caller.write(50);
    let counts = all_sent(&metrics);
    assert!(counts.retries >= 1, "{counts:?}");
    assert!(counts.last_error.unwrap().contains("has not acknowledged events within"));
    assert!(duplicates(&events(&server.requests()), &lines(0..50)) > 0);
}

#[test]
fn a_busy_splunk_keeps_what_waits_for_its_acknowledgement() {
    let counts = Mutex::new((0, 0));
    let server = Server::new(move |_, request| {
        let (posts, polls) = &mut *counts.lock().unwrap();
        if request.path == "/services/collector/event" {
            *posts += 1;
            return match *posts {
                3 | 4 => Reply::Status(503, "", r#"{"text":"Server is busy","code":9}"#.to_owned()),
                n => ok(json!({"code": 0, "ackId": n}).to_string()),
            };
        }
        *polls += 1;
        let asked: Value = serde_json::from_slice(&request.body).unwrap();
        let ids = asked["acks"].as_array().unwrap().iter();
        ok(json!({"acks": ids.map(|id| (id.to_string(), json!(*polls > 4))).collect::<serde_json::Map<_, _>>()})
            .to_string())
    });
    let folder = TempDir::new().unwrap();
    let patient = |s: &mut hec::Settings| {
        acknowledged(s);
        s.acknowledgement.iter_mut().for_each(|a| a.timeout = ms(5000));
    };
    let mut caller = Caller::new(remote(folder.path(), hec(&server, patient), None));
    let metrics = caller.to.metrics();
    let _watch = Watch::new(metrics.clone());
    caller.write(50);
    assert_eq!(all_sent(&metrics).retries, 2);
    // Batches of 10: the third was refused twice, and nothing else came again.
    let expected: Vec<usize> = (0..30).chain(20..30).chain(20..50).collect();
    assert_eq!(events(&server.requests()), lines(expected));
}

#[test]
fn stopping_waits_for_acknowledgement() {
    let server = indexer(|polls, _| polls >= 5);
    let folder = TempDir::new().unwrap();
    let mut caller = Caller::new(remote(folder.path(), hec(&server, acknowledged), None));
    caller.write(10);
    assert!(caller.to.stop(Duration::from_secs(3)));
    assert_eq!(law(&caller.to.metrics()).sent, 10);
}

#[test]
fn a_splunk_without_acknowledgement_or_restarted() {
    let server = Server::new(|number, _| match number {
        // The token does not have it.
        0 => success(),
        1 => Reply::Status(400, "", r#"{"text":"ACK is disabled","code":14}"#.to_owned()),
        // Counts anew: a batch that waits for 5 must not take the new 5 for its own.
        2 => ok(r#"{"code":0,"ackId":5}"#),
        3 => ok(r#"{"code":0,"ackId":5}"#),
        _ => ok(r#"{"code":0,"ackId":1,"acks":{"1":true,"5":true}}"#),
    });
    let folder = TempDir::new().unwrap();
    let slow = |s: &mut hec::Settings| {
        acknowledged(s);
        if let Some(acknowledgement) = &mut s.acknowledgement {
            (acknowledgement.poll, acknowledgement.window) = (ms(200), 2);
        }
    };
    let mut caller = Caller::new(remote(folder.path(), hec(&server, slow), None));
    let metrics = caller.to.metrics();
    caller.write(15);
    let mut errors: Vec<String> = Vec::new();
    wait("a restart", || {
        errors.extend(law(&metrics).last_error.filter(|error| errors.last() != Some(error)));
        errors.len() == 3
    });
    assert!(errors[0].contains("gives no number to ask for"), "{errors:?}");
    assert!(errors[1].contains("ACK is disabled"), "{errors:?}");
    assert!(errors[..2].iter().all(|error| error.contains("enable indexer acknowledgement")), "{errors:?}");
    assert!(errors[2].contains("counts acknowledgements anew"), "{errors:?}");
    assert_eq!(law(&metrics).sent, 0);
}

// Elasticsearch.

fn elastic(server: &Server, change: impl FnOnce(&mut elastic::Settings)) -> Elastic {
    let credentials = Credentials::ApiKey(Secret::new("geheim"));
    let http = http::Settings { credentials, ..settings(server) };
    let mut settings = elastic::Settings { http, index: "events".to_owned(), time: None, id: None };
    change(&mut settings);
    Elastic::new(settings).unwrap()
}

/// An Elasticsearch that gives each document a status.
fn bulk(judge: impl Fn(usize, &str) -> u16 + Send + Sync + 'static) -> Server {
    Server::new(move |number, request| {
        let lines = request.lines();
        let statuses = lines.chunks(2).map(|pair| judge(number, &pair[1]));
        let item = |status: u16| match status {
            201 => json!({"create": {"status": 201}}),
            _ => json!({"create": {"status": status, "error": {"type": "an_exception", "reason": "of its own"}}}),
        };
        let items: Vec<Value> = statuses.map(item).collect();
        ok(json!({"errors": true, "items": items}).to_string())
    })
}

fn documents(requests: &[Request]) -> Vec<String> {
    requests.iter().flat_map(|r| r.lines().into_iter().skip(1).step_by(2).collect::<Vec<_>>()).collect()
}

#[test]
fn elasticsearch_gets_documents() {
    let server = bulk(|_, _| 201);
    let folder = TempDir::new().unwrap();
    let all = |s: &mut elastic::Settings| {
        s.index = "fmc-%Y.%m.%d".to_owned();
        s.time = Some("/event/sec".to_owned());
        s.id = Some("id".to_owned());
    };
    let mut caller = Caller::new(remote(folder.path(), elastic(&server, all), None));
    caller.put("{\"id\": \"a\\\"b\", \"event\": {\"sec\": 1772366400.25}}\n");
    caller.put("{\"id\": 17, \"event\": {\"sec\": 0}}\n");
    caller.put("{\"id\": [], \"event\": {\"sec\": 1e300}}\n");
    caller.checkpoint();
    assert_eq!(all_sent(&caller.to.metrics()).sent, 3);
    let request = &server.requests()[0];
    assert_eq!(request.path, "/_bulk?filter_path=errors,items.*.status,items.*.error");
    assert_eq!(request.header("authorization"), Some("ApiKey geheim"));
    assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
    let lines = request.lines();
    assert_eq!(lines[0], r#"{"create":{"_index":"fmc-2026.03.01","_id":"a\"b"}}"#);
    assert_eq!(lines[1], r#"{"id": "a\"b", "event": {"sec": 1772366400.25}}"#);
    assert_eq!(lines[2], r#"{"create":{"_index":"fmc-1970.01.01","_id":"17"}}"#);
    let today: Value = serde_json::from_str(&lines[4]).unwrap();
    assert!(today["create"]["_index"].as_str().unwrap().starts_with("fmc-20") && today["create"]["_id"].is_null());
    assert_eq!(lines.len(), 6);
}

#[test]
fn elasticsearch_that_takes_a_part_gets_the_rest_alone() {
    // Busy with the threes twice, has the fives already, never takes sevens.
    let server = bulk(|number, document| match document {
        d if d.contains("3,") && number < 2 => [429, 503][number],
        d if d.contains("5,") => 409,
        d if d.contains("7,") => 400,
        _ => 201,
    });
    let folder = TempDir::new().unwrap();
    let settings = sender::Settings { lines: 40, ..quick() };
    let to = Remote::open("test", spool_settings(folder.path()), settings, Box::new(elastic(&server, |_| ())), None);
    let mut caller = Caller::new(to.unwrap());
    let metrics = caller.to.metrics();
    let _watch = Watch::new(metrics.clone());
    caller.put("no object\n");
    caller.write(39);
    let counts = all_sent(&metrics);
    assert_eq!((counts.sent, counts.failed, counts.retries), (35, 5, 2), "{counts:?}");
    let requests = server.requests();
    let threes = lines([3, 13, 23, 33]);
    assert_eq!(documents(&requests[..1]), lines(1..40));
    assert_eq!(documents(&requests[1..2]), threes);
    assert_eq!(documents(&requests[2..3]), threes);
    assert_eq!(requests.len(), 3);
    let aside = rejected(folder.path());
    assert_eq!(aside[0], ("no object".to_owned(), "not a JSON object".to_owned()));
    assert_eq!(aside[1], (line(7), "400: an_exception: of its own".to_owned()));
    assert_eq!(aside.len(), 5);
}

#[test]
fn elasticsearch_that_refuses_the_index_or_talks_nonsense_loses_nothing() {
    let server = Server::new(|number, request| {
        let count = request.lines().len() / 2;
        let items =
            |status: u16, count| json!({"items": vec![json!({"create": {"status": status, "error": "no"}}); count]});
        match number {
            0 => ok(items(403, count).to_string()),
            1 => ok("<html>"),
            2 => ok(items(201, count - 1).to_string()),
            5 => ok(json!({"items": vec![json!({}); count]}).to_string()),
            3 => status(503),
            4 => Reply::Hang,
            _ => ok(items(201, count).to_string()),
        }
    });
    let folder = TempDir::new().unwrap();
    let counts = send(folder.path(), elastic(&server, |_| ()), 10);
    assert_eq!((counts.sent, counts.failed, counts.retries), (10, 0, 6));
}

#[test]
fn wrong_indexes_are_refused_at_once() {
    let server = bulk(|_, _| 201);
    for index in ["", "Upper", "a b", "_a", "%Q", "a/b", "%B"] {
        let http = settings(&server);
        let result = Elastic::new(elastic::Settings { http, index: index.to_owned(), time: None, id: None });
        assert!(result.is_err(), "{index}");
    }
}

#[test]
fn a_receiver_that_is_not_there_is_named() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let http = http::Settings::new(format!("http://127.0.0.1:{port}"));
    let folder = TempDir::new().unwrap();
    let mut caller = Caller::new(remote(folder.path(), Post::new(post::Settings::new(http)).unwrap(), None));
    let metrics = caller.to.metrics();
    caller.write(1);
    wait("an error", || metrics.counts().last_error.is_some());
    let counts = law(&metrics);
    let error = counts.last_error.unwrap();
    assert!(error.starts_with(&format!("cannot post to http://127.0.0.1:{port}: ")), "{error}");
    assert!(error.ends_with("start the receiver, or check the port and firewalls"), "{error}");
    assert!(!counts.connected);
}
