//! Combination of the effects of several stages. Arms are never pooled over stages: where the ratio
//! changes, pooling can reverse the sign of an effect (Simpson's paradox).

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

use crate::stats::dist::{chi2_sf, t_isf};
use crate::stats::known::Interval;
use crate::stats::ratio::jackknife_variance_of_sums;

/// The effect of one stage, with its variance and its numbers of users.
#[derive(Debug, Clone, PartialEq)]
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
    /// The change of the effect if a cluster were left out, by the cluster's number, scaled so that
    /// the squares sum to the variance: see [`crate::stats::ratio::WholeSums::influences`]. The same
    /// users return, so stages are not independent. Empty for a stage that is independent of the
    /// others.
    pub influences: Vec<(u32, f64)>,
}

impl StageEffect {
    /// The part of the variance that the influences do not have: the floor of a proportion.
    fn excess(&self) -> f64 {
        let own: f64 = self.influences.iter().map(|(_, own)| own * own).sum();
        (self.variance - own).max(0.0)
    }

    /// The weight of the population-weighted mean: the users of the stage.
    pub fn by_users(&self) -> f64 {
        self.n_users
    }

    /// The weight of Mantel and Haenszel: `n1 n0 / (n1 + n0)`.
    pub fn by_mantel_haenszel(&self) -> f64 {
        self.n_arms[0] * self.n_arms[1] / (self.n_arms[0] + self.n_arms[1])
    }

    /// The weight of the precision-weighted mean: 1 / variance; 0 without a variance.
    pub fn by_precision(&self) -> f64 {
        if self.variance > 0.0 {
            1.0 / self.variance
        } else {
            0.0
        }
    }
}

/// The interval of a weighted mean of independent effects by square-and-add, from the distances of
/// each effect to its own lower and upper end: `mean -+ sqrt(sum (w_s / sum w)^2 distance_s^2)`.
///
/// # References
/// `docs/METHODS.md#stages-together`; Zou & Donner (2008).
pub fn square_and_add(
    stages: &[StageEffect],
    reach: &[[f64; 2]],
    weight: impl Fn(&StageEffect) -> f64,
) -> Interval {
    let sum: f64 = stages.iter().map(&weight).sum();
    let mean = stages.iter().map(|s| weight(s) * s.effect_size).sum::<f64>() / sum;
    let [lower, upper] = [0, 1].map(|end| {
        let squares = stages
            .iter()
            .zip(reach)
            .map(|(s, reach)| (weight(s) / sum * reach[end]).powi(2));
        squares.sum::<f64>().sqrt()
    });
    Interval {
        ci_lower: mean - lower,
        ci_upper: mean + upper,
    }
}

/// A weighted mean of stage effects.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Combined {
    /// The weighted mean of the effects, in the metric's unit.
    pub effect_size: f64,
    /// Standard error of the weighted mean, in the metric's unit. It is that of the joint
    /// jackknife: a cluster is left out of all stages and both arms at once.
    pub std_error: f64,
    /// Satterthwaite degrees of freedom; infinite without influences of clusters.
    pub df: f64,
    /// Interval for one planned look, by the t distribution.
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
    /// Heterogeneity of the stages: `(d - m)' C^-1 (d - m)`, with C the covariance matrix of the
    /// stage effects and m their mean weighted by C. With independent stages it is Cochran's Q. 0
    /// with fewer than two stages that have a variance; `None` if C has no inverse.
    pub q: Option<f64>,
    /// Upper tail of the chi-square distribution at Q. Its degrees of freedom are the stages with a
    /// variance above 0, minus one. `None` if that is 0 or less, or without Q.
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
    let weigh = |weight: &dyn Fn(&StageEffect) -> f64| {
        let sum: f64 = stages.iter().map(weight).sum();
        let share = |stage: &StageEffect| weight(stage) / sum;
        let mean: f64 = stages.iter().map(|s| share(s) * s.effect_size).sum();
        let (variance, df) = joint_variance(stages, &share);
        Combined {
            effect_size: mean,
            std_error: variance.sqrt(),
            df,
            ci: Interval::around(mean, t_isf(0.5 * alpha, df) * variance.sqrt()),
        }
    };
    let varied: Vec<&StageEffect> = stages.iter().filter(|s| s.variance > 0.0).collect();
    let precision_weighted = (!varied.is_empty()).then(|| weigh(&StageEffect::by_precision));
    let q = if varied.len() > 1 {
        heterogeneity(&varied)
    } else {
        Some(0.0)
    };
    Some(Combinations {
        n_stages: stages.len(),
        population_weighted: weigh(&StageEffect::by_users),
        mantel_haenszel: weigh(&StageEffect::by_mantel_haenszel),
        precision_weighted,
        q,
        q_p_value: q
            .filter(|_| varied.len() > 1)
            .map(|q| chi2_sf(q, (varied.len() - 1) as f64)),
    })
}

