//! Analyzes the counters of the reference policy (`docs/REFERENCE_POLICY.md`), for use without a
//! log: increases per window, release and layer.
//!
//! Counters do not identify users, so the result has no sample ratios and no bucket groups. Time
//! windows are the clusters of every variance. A missing counter gives a missing value, never 0. A
//! rate needs both of its counters, and QoS needs all of its rates.

use crate::analysis::document::{
    Analysis, ArmRows, DataQuality, LatencyAnalysis, LayerAnalysis, MetricAnalysis, MetricArm, QosStage,
    StageAnalysis, UserCounts,
};
use crate::analysis::interval_specs::IntervalSpecs;
use crate::base::json::Document;
use crate::input::DEFAULT_TENANT;
use crate::input::counters::{CounterWindows, Windows};
use crate::metric::{Metric, RATE_METRICS};
use crate::qos::{QosArm, estimate_arm, judge_guardrails};
use crate::replay::{RowCounts, UnknownIds};
use crate::scenario::{Arm, Scenario, Stage, stages_of};
use crate::stats::{Clusters, Reason, ratio};

/// Analyzes counters under a scenario's plan, metrics, guardrails and policy. Results that need
/// users or latencies are missing.
///
/// # References
/// `docs/METHODS.md#counters`.
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
            .fold(0, u64::saturating_add)
    };
    let (n_baseline, n_candidate) = (rows(|rows| rows.baseline), rows(|rows| rows.candidate));
    Analysis {
        schema: Analysis::SCHEMA.into(),
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
                n_rows: n_baseline.saturating_add(n_candidate),
                n_baseline,
                n_candidate,
                ..RowCounts::default()
            },
            unknown: UnknownIds::default(),
            missing_columns: Vec::new(),
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
    let levelled = IntervalSpecs::new(scenario);
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
    // The denominator of availability counts turns.
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
        guardrails: judge_guardrails(
            &plan.guardrails,
            &inputs,
            plan.violation_alpha(&plan.layers[layer]),
        ),
        metrics,
        latency_p50_ms: latency(),
        latency_p95_ms: latency(),
        latency_p99_ms: latency(),
        own_past: vec![],
        breakdowns: vec![],
    }
}

fn analyze_metric(
    levelled: &IntervalSpecs<'_>,
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
    let arm = |windows: Result<Vec<(f64, f64)>, Reason>| {
        let windows = windows.as_ref().map_err(|reason| *reason);
        MetricArm::new(
            windows
                .ok()
                .and_then(|windows| ratio::point(windows.iter().copied())),
            windows.and_then(|windows| ratio::clusters(windows)),
        )
    };
    let (baseline, candidate) = (arm(control), arm(treatment));
    MetricAnalysis {
        metric: metric.id.clone(),
        // Both releases have the same windows, so their difference varies less than this says.
        effect: levelled
            .metric_effect(metric, &baseline, &candidate, stage.ratio)
            .into(),
        baseline,
        candidate,
        p_value_adj: None,
        mature_share: None,
        limits: None,
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
    use crate::base::time::HOUR;
    use crate::input::SourceFile;
    use crate::input::counters::counters;
    use crate::scenario::Overrides;
    use std::collections::BTreeMap;
    use std::path::Path;

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
            note: None,
            warnings: vec![],
        };
        let stage = Stage {
            start: 10,
            end: 40,
            ratio: crate::bucket::Ratio::FULL,
            changing_since: None,
            mixed_since: None,
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
        // Windows 1, 2 and 3: a known value, a missing value, and no turn.
        assert_eq!(
            windows.rate(0, Arm::Candidate, 1, &stage),
            [Some((8.0, 10.0)), None, None]
        );
        assert!(windows.rate(0, Arm::Baseline, 1, &stage).is_empty());
        assert_eq!(counters().len(), 10);
    }

    #[test]
    fn counts_beyond_whole_numbers_are_the_largest_one() {
        const PLAN: &str = r#"
            as_of = "2026-05-26"
            [plan]
            id = "p"
            start = "2026-05-25"
            baseline = "old"
            candidate = "new"
            [input]
            users = { path = "users.csv", absent = ["last_use_time", "user_value", "accept_score"] }
            traffic = [{ path = "log.csv" }]
            [[layer]]
            id = "all"
            [[operation]]
            at = "2026-05-25"
            layer = "all"
            ratio = 0.5
        "#;
        let scenario = Scenario::parse(PLAN, "p", Path::new(""), &Overrides::default()).unwrap();
        let series = [Arm::Baseline, Arm::Candidate].into_iter().flat_map(|arm| {
            ["agent_chat_total", "agent_chat_success_count"]
                .map(|counter| ((0, arm, counter), vec![Some(1e308); 2]))
        });
        let windows = CounterWindows {
            start: scenario.plan.start,
            window: HOUR,
            series: series.collect(),
            source: SourceFile {
                name: "prometheus".into(),
                digest: String::new(),
            },
            note: None,
            warnings: vec![],
        };
        let rows = analyze_counters(&windows, &scenario).data.rows;
        assert_eq!([rows.n_rows, rows.n_baseline, rows.n_candidate], [u64::MAX; 3]);
    }
}
