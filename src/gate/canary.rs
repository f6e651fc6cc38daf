//! Checks of the canary: sample ratio, incidents, proxies of slow metrics, and the slow metrics
//! once they mature.

use serde_json::json;

use crate::analysis::{Analysis, LayerAnalysis, MetricAnalysis, StageAnalysis};
use crate::gate::checklist::Checks;
use crate::gate::document::GateOutcome;
use crate::gate::evidence::GateEvidence;
use crate::gate::study_checks::coverage_outcome;
use crate::ramp::Coverage;
use crate::stats::dist::norm_isf;
use crate::stats::non_inferiority::HarmVerdict;
use crate::stats::{Interval, non_inferiority};
use crate::words::gate as says;
use crate::words::outlook;
use crate::words::{Count, Measured, MetricName, P, Percent, Points, Text, Things, evals};

pub(super) fn checks(analysis: &Analysis, evidence: &GateEvidence<'_>, checks: &mut Checks<'_>) {
    let (baseline, candidate) = (&analysis.baseline, &analysis.candidate);
    if *candidate != evidence.candidate.release_id || *baseline != evidence.baseline.release_id {
        let detail = says::other_analysis(candidate, baseline);
        checks.record("canary", GateOutcome::Fail, detail, says::give_analysis());
        return;
    }
    if let Some(coverage) = Coverage::from_analysis(analysis)
        && coverage_outcome(&coverage) != GateOutcome::Pass
    {
        checks.record(
            "canary",
            coverage_outcome(&coverage),
            coverage.describe(),
            outlook::write_known_ids(),
        );
    }
    let is_exposed = |stage: &&StageAnalysis| stage.users.candidate > 0;
    let layers: Vec<&LayerAnalysis> = analysis
        .layers
        .iter()
        .filter(|layer| layer.stages.iter().any(|stage| is_exposed(&stage)))
        .collect();
    if layers.is_empty() {
        checks.record(
            "canary",
            GateOutcome::Inconclusive,
            says::nobody_exposed(),
            says::first_step(),
        );
        return;
    }
    for layer in layers {
        let first = checks.list.len();
        incidents(layer, checks);
        if let Some(stage) = layer.current().filter(is_exposed) {
            leak(stage, analysis.policy.srm_min_deviation, checks);
            sample_ratio(stage, checks);
        }
        // A layer at ratio 1 has no control, so the last stage with both releases is checked.
        match layer
            .stages
            .iter()
            .rev()
            .find(|stage| stage.users.candidate > 0 && stage.users.baseline > 0)
        {
            Some(stage) => {
                proxies(analysis, stage, checks);
                slow(analysis, stage, checks);
            }
            None => drop(checks.record(
                "canary",
                GateOutcome::Inconclusive,
                says::no_common_stage(),
                says::both_answer(),
            )),
        }
        for check in &mut checks.list[first..] {
            check.tenant.clone_from(&layer.tenant);
            check.layer.clone_from(&layer.layer);
        }
    }
}

/// Checks that no users were served by a release that was planned at 0.
fn leak(stage: &StageAnalysis, min_share: f64, checks: &mut Checks<'_>) {
    let users = &stage.users;
    if users.leaked == 0 {
        return;
    }
    let share = users.leaked as f64 / (users.baseline + users.candidate + users.crossover).max(1) as f64;
    let outcome = if share < min_share {
        GateOutcome::Warn
    } else {
        GateOutcome::Fail
    };
    checks.record(
        "canary",
        outcome,
        says::leaked(Things(users.leaked, "user"), stage.ratio.to_string()),
        says::find_leak(),
    );
}

/// Checks the sample ratio. It fails if the chi-square p-value is below the policy's level, or if
/// the candidate's share deviates by more than the policy allows and by more than chance explains.
fn sample_ratio(stage: &StageAnalysis, checks: &mut Checks<'_>) {
    let rule = &checks.policy.canary;
    // At 0 and at 1 only one release is planned, so there is no ratio to check.
    let Some(srm) = &stage.srm else { return };
    let n_users = stage.users.baseline + stage.users.candidate;
    let n = n_users as f64;
    let share = stage.users.candidate as f64 / n;
    let planned = stage.ratio.share();
    let reach = norm_isf(0.5 * rule.srm_alpha) * (planned * (1.0 - planned) / n).sqrt();
    let off = (share - planned).abs();
    let detail = says::sample_ratio(
        Count(stage.users.candidate),
        Count(n_users),
        Percent(share),
        stage.ratio.to_string(),
        P(srm.p_value),
    );
    let note = if srm.p_value < rule.srm_alpha || (off > rule.max_deviation && off > reach) {
        checks.record("canary", GateOutcome::Fail, detail, says::find_missing())
    } else if off > rule.max_deviation {
        checks.record(
            "canary",
            GateOutcome::Warn,
            Text::sentences(&[detail, says::deviation_by_chance(Points(off))]),
            says::more_users(),
        )
    } else {
        checks.record("canary", GateOutcome::Pass, detail, "")
    };
    note.evidence = json!(srm);
}

