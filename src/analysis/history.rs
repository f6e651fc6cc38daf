//! Reconstructs the data that were known at an earlier moment. Sums grow window by window, outcomes
//! count from their time of arrival, and another ratio changes which rows count.

use std::collections::BTreeMap;

use crate::analysis::document::{LatencyAnalysis, UserCounts};
use crate::analysis::infer::Inference;
use crate::analysis::interval_specs::concurrent;
use crate::analysis::span::LayerSpan;
use crate::analysis::sums::{CubeSums, GroupSums, SumLayout};
use crate::base::time::{DAY, Micros};
use crate::bucket::{Ratio, group_start};
use crate::metric::Better;
use crate::qos::{GuardrailInput, Judged, QosArm, judge_all};
use crate::replay::{CellKey, Cube, CubeLayer, LayerKey};
use crate::scenario::{Arm, Guardrail, LATENCY_P95, PerArm, Plan, Scenario};
use crate::stats::gates::StageHarm;
use crate::stats::{Known, Reason};

/// The evidence for results under another ratio, from strongest to weakest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The requested ratio was in force, so its results were observed.
    Observed,
    /// The requested ratio is lower than the logged one, so its users had the candidate. This is
    /// also the basis where both releases answered the same requests.
    Paired,
    /// The requested ratio is higher than the logged one. The users who had the candidate represent
    /// the users who did not.
    OffPolicy,
}

/// The cells of a layer in one window: indices into the cube's cells and pairs.
#[derive(Debug, Clone, Default)]
struct WindowCells {
    logged: Vec<usize>,
    paired: Vec<usize>,
}

/// The cells of a cube in the order of time, for evidence as of an earlier moment.
pub(crate) struct History<'a> {
    inference: Inference<'a>,
    cells: BTreeMap<LayerKey, Vec<WindowCells>>,
    /// The distinct delays of metrics, in windows, starting with 0. Each has a flag for every view
    /// with this delay.
    delays: Vec<(u32, Vec<bool>)>,
    width: usize,
    pub(crate) n_windows: u32,
}

/// The requested ratio, and the ratio that was in force in a window.
#[derive(Clone, Copy)]
struct Ratios {
    asked: Ratio,
    logged: Ratio,
}

/// The sums of both arms since the start of the current ratio.
pub(crate) struct AccumulationWindow {
    /// The first window with the current ratio.
    pub(crate) since: u32,
    sums: PerArm<GroupSums>,
    /// The number of requests in bucket groups below the ratio.
    pub(crate) requests: u64,
    /// The weakest evidence of any window so far; `None` before the first window.
    pub(crate) basis: Option<Basis>,
    /// Whether the requested ratio was above 0 in a window in which the log has neither a candidate
    /// nor pairs.
    pub(crate) is_refused: bool,
    /// The results of these sums; `None` if cells were added since.
    results: Option<Results>,
}

/// The candidate's QoS and the judgments of the guardrails, which depend on sums and ratio only.
#[derive(Clone)]
struct Results {
    ratio: Ratio,
    qos: Result<QosArm, Reason>,
    guardrails: Vec<Judged>,
}

impl<'a> History<'a> {
    /// Collects the cells of some adjacent layers of a cube.
    pub(crate) fn new(cube: &'a Cube, scenario: &'a Scenario, layers: &[CubeLayer]) -> Self {
        let n_windows = ((cube.as_of - cube.start) / cube.window).clamp(0, i64::from(u32::MAX)) as u32;
        let span = LayerSpan::of(layers);
        let inference = Inference::new(cube, scenario, span);
        let mut cells: BTreeMap<LayerKey, Vec<WindowCells>> = BTreeMap::new();
        let rows = span.rows(&cube.cells.keys, CellKey::layer_key);
        for (idx, key) in rows
            .map(|idx| (idx, &cube.cells.keys[idx]))
            .filter(|(_, key)| key.window < n_windows)
        {
            let windows = cells
                .entry(key.layer_key())
                .or_insert_with(|| vec![WindowCells::default(); n_windows as usize]);
            windows[key.window as usize].logged.push(idx);
        }
        let rows = span.rows(&cube.pairs.keys, CellKey::layer_key);
        for (idx, key) in rows
            .map(|idx| (idx, &cube.pairs.keys[idx]))
            .filter(|(_, key)| key.window < n_windows && key.arm == Arm::Candidate)
        {
            let windows = cells
                .entry(key.layer_key())
                .or_insert_with(|| vec![WindowCells::default(); n_windows as usize]);
            windows[key.window as usize].paired.push(idx);
        }
        let mut delays: Vec<Micros> = inference.sums.delays();
        delays.push(0);
        delays.sort_unstable();
        delays.dedup();
        let in_windows = |delay: &Micros| ((delay + cube.window - 1) / cube.window) as u32;
        let delays = delays
            .iter()
            .map(|delay| (in_windows(delay), inference.sums.has_delay(*delay)))
            .collect();
        Self {
            inference,
            cells,
            delays,
            width: cube.measures.len(),
            n_windows,
        }
    }

