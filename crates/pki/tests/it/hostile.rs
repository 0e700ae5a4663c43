//! Damaged and hostile PKCS#12 files: an error each time, never a panic.

use pki::{Bundle, CertificateInfo, Pkcs12Style};

use crate::fixtures::{authority, bundle, client, has_openssl, openssl, write_pem_files};

/// A small generator (SplitMix64), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ value >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

#[test]
fn random_bytes_are_an_error() {
    let mut random = Random(1);
    for _ in 0..2000 {
        let length = random.below(300);
        let mut bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        assert!(Bundle::from_pkcs12(&bytes, None).is_err());
        if let Some(first) = bytes.first_mut() {
            *first = 0x30;
        }
        assert!(Bundle::from_pkcs12(&bytes, Some("x")).is_err());
        let _ = CertificateInfo::read(&bytes);
    }
}

#[test]
fn every_truncation_is_an_error() {
    let file = bundle().to_pkcs12_as(None, Pkcs12Style::Legacy).unwrap();
    for length in 0..file.len() {
        assert!(Bundle::from_pkcs12(&file[..length], None).is_err(), "{length}");
    }
}

#[test]
fn a_mutated_file_never_panics() {
    // Without a MAC and in the clear, every mutation gets as far as the decoder lets it.
    let mut files = Vec::new();
    if has_openssl() {
        let dir = tempfile::tempdir().unwrap();
        write_pem_files(dir.path(), authority(), client());
        for options in [
            "-nomac -keypbe NONE -certpbe NONE",
            "-nomac -iter 1",
            "-iter 1 -nomaciter -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1",
            "-nomac -iter 1 -legacy -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-RC2-40",
        ] {
            let command = format!(
                "pkcs12 -export -inkey key.pem -in cert.pem -certfile ca.pem -out out.p12 -passout pass: {options}"
            );
            openssl(dir.path(), &command).unwrap();
            files.push(std::fs::read(dir.path().join("out.p12")).unwrap());
        }
    }
    let mut random = Random(2);
    for file in files {
        for _ in 0..1000 {
            let mut bytes = file.clone();
            for _ in 0..1 + random.below(3) {
                let place = random.below(bytes.len());
                match random.below(4) {
                    0 => bytes[place] ^= 1 << random.below(8),
                    1 => bytes[place] = random.next() as u8,
                    2 => {
                        bytes.remove(place);
                    }
                    _ => bytes.insert(place, random.next() as u8),
                }
            }
            // A change of a name or a label may well leave a good file.
            if let Ok(bundle) = Bundle::from_pkcs12(&bytes, None) {
                assert!(bundle.key.belongs_to(&bundle.certificate).unwrap());
            }
        }
    }
}

#[test]
fn a_mutated_certificate_never_panics() {
    let der = client().certificate.to_vec();
    let mut random = Random(3);
    for _ in 0..1500 {
        let mut bytes = der.clone();
        let place = random.below(bytes.len());
        bytes[place] = random.next() as u8;
        if let Ok(info) = CertificateInfo::read(&bytes) {
            assert_eq!(info.fingerprint.len(), 64);
            let _ = pki::time_text(info.not_after);
        }
        let _ = pki::certificate_name(&bytes);
        let pem = pki::certificate_to_pem(&bytes);
        let _ = pki::Authority::from_pem(client().key.to_pem().as_bytes(), pem.as_bytes());
    }
}
