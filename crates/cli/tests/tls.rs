//! Who gets in and who does not, and what the server's log says about it: openssl as the client.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use support::{SOON, Site, has_openssl, run};
use wire::message::{self, MessageType};
use wire::record::RecordHeader;

/// An event stream request for everything since 1970, as single messages with archival timestamps: packets, impact
/// alerts, intrusion events, metadata, extra data.
const EVERYTHING: [u8; 16] = [0, 1, 0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0x08, 0x90, 0, 0x61];

/// A request for packets alone.
const PACKETS: [u8; 16] = [0, 1, 0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0x80, 0, 1];

/// Extracts key and certificate of a PKCS#12 file with openssl.
fn split(pkcs12: &Path) -> PathBuf {
    let pem = pkcs12.with_extension("pem");
    let mut openssl = Command::new("openssl");
    openssl.args(["pkcs12", "-nodes", "-passin", "pass:", "-in"]).arg(pkcs12).arg("-out").arg(&pem);
    let done = run(&mut openssl, b"");
    assert_eq!(done.code, Some(0), "{done:#?}");
    pem
}

/// `openssl s_client`, and what comes out of it.
struct Openssl {
    child: Child,
    output: Receiver<Vec<u8>>,
    received: Vec<u8>,
    log: PathBuf,
}

impl Openssl {
    fn connect(address: SocketAddr, pem: Option<&Path>, options: &[&str], log: PathBuf) -> Openssl {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-connect", &address.to_string()]).args(options);
        if let Some(pem) = pem {
            command.arg("-cert").arg(pem).arg("-key").arg(pem);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(n @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Openssl { child, output, received: Vec::new(), log }
    }

    /// What is sent to one that was refused goes nowhere.
    fn send(&mut self, bytes: &[u8]) {
        let stdin = self.child.stdin.as_mut().unwrap();
        let _ = stdin.write_all(bytes).and_then(|()| stdin.flush());
    }

    /// The next message: type and body; `None` when there are no more.
    fn message(&mut self) -> Option<(MessageType, Vec<u8>)> {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(message) = message::first(&self.received, 1 << 20).unwrap() {
                let found = (message.kind, message.body.to_vec());
                let size = message.size();
                self.received.drain(..size);
                return Some(found);
            }
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.received.extend(bytes),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("nothing comes: {}", self.said()),
            }
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn openssl_receives_events_with_the_key_and_certificate_of_the_pkcs12_file() {
    if !has_openssl() {
        return;
    }
    let site = Site::new();
    site.settings("keep_alive_seconds = 1\n");
    site.run(&["sensor", "simulate", "--home", &site.home(), "--events", "500"]).success();
    let pem = split(&site.client("127.0.0.1"));
    let server = site.serve(&["--debug"]);
    // Without an extended request intrusion events have the form of 5.0.
    for (request, version, wanted) in [
        (EVERYTHING, "-tls1_2", [207, 2, 110].as_slice()),
        (EVERYTHING, "-tls1_3", &[207, 2, 110]),
        (PACKETS, "-tls1_3", &[2]),
    ] {
        let mut openssl = Openssl::connect(server.address, Some(&pem), &[version], site.path("openssl.log"));
        openssl.send(&request);
        let mut types = Vec::new();
        loop {
            match openssl.message() {
                Some((MessageType::EVENT_DATA, body)) => {
                    let header = RecordHeader::parse(&body).unwrap();
                    let timestamped = wire::layout::record(header.record_type).unwrap().timestamped();
                    assert_eq!(header.timestamp.is_some(), timestamped, "{header:?}");
                    types.push(header.record_type);
                }
                // Everything is sent, and the connection stays.
                Some((MessageType::NULL, body)) => {
                    assert!(body.is_empty());
                    break;
                }
                other => panic!("{other:?}: {}", openssl.said()),
            }
        }
        for record in wanted {
            assert!(types.contains(record), "{version}: no record {record} in {types:?}");
        }
        if request == PACKETS {
            assert!(types.iter().all(|t| *t == 2), "{types:?}");
        }
        assert!(matches!(openssl.message(), Some((MessageType::NULL, _))), "a second keep-alive");
    }
}

/// A connection attempt that must fail without a single byte of eStreamer, and the words the log has for it.
fn refused(site: &Site, server: &support::Server, pem: Option<&Path>, options: &[&str], words: &str) {
    let mut openssl = Openssl::connect(server.address, pem, options, site.path("openssl.log"));
    openssl.send(&EVERYTHING);
    server.process.line(words);
    assert_eq!(openssl.message(), None, "{words}");
    assert_eq!(openssl.received, b"", "{words}");
}

#[test]
fn the_wrong_ones_are_refused_and_the_log_says_why() {
    if !has_openssl() {
        return;
    }
    let site = Site::new();
    site.settings("client_keys = \"ecdsa-p256\"\nkeep_alive_seconds = 1\n");
    let good = split(&site.client("127.0.0.1"));
    let elsewhere = split(&site.client("192.0.2.77"));
    let former = split(&site.client("localhost"));
    let other = Site::new();
    let foreign = split(&other.client("127.0.0.1"));
    let mut server = site.serve(&[]);
    site.run(&["clients", "remove", "--home", &site.home(), "localhost"]).success();

    refused(&site, &server, None, &[], "The client sent no certificate.");
    refused(&site, &server, Some(&foreign), &[], "The client's certificate is not of this server's authority.");
    refused(&site, &server, Some(&former), &[], "The client has been removed from this server.");
    refused(
        &site,
        &server,
        Some(&elsewhere),
        &[],
        "[ERROR] Certificate Common Name 192.0.2.77 does not match remote host: 127.0.0.1. It was issued to a different client.",
    );
    let old = ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"];
    let words = "The client speaks no TLS version that is allowed here; 1.2 is the lowest.";
    if offers(&site, &server, &old, words) {
        refused(&site, &server, Some(&good), &old, words);
    }
    for line in server.process.log().lines().filter(|l| l.contains("SSL_accept failed")) {
        assert!(line.ends_with("SSL_get_error reports SSL_ERROR_SSL"), "{line}");
    }

    // None of them did any harm, and the name alone is what --nohostcheck forgives.
    let mut openssl = Openssl::connect(server.address, Some(&good), &[], site.path("openssl.log"));
    openssl.send(&EVERYTHING);
    assert!(openssl.message().is_some(), "{}{}", openssl.said(), server.process.log());
    assert!(server.process.terminate().success());
    let lenient = site.serve(&["--nohostcheck"]);
    let mut openssl = Openssl::connect(lenient.address, Some(&elsewhere), &[], site.path("openssl.log"));
    openssl.send(&EVERYTHING);
    assert!(openssl.message().is_some(), "{}{}", openssl.said(), lenient.process.log());
    lenient.process.line("Host check is off: Certificate CN:192.0.2.77 is not compared to 127.0.0.1");
}

/// Whether this openssl can be made to offer what it is asked to: if it cannot, the server hears nothing.
fn offers(site: &Site, server: &support::Server, options: &[&str], words: &str) -> bool {
    let log = site.path("offers.log");
    let mut openssl = Openssl::connect(server.address, None, options, log);
    assert_eq!(openssl.message(), None);
    let deadline = Instant::now() + Duration::from_secs(2);
    while Instant::now() < deadline {
        if server.process.log().contains(words) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("skipped: this openssl does not offer {options:?}: {}", openssl.said());
    false
}
