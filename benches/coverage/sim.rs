//! Simulates users with known rates and counts how often intervals contain the true value. The
//! turns of a user are heavy-tailed (Pareto 1.3, from 1 to 1,000), probabilities differ from user
//! to user, and users are assigned to buckets as in production.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Binomial, Distribution, StandardNormal};
use rayon::prelude::*;
use sluice::bucket::{N_GROUPS, group_of};
use sluice::metric::BadRateOf;
use sluice::qos;
use sluice::qos::{Rates, estimate_arm};
use sluice::scenario::QosConfig;
use sluice::stats::effect::{IntervalSpec, MetricForm};
use sluice::stats::quantile::{Histogram, Quantile, bin_of};
use sluice::stats::ratio::ClusterVariance;
use sluice::stats::{Clusters, Reason, effect, ratio, sequential};

/// The quantity whose interval is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Measure {
    /// A rate with this mean. The probability differs from user to user.
    Rate(f64),
    /// Mean cost of a turn, USD. Costs are log-normal.
    Cost,
    /// QoS of the smaller arm with this bad rate. At 1/3, QoS has a kink.
    Qos(f64),
    /// 95th percentile of latency of the smaller arm.
    LatencyP95,
}

/// One simulated experiment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Case {
    /// The quantity whose interval is measured.
    pub(crate) measure: Measure,
    /// Share of the users in the smaller arm, 0..=1.
    pub(crate) share: f64,
    /// Number of users in both arms.
    pub(crate) n_users: usize,
    /// Largest number of turns of a user: 1,000 gives a heavy tail, 20 a light one.
    pub(crate) most_turns: u64,
}

/// Numbers of runs, by interval.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Covered {
    /// Runs in which Sluice gives an interval.
    pub(crate) n: usize,
    /// Runs in which Sluice's interval contains the true value. Clusters are bucket groups.
    pub(crate) own: usize,
    /// Runs in which Sluice's interval with users as clusters contains the true value.
    pub(crate) by_user: usize,
    /// Runs in which the CR1 interval with G - 1 degrees of freedom contains the true value.
    pub(crate) textbook: usize,
    /// Runs in which the interval contains the true value if rows count as independent
    /// observations.
    pub(crate) naive: usize,
    /// Runs in which the intervals `by_user`, `textbook` and `naive` exist.
    pub(crate) n_others: usize,
}

pub(crate) const HIGH_RISK: QosConfig = QosConfig {
    weights: [0.3, 0.2, 0.5],
    max_latency_ms: 5_000.0,
    bad_rate_of: BadRateOf::Rated,
};
pub(crate) const ALPHA: f64 = 0.05;
const Z: f64 = 1.959_963_984_540_054;

/// Draws the number of turns of a user.
fn turns(most: u64, rng: &mut ChaCha8Rng) -> u64 {
    let uniform = 1.0 - (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    (uniform.powf(-1.0 / 1.3).floor() as u64).clamp(1, most)
}

/// Draws the probability of a user: mean `p`, with a spread between users.
fn chance(p: f64, rng: &mut ChaCha8Rng) -> f64 {
    Beta::new(4.0 * p, 4.0 * (1.0 - p)).map_or(p, |beta| beta.sample(rng))
}

fn events(n: u64, p: f64, rng: &mut ChaCha8Rng) -> f64 {
    Binomial::new(n, p.clamp(0.0, 1.0)).map_or(0.0, |binomial| binomial.sample(rng) as f64)
}

/// Counts coverage over `n_runs` runs. Each run has its own random stream.
pub(crate) fn coverage(case: Case, n_runs: usize, seed: u64) -> Covered {
    let runs = (0..n_runs).into_par_iter().map(|run| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(run as u64);
        match case.measure {
            Measure::Rate(_) | Measure::Cost => difference(case, &mut rng),
            Measure::Qos(bad) => one_arm(quality(case, bad, &mut rng)),
            Measure::LatencyP95 => one_arm(latency(case, &mut rng)),
        }
    });
    runs.reduce(Covered::default, |a, b| Covered {
        n: a.n + b.n,
        own: a.own + b.own,
        by_user: a.by_user + b.by_user,
        textbook: a.textbook + b.textbook,
        naive: a.naive + b.naive,
        n_others: a.n_others + b.n_others,
    })
}

