//! What feeds an archive: Snort unified2 spools, Suricata's eve.json, captured streams and a simulator.

mod duty;
pub mod eve;
pub mod feed;
mod impact;
pub mod maps;
pub mod record;
pub mod replay;
pub mod simulate;
pub mod simulator;
pub mod snort;
pub mod unified2;

pub use duty::{About, Registry};