    pub(crate) fn empty_window(&self, since: u32) -> AccumulationWindow {
        AccumulationWindow {
            since,
            sums: PerArm::from_fn(|_| self.inference.sums.empty_groups()),
            requests: 0,
            basis: None,
            is_refused: false,
            results: None,
        }
    }

    /// Adds the outcomes that became known in the window before `now`. `logged` returns the ratio
    /// that was in force in a window.
    pub(crate) fn advance(
        &self,
        layer: &CubeLayer,
        accumulated: &mut AccumulationWindow,
        now: u32,
        ratio: Ratio,
        logged: &dyn Fn(u32) -> Ratio,
    ) {
        let Some(windows) = self.cells.get(&layer.key()) else {
            return;
        };
        for (delay, views) in &self.delays {
            let Some(window) = now
                .checked_sub(delay + 1)
                .filter(|window| *window >= accumulated.since && *window < self.n_windows)
            else {
                continue;
            };
            let cells = &windows[window as usize];
            self.add(
                cells,
                accumulated,
                views,
                Ratios {
                    asked: ratio,
                    logged: logged(window),
                },
                *delay == 0,
            );
        }
    }

    /// Adds the cells of one window. `is_first` marks outcomes without a delay, which also count
    /// requests and determine the evidence.
    fn add(
        &self,
        cells: &WindowCells,
        accumulated: &mut AccumulationWindow,
        views: &[bool],
        ratios: Ratios,
        is_first: bool,
    ) {
        let cube = self.inference.cube;
        let (asked, in_force) = (ratios.asked.bps(), ratios.logged.bps());
        let ends = |group: u16| group_start(group + 1);
        let values =
            |of: &'a crate::replay::Cells, idx: usize| &of.values[idx * self.width..(idx + 1) * self.width];
        for idx in &cells.logged {
            accumulated.results = None;
            let (key, values) = (&cube.cells.keys[*idx], values(&cube.cells, *idx));
            let is_of = match key.arm {
                Arm::Candidate => ends(key.group) <= asked.min(in_force),
                Arm::Baseline => group_start(key.group) >= asked.max(in_force),
            };
            if is_of {
                accumulated.sums[key.arm].add(u32::from(key.group), values, views);
            }
            if is_first && ends(key.group) <= asked {
                accumulated.requests += values[0].unsigned_abs();
            }
        }
        let mut is_paired = false;
        for idx in &cells.paired {
            let (key, values) = (&cube.pairs.keys[*idx], values(&cube.pairs, *idx));
            is_paired = true;
            accumulated.results = None;
            if group_start(key.group) >= in_force && ends(key.group) <= asked {
                accumulated
                    .sums
                    .candidate
                    .add(u32::from(key.group), values, views);
            }
        }
        if is_first {
            let basis = match asked.cmp(&in_force) {
                std::cmp::Ordering::Equal => Basis::Observed,
                std::cmp::Ordering::Less => Basis::Paired,
                std::cmp::Ordering::Greater if is_paired => Basis::Paired,
                std::cmp::Ordering::Greater => Basis::OffPolicy,
            };
            accumulated.basis = Some(accumulated.basis.map_or(basis, |other| other.max(basis)));
            accumulated.is_refused |= basis == Basis::OffPolicy && in_force == 0;
        }
    }

    /// Computes the evidence that a decision at `now` would have used. The number of users is
    /// estimated, and the sample ratio is unknown because the cube keeps users only by whole stage.
    pub(crate) fn stage_then(
        &self,
        plan: &Plan,
        layer: &CubeLayer,
        accumulated: &mut AccumulationWindow,
        start: Micros,
        ratio: Ratio,
        now: Micros,
    ) -> StageThen {
        // Most short windows have no cells, so most results are those of the window before.
        let known = accumulated.results.take().filter(|known| known.ratio == ratio);
        let certain_at = plan.violation_alpha(&plan.layers[usize::from(layer.layer)]);
        let results = known.unwrap_or_else(|| self.results(plan, certain_at, &accumulated.sums, ratio));
        accumulated.results = Some(results.clone());
        let come = layer.n_eligible as f64
            * -(-activity(layer, &self.inference) * (now - start) as f64 / DAY as f64).exp_m1();
        let share = ratio.share();
        StageThen {
            start,
            ratio,
            users: UserCounts {
                baseline: (come * (1.0 - share)) as u64,
                candidate: (come * share) as u64,
                crossover: 0,
                leaked: 0,
            },
            qos: results.qos,
            guardrails: results.guardrails,
        }
    }

