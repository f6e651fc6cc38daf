//! False alarms when a growing log is looked at many times: two arms with the same release, users
//! with heavy tails, and every quantity that a decision reads.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution, LogNormal, Pareto, Poisson, StandardNormal, StandardUniform};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

use sluice::bucket::{N_GROUPS, group_of};
use sluice::qos::estimate_arm;
use sluice::stats::difference::Estimate;
use sluice::stats::effect::{self, Effect, EffectMethod, IntervalSpec, MetricForm};
use sluice::stats::quantile::{Histogram, Quantile, bin_of};
use sluice::stats::ratio::WholeSums;
use sluice::stats::{Reason, sequential};

use super::sim::{ALPHA, HIGH_RISK};

/// The quantities that decisions read, in the order of [`Alarms::any`].
pub(crate) const QUANTITIES: [&str; 9] = [
    "success (flag)",
    "success over calls",
    "complaints",
    "mean latency",
    "cost per success",
    "p50",
    "p95",
    "p99",
    "QoS",
];
const N: usize = QUANTITIES.len();

/// A population of users.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Population {
    pub(crate) n_users: usize,
    /// Share of the users in the candidate's arm.
    pub(crate) share: f64,
    /// Probability that a turn succeeds.
    pub(crate) success: f64,
    /// Whether users have 1 to 1,000 turns (Pareto 1.3), or all about five.
    pub(crate) is_heavy: bool,
}

/// Runs with an alarm, per quantity.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Alarms {
    /// Runs whose interval for every look excluded 0 at any look.
    pub(crate) any: [usize; N],
    /// Runs whose interval for one look excluded 0 at the last look.
    pub(crate) last: [usize; N],
    /// Looks at which the interval and the p-value disagreed about alpha.
    pub(crate) n_contradictions: usize,
}

struct Turn {
    look: usize,
    arm: usize,
    group: usize,
    user: usize,
    latency: u64,
    /// Sums of a turn, in the order of [`SUMS`].
    sums: [i128; SUMS],
}

/// Rows, successes, calls, call successes, latency (us), cost (nano-USD), completed, rated, bad,
/// complaints.
const SUMS: usize = 10;

fn turns_of(population: Population, n_looks: usize, rng: &mut ChaCha8Rng) -> Vec<Turn> {
    let draw = |rng: &mut ChaCha8Rng, p: f64| {
        let uniform: f64 = StandardUniform.sample(rng);
        uniform < p
    };
    let p = population.success;
    let mut turns = Vec::new();
    for user in 0..population.n_users {
        let bucket: f64 = StandardUniform.sample(rng);
        let arm = usize::from(bucket < population.share);
        let group = usize::from(group_of((bucket * 10_000.0) as u16));
        let activity: f64 = if population.is_heavy {
            Pareto::new(1.0_f64, 1.3).map_or(1.0, |law| law.sample(rng).min(1_000.0))
        } else {
            5.0
        };
        let n: f64 = Poisson::new(activity).map_or(0.0, |law| law.sample(rng));
        let own = Beta::new(20.0 * p, 20.0 * (1.0 - p)).map_or(p, |law| law.sample(rng));
        let level: f64 = StandardNormal.sample(rng);
        let Ok(latency) = LogNormal::new(13.6 + 0.4 * level, 0.7) else {
            continue;
        };
        for _ in 0..n as usize {
            let calls = (0..3).filter(|_| draw(rng, 0.5)).count();
            let rated = draw(rng, 0.2);
            let micros: f64 = latency.sample(rng);
            let place: f64 = StandardUniform.sample(rng);
            let flags = [
                true,
                draw(rng, own),
                false,
                false,
                false,
                false,
                draw(rng, 0.6 + 0.3 * own),
                rated,
                rated && draw(rng, 0.5 * (1.0 - own)),
                draw(rng, 0.1 * (1.0 - own)),
            ];
            let mut sums = flags.map(i128::from);
            sums[2] = calls as i128;
            sums[3] = (0..calls).filter(|_| draw(rng, own)).count() as i128;
            sums[4] = micros as i128;
            sums[5] = (micros * 10.0) as i128;
            turns.push(Turn {
                look: (place * n_looks as f64) as usize,
                arm,
                group,
                user,
                latency: micros as u64,
                sums,
            });
        }
    }
    turns.sort_by_key(|turn| turn.look);
    turns
}

/// One arm of a growing log.
struct ArmLog {
    sums: Vec<[i128; SUMS]>,
    latencies: BTreeMap<usize, Histogram>,
    users: BTreeSet<usize>,
}

impl ArmLog {
    fn new() -> Self {
        Self {
            sums: vec![[0; SUMS]; usize::from(N_GROUPS)],
            latencies: BTreeMap::new(),
            users: BTreeSet::new(),
        }
    }

