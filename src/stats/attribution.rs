//! Which change did it: effects of releases' parts, by weighted least squares over releases.

use super::{Reason, dist::chi2_sf};

/// A release: its indicators, effect (or level) and variance.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// One column per effect, the intercept's 1 among them.
    pub design: Vec<f64>,
    /// What was measured.
    pub value: f64,
    /// Its variance, above 0.
    pub variance: f64,
}

/// A fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// Coefficients.
    pub beta: Vec<f64>,
    /// Their standard errors; weights are known variances, so these are not scaled by the misfit.
    pub std_error: Vec<f64>,
    /// Covariance of the coefficients, row by row.
    pub covariance: Vec<f64>,
    /// Weighted squares that the fit leaves.
    pub q: f64,
    /// Cells less coefficients.
    pub df: usize,
    /// Upper tail of `q`; `None` without degrees of freedom.
    pub q_p_value: Option<f64>,
}

/// Weighted least squares with weights `1 / variance`.
///
/// # Errors
/// Fewer cells than columns, or columns that cannot be told apart: [`Reason::Aliased`].
///
/// # References
/// METHODS section 11.
pub fn fit(cells: &[Cell]) -> Result<Fit, Reason> {
    let p = cells.first().ok_or(Reason::NoData)?.design.len();
    if cells.len() < p || cells.iter().any(|cell| cell.design.len() != p || cell.variance <= 0.0) {
        return Err(Reason::TooFewRows);
    }
    let mut gram = vec![0.0; p * p];
    let mut right = vec![0.0; p];
    for cell in cells {
        for i in 0..p {
            right[i] += cell.design[i] * cell.value / cell.variance;
            for j in 0..p {
                gram[i * p + j] += cell.design[i] * cell.design[j] / cell.variance;
            }
        }
    }
    let covariance = inverse(&gram, p).ok_or(Reason::Aliased)?;
    let beta: Vec<f64> = (0..p).map(|i| (0..p).map(|j| covariance[i * p + j] * right[j]).sum()).collect();
    let misfit = |cell: &Cell| (cell.value - cell.design.iter().zip(&beta).map(|(x, b)| x * b).sum::<f64>()).powi(2) / cell.variance;
    let q = cells.iter().map(misfit).sum();
    let df = cells.len() - p;
    let std_error = (0..p).map(|i| covariance[i * p + i].sqrt()).collect();
    Ok(Fit { beta, std_error, covariance, q, df, q_p_value: (df > 0).then(|| chi2_sf(q, df as f64)) })
}

/// Pairs of columns that are the same in every cell: what cannot be told apart, by name of their places.
pub fn aliases(cells: &[Cell]) -> Vec<(usize, usize)> {
    let p = cells.first().map_or(0, |cell| cell.design.len());
    let same = |i: usize, j: usize| cells.iter().all(|cell| cell.design[i] == cell.design[j]);
    (0..p).flat_map(|i| (i + 1..p).map(move |j| (i, j))).filter(|(i, j)| same(*i, *j)).collect()
}

/// The inverse of a symmetric positive matrix by Gauss and Jordan, scaled to a unit diagonal; `None` if it is singular.
fn inverse(matrix: &[f64], p: usize) -> Option<Vec<f64>> {
    let scale: Vec<f64> = (0..p).map(|i| matrix[i * p + i].sqrt()).collect();
    if scale.contains(&0.0) {
        return None;
    }
    let width = 2 * p;
    let mut rows: Vec<f64> = (0..p * width)
        .map(|k| {
            let (i, j) = (k / width, k % width);
            if j < p { matrix[i * p + j] / (scale[i] * scale[j]) } else { f64::from(u8::from(j - p == i)) }
        })
        .collect();
    for column in 0..p {
        let pivot = (column..p).max_by(|a, b| rows[a * width + column].abs().total_cmp(&rows[b * width + column].abs()))?;
        if rows[pivot * width + column].abs() < 1e-10 {
            return None;
        }
        (0..width).for_each(|j| rows.swap(column * width + j, pivot * width + j));
        let by = rows[column * width + column];
        (0..width).for_each(|j| rows[column * width + j] /= by);
        for i in (0..p).filter(|i| *i != column) {
            let factor = rows[i * width + column];
            for j in 0..width {
                rows[i * width + j] -= factor * rows[column * width + j];
            }
        }
    }
    Some((0..p * p).map(|k| rows[k / p * width + p + k % p] / (scale[k / p] * scale[k % p])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_told_apart_by_their_parts() {
        let vectors: serde_json::Value = serde_json::from_str(include_str!("../../tests/vectors/statistics.json")).unwrap();
        let vector = vectors["vectors"].as_array().unwrap().iter().find(|vector| vector["family"] == "attribution").unwrap();
        let cells: Vec<Cell> = vector["inputs"]["cells"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cell| {
                let [model, prompt, tool, n, mean, var] =
                    ["model", "prompt", "tool", "n", "mean", "var"].map(|key| cell[key].as_f64().unwrap());
                Cell { design: vec![1.0, model, prompt, tool, model * prompt], value: mean, variance: var / n }
            })
            .collect();
        let found = fit(&cells).unwrap();
        let expected = |key: &str| vector["expected"][key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<_>>();
        for (found, expected) in found.beta.iter().zip(expected("beta")).chain(found.std_error.iter().zip(expected("se"))) {
            assert!((found - expected).abs() < 1e-8 * expected.abs(), "{found} {expected}");
        }
        assert!((found.q - vector["expected"]["lack_of_fit_Q"].as_f64().unwrap()).abs() < 1e-8);
        assert!((found.q_p_value.unwrap() - vector["expected"]["Q_p"].as_f64().unwrap()).abs() < 1e-8);
    }

    #[test]
    fn what_always_came_together_is_not_told_apart() {
        let cell = |model: f64, value: f64| Cell { design: vec![1.0, model, model], value, variance: 0.01 };
        let cells = [cell(0.0, 1.0), cell(1.0, 2.0), cell(1.0, 2.1), cell(0.0, 0.9)];
        assert_eq!(fit(&cells), Err(Reason::Aliased));
        assert_eq!(aliases(&cells), vec![(1, 2)]);
        assert_eq!(fit(&[]), Err(Reason::NoData));
    }
}
