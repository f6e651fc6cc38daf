//! Sample sizes, detectable effects and power of a planned comparison.

use crate::stats::dist::{norm_isf, norm_sf, t_isf};
use crate::stats::known::Reason;
use crate::stats::p_value::Alternative;
use crate::stats::special::{root, scaled_chi};

/// The kind of metric, with its value or variance in the control.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Baseline {
    /// A proportion, with the control's value, 0..=1.
    Proportion(f64),
    /// A mean or a ratio, with the same variance per row in both arms.
    Mean {
        /// Variance of a row, in squared units of the metric.
        var: f64,
    },
}

/// The variance of a difference of proportions under the null hypothesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NullVariance {
    /// The variance pooled over both arms, as in the pooled z test.
    #[default]
    Pooled,
    /// Each arm's own variance, as in the unpooled z test.
    Unpooled,
    /// The variance on the arcsine scale, where it does not depend on the share.
    Arcsine,
}

/// A planned comparison of two arms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// The kind of metric, with its value or variance in the control.
    pub baseline: Baseline,
    /// Treatment rows per control row, above 0.
    pub ratio: f64,
    /// The alternative hypothesis.
    pub alternative: Alternative,
    /// Error level of the test, above 0 and below 1.
    pub alpha: f64,
    /// True for a t test, false for a z test.
    pub by_t: bool,
    /// The variance under the null hypothesis. Only for proportions.
    pub null_variance: NullVariance,
    /// The variance with clusters over the variance of independent rows; 1 without clusters.
    pub design_effect: f64,
}

/// The largest number of rows that the search for a sample size considers.
const MOST_ROWS: f64 = 1e16;

impl Comparison {
    /// Power (0..=1) to detect `effect` (treatment minus control) with `n` rows in both arms
    /// together. For a z test and a positive effect it is `P(Z > (z s0 - effect) / s1)`: `z` is the
    /// normal quantile, `s0` the standard error under the null hypothesis, `s1` the one under the
    /// effect. The t test uses the noncentral t distribution.
    ///
    /// # References
    /// `docs/METHODS.md#the-calculator`; Fleiss, Levin & Paik (2003), section 4.
    pub fn power(&self, n: f64, effect: f64) -> f64 {
        let rows = n / self.design_effect;
        let (n0, n1) = (rows / (1.0 + self.ratio), rows * self.ratio / (1.0 + self.ratio));
        // Standard errors under the null hypothesis and under the effect, and the effect on the
        // scale of the test.
        let (null, own, shift) = match (self.baseline, self.null_variance) {
            (Baseline::Mean { var }, _) => {
                let error = (var * (1.0 / n0 + 1.0 / n1)).sqrt();
                (error, error, effect)
            }
            (Baseline::Proportion(p0), NullVariance::Arcsine) => {
                let error = (1.0 / n0 + 1.0 / n1).sqrt();
                (error, error, cohen_h(p0, p0 + effect))
            }
            (Baseline::Proportion(p0), kind) => {
                let (p1, pooled) = (p0 + effect, p0 + effect * self.ratio / (1.0 + self.ratio));
                let own = (p0 * (1.0 - p0) / n0 + p1 * (1.0 - p1) / n1).sqrt();
                let null = if kind == NullVariance::Pooled {
                    (pooled * (1.0 - pooled) * (1.0 / n0 + 1.0 / n1)).sqrt()
                } else {
                    own
                };
                (null, own, effect)
            }
        };
        let beyond = |tail: f64, sign: f64| {
            if self.by_t {
                let df = (n0 + n1 - 2.0).max(1e-9);
                noncentral_t_sf(t_isf(tail, df), df, sign * shift / own)
            } else {
                norm_sf((norm_isf(tail) * null - sign * shift) / own)
            }
        };
        match self.alternative {
            // The textbook formula for proportions counts only the tail on the side of the effect.
            Alternative::TwoSided
                if matches!(self.baseline, Baseline::Proportion(_))
                    && self.null_variance != NullVariance::Arcsine =>
            {
                beyond(0.5 * self.alpha, effect.signum())
            }
            Alternative::TwoSided => beyond(0.5 * self.alpha, 1.0) + beyond(0.5 * self.alpha, -1.0),
            Alternative::Greater => beyond(self.alpha, 1.0),
            Alternative::Less => beyond(self.alpha, -1.0),
        }
    }

    /// The number of rows in both arms together for a power. It is not rounded to an integer.
    ///
    /// # Errors
    /// [`Reason::NoSolution`] if the effect is 0 or opposite to the alternative, or if the number
    /// of rows is outside of the search range (at most 1e16).
    pub fn n_total(&self, effect: f64, power: f64) -> Result<f64, Reason> {
        let excess = |ln_n: f64| self.power(ln_n.exp(), effect) - power;
        // A t test needs at least one degree of freedom.
        let least = if self.by_t { 3.0 * self.design_effect } else { 1e-6 };
        if self.by_t && self.power(least, effect) >= power {
            return Ok(least);
        }
        root(excess, least.ln(), MOST_ROWS.ln())
            .map(f64::exp)
            .ok_or(Reason::NoSolution)
    }

    /// The smallest effect that `n` rows in both arms detect with a power, in the direction of the
    /// alternative. For a two-sided test it is the effect above 0. If there is none, because a
    /// proportion has too little room below 1, it is the effect below 0, with its sign.
    ///
    /// # Errors
    /// [`Reason::NoSolution`] if no effect within the range of the metric is detected with this
    /// power.
    pub fn effect(&self, n: f64, power: f64) -> Result<f64, Reason> {
        let [below, above] = self.effects(n, power);
        match self.alternative {
            Alternative::TwoSided => above.or(below),
            Alternative::Greater => above,
            Alternative::Less => below,
        }
    }

    /// The smallest effects below and above 0 that `n` rows in both arms detect with a power.
    ///
    /// # Errors
    /// As [`Self::effect`], for each side.
    pub fn effects(&self, n: f64, power: f64) -> [Result<f64, Reason>; 2] {
        [-1.0, 1.0].map(|sign| {
            let most = match self.baseline {
                Baseline::Proportion(p) if sign > 0.0 => 1.0 - p,
                Baseline::Proportion(p) => p,
                Baseline::Mean { var } => 1e3 * var.sqrt(),
            };
            let excess = |d: f64| self.power(n, sign * d) - power;
            root(excess, most * 1e-12, most * (1.0 - 1e-12))
                .map(|d| sign * d)
                .ok_or(Reason::NoSolution)
        })
    }
}

/// Cohen's h: the difference of two shares on the arcsine scale.
fn cohen_h(p0: f64, p1: f64) -> f64 {
    2.0 * (p1.clamp(0.0, 1.0).sqrt().asin() - p0.sqrt().asin())
}

/// The tail `P(T > t)` of the noncentral t distribution: the mean of the normal tail over the chi
/// distribution of the denominator.
fn noncentral_t_sf(t: f64, df: f64, shift: f64) -> f64 {
    if df > 1e12 {
        return norm_sf(t - shift);
    }
    scaled_chi(df, |s| norm_sf(t * s - shift))
}

/// The upper bound of a rate when `n` independent rows showed no event, at one-sided level `alpha`:
/// `1 - alpha^(1/n)`, about `3 / n` at 5 %.
///
/// # References
/// `docs/METHODS.md#the-gate-of-a-release`; Hanley & Lippman-Hand (1983).
pub fn rule_of_three(n: f64, alpha: f64) -> f64 {
    -(alpha.ln() / n).exp_m1()
}
