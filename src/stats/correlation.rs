//! Correlations of estimates that share cases: several candidates against one baseline, all pairs
//! of releases, or slices whose clusters cross.

use crate::stats::known::Reason;

/// The largest deviation from 1, from symmetry, or from -1..=1 that counts as rounding.
const ROUNDING: f64 = 1e-9;

/// The correlation matrix of n estimates.
#[derive(Debug, Clone, PartialEq)]
pub struct Correlation {
    n: usize,
    /// Row by row.
    values: Vec<f64>,
    /// For each estimate, why its correlations are not known.
    unknown: Vec<Option<Reason>>,
}

impl Correlation {
    /// Takes the rows of a correlation matrix.
    ///
    /// # Errors
    /// [`Reason::NoData`] without rows. [`Reason::OutOfRange`] if a value is not in -1..=1, the
    /// diagonal is not 1, the matrix is not square, or it is not symmetric.
    pub fn from_rows(rows: &[Vec<f64>]) -> Result<Self, Reason> {
        let n = rows.len();
        if n == 0 {
            return Err(Reason::NoData);
        }
        let is_near = |a: f64, b: f64| (a - b).abs() <= ROUNDING;
        let is_square = rows.iter().all(|row| row.len() == n);
        let is_valid = is_square
            && (0..n).all(|i| {
                is_near(rows[i][i], 1.0)
                    && (0..n).all(|j| rows[i][j].abs() <= 1.0 + ROUNDING && is_near(rows[i][j], rows[j][i]))
            });
        if !is_valid {
            return Err(Reason::OutOfRange);
        }
        Ok(Self {
            n,
            values: rows
                .iter()
                .flatten()
                .map(|value| value.clamp(-1.0, 1.0))
                .collect(),
            unknown: vec![None; n],
        })
    }

    /// The matrix of n estimates of which each pair has the same correlation `rho`.
    ///
    /// # Errors
    /// As [`Self::from_rows`].
    pub fn equal(n: usize, rho: f64) -> Result<Self, Reason> {
        let row = |i: usize| (0..n).map(|j| if i == j { 1.0 } else { rho }).collect();
        Self::from_rows(&(0..n).map(row).collect::<Vec<Vec<f64>>>())
    }

    /// Estimates the correlations of the means of several contrasts over the same cases.
    ///
    /// `differences[i][case]` is the value of contrast i on a case, such as candidate less baseline;
    /// `None` if the contrast does not have the case. `clusters[case]` is the cluster of the case,
    /// numbered from 0 without large gaps. With `u_ic` the sum over cluster c of the residuals of
    /// contrast i, the correlation is `sum_c u_ic u_jc / sqrt(sum_c u_ic^2 sum_c u_jc^2)`. It is the
    /// covariance `sum_c u_ic u_jc / (n_i n_j)` over the two clustered standard errors; the factors
    /// `C / (C - 1)` are left out, so the matrix always belongs to a distribution.
    ///
    /// A contrast without a value, without spread, or with fewer than [`FEW_CLUSTERS`] clusters whose
    /// sum differs from 0 has no known correlations. Its correlations are 0, and [`Self::unknown`]
    /// has the reason. By Sidak's inequality, 0 is the careful choice: no other correlation makes the
    /// chance larger that some interval misses.
    ///
    /// # Errors
    /// [`Reason::NoData`] without contrasts. [`Reason::OutOfRange`] if a value is not finite, or a
    /// contrast has more or fewer values than there are clusters.
    ///
    /// # References
    /// `docs/METHODS.md#several-candidates-and-slices`; Miller (2024), Sidak (1967).
    pub fn of_differences(differences: &[Vec<Option<f64>>], clusters: &[usize]) -> Result<Self, Reason> {
        let n = differences.len();
        if n == 0 {
            return Err(Reason::NoData);
        }
        let is_valid = |of_contrast: &Vec<Option<f64>>| {
            of_contrast.len() == clusters.len() && of_contrast.iter().flatten().all(|value| value.is_finite())
        };
        if !differences.iter().all(is_valid) {
            return Err(Reason::OutOfRange);
        }
        let n_clusters = clusters.iter().max().map_or(0, |last| last + 1);
        let (residuals, unknown): (Vec<Vec<f64>>, Vec<Option<Reason>>) = differences
            .iter()
            .map(|of_contrast| unit_residuals(of_contrast, clusters, n_clusters))
            .unzip();
        let product =
            |i: usize, j: usize| -> f64 { residuals[i].iter().zip(&residuals[j]).map(|(a, b)| a * b).sum() };
        let mut values = vec![0.0; n * n];
        for i in 0..n {
            values[i * n + i] = 1.0;
            for j in 0..i {
                let value: f64 = product(i, j).clamp(-1.0, 1.0);
                values[i * n + j] = value;
                values[j * n + i] = value;
            }
        }
        Ok(Self { n, values, unknown })
    }

    /// The number of estimates, n.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The correlation of estimates i and j, -1..=1.
    pub fn get(&self, i: usize, j: usize) -> f64 {
        self.values[i * self.n + j]
    }

    /// For each estimate, why its correlations are not known; `None` if they are. Unknown
    /// correlations are 0 in the matrix.
    pub fn unknown(&self) -> &[Option<Reason>] {
        &self.unknown
    }
}

/// The number of clusters with a sum other than 0 below which correlations are not estimated: the
/// correlation of counts of so few events is chance.
pub const FEW_CLUSTERS: usize = 10;

