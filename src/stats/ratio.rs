//! A ratio of sums over clusters. Its error comes from the spread between clusters.

use serde::{Deserialize, Serialize};

use crate::stats::dist::t_isf;
use crate::stats::known::{Interval, Reason};
use crate::stats::spread;

/// The smallest number of clusters for which a variance is given.
pub const MIN_CLUSTERS: usize = 20;
/// Degrees of freedom below which a variance is marked as unstable.
pub const UNSTABLE_DF: f64 = 10.0;

/// A ratio with its cluster-robust error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RatioEstimate {
    /// The ratio, `numerator / denominator`.
    pub estimate: f64,
    /// Sum of the numerators over all clusters.
    pub numerator: f64,
    /// Sum of the denominators over all clusters, above 0.
    pub denominator: f64,
    /// Standard error of the ratio, by the chosen [`ClusterVariance`].
    pub std_error: f64,
    /// Degrees of freedom, at most `n_clusters - 1`; Satterthwaite's for CR3.
    pub df: f64,
    /// Number of clusters with data: a denominator above 0, or a numerator that is not 0.
    pub n_clusters: usize,
    /// Number of independent units with data: the users where they are counted, else the clusters.
    /// Without spread between clusters, a share has the weight of so many rows.
    pub n_units: f64,
    /// True for fewer than 10 degrees of freedom: a few clusters determine the error.
    pub unstable: bool,
}

impl RatioEstimate {
    /// From the sums with their quotient, as [`point`] gives them, and the variance with its degrees
    /// of freedom.
    fn new(point: (f64, f64, f64), variance_and_df: (f64, f64), n_clusters: usize) -> Self {
        let ((numerator, denominator, estimate), (variance, df)) = (point, variance_and_df);
        Self {
            estimate,
            numerator,
            denominator,
            std_error: variance.sqrt(),
            df,
            n_clusters,
            n_units: n_clusters as f64,
            unstable: df < UNSTABLE_DF,
        }
    }

    /// The interval for one planned look, by the t distribution, at two-sided error level `alpha`.
    pub fn interval(&self, alpha: f64) -> Interval {
        Interval::around(self.estimate, t_isf(0.5 * alpha, self.df) * self.std_error)
    }

    /// The estimate with the number of users of its rows, where it is counted.
    #[must_use]
    pub fn with_users(self, n_users: Option<u64>) -> Self {
        Self {
            n_units: n_users.map_or(self.n_units, |n| (n as f64).max(self.n_units)),
            ..self
        }
    }
}

/// The point estimate from clusters `(numerator, denominator)`: the two sums and their quotient.
/// `None` if the denominators sum to 0.
pub fn point(clusters: impl IntoIterator<Item = (f64, f64)>) -> Option<(f64, f64, f64)> {
    let (numerator, denominator) = clusters
        .into_iter()
        .fold((0.0, 0.0), |(n, d), (num, den)| (n + num, d + den));
    (denominator > 0.0).then_some((numerator, denominator, numerator / denominator))
}

/// The ratio `R = sum N_g / sum D_g` over clusters `(N_g, D_g)` with `D_g >= 0`, and its jackknife
/// variance CR3: `var R = (G - 1) / G * sum z_g`, where `z_g = (u_g / (1 - h_g))^2`,
/// `u_g = (N_g - R D_g) / sum D` and `h_g = D_g / sum D`. The degrees of freedom are
/// `df = 2 (sum z)^2 / (sum z^2 - (sum z)^2 / G)`, at most `G - 1`.
///
/// G counts the clusters with a denominator above 0 or a numerator that is not 0. A cluster may
/// have only a numerator: the cost of a user without a completed task, for example.
///
/// # Errors
/// [`Reason::NoData`] if the denominators sum to 0, [`Reason::TooFewClusters`] for fewer than 20
/// clusters, [`Reason::DominatingCluster`] if one cluster has nearly all of the denominator.
///
/// # References
/// `docs/METHODS.md#rates-and-ratios`; Bell & McCaffrey (2002), Cameron & Miller (2015).
pub fn clusters(clusters: &[(f64, f64)]) -> Result<RatioEstimate, Reason> {
    clusters_by(clusters, ClusterVariance::Cr3)
}

/// The estimator of a variance from the spread between G clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClusterVariance {
    /// The delete-one-cluster jackknife, with Satterthwaite's degrees of freedom; see [`clusters`].
    #[default]
    Cr3,
    /// `G / (G - 1) sum u_g^2`, with G - 1 degrees of freedom.
    Cr1,
    /// `sum u_g^2`, with G - 1 degrees of freedom.
    Cr0,
}

