//! `estreamer sensor record-json`: records over HTTP and by a Unix socket.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;
use support::archived::archived;
use support::{Dice, Process, SOON, Site, free_port};

/// Starts the sensor with these doors.
fn start(site: &Site, arguments: &[&str]) -> Process {
    let home = site.home();
    site.start("record-json", &[&["sensor", "record-json", "--home", &home], arguments].concat())
}

/// The address of the line that says where records are taken.
fn address(process: &Process) -> SocketAddr {
    let line = process.line("Records are taken at http");
    line.split("://").nth(1).unwrap().trim_end_matches("/records").parse().unwrap()
}

fn token(site: &Site, name: &str) -> String {
    site.run(&["tokens", "add", "--home", &site.home(), name]).success().trim().to_owned()
}

/// TLS that trusts the authority of the home and nobody else.
fn tls(site: &Site) -> Arc<ClientConfig> {
    let pem = std::fs::read(site.path("home/ca/ca.crt")).unwrap();
    let mut roots = RootCertStore::empty();
    pki::certificates_from_pem(&pem).unwrap().into_iter().for_each(|der| roots.add(der).unwrap());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

/// Status and body of an answer.
type Answer = (u16, Value);

fn ask(stream: &mut (impl Read + Write), head: &str, body: &str) -> io::Result<Answer> {
    let length = body.len();
    write!(stream, "{head}\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n")?;
    stream.write_all(body.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok((code, serde_json::from_str(body).map_err(|_| io::ErrorKind::UnexpectedEof)?))
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SOON))?;
    Ok(stream)
}

/// Posts lines over TLS.
fn post(tls: &Arc<ClientConfig>, address: SocketAddr, token: &str, body: &str) -> Answer {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(tls.clone(), name).unwrap();
    let mut stream = StreamOwned::new(connection, connect(address).unwrap());
    let authorization = if token.is_empty() { String::new() } else { format!("\r\nAuthorization: Bearer {token}") };
    ask(&mut stream, &format!("POST /records HTTP/1.1{authorization}"), body).unwrap()
}

fn line(id: &str, policy: u64) -> String {
    format!("{{\"recordType\": 112, \"id\": \"{id}\", \"policyId\": {policy}}}\n")
}

fn policies(site: &Site) -> Vec<u64> {
    archived(site).0.iter().map(|event| event["policyId"].as_u64().unwrap()).collect()
}

#[test]
fn http_takes_records_of_those_who_have_a_token() {
    let site = Site::new();
    let tls = tls(&site);
    let (good, other) = (token(&site, "program"), token(&site, "other"));
    let process = start(&site, &["--listen", "127.0.0.1:0", "--device", "9"]);
    let at = address(&process);
    let two = [line("a", 1), line("b", 2)].concat();
    for wrong in ["", "0123", &good[1..]] {
        let (code, answer) = post(&tls, at, wrong, &two);
        assert!(code == 401 && answer["error"].as_str().unwrap().starts_with("a token is needed"), "{answer}");
    }
    assert_eq!(post(&tls, at, &good, &two), (200, json!({"accepted": 2, "known": 0, "rejected": 0, "errors": []})));
    // It is in the archive when the answer comes.
    assert_eq!(policies(&site), [1, 2]);
    let (code, answer) =
        post(&tls, at, &good, &[line("b", 2), "\n{\"recordType\": 112, \"polcyId\": 1}\n".into()].concat());
    let error = "record 112, field polcyId: 1 Correlation Event (block 1:156) has no such field; is policyId meant?";
    let errors = json!([{"line": 3, "recordType": 112, "field": "polcyId", "value": "1", "error": error}]);
    assert_eq!((code, answer), (200, json!({"accepted": 0, "known": 1, "rejected": 1, "errors": errors})));
    assert_eq!(post(&tls, at, &good, "nonsense\n").0, 422);
    assert_eq!(post(&tls, at, &other, &line("a", 3)).1["accepted"], 1, "ids are known by token");
    let (code, answer) = post(&tls, at, &good, &"{}\n".repeat(publish::MAX_LINES + 1));
    assert!(code == 413 && answer["error"].as_str().unwrap().contains("10000 lines"), "{answer}");

    // What was accepted before it was killed is known after.
    let mut process = process;
    process.kill();
    let process = start(&site, &["--listen", "127.0.0.1:0"]);
    let at = address(&process);
    assert_eq!(post(&tls, at, &good, &two).1["known"], 2);
    site.run(&["tokens", "remove", "--home", &site.home(), "program"]).success();
    assert_eq!(post(&tls, at, &good, &two).0, 401);
    assert_eq!(site.run(&["tokens", "list", "--home", &site.home()]).success(), "other\n");
    assert_eq!(policies(&site), [1, 2, 3]);

    // Without TLS nothing is answered, and there is no way to have it so for the whole network.
    let mut plain = connect(at).unwrap();
    let refused = ask(&mut plain, "POST /records HTTP/1.1", "");
    assert!(refused.is_err() || refused.is_ok_and(|(code, _)| code == 400));
    let all = site.run(&["sensor", "record-json", "--home", &site.home(), "--listen", "0.0.0.0:0", "--plain-http"]);
    all.failed(1, &["0.0.0.0:0 is no loopback address: tokens must not travel there without TLS"]);
    site.run(&["sensor", "record-json", "--home", &site.home()]).failed(2, &["--socket"]);
}

