//! Bounds of the half widths of intervals, from a table that fills itself. A decision compares the
//! ends of an interval with limits; far from the limits, bounds give the same answer as the interval.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::stats::dist::t_isf;
use crate::stats::known::Interval;
use crate::stats::scale_mixture::ScaleMixture;

/// The largest error level with proven bounds; see [`HalfWidths`].
const MAX_ALPHA: f64 = 0.1;
/// The smallest degrees of freedom of the table.
const MIN_DF: f64 = 19.0;
/// Cells of the table are equally wide in `1 / df`, with this many for a change of 1.
const CELLS_OF_DF: f64 = 2048.0;
/// Number of cells of the degrees of freedom: from infinite ones to [`MIN_DF`].
const N_DF: usize = (CELLS_OF_DF / MIN_DF) as usize + 1;
/// Bits of the mantissa of a variance that select its cell. A cell is at most 2^-7 wide, relatively.
const BITS: u32 = 7;
/// The range of `v / tau2` in the table. Below 4096 the mixture leaves out its widest scale.
const RANGE: [f64; 2] = [1.0 / 1_099_511_627_776.0, 2048.0];
/// Number of powers of 2 in [`RANGE`].
const N_PARTS: usize = 51;
/// Relative slack for rounding errors, and for bounds that are kept in single precision.
const SLACK: f64 = 1e-6;
/// Slack for rounding errors relative to the center of an interval.
pub(super) const CENTER_SLACK: f64 = 1e-12;

/// A mixture variance, as the table needs it.
#[derive(Debug, Clone, Copy)]
pub struct MixtureScale {
    inverse: f64,
    root: f64,
}

impl MixtureScale {
    /// Takes a mixture variance; see [`crate::stats::sequential::mixture_variance`].
    pub fn new(tau2: f64) -> Self {
        Self {
            inverse: 1.0 / tau2,
            root: tau2.sqrt(),
        }
    }
}

/// A number between two others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// A number that is not above the bounded one.
    pub low: f64,
    /// A number that is not below the bounded one.
    pub high: f64,
}

impl Bounds {
    /// Bounds of a number at least 0 that is known up to rounding errors.
    #[inline]
    pub fn near(value: f64) -> Self {
        widened(value, value)
    }
}

/// An interval between two others: each of its ends lies between theirs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IntervalBounds {
    /// An interval within the bounded one.
    pub narrow: Interval,
    /// An interval that contains the bounded one.
    pub wide: Interval,
}

impl IntervalBounds {
    /// Bounds of the interval around a center, from bounds of its half width.
    #[inline]
    pub fn around(center: f64, half_width: Bounds) -> Self {
        Self::around_rough(center, CENTER_SLACK * center.abs(), half_width)
    }

    /// As [`Self::around`], for a center with an error of up to `slack`.
    #[inline]
    pub fn around_rough(center: f64, slack: f64, half_width: Bounds) -> Self {
        Self {
            narrow: Interval::around(center, half_width.low - slack),
            wide: Interval::around(center, half_width.high + slack),
        }
    }

    /// Bounds after a change that keeps the order of ends.
    #[must_use]
    #[inline]
    pub fn map(self, change: impl Fn(Interval) -> Interval) -> Self {
        Self {
            narrow: change(self.narrow),
            wide: change(self.wide),
        }
    }

    /// Whether the lower end of the bounded interval may be equal to a limit, or on either side of it.
    #[inline]
    pub fn is_lower_near(&self, limit: f64) -> bool {
        self.wide.ci_lower <= limit && limit <= self.narrow.ci_lower
    }

    /// Whether the upper end of the bounded interval may be equal to a limit, or on either side of it.
    #[inline]
    pub fn is_upper_near(&self, limit: f64) -> bool {
        self.narrow.ci_upper <= limit && limit <= self.wide.ci_upper
    }
}

