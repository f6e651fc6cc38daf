//! A ratio of sums over clusters, with the spread between clusters as its error.

use serde::{Deserialize, Serialize};

use super::{Interval, Reason, dist::t_isf};

/// Clusters below which no variance is given.
pub const MIN_CLUSTERS: usize = 20;
/// Degrees of freedom below which a variance is called unstable.
const UNSTABLE_DF: f64 = 10.0;

/// A ratio with its cluster-robust error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RatioEstimate {
    /// `numerator / denominator`.
    pub estimate: f64,
    /// Sum of numerators.
    pub numerator: f64,
    /// Sum of denominators.
    pub denominator: f64,
    /// CR3 standard error.
    pub std_error: f64,
    /// Satterthwaite degrees of freedom, at most clusters - 1.
    pub df: f64,
    /// Clusters with a denominator above 0.
    pub n_clusters: usize,
    /// Fewer than 10 degrees of freedom: a few clusters carry the error.
    pub unstable: bool,
}

impl RatioEstimate {
    /// The interval of one planned look, by the t distribution.
    pub fn interval(&self, alpha: f64) -> Interval {
        Interval::around(self.estimate, t_isf(0.5 * alpha, self.df) * self.std_error)
    }
}

/// The point alone: numerator, denominator and their quotient. `None` without a denominator.
pub fn point(clusters: impl IntoIterator<Item = (f64, f64)>) -> Option<(f64, f64, f64)> {
    let (numerator, denominator) = clusters.into_iter().fold((0.0, 0.0), |(n, d), (num, den)| (n + num, d + den));
    (denominator > 0.0).then_some((numerator, denominator, numerator / denominator))
}

/// `R = sum N_g / sum D_g` over clusters `(N_g, D_g)`, `D_g >= 0`, with the jackknife variance CR3:
/// `var R = (G - 1) / G * sum z_g`, `z_g = (u_g / (1 - h_g))^2`, `u_g = (N_g - R D_g) / sum D`, `h_g = D_g / sum D`, and
/// `df = 2 (sum z)^2 / (sum z^2 - (sum z)^2 / G)`, at most `G - 1`. Clusters with `D_g = 0` are not counted.
///
/// # Errors
/// No data, fewer than 20 clusters, or one cluster that holds everything.
///
/// # References
/// METHODS section 1; Bell & McCaffrey (2002), Cameron & Miller (2015).
pub fn clusters(clusters: &[(f64, f64)]) -> Result<RatioEstimate, Reason> {
    let (numerator, denominator, estimate) = point(clusters.iter().copied()).ok_or(Reason::NoData)?;
    let used: Vec<(f64, f64)> = clusters.iter().copied().filter(|(_, den)| *den > 0.0).collect();
    let n_clusters = used.len();
    if n_clusters < MIN_CLUSTERS {
        return Err(Reason::TooFewClusters);
    }
    let mut squares = Vec::with_capacity(n_clusters);
    for (num, den) in used {
        let leverage = den / denominator;
        if leverage >= 1.0 - 1e-9 {
            return Err(Reason::DominatingCluster);
        }
        squares.push(((num - estimate * den) / denominator / (1.0 - leverage)).powi(2));
    }
    let (variance, df) = jackknife_variance(&squares);
    Ok(RatioEstimate { estimate, numerator, denominator, std_error: variance.sqrt(), df, n_clusters, unstable: df < UNSTABLE_DF })
}

/// Variance and degrees of freedom from squared leave-one-out deviations.
pub(super) fn jackknife_variance(squares: &[f64]) -> (f64, f64) {
    let n = squares.len() as f64;
    let sum: f64 = squares.iter().sum();
    let sum_squares: f64 = squares.iter().map(|z| z * z).sum();
    let spread = sum_squares - sum * sum / n;
    // Equal deviations (or none at all) leave every degree of freedom.
    let df = if spread > 1e-12 * sum_squares { (2.0 * sum * sum / spread).min(n - 1.0) } else { n - 1.0 };
    ((n - 1.0) / n * sum, df)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_says_nothing() {
        let check = |data: &[(f64, f64)], expected: Reason| assert_eq!(clusters(data), Err(expected));
        check(&[], Reason::NoData);
        check(&[(0.0, 0.0); 50], Reason::NoData);
        check(&[(1.0, 2.0); 19], Reason::TooFewClusters);
        let mut one = vec![(0.0, 1e-12); 30];
        one[0] = (5.0, 10.0);
        check(&one, Reason::DominatingCluster);
    }

    #[test]
    fn equal_clusters_have_no_error() {
        let estimate = clusters(&[(1.0, 2.0); 40]).unwrap();
        assert_eq!((estimate.estimate, estimate.std_error, estimate.df), (0.5, 0.0, 39.0));
    }

    #[test]
    fn cr3_is_the_delete_one_jackknife_up_to_its_centre() {
        let data: Vec<(f64, f64)> = (0..60).map(|g| (f64::from(g % 7), f64::from(3 + g % 5))).collect();
        let estimate = clusters(&data).unwrap();
        let (n, d, r) = point(data.iter().copied()).unwrap();
        let deleted: f64 = data.iter().map(|(num, den)| ((n - num) / (d - den) - r).powi(2)).sum();
        assert!((estimate.std_error.powi(2) - deleted * 59.0 / 60.0).abs() < 1e-15);
    }
}
