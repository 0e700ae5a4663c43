//! Whole handshakes over memory: who gets in, and what each side says when not.

use std::io;
use std::sync::{Arc, Mutex};

use pki::{
    Authority, Bundle, Explanation, Failure, Issued, PinFile, PinStore, PrivateKey, ServerIdentity, ServerTrust,
    Standing, TlsVersions, Validity, client_config, explain_accept, explain_connect, server_config, server_name,
};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use crate::fixtures::{
    authority, bundle, client, everyone, has_openssl, openssl, quick_authority, rsa_authority, rsa_client, server,
    write_pem_files,
};

const BOTH: [TlsVersions; 2] = [TlsVersions::From12, TlsVersions::Only12];

/// How a handshake ended on each side.
#[derive(Debug)]
struct Outcome {
    server: Result<(), rustls::Error>,
    client: Result<(), rustls::Error>,
    version: Option<rustls::ProtocolVersion>,
    resumed: bool,
}

impl Outcome {
    fn is_good(&self) -> bool {
        self.server.is_ok() && self.client.is_ok()
    }

    fn at_server(&self) -> Explanation {
        explain_accept(self.server.as_ref().unwrap_err())
    }

    fn at_client(&self) -> Explanation {
        explain_connect(self.client.as_ref().unwrap_err())
    }
}

/// Passes bytes to and fro until neither side has anything to say.
fn shake(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> Outcome {
    let mut server = ServerConnection::new(server.clone()).unwrap();
    let mut client = ClientConnection::new(client.clone(), server_name("fmc")).unwrap();
    let mut outcome = Outcome { server: Ok(()), client: Ok(()), version: None, resumed: false };
    loop {
        let mut to_server = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut to_server).unwrap();
        }
        let mut input = &to_server[..];
        while !input.is_empty() && outcome.server.is_ok() {
            server.read_tls(&mut input).unwrap();
            outcome.server = server.process_new_packets().map(|_| ());
        }
        let mut to_client = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut to_client).unwrap();
        }
        let mut input = &to_client[..];
        while !input.is_empty() && outcome.client.is_ok() {
            client.read_tls(&mut input).unwrap();
            outcome.client = client.process_new_packets().map(|_| ());
        }
        if to_server.is_empty() && to_client.is_empty() {
            break;
        }
    }
    if outcome.is_good() {
        assert!(!server.is_handshaking() && !client.is_handshaking());
        outcome.version = server.protocol_version();
        outcome.resumed = server.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
    }
    outcome
}

fn serve(identity: &Issued, by: &Authority, standing: Standing) -> Arc<ServerConfig> {
    server_config(ServerIdentity::new(identity, by), by.certificate().clone(), everyone(standing)).unwrap()
}

fn serve_listed() -> Arc<ServerConfig> {
    serve(server(), authority(), Standing::Listed)
}

fn connect(bundle: &Bundle, versions: TlsVersions) -> Arc<ClientConfig> {
    client_config(bundle, ServerTrust::Authorities, versions).unwrap()
}

/// A certificate of the authority as other tools may have made it.
fn foreign(change: impl FnOnce(&mut CertificateParams)) -> (CertificateDer<'static>, PrivateKey) {
    let ca = KeyPair::from_pem(&authority().key_pem()).unwrap();
    let issuer = Issuer::from_ca_cert_der(authority().certificate(), ca).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "foreign");
    change(&mut params);
    let certificate = params.signed_by(&key, &issuer).unwrap();
    (certificate.into(), PrivateKey::from_pkcs8(key.serialize_der()).unwrap())
}

fn foreign_bundle(change: impl FnOnce(&mut CertificateParams)) -> Bundle {
    let (certificate, key) = foreign(change);
    Bundle { key, certificate, ..bundle() }
}

#[test]
fn a_listed_client_gets_in() {
    for (versions, version) in [
        (TlsVersions::From12, rustls::ProtocolVersion::TLSv1_3),
        (TlsVersions::Only12, rustls::ProtocolVersion::TLSv1_2),
    ] {
        let outcome = shake(&serve_listed(), &connect(&bundle(), versions));
        assert!(outcome.is_good(), "{outcome:?}");
        assert_eq!(outcome.version, Some(version));
    }
}

#[test]
fn rsa_certificates_work_after_a_journey_through_pkcs12() {
    let issued = rsa_authority().issue_server(&["fmc"], 365).unwrap();
    let file = rsa_authority().bundle(rsa_client()).to_pkcs12(Some("x")).unwrap();
    let bundle = Bundle::from_pkcs12(&file, Some("x")).unwrap();
    for versions in BOTH {
        let outcome = shake(&serve(&issued, rsa_authority(), Standing::Listed), &connect(&bundle, versions));
        assert!(outcome.is_good(), "{outcome:?}");
    }
}

