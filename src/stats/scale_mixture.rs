//! Evidence that is valid at every look: a mixture of t mixtures over several scales.
//!
//! A mixture with one scale is tight for effects of about that size, and nearly blind to effects
//! that are much larger while data are few. The mixture over scales stays nearly as tight at the
//! scale that it is tuned for, and finds a tenfold effect at once.

/// Number of scales.
const N_SCALES: usize = 5;
/// The scales: the power of [`SCALE_STEP`] above the tuned variance, and the weight. The last scale
/// only serves errors that are far too large for the margin: it keeps every interval finite.
///
/// A larger first weight keeps the interval at the margin tight, a smaller one finds large effects
/// sooner. With 0.72, power at four standard errors a margin falls from 0.83 to 0.80, and 20 events
/// in 200 rows against none are found at the first look at a margin of 0.001.
const SCALES: [(i32, f64); N_SCALES] = [(0, 0.72), (1, 0.09), (2, 0.09), (3, 0.09), (14, 0.01)];
/// Ratio of the mixture variances of neighboring scales.
const SCALE_STEP: f64 = 64.0;
/// Degrees of freedom from which wide scales reach every usual level. With fewer, the evidence of a
/// scale has a low ceiling.
const ENOUGH_DF: f64 = 19.0;
/// Largest number of steps in the search for a half width.
const MAX_STEPS: usize = 60;

/// The mixture at one variance of an effect.
///
/// For an effect `d` with variance `v`, `t = d / sqrt(v)` and `nu` degrees of freedom,
/// `E = sum_k w_k E_k` with `g_k = 64^k tau2 / v` and
/// `E_k = (1 + g_k)^(-1/2) ((1 + t^2 / nu) / (1 + t^2 / (nu (1 + g_k))))^((nu + 1) / 2)`.
/// Without an effect E has the mean 1 at every look, so it exceeds `1 / alpha` at any look with
/// probability at most alpha.
///
/// # References
/// `docs/METHODS.md#looking-many-times`; Robbins (1970), Howard et al. (2021), Lai (1976).
#[derive(Debug, Clone, Copy)]
pub struct ScaleMixture {
    df: f64,
    /// Number of scales in use. The last one is left out where the others are wide enough.
    n_scales: usize,
    /// `1 + g_k` for each scale.
    spread: [f64; N_SCALES],
    /// `ln(w_k) - ln(1 + g_k) / 2` for each scale.
    ln_leading: [f64; N_SCALES],
}

impl ScaleMixture {
    /// The mixture for an effect of variance `v` above 0 with `df` degrees of freedom (infinite for
    /// the normal distribution). `tau2` is the variance of the tuned scale; see
    /// [`crate::stats::sequential::mixture_variance`].
    pub fn new(v: f64, df: f64, tau2: f64) -> Self {
        let widest = SCALE_STEP.powi(SCALES[N_SCALES - 2].0) * (tau2 / v);
        let mut mixture = Self {
            df,
            n_scales: N_SCALES - usize::from(widest > SCALE_STEP && df >= ENOUGH_DF),
            spread: [1.0; N_SCALES],
            ln_leading: [0.0; N_SCALES],
        };
        for (idx, (power, weight)) in SCALES.into_iter().enumerate().take(mixture.n_scales) {
            let g = SCALE_STEP.powi(power) * (tau2 / v);
            mixture.spread[idx] = 1.0 + g;
            mixture.ln_leading[idx] = weight.ln() - 0.5 * g.ln_1p();
        }
        mixture
    }

    /// Natural logarithm of E for an effect of `t` standard errors.
    pub fn ln_e_value(&self, t: f64) -> f64 {
        self.ln_e_and_slope(t * t).0
    }

    /// Two-sided p-value that is valid at every look, 0..=1: `min(1, 1 / E)`. E has the mean 1 and
    /// grows with `|t|`, so this is at least the p-value of one look.
    pub fn p_value(&self, t: f64) -> f64 {
        (-self.ln_e_value(t)).exp().min(1.0)
    }

    /// Half width of the two-sided interval at level `alpha`, in standard errors: the `t` at which
    /// [`Self::p_value`] is `alpha`. It is at least the t quantile of one look.
    pub fn multiplier(&self, alpha: f64) -> f64 {
        self.solve(-alpha.ln()).sqrt()
    }

    /// The squared `t` at which `ln E` is `level`; infinite if there is none.
    fn solve(&self, level: f64) -> f64 {
        // The mixture is at least each of its parts, so it reaches the level before any part does.
        let reached = (0..self.n_scales).map(|idx| self.alone(idx, level));
        let mut high = reached.fold(f64::INFINITY, f64::min);
        if high == f64::INFINITY {
            return high;
        }
        let (mut low, mut u) = (0.0, high);
        for _ in 0..MAX_STEPS {
            let (value, slope) = self.ln_e_and_slope(u);
            let excess = value - level;
            if excess > 0.0 {
                high = u;
            } else {
                low = u;
            }
            let step = excess / slope;
            // Newton's method doubles the digits at each step, so another step would change the
            // result by less than a rounding error.
            if step.abs() <= 1e-7 * u {
                return u - step;
            }
            let next = u - step;
            u = if next > low && next < high {
                next
            } else {
                0.5 * (low + high)
            };
        }
        u
    }

