//! The gate of a study: checks of each layer's decisions, and of the data.

use serde_json::Value;

use crate::analysis::Analysis;
use crate::bucket::Ratio;
use crate::gate::document::{GateCheck, GateOutcome, GateReport, SCHEMA};
use crate::layer::LayerSummary;
use crate::ramp::{Check, CheckOutcome, LayerSchedule, MAX_MISASSIGNED, Schedule, Verdict};
use crate::scenario::Plan;

/// Share of rows without a known user and release, above which coverage gives a warning.
const UNCOVERED: f64 = 0.01;

/// Trace checks that the gate leaves out. They concern the plan and not the release, or the data
/// checks repeat them for the whole log.
const UNGATED: [&str; 6] = [
    "ladder",
    "after",
    "new_release",
    "cool_down",
    "rollback_scope",
    "assignment",
];

/// Checks of the layers with the candidate. A guardrail has two entries in a trace (not violated,
/// then safe). The worse outcome counts.
pub(super) fn layer_checks(schedule: &Schedule) -> Vec<GateCheck> {
    let mut checks: Vec<GateCheck> = Vec::new();
    for layer in schedule
        .layers
        .iter()
        .filter(|layer| layer.rolled_back && layer.ratio == Ratio::ZERO)
    {
        checks.push(GateCheck {
            gate: "ramp".into(),
            evidence: Value::Null,
            lifted_by: None,
            check: "rolled_back".into(),
            tenant: layer.tenant.clone(),
            layer: layer.layer.clone(),
            outcome: GateOutcome::Fail,
            detail: format!("{} was rolled back here", schedule.candidate),
            remedy: Some("a new release".into()),
        });
    }
    // A layer at ratio 0 has no evidence, unless users got the candidate by mistake.
    let leaks = |layer: &LayerSchedule| {
        layer
            .trace
            .iter()
            .any(|step| step.check == "leak" && step.outcome != CheckOutcome::Pass)
    };
    for layer in schedule
        .layers
        .iter()
        .filter(|layer| layer.ratio > Ratio::ZERO || leaks(layer))
    {
        for step in layer.trace.iter().filter(|step| {
            step.outcome != CheckOutcome::NotApplicable && !UNGATED.contains(&step.check.as_str())
        }) {
            let name = step.check.replace("clear:", "guardrail:");
            let outcome = outcome_of(step);
            let check = GateCheck {
                gate: "ramp".into(),
                evidence: Value::Null,
                lifted_by: None,
                remedy: remedy(&name, outcome, step, layer),
                check: name,
                tenant: layer.tenant.clone(),
                layer: layer.layer.clone(),
                outcome,
                detail: step.detail.clone(),
            };
            let same = |other: &&mut GateCheck| {
                other.check == check.check && other.tenant == check.tenant && other.layer == check.layer
            };
            match checks.iter_mut().find(same) {
                Some(other) if other.outcome >= check.outcome => {}
                Some(other) => *other = check,
                None => checks.push(check),
            }
        }
    }
    checks
}

fn outcome_of(step: &Check) -> GateOutcome {
    match step.outcome {
        CheckOutcome::Pass | CheckOutcome::NotApplicable => GateOutcome::Pass,
        CheckOutcome::Block(Verdict::Rollback | Verdict::Invalid) => GateOutcome::Fail,
        CheckOutcome::Block(Verdict::Inconclusive) => GateOutcome::Inconclusive,
        CheckOutcome::Block(Verdict::Hold | Verdict::Promote) => GateOutcome::Warn,
    }
}

fn remedy(name: &str, outcome: GateOutcome, step: &Check, layer: &LayerSchedule) -> Option<String> {
    if outcome == GateOutcome::Pass {
        return None;
    }
    let limit = step.limit.map_or_else(String::new, |limit| format!(" ({limit})"));
    Some(match name.split(':').next().unwrap_or(name) {
        "guardrail" if outcome == GateOutcome::Fail => {
            format!("a new release whose harm is below the margin{limit}")
        }
        "guardrail" => format!("more evidence until the interval lies below the margin{limit}"),
        "srm" | "leak" | "crossover" => {
            "find why users are missing from an arm or in the wrong one, then measure again".into()
        }
        "qos_floor" => format!("a new release whose QoS is above the floor{limit}"),
        "qos" if outcome == GateOutcome::Warn => {
            format!("a new release whose QoS reaches the threshold{limit}")
        }
        "qos" => format!(
            "more evidence until the interval lies above the threshold{limit}, and every rate that QoS needs"
        ),
        "min_users" => format!("more exposed users{limit}"),
        "dwell" => format!("more hours at {}{limit}", layer.ratio),
        _ => "more evidence".into(),
    })
}

