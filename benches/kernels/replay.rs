//! Finding users by hash, and adding to sums by key.

use crate::random;
use criterion::{Criterion, Throughput};
use sluice::kernels::{KeyedSums, UserIndex};
use std::hint::black_box;

const N_ROWS: usize = 1 << 20;
/// The sums of a row. The cube of the case study has about as many.
const WIDTH: usize = 32;

pub(crate) fn benches(criterion: &mut Criterion) {
    let words = random(2 * N_ROWS);
    let mut group = criterion.benchmark_group("index");
    group.throughput(Throughput::Elements(N_ROWS as u64));
    for (n_users, name) in [(1 << 16, "64k"), (N_ROWS, "1M")] {
        let mut index = UserIndex::new(&words[..n_users]);
        for percent in [100, 10] {
            // Rows of known users, in another order than theirs, and of strangers.
            let rows: Vec<u64> = (0..N_ROWS)
                .map(|row| match words[row] % 100 {
                    part if part < percent => words[(words[row] >> 32) as usize % n_users],
                    _ => words[N_ROWS + row],
                })
                .collect();
            group.bench_function(
                format!("1M_rows_{name}_users_{percent}_percent_known"),
                |bencher| {
                    bencher.iter(|| index.n_found(black_box(&rows)));
                },
            );
        }
    }
    group.finish();

    let mut group = criterion.benchmark_group("sums");
    group.throughput(Throughput::Elements(N_ROWS as u64));
    for (n_keys, name) in [(1_000, "1k"), (100_000, "100k")] {
        let keys: Vec<u64> = words[..N_ROWS].iter().map(|word| (word >> 32) % n_keys).collect();
        let mut sums = KeyedSums::<WIDTH>::default();
        group.bench_function(format!("1M_rows_{name}_keys_{WIDTH}_sums"), |bencher| {
            bencher.iter(|| sums.add(black_box(&keys), black_box(&[1; WIDTH])));
        });
    }
    group.finish();
}
