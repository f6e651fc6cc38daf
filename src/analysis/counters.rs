//! Evidence from the source document's counters, where there is no log: increases per window, release and layer. Pure.
//!
//! Counters know no users, so neither sample ratios nor bucket groups: windows of time are the clusters of every variance. What a counter does not
//! tell is absent, never 0: a rate without one of its two counters has no value, and QoS without one of its rates has none.

use std::collections::BTreeMap;

use crate::analysis::document::{
    Analysis, ArmRows, DataQuality, LatencyAnalysis, LayerAnalysis, MetricAnalysis, QosStage, StageAnalysis,
    UserCounts,
};
use crate::analysis::infer::{concurrent, metric_arm};
use crate::analysis::levels::Levelled;
use crate::base::time::Micros;
use crate::input::{DEFAULT_TENANT, SourceFile};
use crate::metric::Metric;
use crate::qos::{QosArm, RATE_METRICS, estimate_arm, judge_guardrails};
use crate::replay::{Arm, RowCounts, Stage, stages_of};
use crate::scenario::Scenario;
use crate::stats::{Clusters, Reason, effect};

/// The counters of each of [`RATE_METRICS`]: numerator and denominator. Durations are milliseconds.
pub const RATE_COUNTERS: [[&str; 2]; 6] = [
    ["agent_chat_bad_count", "agent_chat_total"],
    ["agent_chat_success_count", "agent_chat_total"],
    ["agent_chat_duration_sum", "agent_chat_duration_count"],
    ["agent_tool_success_count", "agent_tool_total"],
    ["agent_task_completed_count", "agent_task_total"],
    ["agent_complaint_count", "agent_chat_total"],
];

/// The rate that is no share.
const LATENCY: &str = "latency_mean_ms";

/// All counters, each once.
pub fn counters() -> Vec<&'static str> {
    let mut names: Vec<&str> = RATE_COUNTERS.into_iter().flatten().collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Numerator and denominator of a rate, window by window; `None` where one of them is not known.
type Windows = Vec<Option<(f64, f64)>>;

/// Increases of counters, window by window.
#[derive(Debug, Clone, PartialEq)]
pub struct CounterWindows {
    /// First instant, microseconds.
    pub start: Micros,
    /// Length of a window, microseconds.
    pub window: Micros,
    /// By layer (as an index), release and counter: one increase a window, `None` where it is not known.
    pub series: BTreeMap<(usize, Arm, &'static str), Vec<Option<f64>>>,
    /// Where they come from, without credentials.
    pub source: SourceFile,
    /// What of them was left out, and what the server warned of.
    pub warnings: Vec<String>,
}

impl CounterWindows {
    /// Numerator and denominator of a rate, in the windows of a stage. Neither where one of them is not known.
    fn rate(&self, layer: usize, arm: Arm, rate: usize, stage: &Stage) -> Windows {
        let of = |counter: &'static str| {
            self.series
                .get(&(layer, arm, counter))
                .map(Vec::as_slice)
                .unwrap_or_default()
        };
        let [numerator, denominator] = RATE_COUNTERS[rate].map(of);
        let is_of_stage = |idx: &usize| {
            let start = self.start + *idx as Micros * self.window;
            start >= stage.start && start + self.window <= stage.end
        };
        let pair = |idx: usize| {
            let (numerator, denominator) = (numerator.get(idx).copied()??, denominator.get(idx).copied()??);
            let is_known =
                numerator.is_finite() && denominator.is_finite() && numerator >= 0.0 && denominator > 0.0;
            // A share above 1 is a counter of something else; a little above it is what extrapolation to a window's ends does.
            let is_share = RATE_METRICS[rate] != LATENCY;
            let fits = !is_share || numerator <= 1.01 * denominator;
            (is_known && fits).then_some((
                if is_share {
                    numerator.min(denominator)
                } else {
                    numerator
                },
                denominator,
            ))
        };
        (0..numerator.len().max(denominator.len()))
            .filter(is_of_stage)
            .map(pair)
            .collect()
    }
}

/// Analyses counters under a scenario's plan, metrics, guardrails and policy.
pub fn analyze_counters(windows: &CounterWindows, scenario: &Scenario) -> Analysis {
    let plan = &scenario.plan;
    let layers: Vec<LayerAnalysis> = plan
        .layers
        .iter()
        .enumerate()
        .map(|(idx, layer)| LayerAnalysis {
            tenant: DEFAULT_TENANT.into(),
            layer: layer.id.clone(),
            n_users: 0,
            n_eligible: 0,
            n_exposed: 0,
            stages: stages_of(plan, DEFAULT_TENANT, idx, scenario.as_of)
                .iter()
                .map(|stage| analyze_stage(windows, scenario, idx, stage))
                .collect(),
            srm: None,
            srm_first: None,
            combined: vec![],
            series: vec![],
        })
        .collect();
    let rows = |of: fn(&ArmRows) -> u64| {
        layers
            .iter()
            .flat_map(|layer| &layer.stages)
            .map(|stage| of(&stage.rows))
            .sum()
    };
    let (n_baseline, n_candidate) = (rows(|rows| rows.baseline), rows(|rows| rows.candidate));
    Analysis {
        schema: "sluice.analysis/1".into(),
        scenario_digest: scenario.digest.clone(),
        plan_id: plan.id.clone(),
        baseline: plan.baseline.clone(),
        candidate: plan.candidate.clone(),
        start: plan.start,
        as_of: scenario.as_of,
        policy: plan.policy.clone(),
        metrics: scenario.metrics.clone(),
        values: vec![],
        data: DataQuality {
            rows: RowCounts {
                n_rows: n_baseline + n_candidate,
                n_baseline,
                n_candidate,
                ..RowCounts::default()
            },
            sources: vec![windows.source.clone()],
            layers_digest: String::new(),
        },
        layers,
    }
}

