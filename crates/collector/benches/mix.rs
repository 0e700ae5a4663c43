//! Decode, resolve and each format of a realistic mix, one core, wall-clock time.
//!
//! `cargo bench -p estreamer-collector --bench mix`

#![allow(missing_docs, unreachable_pub, clippy::expect_used)]

mod sample;

use collector::resolve::Resolver;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use outputs::{Dialect, Format, Json, Options, Resolved, by_name};
use wire::decode::Decoder;

fn mix(c: &mut Criterion) {
    let sample = sample::sample();
    let format = Json::new();
    let mut decoder = Decoder::new();
    let mut out = Vec::new();
    let mut group = c.benchmark_group("80 % connection, 15 % intrusion, 5 % file");
    group.throughput(Throughput::Elements(sample.items.len() as u64));
    group.bench_function("decode", |b| {
        b.iter(|| sample.items.iter().filter(|i| decoder.decode(i).is_ok_and(|r| r.problem().is_none())).count());
    });
    group.bench_function("decode and JSON", |b| {
        b.iter(|| {
            out.clear();
            for item in &sample.items {
                let record = decoder.decode(item).expect("own events");
                format.format(&Resolved { record: &record, computed: &[] }, &mut out);
            }
            out.len()
        });
    });
    for (name, dialect) in [
        ("json", Dialect::Standard),
        ("json", Dialect::Encore5),
        ("splunk", Dialect::Standard),
        ("splunk", Dialect::Encore5),
        ("cef", Dialect::Standard),
        ("cef", Dialect::Encore5),
        ("ecs", Dialect::Standard),
        ("ocsf", Dialect::Standard),
    ] {
        let format = by_name(name, dialect, &Options::default()).expect("it exists");
        let mut resolver = Resolver::with(dialect.naming());
        group.bench_function(format!("decode, resolve and {name} {dialect}"), |b| {
            b.iter(|| {
                out.clear();
                for item in &sample.items {
                    let record = decoder.decode(item).expect("own events");
                    let mut names = Vec::with_capacity(64);
                    resolver.resolve(&record, &sample.tables, &mut names);
                    format.format(&Resolved { record: &record, computed: &names }, &mut out);
                }
                out.len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, mix);
criterion_main!(benches);
