//! Anytime-valid inference: the normal mixture e-process. Intervals hold at every look, so looking often costs nothing.

use super::dist::norm_isf;

/// The mixture's variance that makes intervals at level `alpha` tightest when an effect's variance is `v_star`:
/// `v_star (-2 ln alpha + ln(-2 ln alpha + 1))`.
///
/// # References
/// METHODS section 4; Howard et al. (2021).
pub fn mixture_variance(v_star: f64, alpha: f64) -> f64 {
    let l = -2.0 * alpha.ln();
    v_star * (l + l.ln_1p())
}

/// The variance at which a difference `mde` is seen with 80 % power at 5 %: `(mde / 2.8)^2`.
pub fn v_star_for(mde: f64) -> f64 {
    (mde / 2.8).powi(2)
}

/// Half width of the confidence sequence of an effect with variance `v`:
/// `sqrt(v (1 + v / tau2) (ln(1 + tau2 / v) + 2 ln(1 / alpha)))`; 0 for no variance.
pub fn half_width(v: f64, tau2: f64, alpha: f64) -> f64 {
    if v <= 0.0 {
        return 0.0;
    }
    (v * (1.0 + v / tau2) * ((tau2 / v).ln_1p() - 2.0 * alpha.ln())).sqrt()
}

/// Always-valid p-value of "no effect" for an effect `d` with variance `v`: `min(1, 1/E)`,
/// `ln E = tau2 d^2 / (2 v (v + tau2)) - ln(1 + tau2 / v) / 2`. Without variance there is no evidence: 1.
pub fn p_value(d: f64, v: f64, tau2: f64) -> f64 {
    if v <= 0.0 {
        return 1.0;
    }
    let log_e = tau2 * d * d / (2.0 * v * (v + tau2)) - 0.5 * (tau2 / v).ln_1p();
    (-log_e).exp().min(1.0)
}

/// How many standard errors wide each side of an interval is: at one planned look, or at every look.
pub fn multiplier(v: f64, tau2: f64, alpha: f64, anytime: bool) -> f64 {
    if anytime && v > 0.0 { half_width(v, tau2, alpha) / v.sqrt() } else { norm_isf(0.5 * alpha) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_ends_where_the_p_value_is_alpha() {
        for (v, mde, alpha) in [(1e-4, 0.02, 0.05), (1e-6, 0.02, 0.01), (0.3, 1.0, 0.2)] {
            let tau2 = mixture_variance(v_star_for(mde), alpha);
            let d = half_width(v, tau2, alpha);
            assert!((p_value(d, v, tau2) / alpha - 1.0).abs() < 1e-10);
            assert!(d > norm_isf(0.5 * alpha) * v.sqrt(), "never narrower than one look");
        }
    }

    #[test]
    fn tightest_near_the_variance_it_is_tuned_for() {
        let tau2 = mixture_variance(1e-4, 0.05);
        let relative = |v: f64, tau2: f64| half_width(v, tau2, 0.05) / v.sqrt();
        let tuned = relative(1e-4, tau2);
        assert!(tuned < relative(1e-4, tau2 * 3.0) && tuned < relative(1e-4, tau2 / 3.0));
    }
}
