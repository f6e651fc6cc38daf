//! Tails and quantiles of the normal, t and chi-square distributions. Upper tails are computed as
//! tails, never as `1 - cdf`. Their logarithms are exact where the tails themselves are too small
//! for a double. See docs/METHODS.md#tails.

use statrs::function::gamma::checked_gamma_ur;
use std::f64::consts::{PI, SQRT_2};

use crate::stats::special::{beta_fraction, gamma_half_ratio, solve_decreasing};

/// The tail probability below which the logarithm is computed directly.
const TINY_TAIL: f64 = 1e-290;

/// The upper tail P(Z > z) of the standard normal distribution, `erfc(z / sqrt 2) / 2`. The
/// relative accuracy holds far into the tail.
pub fn norm_sf(z: f64) -> f64 {
    0.5 * libm::erfc(z / SQRT_2)
}

/// The logarithm of the upper tail, `ln P(Z > z)`.
pub fn ln_norm_sf(z: f64) -> f64 {
    let sf = norm_sf(z);
    if sf > TINY_TAIL {
        return sf.ln();
    }
    // Mills' ratio as a continued fraction, which converges fast this far out.
    let mills = (1..60).rev().fold(z, |tail, k| z + f64::from(k) / tail);
    -0.5 * z * z - 0.5 * (2.0 * PI).ln() - mills.ln()
}

/// The density of the standard normal distribution.
pub fn norm_pdf(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * PI).sqrt()
}

/// The normal quantile of an upper tail: the z with P(Z > z) = p, for 0 < p < 1.
///
/// # References
/// `docs/METHODS.md#tails`; Wichura (1988), algorithm AS 241, accurate to 1e-16. In the far tail
/// one Newton step on the logarithm of the tail follows.
pub fn norm_isf(p: f64) -> f64 {
    let q = 0.5 - p;
    if q.abs() <= 0.425 {
        return q * ratio(&CENTER, 0.180_625 - q * q);
    }
    let tail = p.min(1.0 - p);
    let r = (-tail.ln()).sqrt();
    let z = if r <= 5.0 {
        ratio(&MIDDLE, r - 1.6)
    } else {
        ratio(&FAR, r - 5.0)
    };
    let z = if r <= 5.0 {
        z
    } else {
        z + (ln_norm_sf(z) - tail.ln()) * (ln_norm_sf(z) + 0.5 * z * z + 0.5 * (2.0 * PI).ln()).exp()
    };
    if q < 0.0 { -z } else { z }
}

/// Coefficients of numerator and denominator, from the lowest power.
type Rational = [[f64; 8]; 2];

const CENTER: Rational = [
    [
        3.387_132_872_796_366_5,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ],
    [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_545,
    ],
];
const MIDDLE: Rational = [
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        0.241_780_725_177_450_6,
        0.022_723_844_989_269_184,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        0.689_767_334_985_1,
        0.148_103_976_427_480_08,
        0.015_198_666_563_616_457,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
];
const FAR: Rational = [
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        0.296_560_571_828_504_87,
        0.026_532_189_526_576_124,
        1.242_660_947_388_078_4e-3,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        0.599_832_206_555_887_9,
        0.136_929_880_922_735_8,
        0.014_875_361_290_850_615,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
];

fn ratio([numerator, denominator]: &Rational, x: f64) -> f64 {
    let sum = |coefficients: &[f64; 8]| coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c);
    sum(numerator) / sum(denominator)
}

/// The upper tail P(T > t) of Student's t distribution with `df` degrees of freedom. It is half of
/// the incomplete beta function `I_x(df/2, 1/2)` at `x = df / (df + t^2)`. Infinite `df` is the
/// normal distribution. The result is NaN if `df` is not above 0.
///
/// The function does not use statrs's `beta_reg`: that function computes the factor before the
/// continued fraction from differences of `ln_gamma`, with relative errors up to 3e-10 at a million
/// degrees of freedom.
///
/// # References
/// `docs/METHODS.md#tails`.
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
    if t <= 3.0 && y < 0.5 {
        // Near the center, the difference from one half loses no precision. The series has only
        // positive terms.
        let (mut term, mut sum, mut n) = (1.0, 1.0, 0.0);
        while term > sum * 1e-17 {
            term *= y * (a + 0.5 + n) / (1.5 + n);
            sum += term;
            n += 1.0;
        }
        return 0.5 - front * sum;
    }
    if x < (a + 1.0) / (a + 2.5) {
        0.5 * front * beta_fraction(a, 0.5, x) / a
    } else {
        0.5 - front * beta_fraction(0.5, a, y)
    }
}

/// The logarithm of the upper tail, `ln P(T > t)`; see [`t_sf`].
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

