//! No record, however damaged, makes an output fail or write what it must not.
#![allow(clippy::unwrap_used, clippy::panic)]

use client::alert::Alerts;
use client::csv::Csv;
use client::pcap::{Format, Pcap};
use client::print::{Print, push_host, push_record};
use client::{Output, hosts};
use proptest::prelude::*;
use std::io;
use std::time::Duration;
use wire::decode::Decoder;
use wire::message::MessageType;

/// A record with right lengths and any content.
fn item(record: u16, body: &[u8]) -> Vec<u8> {
    [&u32::from(record).to_be_bytes()[..], &(body.len() as u32).to_be_bytes(), body].concat()
}

fn known() -> impl Strategy<Value = u16> {
    let types: Vec<u16> = wire::layout::records().iter().map(|r| r.record_type).collect();
    prop::sample::select(types)
}

/// Bytes of which many are 0, so that lengths are often small.
fn body() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![3 => Just(0), 2 => 0u8..40, 1 => any::<u8>()], 0..400)
}

proptest! {
    #[test]
    fn outputs_take_any_record(record in known(), body in body()) {
        let item = item(record, &body);
        let mut decoder = Decoder::new();
        let Ok(record) = decoder.decode(&item) else { return Ok(()) };
        let mut text = String::new();
        push_record(&record, &mut text);
        prop_assert!(text.starts_with("*************\nversion: 1\n") && text.ends_with("*************\n\n"));
        prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{:?}", text);
        prop_assert!(Print::new(io::sink(), "sink").record(&record).unwrap());
        Csv::new(io::sink(), "sink").unwrap().record(&record).unwrap();
        let (_, alerts) = Alerts::new(Duration::ZERO).take(&record);
        for alert in alerts {
            prop_assert!(alert.message.len() <= 255 && !alert.message.chars().any(char::is_control));
        }
        let mut pcap = Pcap::stream(Box::new(io::sink()), "sink", Format::Pcapng);
        pcap.record(&record).unwrap();
        pcap.finish().unwrap();
    }

    #[test]
    fn hosts_of_any_bytes_are_printed(number in prop::sample::select(vec![34u32, 47, 92, 111, 140, 149, 77]), body in body()) {
        let block = [&number.to_be_bytes()[..], &(body.len() as u32 + 8).to_be_bytes(), &body].concat();
        let mut decoder = Decoder::new();
        let mut text = String::new();
        push_host(MessageType::SINGLE_HOST_DATA, decoder.decode_block(1, &block), &mut text);
        prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{:?}", text);
    }

    #[test]
    fn lists_of_hosts(text in "[0-9a-f.:/,\\- \\[\\]]{0,60}") {
        let _ = hosts::parse(&text);
    }
}
