//! Lines that are published.

use outputs::{Format, Json, Resolved};
use publish::{Defaults, Lines, MAX_LINE, parse};
use std::sync::OnceLock;
use wire::decode::Decoder;

/// Whatever lines come: each is a record or an error that says why. A record can be decoded and is in proportion to its
/// line; where it agrees with its layout, what is printed of it is read again, and prints the same.
pub fn record_json(data: &[u8]) {
    static FORMAT: OnceLock<Json> = OnceLock::new();
    let format = FORMAT.get_or_init(Json::new);
    let mut lines = Lines::new();
    let mut numbers = 0;
    let mut take = |number, line: Result<&[u8], _>| {
        numbers += 1;
        assert_eq!(number, numbers, "lines come in their order");
        if let Ok(line) = line {
            published(line, format);
        }
        Ok::<(), ()>(())
    };
    assert!(lines.push(data, &mut take).is_ok() && lines.finish(&mut take).is_ok(), "nobody refused a line");
}

fn published(line: &[u8], format: &Json) {
    assert!(line.len() <= MAX_LINE);
    let read = match parse(line, &Defaults { device: Some(1), time: Some((2, 3)) }) {
        Ok(read) => read,
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty() && text.len() < 64 << 10, "an error can be read: {} bytes", text.len());
            return;
        }
    };
    let mut decoder = Decoder::new();
    let record = decoder.decode(&read.record).expect("a record has a header");
    assert_eq!(record.record_type(), read.record_type);
    let Some(first) = print(&record, format) else { return };
    let again = match parse(first.as_bytes(), &Defaults::default()) {
        Ok(again) => again,
        Err(error) => panic!("{error}: {first}"),
    };
    let record = decoder.decode(&again.record).expect("a record has a header");
    assert_eq!(print(&record, format).as_deref(), Some(first.as_str()), "what is printed is read as it was");
}

/// The line of a record that agrees with its layout and is not larger than a line may be.
fn print(record: &wire::decode::Record<'_>, format: &Json) -> Option<String> {
    if record.problem().is_some() {
        return None;
    }
    let mut out = Vec::new();
    format.format(&Resolved { record, computed: &[] }, &mut out);
    let text = String::from_utf8(out).expect("a line is ASCII");
    (text.len() <= MAX_LINE).then_some(text)
}
