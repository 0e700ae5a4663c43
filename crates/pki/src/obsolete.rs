//! Ciphers of the nineties, to open old PKCS#12 files made with no password at all.
//!
//! PKCS#12's own key derivation (RFC 7292 appendix B) tells an absent password from an empty one,
//! and the library that opens all other files has no way to say "absent". So the derivation
//! is here; hash and ciphers are libraries'.

use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use sha1::{Digest, Sha1};

/// PKCS#12 key derivation with SHA-1 and an absent password: `length` bytes for purpose `id`
/// (1 key, 2 initial vector), after `rounds` rounds.
pub(crate) fn derive(id: u8, salt: &[u8], rounds: u64, length: usize) -> Vec<u8> {
    const BLOCK: usize = 64;
    let mut input: Vec<u8> = salt.iter().copied().cycle().take(salt.len().div_ceil(BLOCK) * BLOCK).collect();
    let mut out = Vec::with_capacity(length + 20);
    loop {
        let mut hash = sha1(&[&[id; BLOCK], &input[..]].concat());
        for _ in 1..rounds {
            hash = sha1(&hash);
        }
        out.extend_from_slice(&hash);
        if out.len() >= length {
            out.truncate(length);
            return out;
        }
        // Each block of the input, as a number, grows by one and by the hash repeated.
        for block in input.chunks_mut(BLOCK) {
            let repeated: Vec<u8> = hash.iter().copied().cycle().take(BLOCK).collect();
            let mut carry = 1;
            for (byte, add) in block.iter_mut().zip(&repeated).rev() {
                let sum = u16::from(*byte) + u16::from(*add) + carry;
                *byte = sum as u8;
                carry = sum >> 8;
            }
        }
    }
}

/// Decrypts triple DES in CBC mode; `None` if a length or the padding is wrong.
pub(crate) fn decrypt_3des(key: &[u8], iv: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    Decryptor::<des::TdesEde3>::new_from_slices(key, iv).ok()?.decrypt_padded_vec::<Pkcs7>(data).ok()
}

/// Decrypts RC2 (RFC 2268) of 40 bits in CBC mode; `None` if a length or the padding is wrong.
pub(crate) fn decrypt_rc2_40(key: &[u8], iv: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    Decryptor::<rc2::Rc2>::new_from_slices(key, iv).ok()?.decrypt_padded_vec::<Pkcs7>(data).ok()
}

fn sha1(message: &[u8]) -> [u8; 20] {
    Sha1::digest(message).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_padding_or_length_is_no_text() {
        for data in [&b""[..], b"seven b", &[0; 8], &[0; 12]] {
            assert_eq!(decrypt_rc2_40(&[0; 5], &[0; 8], data), None);
            assert_eq!(decrypt_3des(&[0; 24], &[0; 8], data), None);
        }
        assert_eq!(decrypt_3des(&[0; 23], &[0; 8], &[0; 8]), None);
    }
}
