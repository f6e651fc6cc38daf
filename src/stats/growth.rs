//! The growth of an arm's evidence with time: the estimate that an arm will have after some days if
//! traffic and values stay as they are.

use crate::stats::known::Reason;
use crate::stats::ratio::{MIN_CLUSTERS, RatioEstimate, UNSTABLE_DF};

/// The users of a group, and how fast distinct users of it are seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Visits {
    /// Number of users of the whole group, both arms together. Infinite if it is not known.
    pub n_users: f64,
    /// Number of visits of a user per day, at least 0. Visits are Poisson.
    pub activity: f64,
    /// Number of distinct users per day of both arms together, for a group of unknown size.
    pub users_per_day: f64,
}

impl Visits {
    /// Measures visits: `seen` of the `share` of `n_users` users were seen in `days`. Without
    /// `n_users` (0) the users grow at the same rate for ever.
    pub fn measured(seen: f64, n_users: f64, share: f64, days: f64) -> Self {
        let all = n_users * share;
        // An arm whose users were all seen tells only that they visit often.
        let rate = -(-(seen / all).clamp(0.0, 1.0 - 0.5 / all.max(1.0))).ln_1p() / days;
        Self {
            n_users: if n_users > 0.0 { n_users } else { f64::INFINITY },
            activity: if n_users > 0.0 { rate } else { 0.0 },
            users_per_day: seen / share / days,
        }
    }

    /// Number of distinct users that a share of the group has after some days.
    pub fn users(&self, days: f64, share: f64) -> f64 {
        if self.n_users.is_finite() {
            self.n_users * share * -(-self.activity * days).exp_m1()
        } else {
            self.users_per_day * share * days
        }
    }

    /// Number of days after which a share of the group has this many distinct users. `None` if it
    /// never has so many.
    pub fn days_for(&self, users: f64, share: f64) -> Option<f64> {
        let days = if self.n_users.is_finite() {
            -(-users / (self.n_users * share)).ln_1p() / self.activity
        } else {
            users / (self.users_per_day * share)
        };
        (days.is_finite() && days >= 0.0).then_some(days)
    }

    /// Number of visits of a share of the group in some days.
    fn visits(&self, days: f64, share: f64) -> f64 {
        if self.n_users.is_finite() {
            self.n_users * share * self.activity * days
        } else {
            self.users(days, share)
        }
    }
}

/// The units over which an arm's variance is estimated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ClusterGrowth {
    /// A fixed number of groups of users. It depends on the share.
    Groups,
    /// Users are the clusters.
    Users,
    /// Periods of time, at this number per day.
    Periods {
        /// Number of periods per day, above 0.
        per_day: f64,
    },
}

/// An arm whose evidence grows at a constant rate. With R rows and N users in its share of the
/// group, the ratio has the variance `c / R + b / N`.
///
/// # References
/// `docs/METHODS.md#time-to-a-decision`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArmGrowth {
    /// The value, which stays as it is.
    pub estimate: f64,
    /// The part `c` of the variance that falls with rows, in squared units of the value.
    pub row_variance: f64,
    /// The part `b`: the variance of the users' own means, in squared units of the value.
    pub user_variance: f64,
    /// Number of rows of the denominator per day, if the arm had the whole group.
    pub rows_per_day: f64,
    /// Degrees of freedom for each cluster less 1, 0..=1.
    pub df_share: f64,
    /// The users of the group.
    pub visits: Visits,
    /// The units of the variance.
    pub clusters: ClusterGrowth,
}

/// The period in which an arm was observed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observed {
    /// Length of the period, days, above 0.
    pub days: f64,
    /// Share of the group that the arm had, above 0 and at most 1.
    pub share: f64,
    /// Whether the metric is a proportion: only then is the variance of a row known.
    pub is_proportion: bool,
}

impl ArmGrowth {
    /// Takes the growth from an estimate. Of a proportion, the variance beyond that of independent
    /// rows is split into a part of visits and a part of users, by the model of visits. All variance
    /// of other metrics falls with rows.
    pub fn measured(found: &RatioEstimate, of: Observed, visits: Visits, clusters: ClusterGrowth) -> Self {
        let (r, own) = (found.denominator, found.std_error.powi(2));
        let n_arm = (visits.n_users * of.share).max(1.0);
        let user_variance = if of.is_proportion && n_arm.is_finite() {
            let binomial = found.estimate * (1.0 - found.estimate);
            let rows_a_visit = r / visits.visits(of.days, of.share);
            let pairs = (rows_a_visit - 1.0).max(0.0);
            ((own - binomial / r).max(0.0) / pairs_of_a_user(n_arm, pairs, r)).min(binomial.max(0.0))
        } else {
            0.0
        };
        let of_users = if n_arm.is_finite() {
            user_variance / n_arm
        } else {
            0.0
        };
        Self {
            estimate: found.estimate,
            row_variance: (own - of_users).max(0.0) * r,
            user_variance,
            rows_per_day: r / of.days / of.share,
            df_share: (found.df / (found.n_clusters as f64 - 1.0).max(1.0)).clamp(0.0, 1.0),
            visits,
            clusters,
        }
    }

