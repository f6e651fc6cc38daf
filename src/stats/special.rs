//! Special functions to nearly double precision. The functions of the crates `statrs` and `libm`
//! lose digits at large arguments.

use std::f64::consts::PI;

/// `Gamma(a + 1/2) / Gamma(a)`.
pub(super) fn gamma_half_ratio(a: f64) -> f64 {
    let (mut a, mut factor) = (a, 1.0);
    while a < 30.0 {
        factor *= a / (a + 0.5);
        a += 1.0;
    }
    let i = 1.0 / a;
    let series = i
        * (-1.0 / 8.0
            + i * i
                * (1.0 / 192.0
                    + i * i * (-1.0 / 640.0 + i * i * (17.0 / 14_336.0 - i * i * 31.0 / 18_432.0))));
    factor * a.sqrt() * series.exp()
}

/// The continued fraction of the incomplete beta function, by Lentz's method.
pub(super) fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut c, mut d) = (1.0, 1.0 / away(1.0 - (a + b) * x / (a + 1.0)));
    let mut value = d;
    for m in 1..100_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away(1.0 + even * d);
        c = away(1.0 + even / c);
        let even_step = d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away(1.0 + odd * d);
        c = away(1.0 + odd / c);
        value *= even_step * d * c;
        // One of the two factors alone can be 1 before the fraction has converged.
        if (even_step - 1.0).abs() < 1e-16 && (d * c - 1.0).abs() < 1e-16 {
            break;
        }
    }
    value
}

/// The error of Stirling's formula: `ln(n!) - ln(sqrt(2 pi n) (n/e)^n)`.
fn stirling_error(n: f64) -> f64 {
    if n <= 16.0 {
        return libm::lgamma(n + 1.0) - (n + 0.5) * n.ln() + n - 0.5 * (2.0 * PI).ln();
    }
    let i2 = 1.0 / (n * n);
    (1.0 / 12.0 - i2 * (1.0 / 360.0 - i2 * (1.0 / 1260.0 - i2 * (1.0 / 1680.0 - i2 / 1188.0)))) / n
}

/// Loader's deviance term `x ln(x / m) + m - x`, without cancellation where x is near m.
pub(super) fn deviance(x: f64, m: f64) -> f64 {
    if (x - m).abs() > 0.1 * (x + m) {
        return x * (x / m).ln() + m - x;
    }
    let v = (x - m) / (x + m);
    let (mut sum, mut term) = ((x - m) * v, 2.0 * x * v);
    for j in 1..1_000 {
        term *= v * v;
        let next = sum + term / f64::from(2 * j + 1);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

/// The logarithm of the binomial probability, `ln(C(n, k) p^k q^(n - k))` with `q = 1 - p`. `k` and
/// `n` need not be integers.
///
/// # References
/// `docs/METHODS.md#tails`; Loader (2000), saddle-point expansion of the binomial distribution.
pub fn ln_binomial_pmf(k: f64, n: f64, p: f64, q: f64) -> f64 {
    if p <= 0.0 {
        return if k == 0.0 { 0.0 } else { f64::NEG_INFINITY };
    }
    if q <= 0.0 {
        return if k == n { 0.0 } else { f64::NEG_INFINITY };
    }
    if k == 0.0 {
        return n * if p < 0.5 { (-p).ln_1p() } else { q.ln() };
    }
    if k == n {
        return n * if q < 0.5 { (-q).ln_1p() } else { p.ln() };
    }
    let rest = n - k;
    stirling_error(n) - stirling_error(k) - stirling_error(rest) - deviance(k, n * p) - deviance(rest, n * q)
        + 0.5 * (n / (2.0 * PI * k * rest)).ln()
}

/// The logarithm of the binomial coefficient, `ln C(n, k)`. `k` and `n` need not be integers. It is
/// 0 for `k <= 0` and `k >= n`.
pub fn ln_choose(n: f64, k: f64) -> f64 {
    if k <= 0.0 || k >= n {
        return 0.0;
    }
    let p = k / n;
    ln_binomial_pmf(k, n, p, 1.0 - p) - k * p.ln() - (n - k) * (-p).ln_1p()
}

/// The regularized incomplete beta function `I_x(a, b)` and its complement, each computed as a
/// tail.
///
/// `y` must be `1 - x`. Callers give both, because the one that is near 1 does not determine the
/// other precisely. Where `a` and `b` are both above 1e8 the method is Temme's expansion, otherwise
/// a continued fraction.
///
/// # References
/// `docs/METHODS.md#tails`; Loader (2000), Temme (1982).
pub fn beta_tails(a: f64, b: f64, x: f64, y: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (0.0, 1.0);
    }
    if y <= 0.0 {
        return (1.0, 0.0);
    }
    if a.min(b) > 1e8 {
        return beta_tails_of_many(a, b, x, y);
    }
    // x^a y^b / B(a, b)
    let front = (a * b / (a + b)) * ln_binomial_pmf(a, a + b, x, y).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        let lower = (front * beta_fraction(a, b, x) / a).min(1.0);
        (lower, 1.0 - lower)
    } else {
        let upper = (front * beta_fraction(b, a, y) / b).min(1.0);
        (1.0 - upper, upper)
    }
}

