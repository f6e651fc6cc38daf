//! Several comparisons that are read together: the error level of each, adjusted p-values, slices,
//! and ranks.

use serde::Serialize;

use crate::stats::correlation::{Correlation, all_pairs};
use crate::stats::dist::{t_isf, t_sf};
use crate::stats::known::{Interval, Reason};
use crate::stats::max_t::MaxT;

/// How the error level of a single comparison follows from that of the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum FamilyMethod {
    /// One comparison at most: there is nothing to correct.
    Single,
    /// The joint distribution of the largest statistic: Dunnett's method for several candidates
    /// against one baseline, Tukey's for all pairs.
    MaxT {
        /// The number of comparisons without known correlations. They count as uncorrelated.
        n_unknown: usize,
    },
    /// Independent comparisons: `1 - (1 - alpha)^(1 / n)`.
    Sidak,
    /// Any comparisons: `alpha / n`.
    Bonferroni {
        /// The reason for which no better method applies.
        reason: Reason,
    },
}

/// A family of n comparisons whose intervals hold all together with the probability 1 - alpha.
///
/// # References
/// `docs/METHODS.md#several-candidates-and-slices`; Dunnett (1955), Tukey (1953), Hothorn, Bretz &
/// Westfall (2008), Sidak (1967).
#[derive(Debug, Clone)]
pub struct Family {
    n: usize,
    df: f64,
    method: FamilyMethod,
    joint: Option<MaxT>,
}

impl Family {
    /// A family of n comparisons whose estimates have the given correlations. `df` are the degrees
    /// of freedom of the common error estimate; infinite if every comparison has an error estimate
    /// of its own, as in paired evaluations. Without correlations, or if they belong to no
    /// distribution, the method is Bonferroni's, with the reason.
    pub fn correlated(n: usize, correlation: Result<&Correlation, Reason>, df: f64) -> Self {
        let joint = correlation.and_then(|correlation| {
            let n_unknown = correlation.unknown().iter().flatten().count();
            let first = correlation.unknown().iter().flatten().next();
            match first {
                _ if correlation.n() != n || df.is_nan() || df <= 0.0 => Err(Reason::OutOfRange),
                Some(reason) if n_unknown + 1 >= n => Err(*reason),
                _ => Ok((MaxT::new(correlation)?, n_unknown)),
            }
        });
        let (method, joint) = match joint {
            _ if n <= 1 => (FamilyMethod::Single, None),
            Ok((joint, n_unknown)) => (FamilyMethod::MaxT { n_unknown }, Some(joint)),
            Err(reason) => (FamilyMethod::Bonferroni { reason }, None),
        };
        Self { n, df, method, joint }
    }

    /// A family of n independent comparisons.
    pub fn independent(n: usize) -> Self {
        let method = if n <= 1 {
            FamilyMethod::Single
        } else {
            FamilyMethod::Sidak
        };
        Self {
            n,
            df: f64::INFINITY,
            method,
            joint: None,
        }
    }

    /// A family of the comparisons on n slices: disjoint sets of cases. They are independent, unless
    /// a cluster has cases in two slices. `slices` has the cluster and the slice of each case.
    pub fn of_slices(n: usize, slices: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut first: Vec<Option<usize>> = Vec::new();
        let is_crossed = slices.into_iter().any(|(cluster, slice)| {
            if first.len() <= cluster {
                first.resize(cluster + 1, None);
            }
            *first[cluster].get_or_insert(slice) != slice
        });
        if is_crossed {
            Self::correlated(n, Err(Reason::Aliased), f64::INFINITY)
        } else {
            Self::independent(n)
        }
    }

    /// The number of comparisons.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The method, with the reason if it is Bonferroni's.
    pub fn method(&self) -> FamilyMethod {
        self.method
    }

    /// The two-sided error level of each comparison, for the level `alpha` of the family, 0 < alpha
    /// < 1. An interval of any method with this level is a simultaneous interval. It lies between
    /// `alpha / n` and `alpha`.
    pub fn alpha_each(&self, alpha: f64) -> f64 {
        let n = self.n.max(1) as f64;
        let each = match (&self.joint, self.method) {
            (Some(joint), _) => 2.0 * t_sf(joint.critical(alpha, self.df), self.df),
            (None, FamilyMethod::Sidak) => -((-alpha).ln_1p() / n).exp_m1(),
            (None, _) => alpha / n,
        };
        each.clamp(alpha / n, alpha)
    }