/// Bounds of half widths at one error level, over cells of the variance and of the degrees of
/// freedom. Each cell is computed at the first use, and has the same value on any thread.
///
/// Within a cell, the half width lies between its values at two corners: it grows with the variance
/// and falls with the degrees of freedom. For one look both are known of the t distribution. For
/// every look, with `t` the half width in standard errors and `E_k` a part of the [`ScaleMixture`]:
/// `v d(ln E_k)/dv <= g / (2 (1 + g)) (1 - (nu + 1) t^2 / (nu + t^2))` at a fixed effect, which is
/// below 0 for `t > 1`; and `ln E_k` grows with `nu` at a fixed `t` if `t^2 >= 2 nu / (nu - 1)`. With
/// 19 degrees of freedom or more, and a level of at most 0.1, `t` is large enough for both.
#[derive(Debug)]
pub struct HalfWidths {
    alpha: f64,
    every: bool,
    /// Quantiles of t by cell of the degrees of freedom.
    quantiles: Box<[AtomicU64]>,
    /// Half widths for every look at `tau2 = 1`, by cell of the degrees of freedom and of `v`: one
    /// part for each power of 2 of `v`.
    mixtures: Box<[OnceLock<Box<[AtomicU64]>>]>,
}

impl HalfWidths {
    /// A table for intervals at two-sided level `alpha`: for every look or for one planned look.
    /// `None` for levels without proven bounds, above 0.1.
    pub fn new(alpha: f64, every: bool) -> Option<Self> {
        (alpha > 0.0 && alpha <= MAX_ALPHA).then(|| Self {
            alpha,
            every,
            quantiles: empty_cells(N_DF),
            mixtures: (0..N_DF * N_PARTS).map(|_| OnceLock::new()).collect(),
        })
    }

    /// Whether the half widths are those for every look.
    pub fn every(&self) -> bool {
        self.every
    }

    /// Bounds of the half width of an estimate with variance `v` and `1 / inverse_df` degrees of
    /// freedom. Both may have rounding errors of a few operations. `None` outside of the table: 19
    /// degrees of freedom or more, and `v / tau2` up to 2048.
    #[inline]
    pub fn of(&self, v: f64, inverse_df: f64, scale: MixtureScale) -> Option<Bounds> {
        if !self.every {
            let (t, root) = (self.quantile(inverse_df)?, v.sqrt());
            return Some(Bounds {
                low: t.low * root,
                high: t.high * root,
            });
        }
        let (idx, v) = (df_cell(inverse_df)?, v * scale.inverse);
        // A NaN is outside too.
        if !(RANGE[0]..RANGE[1]).contains(&v) {
            return None;
        }
        let at = v_cell(v);
        let part = self.mixtures[idx * N_PARTS + (at >> BITS)].get_or_init(|| empty_cells(1 << BITS));
        let cell = &part[at & ((1 << BITS) - 1)];
        let found = load_or_store(cell, || self.mixture_bounds(idx, at));
        Some(Bounds {
            low: found.low * scale.root,
            high: found.high * scale.root,
        })
    }

    /// Bounds of the t quantile of one look. `None` below 19 degrees of freedom.
    #[inline]
    pub fn quantile(&self, inverse_df: f64) -> Option<Bounds> {
        let idx = df_cell(inverse_df)?;
        Some(load_or_store(&self.quantiles[idx], || {
            let [fewest, most] = df_range(idx);
            widened(t_isf(0.5 * self.alpha, most), t_isf(0.5 * self.alpha, fewest))
        }))
    }

    #[cold]
    fn mixture_bounds(&self, idx: usize, at: usize) -> Bounds {
        let [fewest, most] = df_range(idx);
        let half_width = |v: f64, df: f64| ScaleMixture::new(v, df, 1.0).multiplier(self.alpha) * v.sqrt();
        widened(half_width(v_edge(at), most), half_width(v_edge(at + 1), fewest))
    }
}

fn empty_cells(n: usize) -> Box<[AtomicU64]> {
    (0..n).map(|_| AtomicU64::new(0)).collect()
}

/// The cell of some degrees of freedom, from their inverse. `None` below [`MIN_DF`], and for a NaN.
#[inline]
fn df_cell(inverse_df: f64) -> Option<usize> {
    (0.0..=1.0 / MIN_DF)
        .contains(&inverse_df)
        .then_some((CELLS_OF_DF * inverse_df) as usize)
}

/// The fewest and the most degrees of freedom of a cell.
fn df_range(idx: usize) -> [f64; 2] {
    let fewest = CELLS_OF_DF / (idx as f64 + 1.0);
    let most = CELLS_OF_DF / idx as f64;
    [(fewest * (1.0 - 1e-12)).max(MIN_DF), most * (1.0 + 1e-12)]
}

