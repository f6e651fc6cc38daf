//! A layer at ratio 1 against its own past: the baseline's level by hour while both releases ran.

use std::collections::BTreeMap;

use crate::analysis::document::{OwnPastFinding, StageAnalysis};
use crate::analysis::infer::Inference;
use crate::analysis::span::{LayerSpan, cells_of};
use crate::analysis::sums::GroupSums;
use crate::base::time::{DAY, Micros};
use crate::bucket::Ratio;
use crate::metric::{Better, Metric};
use crate::replay::{CellKey, CubeLayer};
use crate::scenario::{Arm, Guardrail, GuardrailRule, OwnPast};
use crate::stats::Reason;
use crate::stats::non_inferiority::HarmVerdict;
use crate::stats::own_past::{Fall, Past, Present, WindowSums, spans};
use crate::stats::stages::{StageEffect, score};

/// The longest past that counts. Older levels say little about today.
const LONGEST: Micros = 56 * DAY;

impl Inference<'_> {
    /// Compares each guardrail's metric with the layer's own past, in the order of the plan. Empty
    /// unless the layer is at ratio 1 and the policy watches it.
    ///
    /// # References
    /// `docs/METHODS.md#a-layer-against-its-own-past`.
    pub(super) fn own_past(&self, layer: &CubeLayer, stages: &[StageAnalysis]) -> Vec<OwnPastFinding> {
        let plan = &self.scenario.plan;
        let is_full = layer
            .stages
            .last()
            .is_some_and(|stage| stage.ratio == Ratio::FULL);
        if plan.policy.own_past == OwnPast::Off || !is_full {
            return Vec::new();
        }
        let compared: Vec<&Guardrail> = plan
            .guardrails
            .iter()
            .filter(|guardrail| !matches!(guardrail.rule, GuardrailRule::MaxCount(_)))
            .collect();
        let alpha = plan.policy.alpha / compared.len().max(1) as f64;
        let find = |guardrail: &&Guardrail| {
            self.compare_with_past(layer, stages, guardrail, alpha)
                .unwrap_or_else(|reason| OwnPastFinding {
                    metric: guardrail.metric.clone(),
                    verdict: HarmVerdict::Unclear,
                    since: None,
                    observed: None,
                    expected: None,
                    harm: None,
                    interval: None,
                    margin: None,
                    n_past_days: None,
                    by_hour_of_week: None,
                    reason: Some(reason),
                })
        };
        compared.iter().map(find).collect()
    }

    fn compare_with_past(
        &self,
        layer: &CubeLayer,
        stages: &[StageAnalysis],
        guardrail: &Guardrail,
        alpha: f64,
    ) -> Result<OwnPastFinding, Reason> {
        // Latency quantiles have no windows.
        let metric = self
            .scenario
            .metric(&guardrail.metric)
            .ok_or(Reason::NotAdditive)?;
        let current = layer.stages.len() - 1;
        let last_of_past = (0..current)
            .rev()
            .find(|idx| layer.stages[*idx].ratio < Ratio::FULL);
        let end = layer.stages[last_of_past.ok_or(Reason::NoConcurrentControl)?].end;
        let of_past = |key: &CellKey| {
            let stage = &layer.stages[usize::from(key.stage)];
            let start = self.cube.start + i64::from(key.window) * self.cube.window;
            key.arm == Arm::Baseline
                && usize::from(key.stage) < current
                && stage.ratio < Ratio::FULL
                && start >= end - LONGEST
        };
        let of_now = |key: &CellKey| key.arm == Arm::Candidate && usize::from(key.stage) == current;
        let (past_windows, past_groups) = self.windows_of(layer, metric, self.cube.start, of_past)?;
        let past = Past::new(&past_windows, &self.scenario.time_zone)?;
        let stage_start = layer.stages[current].start;
        let (windows, groups) = self.windows_of(layer, metric, stage_start, of_now)?;
        let all = |days: &mut dyn Iterator<Item = &GroupSums>| {
            let mut sums = self.sums.empty_groups();
            days.for_each(|day| sums.merge(day));
            sums.metric(self.cube, metric)?.estimate()
        };
        let before = all(&mut past_groups.values())?;
        let margin = guardrail.margin(before.estimate).filter(|margin| *margin > 0.0);
        let margin = margin.ok_or(Reason::ControlNearZero)?;
        // Only days of which every outcome has arrived.
        let n_days = (self.cube.as_of - metric.delay - stage_start)
            .div_euclid(DAY)
            .max(0);
        let mut days = vec![Vec::new(); n_days as usize];
        for window in windows {
            let day = (window.start - stage_start).div_euclid(DAY);
            if (0..n_days).contains(&day) {
                days[day as usize].push(window);
            }
        }
        let mut found: Option<Fall> = None;
        for span in spans(days.len()) {
            let of_span = span.start as i64..span.end as i64;
            let now = all(&mut groups.range(of_span).map(|(_, sums)| sums))?;
            let (a, b) = (now.std_error.powi(2), before.std_error.powi(2));
            let df = (a + b).powi(2) / (a * a / now.df + b * b / before.df);
            let present = Present {
                days: &days[span],
                error: (a + b, if df.is_finite() { df } else { now.df }),
                shift: shift(stages, &metric.id),
                is_lower_better: metric.better == Better::Lower,
                margin,
                alpha,
            };
            let fall = present.compare(&past)?;
            // The week is shown, unless the last day alone shows a fall.
            if found.is_none_or(|day| day.verdict != HarmVerdict::Violated) {
                found = Some(fall);
            }
        }
        let fall = found.ok_or(Reason::TooFewRows)?;
        Ok(OwnPastFinding {
            metric: guardrail.metric.clone(),
            verdict: fall.verdict,
            since: Some(fall.since),
            observed: Some(fall.observed),
            expected: Some(fall.expected),
            harm: Some(fall.harm),
            interval: Some(fall.interval),
            margin: Some(margin),
            n_past_days: Some(past.n_days as u64),
            by_hour_of_week: Some(past.is_by_week),
            reason: None,
        })
    }

    /// The sums of a metric by window, in order, and by bucket group for each 24 hours since `zero`,
    /// over the cells that have their outcomes.
    fn windows_of(
        &self,
        layer: &CubeLayer,
        metric: &Metric,
        zero: Micros,
        is_of: impl Fn(&CellKey) -> bool,
    ) -> Result<(Vec<WindowSums>, BTreeMap<i64, GroupSums>), Reason> {
        let cube = self.cube;
        let [numerator, denominator] = cube.metric_columns(metric)?;
        let units = metric.sums().map(|sum| sum.units());
        let flags = self.sums.has_delay(metric.delay);
        let mut windows: BTreeMap<u32, (i128, i128)> = BTreeMap::new();
        let mut days: BTreeMap<i64, GroupSums> = BTreeMap::new();
        let rows = LayerSpan::one(layer.key()).rows(&cube.cells.keys, CellKey::layer_key);
        for (key, cell) in cells_of(&cube.cells, rows) {
            // A cell without rows of the denominator opens no day.
            if !is_of(key) || !cube.is_mature(key.window, metric.delay) || cell[denominator] == 0 {
                continue;
            }
            let sums = windows.entry(key.window).or_default();
            sums.0 += i128::from(cell[numerator]);
            sums.1 += i128::from(cell[denominator]);
            let start = cube.start + i64::from(key.window) * cube.window;
            let day = days
                .entry((start - zero).div_euclid(DAY))
                .or_insert_with(|| self.sums.empty_groups());
            day.add(u32::from(key.group), cell, &flags);
        }
        let window = |(window, (n, d)): (u32, (i128, i128))| WindowSums {
            start: cube.start + i64::from(window) * cube.window,
            numerator: n as f64 / units[0],
            denominator: d as f64 / units[1],
        };
        Ok((windows.into_iter().map(window).collect(), days))
    }
}

/// The effect of the candidate over the stages with both releases, with its variance: the known
/// difference between the candidate now and the baseline before. 0 without such a stage.
fn shift(stages: &[StageAnalysis], metric: &str) -> (f64, f64) {
    let of_stage = |stage: &StageAnalysis| {
        let effect = stage
            .metrics
            .iter()
            .find(|m| m.metric == metric)?
            .effect
            .value()?;
        Some(StageEffect {
            effect_size: effect.effect_size,
            variance: effect.std_error.powi(2),
            n_users: 0.0,
            n_arms: [0.0; 2],
            influences: Vec::new(),
        })
    };
    let effects: Vec<StageEffect> = stages.iter().filter_map(of_stage).collect();
    let Some(score) = score(&effects) else {
        return (0.0, 0.0);
    };
    // Users return, so stages are not independent: the error is not taken below that of the best
    // single stage.
    let least = effects
        .iter()
        .map(|effect| effect.variance)
        .fold(f64::INFINITY, f64::min);
    (score.effect_size, least.max(score.variance))
}