/// As [`clusters`], with a given variance estimator.
///
/// # Errors
/// As [`clusters`]; only CR3 returns [`Reason::DominatingCluster`].
pub fn clusters_by(clusters: &[(f64, f64)], variance: ClusterVariance) -> Result<RatioEstimate, Reason> {
    let (numerator, denominator, estimate) = point(clusters.iter().copied()).ok_or(Reason::NoData)?;
    let squares = residuals(clusters, denominator, estimate, variance)?
        .map(|u| u * u)
        .collect::<Vec<_>>();
    let n_clusters = squares.len();
    if n_clusters < MIN_CLUSTERS {
        return Err(Reason::TooFewClusters);
    }
    Ok(RatioEstimate::new(
        (numerator, denominator, estimate),
        variance.variance_and_df(&squares),
        n_clusters,
    ))
}

/// Sums per cluster in whole units, without rounding.
#[derive(Debug, Clone, PartialEq)]
pub struct WholeSums {
    /// Numerator and denominator of each cluster, in whole units. Clusters without data are (0, 0).
    pub clusters: Vec<(i128, i128)>,
    /// Whole units in one unit of the numerator and of the denominator, above 0.
    pub units: [f64; 2],
}

impl WholeSums {
    /// The sums over all clusters, in whole units.
    fn totals(&self) -> (i128, i128) {
        let add = |(n, d): (i128, i128), own: &(i128, i128)| (n + own.0, d + own.1);
        self.clusters.iter().fold((0, 0), add)
    }

    /// The two sums and their quotient, in the metric's units. A quotient that is a whole number of
    /// units is exact. `None` if the denominators sum to 0.
    pub fn point(&self) -> Option<(f64, f64, f64)> {
        let (n, d) = self.totals();
        (d > 0).then(|| {
            let quotient = n.div_euclid(d) as f64 + n.rem_euclid(d) as f64 / d as f64;
            (
                n as f64 / self.units[0],
                d as f64 / self.units[1],
                quotient / self.units_of_quotient(),
            )
        })
    }

    /// Whole units of a quotient in one unit of the metric.
    fn units_of_quotient(&self) -> f64 {
        self.units[0] / self.units[1]
    }

    /// The clusters in the metric's units.
    pub fn scaled(&self) -> impl Iterator<Item = (f64, f64)> {
        let [of_numerator, of_denominator] = self.units;
        let scaled = move |(n, d): &(i128, i128)| (*n as f64 / of_numerator, *d as f64 / of_denominator);
        self.clusters.iter().map(scaled)
    }

    /// The jackknife influence of each cluster on the ratio, by the cluster's position, scaled so
    /// that the squares sum to the variance of [`Self::estimate`]. Empty without a denominator.
    pub fn influences(&self) -> Vec<(usize, f64)> {
        let (_, all_d) = self.totals();
        if all_d <= 0 {
            return Vec::new();
        }
        let n_clusters = self.used().count() as f64;
        let scale = ((n_clusters - 1.0) / n_clusters).sqrt();
        let residual = self.residuals();
        let found = self.used().map(|(idx, own)| (idx, residual(own) * scale));
        found.filter(|(_, own)| own.is_finite()).collect()
    }

    /// The residual of a cluster, `(N_g - R D_g) / (D (1 - D_g / D))`, in the metric's unit. It is
    /// not finite for a cluster with nearly all of the denominator.
    fn residuals(&self) -> impl Fn(&(i128, i128)) -> f64 {
        let (all_n, all_d) = self.totals();
        let (whole, units) = (all_d as f64, self.units_of_quotient());
        move |(n, d)| {
            // N_g - R D_g = (N_g D - N D_g) / D.
            let residual = match (n.checked_mul(all_d), all_n.checked_mul(*d)) {
                (Some(own), Some(expected)) => own.saturating_sub(expected) as f64 / whole,
                _ => *n as f64 - all_n as f64 / whole * *d as f64,
            };
            let rest = 1.0 - *d as f64 / whole;
            if rest <= 1e-9 {
                return f64::INFINITY;
            }
            residual / whole / units / rest
        }
    }

    /// The clusters with data, with their positions.
    fn used(&self) -> impl Iterator<Item = (usize, &(i128, i128))> {
        let has_data = |(_, (n, d)): &(usize, &(i128, i128))| *d > 0 || *n != 0;
        self.clusters.iter().enumerate().filter(has_data)
    }

    /// The ratio with the variance of [`clusters`]. The residuals are formed from whole sums, so
    /// clusters with equal quotients have residuals of exactly 0.
    ///
    /// # Errors
    /// As [`clusters`].
    pub fn estimate(&self) -> Result<RatioEstimate, Reason> {
        let (numerator, denominator, estimate) = self.point().ok_or(Reason::NoData)?;
        let residual = self.residuals();
        let n_clusters = self.used().count();
        if n_clusters < MIN_CLUSTERS {
            return Err(Reason::TooFewClusters);
        }
        let squares: Vec<f64> = self.used().map(|(_, own)| residual(own).powi(2)).collect();
        if squares.iter().any(|square| !square.is_finite()) {
            return Err(Reason::DominatingCluster);
        }
        Ok(RatioEstimate::new(
            (numerator, denominator, estimate),
            jackknife_variance(&squares),
            n_clusters,
        ))
    }
}

