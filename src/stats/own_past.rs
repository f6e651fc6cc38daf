//! Compares a layer with its own past where it has no concurrent control: the level of the same hours
//! before, with the spread between days.

use std::collections::BTreeMap;

use crate::base::time::{DAY, Zone};
use crate::stats::dist::t_isf;
use crate::stats::known::{Interval, Reason};
use crate::stats::non_inferiority::{HarmVerdict, judge};

/// The least number of days of the past. The spread of fewer days says nothing.
pub const MIN_DAYS: usize = 3;
/// Length of the past from which hours of the week are compared; a shorter past has hours of the
/// day.
const BY_WEEK: i64 = 14 * DAY;
const HOURS_A_WEEK: usize = 7 * 24;

/// Sums of a metric in one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WindowSums {
    /// Start of the window, microseconds, UTC.
    pub start: i64,
    /// Sum of the numerators, in the metric's unit.
    pub numerator: f64,
    /// Sum of the denominators.
    pub denominator: f64,
}

impl WindowSums {
    fn day(&self, zone: &Zone) -> i64 {
        zone.day(self.start)
    }
}

/// The level of the past by hour, with its spread between days.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// The zone of the hours and days.
    zone: Zone,
    /// Level by hour of the week. `None` for an hour without rows.
    levels: Vec<Option<f64>>,
    overall: f64,
    /// Whether hours of the week are compared, and not hours of the day.
    pub is_by_week: bool,
    /// Number of days with rows.
    pub n_days: usize,
    /// Variance of a day's level around that of its hours, in the metric's unit squared.
    day_variance: f64,
    /// Sum of the squared shares of the days.
    squared_shares: f64,
    df: f64,
}

impl Past {
    /// Learns the level of each hour, and how much days differ from it. Each day is compared with
    /// the others, so its residual is scaled by k / (k - 1) with k days behind a level.
    ///
    /// # Errors
    /// [`Reason::TooFewRows`] with fewer than [`MIN_DAYS`] days with rows.
    ///
    /// # References
    /// `docs/METHODS.md#a-layer-against-its-own-past`.
    pub fn new(windows: &[WindowSums], zone: &Zone) -> Result<Self, Reason> {
        let known = || windows.iter().filter(|window| window.denominator > 0.0);
        let first = known().map(|window| window.start).min().ok_or(Reason::NoData)?;
        let last = known().map(|window| window.start).max().ok_or(Reason::NoData)?;
        let is_by_week = last - first >= BY_WEEK - DAY;
        let mut bins = vec![(0.0, 0.0); HOURS_A_WEEK];
        for window in known() {
            for bin in bins_of(zone.hour_of_week(window.start), is_by_week) {
                bins[bin].0 += window.numerator;
                bins[bin].1 += window.denominator;
            }
        }
        let levels: Vec<Option<f64>> = bins.iter().map(|(n, d)| (*d > 0.0).then(|| n / d)).collect();
        let all: f64 = known().map(|window| window.denominator).sum();
        let mut past = Self {
            zone: zone.clone(),
            levels,
            overall: known().map(|window| window.numerator).sum::<f64>() / all,
            is_by_week,
            n_days: 0,
            day_variance: 0.0,
            squared_shares: 0.0,
            df: 0.0,
        };
        let mut days: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
        for window in known() {
            let day = days.entry(window.day(zone)).or_default();
            day.0 += window.numerator - window.denominator * past.level(window.start);
            day.1 += window.denominator;
        }
        past.n_days = days.len();
        if past.n_days < MIN_DAYS {
            return Err(Reason::TooFewRows);
        }
        let n_fitted = if is_by_week { 7.0 } else { 1.0 };
        let n = past.n_days as f64;
        // k days of each kind are behind a level; their residuals add up to 0.
        let k = n / n_fitted;
        let scale = k / (k - 1.0);
        for (residual, rows) in days.values() {
            past.day_variance += rows / all * (residual / rows).powi(2) * scale;
            past.squared_shares += (rows / all).powi(2);
        }
        past.df = n - n_fitted;
        Ok(past)
    }

    /// The variance of the expected level of some windows, in units of the variance of a day. Hours
    /// of the week rest on one day a week, so days of the same kind share their error.
    fn squared_shares<'a>(&self, windows: impl Iterator<Item = &'a WindowSums>, rows: f64) -> f64 {
        if !self.is_by_week {
            return self.squared_shares;
        }
        let mut kinds = [0.0; 7];
        windows
            .for_each(|window| kinds[self.zone.hour_of_week(window.start) / 24] += window.denominator / rows);
        let of_kind = self.n_days as f64 / 7.0;
        kinds.iter().map(|share| share * share / of_kind).sum()
    }

    /// The level of the window that starts at an instant: that of its hour, else that of all hours.
    pub fn level(&self, start: i64) -> f64 {
        self.levels[self.zone.hour_of_week(start)].unwrap_or(self.overall)
    }
}

