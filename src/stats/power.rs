//! Sample sizes, detectable effects and power.

use crate::stats::dist::{norm_isf, norm_sf, t_isf};
use crate::stats::known::Reason;
use crate::stats::p_value::Alternative;
use crate::stats::special::{root, scaled_chi};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Baseline {
    /// A proportion.
    Proportion(f64),
    /// A mean or ratio with a variance per row that the candidate shares.
    Mean {
        /// Variance of a row.
        var: f64,
    },
}

/// How the variance of a difference of proportions is made under "no difference".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NullVariance {
    /// From both arms together, as the pooled z test does.
    #[default]
    Pooled,
    /// From each arm.
    Unpooled,
    /// None: on the arcsine scale it does not depend on the share.
    Arcsine,
}

/// A planned comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// What is measured.
    pub baseline: Baseline,
    /// Treated rows per control row.
    pub ratio: f64,
    /// The alternative.
    pub alternative: Alternative,
    /// Error level.
    pub alpha: f64,
    /// Whether the test is a t test.
    pub by_t: bool,
    /// Of proportions.
    pub null_variance: NullVariance,
    /// How much larger the variance is than that of independent rows (clusters); 1 for none.
    pub design_effect: f64,
}

/// Rows of an arm up to which sizes are looked for.
const MOST_ROWS: f64 = 1e16;

impl Comparison {
    /// Power to see an effect (treatment minus control) with `n` rows in both arms together.
    ///
    /// # References
    /// `docs/METHODS.md#the-calculator`; Fleiss, Levin & Paik (2003), section 4.
    pub fn power(&self, n: f64, effect: f64) -> f64 {
        let rows = n / self.design_effect;
        let (n0, n1) = (rows / (1.0 + self.ratio), rows * self.ratio / (1.0 + self.ratio));
        // Standard errors under no difference and under the effect, and the effect on the scale of
        // the test.
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
            // The textbooks' formula of proportions counts only the side on which the effect is.
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

    /// Rows in both arms together for a power.
    ///
    /// # Errors
    /// An effect in the other direction, or none; a power that needs no rows, or more than can be
    /// counted.
    pub fn n_total(&self, effect: f64, power: f64) -> Result<f64, Reason> {
        let excess = |ln_n: f64| self.power(ln_n.exp(), effect) - power;
        // A t test needs a degree of freedom.
        let least = if self.by_t { 3.0 * self.design_effect } else { 1e-6 };
        if self.by_t && self.power(least, effect) >= power {
            return Ok(least);
        }
        root(excess, least.ln(), MOST_ROWS.ln())
            .map(f64::exp)
            .ok_or(Reason::NoSolution)
    }

    /// The least effect seen with a power, in the alternative's direction; upwards for two sides.
    ///
    /// # Errors
    /// No effect within the range of the metric is seen so surely.
    pub fn effect(&self, n: f64, power: f64) -> Result<f64, Reason> {
        let sign = if self.alternative == Alternative::Less {
            -1.0
        } else {
            1.0
        };
        let most = match self.baseline {
            Baseline::Proportion(p) => {
                if sign > 0.0 {
                    1.0 - p
                } else {
                    p
                }
            }
            Baseline::Mean { var } => 1e3 * var.sqrt(),
        };
        let excess = |d: f64| self.power(n, sign * d) - power;
        root(excess, most * 1e-12, most * (1.0 - 1e-12))
            .map(|d| sign * d)
            .ok_or(Reason::NoSolution)
    }
}

/// The difference of two shares on the arcsine scale.
fn cohen_h(p0: f64, p1: f64) -> f64 {
    2.0 * (p1.clamp(0.0, 1.0).sqrt().asin() - p0.sqrt().asin())
}

/// `P(T > t)` of the noncentral t distribution: the normal tail averaged over the chi distribution
/// of the denominator.
fn noncentral_t_sf(t: f64, df: f64, shift: f64) -> f64 {
    if df > 1e12 {
        return norm_sf(t - shift);
    }
    scaled_chi(df, |s| norm_sf(t * s - shift))
}

/// The upper bound of a rate of which no event was seen in `n` rows: `1 - alpha^(1/n)`; about `3 /
/// n` at 5 %.
///
/// # References
/// Hanley & Lippman-Hand (1983).
pub fn rule_of_three(n: f64, alpha: f64) -> f64 {
    -(alpha.ln() / n).exp_m1()
}
