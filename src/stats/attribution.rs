//! Attribution of a change in a metric to the parts of releases, by weighted least squares over
//! releases.

use crate::stats::dist::chi2_sf;
use crate::stats::known::Reason;

/// One observation of the regression: a row of the design matrix, with the measured value and its
/// variance.
#[derive(Debug, Clone, PartialEq)]
pub struct FactorCell {
    /// The row of the design matrix, including the intercept's 1.
    pub design: Vec<f64>,
    /// The measured effect or level, in the metric's unit.
    pub value: f64,
    /// Variance of the value, above 0, in the metric's unit squared.
    pub variance: f64,
}

/// The result of a weighted least-squares fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// Coefficients, one per column of the design.
    pub beta: Vec<f64>,
    /// Standard errors of the coefficients. The variances of the cells are taken as known, so the
    /// misfit does not scale them.
    pub std_error: Vec<f64>,
    /// Covariance matrix of the coefficients, row by row.
    pub covariance: Vec<f64>,
    /// Weighted sum of squared residuals.
    pub q: f64,
    /// Degrees of freedom: number of cells minus number of coefficients.
    pub df: usize,
    /// Upper tail of the chi-square distribution at `q`; `None` without degrees of freedom.
    pub q_p_value: Option<f64>,
}

/// Weighted least squares with the weights `1 / variance`: `beta = (X' W X)^-1 X' W y`.
///
/// # Errors
/// [`Reason::NoData`] without cells. [`Reason::TooFewRows`] if there are fewer cells than columns,
/// if rows differ in length, or if a variance is not above 0. [`Reason::Aliased`] if columns are
/// linearly dependent.
///
/// # References
/// `docs/METHODS.md#attribution-and-late-outcomes`.
pub fn fit(cells: &[FactorCell]) -> Result<Fit, Reason> {
    let p = cells.first().ok_or(Reason::NoData)?.design.len();
    if cells.len() < p
        || cells
            .iter()
            .any(|cell| cell.design.len() != p || cell.variance <= 0.0)
    {
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
    let beta: Vec<f64> = (0..p)
        .map(|i| (0..p).map(|j| covariance[i * p + j] * right[j]).sum())
        .collect();
    let misfit = |cell: &FactorCell| {
        (cell.value - cell.design.iter().zip(&beta).map(|(x, b)| x * b).sum::<f64>()).powi(2) / cell.variance
    };
    let q = cells.iter().map(misfit).sum();
    let df = cells.len() - p;
    let std_error = (0..p).map(|i| covariance[i * p + i].sqrt()).collect();
    Ok(Fit {
        beta,
        std_error,
        covariance,
        q,
        df,
        q_p_value: (df > 0).then(|| chi2_sf(q, df as f64)),
    })
}

/// Pairs of columns that are equal in every cell, by index. Their effects cannot be separated.
pub fn aliases(cells: &[FactorCell]) -> Vec<(usize, usize)> {
    let p = cells.first().map_or(0, |cell| cell.design.len());
    let same = |i: usize, j: usize| cells.iter().all(|cell| cell.design[i] == cell.design[j]);
    (0..p)
        .flat_map(|i| (i + 1..p).map(move |j| (i, j)))
        .filter(|(i, j)| same(*i, *j))
        .collect()
}

/// A release: its parts and its measured value.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// One reference per dimension (model, prompt, ...), in the same order for all releases.
    pub refs: Vec<String>,
    /// The measured value, in the metric's unit: an effect against a common control, or a level.
    pub value: f64,
    /// Variance of the value, above 0, in the metric's unit squared.
    pub variance: f64,
}

/// The effect of changing one dimension of the first release to another reference.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseChange {
    /// Index of the dimension in [`Release::refs`].
    pub dimension: usize,
    /// The new reference; the old one is that of the first release.
    pub to: String,
    /// The effect of the change, in the metric's unit.
    pub effect_size: f64,
    /// Standard error of the effect, in the metric's unit.
    pub std_error: f64,
}

/// The predicted last release with one dimension changed back to the first release's reference.
#[derive(Debug, Clone, PartialEq)]
pub struct Revert {
    /// Index of the dimension in [`Release::refs`].
    pub dimension: usize,
    /// The predicted value, in the metric's unit.
    pub value: f64,
    /// Standard error of the prediction, from the fit alone, in the metric's unit.
    pub std_error: f64,
}