    /// The estimate after `days` with this share of the group, in `n_groups` groups of users.
    ///
    /// # Errors
    /// [`Reason::NoData`] without rows, [`Reason::TooFewClusters`] for fewer than 20 clusters.
    pub fn at(&self, days: f64, share: f64, n_groups: f64) -> Result<RatioEstimate, Reason> {
        let r = self.rows_per_day * share * days;
        if r.is_nan() || r <= 0.0 {
            return Err(Reason::NoData);
        }
        let users = self.visits.users(days, share);
        let clusters = match self.clusters {
            ClusterGrowth::Groups => groups_with_users(n_groups, users),
            ClusterGrowth::Users => users,
            ClusterGrowth::Periods { per_day } => per_day * days,
        };
        if clusters < MIN_CLUSTERS as f64 {
            return Err(Reason::TooFewClusters);
        }
        let n_arm = (self.visits.n_users * share).max(1.0);
        let df = self.df_share * (clusters - 1.0);
        Ok(RatioEstimate {
            estimate: self.estimate,
            numerator: self.estimate * r,
            denominator: r,
            std_error: (self.row_variance / r + self.user_variance / n_arm).sqrt(),
            df,
            n_clusters: clusters as usize,
            n_units: users.max(clusters),
            unstable: df < UNSTABLE_DF,
        })
    }
}

/// The factor by which the variance between users enters the variance of an arm's ratio with `r`
/// rows: the share of pairs of rows that belong to one user. Each of `n_arm` users has Poisson
/// visits, and a row has `pairs_of_a_visit` other rows in its visit:
/// `1 / n_arm + pairs_of_a_visit / r`.
pub fn pairs_of_a_user(n_arm: f64, pairs_of_a_visit: f64, r: f64) -> f64 {
    1.0 / n_arm.max(1.0) + pairs_of_a_visit / r
}

/// Expected number of groups with users, of `groups` groups among which the users are divided at
/// random.
pub fn groups_with_users(groups: f64, users: f64) -> f64 {
    // With 40 users per group, an empty group is practically impossible.
    if users > 40.0 * groups {
        groups
    } else {
        groups * -(-users / groups.max(1.0)).exp_m1()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: f64 = 0.1;

    fn visits() -> Visits {
        Visits::measured(632.12, 10_000.0, SHARE, 2.0)
    }

    #[test]
    fn users_come_as_they_came() {
        let check = |found: f64, expected: f64| {
            assert!((found / expected - 1.0).abs() < 1e-4, "{found} {expected}");
        };
        // 63 % of 1,000 users in 2 days: half a visit a day.
        check(visits().activity, 0.5);
        check(visits().users(2.0, SHARE), 632.12);
        check(visits().users(4.0, SHARE), 864.66);
        check(visits().users(2.0, 0.5), 3_160.6);
        check(visits().days_for(864.66, SHARE).unwrap(), 4.0);
        assert_eq!(visits().days_for(1_000.0, SHARE), None);
        assert_eq!(visits().days_for(1_200.0, SHARE), None);
        let unknown = Visits::measured(50.0, 0.0, SHARE, 2.0);
        check(unknown.users(4.0, SHARE), 100.0);
        check(unknown.days_for(200.0, SHARE).unwrap(), 8.0);
        assert_eq!(
            Visits::measured(0.0, 100.0, SHARE, 1.0).days_for(5.0, SHARE),
            None
        );
    }

    #[test]
    fn the_part_of_rows_falls_and_the_part_of_users_stays() {
        let of = Observed {
            days: 2.0,
            share: SHARE,
            is_proportion: true,
        };
        let estimate = |std_error: f64| RatioEstimate {
            estimate: 0.2,
            numerator: 200.0,
            denominator: 1_000.0,
            std_error,
            df: 99.0,
            n_clusters: 100,
            n_units: 632.0,
            unstable: false,
        };
        let rows_only = ArmGrowth::measured(
            &estimate((0.16_f64 / 1e3).sqrt()),
            of,
            visits(),
            ClusterGrowth::Groups,
        );
        assert_eq!(rows_only.user_variance, 0.0);
        let later = rows_only.at(8.0, SHARE, 100.0).unwrap();
        assert!((later.std_error - (0.16_f64 / 4e3).sqrt()).abs() < 1e-12);
        assert!((later.denominator - 4_000.0).abs() < 1e-9);
        // 1,000 visits have one row each, so the excess of 0.00002 is all of users: b = 0.00002 N.
        let of_users = ArmGrowth::measured(
            &estimate((0.16_f64 / 1e3 + 2e-5).sqrt()),
            of,
            visits(),
            ClusterGrowth::Groups,
        );
        assert!((of_users.user_variance - 0.02).abs() < 1e-6, "{of_users:?}");
        let (now, much_later) = (
            of_users.at(2.0, SHARE, 100.0).unwrap(),
            of_users.at(2e6, SHARE, 100.0).unwrap(),
        );
        assert!((now.std_error.powi(2) - 1.8e-4).abs() < 1e-12);
        assert!((much_later.std_error.powi(2) - 2e-5).abs() < 1e-7);
        // Five times the share: five times the rows, and users.
        let wider = of_users.at(2e6, 0.5, 100.0).unwrap();
        assert!((wider.std_error.powi(2) - 4e-6).abs() < 1e-8);
        assert_eq!(of_users.at(2.0, SHARE, 19.0), Err(Reason::TooFewClusters));
        assert_eq!(of_users.at(0.0, SHARE, 100.0), Err(Reason::NoData));
    }
}