    /// The critical value of the family's t statistics, `t_isf(alpha_each / 2, df)`.
    pub fn critical(&self, alpha: f64) -> f64 {
        t_isf(0.5 * self.alpha_each(alpha), self.df)
    }

    /// The p-values of all comparisons, adjusted in a single step: an adjusted p-value is at most
    /// alpha where the interval of level `alpha_each(alpha)` excludes the null value. A p-value that
    /// is not a number stays what it is.
    pub fn adjusted(&self, p_values: &[f64]) -> Vec<f64> {
        let n = self.n.max(1) as f64;
        let adjusted = |p: f64| match (&self.joint, self.method) {
            _ if p.is_nan() || p <= 0.0 || p >= 1.0 => p,
            (Some(joint), _) => joint
                .sf(t_isf(0.5 * p, self.df), self.df)
                .clamp(p, (n * p).min(1.0)),
            (None, FamilyMethod::Sidak) => -(n * (-p).ln_1p()).exp_m1(),
            (None, _) => (n * p).min(1.0),
        };
        p_values.iter().map(|p| adjusted(*p)).collect()
    }
}

/// The ranks that one release can have; 1 is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RankInterval {
    /// The best possible rank: 1 more than the number of releases that are certainly better.
    pub rank_lower: usize,
    /// The worst possible rank: n less the number of releases that are certainly worse.
    pub rank_upper: usize,
}

