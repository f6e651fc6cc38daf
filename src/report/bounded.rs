//! Pages of many tenants: the layers that a page shows if there are too many for all of them.

use hashbrown::HashSet;
use std::borrow::Cow;

use crate::analysis::{Analysis, LayerAnalysis};
use crate::base::number::count;
use crate::gate::{GateCheck, GateReport};
use crate::layer::{LayerCount, LayerSummary};
use crate::ramp::{LayerSchedule, Schedule};
use crate::report::answer::rank;
use crate::report::model::{Model, RampModel};
use crate::words::{Words, fill};

/// The largest number of layers, over all tenants, that a page shows.
const MAX_LAYERS: usize = 500;

/// A model that fits on a page.
pub(super) struct Bounded<'a> {
    pub(super) model: Cow<'a, Model>,
    /// The numbers of layers that the page shows, and of all; `None` if it shows all.
    shown: Option<[usize; 2]>,
}

impl<'a> Bounded<'a> {
    /// Keeps the layers that need a look most, by their [`rank`]. A study without traffic keeps small
    /// layers first. The order of the layers stays.
    pub(super) fn new(model: &'a Model) -> Self {
        let layering = &model.layering.layers;
        let n_all = model
            .ramp
            .as_ref()
            .map_or(0, |ramp| ramp.schedule.layers.len())
            .max(layering.len());
        if n_all <= MAX_LAYERS {
            return Self {
                model: Cow::Borrowed(model),
                shown: None,
            };
        }
        let keys: HashSet<(&str, &str)> = match &model.ramp {
            Some(ramp) => worst(&ramp.schedule.layers, rank)
                .into_iter()
                .map(|layer| (layer.tenant.as_str(), layer.layer.as_str()))
                .collect(),
            None => worst(layering, |layer: &LayerCount| (u8::from(!layer.too_small), 0))
                .into_iter()
                .map(|layer| (layer.tenant.as_str(), layer.layer.as_str()))
                .collect(),
        };
        let is_kept = |tenant: &str, layer: &str| keys.contains(&(tenant, layer));
        let ramp = model.ramp.as_ref().map(|ramp| RampModel {
            analysis: Analysis {
                layers: kept(&ramp.analysis.layers, |l: &LayerAnalysis| {
                    is_kept(&l.tenant, &l.layer)
                }),
                ..without_layers(&ramp.analysis)
            },
            schedule: Schedule {
                layers: kept(&ramp.schedule.layers, |l: &LayerSchedule| {
                    is_kept(&l.tenant, &l.layer)
                }),
                ..schedule_without_layers(&ramp.schedule)
            },
            gate: GateReport {
                checks: kept(&ramp.gate.checks, |check: &GateCheck| {
                    check.layer.is_empty() || is_kept(&check.tenant, &check.layer)
                }),
                ..gate_without_checks(&ramp.gate)
            },
            changes: ramp.changes.clone(),
        });
        let layers = kept(layering, |l: &LayerCount| is_kept(&l.tenant, &l.layer));
        Self {
            shown: Some([keys.len(), n_all]),
            model: Cow::Owned(Model {
                study: model.study.clone(),
                traces: model.traces.clone(),
                layering: LayerSummary {
                    layers,
                    ..model.layering.clone()
                },
                ramp,
            }),
        }
    }

    /// The note that a page does not show all layers. `None` if it shows all.
    pub(super) fn note(&self, words: &Words) -> Option<String> {
        let [n, n_all] = self.shown?.map(|n| count(n as u64));
        Some(fill(words.layers_shown, &[&n, &n_all]))
    }
}

/// The layers with the smallest keys, of equal keys the first ones.
fn worst<T, K: Ord>(layers: &[T], key: impl Fn(&T) -> K) -> Vec<&T> {
    let mut ranked: Vec<&T> = layers.iter().collect();
    ranked.sort_by_key(|layer| key(layer));
    ranked.truncate(MAX_LAYERS);
    ranked
}

fn kept<T: Clone>(rows: &[T], is_kept: impl Fn(&T) -> bool) -> Vec<T> {
    rows.iter().filter(|row| is_kept(row)).cloned().collect()
}

/// An analysis without its layers, which are most of it.
fn without_layers(analysis: &Analysis) -> Analysis {
    Analysis {
        schema: analysis.schema.clone(),
        scenario_digest: analysis.scenario_digest.clone(),
        plan_id: analysis.plan_id.clone(),
        baseline: analysis.baseline.clone(),
        candidate: analysis.candidate.clone(),
        start: analysis.start,
        as_of: analysis.as_of,
        policy: analysis.policy.clone(),
        metrics: analysis.metrics.clone(),
        layers: Vec::new(),
        values: Vec::new(),
        data: analysis.data.clone(),
    }
}

fn schedule_without_layers(schedule: &Schedule) -> Schedule {
    Schedule {
        schema: schedule.schema.clone(),
        plan_id: schedule.plan_id.clone(),
        supersedes: schedule.supersedes.clone(),
        baseline: schedule.baseline.clone(),
        candidate: schedule.candidate.clone(),
        as_of: schedule.as_of,
        evidence_digest: schedule.evidence_digest.clone(),
        layers_digest: schedule.layers_digest.clone(),
        profile: schedule.profile.clone(),
        salt: schedule.salt.clone(),
        flag: schedule.flag.clone(),
        promote_on_failed_gate: schedule.promote_on_failed_gate,
        layers: Vec::new(),
    }
}

fn gate_without_checks(gate: &GateReport) -> GateReport {
    GateReport {
        schema: gate.schema.clone(),
        plan_id: gate.plan_id.clone(),
        baseline: gate.baseline.clone(),
        candidate: gate.candidate.clone(),
        as_of: gate.as_of,
        evidence_digest: gate.evidence_digest.clone(),
        outcome: gate.outcome,
        checks: Vec::new(),
        subjects: gate.subjects.clone(),
        policy_digest: gate.policy_digest.clone(),
        inputs: gate.inputs.clone(),
        not_asked: gate.not_asked.clone(),
        not_asked_zh: gate.not_asked_zh.clone(),
        comparisons: gate.comparisons.clone(),
        rollback: gate.rollback.clone(),
    }
}
