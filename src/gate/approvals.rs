//! Approvals: the people that a release needs, and recorded exceptions that lift one check of one
//! release record until a date.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

use crate::base::error::{Error, Problem, Result};
use crate::base::instant::RawInstant;
use crate::base::skeleton::hidden_char;
use crate::base::time::Micros;
use crate::base::{skeleton, time, toml_file};
use crate::gate::checklist::Checks;
use crate::gate::document::{GateCheck, GateOutcome};
use crate::gate::evidence::{Approval, GateEvidence};
use crate::release::{Approver, ApproverKind, RiskLevel};
use crate::words::gate as says;
use crate::words::{Few, Text, Things, When};

/// The largest number of approvers in a sentence.
const NAMED: usize = 10;

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
    kind: Option<String>,
    reason: String,
    expires: RawInstant,
}

/// Parses `[[approval]]` of a TOML text, with the keys `check`, `release_digest`, `by`, `kind`,
/// `reason` and `expires`. `location` names the text in errors.
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
        let known = crate::gate::strictness::CHECKS
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
        if hidden_char(&raw.by).is_some() {
            wrong("by", "a name without invisible characters");
        }
        let kind = raw.kind.as_deref().unwrap_or("human");
        if !["human", "bot"].contains(&kind) {
            wrong("kind", "human or bot");
        }
        match raw.expires.parse() {
            Err(why) => problems.push(Problem::new(
                format!("approval[{}].expires", idx + 1),
                why.message(raw.expires.text()),
            )),
            Ok(expires) => approvals.push(Approval {
                check: raw.check,
                release_digest: raw.release_digest,
                is_program: kind == "bot" || skeleton::is_program(&raw.by),
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
                Some(says::for_other_record())
            } else if approval.is_program {
                Some(says::by_program())
            } else {
                // The end of the analysis is no substitute for the time of the judgment: an old
                // analysis would revive an expired approval. A judgment before that end is one of
                // that end.
                let end = evidence.analysis.map_or(Micros::MIN, |analysis| analysis.as_of);
                match evidence.as_of.map(|as_of| as_of.max(end)) {
                    None => Some(says::without_as_of()),
                    Some(now) if now >= approval.expires => {
                        Some(says::expired(When(approval.expires, &time::Zone::default())))
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
                Some(why) => {
                    let found = [check.found(), says::approval_is_void(&approval.by, why)];
                    let Text { en, zh } = Text::sentences(&found);
                    (check.detail, check.detail_zh) = (en, zh);
                }
            }
        }
    }
}

/// Says which approvers look alike and count as one person. Empty if there are none.
fn alike_texts(approvers: &[Approver]) -> Vec<Text> {
    let mut alike: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for approver in approvers {
        alike
            .entry(skeleton::person(&approver.id))
            .or_default()
            .insert(&approver.id);
    }
    let several = alike.values().filter(|names| names.len() > 1);
    several
        .map(|names| {
            let names: Vec<&str> = names.iter().copied().collect();
            says::look_alike(names)
        })
        .collect()
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
            .map(|a| skeleton::person(&a.id))
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
    let level = match record.risk_level {
        Some(level) => level.name().into(),
        None => says::level_not_said(),
    };
    let names: Vec<&str> = record.approvers.iter().map(|a| a.id.as_str()).collect();
    let approved = match names.is_empty() {
        true => says::approved_by(level, says::no_approver()),
        false => says::approved_by(level, Few(&names, NAMED)),
    };
    let mut detail = vec![approved];
    detail.extend(alike_texts(&record.approvers));
    let mut remedy = vec![says::approve(
        Things(needed as u64, "approval"),
        "`{id, kind = \"human\"}`",
    )];
    if record.risk_level.is_none() {
        remedy.push(says::or_level());
    }
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
    let [detail, remedy] = [detail, remedy].map(|sentences| Text::sentences(&sentences));
    checks.record("approvers", outcome, detail, remedy);
}
