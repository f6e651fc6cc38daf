//! The gate of a study: checks of each layer's decisions, and of the data.

use hashbrown::HashMap;
use rayon::prelude::*;
use serde_json::Value;

use crate::analysis::{Analysis, LayerAnalysis};
use crate::bucket::Ratio;
use crate::gate::document::{GateCheck, GateOutcome, GateReport, SCHEMA};
use crate::gate::layer_slices::slices_outcome;
use crate::layer::{LayerCount, LayerSummary};
use crate::ramp::{
    Check, CheckOutcome, Coverage, GATE, LayerSchedule, MAX_MISASSIGNED, Outlooks, Place, Schedule, Verdict,
    contradictions,
};
use crate::scenario::{Layer, Plan};
use crate::words::outlook;
use crate::words::plan::{of_tenant, unreachable};
use crate::words::ramp::ShareBeside;
use crate::words::study_gate as sentence;
use crate::words::{Count, Few, Percent, Text, gate as release_gate, slices};

/// Trace checks that the gate leaves out. They concern the plan and not the release, or the data
/// checks repeat them for the whole log.
const UNGATED: [&str; 8] = [
    "ladder",
    "after",
    "new_release",
    "cool_down",
    "rollback_scope",
    "assignment",
    "coverage",
    // The gate does not judge itself: its report is the same before and after promotions are kept
    // back.
    GATE,
];

/// The largest number of layers that the text of a check names.
const MAX_NAMED: usize = 100;

/// The largest number of small layers that a text names.
const MAX_SMALL: usize = 20;

/// Checks of the layers with the candidate. A guardrail has two entries in a trace (not violated,
/// then safe). The worse outcome counts.
pub(super) fn layer_checks(plan: &Plan, analysis: &Analysis, schedule: &Schedule) -> Vec<GateCheck> {
    let mut checks: Vec<GateCheck> = Vec::new();
    for layer in schedule
        .layers
        .iter()
        .filter(|layer| layer.rolled_back && layer.ratio == Ratio::ZERO)
    {
        let found = sentence::was_rolled_back(&schedule.candidate);
        let remedy = sentence::needs_new_release();
        checks.push(GateCheck {
            gate: "ramp".into(),
            evidence: Value::Null,
            lifted_by: None,
            check: "rolled_back".into(),
            tenant: layer.tenant.clone(),
            layer: layer.layer.clone(),
            outcome: GateOutcome::Fail,
            detail: found.en,
            remedy: Some(remedy.en),
            detail_zh: found.zh,
            remedy_zh: Some(remedy.zh),
        });
    }
    checks.reserve_exact(schedule.layers.iter().map(|layer| layer.trace.len()).sum());
    // A layer at ratio 0 has no evidence, unless users got the candidate by mistake.
    let leaks = |layer: &LayerSchedule| {
        layer
            .trace
            .iter()
            .any(|step| step.check == "leak" && step.outcome != CheckOutcome::Pass)
    };
    let judged: Vec<&LayerSchedule> = schedule
        .layers
        .iter()
        .filter(|layer| layer.ratio > Ratio::ZERO || leaks(layer))
        .collect();
    for (layer, remedies) in judged.iter().zip(remedies(plan, analysis, &judged)) {
        let first_of_layer = checks.len();
        for (step, remedy) in layer.trace.iter().zip(remedies).filter(|(step, _)| {
            step.outcome != CheckOutcome::NotApplicable && !UNGATED.contains(&step.check.as_str())
        }) {
            let name = step.check.replace("clear:", "guardrail:");
            let (outcome, remedy) = match slices_outcome(plan, analysis, layer, step) {
                Some(outcome) => (outcome, (outcome > GateOutcome::Pass).then(slices::remedy)),
                None => (outcome_of(step.outcome), remedy),
            };
            let (remedy, remedy_zh) = remedy.map(|Text { en, zh }| (en, zh)).unzip();
            let check = GateCheck {
                gate: "ramp".into(),
                evidence: Value::Null,
                lifted_by: None,
                remedy,
                remedy_zh,
                check: name,
                tenant: layer.tenant.clone(),
                layer: layer.layer.clone(),
                outcome,
                detail: step.detail.clone(),
                detail_zh: step.detail_zh.clone(),
            };
            let same = |other: &&mut GateCheck| other.check == check.check;
            match checks[first_of_layer..].iter_mut().find(same) {
                Some(other) if other.outcome >= check.outcome => {}
                Some(other) => *other = check,
                None => checks.push(check),
            }
        }
    }
    checks
}

