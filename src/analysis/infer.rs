//! The inference: computes the analysis of a cube. It reads no file or clock.

use rayon::prelude::*;
use std::collections::BTreeMap;

use crate::analysis::document::{
    Analysis, ArmRows, BreakdownAnalysis, CombinedMetric, DataQuality, LatencyAnalysis, LayerAnalysis,
    MetricAnalysis, MetricArm, MetricLimits, QosStage, RatioValue, ScoreProcess, SeriesPoint, StageAnalysis,
    UserCounts,
};
use crate::analysis::interval_specs::{IntervalSpecs, concurrent};
use crate::analysis::span::LayerSpan;
use crate::analysis::sums::{BreakdownValue, CubeSums, GroupSums, SumLayout};
use crate::base::error::{Error, Result};
use crate::base::json::Document;
use crate::bucket::Ratio;
use crate::metric::{Limits, Metric, RATE_METRICS};
use crate::qos::{GuardrailInput, QosArm, estimate_arm, judge_guardrails};
use crate::replay::{Cube, CubeLayer, LayerKey, StageKey};
use crate::scenario::{
    Arm, BreakdownBy, GateDesign, LATENCY_P95, Layer, PerArm, Plan, Scenario, Sequential, Stage, StageIndex,
};
use crate::stats::effect::{Effect, IntervalSpec};
use crate::stats::multiplicity::benjamini_hochberg;
use crate::stats::quantile::Quantile;
use crate::stats::ratio::WholeSums;
use crate::stats::stages::{Combined, StageEffect, combine};
use crate::stats::{Interval, Reason, effect, srm};

/// The largest number of points of a QoS series.
const MAX_POINTS: u32 = 24;
/// Microseconds per millisecond. The latency histogram counts microseconds.
const MICROS_A_MS: f64 = 1e3;

/// Optional results of an analysis.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnalysisOptions {
    /// Layer ids, with the ratios at which the layer's value is estimated.
    pub ratios: Vec<(String, Ratio)>,
}

/// Analyzes a cube under a scenario's metrics, guardrails and policy.
///
/// # Errors
/// When the cube does not belong to the scenario's plan, or `asked` names a layer that the plan
/// does not have.
pub fn analyze(cube: &Cube, scenario: &Scenario, asked: &AnalysisOptions) -> Result<Analysis> {
    check_plan(cube, scenario)?;
    if let Some((layer, _)) = asked
        .ratios
        .iter()
        .find(|(layer, _)| !cube.layer_ids.contains(layer))
    {
        return Err(Error::usage(format!(
            "expected one of the layers {}, found \"{layer}\"",
            cube.layer_ids.join(", ")
        )));
    }
    let n_windows = u32::try_from((cube.as_of - cube.start) / cube.window)
        .unwrap_or(u32::MAX)
        .max(1);
    let windows_a_bin = n_windows.div_ceil(MAX_POINTS);
    // Layer by layer, so that only the sums of a few layers are in memory.
    let layout = SumLayout::new(cube, &scenario.metrics, windows_a_bin);
    let designs = gate_designs(&scenario.plan);
    let infer = |layer: &CubeLayer| {
        let inference = Inference {
            cube,
            scenario,
            sums: CubeSums::new(cube, &layout, LayerSpan::one(layer.key())),
            windows_a_bin,
        };
        let design = designs.get(usize::from(layer.layer)).and_then(Option::as_ref);
        (inference.layer(layer, design), inference.values(layer, asked))
    };
    let (layers, values): (Vec<LayerAnalysis>, Vec<_>) = cube.layers.par_iter().map(infer).unzip();
    // Values are in the order in which they were asked for, then in the order of layers.
    let mut values: Vec<(usize, RatioValue)> = values.into_iter().flatten().collect();
    values.sort_by_key(|(asked_idx, _)| *asked_idx);
    Ok(Analysis {
        schema: Analysis::SCHEMA.into(),
        scenario_digest: scenario.digest.clone(),
        plan_id: cube.plan_id.clone(),
        baseline: cube.baseline.clone(),
        candidate: cube.candidate.clone(),
        start: cube.start,
        as_of: cube.as_of,
        policy: scenario.plan.policy.clone(),
        metrics: scenario.metrics.clone(),
        layers,
        values: values.into_iter().map(|(_, value)| value).collect(),
        data: DataQuality {
            rows: cube.counts.clone(),
            unknown: cube.unknown.clone(),
            missing_columns: cube.missing_columns(),
            sources: cube.sources.iter().map(|source| source.file.clone()).collect(),
            layers_digest: cube.layers_digest.clone(),
        },
    })
}

