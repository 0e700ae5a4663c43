//! A worker's part: a batch is decoded, resolved and formatted.

use crate::filter::Filter;
use crate::intake::Batch;
use crate::resolve::{Item, Resolver};
use crate::select::Selection;
use crate::stats::Stats;
use crate::uid;
use crossbeam_channel::Receiver;
use outputs::{Computed, Format, Resolved};
use std::borrow::Cow;
use std::sync::Arc;
use wire::decode::Decoder;
use wire::resolution::Naming;

/// What every worker works with.
pub struct Plan {
    /// One for each destination.
    pub formats: Vec<Lines>,
    /// Which records are written.
    pub selection: Selection,
    /// Which of them, by what they say.
    pub filter: Option<Filter>,
    /// Where batches come from, by their source.
    pub origins: Vec<Origin>,
    /// Events are given ids.
    pub uids: bool,
}

/// A source of batches.
#[derive(Debug)]
pub struct Origin {
    /// The counters.
    pub stats: Arc<Stats>,
    /// What the source is called in events; nothing when there is only one and it has no name.
    pub name: Option<String>,
    /// What makes the ids of its events different from those of others.
    pub identity: String,
    /// Other sources have the same events: the archival timestamp, which each gives on its own, is no part of them.
    pub twin: bool,
}

/// How the lines of a destination are made.
pub struct Lines {
    /// Makes a line of a record.
    pub format: Box<dyn Format>,
    /// Which records it gets; all when there is none.
    pub filter: Option<Filter>,
    /// Whose names it prints.
    pub naming: Naming,
}

/// Lines without line ends inside, for receivers that take each for a line: eNcore's CEF prints them as they are.
pub struct SingleLine(pub Box<dyn Format>);

impl Format for SingleLine {
    fn format(&self, event: &Resolved<'_>, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let printed = self.0.format(event, out);
        if let Some((_, line)) = out.get_mut(start..).and_then(<[u8]>::split_last_mut) {
            line.iter_mut().filter(|b| **b == b'\n').for_each(|b| *b = b' ');
        }
        printed
    }

    fn header(&self, out: &mut Vec<u8>) -> bool {
        self.0.header(out)
    }
}

/// A batch as the destinations want it.
#[derive(Debug, Default)]
pub struct Formatted {
    /// Number of its source.
    pub source: usize,
    /// Number of the batch.
    pub sequence: u64,
    /// One for each destination.
    pub chunks: Vec<Chunk>,
    /// What the batch held.
    pub records: Vec<Done>,
    /// The metadata in it: what it names, and the record.
    pub metadata: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The lines for one destination.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Whole lines.
    pub bytes: Vec<u8>,
    /// Where the line of each record ends in `bytes`; the same as the one before when it has none.
    pub ends: Vec<usize>,
}

/// A record of a formatted batch.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    /// Archival second and hash, for the checkpoint.
    pub position: Option<(u32, u64)>,
    /// Hash of the content, the same whichever member of a set sends it; 0 for other sources.
    pub content: u64,
    /// How many metadata records of the batch are done once this one is.
    pub metadata: usize,
    /// The configuration does not want it written.
    pub filtered: bool,
}

/// A worker.
pub struct Worker {
    plan: Arc<Plan>,
    decoder: Decoder,
    /// One for each way of naming, ours first.
    resolvers: [(Naming, Resolver); 3],
    /// Buffers that delivery is done with: fresh megabytes for every batch cost more than formatting it.
    spare: Receiver<Vec<u8>>,
}

impl Worker {
    /// A worker; `spare` brings back buffers it filled.
    pub fn new(plan: Arc<Plan>, spare: Receiver<Vec<u8>>) -> Self {
        Worker {
            plan,
            decoder: Decoder::new(),
            resolvers: [Naming::Ours, Naming::Encore5, Naming::Encore3].map(|n| (n, Resolver::with(n))),
            spare,
        }
    }

