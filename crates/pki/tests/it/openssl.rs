//! PKCS#12 files against OpenSSL, both ways.

use std::fs;
use std::path::Path;

use pki::{Bundle, Error, Pkcs12Style};

use crate::fixtures::{
    authority, client, has_openssl, openssl, quick_authority, rsa_authority, rsa_client, write_pem_files,
};

/// The encryptions OpenSSL was told to use over the years.
const FORMS: [(&str, &str); 7] = [
    ("as an appliance makes it", "-legacy -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-RC2-40 -macalg sha1"),
    ("as OpenSSL 3 makes it", ""),
    ("triple DES", "-keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1"),
    ("AES-128", "-keypbe AES-128-CBC -certpbe AES-128-CBC -macalg sha512"),
    ("certificates in the clear", "-certpbe NONE"),
    ("nothing encrypted", "-keypbe NONE -certpbe NONE"),
    ("no MAC", "-nomac"),
];

fn export(dir: &Path, options: &str) -> Vec<u8> {
    let command = format!("pkcs12 -export -inkey key.pem -in cert.pem -out out.p12 {options}");
    openssl(dir, &command).unwrap();
    fs::read(dir.join("out.p12")).unwrap()
}

#[test]
fn what_openssl_makes_is_read() {
    if !has_openssl() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_pem_files(dir.path(), rsa_authority(), rsa_client());
    for (form, options) in FORMS {
        for password in ["", "secret"] {
            for (names, extra) in [
                ("with CA", "-certfile ca.pem"),
                ("without CA", ""),
                ("with names", "-certfile ca.pem -name client -caname ca"),
                ("with key usage", "-keysig -CSP x"),
            ] {
                let what = format!("{form}, password \"{password}\", {names}");
                let file = export(dir.path(), &format!("{options} {extra} -iter 100 -passout pass:{password}"));
                let bundle =
                    Bundle::from_pkcs12(&file, Some(password)).unwrap_or_else(|error| panic!("{what}: {error}"));
                // Microsoft's options add attributes to the key, which are kept.
                if names != "with key usage" {
                    assert_eq!(bundle.key, rsa_client().key, "{what}");
                }
                assert!(bundle.key.belongs_to(&bundle.certificate).unwrap());
                assert_eq!(bundle.certificate, rsa_client().certificate, "{what}");
                let authorities = if extra.contains("ca.pem") { 1 } else { 0 };
                assert_eq!(bundle.authorities.len(), authorities, "{what}");
                if password.is_empty() {
                    assert_eq!(Bundle::from_pkcs12(&file, None).unwrap(), bundle, "{what}");
                } else if form != "nothing encrypted" || !options.contains("-nomac") {
                    let error = Bundle::from_pkcs12(&file, Some("wrong")).unwrap_err();
                    assert!(matches!(error, Error::WrongPassword), "{what}: {error}");
                    let error = Bundle::from_pkcs12(&file, None).unwrap_err();
                    assert!(matches!(error, Error::PasswordNeeded), "{what}: {error}");
                }
            }
        }
    }
}

#[test]
fn what_is_made_here_openssl_reads() {
    if !has_openssl() {
        return;
    }
    for (authority, client) in [(authority(), client()), (rsa_authority(), rsa_client())] {
        for style in [Pkcs12Style::Modern, Pkcs12Style::Legacy] {
            for password in ["", "pässwört"] {
                let dir = tempfile::tempdir().unwrap();
                let file = authority.bundle(client).to_pkcs12_as(Some(password), style).unwrap();
                fs::write(dir.path().join("in.p12"), file).unwrap();
                // No -legacy: OpenSSL 3 must read both styles as it is.
                let read = |what: &str| {
                    let command = format!("pkcs12 -in in.p12 -nodes -passin pass:{password} {what}");
                    openssl(dir.path(), &command).unwrap()
                };
                let bundle = Bundle::from_pem(read("-nocerts").as_bytes(), read("-nokeys").as_bytes()).unwrap();
                assert_eq!(bundle, authority.bundle(client));
                let leaf = read("-clcerts -nokeys");
                assert_eq!(leaf.matches("BEGIN CERTIFICATE").count(), 1, "{leaf}");
                assert!(leaf.contains(&format!("friendlyName: CN={}", client.name)), "{leaf}");
                let command = "pkcs12 -in in.p12 -nodes -passin pass:wrong";
                assert!(openssl(dir.path(), command).is_err());
            }
        }
    }
}

#[test]
fn the_leaf_is_found_in_any_order() {
    if !has_openssl() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_pem_files(dir.path(), authority(), client());
    let other = quick_authority("Other CA");
    let stranger = authority().issue_client("stranger", 1).unwrap();
    let pem = |der: &[u8]| pki::certificate_to_pem(der);
    let all = [
        pem(&stranger.certificate),
        authority().certificate_pem(),
        other.certificate_pem(),
        pem(&client().certificate),
        authority().certificate_pem(),
    ];
    for turn in 0..all.len() {
        let mut turned = all.clone();
        turned.rotate_left(turn);
        fs::write(dir.path().join("cert.pem"), turned.concat()).unwrap();
        let bundle = Bundle::from_pkcs12(&export(dir.path(), "-passout pass:"), None).unwrap();
        assert_eq!(bundle.certificate, client().certificate);
        // Each authority once; a stranger's certificate is no authority.
        assert_eq!(bundle.authorities.len(), 2);
        assert!(bundle.authorities.contains(authority().certificate()));
        assert!(bundle.authorities.contains(other.certificate()));
        assert_eq!(bundle.chain.len(), 0);
    }
}

