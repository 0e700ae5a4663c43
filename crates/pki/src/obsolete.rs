//! Ciphers of the nineties, to open old PKCS#12 files made with no password at all.
//!
//! PKCS#12's own key derivation (RFC 7292 appendix B) tells an absent password from an empty one,
//! and the library that opens all other files has no way to say "absent". Everybody can open such
//! a file, so there is no secret these plain implementations could leak, and they only decrypt.

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

/// Decrypts triple DES in CBC mode; `None` if the length or the padding is wrong.
pub(crate) fn decrypt_3des(key: &[u8], iv: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    let (parts, []) = key.as_chunks::<8>() else {
        return None;
    };
    let [one, two, three] = *parts else {
        return None;
    };
    let keys = [one, two, three].map(|key| des_subkeys(u64::from_be_bytes(key)));
    decrypt_cbc(iv, data, |block| {
        let [one, two, three] = &keys;
        let block = des(block, three.iter().rev());
        let block = des(block, two.iter());
        des(block, one.iter().rev())
    })
}

/// Decrypts RC2 (RFC 2268) of 40 bits in CBC mode; `None` if the length or the padding is wrong.
pub(crate) fn decrypt_rc2_40(key: &[u8], iv: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    let keys = rc2_subkeys(key.try_into().ok()?);
    decrypt_cbc(iv, data, |block| rc2(block, &keys))
}

fn decrypt_cbc(iv: &[u8], data: &[u8], decrypt: impl Fn(u64) -> u64) -> Option<Vec<u8>> {
    let mut previous = u64::from_be_bytes(iv.try_into().ok()?);
    let (blocks, []) = data.as_chunks::<8>() else {
        return None;
    };
    let mut out = Vec::with_capacity(data.len());
    for block in blocks {
        let block = u64::from_be_bytes(*block);
        out.extend_from_slice(&(decrypt(block) ^ previous).to_be_bytes());
        previous = block;
    }
    let padding = *out.last()?;
    let length = out.len().checked_sub(usize::from(padding))?;
    let good = (1..=8).contains(&padding) && out.iter().skip(length).all(|byte| *byte == padding);
    out.truncate(length);
    good.then_some(out)
}

fn sha1(message: &[u8]) -> [u8; 20] {
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() < message.len() + 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let length = padded.len() - 8;
    padded.truncate(length);
    padded.extend_from_slice(&(message.len() as u64 * 8).to_be_bytes());

    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in padded.as_chunks::<64>().0 {
        let mut words = [0u32; 80];
        for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        for index in 16..80 {
            words[index] = (words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (index, word) in words.iter().enumerate() {
            let (mix, constant) = match index / 20 {
                0 => (b & c | !b & d, 0x5a82_7999),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => (b & c | b & d | c & d, 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6u32),
            };
            let next = a.rotate_left(5).wrapping_add(mix).wrapping_add(e).wrapping_add(constant).wrapping_add(*word);
            (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
        }
        for (sum, value) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(value);
        }
    }
    let mut out = [0; 20];
    for (bytes, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    out
}

/// Takes the bits of `input`, numbered from 1 at the top of `width`, in the order of the table.
fn permute(input: u64, width: u8, table: &[u8]) -> u64 {
    table.iter().fold(0, |out, bit| out << 1 | input >> (width - bit) & 1)
}

fn des_subkeys(key: u64) -> [u64; 16] {
    const HALF: u64 = (1 << 28) - 1;
    let chosen = permute(key, 64, &PC1);
    let (mut left, mut right) = (chosen >> 28, chosen & HALF);
    let mut keys = [0; 16];
    for (round, key) in keys.iter_mut().enumerate() {
        let shift = if matches!(round, 0 | 1 | 8 | 15) { 1 } else { 2 };
        left = (left << shift | left >> (28 - shift)) & HALF;
        right = (right << shift | right >> (28 - shift)) & HALF;
        *key = permute(left << 28 | right, 56, &PC2);
    }
    keys
}

/// DES (FIPS 46-3) with the subkeys in their order to encrypt, in reverse to decrypt.
fn des<'a>(block: u64, keys: impl Iterator<Item = &'a u64>) -> u64 {
    let block = permute(block, 64, &IP);
    let (mut left, mut right) = (block >> 32, block & 0xffff_ffff);
    for key in keys {
        let mixed = permute(right, 32, &E) ^ key;
        let substituted = S.iter().enumerate().fold(0, |out, (index, table)| {
            let six = mixed >> (42 - 6 * index) & 0x3f;
            let row = six >> 4 & 2 | six & 1;
            let column = six >> 1 & 0xf;
            out << 4 | u64::from(table[(row << 4 | column) as usize])
        });
        (left, right) = (right, left ^ permute(substituted, 32, &P));
    }
    permute(right << 32 | left, 64, &FP)
}

fn rc2_subkeys(key: [u8; 5]) -> [u16; 64] {
    let mut bytes = [0u8; 128];
    for (byte, key) in bytes.iter_mut().zip(key) {
        *byte = key;
    }
    let pi = |index: u8| PI[usize::from(index)];
    for index in 5..128 {
        bytes[index] = pi(bytes[index - 1].wrapping_add(bytes[index - 5]));
    }
    // The effective length of the key is its length, 40 bits.
    bytes[123] = pi(bytes[123]);
    for index in (0..123).rev() {
        bytes[index] = pi(bytes[index + 1] ^ bytes[index + 5]);
    }
    let mut keys = [0; 64];
    for (key, pair) in keys.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *key = u16::from_le_bytes(*pair);
    }
    keys
}

fn rc2(block: u64, keys: &[u16; 64]) -> u64 {
    let bytes = block.to_be_bytes();
    let mut r = [0u16; 4];
    for (word, pair) in r.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *word = u16::from_le_bytes(*pair);
    }
    // Sixteen rounds of mixing from the last to the first, with a mashing after the 5th and 11th.
    for (turn, round) in keys.as_chunks::<4>().0.iter().rev().enumerate() {
        for (index, rotation) in [(3usize, 5u32), (2, 3), (1, 2), (0, 1)] {
            let (one, two, three) = (r[(index + 3) % 4], r[(index + 2) % 4], r[(index + 1) % 4]);
            r[index] = r[index]
                .rotate_right(rotation)
                .wrapping_sub(round[index])
                .wrapping_sub(one & two)
                .wrapping_sub(!one & three);
        }
        if matches!(turn, 4 | 10) {
            for index in [3usize, 2, 1, 0] {
                let key = keys[usize::from(r[(index + 3) % 4] & 63)];
                r[index] = r[index].wrapping_sub(key);
            }
        }
    }
    r.iter().fold(0, |out, word| out << 16 | u64::from(word.swap_bytes()))
}