/// The effects of single changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    /// One entry for each reference that differs from the first release's.
    pub changes: Vec<ReleaseChange>,
    /// One entry for each dimension in which the last release differs from the first.
    pub reverts: Vec<Revert>,
    /// The fit behind the effects. Its first coefficient is the value of the first release.
    pub fit: Fit,
}

/// Attributes the value of the last release to its changes since the first release, the baseline.
/// The model assumes that the effects of single changes add up; the misfit `q` tests this.
///
/// # Errors
/// [`Reason::NoData`] without releases. [`Reason::TooFewRows`] for fewer releases than
/// coefficients. [`Reason::Aliased`] if changes always came together; [`together`] names them.
///
/// # References
/// `docs/METHODS.md#attribution-and-late-outcomes`.
pub fn attribute(releases: &[Release]) -> Result<Attribution, Reason> {
    let (changes, cells) = design(releases).ok_or(Reason::NoData)?;
    let fit = fit(&cells)?;
    let p = changes.len() + 1;
    let last = &cells[cells.len() - 1].design;
    let predicted = |x: &[f64]| -> (f64, f64) {
        let value = x.iter().zip(&fit.beta).map(|(x, b)| x * b).sum();
        let variance: f64 = (0..p)
            .flat_map(|i| (0..p).map(move |j| (i, j)))
            .map(|(i, j)| x[i] * fit.covariance[i * p + j] * x[j])
            .sum();
        (value, variance.max(0.0).sqrt())
    };
    let mut dimensions: Vec<usize> = changes
        .iter()
        .zip(&last[1..])
        .filter(|(_, x)| **x == 1.0)
        .map(|((d, _), _)| *d)
        .collect();
    dimensions.dedup();
    let reverts = dimensions.into_iter().map(|dimension| {
        let kept: Vec<f64> = std::iter::once(1.0)
            .chain(
                changes
                    .iter()
                    .zip(&last[1..])
                    .map(|((d, _), x)| if *d == dimension { 0.0 } else { *x }),
            )
            .collect();
        let (value, std_error) = predicted(&kept);
        Revert {
            dimension,
            value,
            std_error,
        }
    });
    let reverts = reverts.collect();
    let changes = changes
        .into_iter()
        .zip(fit.beta[1..].iter().zip(&fit.std_error[1..]));
    let changes = changes
        .map(|((dimension, to), (effect, error))| ReleaseChange {
            dimension,
            to,
            effect_size: *effect,
            std_error: *error,
        })
        .collect();
    Ok(Attribution {
        changes,
        reverts,
        fit,
    })
}

/// Pairs of changes `(dimension, reference)` that came together in every release. Their effects
/// cannot be separated.
pub fn together(releases: &[Release]) -> Vec<[Reference; 2]> {
    let Some((changes, cells)) = design(releases) else {
        return Vec::new();
    };
    aliases(&cells)
        .into_iter()
        .filter(|(i, _)| *i > 0)
        .map(|(i, j)| [changes[i - 1].clone(), changes[j - 1].clone()])
        .collect()
}

/// The index of a dimension, and a reference of it.
type Reference = (usize, String);

/// The references that differ from the first release's, and the cells: an intercept and one
/// indicator for each of these references. `None` without releases.
fn design(releases: &[Release]) -> Option<(Vec<Reference>, Vec<FactorCell>)> {
    let first = releases.first()?;
    let mut changes: Vec<(usize, String)> = releases
        .iter()
        .flat_map(|release| release.refs.iter().zip(&first.refs).enumerate())
        .filter(|(_, (own, base))| own != base)
        .map(|(dimension, (own, _))| (dimension, own.clone()))
        .collect();
    changes.sort();
    changes.dedup();
    let cell = |release: &Release| FactorCell {
        design: std::iter::once(1.0)
            .chain(
                changes
                    .iter()
                    .map(|(dimension, to)| f64::from(u8::from(release.refs.get(*dimension) == Some(to)))),
            )
            .collect(),
        value: release.value,
        variance: release.variance,
    };
    let cells = releases.iter().map(cell).collect();
    Some((changes, cells))
}

