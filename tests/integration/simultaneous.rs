//! Tests that several intervals of paired evaluations contain the truth all together, with few runs.
//! `cargo bench --bench coverage` makes many runs.

#[path = "../../benches/coverage/families.rs"]
mod families;

use families::{Comparisons, Counts, METHODS, Outcome, World, counts};

const N_RUNS: usize = 100;

/// 100 cases without clusters, and a harm as large as the margin.
fn world(comparisons: Comparisons, outcome: Outcome) -> World {
    World {
        n_cases: 100,
        comparisons,
        outcome,
        n_repeats: 1,
        cluster_size: 1,
        harm: 0.05,
        margin: 0.05,
    }
}

fn check(world: World) -> [Counts; METHODS.len()] {
    let found = counts(&world, N_RUNS, 5);
    // Four standard errors of a share of 0.95.
    let least = 0.95 - 4.0 * (0.95 * 0.05 / N_RUNS as f64).sqrt();
    for (method, counts) in METHODS.iter().zip(found) {
        assert!(counts.n_comparisons > 0, "{world:?}");
        let is_corrected = !["none", "Holm"].contains(method);
        let rate = counts.n_covered as f64 / N_RUNS as f64;
        assert!(!is_corrected || rate >= least, "{method}, {world:?}: {rate}");
    }
    found
}

#[test]
fn intervals_of_candidates_hold_together() {
    for n in [1, 2, 4, 8] {
        check(world(Comparisons::Candidates(n), Outcome::Verdict(0.5)));
    }
    let base = world(Comparisons::Candidates(4), Outcome::Verdict(0.9));
    check(base);
    check(World {
        n_cases: 30,
        n_repeats: 3,
        ..base
    });
    check(World {
        cluster_size: 5,
        ..base
    });
    check(World {
        outcome: Outcome::Score(0.7),
        ..base
    });
    check(World {
        outcome: Outcome::Verdict(0.98),
        ..base
    });
    check(World {
        outcome: Outcome::Verdict(0.02),
        harm: 0.01,
        margin: 0.01,
        ..base
    });
}

#[test]
fn intervals_of_slices_hold_together() {
    for (n, is_crossed, cluster_size) in [(2, false, 1), (5, false, 1), (10, false, 1), (5, true, 4)] {
        let comparisons = Comparisons::Slices { n, is_crossed };
        check(World {
            cluster_size,
            ..world(comparisons, Outcome::Verdict(0.5))
        });
    }
}

/// Without a correction, eight candidates miss the truth in one of five evaluations, and one without
/// harm is blamed more often than alpha.
#[test]
fn intervals_that_ignore_each_other_do_not() {
    let found = check(World {
        n_cases: 200,
        harm: 0.0,
        ..world(Comparisons::Candidates(8), Outcome::Verdict(0.5))
    });
    let [none, bonferroni, _, family] = found;
    assert!((none.n_covered as f64) < 0.88 * N_RUNS as f64, "{none:?}");
    assert!((none.n_any_violated as f64) > 0.05 * N_RUNS as f64, "{none:?}");
    assert!(
        (family.n_any_violated as f64) < 0.05 * N_RUNS as f64,
        "{family:?}"
    );
    // The correlation of candidates that share a baseline makes intervals shorter.
    assert!(family.n_safe > bonferroni.n_safe, "{family:?} {bonferroni:?}");
}
