//! Non-inferiority: whether the candidate is worse by more than a margin.

use serde::{Deserialize, Serialize};

use crate::stats::known::Interval;

/// What the evidence says of a harm against its margin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HarmVerdict {
    /// The harm is below the margin, with confidence.
    Safe,
    /// Neither is certain.
    Unclear,
    /// There is harm with confidence, and it is above the margin.
    Violated,
}

/// Judges a harm (the effect in the bad direction) against a margin above 0: `violated` if the
/// lower bound is above 0 and the point above the margin, or the lower bound above the margin;
/// `safe` if the upper bound is below the margin; else `unclear`.
///
/// `harm_is_certain` says whether the lower bound counts, after any correction for other tests.
///
/// # References
/// `docs/METHODS.md#guardrails`.
pub fn judge(harm: f64, interval: Interval, margin: f64, harm_is_certain: bool) -> HarmVerdict {
    let above_zero = interval.ci_lower > 0.0 && harm > margin;
    if harm_is_certain && (above_zero || interval.ci_lower > margin) {
        HarmVerdict::Violated
    } else if interval.ci_upper < margin {
        HarmVerdict::Safe
    } else {
        HarmVerdict::Unclear
    }
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