/// The ranks of n releases from the simultaneous intervals of all differences.
///
/// `differences` has the interval of value j less value i for each pair of [`all_pairs`], in its
/// order; `None` where there is none. Higher values are better. If all intervals hold together with
/// the probability 1 - alpha, all ranks lie in their intervals together with at least this
/// probability. Releases with equal values share their ranks: each has all the ranks of the tie.
///
/// # Errors
/// [`Reason::Incomplete`] if the number of differences is not n (n - 1) / 2.
///
/// # References
/// `docs/METHODS.md#several-candidates-and-slices`; Al Mohamad, van Zwet, Solari & Goeman (2022);
/// Mogstad, Romano, Shaikh & Wilhelm (2024).
pub fn rank_intervals(n: usize, differences: &[Option<Interval>]) -> Result<Vec<RankInterval>, Reason> {
    if differences.len() != n * n.saturating_sub(1) / 2 {
        return Err(Reason::Incomplete);
    }
    let mut ranks = vec![
        RankInterval {
            rank_lower: 1,
            rank_upper: n
        };
        n
    ];
    for ((i, j), interval) in all_pairs(n).zip(differences) {
        let Some(interval) = interval else { continue };
        let (better, worse) = if interval.ci_lower > 0.0 {
            (j, i)
        } else if interval.ci_upper < 0.0 {
            (i, j)
        } else {
            continue;
        };
        ranks[worse].rank_lower += 1;
        ranks[better].rank_upper -= 1;
    }
    Ok(ranks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dunnett(n: usize, rho: f64) -> Family {
        Family::correlated(
            n,
            Correlation::equal(n, rho).as_ref().map_err(|reason| *reason),
            f64::INFINITY,
        )
    }

    #[test]
    fn each_level_lies_between_bonferroni_and_none() {
        let check = |family: &Family, expected: f64, method: FamilyMethod| {
            let found = family.alpha_each(0.05);
            assert_eq!(family.method(), method);
            assert!((found / expected - 1.0).abs() < 1e-3, "{family:?}: {found}");
            assert!(found >= 0.05 / family.n().max(1) as f64 && found <= 0.05);
        };
        let max_t = FamilyMethod::MaxT { n_unknown: 0 };
        // 2 P(Z > 2.5115): Dunnett's critical value of five candidates.
        check(&dunnett(5, 0.5), 0.012_022, max_t);
        check(&dunnett(5, 0.0), 0.010_206_2, max_t);
        check(&dunnett(5, 1.0), 0.05, max_t);
        check(&dunnett(1, 1.0), 0.05, FamilyMethod::Single);
        check(&Family::independent(0), 0.05, FamilyMethod::Single);
        check(&Family::independent(5), 0.010_206_2, FamilyMethod::Sidak);
        let none = |reason| Family::correlated(4, Err(reason), 7.0);
        let reason = Reason::NoVariance;
        check(&none(reason), 0.0125, FamilyMethod::Bonferroni { reason });
        let reason = Reason::OutOfRange;
        check(&dunnett(4, -0.9), 0.0125, FamilyMethod::Bonferroni { reason });
        check(&dunnett(4, f64::NAN), 0.0125, FamilyMethod::Bonferroni { reason });
        let reason = Reason::TooLarge;
        check(
            &dunnett(80, 0.2),
            0.05 / 80.0,
            FamilyMethod::Bonferroni { reason },
        );
    }

    #[test]
    fn contrasts_without_correlations_are_counted() {
        let clusters: Vec<usize> = (0..30).collect();
        let wave = |step: usize| {
            (0..30)
                .map(|case| Some((case * step % 7) as f64))
                .collect::<Vec<_>>()
        };
        let family = |differences: &[Vec<Option<f64>>]| {
            let correlation = Correlation::of_differences(differences, &clusters);
            Family::correlated(
                differences.len(),
                correlation.as_ref().map_err(|reason| *reason),
                29.0,
            )
            .method()
        };
        let constant = vec![Some(1.0); 30];
        assert_eq!(
            family(&[wave(1), wave(2), constant.clone()]),
            FamilyMethod::MaxT { n_unknown: 1 }
        );
        let reason = Reason::NoVariance;
        assert_eq!(
            family(&[wave(1), constant.clone(), constant]),
            FamilyMethod::Bonferroni { reason }
        );
    }

    #[test]
    fn adjusted_p_values_agree_with_the_level_of_each() {
        let families = [
            dunnett(4, 0.5),
            Family::independent(4),
            Family::correlated(4, Err(Reason::NoData), 5.0),
        ];
        for family in families {
            let each = family.alpha_each(0.05);
            let found = family.adjusted(&[0.0, each, 0.5 * each, 0.9, 1.0, f64::NAN]);
            assert_eq!((found[0], found[4]), (0.0, 1.0), "{family:?}");
            assert!(
                (found[1] - 0.05).abs() < 1e-8 && found[2] < 0.05,
                "{family:?}: {found:?}"
            );
            assert!(
                found[3] >= 0.9 && found[3] <= 1.0 && found[5].is_nan(),
                "{family:?}: {found:?}"
            );
            assert!((family.critical(0.05) - t_isf(0.5 * each, family.df)).abs() < 1e-12);
        }
    }

    #[test]
    fn clusters_that_cross_slices_make_them_dependent() {
        let check = |slices: &[(usize, usize)], expected: FamilyMethod| {
            assert_eq!(
                Family::of_slices(3, slices.iter().copied()).method(),
                expected,
                "{slices:?}"
            );
        };
        check(&[(0, 0), (1, 0), (2, 1), (1, 0), (3, 2)], FamilyMethod::Sidak);
        check(&[], FamilyMethod::Sidak);
        check(
            &[(0, 0), (0, 1)],
            FamilyMethod::Bonferroni {
                reason: Reason::Aliased,
            },
        );
    }

    #[test]
    fn ranks_count_who_is_certainly_better_and_worse() {
        let at = |lower: f64, upper: f64| {
            Some(Interval {
                ci_lower: lower,
                ci_upper: upper,
            })
        };
        let check = |n: usize, differences: &[Option<Interval>], expected: &[(usize, usize)]| {
            let found = rank_intervals(n, differences).unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|rank| (rank.rank_lower, rank.rank_upper))
                .collect();
            assert_eq!(found, expected, "{differences:?}");
        };
        let (up, down, open) = (at(0.1, 0.3), at(-0.3, -0.1), at(-0.1, 0.1));
        check(0, &[], &[]);
        check(1, &[], &[(1, 1)]);
        check(2, &[up], &[(2, 2), (1, 1)]);
        check(2, &[at(0.0, 0.2)], &[(1, 2), (1, 2)]);
        check(3, &[down, down, down], &[(1, 1), (2, 2), (3, 3)]);
        check(3, &[open, down, None], &[(1, 2), (1, 3), (2, 3)]);
        assert_eq!(rank_intervals(3, &[up]), Err(Reason::Incomplete));
    }
}
