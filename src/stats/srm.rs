//! Sample ratio mismatch: do as many users come as were planned?

use serde::{Deserialize, Serialize};

use super::dist::chi2_sf;

/// A chi-square test of counts against planned shares.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SrmTest {
    /// Pearson's statistic.
    pub statistic: f64,
    /// Arms planned above 0, less one.
    pub df: f64,
    /// Upper tail.
    pub p_value: f64,
    /// Largest absolute difference between an observed and a planned share.
    pub max_abs_deviation: f64,
}

/// Tests counts of users against planned shares (they sum to 1). Arms planned at 0 are left out; users in them are a leak, not a term.
///
/// `None` if fewer than two arms are planned above 0, or nobody came.
///
/// # References
/// METHODS section 2; Fabijan et al. (2019).
pub fn chi_square(observed: &[u64], planned: &[f64]) -> Option<SrmTest> {
    let arms: Vec<(f64, f64)> =
        observed.iter().zip(planned).filter(|(_, share)| **share > 0.0).map(|(n, share)| (*n as f64, *share)).collect();
    let total: f64 = arms.iter().map(|(n, _)| n).sum();
    if arms.len() < 2 || total == 0.0 {
        return None;
    }
    let statistic: f64 = arms.iter().map(|(n, share)| (n - total * share).powi(2) / (total * share)).sum();
    let df = (arms.len() - 1) as f64;
    let max_abs_deviation = arms.iter().map(|(n, share)| (n / total - share).abs()).fold(0.0, f64::max);
    Some(SrmTest { statistic, df, p_value: chi2_sf(statistic, df), max_abs_deviation })
}

/// Stages together: chi-squares and degrees of freedom added up. Never pooled counts: across different ratios that fakes and hides mismatches.
pub fn sum_of_chi_squares<'a>(tests: impl IntoIterator<Item = &'a SrmTest>) -> Option<SrmTest> {
    let mut sum = SrmTest { statistic: 0.0, df: 0.0, p_value: 1.0, max_abs_deviation: 0.0 };
    for test in tests {
        sum.statistic += test.statistic;
        sum.df += test.df;
        sum.max_abs_deviation = sum.max_abs_deviation.max(test.max_abs_deviation);
    }
    sum.p_value = chi2_sf(sum.statistic, sum.df);
    (sum.df > 0.0).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let test = chi_square(&[821_588, 815_482], &[0.5, 0.5]).unwrap();
        // Fabijan et al. (2019), section 1: p = 1.8e-6.
        assert!((test.p_value - 1.82e-6).abs() < 1e-8, "{test:?}");
        assert_eq!(chi_square(&[10_000, 10_000], &[0.5, 0.5]).unwrap().p_value, 1.0);
        assert_eq!(chi_square(&[5, 100], &[0.0, 1.0]), None);
        assert_eq!(chi_square(&[0, 0], &[0.5, 0.5]), None);
    }
}