/// Temme's uniform expansion with its first correction. Its error is below 1e-12 for `a` and `b`
/// above 1e8.
fn beta_tails_of_many(a: f64, b: f64, x: f64, y: f64) -> (f64, f64) {
    let n = a + b;
    let (x0, y0) = (a / n, b / n);
    let half_square = (deviance(a, n * x) + deviance(b, n * y)) / n;
    let eta = (2.0 * half_square).sqrt() * (x - x0).signum();
    let correction = if (x - x0).abs() > 1e-7 * x0.min(y0) {
        1.0 / eta - (x0 * y0).sqrt() / (x - x0)
    } else {
        (y0 - x0) / (3.0 * (x0 * y0).sqrt())
    };
    let rest = correction * (-n * half_square).exp() / (2.0 * PI * n).sqrt();
    let tail = |sign: f64| (0.5 * libm::erfc(-sign * eta * (0.5 * n).sqrt()) + sign * rest).clamp(0.0, 1.0);
    (tail(1.0), tail(-1.0))
}

/// The x with `I_x(a, b) = p`, for 0 < p < 1, and `1 - x`.
pub fn beta_inverse(a: f64, b: f64, p: f64) -> (f64, f64) {
    // The logit of x keeps precision near 0 and near 1.
    let at = |logit: f64| (1.0 / (1.0 + (-logit).exp()), 1.0 / (1.0 + logit.exp()));
    let is_below = |logit: f64| {
        let (x, y) = at(logit);
        let (lower, upper) = beta_tails(a, b, x, y);
        if p < 0.5 { lower < p } else { upper > 1.0 - p }
    };
    let (mut low, mut high) = (-745.0, 745.0);
    let center = (a / b).ln();
    let spread = 2.0 * (1.0 / a + 1.0 / b).sqrt();
    for width in [spread, 4.0 * spread, 16.0 * spread] {
        if is_below(center - width) && !is_below(center + width) {
            (low, high) = (center - width, center + width);
            break;
        }
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if is_below(middle) {
            low = middle
        } else {
            high = middle
        }
    }
    at(0.5 * (low + high))
}

/// The logarithm of the beta function, `ln B(a, b)`.
pub fn ln_beta(a: f64, b: f64) -> f64 {
    // B(a, b) = x^a y^b (a + b) / (a b pmf) at the peak x = a / (a + b), where nothing cancels.
    let (x, y) = (a / (a + b), b / (a + b));
    a * x.ln() + b * y.ln() - (a * b / (a + b)).ln() - ln_binomial_pmf(a, a + b, x, y)
}

