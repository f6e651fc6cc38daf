//! The comparison of two releases on the same cases: paired, clustered, and judged against a
//! margin.

use hashbrown::HashMap;
use serde::Serialize;

use crate::metric::Better;
use crate::release::evals::cases::{Case, Suite};
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

/// Correction of p-values over the compared metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// Bounds the chance of any false alarm (Holm).
    #[default]
    Holm,
    /// Bounds the share of false alarms (Benjamini and Hochberg).
    BenjaminiHochberg,
    /// No correction.
    None,
}

/// The settings of a comparison that are fixed before the results are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Design {
    /// The direction in which the metric improves.
    pub better: Better,
    /// The non-inferiority margin: the largest harm that is acceptable, in the metric's unit.
    pub margin: f64,
    /// The two-sided error probability of one interval, between 0 and 1.
    pub alpha: f64,
    /// Whether every value lies in 0..=1.
    pub is_share: bool,
    /// The seed of the bootstrap.
    pub seed: u64,
    /// The number of bootstrap replicates; 0 for no bootstrap.
    pub n_replicates: usize,
}

/// The test of a comparison, with its result.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum PairTest {
    /// McNemar's test, for values of 0 and 1.
    McNemar {
        /// The number of cases in which only the baseline succeeded.
        lost: u64,
        /// The number of cases in which only the candidate succeeded.
        gained: u64,
        /// Whether the p-value is exact, by the binomial distribution.
        exact: bool,
        /// The two-sided p-value, 0..=1.
        p_value: f64,
    },
    /// Wilcoxon's signed-rank test.
    Wilcoxon {
        /// The number of differences other than 0.
        n: usize,
        /// Whether the p-value is exact, by the full distribution.
        exact: bool,
        /// The two-sided p-value, 0..=1.
        p_value: f64,
    },
    /// The t test of the mean difference with its clustered standard error.
    ClusteredT {
        /// The degrees of freedom: the number of clusters less 1.
        df: f64,
        /// The two-sided p-value, 0..=1.
        p_value: f64,
    },
    /// No test: all pairs have equal values.
    NoDifference {
        /// The p-value, always 1.
        p_value: f64,
    },
}

impl PairTest {
    /// The two-sided p-value, 0..=1.
    pub fn p_value(&self) -> f64 {
        match self {
            Self::McNemar { p_value, .. }
            | Self::Wilcoxon { p_value, .. }
            | Self::ClusteredT { p_value, .. }
            | Self::NoDifference { p_value } => *p_value,
        }
    }
}

/// The comparison of one metric of one suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The name of the suite, such as `golden` or `injection`.
    pub suite: String,
    /// The name of the metric: `passed`, `cost_usd`, `latency_ms` or a score.
    pub metric: String,
    /// The number of cases with a value in both releases.
    pub n_pairs: usize,
    /// The number of cases with a value in the baseline only, and in the candidate only.
    pub n_unpaired: [usize; 2],
    /// The number of runs that ended in an error, in the run or in its judge: baseline, candidate.
    pub n_errors: [u64; 2],
    /// The number of clusters among the pairs; 0 with fewer than [`MIN_PAIRS`] pairs.
    pub n_clusters: usize,
    /// The means over the pairs, in the metric's unit: baseline, candidate. 0 without pairs.
    pub means: [f64; 2],
    /// The mean of the candidate less the mean of the baseline, in the metric's unit.
    pub difference: f64,
    /// The clustered standard error of the difference, in the metric's unit.
    pub std_error: Known<f64>,
    /// The interval of the difference that the verdict uses, in the metric's unit.
    pub interval: Known<Interval>,
    /// The method of the interval: `t`, or `counts` (from the counts of discordant pairs).
    pub interval_method: &'static str,
    /// The BCa bootstrap interval over clusters. Not computed beyond 200 million draws.
    pub bca: Known<Interval>,
    /// The test that fits the data: McNemar, Wilcoxon or the clustered t test.
    pub test: Known<PairTest>,
    /// The two-sided p-value of the t test, 0..=1. It is computed even if `test` is another test.
    pub t_p_value: Known<f64>,
    /// The p-value of the test, 0..=1, corrected over the metrics of the gate; `None` before the
    /// correction.
    pub p_value_adj: Option<f64>,
    /// Cohen's d of the pairs, without a unit: the mean difference over its standard deviation.
    pub effect_size: Known<f64>,
    /// The minimum detectable effect: the difference that is found with a power of 0.8, in the
    /// metric's unit.
    pub mde: Known<f64>,
    /// The harm: how much worse the candidate is, in the metric's unit. Negative if it is better.
    pub harm: f64,
    /// The non-inferiority margin, in the metric's unit.
    pub margin: f64,
    /// Whether the harm is within the margin: safe, unclear or violated. `None` without an
    /// interval.
    pub verdict: Option<HarmVerdict>,
    /// The ids of cases that got better, at most 100.
    pub gained: Vec<String>,
    /// The number of cases that got better.
    pub n_gained: usize,
    /// The ids of cases that got worse, at most 100.
    pub lost: Vec<String>,
    /// The number of cases that got worse.
    pub n_lost: usize,
}

