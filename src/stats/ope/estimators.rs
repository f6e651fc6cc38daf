//! Estimators of the value of an evaluation policy from the log of a behavior policy.

use hashbrown::HashMap;

use crate::stats::dist::t_isf;
use crate::stats::known::{Interval, Reason};
use crate::stats::spread;

/// The effective sample size (rows) below which an estimate is not reliable.
pub const MIN_ESS: f64 = 50.0;

/// The number of standard errors by which the mean weight may differ from 1.
pub const MAX_WEIGHT_Z: f64 = 4.0;

/// A log with the probabilities and model values of the evaluation policy, one entry per row.
/// `cluster` may be empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// Observed rewards, one per row, in any unit.
    pub reward: Vec<f64>,
    /// Importance weights `pi_e / p`: the probability of the action under the evaluation policy
    /// over its propensity. At least 0.
    pub weight: Vec<f64>,
    /// Modeled reward of the action that was taken; 0 without a model.
    pub q: Vec<f64>,
    /// Modeled reward of the evaluation policy, `sum_a pi_e(a) q(a)`; 0 without a model.
    pub v: Vec<f64>,
    /// Index of each row's cluster (user), from 0. If empty, each row is its own cluster.
    pub cluster: Vec<usize>,
}

impl Log {
    /// Whether a cluster has several rows.
    pub fn has_clusters(&self) -> bool {
        let n_clusters = self.cluster.iter().max().map_or(0, |last| last + 1);
        n_clusters < self.cluster.len()
    }
}

/// Parameters of the estimators that limit large weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lambdas {
    /// Upper limit of clipped weights, at least 0: `min(w, clip)`.
    pub clip: f64,
    /// Largest weight for which Switch-DR applies the correction; above it Switch-DR uses the model
    /// alone.
    pub switch: f64,
    /// Parameter of optimistic shrinkage: `os w / (w^2 + os)`. Infinite: no shrinkage.
    pub os: f64,
    /// Parameter of sub-Gaussian weights, 0..=1: `w / (1 - sg + sg w)`. 0: no change.
    pub sg: f64,
}

/// An estimate of the value of the evaluation policy, in units of the reward.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Value {
    /// The estimated mean reward per row under the evaluation policy.
    pub estimate: f64,
    /// Standard error of the estimate, clustered by user.
    pub std_error: f64,
    /// Interval by the t distribution, with clusters - 1 degrees of freedom.
    pub ci: Interval,
}

/// The estimators of a value. In the formulas `w` is the weight of a row, `r` its reward, `q` the
/// modeled reward of its action, and `v` the modeled reward of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Estimator {
    /// Inverse propensity scoring (IPS): the mean of `w r`.
    Ips,
    /// Inverse propensity scoring with clipped weights: the mean of `min(w, clip) r`.
    ClippedIps,
    /// Self-normalized inverse propensity scoring: `sum w r / sum w`.
    Snips,
    /// Direct method: the mean of `v`.
    Dm,
    /// Doubly robust (DR): the mean of `v + w (r - q)`.
    Dr,
    /// Doubly robust with clipped weights.
    ClippedDr,
    /// Self-normalized doubly robust: the mean of `v`, plus `sum w (r - q) / sum w`.
    Sndr,
    /// Doubly robust, with the correction only for rows with a small weight.
    SwitchDr,
    /// Doubly robust with optimistic shrinkage of the weights.
    DrOs,
    /// Inverse propensity scoring with sub-Gaussian weights.
    SgIps,
    /// Doubly robust with sub-Gaussian weights.
    SgDr,
}

