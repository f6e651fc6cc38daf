//! Gate C2 on slices: in no slice of the cases is a compared metric worse by more than its margin.

use serde_json::json;

use crate::base::escape;
use crate::gate::checklist::Checks;
use crate::gate::document::GateOutcome;
use crate::release::evals;
use crate::release::evals::{Design, SliceStudy, Suite, ValueOf};
use crate::stats::non_inferiority::HarmVerdict;
use crate::words::evals::metric_of;
use crate::words::gate as says;
use crate::words::{Count, Text, Things};

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
    let count = |verdict: HarmVerdict| {
        let of_verdict = |slice: &&evals::Slice| slice.comparison.verdict == Some(verdict);
        study.slices.iter().filter(of_verdict).count()
    };
    let (n_violated, n_safe) = (count(HarmVerdict::Violated), count(HarmVerdict::Safe));
    let n_open = study.n_slices - n_violated - n_safe;
    let is_missing = checks
        .policy
        .too_many_missing(study.n_without as u64, suite.cases.len() as u64);
    let (outcome, remedy) = if n_violated > 0 {
        (GateOutcome::Fail, says::mend_slices())
    } else if study.n_slices == 0 && study.n_small > 0 {
        (GateOutcome::Inconclusive, says::more_cases_each())
    } else if study.n_slices == 0 || is_missing {
        (GateOutcome::Inconclusive, says::give_column())
    } else if n_open + study.n_small > 0 {
        (GateOutcome::Warn, says::more_cases_uncertain())
    } else {
        (GateOutcome::Pass, Text::default())
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
            sentences(suite, metric, study, [n_violated, n_open]),
            remedy,
        )
        .evidence = evidence;
}

/// How many slices are worse, how many are not known, and the worst one.
fn sentences(suite: &Suite, metric: &str, study: &SliceStudy, [n_violated, n_open]: [usize; 2]) -> Text {
    let count = |n: usize| Count(n as u64);
    let by = escape::value(&study.by);
    let what = metric_of(metric, escape::value(&suite.name));
    let mut parts = vec![says::slices_worse(
        what,
        &by,
        count(n_violated),
        count(study.n_slices),
    )];
    if n_open > 0 {
        parts.push(says::slices_open(Things(n_open as u64, "slice")));
    }
    if study.n_small > 0 {
        parts.push(says::slices_small(
            Things(study.n_small as u64, "slice"),
            count(evals::MIN_PAIRS),
        ));
    }
    if study.n_without > 0 {
        parts.push(says::cases_without(Things(study.n_without as u64, "case"), &by));
    }
    parts.extend(study.slices.first().and_then(|slice| {
        let sentence = slice.comparison.sentence()?;
        Some(says::worst_slice(&by, escape::value(&slice.value), sentence))
    }));
    Text::sentences(&parts)
}
