//! Checks of the release record: immutability, complete references, and a rollback target.

use serde_json::json;

use crate::base::time;
use crate::base::time::Micros;
use crate::gate::checklist::Checks;
use crate::gate::document::GateOutcome;
use crate::gate::evidence::{GateEvidence, rollback_target};
use crate::release::{Registration, ReleaseRecord, changes, reference};

pub(super) fn checks(evidence: &GateEvidence<'_>, checks: &mut Checks<'_>) {
    let (candidate, baseline) = (evidence.candidate, evidence.baseline);
    immutable(evidence, checks);
    let named = candidate.baseline_release_id.as_deref();
    match named {
        Some(named) if named != baseline.release_id => {
            checks.record(
                "baseline",
                GateOutcome::Fail,
                format!(
                    "the record names {named} as its baseline, compared with {}",
                    baseline.release_id
                ),
                "compare with the baseline that the record names",
            );
        }
        _ if baseline.digest == candidate.digest || baseline.release_id == candidate.release_id => {
            checks.record(
                "baseline",
                GateOutcome::Fail,
                "baseline and candidate are the same release",
                "name two releases",
            );
        }
        _ => drop(checks.record(
            "baseline",
            GateOutcome::Pass,
            format!("compared with {}", baseline.release_id),
            "",
        )),
    }
    references(candidate, checks);
    dimensions(evidence, checks);
    going_back(evidence, checks);
    tenancy(evidence, checks);
    evaluation(evidence, checks);
}

fn immutable(evidence: &GateEvidence<'_>, checks: &mut Checks<'_>) {
    match &evidence.seen {
        None => {}
        Some(Registration::Changed(before)) => {
            let detail = format!(
                "{} was {before} before, is {} now",
                evidence.candidate.release_id, evidence.candidate.digest
            );
            checks.record(
                "immutable",
                GateOutcome::Fail,
                detail,
                "a new release with a new id: records do not change",
            );
        }
        Some(Registration::New | Registration::Same) => drop(checks.record(
            "immutable",
            GateOutcome::Pass,
            evidence.candidate.digest.clone(),
            "",
        )),
    }
}

fn references(candidate: &ReleaseRecord, checks: &mut Checks<'_>) {
    let named = candidate.artifacts.iter().flatten().chain(&candidate.eval_set);
    let floating: Vec<String> = named
        .clone()
        .filter_map(|artifact| Some(format!("{}: {}", artifact.reference, artifact.floats_because()?)))
        .collect();
    let remedy = "the digest of what was tested, beside each reference";
    if floating.is_empty() {
        checks.record(
            "references",
            GateOutcome::Pass,
            "every reference names one version",
            "",
        );
    } else {
        checks
            .record("references", GateOutcome::Fail, floating.join("; "), remedy)
            .evidence = json!(floating);
    }
    let mut cut: Vec<String> = named
        .filter(|artifact| artifact.digest.is_some() && !artifact.has_whole_digest())
        .map(|artifact| artifact.reference.clone())
        .collect();
    if let Some(sha) = candidate.git_sha.as_ref().filter(|sha| {
        !(sha.len() == 40 || sha.len() == 64) || !sha.bytes().all(|byte| byte.is_ascii_hexdigit())
    }) {
        cut.push(format!("git_sha {sha}"));
    }
    if candidate.git_sha.is_none() {
        cut.push("git_sha is missing".into());
    }
    if candidate
        .eval_report_digest
        .as_deref()
        .is_some_and(|digest| !reference::is_whole_digest(digest))
    {
        cut.push("eval_report_digest".into());
    }
    if cut.is_empty() {
        checks.record("digests", GateOutcome::Pass, "every digest is whole", "");
    } else {
        checks
            .record(
                "digests",
                GateOutcome::Fail,
                format!("not whole: {}", cut.join(", ")),
                "all hex digits: other content can have the same part of a digest",
            )
            .evidence = json!(cut);
    }
}

