//! The life of a client: created, downloaded, connected, renewed, deleted.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use pki::{Bundle, ServerTrust, TlsVersions};
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use support::{Browser, SOON, Stand, wait_for};

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// An event stream request for what comes from now on, in the extended way: the service answers with its services.
const NOW: [u8; 16] = [0, 1, 0, 2, 0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 0x48, 0x90, 0, 0x61];

fn create(browser: &Browser<'_>, body: &Value) -> support::Answer {
    browser.ask("POST", "/api/v1/clients", &body.to_string())
}

fn open(browser: &Browser<'_>, path: &str, password: Option<&str>) -> Bundle {
    let file = browser.ask("GET", path, "");
    assert_eq!((file.status, file.header("content-type")), (200, Some("application/x-pkcs12")));
    Bundle::from_pkcs12(&file.body, password).unwrap()
}

/// Connects to the service and sends a request; the error of the handshake otherwise.
fn connect(stand: &Stand, bundle: &Bundle) -> Result<Stream, String> {
    let config = pki::client_config(bundle, ServerTrust::Authorities, TlsVersions::default()).unwrap();
    let connection = ClientConnection::new(config, pki::server_name("localhost")).unwrap();
    let socket = TcpStream::connect(stand.handle.local_addresses()[0]).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    stream.write_all(&NOW).map_err(|error| error.to_string())?;
    // With TLS 1.3 a refusal comes with the first answer; the service sends its list of services.
    let mut header = [0; 8];
    stream.read_exact(&mut header).map_err(|error| error.to_string())?;
    Ok(stream)
}

/// Whether the service ends a connection.
fn ends(stream: &mut Stream) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
}

