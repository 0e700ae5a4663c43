//! Instructions for a realistic mix, counted by callgrind: the same on a busy machine as on an idle one, so a change of
//! a few per cent shows. A thousand events: divide by 1000.
//!
//! Needs valgrind and `cargo install gungraun-runner` in the version of `Cargo.lock`, then
//! `cargo bench -p estreamer-collector --features instructions --bench instructions`

#![allow(missing_docs, unreachable_pub, clippy::expect_used)]

mod sample;

use collector::resolve::Resolver;
use gungraun::{library_benchmark, library_benchmark_group, main};
use outputs::{Format, Json, Resolved};
use sample::{Sample, sample};
use std::hint::black_box;
use wire::decode::Decoder;

/// Everything that is made once and reused in a collector.
struct Ready {
    sample: Sample,
    decoder: Decoder,
    resolver: Resolver,
    format: Json,
    out: Vec<u8>,
}

fn ready() -> Ready {
    let mut ready = Ready {
        sample: sample(),
        decoder: Decoder::new(),
        resolver: Resolver::new(),
        format: Json::new(),
        out: Vec::with_capacity(16 << 20),
    };
    // Tables compiled on first use are not what is measured.
    all(&mut ready);
    ready
}

fn all(r: &mut Ready) -> usize {
    r.out.clear();
    for item in &r.sample.items {
        let record = r.decoder.decode(item).expect("own events");
        let mut names = Vec::with_capacity(64);
        r.resolver.resolve(&record, &r.sample.tables, &mut names);
        r.format.format(&Resolved { record: &record, computed: &names }, &mut r.out);
    }
    r.out.len()
}

#[library_benchmark]
#[bench::mix(ready())]
fn decode(mut r: Ready) -> (usize, Ready) {
    let good = r.sample.items.iter().filter(|i| r.decoder.decode(i).is_ok_and(|d| d.problem().is_none())).count();
    (black_box(good), r)
}

#[library_benchmark]
#[bench::mix(ready())]
fn decode_resolve_json(mut r: Ready) -> (usize, Ready) {
    (black_box(all(&mut r)), r)
}

library_benchmark_group!(name = events, benchmarks = [decode, decode_resolve_json]);
main!(library_benchmark_groups = events);