    /// The squared `t` at which one scale with its weight reaches `level`; infinite if none.
    fn alone(&self, idx: usize, level: f64) -> f64 {
        let (spread, needed) = (self.spread[idx], level - self.ln_leading[idx]);
        if self.df.is_infinite() {
            return 2.0 * needed * spread / (spread - 1.0);
        }
        let growth = (2.0 * needed / (self.df + 1.0)).exp();
        if growth < spread {
            self.df * (growth - 1.0) / (1.0 - growth / spread)
        } else {
            f64::INFINITY
        }
    }

    /// `ln E` at a squared `t`, and its slope there.
    fn ln_e_and_slope(&self, u: f64) -> (f64, f64) {
        let (df, half) = (self.df, 0.5 * (self.df + 1.0));
        let shared = ((u / df).ln_1p(), 1.0 / (df + u));
        let mut parts = [(f64::NEG_INFINITY, 0.0); N_SCALES];
        let mut largest = f64::NEG_INFINITY;
        for (idx, part) in parts.iter_mut().enumerate().take(self.n_scales) {
            let spread = self.spread[idx];
            let (growth, slope) = if df.is_infinite() {
                let slope = 0.5 * (spread - 1.0) / spread;
                (slope * u, slope)
            } else {
                let wide = df * spread;
                (
                    half * (shared.0 - (u / wide).ln_1p()),
                    half * (shared.1 - 1.0 / (wide + u)),
                )
            };
            *part = (self.ln_leading[idx] + growth, slope);
            largest = largest.max(part.0);
        }
        let (mut sum, mut slope) = (0.0, 0.0);
        for (ln_e, own) in parts.into_iter().take(self.n_scales) {
            let weight = (ln_e - largest).exp();
            sum += weight;
            slope += weight * own;
        }
        (largest + sum.ln(), slope / sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::dist::{t_isf, t_sf};
    use crate::stats::sequential::{half_width, mixture_variance, v_star_for};

    #[test]
    fn the_interval_ends_where_the_p_value_is_alpha() {
        for (v, mde) in [
            (1e-4, 0.02),
            (1e-6, 0.02),
            (0.3, 1.0),
            (4.0, 1e-3),
            (0.05, 1e-3),
            (1e-12, 1.0),
            (1.0, 1e-9),
        ] {
            for df in [1.0, 2.0, 19.0, 150.0, f64::INFINITY] {
                for alpha in [0.2, 0.05, 1e-3] {
                    let mixture = ScaleMixture::new(v, df, mixture_variance(v_star_for(mde), alpha));
                    let t = mixture.multiplier(alpha);
                    // One degree of freedom says nothing at a billion margins.
                    if df == 1.0 && t.is_infinite() {
                        assert!(v / mde > 1e8);
                        continue;
                    }
                    assert!(
                        (mixture.p_value(t) / alpha - 1.0).abs() < 1e-8,
                        "{v} {mde} {df} {alpha}: {t}"
                    );
                    assert!(t >= t_isf(0.5 * alpha, df));
                }
            }
        }
    }

    /// Without an effect, the mean of E is 1: E is integrated over the t distribution.
    #[test]
    fn the_mean_of_the_evidence_is_one() {
        for (df, g) in [(20.0, 8.0), (60.0, 0.1), (200.0, 500.0)] {
            let mixture = ScaleMixture::new(1.0, df, g);
            let (mut mean, mut t) = (0.0, 0.0_f64);
            while t_sf(t, df) > 1e-250 && t < 1e6 {
                let to = t + 1e-3_f64.max(1e-3 * t);
                let mass = 2.0 * (t_sf(t, df) - t_sf(to, df));
                mean += mass * mixture.ln_e_value(0.5 * (t + to)).exp();
                t = to;
            }
            // The widest scales have their evidence where the tails underflow, so a part is missing.
            assert!(mean < 1.001 && mean > 0.75, "{df} {g}: {mean}");
        }
    }

    /// Near the margin the interval is nearly as tight as that of the tuned scale alone. For a
    /// variance that is far too large for the margin it is much tighter.
    #[test]
    fn tight_at_the_margin_and_not_blind_beyond_it() {
        let tau2 = mixture_variance(v_star_for(0.01), 0.05);
        let v = v_star_for(0.01);
        let at = |v: f64| ScaleMixture::new(v, f64::INFINITY, tau2).multiplier(0.05) * v.sqrt();
        assert!(at(v) < 1.04 * half_width(v, tau2, 0.05));
        assert!(at(0.25 * v) < 1.04 * half_width(0.25 * v, tau2, 0.05));
        assert!(at(1e4 * v) < 0.2 * half_width(1e4 * v, tau2, 0.05));
    }

    #[test]
    fn more_effect_is_more_evidence() {
        let mixture = ScaleMixture::new(1e-4, 40.0, 1e-6);
        let values: Vec<f64> = (0..200)
            .map(|idx| mixture.ln_e_value(f64::from(idx) * 0.25))
            .collect();
        assert!(values.is_sorted());
        assert!((mixture.ln_e_value(-3.0) - mixture.ln_e_value(3.0)).abs() < 1e-12);
    }
}