/// The designs of the gates of each layer. Empty unless the policy is group-sequential. `None` for a
/// layer whose gates cannot be designed.
pub(crate) fn gate_designs(plan: &Plan) -> Vec<Option<GateDesign>> {
    if plan.policy.sequential != Sequential::GroupSequential {
        return Vec::new();
    }
    let design = |layer: &Layer| GateDesign::new(plan, layer).ok();
    plan.layers.iter().map(design).collect()
}

/// Refuses a cube of another plan, which would have other releases, stages or layers.
pub(crate) fn check_plan(cube: &Cube, scenario: &Scenario) -> Result<()> {
    let plan = &scenario.plan;
    let differs = |what: &str| {
        Err(Error::input(
            "cube",
            format!(
                "expected a cube of plan {} with its {what}, found another",
                plan.id
            ),
        )
        .hint("create the cube again with `sluice replay`"))
    };
    if cube.plan_id != plan.id {
        return differs("id");
    }
    if (&cube.baseline, &cube.candidate) != (&plan.baseline, &plan.candidate) {
        return differs("releases");
    }
    if !cube
        .layer_ids
        .iter()
        .eq(plan.layers.iter().map(|layer| &layer.id))
    {
        return differs("layers");
    }
    if (cube.start, cube.window, cube.as_of) != (plan.start, plan.window, scenario.as_of) {
        return differs("start, window and as_of");
    }
    let index = StageIndex::new(plan);
    let same_stages = |layer: &CubeLayer| {
        let tenant = &cube.tenants[layer.tenant as usize];
        layer.stages == index.stages(tenant, usize::from(layer.layer), cube.as_of)
    };
    if !cube.layers.iter().all(same_stages) {
        return Err(Error::input(
            "cube",
            format!(
                "expected a cube of plan {} with its operations, found another",
                plan.id
            ),
        )
        .hint("give --state the same file as `sluice replay` had, or replay the log again"));
    }
    if !cube
        .breakdowns
        .iter()
        .map(|breakdown| &breakdown.by)
        .eq(&scenario.breakdowns)
    {
        return differs("breakdowns and clusters");
    }
    Ok(())
}

/// The inputs of inference.
pub(super) struct Inference<'a> {
    pub(super) cube: &'a Cube,
    pub(super) scenario: &'a Scenario,
    pub(super) sums: CubeSums,
    pub(super) windows_a_bin: u32,
}

