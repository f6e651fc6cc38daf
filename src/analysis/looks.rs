//! The looks of group-sequential gates: the harm of each guardrail as it was known at each look
//! since the layer opened.

use std::collections::BTreeMap;

use crate::analysis::infer::Inference;
use crate::analysis::span::LayerSpan;
use crate::analysis::sums::GroupSums;
use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::metric::{Better, Metric};
use crate::replay::{CellKey, Cells, Cube, CubeLayer};
use crate::scenario::{BreakdownBy, GateDesign, Guardrail, PerArm, look_times, since_opening};
use crate::stats::gates::{Gate, GateLook, judge_gate};
use crate::stats::stages::{StageEffect, score};

impl Inference<'_> {
    /// Judges the gates of a layer that is open: one for each guardrail of the plan, in order. `None`
    /// for a guardrail without a gate and before the first look that counts.
    ///
    /// # References
    /// `docs/METHODS.md#gates-of-a-ramp`.
    pub(super) fn gates(&self, layer: &CubeLayer, design: &GateDesign) -> Vec<Option<Gate>> {
        let plan = &self.scenario.plan;
        let of_plan = &plan.layers[usize::from(layer.layer)];
        let mut known = KnownSums::new(self, layer);
        let mut looks: Vec<Vec<GateLook>> = vec![Vec::new(); plan.guardrails.len()];
        let mut controls: Vec<Option<f64>> = vec![None; plan.guardrails.len()];
        for stage in &layer.stages[since_opening(&layer.stages)] {
            if stage.ratio == Ratio::FULL {
                continue;
            }
            for at in look_times(stage, of_plan, plan.window) {
                known.advance(at);
                for (idx, guardrail) in plan.guardrails.iter().enumerate() {
                    let Some(metric) = self.gated_metric(guardrail) else {
                        continue;
                    };
                    if let Some((look, control)) = known.look(metric, at) {
                        looks[idx].push(look);
                        controls[idx] = Some(control);
                    }
                }
            }
        }
        let judge = |(idx, guardrail): (usize, &Guardrail)| {
            let mde = guardrail.detectable(controls[idx]?)?;
            judge_gate(&looks[idx], design.rule(mde), true).ok().flatten()
        };
        plan.guardrails.iter().enumerate().map(judge).collect()
    }

    /// The metric of a guardrail with a gate, if the log has its columns.
    fn gated_metric(&self, guardrail: &Guardrail) -> Option<&Metric> {
        let metric = self.scenario.metric(&guardrail.metric)?;
        (guardrail.has_gate() && self.cube.metric_columns(metric).is_ok()).then_some(metric)
    }
}

/// The sums of the stages since the layer opened, as they were known at a moment: a window's
/// outcomes count once they have arrived.
struct KnownSums<'a> {
    inference: &'a Inference<'a>,
    layer: &'a CubeLayer,
    cells: &'a Cells,
    /// The user of each cell. `None` if bucket groups are the clusters.
    users: Option<&'a [u32]>,
    /// The cells of the stages with two arms, in the order of their windows.
    order: Vec<usize>,
    /// The delays of outcomes, each with a flag for every view, and the number of cells whose
    /// outcomes have arrived.
    delays: Vec<(Micros, Vec<bool>, usize)>,
    sums: BTreeMap<u8, PerArm<GroupSums>>,
}

impl<'a> KnownSums<'a> {
    fn new(inference: &'a Inference<'a>, layer: &'a CubeLayer) -> Self {
        let cube: &Cube = inference.cube;
        let by_user = cube
            .breakdowns
            .iter()
            .find(|breakdown| breakdown.by == BreakdownBy::User);
        let cells = by_user.map_or(&cube.cells, |breakdown| &breakdown.cells);
        let open = since_opening(&layer.stages);
        let rows = LayerSpan::one(layer.key()).rows(&cells.keys, CellKey::layer_key);
        let is_compared = |idx: &usize| {
            let stage = usize::from(cells.keys[*idx].stage);
            open.contains(&stage) && layer.stages[stage].ratio < Ratio::FULL
        };
        let mut order: Vec<usize> = rows.filter(is_compared).collect();
        order.sort_by_key(|idx| (cells.keys[*idx].window, *idx));
        let mut delays: Vec<Micros> = inference.sums.delays();
        delays.sort_unstable();
        delays.dedup();
        let delays = delays
            .into_iter()
            .map(|delay| (delay, inference.sums.has_delay(delay), 0))
            .collect();
        Self {
            inference,
            layer,
            cells,
            users: by_user.map(|breakdown| breakdown.value_of.as_slice()),
            order,
            delays,
            sums: BTreeMap::new(),
        }
    }

    /// Adds the outcomes that arrived up to a moment.
    fn advance(&mut self, at: Micros) {
        let cube = self.inference.cube;
        let width = cube.measures.len();
        for (delay, flags, next) in &mut self.delays {
            while let Some(idx) = self.order.get(*next) {
                let key = &self.cells.keys[*idx];
                let end = cube.start + (i64::from(key.window) + 1) * cube.window;
                if end + *delay > at {
                    break;
                }
                let empty = || PerArm::from_fn(|_| self.inference.sums.empty_clusters());
                let sums = &mut self.sums.entry(key.stage).or_insert_with(empty)[key.arm];
                let cluster = self.users.map_or(u32::from(key.group), |users| users[*idx]);
                sums.add(cluster, &self.cells.values[idx * width..(idx + 1) * width], flags);
                *next += 1;
            }
        }
    }

    /// The harm of a metric over the stages, with the control's value in the last stage that has
    /// both arms. `None` without an estimate of its error.
    fn look(&self, metric: &Metric, at: Micros) -> Option<(GateLook, f64)> {
        let sign = if metric.better == Better::Lower { 1.0 } else { -1.0 };
        let mut control = None;
        let mut effects: Vec<StageEffect> = Vec::new();
        for (stage, sums) in &self.sums {
            let ratio = self.layer.stages[usize::from(*stage)].ratio;
            let arms = [&sums.baseline, &sums.candidate];
            let found = self.inference.metric(metric, arms[0], arms[1], None, ratio);
            let (Some(effect), Ok(influences)) =
                (found.effect.value(), self.inference.influences_of(arms, metric))
            else {
                continue;
            };
            control = Some(effect.control);
            effects.push(StageEffect {
                effect_size: sign * effect.effect_size,
                variance: effect.std_error.powi(2),
                n_users: 0.0,
                n_arms: [0.0; 2],
                influences: influences
                    .into_iter()
                    .map(|(cluster, influence)| (cluster, sign * influence))
                    .collect(),
            });
        }
        let score = score(&effects)?;
        Some((
            GateLook::new(at, score.effect_size, score.variance, score.df)?,
            control?,
        ))
    }
}
