//! Tails and quantiles of the normal, t, chi-square and beta distributions. Upper tails are computed as tails, never as `1 - cdf`.

use std::f64::consts::{PI, SQRT_2};

use statrs::function::{
    beta::checked_beta_reg,
    gamma::{checked_gamma_ur, ln_gamma},
};

/// P(Z > z) of the standard normal; relative accuracy holds far into the tail.
pub fn norm_sf(z: f64) -> f64 {
    0.5 * libm::erfc(z / SQRT_2)
}

/// The z with P(Z > z) = p, for 0 < p < 1.
pub fn norm_isf(p: f64) -> f64 {
    if p > 0.5 {
        return -norm_isf(1.0 - p);
    }
    // Rational start (Abramowitz & Stegun 26.2.23), then Newton on the log tail, which is nearly quadratic in z.
    let t = (-2.0 * p.ln()).sqrt();
    let mut z = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
    for _ in 0..4 {
        let sf = norm_sf(z);
        let density = (-0.5 * z * z).exp() / (2.0 * PI).sqrt();
        z += (sf / p).ln() * sf / density;
    }
    z
}

/// P(T > t) of Student's t with `df` degrees of freedom.
pub fn t_sf(t: f64, df: f64) -> f64 {
    if t < 0.0 {
        return 1.0 - t_sf(-t, df);
    }
    let x = df / (df + t * t);
    // 1 - x computed from t loses nothing when t is small; the regularised beta takes care of the rest.
    0.5 * checked_beta_reg(0.5 * df, 0.5, x).unwrap_or(f64::NAN)
}

/// The t with P(T > t) = p, for 0 < p <= 1/2.
pub fn t_isf(p: f64, df: f64) -> f64 {
    let log_norm = ln_gamma(0.5 * (df + 1.0)) - ln_gamma(0.5 * df) - 0.5 * (df * PI).ln();
    let density = |t: f64| (log_norm - 0.5 * (df + 1.0) * (t * t / df).ln_1p()).exp();
    solve_decreasing(p, norm_isf(p), |t| t_sf(t, df), density)
}

/// P(X > x) of chi-square with `df` degrees of freedom.
pub fn chi2_sf(x: f64, df: f64) -> f64 {
    if x <= 0.0 { 1.0 } else { checked_gamma_ur(0.5 * df, 0.5 * x).unwrap_or(f64::NAN) }
}

/// The x with P(X <= x) = p of the beta distribution.
pub fn beta_ppf(p: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    // Bisection to the last bit: rare, and it cannot fail.
    for _ in 0..1_100 {
        let mid = 0.5 * (low + high);
        if mid <= low || mid >= high {
            break;
        }
        if checked_beta_reg(a, b, mid).unwrap_or(f64::NAN) < p { low = mid } else { high = mid }
    }
    0.5 * (low + high)
}

/// Solves `tail(t) = p` for a decreasing tail on t >= 0: Newton on the log tail, kept inside a bracket.
fn solve_decreasing(p: f64, start: f64, tail: impl Fn(f64) -> f64, density: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, start.max(1.0));
    while tail(high) > p && high < 1e300 {
        low = high;
        high *= 2.0;
    }
    let mut t = start.clamp(low, high);
    for _ in 0..200 {
        let value = tail(t);
        if value > p {
            low = t
        } else {
            high = t
        }
        let newton = t + (value / p).ln() * value / density(t);
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        if (next - t).abs() <= 1e-15 * t.abs() {
            return next;
        }
        t = next;
    }
    t
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative tolerance of closed forms.
    const REL: f64 = 1e-12;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= REL * expected.abs(), "{found:e} against {expected:e}");
    }

    #[test]
    fn tails_hold_far_out() {
        // mpmath, 40 digits.
        close(norm_sf(1.959963984540054), 0.025000000000000013);
        close(norm_sf(10.0), 7.619853024160526e-24);
        close(norm_sf(37.0), 5.725571222524577e-300);
        close(chi2_sf(3.841458820694124, 1.0), 0.05);
        close(chi2_sf(100.0, 1.0), 1.5239706048321e-23);
        close(t_sf(2.0, 5.0), 0.05096973941492917);
        close(t_sf(12.706204736432095, 1.0), 0.025);
    }

    #[test]
    fn quantiles_invert_tails() {
        for p in [0.5, 0.3, 0.05, 0.025, 1e-3, 1e-10, 1e-100] {
            close(norm_sf(norm_isf(p)), p);
            for df in [1.0, 2.5, 10.0, 99.3, 1e6] {
                if p < 0.5 && (df > 2.0 || p > 1e-20) {
                    let t = t_isf(p, df);
                    assert!((t_sf(t, df) / p - 1.0).abs() < 1e-10, "{p} {df}");
                }
            }
        }
        close(t_isf(0.025, 10.0), 2.2281388519649385);
        assert!((beta_ppf(0.975, 1.0, 10.0) - 0.3084971078187608).abs() < 1e-13);
    }
}
