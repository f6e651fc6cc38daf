//! Sample ratio mismatch (SRM): tests whether the observed user counts match the planned ratio.

use serde::{Deserialize, Serialize};

use crate::stats::dist::chi2_sf;

/// Pearson's chi-square test of counts against planned shares.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SrmTest {
    /// Pearson's statistic `sum (O - E)^2 / E`.
    pub statistic: f64,
    /// Degrees of freedom: arms with a planned share above 0, minus one.
    pub df: f64,
    /// Upper tail of the chi-square distribution, 0..=1.
    pub p_value: f64,
    /// Largest absolute difference between an observed and a planned share, 0..=1.
    pub max_abs_deviation: f64,
}

/// Tests counts of users against planned shares, which sum to 1. Arms with a planned share of 0 are
/// left out; users in them are a leak and are reported separately.
///
/// `None` if fewer than two arms have a planned share above 0, or if there are no users.
///
/// # References
/// `docs/METHODS.md#sample-ratio`; Fabijan et al. (2019).
pub fn chi_square(observed: &[f64], planned: &[f64]) -> Option<SrmTest> {
    let arms = || observed.iter().zip(planned).filter(|(_, share)| **share > 0.0);
    let total: f64 = arms().map(|(n, _)| n).sum();
    let n_arms = arms().count();
    if n_arms < 2 || total == 0.0 {
        return None;
    }
    let statistic: f64 = arms()
        .map(|(n, share)| (n - total * share).powi(2) / (total * share))
        .sum();
    let df = (n_arms - 1) as f64;
    let max_abs_deviation = max_abs_deviation(observed, planned);
    Some(SrmTest {
        statistic,
        df,
        p_value: chi2_sf(statistic, df),
        max_abs_deviation,
    })
}

/// Largest absolute difference between an observed and a planned share, 0..=1, over arms with a
/// planned share above 0. It is 0 if there are no users.
pub fn max_abs_deviation(observed: &[f64], planned: &[f64]) -> f64 {
    let arms = || observed.iter().zip(planned).filter(|(_, share)| **share > 0.0);
    let total: f64 = arms().map(|(n, _)| n).sum();
    if total > 0.0 {
        arms()
            .map(|(n, share)| (n / total - share).abs())
            .fold(0.0, f64::max)
    } else {
        0.0
    }
}

/// Combines the tests of stages: adds their chi-square statistics and their degrees of freedom.
/// Counts must not be pooled over stages: with different ratios, pooled counts can show a mismatch
/// that does not exist, or hide a real one. `None` if there are no tests.
///
/// # References
/// `docs/METHODS.md#sample-ratio`.
pub fn sum_of_chi_squares<'a>(tests: impl IntoIterator<Item = &'a SrmTest>) -> Option<SrmTest> {
    let mut sum = SrmTest {
        statistic: 0.0,
        df: 0.0,
        p_value: 1.0,
        max_abs_deviation: 0.0,
    };
    for test in tests {
        sum.statistic += test.statistic;
        sum.df += test.df;
        sum.max_abs_deviation = sum.max_abs_deviation.max(test.max_abs_deviation);
    }
    sum.p_value = chi2_sf(sum.statistic, sum.df);
    (sum.df > 0.0).then_some(sum)
}

/// Share of the smaller arm's planned users below which a deviation can be of low impact.
pub const LOW_IMPACT_OF_ARM: f64 = 0.02;

/// Whether a deviation from the planned shares has little impact: it is below `min_deviation` of
/// all users, and below [`LOW_IMPACT_OF_ARM`] of the users that are planned for the smallest arm.
/// A loss of all users of an arm is never of low impact. The smallest arm is that with the smallest
/// planned share above 0.
///
/// # References
/// `docs/METHODS.md#sample-ratio`.
pub fn is_low_impact(max_abs_deviation: f64, planned: &[f64], min_deviation: f64) -> bool {
    let smallest = planned
        .iter()
        .copied()
        .filter(|share| *share > 0.0)
        .fold(f64::INFINITY, f64::min);
    max_abs_deviation < min_deviation && max_abs_deviation < LOW_IMPACT_OF_ARM * smallest
}