    fn add(&mut self, turn: &Turn) {
        let own = self.sums[turn.group].iter_mut().zip(turn.sums);
        own.for_each(|(sum, more)| *sum += more);
        let histogram = self.latencies.entry(turn.group).or_default();
        *histogram.entry(bin_of(turn.latency)).or_default() += 1;
        self.users.insert(turn.user);
    }

    fn ratio(
        &self,
        num: usize,
        den: usize,
        units: f64,
    ) -> Result<sluice::stats::ratio::RatioEstimate, Reason> {
        let clusters = self.sums.iter().map(|sums| (sums[num], sums[den])).collect();
        let sums = WholeSums {
            clusters,
            units: [units, 1.0],
        };
        Ok(sums.estimate()?.with_users(Some(self.users.len() as u64)))
    }

    fn quantile(&self, q: f64) -> Result<Quantile, Reason> {
        let clusters: Vec<Histogram> = self.latencies.values().cloned().collect();
        Quantile::new(&clusters, q, 1e3)
    }

    fn qos(&self) -> Result<Estimate, Reason> {
        // Bad rate, availability, latency, tool success, completion, complaints.
        let columns = [8, 7, 1, 0, 4, 0, 3, 2, 6, 0, 9, 0];
        let row = |sums: &[i128; SUMS]| {
            columns.map(|column| sums[column] as f64 / if column == 4 { 1e3 } else { 1.0 })
        };
        let clusters = self.sums.iter().filter(|sums| sums[0] > 0).map(row).collect();
        let found = estimate_arm(&clusters, &HIGH_RISK, ALPHA, 0.02)?;
        Ok(Estimate {
            estimate: found.value.qos,
            std_error: found.std_error,
            df: found.df,
        })
    }
}

/// The effects on all quantities between two arms.
fn effects(arms: &[ArmLog; 2]) -> [Result<Effect, Reason>; N] {
    let levels = |mde: f64| IntervalSpec {
        alpha: ALPHA,
        v_star: sequential::v_star_for(mde),
    };
    let ratio = |num, den, units, form, mde| {
        let [control, treatment] = [0, 1].map(|arm: usize| arms[arm].ratio(num, den, units));
        Ok(effect::between(&control?, &treatment?, form, levels(mde)))
    };
    let quantile = |q| {
        let [control, treatment] = [0, 1].map(|arm: usize| arms[arm].quantile(q));
        let (control, treatment) = (control?, treatment?);
        let mde = 0.2 * control.estimate();
        effect::quantile_difference(&control, &treatment, levels(mde))
    };
    let qos = || {
        Ok(effect::difference(
            arms[0].qos()?,
            arms[1].qos()?,
            levels(0.02),
            EffectMethod::ClusterRobust,
        ))
    };
    let mean = MetricForm::Mean { resolution: 0.0 };
    [
        ratio(1, 0, 1.0, MetricForm::Proportion, 0.01),
        ratio(3, 2, 1.0, MetricForm::Proportion, 0.01),
        ratio(9, 0, 1.0, MetricForm::Proportion, 0.001),
        ratio(4, 0, 1e3, mean, 40.0),
        ratio(5, 6, 1e9, mean, 5e-4),
        quantile(0.5),
        quantile(0.95),
        quantile(0.99),
        qos(),
    ]
}

/// Counts the runs with a false alarm.
pub(crate) fn false_alarms(population: Population, n_looks: usize, n_runs: usize, seed: u64) -> Alarms {
    let runs = (0..n_runs).into_par_iter().map(|run| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(run as u64);
        let turns = turns_of(population, n_looks, &mut rng);
        let mut arms = [ArmLog::new(), ArmLog::new()];
        let mut alarms = Alarms::default();
        for look in turns.chunk_by(|a, b| a.look == b.look) {
            look.iter().for_each(|turn| arms[turn.arm].add(turn));
            for (idx, found) in effects(&arms).into_iter().enumerate() {
                let Ok(found) = found else { continue };
                let excludes = [found.anytime, found.ci].map(|interval| !interval.contains_zero());
                let rejects = [found.anytime_p_value, found.p_value].map(|p| p <= ALPHA);
                alarms.n_contradictions += usize::from(excludes != rejects);
                alarms.any[idx] |= usize::from(excludes[0]);
                alarms.last[idx] = usize::from(excludes[1]);
            }
        }
        alarms
    });
    runs.reduce(Alarms::default, |a, b| Alarms {
        any: std::array::from_fn(|idx| a.any[idx] + b.any[idx]),
        last: std::array::from_fn(|idx| a.last[idx] + b.last[idx]),
        n_contradictions: a.n_contradictions + b.n_contradictions,
    })
}
