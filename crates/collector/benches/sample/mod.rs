//! The mix both benchmarks work on: 80 % connection, 15 % intrusion, 5 % file and malware events of a simulated
//! enterprise, with the metadata that names what is in them.

use collector::tables::Tables;
use sensors::simulator::{Generated, Simulator};
use wire::decode::Decoder;

/// Events and their names.
pub struct Sample {
    /// Event data, record header and all.
    pub items: Vec<Vec<u8>>,
    /// All metadata.
    pub tables: Tables,
}

/// A thousand events in the order a stream would have them.
pub fn sample() -> Sample {
    let mut simulator = Simulator::new(7).expect("the simulator's own schema");
    let mut tables = Tables::built_in();
    let mut decoder = Decoder::new();
    for metadata in simulator.catalog() {
        let record = decoder.decode(metadata.item.get(8..).unwrap_or_default()).expect("own metadata");
        tables.store(&record);
    }
    let mut wanted = [(vec![71u16], 800), (vec![400], 150), (vec![500, 502, 125], 50)];
    let mut items = Vec::new();
    let mut generated = Generated::new();
    for step in 0.. {
        if wanted.iter().all(|(_, n)| *n == 0) {
            break;
        }
        generated.clear();
        simulator.step(step, 1_700_000_000 + step as u32 / 100, 0, &mut generated).expect("own events");
        for item in generated.items() {
            let item = item.get(8..).unwrap_or_default();
            let kind = wire::record::record_type(item);
            if let Some((_, left)) = wanted.iter_mut().find(|(types, left)| types.contains(&kind) && *left > 0) {
                *left -= 1;
                items.push(item.to_vec());
            }
        }
    }
    Sample { items, tables }
}
