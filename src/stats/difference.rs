//! The difference of treatment and control: standard error, interval and p-value. The modules
//! `effect` and `contrast` are built on it.

use crate::stats::dist::t_isf;
use crate::stats::known::Interval;
use crate::stats::p_value::{Alternative, Ends, PValue};
use crate::stats::ratio::RatioEstimate;

/// A value with its standard error and degrees of freedom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The value, in any unit.
    pub estimate: f64,
    /// Standard error of the value, in its unit.
    pub std_error: f64,
    /// Degrees of freedom; infinite for the normal distribution.
    pub df: f64,
}

impl Estimate {
    /// The squared standard error.
    pub fn variance(&self) -> f64 {
        self.std_error.powi(2)
    }
}

impl From<&RatioEstimate> for Estimate {
    fn from(r: &RatioEstimate) -> Self {
        Self {
            estimate: r.estimate,
            std_error: r.std_error,
            df: r.df,
        }
    }
}

/// The difference of two estimates, with its standard error and degrees of freedom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Difference {
    /// Treatment minus control, in the unit of the two values.
    pub effect_size: f64,
    /// Standard error of the difference, in the same unit.
    pub std_error: f64,
    /// Degrees of freedom; infinite for the normal distribution.
    pub df: f64,
}

impl Difference {
    /// Treatment minus control, with a given standard error and degrees of freedom.
    pub(super) fn new(control: Estimate, treatment: Estimate, std_error: f64, df: f64) -> Self {
        Self {
            effect_size: treatment.estimate - control.estimate,
            std_error,
            df,
        }
    }

    /// The z or t statistic: the difference in standard errors.
    pub(super) fn statistic(&self) -> f64 {
        self.effect_size / self.std_error
    }

    /// The p-value and its logarithm.
    pub(super) fn p_value(&self, alternative: Alternative) -> PValue {
        alternative.p_value(self.statistic(), self.df)
    }

    /// The two-sided p-value, without its logarithm.
    pub(super) fn two_sided_p_value(&self) -> f64 {
        Alternative::TwoSided.tail(self.statistic(), self.df)
    }

    /// The ends of the interval for an alternative, at error level `alpha`.
    pub(super) fn ends(&self, alternative: Alternative, alpha: f64) -> Ends {
        alternative.ends(self.effect_size, alpha, |tail| self.half_width(tail))
    }

    /// The two-sided interval at error level `alpha`.
    pub(super) fn interval(&self, alpha: f64) -> Interval {
        Interval::around(self.effect_size, self.half_width(0.5 * alpha))
    }

    /// The distance from the difference to an end that leaves the probability `tail` outside.
    fn half_width(&self, tail: f64) -> f64 {
        t_quantile(tail, self.df) * self.std_error
    }
}

/// The variance of the difference of two independent estimates.
pub(super) fn independent_variance(control: Estimate, treatment: Estimate) -> f64 {
    treatment.variance() + control.variance()
}

/// Welch-Satterthwaite degrees of freedom of the sum of two variances:
/// `(v1 + v0)^2 / (v1^2 / df1 + v0^2 / df0)`. If both variances are 0, it is the smaller of the two
/// degrees of freedom.
pub(crate) fn welch_df(v1: f64, df1: f64, v0: f64, df0: f64) -> f64 {
    // Shares of the sum are squared instead of the variances, whose squares may overflow.
    let share = v1 / (v1 + v0);
    if v1 + v0 > 0.0 {
        1.0 / (share * share / df1 + (1.0 - share) * (1.0 - share) / df0)
    } else {
        df1.min(df0)
    }
}

/// Computes [`welch_df`] in another order of operations, so the last bits may differ. Effects keep
/// this order, because existing analysis documents were made with it.
pub(super) fn welch_df_by_squares(control: Estimate, treatment: Estimate) -> f64 {
    let (v1, v0) = (treatment.variance(), control.variance());
    let v = v1 + v0;
    if v > 0.0 {
        v * v / (v1 * v1 / treatment.df + v0 * v0 / control.df)
    } else {
        treatment.df.min(control.df)
    }
}

/// The z or t value with a given upper tail. The tail may be above 0.5.
pub(super) fn t_quantile(tail: f64, df: f64) -> f64 {
    if tail > 0.5 {
        -t_isf(1.0 - tail, df)
    } else {
        t_isf(tail, df)
    }
}
