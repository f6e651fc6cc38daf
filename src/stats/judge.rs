//! Correction of a judge's verdicts for the judge's own errors.

use crate::stats::dist::norm_isf;
use crate::stats::known::{Interval, Reason};
use crate::stats::proportion::{ShareMethod, share_interval};

/// The error rates of a judge on calibration cases with a known truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JudgeQuality {
    /// The share of truly positive cases that the judge calls positive, 0..=1.
    pub sensitivity: f64,
    /// The share of truly negative cases that the judge calls negative, 0..=1.
    pub specificity: f64,
    /// The number of calibration cases: positive, negative. `None`: sensitivity and specificity are
    /// taken as exact.
    pub n: Option<[f64; 2]>,
}

/// A share after the correction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corrected {
    /// The corrected share, clamped to 0..=1.
    pub p: f64,
    /// Standard error of the share before it is clamped.
    pub std_error: f64,
    /// Interval, clamped to 0..=1.
    pub ci: Interval,
}

/// The corrected share `p = (p_obs + specificity - 1) / (sensitivity + specificity - 1)`, from an
/// observed share `p_obs` of `n` independent cases. The standard error is by the delta method and
/// includes the calibration cases; it is 0 if neither the cases nor the calibration vary. The
/// interval corrects Wilson's interval of the observed share by [`correct_interval`], at two-sided
/// level `alpha`. It has a width in every case.
///
/// # Errors
/// [`Reason::UselessJudge`] if sensitivity + specificity is at most 1, [`Reason::NoData`] if there
/// are no cases or no calibration cases.
///
/// # References
/// `docs/METHODS.md#judges-that-err`; Rogan & Gladen (1978).
pub fn correct(p_obs: f64, n: f64, judge: &JudgeQuality, alpha: f64) -> Result<Corrected, Reason> {
    if judge.youden() <= 0.0 {
        return Err(Reason::UselessJudge);
    }
    if n <= 0.0 {
        return Err(Reason::NoData);
    }
    let observed = share_interval(p_obs * n, n, ShareMethod::Wilson, alpha);
    let corrected = correct_interval(p_obs, observed, judge, alpha)?;
    let raw = (p_obs + judge.specificity - 1.0) / judge.youden();
    let binomial = |p: f64, n: f64| p * (1.0 - p) / n;
    let calibration = judge.n.map_or(0.0, |[positives, negatives]| {
        raw * raw * binomial(judge.sensitivity, positives)
            + (1.0 - raw).powi(2) * binomial(judge.specificity, negatives)
    });
    Ok(Corrected {
        std_error: (binomial(p_obs, n) + calibration).sqrt() / judge.youden(),
        ..corrected
    })
}

impl JudgeQuality {
    /// Youden's index: sensitivity + specificity - 1.
    pub fn youden(&self) -> f64 {
        self.sensitivity + self.specificity - 1.0
    }
}

/// A corrected share, with the variance that comes from the calibration of the judge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CorrectedPoint {
    /// The corrected share, clamped to 0..=1.
    pub p: f64,
    /// Variance of the share that the calibration cases contribute; 0 if the judge's rates are
    /// exact.
    pub calibration: f64,
}

/// Computes the point estimate of [`correct`] and the calibration's part of its variance. That part
/// uses Laplace's estimates `(x + 1) / (n + 2)` of sensitivity and specificity.
///
/// # Errors
/// [`Reason::UselessJudge`] if sensitivity + specificity is at most 1, [`Reason::NoData`] if a
/// number of calibration cases is 0.
///
/// # References
/// `docs/METHODS.md#judges-that-err`; Rogan & Gladen (1978).
pub fn correct_point(p_obs: f64, judge: &JudgeQuality) -> Result<CorrectedPoint, Reason> {
    let youden = judge.youden();
    if youden <= 0.0 {
        return Err(Reason::UselessJudge);
    }
    if judge.n.is_some_and(|n| n[0] <= 0.0 || n[1] <= 0.0) {
        return Err(Reason::NoData);
    }
    let p = ((p_obs + judge.specificity - 1.0) / youden).clamp(0.0, 1.0);
    // A judge without an error among n cases is not proven perfect. Laplace's estimate keeps the
    // variance above 0.
    let variance = |share: f64, n: f64| {
        let share = (share * n + 1.0) / (n + 2.0);
        share * (1.0 - share) / n
    };
    let calibration = judge.n.map_or(0.0, |[positives, negatives]| {
        p * p * variance(judge.sensitivity, positives)
            + (1.0 - p).powi(2) * variance(judge.specificity, negatives)
    });
    Ok(CorrectedPoint {
        p,
        calibration: calibration / (youden * youden),
    })
}

/// Corrects the interval of an observed share `p_obs`. The distance from the share to each end is
/// divided by Youden's index, then the calibration's error is added in quadrature. `alpha` is the
/// two-sided level of the interval.
///
/// # Errors
/// As [`correct_point`].
///
/// # References
/// `docs/METHODS.md#judges-that-err`; Rogan & Gladen (1978).
pub fn correct_interval(
    p_obs: f64,
    interval: Interval,
    judge: &JudgeQuality,
    alpha: f64,
) -> Result<Corrected, Reason> {
    let point = correct_point(p_obs, judge)?;
    let open = norm_isf(0.5 * alpha) * point.calibration.sqrt();
    let reach = |end: f64| ((end - p_obs) / judge.youden()).hypot(open);
    let (lower, upper) = (reach(interval.ci_lower), reach(interval.ci_upper));
    let ci = Interval {
        ci_lower: (point.p - lower).max(0.0),
        ci_upper: (point.p + upper).min(1.0),
    };
    Ok(Corrected {
        p: point.p,
        std_error: 0.5 * (lower + upper) / norm_isf(0.5 * alpha),
        ci,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judge_s_errors_are_taken_back() {
        let judge = JudgeQuality {
            sensitivity: 0.9,
            specificity: 0.8,
            n: None,
        };
        // At 60 % true positives the judge calls 0.9 * 0.6 + 0.2 * 0.4 = 62 % positive.
        let exact = correct(0.62, 1_000.0, &judge, 0.05).unwrap();
        assert!((exact.p - 0.6).abs() < 1e-12);
        assert!((exact.std_error - (0.62 * 0.38 / 1_000.0_f64).sqrt() / 0.7).abs() < 1e-15);
        let measured = correct(
            0.62,
            1_000.0,
            &JudgeQuality {
                n: Some([50.0, 50.0]),
                ..judge
            },
            0.05,
        )
        .unwrap();
        assert!(measured.std_error > exact.std_error);
        assert_eq!(
            correct(
                0.5,
                10.0,
                &JudgeQuality {
                    sensitivity: 0.4,
                    specificity: 0.6,
                    n: None
                },
                0.05
            ),
            Err(Reason::UselessJudge)
        );
        // The observed 10 % is below the 20 % that a true share of 0 would show. The share is 0,
        // but the interval has a width.
        let none = correct(0.1, 100.0, &judge, 0.05).unwrap();
        assert!(none.p == 0.0 && none.ci.ci_upper > 0.0);
        // A perfect judge who finds 0 of 50 leaves Wilson's upper end.
        let perfect = JudgeQuality {
            sensitivity: 1.0,
            specificity: 1.0,
            n: None,
        };
        let none = correct(0.0, 50.0, &perfect, 0.05).unwrap();
        assert!(
            (none.ci.ci_upper - 0.071_348).abs() < 1e-6 && none.ci.ci_lower == 0.0,
            "{none:?}"
        );
    }
}