/// Tests of users by their first exposure, over all stages. Each user counts once, so the stages
/// are independent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FirstExposures {
    /// The stages' chi-square statistics and degrees of freedom, added.
    #[serde(flatten)]
    pub test: SrmTest,
    /// Pooled z statistic of the candidate's users, `sum (O - E) / sqrt(sum n e (1 - e))`, with e
    /// the candidate's share. It detects a small shortage that is the same in every stage.
    pub pooled_z: f64,
    /// Natural logarithm of the Bayes factor of the multinomial-Dirichlet martingale: for each of
    /// [`CONCENTRATIONS`] the product over the stages, and then their mean.
    pub log_bayes_factor: f64,
    /// P-value that is valid at every look, 0..=1: `min(1, 1 / BF)`.
    pub anytime_p_value: f64,
    /// True if the deviation of every stage [is of low impact](is_low_impact).
    pub low_impact: bool,
}

/// Tests users by first exposure. Each stage is `([baseline, candidate], share)`: the counts of
/// users who were not seen in an earlier stage, and the candidate's planned share. Stages with only
/// one arm are left out. `min_deviation` is the deviation of a share, 0..=1, from which a mismatch
/// is never of low impact. `None` if no stage is left.
///
/// # References
/// `docs/METHODS.md#sample-ratio`; Lindon & Malek (2022).
pub fn first_exposures(stages: &[([f64; 2], f64)], min_deviation: f64) -> Option<FirstExposures> {
    let tested: Vec<([f64; 2], [f64; 2], SrmTest)> = stages
        .iter()
        .filter_map(|(users, share)| {
            let planned = [1.0 - share, *share];
            Some((*users, planned, chi_square(users, &planned)?))
        })
        .collect();
    let test = sum_of_chi_squares(tested.iter().map(|(_, _, test)| test))?;
    let (mut excess, mut variance) = (0.0, 0.0);
    for (users, [rest, share], _) in &tested {
        let n = users[0] + users[1];
        excess += users[1] - n * share;
        variance += n * share * rest;
    }
    let log_bayes_factor = log_mean_exp(CONCENTRATIONS.map(|concentration| {
        tested
            .iter()
            .map(|(users, planned, _)| log_bayes_factor(users, planned, concentration))
            .sum()
    }));
    Some(FirstExposures {
        test,
        pooled_z: excess / variance.sqrt(),
        log_bayes_factor,
        anytime_p_value: (-log_bayes_factor).exp().min(1.0),
        low_impact: tested
            .iter()
            .all(|(_, planned, test)| is_low_impact(test.max_abs_deviation, planned, min_deviation)),
    })
}

/// Concentrations of the martingale's Dirichlet priors around the planned shares, in users. Each
/// has the same weight. The large one finds small mismatches among many users; the small ones find
/// gross mismatches among a few hundred users.
pub const CONCENTRATIONS: [f64; 3] = [2.0, 100.0, 10_000.0];

/// The evidence against the planned shares at each look at growing counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SequentialSrm {
    /// Natural logarithm of the Bayes factor after each look.
    pub log_bayes_factor: Vec<f64>,
    /// Always-valid p-values: the smallest `1 / BF` so far, at most 1.
    pub p_value: Vec<f64>,
    /// Decimal logarithms of the p-values.
    pub log10_p_value: Vec<f64>,
}

