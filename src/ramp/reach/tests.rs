use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Poisson, StandardNormal};
use std::path::Path;

use super::*;
use crate::bucket::group_of;
use crate::scenario::{Overrides, Plan, Scenario};
use crate::stats::ratio;

const N_USERS: usize = 4_000;
const SHARE: f64 = 0.2;

fn plan(sequential: &str) -> Plan {
    let text = format!(
        r#"
        as_of = "2026-01-10"
        plan = {{ id = "p", start = "2026-01-01", baseline = "a", candidate = "b" }}
        input = {{ users_from_traffic = true, traffic = [{{ path = "t.csv" }}] }}
        policy = {{ sequential = "{sequential}" }}
        guardrail = [{{ metric = "task_completion_rate", margin = 0.04 }}]
        [[layer]]
        id = "all"
        "#
    );
    let scenario = Scenario::parse(&text, "test", Path::new(""), &Overrides::default());
    scenario.unwrap().plan
}

/// A log of users with their own rates, who come at random.
struct Log {
    rng: ChaCha8Rng,
    /// Bucket, rate and whether the user was seen.
    users: Vec<(u16, f64, bool)>,
    /// Successes and rows by arm and bucket group.
    sums: [Vec<(f64, f64)>; 2],
}

impl Log {
    fn new(seed: u64, user_sd: f64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let user = |_| {
            let own: f64 = StandardNormal.sample(&mut rng);
            let bucket = rng.random_range(0..10_000);
            (bucket, (0.8 + user_sd * own).clamp(0.0, 1.0), false)
        };
        let users = (0..N_USERS).map(user).collect();
        let sums = [0, 1].map(|_| vec![(0.0, 0.0); usize::from(N_GROUPS)]);
        Self { rng, users, sums }
    }

    /// A day with 0.3 turns a user.
    fn day(&mut self) {
        let turns = Poisson::new(0.3).unwrap();
        for (bucket, rate, seen) in &mut self.users {
            let n: f64 = turns.sample(&mut self.rng);
            for _ in 0..n as u32 {
                *seen = true;
                let arm = usize::from(f64::from(*bucket) < SHARE * 1e4);
                let sums = &mut self.sums[arm][usize::from(group_of(*bucket))];
                sums.0 += f64::from(u8::from(self.rng.random::<f64>() < *rate));
                sums.1 += 1.0;
            }
        }
    }

    fn growth<'a>(&self, plan: &'a Plan, days: f64) -> GuardrailGrowth<'a> {
        let arms = [0, 1].map(|arm| {
            let share = [1.0 - SHARE, SHARE][arm];
            let is_of_arm = |bucket: u16| usize::from(f64::from(bucket) < SHARE * 1e4) == arm;
            let seen = self
                .users
                .iter()
                .filter(|user| user.2 && is_of_arm(user.0))
                .count();
            let of = Observed {
                days,
                share,
                is_proportion: true,
            };
            let visits = Visits::measured(seen as f64, N_USERS as f64, share, days);
            let found = ratio::clusters(&self.sums[arm]).unwrap();
            ArmGrowth::measured(&found, of, visits, ClusterGrowth::Groups)
        });
        let of = (&plan.policy, plan.guardrails.as_slice(), 0);
        GuardrailGrowth::new(of, MetricForm::Proportion, Better::Higher, arms)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The days that are predicted on day 4 are those that releases without an effect need.
#[test]
fn predicted_days_are_those_that_are_needed() {
    let ratio = Ratio::try_from_share(SHARE).unwrap();
    let check = |sequential: &str, user_sd: f64| {
        let plan = plan(sequential);
        let (mut predicted, mut needed) = (Vec::new(), Vec::new());
        for seed in 0..40 {
            let mut log = Log::new(seed, user_sd);
            (0..4).for_each(|_| log.day());
            let mut growth = log.growth(&plan, 4.0);
            // The effect is 0, as in the truth: the error of the effect so far is another question.
            growth.arms[1].estimate = growth.arms[0].estimate;
            predicted.push(days_until(&growth, ratio, 4.0).unwrap_or(MAX_DAYS));
            let mut day = 4.0;
            let passes = |log: &Log, day: f64| {
                let mut growth = log.growth(&plan, day);
                growth.arms[1].estimate = growth.arms[0].estimate;
                growth.passes(day, ratio)
            };
            while day < 120.0 && !passes(&log, day) {
                log.day();
                day += 1.0;
            }
            needed.push(day);
        }
        let (predicted, needed) = (median(predicted), median(needed));
        println!("{sequential} {user_sd}: predicted {predicted:.1}, needed {needed}");
        assert!(
            (0.8..1.25).contains(&(predicted / needed)),
            "{sequential} {user_sd}: predicted {predicted}, needed {needed}"
        );
    };
    check("fixed", 0.0);
    check("fixed", 0.15);
    check("anytime", 0.0);
    check("anytime", 0.15);
}

#[test]
fn the_first_day_is_found() {
    let check = |from: f64, at: f64, expected: Option<f64>| {
        let found = first_day(from, |days| days >= at);
        match (found, expected) {
            (Some(found), Some(expected)) => assert!((found / expected - 1.0).abs() < 2e-3, "{found}"),
            (found, expected) => assert_eq!(found, expected),
        }
    };
    check(2.0, 10.0, Some(10.0));
    check(2.0, 1.0, Some(2.0));
    check(2.0, 364.9, Some(364.9));
    check(2.0, 366.0, None);
    check(400.0, 1.0, Some(400.0));
}
