//! Runs the fuzz targets on mutants of their seeds, without instrumentation: on stable Rust and
//! without further crates. `cargo run --release --features fuzzing --example mutants -- SECONDS
//! [TARGET...]`. A panic ends the program, and the input stays in `fuzz/artifacts`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints its results"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs, process};

use sluice::fuzzing::{FuzzTarget, TARGETS};

/// The largest seed, in bytes.
const MAX_SEED: u64 = 1 << 20;

/// A generator of pseudo-random numbers.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

/// Pieces that parsers treat in a special way.
const PIECES: [&[u8]; 12] = [
    b"1e999",
    b"null",
    b"-1",
    b"\"\\ud800\"",
    b"[]",
    b"{}",
    b"\0",
    b"\xff\xff\xff\xff",
    b"9223372036854775808",
    b"NaN",
    b"\n",
    b",",
];

fn mutate(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = seeds[dice.roll(seeds.len())].clone();
    for _ in 0..=dice.roll(6) {
        let at = dice.roll(bytes.len() + 1);
        let end = (at + dice.roll(40)).min(bytes.len());
        match dice.roll(7) {
            0 => drop(bytes.drain(at..end)),
            1 if at < bytes.len() => bytes[at] = dice.roll(256) as u8,
            2 if at < bytes.len() => bytes[at] ^= 1 << dice.roll(8),
            3 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            4 => {
                let other = &seeds[dice.roll(seeds.len())];
                let from = dice.roll(other.len() + 1);
                let piece = other[from..(from + dice.roll(200)).min(other.len())].to_vec();
                bytes.splice(at..end, piece);
            }
            5 => bytes.insert(at, dice.roll(256) as u8),
            _ => drop(bytes.splice(at..end, PIECES[dice.roll(PIECES.len())].iter().copied())),
        }
    }
    bytes
}

/// The seeds of a target, smallest first.
fn seeds(root: &Path, target: &FuzzTarget) -> Vec<Vec<u8>> {
    let mut todo: Vec<PathBuf> = target.seeds.iter().map(|seed| root.join(seed)).collect();
    let mut found = vec![Vec::new()];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(
                fs::read_dir(&path)
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|entry| entry.path()),
            );
        } else if fs::metadata(&path).is_ok_and(|file| file.len() <= MAX_SEED) {
            found.extend(fs::read(&path));
        }
    }
    found.sort_by_key(|seed| (seed.len(), seed.clone()));
    found
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut args = env::args().skip(1);
    let seconds = args.next().and_then(|text| text.parse().ok()).unwrap_or(60);
    let names: Vec<String> = args.collect();
    let artifacts = root.join("fuzz/artifacts");
    for target in TARGETS {
        if !names.is_empty() && !names.iter().any(|name| name == target.name) {
            continue;
        }
        let seeds = seeds(root, &target);
        let mut dice = Dice(process::id().into());
        let (started, mut n) = (Instant::now(), 0_u64);
        let mut slowest = Duration::ZERO;
        while started.elapsed() < Duration::from_secs(seconds) {
            let input = if (n as usize) < seeds.len() {
                seeds[n as usize].clone()
            } else {
                mutate(&seeds, &mut dice)
            };
            let begun = Instant::now();
            if std::panic::catch_unwind(|| (target.run)(&input)).is_err() {
                fs::create_dir_all(&artifacts).ok();
                let path = artifacts.join(format!("{}-{n}", target.name));
                fs::write(&path, &input).ok();
                eprintln!("{}: a panic on {}", target.name, path.display());
                process::exit(101);
            }
            slowest = slowest.max(begun.elapsed());
            n += 1;
        }
        println!(
            "{:<14} {n} inputs from {} seeds, slowest {:.2} s",
            target.name,
            seeds.len(),
            slowest.as_secs_f64()
        );
    }
}