fn outcome_of(outcome: CheckOutcome) -> GateOutcome {
    match outcome {
        CheckOutcome::Pass | CheckOutcome::NotApplicable => GateOutcome::Pass,
        CheckOutcome::Block(Verdict::Rollback | Verdict::Invalid) => GateOutcome::Fail,
        CheckOutcome::Block(Verdict::Inconclusive) => GateOutcome::Inconclusive,
        CheckOutcome::Block(Verdict::Hold | Verdict::Promote) => GateOutcome::Warn,
    }
}

/// What would make each check of each layer's trace pass. `None` for a check that passed.
fn remedies(plan: &Plan, analysis: &Analysis, layers: &[&LayerSchedule]) -> Vec<Vec<Option<Text>>> {
    let outlooks = Outlooks::new(plan, analysis);
    let analyzed: HashMap<(&str, &str), &LayerAnalysis> = analysis
        .layers
        .iter()
        .map(|layer| ((layer.tenant.as_str(), layer.layer.as_str()), layer))
        .collect();
    let of_layer = |layer: &&LayerSchedule| {
        let analyzed = analyzed
            .get(&(layer.tenant.as_str(), layer.layer.as_str()))
            .copied();
        let stage = analyzed.and_then(LayerAnalysis::current);
        let place = plan.layer_idx(&layer.layer).map(|idx| Place {
            layer: &plan.layers[idx],
            ratio: layer.ratio,
            since: stage.map_or(analysis.as_of, |stage| stage.start),
            rolled_back: None,
            tenant_states: &[],
            analyzed,
        });
        let remedy = |step: &Check| {
            if outcome_of(step.outcome) == GateOutcome::Pass {
                return None;
            }
            let known = layer
                .outlook
                .as_ref()
                .filter(|outlook| outlook.check == step.check);
            let found = known.cloned().or_else(|| Some(outlooks.of(place?, step)));
            Some(found.map_or_else(|| step.text(), |outlook| outlook.own_text()))
        };
        layer.trace.iter().map(remedy).collect()
    };
    layers.par_iter().map(of_layer).collect()
}

