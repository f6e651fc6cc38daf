//! A judge's verdicts, corrected for the judge's own errors.

use crate::stats::dist::norm_isf;
use crate::stats::known::{Interval, Reason};

/// How a judge does on cases whose truth is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JudgeQuality {
    /// Share of true positives that it calls positive.
    pub sensitivity: f64,
    /// Share of true negatives that it calls negative.
    pub specificity: f64,
    /// Cases behind the two; `None`: taken as known exactly.
    pub n: Option<[f64; 2]>,
}

/// A corrected share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corrected {
    /// Within 0..=1.
    pub p: f64,
    /// Standard error before clamping.
    pub std_error: f64,
    /// Interval, within 0..=1.
    pub ci: Interval,
}

/// `p = (p_obs + specificity - 1) / (sensitivity + specificity - 1)`, variance by the delta method
/// including the calibration cases.
///
/// # Errors
/// A judge no better than a coin; no cases.
///
/// # References
/// `docs/METHODS.md#judges-that-err`; Rogan & Gladen (1978).
pub fn correct(p_obs: f64, n: f64, judge: &JudgeQuality, alpha: f64) -> Result<Corrected, Reason> {
    let youden = judge.sensitivity + judge.specificity - 1.0;
    if youden <= 0.0 {
        return Err(Reason::UselessJudge);
    }
    if n <= 0.0 || judge.n.is_some_and(|n| n[0] <= 0.0 || n[1] <= 0.0) {
        return Err(Reason::NoData);
    }
    let raw = (p_obs + judge.specificity - 1.0) / youden;
    let binomial = |p: f64, n: f64| p * (1.0 - p) / n;
    let calibration = judge.n.map_or(0.0, |[positives, negatives]| {
        raw * raw * binomial(judge.sensitivity, positives)
            + (1.0 - raw).powi(2) * binomial(judge.specificity, negatives)
    });
    let std_error = ((binomial(p_obs, n) + calibration) / (youden * youden)).sqrt();
    let half = norm_isf(0.5 * alpha) * std_error;
    let clamp = |p: f64| p.clamp(0.0, 1.0);
    // Around the clamped share: an interval that is clamped to a point would claim certainty.
    let p = clamp(raw);
    Ok(Corrected {
        p,
        std_error,
        ci: Interval {
            ci_lower: clamp(p - half),
            ci_upper: clamp(p + half),
        },
    })
}

impl JudgeQuality {
    /// Sensitivity + specificity - 1.
    pub fn youden(&self) -> f64 {
        self.sensitivity + self.specificity - 1.0
    }
}

/// A corrected share, and the variance that the judge's own trials leave in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CorrectedPoint {
    /// Within 0..=1.
    pub p: f64,
    /// Variance from the calibration cases; 0 if the judge is taken as known.
    pub calibration: f64,
}

/// The point of [`correct`] with the part of its variance that is the judge's.
///
/// # Errors
/// A judge no better than a coin; no calibration cases.
pub fn correct_point(p_obs: f64, judge: &JudgeQuality) -> Result<CorrectedPoint, Reason> {
    let youden = judge.youden();
    if youden <= 0.0 {
        return Err(Reason::UselessJudge);
    }
    if judge.n.is_some_and(|n| n[0] <= 0.0 || n[1] <= 0.0) {
        return Err(Reason::NoData);
    }
    let p = ((p_obs + judge.specificity - 1.0) / youden).clamp(0.0, 1.0);
    // A judge that never erred among n cases may err once among three times as many: Laplace's
    // estimate keeps its variance above 0.
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

/// A share's own interval, corrected: its ends are moved as the point is, and the judge's trials
/// widen it.
///
/// # Errors
/// As [`correct_point`].
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
        // Of 60 % true positives it calls .9 * .6 + .2 * .4 = 62 % positive.
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
        // Below what a perfect zero would show, the share is 0, but not surely.
        let none = correct(0.1, 100.0, &judge, 0.05).unwrap();
        assert!(none.p == 0.0 && none.ci.ci_upper > 0.0);
    }
}