/// The arguments `(df/2, x, 1 - x)` of the incomplete beta function for a tail of t.
fn t_to_beta(t: f64, df: f64) -> (f64, f64, f64) {
    let square = t * t;
    if square > 1e16 * df {
        return (0.5 * df, (-ln_one_plus_square(t, df)).exp(), 1.0);
    }
    (0.5 * df, df / (df + square), square / (df + square))
}

/// `ln(1 + t^2 / df)`, also for a t whose square does not fit a double.
fn ln_one_plus_square(t: f64, df: f64) -> f64 {
    if t > 1e8 * df.sqrt() {
        2.0 * (t.ln() - 0.5 * df.ln())
    } else {
        (t * t / df).ln_1p()
    }
}

/// The logarithm of `x^a (1 - x)^(1/2) / B(a, 1/2)`.
fn ln_t_front(t: f64, df: f64) -> f64 {
    let (a, _, y) = t_to_beta(t, df);
    -a * ln_one_plus_square(t, df) + 0.5 * y.ln() + gamma_half_ratio(a).ln() - 0.5 * PI.ln()
}

/// The t quantile of an upper tail: the t with P(T > t) = p, for 0 < p <= 1/2. Infinite `df` is the
/// normal distribution. NaN if `df` is not above 0.
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
    // The Cornish-Fisher expansion (Abramowitz & Stegun 26.7.5). Except for few degrees of freedom
    // it is so close that one Newton step is enough.
    let (z2, i) = (z * z, 1.0 / df);
    let series = [
        (z2 + 1.0) / 4.0,
        ((5.0 * z2 + 16.0) * z2 + 3.0) / 96.0,
        (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / 384.0,
        ((((79.0 * z2 + 776.0) * z2 + 1482.0) * z2 - 1920.0) * z2 - 945.0) / 92_160.0,
    ];
    let start = z * (1.0 + i * (series[0] + i * (series[1] + i * (series[2] + i * series[3]))));
    solve_decreasing(p, start, |t| t_sf(t, df), density)
}

/// The upper tail P(X > x) of the chi-square distribution with `df` degrees of freedom.
pub fn chi2_sf(x: f64, df: f64) -> f64 {
    if x <= 0.0 {
        1.0
    } else {
        checked_gamma_ur(0.5 * df, 0.5 * x).unwrap_or(f64::NAN)
    }
}

/// The logarithm of the upper tail, `ln P(X > x)`, of the chi-square distribution with `df` degrees
/// of freedom.
pub fn ln_chi2_sf(x: f64, df: f64) -> f64 {
    let sf = chi2_sf(x, df);
    if sf > TINY_TAIL || x <= 0.0 {
        return sf.ln();
    }
    // The continued fraction of the incomplete gamma function, Gamma(a, x) = exp(-x) x^a / (x + 1 -
    // a - 1 (1 - a) / (x + 3 - a - ...)), evaluated from its far end.
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

    /// Relative tolerance. The t distribution at a million degrees of freedom needs it; all other
    /// values agree to 1e-13.
    const REL: f64 = 1e-10;

    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() <= REL * expected.abs(),
            "{found:e} against {expected:e}"
        );
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

    /// Compares the distributions with high-precision values, far into their tails.
    #[test]
    fn special_functions_are_those_of_mpmath() {
        use crate::stats::special::beta_tails;
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/statistics.json")).unwrap();
        let number = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.parse::<f64>().unwrap(),
            other => other.as_f64().unwrap(),
        };
        let mut n = 0;
        for vector in vectors["vectors"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|vector| vector["family"] == "special_fn")
        {
            let (inputs, out) = (&vector["inputs"], &vector["expected"]);
            // The incomplete beta function of the reference values loses digits in the far tail
            // (2e-9). The values of the test above do not.
            let is_far_t = vector["id"].as_str().unwrap().starts_with("sf-t-");
            let rel = if is_far_t {
                5e-9
            } else {
                number(&vector["rel_tol"]).max(1e-12)
            };
            let mut check = |found: f64, expected: &serde_json::Value| {
                let expected = number(expected);
                assert!(
                    (found - expected).abs() <= (rel * expected.abs()).max(1e-15),
                    "{vector}: {found:e}"
                );
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
                    check(
                        ln_t_sf(number(&inputs["t"]), number(&inputs["dof"])),
                        &out["log_sf"],
                    );
                }
                "chi-square sf" => {
                    check(chi2_sf(number(&inputs["x"]), number(&inputs["dof"])), &out["sf"]);
                    check(
                        ln_chi2_sf(number(&inputs["x"]), number(&inputs["dof"])),
                        &out["log_sf"],
                    );
                }
                "regularised incomplete beta" => {
                    let x = number(&inputs["x"]);
                    check(
                        beta_tails(number(&inputs["a"]), number(&inputs["b"]), x, 1.0 - x).0,
                        &out["value"],
                    );
                }
                _ => check(libm::lgamma(number(&inputs["x"])), &out["value"]),
            }
        }
        assert!(n > 100, "{n}");
    }
}
