//! P-values, alternatives, and one-sided or two-sided interval ends.

use crate::stats::dist::{ln_t_sf, t_sf};
use crate::stats::known::{Interval, Reason};

/// What is held against "no difference".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Alternative {
    /// Some difference.
    #[default]
    TwoSided,
    /// Treatment above control.
    Greater,
    /// Treatment below control.
    Less,
}

/// Ends of an interval; one-sided ones have a single end.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ends {
    /// Lower end.
    pub lower: Option<f64>,
    /// Upper end.
    pub upper: Option<f64>,
}

/// A p-value with its logarithm, which holds where the p-value itself is 0 in double precision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PValue {
    /// Between 0 and 1.
    pub p: f64,
    /// Its decimal logarithm.
    pub log10_p: f64,
}

impl PValue {
    /// From the p-value alone.
    pub fn new(p: f64) -> Self {
        let p = p.clamp(0.0, 1.0);
        Self {
            p,
            log10_p: p.log10(),
        }
    }

    /// Not a number is no p-value.
    pub(super) fn checked(self) -> Result<Self, Reason> {
        if self.p.is_nan() {
            Err(Reason::OutOfRange)
        } else {
            Ok(self)
        }
    }

    /// From the natural logarithm of a p-value, or of a sum of tails.
    pub fn from_ln(ln_p: f64) -> Self {
        let ln_p = ln_p.min(0.0);
        Self {
            p: ln_p.exp(),
            log10_p: ln_p / std::f64::consts::LN_10,
        }
    }
}

impl Alternative {
    /// The statistic and the number of sides whose tail counts.
    fn signed(self, statistic: f64) -> (f64, f64) {
        match self {
            Self::TwoSided => (statistic.abs(), 2.0),
            Self::Greater => (statistic, 1.0),
            Self::Less => (-statistic, 1.0),
        }
    }

    /// The probability beyond a z (infinite `df`) or t statistic, both sides together.
    pub(super) fn tail(self, statistic: f64, df: f64) -> f64 {
        let (signed, sides) = self.signed(statistic);
        sides * t_sf(signed, df)
    }

    /// The p-value of a z (infinite `df`) or t statistic.
    pub fn p_value(self, statistic: f64, df: f64) -> PValue {
        let (signed, sides) = self.signed(statistic);
        let tail = self.tail(statistic, df);
        // Of two numbers, `min` takes the one that is one.
        let p = if tail > 1.0 { 1.0 } else { tail };
        let log10_p = if p.is_nan() || p > 1e-290 {
            p.log10()
        } else {
            (ln_t_sf(signed, df) + f64::ln(sides)) / std::f64::consts::LN_10
        };
        PValue { p, log10_p }
    }

    /// Ends at level `alpha`, where `half_width` gives the distance of an end that leaves a tail
    /// out.
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
    /// The ends through a rising function.
    #[must_use]
    pub fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Self {
            lower: self.lower.map(&f),
            upper: self.upper.map(&f),
        }
    }
}
