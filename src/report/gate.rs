//! The gate's report: for a pull request, and for a browser.

use serde_json::Value;

use super::{
    html::{Cell, Page},
    markdown,
};
use crate::{
    gate::{GateCheck, GateOutcome, GateReport},
    number::number,
};

/// The gates of a release, in order, and what each is about.
const GATES: [(&str, &str); 8] = [
    ("record", "Record"),
    ("C1", "C1: tool schemas"),
    ("C2", "C2: evaluations"),
    ("C3", "C3: injection"),
    ("C4", "C4: cost"),
    ("C5", "C5: tools that change things"),
    ("output", "Forbidden outputs"),
    ("approval", "Approvals"),
];

/// Draws the report of a release's gate as Markdown.
pub fn gate_markdown(report: &GateReport) -> String {
    let mut out = String::new();
    let escape = markdown::escape;
    markdown::line(&mut out, &format!("# Gate of {}: {}", escape(&report.candidate), report.outcome.name()));
    markdown::line(&mut out, "");
    markdown::line(&mut out, &format!("Compared with {}.", escape(&report.baseline)));
    markdown::line(&mut out, "");
    let row = |check: &GateCheck| {
        let remedy = check.lifted_by.as_ref().map(|by| format!("lifted by {by}")).or_else(|| check.remedy.clone()).unwrap_or_default();
        vec![check.gate.clone(), place(check), check.outcome.name().to_owned(), check.detail.clone(), remedy]
    };
    let (open, passed): (Vec<&GateCheck>, Vec<&GateCheck>) = report.checks.iter().partition(|check| check.outcome != GateOutcome::Pass);
    if !open.is_empty() {
        markdown::table(&mut out, &["gate", "check", "outcome", "found", "to pass"], open.into_iter().map(row));
    }
    for (what, key) in [("got worse", "lost"), ("got better", "gained")] {
        for comparison in &report.comparisons {
            let cases: Vec<&str> = comparison[key].as_array().into_iter().flatten().filter_map(Value::as_str).take(20).collect();
            if !cases.is_empty() {
                let n = comparison[format!("n_{key}")].as_u64().unwrap_or_default();
                let of = format!("{} of {}", text(&comparison["metric"]), text(&comparison["suite"]));
                markdown::line(&mut out, &format!("Cases that {what} ({}), {n}: {}", escape(&of), escape(&cases.join(", "))));
                markdown::line(&mut out, "");
            }
        }
    }
    if let Some(steps) = report.rollback.as_ref().and_then(|rollback| rollback["steps"].as_array()) {
        markdown::line(&mut out, "Roll back, one at a time:");
        markdown::line(&mut out, "");
        for (idx, step) in steps.iter().enumerate() {
            markdown::line(&mut out, &format!("{}. {}", idx + 1, escape(&step_of(step))));
        }
        markdown::line(&mut out, "");
    }
    if !passed.is_empty() {
        markdown::line(&mut out, &format!("{} checks passed:", passed.len()));
        markdown::line(&mut out, "");
        markdown::table(
            &mut out,
            &["gate", "check", "found"],
            passed.into_iter().map(|check| vec![check.gate.clone(), place(check), check.detail.clone()]),
        );
    }
    for not_asked in &report.not_asked {
        markdown::line(&mut out, &format!("Not asked: {}", escape(not_asked)));
        markdown::line(&mut out, "");
    }
    markdown::table(&mut out, &["input", "digest"], digests(report).into_iter().map(|(name, digest)| vec![name, format!("`{digest}`")]));
    out
}

fn digests(report: &GateReport) -> Vec<(String, String)> {
    let records = report.subjects.iter().map(|subject| (format!("record of {}", subject.release_id), subject.digest.clone()));
    let policy = report.policy_digest.iter().map(|digest| ("policy".to_owned(), digest.clone()));
    records.chain(policy).chain(report.inputs.iter().map(|input| (input.name.clone(), input.digest.clone()))).collect()
}

fn place(check: &GateCheck) -> String {
    let layer =
        [check.tenant.as_str(), check.layer.as_str()].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" / ");
    if layer.is_empty() { check.check.clone() } else { format!("{} ({layer})", check.check) }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn step_of(step: &Value) -> String {
    let (from, to) = (text(&step["from"]), text(&step["to"]));
    let refs = if from.is_empty() && to.is_empty() { String::new() } else { format!("{from} -> {to}: ") };
    format!("{refs}{}", text(&step["why"]))
}