fn one_arm(is_covered: Result<bool, Reason>) -> Covered {
    is_covered.map_or_else(
        |_| Covered::default(),
        |is| Covered {
            n: 1,
            own: usize::from(is),
            ..Covered::default()
        },
    )
}

/// A run that estimates a difference. The true difference is 0.
fn difference(case: Case, rng: &mut ChaCha8Rng) -> Covered {
    let mut groups = [
        vec![(0.0, 0.0); usize::from(N_GROUPS)],
        vec![(0.0, 0.0); usize::from(N_GROUPS)],
    ];
    let mut users: [Vec<(f64, f64)>; 2] = [Vec::new(), Vec::new()];
    let mut squares = [0.0; 2];
    for _ in 0..case.n_users {
        let (arm, group) = place(case.share, rng);
        let n = turns(case.most_turns, rng);
        let (num, square) = match case.measure {
            Measure::Rate(p) => {
                let x = events(n, chance(p, rng), rng);
                (x, x)
            }
            _ => {
                let level: f64 = StandardNormal.sample(rng);
                (0..n).fold((0.0, 0.0), |(sum, squares), _| {
                    let noise: f64 = StandardNormal.sample(rng);
                    let cost = (0.8 * level + 0.6 * noise).exp();
                    (sum + cost, squares + cost * cost)
                })
            }
        };
        let sums = &mut groups[arm][group];
        *sums = (sums.0 + num, sums.1 + n as f64);
        users[arm].push((num, n as f64));
        squares[arm] += square;
    }
    let levels = IntervalSpec {
        alpha: ALPHA,
        v_star: 1e-4,
    };
    let form = match case.measure {
        Measure::Rate(_) => MetricForm::Proportion,
        _ => MetricForm::Mean { resolution: 0.0 },
    };
    let Ok(own) = effect::between_clusters(&groups[0], &groups[1], form, levels) else {
        return Covered::default();
    };
    let by_user = effect::between_clusters(&users[0], &users[1], form, levels)
        .is_ok_and(|effect| effect.ci.contains_zero());
    let textbook = [0, 1].map(|arm| ratio::clusters_by(&groups[arm], ClusterVariance::Cr1));
    let is_textbook = matches!(textbook, [Ok(r0), Ok(r1)] if {
        let error = r0.std_error.hypot(r1.std_error);
        (r1.estimate - r0.estimate).abs() <= sluice::stats::dist::t_isf(0.025, r0.df.min(r1.df)) * error
    });
    let naive = [0, 1].map(|arm| {
        let (num, den) = users[arm]
            .iter()
            .fold((0.0, 0.0), |(a, b), (x, n)| (a + x, b + n));
        let mean = num / den;
        (mean, (squares[arm] / den - mean * mean) / den)
    });
    let is_naive = (naive[1].0 - naive[0].0).abs() <= Z * (naive[0].1 + naive[1].1).sqrt();
    Covered {
        n: 1,
        own: usize::from(own.ci.contains_zero()),
        by_user: usize::from(by_user),
        textbook: usize::from(is_textbook),
        naive: usize::from(is_naive),
        n_others: 1,
    }
}

/// Draws the arm and the bucket group of a user.
fn place(share: f64, rng: &mut ChaCha8Rng) -> (usize, usize) {
    let bucket = (rng.next_u64() % 10_000) as u16;
    (
        usize::from(f64::from(bucket) < share * 10_000.0),
        usize::from(group_of(bucket)),
    )
}

