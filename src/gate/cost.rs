//! Gate C4: cost per case and per successful task, candidate against baseline on the same cases.

use serde_json::json;

use crate::gate::checklist::Checks;
use crate::gate::document::GateOutcome;
use crate::gate::evidence::Evals;
use crate::release::evals;
use crate::release::evals::{Case, Suite};
use crate::stats::dist::t_isf;
use crate::stats::{Interval, Reason};
use crate::words::gate as says;
use crate::words::{Count, Percent, Say, Text, Things};

/// A relative change of cost: the ratio of candidate to baseline, minus 1, with its interval.
struct CostChange {
    point: f64,
    interval: Result<Interval, Reason>,
    n: usize,
}

pub(super) fn checks(evals: Option<&Evals<'_>>, checks: &mut Checks<'_>) {
    let suites: Vec<&Suite> = evals
        .iter()
        .flat_map(|evals| &evals.suites)
        .filter(|suite| !checks.policy.is_attack(&suite.name))
        .collect();
    let cases: Vec<&Case> = suites.iter().flat_map(|suite| &suite.cases).collect();
    let per_case = change_per_case(&cases, checks.policy.alpha);
    let per_task = change_per_task(&cases, checks.policy.alpha);
    let Some(per_case) = per_case else {
        checks.record(
            "cost",
            GateOutcome::Inconclusive,
            says::no_costs(),
            says::give_costs(),
        );
        return;
    };
    // The share with missing costs is taken of the cases that ran in both releases.
    let ran: Vec<&&Case> = cases
        .iter()
        .filter(|case| case.arms.iter().all(|runs| runs.n_runs > 0))
        .collect();
    let n_missing = ran
        .iter()
        .filter(|case| case.arms.iter().any(|runs| runs.cost.n < runs.n_runs))
        .count() as u64;
    if checks.policy.too_many_missing(n_missing, ran.len() as u64) {
        let detail = says::costs_missing(Count(n_missing), Count(ran.len() as u64));
        checks.record("cost", GateOutcome::Inconclusive, detail, says::give_all_costs());
    }
    judge(&says::cost_per_case(), &per_case, checks);
    match per_task {
        Some(per_task) => judge(&says::cost_per_task(), &per_task, checks),
        None => drop(checks.record(
            "cost",
            GateOutcome::Inconclusive,
            says::no_paid_success(),
            says::give_costs(),
        )),
    }
}

/// Computes the change from the mean over cases of ln(candidate cost / baseline cost). `None` if no
/// case has costs above 0 in both releases.
fn change_per_case(cases: &[&Case], alpha: f64) -> Option<CostChange> {
    let cost = |case: &Case, arm: usize| case.arms[arm].cost.mean().filter(|cost| *cost > 0.0);
    let kept: Vec<(&Case, f64)> = cases
        .iter()
        .filter_map(|case| Some((*case, (cost(case, 1)? / cost(case, 0)?).ln())))
        .collect();
    let clusters = evals::clusters_of(kept.iter().map(|(case, _)| *case));
    let values: Vec<(f64, usize)> = kept.iter().map(|(_, ratio)| *ratio).zip(clusters).collect();
    let mean = evals::single(&values)?;
    Some(CostChange {
        point: mean.mean.exp_m1(),
        interval: interval(mean.mean, &mean, values.len(), alpha),
        n: values.len(),
    })
}

/// Computes the change of the cost per passed run. The standard error of its logarithm comes from
/// the linearization `cost1 / C1 - pass1 / P1 - cost0 / C0 + pass0 / P0` of each case, with
/// clusters. `None` if a release has no cost or no passed run.
fn change_per_task(cases: &[&Case], alpha: f64) -> Option<CostChange> {
    let kept: Vec<&Case> = cases
        .iter()
        .copied()
        .filter(|case| case.arms.iter().all(|runs| runs.cost.n > 0))
        .collect();
    let total = |of: &dyn Fn(&Case) -> f64| kept.iter().map(|case| of(case)).sum::<f64>();
    let costs = [0, 1].map(|arm| total(&|case| case.arms[arm].cost.sum));
    let passes = [0, 1].map(|arm| total(&|case| case.arms[arm].paid_passes));
    if costs.iter().chain(&passes).any(|sum| *sum <= 0.0) {
        return None;
    }
    let n = kept.len() as f64;
    let share = |case: &Case, arm: usize| {
        case.arms[arm].cost.sum / costs[arm] - case.arms[arm].paid_passes / passes[arm]
    };
    let clusters = evals::clusters_of(kept.iter().copied());
    let values: Vec<(f64, usize)> = kept
        .iter()
        .map(|case| n * (share(case, 1) - share(case, 0)))
        .zip(clusters)
        .collect();
    let mean = evals::single(&values)?;
    let ratio = ((costs[1] / passes[1]) / (costs[0] / passes[0])).ln();
    Some(CostChange {
        point: ratio.exp_m1(),
        interval: interval(ratio, &mean, kept.len(), alpha),
        n: kept.len(),
    })
}

/// Computes the t interval of a logarithm, as a relative change (`exp(x) - 1`).
fn interval(log_ratio: f64, mean: &evals::Mean, n_cases: usize, alpha: f64) -> Result<Interval, Reason> {
    let std_error = mean.std_error.result()?;
    if n_cases < evals::MIN_PAIRS {
        return Err(Reason::TooFewRows);
    }
    let ends = Interval::around(log_ratio, t_isf(0.5 * alpha, mean.df) * std_error);
    Ok(Interval {
        ci_lower: ends.ci_lower.exp_m1(),
        ci_upper: ends.ci_upper.exp_m1(),
    })
}

/// A relative change with its sign: `+5%`.
fn signed(share: f64) -> Text {
    let sign = if share > 0.0 { "+" } else { "" };
    Text::new(|lang| format!("{sign}{}", Percent(share).say(lang)))
}

fn judge(what: &Text, change: &CostChange, checks: &mut Checks<'_>) {
    let margin = checks.policy.cost.margin;
    let remedy = says::cheaper(Percent(margin));
    let n = Things(change.n as u64, "case");
    let Ok(interval) = change.interval else {
        checks.record(
            "cost",
            GateOutcome::Inconclusive,
            says::costs_without_interval(what, signed(change.point), n),
            Text::sentences(&[says::more_costs(), remedy]),
        );
        return;
    };
    let [lower, upper] = [interval.ci_lower, interval.ci_upper].map(signed);
    let detail = says::cost_change(what, signed(change.point), lower, upper, n, signed(margin));
    let outcome = if interval.ci_lower > margin {
        GateOutcome::Fail
    } else if interval.ci_upper > margin {
        GateOutcome::Inconclusive
    } else {
        GateOutcome::Pass
    };
    checks.record("cost", outcome, detail, remedy).evidence =
        json!({"change": change.point, "interval": interval, "n_cases": change.n});
}
