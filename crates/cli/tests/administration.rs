//! Administration by the command: passwords, tokens, and the life of clients and certificates.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::peer::Client;
use support::{Finished, Site, program, run, wait_for};

/// Runs a command that finds a password in the environment.
fn with_password(folder: &Path, password: &str, arguments: &[&str]) -> Finished {
    run(Command::new(program()).args(arguments).env("ESTREAMER_ADMIN_PASSWORD", password).current_dir(folder), b"")
}

/// What `openssl s_client` says when it connects with a PKCS#12 file without password.
fn s_client(address: std::net::SocketAddr, pkcs12: &Path) -> String {
    let pem = pkcs12.with_extension("pem");
    let made = Command::new("openssl")
        .args(["pkcs12", "-nodes", "-passin", "pass:", "-in"])
        .arg(pkcs12)
        .arg("-out")
        .arg(&pem)
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string(), "-cert"]).arg(&pem).arg("-key").arg(&pem);
    let output = command.stdin(Stdio::null()).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn init_takes_a_password_or_says_how_to_set_one() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    // Without a terminal it makes none.
    let said = run(Command::new(program()).args(["init", "a"]).current_dir(folder), b"").success();
    assert!(
        said.contains("The administration page is off; to switch it on: estreamer admin password --home a"),
        "{said}"
    );
    assert!(!folder.join("a/admin.password").exists());
    // A bad one is told before anything is made.
    with_password(folder, "short", &["init", "b"]).failed(1, &["the password has 5 characters; give at least 10"]);
    assert!(!folder.join("b").exists());
    let said = with_password(folder, "a long password", &["init", "b"]).success();
    assert!(said.contains("Administration page, when the service runs: https://127.0.0.1:8443/"), "{said}");
    let file = folder.join("b/admin.password");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let hash = fs::read_to_string(&file).unwrap();
    assert!(hash.starts_with("$argon2id$") && !hash.contains("long"), "{hash}");
    // From a file.
    fs::write(folder.join("secret"), "another password\n").unwrap();
    let from_file = ["init", "c", "--admin-password-file", "secret"];
    run(Command::new(program()).args(from_file).current_dir(folder), b"").success();
    assert!(folder.join("c/admin.password").exists());
    let missing = ["init", "d", "--admin-password-file", "nothing"];
    run(Command::new(program()).args(missing).current_dir(folder), b"").failed(1, &["nothing"]);
    assert!(!folder.join("d").exists());
}

#[test]
fn password_and_tokens_by_command() {
    let site = Site::new();
    let home = site.home();
    site.run(&["admin", "password", "--home", &home]).failed(1, &["no terminal", "ESTREAMER_ADMIN_PASSWORD"]);
    with_password(&site.path(""), "too short", &["admin", "password", "--home", &home]).failed(1, &["at least 10"]);
    with_password(&site.path(""), "a long password", &["admin", "password", "--home", &home]).success();
    let before = fs::read(site.path("home/admin.password")).unwrap();
    fs::write(site.path("secret"), "a new password").unwrap();
    site.run(&["admin", "password", "--home", &home, "--password-file", "secret"]).success();
    assert_ne!(fs::read(site.path("home/admin.password")).unwrap(), before);

    let token = site.run(&["admin", "tokens", "add", "--home", &home, "backup"]).success();
    assert_eq!(token.trim().len(), 64);
    site.run(&["admin", "tokens", "add", "--home", &home, "backup"]).failed(1, &["a token backup already"]);
    assert_eq!(site.run(&["admin", "tokens", "list", "--home", &home]).success(), "backup\n");
    let file = fs::read_to_string(site.path("home/admin.tokens")).unwrap();
    assert!(!file.contains(token.trim()), "{file}");
    site.run(&["admin", "tokens", "remove", "--home", &home, "backup"]).success();
    site.run(&["admin", "tokens", "remove", "--home", &home, "backup"]).failed(1, &["no token backup"]);
}

#[test]
fn a_page_whose_port_is_taken_does_not_keep_the_service() {
    let site = Site::new();
    with_password(&site.path(""), "a long password", &["admin", "password", "--home", &site.home()]).success();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let server = site.serve(&["--admin", &address]);
    let line = server.process.line("The administration page is not there");
    assert!(
        line.contains(&format!("cannot listen on {address}")) && line.contains("Another program has this port"),
        "{line}"
    );
    Client::connect(server.address, &site.client("127.0.0.1"));
}

