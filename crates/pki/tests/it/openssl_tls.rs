//! Handshakes with the openssl command over a local socket.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use pki::{
    Failure, ServerIdentity, ServerTrust, Standing, TlsVersions, client_config, explain_accept_io, server_config,
    server_name,
};
use rustls::{ClientConnection, ServerConnection};

use crate::fixtures::{everyone, has_openssl, rsa_authority, rsa_client, write_pem_files};

const PATIENCE: Duration = Duration::from_secs(20);

/// What the server sees and what s_client prints, for s_client with these options.
fn s_client(dir: &Path, options: &str, standing: Standing) -> (std::io::Result<()>, String) {
    let authority = rsa_authority();
    let issued = authority.issue_server(&["fmc.example.com"], 1).unwrap();
    let identity = ServerIdentity::new(&issued, authority);
    let config = server_config(identity, authority.certificate().clone(), everyone(standing)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let child = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string(), "-CAfile", "ca.pem", "-quiet"])
        .args(["-verify_return_error", "-verify_hostname", "fmc.example.com"])
        .args(options.split_whitespace())
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut connection = ServerConnection::new(config).unwrap();
    let mut result = connection.complete_io(&mut socket).map(|_| ());
    if result.is_ok() {
        result = connection.writer().write_all(b"hello from the server\n");
        connection.send_close_notify();
        let _ = connection.complete_io(&mut socket);
    }
    drop(socket);
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (result, String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn openssl_clients_get_in_and_are_turned_away() {
    if !has_openssl() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_pem_files(dir.path(), rsa_authority(), rsa_client());
    let identity = "-cert cert.pem -key key.pem";
    for version in ["-tls1_2", "-tls1_3"] {
        let options = format!("{identity} {version}");
        let (result, text) = s_client(dir.path(), &options, Standing::Listed);
        result.unwrap_or_else(|error| panic!("{version}: {error}: {text}"));
        assert!(text.contains("hello from the server"), "{version}: {text}");

        let (result, text) = s_client(dir.path(), &options, Standing::Removed);
        let explanation = explain_accept_io(&result.unwrap_err());
        assert_eq!(explanation.failure, Failure::Removed);
        assert!(text.contains("alert certificate revoked"), "{version}: {text}");

        let (result, _) = s_client(dir.path(), version, Standing::Listed);
        let explanation = explain_accept_io(&result.unwrap_err());
        assert_eq!(explanation.failure, Failure::NoCertificate);
    }
    for version in ["-tls1", "-tls1_1"] {
        let options = format!("{identity} {version} -cipher DEFAULT@SECLEVEL=0");
        let (result, text) = s_client(dir.path(), &options, Standing::Listed);
        let explanation = explain_accept_io(&result.unwrap_err());
        assert_eq!(explanation.failure, Failure::Version, "{version}: {explanation}: {text}");
    }
}

#[test]
fn a_client_that_hangs_up_has_vanished() {
    let authority = rsa_authority();
    let issued = authority.issue_server(&["fmc"], 1).unwrap();
    let identity = ServerIdentity::new(&issued, authority);
    let config = server_config(identity, authority.certificate().clone(), everyone(Standing::Listed)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    drop(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    let (mut socket, _) = listener.accept().unwrap();
    let mut connection = ServerConnection::new(config).unwrap();
    let error = connection.complete_io(&mut socket).unwrap_err();
    assert_eq!(explain_accept_io(&error).failure, Failure::Vanished, "{error}");
}

#[test]
fn an_openssl_server_is_trusted_by_its_authority() {
    if !has_openssl() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let authority = rsa_authority();
    let issued = authority.issue_server(&["another.name"], 1).unwrap();
    write_pem_files(dir.path(), authority, &issued);
    for versions in [TlsVersions::From12, TlsVersions::Only12] {
        // A free port; s_server cannot choose one and tell.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-cert", "cert.pem"])
            .args(["-key", "key.pem", "-CAfile", "ca.pem", "-Verify", "1", "-naccept", "1"])
            .args(["-verify_return_error", "-rev", "-quiet"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut socket = (0..200)
            .find_map(|_| {
                std::thread::sleep(Duration::from_millis(20));
                TcpStream::connect(("127.0.0.1", port)).ok()
            })
            .expect("s_server listens");
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let bundle = authority.bundle(rsa_client());
        let config = client_config(&bundle, ServerTrust::Authorities, versions).unwrap();
        let mut connection = ClientConnection::new(config, server_name("127.0.0.1")).unwrap();
        connection.writer().write_all(b"stream\n").unwrap();
        let mut stream = rustls::Stream::new(&mut connection, &mut socket);
        let mut answer = [0; 7];
        let result = stream.read_exact(&mut answer);
        let _ = child.kill();
        let _ = child.wait();
        result.unwrap();
        assert_eq!(&answer, b"maerts\n", "{versions:?}");
    }
}