/// Checks of the data: coverage, evidence, logged layers, consent, assignment, layer size and
/// exposure. Checks that cannot be made are named in `not_asked`, with the reason.
pub(super) fn data_checks(
    plan: &Plan,
    layering: &LayerSummary,
    analysis: &Analysis,
    schedule: &Schedule,
    not_asked: &mut Vec<Text>,
) -> Vec<GateCheck> {
    let rows = &analysis.data.rows;
    let in_arms = rows.n_baseline + rows.n_candidate;
    let mut checks = Vec::new();
    match Coverage::from_analysis(analysis) {
        Some(coverage) => checks.push(data_check(
            "coverage",
            coverage_outcome(&coverage),
            coverage.describe(),
            outlook::write_known_ids(),
        )),
        None => not_asked.push(release_gate::no_users("coverage")),
    }
    checks.push(evidence_check(plan, analysis, schedule));
    if rows.n_layer_logged > 0 {
        checks.push(data_check(
            "layer_coloring",
            unless(rows.n_layer_differs > 0, GateOutcome::Warn),
            sentence::layer_differs(Count(rows.n_layer_differs), Count(rows.n_layer_logged)),
            sentence::serve_frozen_layers(),
        ));
    } else {
        not_asked.push(release_gate::no_layer("layer_coloring"));
    }
    checks.push(data_check(
        "consent",
        if in_arms + rows.n_ineligible == 0 {
            GateOutcome::Inconclusive
        } else {
            unless(rows.n_ineligible_candidate > 0, GateOutcome::Fail)
        },
        sentence::consent(Count(rows.n_ineligible_candidate), Count(rows.n_ineligible)),
        if rows.n_ineligible_candidate > 0 {
            sentence::serve_baseline()
        } else {
            sentence::needs_known_users()
        },
    ));
    if plan.profile.is_recomputable() {
        let share = rows.n_misassigned as f64 / in_arms.max(1) as f64;
        checks.push(data_check(
            "assignment",
            if in_arms == 0 {
                GateOutcome::Inconclusive
            } else {
                unless(share > MAX_MISASSIGNED, GateOutcome::Fail)
            },
            sentence::misassigned(Count(rows.n_misassigned), Count(in_arms)),
            if in_arms == 0 {
                sentence::needs_rows()
            } else {
                sentence::place_by_profile()
            },
        ));
    } else {
        not_asked.push(release_gate::not_recomputable("assignment"));
    }
    checks.extend(too_small(plan, layering, schedule));
    checks.extend(min_users(plan, layering, schedule));
    checks.extend(plan_check(plan, layering));
    match exposure(plan, layering, analysis, schedule) {
        Some(check) => checks.push(check),
        None => not_asked.push(release_gate::no_cap("exposure_cap")),
    }
    checks
}

/// The outcome of a check that passes unless `is_so`.
fn unless(is_so: bool, outcome: GateOutcome) -> GateOutcome {
    if is_so { outcome } else { GateOutcome::Pass }
}

/// The outcome of coverage: a failure if no verdict is valid, inconclusive without rows.
pub(super) fn coverage_outcome(coverage: &Coverage<'_>) -> GateOutcome {
    if coverage.is_invalid() {
        GateOutcome::Fail
    } else if coverage.share().is_none() {
        GateOutcome::Inconclusive
    } else {
        unless(coverage.is_doubtful(), GateOutcome::Warn)
    }
}

/// Checks that the candidate answered rows under a ratio that is in force. Other rows say nothing
/// about the ratios that the gate judges.
fn evidence_check(plan: &Plan, analysis: &Analysis, schedule: &Schedule) -> GateCheck {
    let rows = &analysis.data.rows;
    let [in_arms, in_candidate] = [rows.n_baseline + rows.n_candidate, rows.n_candidate].map(Count);
    let candidate = &schedule.candidate;
    let in_force = schedule.layers.iter().filter(|layer| layer.ratio > Ratio::ZERO);
    let n_judged: u64 = in_force.map(|layer| layer.evidence.rows.candidate).sum();
    let is_closed = schedule.layers.iter().all(|layer| layer.ratio == Ratio::ZERO);
    let detail = if rows.n_expected() == 0 {
        sentence::no_row_in_time(plan.when(analysis.start), plan.when(analysis.as_of))
    } else if rows.n_baseline + rows.n_candidate == 0 {
        sentence::no_eligible_row()
    } else if rows.n_candidate == 0 && is_closed {
        sentence::nothing_open(candidate, in_arms)
    } else if rows.n_candidate == 0 {
        sentence::no_candidate_row(candidate, in_arms)
    } else if n_judged == 0 {
        sentence::none_in_force(candidate, in_candidate)
    } else {
        sentence::rows_in_force(candidate, Count(n_judged), in_arms)
    };
    data_check(
        "evidence",
        unless(n_judged == 0, GateOutcome::Inconclusive),
        detail,
        sentence::needs_candidate_rows(),
    )
}