#[test]
fn clients_are_listed_downloaded_renewed_and_removed() {
    let site = Site::new();
    let home = site.home();
    let first = site.client("127.0.0.1");
    let again = site.path("again.pkcs12");
    let download = ["clients", "download", "--home", &home, "127.0.0.1", "--out", again.to_str().unwrap()];
    site.run(&download).success();
    assert_eq!(fs::read(&again).unwrap(), fs::read(&first).unwrap());
    assert_eq!(fs::metadata(&again).unwrap().permissions().mode() & 0o777, 0o600);
    site.run(&download).failed(1, &["again.pkcs12 exists"]);
    let unkept = ["clients", "add", "--home", &home, "192.0.2.1", "--no-keep"];
    site.run(&unkept).success();
    site.run(&["clients", "download", "--home", &home, "192.0.2.1", "--out", "x"]).failed(1, &["was not kept"]);
    site.run(&["clients", "add", "--home", &home, "nowhere.invalid"]).failed(
        1,
        &["the name nowhere.invalid does not resolve", "asked the resolver of this system", "--accept-unresolved"],
    );
    site.run(&["clients", "add", "--home", &home, "nowhere.invalid", "--accept-unresolved"]).success();

    let listed = site.run(&["clients", "list", "--home", &home, "--json"]).success();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["127.0.0.1", "192.0.2.1", "nowhere.invalid"]);
    assert_eq!((&listed[0]["downloadable"], &listed[1]["downloadable"]), (&true.into(), &false.into()));

    // Renewed: the old file works until the new one was used.
    let server = site.serve(&[]);
    Client::connect(server.address, &first).finish();
    let new = site.path("new.pkcs12");
    let renew = ["clients", "renew", "--home", &home, "127.0.0.1", "--out", new.to_str().unwrap()];
    let said = site.run(&renew).success();
    assert!(said.contains("good until the new one is first used"), "{said}");
    Client::connect(server.address, &first).finish();
    Client::connect(server.address, &new).finish();
    server.process.line("uses its renewed certificate: the one before is revoked from now on");
    let said = s_client(server.address, &first);
    assert!(said.contains("certificate revoked"), "{said}");

    // Removed: by openssl and by the reference client.
    site.run(&["clients", "remove", "--home", &home, "127.0.0.1"]).success();
    let said = s_client(server.address, &new);
    assert!(said.contains("certificate revoked"), "{said}");
    let (address, new) = (server.address, new.to_str().unwrap());
    let port = address.port().to_string();
    site.run(&["ssl-test", "127.0.0.1", "--port", &port, "--pkcs12", new, "-s", "now", "--seconds", "5"])
        .failed(1, &["revoked"]);
    site.run(&["clients", "renew", "--home", &home, "127.0.0.1", "--out", "x"]).failed(1, &["no client 127.0.0.1"]);
}

#[test]
fn certificates_that_end_are_told_and_the_server_renews_its_own() {
    let site = Site::new();
    let home = server::Home::open(&site.path("home")).unwrap();
    site.settings("client_certificate_days = 20\n");
    site.client("127.0.0.1");
    let listed = site.run(&["clients", "list", "--home", &site.home()]);
    assert!(listed.err.contains("The certificate of the client 127.0.0.1 ends on"), "{}", listed.err);

    // A server's certificate of ten days.
    let authority = home.authority().unwrap();
    let identity = home.server_identity().unwrap();
    let short = authority.renew_server(&["localhost", "127.0.0.1"], 10, &identity.key).unwrap();
    let path = home.dir().join("server/server.crt");
    pki::write_private(&path, pki::certificate_to_pem(&short.certificate).as_bytes()).unwrap();
    let server = site.serve(&[]);
    server.process.line("The certificate of the server was renewed; it is valid until");
    server.process.line("[WARN] The certificate of the client 127.0.0.1 ends on");
    let renewed = home.server_identity().unwrap();
    assert_eq!(pki::certificate_hosts(&renewed.chain[0]).unwrap(), ["localhost", "127.0.0.1"]);
    let mut client = Client::connect(server.address, &site.path("127.0.0.1.pkcs12"));
    client.finish();

    // By command, with other names.
    let renew = ["admin", "renew-server-certificate", "--home", &site.home(), "--name", "fmc.example"];
    assert!(site.run(&renew).success().contains("after a reload"));
    let renewed = home.server_identity().unwrap();
    assert_eq!(pki::certificate_hosts(&renewed.chain[0]).unwrap(), ["fmc.example"]);
    server.process.signal(rustix::process::Signal::HUP);
    server.process.line("Settings and certificates were read again");
    wait_for("the new certificate", || {
        s_client(server.address, &site.path("127.0.0.1.pkcs12")).contains("CN = fmc.example").then_some(())
    });
}

#[test]
fn an_expired_client_is_told_so_in_words() {
    let site = Site::new();
    let home = server::Home::open(&site.path("home")).unwrap();
    let clients = home.clients().unwrap();
    clients.add(&home, "127.0.0.1", None).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    let validity = pki::Validity { not_before: now - 1000, not_after: now - 10 };
    let authority = home.authority().unwrap();
    let issued = authority.issue_client_between("127.0.0.1", validity).unwrap();
    let file = site.path("old.pkcs12");
    pki::write_private(&file, &authority.bundle(&issued).to_pkcs12(None).unwrap()).unwrap();
    let server = site.serve(&[]);
    let said = s_client(server.address, &file);
    assert!(said.contains("certificate expired"), "{said}");
    let line = server.process.line("expired");
    assert!(line.contains("[ERROR]") && line.contains("certificate"), "{line}");
}
