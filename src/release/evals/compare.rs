//! The comparison of two releases on the same cases: paired, clustered, and judged against a
//! margin.

use hashbrown::HashMap;
use serde::Serialize;

use crate::metric::Better;
use crate::release::evals::cases::{Case, Suite, missing};
use crate::release::evals::comparison::{Comparison, Design, PairTest, RelativeChange, VerdictReason};
use crate::release::evals::margin::Margin;
use crate::stats::bootstrap::{BootstrapMethod, Statistic};
use crate::stats::dist::{norm_isf, t_isf, t_sf};
use crate::stats::non_inferiority::HarmVerdict;
use crate::stats::p_value::Alternative;
use crate::stats::ranks::Counting;
use crate::stats::{Interval, Known, Reason, bootstrap, mcnemar, non_inferiority, pass_k, proportion, ranks};

/// The minimum number of pairs. With fewer pairs there is no result.
pub const MIN_PAIRS: usize = 6;
/// The number of pairs below which a result comes with a warning.
pub const FEW_PAIRS: usize = 10;
/// The number of discordant pairs below which the variance is unreliable. Then the interval comes
/// from counts.
const FEW_DIFFERENCES: usize = 25;
/// The default number of bootstrap replicates.
pub const REPLICATES: usize = 10_000;
/// The maximum number of bootstrap draws. With more data, the t interval is practically the same.
const MAX_DRAWS: usize = 200_000_000;
/// The maximum number of case ids that are listed.
const LISTED: usize = 100;

/// A mean over cases with its clustered standard error.
///
/// With n cases in C clusters, the standard error is `sqrt(C / (C - 1) sum_c (sum_{i in c} (s_i -
/// mean))^2) / n`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Mean {
    /// The mean over the cases, in the metric's unit.
    pub mean: f64,
    /// The clustered standard error of the mean, in the metric's unit.
    pub std_error: Known<f64>,
    /// The number of clusters, C.
    pub n_clusters: usize,
    /// The degrees of freedom of the standard error. They are C - 1 if every case is its own cluster,
    /// else Satterthwaite's from the data, at most C - 1: `2 (sum z)^2 / (sum z^2 - (sum z)^2 / C)`
    /// for the squares z of the sums of clusters.
    pub df: f64,
}

impl Mean {
    /// The interval of the mean, by t over clusters. A share with fewer than 5 events, or fewer
    /// than 5 non-events, gets Wilson's interval over clusters, which has a width above 0 even at
    /// shares of 0 and 1.
    ///
    /// # Errors
    /// Fewer than two clusters.
    pub fn interval(&self, is_share: bool, alpha: f64) -> Result<Interval, Reason> {
        let std_error = self.std_error.result()?;
        let n = self.n_clusters as f64;
        let by_t = Interval::around(self.mean, t_isf(0.5 * alpha, self.df) * std_error);
        if !is_share {
            return Ok(by_t);
        }
        if self.mean.min(1.0 - self.mean) * n < 5.0 {
            return Ok(proportion::wilson(self.mean, n, norm_isf(0.5 * alpha)));
        }
        Ok(Interval {
            ci_lower: by_t.ci_lower.max(0.0),
            ci_upper: by_t.ci_upper.min(1.0),
        })
    }
}

/// Whether a metric is a share: all values lie in 0..=1, and the name does not contain `cost`,
/// `latency` or `token`.
pub fn is_share(metric: &str, mut values: impl Iterator<Item = f64>) -> bool {
    !has_unit(metric) && values.all(|value| (0.0..=1.0).contains(&value))
}

/// The unit of a metric of evaluations: `share`, `USD`, `ms`, `tokens`. Empty for scores on a scale
/// of their own.
pub fn unit_of(metric: &str, is_share: bool) -> &'static str {
    match metric {
        _ if is_share => "share",
        "cost_usd" => "USD",
        "latency_ms" => "ms",
        "tokens" | "tokens_in" | "tokens_out" => "tokens",
        _ => "",
    }
}

/// Whether the name of a metric says that its values have a unit.
fn has_unit(metric: &str) -> bool {
    ["cost", "latency", "token"]
        .iter()
        .any(|word| metric.contains(word))
}