/// The precision-weighted mean of stage effects: the score process over its information.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// The mean weighted by 1 / variance, in the metric's unit.
    pub effect_size: f64,
    /// The variance of the mean by the joint jackknife; the information is 1 over it.
    pub variance: f64,
    /// Satterthwaite degrees of freedom; infinite without influences of clusters.
    pub df: f64,
}

/// The score process of some stages. `None` if no stage has a variance above 0.
///
/// # References
/// `docs/METHODS.md#gates-of-a-ramp`.
pub fn score(stages: &[StageEffect]) -> Option<Score> {
    let information: f64 = stages.iter().map(StageEffect::by_precision).sum();
    if information <= 0.0 {
        return None;
    }
    let share = |stage: &StageEffect| stage.by_precision() / information;
    let (variance, df) = joint_variance(stages, &share);
    Some(Score {
        effect_size: stages.iter().map(|s| share(s) * s.effect_size).sum(),
        variance,
        df,
    })
}

/// The variance of a weighted sum of stage effects, with its degrees of freedom, from the summed
/// influence of each cluster.
fn joint_variance(stages: &[StageEffect], share: &dyn Fn(&StageEffect) -> f64) -> (f64, f64) {
    let mut summed: BTreeMap<u32, f64> = BTreeMap::new();
    for stage in stages {
        let share = share(stage);
        for (cluster, influence) in &stage.influences {
            *summed.entry(*cluster).or_default() += share * influence;
        }
    }
    let squares: Vec<f64> = summed.values().map(|own| own * own).collect();
    let (variance, df) = if squares.is_empty() {
        (0.0, f64::INFINITY)
    } else {
        jackknife_variance_of_sums(&squares)
    };
    let excess: f64 = stages.iter().map(|s| share(s).powi(2) * s.excess()).sum();
    (variance + excess, df)
}