/// Draws the report of a release's gate as a page.
pub fn gate_html(report: &GateReport) -> String {
    let mut page = Page { html: String::new(), several_tenants: false };
    page.open(&format!("Gate of {}", report.candidate), &format!("Compared with {}.", report.baseline));
    page.raw(&format!("<p>Gate: <span class=\"badge {0}\">{0}</span></p>\n", report.outcome.name()));
    let word = |text: String| Cell::Text(text);
    let mut gates: Vec<(&str, &str)> = GATES.to_vec();
    gates.extend(report.checks.iter().any(|check| check.gate == "canary").then_some(("canary", "Canary")));
    gates.extend(report.checks.iter().any(|check| check.gate == "ramp").then_some(("ramp", "Ramp")));
    for (gate, title) in gates {
        let checks: Vec<&GateCheck> = report.checks.iter().filter(|check| check.gate == gate).collect();
        if checks.is_empty() {
            continue;
        }
        page.raw(&format!("<h2>{title}</h2>\n"));
        page.table(
            title,
            &["check", "outcome", "found", "what would make it pass"],
            checks.into_iter().map(|check| {
                let remedy =
                    check.lifted_by.as_ref().map(|by| format!("lifted by {by}")).or_else(|| check.remedy.clone()).unwrap_or_default();
                vec![word(place(check)), Cell::Badge(check.outcome.name().into()), word(check.detail.clone()), word(remedy)]
            }),
        );
    }
    comparisons(&mut page, report);
    if let Some(steps) = report.rollback.as_ref().and_then(|rollback| rollback["steps"].as_array()) {
        page.raw("<h2>Roll back, one dimension at a time</h2>\n");
        page.table(
            "The next one only if the one before did not help",
            &["step", "what"],
            steps.iter().enumerate().map(|(idx, step)| vec![Cell::Number((idx + 1).to_string()), word(step_of(step))]),
        );
    }
    if !report.not_asked.is_empty() {
        page.raw("<h2>Not asked</h2>\n");
        page.table("What was not checked", &["what"], report.not_asked.iter().map(|text| vec![word(text.clone())]));
    }
    page.raw("<h2>Inputs</h2>\n");
    page.table(
        "What the report rests on",
        &["input", "digest"],
        digests(report).into_iter().map(|(name, digest)| vec![word(name), Cell::Long(digest)]),
    );
    page.close()
}

fn comparisons(page: &mut Page, report: &GateReport) {
    if report.comparisons.is_empty() {
        return;
    }
    let show = |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), number);
    page.raw("<h2>Candidate against baseline, case by case</h2>\n");
    page.table(
        "Metrics on the same cases",
        &[
            "suite",
            "metric",
            "pairs",
            "baseline",
            "candidate",
            "difference",
            "interval",
            "margin",
            "p (corrected)",
            "finds",
            "better",
            "worse",
        ],
        report.comparisons.iter().map(|c| {
            let interval = &c["interval"];
            let ends = if interval["ci_lower"].is_number() {
                format!("[{}, {}]", show(&interval["ci_lower"]), show(&interval["ci_upper"]))
            } else {
                "-".into()
            };
            let mut cells = vec![Cell::Text(text(&c["suite"])), Cell::Text(text(&c["metric"]))];
            let numbers = [
                show(&c["n_pairs"]),
                show(&c["means"][0]),
                show(&c["means"][1]),
                show(&c["difference"]),
                ends,
                show(&c["margin"]),
                show(&c["p_value_adj"]),
                show(&c["mde"]),
                show(&c["n_gained"]),
                show(&c["n_lost"]),
            ];
            cells.extend(numbers.map(Cell::Number));
            cells
        }),
    );
    for (key, title) in [("lost", "Cases that got worse"), ("gained", "Cases that got better")] {
        let cases: Vec<Vec<Cell>> = report
            .comparisons
            .iter()
            .flat_map(|c| {
                c[key]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(move |case| vec![Cell::Text(text(&c["suite"])), Cell::Text(text(&c["metric"])), Cell::Text(text(case))])
            })
            .collect();
        if !cases.is_empty() {
            page.table(title, &["suite", "metric", "case"], cases);
        }
    }
}
