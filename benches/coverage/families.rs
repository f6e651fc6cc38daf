//! Simulates paired evaluations of several candidates against one baseline, and of slices, and
//! counts how often all intervals together contain the truth.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution};
use rayon::prelude::*;
use sluice::metric::Better;
use sluice::release::evals::{self, Case, Comparison, Design, Margin, Measure, Runs, Suite};
use sluice::stats::correlation::Correlation;
use sluice::stats::multiplicity::holm;
use sluice::stats::non_inferiority::HarmVerdict;
use sluice::stats::simultaneous::Family;

/// The comparisons that are read together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Comparisons {
    /// Candidates against one baseline, on the same cases.
    Candidates(usize),
    /// Slices of one comparison. Sizes fall as 1, 1/2, 1/3, ..., with at least six cases.
    Slices {
        /// The number of slices.
        n: usize,
        /// Whether clusters have cases in several slices.
        is_crossed: bool,
    },
}

/// The outcome of one run of a case.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Outcome {
    /// Passed or failed; the baseline's share of passed runs.
    Verdict(f64),
    /// A score in 0..=1; the baseline's mean.
    Score(f64),
}

/// One simulated evaluation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct World {
    /// The number of cases of a candidate, or of all slices.
    pub(crate) n_cases: usize,
    /// The comparisons.
    pub(crate) comparisons: Comparisons,
    /// The outcome of a run.
    pub(crate) outcome: Outcome,
    /// The number of runs of each case.
    pub(crate) n_repeats: u32,
    /// The number of cases in a cluster; 1 for no clusters.
    pub(crate) cluster_size: usize,
    /// The true harm of every comparison, in the unit of the outcome.
    pub(crate) harm: f64,
    /// The margin of every comparison.
    pub(crate) margin: f64,
}

/// The methods, in the order of [`Counts`].
pub(crate) const METHODS: [&str; 4] = ["none", "Bonferroni", "Holm", "family"];

/// Counts over the runs, for one method.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Counts {
    /// Runs in which every interval contains the true harm.
    pub(crate) n_covered: usize,
    /// Runs in which some comparison is violated.
    pub(crate) n_any_violated: usize,
    /// Comparisons with an interval.
    pub(crate) n_comparisons: usize,
    /// Comparisons that are violated.
    pub(crate) n_violated: usize,
    /// Comparisons that are safe.
    pub(crate) n_safe: usize,
}

const ALPHA: f64 = 0.05;

fn beta(mean: f64, sum: f64, rng: &mut ChaCha8Rng) -> f64 {
    Beta::new(mean * sum, (1.0 - mean) * sum).map_or(mean, |beta| beta.sample(rng))
}

/// The runs of one release on one case with the success probability, or mean score, `p`. A share
/// `lost` of the value is lost.
fn runs(world: &World, p: f64, lost: f64, rng: &mut ChaCha8Rng) -> Measure {
    let value = |rng: &mut ChaCha8Rng| match world.outcome {
        Outcome::Verdict(_) => f64::from(u8::from(rng.random_bool(p) && !rng.random_bool(lost))),
        Outcome::Score(_) => beta(p.clamp(0.001, 0.999), 8.0, rng) * (1.0 - lost),
    };
    Measure {
        sum: (0..world.n_repeats).map(|_| value(rng)).sum(),
        n: world.n_repeats,
    }
}

