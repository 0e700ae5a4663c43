//! Secrets that programs show instead of a certificate.

use crate::crypto;
use crate::error::Result;

/// A new secret: 32 random bytes in hexadecimal digits. As long as that it needs no slow hash: its
/// [`hash`] can be kept in a file.
///
/// # Errors
/// [`Error::Issue`](crate::Error::Issue) when the system gives no random numbers.
pub fn create() -> Result<String> {
    crypto::random_hex::<32>()
}

/// What is kept of a secret: its SHA-256 in hexadecimal digits.
pub fn hash(secret: &str) -> String {
    crypto::sha256_hex(secret.as_bytes())
}

#[cfg(test)]
mod tests {
    #[test]
    fn secrets_differ_and_have_a_hash_each() {
        let (a, b) = (super::create().unwrap(), super::create().unwrap());
        assert!(a != b && a.len() == 64);
        assert_ne!(super::hash(&a), super::hash(&b));
        assert!(super::hash("abc").starts_with("ba7816bf"));
    }
}