impl Estimator {
    /// All estimators with their names in calculations.
    pub const ALL: [(&'static str, Self); 11] = [
        ("ips", Self::Ips),
        ("ips_clip", Self::ClippedIps),
        ("snips", Self::Snips),
        ("dm", Self::Dm),
        ("dr", Self::Dr),
        ("dr_clip", Self::ClippedDr),
        ("sndr", Self::Sndr),
        ("switch_dr", Self::SwitchDr),
        ("dr_os", Self::DrOs),
        ("sg_ips", Self::SgIps),
        ("sg_dr", Self::SgDr),
    ];

    /// Whether the estimator needs a reward model.
    pub fn needs_model(self) -> bool {
        !matches!(self, Self::Ips | Self::ClippedIps | Self::Snips | Self::SgIps)
    }

    fn weight(self, w: f64, lambdas: &Lambdas) -> f64 {
        match self {
            Self::ClippedIps | Self::ClippedDr => w.min(lambdas.clip),
            Self::SwitchDr => {
                if w <= lambdas.switch {
                    w
                } else {
                    0.0
                }
            }
            Self::DrOs => {
                if lambdas.os.is_infinite() {
                    w
                } else if w == 0.0 {
                    0.0
                } else {
                    lambdas.os * w / (w * w + lambdas.os)
                }
            }
            Self::SgIps | Self::SgDr => {
                if w == 0.0 {
                    0.0
                } else {
                    w / (1.0 - lambdas.sg + lambdas.sg * w)
                }
            }
            Self::Dm => 0.0,
            _ => w,
        }
    }

    /// The value of the evaluation policy, with an error clustered by user and an interval at
    /// two-sided level `alpha`. The inner result is the error of the estimate, if it can be
    /// computed.
    ///
    /// # Errors
    /// [`Reason::NoData`] without rows, [`Reason::NoOverlap`] if the weights of a self-normalized
    /// estimator sum to 0. The inner result is [`Reason::TooFewRows`] for fewer than two
    /// clusters, and [`Reason::NoVariance`] if the rows do not differ.
    ///
    /// # References
    /// `docs/METHODS.md#off-policy-estimates`; Dudik et al. (2014), Swaminathan & Joachims (2015),
    /// Wang et al. (2017), Su et al. (2020), Metelli et al. (2021).
    pub fn value(
        self,
        log: &Log,
        lambdas: &Lambdas,
        alpha: f64,
    ) -> Result<(f64, Result<Value, Reason>), Reason> {
        let n = log.reward.len() as f64;
        if log.reward.is_empty() {
            return Err(Reason::NoData);
        }
        let weights: Vec<f64> = log.weight.iter().map(|w| self.weight(*w, lambdas)).collect();
        let has_model = self.needs_model();
        let parts: Vec<(f64, f64)> = (0..log.reward.len())
            .map(|row| {
                let (q, v) = if has_model {
                    (log.q[row], log.v[row])
                } else {
                    (0.0, 0.0)
                };
                (v, weights[row] * (log.reward[row] - q))
            })
            .collect();
        let mean_v = parts.iter().map(|(v, _)| v).sum::<f64>() / n;
        let correction: f64 = parts.iter().map(|(_, c)| c).sum();
        let (estimate, residuals): (f64, Vec<Residual>) = if matches!(self, Self::Snips | Self::Sndr) {
            let sum_weights: f64 = weights.iter().sum();
            if sum_weights == 0.0 {
                return Err(Reason::NoOverlap);
            }
            let ratio = correction / sum_weights;
            let residual = |((v, c), w): (&(f64, f64), &f64)| {
                Residual::from_terms([v / n, -mean_v / n, c / sum_weights, -ratio * w / sum_weights])
            };
            (mean_v + ratio, parts.iter().zip(&weights).map(residual).collect())
        } else {
            let estimate = mean_v + correction / n;
            let residual = |(v, c): &(f64, f64)| Residual::from_terms([v / n, c / n, -estimate / n, 0.0]);
            (estimate, parts.iter().map(residual).collect())
        };
        Ok((estimate, clustered(estimate, &residuals, &log.cluster, alpha)))
    }
}

/// The residual of a row, or of a cluster of rows.
#[derive(Debug, Clone, Copy, Default)]
struct Residual {
    /// The sum of its terms.
    value: f64,
    /// The sum of the sizes of its terms: rounding is relative to it.
    magnitude: f64,
}

impl Residual {
    fn from_terms(terms: [f64; 4]) -> Self {
        Self {
            value: terms.iter().sum(),
            magnitude: terms.iter().map(|term| term.abs()).sum(),
        }
    }
}

/// The estimate with its clustered standard error, `sqrt(m / (m - 1) sum_u s_u^2)`. `s_u` is the
/// sum of a cluster's residuals and m the number of clusters.
///
/// # Errors
/// [`Reason::TooFewRows`] for fewer than two clusters, [`Reason::NoVariance`] if all sums are
/// within rounding: equal rewards say nothing of the rewards that were not seen.
fn clustered(estimate: f64, residuals: &[Residual], cluster: &[usize], alpha: f64) -> Result<Value, Reason> {
    let mut sums = residuals.to_vec();
    if !cluster.is_empty() {
        sums = vec![Residual::default(); cluster.iter().max().map_or(0, |last| last + 1)];
        for (cluster, residual) in cluster.iter().zip(residuals) {
            sums[*cluster].value += residual.value;
            sums[*cluster].magnitude += residual.magnitude;
        }
    }
    if sums.len() < 2 {
        return Err(Reason::TooFewRows);
    }
    let error = spread::sum_error(residuals.len() as f64);
    if sums.iter().all(|sum| sum.value.abs() <= error * sum.magnitude) {
        return Err(Reason::NoVariance);
    }
    let m = sums.len() as f64;
    let squares: f64 = sums.iter().map(|sum| sum.value * sum.value).sum();
    let std_error = (m / (m - 1.0) * squares).sqrt();
    Ok(Value {
        estimate,
        std_error,
        ci: Interval::around(estimate, t_isf(0.5 * alpha, m - 1.0) * std_error),
    })
}

/// Measures of overlap. They show whether the log contains enough of the actions of the evaluation
/// policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overlap {
    /// Effective sample size in rows, `(sum w)^2 / sum w^2`.
    pub ess: f64,
    /// Largest importance weight of a row, at least 0.
    pub max_weight: f64,
    /// Share of the total weight in the 1 % of rows with the largest weights (at least one row),
    /// 0..=1.
    pub top_share: f64,
    /// Difference of the mean weight from 1, in standard errors. 0 if all weights are 1; `None` if
    /// the standard error is 0 otherwise, or cannot be computed.
    pub mean_weight_z: Option<f64>,
}

