//! Who may ask: login, cookies, CSRF, origin, tokens, limits.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use admin::Password;
use serde_json::json;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use support::{Answer, PASSWORD, Stand, wait_for};

const SESSION: &str = "/api/v1/session";

#[test]
fn there_is_no_page_before_there_is_a_password() {
    let stand = Stand::without_password();
    stand.logged(
        "The administration page is off, because it has no password. To switch it on: estreamer admin password",
    );
    assert!(!stand.log().contains("https://"), "{}", stand.log());
    Password::of(&stand.home).set(PASSWORD).unwrap();
    let stand = stand.listening();
    stand.log_in().get("/api/v1/overview");
}

#[test]
fn login_cookie_and_logout() {
    let stand = Stand::new();
    assert_eq!(stand.ask("GET", SESSION, &[], "").refused(401, "login").header("www-authenticate"), Some("Bearer"));
    let answer = stand.ask("POST", SESSION, &[], &json!({"password": PASSWORD}).to_string());
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    let mut parts: Vec<&str> = cookie.split("; ").collect();
    let secret = parts.remove(0).strip_prefix("estreamer_session=").unwrap();
    assert_eq!(parts, ["HttpOnly", "Secure", "SameSite=Strict", "Path=/"]);
    assert!(secret.len() == 64 && secret.bytes().all(|b| b.is_ascii_hexdigit()), "{cookie}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let browser = stand.log_in();
    assert_eq!(browser.get(SESSION)["csrf"], browser.csrf);
    // Among other cookies too.
    let others = format!("a=b; {}; c=d", browser.cookie);
    assert_eq!(stand.ask("GET", SESSION, &[("Cookie", &others)], "").status, 200);
    let gone = browser.ask("DELETE", SESSION, "");
    assert_eq!(gone.status, 204);
    assert!(gone.header("set-cookie").unwrap().starts_with("estreamer_session=; Max-Age=0; HttpOnly; Secure"));
    browser.ask("GET", "/api/v1/overview", "").refused(401, "login");
    let log = stand.log();
    assert!(log.contains("logged in as administrator") && log.contains("the administrator at 127.0.0.1: logged out"));
    assert!(!log.contains(PASSWORD) && !log.contains(&browser.csrf) && !log.contains(secret), "{log}");
}

#[test]
fn everything_else_needs_a_login() {
    let stand = Stand::new();
    for (method, path) in admin::routes() {
        let path = path.replace("{key}", "file").replace("{name}", "a").replace("{number}", "1").replace("{id}", "1");
        let open = [("POST", SESSION), ("GET", "/api/v1/openapi.yaml")].contains(&(method, path.as_str()));
        if open {
            continue;
        }
        stand.ask(method, &path, &[], "").refused(401, "login");
        for header in
            [("Cookie", "estreamer_session=00"), ("Authorization", "Bearer x"), ("Authorization", "Basic YTpi")]
        {
            stand.ask(method, &path, &[header], "").refused(401, "login");
        }
    }
    assert_eq!(stand.ask("GET", "/api/v1/openapi.yaml", &[], "").text(), admin::OPENAPI);
}

#[test]
fn wrong_passwords_are_counted() {
    let stand = Stand::new();
    let guess = |password: &str| stand.ask("POST", SESSION, &[], &json!({ "password": password }).to_string());
    for _ in 0..4 {
        guess("wrong").refused(401, "the password is wrong");
    }
    assert_eq!(guess(PASSWORD).status, 200, "a success forgives");
    for _ in 0..5 {
        guess("").refused(401, "the password is wrong");
    }
    // The right one helps as little as a wrong one.
    for password in [PASSWORD, "wrong"] {
        let answer = guess(password);
        answer.refused(429, "too many wrong passwords");
        let seconds: i64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
    stand.pass(61);
    assert_eq!(guess(PASSWORD).status, 200);
    assert!(stand.log().contains("somebody at 127.0.0.1: gave a wrong password"));
}

#[test]
fn a_change_needs_the_token_and_our_own_page() {
    let stand = Stand::new();
    let browser = stand.log_in();
    let (path, body) = ("/api/v1/events/file", r#"{"captured": false}"#);
    let cookie = ("Cookie", browser.cookie.as_str());
    let csrf = ("X-CSRF-Token", browser.csrf.as_str());
    let put = |headers: &[(&str, &str)]| stand.ask("PUT", path, headers, body);
    for wrong in [&[cookie][..], &[cookie, ("X-CSRF-Token", "")], &[cookie, ("X-CSRF-Token", &"0".repeat(64))]] {
        assert_eq!(put(wrong).refused(403, "X-CSRF-Token").json()["code"], "csrf");
    }
    let host = stand.host();
    for (name, value) in [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Origin", &format!("http://{host}")),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Host", "evil.example"),
    ] {
        assert_eq!(put(&[cookie, csrf, (name, value)]).status, 403, "{name}: {value}");
    }
    // Nobody can be logged in from elsewhere either.
    let login = json!({"password": PASSWORD}).to_string();
    assert_eq!(stand.ask("POST", SESSION, &[("Origin", "https://evil.example")], &login).status, 403);
    assert_eq!(stand.ask("POST", SESSION, &[("Content-Type", "text/plain")], &login).status, 415);
    assert!(stand.control.captured().unwrap().contains(control::EventType::File));
    assert_eq!(put(&[cookie, csrf]).status, 200, "a program with a cookie says no origin");
    assert!(!stand.control.captured().unwrap().contains(control::EventType::File));
    let right = format!("https://{host}");
    assert_eq!(put(&[cookie, csrf, ("Origin", &right), ("Sec-Fetch-Site", "same-origin")]).status, 200);
    // Another login's token is no use.
    let other = stand.log_in();
    assert_eq!(put(&[cookie, ("X-CSRF-Token", &other.csrf)]).status, 403);
}

#[test]
fn logins_end() {
    let stand = Stand::new();
    let browser = stand.log_in();
    let expires = browser.get(SESSION)["expires"].as_i64().unwrap();
    stand.pass(1799);
    assert_eq!(browser.get(SESSION)["expires"].as_i64().unwrap(), expires + 1799);
    stand.pass(1800);
    browser.ask("GET", SESSION, "").refused(401, "login");
    let browser = stand.log_in();
    for _ in 0..24 {
        stand.pass(1790);
        browser.get(SESSION);
    }
    stand.pass(12 * 3600 - 24 * 1790);
    browser.ask("GET", SESSION, "").refused(401, "login");
}

#[test]
fn a_new_password_ends_other_logins() {
    let stand = Stand::new();
    let (mine, other) = (stand.log_in(), stand.log_in());
    let change =
        |old: &str, new: &str| mine.ask("PUT", "/api/v1/password", &json!({"old": old, "new": new}).to_string());
    change("wrong", "battery staple").refused(403, "the password is wrong");
    change(PASSWORD, "short").refused(422, "give at least 10");
    assert_eq!(change(PASSWORD, "battery staple").status, 204);
    mine.get("/api/v1/overview");
    other.ask("GET", "/api/v1/overview", "").refused(401, "login");
    let login = |password: &str| stand.ask("POST", SESSION, &[], &json!({ "password": password }).to_string());
    login(PASSWORD).refused(401, "wrong");
    assert_eq!(login("battery staple").status, 200);
    // By the command, which is another process, all of them.
    Password::of(&stand.home).set("by the command").unwrap();
    mine.ask("GET", "/api/v1/overview", "").refused(401, "login");
    assert_eq!(login("by the command").status, 200);
    let mode = std::fs::metadata(stand.home.dir().join("admin.password")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn tokens_need_no_cookie_and_are_named_in_the_log() {
    let stand = Stand::new();
    let script = stand.script();
    assert_eq!(script.ask("GET", "/api/v1/overview", "").status, 200);
    assert_eq!(script.ask("PUT", "/api/v1/pause", r#"{"reason": "backup"}"#).status, 200);
    stand.logged("token script at 127.0.0.1: paused the service: backup");
    script.ask("GET", SESSION, "").refused(401, "login");
    let file = std::fs::read_to_string(stand.home.dir().join("admin.tokens")).unwrap();
    assert!(file.starts_with("script ") && !file.contains(&script.token), "{file}");
    assert!(!stand.log().contains(&script.token));
    // A wrong token is none, whatever cookie comes with it.
    let browser = stand.log_in();
    let both = [("Authorization", "Bearer 00"), ("Cookie", browser.cookie.as_str())];
    stand.ask("GET", "/api/v1/overview", &both, "").refused(401, "login");
    admin::tokens(&stand.home).remove("script").unwrap();
    script.ask("GET", "/api/v1/overview", "").refused(401, "login");
}

#[test]
fn requests_are_bounded() {
    let stand = Stand::new();
    let browser = stand.log_in();
    let large = json!({"name": "x".repeat(70_000)}).to_string();
    browser.ask("POST", "/api/v1/clients", &large).refused(413, "at most 65536 bytes");
    // A length that is only claimed is as bad.
    let claimed = format!(
        "POST {SESSION} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 99999999999\r\n\r\n"
    );
    assert_eq!(stand.raw(claimed.as_bytes()).status, 413);
    let chunked = format!(
        "POST {SESSION} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    assert_eq!(stand.raw(format!("{chunked}{chunk}{chunk}0\r\n\r\n").as_bytes()).status, 413);
    // Heads too.
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    assert_eq!(stand.raw(long.as_bytes()).status, 431);
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(200));
    assert_eq!(stand.raw(many.as_bytes()).status, 431);
    assert_eq!(stand.raw(b"nonsense\r\n\r\n").status, 400);
}

#[test]
fn who_is_slow_is_cut_off_and_too_many_are_refused() {
    let stand = Stand::new();
    // Half a head: the connection is closed after a while.
    let mut slow = stand.connect();
    slow.write_all(b"GET /api/v1/session HTTP/1.1\r\nHost: loc").unwrap();
    slow.flush().unwrap();
    // Half a body: an answer says so.
    let mut half = stand.connect();
    let head =
        format!("POST {SESSION} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 9\r\n\r\n{{");
    half.write_all(head.as_bytes()).unwrap();
    half.flush().unwrap();

    // Meanwhile: from one address there are 32 connections at most; the others are closed at once.
    let mut idle: Vec<_> = (0..30).map(|_| stand.connect()).collect();
    for stream in &mut idle {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    let mut refused = stand.connect();
    let shaken = refused.conn.complete_io(&mut refused.sock).is_err();
    assert!(shaken || refused.read(&mut [0; 1]).is_ok_and(|n| n == 0), "the 33rd");
    drop(idle);
    wait_for("room", || {
        let mut stream = stand.connect();
        stream.conn.complete_io(&mut stream.sock).ok()
    });

    assert_eq!(Answer::read(&mut half).status, 408);
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{:?}", String::from_utf8_lossy(&rest));
}
