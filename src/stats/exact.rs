//! Exact tests on counts: binomial and hypergeometric tails.

use crate::stats::known::Reason;
use crate::stats::p_value::{Alternative, PValue};
use crate::stats::special::{beta_tails, ln_binomial_pmf};

/// Relative tolerance: outcomes that are as likely as the observed one up to rounding count as
/// equally extreme.
const ROUNDING: f64 = 1e-7;
/// Largest number of terms in the sum of a tail. A test with more terms returns
/// [`Reason::TooLarge`].
const MAX_TERMS: f64 = 5e7;

/// Lower and upper tail of a binomial distribution, each with its point: `P(X <= k)` and
/// `P(X >= k)`.
pub fn binomial_tails(k: f64, n: f64, p: f64) -> (f64, f64) {
    let q = 1.0 - p;
    let lower = if k >= n {
        1.0
    } else {
        beta_tails(n - k, k + 1.0, q, p).0
    };
    let upper = if k <= 0.0 {
        1.0
    } else {
        beta_tails(k, n - k + 1.0, p, q).0
    };
    (lower, upper)
}

/// The exact binomial test of `k` successes in `n` trials against a share `p`. Two-sided: the
/// probability of all outcomes that are at most as likely as `k`.
///
/// # References
/// Clopper & Pearson (1934); two-sided as in R and SciPy.
pub fn binomial(k: f64, n: f64, p: f64, alternative: Alternative) -> PValue {
    let (lower, upper) = binomial_tails(k, n, p);
    let two_sided = || {
        let ln_pmf = |x: f64| ln_binomial_pmf(x, n, p, 1.0 - p);
        let limit = ln_pmf(k) + ROUNDING.ln_1p();
        let mode = ((n + 1.0) * p).floor().min(n);
        if k <= mode {
            let other = first_at_most(mode.max(k + 1.0), n, limit, &ln_pmf);
            lower + other.map_or(0.0, |other| binomial_tails(other, n, p).1)
        } else {
            let other = first_at_most(mode.min(k - 1.0), 0.0, limit, &ln_pmf);
            upper + other.map_or(0.0, |other| binomial_tails(other, n, p).0)
        }
    };
    PValue::new(match alternative {
        Alternative::TwoSided => two_sided(),
        Alternative::Greater => upper,
        Alternative::Less => lower,
    })
}

/// Searches from a point at or beyond the mode towards `end` and returns the first outcome whose
/// probability is at most the limit. `None` if there is none, or if `from` is already beyond `end`.
fn first_at_most(from: f64, end: f64, limit: f64, ln_pmf: &dyn Fn(f64) -> f64) -> Option<f64> {
    let is_past = end >= 0.0 && (from - end).abs() > 0.0 && (from < 0.0 || ln_pmf(from) == f64::NEG_INFINITY);
    if is_past || ln_pmf(end) > limit {
        return None;
    }
    let (mut above, mut below) = (from, end);
    if ln_pmf(above) <= limit {
        return Some(above);
    }
    while (above - below).abs() > 1.0 {
        let middle = (0.5 * (above + below)).floor();
        if ln_pmf(middle) > limit {
            above = middle
        } else {
            below = middle
        }
    }
    Some(below)
}

/// Fisher's exact test of the table `[[a, b], [c, d]]`, conditional on its margins. `Greater` means
/// that the odds of the first row are higher. Two-sided: the probability of all tables that are at
/// most as likely as the observed one.
///
/// # Errors
/// [`Reason::NoData`] if all counts are 0, [`Reason::TooLarge`] if the tail has too many terms.
///
/// # References
/// Fisher (1935); two-sided as in R and SciPy.
pub fn fisher(a: f64, b: f64, c: f64, d: f64, alternative: Alternative) -> Result<PValue, Reason> {
    let (row, other_row, column) = (a + b, c + d, a + c);
    let n = row + other_row;
    if n == 0.0 {
        return Err(Reason::NoData);
    }
    let (low, high) = ((column - other_row).max(0.0), column.min(row));
    let mode = ((column + 1.0) * (row + 1.0) / (n + 2.0))
        .floor()
        .clamp(low, high);
    let spread = (column * (row / n) * (other_row / n) * ((n - column) / (n - 1.0).max(1.0))).sqrt();
    if spread * 40.0 > MAX_TERMS {
        return Err(Reason::TooLarge);
    }
    let share = column / n;
    let ln_pmf = |x: f64| {
        ln_binomial_pmf(x, row, share, 1.0 - share)
            + ln_binomial_pmf(column - x, other_row, share, 1.0 - share)
            - ln_binomial_pmf(column, n, share, 1.0 - share)
    };
    // Sums the tail from x outwards. Each term follows from the one before, and the terms decrease
    // beyond the mode.
    let tail = |x: f64, upwards: bool| {
        let (mut x, mut term) = (x, 1.0);
        let first = ln_pmf(x);
        let mut sum = 0.0;
        loop {
            sum += term;
            if upwards && x >= high || !upwards && x <= low {
                break;
            }
            let past_mode = if upwards { x >= mode } else { x <= mode };
            if past_mode && term < sum * 1e-18 {
                break;
            }
            term *= if upwards {
                (row - x) * (column - x) / ((x + 1.0) * (other_row - column + x + 1.0))
            } else {
                x * (other_row - column + x) / ((row - x + 1.0) * (column - x + 1.0))
            };
            x += if upwards { 1.0 } else { -1.0 };
        }
        first + sum.ln()
    };
    let two_sided = || {
        let limit = ln_pmf(a) + ROUNDING.ln_1p();
        let (own, other) = if a <= mode {
            (
                tail(a, false),
                first_at_most(mode.max(a + 1.0), high, limit, &ln_pmf).map(|x| tail(x, true)),
            )
        } else {
            (
                tail(a, true),
                first_at_most(mode.min(a - 1.0), low, limit, &ln_pmf).map(|x| tail(x, false)),
            )
        };
        other.map_or(own, |other| own.max(other) + (-(own - other).abs()).exp().ln_1p())
    };
    // A tail that contains the mode is computed as one minus the short tail on the other side.
    let one_sided = |upwards: bool| {
        let is_short = if upwards { a >= mode } else { a <= mode };
        let before = if upwards { a - 1.0 } else { a + 1.0 };
        if is_short {
            tail(a, upwards)
        } else if before < low || before > high {
            0.0
        } else {
            (-tail(before, !upwards).exp()).ln_1p()
        }
    };
    Ok(PValue::from_ln(match alternative {
        Alternative::TwoSided => two_sided(),
        Alternative::Greater => one_sided(true),
        Alternative::Less => one_sided(false),
    }))
}