impl Overlap {
    /// Computes the measures from the weights of a log. `None` if the weights sum to 0.
    pub fn from_log(log: &Log) -> Option<Self> {
        let n = log.weight.len() as f64;
        let sum: f64 = log.weight.iter().sum();
        let squares: f64 = log.weight.iter().map(|w| w * w).sum();
        if sum <= 0.0 {
            return None;
        }
        let mut sorted = log.weight.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let n_top = (sorted.len() / 100).max(1);
        let mean = sum / n;
        let residual = |w: &f64| Residual::from_terms([w / n, -mean / n, 0.0, 0.0]);
        let residuals: Vec<Residual> = log.weight.iter().map(residual).collect();
        let error = clustered(mean, &residuals, &log.cluster, 0.05).map(|value| value.std_error);
        // Weights that are all 1 have no variance, but they are those of the behavior policy
        // itself.
        let mean_weight_z = match error {
            Ok(error) if error > 0.0 => Some((mean - 1.0) / error),
            _ if (mean - 1.0).abs() < 1e-12 => Some(0.0),
            _ => None,
        };
        Some(Self {
            ess: sum * sum / squares,
            max_weight: sorted[0],
            top_share: sorted[..n_top].iter().sum::<f64>() / sum,
            mean_weight_z,
        })
    }

    /// Whether the overlap is sufficient: at least [`MIN_ESS`] effective rows, and a mean weight
    /// within [`MAX_WEIGHT_Z`] standard errors of 1.
    pub fn is_enough(&self) -> bool {
        self.ess >= MIN_ESS && self.mean_weight_z.is_some_and(|z| z.abs() <= MAX_WEIGHT_Z)
    }
}

/// The probability with which several loggers together took each row's action: `sum_k share_k p_k`,
/// with `share_k` the share of rows from logger k. `logger` is the index of each row's logger, and
/// `probabilities` has one row with the action's probability under each logger.
///
/// Weights with this propensity are called balanced. A logger that rarely took the action does not
/// make them large. `None` if a row lacks a probability or has an unknown logger.
///
/// # References
/// `docs/METHODS.md#off-policy-estimates`; Agarwal, Basu, Schnabel & Joachims (2017).
pub fn balanced_propensity(logger: &[usize], probabilities: &[Vec<f64>]) -> Option<Vec<f64>> {
    let n_loggers = probabilities.first().map_or(0, Vec::len);
    let mut share = vec![0.0; n_loggers];
    for logger in logger {
        *share.get_mut(*logger)? += 1.0 / probabilities.len() as f64;
    }
    let balance = |row: &Vec<f64>| {
        (row.len() == n_loggers).then(|| row.iter().zip(&share).map(|(p, share)| p * share).sum())
    };
    probabilities.iter().map(balance).collect()
}

/// Indices for the names of clusters, in order of first appearance.
pub fn numbered<'a>(names: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    names
        .map(|name| {
            let next = numbers.len();
            *numbers.entry(name).or_insert(next)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logging_policy_is_worth_what_it_earned() {
        let reward: Vec<f64> = (0..200).map(|i| f64::from(i % 7)).collect();
        let mean = reward.iter().sum::<f64>() / 200.0;
        let n = reward.len();
        let log = Log {
            reward,
            weight: vec![1.0; n],
            q: vec![2.0; n],
            v: vec![2.0; n],
            cluster: Vec::new(),
        };
        let lambdas = Lambdas {
            clip: f64::INFINITY,
            switch: f64::INFINITY,
            os: f64::INFINITY,
            sg: 0.0,
        };
        for (name, estimator) in Estimator::ALL
            .into_iter()
            .filter(|(_, estimator)| *estimator != Estimator::Dm)
        {
            let (estimate, value) = estimator.value(&log, &lambdas, 0.05).unwrap();
            assert!((estimate - mean).abs() < 1e-12, "{name}");
            assert!(value.unwrap().std_error > 0.0);
        }
        assert!(Overlap::from_log(&log).unwrap().is_enough());
    }
}
