//! Tests that intervals contain the true value as often as they should, with few runs.
//! `cargo bench --bench coverage` makes many runs.

#[path = "../../benches/coverage/looks.rs"]
mod looks;
#[path = "../../benches/coverage/sim.rs"]
mod sim;

use looks::{Population, QUANTITIES, false_alarms};
use sim::{Case, Covered, Measure, anytime_error, coverage};

fn check(measure: Measure, share: f64, n_users: usize, n_runs: usize) -> Covered {
    let found = coverage(
        Case {
            measure,
            share,
            n_users,
            most_turns: 20,
        },
        n_runs,
        7,
    );
    assert_eq!(found.n, n_runs, "{measure:?}");
    let rate = found.own as f64 / found.n as f64;
    // Four standard errors of the share, to each side.
    let error = 4.0 * (0.95 * 0.05 / n_runs as f64).sqrt();
    assert!(
        (0.95 - error - 0.01..=1.0).contains(&rate),
        "{measure:?} at {share}: {rate}"
    );
    found
}

#[test]
fn intervals_hold_the_truth() {
    for p in [0.01, 0.5, 0.99] {
        check(Measure::Rate(p), 0.5, 5_000, 400);
    }
    check(Measure::Cost, 0.5, 5_000, 300);
    check(Measure::Qos(0.1), 0.5, 5_000, 200);
    check(Measure::Qos(1.0 / 3.0), 0.5, 5_000, 60);
    check(Measure::LatencyP95, 0.5, 5_000, 100);
}

#[test]
fn one_percent_against_the_rest_needs_clusters_and_groups_agree_with_users() {
    let found = coverage(
        Case {
            measure: Measure::Rate(0.3),
            share: 0.01,
            n_users: 100_000,
            most_turns: 1_000,
        },
        150,
        5,
    );
    let share = |hits: usize| hits as f64 / found.n_others as f64;
    // Rows of one user are similar, and a few users have a thousand rows. Intervals that take rows
    // as independent are far too narrow.
    assert!(share(found.naive) < 0.75, "{found:?}");
    assert!(
        (share(found.by_user) - share(found.own)).abs() < 0.08,
        "{found:?}"
    );
}

#[test]
fn intervals_for_every_look_hold_at_every_look() {
    let error = anytime_error(60, 200, 100, 3);
    assert!(error <= 0.05 + 0.05, "{error}");
}

/// Two percent of users with heavy tails against the rest, forty looks: no quantity that a decision
/// reads has more false alarms than alpha, and no interval contradicts its p-value.
#[test]
fn no_quantity_has_more_false_alarms_than_alpha() {
    let population = Population {
        n_users: 6_000,
        share: 0.02,
        success: 0.97,
        is_heavy: true,
    };
    let n_runs = 60;
    let found = false_alarms(population, 40, n_runs, 11);
    assert_eq!(found.n_contradictions, 0);
    // Three standard errors of the share.
    let most = 0.05 + 3.0 * (0.05 * 0.95 / n_runs as f64).sqrt();
    for (quantity, n) in QUANTITIES.iter().zip(found.any) {
        assert!(n as f64 <= most * n_runs as f64, "{quantity}: {n} of {n_runs}");
    }
}
