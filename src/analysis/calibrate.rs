//! Checks the methods on a log. The users of the baseline are divided into two arms at random, many
//! times. The arms have the same release, so every effect between them is a false positive. The
//! shares of false positives, and of intervals that contain 0, are counted.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use crate::analysis::interval_specs::DEFAULT_RELATIVE_MDE;
use crate::analysis::span::LayerSpan;
use crate::analysis::sums::{CubeSums, SumLayout};
use crate::bucket::{N_BUCKETS, N_GROUPS, Ratio, group_start};
use crate::metric::Metric;
use crate::replay::{ActivityRow, Cube, CubeLayer, LayerKey};
use crate::scenario::{Arm, Scenario};
use crate::stats::contrast::TestPlan;
use crate::stats::dist::norm_isf;
use crate::stats::effect::IntervalSpec;
use crate::stats::p_value::Alternative;
use crate::stats::two_proportions::{ProportionMethod, TwoByTwo};
use crate::stats::{Interval, Known, Reason, effect, proportion, sequential, srm, two_proportions};

/// The number of clusters from which bucket groups of all widths are drawn in equal shares.
const ENOUGH_CLUSTERS: u16 = 30;
/// The p-value below which a sample ratio counts as a mismatch.
const SRM_ALPHA: f64 = 0.001;

/// The results of random A/A splits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// The name and version of the document's format.
    pub schema: String,
    /// Id of the plan, from the key `plan.id` of the scenario.
    pub plan_id: String,
    /// The number of splits per layer and ratio.
    pub n_splits: usize,
    /// The seed of the splits.
    pub seed: u64,
    /// The error level of the intervals, 0..=1.
    pub alpha: f64,
    /// The results per tenant, layer and ratio.
    pub splits: Vec<SplitCalibration>,
}

/// The results of all splits of one layer at one ratio.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitCalibration {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant: String,
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// The share of users in the candidate's role.
    pub ratio: Ratio,
    /// The number of bucket groups in the candidate's role.
    pub n_clusters: usize,
    /// Whether the smaller arm is so small that only narrow bucket groups fit it. All splits then
    /// use the same few users, so chance differences between these users affect every split. The
    /// rates vary more from log to log than their errors say.
    pub from_few_users: bool,
    /// The share of splits with a sample-ratio mismatch at p < 0.001. Users are counted exactly.
    pub srm_alarms: Known<Rate>,
    /// The results per metric.
    pub metrics: Vec<MetricCalibration>,
}

/// The results of one metric over all splits of a layer at one ratio.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricCalibration {
    /// Id of the metric, such as `bad_rate`.
    pub metric: String,
    /// The share of splits with a p-value below alpha.
    pub false_positives: Known<Rate>,
    /// The share of splits whose interval for one look contains 0.
    pub coverage: Known<Rate>,
    /// The share of splits whose interval for all looks contains 0. It is at least the confidence
    /// level, and usually higher.
    pub anytime_coverage: Known<Rate>,
    /// The share of false positives if rows were taken as independent. `None` if the metric is not
    /// a proportion.
    pub naive_false_positives: Option<Rate>,
    /// The number of splits without a result.
    pub n_unknown: usize,
}

/// A share of splits with its Monte Carlo error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// The share of splits, 0..=1.
    pub rate: f64,
    /// The Monte Carlo standard error of the share.
    pub mc_error: f64,
    /// The 95 % interval of the share, by Wilson's method. Splits share their users, so it is
    /// slightly too narrow.
    #[serde(flatten)]
    pub ci: Interval,
    /// The number of splits.
    pub n: usize,
}

impl Rate {
    fn new(hits: usize, n: usize) -> Result<Self, Reason> {
        if n == 0 {
            return Err(Reason::NoData);
        }
        let (rate, rows) = (hits as f64 / n as f64, n as f64);
        let ci = proportion::wilson(rate, rows, norm_isf(0.025));
        Ok(Self {
            rate,
            mc_error: (rate * (1.0 - rate) / rows).sqrt(),
            ci,
            n,
        })
    }
}