#[rustfmt::skip]
const IP: [u8; 64] = [
    58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4,
    62, 54, 46, 38, 30, 22, 14, 6, 64, 56, 48, 40, 32, 24, 16, 8,
    57, 49, 41, 33, 25, 17, 9, 1, 59, 51, 43, 35, 27, 19, 11, 3,
    61, 53, 45, 37, 29, 21, 13, 5, 63, 55, 47, 39, 31, 23, 15, 7,
];
#[rustfmt::skip]
const FP: [u8; 64] = [
    40, 8, 48, 16, 56, 24, 64, 32, 39, 7, 47, 15, 55, 23, 63, 31,
    38, 6, 46, 14, 54, 22, 62, 30, 37, 5, 45, 13, 53, 21, 61, 29,
    36, 4, 44, 12, 52, 20, 60, 28, 35, 3, 43, 11, 51, 19, 59, 27,
    34, 2, 42, 10, 50, 18, 58, 26, 33, 1, 41, 9, 49, 17, 57, 25,
];
#[rustfmt::skip]
const E: [u8; 48] = [
    32, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 8, 9, 10, 11, 12, 13, 12, 13, 14, 15, 16, 17,
    16, 17, 18, 19, 20, 21, 20, 21, 22, 23, 24, 25, 24, 25, 26, 27, 28, 29, 28, 29, 30, 31, 32, 1,
];
#[rustfmt::skip]
const P: [u8; 32] = [
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10,
    2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25,
];
#[rustfmt::skip]
const PC1: [u8; 56] = [
    57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3,
    60, 52, 44, 36, 63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37,
    29, 21, 13, 5, 28, 20, 12, 4,
];
#[rustfmt::skip]
const PC2: [u8; 48] = [
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2,
    41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];