/// The cell of a variance: the leading bits of the number, so cells grow with it.
#[inline]
fn v_cell(v: f64) -> usize {
    ((v.to_bits() - RANGE[0].to_bits()) >> (f64::MANTISSA_DIGITS - 1 - BITS)) as usize
}

/// The smallest variance of a cell.
fn v_edge(idx: usize) -> f64 {
    f64::from_bits(RANGE[0].to_bits() + ((idx as u64) << (f64::MANTISSA_DIGITS - 1 - BITS)))
}

fn widened(low: f64, high: f64) -> Bounds {
    Bounds {
        low: low * (1.0 - SLACK),
        high: high * (1.0 + SLACK),
    }
}

/// The bounds of a cell, which are computed at the first use. Both are in one word, so that they are
/// read and written together: two numbers in single precision.
#[inline]
fn load_or_store(cell: &AtomicU64, compute: impl FnOnce() -> Bounds) -> Bounds {
    let mut word = cell.load(Ordering::Relaxed);
    if word == 0 {
        let Bounds { low, high } = compute();
        word = u64::from((low as f32).to_bits()) << 32 | u64::from((high as f32).to_bits());
        cell.store(word, Ordering::Relaxed);
    }
    Bounds {
        low: f64::from(f32::from_bits((word >> 32) as u32)),
        high: f64::from(f32::from_bits(word as u32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::sequential::{mixture_variance, v_star_for};

    /// Every half width lies within its bounds, and the bounds are close.
    #[test]
    fn half_widths_lie_within_their_bounds() {
        let mut n = 0;
        for alpha in [0.1, 0.05, 1e-3, 1e-6] {
            let tau2 = mixture_variance(v_star_for(0.02), alpha);
            let (scale, every) = (MixtureScale::new(tau2), HalfWidths::new(alpha, true).unwrap());
            let one = HalfWidths::new(alpha, false).unwrap();
            for step in 0..4_000_u32 {
                // Irregular values over the whole table.
                let share = f64::from(step) * 0.618_033_988_749 % 1.0;
                let v = tau2 * 10.0_f64.powf(-11.9 + 15.2 * share);
                let df = [19.0, 19.0 + f64::from(step), 1e9, f64::INFINITY][step as usize % 4];
                let check = |found: Option<Bounds>, expected: f64, most: f64| {
                    let Bounds { low, high } = found.unwrap();
                    let is_within = low <= expected && expected <= high;
                    assert!(is_within, "{alpha} {v} {df}: {low} {expected} {high}");
                    assert!(high <= low * (1.0 + most), "{alpha} {v} {df}: {low} {high}");
                };
                let mixture = ScaleMixture::new(v, df, tau2).multiplier(alpha) * v.sqrt();
                check(every.of(v, 1.0 / df, scale), mixture, 0.05);
                let t = t_isf(0.5 * alpha, df);
                check(one.quantile(1.0 / df), t, 0.01);
                check(one.of(v, 1.0 / df, scale), t * v.sqrt(), 0.01);
                n += 1;
            }
        }
        assert_eq!(n, 16_000);
    }

    #[test]
    fn there_are_no_bounds_outside_of_the_table() {
        assert!(HalfWidths::new(0.2, true).is_none() && HalfWidths::new(f64::NAN, true).is_none());
        let (table, scale) = (HalfWidths::new(0.05, true).unwrap(), MixtureScale::new(1.0));
        for (v, df) in [
            (1.0, 18.9),
            (1.0, f64::NAN),
            (f64::NAN, 50.0),
            (0.0, 50.0),
            (5_000.0, 50.0),
        ] {
            assert_eq!(table.of(v, 1.0 / df, scale), None, "{v} {df}");
        }
        assert_eq!(table.of(1.0, 0.02, MixtureScale::new(0.0)), None);
    }

    #[test]
    fn a_limit_is_near_an_end_only_between_the_bounds() {
        let bounds = IntervalBounds::around(1.0, Bounds { low: 0.5, high: 0.6 });
        let near = |limit: f64| (bounds.is_lower_near(limit), bounds.is_upper_near(limit));
        assert_eq!(near(0.45), (true, false));
        assert_eq!(near(1.55), (false, true));
        for limit in [0.0, 0.39, 0.51, 1.0, 1.49, 1.61] {
            assert_eq!(near(limit), (false, false), "{limit}");
        }
    }
}
