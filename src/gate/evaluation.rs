//! Gate C2: the candidate reaches thresholds, and is not worse than the baseline on the same cases.

use serde_json::json;

use crate::base::number::number;
use crate::gate::checklist::Checks;
use crate::gate::document::GateOutcome;
use crate::gate::evidence::{Evals, GateEvidence};
use crate::gate::policy::{JudgeRule, Threshold};
use crate::gate::slices;
use crate::metric::Better;
use crate::release::evals;
use crate::release::evals::{Comparison, Correction, Design, Margin, Suite, VerdictReason};
use crate::stats::judge::JudgeQuality;
use crate::stats::non_inferiority::HarmVerdict;
use crate::stats::{Interval, Reason, judge, multiplicity, non_inferiority};

pub(super) fn checks(
    evals: Option<&Evals<'_>>,
    evidence: &GateEvidence<'_>,
    checks: &mut Checks<'_>,
) -> Vec<Comparison> {
    let Some(evals) = evals.filter(|evals| evals.n_rows[1] > 0) else {
        let found = evals.map_or_else(
            || "no evaluation results were given".to_owned(),
            |evals| {
                format!(
                    "no evaluation result of the candidate among {} rows",
                    evals.n_rows[0] + evals.n_others
                )
            },
        );
        for check in ["eval_threshold", "eval_regression"] {
            if check != "eval_threshold" || !checks.policy.thresholds.is_empty() {
                checks.record(
                    check,
                    GateOutcome::Inconclusive,
                    found.clone(),
                    "--evals FILE, with the candidate's release id or named as the candidate's",
                );
            }
        }
        return Vec::new();
    };
    let suites: Vec<&Suite> = evals
        .suites
        .iter()
        .filter(|suite| !checks.policy.is_attack(&suite.name))
        .collect();
    for rule in checks.policy.thresholds.clone() {
        threshold(&rule, &evals.suites, evidence, checks);
    }
    regressions(evals, &suites, evidence, checks)
}