/// The mean of one release's values, each given with its cluster; `None` without values.
///
/// # References
/// `docs/METHODS.md#paired-evaluations`; Miller (2024).
pub fn single(values: &[(f64, usize)]) -> Option<Mean> {
    if values.is_empty() {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().map(|(value, _)| value).sum::<f64>() / n;
    let sums = sums_of(values.iter().map(|(value, cluster)| (value - mean, *cluster)));
    let c = sums.len() as f64;
    let std_error = if sums.len() < 2 {
        Err(Reason::TooFewClusters)
    } else {
        Ok((c / (c - 1.0) * sums.iter().map(|(sum, _)| sum * sum).sum::<f64>()).sqrt() / n)
    };
    Some(Mean {
        mean,
        std_error: std_error.into(),
        n_clusters: sums.len(),
        df: df_of(&sums, values.len()),
    })
}

/// The degrees of freedom of a clustered standard error: see [`Mean::df`].
fn df_of(sums: &[(f64, f64)], n: usize) -> f64 {
    let most = sums.len().saturating_sub(1) as f64;
    if sums.len() == n {
        return most;
    }
    let squares = sums.iter().map(|(sum, _)| sum * sum);
    let total: f64 = squares.clone().sum();
    let spread = squares.map(|square| square * square).sum::<f64>() - total * total / sums.len() as f64;
    if spread > 0.0 {
        (2.0 * total * total / spread).clamp(1.0_f64.min(most), most)
    } else {
        most
    }
}

/// The pairs of one metric of two releases.
struct Pairs<'a> {
    pairs: Vec<(&'a Case, f64, f64)>,
    /// The difference of each pair: candidate less baseline.
    differences: Vec<f64>,
    /// The cluster of each pair.
    clusters: Vec<usize>,
    has_clusters: bool,
    means: [f64; 2],
}

impl<'a> Pairs<'a> {
    fn new(cases: &[(&'a Case, Option<f64>, Option<f64>)]) -> Self {
        let pairs: Vec<(&Case, f64, f64)> = cases
            .iter()
            .filter_map(|(case, a, b)| Some((*case, (*a)?, (*b)?)))
            .collect();
        let mean = |of: &dyn Fn(&(&Case, f64, f64)) -> f64| {
            if pairs.is_empty() {
                0.0
            } else {
                pairs.iter().map(of).sum::<f64>() / pairs.len() as f64
            }
        };
        Self {
            differences: pairs.iter().map(|(_, a, b)| b - a).collect(),
            clusters: clusters_of(pairs.iter().map(|pair| pair.0)),
            has_clusters: pairs.iter().any(|(case, _, _)| case.cluster.is_some()),
            means: [mean(&|pair| pair.1), mean(&|pair| pair.2)],
            pairs,
        }
    }

    fn clustered(&self) -> Vec<(f64, usize)> {
        let clusters = self.clusters.iter().copied();
        self.differences.iter().copied().zip(clusters).collect()
    }

    fn is_binary(&self) -> bool {
        let is_flag = |value: f64| value == 0.0 || value == 1.0;
        self.pairs.iter().all(|(_, a, b)| is_flag(*a) && is_flag(*b))
    }

    /// The number of pairs with a difference of the sign (1 or -1).
    fn n_with(&self, sign: f64) -> usize {
        self.differences.iter().filter(|d| **d * sign > 0.0).count()
    }

    /// The largest possible change of a pair. It is 1 for a share, else the range of all values.
    fn range(&self, is_share: bool) -> f64 {
        if is_share {
            return 1.0;
        }
        let all = self.pairs.iter().flat_map(|(_, a, b)| [*a, *b]);
        all.clone().fold(f64::NEG_INFINITY, f64::max) - all.fold(f64::INFINITY, f64::min)
    }

    /// The ids of the pairs whose difference is kept, at most [`LISTED`].
    fn names(&self, keep: &dyn Fn(f64) -> bool) -> Vec<String> {
        let kept = self
            .pairs
            .iter()
            .zip(&self.differences)
            .filter(|(_, d)| keep(**d));
        kept.take(LISTED)
            .map(|(pair, _)| pair.0.case_id.to_string())
            .collect()
    }

    /// The values of one release.
    fn values(&self, arm: usize) -> impl Iterator<Item = f64> + Clone + '_ {
        self.pairs.iter().map(move |(_, a, b)| [*a, *b][arm])
    }
}

/// Compares the values that `value` reads for each case, of the baseline and the candidate that
/// `arms` numbers.
///
/// # References
/// `docs/METHODS.md#paired-evaluations`. For shares with few discordant pairs: square-and-add of
/// Wilson's intervals of the two discordant shares (Newcombe 1998, Zou & Donner 2008), which keeps
/// a width above 0 even without a discordant pair.
pub fn compare(
    suite: &Suite,
    metric: &str,
    value: &dyn Fn(&Case, usize) -> Option<f64>,
    arms: [usize; 2],
    design: &Design,
) -> Comparison {
    let both: Vec<(&Case, Option<f64>, Option<f64>)> = suite
        .cases
        .iter()
        .map(|case| (case, value(case, arms[0]), value(case, arms[1])))
        .collect();
    let found = Pairs::new(&both);
    let errors = arms.map(|arm| {
        let n_errors = suite.cases.iter().map(|case| u64::from(case.arms[arm].n_errors));
        n_errors.sum()
    });
    let n = found.pairs.len();
    let sign = if design.better == Better::Higher {
        1.0
    } else {
        -1.0
    };
    let clustered = found.clustered();
    let summary = single(&clustered).filter(|_| n >= MIN_PAIRS);
    let n_clusters = summary.map_or(0, |summary| summary.n_clusters);
    let std_error = summary.map_or(Err(Reason::TooFewRows), |summary| summary.std_error.result());
    let is_better = |d: f64| d * sign > 0.0;
    let difference = found.means[1] - found.means[0];
    let (interval, by_counts) = interval_of(&found, (summary, std_error), design);
    let half = |interval: Interval| 0.5 * (interval.ci_upper - interval.ci_lower);
    let mde = interval.map(|interval| (1.0 + norm_isf(0.2) / norm_isf(0.5 * design.alpha)) * half(interval));
    let df = summary.map_or(0.0, |summary| summary.df);
    let t_p_value = std_error.and_then(|std_error| {
        if std_error > 0.0 {
            Ok((2.0 * t_sf((difference / std_error).abs(), df)).min(1.0))
        } else {
            Err(Reason::NoVariance)
        }
    });
    let test = std_error.and_then(|_| test_of(&found, sign, df, t_p_value));
    let spread = (found
        .differences
        .iter()
        .map(|d| (d - difference).powi(2))
        .sum::<f64>()
        / (n as f64 - 1.0))
        .sqrt();
    let effect_size = match n {
        0..MIN_PAIRS => Err(Reason::TooFewRows),
        _ if spread > 0.0 => Ok(difference / spread),
        _ => Err(Reason::NoVariance),
    };
    let bca = std_error.and_then(|_| bootstrap_interval(&clustered, found.has_clusters, design));
    let missing = [[arms[0], arms[1]], [arms[1], arms[0]]].map(|arms| missing(suite, metric, arms));
    let mut comparison = Comparison {
        suite: suite.name.to_string(),
        metric: metric.to_owned(),
        unit: unit_of(metric, design.is_share),
        lower_is_better: design.better == Better::Lower,
        n_pairs: n,
        n_unpaired: [0, 1].map(|arm| {
            both.iter()
                .filter(|(_, a, b)| [a, b][arm].is_some() && [b, a][arm].is_none())
                .count()
        }),
        n_errors: errors,
        n_missing: missing.map(|(n_missing, _)| n_missing),
        n_expected: missing.map(|(_, n)| n),
        n_clusters,
        means: found.means,
        difference,
        std_error: std_error.into(),
        interval: interval.into(),
        interval_method: if by_counts { "counts" } else { "t" },
        bca: bca.into(),
        test: test.into(),
        t_p_value: t_p_value.into(),
        p_value_adj: None,
        effect_size: effect_size.into(),
        mde: mde.into(),
        harm: -sign * difference,
        margin: 0.0,
        margin_rule: design.margin,
        relative: None,
        alpha: design.alpha,
        verdict: None,
        verdict_reason: None,
        gained: found.names(&is_better),
        n_gained: found.differences.iter().filter(|d| is_better(**d)).count(),
        lost: found.names(&|d| d != 0.0 && !is_better(d)),
        n_lost: found.n_with(-sign),
    };
    judge(&mut comparison, &found, (interval, std_error), design);
    comparison
}

/// The interval of the difference, and whether it comes from counts.
///
/// With few discordant pairs the variance is unreliable, so the interval comes from counts of pairs,
/// or of clusters if there are any.
fn interval_of(
    found: &Pairs<'_>,
    (summary, std_error): (Option<Mean>, Result<f64, Reason>),
    design: &Design,
) -> (Result<Interval, Reason>, bool) {
    let (up, down) = (found.n_with(1.0), found.n_with(-1.0));
    let few = up + down < FEW_DIFFERENCES || std_error == Ok(0.0);
    let by_counts = few || (design.is_share && found.is_binary() && !found.has_clusters);
    let range = found.range(design.is_share);
    let difference = found.means[1] - found.means[0];
    let df = summary.map_or(0.0, |summary| summary.df);
    let interval = match std_error {
        Err(reason) => Err(reason),
        Ok(_) if by_counts && range <= 0.0 => Err(Reason::NoVariance),
        Ok(std_error) if by_counts => {
            let [up, down, units] = parts(&found.clustered(), range);
            let by_counts = mcnemar::interval(difference / range, up, down, units, design.alpha);
            // Parts are those of the worst case. The spread that was found counts, too.
            let reach = if found.has_clusters || !design.is_share {
                t_isf(0.5 * design.alpha, df) * std_error
            } else {
                0.0
            };
            Ok(Interval {
                ci_lower: (by_counts.ci_lower * range).min(difference - reach),
                ci_upper: (by_counts.ci_upper * range).max(difference + reach),
            })
        }
        Ok(std_error) => Ok(Interval::around(
            difference,
            t_isf(0.5 * design.alpha, df) * std_error,
        )),
    };
    (interval, by_counts)
}

/// The test that fits the pairs.
fn test_of(
    found: &Pairs<'_>,
    sign: f64,
    df: f64,
    t_p_value: Result<f64, Reason>,
) -> Result<PairTest, Reason> {
    let (up, down) = (found.n_with(1.0), found.n_with(-1.0));
    if up + down == 0 {
        Ok(PairTest::NoDifference { p_value: 1.0 })
    } else if found.has_clusters {
        t_p_value.map(|p_value| PairTest::ClusteredT { df, p_value })
    } else if found.is_binary() {
        let (lost, gained) = if sign > 0.0 { (down, up) } else { (up, down) };
        let tested = mcnemar::test(
            lost as f64,
            gained as f64,
            ((lost + gained) as f64) < mcnemar::EXACT_BELOW,
        );
        Ok(PairTest::McNemar {
            lost: lost as u64,
            gained: gained as u64,
            exact: tested.is_exact,
            p_value: tested.p_value.p,
        })
    } else {
        let tested = ranks::wilcoxon(&found.differences, Alternative::TwoSided, Counting::Auto)?;
        Ok(PairTest::Wilcoxon {
            n: tested.n,
            exact: tested.is_exact,
            p_value: tested.p_value.p.min(1.0),
        })
    }
}

/// Judges the harm of a comparison against its margin.
fn judge(
    comparison: &mut Comparison,
    found: &Pairs<'_>,
    (interval, std_error): (Result<Interval, Reason>, Result<f64, Reason>),
    design: &Design,
) {
    let is_higher = design.better == Better::Higher;
    let of_harm = |interval: Interval| if is_higher { interval.negated() } else { interval };
    let has_value = |arm: usize| found.pairs.len() + comparison.n_unpaired[arm] > 0;
    let judged = match design.margin {
        _ if has_value(0) != has_value(1) => Err(VerdictReason::NotInBoth),
        _ if !has_unit(&comparison.metric) && has_other_scale(found) => Err(VerdictReason::AnotherScale),
        None => Err(VerdictReason::NoMargin),
        Some(Margin::Absolute(margin)) => {
            comparison.margin = margin;
            interval
                .map(|interval| non_inferiority::judge(comparison.harm, of_harm(interval), margin, true))
                .map_err(reason_of)
        }
        Some(Margin::Relative(margin)) => {
            comparison.margin = margin * found.means[0].abs();
            let change = relative(found, interval, std_error, design.alpha);
            comparison.relative = Some(change.into());
            match change {
                Ok(change) => {
                    let harm = if is_higher { -change.change } else { change.change };
                    Ok(non_inferiority::judge(
                        harm,
                        of_harm(change.interval),
                        margin,
                        true,
                    ))
                }
                Err(Reason::OutOfRange) => Err(VerdictReason::MeanNotAboveZero),
                Err(reason) => Err(reason_of(reason)),
            }
        }
    };
    let is_missing = comparison
        .n_missing
        .iter()
        .zip(&comparison.n_expected)
        .any(|(n_missing, n)| *n_missing as f64 > design.max_missing * *n as f64);
    (comparison.verdict, comparison.verdict_reason) = match judged {
        // What is missing may be the cases that fail.
        Ok(HarmVerdict::Safe) if is_missing => {
            (Some(HarmVerdict::Unclear), Some(VerdictReason::TooManyMissing))
        }
        Ok(HarmVerdict::Unclear) => (Some(HarmVerdict::Unclear), Some(VerdictReason::NotPrecise)),
        Ok(verdict) => (Some(verdict), None),
        Err(reason) => (None, Some(reason)),
    };
}

fn reason_of(reason: Reason) -> VerdictReason {
    match reason {
        Reason::NoVariance => VerdictReason::NoVariance,
        _ => VerdictReason::TooFewPairs,
    }
}

/// Whether one release has shares and the other percentages: all values of one lie in 0..=1, and the
/// others reach beyond 1, up to 100, with a mean of at least ten times the largest of the shares. Five
/// times are enough if there are fractions among the shares.
fn has_other_scale(found: &Pairs<'_>) -> bool {
    let is_percent_of = |shares: usize, percents: usize| {
        let (shares, percents) = (found.values(shares), found.values(percents));
        let largest = shares.clone().fold(f64::NEG_INFINITY, f64::max);
        let is_share = shares.clone().all(|value| (0.0..=1.0).contains(&value)) && largest > 0.0;
        let top = percents.clone().fold(f64::NEG_INFINITY, f64::max);
        let is_percent = percents.clone().all(|value| (0.0..=100.0).contains(&value)) && top > 1.0;
        let n = found.pairs.len() as f64;
        let has_fractions = shares.clone().any(|value| value.fract() != 0.0);
        let times = if has_fractions { 5.0 } else { 10.0 };
        is_share && is_percent && percents.sum::<f64>() / n >= times * largest
    };
    !found.pairs.is_empty() && (is_percent_of(0, 1) || is_percent_of(1, 0))
}

/// The change of the mean relative to the baseline's, with the interval of the logarithm of the ratio
/// of the means by linearization: `b_i / mean(b) - a_i / mean(a)` over clusters. It is at least as
/// wide as an interval from counts where few pairs differ.
///
/// # Errors
/// A mean is not above 0, or there are too few pairs.
fn relative(
    found: &Pairs<'_>,
    interval: Result<Interval, Reason>,
    std_error: Result<f64, Reason>,
    alpha: f64,
) -> Result<RelativeChange, Reason> {
    let [before, after] = found.means;
    std_error?;
    if !(before > 0.0 && after > 0.0) {
        return Err(Reason::OutOfRange);
    }
    let parts = found.pairs.iter().map(|(_, a, b)| b / after - a / before);
    let parts: Vec<(f64, usize)> = parts.zip(found.clusters.iter().copied()).collect();
    let mean = single(&parts).ok_or(Reason::NoData)?;
    let reach = t_isf(0.5 * alpha, mean.df) * mean.std_error.result()?;
    let ratio = (after / before).ln();
    let mut change = Interval {
        ci_lower: (ratio - reach).exp_m1(),
        ci_upper: (ratio + reach).exp_m1(),
    };
    let n_different = found.n_with(1.0) + found.n_with(-1.0);
    if n_different < FEW_DIFFERENCES && 2 * n_different < found.pairs.len() {
        let by_counts = interval?;
        change.ci_lower = change.ci_lower.min((by_counts.ci_lower / before).max(-1.0));
        change.ci_upper = change.ci_upper.max(by_counts.ci_upper / before);
    }
    Ok(RelativeChange {
        change: ratio.exp_m1(),
        interval: change,
    })
}

/// The cluster of each case, numbered from 0. A case without a cluster is its own cluster.
pub fn clusters_of<'a>(cases: impl Iterator<Item = &'a Case>) -> Vec<usize> {
    let mut known: HashMap<&str, usize> = HashMap::new();
    let mut next = 0;
    let mut fresh = || {
        next += 1;
        next - 1
    };
    cases
        .map(|case| match &case.cluster {
            Some(cluster) => *known.entry(cluster).or_insert_with(&mut fresh),
            None => fresh(),
        })
        .collect()
}

/// The sum and the size of each cluster that has a value. Clusters are numbered from 0.
fn sums_of(values: impl Iterator<Item = (f64, usize)>) -> Vec<(f64, f64)> {
    let mut sums: Vec<(f64, f64)> = Vec::new();
    for (value, cluster) in values {
        if sums.len() <= cluster {
            sums.resize(cluster + 1, (0.0, 0.0));
        }
        sums[cluster].0 += value;
        sums[cluster].1 += 1.0;
    }
    sums.retain(|(_, n)| *n > 0.0);
    sums
}

/// The changes of pairs as counts: how many pairs rose, how many fell, and of how many. A change
/// counts as its part of the range, because it has at most the variance of as many whole changes. The
/// cases of a cluster count as one, because they may all change together.
fn parts(values: &[(f64, usize)], range: f64) -> [f64; 3] {
    let n = values.len() as f64;
    let sizes = sums_of(values.iter().map(|(_, cluster)| (1.0, *cluster)));
    // The mean size of the cluster of a case. It is 1 without clusters.
    let size = sizes.iter().map(|(size, _)| size * size).sum::<f64>() / n;
    let part = |sign: f64| {
        let changes = values.iter().map(|(d, _)| (d * sign).max(0.0));
        changes.sum::<f64>() / (range * size)
    };
    [part(1.0), part(-1.0), n / size]
}

fn bootstrap_interval(
    values: &[(f64, usize)],
    has_clusters: bool,
    design: &Design,
) -> Result<Interval, Reason> {
    let sums = sums_of(values.iter().copied());
    if design.n_replicates == 0 || sums.len() * design.n_replicates > MAX_DRAWS {
        return Err(Reason::TooLarge);
    }
    let (tops, sizes): (Vec<f64>, Vec<f64>) = sums.into_iter().unzip();
    if tops.iter().all(|top| *top == tops[0]) && sizes.iter().all(|size| *size == sizes[0]) {
        return Err(Reason::NoVariance);
    }
    let statistic = if has_clusters {
        Statistic::Ratio(&tops, &sizes)
    } else {
        Statistic::Mean(&tops)
    };
    bootstrap::resample(statistic, design.n_replicates, design.seed)?.interval(
        BootstrapMethod::Bca,
        design.n_replicates,
        design.alpha,
    )
}

/// Estimates pass^k, the probability that a release passes all of k runs of a case. The result
/// holds k = 1, 2, ... up to the smallest number of rated runs of a case, at most 64.
///
/// # Errors
/// No case has a run that passed or failed.
pub fn pass_hat(suite: &Suite, arm: usize) -> Result<Vec<f64>, Reason> {
    let rated: Vec<(u64, u64)> = suite
        .cases
        .iter()
        .map(|case| case.arms[arm].passed)
        .filter(|passed| passed.n > 0)
        .map(|passed| (u64::from(passed.n), passed.sum as u64))
        .collect();
    let (attempts, successes): (Vec<u64>, Vec<u64>) = rated.into_iter().unzip();
    let most = attempts.iter().copied().min().ok_or(Reason::NoData)?;
    (1..=most.min(64))
        .map(|k| pass_k::pass_hat_k(&attempts, &successes, k))
        .collect()
}

#[cfg(test)]
mod tests;