    /// The harm of a guardrail in the accumulated sums. `None` without an effect.
    pub(crate) fn harm(
        &self,
        guardrail: &Guardrail,
        accumulated: &AccumulationWindow,
        ratio: Ratio,
    ) -> Option<StageHarm> {
        let (inference, sums) = (&self.inference, &accumulated.sums);
        let metric = inference.scenario.metric(&guardrail.metric)?;
        let found = inference.metric(metric, &sums.baseline, &sums.candidate, None, ratio);
        let effect = found.effect.value()?;
        let is_lower = metric.better == Better::Lower;
        Some(StageHarm {
            harm: if is_lower {
                effect.effect_size
            } else {
                -effect.effect_size
            },
            variance: effect.std_error.powi(2),
            df: effect.df,
            control: effect.control,
        })
    }

    fn results(&self, plan: &Plan, certain_at: f64, sums: &PerArm<GroupSums>, ratio: Ratio) -> Results {
        let (inference, scenario) = (&self.inference, self.inference.scenario);
        let known = scenario
            .metrics
            .iter()
            .filter(|metric| inference.cube.metric_columns(metric).is_ok());
        let metrics: Vec<_> = known
            .map(|metric| inference.metric(metric, &sums.baseline, &sums.candidate, None, ratio))
            .collect();
        let unknown = || Known::Unknown {
            reason: concurrent(ratio).err().unwrap_or(Reason::NoData),
        };
        let latency = LatencyAnalysis {
            baseline: Known::Unknown {
                reason: Reason::NoData,
            },
            candidate: Known::Unknown {
                reason: Reason::NoData,
            },
            effect: unknown(),
        };
        let inputs: Vec<GuardrailInput> = plan
            .guardrails
            .iter()
            .map(|guardrail| {
                inference
                    .levelled()
                    .guardrail_input(guardrail, &metrics, &latency)
            })
            .collect();
        let mut guardrails = Vec::new();
        judge_all(&plan.guardrails, &inputs, certain_at, &mut guardrails);
        Results {
            ratio,
            qos: inference.qos_arm(&sums.candidate),
            guardrails,
        }
    }
}

/// A stage as it was known at an earlier instant. It has no sample ratio, because the cube keeps
/// users only by whole stage.
pub(crate) struct StageThen {
    /// The first instant of the stage, in microseconds UTC.
    pub(crate) start: Micros,
    /// The ratio in force: the share of eligible users who get the candidate.
    pub(crate) ratio: Ratio,
    /// The estimated number of distinct users.
    pub(crate) users: UserCounts,
    /// The candidate's QoS, or the reason why it is not known.
    pub(crate) qos: Result<QosArm, Reason>,
    /// The judgment of each of the plan's guardrails, in their order.
    pub(crate) guardrails: Vec<Judged>,
}

/// The daily rate at which a user becomes active, estimated from the longest stage.
fn activity(layer: &CubeLayer, inference: &Inference<'_>) -> f64 {
    let Some((idx, stage)) = layer
        .stages
        .iter()
        .enumerate()
        .max_by_key(|(_, stage)| stage.end - stage.start)
    else {
        return 0.0;
    };
    let users = inference.sums.users(layer.stage_key(idx));
    let share = (users.baseline + users.candidate + users.crossover) as f64 / layer.n_eligible.max(1) as f64;
    -(-share.clamp(0.0, 1.0 - 1e-6)).ln_1p() * DAY as f64 / (stage.end - stage.start).max(1) as f64
}

/// Whether the cube has the metric by window. Latency quantiles exist only for whole stages.
pub(crate) fn is_known_in_time(metric: &str) -> bool {
    metric != LATENCY_P95
}

impl<'a> Inference<'a> {
    fn new(cube: &'a Cube, scenario: &'a Scenario, span: LayerSpan) -> Self {
        let layout = SumLayout::new(cube, &scenario.metrics, u32::MAX);
        Self {
            cube,
            scenario,
            sums: CubeSums::new(cube, &layout, span),
            windows_a_bin: u32::MAX,
        }
    }
}