fn threshold(rule: &Threshold, suites: &[Suite], evidence: &GateEvidence<'_>, checks: &mut Checks<'_>) {
    let wanted: Vec<&Suite> = suites
        .iter()
        .filter(|suite| {
            rule.suite
                .as_deref()
                .map_or(!checks.policy.is_attack(&suite.name), |name| *suite.name == *name)
        })
        .collect();
    let limits = [
        rule.min.map(|min| format!("at least {}", number(min))),
        rule.max.map(|max| format!("at most {}", number(max))),
    ];
    let limits = limits.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let what = format!(
        "{} of {}",
        rule.metric,
        rule.suite.as_deref().unwrap_or("all suites")
    );
    if wanted.is_empty() {
        checks.record(
            "eval_threshold",
            GateOutcome::Inconclusive,
            format!("{what}: no such suite"),
            "results of that suite",
        );
        return;
    }
    for suite in wanted {
        let what = format!("{} of {}", rule.metric, suite.name);
        if let Some(k) = rule.metric.strip_prefix("pass^") {
            let k: usize = k.parse().unwrap_or(0);
            let (n_missing, n) = evals::missing(suite, "passed", [1, 0]);
            let is_few = suite.cases.len() < evals::MIN_PAIRS;
            let by_k = if is_few || checks.policy.too_many_missing(n_missing, n) {
                Err(Reason::NoData)
            } else {
                evals::pass_hat(suite, 1)
            };
            match by_k.map(|by_k| by_k.get(k.wrapping_sub(1)).copied()) {
                Ok(Some(value)) => {
                    let fails =
                        rule.min.is_some_and(|min| value < min) || rule.max.is_some_and(|max| value > max);
                    let outcome = if fails {
                        GateOutcome::Fail
                    } else {
                        GateOutcome::Pass
                    };
                    checks.record(
                        "eval_threshold",
                        outcome,
                        format!("{what} is {}, expected {limits}", number(value)),
                        &format!("{what} {limits}"),
                    );
                }
                _ => drop(checks.record(
                    "eval_threshold",
                    GateOutcome::Inconclusive,
                    format!("{what}: not {} cases with {k} rated runs each", evals::MIN_PAIRS),
                    "as many runs of every case",
                )),
            }
            continue;
        }
        let Some(value) = evals::value_of(suite, &rule.metric) else {
            checks.record(
                "eval_threshold",
                GateOutcome::Inconclusive,
                format!("{what}: no result has it"),
                "results with that metric",
            );
            continue;
        };
        let clusters = evals::clusters_of(suite.cases.iter());
        let values: Vec<(f64, usize)> = suite
            .cases
            .iter()
            .zip(clusters)
            .filter_map(|(case, cluster)| Some((value(case, 1)?, cluster)))
            .collect();
        let (n_missing, n) = evals::missing(suite, &rule.metric, [1, 0]);
        if checks.policy.too_many_missing(n_missing, n) {
            let detail =
                format!("{what}: {n_missing} of {n} runs of the candidate are missing, broken or not rated");
            checks.record(
                "eval_threshold",
                GateOutcome::Inconclusive,
                detail,
                "results of every case",
            );
            continue;
        }
        let Some(mean) = evals::single(&values).filter(|_| values.len() >= evals::MIN_PAIRS) else {
            let detail = format!("{what}: {} cases", values.len());
            checks.record(
                "eval_threshold",
                GateOutcome::Inconclusive,
                detail,
                &format!("at least {} cases", evals::MIN_PAIRS),
            );
            continue;
        };
        let is_share = evals::is_share(&rule.metric, values.iter().map(|(value, _)| *value));
        let interval = mean.interval(is_share, checks.policy.alpha);
        let judged = quality(checks, &rule.metric, &evidence.candidate.release_id).filter(|_| is_share);
        let (point, interval, corrected) = match (judged, interval) {
            (Some(rule), Ok(interval)) => {
                match judge::correct_interval(mean.mean, interval, &rule, checks.policy.alpha) {
                    Ok(corrected) => (corrected.p, Ok(corrected.ci), ", corrected for its judge"),
                    Err(reason) => (mean.mean, Err(reason), ""),
                }
            }
            (_, interval) => (mean.mean, interval, ""),
        };
        let Ok(interval) = interval else {
            checks.record(
                "eval_threshold",
                GateOutcome::Inconclusive,
                format!("{what} is {}, without an interval", number(point)),
                "more cases from more sources, or a better judge",
            );
            continue;
        };
        // The interval decides between pass and fail. If it covers the threshold, the evidence is
        // weak.
        let fails = rule.min.is_some_and(|min| interval.ci_upper < min)
            || rule.max.is_some_and(|max| interval.ci_lower > max);
        let passes = rule.min.is_none_or(|min| point >= min) && rule.max.is_none_or(|max| point <= max);
        let surely = rule.min.is_none_or(|min| interval.ci_lower >= min)
            && rule.max.is_none_or(|max| interval.ci_upper <= max);
        let outcome = match (fails, passes, surely) {
            (true, _, _) => GateOutcome::Fail,
            (_, true, true) => GateOutcome::Pass,
            (_, true, false) => GateOutcome::Warn,
            _ => GateOutcome::Inconclusive,
        };
        let detail = format!(
            "{what} is {} [{}, {}] of {} cases{corrected}, expected {limits}",
            number(point),
            number(interval.ci_lower),
            number(interval.ci_upper),
            values.len()
        );
        checks
            .record(
                "eval_threshold",
                outcome,
                detail,
                &format!("{what} {limits}, with its whole interval"),
            )
            .evidence = json!({"mean": point, "interval": interval, "n_cases": values.len(), "n_clusters": mean.n_clusters});
    }
}

fn quality(checks: &Checks<'_>, metric: &str, release: &str) -> Option<JudgeQuality> {
    let fits =
        |rule: &&JudgeRule| rule.metric == metric && rule.release.as_deref().is_none_or(|id| id == release);
    // A rule for this release takes precedence over a rule for all releases.
    let rule = checks
        .policy
        .judges
        .iter()
        .filter(fits)
        .max_by_key(|rule| rule.release.is_some())?;
    let n = rule.n_sensitivity.zip(rule.n_specificity).map(|(a, b)| [a, b]);
    Some(JudgeQuality {
        sensitivity: rule.sensitivity,
        specificity: rule.specificity,
        n,
    })
}