fn dimensions(evidence: &GateEvidence<'_>, checks: &mut Checks<'_>) {
    let changed = changes(evidence.baseline, evidence.candidate);
    let moved: Vec<&str> = changed
        .iter()
        .filter(|change| change.moved)
        .map(|change| change.dimension.name())
        .collect();
    // Without a digest under the same name, a change of content cannot be excluded.
    let lost = changed.iter().filter(|change| match (&change.from, &change.to) {
        (Some(from), Some(to)) => {
            from.reference == to.reference && from.has_whole_digest() && !to.has_whole_digest()
        }
        _ => false,
    });
    let lost: Vec<&str> = lost.map(|change| change.dimension.name()).collect();
    if moved.is_empty() && !lost.is_empty() {
        let detail = format!(
            "the baseline has a digest, the candidate has none: {}",
            lost.join(", ")
        );
        checks.record(
            "moved_reference",
            GateOutcome::Inconclusive,
            detail,
            "the digest of what was tested",
        );
    } else if moved.is_empty() {
        checks.record(
            "moved_reference",
            GateOutcome::Pass,
            "no reference has moved to another content",
            "",
        );
    } else {
        let detail = format!("the same reference with another digest: {}", moved.join(", "));
        checks.record(
            "moved_reference",
            GateOutcome::Fail,
            detail,
            "a new version for new content",
        );
    }
    let names: Vec<&str> = changed
        .iter()
        .filter(|change| change.changed)
        .map(|change| change.dimension.name())
        .collect();
    let most = checks.policy.record.max_changed_dimensions;
    let outcome = if names.len() > most {
        GateOutcome::Fail
    } else {
        GateOutcome::Pass
    };
    let detail = if names.is_empty() {
        "only the code changed".into()
    } else {
        format!("changed: {}", names.join(", "))
    };
    let remedy =
        "one release for each dimension: if several change at once, the cause of an effect cannot be found";
    checks
        .record("single_dimension", outcome, detail, remedy)
        .evidence = json!(changed.iter().filter(|change| change.changed).collect::<Vec<_>>());
}