#[test]
fn an_intermediate_goes_into_the_chain() {
    if !has_openssl() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_pem_files(dir.path(), authority(), client());
    fs::write(dir.path().join("root.key"), authority().key_pem().as_bytes()).unwrap();
    fs::write(dir.path().join("ca.ext"), "basicConstraints=critical,CA:TRUE\n").unwrap();
    for command in [
        "ecparam -name prime256v1 -genkey -noout -out sub.key",
        "req -new -key sub.key -subj /CN=Sub_CA -out sub.csr",
        "x509 -req -in sub.csr -CA ca.pem -CAkey root.key -CAcreateserial -days 9 -extfile ca.ext -out sub.pem",
    ] {
        openssl(dir.path(), command).unwrap();
    }
    let sub = pki::Authority::load(&dir.path().join("sub.key"), &dir.path().join("sub.pem")).unwrap();
    let issued = sub.with_key_kind(pki::KeyKind::EcdsaP256).issue_client("below", 1).unwrap();
    fs::write(dir.path().join("key.pem"), issued.key.to_pem().as_bytes()).unwrap();
    fs::write(dir.path().join("cert.pem"), pki::certificate_to_pem(&issued.certificate)).unwrap();
    let both = fs::read_to_string(dir.path().join("ca.pem")).unwrap()
        + &fs::read_to_string(dir.path().join("sub.pem")).unwrap();
    fs::write(dir.path().join("both.pem"), both).unwrap();
    let file = export(dir.path(), "-certfile both.pem -passout pass:");
    let bundle = Bundle::from_pkcs12(&file, None).unwrap();
    assert_eq!(bundle.authorities.len(), 2);
    assert_eq!(bundle.chain.len(), 1);
    assert_ne!(&bundle.chain[0], authority().certificate());
    let again = bundle.to_pkcs12(None).unwrap();
    let again = Bundle::from_pkcs12(&again, None).unwrap();
    assert_eq!((again.chain, again.authorities.len()), (bundle.chain, 2));
}

#[test]
fn what_is_missing_inside_is_named() {
    if !has_openssl() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_pem_files(dir.path(), authority(), client());
    openssl(dir.path(), "pkcs12 -export -nokeys -in cert.pem -out out.p12 -passout pass:").unwrap();
    let error = Bundle::load_pkcs12(&dir.path().join("out.p12"), None).unwrap_err();
    assert!(matches!(error.root(), Error::Pkcs12WithoutKey), "{error}");
    openssl(dir.path(), "pkcs12 -export -nocerts -inkey key.pem -out out.p12 -passout pass:").unwrap();
    let error = Bundle::load_pkcs12(&dir.path().join("out.p12"), None).unwrap_err();
    assert!(matches!(error.root(), Error::Pkcs12WithoutCertificate), "{error}");
}

#[test]
fn short_keys_and_other_ciphers_are_refused_with_a_reason() {
    if !has_openssl() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    openssl(dir.path(), "req -x509 -newkey rsa:1024 -nodes -keyout key.pem -out cert.pem -days 9 -subj /CN=old")
        .unwrap();
    let error = Bundle::from_pkcs12(&export(dir.path(), "-passout pass:"), None).unwrap_err();
    assert!(error.to_string().contains("an RSA key of 1024 bits"), "{error}");

    write_pem_files(dir.path(), authority(), client());
    for cipher in ["PBE-SHA1-RC4-128", "PBE-SHA1-RC2-128", "PBE-SHA1-2DES"] {
        let file = export(dir.path(), &format!("-legacy -certpbe {cipher} -passout pass:"));
        let error = Bundle::from_pkcs12(&file, None).unwrap_err();
        assert!(matches!(error, Error::Pkcs12Unsupported { .. }), "{cipher}: {error}");
    }
}

#[test]
fn a_file_made_to_be_slow_is_refused_at_once() {
    if !has_openssl() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_pem_files(dir.path(), authority(), client());
    let file = export(dir.path(), "-passout pass: -iter 2048");
    let small = [0x02, 0x02, 0x08, 0x00];
    let places: Vec<usize> = (0..=file.len() - 4).filter(|place| file[*place..*place + 4] == small).collect();
    assert!(places.len() >= 3, "{places:?}");
    for place in places {
        let mut slow = file.clone();
        // Of the same length, so that nothing else changes: a negative number.
        slow[place + 2..place + 4].copy_from_slice(&[0xff, 0xff]);
        assert!(Bundle::from_pkcs12(&slow, None).is_err());
    }
    let began = std::time::Instant::now();
    let file = export(dir.path(), "-passout pass: -iter 1000001");
    let made = began.elapsed();
    let began = std::time::Instant::now();
    let error = Bundle::from_pkcs12(&file, None).unwrap_err();
    assert!(matches!(error, Error::Pkcs12TooCostly { .. }), "{error}");
    assert!(began.elapsed() < made, "{:?} {made:?}", began.elapsed());
}