/// The multinomial-Dirichlet mixture martingale over looks. Each look holds the counts per arm
/// since the look before. The prior is `Dirichlet(a)` with `a_i = concentration * planned_i`. With
/// A the sum of the `a_i` and n the number of users, the Bayes factor is
/// `BF = Gamma(A) / Gamma(A + n) * prod Gamma(a_i + n_i) / Gamma(a_i) / prod planned_i^n_i`. With
/// several concentrations it is the mean of their Bayes factors, which is a martingale too. Arms
/// with a planned share of 0 are left out.
///
/// # References
/// `docs/METHODS.md#sequential-sample-ratio`; Lindon & Malek (2022).
pub fn sequential(looks: &[Vec<f64>], planned: &[f64], concentrations: &[f64]) -> SequentialSrm {
    let mut counts = vec![0.0; planned.len()];
    let mut result = SequentialSrm {
        log_bayes_factor: Vec::new(),
        p_value: Vec::new(),
        log10_p_value: Vec::new(),
    };
    let mut least = 0.0_f64;
    for look in looks {
        counts
            .iter_mut()
            .zip(look)
            .for_each(|(count, more)| *count += more);
        let log_bf = log_mean_exp(
            concentrations
                .iter()
                .map(|concentration| log_bayes_factor(&counts, planned, *concentration)),
        );
        least = least.min(-log_bf);
        result.log_bayes_factor.push(log_bf);
        result.p_value.push(least.exp());
        result.log10_p_value.push(least / std::f64::consts::LN_10);
    }
    result
}

/// P-value of counts against planned shares that is valid at every look, 0..=1: `min(1, 1 / BF)`,
/// with BF the mean of the Bayes factors of [`CONCENTRATIONS`]; see [`sequential`].
pub fn anytime_p_value(counts: &[f64], planned: &[f64]) -> f64 {
    let of = |concentration| log_bayes_factor(counts, planned, concentration);
    (-log_mean_exp(CONCENTRATIONS.map(of))).exp().min(1.0)
}

/// Natural logarithm of the mean of values that are given by their natural logarithms. Returns the
/// logarithm itself for one value.
fn log_mean_exp(logs: impl IntoIterator<Item = f64, IntoIter: Clone + ExactSizeIterator>) -> f64 {
    let logs = logs.into_iter();
    let largest = logs.clone().fold(f64::NEG_INFINITY, f64::max);
    let n = logs.len() as f64;
    largest + (logs.map(|log| (log - largest).exp()).sum::<f64>() / n).ln()
}

/// Natural logarithm of the Bayes factor of counts against planned shares; see [`sequential`].
pub fn log_bayes_factor(counts: &[f64], planned: &[f64], concentration: f64) -> f64 {
    let used = || {
        counts
            .iter()
            .zip(planned)
            .map(|(count, share)| (count, share * concentration))
            .filter(|(_, a)| *a > 0.0)
    };
    let (n, all): (f64, f64) = used().fold((0.0, 0.0), |(n, all), (count, a)| (n + count, all + a));
    // Stirling's formula for ln Gamma(a + n) - ln Gamma(a) - n ln p, with a + n = a (1 + n / all)
    // (1 + shift). Parts that are the same in the sum over arms and in the total are left out, so
    // nothing cancels.
    let arm = |(count, a): (&f64, f64)| {
        let shift = (count / a * all - n) / (all + n);
        (a + count - 0.5) * shift.ln_1p() - 0.5 * (n / all).ln_1p() + gamma_error(a + count) - gamma_error(a)
    };
    used().map(arm).sum::<f64>() + 0.5 * (n / all).ln_1p() - gamma_error(all + n) + gamma_error(all)
}

