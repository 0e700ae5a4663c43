//! Creating, loading and issuing.

use pki::{
    Authority, AuthorityOptions, CertificateInfo, Error, KeyKind, PrivateKey, Validity, certificate_name, check_host,
};

use crate::fixtures::{
    authority, client, has_openssl, openssl, quick_authority, rsa_authority, rsa_client, server, write_pem_files,
};

const DAY: i64 = 86_400;

#[test]
fn the_default_authority_is_as_an_appliance_has_it() {
    let info = rsa_authority().info();
    assert_eq!(info.subject, "O=eStreamer, CN=InternalCA");
    assert_eq!(info.issuer, info.subject);
    assert_eq!(info.rsa_bits, Some(2048));
    assert!(info.is_authority);
    let years = (info.not_after - info.not_before) / (365 * DAY);
    assert_eq!(years, 10);
}

#[test]
fn a_client_certificate_carries_the_name_as_typed() {
    for name in ["siem.example.com", "192.0.2.7", "2001:db8::7", "SIEM_1", "a"] {
        let issued = authority().issue_client(name, 30).unwrap();
        assert_eq!(certificate_name(&issued.certificate).unwrap(), name);
        assert_eq!(issued.name, name);
        let info = CertificateInfo::read(&issued.certificate).unwrap();
        assert_eq!(info.issuer, authority().info().subject);
        assert_eq!(info.serial, issued.serial);
        assert_eq!(issued.serial.len(), 32);
        assert_eq!(info.fingerprint, issued.fingerprint);
        assert!(!info.is_authority && !info.self_issued && info.version == 3);
        assert_eq!(issued.not_after - issued.not_before, 31 * DAY);
        assert!(issued.key.belongs_to(&issued.certificate).unwrap());
        assert!(!issued.key.belongs_to(authority().certificate()).unwrap());
    }
}

#[test]
fn serial_numbers_and_keys_are_never_the_same() {
    let one = authority().issue_client("same", 1).unwrap();
    let two = authority().issue_client("same", 1).unwrap();
    assert_ne!(one.serial, two.serial);
    assert_ne!(one.key, two.key);
    assert_ne!(one.fingerprint, two.fingerprint);
}