fn metric<'a>(stage: &'a StageAnalysis, id: &str) -> Option<&'a MetricAnalysis> {
    stage.metrics.iter().find(|metric| metric.metric == id)
}

/// Checks incidents over all stages, because an incident of an earlier stage still counts.
fn incidents(layer: &LayerAnalysis, checks: &mut Checks<'_>) {
    let arms = layer
        .stages
        .iter()
        .filter_map(|stage| Some(&metric(stage, "incident_rate")?.candidate));
    let (n, of) = arms.fold((0.0, 0.0), |(n, of), arm| {
        (n + arm.numerator, of + arm.denominator)
    });
    if of == 0.0 {
        checks.record(
            "canary",
            GateOutcome::Inconclusive,
            says::no_incident_column(),
            says::give_incidents(),
        );
    } else if n > 0.0 {
        checks.record(
            "canary",
            GateOutcome::Fail,
            says::incidents(Things(n as u64, "incident"), Count(of as u64)),
            says::no_more_incidents(),
        );
    } else {
        checks.record(
            "canary",
            GateOutcome::Pass,
            says::no_incident(Count(of as u64)),
            "",
        );
    }
}

fn proxies(analysis: &Analysis, stage: &StageAnalysis, checks: &mut Checks<'_>) {
    for (id, margin) in checks.policy.canary.proxies.clone() {
        // For proxies such as escalations and refusals, a higher rate is worse.
        let watched = Watched {
            unit: unit_of(analysis, &id),
            id: &id,
            margin,
            is_lower_better: true,
            min_mature: None,
        };
        harm_of(stage, &watched, checks);
    }
}

fn slow(analysis: &Analysis, stage: &StageAnalysis, checks: &mut Checks<'_>) {
    let rule = checks.policy.canary.clone();
    let watched = Watched {
        unit: unit_of(analysis, &rule.slow_metric),
        id: &rule.slow_metric,
        margin: rule.slow_margin,
        is_lower_better: false,
        min_mature: Some(rule.min_mature_share),
    };
    harm_of(stage, &watched, checks);
}

/// A metric that the canary watches.
struct Watched<'a> {
    id: &'a str,
    /// The unit, as the analysis declares it. Empty for a metric that it does not declare.
    unit: &'a str,
    margin: f64,
    is_lower_better: bool,
    /// The smallest share of matured rows. `None` for a metric without a delay.
    min_mature: Option<f64>,
}

fn unit_of<'a>(analysis: &'a Analysis, id: &str) -> &'a str {
    let found = analysis.metrics.iter().find(|metric| metric.id == id);
    found.map_or("", |metric| metric.unit.as_str())
}

/// Judges one metric by its anytime-valid interval.
fn harm_of(stage: &StageAnalysis, watched: &Watched<'_>, checks: &mut Checks<'_>) {
    let Watched {
        id,
        unit,
        margin,
        is_lower_better,
        min_mature,
    } = *watched;
    let Some(metric) = metric(stage, id) else {
        checks.record(
            "canary",
            GateOutcome::Inconclusive,
            says::metric_not_in_log(MetricName(id)),
            says::give_its_column(),
        );
        return;
    };
    if let (Some(min), Some(share)) = (min_mature, metric.mature_share)
        && share < min
    {
        let detail = says::not_mature(MetricName(id), Percent(share));
        checks.record(
            "canary",
            GateOutcome::Inconclusive,
            detail,
            says::wait_to_mature(),
        );
        return;
    }
    let Some(effect) = metric.effect.value() else {
        let detail = match metric.effect.reason() {
            Some(reason) => says::no_effect_because(MetricName(id), reason),
            None => says::no_effect(MetricName(id)),
        };
        checks.record(
            "canary",
            GateOutcome::Inconclusive,
            detail,
            says::more_users_of_both(),
        );
        return;
    };
    let ends = Interval {
        ci_lower: effect.anytime.ci_lower,
        ci_upper: effect.anytime.ci_upper,
    };
    let (harm, interval) = if is_lower_better {
        (effect.effect_size, ends)
    } else {
        (-effect.effect_size, ends.negated())
    };
    let outcome = match non_inferiority::judge(harm, interval, margin, true) {
        HarmVerdict::Violated => GateOutcome::Fail,
        HarmVerdict::Safe => GateOutcome::Pass,
        HarmVerdict::Unclear => GateOutcome::Inconclusive,
    };
    let [before, after] = [effect.control, effect.treatment].map(|value| Measured { value, unit });
    let change = evals::change(interval, unit, &evals::size(margin, unit));
    let detail = says::canary_metric(MetricName(id), before, after, change);
    let remedy = if outcome == GateOutcome::Fail {
        says::not_worse()
    } else {
        says::more_evidence()
    };
    checks.record("canary", outcome, detail, remedy);
}