/// Solves `tail(t) = p` for a decreasing tail on t >= 0, by Newton steps on the logarithm of the
/// tail. A bracket limits the steps.
pub(super) fn solve_decreasing(
    p: f64,
    start: f64,
    tail: impl Fn(f64) -> f64,
    density: impl Fn(f64) -> f64,
) -> f64 {
    let (mut low, mut high) = (0.0_f64, f64::INFINITY);
    let mut t = start.max(0.0);
    for _ in 0..2_000 {
        let value = tail(t);
        if value.is_nan() {
            return value;
        }
        if value > p {
            low = t
        } else {
            high = t
        }
        let newton = t + (value / p).ln() * value / density(t);
        // The remaining error is about the square of the last relative step.
        if (newton - t).abs() <= 3e-8 * t {
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

/// The zero of a continuous function between two ends with different signs: the Illinois method
/// (regula falsi) with bisection steps. `None` if the signs do not differ.
pub fn root(f: impl Fn(f64) -> f64, low: f64, high: f64) -> Option<f64> {
    let (mut a, mut b) = (low, high);
    let (mut fa, mut fb) = (f(a), f(b));
    if fa == 0.0 {
        return Some(a);
    }
    if fb == 0.0 {
        return Some(b);
    }
    if fa.is_nan() || fb.is_nan() || (fa > 0.0) == (fb > 0.0) {
        return None;
    }
    for step in 0..400 {
        let secant = (a * fb - b * fa) / (fb - fa);
        let middle = 0.5 * (a + b);
        // Every third step is a bisection, which bounds the number of steps for every function.
        let x = if step % 3 == 2 || !(secant > a.min(b) && secant < a.max(b)) {
            middle
        } else {
            secant
        };
        let fx = f(x);
        if fx == 0.0 || (b - a).abs() <= 4.0 * f64::EPSILON * x.abs() || x == a || x == b {
            return Some(x);
        }
        if (fx > 0.0) == (fb > 0.0) {
            (b, fb) = (x, fx);
            fa *= 0.5;
        } else {
            (a, fa) = (x, fx);
            fb *= 0.5;
        }
    }
    Some(0.5 * (a + b))
}

/// The mean of `f(s)` where `df s^2` has a chi-square distribution with `df` degrees of freedom. It
/// uses the trapezoidal rule in `ln s`, which converges exponentially for densities that vanish on
/// both sides.
pub(super) fn scaled_chi(df: f64, f: impl Fn(f64) -> f64) -> f64 {
    // The density of u = ln s up to a constant is exp(df (u - e^(2u) / 2)). Its standard deviation
    // is about 1 / sqrt(2 df), and its left tail is longer.
    let spread = (0.5 / df).sqrt();
    let (low, high) = (-(40.0_f64 / df).max(12.0 * spread), (12.0 * spread).min(6.0));
    // With few degrees of freedom the range is wide and the function may fall steeply.
    let n = if df < 30.0 { 6_000 } else { 600 };
    let step = (high - low) / f64::from(n);
    let (mut sum, mut mass) = (0.0, 0.0);
    for k in 0..=n {
        let u = low + step * f64::from(k);
        let weight = (df * (u - 0.5 * (2.0 * u).exp_m1())).exp();
        sum += weight * f(u.exp());
        mass += weight;
    }
    sum / mass
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beta_tails_meet_their_complements_and_the_expansion_of_many() {
        for (a, b) in [(0.5_f64, 0.5), (3.0, 7.0), (1.0, 1e6), (2.5e5, 7.5e5)] {
            for p in [1e-12, 1e-3, 0.3, 0.5, 0.975] {
                let (x, y) = beta_inverse(a, b, p);
                let (lower, upper) = beta_tails(a, b, x, y);
                assert!(
                    (lower / p - 1.0).abs() < 1e-9 && (lower + upper - 1.0).abs() < 1e-14,
                    "{a} {b} {p}: {lower}"
                );
            }
        }
        // The expansion and the continued fraction agree where both are valid.
        let (a, b) = (2e8_f64, 7e8);
        for z in [-3.0, -0.5, 0.0, 1e-9, 2.0] {
            let n = a + b;
            let x = a / n + z * (a * b / (n * n * n)).sqrt();
            let (lower, upper) = beta_tails_of_many(a, b, x, 1.0 - x);
            let front = (a * b / n) * ln_binomial_pmf(a, n, x, 1.0 - x).exp();
            let exact = if x < a / n {
                front * beta_fraction(a, b, x) / a
            } else {
                1.0 - front * beta_fraction(b, a, 1.0 - x) / b
            };
            assert!(
                (lower - exact).abs() < 1e-9 && (lower + upper - 1.0).abs() < 1e-12,
                "{z}: {lower} {exact}"
            );
        }
    }

    #[test]
    fn logarithms_of_binomials() {
        let close = |found: f64, expected: f64| {
            assert!(
                (found - expected).abs() < 1e-11 * expected.abs().max(1.0),
                "{found} {expected}"
            )
        };
        close(ln_choose(50.0, 3.0), 19_600_f64.ln());
        close(ln_beta(2.5, 3.5), 0.036_815_538_909_255_39_f64.ln());
        close(ln_binomial_pmf(3.0, 10.0, 0.2, 0.8), 0.201_326_592_f64.ln());
        close(ln_binomial_pmf(0.0, 10.0, 0.2, 0.8), 10.0 * 0.8_f64.ln());
    }
}
