//! Shares of runs and means over runs, as texts of tables and sentences.

use crate::base::number::{amount, number, percent};
use crate::simulate::{Chance, Quantity};

/// A share of runs in per cent, with its Monte Carlo error in points.
pub(super) fn chance(chance: &Chance) -> String {
    if chance.mc_error > 0.0 {
        format!("{} ± {}", percent(chance.p), number(chance.mc_error * 100.0))
    } else {
        percent(chance.p)
    }
}

/// A mean in units of `unit`, with the 95th percentile; `-` if no run has the number.
pub(super) fn mean(quantity: &Quantity, unit: f64) -> String {
    match (quantity.mean, quantity.p95) {
        (Some(mean), Some(p95)) => format!("{} (p95 {})", amount(mean / unit), amount(p95 / unit)),
        _ => "-".into(),
    }
}

/// A ladder: `1% 5% 20% 100%`.
pub(super) fn ladder(ladder: &[f64]) -> String {
    ladder
        .iter()
        .map(|share| percent(*share))
        .collect::<Vec<_>>()
        .join(" ")
}