fn analyze_stage(
    windows: &CounterWindows,
    scenario: &Scenario,
    layer: usize,
    stage: &Stage,
) -> StageAnalysis {
    let plan = &scenario.plan;
    let levelled = Levelled(scenario);
    let rates: Vec<[Windows; 2]> = (0..RATE_METRICS.len())
        .map(|rate| [Arm::Baseline, Arm::Candidate].map(|arm| windows.rate(layer, arm, rate, stage)))
        .collect();
    let known = RATE_METRICS
        .iter()
        .zip(&rates)
        .filter_map(|(id, arms)| Some((scenario.metric(id)?, arms)));
    let metrics: Vec<MetricAnalysis> = known
        .map(|(metric, arms)| analyze_metric(&levelled, metric, arms, stage))
        .collect();
    let latency = || LatencyAnalysis {
        baseline: Err(Reason::NoColumn).into(),
        candidate: Err(Reason::NoColumn).into(),
        effect: Err(Reason::NoColumn).into(),
    };
    let inputs: Vec<_> = plan
        .guardrails
        .iter()
        .map(|guardrail| levelled.guardrail_input(guardrail, &metrics, &latency()))
        .collect();
    let [baseline, candidate] = [0, 1].map(|arm| qos_of(scenario, &rates, arm));
    // Turns: what availability is a share of.
    let turns = |arm: usize| {
        rates[1][arm]
            .iter()
            .flatten()
            .map(|(_, n)| n)
            .sum::<f64>()
            .round() as u64
    };
    StageAnalysis {
        start: stage.start,
        end: stage.end,
        ratio: stage.ratio,
        users: UserCounts::default(),
        rows: ArmRows {
            baseline: turns(0),
            candidate: turns(1),
        },
        srm: None,
        qos: QosStage {
            effect: levelled.qos_effect(baseline, candidate, stage.ratio).into(),
            baseline: baseline.into(),
            candidate: candidate.into(),
        },
        guardrails: judge_guardrails(&plan.guardrails, &inputs, &plan.policy),
        metrics,
        latency_p50_ms: latency(),
        latency_p95_ms: latency(),
        latency_p99_ms: latency(),
        breakdowns: vec![],
    }
}

fn analyze_metric(
    levelled: &Levelled<'_>,
    metric: &Metric,
    arms: &[Windows; 2],
    stage: &Stage,
) -> MetricAnalysis {
    let [control, treatment] = [0, 1].map(|arm| {
        let known: Vec<(f64, f64)> = arms[arm].iter().flatten().copied().collect();
        if known.is_empty() {
            Err(Reason::NoData)
        } else {
            Ok(known)
        }
    });
    let arm = [metric_arm(&control), metric_arm(&treatment)];
    // Both releases live through the same windows, which makes their difference steadier than this variance says.
    let effect = concurrent(stage.ratio).and_then(|()| {
        effect::between_clusters(
            &control?,
            &treatment?,
            metric.proportion,
            levelled.levels(metric, arm[0].estimate),
        )
    });
    let [baseline, candidate] = arm;
    MetricAnalysis {
        metric: metric.id.clone(),
        baseline,
        candidate,
        effect: effect.into(),
        p_value_adj: None,
        mature_share: None,
    }
}

fn qos_of(scenario: &Scenario, rates: &[[Windows; 2]], arm: usize) -> Result<QosArm, Reason> {
    let n_windows = rates.iter().map(|rate| rate[arm].len()).max().unwrap_or(0);
    let sums = (0..n_windows).flat_map(|window| {
        rates.iter().flat_map(move |rate| {
            rate[arm]
                .get(window)
                .copied()
                .flatten()
                .map_or([0.0, 0.0], |(numerator, denominator)| [numerator, denominator])
        })
    });
    let clusters = Clusters::from_sums(2 * RATE_METRICS.len(), sums.collect());
    estimate_arm(
        &clusters,
        &scenario.qos,
        scenario.plan.policy.alpha,
        scenario.plan.policy.qos_mde,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_counter_does_not_tell_is_absent() {
        let mut windows = CounterWindows {
            start: 0,
            window: 10,
            series: BTreeMap::new(),
            source: SourceFile {
                name: "prometheus".into(),
                digest: String::new(),
            },
            warnings: vec![],
        };
        let stage = Stage {
            start: 10,
            end: 40,
            ratio: crate::bucket::Ratio::FULL,
        };
        windows.series.insert(
            (0, Arm::Candidate, "agent_chat_total"),
            vec![Some(9.0), Some(10.0), None, Some(0.0), Some(5.0)],
        );
        assert!(
            windows
                .rate(0, Arm::Candidate, 1, &stage)
                .iter()
                .all(Option::is_none),
            "one of two counters is missing"
        );
        windows.series.insert(
            (0, Arm::Candidate, "agent_chat_success_count"),
            vec![Some(1.0), Some(8.0), Some(7.0), Some(f64::NAN), Some(1.0)],
        );
        // Of the windows 1, 2 and 3: known, unknown, and without a turn.
        assert_eq!(
            windows.rate(0, Arm::Candidate, 1, &stage),
            [Some((8.0, 10.0)), None, None]
        );
        assert!(windows.rate(0, Arm::Baseline, 1, &stage).is_empty());
        assert_eq!(counters().len(), 10);
    }
}
