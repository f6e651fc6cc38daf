//! The classic RFM summary of transactions: recency, frequency, value and their quintile scores.

use arrow_array::Array;
use clap::ValueEnum;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::base::time::{Micros, Zone};
use crate::input::UserFeatures;

/// The length of a period. Several purchases in one period count as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Period {
    /// Days in the scenario's time zone.
    #[default]
    Day,
    /// Weeks that start on Monday, of such days.
    Week,
}

impl Period {
    /// The index of the period that contains `day`, a number of days since 1970-01-01.
    fn number(self, day: i64) -> i64 {
        match self {
            Self::Day => day,
            // 1970-01-01 was a Thursday.
            Self::Week => (day + 3).div_euclid(7),
        }
    }

    /// The end (exclusive) of the zone's period that contains the last instant before `as_of`, in
    /// microseconds UTC.
    pub fn end(self, as_of: Micros, zone: &Zone) -> Micros {
        let day = zone.day(as_of - 1);
        zone.day_start(match self {
            Self::Day => day + 1,
            Self::Week => self.number(day) * 7 + 4,
        })
    }
}

/// The rule that ranks users with equal values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Ties {
    /// Ranks equal users by id, with whole numbers by value. Every score gets a fifth of the users.
    #[default]
    First,
    /// Gives equal users their average rank, and so the same score.
    Average,
}

/// One user's row of the summary.
#[derive(Debug, Clone, PartialEq)]
pub struct RfmRow {
    /// The index of the user in the input.
    pub user: usize,
    /// The number of periods with purchases after the first such period.
    pub frequency: i64,
    /// The number of periods from the first purchase to the last.
    pub recency: i64,
    /// The number of periods from the first purchase to the end of observation.
    pub age: i64,
    /// The mean value of the periods after the first, in the unit of `value`; 0 if no such period
    /// exists.
    pub monetary_value: f64,
    /// The number of days from the last purchase to the day after the last observed day.
    pub days_since_last: i64,
    /// The number of purchases before `as_of`.
    pub n_transactions: u64,
    /// The sum of all values before `as_of`, in the unit of `value`.
    pub total_value: f64,
    /// The quintiles of `days_since_last`, `n_transactions` and `total_value`, 1..=5. Score 5 is
    /// the most recent, most frequent or most valuable.
    pub scores: [u8; 3],
}

/// Computes the summary of users' transactions before `as_of`, in the order of `users`. `as_of` is
/// in microseconds UTC. Days are those of `zone`, as in [`UserFeatures::days`], which must be
/// there. Scores compare the
/// users of one tenant.
///
/// Frequency, recency, age and monetary value equal those of
/// `lifetimes.utils.summary_data_from_transaction_data`. Observation lasts to the end of the period
/// that contains the last day before `as_of`. With weeks, later days of that week therefore count
/// if the log has them. A score is `ceil(5 rank / n)` and uses only transactions before `as_of`.
///
/// # References
/// `docs/METHODS.md#classic-rfm`; Fader, Hardie and Lee (2005), "RFM and CLV: Using Iso-Value
/// Curves for Customer Base Analysis".
pub fn rfm(users: &UserFeatures, as_of: Micros, zone: &Zone, period: Period, ties: Ties) -> Vec<RfmRow> {
    // Observation ends with the last day that is wholly or partly before `as_of`.
    let end = zone.day(as_of - 1);
    let number = |day: i64| period.number(day);
    let no_days: &[(i32, i64)] = &[];
    let mut totals = Vec::with_capacity(users.n_users());
    let mut rows: Vec<RfmRow> = Vec::with_capacity(users.n_users());
    for idx in 0..users.n_users() {
        let days = users.days.as_ref().map_or(no_days, |days| days.get(idx));
        let later = users.later_days.as_ref().map_or(no_days, |days| days.get(idx));
        let mut periods: BTreeMap<i64, i128> = BTreeMap::new();
        for (day, value) in days.iter().chain(later) {
            *periods.entry(number(i64::from(*day))).or_default() += i128::from(*value);
        }
        let first = periods.keys().next().copied().unwrap_or_default();
        let last = periods.keys().next_back().copied().unwrap_or_default();
        let n_repeats = periods.len().saturating_sub(1);
        let repeated: i128 = periods.values().skip(1).sum();
        let total: i128 = days.iter().map(|(_, value)| i128::from(*value)).sum();
        totals.push(total);
        rows.push(RfmRow {
            user: idx,
            frequency: n_repeats as i64,
            recency: last - first,
            age: number(end) - first,
            monetary_value: if n_repeats == 0 {
                0.0
            } else {
                repeated as f64 / 1e6 / n_repeats as f64
            },
            days_since_last: end + 1 - zone.day(users.last_event[idx]),
            n_transactions: users.n_events[idx].into(),
            total_value: total as f64 / 1e6,
            scores: [0; 3],
        });
    }
    let mut tenants: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
    for idx in 0..users.n_users() {
        let names = users.tenant_id.as_ref().filter(|names| names.is_valid(idx));
        tenants
            .entry(names.map(|names| names.value(idx)))
            .or_default()
            .push(idx);
    }
    for of_tenant in tenants.values_mut() {
        of_tenant.sort_by(|a, b| by_id(users.user_id.value(*a), users.user_id.value(*b)));
        let days: Vec<i128> = of_tenant
            .iter()
            .map(|idx| -i128::from(rows[*idx].days_since_last))
            .collect();
        let counts: Vec<i128> = of_tenant
            .iter()
            .map(|idx| i128::from(rows[*idx].n_transactions))
            .collect();
        let values: Vec<i128> = of_tenant.iter().map(|idx| totals[*idx]).collect();
        for (measure, values) in [days, counts, values].iter().enumerate() {
            for (idx, score) in of_tenant.iter().zip(quintiles(values, ties)) {
                rows[*idx].scores[measure] = score;
            }
        }
    }
    rows
}

/// Orders ids: whole numbers by value first, then all other ids by their bytes.
fn by_id(a: &str, b: &str) -> Ordering {
    match (a.parse::<i128>(), b.parse::<i128>()) {
        (Ok(a_number), Ok(b_number)) => a_number.cmp(&b_number).then_with(|| a.cmp(b)),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

/// Computes `ceil(5 rank / n)` of each value. Larger values have higher ranks. Equal values rank in
/// input order, or share their average rank.
fn quintiles(values: &[i128], ties: Ties) -> Vec<u8> {
    let n = values.len() as u128;
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by_key(|idx| values[*idx]);
    let mut scores = vec![0; values.len()];
    let mut rank = 0;
    for equal in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let (first, last) = (rank + 1, rank + equal.len() as u128);
        for (of_equal, idx) in equal.iter().enumerate() {
            let twice_rank = match ties {
                Ties::First => 2 * (first + of_equal as u128),
                Ties::Average => first + last,
            };
            scores[*idx] = (5 * twice_rank).div_ceil(2 * n) as u8;
        }
        rank = last;
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_by_rank_or_by_average() {
        let values = [3, 1, 1, 1, 1, 1, 1, 2, 4, 5];
        assert_eq!(quintiles(&values, Ties::First), [4, 1, 1, 2, 2, 3, 3, 4, 5, 5]);
        assert_eq!(quintiles(&values, Ties::Average), [4, 2, 2, 2, 2, 2, 2, 4, 5, 5]);
        assert_eq!(quintiles(&[7], Ties::First), [5]);
        assert!(
            by_id("9", "10").is_lt()
                && by_id("a10", "a9").is_lt()
                && by_id("10", "a").is_lt()
                && by_id("01", "1").is_lt()
        );
    }
}
