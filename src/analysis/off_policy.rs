//! Estimates the value of other ratios from a log with its own ratios. The rows of each release get
//! the weight of the requested share divided by the logged share.

use std::collections::BTreeMap;

use crate::analysis::document::{MetricValue, RatioValue, UserOverlap};
use crate::analysis::infer::Inference;
use crate::analysis::sums::GroupSums;
use crate::bucket::Ratio;
use crate::metric::{Metric, RATE_METRICS};
use crate::qos::estimate_arm;
use crate::replay::CubeLayer;
use crate::scenario::Arm;
use crate::stats::ratio::RatioEstimate;
use crate::stats::{Clusters, Reason, ratio};

/// A stage's users and sums, with the weights of another ratio.
struct Weighted<'a> {
    weights: [f64; 2],
    users: [f64; 2],
    /// The expected square of a user's weight, minus 1.
    variance: f64,
    sums: [&'a GroupSums; 2],
}

impl Inference<'_> {
    /// Estimates a layer's value at another ratio.
    pub(super) fn ratio_value(&self, layer: &CubeLayer, target: Ratio) -> RatioValue {
        let stages: Vec<Weighted<'_>> = (0..layer.stages.len())
            .filter_map(|idx| self.weighted(layer, idx, target))
            .collect();
        let overlap = overlap(&stages);
        let trusted = overlap.filter(UserOverlap::is_enough).ok_or(Reason::NoOverlap);
        let metrics = self
            .scenario
            .metrics
            .iter()
            .filter(|metric| self.cube.metric_columns(metric).is_ok());
        let value = |metric: &Metric| -> Result<RatioEstimate, Reason> {
            trusted?;
            let clusters = self.weighted_clusters(&stages, &[metric])?;
            ratio::clusters(&clusters.iter().map(|sums| (sums[0], sums[1])).collect::<Vec<_>>())
        };
        let qos = trusted.and_then(|_| {
            let rates: Vec<&Metric> = RATE_METRICS
                .iter()
                .map(|id| self.scenario.metric(id).ok_or(Reason::NoColumn))
                .collect::<Result<_, _>>()?;
            let policy = &self.scenario.plan.policy;
            estimate_arm(
                &self.weighted_clusters(&stages, &rates)?,
                &self.scenario.qos,
                policy.alpha,
                policy.qos_mde,
            )
        });
        RatioValue {
            tenant: self.cube.tenants[layer.tenant as usize].clone(),
            layer: self.cube.layer_ids[usize::from(layer.layer)].clone(),
            ratio: target,
            overlap,
            qos: qos.into(),
            metrics: metrics
                .map(|metric| MetricValue {
                    metric: metric.id.clone(),
                    value: value(metric).into(),
                })
                .collect(),
        }
    }

    /// The weights and sums of a stage; `None` if only one release ran.
    fn weighted(&self, layer: &CubeLayer, idx: usize, target: Ratio) -> Option<Weighted<'_>> {
        let (logged, target) = (layer.stages[idx].ratio.share(), target.share());
        if logged <= 0.0 || logged >= 1.0 {
            return None;
        }
        let users = self.sums.users(layer.stage_key(idx));
        Some(Weighted {
            weights: [(1.0 - target) / (1.0 - logged), target / logged],
            users: [users.baseline as f64, users.candidate as f64],
            variance: (1.0 - target).powi(2) / (1.0 - logged) + target * target / logged - 1.0,
            sums: Arm::ALL.map(|arm| self.sums.stage(layer.stage_key(idx), arm)),
        })
    }

    /// The weighted numerators and denominators of each cluster, over both releases and all stages.
    fn weighted_clusters(&self, stages: &[Weighted<'_>], metrics: &[&Metric]) -> Result<Clusters, Reason> {
        // The same users appear in several stages, so a cluster spans all stages.
        let mut clusters: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for stage in stages {
            for (sums, weight) in stage
                .sums
                .iter()
                .zip(stage.weights)
                .filter(|(_, weight)| *weight > 0.0)
            {
                for (cluster, own) in sums.numbered(self.cube, metrics)? {
                    let sums = clusters.entry(cluster).or_insert_with(|| vec![0.0; own.len()]);
                    sums.iter_mut()
                        .zip(own)
                        .for_each(|(sum, own)| *sum += own * weight);
                }
            }
        }
        Ok(clusters.into_values().collect())
    }
}

/// The overlap over all stages; `None` without users.
fn overlap(stages: &[Weighted<'_>]) -> Option<UserOverlap> {
    let (mut n, mut sum, mut squares, mut variance, mut max_weight) = (0.0, 0.0, 0.0, 0.0, 0.0_f64);
    for stage in stages {
        let of_stage: f64 = stage.users.iter().sum();
        n += of_stage;
        variance += of_stage * stage.variance;
        for (users, weight) in stage.users.iter().zip(stage.weights) {
            sum += users * weight;
            squares += users * weight * weight;
            max_weight = if *users > 0.0 {
                max_weight.max(weight)
            } else {
                max_weight
            };
        }
    }
    let mean_weight_z = if variance > 0.0 {
        (sum - n) / variance.sqrt()
    } else {
        0.0
    };
    (sum > 0.0).then(|| UserOverlap {
        ess: sum * sum / squares,
        max_weight,
        mean_weight_z,
    })
}
