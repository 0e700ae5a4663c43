//! PKCS#12 files.

use pki::{Bundle, CertificateInfo};

/// Any file opens or is refused, whatever the password, in bounded time and memory; what opens is whole: a key, the
/// certificate of that key, and certificates that can be read. Opening twice gives the same.
pub fn pkcs12(data: &[u8]) {
    for password in [None, Some("secret")] {
        match Bundle::from_pkcs12(data, password) {
            Ok(bundle) => {
                bundle.info().expect("the certificate was understood");
                for certificate in bundle.chain.iter().chain(&bundle.authorities) {
                    CertificateInfo::read(certificate).expect("every certificate was understood");
                }
                assert!(bundle.chain.iter().all(|c| bundle.authorities.contains(c)), "the chain is of authorities");
                assert_eq!(Bundle::from_pkcs12(data, password).ok().as_ref(), Some(&bundle));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}
