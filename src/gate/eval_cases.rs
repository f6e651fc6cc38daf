//! Gate C2 on cases: how the cases of both releases were matched, and which runs are no evidence.

use serde_json::json;

use crate::base::escape;
use crate::gate::checklist::Checks;
use crate::gate::document::GateOutcome;
use crate::gate::evidence::{Evals, GateEvidence};
use crate::release::evals::{Matching, NotRun};
use crate::words::gate as says;
use crate::words::{Text, Things};

/// Reports the matching of cases. Missing runs are judged with each metric.
pub(super) fn check(evals: Option<&Evals<'_>>, evidence: &GateEvidence<'_>, checks: &mut Checks<'_>) {
    let Some(evals) = evals.filter(|evals| evals.n_rows.iter().all(|n| *n > 0)) else {
        return;
    };
    let names = [&evidence.baseline.release_id, &evidence.candidate.release_id].map(Clone::clone);
    let (mut sentences, mut matchings, mut not_run) = (Vec::new(), Vec::new(), Vec::new());
    let mut is_whole = true;
    for suite in &evals.suites {
        // Attacks are not paired: the candidate has to withstand each of them.
        let matching =
            Some(Matching::new(suite, &names, 1)).filter(|_| !checks.policy.is_attack(&suite.name));
        if let Some(matching) = &matching {
            is_whole &= matching.n_only_baseline + matching.n_only_candidate + matching.n_conflicts == 0;
            sentences.push(matching.sentence(false));
        }
        for (name, counts) in names.iter().zip(&suite.not_run) {
            for (reason, n) in counts {
                is_whole &= matches!(reason, NotRun::Cached | NotRun::Duplicate | NotRun::Retried);
                not_run.push(json!({"suite": *suite.name, "release": name, "reason": reason, "n": n}));
                let (n, why) = (Things(*n, "run"), reason.text());
                sentences.push(match &matching {
                    Some(_) => says::runs_lost(name, n, why),
                    None => says::runs_lost_of(name, escape::line(&suite.name).into_owned(), n, why),
                });
            }
        }
        matchings.extend(matching);
    }
    if sentences.is_empty() {
        return;
    }
    let outcome = if is_whole {
        GateOutcome::Pass
    } else {
        GateOutcome::Warn
    };
    checks
        .record(
            "eval_cases",
            outcome,
            Text::sentences(&sentences),
            says::same_cases(),
        )
        .evidence = json!({"matching": matchings, "not_run": not_run});
}
