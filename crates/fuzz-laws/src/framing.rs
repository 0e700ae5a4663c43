//! Byte streams cut into messages, bundles cut into items.

use wire::message::{self, Bundle, HEADER, Items};

/// Longest body taken here: small enough that mutations reach it.
const LIMIT: u32 = 1 << 16;

/// Messages and bundle items lie back to back and cover their bytes; more bytes never change what was there already.
pub fn framing(data: &[u8]) {
    stream(data);
    if let Ok(bundle) = Bundle::parse(data) {
        items(bundle.items, data.len() - 8);
    } else {
        assert!(data.len() < 8, "a bundle of {} bytes has its numbers", data.len());
    }
    items(Items::new(data), data.len());
}

fn stream(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some(found)) = message::first(rest, LIMIT) {
        assert!(found.size() >= HEADER && found.size() <= rest.len());
        assert_eq!(message::announced(rest), Some(found.size()));
        let (taken, left) = rest.split_at(found.size());
        let mut again = Vec::new();
        message::push(&mut again, found.kind, found.body);
        assert_eq!(again, taken, "what is written is what was read");
        for cut in [0, 1, 2, 7, 8, taken.len() / 2, taken.len() - 1] {
            let prefix = taken.get(..cut.min(taken.len() - 1)).unwrap_or_default();
            assert_eq!(message::first(prefix, LIMIT), Ok(None), "a piece of a message is no message");
        }
        rest = left;
    }
    // What stops the stream is there as soon as the header is, and stays.
    let end = message::first(rest, LIMIT);
    for cut in 0..rest.len().min(2 * HEADER) {
        match message::first(rest.get(..cut).unwrap_or_default(), LIMIT) {
            Ok(None) => assert!(cut < HEADER || end == Ok(None), "an error is seen with the header"),
            other => assert_eq!(other, end),
        }
    }
}

fn items(mut items: Items<'_>, length: usize) {
    let mut covered = 0;
    while let Some(item) = items.next() {
        match item {
            Ok(item) => covered += 8 + item.body.len(),
            Err(short) => {
                assert!(short.needed > short.left, "{short}");
                assert!(items.next().is_none(), "nothing follows an item that is cut");
                assert!(covered < length);
                return;
            }
        }
    }
    assert_eq!(covered, length, "items cover their bytes");
}