/// The hours of the week that an hour of the week stands for.
fn bins_of(hour: usize, is_by_week: bool) -> impl Iterator<Item = usize> {
    let (first, step) = if is_by_week {
        (hour, HOURS_A_WEEK)
    } else {
        (hour % 24, 24)
    };
    (first..HOURS_A_WEEK).step_by(step)
}

/// Number of days that a false alarm is rare in: at most `alpha` of such periods have one.
const PERIOD_DAYS: f64 = 28.0;
/// Lengths in days of the spans that are compared at the end of each day.
const SPANS: [usize; 2] = [1, 7];

/// The spans of whole days that are compared after `n_days` of them: the last day, and up to a week.
/// Equal spans are one.
pub fn spans(n_days: usize) -> Vec<std::ops::Range<usize>> {
    let mut spans: Vec<_> = SPANS
        .iter()
        .map(|length| n_days.saturating_sub(*length)..n_days)
        .collect();
    spans.dedup();
    spans.retain(|span| !span.is_empty());
    spans
}

/// Some whole days of the layer now, and how they are compared.
#[derive(Debug, Clone, Copy)]
pub struct Present<'a> {
    /// The windows of each day, in the order of time.
    pub days: &'a [Vec<WindowSums>],
    /// Variance and degrees of freedom of the difference of both levels by the spread between
    /// clusters of users.
    pub error: (f64, f64),
    /// The known difference between the layer now and its past, with its variance: the effect of the
    /// candidate while both releases ran.
    pub shift: (f64, f64),
    /// Whether a higher value is worse.
    pub is_lower_better: bool,
    /// The harm that is allowed, in the metric's unit, above 0.
    pub margin: f64,
    /// Probability of a false alarm in four weeks, over the ends of all days and both spans.
    pub alpha: f64,
}

/// A comparison of some days with the past.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fall {
    /// Start of the first window of the compared days, microseconds, UTC.
    pub since: i64,
    /// The level of these days.
    pub observed: f64,
    /// The level of the same hours in the past, with the shift.
    pub expected: f64,
    /// How much worse than expected the level is, in the metric's unit.
    pub harm: f64,
    /// Interval of the harm. Its lower end is above the truth at the end of some day of four weeks
    /// with probability at most `alpha`.
    pub interval: Interval,
    /// Whether the harm is beyond the margin.
    pub verdict: HarmVerdict,
}