/// Whether the interval of QoS contains the QoS of the true rates.
fn quality(case: Case, bad: f64, rng: &mut ChaCha8Rng) -> Result<bool, Reason> {
    let rates = [bad, 0.98, f64::NAN, 0.95, 0.87, 0.02];
    let latency = 1_800.0;
    let mut groups = vec![[0.0; 12]; usize::from(N_GROUPS)];
    for _ in 0..case.n_users {
        let (arm, group) = place(case.share, rng);
        let n = turns(case.most_turns, rng);
        if arm == 0 {
            continue;
        }
        let sums = &mut groups[group];
        for (idx, p) in rates.into_iter().enumerate() {
            let num = if p.is_nan() {
                let level: f64 = StandardNormal.sample(rng);
                n as f64 * latency * (0.5 * level - 0.125).exp()
            } else {
                events(n, chance(p, rng), rng)
            };
            sums[2 * idx] += num;
            sums[2 * idx + 1] += n as f64;
        }
    }
    let clusters: Clusters = groups.into_iter().filter(|sums| sums[1] > 0.0).collect();
    let found = estimate_arm(&clusters, &HIGH_RISK, ALPHA, 0.02)?;
    let truth = Rates {
        bad_rate: bad,
        availability: rates[1],
        latency_ms: latency,
        tool_success_rate: rates[3],
        task_completion_rate: rates[4],
        complaint_rate: rates[5],
    };
    let truth = qos::qos(&truth, &HIGH_RISK).qos;
    Ok(found.ci.ci_lower <= truth && truth <= found.ci.ci_upper)
}

/// Whether the interval of the 95th percentile contains the true percentile.
fn latency(case: Case, rng: &mut ChaCha8Rng) -> Result<bool, Reason> {
    // ln latency (microseconds) = 14 + 0.4 user + 0.3 turn. Both parts are independent standard
    // normal variables, so the standard deviation is 0.5.
    let truth = (14.0 + 0.5 * 1.644_853_626_951_472_7_f64).exp();
    let mut groups: Vec<Histogram> = vec![Histogram::new(); usize::from(N_GROUPS)];
    for _ in 0..case.n_users {
        let (arm, group) = place(case.share, rng);
        let n = turns(case.most_turns, rng);
        if arm == 0 {
            continue;
        }
        let level: f64 = StandardNormal.sample(rng);
        for _ in 0..n {
            let noise: f64 = StandardNormal.sample(rng);
            *groups[group]
                .entry(bin_of((14.0 + 0.4 * level + 0.3 * noise).exp() as u64))
                .or_default() += 1;
        }
    }
    groups.retain(|histogram| !histogram.is_empty());
    let found = Quantile::new(&groups, 0.95, 1.0)?.summary(ALPHA)?;
    Ok(found.ci.ci_lower <= truth && truth <= found.ci.ci_upper)
}

/// Share of runs in which an interval for every look excludes the true value 0 at one or more of
/// `n_looks` looks. Users arrive between looks.
pub(crate) fn anytime_error(n_looks: usize, users_a_look: usize, n_runs: usize, seed: u64) -> f64 {
    let n_missed: usize = (0..n_runs)
        .into_par_iter()
        .map(|run| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(run as u64);
            let mut groups = [
                vec![(0.0, 0.0); usize::from(N_GROUPS)],
                vec![(0.0, 0.0); usize::from(N_GROUPS)],
            ];
            let levels = IntervalSpec {
                alpha: ALPHA,
                v_star: sequential::v_star_for(0.02),
            };
            let missed = (0..n_looks).any(|_| {
                for _ in 0..users_a_look {
                    let (arm, group) = place(0.5, &mut rng);
                    let n = turns(1_000, &mut rng);
                    let sums = &mut groups[arm][group];
                    *sums = (
                        sums.0 + events(n, chance(0.3, &mut rng), &mut rng),
                        sums.1 + n as f64,
                    );
                }
                effect::between_clusters(&groups[0], &groups[1], MetricForm::Proportion, levels)
                    .is_ok_and(|effect| !effect.anytime.contains_zero())
            });
            usize::from(missed)
        })
        .sum();
    n_missed as f64 / n_runs as f64
}