/// Two ratios over the same clusters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedRatios {
    /// The ratios of control and treatment, in this order.
    pub estimates: [f64; 2],
    /// Standard error of treatment minus control, from `d_g = u1_g - u0_g`.
    pub std_error: f64,
    /// Degrees of freedom of the standard error, at most `n_clusters - 1`.
    pub df: f64,
    /// Number of clusters with data in an arm: a denominator above 0, or a numerator that is not 0.
    pub n_clusters: usize,
}

/// The difference of two ratios over the same clusters, given in the same order. A cluster without
/// data in either arm is left out. A cluster without a denominator keeps its numerator, as in
/// [`clusters`]; an arm in which it has no data gets the residual 0. Differences within the rounding
/// of the residuals give the standard error 0.
///
/// # Errors
/// As [`clusters_by`].
///
/// # References
/// `docs/METHODS.md#rates-and-ratios`.
pub fn paired(
    control: &[(f64, f64)],
    treatment: &[(f64, f64)],
    variance: ClusterVariance,
) -> Result<PairedRatios, Reason> {
    let has_data = |(num, den): &(f64, f64)| *den > 0.0 || *num != 0.0;
    let used = control
        .iter()
        .zip(treatment)
        .filter(|(c, t)| has_data(c) || has_data(t));
    let (control, treatment): (Vec<_>, Vec<_>) = used.map(|(c, t)| (*c, *t)).unzip();
    let arm = |rows: &[(f64, f64)]| {
        let (_, denominator, estimate) = point(rows.iter().copied()).ok_or(Reason::NoData)?;
        let mut own = residuals(rows, denominator, estimate, variance)?;
        // The residuals skip clusters without data.
        let all: Vec<f64> = rows
            .iter()
            .map(|row| {
                if has_data(row) {
                    own.next().unwrap_or(0.0)
                } else {
                    0.0
                }
            })
            .collect();
        let magnitudes = rows
            .iter()
            .map(|(num, den)| (num.abs() + (estimate * den).abs()) / denominator);
        Ok((estimate, all, magnitudes.collect::<Vec<f64>>()))
    };
    let ((r0, u0, m0), (r1, u1, m1)) = (arm(&control)?, arm(&treatment)?);
    let n_clusters = control.len();
    if n_clusters < MIN_CLUSTERS {
        return Err(Reason::TooFewClusters);
    }
    let error = spread::sum_error(n_clusters as f64);
    let is_beyond = |g: usize| (u1[g] - u0[g]).abs() > error * (m1[g] + m0[g]);
    let squares: Vec<f64> = if (0..n_clusters).any(is_beyond) {
        u1.iter().zip(&u0).map(|(a, b)| (a - b) * (a - b)).collect()
    } else {
        vec![0.0; n_clusters]
    };
    let (variance, df) = variance.variance_and_df(&squares);
    Ok(PairedRatios {
        estimates: [r0, r1],
        std_error: variance.sqrt(),
        df,
        n_clusters,
    })
}

/// The residuals `u_g = (N_g - R D_g) / sum D` of the clusters with data. For CR3 each is divided
/// by `1 - h_g`.
fn residuals(
    clusters: &[(f64, f64)],
    denominator: f64,
    estimate: f64,
    variance: ClusterVariance,
) -> Result<impl Iterator<Item = f64>, Reason> {
    let used = clusters.iter().filter(|(num, den)| *den > 0.0 || *num != 0.0);
    if variance == ClusterVariance::Cr3
        && used.clone().any(|(_, den)| den / denominator >= 1.0 - 1e-9)
        && used.clone().count() >= MIN_CLUSTERS
    {
        return Err(Reason::DominatingCluster);
    }
    Ok(used.map(move |(num, den)| {
        let residual = (num - estimate * den) / denominator;
        if variance == ClusterVariance::Cr3 {
            residual / (1.0 - den / denominator)
        } else {
            residual
        }
    }))
}

impl ClusterVariance {
    /// Variance and degrees of freedom from squared residuals.
    fn variance_and_df(self, squares: &[f64]) -> (f64, f64) {
        let (n, sum) = (squares.len() as f64, squares.iter().sum::<f64>());
        match self {
            Self::Cr3 => jackknife_variance(squares),
            Self::Cr1 => (n / (n - 1.0) * sum, n - 1.0),
            Self::Cr0 => (sum, n - 1.0),
        }
    }
}