#[test]
fn a_removed_client_is_told_so() {
    for versions in BOTH {
        let server = serve(server(), authority(), Standing::Removed);
        let outcome = shake(&server, &connect(&bundle(), versions));
        assert_eq!(outcome.at_server().failure, Failure::Removed);
        assert_eq!(outcome.at_client().failure, Failure::Removed);
        assert!(outcome.at_client().to_string().contains("certificate_revoked"));
    }
}

#[test]
fn an_unlisted_client_is_denied() {
    for versions in BOTH {
        let server = serve(server(), authority(), Standing::Unknown);
        let outcome = shake(&server, &connect(&bundle(), versions));
        assert_eq!(outcome.at_server().failure, Failure::NotListed);
        assert_eq!(outcome.at_client().failure, Failure::NotListed);
    }
}

#[test]
fn a_client_of_another_authority_is_refused() {
    let other = quick_authority("InternalCA");
    let issued = other.issue_client("192.0.2.7", 1).unwrap();
    let stranger = Bundle { authorities: bundle().authorities, ..other.bundle(&issued) };
    for versions in BOTH {
        let outcome = shake(&serve_listed(), &connect(&stranger, versions));
        assert_eq!(outcome.at_server().failure, Failure::UnknownAuthority);
        let failure = outcome.at_client().failure;
        assert!(matches!(failure, Failure::UnknownAuthority | Failure::BadCertificate), "{outcome:?}");
    }
    let other = quick_authority("Another name");
    let issued = other.issue_client("192.0.2.7", 1).unwrap();
    let stranger = Bundle { authorities: bundle().authorities, ..other.bundle(&issued) };
    let outcome = shake(&serve_listed(), &connect(&stranger, TlsVersions::From12));
    assert_eq!(outcome.at_server().failure, Failure::UnknownAuthority);
    assert_eq!(outcome.at_client().failure, Failure::UnknownAuthority);
}

#[test]
fn a_client_outside_its_time_is_refused() {
    for (not_before, not_after, failure) in
        [(1_000_000_000, 1_100_000_000, Failure::Expired), (i64::MAX, i64::MAX, Failure::NotYetValid)]
    {
        let validity = Validity { not_before, not_after };
        let issued = authority().issue_client_between("192.0.2.7", validity).unwrap();
        for versions in BOTH {
            let client = connect(&authority().bundle(&issued), versions);
            let outcome = shake(&serve_listed(), &client);
            assert_eq!(outcome.at_server().failure, failure);
            assert_eq!(outcome.at_client().failure, Failure::Expired);
        }
        if failure == Failure::Expired {
            let outcome = shake(&serve_listed(), &connect(&authority().bundle(&issued), TlsVersions::From12));
            let text = outcome.at_server().to_string();
            assert!(text.contains("ended on 2004-11-09 11:33:20 UTC"), "{text}");
        }
    }
}

#[test]
fn a_client_without_certificate_is_refused() {
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12][..]] {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority().certificate().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let anonymous = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = authority().issue_server(&["fmc"], 1).unwrap();
        let server = serve(&server, authority(), Standing::Listed);
        let outcome = shake(&server, &Arc::new(anonymous));
        assert_eq!(outcome.at_server().failure, Failure::NoCertificate);
        assert!(outcome.client.is_err());
    }
}

#[test]
fn client_certificates_of_old_tools_get_in() {
    for versions in BOTH {
        let plain = foreign_bundle(|_| {});
        let outcome = shake(&serve_listed(), &connect(&plain, versions));
        assert!(outcome.is_good(), "no usage, no names: {outcome:?}");
        let server_only = foreign_bundle(|params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        });
        let outcome = shake(&serve_listed(), &connect(&server_only, versions));
        assert_eq!(outcome.at_server().failure, Failure::BadCertificate);
        assert!(outcome.at_server().to_string().contains("not meant for a client"));
    }
}

