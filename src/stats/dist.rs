//! Tails and quantiles of the normal, t and chi-square distributions. Upper tails are computed as tails, never as `1 - cdf`; their
//! logarithms hold where the tails themselves are below the smallest double.

use std::f64::consts::{PI, SQRT_2};

use statrs::function::gamma::checked_gamma_ur;

use super::special::{beta_fraction, gamma_half_ratio, solve_decreasing};

/// Below this a tail's logarithm is computed for itself.
const TINY_TAIL: f64 = 1e-290;

/// P(Z > z) of the standard normal; relative accuracy holds far into the tail.
pub fn norm_sf(z: f64) -> f64 {
    0.5 * libm::erfc(z / SQRT_2)
}

/// `ln P(Z > z)`.
pub fn ln_norm_sf(z: f64) -> f64 {
    let sf = norm_sf(z);
    if sf > TINY_TAIL {
        return sf.ln();
    }
    // Mills' ratio as a continued fraction, which converges fast this far out.
    let mills = (1..60).rev().fold(z, |tail, k| z + f64::from(k) / tail);
    -0.5 * z * z - 0.5 * (2.0 * PI).ln() - mills.ln()
}

/// The density of the standard normal.
pub fn norm_pdf(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * PI).sqrt()
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

/// P(T > t) of Student's t with `df` degrees of freedom: half the incomplete beta function `I_x(df/2, 1/2)` at `x = df / (df + t^2)`.
/// Infinitely many degrees of freedom are the normal distribution.
///
/// Written out because statrs's `beta_reg` takes the factor in front of the continued fraction from differences of `ln_gamma`, which
/// leaves relative errors of 3e-10 at a million degrees of freedom.
pub fn t_sf(t: f64, df: f64) -> f64 {
    if df == f64::INFINITY {
        return norm_sf(t);
    }
    if t.is_nan() || df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    if t < 0.0 {
        return 1.0 - t_sf(-t, df);
    }
    let (a, x, y) = t_to_beta(t, df);
    // x^a y^(1/2) / B(a, 1/2)
    let front = ln_t_front(t, df).exp();
    if x < (a + 1.0) / (a + 2.5) { 0.5 * front * beta_fraction(a, 0.5, x) / a } else { 0.5 - front * beta_fraction(0.5, a, y) }
}

/// `ln P(T > t)`, see [`t_sf`].
pub fn ln_t_sf(t: f64, df: f64) -> f64 {
    if df == f64::INFINITY {
        return ln_norm_sf(t);
    }
    let sf = t_sf(t, df);
    if sf > TINY_TAIL {
        return sf.ln();
    }
    let (a, x, _) = t_to_beta(t, df);
    ln_t_front(t, df) + (0.5 * beta_fraction(a, 0.5, x) / a).ln()
}

/// `(df/2, x, 1 - x)` of the incomplete beta function that is the tail of t.
fn t_to_beta(t: f64, df: f64) -> (f64, f64, f64) {
    let square = t * t;
    (0.5 * df, df / (df + square), square / (df + square))
}

/// The logarithm of `x^a (1 - x)^(1/2) / B(a, 1/2)`.
fn ln_t_front(t: f64, df: f64) -> f64 {
    let (a, _, y) = t_to_beta(t, df);
    -a * (t * t / df).ln_1p() + 0.5 * y.ln() + gamma_half_ratio(a).ln() - 0.5 * PI.ln()
}