/// Warns of contradictions between what was promised and what the plan's own numbers give.
fn plan_check(plan: &Plan, layering: &LayerSummary) -> Option<GateCheck> {
    let users = |layer: &Layer| {
        let of_layer = layering.layers.iter().filter(|other| other.layer == layer.id);
        of_layer.map(|layer| layer.n_users as f64).sum()
    };
    let found = contradictions(plan, &plan.layers.iter().map(users).collect::<Vec<f64>>());
    (!found.is_empty()).then(|| {
        data_check(
            "contradictions",
            GateOutcome::Warn,
            Text::sentences(&found),
            sentence::plan_must_agree(),
        )
    })
}

/// Warns of steps that have too few eligible users for the next promotion.
fn min_users(plan: &Plan, layering: &LayerSummary, schedule: &Schedule) -> Option<GateCheck> {
    let steps = unreachable_steps(plan, layering, schedule);
    (!steps.is_empty()).then(|| {
        data_check(
            "min_users_reachable",
            GateOutcome::Warn,
            first_texts(steps),
            sentence::reachable_min_users(),
        )
    })
}

/// The first texts, with the number of the others.
fn first_texts(mut texts: Vec<Text>) -> Text {
    let n_left = texts.len().saturating_sub(MAX_NAMED);
    texts.truncate(MAX_NAMED);
    if n_left > 0 {
        texts.push(sentence::and_more(Count(n_left as u64)));
    }
    Text::sentences(&texts)
}

/// Names the steps of ladders, from the ratio in force on, that have fewer eligible users than
/// `min_users`. A layer stays at such a step, whatever its evidence is.
pub fn unreachable_steps(plan: &Plan, layering: &LayerSummary, schedule: &Schedule) -> Vec<Text> {
    let (mut found, decided) = (Vec::new(), by_layer(schedule));
    for of_layer in &layering.layers {
        let Some(layer) = plan.layers.iter().find(|layer| layer.id == of_layer.layer) else {
            continue;
        };
        let reached = |step: Ratio| of_layer.n_eligible as f64 * step.share();
        let needs_more = |step: &Ratio| {
            *step > Ratio::ZERO && *step < layer.last_step() && reached(*step) < layer.min_users as f64
        };
        let in_force = decided
            .get(&(of_layer.tenant.as_str(), of_layer.layer.as_str()))
            .map_or(Ratio::ZERO, |layer| layer.ratio);
        let steps = std::iter::once(in_force).chain(layer.steps().filter(|step| *step > in_force));
        // The smallest step has the fewest users.
        if let Some(step) = steps.filter(needs_more).min() {
            let several = layering
                .layers
                .iter()
                .any(|other| other.tenant != of_layer.tenant);
            let text = unreachable(
                plan.layer_name(&layer.id),
                step,
                Count(of_layer.n_eligible),
                Count(reached(step).round() as u64),
                Count(layer.min_users),
            );
            found.push(match several {
                true => of_tenant(&of_layer.tenant, text),
                false => text,
            });
        }
    }
    found
}

/// The decisions by tenant and layer.
fn by_layer(schedule: &Schedule) -> HashMap<(&str, &str), &LayerSchedule> {
    schedule
        .layers
        .iter()
        .map(|layer| ((layer.tenant.as_str(), layer.layer.as_str()), layer))
        .collect()
}

fn too_small(plan: &Plan, layering: &LayerSummary, schedule: &Schedule) -> Option<GateCheck> {
    let decided = by_layer(schedule);
    let on = |tenant: &str, layer: &str| {
        decided
            .get(&(tenant, layer))
            .is_some_and(|layer| layer.ratio > Ratio::ZERO)
    };
    let layers = &layering.layers;
    let has_tenants = layers.iter().any(|layer| layer.tenant != layers[0].tenant);
    let named = |layer: &LayerCount| match has_tenants {
        true => of_tenant(&layer.tenant, plan.layer_name(&layer.layer)),
        false => plan.layer_name(&layer.layer),
    };
    let small: Vec<Text> = layers
        .iter()
        .filter(|l| l.too_small && on(&l.tenant, &l.layer))
        .map(named)
        .collect();
    (!small.is_empty()).then(|| {
        data_check(
            "layer_size",
            GateOutcome::Warn,
            sentence::small_layers(Few(&small, MAX_SMALL)),
            sentence::merge_layers(),
        )
    })
}

