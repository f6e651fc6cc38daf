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
    /// Natural logarithm of the Bayes factor of the multinomial-Dirichlet martingale: the product
    /// over the stages.
    pub log_bayes_factor: f64,
    /// P-value that is valid at every look, 0..=1: `min(1, 1 / BF)`.
    pub anytime_p_value: f64,
    /// True if the largest deviation is below [`LOW_IMPACT`].
    pub low_impact: bool,
}

/// Absolute deviation of a share (0.001 is 0.1 percentage points) below which a mismatch has little
/// impact.
pub const LOW_IMPACT: f64 = 0.001;

/// Tests users by first exposure. Each stage is `([baseline, candidate], share)`: the counts of
/// users who were not seen in an earlier stage, and the candidate's planned share. Stages with only
/// one arm are left out. `None` if no stage is left.
///
/// # References
/// `docs/METHODS.md#sample-ratio`; Lindon & Malek (2022).
pub fn first_exposures(stages: &[([f64; 2], f64)]) -> Option<FirstExposures> {
    let tests: Vec<SrmTest> = stages
        .iter()
        .filter_map(|(users, share)| chi_square(users, &[1.0 - share, *share]))
        .collect();
    let test = sum_of_chi_squares(&tests)?;
    let (mut excess, mut variance, mut log_bayes_factor) = (0.0, 0.0, 0.0);
    for (users, share) in stages.iter().filter(|(_, share)| *share > 0.0 && *share < 1.0) {
        let n = users[0] + users[1];
        excess += users[1] - n * share;
        variance += n * share * (1.0 - share);
        let looks = sequential(
            &[users.to_vec()],
            &[1.0 - share, *share],
            CONCENTRATION,
            log_bayes_factor,
        );
        log_bayes_factor = looks.log_bayes_factor.last().copied().unwrap_or(log_bayes_factor);
    }
    Some(FirstExposures {
        test,
        pooled_z: excess / variance.sqrt(),
        log_bayes_factor,
        anytime_p_value: (-log_bayes_factor).exp().min(1.0),
        low_impact: test.max_abs_deviation < LOW_IMPACT,
    })
}

/// Concentration of the martingale's Dirichlet prior around the planned shares, in users.
pub const CONCENTRATION: f64 = 10_000.0;

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
/// `BF = Gamma(A) / Gamma(A + n) * prod Gamma(a_i + n_i) / Gamma(a_i) / prod planned_i^n_i`. Arms
/// with a planned share of 0 are left out.
///
/// Bayes factors of stages with different planned shares multiply: `log_before` is the last
/// `log_bayes_factor` of the stage before, or 0.
///
/// # References
/// `docs/METHODS.md#sequential-sample-ratio`; Lindon & Malek (2022).
pub fn sequential(looks: &[Vec<f64>], planned: &[f64], concentration: f64, log_before: f64) -> SequentialSrm {
    let mut counts = vec![0.0; planned.len()];
    let mut result = SequentialSrm {
        log_bayes_factor: Vec::new(),
        p_value: Vec::new(),
        log10_p_value: Vec::new(),
    };
    let mut least = -log_before.max(0.0);
    for look in looks {
        counts
            .iter_mut()
            .zip(look)
            .for_each(|(count, more)| *count += more);
        let log_bf = log_before + log_bayes_factor(&counts, planned, concentration);
        least = least.min(-log_bf);
        result.log_bayes_factor.push(log_bf);
        result.p_value.push(least.exp());
        result.log10_p_value.push(least / std::f64::consts::LN_10);
    }
    result
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
        let found = first_exposures(&stages).unwrap();
        assert_eq!(found.test.df, 4.0);
        assert!(found.pooled_z < -4.0 && found.anytime_p_value < 1.0, "{found:?}");
        let alone = first_exposures(&[stages[2], ([5.0, 0.0], 0.0)]).unwrap();
        let bf = sequential(&[stages[2].0.to_vec()], &[0.7, 0.3], CONCENTRATION, 0.0).log_bayes_factor[0];
        assert_eq!((alone.log_bayes_factor, alone.test.df), (bf, 1.0));
        assert_eq!(first_exposures(&[([5.0, 0.0], 0.0)]), None);
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
