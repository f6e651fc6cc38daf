//! The gate of a release: what its page and its Markdown share.

use serde_json::Value;

use crate::gate::{GateCheck, GateOutcome, GateReport};
use crate::words::gate as says;
use crate::words::{Lang, Text, Words};

/// The gates in order, with their titles.
fn gates(words: &Words) -> [(&'static str, &'static str); 10] {
    [
        ("record", words.gate_record),
        ("C1", words.gate_c1),
        ("C2", words.gate_c2),
        ("C3", words.gate_c3),
        ("C4", words.gate_c4),
        ("C5", words.gate_c5),
        ("output", words.gate_output),
        ("approval", words.gate_approval),
        ("canary", words.gate_canary),
        ("ramp", words.gate_ramp),
    ]
}

/// The title of a check's gate.
pub(super) fn gate_title(check: &GateCheck, words: &Words) -> String {
    let gates = gates(words);
    let found = gates.iter().find(|(gate, _)| *gate == check.gate);
    found.map_or_else(|| check.gate.clone(), |(_, title)| (*title).to_owned())
}

/// The checks that did not pass, the worst first, and those that passed.
pub(super) fn open_and_passed(report: &GateReport) -> (Vec<&GateCheck>, Vec<&GateCheck>) {
    let (mut open, passed): (Vec<&GateCheck>, Vec<&GateCheck>) = report
        .checks
        .iter()
        .partition(|check| check.outcome != GateOutcome::Pass);
    open.sort_by_key(|check| std::cmp::Reverse(check.outcome));
    (open, passed)
}

/// Whether the candidate may start, in one or two words.
pub(super) fn short_answer(report: &GateReport) -> Text {
    match report.outcome {
        _ if report.checks.is_empty() => says::not_enough_evidence(),
        GateOutcome::Pass => says::yes(),
        GateOutcome::Warn => says::yes_with_warnings(),
        GateOutcome::Inconclusive => says::not_enough_evidence(),
        GateOutcome::Fail => says::no(),
    }
}

/// The id of a check with its title and its layer.
pub(super) fn check_name(check: &GateCheck, lang: Lang) -> String {
    let title = says::check_title(&check.check);
    let title = title.of(lang);
    let parts = [check.tenant.as_str(), check.layer.as_str()];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let name = match parts.is_empty() {
        true => check.check.clone(),
        false => format!("{} ({})", check.check, parts.join(" / ")),
    };
    if title == check.check {
        return name;
    }
    let colon = match lang {
        Lang::En => ": ",
        Lang::Zh => "：",
    };
    format!("{name}{colon}{title}")
}

/// What would make a check pass, or who lifted it.
pub(super) fn remedy(check: &GateCheck, lang: Lang) -> String {
    let lifted = check.lifted_by.as_deref().map(says::lifted);
    let text = lifted.or_else(|| check.remedy());
    text.map_or_else(String::new, |text| text.of(lang).to_owned())
}

/// The steps of the proposed rollback; `None` without one.
pub(super) fn steps(report: &GateReport) -> Option<&Vec<Value>> {
    report.rollback.as_ref()?["steps"].as_array()
}

/// One step of a rollback in words.
pub(super) fn step_text(step: &Value, lang: Lang) -> String {
    let text = |key: &str| step[key].as_str().unwrap_or_default();
    let why = lang.pick(text("why"), text("why_zh"));
    match (text("from"), text("to")) {
        ("", "") => why.to_owned(),
        (from, to) => format!("{from} → {to}: {why}"),
    }
}

/// The records, the policy and the inputs with their digests.
pub(super) fn digests(report: &GateReport) -> Vec<(String, String)> {
    let records = report.subjects.iter().map(|subject| {
        let name = format!("record of {}", subject.release_id);
        (name, subject.digest.clone())
    });
    let policy = report.policy_digest.iter();
    let policy = policy.map(|digest| ("policy".to_owned(), digest.clone()));
    let inputs = report.inputs.iter();
    let inputs = inputs.map(|input| (input.name.clone(), input.digest.clone()));
    records.chain(policy).chain(inputs).collect()
}