/// The values of all releases by case, the baseline first. Cases differ in difficulty; in a third of
/// the clusters a candidate has a difficulty of its own, so differences are alike within a cluster.
fn draw(world: &World, clusters: &[usize], n_candidates: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<Measure>> {
    let (Outcome::Verdict(mean) | Outcome::Score(mean)) = world.outcome;
    let lost = world.harm / mean;
    let n_clusters = clusters.iter().max().map_or(0, |last| last + 1);
    let own: Vec<Vec<Option<f64>>> = (0..n_candidates)
        .map(|_| {
            (0..n_clusters)
                .map(|_| rng.random_bool(1.0 / 3.0).then(|| beta(mean, 1.0, rng)))
                .collect()
        })
        .collect();
    let mut values = vec![Vec::with_capacity(clusters.len()); n_candidates + 1];
    for cluster in clusters {
        let p = beta(mean, 1.0, rng);
        values[0].push(runs(world, p, 0.0, rng));
        for (candidate, own) in own.iter().enumerate() {
            values[candidate + 1].push(runs(world, own[*cluster].unwrap_or(p), lost, rng));
        }
    }
    values
}

/// A suite of two releases over some cases.
fn suite(values: [&[Measure]; 2], cases: &[usize], clusters: Option<&[usize]>) -> Suite {
    let runs = |measure: Measure| Runs {
        n_runs: measure.n,
        passed: measure,
        ..Runs::default()
    };
    let case = |case: &usize| Case {
        case_id: format!("{case:04}").into(),
        cluster: clusters.map(|clusters| format!("{}", clusters[*case]).into()),
        asked: None,
        attributes: Vec::new(),
        arms: values.map(|values| runs(values[*case])).to_vec(),
    };
    Suite::from_cases("s", cases.iter().map(case).collect(), 2)
}

fn compared(suite: &Suite, margin: f64, alpha: f64) -> Comparison {
    let design = Design {
        better: Better::Higher,
        margin: Some(Margin::Absolute(margin)),
        alpha,
        is_share: true,
        seed: 1,
        n_replicates: 0,
        max_missing: 1.0,
    };
    evals::compare(
        suite,
        "passed",
        &|case, arm| case.arms[arm].passed.mean(),
        [0, 1],
        &design,
    )
}

/// The slice of each case.
fn slices(n_cases: usize, n: usize) -> Vec<usize> {
    let total: f64 = (1..=n).map(|slice| 1.0 / slice as f64).sum();
    let mut of_case = Vec::with_capacity(n_cases);
    for slice in 0..n {
        let size = (n_cases as f64 / (total * (slice + 1) as f64)).round().max(6.0) as usize;
        of_case.extend(std::iter::repeat_n(slice, size));
    }
    of_case.resize(n_cases, 0);
    of_case
}

/// The suites of one run, and the family of their comparisons.
fn drawn(world: &World, rng: &mut ChaCha8Rng) -> (Vec<Suite>, Family) {
    let n_clusters = world.n_cases.div_ceil(world.cluster_size);
    let is_crossed = matches!(world.comparisons, Comparisons::Slices { is_crossed: true, .. });
    let cluster = |case: usize| {
        if is_crossed {
            case % n_clusters
        } else {
            case / world.cluster_size
        }
    };
    let clusters: Vec<usize> = (0..world.n_cases).map(cluster).collect();
    let declared = (world.cluster_size > 1).then_some(&*clusters);
    match world.comparisons {
        Comparisons::Candidates(n) => {
            let values = draw(world, &clusters, n, rng);
            let all: Vec<usize> = (0..world.n_cases).collect();
            let mean = |arm: usize, case: usize| values[arm][case].mean().unwrap_or(0.0);
            let differences: Vec<Vec<Option<f64>>> = (1..=n)
                .map(|arm| {
                    all.iter()
                        .map(|case| Some(mean(arm, *case) - mean(0, *case)))
                        .collect()
                })
                .collect();
            let correlation = Correlation::of_differences(&differences, &clusters);
            let correlation = correlation.as_ref().map_err(|reason| *reason);
            let family = Family::correlated(n, correlation, f64::INFINITY);
            let suites = (1..=n)
                .map(|arm| suite([&values[0], &values[arm]], &all, declared))
                .collect();
            (suites, family)
        }
        Comparisons::Slices { n, .. } => {
            let of_case = slices(world.n_cases, n);
            // Without crossing, a cluster lies within a slice: clusters start anew with each slice.
            let own = |case: usize| {
                if is_crossed {
                    clusters[case]
                } else {
                    clusters[case] * n + of_case[case]
                }
            };
            let clusters: Vec<usize> = (0..world.n_cases).map(own).collect();
            let declared = (world.cluster_size > 1).then_some(&*clusters);
            let values = draw(world, &clusters, 1, rng);
            let family = Family::of_slices(n, clusters.iter().copied().zip(of_case.iter().copied()));
            let cases = |slice: usize| -> Vec<usize> {
                (0..world.n_cases)
                    .filter(|case| of_case[*case] == slice)
                    .collect()
            };
            let suites = (0..n)
                .map(|slice| suite([&values[0], &values[1]], &cases(slice), declared))
                .collect();
            (suites, family)
        }
    }
}

fn count(world: &World, found: &[Comparison], certain: &[bool]) -> Counts {
    let intervals = found
        .iter()
        .filter_map(|comparison| comparison.interval.result().ok());
    let verdicts = || {
        found
            .iter()
            .zip(certain)
            .filter_map(|(comparison, certain)| Some((comparison.verdict?, *certain)))
    };
    let n_violated = verdicts()
        .filter(|(verdict, certain)| *certain && *verdict == HarmVerdict::Violated)
        .count();
    let truth = -world.harm;
    let is_covered = |interval: sluice::stats::Interval| {
        interval.ci_lower - 1e-12 <= truth && truth <= interval.ci_upper + 1e-12
    };
    Counts {
        n_covered: usize::from(intervals.clone().all(is_covered)),
        n_any_violated: usize::from(n_violated > 0),
        n_comparisons: intervals.count(),
        n_violated,
        n_safe: verdicts()
            .filter(|(verdict, _)| *verdict == HarmVerdict::Safe)
            .count(),
    }
}

fn run(world: &World, rng: &mut ChaCha8Rng) -> [Counts; METHODS.len()] {
    let (suites, family) = drawn(world, rng);
    let n = suites.len();
    let at = |alpha: f64| -> Vec<Comparison> {
        suites
            .iter()
            .map(|suite| compared(suite, world.margin, alpha))
            .collect()
    };
    let single = at(ALPHA);
    let p_values: Vec<f64> = single
        .iter()
        .map(|found| found.test.value().map_or(1.0, evals::PairTest::p_value))
        .collect();
    let certain: Vec<bool> = holm(&p_values).iter().map(|p| *p <= ALPHA).collect();
    let all = vec![true; n];
    [
        count(world, &single, &all),
        count(world, &at(ALPHA / n as f64), &all),
        count(world, &single, &certain),
        count(world, &at(family.alpha_each(ALPHA)), &all),
    ]
}

/// Counts over `n_runs` runs, by method. Each run has its own random stream.
pub(crate) fn counts(world: &World, n_runs: usize, seed: u64) -> [Counts; METHODS.len()] {
    let add = |a: Counts, b: Counts| Counts {
        n_covered: a.n_covered + b.n_covered,
        n_any_violated: a.n_any_violated + b.n_any_violated,
        n_comparisons: a.n_comparisons + b.n_comparisons,
        n_violated: a.n_violated + b.n_violated,
        n_safe: a.n_safe + b.n_safe,
    };
    (0..n_runs)
        .into_par_iter()
        .map(|stream| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(stream as u64);
            run(world, &mut rng)
        })
        .reduce(
            || [Counts::default(); METHODS.len()],
            |a, b| std::array::from_fn(|method| add(a[method], b[method])),
        )
}