/// Jackknife variance and Satterthwaite degrees of freedom from squared leave-one-out deviations.
pub(super) fn jackknife_variance(squares: &[f64]) -> (f64, f64) {
    let n = squares.len() as f64;
    let (sum, df) = jackknife_variance_of_sums(squares);
    ((n - 1.0) / n * sum, df)
}

/// The sum of squared influences that are scaled already, with Satterthwaite degrees of freedom.
pub(super) fn jackknife_variance_of_sums(squares: &[f64]) -> (f64, f64) {
    let n = squares.len() as f64;
    let sum: f64 = squares.iter().sum();
    let sum_squares: f64 = squares.iter().map(|z| z * z).sum();
    let spread = sum_squares - sum * sum / n;
    // Where all deviations are equal, Satterthwaite's formula would divide by 0.
    let df = if spread > 1e-12 * sum_squares {
        (2.0 * sum * sum / spread).min(n - 1.0)
    } else {
        n - 1.0
    };
    (sum, df)
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
        assert_eq!(
            (estimate.estimate, estimate.std_error, estimate.df),
            (0.5, 0.0, 39.0)
        );
    }

    #[test]
    fn cr3_is_the_delete_one_jackknife_up_to_its_centre() {
        let data: Vec<(f64, f64)> = (0..60)
            .map(|g| (f64::from(g % 7), f64::from(3 + g % 5)))
            .collect();
        let estimate = clusters(&data).unwrap();
        let (n, d, r) = point(data.iter().copied()).unwrap();
        let deleted: f64 = data
            .iter()
            .map(|(num, den)| ((n - num) / (d - den) - r).powi(2))
            .sum();
        assert!((estimate.std_error.powi(2) - deleted * 59.0 / 60.0).abs() < 1e-15);
    }

    #[test]
    fn equal_costs_have_no_spread() {
        let sums = WholeSums {
            clusters: (1..60).map(|turns| (10_000_000 * turns, turns)).collect(),
            units: [1e9, 1.0],
        };
        let found = sums.estimate().unwrap();
        assert_eq!((found.estimate, found.std_error), (0.01, 0.0));
        let scaled: Vec<(f64, f64)> = sums.scaled().collect();
        assert!(clusters(&scaled).unwrap().std_error < 1e-12);
    }

    #[test]
    fn whole_sums_have_the_error_of_their_quotients() {
        let sums = WholeSums {
            clusters: (0..60)
                .map(|g| (i128::from(g % 7), i128::from(3 + g % 5)))
                .collect(),
            units: [1.0, 1.0],
        };
        let (whole, plain) = (
            sums.estimate().unwrap(),
            clusters(&sums.scaled().collect::<Vec<_>>()).unwrap(),
        );
        assert!((whole.std_error / plain.std_error - 1.0).abs() < 1e-13);
        assert!((whole.df / plain.df - 1.0).abs() < 1e-12);
        assert_eq!(
            (whole.estimate, whole.n_clusters),
            (plain.estimate, plain.n_clusters)
        );
    }

    #[test]
    fn paired_clusters_keep_their_numerators() {
        let rows = |shift: f64| -> Vec<(f64, f64)> {
            (0..40)
                .map(|g| (f64::from(g % 5) + shift, f64::from(3 + g % 3)))
                .collect()
        };
        let (mut control, mut treatment) = (rows(0.0), rows(1.0));
        control.push((2.0, 0.0));
        treatment.push((0.0, 0.0));
        control.push((0.0, 0.0));
        treatment.push((9.0, 4.0));
        let both = paired(&control, &treatment, ClusterVariance::Cr3).unwrap();
        let own = [&control, &treatment].map(|rows| clusters(rows).unwrap().estimate);
        assert_eq!((both.estimates, both.n_clusters), (own, 42));
        // Flat values that rounding moved apart have no spread.
        let flat = |value: f64| -> Vec<(f64, f64)> {
            (1..=40).map(|g| (value * f64::from(g), f64::from(g))).collect()
        };
        assert_eq!(
            paired(&flat(0.1), &flat(0.3), ClusterVariance::Cr3)
                .unwrap()
                .std_error,
            0.0
        );
    }

    /// The cost of clusters without a success is part of the cost per success and of its error.
    #[test]
    fn a_numerator_alone_counts() {
        let mut rows: Vec<(f64, f64)> = (0..40).map(|idx| (1.0 + f64::from(idx % 3), 1.0)).collect();
        let before = clusters(&rows).unwrap();
        rows.extend([(30.0, 0.0); 5]);
        let after = clusters(&rows).unwrap();
        assert_eq!((after.n_clusters, after.denominator), (45, 40.0));
        assert!(after.std_error > 3.0 * before.std_error, "{before:?} {after:?}");
    }
}