#[test]
fn certificates_of_version_1_work_on_both_sides() {
    if !has_openssl() {
        return;
    }
    for ca in [authority(), rsa_authority()] {
        let dir = tempfile::tempdir().unwrap();
        write_pem_files(dir.path(), ca, client());
        std::fs::write(dir.path().join("ca.key"), ca.key_pem().as_bytes()).unwrap();
        let make = |key: &str, by: &str, days: &str| {
            openssl(dir.path(), &format!("req -new -key {key} -subj /CN=old -out old.csr")).unwrap();
            openssl(
                dir.path(),
                &format!("x509 -req -in old.csr -CA {by}.pem -CAkey {by}.key -set_serial 7 -days {days} -out old.pem"),
            )
            .unwrap();
            let key = std::fs::read(dir.path().join(key)).unwrap();
            let mut pem = std::fs::read_to_string(dir.path().join("old.pem")).unwrap();
            pem += &ca.certificate_pem();
            Bundle::from_pem(&key, pem.as_bytes()).unwrap()
        };
        let issued = ca.issue_server(&["fmc"], 1).unwrap();
        let old = make("key.pem", "ca", "9");
        if old.info().unwrap().version != 1 {
            println!("skipped: this openssl makes no certificates of version 1");
            return;
        }
        let other = quick_authority(ca.info().name.as_deref().unwrap());
        std::fs::write(dir.path().join("other.pem"), other.certificate_pem()).unwrap();
        std::fs::write(dir.path().join("other.key"), other.key_pem().as_bytes()).unwrap();
        let forged = make("key.pem", "other", "9");
        let ended = make("key.pem", "ca", "-1");
        for versions in BOTH {
            let listed = serve(&issued, ca, Standing::Listed);
            let outcome = shake(&listed, &connect(&old, versions));
            assert!(outcome.is_good(), "{outcome:?}");
            let removed = serve(&issued, ca, Standing::Removed);
            let outcome = shake(&removed, &connect(&old, versions));
            assert_eq!(outcome.at_server().failure, Failure::Removed);
            let outcome = shake(&listed, &connect(&forged, versions));
            assert_eq!(outcome.at_server().failure, Failure::UnknownAuthority);
            let outcome = shake(&listed, &connect(&ended, versions));
            assert_eq!(outcome.at_server().failure, Failure::Expired);

            // The same certificate at the server.
            let identity = ServerIdentity { chain: vec![old.certificate.clone()], key: old.key.clone() };
            let server = server_config(identity, ca.certificate().clone(), everyone(Standing::Listed)).unwrap();
            let user = ca.issue_client("user", 1).unwrap();
            let outcome = shake(&server, &connect(&ca.bundle(&user), versions));
            assert!(outcome.is_good(), "{outcome:?}");
            let stranger = Bundle { authorities: vec![other.certificate().clone()], ..ca.bundle(&user) };
            let outcome = shake(&server, &connect(&stranger, versions));
            assert_eq!(outcome.at_client().failure, Failure::UnknownAuthority);
        }
    }
}

#[test]
fn a_session_is_never_resumed() {
    // A client that would resume, against our server.
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12][..]] {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority().certificate().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(client().key.pkcs8_der().to_vec());
        let eager = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![client().certificate.clone()], key.into())
            .unwrap();
        let eager = Arc::new(eager);
        let server = authority().issue_server(&["fmc"], 1).unwrap();
        let server = serve(&server, authority(), Standing::Listed);
        for _ in 0..3 {
            let outcome = shake(&server, &eager);
            assert!(outcome.is_good(), "{outcome:?}");
            assert!(!outcome.resumed);
        }
    }
}

#[test]
fn a_server_of_another_authority_is_refused() {
    let other = quick_authority("Other CA");
    let issued = other.issue_server(&["fmc"], 1).unwrap();
    for versions in BOTH {
        let outcome = shake(&serve(&issued, &other, Standing::Listed), &connect(&bundle(), versions));
        assert_eq!(outcome.at_client().failure, Failure::UnknownAuthority);
        assert_eq!(outcome.at_server().failure, Failure::BadCertificate);
    }
}

#[test]
fn a_server_outside_its_time_is_refused() {
    let validity = Validity { not_before: 1_000_000_000, not_after: 1_100_000_000 };
    let issued = authority().issue_server_between(&["fmc"], validity).unwrap();
    for versions in BOTH {
        let outcome = shake(&serve(&issued, authority(), Standing::Listed), &connect(&bundle(), versions));
        assert_eq!(outcome.at_client().failure, Failure::Expired);
    }
}

#[test]
fn a_client_certificate_cannot_pose_as_the_server() {
    let outcome = shake(&serve(client(), authority(), Standing::Listed), &connect(&bundle(), TlsVersions::From12));
    assert_eq!(outcome.at_client().failure, Failure::BadCertificate);
    assert!(outcome.at_client().to_string().contains("not meant for a server"));
}

#[test]
fn a_server_that_shows_the_authority_itself_is_accepted() {
    let identity = ServerIdentity {
        chain: vec![authority().certificate().clone()],
        key: PrivateKey::from_pem(authority().key_pem().as_bytes()).unwrap(),
    };
    let server = server_config(identity, authority().certificate().clone(), everyone(Standing::Listed)).unwrap();
    for versions in BOTH {
        let outcome = shake(&server, &connect(&bundle(), versions));
        assert!(outcome.is_good(), "{outcome:?}");
    }
    let other = quick_authority("InternalCA");
    let stranger = Bundle { authorities: vec![other.certificate().clone()], ..bundle() };
    let outcome = shake(&server, &connect(&stranger, TlsVersions::From12));
    assert!(outcome.client.is_err());
}

