//! The comparison of one metric of two releases: what is fixed before, and what is found.

use serde::Serialize;

use crate::base::escape;
use crate::metric::Better;
use crate::release::evals::margin::Margin;
use crate::stats::non_inferiority::HarmVerdict;
use crate::stats::{Interval, Known};
use crate::words::evals as says;
use crate::words::{Count, Measured, Text};

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
    /// The non-inferiority margin: the largest harm that is acceptable; `None` if the metric has
    /// none, so that it is not judged.
    pub margin: Option<Margin>,
    /// The two-sided error probability of one interval, between 0 and 1.
    pub alpha: f64,
    /// Whether every value lies in 0..=1.
    pub is_share: bool,
    /// The seed of the bootstrap.
    pub seed: u64,
    /// The number of bootstrap replicates; 0 for no bootstrap.
    pub n_replicates: usize,
    /// The largest share of runs without a value for which the metric can be safe, 0..=1.
    pub max_missing: f64,
}

/// The reason for a comparison without a verdict, or with an unclear one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictReason {
    /// Too few cases, or clusters, have a value in both releases.
    TooFewPairs,
    /// All values are equal, so no interval can be estimated.
    NoVariance,
    /// One release has shares (0 to 1), the other percentages.
    AnotherScale,
    /// Only one release has the metric.
    NotInBoth,
    /// The metric has no margin.
    NoMargin,
    /// The margin is relative, and a mean is not above 0.
    MeanNotAboveZero,
    /// Too many runs have no value for the harm to be safe.
    TooManyMissing,
    /// The interval contains the margin.
    NotPrecise,
    /// The judges' error rates say nothing.
    UselessJudge,
}

impl VerdictReason {
    /// The reason in words.
    pub fn text(self) -> Text {
        match self {
            Self::TooFewPairs => says::too_few_pairs(),
            Self::NoVariance => says::no_variance(),
            Self::AnotherScale => says::another_scale(),
            Self::NotInBoth => says::not_in_both(),
            Self::NoMargin => says::no_margin(),
            Self::MeanNotAboveZero => says::mean_not_above_zero(),
            Self::TooManyMissing => says::too_many_missing(),
            Self::NotPrecise => says::not_precise(),
            Self::UselessJudge => says::useless_judge(),
        }
    }
}

/// The change of a mean relative to the baseline's mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RelativeChange {
    /// The candidate's mean over the baseline's, less 1.
    pub change: f64,
    /// The interval of the change, from the logarithm of the ratio of the two means.
    #[serde(flatten)]
    pub interval: Interval,
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
    /// The unit of the values: `share`, `USD`, `ms`, `tokens`. Empty for other scores.
    pub unit: &'static str,
    /// Whether lower values are better.
    pub lower_is_better: bool,
    /// The number of cases with a value in both releases.
    pub n_pairs: usize,
    /// The number of cases with a value in the baseline only, and in the candidate only.
    pub n_unpaired: [usize; 2],
    /// The number of runs that ended in an error, in the run or in its judge: baseline, candidate.
    pub n_errors: [u64; 2],
    /// The number of runs without a value: broken, not rated, absent, or in the other release only.
    pub n_missing: [u64; 2],
    /// The number of runs that should have a value.
    pub n_expected: [u64; 2],
    /// The number of clusters among the pairs; 0 with fewer than
    /// [`crate::release::evals::MIN_PAIRS`] pairs.
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
    /// The non-inferiority margin, in the metric's unit. A relative margin is a share of the
    /// baseline's mean. 0 without a margin.
    pub margin: f64,
    /// The margin as it was given: a number, or a percentage such as `5%`.
    pub margin_rule: Option<Margin>,
    /// The relative change, for metrics with a relative margin; `None` for others.
    pub relative: Option<Known<RelativeChange>>,
    /// The two-sided error probability of the interval, after a correction for several comparisons.
    pub alpha: f64,
    /// Whether the harm is within the margin: safe, unclear or violated. `None` without an
    /// interval.
    pub verdict: Option<HarmVerdict>,
    /// The reason for a verdict that is not known or not clear; `None` for others.
    pub verdict_reason: Option<VerdictReason>,
    /// The ids of cases that got better, at most 100.
    pub gained: Vec<String>,
    /// The number of cases that got better.
    pub n_gained: usize,
    /// The ids of cases that got worse, at most 100.
    pub lost: Vec<String>,
    /// The number of cases that got worse.
    pub n_lost: usize,
}

impl Comparison {
    /// The interval of the harm: how much worse the candidate is, relative for a metric with a
    /// relative margin. The unit is that of the metric, or `%`. `None` without an interval.
    pub fn harm_interval(&self) -> Option<(Interval, &'static str)> {
        // A correction for judges changes the interval of the difference alone.
        let relative = self.relative.as_ref().filter(|_| self.interval_method != "judge");
        let (interval, unit) = match relative.and_then(|change| change.value()) {
            Some(change) => (change.interval, says::RELATIVE),
            None => (*self.interval.value()?, self.unit),
        };
        let harm = if self.lower_is_better {
            interval
        } else {
            interval.negated()
        };
        Some((harm, unit))
    }

    /// The margin as readers see it: `2 points`, or `5%` for a relative one.
    pub fn allowed(&self) -> Text {
        match self.margin_rule {
            Some(Margin::Absolute(margin)) => says::size(margin, self.unit),
            Some(Margin::Relative(share)) => says::size(share, says::RELATIVE),
            None => says::none_allowed(),
        }
    }

    /// The comparison as a sentence; `None` without an interval. A metric with a relative margin has
    /// its relative change.
    pub fn sentence(&self) -> Option<Text> {
        let (harm, unit) = self.harm_interval()?;
        let [before, after] = self.means.map(|value| Measured {
            value,
            unit: self.unit,
        });
        let [n, n_better, n_worse] = [self.n_pairs, self.n_gained, self.n_lost].map(|n| Count(n as u64));
        Some(says::went(
            says::eval_metric(&self.metric),
            escape::line(&self.suite).into_owned(),
            before,
            after,
            says::change(harm, unit, &self.allowed()),
            says::pairs(n, n_better, n_worse),
        ))
    }
}
