//! Combination of the effects of several stages. Arms are never pooled over stages: where the ratio
//! changes, pooling can reverse the sign of an effect (Simpson's paradox).

use serde::{Deserialize, Serialize};

use crate::stats::dist::{chi2_sf, norm_isf};
use crate::stats::known::Interval;

/// The effect of one stage, with its variance and its numbers of users.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StageEffect {
    /// Treatment minus control, in the metric's unit.
    pub effect_size: f64,
    /// Variance of the effect, in the metric's unit squared. A stage with variance 0 has no weight
    /// in the precision-weighted mean.
    pub variance: f64,
    /// Number of users of the stage in both arms.
    pub n_users: f64,
    /// Number of users per arm: control, treatment.
    pub n_arms: [f64; 2],
}

/// A weighted mean of stage effects.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Combined {
    /// The weighted mean of the effects, in the metric's unit.
    pub effect_size: f64,
    /// Standard error of the weighted mean, in the metric's unit.
    pub std_error: f64,
    /// Interval for one planned look, by the normal distribution.
    #[serde(flatten)]
    pub ci: Interval,
}

/// Three weighted means of the stage effects, and a test of their heterogeneity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Combinations {
    /// Number of stages that were combined.
    pub n_stages: usize,
    /// Weighted by the users of the stage. This is the primary estimate.
    pub population_weighted: Combined,
    /// Weighted by `n1 n0 / (n1 + n0)`, n the users per arm (Mantel-Haenszel).
    pub mantel_haenszel: Combined,
    /// Weighted by 1 / variance; `None` if all variances are 0.
    pub precision_weighted: Option<Combined>,
    /// Cochran's Q: `sum (d_s - d)^2 / v_s`, `d` the precision-weighted mean, over stages with a
    /// variance above 0.
    pub q: f64,
    /// Upper tail of the chi-square distribution at Q. Its degrees of freedom are the stages with a
    /// variance above 0, minus one. `None` if that is 0 or less.
    pub q_p_value: Option<f64>,
}

/// Combines stage effects in three ways and tests their heterogeneity. The intervals are at
/// two-sided error level `alpha`. `None` if there are no stages.
///
/// # References
/// `docs/METHODS.md#stages-together`; Cochran (1954).
pub fn combine(stages: &[StageEffect], alpha: f64) -> Option<Combinations> {
    if stages.is_empty() {
        return None;
    }
    let z = norm_isf(0.5 * alpha);
    let weigh = |weight: &dyn Fn(&StageEffect) -> f64| {
        let sum: f64 = stages.iter().map(weight).sum();
        let mean: f64 = stages.iter().map(|s| weight(s) * s.effect_size).sum::<f64>() / sum;
        let variance: f64 = stages
            .iter()
            .map(|s| (weight(s) / sum).powi(2) * s.variance)
            .sum();
        Combined {
            effect_size: mean,
            std_error: variance.sqrt(),
            ci: Interval::around(mean, z * variance.sqrt()),
        }
    };
    let n_with_variance = stages.iter().filter(|s| s.variance > 0.0).count();
    let precision_weighted =
        (n_with_variance > 0).then(|| weigh(&|s| if s.variance > 0.0 { 1.0 / s.variance } else { 0.0 }));
    let squares = |mean: Combined| {
        stages
            .iter()
            .filter(|s| s.variance > 0.0)
            .map(|s| (s.effect_size - mean.effect_size).powi(2) / s.variance)
            .sum::<f64>()
    };
    let q = precision_weighted.map_or(0.0, squares);
    Some(Combinations {
        n_stages: stages.len(),
        population_weighted: weigh(&|s| s.n_users),
        mantel_haenszel: weigh(&|s| s.n_arms[0] * s.n_arms[1] / (s.n_arms[0] + s.n_arms[1])),
        precision_weighted,
        q,
        q_p_value: (n_with_variance > 1).then(|| chi2_sf(q, (n_with_variance - 1) as f64)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stage_is_itself() {
        let stage = StageEffect {
            effect_size: 0.1,
            variance: 0.01,
            n_users: 10.0,
            n_arms: [9.0, 1.0],
        };
        let all = combine(&[stage], 0.05).unwrap();
        for combined in [
            all.population_weighted,
            all.mantel_haenszel,
            all.precision_weighted.unwrap(),
        ] {
            assert!((combined.effect_size - 0.1).abs() < 1e-15 && (combined.std_error - 0.1).abs() < 1e-15);
        }
        assert_eq!((all.q, all.q_p_value), (0.0, None));
        assert_eq!(combine(&[], 0.05), None);
    }
}