    /// Decodes, resolves and formats.
    pub fn run(&mut self, batch: &Batch) -> Formatted {
        let mut out = Formatted { source: batch.source, sequence: batch.sequence, ..Formatted::default() };
        let plan = Arc::clone(&self.plan);
        let Some(origin) = plan.origins.get(batch.source) else { return out };
        out.records.reserve(batch.entries.len());
        out.chunks.resize_with(plan.formats.len(), Chunk::default);
        for chunk in &mut out.chunks {
            chunk.bytes = self.spare.try_recv().unwrap_or_default();
            // JSON is five times the size of an event; a giant record (a packet) is not worth a giant guess.
            chunk.bytes.reserve((batch.data.len() * 6).min(2 << 20));
            chunk.ends.reserve(batch.entries.len());
        }
        let mut start = 0;
        // The names of each resolver.
        let mut lists: [Vec<Item<'_>>; 3] = [const { Vec::new() }; 3];
        let uses = |naming: Naming| plan.formats.iter().any(|lines| lines.naming == naming);
        // Filters see all names.
        let filters = plan.filter.is_some() || plan.formats.iter().any(|lines| lines.filter.is_some());
        let used = self.resolvers.each_ref().map(|(naming, _)| uses(*naming) || filters && *naming == Naming::Ours);
        for entry in &batch.entries {
            let item = batch.data.get(start..entry.end).unwrap_or_default();
            start = entry.end;
            let metadata =
                entry.position.is_none() && wire::layout::record(entry.record_type).is_some_and(|r| r.metadata);
            let mut wanted = plan.selection.writes(entry.record_type);
            if wanted || metadata {
                // The intake has parsed the header: decoding cannot fail any more.
                if let Ok(record) = self.decoder.decode(item) {
                    if metadata {
                        out.metadata.push((record.metadata_key().unwrap_or_default(), item.to_vec()));
                    }
                    if wanted {
                        for (((naming, resolver), names), _) in
                            self.resolvers.iter_mut().zip(&mut lists).zip(used).filter(|(_, used)| *used)
                        {
                            resolver.resolve(&record, &batch.tables, names);
                            if *naming != Naming::Ours {
                                continue;
                            }
                            if let Some(name) = &origin.name {
                                names.push(("managementCenter", Computed::Text(Cow::Borrowed(name))));
                            }
                            if plan.uids && !metadata {
                                names.push(("eventUid", Computed::Text(Cow::Owned(uid::uid(origin, entry, item)))));
                            }
                        }
                        let passes =
                            |filter: &Option<Filter>| filter.as_ref().is_none_or(|f| f.accepts(&record, &lists[0]));
                        wanted = passes(&plan.filter);
                        for (lines, chunk) in plan.formats.iter().zip(&mut out.chunks) {
                            if wanted && passes(&lines.filter) {
                                let named = self.resolvers.iter().zip(&lists).find(|((n, _), _)| *n == lines.naming);
                                let computed = named.map_or(&[][..], |(_, names)| names);
                                lines.format.format(&Resolved { record: &record, computed }, &mut chunk.bytes);
                            }
                        }
                        if wanted && record.problem().is_some() {
                            damaged(&origin.stats, &record);
                        } else if wanted && record.opaque() {
                            origin.stats.opaque.add(1);
                        }
                    }
                }
            }
            for chunk in &mut out.chunks {
                chunk.ends.push(chunk.bytes.len());
            }
            out.records.push(Done {
                position: entry.position,
                content: if origin.twin { uid::content(item) } else { 0 },
                metadata: out.metadata.len(),
                filtered: !wanted,
            });
            // The names borrow the record: they end with it.
            lists = lists.map(reuse);
        }
        out
    }
}

/// Empties a list so that it can hold what lives shorter or longer; the allocation stays.
fn reuse<'a>(mut names: Vec<Item<'_>>) -> Vec<Item<'a>> {
    names.clear();
    names.into_iter().map(|_| ("", outputs::Computed::Null)).collect()
}

#[cold]
fn damaged(stats: &Stats, record: &wire::decode::Record<'_>) {
    stats.damaged.add(1);
    // The first of them in full, later ones only as often as their number doubles: a broken stream must not fill the disk.
    let count = stats.damaged.value();
    if count.is_power_of_two()
        && let Some(problem) = record.problem()
    {
        tracing::warn!("{problem}. What could be read is written ({count} such records so far)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::Entry;
    use crate::tables::Tables;
    use outputs::Json;
    use wire::event::Event;

    #[test]
    fn filters_decide_for_all_destinations_and_for_each() {
        let filter = |text: &str| Some(Filter::parse(text).unwrap());
        let lines = |filter| Lines { format: Box::new(Json::new()), filter, naming: Naming::Ours };
        let plan = Plan {
            formats: vec![lines(None), lines(filter("class == security-intelligence"))],
            selection: Selection::default(),
            filter: filter("destinationPort != 53"),
            origins: vec![Origin {
                stats: Arc::default(),
                name: Some("dc-1".into()),
                identity: "dc-1".into(),
                twin: false,
            }],
            uids: true,
        };
        let (_, spare) = crossbeam_channel::bounded(1);
        let mut batch = Batch {
            source: 0,
            sequence: 0,
            data: Vec::new(),
            entries: Vec::new(),
            tables: Arc::new(Tables::built_in()),
        };
        for (port, layer) in [(53, 1), (80, 0), (443, 1)] {
            let mut event = Event::new(71).unwrap();
            event.set("responderPort", port as u16).unwrap().set("securityIntelligenceLayer", layer as u8).unwrap();
            event.encode(Some(5), &mut batch.data);
            batch.entries.push(Entry { end: batch.data.len(), record_type: 71, position: Some((5, 0)), repeat: 0 });
        }
        let out = Worker::new(Arc::new(plan), spare).run(&batch);
        let filtered: Vec<bool> = out.records.iter().map(|r| r.filtered).collect();
        assert_eq!(filtered, [true, false, false]);
        let counts: Vec<usize> = out.chunks.iter().map(|c| c.bytes.iter().filter(|b| **b == b'\n').count()).collect();
        assert_eq!(counts, [2, 1]);
        let line = String::from_utf8_lossy(&out.chunks[1].bytes);
        assert!(line.contains("443") && line.contains("\"managementCenter\": \"dc-1\", \"eventUid\": \""), "{line}");
    }
}
