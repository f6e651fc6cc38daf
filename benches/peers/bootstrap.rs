//! Bootstraps a ratio over rows, and with `--clusters` over clusters of rows too. Prints wall seconds
//! as JSON. `bootstrap.py` runs it next to the same work in numpy.

#![expect(clippy::print_stdout, reason = "what it measures is what it is for")]

use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sluice::stats::bootstrap::{BootstrapMethod, REPLICATES, Statistic, percentile, resample};
use sluice::stats::{Clusters, Interval, Reason};

const N_ROWS: usize = 1_000_000;
const N_GROUPS: usize = 370;

fn main() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let y: Vec<f64> = (0..N_ROWS).map(|_| 1.0 + rng.random::<f64>() * 9.0).collect();
    let x: Vec<f64> = y.iter().map(|y| y * rng.random::<f64>()).collect();
    let of_rows = timed(|| {
        resample(Statistic::Ratio(&x, &y), REPLICATES, 1)
            .and_then(|r| r.interval(BootstrapMethod::Percentile, REPLICATES, 0.05))
    });
    if !std::env::args().any(|arg| arg == "--clusters") {
        println!("{{\"rows\": {of_rows}}}");
        return;
    }
    let group: Vec<usize> = (0..N_ROWS).map(|_| rng.random_range(0..N_GROUPS)).collect();
    let of_groups = timed(|| {
        let mut sums = vec![[0.0; 2]; N_GROUPS];
        for ((x, y), group) in x.iter().zip(&y).zip(&group) {
            sums[*group][0] += x;
            sums[*group][1] += y;
        }
        let clusters: Clusters = sums.into_iter().collect();
        let ratio = |sums: &[f64]| (sums[1] > 0.0).then(|| sums[0] / sums[1]);
        percentile(&clusters, ratio, 0.05, 1)
    });
    println!("{{\"rows\": {of_rows}, \"groups\": {of_groups}}}");
}

/// The seconds that an interval takes, and the interval or the reason for none, as JSON.
fn timed(interval: impl FnOnce() -> Result<Interval, Reason>) -> String {
    let start = Instant::now();
    let interval = interval();
    let seconds = start.elapsed().as_secs_f64();
    let text = interval.map_or_else(
        |reason| format!("\"{reason}\""),
        |ci| format!("[{}, {}]", ci.ci_lower, ci.ci_upper),
    );
    format!("{{\"seconds\": {seconds}, \"interval\": {text}}}")
}