#[test]
fn the_server_certificate_names_its_role() {
    let info = CertificateInfo::read(&server().certificate).unwrap();
    assert_eq!(info.name.as_deref(), Some("fmc.example.com"));
    if !has_openssl() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let issued = authority().issue_server(&["fmc.example.com", "192.0.2.1", "2001:db8::1"], 365).unwrap();
    write_pem_files(dir.path(), authority(), &issued);
    let text = openssl(dir.path(), "x509 -in cert.pem -noout -text").unwrap();
    for part in [
        "title = estreamer, generationQualifier = server, CN = fmc.example.com",
        "DNS:fmc.example.com, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1",
        "TLS Web Server Authentication",
        "Digital Signature",
        "CA:FALSE",
        "X509v3 Authority Key Identifier",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn openssl_verifies_what_is_issued() {
    if !has_openssl() {
        return;
    }
    for (authority, client) in [(authority(), client()), (rsa_authority(), rsa_client())] {
        let dir = tempfile::tempdir().unwrap();
        write_pem_files(dir.path(), authority, client);
        let answer = openssl(dir.path(), "verify -x509_strict -purpose sslclient -CAfile ca.pem cert.pem");
        assert_eq!(answer.unwrap(), "cert.pem: OK\n");
        assert!(openssl(dir.path(), "verify -purpose sslserver -CAfile ca.pem cert.pem").is_err());
        let fingerprint = openssl(dir.path(), "x509 -in cert.pem -noout -fingerprint -sha256").unwrap();
        let digits = fingerprint.trim().rsplit('=').next().unwrap().replace(':', "");
        assert_eq!(digits.to_lowercase(), client.fingerprint);
        let serial = openssl(dir.path(), "x509 -in cert.pem -noout -serial").unwrap();
        assert_eq!(serial.trim().to_lowercase(), format!("serial={}", client.serial));
    }
}

#[test]
fn an_authority_survives_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("ca.key");
    let certificate = dir.path().join("ca.crt");
    pki::write_private(&key, authority().key_pem().as_bytes()).unwrap();
    pki::write_private(&certificate, authority().certificate_pem().as_bytes()).unwrap();
    let loaded = Authority::load(&key, &certificate).unwrap().with_key_kind(KeyKind::EcdsaP256);
    assert_eq!(loaded.certificate(), authority().certificate());
    let issued = loaded.issue_client("192.0.2.9", 10).unwrap();
    let info = CertificateInfo::read(&issued.certificate).unwrap();
    assert_eq!(info.issuer, authority().info().subject);
    assert!(format!("{loaded:?}{issued:?}").contains("PrivateKey(..)"));

    let error = Authority::load(&certificate, &certificate).unwrap_err();
    assert!(matches!(error.root(), Error::PemWithoutKey), "{error}");
    assert!(error.to_string().starts_with(&certificate.display().to_string()));
    let error = Authority::load(&key, &key).unwrap_err();
    assert!(matches!(error.root(), Error::PemWithoutCertificate), "{error}");
}

#[test]
fn what_is_no_authority_is_refused() {
    let other = quick_authority("other");
    let error = Authority::from_pem(other.key_pem().as_bytes(), authority().certificate_pem().as_bytes());
    assert!(matches!(error, Err(Error::KeyMismatch)), "{error:?}");
    let leaf = client();
    let error =
        Authority::from_pem(leaf.key.to_pem().as_bytes(), pki::certificate_to_pem(&leaf.certificate).as_bytes());
    assert!(matches!(error, Err(Error::BadAuthority { .. })), "{error:?}");
    for (name, organization) in [("", "o"), ("n", ""), ("a\nb", "o"), ("n", &*"o".repeat(65))] {
        let options =
            AuthorityOptions { name: name.into(), organization: organization.into(), ..AuthorityOptions::default() };
        assert!(matches!(Authority::create(&options), Err(Error::BadAuthority { .. })));
    }
}

#[test]
fn authorities_made_by_openssl_can_issue() {
    if !has_openssl() {
        return;
    }
    // The subject as an appliance writes it; the key in each PEM form.
    let dir = tempfile::tempdir().unwrap();
    let subject = "/title=InternalCA/OU=Intrusion_Management_System/CN=0c1f4e2a/O=Sourcefire,_Inc.";
    for key in ["genrsa -traditional -out ca.key 2048", "ecparam -name prime256v1 -genkey -noout -out ca.key"] {
        openssl(dir.path(), key).unwrap();
        openssl(dir.path(), &format!("req -x509 -new -key ca.key -out ca.crt -days 100 -sha256 -subj {subject}"))
            .unwrap();
        let loaded = Authority::load(&dir.path().join("ca.key"), &dir.path().join("ca.crt"))
            .unwrap()
            .with_key_kind(KeyKind::EcdsaP256);
        let issued = loaded.issue_client("192.0.2.7", 4000).unwrap();
        assert_eq!(issued.not_after, loaded.info().not_after, "clamped");
        write_pem_files(dir.path(), &loaded, &issued);
        let answer = openssl(dir.path(), "verify -purpose sslclient -CAfile ca.pem cert.pem");
        assert_eq!(answer.unwrap(), "cert.pem: OK\n");
    }
    // A subject that cannot be copied is found out when loading, not by the first client.
    openssl(dir.path(), "req -x509 -new -key ca.key -out ca.crt -days 100 -subj /OU=one/OU=two/CN=ca").unwrap();
    let error = Authority::load(&dir.path().join("ca.key"), &dir.path().join("ca.crt")).unwrap_err();
    assert!(error.to_string().contains("an attribute twice"), "{error}");
    openssl(dir.path(), "pkey -in ca.key -aes128 -passout pass:x -out enc.key").unwrap();
    let error = Authority::load(&dir.path().join("enc.key"), &dir.path().join("ca.crt")).unwrap_err();
    assert!(matches!(error.root(), Error::PemKeyEncrypted), "{error}");
}

#[test]
fn an_expired_authority_issues_nothing() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(2020, 2, 29);
    let certificate = params.self_signed(&key).unwrap();
    let old = Authority::from_pem(key.serialize_pem().as_bytes(), certificate.pem().as_bytes());
    let error = old.unwrap().issue_client("a", 1).unwrap_err();
    assert!(matches!(error, Error::AuthorityExpired { .. }), "{error}");
    assert!(error.to_string().contains("ended on 2020-02-29 00:00:00 UTC"));
}

#[test]
fn names_that_users_mistype_are_refused_with_a_reason() {
    for (name, reason) in [
        ("", "empty"),
        ("a\0b", "NUL"),
        ("a\nb", "control"),
        ("a\u{7f}", "control"),
        ("192.0.2.0/24", "slash"),
        ("..\\x", "slash"),
        ("..", "dots"),
        ("two words", "space"),
        ("müller", "ASCII"),
        (&*"x".repeat(254), "253"),
    ] {
        let error = check_host(name).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        assert!(!error.to_string().contains('\n'));
        let error = authority().issue_client(name, 1).unwrap_err();
        assert!(matches!(error, Error::BadName { .. }), "{error}");
        assert!(authority().issue_server(&["ok", name], 1).is_err());
    }
    assert!(authority().issue_server(&[] as &[&str], 1).is_err());
    let longest = "x".repeat(253);
    let issued = authority().issue_client(&longest, 1).unwrap();
    assert_eq!(certificate_name(&issued.certificate).unwrap(), longest);
}

#[test]
fn days_are_bounded() {
    for days in [0, 36_526, u32::MAX] {
        assert!(matches!(authority().issue_client("a", days), Err(Error::BadDays { .. })));
    }
    let issued = authority().issue_client("a", 36_525).unwrap();
    assert_eq!(issued.not_after, authority().info().not_after);
    let odd = Validity { not_before: i64::MAX, not_after: i64::MIN };
    assert!(authority().issue_client_between("a", odd).is_ok());
}

#[test]
fn keys_keep_to_themselves() {
    let key = &client().key;
    assert_eq!(format!("{key:?}"), "PrivateKey(..)");
    assert_eq!(PrivateKey::from_pem(key.to_pem().as_bytes()).unwrap(), *key);
}