/// The inverse of a symmetric positive definite matrix by Gauss-Jordan elimination, after scaling
/// its diagonal to 1. `None` if it is singular.
fn inverse(matrix: &[f64], p: usize) -> Option<Vec<f64>> {
    let scale: Vec<f64> = (0..p).map(|i| matrix[i * p + i].sqrt()).collect();
    if scale.contains(&0.0) {
        return None;
    }
    let width = 2 * p;
    let mut rows: Vec<f64> = (0..p * width)
        .map(|k| {
            let (i, j) = (k / width, k % width);
            if j < p {
                matrix[i * p + j] / (scale[i] * scale[j])
            } else {
                f64::from(u8::from(j - p == i))
            }
        })
        .collect();
    for column in 0..p {
        let pivot = (column..p).max_by(|a, b| {
            rows[a * width + column]
                .abs()
                .total_cmp(&rows[b * width + column].abs())
        })?;
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
    Some(
        (0..p * p)
            .map(|k| rows[k / p * width + p + k % p] / (scale[k / p] * scale[k % p]))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_told_apart_by_their_parts() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/statistics.json")).unwrap();
        let vector = vectors["vectors"]
            .as_array()
            .unwrap()
            .iter()
            .find(|vector| vector["family"] == "attribution")
            .unwrap();
        let cells: Vec<FactorCell> = vector["inputs"]["cells"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cell| {
                let [model, prompt, tool, n, mean, var] =
                    ["model", "prompt", "tool", "n", "mean", "var"].map(|key| cell[key].as_f64().unwrap());
                FactorCell {
                    design: vec![1.0, model, prompt, tool, model * prompt],
                    value: mean,
                    variance: var / n,
                }
            })
            .collect();
        let found = fit(&cells).unwrap();
        let expected = |key: &str| {
            vector["expected"][key]
                .as_array()
                .unwrap()
                .iter()
                .map(|x| x.as_f64().unwrap())
                .collect::<Vec<_>>()
        };
        for (found, expected) in found
            .beta
            .iter()
            .zip(expected("beta"))
            .chain(found.std_error.iter().zip(expected("se")))
        {
            assert!(
                (found - expected).abs() < 1e-8 * expected.abs(),
                "{found} {expected}"
            );
        }
        assert!((found.q - vector["expected"]["lack_of_fit_Q"].as_f64().unwrap()).abs() < 1e-8);
        assert!((found.q_p_value.unwrap() - vector["expected"]["Q_p"].as_f64().unwrap()).abs() < 1e-8);
    }

    #[test]
    fn a_revert_is_predicted_from_the_other_changes() {
        let release = |model: &str, prompt: &str, value: f64| Release {
            refs: vec![model.into(), prompt.into()],
            value,
            variance: 1e-4,
        };
        let releases = [
            release("m1", "p1", 0.80),
            release("m2", "p1", 0.83),
            release("m1", "p2", 0.70),
            release("m2", "p2", 0.73),
        ];
        let found = attribute(&releases).unwrap();
        let effects: Vec<f64> = found.changes.iter().map(|change| change.effect_size).collect();
        assert!(
            (effects[0] - 0.03).abs() < 1e-12 && (effects[1] + 0.10).abs() < 1e-12,
            "{effects:?}"
        );
        // With the prompt changed back, the last release equals the second.
        assert_eq!(found.reverts[1].dimension, 1);
        assert!((found.reverts[1].value - 0.83).abs() < 1e-12 && found.reverts[1].std_error < 0.01);
        assert_eq!(
            attribute(&[releases[0].clone(), releases[3].clone()]),
            Err(Reason::TooFewRows)
        );
        let always = [releases[0].clone(), releases[3].clone(), releases[3].clone()];
        assert_eq!(attribute(&always), Err(Reason::Aliased));
        assert_eq!(
            together(&always),
            vec![[(0, "m2".to_owned()), (1, "p2".to_owned())]]
        );
    }

    #[test]
    fn what_always_came_together_is_not_told_apart() {
        let cell = |model: f64, value: f64| FactorCell {
            design: vec![1.0, model, model],
            value,
            variance: 0.01,
        };
        let cells = [cell(0.0, 1.0), cell(1.0, 2.0), cell(1.0, 2.1), cell(0.0, 0.9)];
        assert_eq!(fit(&cells), Err(Reason::Aliased));
        assert_eq!(aliases(&cells), vec![(1, 2)]);
        assert_eq!(fit(&[]), Err(Reason::NoData));
    }
}
