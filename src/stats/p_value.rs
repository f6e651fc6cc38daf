//! P-values, alternative hypotheses, and the ends of one-sided and two-sided intervals.

use crate::stats::dist::{ln_t_sf, t_sf};
use crate::stats::known::{Interval, Reason};

/// The alternative hypothesis of a test. The null hypothesis is "no difference".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Alternative {
    /// The treatment differs from the control in either direction.
    #[default]
    TwoSided,
    /// The treatment is above the control.
    Greater,
    /// The treatment is below the control.
    Less,
}

/// The ends of an interval. A one-sided interval has only one of them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ends {
    /// Lower end; `None` if the interval has no lower limit.
    pub lower: Option<f64>,
    /// Upper end; `None` if the interval has no upper limit.
    pub upper: Option<f64>,
}

/// A p-value with its decimal logarithm. The logarithm stays exact where the p-value itself is too
/// small for a double and becomes 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PValue {
    /// The p-value, 0..=1.
    pub p: f64,
    /// The decimal logarithm of the p-value, at most 0.
    pub log10_p: f64,
}

impl PValue {
    /// Takes a p-value, clamps it to 0..=1, and computes its logarithm.
    pub fn new(p: f64) -> Self {
        let p = p.clamp(0.0, 1.0);
        Self {
            p,
            log10_p: p.log10(),
        }
    }

    /// Returns [`Reason::OutOfRange`] if the p-value is NaN.
    pub(super) fn checked(self) -> Result<Self, Reason> {
        if self.p.is_nan() {
            Err(Reason::OutOfRange)
        } else {
            Ok(self)
        }
    }

    /// Takes the natural logarithm of a p-value. A logarithm above 0 (rounding of a sum of tails)
    /// counts as 0.
    pub fn from_ln(ln_p: f64) -> Self {
        let ln_p = ln_p.min(0.0);
        Self {
            p: ln_p.exp(),
            log10_p: ln_p / std::f64::consts::LN_10,
        }
    }
}

impl Alternative {
    /// Returns the statistic, with its sign chosen so that its upper tail counts, and the number of
    /// tails (1 or 2).
    fn signed(self, statistic: f64) -> (f64, f64) {
        match self {
            Self::TwoSided => (statistic.abs(), 2.0),
            Self::Greater => (statistic, 1.0),
            Self::Less => (-statistic, 1.0),
        }
    }

    /// The tail probability of a z statistic (infinite `df`) or of a t statistic. Two-sided: both
    /// tails together. It is not clamped to 1.
    pub(super) fn tail(self, statistic: f64, df: f64) -> f64 {
        let (signed, sides) = self.signed(statistic);
        sides * t_sf(signed, df)
    }

    /// The p-value of a z statistic (infinite `df`) or of a t statistic.
    pub fn p_value(self, statistic: f64, df: f64) -> PValue {
        let (signed, sides) = self.signed(statistic);
        let tail = self.tail(statistic, df);
        // `f64::min` would return 1 for a NaN; the comparison keeps the NaN.
        let p = if tail > 1.0 { 1.0 } else { tail };
        let log10_p = if p.is_nan() || p > 1e-290 {
            p.log10()
        } else {
            (ln_t_sf(signed, df) + f64::ln(sides)) / std::f64::consts::LN_10
        };
        PValue { p, log10_p }
    }

    /// The ends of an interval around `center` at error level `alpha`. `half_width(q)` is the
    /// distance from the center to an end that leaves the probability `q` outside.
    pub fn ends(self, center: f64, alpha: f64, half_width: impl Fn(f64) -> f64) -> Ends {
        match self {
            Self::TwoSided => {
                let half = half_width(0.5 * alpha);
                Ends {
                    lower: Some(center - half),
                    upper: Some(center + half),
                }
            }
            Self::Greater => Ends {
                lower: Some(center - half_width(alpha)),
                upper: None,
            },
            Self::Less => Ends {
                lower: None,
                upper: Some(center + half_width(alpha)),
            },
        }
    }
}

impl From<Interval> for Ends {
    fn from(interval: Interval) -> Self {
        Self {
            lower: Some(interval.ci_lower),
            upper: Some(interval.ci_upper),
        }
    }
}

impl Ends {
    /// Applies an increasing function to both ends.
    #[must_use]
    pub fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Self {
            lower: self.lower.map(&f),
            upper: self.upper.map(&f),
        }
    }
}
