//! Maps of archives that tests write.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

mod crash;
mod hosts;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use archive::{Archive, Batch, Clock, Kind, Options, Read, Reader, Start};
use wire::decode::Decoder;
use wire::event::Event;
use wire::message::Items;

use crate::{AtLimit, Came, Map, Mapper, Policy};

/// An archive, a clock, and a place for a map.
pub(super) struct Stand {
    pub(super) dir: tempfile::TempDir,
    pub(super) clock: Arc<AtomicU32>,
    archive: Archive,
    commits: u32,
}

/// A connection event that is to be written.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) port: u16,
    pub(super) protocol: u8,
    pub(super) answers: u64,
    pub(super) application: u32,
    pub(super) client: u32,
    pub(super) second: u32,
}

pub(super) fn flow(from: &'static str, to: &'static str, port: u16) -> Flow {
    Flow { from, to, port, protocol: 6, answers: 5, application: 0, client: 0, second: 500 }
}

impl Flow {
    pub(super) fn event(&self) -> Event {
        let mut event = Event::new(71).unwrap();
        let (from, to): (IpAddr, IpAddr) = (self.from.parse().unwrap(), self.to.parse().unwrap());
        event.set("deviceId", 3u32).unwrap().set("initiatorIpAddress", from).unwrap();
        event.set("responderIpAddress", to).unwrap().set("responderPort", self.port).unwrap();
        event.set("protocol", self.protocol).unwrap().set("lastPacketTimestamp", self.second).unwrap();
        event.set("responderTransmittedPackets", self.answers).unwrap().set("applicationId", self.application).unwrap();
        event.set("clientApplicationId", self.client).unwrap();
        event
    }
}

impl Stand {
    pub(super) fn new() -> Stand {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicU32::new(1000));
        let options = Options { clock: of(&clock), ..Options::default() };
        let (archive, _) = Archive::open(dir.path(), 0, options).unwrap();
        Stand { dir, clock, archive, commits: 0 }
    }

    pub(super) fn map_path(&self) -> PathBuf {
        self.dir.path().join("map.db")
    }

    pub(super) fn mapper(&self, policy: Policy) -> Mapper {
        Mapper::open(self.dir.path(), 0, &self.map_path(), policy, of(&self.clock)).unwrap()
    }

    /// A commit of a source.
    pub(super) fn write(&mut self, source: &str, events: &[Event]) {
        let mut batch = Batch::new();
        for event in events {
            let mut item = Vec::new();
            event.encode_item(Some(0), &mut item);
            batch.push_event(&item).unwrap();
        }
        self.commits += 1;
        if !source.is_empty() {
            batch.set_position(source.as_bytes(), &self.commits.to_be_bytes()).unwrap();
        }
        self.archive.commit(&mut batch).unwrap();
    }

    pub(super) fn flows(&mut self, flows: &[Flow]) {
        let events: Vec<_> = flows.iter().map(Flow::event).collect();
        self.write("eve:3", &events);
    }

    /// Types of the discovery events in the archive, in order.
    pub(super) fn told(&self) -> Vec<u16> {
        self.records().into_iter().map(|(kind, _, _)| kind).filter(|kind| *kind != 71 && *kind != 400).collect()
    }

    /// Type, address and record of every event.
    pub(super) fn records(&self) -> Vec<(u16, String, Vec<u8>)> {
        let mut reader = Reader::open(self.dir.path(), 0, Start::Genesis).unwrap();
        let (mut buf, mut found, mut decoder) = (Vec::new(), Vec::new(), Decoder::new());
        loop {
            match reader.next(&mut buf).unwrap() {
                Read::Batch(info) if info.kind == Kind::Events => {
                    for item in Items::new(&buf) {
                        let body = item.unwrap().body.to_vec();
                        let record = decoder.decode(&body).unwrap();
                        assert_eq!(record.problem(), None);
                        let at = record.discovery().and_then(|d| match d.named("ipv6Address") {
                            Some(wire::decode::Value::Ipv6(at)) => Some(wire::event::address(at).to_string()),
                            _ => None,
                        });
                        found.push((record.record_type(), at.unwrap_or_default(), body.clone()));
                    }
                }
                Read::Batch(_) => {}
                Read::Lost(lost) => panic!("{lost:?}"),
                Read::End => return found,
            }
        }
    }

    pub(super) fn map(&self) -> Map {
        Map::open(&self.map_path(), 0).unwrap().unwrap()
    }

    pub(super) fn set_clock(&self, second: u32) {
        self.clock.store(second, Ordering::Relaxed);
    }
}

fn of(clock: &Arc<AtomicU32>) -> Clock {
    let clock = clock.clone();
    Clock::new(move || clock.load(Ordering::Relaxed))
}

/// Steps until all is read and written.
pub(super) fn drain(mapper: &mut Mapper) {
    while mapper.step().unwrap() != Came::ToTheEnd {}
    mapper.finish().unwrap();
}

pub(super) fn limit(host_limit: u32, at_limit: AtLimit) -> Policy {
    Policy { host_limit, at_limit, ..Policy::default() }
}

/// How often each record type is there.
pub(super) fn counted(types: &[u16]) -> BTreeMap<u16, usize> {
    types.iter().fold(BTreeMap::new(), |mut all, kind| {
        *all.entry(*kind).or_default() += 1;
        all
    })
}
