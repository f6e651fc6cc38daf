//! Gate C2 on slices: in no slice of the cases is a compared metric worse by more than its margin.

use serde_json::json;

use crate::gate::checklist::Checks;
use crate::gate::document::GateOutcome;
use crate::release::evals;
use crate::release::evals::{Design, SliceStudy, Suite, ValueOf};
use crate::stats::non_inferiority::HarmVerdict;

/// The largest number of slices in the evidence of a check.
const LISTED: usize = 100;

/// Compares the slices of a suite by each column of the policy. All columns together have the error
/// level of one comparison.
pub(super) fn check(suite: &Suite, metric: &str, value: &ValueOf, design: &Design, checks: &mut Checks<'_>) {
    let n_columns = checks.policy.slices.len();
    let design = Design {
        alpha: design.alpha / n_columns.max(1) as f64,
        ..*design
    };
    for (idx, by) in checks.policy.slices.clone().iter().enumerate() {
        let study = evals::slices(suite, metric, value, ([0, 1], (idx, by)), &design);
        judge(suite, metric, &study, checks);
    }
}

fn judge(suite: &Suite, metric: &str, study: &SliceStudy, checks: &mut Checks<'_>) {
    let what = format!("{metric} of {} by {}", suite.name, study.by);
    let count = |verdict: HarmVerdict| {
        let of_verdict = |slice: &&evals::Slice| slice.comparison.verdict == Some(verdict);
        study.slices.iter().filter(of_verdict).count()
    };
    let (n_violated, n_safe) = (count(HarmVerdict::Violated), count(HarmVerdict::Safe));
    let n_open = study.n_slices - n_violated - n_safe;
    let mut parts = vec![format!(
        "{n_violated} of {} slices are worse by more than the margin",
        study.n_slices
    )];
    if n_open > 0 {
        parts.push(format!("{n_open} are not certain"));
    }
    if study.n_small > 0 {
        let n_small = study.n_small;
        parts.push(format!("{n_small} have fewer than {} pairs", evals::MIN_PAIRS));
    }
    if study.n_without > 0 {
        parts.push(format!("{} cases have no `{}`", study.n_without, study.by));
    }
    let worst = study.slices.first().and_then(|slice| {
        Some(format!(
            "worst: {} = {}, {}",
            study.by,
            crate::base::escape::value(&slice.value),
            slice.comparison.numbers()?
        ))
    });
    parts.extend(worst);
    let is_missing = checks
        .policy
        .too_many_missing(study.n_without as u64, suite.cases.len() as u64);
    let (outcome, remedy) = if n_violated > 0 {
        (GateOutcome::Fail, "a release that is not worse in any slice")
    } else if study.n_slices == 0 && study.n_small > 0 {
        (GateOutcome::Inconclusive, "more cases in each slice")
    } else if study.n_slices == 0 || is_missing {
        (
            GateOutcome::Inconclusive,
            "results whose cases have a value of the column",
        )
    } else if n_open + study.n_small > 0 {
        (GateOutcome::Warn, "more cases in the slices that are not certain")
    } else {
        (GateOutcome::Pass, "")
    };
    let evidence = json!({
        "by": study.by,
        "n_slices": study.n_slices,
        "n_small": study.n_small,
        "n_without": study.n_without,
        "method": study.method,
        "slices": study.slices.iter().take(LISTED).collect::<Vec<_>>(),
    });
    checks
        .record(
            "eval_slices",
            outcome,
            format!("{what}: {}", parts.join("; ")),
            remedy,
        )
        .evidence = evidence;
}
