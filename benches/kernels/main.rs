//! Benches of five kernels: scores, scan of a column, index of users, table of sums, decisions.
//! `scripts/bench` runs them and compares the results with `benches/record.json`.
//!
//! `cargo bench --bench kernels -- NAME`. A name has the kernel, the size and the selectivity.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot read its own files has failed"
)]

mod decide;
mod replay;
mod scan;
mod score;

use criterion::Criterion;
use std::time::Duration;

/// Numbers that look random, the same in every run: SplitMix64.
pub(crate) fn random(n: usize) -> Vec<u64> {
    (1..=n as u64)
        .map(|idx| {
            let mut word = idx.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^ (word >> 31)
        })
        .collect()
}

/// A share in 0..1 from a random number.
pub(crate) fn share(word: u64) -> f64 {
    (word >> 11) as f64 / (1_u64 << 53) as f64
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_500))
        .without_plots()
        .configure_from_args();
    score::benches(&mut criterion);
    scan::benches(&mut criterion);
    replay::benches(&mut criterion);
    decide::benches(&mut criterion);
    criterion.final_summary();
}
