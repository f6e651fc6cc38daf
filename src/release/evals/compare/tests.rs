//! Tests of comparisons with known results.

use super::*;
use crate::release::evals::cases::{Measure, Runs};

/// Builds a suite of cases from pairs of baseline and candidate scores.
fn suite(pairs: &[(Option<f64>, Option<f64>)], cluster: &dyn Fn(usize) -> Option<usize>) -> Suite {
    let runs = |value: Option<f64>| Runs {
        n_runs: 1,
        n_errors: u32::from(value.is_none()),
        passed: value.map_or_else(Measure::default, |sum| Measure { sum, n: 1 }),
        ..Runs::default()
    };
    let cases = pairs.iter().enumerate().map(|(idx, (a, b))| Case {
        case_id: format!("c{idx:03}").into(),
        asked: None,
        cluster: cluster(idx).map(|number| format!("k{number}").into()),
        attributes: Vec::new(),
        arms: vec![runs(*a), runs(*b)],
    });
    Suite::from_cases("s", cases.collect(), 2)
}

fn compared(suite: &Suite, better: Better, is_share: bool) -> Comparison {
    let design = Design {
        better,
        margin: Some(Margin::Absolute(0.1)),
        alpha: 0.05,
        is_share,
        seed: 1,
        n_replicates: 0,
        max_missing: 0.01,
    };
    compare(
        suite,
        "passed",
        &|case, arm| case.arms[arm].passed.mean(),
        [0, 1],
        &design,
    )
}

fn pairs(n: usize, pair: (f64, f64)) -> Vec<(Option<f64>, Option<f64>)> {
    vec![(Some(pair.0), Some(pair.1)); n]
}

#[test]
fn few_pairs_say_nothing() {
    let check = |n: usize, expected: Option<Reason>| {
        let found = compared(&suite(&pairs(n, (1.0, 1.0)), &|_| None), Better::Higher, true);
        assert_eq!(found.n_pairs, n);
        assert_eq!(found.interval.result().err(), expected, "{n} pairs");
        assert_eq!(found.verdict.is_some(), expected.is_none(), "{n} pairs");
    };
    check(0, Some(Reason::TooFewRows));
    check(1, Some(Reason::TooFewRows));
    check(MIN_PAIRS - 1, Some(Reason::TooFewRows));
    check(MIN_PAIRS, None);
}

#[test]
fn cases_without_a_pair_are_counted_apart() {
    let mut cases = pairs(6, (1.0, 0.0));
    cases.extend([
        (Some(1.0), None),
        (None, Some(1.0)),
        (None, Some(0.0)),
        (None, None),
    ]);
    let found = compared(&suite(&cases, &|_| None), Better::Higher, true);
    assert_eq!(
        (found.n_pairs, found.n_unpaired, found.n_errors),
        (6, [1, 2], [3, 2])
    );
    assert_eq!((found.means, found.difference), ([1.0, 0.0], -1.0));
}

#[test]
fn gains_and_losses_follow_the_good_direction() {
    let mut cases = pairs(90, (1.0, 1.0));
    cases.extend(pairs(3, (0.0, 1.0)));
    cases.extend(pairs(7, (1.0, 0.0)));
    let suite = suite(&cases, &|_| None);
    let check = |better: Better, n_gained: usize, n_lost: usize, harm: f64| {
        let found = compared(&suite, better, true);
        assert_eq!((found.n_gained, found.n_lost), (n_gained, n_lost), "{better:?}");
        assert_eq!((found.gained.len(), found.lost.len()), (n_gained, n_lost));
        assert!((found.harm - harm).abs() < 1e-12, "{better:?} {}", found.harm);
        let Ok(PairTest::McNemar {
            lost,
            gained,
            p_value,
            exact,
        }) = found.test.result()
        else {
            panic!("{:?}", found.test);
        };
        assert_eq!((lost, gained, exact), (n_lost as u64, n_gained as u64, true));
        // Twice the probability of at most 3 heads in 10 throws.
        assert!((p_value - 2.0 * 176.0 / 1_024.0).abs() < 1e-12, "{p_value}");
    };
    check(Better::Higher, 3, 7, 0.04);
    check(Better::Lower, 7, 3, -0.04);
}

#[test]
fn pairs_that_do_not_differ_still_have_an_interval() {
    let check = |n: usize, verdict: HarmVerdict| {
        let found = compared(&suite(&pairs(n, (1.0, 1.0)), &|_| None), Better::Higher, true);
        let interval = found.interval.result().unwrap();
        assert!(interval.ci_lower < 0.0 && interval.ci_upper > 0.0, "{interval:?}");
        assert_eq!(found.interval_method, "counts");
        assert_eq!(
            found.test.result().ok(),
            Some(PairTest::NoDifference { p_value: 1.0 })
        );
        assert_eq!(found.verdict, Some(verdict), "{n} pairs");
    };
    check(10, HarmVerdict::Unclear);
    check(1_000, HarmVerdict::Safe);
    // Scores that are not shares have no known range when all values are equal.
    let found = compared(&suite(&pairs(10, (0.5, 0.5)), &|_| None), Better::Higher, false);
    assert_eq!(found.interval.result().err(), Some(Reason::NoVariance));
}