fn regressions(
    evals: &Evals<'_>,
    suites: &[&Suite],
    evidence: &GateEvidence<'_>,
    checks: &mut Checks<'_>,
) -> Vec<Comparison> {
    let policy = checks.policy;
    if policy.comparisons.is_empty() {
        return Vec::new();
    }
    if evals.n_rows[0] == 0 {
        checks.record(
            "eval_regression",
            GateOutcome::Inconclusive,
            "no evaluation result of the baseline",
            "the baseline's results on the same cases (--baseline-evals FILE)",
        );
        return Vec::new();
    }
    let mut comparisons = Vec::new();
    let mut notes = Vec::new();
    for rule in &policy.comparisons {
        let wanted: Vec<&&Suite> = suites
            .iter()
            .filter(|suite| rule.suite.as_deref().is_none_or(|name| *suite.name == *name))
            .collect();
        if wanted.is_empty() {
            notes.push(format!(
                "{} of {}: no such suite",
                rule.metric,
                rule.suite.as_deref().unwrap_or("any suite")
            ));
        }
        for suite in wanted {
            let Some(value) = evals::value_of(suite, &rule.metric) else {
                notes.push(format!("{} of {}: no result has it", rule.metric, suite.name));
                continue;
            };
            let is_share = evals::is_share(
                &rule.metric,
                suite
                    .cases
                    .iter()
                    .flat_map(|case| [value(case, 0), value(case, 1)])
                    .flatten(),
            );
            let design = Design {
                better: rule.better(),
                margin: rule.margin.or_else(|| policy.margin.of(&rule.metric, is_share)),
                alpha: policy.alpha,
                is_share,
                seed: policy.seed,
                n_replicates: evals::REPLICATES,
                max_missing: policy.max_missing,
            };
            slices::check(suite, &rule.metric, &value, &design, checks);
            let mut comparison = evals::compare(suite, &rule.metric, &*value, [0, 1], &design);
            correct_for_judges(&mut comparison, evidence, checks, &design);
            for (arm, whose) in ["baseline", "candidate"].into_iter().enumerate() {
                let (n_missing, n) = evals::missing(suite, &rule.metric, [arm, 1 - arm]);
                if policy.too_many_missing(n_missing, n) {
                    notes.push(format!(
                        "{} of {}: {n_missing} of {n} runs of the {whose} are missing, broken or not rated",
                        rule.metric, suite.name
                    ));
                }
            }
            comparisons.push(comparison);
        }
    }
    for note in notes {
        checks.record(
            "eval_regression",
            GateOutcome::Inconclusive,
            note,
            "results of both releases with that suite and metric",
        );
    }
    correct_for_each_other(&mut comparisons, policy.correction);
    for comparison in &comparisons {
        regression(comparison, checks);
    }
    comparisons
}

/// Corrects rates for the known errors of a judge. The interval of the pairs is scaled by the
/// smaller Youden index of both judges, and widened by the uncertainty about the judges' error
/// rates.
fn correct_for_judges(
    comparison: &mut Comparison,
    evidence: &GateEvidence<'_>,
    checks: &Checks<'_>,
    design: &Design,
) {
    let releases = [&evidence.baseline.release_id, &evidence.candidate.release_id];
    let judges = releases.map(|release| quality(checks, &comparison.metric, release));
    let [Some(before), Some(after)] = judges else {
        return;
    };
    let Some(interval) = comparison.interval.value().copied().filter(|_| design.is_share) else {
        return;
    };
    let corrected = [
        judge::correct_point(comparison.means[0], &before),
        judge::correct_point(comparison.means[1], &after),
    ];
    let [Ok(control), Ok(treatment)] = corrected else {
        comparison.interval = Err(Reason::UselessJudge).into();
        comparison.verdict = None;
        comparison.verdict_reason = Some(VerdictReason::UselessJudge);
        return;
    };
    let z = crate::stats::dist::norm_isf(0.5 * design.alpha);
    let open = z * (control.calibration + treatment.calibration).sqrt();
    let youden = before.youden().min(after.youden());
    let reach = |end: f64| ((end - comparison.difference) / youden).hypot(open);
    let difference = treatment.p - control.p;
    let interval = Interval {
        ci_lower: difference - reach(interval.ci_lower),
        ci_upper: difference + reach(interval.ci_upper),
    };
    let (harm, of_harm) = match design.better {
        Better::Higher => (-difference, interval.negated()),
        Better::Lower => (difference, interval),
    };
    comparison.means = [control.p, treatment.p];
    comparison.difference = difference;
    comparison.harm = harm;
    comparison.mde = comparison
        .mde
        .result()
        .map(|mde| (mde / youden).hypot(open))
        .into();
    comparison.interval = Ok(interval).into();
    comparison.interval_method = "judge";
    let margin = match design.margin {
        Some(Margin::Absolute(margin)) => margin,
        Some(Margin::Relative(share)) => share * control.p,
        None => return,
    };
    comparison.margin = margin;
    let is_missing = comparison.verdict_reason == Some(VerdictReason::TooManyMissing);
    (comparison.verdict, comparison.verdict_reason) =
        match non_inferiority::judge(harm, of_harm, margin, true) {
            HarmVerdict::Safe if is_missing => (Some(HarmVerdict::Unclear), comparison.verdict_reason),
            HarmVerdict::Unclear => (Some(HarmVerdict::Unclear), Some(VerdictReason::NotPrecise)),
            verdict => (Some(verdict), None),
        };
}

