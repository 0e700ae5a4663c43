//! What goes wrong is told in a sentence, with a remedy, and in the exit code.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use support::{Finished, Site, configuration, free_port, program, run};

/// A folder without a home.
fn in_folder(folder: &Path, arguments: &[&str]) -> Finished {
    run(Command::new(env!("CARGO_BIN_EXE_estreamer")).args(arguments).current_dir(folder), b"")
}

fn nowhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

#[test]
fn a_configuration_that_cannot_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let collect = || in_folder(dir.path(), &["collect"]);
    collect().failed(1, &["estreamer.conf cannot be read", "--config"]);
    let write = |text: &str| fs::write(dir.path().join("estreamer.conf"), text).unwrap();
    write("{\n  \"start\": 0,\n  \"handler\": }\n");
    collect().failed(1, &["estreamer.conf, line 3, column 14: expected value"]);
    write("[]");
    collect().failed(1, &["a JSON object"]);
    write("{}");
    collect().failed(1, &["estreamer.conf: subscription is missing"]);
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut conf = configuration(nowhere(), Path::new("client.pkcs12"));
        change(&mut conf);
        write(&conf.to_string());
        collect()
    };
    with(&|_| {}).failed(1, &["client.pkcs12 does not exist", "estreamer clients add"]);
    with(&|c| c["enabled"] = false.into()).failed(1, &["enabled is false"]);
    with(&|c| c["subscription"]["servers"][0]["host"] = "1.2.3.4".into()).failed(1, &["placeholder"]);
    with(&|c| c["subscription"]["servers"][0]["port"] = 70_000.into())
        .failed(1, &["subscription.servers[0].port is 70000, but it must be a TCP port"]);
    with(&|c| c["handler"]["outputters"][0]["stream"]["uri"] = "kafka://x".into())
        .failed(1, &["handler.outputters[0].stream.uri: kafka://x: kafka is unknown"]);
    with(&|c| c["handler"]["outputters"][0]["adapter"] = "xml".into())
        .failed(1, &["handler.outputters[0].adapter: there is no format \"xml\""]);
    fs::write(dir.path().join("client.pkcs12"), "no PKCS#12").unwrap();
    with(&|_| {}).failed(1, &["client.pkcs12", "PKCS#12"]);
}

#[test]
fn the_password_of_the_certificate() {
    let site = Site::new();
    let file = site.path("secret.pkcs12");
    let path = file.to_str().unwrap();
    let home = site.home();
    site.run(&["clients", "add", "--home", &home, "127.0.0.1", "--password", "right", "--out", path]).success();
    let server = site.serve(&[]);
    let collector = site.collector("collector", server.address, &file);
    let config = collector.config();
    let test = |password: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_estreamer"));
        command.arg("test").arg("--config").arg(&config).env_remove("ESTREAMER_PASSWORD");
        run(command.envs(password.map(|p| ("ESTREAMER_PASSWORD", p))), b"")
    };
    test(None).failed(1, &["secret.pkcs12", "password"]);
    let wrong = test(Some("wr0ng"));
    wrong.failed(1, &["secret.pkcs12", "password"]);
    assert!(!wrong.err.contains("wr0ng"), "{wrong:?}");
    let said = test(Some("right")).success();
    for words in
        ["Connecting to 127.0.0.1:", "Connected to 127.0.0.1:", "TLSv1_3", "6667 is eStreamer", "Connection successful"]
    {
        assert!(said.contains(words), "{words:?} is missing in {said}");
    }
    let mut settings = configuration(server.address, &file);
    settings["subscription"]["servers"][0]["password"] = json!("right");
    collector.configure(settings);
    test(None).success();
}

#[test]
fn servers_that_cannot_be_reached() {
    let site = Site::new();
    let pkcs12 = site.client("127.0.0.1");
    let collector = site.collector("collector", nowhere(), &pkcs12);
    let config = collector.config();
    let test = |conf: serde_json::Value| {
        collector.configure(conf);
        site.run(&["test", "--config", config.to_str().unwrap()])
    };
    test(configuration(nowhere(), &pkcs12)).failed(1, &["refused the connection: nothing listens there", "8302"]);
    let mut unknown = configuration(nowhere(), &pkcs12);
    unknown["subscription"]["servers"][0]["host"] = json!("no-such-host.invalid");
    test(unknown).failed(1, &["the name no-such-host.invalid cannot be resolved", "Check the spelling"]);

    // A service that does not speak TLS.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let web = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").unwrap();
        // Until the client has hung up, so that no reset overtakes the answer.
        let _ = std::io::copy(&mut socket, &mut std::io::sink());
    });
    test(configuration(address, &pkcs12)).failed(1, &["does not speak TLS", "Check the port"]);
    web.join().unwrap();

    // A server of another authority.
    let other = Site::new();
    let server = other.serve(&[]);
    test(configuration(server.address, &pkcs12)).failed(1, &["not of the authority in the client's PKCS#12 file"]);
}