impl Inference<'_> {
    pub(super) fn levelled(&self) -> IntervalSpecs<'_> {
        IntervalSpecs::new(self.scenario)
    }

    fn alpha(&self) -> f64 {
        self.levelled().alpha()
    }

    /// The level at which a guardrail's harm is certain in a layer.
    pub(super) fn violation_alpha(&self, layer_idx: u8) -> f64 {
        let plan = &self.scenario.plan;
        plan.violation_alpha(&plan.layers[usize::from(layer_idx)])
    }

    fn layer(&self, cube_layer: &CubeLayer, design: Option<&GateDesign>) -> LayerAnalysis {
        let mut stages: Vec<StageAnalysis> = cube_layer
            .stages
            .iter()
            .enumerate()
            .map(|(idx, stage)| self.stage(cube_layer.stage_key(idx), stage))
            .collect();
        if let (Some(design), Some(current)) = (design, stages.last_mut()) {
            let gates = self.gates(cube_layer, design);
            for (finding, gate) in current.guardrails.iter_mut().zip(gates) {
                finding.judged.gate = gate;
            }
        }
        let own_past = self.own_past(cube_layer, &stages);
        if let Some(current) = stages.last_mut() {
            current.own_past = own_past;
            self.judge_slices(cube_layer.layer, current);
        }
        LayerAnalysis {
            tenant: self.cube.tenants[cube_layer.tenant as usize].clone(),
            layer: self.cube.layer_ids[usize::from(cube_layer.layer)].clone(),
            n_users: cube_layer.n_users,
            n_eligible: cube_layer.n_eligible,
            n_exposed: cube_layer.n_exposed,
            srm: srm::sum_of_chi_squares(stages.iter().filter_map(|stage| stage.srm.as_ref())),
            srm_first: srm::first_exposures(
                &self.first_exposures(cube_layer),
                self.scenario.plan.policy.srm_min_deviation,
            ),
            combined: self.combined(cube_layer, &stages),
            series: self.series(cube_layer.key()),
            stages,
        }
    }

    /// The values of a layer at the ratios that were asked for, each with its index in the request.
    fn values(&self, layer: &CubeLayer, asked: &AnalysisOptions) -> Vec<(usize, RatioValue)> {
        let layer_id = &self.cube.layer_ids[usize::from(layer.layer)];
        let of_layer = asked
            .ratios
            .iter()
            .enumerate()
            .filter(|(_, (id, _))| id == layer_id);
        of_layer
            .map(|(idx, (_, ratio))| (idx, self.ratio_value(layer, *ratio)))
            .collect()
    }

    /// The users of each stage who were seen in no earlier stage, by arm, with the candidate's
    /// share.
    fn first_exposures(&self, layer: &CubeLayer) -> Vec<([f64; 2], f64)> {
        let of_stage = |(idx, stage): (usize, &Stage)| {
            let new = self.sums.new_users(layer.stage_key(idx));
            ([new.baseline as f64, new.candidate as f64], stage.ratio.share())
        };
        layer.stages.iter().enumerate().map(of_stage).collect()
    }

    fn stage(&self, key: StageKey, stage: &Stage) -> StageAnalysis {
        let [baseline, candidate] = Arm::ALL.map(|arm| self.sums.stage(key, arm));
        let users = self.users(key, stage.ratio);
        let share = stage.ratio.share();
        let n_rows = self.sums.stage_rows(key, Arm::Baseline) + self.sums.stage_rows(key, Arm::Candidate);
        let known = self
            .scenario
            .metrics
            .iter()
            .filter(|metric| self.cube.metric_columns(metric).is_ok());
        let analyzed = known.map(|metric| MetricAnalysis {
            mature_share: (metric.delay > 0 && n_rows > 0)
                .then(|| self.sums.mature_rows(key, metric.delay) as f64 / n_rows as f64),
            ..self.metric(metric, baseline, candidate, Some(&users), stage.ratio)
        });
        let mut metrics: Vec<MetricAnalysis> = analyzed.collect();
        self.correct_signals(&mut metrics);
        let breakdowns = self.breakdowns(key, stage.ratio);
        let [latency_p50_ms, latency_p95_ms, latency_p99_ms] =
            [0.5, 0.95, 0.99].map(|q| self.latency(key, stage.ratio, q));
        let inputs: Vec<GuardrailInput> = self
            .scenario
            .plan
            .guardrails
            .iter()
            .map(|guardrail| {
                self.levelled()
                    .guardrail_input(guardrail, &metrics, &latency_p95_ms)
            })
            .collect();
        StageAnalysis {
            start: stage.start,
            end: stage.end,
            ratio: stage.ratio,
            users,
            rows: ArmRows {
                baseline: self.sums.stage_rows(key, Arm::Baseline),
                candidate: self.sums.stage_rows(key, Arm::Candidate),
            },
            srm: srm::chi_square(
                &[users.baseline as f64, users.candidate as f64],
                &[1.0 - share, share],
            ),
            qos: self.qos_stage(baseline, candidate, stage.ratio),
            guardrails: judge_guardrails(
                &self.scenario.plan.guardrails,
                &inputs,
                self.violation_alpha(key.layer),
            ),
            metrics,
            latency_p50_ms,
            latency_p95_ms,
            latency_p99_ms,
            own_past: Vec::new(),
            breakdowns,
        }
    }

    fn breakdowns(&self, stage: StageKey, ratio: Ratio) -> Vec<BreakdownAnalysis> {
        let known: Vec<&Metric> = self
            .scenario
            .metrics
            .iter()
            .filter(|metric| self.cube.metric_columns(metric).is_ok())
            .collect();
        let of_value = |found: BreakdownValue<'_>| {
            let breakdown = &self.cube.breakdowns[found.breakdown_idx];
            let PerArm { baseline, candidate } = found.sums;
            let mut metrics: Vec<MetricAnalysis> = known
                .iter()
                .map(|metric| self.metric(metric, &baseline.sums, &candidate.sums, None, ratio))
                .collect();
            self.correct_signals(&mut metrics);
            BreakdownAnalysis {
                column: match &breakdown.by {
                    BreakdownBy::Column(column) => column.clone(),
                    BreakdownBy::User => String::new(),
                },
                value: breakdown.values[found.value as usize].clone(),
                rows: ArmRows {
                    baseline: baseline.n_rows,
                    candidate: candidate.n_rows,
                },
                qos: self.qos_stage(&baseline.sums, &candidate.sums, ratio),
                metrics,
                guardrails: Vec::new(),
            }
        };
        self.sums.breakdowns(stage).map(of_value).collect()
    }

    /// The distinct users of a stage, with the users who leaked into an arm without a planned
    /// share.
    fn users(&self, stage: StageKey, ratio: Ratio) -> UserCounts {
        let mut users = self.sums.users(stage);
        users.leaked = match ratio {
            Ratio::ZERO => users.candidate + users.crossover,
            Ratio::FULL => users.baseline + users.crossover,
            _ => 0,
        };
        users
    }

    /// The analysis of a metric. `users` counts the distinct users of both arms, where the cube has
    /// them for these sums.
    pub(super) fn metric(
        &self,
        metric: &Metric,
        baseline: &GroupSums,
        candidate: &GroupSums,
        users: Option<&UserCounts>,
        ratio: Ratio,
    ) -> MetricAnalysis {
        let sums = [baseline, candidate];
        let [control, treatment] = sums.map(|sums| sums.metric(self.cube, metric));
        let [baseline_share, candidate_share] = sums.map(|sums| sums.limited_share(self.cube, metric));
        let n_users = users.map(|users| [users.baseline, users.candidate]);
        let arm = |sums: &Result<WholeSums, Reason>, arm: usize| {
            let robust = sums
                .as_ref()
                .map_err(|reason| *reason)
                .and_then(WholeSums::estimate);
            MetricArm::new(
                sums.as_ref().ok().and_then(WholeSums::point),
                robust.map(|found| found.with_users(n_users.map(|n| n[arm]))),
            )
        };
        let (baseline, candidate) = (arm(&control, 0), arm(&treatment, 1));
        MetricAnalysis {
            metric: metric.id.clone(),
            effect: self
                .levelled()
                .metric_effect(metric, &baseline, &candidate, ratio)
                .into(),
            baseline,
            candidate,
            p_value_adj: None,
            mature_share: None,
            limits: self.limits(metric).map(|limits| MetricLimits {
                baseline_share,
                candidate_share,
                ..limits
            }),
        }
    }

    /// The limits of a metric's values, without the shares. `None` if it has none.
    fn limits(&self, metric: &Metric) -> Option<MetricLimits> {
        let reading = metric.limited_reading()?;
        let limits = MetricLimits {
            floor: None,
            cap: None,
            winsorize: None,
            n_values: None,
            is_final: true,
            baseline_share: None,
            candidate_share: None,
        };
        Some(match reading.limits? {
            Limits::Values { floor, cap } => MetricLimits { floor, cap, ..limits },
            Limits::Quantile(quantile) => {
                let text = reading.to_string();
                let found = self.cube.limits.iter().find(|found| found.reading == text)?;
                MetricLimits {
                    floor: found.floor,
                    cap: found.cap,
                    winsorize: Some(quantile),
                    n_values: Some(found.n_values),
                    is_final: found.is_final,
                    ..limits
                }
            }
        })
    }

    /// Corrects the p-values of metrics without a guardrail. They are exploratory, so their false
    /// discovery rate is controlled together.
    fn correct_signals(&self, metrics: &mut [MetricAnalysis]) {
        let is_guarded = |id: &str| {
            self.scenario
                .plan
                .guardrails
                .iter()
                .any(|guardrail| guardrail.metric == id)
        };
        let mut signals: Vec<(&mut MetricAnalysis, f64)> = metrics
            .iter_mut()
            .filter(|metric| !is_guarded(&metric.metric))
            .filter_map(|metric| {
                metric
                    .effect
                    .value()
                    .map(|effect| effect.p_value)
                    .map(|p| (metric, p))
            })
            .collect();
        let p_values: Vec<f64> = signals.iter().map(|(_, p)| *p).collect();
        for ((metric, _), adjusted) in signals.iter_mut().zip(benjamini_hochberg(&p_values)) {
            metric.p_value_adj = Some(adjusted);
        }
    }

    fn latency(&self, stage: StageKey, ratio: Ratio, q: f64) -> LatencyAnalysis {
        let [control, treatment] =
            Arm::ALL.map(|arm| Quantile::new(&self.sums.latencies(stage, arm), q, MICROS_A_MS));
        let summary = |arm: &Result<Quantile, Reason>| {
            let found = arm.as_ref().map_err(|reason| *reason);
            found.and_then(|found| found.summary(self.alpha()))
        };
        let (baseline, candidate) = (summary(&control), summary(&treatment));
        let guardrail = self
            .scenario
            .plan
            .guardrails
            .iter()
            .find(|guardrail| guardrail.metric == LATENCY_P95);
        let effect = concurrent(ratio).and_then(|()| {
            let (control, treatment) = (control?, treatment?);
            let levels = self
                .levelled()
                .levels_for(guardrail, control.estimate(), control.estimate());
            effect::quantile_difference(&control, &treatment, levels)
        });
        LatencyAnalysis {
            baseline: baseline.into(),
            candidate: candidate.into(),
            effect: effect.into(),
        }
    }

    pub(super) fn qos_arm(&self, sums: &GroupSums) -> Result<QosArm, Reason> {
        let metrics: Vec<&Metric> = RATE_METRICS
            .iter()
            .map(|id| self.scenario.metric(id).ok_or(Reason::NoColumn))
            .collect::<Result<_, _>>()?;
        let clusters = sums.metrics(self.cube, &metrics)?;
        estimate_arm(
            &clusters,
            &self.scenario.qos,
            self.alpha(),
            self.scenario.plan.policy.qos_mde,
        )
    }

    fn qos_stage(&self, baseline: &GroupSums, candidate: &GroupSums, ratio: Ratio) -> QosStage {
        let (baseline, candidate) = (self.qos_arm(baseline), self.qos_arm(candidate));
        let effect = self.levelled().qos_effect(baseline, candidate, ratio);
        QosStage {
            baseline: baseline.into(),
            candidate: candidate.into(),
            effect: effect.into(),
        }
    }

    fn combined(&self, layer: &CubeLayer, stages: &[StageAnalysis]) -> Vec<CombinedMetric> {
        let combine_metric = |metric: &Metric| {
            let effects: Vec<StageEffect> = stages
                .iter()
                .enumerate()
                .filter_map(|(idx, stage)| {
                    stage_effect(
                        stage,
                        &metric.id,
                        self.influences(layer.stage_key(idx), metric).ok()?,
                    )
                })
                .collect();
            let last = stages.iter().rev().find_map(|stage| {
                let found = stage.metrics.iter().find(|m| m.metric == metric.id)?;
                found.baseline.estimate.is_some().then_some(found)
            });
            let combinations = combine(&effects, self.alpha())?;
            let score = combinations.precision_weighted.map(|mean| {
                let levels = self
                    .levelled()
                    .levels(metric, last.map(|found| [&found.baseline, &found.candidate]));
                score_process(mean, levels)
            });
            Some(CombinedMetric {
                metric: metric.id.clone(),
                combinations,
                score,
            })
        };
        self.scenario.metrics.iter().filter_map(combine_metric).collect()
    }

    /// The influence of each cluster on a metric's effect in a stage: that on the candidate less
    /// that on the baseline.
    fn influences(&self, stage: StageKey, metric: &Metric) -> Result<Vec<(u32, f64)>, Reason> {
        self.influences_of(Arm::ALL.map(|arm| self.sums.stage(stage, arm)), metric)
    }

    /// As [`Self::influences`], from the sums of the baseline and the candidate.
    pub(super) fn influences_of(
        &self,
        arms: [&GroupSums; 2],
        metric: &Metric,
    ) -> Result<Vec<(u32, f64)>, Reason> {
        let mut summed: BTreeMap<u32, f64> = BTreeMap::new();
        for (sums, sign) in arms.into_iter().zip([-1.0, 1.0]) {
            let numbers = sums.numbers();
            for (row, influence) in sums.metric(self.cube, metric)?.influences() {
                *summed.entry(numbers[row]).or_default() += sign * influence;
            }
        }
        Ok(summed.into_iter().collect())
    }

    fn series(&self, layer: LayerKey) -> Vec<SeriesPoint> {
        let length = self.cube.window * i64::from(self.windows_a_bin);
        self.sums
            .series(layer)
            .map(|point| {
                let start = self.cube.start + i64::from(point.bin) * length;
                SeriesPoint {
                    start,
                    end: (start + length).min(self.cube.as_of),
                    arm: point.arm,
                    n_rows: point.n_rows,
                    qos: self.qos_arm(point.sums).into(),
                }
            })
            .collect()
    }
}