/// Corrects p-values over all compared metrics, so that chance among many metrics does not count as
/// proof of harm.
fn correct_for_each_other(comparisons: &mut [Comparison], correction: Correction) {
    let known: Vec<usize> = (0..comparisons.len())
        .filter(|idx| comparisons[*idx].test.value().is_some())
        .collect();
    let p_values: Vec<f64> = known
        .iter()
        .filter_map(|idx| comparisons[*idx].test.value().map(evals::PairTest::p_value))
        .collect();
    let adjusted = match correction {
        Correction::Holm => multiplicity::holm(&p_values),
        Correction::BenjaminiHochberg => multiplicity::benjamini_hochberg(&p_values),
        Correction::None => p_values,
    };
    for (idx, p) in known.into_iter().zip(adjusted) {
        comparisons[idx].p_value_adj = Some(p);
    }
}

fn regression(comparison: &Comparison, checks: &mut Checks<'_>) {
    let what = format!("{} of {}", comparison.metric, comparison.suite);
    let Some(numbers) = comparison.numbers() else {
        let reason = comparison.verdict_reason.unwrap_or(VerdictReason::TooFewPairs);
        let detail = format!(
            "{what}: {} pairs, {} and {} runs broke ({})",
            comparison.n_pairs,
            comparison.n_errors[0],
            comparison.n_errors[1],
            reason.text()
        );
        let remedy = format!(
            "at least {} cases that both releases answered, from several sources",
            evals::MIN_PAIRS
        );
        checks
            .record("eval_regression", GateOutcome::Inconclusive, detail, &remedy)
            .evidence = json!(comparison);
        return;
    };
    let numbers = format!("{what}: {numbers}");
    let certain = comparison.p_value_adj.is_none_or(|p| p < checks.policy.alpha);
    let (outcome, detail) = match (comparison.verdict, comparison.verdict_reason) {
        (Some(HarmVerdict::Violated), _) if certain => (GateOutcome::Fail, numbers),
        (Some(HarmVerdict::Violated), _) => (
            GateOutcome::Inconclusive,
            format!(
                "{numbers}; not certain among so many metrics (corrected p {})",
                number(comparison.p_value_adj.unwrap_or(1.0))
            ),
        ),
        (Some(HarmVerdict::Safe), _) if comparison.n_pairs < evals::FEW_PAIRS => {
            (GateOutcome::Warn, format!("{numbers}; few pairs"))
        }
        (Some(HarmVerdict::Safe), _) => (GateOutcome::Pass, numbers),
        (_, None | Some(VerdictReason::NotPrecise)) => (GateOutcome::Inconclusive, numbers),
        (_, Some(reason)) => (GateOutcome::Inconclusive, format!("{numbers}; {}", reason.text())),
    };
    let remedy = match (outcome, comparison.verdict_reason) {
        (GateOutcome::Fail, _) => format!(
            "a release that is not worse by more than {}: see the {} cases that got worse",
            number(comparison.margin),
            comparison.n_lost
        ),
        (_, Some(VerdictReason::AnotherScale)) => "both releases on one scale, 0 to 1 or 0 to 100".into(),
        (_, Some(VerdictReason::TooManyMissing)) => "results of every case, of both releases".into(),
        (_, Some(VerdictReason::NoMargin | VerdictReason::MeanNotAboveZero)) => {
            "a `margin` in the unit of the metric".into()
        }
        _ => {
            let mde = comparison.mde.value().copied().unwrap_or(f64::INFINITY);
            let more = (mde / comparison.margin).powi(2) * comparison.n_pairs as f64;
            if more.is_finite() && more > comparison.n_pairs as f64 {
                format!(
                    "about {more:.0} cases, to find a difference of {}",
                    number(comparison.margin)
                )
            } else {
                "more cases".into()
            }
        }
    };
    checks
        .record("eval_regression", outcome, detail, &remedy)
        .evidence = json!(comparison);
}
