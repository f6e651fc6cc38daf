//! Delete-one-cluster jackknife for any smooth function of sums.

use serde::{Deserialize, Serialize};

use crate::stats::clusters::Clusters;
use crate::stats::dist::t_isf;
use crate::stats::known::{Interval, Reason};
use crate::stats::ratio::{MIN_CLUSTERS, jackknife_variance};

/// An estimate with its jackknife error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct JackknifeEstimate {
    /// The function of the sums over all clusters.
    pub estimate: f64,
    /// Standard error of the estimate, in its unit.
    pub std_error: f64,
    /// Satterthwaite degrees of freedom, at most `n_clusters - 1`.
    pub df: f64,
    /// Number of clusters, each of which is left out once.
    pub n_clusters: usize,
}

impl JackknifeEstimate {
    /// The interval for one planned look, by the t distribution, at two-sided error level `alpha`.
    pub fn interval(&self, alpha: f64) -> Interval {
        Interval::around(self.estimate, t_isf(0.5 * alpha, self.df) * self.std_error)
    }
}

/// The estimate `theta(sums)` with its jackknife variance `(G - 1) / G * sum (theta_g - mean)^2`.
/// `theta_g` is the function of the sums without cluster g, and `mean` is the mean of all
/// `theta_g`. `theta` returns `None` where it has no value, for example where a denominator is 0.
///
/// # Errors
/// [`Reason::NoData`] without clusters or if `theta` has no value, [`Reason::TooFewClusters`] for
/// fewer than 20 clusters, [`Reason::DominatingCluster`] if `theta` has no value without one of
/// them.
///
/// # References
/// `docs/METHODS.md#qos`; Efron & Stein (1981).
pub fn delete_one(
    clusters: &Clusters,
    theta: impl Fn(&[f64]) -> Option<f64>,
) -> Result<JackknifeEstimate, Reason> {
    let n_clusters = clusters.len();
    if n_clusters == 0 {
        return Err(Reason::NoData);
    }
    let totals = clusters.totals();
    let estimate = theta(&totals).ok_or(Reason::NoData)?;
    if n_clusters < MIN_CLUSTERS {
        return Err(Reason::TooFewClusters);
    }
    let mut left = totals.clone();
    let mut thetas = Vec::with_capacity(n_clusters);
    for cluster in clusters.iter() {
        for ((left, total), own) in left.iter_mut().zip(&totals).zip(cluster) {
            *left = total - own;
        }
        thetas.push(theta(&left).ok_or(Reason::DominatingCluster)?);
    }
    let mean = thetas.iter().sum::<f64>() / n_clusters as f64;
    thetas
        .iter_mut()
        .for_each(|theta| *theta = (*theta - mean).powi(2));
    let (variance, df) = jackknife_variance(&thetas);
    Ok(JackknifeEstimate {
        estimate,
        std_error: variance.sqrt(),
        df,
        n_clusters,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_mean_s_textbook_error() {
        let values: Vec<f64> = (0..50).map(|i| f64::from(i * i % 17)).collect();
        let clusters: Clusters = values.iter().map(|v| [*v, 1.0]).collect();
        let found = delete_one(&clusters, |s| Some(s[0] / s[1])).unwrap();
        let mean = values.iter().sum::<f64>() / 50.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 49.0 / 50.0;
        assert!((found.std_error.powi(2) / variance - 1.0).abs() < 1e-12);
        assert!((found.estimate - mean).abs() < 1e-12);
    }
}
