//! What eNcore left is used: bookmark, certificate and key.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use support::{Collector, Server, Site, configuration};

struct Left {
    site: Site,
    server: Server,
    collector: Collector,
}

impl Left {
    fn new(password: Option<&str>) -> Left {
        let site = Site::new();
        let file = site.path("client.pkcs12");
        let (home, out) = (site.home(), file.to_str().unwrap().to_owned());
        let mut add = vec!["clients", "add", "--home", &home, "127.0.0.1", "--out", &out];
        add.extend(password.iter().flat_map(|p| ["--password", p]));
        site.run(&add).success();
        site.run(&["sensor", "simulate", "--home", &home, "--events", "50"]).success();
        let server = site.serve(&[]);
        let collector = site.collector("collector", server.address, &file);
        let mut document = configuration(server.address, &file);
        document["start"] = 2.into();
        collector.configure(document);
        Left { site, server, collector }
    }

    fn file(&self, end: &str) -> PathBuf {
        self.collector.folder.join(format!("127.0.0.1-{}_{end}", self.server.address.port()))
    }
}

#[test]
fn the_bookmark_says_where_to_begin() {
    let left = Left::new(None);
    for (text, second) in [("{\"1\": 1700000024}", 1_700_000_024u32), ("{\"1\": 1700000123.5}", 1_700_000_123)] {
        fs::write(left.file("bookmark.dat"), text).unwrap();
        fs::write(left.file("cache.dat"), b"\x80\x03}q\x00.").unwrap();
        let config = left.collector.config();
        let check = left.site.run(&["config", "check", config.to_str().unwrap()]).success();
        assert!(check.contains("none yet: it goes on at 2023-11-14"), "{check}");
        let mut process = left.collector.start();
        let line = process.line("Going on at second");
        assert!(line.contains(&second.to_string()) && line.contains("Bookmark     INFO"), "{line}");
        process.line(&format!("asking for everything archived since second {second}"));
        assert!(process.log().contains("cache.dat is not read"));
        left.collector.wait_for_events(50, &process);
        assert!(process.terminate().success());
        // Now there is a state, and the bookmark follows it.
        let text = fs::read_to_string(left.file("bookmark.dat")).unwrap();
        let bookmark: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(bookmark["1"].as_u64().unwrap() > 1_700_000_123, "{text}");
        let mut process = left.collector.start();
        process.line("asking for everything archived since second");
        assert!(process.terminate().success());
        assert!(!process.log().contains("Going on at second"), "{}", process.log());
        // One that is ahead was set, or eNcore ran in between.
        fs::write(left.file("bookmark.dat"), "{\"1\": 4000000000}").unwrap();
        let mut process = left.collector.start();
        process.line("asking for everything archived since second 4000000000");
        assert!(process.terminate().success());
        for end in ["state.db", "bookmark.dat", "cache.dat"] {
            fs::remove_file(left.file(end)).unwrap();
        }
        fs::remove_dir_all(left.collector.folder.join("data")).unwrap();
    }
}

#[test]
fn a_broken_bookmark_is_told() {
    let left = Left::new(None);
    fs::write(left.file("bookmark.dat"), "").unwrap();
    let config = left.collector.config();
    let check = left.site.run(&["config", "check", config.to_str().unwrap()]);
    assert!(check.code == Some(3) && check.out.contains("is no bookmark"), "{check:?}");
    let mut process = left.collector.start();
    let line = process.line("is no bookmark");
    assert!(line.contains(" WARNING ") && line.contains("everything the management center has"), "{line}");
    left.collector.wait_for_events(50, &process);
    assert!(process.terminate().success());
}

#[test]
fn the_extracted_certificate_and_key() {
    let left = Left::new(Some("right"));
    let config = left.collector.config();
    let test = || left.site.run(&["test", "--config", config.to_str().unwrap()]);
    test().failed(1, &["password"]);
    let bytes = fs::read(left.site.path("client.pkcs12")).unwrap();
    let bundle = pki::Bundle::from_pkcs12(&bytes, Some("right")).unwrap();
    fs::write(left.file("pkcs.key"), bundle.key.to_pem().as_bytes()).unwrap();
    fs::set_permissions(left.file("pkcs.key"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(left.file("pkcs.cert"), pki::certificate_to_pem(&bundle.certificate)).unwrap();
    let mut process = left.collector.start();
    process.line("the certificate that eNcore extracted is used");
    let line = process.line("private key that others could read");
    assert!(line.contains("Settings     WARNING"), "{line}");
    process.line("holds no authority: the certificate the server shows first is trusted and remembered");
    left.collector.wait_for_events(50, &process);
    assert!(process.terminate().success());
    assert_eq!(fs::metadata(left.file("pkcs.key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(left.file("state.pin").exists());
    // Another server under this address is not trusted.
    fs::write(left.file("state.pin"), "00".repeat(32) + "\n").unwrap();
    test().failed(1, &["certificate"]);
    fs::remove_file(left.file("state.pin")).unwrap();
    fs::remove_file(left.site.path("client.pkcs12")).unwrap();
    test().success();
}
