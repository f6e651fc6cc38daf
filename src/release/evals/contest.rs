//! Several candidates against one baseline on the same cases: intervals that hold all together, and a
//! ranking with its uncertainty.

use serde::Serialize;

use crate::metric::Better;
use crate::release::evals::cases::{Suite, ValueOf};
use crate::release::evals::compare::{clusters_of, compare};
use crate::release::evals::comparison::{Comparison, Design};
use crate::stats::correlation::{Correlation, all_pairs};
use crate::stats::simultaneous::{Family, FamilyMethod, rank_intervals};
use crate::stats::{Interval, multiplicity};

/// A comparison with its two releases, by their numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Duel {
    /// The number of the release that is compared with.
    pub baseline: usize,
    /// The number of the release that is judged.
    pub candidate: usize,
    /// The comparison, with its interval at the level of the family.
    pub comparison: Comparison,
}

/// The comparisons of one metric of one suite that hold all together.
#[derive(Debug, Clone, PartialEq)]
pub struct Contest {
    /// The comparisons: of each candidate with the baseline, or of all pairs.
    pub duels: Vec<Duel>,
    /// How the error level of a comparison follows from that of all.
    pub method: FamilyMethod,
}

/// The place of a release among all releases, by the mean of a metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Place {
    /// The number of the release; 0 is the baseline.
    #[serde(skip)]
    pub release: usize,
    /// The mean over the cases that all releases have, in the unit of the metric.
    pub mean: f64,
    /// The best rank that the data allow; 1 is the best.
    pub rank_lower: usize,
    /// The worst rank that the data allow.
    pub rank_upper: usize,
}

/// Compares releases: each candidate with the baseline, release 0; with `all_pairs`, each release with
/// each release before it. The p-values of the tests are corrected by Holm's method.
pub fn contest(
    suite: &Suite,
    metric: &str,
    value: &ValueOf,
    (n_releases, is_all_pairs): (usize, bool),
    design: &Design,
) -> Contest {
    let pairs: Vec<(usize, usize)> = all_pairs(n_releases)
        .filter(|(baseline, _)| is_all_pairs || *baseline == 0)
        .collect();
    let family = family_of(suite, value, &pairs);
    let design = Design {
        alpha: family.alpha_each(design.alpha),
        ..*design
    };
    let mut duels: Vec<Duel> = pairs
        .iter()
        .map(|(baseline, candidate)| Duel {
            baseline: *baseline,
            candidate: *candidate,
            comparison: compare(suite, metric, value, [*baseline, *candidate], &design),
        })
        .collect();
    if duels.len() > 1 {
        correct(duels.iter_mut().map(|duel| &mut duel.comparison).collect());
    }
    Contest {
        duels,
        method: family.method(),
    }
}

/// The family of comparisons, with the correlations of the differences over clusters.
fn family_of(suite: &Suite, value: &ValueOf, pairs: &[(usize, usize)]) -> Family {
    let clusters = clusters_of(suite.cases.iter());
    let differences: Vec<Vec<Option<f64>>> = pairs
        .iter()
        .map(|(baseline, candidate)| {
            let cases = suite.cases.iter();
            let of_case = cases.map(|case| Some(value(case, *candidate)? - value(case, *baseline)?));
            of_case.collect()
        })
        .collect();
    let correlation = Correlation::of_differences(&differences, &clusters);
    let correlation = correlation.as_ref().map_err(|reason| *reason);
    Family::correlated(pairs.len(), correlation, f64::INFINITY)
}

/// Corrects the p-values of tests for each other, by Holm's method.
pub(super) fn correct(mut comparisons: Vec<&mut Comparison>) {
    comparisons.retain(|comparison| comparison.test.value().is_some());
    let p_values = comparisons
        .iter()
        .filter_map(|comparison| comparison.test.value().map(|test| test.p_value()));
    let adjusted = multiplicity::holm(&p_values.collect::<Vec<f64>>());
    for (comparison, p_value) in comparisons.into_iter().zip(adjusted) {
        comparison.p_value_adj = Some(p_value);
    }
}

/// Ranks releases by a metric, best first, on the cases that all releases have. The ranks of all
/// releases lie in their intervals together, with the probability 1 - alpha. Empty without cases that
/// all releases have.
pub fn ranking(
    suite: &Suite,
    metric: &str,
    value: &ValueOf,
    n_releases: usize,
    design: &Design,
) -> Vec<Place> {
    let common = suite.filtered(|case| (0..n_releases).all(|release| value(case, release).is_some()));
    if common.cases.is_empty() {
        return Vec::new();
    }
    let design = Design {
        n_replicates: 0,
        ..*design
    };
    let duels = contest(&common, metric, value, (n_releases, true), &design).duels;
    let sign = if design.better == Better::Higher {
        1.0
    } else {
        -1.0
    };
    let differences: Vec<Option<Interval>> = duels
        .iter()
        .map(|duel| {
            let interval = duel.comparison.interval.value().copied()?;
            Some(if sign > 0.0 { interval } else { interval.negated() })
        })
        .collect();
    let Ok(ranks) = rank_intervals(n_releases, &differences) else {
        return Vec::new();
    };
    let mut places: Vec<Place> = ranks
        .into_iter()
        .enumerate()
        .map(|(release, rank)| {
            let values = common.cases.iter().filter_map(|case| value(case, release));
            Place {
                release,
                mean: values.sum::<f64>() / common.cases.len() as f64,
                rank_lower: rank.rank_lower,
                rank_upper: rank.rank_upper,
            }
        })
        .collect();
    places.sort_by(|a, b| {
        (sign * b.mean)
            .total_cmp(&(sign * a.mean))
            .then(a.release.cmp(&b.release))
    });
    places
}