/// The result of one split for one metric.
#[derive(Debug, Clone, Copy)]
struct Finding {
    is_positive: bool,
    is_covered: bool,
    is_covered_anytime: bool,
    is_naive_positive: Option<bool>,
}

/// Splits the baseline's users of each layer at each of the plan's ratios.
///
/// # References
/// `docs/METHODS.md#calibration-on-ones-own-log`; Kohavi, Tang & Xu (2020), chapter 19.
pub fn calibrate(cube: &Cube, scenario: &Scenario, n_splits: usize, seed: u64) -> Calibration {
    let layout = SumLayout::new(cube, &scenario.metrics, u32::MAX);
    let splits = cube.layers.iter().flat_map(|layer| {
        let plan = &scenario.plan.layers[usize::from(layer.layer)];
        let mut ratios: Vec<Ratio> = plan
            .ladder
            .iter()
            .copied()
            .chain([plan.initial_ratio])
            .chain(layer.stages.iter().map(|s| s.ratio))
            .collect();
        ratios.retain(|ratio| *ratio > Ratio::ZERO && *ratio < Ratio::FULL);
        ratios.sort_unstable();
        ratios.dedup();
        let sums = CubeSums::new(cube, &layout, LayerSpan::one(layer.key()));
        ratios
            .into_iter()
            .map(|ratio| split_layer(cube, scenario, &sums, layer, ratio, n_splits, seed))
            .collect::<Vec<_>>()
    });
    Calibration {
        schema: "sluice.calibration/1".to_owned(),
        plan_id: cube.plan_id.clone(),
        n_splits,
        seed,
        alpha: scenario.plan.policy.alpha,
        splits: splits.collect(),
    }
}

/// Splits the users of one layer at one ratio, `n_splits` times.
fn split_layer(
    cube: &Cube,
    scenario: &Scenario,
    sums: &CubeSums,
    layer: &CubeLayer,
    ratio: Ratio,
    n_splits: usize,
    seed: u64,
) -> SplitCalibration {
    let stages = baseline_stages(layer);
    let alpha = scenario.plan.policy.alpha;
    let metrics: Vec<(&Metric, Vec<(f64, f64)>)> = scenario
        .metrics
        .iter()
        .filter_map(|metric| {
            let mut groups = vec![(0.0, 0.0); usize::from(N_GROUPS)];
            for stage in &stages {
                let of_stage = sums
                    .stage(layer.stage_key(usize::from(*stage)), Arm::Baseline)
                    .metric(cube, metric)
                    .ok()?;
                groups
                    .iter_mut()
                    .zip(of_stage.scaled())
                    .for_each(|(sum, more)| *sum = (sum.0 + more.0, sum.1 + more.1));
            }
            groups
                .iter()
                .any(|(_, den)| *den > 0.0)
                .then_some((metric, groups))
        })
        .collect();
    let mut users = vec![0.0; usize::from(N_GROUPS)];
    let layer_of = |row: &ActivityRow| LayerKey {
        tenant: row.tenant,
        layer: row.layer,
    };
    for row in &cube.activity[LayerSpan::one(layer.key()).rows(&cube.activity, layer_of)] {
        users[usize::from(row.group)] += row.n_users as f64;
    }
    // Each layer and ratio has its own seed, and each split its own stream.
    let place = u64::from(layer.tenant) << 32 | u64::from(layer.layer) << 16 | u64::from(ratio.bps());
    let findings: Vec<(bool, Vec<Result<Finding, Reason>>)> = (0..n_splits)
        .into_par_iter()
        .map(|split| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            rng.set_stream(split as u64);
            let is_candidate = deal(ratio, &mut rng);
            let n: [f64; 2] = [false, true].map(|arm| {
                users
                    .iter()
                    .zip(&is_candidate)
                    .filter(|(_, is)| **is == arm)
                    .map(|(n, _)| n)
                    .sum()
            });
            let alarm = srm::chi_square(&n, &[1.0 - ratio.share(), ratio.share()])
                .is_some_and(|test| test.p_value < SRM_ALPHA);
            (
                alarm,
                metrics
                    .iter()
                    .map(|(metric, groups)| finding(metric, groups, &is_candidate, alpha))
                    .collect(),
            )
        })
        .collect();
    let of_metric = |idx: usize, metric: &Metric| {
        let known: Vec<Finding> = findings
            .iter()
            .filter_map(|(_, metrics)| metrics[idx].ok())
            .collect();
        let first_reason = findings
            .iter()
            .find_map(|(_, metrics)| metrics[idx].err())
            .unwrap_or(Reason::NoData);
        let rate = |hit: &dyn Fn(&Finding) -> bool| {
            Known::from(
                Rate::new(known.iter().filter(|f| hit(f)).count(), known.len()).map_err(|_| first_reason),
            )
        };
        let naive: Vec<bool> = known
            .iter()
            .filter_map(|finding| finding.is_naive_positive)
            .collect();
        MetricCalibration {
            metric: metric.id.clone(),
            false_positives: rate(&|f| f.is_positive),
            coverage: rate(&|f| f.is_covered),
            anytime_coverage: rate(&|f| f.is_covered_anytime),
            naive_false_positives: Rate::new(naive.iter().filter(|is| **is).count(), naive.len()).ok(),
            n_unknown: findings.len() - known.len(),
        }
    };
    let has_users = users.iter().sum::<f64>() > 0.0;
    let alarms = if has_users {
        Rate::new(
            findings.iter().filter(|(alarm, _)| *alarm).count(),
            findings.len(),
        )
    } else {
        Err(Reason::NoData)
    };
    SplitCalibration {
        tenant: cube.tenants[layer.tenant as usize].clone(),
        layer: cube.layer_ids[usize::from(layer.layer)].clone(),
        ratio,
        n_clusters: deal(ratio, &mut ChaCha8Rng::seed_from_u64(seed))
            .iter()
            .filter(|is| **is)
            .count(),
        from_few_users: is_narrow(ratio.bps()),
        srm_alarms: alarms.into(),
        metrics: metrics
            .iter()
            .enumerate()
            .map(|(idx, (metric, _))| of_metric(idx, metric))
            .collect(),
    }
}

