//! The spread of values, apart from floating-point rounding. Equal values that were rounded apart
//! have no spread, so neither a variance nor an interval may be computed from their differences.

/// The relative error of a value that was rounded a few times: 4 units in the last place.
const FEW_ROUNDINGS: f64 = 4.0 * f64::EPSILON;
/// The largest relative error of a sum that counts as rounding, however many values it has.
const MOST: f64 = 1e-9;

/// The largest relative error that rounding leaves in a sum of `n` values: one unit in the last
/// place for each addition, at least 4 units, at most 1e-9.
///
/// # References
/// `docs/METHODS.md#no-spread`; Higham (2002), section 4.2.
pub fn sum_error(n: f64) -> f64 {
    (n * f64::EPSILON).clamp(FEW_ROUNDINGS, MOST)
}

/// A sum of squares around a center, computed from sums over `n` rows; 0 if it is within the
/// rounding of `terms`, the terms that were added and subtracted. Sums that are whole numbers are
/// exact, so only the last operations are rounded.
pub fn of_sums(squares: f64, terms: &[f64], n: f64, are_whole: bool) -> f64 {
    let magnitude: f64 = terms.iter().map(|term| term.abs()).sum();
    let error = if are_whole { FEW_ROUNDINGS } else { sum_error(n) };
    if squares > error * magnitude { squares } else { 0.0 }
}

/// Whether all sums are whole numbers that doubles hold exactly.
pub fn are_whole(sums: &[f64]) -> bool {
    sums.iter()
        .all(|sum| sum.fract() == 0.0 && sum.abs() <= 9_007_199_254_740_992.0)
}

/// A variance; 0 if the standard deviation is within the rounding of the mean.
pub fn of_mean(var: f64, mean: f64) -> f64 {
    if var.sqrt() > FEW_ROUNDINGS * mean.abs() {
        var
    } else {
        0.0
    }
}

/// Whether the numerators of clusters `(numerator, denominator)` differ from `ratio` times their
/// denominators by more than rounding.
pub fn has_residuals(clusters: &[(f64, f64)], ratio: f64) -> bool {
    let error = sum_error(clusters.len() as f64);
    let is_beyond =
        |(num, den): &(f64, f64)| (num - ratio * den).abs() > error * (num.abs() + (ratio * den).abs());
    clusters.iter().any(is_beyond)
}

/// Whether values differ by more than the rounding of each.
pub fn has_spread(values: &[f64]) -> bool {
    let settled = differences(values, &[]);
    settled.iter().any(|value| *value != settled[0])
}

/// The differences `x - y` without the noise of rounding. A difference within the rounding of its
/// own terms is 0. Differences of one size, apart from the rounding of their terms, become equal.
/// An empty `y` counts as zeros.
pub fn differences(x: &[f64], y: &[f64]) -> Vec<f64> {
    let terms = |idx: usize| (x[idx], y.get(idx).copied().unwrap_or(0.0));
    // The difference with the largest error that rounding of its terms may have left.
    let all = (0..x.len()).map(|idx| {
        let (x, y) = terms(idx);
        (x - y, f64::EPSILON * (x.abs() + y.abs()))
    });
    let all: Vec<(f64, f64)> = all.collect();
    let is_zero = |(d, error): (f64, f64)| d.abs() <= error;
    let mut order: Vec<usize> = (0..all.len()).filter(|idx| !is_zero(all[*idx])).collect();
    order.sort_by(|a, b| all[*a].0.abs().total_cmp(&all[*b].0.abs()));
    let mut settled = vec![0.0; all.len()];
    let is_alike = |a: &usize, b: &usize| {
        let ((a, a_error), (b, b_error)) = (all[*a], all[*b]);
        b.abs() - a.abs() <= a_error + b_error
    };
    for group in order.chunk_by(is_alike) {
        // The value with the smallest error stands for its group.
        let best = group.iter().min_by(|a, b| all[**a].1.total_cmp(&all[**b].1));
        let size = best.map_or(0.0, |idx| all[*idx].0.abs());
        group
            .iter()
            .for_each(|idx| settled[*idx] = size.copysign(all[*idx].0));
    }
    settled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_no_spread() {
        let x = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7];
        let y = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
        let found = differences(&x, &y);
        assert!(found.iter().all(|d| *d == found[0] && *d == 0.1), "{found:?}");
        assert_eq!(
            differences(&[0.1 + 0.2, 1.0, -1.0], &[0.3, 1.1, -0.9]),
            [0.0, -0.09999999999999998, -0.09999999999999998]
        );
        // Real differences stay, however small: these are exact.
        assert_eq!(differences(&[1e9, 1e-9], &[1e9, 0.0]), [0.0, 1e-9]);
        assert_eq!(differences(&[3.0, 1.0, 2.0], &[]), [3.0, 1.0, 2.0]);
    }

    #[test]
    fn sums_of_equal_values_have_no_spread() {
        let values = vec![0.1; 1_000];
        let (sum, squares): (f64, f64) = (values.iter().sum(), values.iter().map(|x| x * x).sum());
        let own = squares - sum * sum / 1_000.0;
        assert_eq!(of_sums(own, &[squares, sum * sum / 1_000.0], 1_000.0, false), 0.0);
        // Whole sums are exact: one row of 10^6 that differs is spread.
        let (sum, squares) = (1_000_001.0, 1_000_003.0);
        let own = squares - sum * sum / 1e6;
        assert!(of_sums(own, &[squares, sum * sum / 1e6], 1e6, are_whole(&[sum, squares])) > 0.0);
        assert!(!has_residuals(&[(0.1, 1.0), (0.3, 3.0), (0.7, 7.0)], 0.1));
        assert!(has_residuals(&[(0.1, 1.0), (0.3, 3.0), (0.8, 7.0)], 0.1));
    }
}
