//! Decoding and printing a typical connection event (record 71, block 174) with 25 resolved names, in the formats that
//! matter. Compare them with JSON in one run.
#![allow(clippy::expect_used, missing_docs)] // A benchmark may fail loudly.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use outputs::{Computed, Dialect, Options, Resolved, by_name};
use std::hint::black_box;
use wire::decode::Decoder;
use wire::event::{Event, Value};
use wire::layout::Kind;

const NAMES: [(&str, &str); 25] = [
    ("recordTypeCategory", "RNA"),
    ("recordTypeDescription", "Connection Statistics"),
    ("ingressSecurityZone", "inside"),
    ("egressSecurityZone", "outside"),
    ("ingressInterface", "GigabitEthernet0/0"),
    ("egressInterface", "GigabitEthernet0/1"),
    ("firewallPolicy", "Branch office policy"),
    ("firewallRule", "Allow web browsing"),
    ("firewallRuleAction", "Allow"),
    ("firewallRuleReason", "N/A"),
    ("transportProtocol", "TCP"),
    ("applicationProtocol", "HTTPS"),
    ("clientApplication", "SSL client"),
    ("webApplication", "Office 365"),
    ("urlCategory", "Computers and Internet"),
    ("urlReputation", "Favorable"),
    ("sourceIpCountry", "united states"),
    ("destinationIpCountry", "germany"),
    ("sslFlowStatus", "Success"),
    ("sslVersion", "TLSv1.2"),
    ("sslCipherSuite", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    ("sslExpectedAction", "Decrypt (Resign)"),
    ("sensor", "ftd-branch-1"),
    ("eventDescription", "Flow Statistics"),
    ("eventDateTime", "2024-04-24T22:15:30.000123"),
];

/// A connection as devices send them: addresses, zones and counters filled in, most texts empty.
fn connection() -> Vec<u8> {
    let texts = [
        ("clientUrl", "https://outlook.office365.com/owa/service.svc?action=FindItem"),
        ("sslServerName", "outlook.office365.com"),
        ("clientApplicationVersion", "17.0"),
        ("userAgent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"),
        ("dnsQuery", "outlook.office365.com"),
    ];
    let mut event = Event::new(71).expect("record 71 is known");
    let header = event.discovery_mut().expect("it has a discovery header");
    header.set("hasIpv6", 1u8).and_then(|h| h.set("eventSecond", 1_714_000_787u32)).expect("fields of the header");
    header.set("ipv6Address", *b"\0\0\0\0\0\0\0\0\0\0\xff\xff\xac\x10\x05\x04").expect("a field of the header");
    let layout = event.main().layout();
    for (i, field) in layout.fields.iter().enumerate() {
        let octet = |j: usize| (i * 37 + j * 11) as u8;
        let value = match field.kind {
            Kind::Uint => Value::Uint([3, 443, 70_123, 123_456_789][i % 4] >> (32 - 8 * u32::from(field.fixed.min(4)))),
            Kind::Ipv6 => Value::Octets([&[0; 10][..], &[0xff; 2], &[192, 168, octet(0), octet(1)]].concat()),
            Kind::Hex | Kind::Uuid => Value::Octets((0..field.fixed.into()).map(octet).collect()),
            _ => Value::Unset,
        };
        event.main_mut().set_at(i, value);
    }
    for (name, text) in texts {
        event.set(name, text).expect("a field of the block");
    }
    let mut bytes = Vec::new();
    event.encode(Some(1_714_000_800), &mut bytes);
    bytes
}

fn formats(c: &mut Criterion) {
    let item = connection();
    // In the order of a resolver: category and description, the names of the event, its time.
    let (head, tail) = (&NAMES[..2], &NAMES[24..]);
    let text = |name: &str| NAMES.iter().find(|(n, _)| *n == name).map(|(_, text)| *text);
    let named = wire::resolution::names_of(71).iter().filter_map(|n| Some((n.name, text(n.name)?)));
    let all = head.iter().copied().chain(named).chain(tail.iter().copied());
    let computed: Vec<_> = all.map(|(name, text)| (name, Computed::Text(text.into()))).collect();
    assert_eq!(computed.len(), NAMES.len(), "all of them are names of this event");
    let mut decoder = Decoder::new();
    let mut out = Vec::new();
    let mut group = c.benchmark_group("connection event");
    group.throughput(Throughput::Elements(1));
    group.bench_function("decode", |b| {
        b.iter(|| decoder.decode(black_box(&item)).map(|r| r.main().read()));
    });
    let mut sizes = Vec::new();
    for (name, dialect) in [
        ("json", Dialect::Standard),
        ("splunk", Dialect::Encore5),
        ("splunk", Dialect::Standard),
        ("cef", Dialect::Encore5),
        ("cef", Dialect::Standard),
        ("leef", Dialect::Standard),
    ] {
        let format = by_name(name, dialect, &Options::default()).expect("a known format");
        group.bench_function(format!("decode and print {name} {dialect}"), |b| {
            b.iter(|| {
                let record = decoder.decode(black_box(&item)).expect("a good record");
                out.clear();
                format.format(&Resolved { record: &record, computed: &computed }, &mut out);
                out.len()
            });
        });
        sizes.push(format!("{name} {dialect} {}", out.len()));
    }
    group.finish();
    println!("{} bytes on the wire, bytes printed: {}", item.len(), sizes.join(", "));
}

criterion_group!(benches, formats);
criterion_main!(benches);