/// The stages in which all users had the baseline. Without such a stage, all stages, whose baseline
/// rows come from fewer groups.
fn baseline_stages(layer: &CubeLayer) -> Vec<u8> {
    let all = || (0..layer.stages.len()).map(|idx| idx as u8);
    let alone: Vec<u8> = all()
        .filter(|idx| layer.stages[usize::from(*idx)].ratio == Ratio::ZERO)
        .collect();
    if alone.is_empty() { all().collect() } else { alone }
}

/// Assigns random bucket groups to the candidate. Their buckets add up to exactly the ratio.
fn deal(ratio: Ratio, rng: &mut ChaCha8Rng) -> Vec<bool> {
    // Above one half, groups are drawn for the control instead.
    let inverted = ratio.bps() > N_BUCKETS / 2;
    let counts = counts_by_width(if inverted {
        N_BUCKETS - ratio.bps()
    } else {
        ratio.bps()
    });
    let mut is_candidate = vec![inverted; usize::from(N_GROUPS)];
    for (width, n) in WIDTHS.into_iter().zip(counts) {
        let mut groups: Vec<u16> = (0..N_GROUPS)
            .filter(|group| group_start(group + 1) - group_start(*group) == width)
            .collect();
        groups.shuffle(rng);
        groups
            .iter()
            .take(usize::from(n))
            .for_each(|group| is_candidate[usize::from(*group)] = !inverted);
    }
    is_candidate
}

/// The possible widths of a bucket group, in buckets.
const WIDTHS: [u16; 3] = [1, 10, 50];

/// Whether this number of buckets needs narrow groups, which always hold the same few users.
fn is_narrow(bps: u16) -> bool {
    let bps = bps.min(N_BUCKETS - bps);
    even_counts(bps).iter().sum::<u16>() < ENOUGH_CLUSTERS
}