#[test]
fn a_client_is_created_connects_is_seen_and_deleted() {
    let stand = Stand::new();
    let browser = stand.log_in();
    let answer = create(&browser, &json!({"name": "127.0.0.1", "password": "secret"}));
    assert_eq!(answer.status, 201);
    let made = answer.json();
    assert_eq!(made["download"], "/api/v1/clients/127.0.0.1/pkcs12");
    let row = &made["client"];
    assert_eq!((&row["sessions"], &row["downloadable"], &row["warning"]), (&json!(0), &json!(true), &Value::Null));
    let refused = create(&browser, &json!({"name": "127.0.0.1"}));
    assert_eq!(refused.refused(409, "there is a client 127.0.0.1 already").json()["code"], "exists");

    let path = made["download"].as_str().unwrap();
    let file = browser.ask("GET", path, "");
    assert_eq!(file.header("content-disposition"), Some("attachment; filename=\"127.0.0.1.pkcs12\""));
    assert!(Bundle::from_pkcs12(&file.body, None).is_err());
    let bundle = open(&browser, path, Some("secret"));
    assert_eq!(pki::fingerprint(&bundle.certificate), row["fingerprint"]);

    let mut stream = connect(&stand, &bundle).unwrap();
    let session = wait_for("the session", || {
        let sessions = browser.get("/api/v1/sessions")["sessions"].as_array().unwrap().clone();
        sessions.into_iter().find(|s| s["client"] == "127.0.0.1")
    });
    assert!(session["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{session}");
    assert_eq!(browser.get("/api/v1/clients")["clients"][0]["sessions"], 1);
    assert_eq!(browser.get("/api/v1/overview")["open"], 1);

    // One session is ended; the client may come again.
    let number = session["number"].as_u64().unwrap();
    assert_eq!(browser.ask("DELETE", &format!("/api/v1/sessions/{number}"), "").status, 204);
    ends(&mut stream);
    for gone in [number.to_string(), "0".into(), "x".into(), "99999999999".into()] {
        let answer = wait_for("its end", || {
            let answer = browser.ask("DELETE", &format!("/api/v1/sessions/{gone}"), "");
            (answer.status != 204).then_some(answer)
        });
        answer.refused(404, "there is no session");
    }
    let mut stream = connect(&stand, &bundle).unwrap();

    // Deleted: the session ends, and the certificate is refused as revoked.
    assert_eq!(browser.ask("DELETE", "/api/v1/clients/127.0.0.1", "").status, 204);
    ends(&mut stream);
    let error = connect(&stand, &bundle).unwrap_err();
    assert!(error.to_lowercase().contains("revoked"), "{error}");
    browser.ask("DELETE", "/api/v1/clients/127.0.0.1", "").refused(404, "there is no client");
    browser.ask("GET", path, "").refused(404, "there is no client");
    assert_eq!(browser.get("/api/v1/clients")["clients"], json!([]));
    let log = stand.log();
    for words in [
        "created the client 127.0.0.1",
        "downloaded the PKCS#12 file of 127.0.0.1",
        "ended session",
        "deleted the client 127.0.0.1",
    ] {
        assert!(log.contains(&format!("the administrator at 127.0.0.1: {words}")), "{words}");
    }
    assert!(!log.contains("secret"));
}

#[test]
fn names_are_looked_up_and_may_be_odd() {
    let stand = Stand::new();
    let browser = stand.log_in();
    assert_eq!(create(&browser, &json!({"name": " siem.example "})).json()["client"]["name"], "siem.example");
    let unknown = create(&browser, &json!({"name": "nowhere.example"}));
    assert_eq!(unknown.refused(422, "nowhere.example does not resolve (no such name").json()["code"], "unresolved");
    let accepted = create(&browser, &json!({"name": "nowhere.example", "accept_unresolved": true, "keep": false}));
    assert_eq!((accepted.status, &accepted.json()["client"]["downloadable"]), (201, &json!(false)));
    browser.ask("GET", "/api/v1/clients/nowhere.example/pkcs12", "").refused(404, "was not kept");
    for bad in ["", "a b", "a\nb", "a/../b", &"x".repeat(300)] {
        assert_eq!(create(&browser, &json!({ "name": bad })).refused(422, "cannot be used").json()["code"], "name");
    }
    create(&browser, &json!({"name": "192.0.2.7", "password": "\u{1f600}"})).refused(422, "emoji");
    create(&browser, &json!({"name": "192.0.2.7", "colour": 1})).refused(422, "unknown field");
    // An IPv6 address, as it stands in a path and in a file name.
    let made = create(&browser, &json!({"name": "2001:db8::1"})).json();
    assert_eq!(made["download"], "/api/v1/clients/2001:db8::1/pkcs12");
    open(&browser, "/api/v1/clients/2001%3Adb8%3A%3A1/pkcs12", None);
    let names: Vec<_> =
        browser.get("/api/v1/clients")["clients"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(names, ["2001:db8::1", "nowhere.example", "siem.example"]);
}

#[test]
fn a_renewed_client_changes_over() {
    let stand = Stand::new();
    let browser = stand.log_in();
    create(&browser, &json!({"name": "127.0.0.1"}));
    let path = "/api/v1/clients/127.0.0.1/pkcs12";
    let old = open(&browser, path, None);
    let mut old_session = connect(&stand, &old).unwrap();

    let answer = browser.ask("POST", "/api/v1/clients/127.0.0.1/renew", r#"{"password": "new"}"#);
    assert_eq!((answer.status, &answer.json()["client"]["older_valid"]), (201, &json!(true)));
    let new = open(&browser, path, Some("new"));
    assert_ne!(new.certificate, old.certificate);
    drop(connect(&stand, &old).unwrap());

    // The first use of the new one is the end of the old one, its sessions included.
    let mut new_session = connect(&stand, &new).unwrap();
    ends(&mut old_session);
    let error = connect(&stand, &old).unwrap_err();
    assert!(error.to_lowercase().contains("revoked"), "{error}");
    stand.logged("uses its renewed certificate: the one before is revoked from now on");
    assert_eq!(browser.get("/api/v1/clients")["clients"][0]["older_valid"], false);
    wait_for("the end of the old sessions", || {
        (browser.get("/api/v1/clients")["clients"][0]["sessions"] == 1).then_some(())
    });
    drop(connect(&stand, &new).unwrap());

    // Without a body too; and deleting takes both.
    assert_eq!(browser.ask("POST", "/api/v1/clients/127.0.0.1/renew", "").status, 201);
    assert_eq!(browser.ask("DELETE", "/api/v1/clients/127.0.0.1", "").status, 204);
    ends(&mut new_session);
    assert!(connect(&stand, &new).unwrap_err().to_lowercase().contains("revoked"));
    browser.ask("POST", "/api/v1/clients/127.0.0.1/renew", "").refused(404, "there is no client");
}