impl Present<'_> {
    /// Compares the days with the past.
    ///
    /// # Errors
    /// [`Reason::NoData`] without rows, [`Reason::NoVariance`] without any spread.
    ///
    /// # References
    /// `docs/METHODS.md#a-layer-against-its-own-past`.
    pub fn compare(&self, past: &Past) -> Result<Fall, Reason> {
        let known = || {
            self.days
                .iter()
                .flatten()
                .filter(|window| window.denominator > 0.0)
        };
        let since = known().map(|window| window.start).min().ok_or(Reason::NoData)?;
        let rows: f64 = known().map(|window| window.denominator).sum();
        let observed = known().map(|window| window.numerator).sum::<f64>() / rows;
        let level: f64 = known()
            .map(|window| window.denominator * past.level(window.start))
            .sum();
        let expected = level / rows + self.shift.0;
        let of_day = |day: &Vec<WindowSums>| day.iter().map(|window| window.denominator).sum::<f64>();
        let shares: f64 = self.days.iter().map(|day| (of_day(day) / rows).powi(2)).sum();
        let of_days = past.day_variance * (shares + past.squared_shares(known(), rows));
        let variance = of_days + self.error.0 + self.shift.1;
        if variance <= 0.0 {
            return Err(Reason::NoVariance);
        }
        let df = variance.powi(2) / (of_days.powi(2) / past.df + self.error.0.powi(2) / self.error.1);
        let one_sided = self.alpha / (PERIOD_DAYS * SPANS.len() as f64);
        let harm = if self.is_lower_better {
            observed - expected
        } else {
            expected - observed
        };
        let interval = Interval::around(harm, t_isf(one_sided, df) * variance.sqrt());
        Ok(Fall {
            since,
            observed,
            expected,
            harm,
            interval,
            verdict: judge(harm, interval, self.margin, true),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::HOUR;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    /// A layer that completes 80 % of its tasks, with a rhythm of the day and of the week, days that
    /// differ by a point, and 200 rows an hour.
    struct World {
        rng: ChaCha8Rng,
        day_sd: f64,
    }

    impl World {
        fn normal(&mut self) -> f64 {
            StandardNormal.sample(&mut self.rng)
        }

        fn days(&mut self, first: i64, n: i64, change: impl Fn(i64) -> f64) -> Vec<WindowSums> {
            let mut windows = Vec::new();
            for day in first..first + n {
                let of_day = self.day_sd * self.normal();
                for hour in 0..24 {
                    let weekend = if (day + 3).rem_euclid(7) >= 5 { -0.03 } else { 0.0 };
                    let rhythm = 0.04 * (std::f64::consts::TAU * hour as f64 / 24.0).sin();
                    let p: f64 = 0.8 + rhythm + weekend + of_day + change(day);
                    let rows = 200.0;
                    let noise = (p * (1.0 - p) / rows).sqrt() * self.normal();
                    windows.push(WindowSums {
                        start: day * DAY + hour * HOUR,
                        numerator: rows * (p + noise),
                        denominator: rows,
                    });
                }
            }
            windows
        }
    }

    /// Looks every night, and returns the first night with a fall.
    fn first_fall(past: &Past, stage: &[WindowSums]) -> Option<usize> {
        let days: Vec<Vec<WindowSums>> = stage.chunks(24).map(<[_]>::to_vec).collect();
        (1..=days.len()).find(|night| {
            spans(*night).into_iter().any(|span| {
                let present = Present {
                    error: (0.16 / (200.0 * 24.0 * span.len() as f64), 300.0),
                    days: &days[span],
                    shift: (0.0, 0.0),
                    is_lower_better: false,
                    margin: 0.02,
                    alpha: 0.05,
                };
                present.compare(past).unwrap().verdict == HarmVerdict::Violated
            })
        })
    }

    /// Over four weeks of nightly looks, a layer without a change has few false alarms, and a fall
    /// by 12 points is found within two days, whenever it begins.
    #[test]
    fn a_fall_is_found_and_ordinary_days_are_not() {
        // Length of the past, spread of days, and the share of falls that take more than two nights. A
        // past of a week cannot tell its weekend from chance, which costs power.
        for (n_past, day_sd, most_late) in [
            (7, 0.01, 0.25),
            (7, 0.0, 0.25),
            (9, 0.02, 0.5),
            (21, 0.01, 0.05),
            (42, 0.02, 0.1),
        ] {
            let (mut n_false, mut late, n_runs) = (0, 0, 200);
            for run in 0..n_runs {
                let mut world = World {
                    rng: ChaCha8Rng::seed_from_u64(run),
                    day_sd,
                };
                let past = Past::new(&world.days(20_000, n_past, |_| 0.0), &Zone::UTC).unwrap();
                let stage = world.days(20_000 + n_past, 28, |_| 0.0);
                n_false += u32::from(first_fall(&past, &stage).is_some());
                let begin = 20_000 + n_past + [0, 3, 10][(run % 3) as usize];
                let fallen = world.days(20_000 + n_past, 14, |day| if day < begin { 0.0 } else { -0.12 });
                let night = first_fall(&past, &fallen).map(|night| 20_000 + n_past + night as i64 - begin);
                late += u32::from(night.is_none_or(|nights| nights > 2));
            }
            let rate = f64::from(n_false) / n_runs as f64;
            assert!(
                rate <= 0.05 + 3.0 * 0.0154,
                "{n_past} days, {day_sd}: {rate} false alarms"
            );
            assert!(
                f64::from(late) <= most_late * n_runs as f64,
                "{n_past} days, {day_sd}: {late} of {n_runs} late"
            );
        }
    }

    #[test]
    fn a_day_and_a_week_are_compared() {
        assert!(spans(0).is_empty());
        assert_eq!((spans(1).len(), spans(1)[0].clone()), (1, 0..1));
        assert_eq!(spans(3), [2..3, 0..3]);
        assert_eq!(spans(10), [9..10, 3..10]);
    }

    #[test]
    fn a_missing_hour_has_the_level_of_all() {
        let window = |day: i64, hour: i64, level: f64| WindowSums {
            start: day * DAY + hour * HOUR,
            numerator: level * 100.0,
            denominator: 100.0,
        };
        let windows: Vec<WindowSums> = (0..4)
            .flat_map(|day| [window(day, 8, 0.5), window(day, 9, 0.9)])
            .collect();
        let past = Past::new(&windows, &Zone::UTC).unwrap();
        assert_eq!((past.is_by_week, past.n_days), (false, 4));
        let level = |hour: i64| past.level(10 * DAY + hour * HOUR);
        assert!((level(8) - 0.5).abs() < 1e-12 && (level(9) - 0.9).abs() < 1e-12);
        assert!((level(20) - 0.7).abs() < 1e-12);
        assert_eq!(Past::new(&windows[..4], &Zone::UTC), Err(Reason::TooFewRows));
        assert_eq!(Past::new(&[], &Zone::UTC), Err(Reason::NoData));
    }
}
