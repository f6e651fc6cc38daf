//! The errors of an optimal schedule over generated nights: 200 seeds without harm and with a harm
//! as large as the margin, or as many as the first argument says.

#![expect(clippy::print_stdout, reason = "the result of the benchmark")]
#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot read its own files has failed"
)]

#[path = "../tests/integration/generated_nights.rs"]
mod generated_nights;

use generated_nights::{End, HARM, optimum, ramp};
use rayon::prelude::*;

fn main() {
    let n_seeds: u32 = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .next()
        .unwrap_or(200);
    let optimum = optimum();
    println!("{}\n{}", optimum.layers[0].why, optimum.toml);
    for run in &optimum.layers[0].finalists {
        println!(
            "simulated {:?} {} h: false {:.3}, missed {:.3}, unfinished {:.3}",
            run.ladder, run.dwell_hours, run.p_false_rollback.p, run.p_missed.p, run.p_never_finishes.p
        );
    }
    for (world, harm) in [("no harm", 0.0), ("harm", HARM)] {
        let ends: Vec<(End, u32)> = (1..=n_seeds)
            .into_par_iter()
            .map(|seed| ramp(&optimum.toml, seed, harm))
            .collect();
        let share =
            |end: End| ends.iter().filter(|(found, _)| *found == end).count() as f64 / f64::from(n_seeds);
        let error = |p: f64| (p * (1.0 - p) / f64::from(n_seeds)).sqrt();
        let nights: u32 = ends.iter().map(|(_, nights)| nights).sum();
        let (rolled_back, full) = (share(End::RolledBack), share(End::Full));
        println!(
            "{world}: rolled back {rolled_back:.3} ± {:.3}, full {full:.3} ± {:.3}, unfinished {:.3}, {:.2} nights",
            error(rolled_back),
            error(full),
            share(End::Unfinished),
            f64::from(nights) / f64::from(n_seeds)
        );
    }
    println!(
        "promised: false rollback at most {}, missed at most {}",
        optimum.max_false_rollback, optimum.max_missed
    );
}
