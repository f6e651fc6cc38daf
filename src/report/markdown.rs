//! The report as Markdown, for a terminal or a pull request.

use std::fmt::Write;

use super::model::{Model, RampModel, layer_lines, p_value, percent};
use crate::{
    gate::GateOutcome,
    number::number,
    stats::{Known, effect::Effect},
    time,
};

/// Draws a report as Markdown.
pub fn markdown(model: &Model) -> String {
    let mut out = String::new();
    let study = &model.study;
    line(&mut out, &format!("# {}", escape(&study.name)));
    line(&mut out, "");
    if !study.why.trim().is_empty() {
        line(&mut out, &escape(study.why.trim()));
        line(&mut out, "");
    }
    if let Some(ramp) = &model.ramp {
        decisions(&mut out, ramp);
        gate(&mut out, ramp);
        effects(&mut out, ramp);
    }
    layers(&mut out, model);
    quality(&mut out, model);
    inputs(&mut out, model);
    out
}

/// Writing into a string cannot fail.
pub(super) fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{text}");
}

pub(super) fn table(out: &mut String, header: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    line(out, &format!("| {} |", header.join(" | ")));
    line(out, &format!("|{}", "---|".repeat(header.len())));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| escape(cell).replace('|', "\\|")).collect();
        line(out, &format!("| {} |", cells.join(" | ")));
    }
    line(out, "");
}

fn decisions(out: &mut String, ramp: &RampModel) {
    let schedule = &ramp.schedule;
    line(
        out,
        &format!(
            "**{}** against **{}**, as of {}. Gate: **{}**.",
            escape(&schedule.candidate),
            escape(&schedule.baseline),
            time::format(schedule.as_of),
            ramp.gate.outcome.name()
        ),
    );
    line(out, "");
    line(out, "## Decisions");
    line(out, "");
    let lines = layer_lines(&ramp.analysis, schedule);
    table(
        out,
        &["tenant", "layer", "users", "exposed", "QoS baseline", "QoS candidate", "SRM", "verdict", "ratio", "why"],
        lines.into_iter().map(|l| {
            vec![
                l.tenant,
                l.layer,
                l.n_users.to_string(),
                l.n_exposed.to_string(),
                l.qos_baseline,
                l.qos_candidate,
                l.srm,
                l.verdict.into(),
                l.ratios,
                l.reason,
            ]
        }),
    );
}

fn gate(out: &mut String, ramp: &RampModel) {
    line(out, "## Gate");
    line(out, "");
    let open = ramp.gate.checks.iter().filter(|check| check.outcome != GateOutcome::Pass);
    let n_passed = ramp.gate.checks.iter().filter(|check| check.outcome == GateOutcome::Pass).count();
    line(out, &format!("{n_passed} of {} checks passed. The others:", ramp.gate.checks.len()));
    line(out, "");
    table(
        out,
        &["check", "layer", "outcome", "found", "what would make it pass"],
        open.map(|c| {
            vec![c.check.clone(), c.layer.clone(), c.outcome.name().into(), c.detail.clone(), c.remedy.clone().unwrap_or_default()]
        }),
    );
}

fn effects(out: &mut String, ramp: &RampModel) {
    line(out, "## Effects in the current stage");
    line(out, "");
    line(out, "Candidate minus baseline, same layer, same time. The interval holds at every look.");
    line(out, "");
    let mut rows = Vec::new();
    for layer in &ramp.analysis.layers {
        let Some(stage) = layer.current() else { continue };
        let mut add = |metric: &str, effect: &Known<Effect>| {
            if let Known::Value(e) = effect {
                rows.push(vec![
                    layer.tenant.clone(),
                    layer.layer.clone(),
                    metric.to_owned(),
                    number(e.control),
                    number(e.treatment),
                    number(e.effect_size),
                    format!("[{}, {}]", number(e.anytime.ci_lower), number(e.anytime.ci_upper)),
                    p_value(e.anytime_p_value),
                ]);
            }
        };
        add("QoS", &stage.qos.effect);
        stage.metrics.iter().for_each(|metric| add(&metric.metric, &metric.effect));
        add("latency_p95_ms", &stage.latency_p95_ms.effect);
    }
    table(out, &["tenant", "layer", "metric", "baseline", "candidate", "effect", "interval", "p"], rows.into_iter());
}