/// Checks the share of users that a rolled-back candidate has reached against the plan's cap.
fn exposure(
    plan: &Plan,
    layering: &LayerSummary,
    analysis: &Analysis,
    schedule: &Schedule,
) -> Option<GateCheck> {
    let cap = plan.policy.exposure_cap?;
    let decided = by_layer(schedule);
    let rolled_back = |tenant: &str, layer: &str| {
        decided
            .get(&(tenant, layer))
            .is_some_and(|layer| layer.rolled_back)
    };
    let n_hurt: u64 = analysis
        .layers
        .iter()
        .filter(|l| rolled_back(&l.tenant, &l.layer))
        .map(|l| l.n_exposed)
        .sum();
    let n_users = layering.n_users.max(1);
    let share = n_hurt as f64 / n_users as f64;
    let reached = sentence::exposure(
        Count(n_hurt),
        Count(layering.n_users),
        ShareBeside(share, cap),
        Percent(cap),
    );
    // The cube does not know the users of rows while a ratio took effect. Each row is at most one more.
    let is_rolled_back = |l: &LayerAnalysis| rolled_back(&l.tenant, &l.layer);
    let n_more = analysis
        .data
        .rows
        .n_settling_candidate
        .min(n_users.saturating_sub(n_hurt));
    let most = (n_hurt + n_more) as f64 / n_users as f64;
    let (outcome, detail) = if share > cap {
        (GateOutcome::Fail, reached)
    } else if most > cap && analysis.layers.iter().any(is_rolled_back) {
        let beyond = sentence::exposure_beyond(Count(n_more), ShareBeside(most, cap));
        (GateOutcome::Inconclusive, Text::sentences(&[reached, beyond]))
    } else {
        (GateOutcome::Pass, reached)
    };
    Some(data_check(
        "exposure_cap",
        outcome,
        detail,
        sentence::smaller_first_steps(),
    ))
}

fn data_check(
    check: &str,
    outcome: GateOutcome,
    detail: impl Into<Text>,
    remedy: impl Into<Text>,
) -> GateCheck {
    let Text {
        en: detail,
        zh: detail_zh,
    } = detail.into();
    let remedy = (outcome != GateOutcome::Pass).then(|| remedy.into());
    let (remedy, remedy_zh) = remedy.map(|Text { en, zh }| (en, zh)).unzip();
    GateCheck {
        gate: "ramp".into(),
        evidence: Value::Null,
        lifted_by: None,
        check: check.to_owned(),
        tenant: String::new(),
        layer: String::new(),
        outcome,
        detail,
        detail_zh,
        remedy,
        remedy_zh,
    }
}

/// Combines a schedule's decisions and the quality of the data into one report.
pub fn gate(plan: &Plan, layering: &LayerSummary, analysis: &Analysis, schedule: &Schedule) -> GateReport {
    let mut checks = layer_checks(plan, analysis, schedule);
    let mut not_asked = Vec::new();
    checks.extend(data_checks(plan, layering, analysis, schedule, &mut not_asked));
    // Without any check, the ramp has no evidence.
    let worst = checks
        .iter()
        .map(|check| check.outcome)
        .max()
        .unwrap_or(GateOutcome::Inconclusive);
    GateReport {
        schema: SCHEMA.into(),
        plan_id: schedule.plan_id.clone(),
        baseline: schedule.baseline.clone(),
        candidate: schedule.candidate.clone(),
        as_of: Some(schedule.as_of),
        evidence_digest: schedule.evidence_digest.clone(),
        outcome: worst,
        checks,
        subjects: Vec::new(),
        policy_digest: None,
        inputs: Vec::new(),
        not_asked_zh: not_asked.iter().map(|text| text.zh.clone()).collect(),
        not_asked: not_asked.into_iter().map(|text| text.en).collect(),
        comparisons: Vec::new(),
        rollback: None,
    }
}