/// The t with P(T > t) = p, for 0 < p <= 1/2.
pub fn t_isf(p: f64, df: f64) -> f64 {
    if df == f64::INFINITY {
        return norm_isf(p);
    }
    if df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    let norm = gamma_half_ratio(0.5 * df) / (df * PI).sqrt();
    let density = |t: f64| norm * (-0.5 * (df + 1.0) * (t * t / df).ln_1p()).exp();
    let z = norm_isf(p);
    // Cornish-Fisher (Abramowitz & Stegun 26.7.5): close enough for two steps of Newton wherever clusters are not few.
    let (z2, i) = (z * z, 1.0 / df);
    let series = [
        (z2 + 1.0) / 4.0,
        ((5.0 * z2 + 16.0) * z2 + 3.0) / 96.0,
        (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / 384.0,
    ];
    let start = z * (1.0 + i * (series[0] + i * (series[1] + i * series[2])));
    solve_decreasing(p, start, |t| t_sf(t, df), density)
}

/// P(X > x) of chi-square with `df` degrees of freedom.
pub fn chi2_sf(x: f64, df: f64) -> f64 {
    if x <= 0.0 { 1.0 } else { checked_gamma_ur(0.5 * df, 0.5 * x).unwrap_or(f64::NAN) }
}

/// `ln P(X > x)` of chi-square with `df` degrees of freedom.
pub fn ln_chi2_sf(x: f64, df: f64) -> f64 {
    let sf = chi2_sf(x, df);
    if sf > TINY_TAIL || x <= 0.0 {
        return sf.ln();
    }
    // Gamma(a, x) = exp(-x) x^a / (x + 1 - a - 1 (1 - a) / (x + 3 - a - ...)), by the fraction from far out.
    let (a, half) = (0.5 * df, 0.5 * x);
    let tail = (1..400).rev().fold(half + 801.0 - a, |tail, k| {
        let k = f64::from(k);
        half + 2.0 * k - 1.0 - a - k * (k - a) / tail
    });
    -half + a * half.ln() - libm::lgamma(a) - tail.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative tolerance. The t distribution at a million degrees of freedom sets it; everything else is good to 1e-13.
    const REL: f64 = 1e-10;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= REL * expected.abs(), "{found:e} against {expected:e}");
    }

    /// Values of mpmath at 40 digits: `[kind, x, df, sf]`.
    const TAILS: &str = include_str!("../../tests/vectors/tails.json");

    #[test]
    fn tails_are_those_of_mpmath() {
        let rows: Vec<(String, f64, f64, f64)> = serde_json::from_str(TAILS).unwrap();
        assert!(rows.len() > 30);
        for (kind, x, df, expected) in rows {
            close(
                match kind.as_str() {
                    "normal" => norm_sf(x),
                    "t" => t_sf(x, df),
                    _ => chi2_sf(x, df),
                },
                expected,
            );
        }
    }

    #[test]
    fn quantiles_invert_tails() {
        for p in [0.5, 0.3, 0.05, 0.025, 1e-3, 1e-10, 1e-100] {
            close(norm_sf(norm_isf(p)), p);
            for df in [1.0, 2.5, 10.0, 99.3, 1e6] {
                if p < 0.5 && (df > 2.0 || p > 1e-20) {
                    let t = t_isf(p, df);
                    assert!((t_sf(t, df) / p - 1.0).abs() < REL, "{p} {df} {t}");
                }
            }
        }
        close(t_isf(0.025, 10.0), 2.2281388519649385);
    }

    /// High-precision values of the distributions, far into their tails.
    #[test]
    fn special_functions_are_those_of_mpmath() {
        use crate::stats::special::beta_tails;
        let vectors: serde_json::Value = serde_json::from_str(include_str!("../../tests/vectors/statistics.json")).unwrap();
        let number = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.parse::<f64>().unwrap(),
            other => other.as_f64().unwrap(),
        };
        let mut n = 0;
        for vector in vectors["vectors"].as_array().unwrap().iter().filter(|vector| vector["family"] == "special_fn") {
            let (inputs, out) = (&vector["inputs"], &vector["expected"]);
            // The reference's own incomplete beta function loses digits far out: 2e-9 (see the values above, which do not).
            let is_far_t = vector["id"].as_str().unwrap().starts_with("sf-t-");
            let rel = if is_far_t { 5e-9 } else { number(&vector["rel_tol"]).max(1e-12) };
            let mut check = |found: f64, expected: &serde_json::Value| {
                let expected = number(expected);
                assert!((found - expected).abs() <= (rel * expected.abs()).max(1e-15), "{vector}: {found:e}");
                n += 1;
            };
            match vector["method"].as_str().unwrap() {
                "standard normal sf and log sf" => {
                    check(norm_sf(number(&inputs["z"])), &out["sf"]);
                    check(ln_norm_sf(number(&inputs["z"])), &out["log_sf"]);
                }
                "standard normal quantile" => check(-norm_isf(number(&inputs["p"])), &out["z"]),
                "student t sf (one-sided)" => {
                    check(t_sf(number(&inputs["t"]), number(&inputs["dof"])), &out["sf"]);
                    check(ln_t_sf(number(&inputs["t"]), number(&inputs["dof"])), &out["log_sf"]);
                }
                "chi-square sf" => {
                    check(chi2_sf(number(&inputs["x"]), number(&inputs["dof"])), &out["sf"]);
                    check(ln_chi2_sf(number(&inputs["x"]), number(&inputs["dof"])), &out["log_sf"]);
                }
                "regularised incomplete beta" => {
                    let x = number(&inputs["x"]);
                    check(beta_tails(number(&inputs["a"]), number(&inputs["b"]), x, 1.0 - x).0, &out["value"]);
                }
                _ => check(libm::lgamma(number(&inputs["x"])), &out["value"]),
            }
        }
        assert!(n > 100, "{n}");
    }
}