/// `(d - m)' C^-1 (d - m)`, by the Cholesky factor of C. `None` if C has no inverse.
fn heterogeneity(stages: &[&StageEffect]) -> Option<f64> {
    let n = stages.len();
    let of_cluster: Vec<BTreeMap<u32, f64>> = stages
        .iter()
        .map(|stage| stage.influences.iter().copied().collect())
        .collect();
    let covariance = |i: usize, j: usize| {
        let shared = |(cluster, own): (&u32, &f64)| Some(own * of_cluster[j].get(cluster)?);
        let joint: f64 = of_cluster[i].iter().filter_map(shared).sum();
        if i == j { joint + stages[i].excess() } else { joint }
    };
    // Without shared clusters the matrix is diagonal: the rows of its factor are empty up to there.
    let mut stage_of: HashMap<u32, usize> = HashMap::new();
    let is_diagonal = stages.iter().enumerate().all(|(idx, stage)| {
        let mut clusters = stage.influences.iter();
        clusters.all(|(cluster, _)| *stage_of.entry(*cluster).or_insert(idx) == idx)
    });
    // Rows of the lower triangle, one after the other, and the two solved right-hand sides.
    let mut factor: Vec<Vec<f64>> = Vec::with_capacity(n);
    let (mut of_effects, mut of_ones) = (Vec::with_capacity(n), Vec::with_capacity(n));
    for (i, stage) in stages.iter().enumerate() {
        let mut row: Vec<f64> = Vec::with_capacity(i + 1);
        let before = if is_diagonal { &[] } else { &factor[..] };
        for (j, other) in before.iter().enumerate() {
            let known: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
            row.push((covariance(i, j) - known) / other[j]);
        }
        let own = covariance(i, i);
        let rest = own - row.iter().map(|a| a * a).sum::<f64>();
        if rest <= 1e-10 * own {
            return None;
        }
        let root = rest.sqrt();
        let solve = |value: f64, solved: &[f64]| {
            (value - row.iter().zip(solved).map(|(a, b)| a * b).sum::<f64>()) / root
        };
        let (effect, one) = (solve(stage.effect_size, &of_effects), solve(1.0, &of_ones));
        row.push(root);
        factor.push(row);
        of_effects.push(effect);
        of_ones.push(one);
    }
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mean = dot(&of_effects, &of_ones) / dot(&of_ones, &of_ones);
    Some(
        of_effects
            .iter()
            .zip(&of_ones)
            .map(|(effect, one)| (effect - mean * one).powi(2))
            .sum(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(effect_size: f64, influences: Vec<(u32, f64)>) -> StageEffect {
        StageEffect {
            effect_size,
            variance: influences.iter().map(|(_, own)| own * own).sum(),
            n_users: 10.0,
            n_arms: [9.0, 1.0],
            influences,
        }
    }

    #[test]
    fn one_stage_is_itself() {
        let one = stage(0.1, (0..100).map(|idx| (idx, 0.01)).collect());
        let all = combine(&[one], 0.05).unwrap();
        for combined in [
            all.population_weighted,
            all.mantel_haenszel,
            all.precision_weighted.unwrap(),
        ] {
            assert!((combined.effect_size - 0.1).abs() < 1e-15 && (combined.std_error - 0.1).abs() < 1e-15);
        }
        assert_eq!((all.q, all.q_p_value), (Some(0.0), None));
        assert_eq!(combine(&[], 0.05), None);
    }

    /// Stages that share no cluster have a diagonal matrix. A shared cluster without influence gives the
    /// same values by the whole matrix.
    #[test]
    fn stages_without_shared_clusters_are_those_of_the_whole_matrix() {
        let stages = |shared: Option<(u32, f64)>| -> Vec<StageEffect> {
            let of = |idx: u32| {
                let own = (0..30).map(|k| (idx * 30 + k, 0.001 * f64::from((idx + k) % 7) - 0.002));
                stage(0.01 * f64::from(idx % 5), own.chain(shared).collect())
            };
            (0..40).map(of).collect()
        };
        let apart = combine(&stages(None), 0.05).unwrap();
        let together = combine(&stages(Some((9_999, 0.0))), 0.05).unwrap();
        assert_eq!((apart.q, apart.q_p_value), (together.q, together.q_p_value));
        assert!(apart.q.unwrap() > 0.0);
    }

    /// Two stages with the same users have no more information than one. Stages with other users
    /// have twice as much.
    #[test]
    fn returning_users_bring_no_new_information() {
        let wave = |from: u32| -> Vec<(u32, f64)> {
            (from..from + 50)
                .map(|idx| (idx, 0.01 * f64::from(idx % 5) - 0.02))
                .collect()
        };
        let error = |stages: &[StageEffect]| combine(stages, 0.05).unwrap().population_weighted.std_error;
        let alone = error(&[stage(0.1, wave(0))]);
        let same = error(&[stage(0.1, wave(0)), stage(0.1, wave(0))]);
        let other = error(&[stage(0.1, wave(0)), stage(0.1, wave(50))]);
        assert!((same / alone - 1.0).abs() < 1e-12);
        assert!((other / alone - 0.5_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn independent_stages_have_cochran_s_q() {
        let wave =
            |from: u32, size: f64| -> Vec<(u32, f64)> { (from..from + 40).map(|idx| (idx, size)).collect() };
        let stages = [
            stage(0.1, wave(0, 0.01)),
            stage(0.3, wave(40, 0.02)),
            stage(0.2, wave(80, 0.01)),
        ];
        let all = combine(&stages, 0.05).unwrap();
        let mean = all.precision_weighted.unwrap().effect_size;
        let q: f64 = stages
            .iter()
            .map(|s| (s.effect_size - mean).powi(2) / s.variance)
            .sum();
        assert!((all.q.unwrap() / q - 1.0).abs() < 1e-12);
        // Two stages with equal influences have a covariance matrix without an inverse.
        let same = [stage(0.1, wave(0, 0.01)), stage(0.3, wave(0, 0.01))];
        assert_eq!(combine(&same, 0.05).unwrap().q, None);
    }
}
