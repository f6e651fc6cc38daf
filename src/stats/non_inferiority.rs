//! Non-inferiority: tests whether the candidate is worse than the baseline by more than a margin.

use serde::{Deserialize, Serialize};

use crate::stats::known::Interval;

/// The verdict on a harm and its margin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HarmVerdict {
    /// The upper bound of the harm is below the margin.
    Safe,
    /// The evidence is not sufficient for either of the other verdicts.
    Unclear,
    /// The harm is above 0 with confidence, and the point estimate or the lower bound is above the
    /// margin.
    Violated,
}

/// Judges a harm against a margin above 0. The harm is the effect in the bad direction, in the
/// units of the margin.
///
/// - `Violated`: the lower bound is above 0 and the point above the margin, or the lower bound is
///   above the margin.
/// - `Safe`: the upper bound is below the margin.
/// - `Unclear`: neither.
///
/// `harm_is_certain` says whether the lower bound still holds after corrections for other tests.
/// Without it the verdict is never `Violated`.
///
/// # References
/// `docs/METHODS.md#guardrails`.
pub fn judge(harm: f64, interval: Interval, margin: f64, harm_is_certain: bool) -> HarmVerdict {
    if harm_is_certain && is_beyond_margin(harm, interval, margin) {
        HarmVerdict::Violated
    } else if interval.ci_upper < margin {
        HarmVerdict::Safe
    } else {
        HarmVerdict::Unclear
    }
}

/// Whether a harm lies beyond its margin: above 0 with confidence and with its estimate above the
/// margin, or above the margin with confidence. All numbers are in the unit of the metric.
pub fn is_beyond_margin(harm: f64, interval: Interval, margin: f64) -> bool {
    (interval.ci_lower > 0.0 && harm > margin) || interval.ci_lower > margin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_cases() {
        let check = |harm: f64, lower: f64, upper: f64, certain: bool, expected: HarmVerdict| {
            assert_eq!(
                judge(
                    harm,
                    Interval {
                        ci_lower: lower,
                        ci_upper: upper
                    },
                    0.02,
                    certain
                ),
                expected
            );
        };
        check(0.05, 0.01, 0.09, true, HarmVerdict::Violated);
        check(0.05, 0.01, 0.09, false, HarmVerdict::Unclear);
        check(0.05, -0.01, 0.11, true, HarmVerdict::Unclear);
        check(0.015, 0.01, 0.02, true, HarmVerdict::Unclear);
        check(0.0, -0.01, 0.01, true, HarmVerdict::Safe);
        check(0.01, 0.005, 0.015, true, HarmVerdict::Safe);
    }
}