/// A mean over cases with its clustered standard error.
///
/// With n cases in C clusters, the standard error is `sqrt(C / (C - 1) sum_c (sum_{i in c} (s_i -
/// mean))^2) / n`. The degrees of freedom are C - 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Mean {
    /// The mean over the cases, in the metric's unit.
    pub mean: f64,
    /// The clustered standard error of the mean, in the metric's unit.
    pub std_error: Known<f64>,
    /// The number of clusters, C.
    pub n_clusters: usize,
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
        let by_t = Interval::around(self.mean, t_isf(0.5 * alpha, n - 1.0) * std_error);
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
    !["cost", "latency", "token"]
        .iter()
        .any(|word| metric.contains(word))
        && values.all(|value| (0.0..=1.0).contains(&value))
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
    })
}

/// Compares the values that `value` reads for each case and arm.
///
/// # References
/// `docs/METHODS.md#paired-evaluations`. For shares with few discordant pairs: square-and-add of
/// Wilson's intervals of the two discordant shares (Newcombe 1998, Zou & Donner 2008), which keeps
/// a width above 0 even without a discordant pair.
pub fn compare(
    suite: &Suite,
    metric: &str,
    value: &dyn Fn(&Case, usize) -> Option<f64>,
    design: &Design,
) -> Comparison {
    let both: Vec<(&Case, Option<f64>, Option<f64>)> = suite
        .cases
        .iter()
        .map(|case| (case, value(case, 0), value(case, 1)))
        .collect();
    let pairs: Vec<(&Case, f64, f64)> = both
        .iter()
        .filter_map(|(case, a, b)| Some((*case, (*a)?, (*b)?)))
        .collect();
    let errors = |arm: usize| {
        suite
            .cases
            .iter()
            .map(|case| u64::from(case.arms[arm].n_errors))
            .sum()
    };
    let n = pairs.len();
    let mean = |of: &dyn Fn(&(&Case, f64, f64)) -> f64| {
        if n == 0 {
            0.0
        } else {
            pairs.iter().map(of).sum::<f64>() / n as f64
        }
    };
    let means = [mean(&|pair| pair.1), mean(&|pair| pair.2)];
    let sign = if design.better == Better::Higher {
        1.0
    } else {
        -1.0
    };
    let differences: Vec<f64> = pairs.iter().map(|(_, a, b)| b - a).collect();
    let clusters = clusters_of(pairs.iter().map(|pair| pair.0));
    let has_clusters = pairs.iter().any(|(case, _, _)| case.cluster.is_some());
    let clustered: Vec<(f64, usize)> = differences.iter().copied().zip(clusters).collect();
    let summary = single(&clustered).filter(|_| n >= MIN_PAIRS);
    let n_clusters = summary.map_or(0, |summary| summary.n_clusters);
    let std_error = summary.map_or(Err(Reason::TooFewRows), |summary| summary.std_error.result());
    let df = n_clusters.saturating_sub(1) as f64;
    let is_better = |d: f64| d * sign > 0.0;
    let names = |keep: &dyn Fn(f64) -> bool| -> Vec<String> {
        let kept = pairs.iter().zip(&differences).filter(|(_, d)| keep(**d));
        kept.take(LISTED)
            .map(|(pair, _)| pair.0.case_id.to_string())
            .collect()
    };
    let n_gained = differences.iter().filter(|d| is_better(**d)).count();
    let n_lost = differences
        .iter()
        .filter(|d| **d != 0.0 && !is_better(**d))
        .count();

    let is_binary = pairs
        .iter()
        .all(|(_, a, b)| (*a == 0.0 || *a == 1.0) && (*b == 0.0 || *b == 1.0));
    let up = differences.iter().filter(|d| **d > 0.0).count();
    let down = differences.iter().filter(|d| **d < 0.0).count();
    let difference = means[1] - means[0];
    // With few discordant pairs the variance is unreliable, so the interval comes from counts of
    // pairs, or of clusters if there are any.
    let few = up + down < FEW_DIFFERENCES || std_error == Ok(0.0);
    let by_counts = few || (design.is_share && is_binary && !has_clusters);
    // The largest possible change of a pair. It is 1 for a share, else the range of all values.
    let all = pairs.iter().flat_map(|(_, a, b)| [*a, *b]);
    let range = if design.is_share {
        1.0
    } else {
        all.clone().fold(f64::NEG_INFINITY, f64::max) - all.fold(f64::INFINITY, f64::min)
    };
    let interval = match std_error {
        Err(reason) => Err(reason),
        Ok(_) if by_counts && range <= 0.0 => Err(Reason::NoVariance),
        Ok(std_error) if by_counts => {
            let units = if has_clusters { n_clusters } else { n } as f64;
            let counted = |sign: f64| match has_clusters {
                true => clusters_with(&clustered, sign),
                false if sign > 0.0 => up,
                false => down,
            };
            let by_counts = mcnemar::interval(
                difference / range,
                counted(1.0) as f64,
                counted(-1.0) as f64,
                units,
                design.alpha,
            );
            let by_counts = Interval {
                ci_lower: by_counts.ci_lower * range,
                ci_upper: by_counts.ci_upper * range,
            };
            // Counts ignore the sizes of clusters and the sizes of score changes. The interval is
            // therefore at least as wide as the t interval.
            let reach = if has_clusters || !design.is_share {
                t_isf(0.5 * design.alpha, df) * std_error
            } else {
                0.0
            };
            Ok(Interval {
                ci_lower: by_counts.ci_lower.min(difference - reach),
                ci_upper: by_counts.ci_upper.max(difference + reach),
            })
        }
        Ok(std_error) => Ok(Interval::around(
            difference,
            t_isf(0.5 * design.alpha, df) * std_error,
        )),
    };
    let half = |interval: Interval| 0.5 * (interval.ci_upper - interval.ci_lower);
    let mde = interval.map(|interval| (1.0 + norm_isf(0.2) / norm_isf(0.5 * design.alpha)) * half(interval));
    let t_p_value = std_error.and_then(|std_error| {
        if std_error > 0.0 {
            Ok((2.0 * t_sf((difference / std_error).abs(), df)).min(1.0))
        } else {
            Err(Reason::NoVariance)
        }
    });
    let test = std_error.and_then(|_| {
        if up + down == 0 {
            Ok(PairTest::NoDifference { p_value: 1.0 })
        } else if has_clusters {
            t_p_value.map(|p_value| PairTest::ClusteredT { df, p_value })
        } else if is_binary {
            let (lost, gained) = if sign > 0.0 { (down, up) } else { (up, down) };
            let found = mcnemar::test(
                lost as f64,
                gained as f64,
                ((lost + gained) as f64) < mcnemar::EXACT_BELOW,
            );
            Ok(PairTest::McNemar {
                lost: lost as u64,
                gained: gained as u64,
                exact: found.is_exact,
                p_value: found.p_value.p,
            })
        } else {
            ranks::wilcoxon(&differences, Alternative::TwoSided, Counting::Auto).map(|found| {
                PairTest::Wilcoxon {
                    n: found.n,
                    exact: found.is_exact,
                    p_value: found.p_value.p.min(1.0),
                }
            })
        }
    });
    let spread =
        (differences.iter().map(|d| (d - difference).powi(2)).sum::<f64>() / (n as f64 - 1.0)).sqrt();
    let effect_size = match n {
        0..MIN_PAIRS => Err(Reason::TooFewRows),
        _ if spread > 0.0 => Ok(difference / spread),
        _ => Err(Reason::NoVariance),
    };
    let bca = std_error.and_then(|_| bootstrap_interval(&clustered, has_clusters, design));
    let harm = -sign * difference;
    let verdict = interval.ok().map(|interval| {
        let interval = if sign > 0.0 { interval.negated() } else { interval };
        non_inferiority::judge(harm, interval, design.margin, true)
    });
    Comparison {
        suite: suite.name.to_string(),
        metric: metric.to_owned(),
        n_pairs: n,
        n_unpaired: [0, 1].map(|arm| {
            both.iter()
                .filter(|(_, a, b)| [a, b][arm].is_some() && [b, a][arm].is_none())
                .count()
        }),
        n_errors: [errors(0), errors(1)],
        n_clusters,
        means,
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
        harm,
        margin: design.margin,
        verdict,
        gained: names(&is_better),
        n_gained,
        lost: names(&|d| d != 0.0 && !is_better(d)),
        n_lost,
    }
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

/// The number of clusters whose sum of values has the given sign (1 or -1).
fn clusters_with(values: &[(f64, usize)], sign: f64) -> usize {
    sums_of(values.iter().copied())
        .iter()
        .filter(|(sum, _)| sum * sign > 0.0)
        .count()
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
