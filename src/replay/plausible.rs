//! Looks for columns whose mean is off by powers of ten, because they are in another unit.

use crate::metric::Sum;
use crate::replay::cube::Cube;

/// The plausible means of a column of agents' turns, and the units that the column may be in.
struct Range {
    column: &'static str,
    unit: &'static str,
    low: f64,
    high: f64,
    /// Other units, the most common first, with the factor from each to `unit`.
    others: &'static [(&'static str, f64)],
}

const RANGES: [Range; 3] = [
    Range {
        column: "latency_ms",
        unit: "ms",
        low: 10.0,
        high: 120_000.0,
        others: &[("s", 1e3), ("us", 1e-3), ("ns", 1e-6)],
    },
    Range {
        column: "cost_usd",
        unit: "usd",
        low: 0.0,
        high: 5.0,
        others: &[("cent", 1e-2)],
    },
    Range {
        column: "tool_cost_usd",
        unit: "usd",
        low: 0.0,
        high: 5.0,
        others: &[("cent", 1e-2)],
    },
];

/// Returns a warning for each column without a declared unit whose mean is not plausible.
pub fn implausible_means(cube: &Cube) -> Vec<String> {
    RANGES
        .iter()
        .filter(|range| !cube.units.contains_key(range.column))
        .filter_map(|range| range.warning(mean(cube, range.column)?))
        .collect()
}

/// Returns the unit that a column probably has, by its mean as if it had the unit that Sluice reads.
/// `None` for a plausible mean, a column without a range, and a mean that fits no unit.
pub(crate) fn probable_unit(column: &str, mean: f64) -> Option<&'static str> {
    let range = RANGES.iter().find(|range| range.column == column)?;
    if range.is_plausible(mean) {
        return None;
    }
    range.probable(mean)
}

/// Returns a warning about the mean of a column without a declared unit. `None` for a plausible mean,
/// and for a column without a range.
pub(crate) fn implausible_mean(column: &str, mean: f64) -> Option<String> {
    RANGES.iter().find(|range| range.column == column)?.warning(mean)
}

impl Range {
    fn is_plausible(&self, mean: f64) -> bool {
        mean <= 0.0 || (mean >= self.low && mean <= self.high)
    }

    fn probable(&self, mean: f64) -> Option<&'static str> {
        let fits = |factor: f64| self.is_plausible(mean * factor);
        let other = self.others.iter().find(|(_, factor)| fits(*factor));
        other.map(|(unit, _)| *unit)
    }

    fn warning(&self, mean: f64) -> Option<String> {
        let Self {
            column,
            unit,
            low,
            high,
            ..
        } = self;
        if self.is_plausible(mean) {
            return None;
        }
        let probable = self.probable(mean);
        let side = if mean < *low {
            format!("below {low}")
        } else {
            format!("above {high}")
        };
        let of_source = format!("columns.{column} = {{ column = \"...\", unit = ");
        let advice = match probable {
            Some(other) => format!(
                "is it in {other}? Then declare {of_source}\"{other}\" }}; if it is in {unit}, declare \
                 {of_source}\"{unit}\" }}"
            ),
            None => format!("declare its unit: {of_source}\"...\" }}"),
        };
        Some(format!(
            "`{column}` has a mean of {} {unit}, {side}: {advice}",
            digits(mean)
        ))
    }
}

/// The mean of a column over the rows that have it; over all rows if the cube does not know which.
/// `None` without such rows.
fn mean(cube: &Cube, column: &str) -> Option<f64> {
    let total = |wanted: &Sum| {
        let idx = cube.measures.iter().position(|m| m.sum == *wanted && m.present)?;
        let sum: i128 = cube.cells.iter().map(|(_, sums)| i128::from(sums[idx])).sum();
        Some(sum as f64 / wanted.units())
    };
    let sum = total(&Sum::Of(column.to_owned()))?;
    let n = total(&Sum::Known(column.to_owned())).or_else(|| total(&Sum::Rows))?;
    (n > 0.0).then(|| sum / n)
}

/// A number with three significant digits.
fn digits(value: f64) -> String {
    let exponent = value.abs().log10().floor() as i32;
    let decimals = usize::try_from(2 - exponent).unwrap_or(0);
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_off_by_powers_of_ten_are_named_with_their_unit() {
        let check = |column: &str, mean: f64, expected: Option<&str>| {
            let range = RANGES.iter().find(|range| range.column == column).unwrap();
            let found = range.warning(mean);
            match (&found, expected) {
                (None, None) => {}
                (Some(found), Some(expected)) if found.contains(expected) => {}
                _ => panic!("{column} {mean}: {found:?}"),
            }
        };
        check("latency_ms", 1.2, Some("mean of 1.2 ms, below 10: is it in s?"));
        check("latency_ms", 812.5, None);
        check("latency_ms", 45_000.0, None);
        check(
            "latency_ms",
            812_500.0,
            Some("mean of 812500 ms, above 120000: is it in us?"),
        );
        check("latency_ms", 812_500_000.0, Some("is it in ns?"));
        check("latency_ms", 1e-6, Some("declare its unit"));
        check("latency_ms", 0.0, None);
        check("cost_usd", 40.0, Some("mean of 40 usd, above 5: is it in cent?"));
        check("cost_usd", 0.0002, None);
        check("cost_usd", 40_000.0, Some("declare its unit"));
    }
}
