//! Checks of the release record: immutability, complete references, and a rollback target.

use serde_json::json;

use crate::base::time;
use crate::base::time::{Micros, Zone};
use crate::gate::checklist::Checks;
use crate::gate::document::GateOutcome;
use crate::gate::evidence::{GateEvidence, rollback_target};
use crate::release::{Registration, ReleaseRecord, changes, reference};
use crate::words::gate as says;
use crate::words::{Few, Hours, Series, Text, When};

/// The largest number of references in a sentence.
const NAMED: usize = 8;

pub(super) fn checks(evidence: &GateEvidence<'_>, checks: &mut Checks<'_>) {
    let (candidate, baseline) = (evidence.candidate, evidence.baseline);
    immutable(evidence, checks);
    let named = candidate.baseline_release_id.as_deref();
    match named {
        Some(named) if named != baseline.release_id => {
            checks.record(
                "baseline",
                GateOutcome::Fail,
                says::other_baseline(named, &baseline.release_id),
                says::compare_with_named(),
            );
        }
        _ if baseline.digest == candidate.digest || baseline.release_id == candidate.release_id => {
            checks.record(
                "baseline",
                GateOutcome::Fail,
                says::same_release(),
                says::name_two(),
            );
        }
        _ => drop(checks.record(
            "baseline",
            GateOutcome::Pass,
            says::compared_with(&baseline.release_id),
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
            let candidate = evidence.candidate;
            let detail = says::record_changed(&candidate.release_id, before, &candidate.digest);
            checks.record("immutable", GateOutcome::Fail, detail, says::give_new_id());
        }
        Some(Registration::New | Registration::Same) => drop(checks.record(
            "immutable",
            GateOutcome::Pass,
            says::record_unchanged(&evidence.candidate.digest),
            "",
        )),
    }
}

fn references(candidate: &ReleaseRecord, checks: &mut Checks<'_>) {
    let named = candidate.artifacts.iter().flatten().chain(&candidate.eval_set);
    let floating: Vec<Text> = named
        .clone()
        .filter_map(|artifact| Some(says::floats(&artifact.reference, artifact.floats_because()?)))
        .collect();
    if floating.is_empty() {
        checks.record("references", GateOutcome::Pass, says::references_fixed(), "");
    } else {
        let listed: Vec<&str> = floating.iter().map(|text| text.en.as_str()).collect();
        let detail = says::floating(Series(&floating, NAMED));
        checks
            .record("references", GateOutcome::Fail, detail, says::give_digests())
            .evidence = json!(listed);
    }
    let mut cut: Vec<Text> = named
        .filter(|artifact| artifact.digest.is_some() && !artifact.has_whole_digest())
        .map(|artifact| artifact.reference.as_str().into())
        .collect();
    if let Some(sha) = candidate.git_sha.as_ref().filter(|sha| {
        !(sha.len() == 40 || sha.len() == 64) || !sha.bytes().all(|byte| byte.is_ascii_hexdigit())
    }) {
        cut.push(says::git_sha_is(sha));
    }
    if candidate.git_sha.is_none() {
        cut.push(says::git_sha_missing());
    }
    if candidate
        .eval_report_digest
        .as_deref()
        .is_some_and(|digest| !reference::is_whole_digest(digest))
    {
        cut.push("eval_report_digest".into());
    }
    if cut.is_empty() {
        checks.record("digests", GateOutcome::Pass, says::digests_whole(), "");
    } else {
        let listed: Vec<&str> = cut.iter().map(|text| text.en.as_str()).collect();
        checks
            .record(
                "digests",
                GateOutcome::Fail,
                says::digests_cut(Few(&cut, NAMED)),
                says::give_whole_digests(),
            )
            .evidence = json!(listed);
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
        let detail = says::digest_lost(lost);
        checks.record(
            "moved_reference",
            GateOutcome::Inconclusive,
            detail,
            says::give_tested_digest(),
        );
    } else if moved.is_empty() {
        checks.record("moved_reference", GateOutcome::Pass, says::references_kept(), "");
    } else {
        let detail = says::references_moved(moved);
        checks.record(
            "moved_reference",
            GateOutcome::Fail,
            detail,
            says::give_new_version(),
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
        says::only_code_changed()
    } else {
        says::dimensions_changed(names)
    };
    checks
        .record("single_dimension", outcome, detail, says::one_dimension_each())
        .evidence = json!(changed.iter().filter(|change| change.changed).collect::<Vec<_>>());
}

fn going_back(evidence: &GateEvidence<'_>, checks: &mut Checks<'_>) {
    let target = rollback_target(evidence);
    let named = evidence.candidate.rollback_target.as_deref();
    match (named, target) {
        (None, _) => checks.record(
            "rollback_target",
            GateOutcome::Inconclusive,
            says::no_rollback_target(),
            says::name_rollback_target(),
        ),
        (Some(named), None) => checks.record(
            "rollback_target",
            GateOutcome::Fail,
            says::rollback_target_unknown(named),
            says::give_its_record(),
        ),
        (Some(named), Some(_)) if named == evidence.candidate.release_id => checks.record(
            "rollback_target",
            GateOutcome::Fail,
            says::rollback_to_itself(),
            says::name_stable(),
        ),
        (Some(named), Some(_)) => checks.record(
            "rollback_target",
            GateOutcome::Pass,
            says::rollback_target_is(named),
            "",
        ),
    };
    let rule = &checks.policy.record;
    let (needed, default) = (rule.maturity_hours, rule.retention_hours);
    let Some(target) = target else {
        checks.record(
            "retention",
            GateOutcome::Inconclusive,
            says::target_record_missing(),
            says::give_target_record(),
        );
        return;
    };
    let kept: Vec<(String, Option<u64>)> = target
        .artifacts
        .iter()
        .flatten()
        .map(|artifact| (artifact.reference.clone(), artifact.retention_hours.or(default)))
        .collect();
    let short: Vec<Text> = kept
        .iter()
        .filter_map(|(name, hours)| {
            hours
                .filter(|hours| *hours < needed)
                .map(|hours| says::kept_for(name, Hours(hours as f64)))
        })
        .collect();
    let unknown: Vec<&str> = kept
        .iter()
        .filter(|(_, hours)| hours.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    let needed = || Hours(needed as f64);
    let remedy = says::keep_for(needed());
    if !short.is_empty() {
        checks.record(
            "retention",
            GateOutcome::Fail,
            says::kept_too_short(Few(&short, NAMED), needed()),
            remedy,
        );
    } else if !unknown.is_empty() {
        checks.record(
            "retention",
            GateOutcome::Inconclusive,
            says::retention_unknown(Few(&unknown, NAMED)),
            remedy,
        );
    } else {
        checks.record("retention", GateOutcome::Pass, says::all_kept(needed()), "");
    }
}

fn tenancy(evidence: &GateEvidence<'_>, checks: &mut Checks<'_>) {
    match (&evidence.baseline.tenant_id, &evidence.candidate.tenant_id) {
        (Some(a), Some(b)) if a != b => checks.record(
            "tenant",
            GateOutcome::Fail,
            says::other_tenant(a, b),
            says::one_tenant(),
        ),
        (_, Some(tenant)) => checks.record("tenant", GateOutcome::Pass, says::tenant_is(tenant), ""),
        (_, None) => checks.record(
            "tenant",
            GateOutcome::Warn,
            says::no_tenant(),
            says::name_tenant(),
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
            checks.record("cache_key", GateOutcome::Pass, says::cache_key_is(parts), "");
        } else {
            let detail = says::cache_key_lacks(parts, missing);
            checks.record("cache_key", GateOutcome::Fail, detail, says::add_to_cache_key());
        }
    } else {
        checks.record(
            "cache_key",
            GateOutcome::Inconclusive,
            says::no_cache_key(),
            says::name_cache_key(),
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
    let zone = Zone::default();
    match candidate.evaluated_at {
        _ if made.is_empty() => {
            checks.record("eval_fresh", GateOutcome::Pass, says::nothing_to_evaluate(), "")
        }
        None => checks.record(
            "eval_fresh",
            GateOutcome::Inconclusive,
            says::not_evaluated(),
            says::give_times(),
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
                    says::evaluated_before(When(at, &zone), Few(&older, NAMED)),
                    says::evaluate_again(),
                )
            } else if !unknown.is_empty() {
                checks.record(
                    "eval_fresh",
                    GateOutcome::Inconclusive,
                    says::creation_unknown(Few(&unknown, NAMED)),
                    says::give_times(),
                )
            } else {
                checks.record(
                    "eval_fresh",
                    GateOutcome::Pass,
                    says::evaluated_after(When(at, &zone)),
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
            says::other_report(found, noted),
            says::give_named_report(),
        ),
        (None, _, _) => checks.record(
            "eval_report",
            GateOutcome::Warn,
            says::no_report(),
            says::name_report(),
        ),
        (Some(uri), Some(_), Some(_)) => {
            checks.record("eval_report", GateOutcome::Pass, says::report_checked(uri), "")
        }
        (Some(uri), Some(_), None) => checks.record(
            "eval_report",
            GateOutcome::Warn,
            says::report_not_checked(uri),
            says::give_report(),
        ),
        (Some(uri), None, _) => checks.record(
            "eval_report",
            GateOutcome::Warn,
            says::report_without_digest(uri),
            says::name_report_digest(),
        ),
    };
}