#[test]
fn plain_http_on_loopback_and_other_requests() {
    let site = Site::new();
    let token = token(&site, "program");
    let process = start(&site, &["--listen", "127.0.0.1:0", "--plain-http"]);
    let at = address(&process);
    let ask = |head: &str, body: &str| ask(&mut connect(at).unwrap(), head, body).unwrap();
    let authorized = format!("POST /records HTTP/1.1\r\nAuthorization: Bearer {token}");
    assert_eq!(ask(&authorized, &line("a", 1)).1["accepted"], 1);
    assert_eq!(ask(&authorized, "").0, 200);
    assert_eq!(ask("GET /records HTTP/1.1", "").0, 405);
    assert_eq!(ask("POST / HTTP/1.1", "").0, 404);
    assert_eq!(ask("POST /records HTTP/1.1\r\nAuthorization: Basic eDp5", "").0, 401);
}

#[test]
fn an_answer_is_a_promise_whoever_is_killed() {
    const REQUESTS: u64 = 60;
    let mut dice = Dice::new("record-json");
    let site = Site::new();
    let token = token(&site, "program");
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let arguments = ["--listen", listen.as_str(), "--plain-http"];
    let mut process = start(&site, &arguments);
    let at = address(&process);
    let head = format!("POST /records HTTP/1.1\r\nAuthorization: Bearer {token}");
    let sender = std::thread::spawn(move || {
        let begun = std::time::Instant::now();
        for request in 0..REQUESTS {
            let body: String = (request * 10..request * 10 + 10).map(|i| line(&format!("id {i}"), i)).collect();
            // Again and again until there is an answer.
            loop {
                let answer = connect(at).and_then(|mut stream| ask(&mut stream, &head, &body));
                match answer {
                    Ok((200, report)) => {
                        assert_eq!(report["accepted"].as_u64().unwrap() + report["known"].as_u64().unwrap(), 10);
                        break;
                    }
                    _ => assert!(begun.elapsed() < 2 * SOON, "{answer:?}"),
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    });
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(20 + dice.below(200)));
        process.kill();
        process = start(&site, &arguments);
    }
    sender.join().unwrap();
    assert!(policies(&site).into_iter().eq(0..10 * REQUESTS), "each is there once");
}

#[test]
fn a_socket_answers_at_empty_lines_and_at_the_end() {
    let site = Site::new();
    let path = site.path("records.socket");
    let text = path.to_str().unwrap().to_owned();
    let mut process = start(&site, &["--socket", &text]);
    process.line("Records are taken at the socket");
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut next = move || serde_json::from_str::<Value>(&answers.next().unwrap().unwrap()).unwrap();
    write!(stream, "{}{}nonsense\n\n", line("a", 1), line("a", 1)).unwrap();
    let answer = next();
    assert_eq!(
        (&answer["accepted"], &answer["known"], &answer["errors"][0]["line"]),
        (&1.into(), &1.into(), &3.into())
    );
    // Who asks for no answer is heard all the same.
    stream.write_all(line("b", 2).as_bytes()).unwrap();
    support::wait_for("the event", || (policies(&site) == [1, 2]).then_some(()));
    stream.write_all(line("c", 3).trim_end().as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(next(), json!({"accepted": 2, "known": 0, "rejected": 0, "errors": []}));
    assert_eq!(policies(&site), [1, 2, 3]);

    // Another one cannot have the same socket while there is one; after it was killed it can.
    site.run(&["sensor", "record-json", "--home", &site.home(), "--socket", &text]).failed(1, &["cannot be made"]);
    process.kill();
    let mut process = start(&site, &["--socket", &text]);
    process.line("Records are taken at the socket");
    assert!(process.terminate().success());
    assert!(!path.exists());
}