#[test]
fn every_pair_worse_is_a_violation() {
    let check = |pair: (f64, f64), better: Better, verdict: HarmVerdict| {
        let found = compared(&suite(&pairs(60, pair), &|_| None), better, true);
        assert_eq!(found.verdict, Some(verdict), "{pair:?} {better:?}");
    };
    check((1.0, 0.0), Better::Higher, HarmVerdict::Violated);
    check((0.0, 1.0), Better::Higher, HarmVerdict::Safe);
    check((1.0, 0.0), Better::Lower, HarmVerdict::Safe);
    check((0.0, 1.0), Better::Lower, HarmVerdict::Violated);
}

#[test]
fn a_mean_has_the_error_of_its_clusters() {
    let check = |values: &[(f64, usize)], expected: Option<(f64, Result<f64, Reason>, usize)>| {
        let found = single(values).map(|mean| (mean.mean, mean.std_error.result(), mean.n_clusters));
        assert_eq!(found, expected, "{values:?}");
    };
    check(&[], None);
    check(&[(2.0, 0)], Some((2.0, Err(Reason::TooFewClusters), 1)));
    check(&[(1.0, 3), (3.0, 3)], Some((2.0, Err(Reason::TooFewClusters), 1)));
    // Residuals -1 and 1: sqrt(2 / 1 * 2) / 2.
    check(&[(1.0, 0), (3.0, 1)], Some((2.0, Ok(1.0), 2)));
    // Two clusters of two equal values: residuals -2 and 2: sqrt(2 / 1 * 8) / 4.
    check(&[(1.0, 0), (3.0, 1), (1.0, 0), (3.0, 1)], Some((2.0, Ok(1.0), 2)));
    check(&[(1.0, 0), (1.0, 1)], Some((1.0, Ok(0.0), 2)));
}

#[test]
fn cases_without_a_cluster_are_their_own() {
    let check = |clusters: &[Option<usize>], expected: &[usize]| {
        let suite = suite(&pairs(clusters.len(), (0.0, 0.0)), &|idx| clusters[idx]);
        assert_eq!(clusters_of(suite.cases.iter()), expected, "{clusters:?}");
    };
    check(&[], &[]);
    check(&[None, None], &[0, 1]);
    check(&[Some(5), None, Some(5), Some(2), None], &[0, 1, 0, 2, 3]);
}

#[test]
fn shares_are_known_by_name_and_by_value() {
    let check = |metric: &str, values: &[f64], expected: bool| {
        assert_eq!(
            is_share(metric, values.iter().copied()),
            expected,
            "{metric} {values:?}"
        );
    };
    check("passed", &[], true);
    check("passed", &[0.0, 1.0], true);
    check("score", &[0.5], true);
    check("score", &[1.5], false);
    check("score", &[-0.1], false);
    check("score", &[f64::NAN], false);
    check("cost_usd", &[0.5], false);
    check("latency_ms", &[0.5], false);
    check("tokens", &[0.5], false);
}

#[test]
fn changes_count_by_their_size_and_clusters_by_theirs() {
    let check = |values: &[(f64, usize)], range: f64, expected: [f64; 3]| {
        assert_eq!(parts(values, range), expected, "{values:?}");
    };
    check(&[(1.0, 0), (-1.0, 1), (0.0, 2)], 1.0, [1.0, 1.0, 3.0]);
    check(&[(0.5, 0), (0.25, 1), (-0.25, 2)], 1.0, [0.75, 0.25, 3.0]);
    check(&[(5.0, 0), (-10.0, 1)], 10.0, [0.5, 1.0, 2.0]);
    // Two clusters of two cases count as two cases.
    check(&[(1.0, 0), (1.0, 0), (0.0, 1), (0.0, 1)], 1.0, [1.0, 0.0, 2.0]);
}

#[test]
fn clusters_of_unequal_weight_have_fewer_degrees_of_freedom() {
    let df = |sums: &[f64], n: usize| df_of(&sums.iter().map(|sum| (*sum, 1.0)).collect::<Vec<_>>(), n);
    // Every case is its own cluster.
    assert_eq!(df(&[1.0, -1.0, 5.0], 3), 2.0);
    // Equal squares.
    assert_eq!(df(&[1.0, -1.0, 1.0, -1.0], 8), 3.0);
    // One cluster has nearly all.
    assert_eq!(df(&[10.0, 1.0], 4), 1.0);
    // One square of 16 and nine of 1: 2 * 25^2 / (265 - 25^2 / 10).
    let found = df(&[4.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], 20);
    assert!((found - 1_250.0 / 202.5).abs() < 1e-12, "{found}");
}

#[test]
fn shares_and_percentages_do_not_compare() {
    let check = |pair: (f64, f64), expected: Option<VerdictReason>| {
        let found = compared(&suite(&pairs(30, pair), &|_| None), Better::Higher, false);
        let is_scale = found.verdict_reason == Some(VerdictReason::AnotherScale);
        assert_eq!(
            is_scale,
            expected.is_some(),
            "{pair:?} {:?}",
            found.verdict_reason
        );
    };
    let scale = Some(VerdictReason::AnotherScale);
    check((0.9, 41.0), scale);
    check((41.0, 0.9), scale);
    check((1.0, 100.0), scale);
    // Counts and scores of one scale.
    check((0.5, 2.0), None);
    check((1.0, 3.0), None);
    check((0.5, 0.6), None);
    check((60.0, 70.0), None);
    check((0.0, 70.0), None);
}