#[test]
fn homes_and_clients() {
    let site = Site::new();
    let home = site.home();
    site.run(&["init", &home]).failed(1, &["is an eStreamer home already; nothing was changed"]);
    fs::create_dir(site.path("other")).unwrap();
    fs::write(site.path("other/file"), "").unwrap();
    site.run(&["init", "other"]).failed(1, &["is not empty and is no eStreamer home"]);
    for command in [
        &["server", "--home", "nowhere"][..],
        &["server", "--nodaemon", "--home", "nowhere"],
        &["clients", "list", "--home", "nowhere"],
        &["clients", "add", "--home", "nowhere", "192.0.2.1"],
        &["sensor", "simulate", "--home", "nowhere"],
        &["sensor", "unified2", "--home", "nowhere", "--once", "spool"],
    ] {
        site.run(command).failed(1, &["nowhere is no eStreamer home", "estreamer init nowhere"]);
    }
    let said = site.run(&["clients", "list", "--home", &home]).success();
    assert!(said.contains("No clients."), "{said}");
    site.run(&["clients", "add", "--home", &home, "192.0.2.1"]).success();
    assert!(site.path("192.0.2.1.pkcs12").exists(), "by default in the current folder");
    let listed = site.run(&["clients", "list", "--home", &home]).success();
    assert!(listed.starts_with("192.0.2.1\tuntil ") && listed.lines().count() == 1, "{listed}");
    // The file of a client is never overwritten, nor its certificate replaced.
    site.run(&["clients", "add", "--home", &home, "192.0.2.1"]).failed(1, &["192.0.2.1.pkcs12 exists"]);
    site.run(&["clients", "add", "--home", &home, "192.0.2.1", "--out", "x"])
        .failed(1, &["there is a client 192.0.2.1 already"]);
    assert!(!site.path("x").exists());
    site.run(&["clients", "add", "--home", &home, "no\nname"]).failed(1, &["control character"]);
    site.run(&["clients", "remove", "--home", &home, "192.0.2.9"]).failed(1, &["there is no client 192.0.2.9"]);
    site.run(&["clients", "remove", "--home", &home, "192.0.2.1"]).success();
    site.run(&["clients", "remove", "--home", &home, "192.0.2.1"]).failed(1, &["there is no client 192.0.2.1"]);
    site.run(&["sensor", "unified2", "--home", &home, "--once", "no-spool"]).failed(1, &["no-spool"]);

    site.settings("keep_alive_seconds = 0\n");
    site.run(&["server", "--nodaemon", "--home", &home]).failed(1, &["settings.toml", "keep_alive_seconds"]);
    site.settings("keep_alive = 3\n");
    // In the background it is the same error.
    site.run(&["server", "--home", &home]).failed(1, &["settings.toml, line 1", "keep_alive"]);
    site.settings("");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    for mode in [&["--nodaemon"][..], &[]] {
        let command = [&["server", "--home", &home, "--listen", &taken], mode].concat();
        site.run(&command).failed(1, &[&format!("cannot listen on {taken}")]);
    }
}

#[test]
fn arguments_help_and_completions() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| in_folder(dir.path(), arguments);
    for wrong in [&["collekt"][..], &[], &["collect", "--conf"], &["demo", "--seconds", "0"], &["decode"], &["server"]]
    {
        assert_eq!(run(wrong).code, Some(2), "{wrong:?}");
    }
    let help = run(&["--help"]).success();
    assert!(help.contains("Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 done but"), "{help}");
    for command in [
        &["demo"][..],
        &["init"],
        &["server"],
        &["manage"],
        &["clients", "add"],
        &["clients", "list"],
        &["clients", "remove"],
        &["sensor", "unified2"],
        &["sensor", "simulate"],
        &["collect"],
        &["test"],
        &["decode"],
        &["ssl-test"],
        &["completions"],
    ] {
        let help = run(&[command, &["--help"]].concat()).success();
        // One example or several.
        let example = format!(":\n  estreamer {} ", command.join(" "));
        assert!(help.contains(&example), "{command:?}: {help}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).success();
        assert!(script.contains("estreamer") && script.contains("unified2"), "{shell}: {script}");
    }
    assert!(run(&["--version"]).success().starts_with("estreamer "));
}

#[test]
fn the_demo_counts_what_it_sent() {
    let dir = tempfile::tempdir().unwrap();
    let said = in_folder(dir.path(), &["demo", "--events", "2000"]).success();
    assert!(said.contains("sent = 2000, received = 2000"), "{said}");
    let files = || fs::read_dir(dir.path().join("demo-data")).unwrap().map(|e| e.unwrap().path());
    assert!(files().count() > 0 && files().all(|f| f.extension().unwrap() == "json"));
    // A second one begins anew, and leaves alone what is not its own.
    fs::write(dir.path().join("demo-data/notes"), "mine").unwrap();
    let said = in_folder(dir.path(), &["demo", "--events", "100"]).success();
    assert!(said.contains("sent = 100, received = 100"), "{said}");
    assert_eq!(fs::read_to_string(dir.path().join("demo-data/notes")).unwrap(), "mine");
}

/// `estreamer init … | head -1`: whoever reads may have seen enough.
#[test]
fn a_reader_that_has_gone_is_no_fault_of_the_command() {
    let site = Site::new();
    let (new, home) = (site.path("new").display().to_string(), site.home());
    for arguments in [&["init", &new][..], &["sensor", "simulate", "--home", &home, "--events", "10"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(program()).args(arguments).stdin(Stdio::null()).stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("panicked"), "{arguments:?}: {said}");
    }
}