#[test]
fn a_pin_accepts_one_certificate_only() {
    let other = quick_authority("Unrelated").issue_server(&["x"], 1).unwrap();
    for versions in BOTH {
        let pinned = |pin: &str| {
            let trust = ServerTrust::Pinned(pin.to_uppercase());
            client_config(&bundle(), trust, versions).unwrap()
        };
        let outcome = shake(&serve_listed(), &pinned(&server().fingerprint));
        assert!(outcome.is_good(), "{outcome:?}");
        let outcome = shake(&serve_listed(), &pinned(&other.fingerprint));
        assert_eq!(outcome.at_client().failure, Failure::PinMismatch);
        assert!(outcome.at_client().to_string().contains(&server().fingerprint));
    }
    let trust = ServerTrust::Pinned("12:34".into());
    let error = client_config(&bundle(), trust, TlsVersions::From12).unwrap_err();
    assert!(matches!(error, pki::Error::BadPin { .. }), "{error}");
}

#[test]
fn the_certificate_seen_first_is_kept() {
    for versions in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(PinFile::new(dir.path().join("fmc.pin")));
        let without_ca = Bundle { authorities: vec![], ..bundle() };
        let error = client_config(&without_ca, ServerTrust::Authorities, versions).unwrap_err();
        assert!(matches!(error, pki::Error::NoAuthority), "{error}");

        let trust = ServerTrust::FirstSeen(store.clone());
        let user = client_config(&without_ca, trust, versions).unwrap();
        for _ in 0..2 {
            let outcome = shake(&serve_listed(), &user);
            assert!(outcome.is_good(), "{outcome:?}");
            assert_eq!(store.pinned().unwrap().unwrap(), server().fingerprint);
        }
        let changed = authority().issue_server(&["fmc"], 1).unwrap();
        let outcome = shake(&serve(&changed, authority(), Standing::Listed), &user);
        assert_eq!(outcome.at_client().failure, Failure::PinMismatch);
        assert!(outcome.at_client().to_string().contains("has changed"));
        assert_eq!(store.pinned().unwrap().unwrap(), server().fingerprint);
    }
}

/// A store on a full disk.
#[derive(Debug, Default)]
struct FullStore(Mutex<usize>);

impl PinStore for FullStore {
    fn pinned(&self) -> io::Result<Option<String>> {
        Ok(None)
    }

    fn remember(&self, _: &str) -> io::Result<()> {
        *self.0.lock().unwrap() += 1;
        Err(io::ErrorKind::StorageFull.into())
    }
}

#[test]
fn what_cannot_be_remembered_is_not_trusted() {
    for versions in BOTH {
        let store = Arc::new(FullStore::default());
        let trust = ServerTrust::FirstSeen(store.clone());
        let user = client_config(&bundle(), trust, versions).unwrap();
        let outcome = shake(&serve_listed(), &user);
        assert_eq!(outcome.at_client().failure, Failure::PinStore, "{outcome:?}");
        assert_eq!(*store.0.lock().unwrap(), 1);
    }
}

#[test]
fn a_configuration_with_parts_that_do_not_fit_is_refused() {
    let other = authority().issue_client("other", 1).unwrap();
    let mixed = Bundle { key: other.key.clone(), ..bundle() };
    let error = client_config(&mixed, ServerTrust::Authorities, TlsVersions::From12).unwrap_err();
    assert!(matches!(error, pki::Error::KeyMismatch), "{error}");
    for chain in [vec![], vec![server().certificate.clone()]] {
        let identity = ServerIdentity { chain, key: other.key.clone() };
        let ca = authority().certificate().clone();
        assert!(server_config(identity, ca, everyone(Standing::Listed)).is_err());
    }
}

/// What the server says to bytes that are no good handshake.
fn say(bytes: &[u8]) -> Explanation {
    let mut server = ServerConnection::new(serve_listed()).unwrap();
    server.read_tls(&mut &bytes[..]).unwrap();
    explain_accept(&server.process_new_packets().unwrap_err())
}

#[test]
fn what_is_not_tls_is_told_apart() {
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.6\r\n",
        &[0, 1, 0, 2, 0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 0x48, 0x90, 0, 0x61],
    ] {
        assert_eq!(say(bytes).failure, Failure::NotTls, "{}", say(bytes));
    }
}

#[test]
fn a_client_that_speaks_only_old_versions_is_told_apart() {
    // ClientHello of TLS 1.0: one cipher suite, no extensions.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 1];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    assert_eq!(say(&hello).failure, Failure::Version, "{}", say(&hello));
}