fn layers(out: &mut String, model: &Model) {
    line(out, "## Layers");
    line(out, "");
    line(
        out,
        &format!(
            "{} users, {} of them eligible, by {} at {}.",
            model.layering.n_users, model.layering.n_eligible, model.layering.mode, model.layering.as_of
        ),
    );
    line(out, "");
    table(
        out,
        &["tenant", "layer", "users", "share", "eligible", ""],
        model.layering.layers.iter().map(|l| {
            let note = if l.too_small { "too small to judge" } else { "" };
            vec![l.tenant.clone(), l.layer.clone(), l.n_users.to_string(), percent(l.share), l.n_eligible.to_string(), note.into()]
        }),
    );
}

fn quality(out: &mut String, model: &Model) {
    line(out, "## Data quality");
    line(out, "");
    table(out, &["what", "count"], quality_rows(model).into_iter().map(|(what, n)| vec![what, n.to_string()]));
}

/// Counts of the data's quality with their names for people; shared with the HTML report.
pub(super) fn quality_rows(model: &Model) -> Vec<(String, u64)> {
    let l = &model.layering;
    let mut rows: Vec<(String, u64)> = vec![
        ("users without a last use".into(), l.missing.last_use_time),
        ("users without a use count".into(), l.missing.use_count),
        ("users without a value".into(), l.missing.user_value),
        ("users without an acceptance score (A counts as 0)".into(), l.missing.accept_score),
        ("users of whom nothing is known (placed by the unknown policy)".into(), l.n_unknown),
        ("users placed by a tag rule".into(), l.n_tagged),
        (
            "parts clamped: recency, frequency, value, acceptance".into(),
            l.clamped.last_use_time + l.clamped.use_count + l.clamped.user_value + l.clamped.accept_score,
        ),
        ("further rows of users that were there already".into(), l.n_duplicates),
    ];
    if let Some(events) = &l.events {
        rows.push(("events used".into(), events.n_events));
        rows.push(("events at or after as_of (not known yet)".into(), events.n_after_as_of));
    }
    rows.extend(l.bad_rows.iter().map(|(reason, n)| (format!("user rows left out: {reason}"), *n)));
    if let Some(ramp) = &model.ramp {
        let r = &ramp.analysis.data.rows;
        rows.extend([
            ("traffic rows".into(), r.n_rows),
            ("rows in the baseline".into(), r.n_baseline),
            ("rows in the candidate".into(), r.n_candidate),
            ("rows of users who did not consent (in neither arm)".into(), r.n_ineligible),
            ("of these: answered by the candidate all the same".into(), r.n_ineligible_candidate),
            ("rows of an unknown release".into(), r.n_unknown_release),
            ("rows of users without a layer".into(), r.n_unknown_user),
            ("shadow rows".into(), r.n_shadow),
            ("rows before the plan's start".into(), r.n_before_start),
            ("rows at or after as_of".into(), r.n_after_as_of),
            ("rows coloured with another layer".into(), r.n_layer_differs),
            ("bad rows left out".into(), r.n_bad),
        ]);
        if ramp.schedule.profile != "external" {
            rows.push(("rows in another release than bucket and ratio say".into(), r.n_misassigned));
        }
        rows.extend(r.bad_rows.iter().map(|(reason, n)| (format!("traffic rows left out: {reason}"), *n)));
        let crossovers: u64 = ramp.analysis.layers.iter().flat_map(|l| &l.stages).map(|s| s.users.crossover).sum();
        rows.push(("users seen in both releases within a stage (left out of user counts)".into(), crossovers));
    }
    rows
}

fn inputs(out: &mut String, model: &Model) {
    let study = &model.study;
    line(out, "## Inputs");
    line(out, "");
    line(out, &format!("sluice {}, seed {}, scenario `{}`.", study.version, study.seed, study.scenario_digest));
    line(out, "");
    let traffic = model.ramp.iter().flat_map(|ramp| &ramp.analysis.data.sources);
    table(out, &["file", "digest"], model.layering.sources.iter().chain(traffic).map(|f| vec![f.name.clone(), format!("`{}`", f.digest)]));
}

/// Keeps text from becoming markup; newlines become spaces.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace(['\n', '\r'], " ")
}