/// The error of Stirling's formula: `ln Gamma(x)` minus `(x - 1/2) ln x - x + ln(2 pi) / 2`.
fn gamma_error(x: f64) -> f64 {
    if x < 16.0 {
        return libm::lgamma(x) - (x - 0.5) * x.ln() + x - 0.5 * (2.0 * std::f64::consts::PI).ln();
    }
    let i2 = 1.0 / (x * x);
    (1.0 / 12.0 - i2 * (1.0 / 360.0 - i2 * (1.0 / 1260.0 - i2 * (1.0 / 1680.0 - i2 / 1188.0)))) / x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_lack_in_every_stage_is_found_together() {
        // In each of four stages 5 % of the candidate's users are missing.
        let stages: Vec<([f64; 2], f64)> = [0.01, 0.1, 0.3, 0.5]
            .map(|share| ([20_000.0 * (1.0 - share), 19_000.0 * share], share))
            .to_vec();
        let found = first_exposures(&stages, 0.001).unwrap();
        assert_eq!(found.test.df, 4.0);
        assert!(found.pooled_z < -4.0 && found.anytime_p_value < 1.0, "{found:?}");
        let alone = first_exposures(&[stages[2], ([5.0, 0.0], 0.0)], 0.001).unwrap();
        let bf = sequential(&[stages[2].0.to_vec()], &[0.7, 0.3], &CONCENTRATIONS).log_bayes_factor[0];
        assert_eq!((alone.log_bayes_factor, alone.test.df), (bf, 1.0));
        assert_eq!(first_exposures(&[([5.0, 0.0], 0.0)], 0.001), None);
    }

    #[test]
    fn a_gross_mismatch_among_a_few_hundred_users_is_seen() {
        // (users, candidate's share, largest p-value)
        for (users, share, limit) in [
            ([409.0, 121.0], 0.5, 1e-30),
            ([5_980.0, 20.0], 0.01, 1e-6),
            ([199_017.0, 845.0], 0.005, 1e-4),
            ([30.0, 0.0], 0.5, 1e-7),
        ] {
            let p = anytime_p_value(&users, &[1.0 - share, share]);
            assert!(p < limit, "{users:?}: {p}");
        }
        // No user, and the planned numbers.
        assert_eq!(anytime_p_value(&[0.0, 0.0], &[0.5, 0.5]), 1.0);
        assert_eq!(anytime_p_value(&[198_863.0, 999.0], &[0.995, 0.005]), 1.0);
    }

    #[test]
    fn the_bayes_factors_of_stages_multiply_before_the_mean() {
        let stages = [([4_900.0, 5_100.0], 0.5), ([9_600.0, 400.0], 0.05)];
        let found = first_exposures(&stages, 0.001).unwrap();
        let of = |concentration: f64| -> f64 {
            stages
                .iter()
                .map(|(users, share)| log_bayes_factor(users, &[1.0 - share, *share], concentration))
                .sum()
        };
        let mean = CONCENTRATIONS.map(|c| of(c).exp()).iter().sum::<f64>() / 3.0;
        assert!((found.log_bayes_factor - mean.ln()).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn false_alarms_over_all_looks_stay_within_alpha() {
        use rand::SeedableRng;
        use rand_distr::{Binomial, Distribution};
        const N_RUNS: usize = 400;
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(19);
        for share in [0.5, 0.01, 0.005] {
            for n_new in [3, 400] {
                let draw = Binomial::new(n_new, share).unwrap();
                let mut n_alarms = 0;
                for _ in 0..N_RUNS {
                    let mut users = [0.0, 0.0];
                    n_alarms += usize::from((0..500).any(|_| {
                        let candidate = draw.sample(&mut rng) as f64;
                        users[0] += n_new as f64 - candidate;
                        users[1] += candidate;
                        anytime_p_value(&users, &[1.0 - share, share]) < 0.05
                    }));
                }
                assert!(n_alarms <= N_RUNS / 20, "{share} {n_new}: {n_alarms}");
            }
        }
    }

    #[test]
    fn low_impact_is_judged_by_the_smaller_arm_too() {
        // (deviation, candidate's share, whether it is of low impact)
        for (deviation, share, expected) in [
            (0.0009, 0.5, true),
            (0.0011, 0.5, false),
            (0.00077, 0.005, false),
            (0.00009, 0.005, true),
            (0.0001, 0.0001, false),
        ] {
            let found = is_low_impact(deviation, &[1.0 - share, share], 0.001);
            assert_eq!(found, expected, "{deviation} {share}");
        }
        assert!(!is_low_impact(0.0009, &[0.5, 0.5], 0.0005));
    }

    #[test]
    fn known_values() {
        let test = chi_square(&[821_588.0, 815_482.0], &[0.5, 0.5]).unwrap();
        // Fabijan et al. (2019), section 1: p = 1.8e-6.
        assert!((test.p_value - 1.82e-6).abs() < 1e-8, "{test:?}");
        assert_eq!(
            chi_square(&[10_000.0, 10_000.0], &[0.5, 0.5]).unwrap().p_value,
            1.0
        );
        assert_eq!(chi_square(&[5.0, 100.0], &[0.0, 1.0]), None);
        assert_eq!(chi_square(&[0.0, 0.0], &[0.5, 0.5]), None);
    }
}
