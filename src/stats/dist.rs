//! Tails and quantiles of the normal, t and chi-square distributions. Upper tails are computed as tails, never as `1 - cdf`.

use std::f64::consts::{PI, SQRT_2};

use statrs::function::gamma::checked_gamma_ur;

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

/// P(T > t) of Student's t with `df` degrees of freedom: half the incomplete beta function `I_x(df/2, 1/2)` at `x = df / (df + t^2)`.
///
/// Written out because statrs's `beta_reg` takes the factor in front of the continued fraction from differences of `ln_gamma`, which
/// leaves relative errors of 3e-10 at a million degrees of freedom.
pub fn t_sf(t: f64, df: f64) -> f64 {
    if t < 0.0 {
        return 1.0 - t_sf(-t, df);
    }
    let a = 0.5 * df;
    let square = t * t;
    let (x, y) = (df / (df + square), square / (df + square));
    // x^a y^(1/2) / B(a, 1/2)
    let front = (-a * (square / df).ln_1p()).exp() * y.sqrt() * gamma_half_ratio(a) / PI.sqrt();
    if x < (a + 1.0) / (a + 2.5) { 0.5 * front * beta_fraction(a, 0.5, x) / a } else { 0.5 - front * beta_fraction(0.5, a, y) }
}

/// Gamma(a + 1/2) / Gamma(a).
fn gamma_half_ratio(a: f64) -> f64 {
    let (mut a, mut factor) = (a, 1.0);
    while a < 30.0 {
        factor *= a / (a + 0.5);
        a += 1.0;
    }
    let i = 1.0 / a;
    let series = i * (-1.0 / 8.0 + i * i * (1.0 / 192.0 + i * i * (-1.0 / 640.0 + i * i * (17.0 / 14_336.0 - i * i * 31.0 / 18_432.0))));
    factor * a.sqrt() * series.exp()
}

/// The continued fraction of the incomplete beta function, by Lentz's method.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut c, mut d) = (1.0, 1.0 / away(1.0 - (a + b) * x / (a + 1.0)));
    let mut value = d;
    for m in 1..10_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away(1.0 + even * d);
        c = away(1.0 + even / c);
        let even_step = d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away(1.0 + odd * d);
        c = away(1.0 + odd / c);
        value *= even_step * d * c;
        // One of the two alone can be 1 by chance.
        if (even_step - 1.0).abs() < 1e-16 && (d * c - 1.0).abs() < 1e-16 {
            break;
        }
    }
    value
}

/// The t with P(T > t) = p, for 0 < p <= 1/2.
pub fn t_isf(p: f64, df: f64) -> f64 {
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

/// Solves `tail(t) = p` for a decreasing tail on t >= 0: Newton on the log tail, kept inside a bracket.
fn solve_decreasing(p: f64, start: f64, tail: impl Fn(f64) -> f64, density: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0_f64, f64::INFINITY);
    let mut t = start.max(0.0);
    for _ in 0..2_000 {
        let value = tail(t);
        if value > p {
            low = t
        } else {
            high = t
        }
        let newton = t + (value / p).ln() * value / density(t);
        // What is left after a step is about its square.
        if (newton - t).abs() <= 1e-9 * t {
            return newton;
        }
        t = match high {
            _ if newton > low && newton < high => newton,
            f64::INFINITY => (2.0 * low).clamp(1.0, 1e300),
            _ => 0.5 * (low + high),
        };
    }
    t
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
}