fn going_back(evidence: &GateEvidence<'_>, checks: &mut Checks<'_>) {
    let target = rollback_target(evidence);
    let named = evidence.candidate.rollback_target.as_deref();
    match (named, target) {
        (None, _) => checks.record(
            "rollback_target",
            GateOutcome::Inconclusive,
            "the record names none",
            "`rollback_target`: the last stable release",
        ),
        (Some(named), None) => checks.record(
            "rollback_target",
            GateOutcome::Fail,
            format!("{named} is not among the records"),
            "its record, with --records",
        ),
        (Some(named), Some(_)) if named == evidence.candidate.release_id => checks.record(
            "rollback_target",
            GateOutcome::Fail,
            "the release names itself",
            "the last stable release",
        ),
        (Some(named), Some(_)) => checks.record("rollback_target", GateOutcome::Pass, named, ""),
    };
    let rule = &checks.policy.record;
    let (needed, default) = (rule.maturity_hours, rule.retention_hours);
    let Some(target) = target else {
        checks.record(
            "retention",
            GateOutcome::Inconclusive,
            "the record of the rollback target is missing",
            "the record of the rollback target",
        );
        return;
    };
    let kept: Vec<(String, Option<u64>)> = target
        .artifacts
        .iter()
        .flatten()
        .map(|artifact| (artifact.reference.clone(), artifact.retention_hours.or(default)))
        .collect();
    let short: Vec<String> = kept
        .iter()
        .filter_map(|(name, hours)| {
            hours
                .filter(|hours| *hours < needed)
                .map(|hours| format!("{name} is kept {hours} h"))
        })
        .collect();
    let unknown: Vec<&str> = kept
        .iter()
        .filter(|(_, hours)| hours.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    let remedy = format!(
        "keep the artifacts of the rollback target for {needed} h, until the slowest deciding metric has matured (`retention_hours` in the record, or in [gate.record])"
    );
    if !short.is_empty() {
        checks.record(
            "retention",
            GateOutcome::Fail,
            format!(
                "{}; the slowest deciding metric matures after {needed} h",
                short.join(", ")
            ),
            &remedy,
        );
    } else if !unknown.is_empty() {
        checks.record(
            "retention",
            GateOutcome::Inconclusive,
            format!(
                "the retention of these artifacts is not known: {}",
                unknown.join(", ")
            ),
            &remedy,
        );
    } else {
        checks.record(
            "retention",
            GateOutcome::Pass,
            format!("all kept for {needed} h"),
            "",
        );
    }
}

fn tenancy(evidence: &GateEvidence<'_>, checks: &mut Checks<'_>) {
    match (&evidence.baseline.tenant_id, &evidence.candidate.tenant_id) {
        (Some(a), Some(b)) if a != b => checks.record(
            "tenant",
            GateOutcome::Fail,
            format!("baseline of {a}, candidate of {b}"),
            "records of one tenant",
        ),
        (_, Some(tenant)) => checks.record("tenant", GateOutcome::Pass, tenant.clone(), ""),
        (_, None) => checks.record(
            "tenant",
            GateOutcome::Warn,
            "the candidate's record names no tenant",
            "`tenant_id`: ids are only unique within one",
        ),
    };
    if let Some(parts) = &evidence.candidate.cache_key {
        let has = |word: &str| parts.iter().any(|part| part.to_ascii_lowercase().contains(word));
        let missing: Vec<&str> = [("tenant", "tenant_id"), ("release", "release_id")]
            .into_iter()
            .filter(|(word, _)| !has(word))
            .map(|(_, name)| name)
            .collect();
        if missing.is_empty() {
            checks.record("cache_key", GateOutcome::Pass, parts.join(", "), "");
        } else {
            let detail = format!("{} without {}", parts.join(", "), missing.join(" and "));
            checks.record(
                "cache_key",
                GateOutcome::Fail,
                detail,
                "tenant and release in the key, so that their caches stay separate",
            );
        }
    } else {
        checks.record(
            "cache_key",
            GateOutcome::Inconclusive,
            "the record does not name the parts of the cache key",
            "`cache_key = [\"tenant_id\", \"release_id\", ...]`",
        );
    }
}

fn evaluation(evidence: &GateEvidence<'_>, checks: &mut Checks<'_>) {
    let candidate = evidence.candidate;
    let made: Vec<(String, Option<Micros>)> = changes(evidence.baseline, candidate)
        .into_iter()
        .filter(|change| change.changed)
        .filter_map(|change| change.to)
        .map(|artifact| {
            (
                artifact.reference.clone(),
                artifact
                    .created_at
                    .as_deref()
                    .and_then(|text| time::parse(text).ok()),
            )
        })
        .collect();
    let remedy = "`evaluated_at` in the record and `created_at` in each changed artifact, the evaluation the later one";
    match candidate.evaluated_at {
        _ if made.is_empty() => checks.record("eval_fresh", GateOutcome::Pass, "no dimension changed", ""),
        None => checks.record(
            "eval_fresh",
            GateOutcome::Inconclusive,
            "the record does not say when it was evaluated",
            remedy,
        ),
        Some(at) => {
            let older: Vec<&str> = made
                .iter()
                .filter(|(_, made)| made.is_some_and(|made| made > at))
                .map(|(name, _)| name.as_str())
                .collect();
            let unknown: Vec<&str> = made
                .iter()
                .filter(|(_, made)| made.is_none())
                .map(|(name, _)| name.as_str())
                .collect();
            if !older.is_empty() {
                checks.record(
                    "eval_fresh",
                    GateOutcome::Fail,
                    format!(
                        "evaluated at {} before these were made: {}",
                        time::format(at),
                        older.join(", ")
                    ),
                    "evaluate the released artifacts",
                )
            } else if !unknown.is_empty() {
                checks.record(
                    "eval_fresh",
                    GateOutcome::Inconclusive,
                    format!(
                        "the creation time of these artifacts is not known: {}",
                        unknown.join(", ")
                    ),
                    remedy,
                )
            } else {
                checks.record(
                    "eval_fresh",
                    GateOutcome::Pass,
                    format!("evaluated at {}, after every change", time::format(at)),
                    "",
                )
            }
        }
    };
    let uri = candidate.eval_report_uri.as_deref();
    match (uri, &candidate.eval_report_digest, &evidence.eval_report) {
        (_, Some(noted), Some(found)) if noted != found => checks.record(
            "eval_report",
            GateOutcome::Fail,
            format!("the report is {found}, the record says {noted}"),
            "the report with the digest in the record",
        ),
        (None, _, _) => checks.record(
            "eval_report",
            GateOutcome::Warn,
            "the record names no report",
            "`eval_report_uri`, with its digest as `eval_report_digest`",
        ),
        (Some(uri), Some(_), Some(_)) => checks.record(
            "eval_report",
            GateOutcome::Pass,
            format!("{uri}, digest checked"),
            "",
        ),
        (Some(uri), Some(_), None) => checks.record(
            "eval_report",
            GateOutcome::Warn,
            format!("{uri}, digest not checked"),
            "--eval-report FILE",
        ),
        (Some(uri), None, _) => checks.record(
            "eval_report",
            GateOutcome::Warn,
            format!("{uri} without a digest: what it says may change"),
            "`eval_report_digest` in the record",
        ),
    };
}
