//! Findings of the gate of a release.

use serde_json::Value;
use std::path::Path;

use crate::gate::{GateCheck, GateReport};
use crate::pipeline::finding::{Finding, Findings, Level};
use crate::pipeline::place::{Place, PlacedFile};
use crate::words::gate as says;

/// The files that a gate read, for the places of its findings.
#[derive(Debug, Clone, Copy, Default)]
pub struct GateFiles<'a> {
    /// The candidate's record.
    pub candidate: Option<&'a Path>,
    /// The candidate's bundle of tools.
    pub tools: Option<&'a Path>,
    /// The logged calls of tools.
    pub calls: Option<&'a Path>,
    /// The evaluation results.
    pub evals: Option<&'a Path>,
    /// The analysis of a canary.
    pub analysis: Option<&'a Path>,
}

/// The keys of a record that a check reads, the first that the record has.
const KEYS: [(&str, &[&str]); 12] = [
    ("immutable", &["release_id"]),
    ("baseline", &["baseline_release_id", "release_id"]),
    ("references", &["artifacts", "release_id"]),
    ("digests", &["git_sha", "artifacts", "release_id"]),
    ("moved_reference", &["artifacts", "release_id"]),
    ("single_dimension", &["artifacts", "release_id"]),
    ("rollback_target", &["rollback_target", "release_id"]),
    ("retention", &["rollback_target", "release_id"]),
    ("tenant", &["tenant_id", "release_id"]),
    ("cache_key", &["cache_key", "release_id"]),
    ("eval_fresh", &["evaluated_at", "release_id"]),
    ("eval_report", &["eval_report_uri", "release_id"]),
];

/// Returns the findings of a gate: one for each check, and one for each check that was not made.
/// Checks of the record have the line of their key, checks of tools that of the first tool.
pub fn from_gate(report: &GateReport, files: &GateFiles<'_>) -> Findings {
    let read = |path: Option<&Path>| path.and_then(PlacedFile::read);
    let files = Files {
        candidate: read(files.candidate),
        tools: read(files.tools),
        calls: read(files.calls),
        evals: read(files.evals),
        analysis: read(files.analysis),
    };
    let mut list: Vec<Finding> = report
        .checks
        .iter()
        .map(|check| Finding {
            place: files.place_of(check),
            ..finding(check)
        })
        .collect();
    list.extend(not_asked(report));
    let properties = [
        ("candidate", report.candidate.clone()),
        ("baseline", report.baseline.clone()),
        ("evidence", report.evidence_digest.clone()),
    ];
    Findings {
        command: "gate",
        level: report.outcome.into(),
        answer: report.answer(),
        next: report.next_step(),
        properties: properties
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect(),
        list,
    }
}

/// A check of a gate as a finding without a place.
pub(super) fn finding(check: &GateCheck) -> Finding {
    let parts = [check.tenant.as_str(), check.layer.as_str()];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let lifted = check.lifted_by.as_deref().map(says::lifted);
    Finding {
        rule: check.check.clone(),
        title: says::check_title(&check.check),
        group: check.gate.clone(),
        subject: parts.join(" / "),
        level: check.outcome.into(),
        found: check.found(),
        remedy: lifted.or_else(|| check.remedy()),
        place: None,
    }
}

/// The checks that were not made. Their texts start with the name of the check.
pub(super) fn not_asked(report: &GateReport) -> impl Iterator<Item = Finding> {
    report.not_asked_texts().into_iter().map(|text| {
        let rule = text.en.split(':').next().unwrap_or_default().to_owned();
        Finding {
            title: says::check_title(&rule),
            rule,
            group: "not_asked".to_owned(),
            subject: String::new(),
            level: Level::NotAsked,
            found: text,
            remedy: None,
            place: None,
        }
    })
}

struct Files {
    candidate: Option<PlacedFile>,
    tools: Option<PlacedFile>,
    calls: Option<PlacedFile>,
    evals: Option<PlacedFile>,
    analysis: Option<PlacedFile>,
}

impl Files {
    /// The place that a check is about. Without its own file it is the candidate's record.
    fn place_of(&self, check: &GateCheck) -> Option<Place> {
        let keys = KEYS.iter().find(|(name, _)| *name == check.check);
        let own = match check.check.as_str() {
            "tool_schema" | "tool_safety" | "tool_bundle" | "write_tools" => {
                self.tools.as_ref().map(|file| tool_place(file, check))
            }
            "tool_arguments" => self.calls.as_ref().map(|file| file.key(&[])),
            "canary" => self.analysis.as_ref().map(|file| file.key(&[])),
            "injection" | "cost" | "forbidden_substrings" => self.evals.as_ref().map(|file| file.key(&[])),
            name if name.starts_with("eval_") && keys.is_none() => {
                self.evals.as_ref().map(|file| file.key(&[]))
            }
            _ => None,
        };
        let of_record = || {
            let record = self.candidate.as_ref()?;
            let first = check.evidence[0].as_str();
            // A reference that floats is listed as `reference (why)`.
            let reference = first.and_then(|text| text.split(" (").next());
            let by_value = reference.map(|reference| record.value(reference));
            let keys = keys.map_or(&["approvers", "release_id"][..], |(_, keys)| keys);
            Some(
                by_value
                    .filter(|place| place.line.is_some())
                    .unwrap_or_else(|| record.key(keys)),
            )
        };
        own.or_else(of_record)
    }
}

/// The place of the first tool that a check of tools names, else of the bundle.
fn tool_place(file: &PlacedFile, check: &GateCheck) -> Place {
    let evidence = &check.evidence;
    let named = evidence[0].as_str();
    let changes = evidence["changes"].as_array().into_iter().flatten();
    // The first change of the worst level that is in a tool.
    let level = |level: &str| {
        let in_tool = |change: &&Value| change["level"] == level && change["tool"] != "";
        changes.clone().find(in_tool)
    };
    let change = level("error").or_else(|| level("warning"));
    let name = named.or_else(|| change?["tool"].as_str());
    name.map_or_else(|| file.key(&[]), |name| file.item("name", name))
}
