//! Anytime-valid inference by the normal-mixture e-process. Its intervals are valid at every look,
//! so repeated looks do not raise the error rate.

use crate::stats::dist::{ln_norm_sf, norm_isf};
use crate::stats::p_value::PValue;
use crate::stats::special::root;

/// The mixture variance `tau2` for which an interval at two-sided level `alpha` is tightest when
/// the variance of the effect is `v_star`: `v_star (-2 ln alpha + ln(-2 ln alpha + 1))`.
///
/// # References
/// `docs/METHODS.md#looking-many-times`; Howard et al. (2021).
pub fn mixture_variance(v_star: f64, alpha: f64) -> f64 {
    let l = -2.0 * alpha.ln();
    v_star * (l + l.ln_1p())
}

/// The variance at which a difference `mde` is detected with 80 % power at the two-sided level
/// 0.05: `(mde / 2.8)^2`.
pub fn v_star_for(mde: f64) -> f64 {
    (mde / 2.8).powi(2)
}

/// Half width of the confidence sequence of an effect with variance `v`, at two-sided level
/// `alpha`: `sqrt(v (1 + v / tau2) (ln(1 + tau2 / v) + 2 ln(1 / alpha)))`. It is 0 if the variance
/// is 0.
///
/// # References
/// `docs/METHODS.md#looking-many-times`; Howard et al. (2021).
pub fn half_width(v: f64, tau2: f64, alpha: f64) -> f64 {
    if v <= 0.0 {
        return 0.0;
    }
    (v * (1.0 + v / tau2) * ((tau2 / v).ln_1p() - 2.0 * alpha.ln())).sqrt()
}

/// Always-valid two-sided p-value of "no effect" for an effect `d` with variance `v`: `min(1, 1/E)`
/// with `ln E = tau2 d^2 / (2 v (v + tau2)) - ln(1 + tau2 / v) / 2`. It is 1 if the variance is 0.
pub fn p_value(d: f64, v: f64, tau2: f64) -> f64 {
    if v <= 0.0 {
        return 1.0;
    }
    (-ln_e_value(d, v, tau2)).exp().min(1.0)
}

/// Always-valid one-sided p-value of "the effect is not above 0", with its decimal logarithm. The
/// mixture covers only effects above 0: `ln E = ln 2 + r^2 / 2 - ln(1 + tau2 / v) / 2 + ln Phi(r)`
/// with `r = d sqrt(tau2 / (v (v + tau2)))`. It is 1 if the variance is 0.
pub fn one_sided_p_value(d: f64, v: f64, tau2: f64) -> PValue {
    if v <= 0.0 {
        return PValue::new(1.0);
    }
    let root = (tau2 / (v * (v + tau2))).sqrt() * d;
    PValue::from_ln(
        -(std::f64::consts::LN_2 + 0.5 * root * root - 0.5 * (tau2 / v).ln_1p() + ln_norm_sf(-root)),
    )
}

/// Distance from the effect to the end of the one-sided confidence sequence: the `d` for which
/// [`one_sided_p_value`] is `alpha`.
pub fn one_sided_half_width(v: f64, tau2: f64, alpha: f64) -> f64 {
    let excess = |d: f64| one_sided_p_value(d, v, tau2).log10_p - alpha.log10();
    let most = half_width(v, tau2, alpha);
    root(excess, 0.0, 2.0 * most).unwrap_or(most)
}

/// A closed form that is never below [`one_sided_half_width`]:
/// `sqrt(2 v (1 + v / tau2) ln(1 + sqrt(1 + tau2 / v) / (2 alpha)))`.
///
/// # References
/// Waudby-Smith et al. (2023), equation 134 of the appendix; GrowthBook uses it.
pub fn one_sided_bound(v: f64, tau2: f64, alpha: f64) -> f64 {
    (2.0 * v * (1.0 + v / tau2) * ((1.0 + tau2 / v).sqrt() / (2.0 * alpha)).ln_1p()).sqrt()
}

/// The level `alpha` for which [`one_sided_bound`] is `d`, as a p-value. It is 1 if `d` is not
/// above 0.
pub fn one_sided_bound_p_value(d: f64, v: f64, tau2: f64) -> PValue {
    let exponent = d * d / (2.0 * v * (1.0 + v / tau2));
    if d <= 0.0 {
        return PValue::new(1.0);
    }
    // ln(e^x - 1), without overflow.
    let ln_odds = if exponent > 30.0 {
        exponent
    } else {
        exponent.exp_m1().ln()
    };
    PValue::from_ln(0.5 * (tau2 / v).ln_1p() - std::f64::consts::LN_2 - ln_odds)
}

/// Logarithm of the two-sided mixture's e-value, the evidence against "no effect"; see [`p_value`].
pub fn ln_e_value(d: f64, v: f64, tau2: f64) -> f64 {
    tau2 * d * d / (2.0 * v * (v + tau2)) - 0.5 * (tau2 / v).ln_1p()
}

/// Half width of an interval in standard errors, at two-sided level `alpha`. `anytime`: valid at
/// every look; otherwise, and where the variance is 0, for one planned look.
pub fn multiplier(v: f64, tau2: f64, alpha: f64, anytime: bool) -> f64 {
    if anytime && v > 0.0 {
        half_width(v, tau2, alpha) / v.sqrt()
    } else {
        norm_isf(0.5 * alpha)
    }
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
            assert!(
                d > norm_isf(0.5 * alpha) * v.sqrt(),
                "never narrower than one look"
            );
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
