//! Runs every fuzz target over its corpus, and over many small damages of it, without a fuzzer.

use rustor_core::rng::{Purpose, Rng, Seed};
use rustor_fuzz::TARGETS;
use std::{fs, path::Path};

/// How many damaged copies of each file are tried.
const DAMAGES: u64 = 300;

#[test]
fn every_target_survives_its_corpus_and_damaged_copies_of_it() {
    for (name, body) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "no corpus for {name}");
        let files: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
        for (number, (path, file)) in paths.iter().zip(&files).enumerate() {
            println!("{}", path.display());
            body(file);
            let mut rng = Rng::new(Seed::from_u64(2)).fork(Purpose::Simulation, number as u64);
            for _ in 0..DAMAGES {
                let other = &files[rng.below(files.len() as u64) as usize];
                body(&damage(file, other, &mut rng));
            }
        }
    }
}

/// `file` with up to four bytes changed, cut out, doubled or exchanged for a part of `other`.
fn damage(file: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut data = file.to_vec();
    for _ in 0..=rng.below(4) {
        let at = rng.below(data.len() as u64 + 1) as usize;
        let end = at + rng.below((data.len() - at) as u64 + 1).min(rng.below(32)) as usize;
        match rng.below(6) {
            0 => data.truncate(at),
            1 => drop(data.drain(at..end)),
            2 => drop(data.splice(at..at, data[at..end].to_vec())),
            3 => {
                let from = rng.below(other.len() as u64 + 1) as usize;
                let to = from + rng.below((other.len() - from) as u64 + 1) as usize;
                data.splice(at..end, other[from..to].iter().copied());
            }
            4 => data.insert(at, b"0123456789:-ilde"[rng.below(16) as usize]),
            _ => {
                if let Some(byte) = data.get_mut(at) {
                    *byte ^= 1 << rng.below(8);
                }
            }
        }
    }
    data
}
