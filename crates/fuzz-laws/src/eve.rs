//! Suricata's lines.

use sensors::eve::{Bounds, Identity, Mapper, Output};
use wire::decode::Decoder;

/// A minute passes between two lines, so that flows get old as well as many.
const MINUTE: u64 = 60;

/// Every line is counted once, whatever is in it; what it becomes are records that agree with their layouts; no more is
/// kept of flows than was agreed; and at the end no line waits.
pub fn eve(data: &[u8]) {
    let identity =
        Identity { device_id: 7, device_name: "ids".to_owned(), netmap: 1, domain: None, zone: Some("in".to_owned()) };
    let bounds = Bounds { flows: 3, bytes: 100_000, age: 10 * MINUTE };
    let mut mapper = Mapper::new(identity, bounds).expect("the tables can be read");
    let mut out = Output::default();
    let mut decoder = Decoder::new();
    let (mut lines, mut bad, mut now) = (0, 0, 1_700_000_000);
    for line in data.split(|byte| *byte == b'\n') {
        let reason = mapper.line(line, now, &mut out).expect("the schema has all that lines become");
        lines += 1;
        bad += u64::from(reason.is_some());
        now += MINUTE;
        assert!(mapper.waiting() <= bounds.flows);
        whole(&mut decoder, &mut out);
    }
    assert!(mapper.tally().adds_up(), "each line is somewhere:\n{}", mapper.tally());
    assert_eq!((mapper.tally().lines(), mapper.tally().bad()), (lines, bad));
    mapper.finish(&mut out).expect("the schema has all that flows become");
    whole(&mut decoder, &mut out);
    let waiting: u64 = mapper.tally().rows().values().map(|row| row.waiting).sum();
    assert!(mapper.tally().adds_up() && waiting == 0 && mapper.waiting() == 0);
}

/// Every record can be read.
fn whole(decoder: &mut Decoder, out: &mut Output) {
    for event in out.metadata_records().iter().chain(out.events()) {
        let mut bytes = Vec::new();
        event.encode(Some(0), &mut bytes);
        let record = decoder.decode(&bytes).expect("a record");
        assert!(record.problem().is_none() && !record.opaque(), "{:?}", record.problem());
        assert!(record.main().trailing().is_empty());
    }
    out.clear();
}
