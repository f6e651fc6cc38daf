//! Bootstraps a ratio, over rows and over clusters of rows. Prints CPU and wall seconds as JSON.
//! `bootstrap.py` runs it next to the same work in numpy.

#![expect(clippy::print_stdout, reason = "what it measures is what it is for")]

use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sluice::stats::Clusters;
use sluice::stats::bootstrap::{BootstrapMethod, REPLICATES, Statistic, percentile, resample};

const N_ROWS: usize = 1_000_000;
const N_GROUPS: usize = 370;

fn main() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let y: Vec<f64> = (0..N_ROWS).map(|_| 1.0 + rng.random::<f64>() * 9.0).collect();
    let x: Vec<f64> = y.iter().map(|y| y * rng.random::<f64>()).collect();
    let group: Vec<usize> = (0..N_ROWS).map(|_| rng.random_range(0..N_GROUPS)).collect();

    let start = Instant::now();
    let rows = resample(Statistic::Ratio(&x, &y), REPLICATES, 1)
        .and_then(|r| r.interval(BootstrapMethod::Percentile, REPLICATES, 0.05));
    let row_seconds = start.elapsed().as_secs_f64();

    let start = Instant::now();
    let mut sums = vec![[0.0; 2]; N_GROUPS];
    for ((x, y), group) in x.iter().zip(&y).zip(&group) {
        sums[*group][0] += x;
        sums[*group][1] += y;
    }
    let clusters: Clusters = sums.into_iter().collect();
    let grouped = percentile(
        &clusters,
        |sums| (sums[1] > 0.0).then(|| sums[0] / sums[1]),
        0.05,
        1,
    );
    let group_seconds = start.elapsed().as_secs_f64();

    let text = |interval: Result<sluice::stats::Interval, sluice::stats::Reason>| {
        interval.map_or_else(
            |reason| format!("\"{reason}\""),
            |ci| format!("[{}, {}]", ci.ci_lower, ci.ci_upper),
        )
    };
    println!(
        "{{\"rows\": {{\"seconds\": {row_seconds}, \"interval\": {}}}, \"groups\": {{\"seconds\": {group_seconds}, \"interval\": {}}}}}",
        text(rows),
        text(grouped)
    );
}