/// The sums of a contrast's residuals by cluster, scaled so that their squares add up to 1. All are
/// 0, and there is a reason, if the correlations of the contrast are not known.
fn unit_residuals(
    values: &[Option<f64>],
    clusters: &[usize],
    n_clusters: usize,
) -> (Vec<f64>, Option<Reason>) {
    let none = |reason: Reason| (vec![0.0; n_clusters], Some(reason));
    let (sum, n) = values
        .iter()
        .flatten()
        .fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
    if n == 0.0 {
        return none(Reason::NoData);
    }
    let mean = sum / n;
    let (mut residuals, mut sums) = (vec![0.0; n_clusters], vec![0.0; n_clusters]);
    for (value, cluster) in values.iter().zip(clusters) {
        if let Some(value) = value {
            residuals[*cluster] += value - mean;
            sums[*cluster] += value;
        }
    }
    let norm = residuals
        .iter()
        .map(|residual| residual * residual)
        .sum::<f64>()
        .sqrt();
    if norm <= 0.0 || !norm.is_finite() {
        return none(Reason::NoVariance);
    }
    if sums.iter().filter(|sum| **sum != 0.0).count() < FEW_CLUSTERS {
        return none(Reason::TooFewRows);
    }
    residuals.iter_mut().for_each(|residual| *residual /= norm);
    (residuals, None)
}

/// The pairs `(i, j)` of n releases with i < j, in the order in which functions about all pairs
/// expect them: (0, 1), (0, 2), ..., (1, 2), ...
pub fn all_pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |i| (i + 1..n).map(move |j| (i, j)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(values: &[f64]) -> Vec<Option<f64>> {
        values
            .iter()
            .map(|value| (!value.is_nan()).then_some(*value))
            .collect()
    }

    /// Differences of twelve cases that are their own clusters.
    const A: [f64; 12] = [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0];
    const B: [f64; 12] = [2.0, 1.0, 4.0, 2.0, 1.0, 4.0, 2.0, 1.0, 4.0, 2.0, 1.0, 4.0];

    #[test]
    fn correlations_are_those_of_sums_by_cluster() {
        let own: Vec<usize> = (0..12).collect();
        let check = |b: &[f64], clusters: &[usize], expected: f64| {
            let found = Correlation::of_differences(&[none(&A), none(b)], clusters).unwrap();
            assert_eq!(found.unknown(), [None, None], "{b:?}");
            assert!(
                (found.get(0, 1) - expected).abs() < 1e-12,
                "{b:?}: {}",
                found.get(0, 1)
            );
            assert_eq!((found.get(1, 0), found.get(0, 0)), (found.get(0, 1), 1.0));
        };
        check(&A, &own, 1.0);
        check(&A.map(|value| 7.0 - 2.0 * value), &own, -1.0);
        // Pearson's correlation of (1, 2, 3) and (2, 1, 4).
        check(&B, &own, 2.0 / (2.0 * 14.0_f64 / 3.0).sqrt());
        // Candidate B lacks the last six cases. Half of A's squares have a partner.
        let mut half = B;
        half[6..].fill(f64::NAN);
        let without = Correlation::of_differences(&[none(&A), none(&half)], &own).unwrap();
        assert_eq!(without.unknown()[1], Some(Reason::TooFewRows));
        // Each cluster twice: the sums double, and the correlation stays.
        let twice: Vec<usize> = (0..24).map(|case| case % 12).collect();
        let double = |values: &[f64]| none(&[values, values].concat());
        let found = Correlation::of_differences(&[double(&A), double(&B)], &twice).unwrap();
        assert!((found.get(0, 1) - 2.0 / (2.0 * 14.0_f64 / 3.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn missing_cases_weaken_the_correlation() {
        let n = 40;
        let clusters: Vec<usize> = (0..n).collect();
        let value = |case: usize| if case.is_multiple_of(2) { 1.0 } else { -1.0 };
        let all: Vec<Option<f64>> = (0..n).map(|case| Some(value(case))).collect();
        let half: Vec<Option<f64>> = (0..n).map(|case| (case < n / 2).then(|| value(case))).collect();
        let found = Correlation::of_differences(&[all, half], &clusters).unwrap();
        // 20 common squares over sqrt(40 x 20).
        assert!(
            (found.get(0, 1) - 0.5_f64.sqrt()).abs() < 1e-12,
            "{}",
            found.get(0, 1)
        );
    }

    #[test]
    fn what_is_not_known_counts_as_uncorrelated() {
        let own: Vec<usize> = (0..12).collect();
        let check = |b: &[f64], reason: Reason| {
            let found = Correlation::of_differences(&[none(&A), none(b)], &own).unwrap();
            assert_eq!(
                (found.get(0, 1), found.unknown()[1]),
                (0.0, Some(reason)),
                "{b:?}"
            );
        };
        check(&[f64::NAN; 12], Reason::NoData);
        check(&[0.0; 12], Reason::NoVariance);
        check(&[3.0; 12], Reason::NoVariance);
        let mut few = [0.0; 12];
        few[3] = 1.0;
        check(&few, Reason::TooFewRows);
    }

    #[test]
    fn wrong_input_has_no_correlations() {
        let check = |differences: &[Vec<Option<f64>>], clusters: &[usize], reason: Reason| {
            assert_eq!(
                Correlation::of_differences(differences, clusters),
                Err(reason),
                "{differences:?}"
            );
        };
        check(&[], &[], Reason::NoData);
        check(&[none(&A)], &[0, 1], Reason::OutOfRange);
        check(&[vec![Some(f64::NAN)]], &[0], Reason::OutOfRange);
        check(&[vec![Some(f64::INFINITY)]], &[0], Reason::OutOfRange);
    }

    #[test]
    fn pairs_are_in_order() {
        assert_eq!(all_pairs(0).count() + all_pairs(1).count(), 0);
        assert_eq!(all_pairs(3).collect::<Vec<_>>(), [(0, 1), (0, 2), (1, 2)]);
    }
}
