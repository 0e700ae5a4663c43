//! Every law over its seeds and over mutations of them: what fuzzing does, for a few seconds and always the same.
//!
//! `LAWS_INPUTS` sets how many mutations each law gets. An input that breaks a law is written to a file the message names.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use laws::{LAWS, Law};
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

mod mutation;

use mutation::Mutator;

/// Mutations of a law, unless told otherwise; the slow ones stop earlier, by the clock.
const INPUTS: usize = 4_000;

/// The longest a law goes on with mutations nobody asked for.
const PATIENCE: Duration = Duration::from_secs(1);

fn seeds(law: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(law);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn check(name: &str, law: Law, input: &[u8]) {
    if let Err(panic) = catch_unwind(|| law(input)) {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-broken"));
        fs::write(&file, input).unwrap();
        eprintln!("law {name} is broken by the {} bytes in {}", input.len(), file.display());
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn every_law_holds_for_seeds_and_mutations() {
    let asked = std::env::var("LAWS_INPUTS").ok().map(|n| n.parse::<usize>().expect("LAWS_INPUTS is a number"));
    for (name, law) in LAWS {
        let seeds = seeds(name);
        assert!(seeds.len() > 2, "{name} has seeds");
        let began = Instant::now();
        check(name, law, &[]);
        for seed in &seeds {
            check(name, law, seed);
        }
        let mut mutator = Mutator::new(&seeds);
        let mut mutations = 0;
        while mutations < asked.unwrap_or(INPUTS) && (asked.is_some() || began.elapsed() < PATIENCE) {
            check(name, law, &mutator.next());
            mutations += 1;
        }
        println!("{name}: {} seeds and {mutations} mutations in {:.1?}", seeds.len(), began.elapsed());
    }
}
