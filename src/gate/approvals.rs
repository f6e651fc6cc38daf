//! Approvals: the people that a release needs, and recorded exceptions that lift one check of one
//! release record until a date.

use serde::Deserialize;
use std::collections::BTreeSet;

use crate::base::error::{Error, Problem, Result};
use crate::base::instant::RawInstant;
use crate::base::{time, toml_file};
use crate::gate::checklist::Checks;
use crate::gate::document::{GateCheck, GateOutcome};
use crate::gate::evidence::{Approval, GateEvidence};
use crate::release::{ApproverKind, RiskLevel};

/// Checks that no approval can lift. They show whether the evidence belongs to this release at all.
const NEVER_LIFTED: [&str; 4] = ["immutable", "moved_reference", "tool_bundle", "approvers"];

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ApprovalFile {
    approval: Vec<RawApproval>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawApproval {
    check: String,
    release_digest: String,
    by: String,
    reason: String,
    expires: RawInstant,
}

/// Parses `[[approval]]` of a TOML text, with the keys `check`, `release_digest`, `by`, `reason`
/// and `expires`. `location` names the text in errors.
///
/// # Errors
/// The text has wrong keys or values. One error reports all of them.
pub fn parse_approvals(text: &str, location: &str) -> Result<Vec<Approval>> {
    let mut problems = Vec::new();
    let file: ApprovalFile = toml_file::read_toml(text, &mut problems);
    let mut approvals = Vec::new();
    for (idx, raw) in file.approval.into_iter().enumerate() {
        let mut wrong = |key: &str, expected: &str| {
            problems.push(Problem::new(
                format!("approval[{}].{key}", idx + 1),
                format!("expected {expected}, found another value"),
            ))
        };
        let known = crate::gate::policy::CHECKS
            .iter()
            .any(|(name, _, _)| *name == raw.check);
        if !known || NEVER_LIFTED.contains(&raw.check.as_str()) {
            wrong("check", "a check that can be lifted");
        }
        if !crate::release::reference::is_whole_digest(&raw.release_digest) {
            wrong(
                "release_digest",
                "`sha256:` and 64 hex digits (`sluice record show` prints it)",
            );
        }
        for (key, text) in [("by", &raw.by), ("reason", &raw.reason)] {
            if text.trim().is_empty() {
                wrong(key, "text that is not empty");
            }
        }
        match raw.expires.parse() {
            Err(why) => problems.push(Problem::new(
                format!("approval[{}].expires", idx + 1),
                why.message(raw.expires.text()),
            )),
            Ok(expires) => approvals.push(Approval {
                check: raw.check,
                release_digest: raw.release_digest,
                by: raw.by,
                reason: raw.reason,
                expires,
            }),
        }
    }
    if problems.is_empty() {
        return Ok(approvals);
    }
    let placed = |p: Problem| Problem {
        location: format!("{location}: {}", p.location),
        ..p
    };
    Err(Error::scenario(problems.into_iter().map(placed).collect()))
}

/// Lifts the checks that a valid approval names. A lifted check warns and names the person. An
/// approval that does not apply is mentioned in the check's text, with the reason.
pub(super) fn lift(checks: &mut [GateCheck], evidence: &GateEvidence<'_>) {
    for check in checks
        .iter_mut()
        .filter(|check| check.outcome > GateOutcome::Warn && !NEVER_LIFTED.contains(&check.check.as_str()))
    {
        for approval in evidence
            .approvals
            .iter()
            .filter(|approval| approval.check == check.check)
        {
            let why_not = if approval.release_digest != evidence.candidate.digest {
                Some("is for another record".to_owned())
            } else {
                match evidence
                    .as_of
                    .or(evidence.analysis.map(|analysis| analysis.as_of))
                {
                    None => Some("cannot be checked without --as-of".to_owned()),
                    Some(now) if now >= approval.expires => {
                        Some(format!("expired at {}", time::format(approval.expires)))
                    }
                    Some(_) => None,
                }
            };
            match why_not {
                None => {
                    check.outcome = GateOutcome::Warn;
                    check.lifted_by = Some(format!(
                        "{} until {}: {}",
                        approval.by,
                        time::format(approval.expires),
                        approval.reason
                    ));
                    break;
                }
                Some(why) => check
                    .detail
                    .push_str(&format!("; the approval by {} {why}", approval.by)),
            }
        }
    }
}

/// Checks the approvers. A release of high or unknown risk needs several people. Bots do not count.
/// Names without a kind count only for one approval below high risk.
pub(super) fn approvers(evidence: &GateEvidence<'_>, checks: &mut Checks<'_>) {
    let record = evidence.candidate;
    let named = |kind: ApproverKind| -> BTreeSet<String> {
        record
            .approvers
            .iter()
            .filter(|a| a.kind == kind)
            .map(|a| a.id.trim().to_lowercase())
            .collect()
    };
    let people = named(ApproverKind::Human);
    let unknown: BTreeSet<String> = named(ApproverKind::Unknown)
        .difference(&people)
        .cloned()
        .collect();
    let needed = match record.risk_level {
        Some(RiskLevel::High) | None => checks.policy.record.high_risk_approvers,
        Some(_) => 1,
    };
    let level = record.risk_level.map_or("not said", RiskLevel::name);
    let list = record
        .approvers
        .iter()
        .map(|a| a.id.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    let detail = format!(
        "risk level {level}, approved by {}",
        if list.is_empty() { "nobody" } else { &list }
    );
    let remedy = format!(
        "{needed} different people, `{{id, kind = \"human\"}}` each{}",
        if record.risk_level.is_none() {
            ", or a `risk_level` below high"
        } else {
            ""
        }
    );
    let outcome = if people.len() >= needed {
        GateOutcome::Pass
    } else if people.len() + unknown.len() >= needed
        && record.risk_level.is_some_and(|level| level < RiskLevel::High)
    {
        // Below high risk, one name without a kind is enough.
        GateOutcome::Pass
    } else if people.len() + unknown.len() >= needed || record.risk_level.is_none() {
        GateOutcome::Inconclusive
    } else {
        GateOutcome::Fail
    };
    checks.record("approvers", outcome, detail, &remedy);
}