/// Checks of the data: coverage, logged layers, consent, assignment, layer size and exposure.
pub(super) fn data_checks(
    plan: &Plan,
    layering: &LayerSummary,
    analysis: &Analysis,
    schedule: &Schedule,
) -> Vec<GateCheck> {
    let rows = &analysis.data.rows;
    let share = |n: u64, of: u64| if of == 0 { 0.0 } else { n as f64 / of as f64 };
    let in_time = rows.n_rows - rows.n_before_start - rows.n_after_as_of;
    let uncovered = rows.n_unknown_release + rows.n_unknown_user + rows.n_bad;
    let in_arms = rows.n_baseline + rows.n_candidate;
    let mut checks = vec![
        data_check(
            "coverage",
            if share(uncovered, in_time) > UNCOVERED {
                GateOutcome::Warn
            } else {
                GateOutcome::Pass
            },
            format!("{uncovered} of {in_time} rows without a known user and release"),
            "colour every request with user, layer and release",
        ),
        data_check(
            "evidence",
            if in_arms == 0 {
                GateOutcome::Inconclusive
            } else {
                GateOutcome::Pass
            },
            format!("{in_arms} rows of eligible users in the two releases"),
            "traffic of both releases between the plan's start and as_of",
        ),
        data_check(
            "layer_coloring",
            if rows.n_layer_differs > 0 {
                GateOutcome::Warn
            } else {
                GateOutcome::Pass
            },
            format!(
                "{} of {in_arms} rows logged with another layer than that of the layer table",
                rows.n_layer_differs
            ),
            "serve with the layer table that the plan was frozen on",
        ),
    ];
    checks.push(data_check(
        "consent",
        if rows.n_ineligible_candidate > 0 {
            GateOutcome::Fail
        } else {
            GateOutcome::Pass
        },
        format!(
            "{} of {} rows of users who did not consent were answered by the candidate",
            rows.n_ineligible_candidate, rows.n_ineligible
        ),
        "serve users who did not consent with the baseline",
    ));
    if plan.profile.is_recomputable() {
        checks.push(data_check(
            "assignment",
            if share(rows.n_misassigned, in_arms) > MAX_MISASSIGNED {
                GateOutcome::Fail
            } else {
                GateOutcome::Pass
            },
            format!(
                "{} of {in_arms} rows in another arm than bucket and ratio imply",
                rows.n_misassigned
            ),
            "place users by the plan's assignment profile and salt",
        ));
    }
    checks.extend(too_small(layering, schedule));
    checks.extend(exposure(plan, layering, analysis, schedule));
    checks
}

fn too_small(layering: &LayerSummary, schedule: &Schedule) -> Option<GateCheck> {
    let on = |tenant: &str, layer: &str| {
        schedule
            .layers
            .iter()
            .any(|l| l.tenant == tenant && l.layer == layer && l.ratio > Ratio::ZERO)
    };
    let small: Vec<&str> = layering
        .layers
        .iter()
        .filter(|l| l.too_small && on(&l.tenant, &l.layer))
        .map(|l| l.layer.as_str())
        .collect();
    (!small.is_empty()).then(|| {
        data_check(
            "layer_size",
            GateOutcome::Warn,
            format!("fewer than 1000 eligible users in {}", small.join(", ")),
            "evaluate offline first, or merge small layers",
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
    let rolled_back = |tenant: &str, layer: &str| {
        schedule
            .layers
            .iter()
            .any(|l| l.tenant == tenant && l.layer == layer && l.rolled_back)
    };
    let n_hurt: u64 = analysis
        .layers
        .iter()
        .filter(|l| rolled_back(&l.tenant, &l.layer))
        .map(|l| l.n_exposed)
        .sum();
    let share = n_hurt as f64 / layering.n_users.max(1) as f64;
    Some(data_check(
        "exposure_cap",
        if share > cap {
            GateOutcome::Fail
        } else {
            GateOutcome::Pass
        },
        format!(
            "{n_hurt} of {} users ({:.3}%) reached by a release that is rolled back, cap {:.3}%",
            layering.n_users,
            share * 100.0,
            cap * 100.0
        ),
        "smaller first steps: the cap divided by the layer's share of users bounds its first ratio",
    ))
}

fn data_check(check: &str, outcome: GateOutcome, detail: String, remedy: &str) -> GateCheck {
    GateCheck {
        gate: "ramp".into(),
        evidence: Value::Null,
        lifted_by: None,
        check: check.to_owned(),
        tenant: String::new(),
        layer: String::new(),
        outcome,
        detail,
        remedy: (outcome != GateOutcome::Pass).then(|| remedy.to_owned()),
    }
}

/// Combines a schedule's decisions and the quality of the data into one report.
pub fn gate(plan: &Plan, layering: &LayerSummary, analysis: &Analysis, schedule: &Schedule) -> GateReport {
    let mut checks = layer_checks(schedule);
    checks.extend(data_checks(plan, layering, analysis, schedule));
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
        not_asked: Vec::new(),
        comparisons: Vec::new(),
        rollback: None,
    }
}