/// The precision-weighted mean is `S / V`, and its variance is `1 / V`.
fn score_process(mean: Combined, levels: IntervalSpec) -> ScoreProcess {
    let v = mean.std_error.powi(2);
    let mixture = levels.mixture(v, mean.df);
    ScoreProcess {
        score: mean.effect_size / v,
        information: 1.0 / v,
        anytime: Interval::around(
            mean.effect_size,
            mixture.multiplier(levels.alpha) * mean.std_error,
        ),
        anytime_p_value: mixture.p_value(mean.effect_size / mean.std_error),
    }
}

/// The effect of a metric in a stage, for combination over stages; `None` without a variance or
/// without users in both arms.
fn stage_effect(stage: &StageAnalysis, metric: &str, influences: Vec<(u32, f64)>) -> Option<StageEffect> {
    let effect: &Effect = stage
        .metrics
        .iter()
        .find(|m| m.metric == metric)?
        .effect
        .value()?;
    let n_arms = [stage.users.baseline as f64, stage.users.candidate as f64];
    let variance = effect.std_error.powi(2);
    (variance > 0.0 && n_arms[0] > 0.0 && n_arms[1] > 0.0).then_some(StageEffect {
        effect_size: effect.effect_size,
        variance,
        n_users: n_arms[0] + n_arms[1],
        n_arms,
        influences,
    })
}