#[rustfmt::skip]
const S: [[u8; 64]; 8] = [
    [
        14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7, 0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12, 11, 9, 5, 3, 8,
        4, 1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0, 15, 12, 8, 2, 4, 9, 1, 7, 5, 11, 3, 14, 10, 0, 6, 13,
    ],
    [
        15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10, 3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1, 10, 6, 9, 11, 5,
        0, 14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15, 13, 8, 10, 1, 3, 15, 4, 2, 11, 6, 7, 12, 0, 5, 14, 9,
    ],
    [
        10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8, 13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5, 14, 12, 11, 15, 1,
        13, 6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7, 1, 10, 13, 0, 6, 9, 8, 7, 4, 15, 14, 3, 11, 5, 2, 12,
    ],
    [
        7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15, 13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2, 12, 1, 10, 14, 9,
        10, 6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4, 3, 15, 0, 6, 10, 1, 13, 8, 9, 4, 5, 11, 12, 7, 2, 14,
    ],
    [
        2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9, 14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15, 10, 3, 9, 8, 6,
        4, 2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14, 11, 8, 12, 7, 1, 14, 2, 13, 6, 15, 0, 9, 10, 4, 5, 3,
    ],
    [
        12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11, 10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13, 14, 0, 11, 3, 8,
        9, 14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6, 4, 3, 2, 12, 9, 5, 15, 10, 11, 14, 1, 7, 6, 0, 8, 13,
    ],
    [
        4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1, 13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5, 12, 2, 15, 8, 6,
        1, 4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2, 6, 11, 13, 8, 1, 4, 10, 7, 9, 5, 0, 15, 14, 2, 3, 12,
    ],
    [
        13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7, 1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6, 11, 0, 14, 9, 2,
        7, 11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8, 2, 1, 14, 7, 4, 10, 8, 13, 15, 12, 9, 0, 3, 5, 6, 11,
    ],
];
#[rustfmt::skip]
const PI: [u8; 256] = [
    217, 120, 249, 196, 25, 221, 181, 237, 40, 233, 253, 121, 74, 160, 216, 157, 198, 126, 55, 131,
    43, 118, 83, 142, 98, 76, 100, 136, 68, 139, 251, 162, 23, 154, 89, 245, 135, 179, 79, 19, 97,
    69, 109, 141, 9, 129, 125, 50, 189, 143, 64, 235, 134, 183, 123, 11, 240, 149, 33, 34, 92, 107,
    78, 130, 84, 214, 101, 147, 206, 96, 178, 28, 115, 86, 192, 20, 167, 140, 241, 220, 18, 117,
    202, 31, 59, 190, 228, 209, 66, 61, 212, 48, 163, 60, 182, 38, 111, 191, 14, 218, 70, 105, 7,
    87, 39, 242, 29, 155, 188, 148, 67, 3, 248, 17, 199, 246, 144, 239, 62, 231, 6, 195, 213, 47,
    200, 102, 30, 215, 8, 232, 234, 222, 128, 82, 238, 247, 132, 170, 114, 172, 53, 77, 106, 42,
    150, 26, 210, 113, 90, 21, 73, 116, 75, 159, 208, 94, 4, 24, 164, 236, 194, 224, 65, 110, 15,
    81, 203, 204, 36, 145, 175, 80, 161, 244, 112, 57, 153, 124, 58, 133, 35, 184, 180, 122, 252,
    2, 54, 91, 37, 85, 151, 49, 45, 93, 250, 152, 227, 138, 146, 174, 5, 223, 41, 16, 103, 108,
    186, 201, 211, 0, 230, 207, 225, 158, 168, 44, 99, 22, 1, 63, 88, 226, 137, 169, 13, 56, 52,
    27, 171, 51, 255, 176, 187, 72, 12, 95, 185, 177, 205, 46, 197, 243, 219, 71, 229, 165, 156,
    119, 10, 166, 32, 104, 254, 127, 193, 173,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha1_of_known_texts() {
        let hex = |text: &[u8]| crate::crypto::hex(&sha1(text));
        assert_eq!(hex(b""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(hex(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(
            hex(b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1"
        );
        assert_eq!(hex(&[b'a'; 64]), "0098ba824b5c16427bd7a1122a5a442a25ec644d");
    }

    #[test]
    fn des_of_a_known_block() {
        let keys = des_subkeys(0x1334_5779_9bbc_dff1);
        assert_eq!(des(0x0123_4567_89ab_cdef, keys.iter()), 0x85e8_1354_0f0a_b405);
        assert_eq!(des(0x85e8_1354_0f0a_b405, keys.iter().rev()), 0x0123_4567_89ab_cdef);
    }

    #[test]
    fn a_wrong_padding_or_length_is_no_text() {
        for data in [&b""[..], b"seven b", &[0; 8], &[0; 12]] {
            assert_eq!(decrypt_rc2_40(&[0; 5], &[0; 8], data), None);
            assert_eq!(decrypt_3des(&[0; 24], &[0; 8], data), None);
        }
        assert_eq!(decrypt_3des(&[0; 23], &[0; 8], &[0; 8]), None);
    }
}