/// The number of groups of each width that make `bps` buckets (at most half of all). It is an equal
/// share of each width if that gives enough clusters. Otherwise narrow groups come first, up to
/// half of them.
fn counts_by_width(bps: u16) -> [u16; 3] {
    if !is_narrow(bps) {
        return even_counts(bps);
    }
    let mut left = bps;
    let mut counts = [0; 3];
    for (idx, (most, wider)) in [(50, 10), (45, 50), (90, 1)].into_iter().enumerate() {
        let width = WIDTHS[idx];
        let n = most.min(left / width);
        // The remaining buckets must be a multiple of the next wider group.
        let over = (left - n * width) % wider;
        counts[idx] = if over == 0 { n } else { n - (wider - over) / width };
        left -= counts[idx] * width;
    }
    counts
}

/// The number of groups of each width, in equal shares, that make `bps` buckets.
fn even_counts(bps: u16) -> [u16; 3] {
    let share = f64::from(bps) / f64::from(N_BUCKETS);
    let fifties = (share * 180.0 + 1e-9) as u16;
    let mut tens = (share * 90.0 + 1e-9) as u16;
    let mut ones = bps - 50 * fifties - 10 * tens;
    while ones > 60 {
        (tens, ones) = (tens + 1, ones - 10);
    }
    [ones, tens, fifties]
}

/// Tests one metric between the arms of one split.
fn finding(
    metric: &Metric,
    groups: &[(f64, f64)],
    is_candidate: &[bool],
    alpha: f64,
) -> Result<Finding, Reason> {
    let arm = |which: bool| {
        groups
            .iter()
            .zip(is_candidate)
            .filter(|(_, is)| **is == which)
            .map(|(sums, _)| *sums)
            .collect::<Vec<_>>()
    };
    let (control, treatment) = (arm(false), arm(true));
    let value = crate::stats::ratio::point(control.iter().copied())
        .ok_or(Reason::NoData)?
        .2;
    let mde = if value == 0.0 {
        DEFAULT_RELATIVE_MDE
    } else {
        DEFAULT_RELATIVE_MDE * value.abs()
    };
    let levels = IntervalSpec {
        alpha,
        v_star: sequential::v_star_for(mde),
    };
    let effect = effect::between_clusters(&control, &treatment, metric.form(), levels)?;
    let naive = metric.proportion.then(|| {
        let plan = TestPlan {
            alternative: Alternative::TwoSided,
            alpha,
        };
        two_proportions::compare(sum(&control), sum(&treatment), ProportionMethod::Z, plan)
    });
    let is_naive_positive =
        naive.map(|contrast| contrast.is_ok_and(|contrast| contrast.p_value.is_ok_and(|p| p.p < alpha)));
    Ok(Finding {
        is_positive: effect.p_value < alpha,
        is_covered: effect.ci.contains_zero(),
        is_covered_anytime: effect.anytime.contains_zero(),
        is_naive_positive,
    })
}

fn sum(rows: &[(f64, f64)]) -> TwoByTwo {
    rows.iter()
        .fold(TwoByTwo { n: 0.0, x: 0.0 }, |sum, (num, den)| TwoByTwo {
            n: sum.n + den,
            x: sum.x + num,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deals_meet_their_ratio_to_the_bucket() {
        for bps in (1..10_000).step_by(7).chain([100, 1_000, 5_000, 9_900, 9_999]) {
            let ratio = Ratio::try_from_share(f64::from(bps) / 10_000.0).unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(u64::from(bps as u16));
            let dealt = deal(ratio, &mut rng);
            let n: u16 = (0..N_GROUPS)
                .filter(|group| dealt[usize::from(*group)])
                .map(|group| group_start(group + 1) - group_start(group))
                .sum();
            assert_eq!(n, ratio.bps());
        }
        let one_percent = deal(
            Ratio::try_from_share(0.01).unwrap(),
            &mut ChaCha8Rng::seed_from_u64(1),
        );
        assert!(one_percent.iter().filter(|is| **is).count() >= 50);
    }
}
