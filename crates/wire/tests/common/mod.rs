//! The golden messages: a made-up stream of every record type and layout version, with broken inputs among them, and
//! single blocks as a shipped client decodes them.

#![allow(clippy::unwrap_used, dead_code)]

use flate2::read::GzDecoder;
use std::io::Read;
use wire::message::{self, Message};

/// 1752 framed messages back to back, 1748 of them event data.
pub(crate) fn stream() -> Vec<u8> {
    unpacked(include_bytes!("../data/stream.bin.gz"))
}

/// 510 blocks, a JSON line each: series, type, profile, hex, and the numbers the client prints.
pub(crate) fn blocks() -> Vec<u8> {
    unpacked(include_bytes!("../data/blocks.jsonl.gz"))
}

/// The messages of a stream.
pub(crate) fn messages(stream: &[u8]) -> Vec<Message<'_>> {
    let mut at = 0;
    let mut next = || {
        let message = message::first(&stream[at..], 1 << 20).unwrap()?;
        at += message.size();
        Some(message)
    };
    let messages = std::iter::from_fn(&mut next).collect();
    assert_eq!(at, stream.len());
    messages
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let hex: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut all).unwrap();
    all
}
