//! PKCS#12 files of our own, read back.

use pki::{Bundle, Error, Pkcs12Style};

use crate::fixtures::{authority, bundle, client, quick_authority};

#[test]
fn a_bundle_comes_back_whole_in_each_style_and_password() {
    for style in [Pkcs12Style::Modern, Pkcs12Style::Legacy] {
        for password in [None, Some("pässwört €")] {
            let file = bundle().to_pkcs12_as(password, style).unwrap();
            assert_eq!(Bundle::from_pkcs12(&file, password).unwrap(), bundle());
            if password.unwrap_or_default().is_empty() {
                assert_eq!(Bundle::from_pkcs12(&file, Some("")).unwrap(), bundle());
            } else {
                let error = Bundle::from_pkcs12(&file, None).unwrap_err();
                assert!(matches!(error, Error::PasswordNeeded), "{error}");
            }
            let error = Bundle::from_pkcs12(&file, Some("other")).unwrap_err();
            assert!(matches!(error, Error::WrongPassword), "{error}");
        }
    }
}

#[test]
fn bytes_after_the_end_do_no_harm() {
    let mut file = bundle().to_pkcs12(None).unwrap();
    file.extend_from_slice(b"\r\n");
    assert_eq!(Bundle::from_pkcs12(&file, None).unwrap(), bundle());
}

#[test]
fn a_password_that_cannot_be_expressed_is_refused() {
    let error = bundle().to_pkcs12(Some("🔑")).unwrap_err();
    assert!(matches!(error, Error::PasswordCharacters), "{error}");
    let file = bundle().to_pkcs12(Some("x")).unwrap();
    let error = Bundle::from_pkcs12(&file, Some("🔑")).unwrap_err();
    assert!(matches!(error, Error::PasswordCharacters), "{error}");
}

#[test]
fn errors_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("client.pkcs12");
    pki::write_private(&path, &bundle().to_pkcs12(Some("right")).unwrap()).unwrap();
    assert_eq!(Bundle::load_pkcs12(&path, Some("right")).unwrap(), bundle());
    let error = Bundle::load_pkcs12(&path, Some("wrong")).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(&path.display().to_string()), "{text}");
    assert!(text.contains("the password does not open this PKCS#12 file"), "{text}");
    assert!(!text.contains("wrong"), "{text}");
}

#[test]
fn what_is_no_pkcs12_file_is_told_apart() {
    let pem = authority().certificate_pem();
    for (bytes, word) in [
        (&b""[..], "empty"),
        (b"PK\x03\x04", "does not begin as one"),
        (pem.as_bytes(), "PEM"),
        (&[0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2], "Java key store"),
        (client().certificate.as_ref(), "its fields are others"),
        (&[0x30, 0x82, 0x10, 0x00, 0x02], "its end is missing"),
    ] {
        let error = Bundle::from_pkcs12(bytes, None).unwrap_err();
        assert!(matches!(error, Error::NotPkcs12 { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    let error = Bundle::from_pkcs12(&[0x30, 0x80, 0x02, 0x01], None).unwrap_err();
    assert!(matches!(error, Error::Pkcs12Unsupported { .. }), "{error}");
    let error = Bundle::from_pkcs12(&vec![0x30; (1 << 20) + 1], None).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[test]
fn pem_files_make_the_same_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("fmc-8302_pkcs.key");
    let cert = dir.path().join("fmc-8302_pkcs.cert");
    // The authority first, and text between, as openssl leaves it there.
    let text = format!(
        "Bag Attributes: <No Attributes>\n{}subject=CN = x\n{}",
        authority().certificate_pem(),
        pki::certificate_to_pem(&client().certificate)
    );
    pki::write_private(&key, client().key.to_pem().as_bytes()).unwrap();
    pki::write_private(&cert, text.as_bytes()).unwrap();
    assert_eq!(Bundle::load_pem(&key, &cert).unwrap(), bundle());

    let other = quick_authority("other").issue_client("other", 1).unwrap();
    let error = Bundle::from_pem(other.key.to_pem().as_bytes(), text.as_bytes()).unwrap_err();
    assert!(matches!(error, Error::KeyMismatch), "{error}");
    let error = Bundle::load_pem(&cert, &cert).unwrap_err();
    assert!(matches!(error.root(), Error::PemWithoutKey), "{error}");
    assert!(error.to_string().starts_with(&cert.display().to_string()));
}

#[test]
fn a_password_that_is_absent_is_not_an_empty_one_but_opens_too() {
    for (file, name) in [
        (&include_bytes!("../data/absent-password-aes256.p12")[..], "aes256"),
        (include_bytes!("../data/absent-password-3des.p12"), "3des"),
        (include_bytes!("../data/absent-password-rc2-40.p12"), "rc2-40"),
    ] {
        for password in [None, Some("")] {
            let bundle = Bundle::from_pkcs12(file, password).unwrap_or_else(|error| panic!("{name}: {error}"));
            let info = bundle.info().unwrap();
            assert_eq!(info.name.as_deref(), Some("192.0.2.7"), "{name}");
            assert_eq!(info.issuer, "CN=InternalCA", "{name}");
            assert_eq!(bundle.authorities.len(), 1, "{name}");
            assert!(bundle.key.belongs_to(&bundle.certificate).unwrap());
            assert!(!bundle.key.belongs_to(&bundle.authorities[0]).unwrap());
        }
        let error = Bundle::from_pkcs12(file, Some("x")).unwrap_err();
        assert!(matches!(error, Error::WrongPassword), "{name}: {error}");
    }
}
