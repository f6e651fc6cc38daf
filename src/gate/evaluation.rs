//! Gate C2: the candidate reaches thresholds, and is not worse than the baseline on the same cases.

use serde_json::json;

use crate::base::escape;
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
use crate::words::evals as evals_words;
use crate::words::gate as says;
use crate::words::{Count, Measured, Number, P, Text, Things};

pub(super) fn checks(
    evals: Option<&Evals<'_>>,
    evidence: &GateEvidence<'_>,
    checks: &mut Checks<'_>,
) -> Vec<Comparison> {
    let Some(evals) = evals.filter(|evals| evals.n_rows[1] > 0) else {
        let found = evals.map_or_else(says::no_results, |evals| {
            says::no_own_results(Count((evals.n_rows[0] + evals.n_others) as u64))
        });
        for check in ["eval_threshold", "eval_regression"] {
            if check != "eval_threshold" || !checks.policy.thresholds.is_empty() {
                checks.record(
                    check,
                    GateOutcome::Inconclusive,
                    found.clone(),
                    says::give_results(),
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
    if wanted.is_empty() {
        let what = rule_text(&rule.metric, rule.suite.as_deref(), says::all_suites());
        checks.record(
            "eval_threshold",
            GateOutcome::Inconclusive,
            says::no_such_suite(what),
            says::give_suite(),
        );
        return;
    }
    for suite in wanted {
        let what = evals_words::metric_of(&rule.metric, escape::line(&suite.name).into_owned());
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
                        says::reached(&what, share(value), limits(rule, "share")),
                        says::reach(&what, limits(rule, "share")),
                    );
                }
                _ => drop(checks.record(
                    "eval_threshold",
                    GateOutcome::Inconclusive,
                    says::too_few_repeats(&what, Count(evals::MIN_PAIRS as u64), Count(k as u64)),
                    says::repeat_cases(),
                )),
            }
            continue;
        }
        let Some(value) = evals::value_of(suite, &rule.metric) else {
            checks.record(
                "eval_threshold",
                GateOutcome::Inconclusive,
                says::no_such_metric(what),
                says::give_metric(),
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
            let whose = says::candidate_release();
            let detail = says::runs_missing(what, Count(n_missing), Count(n), whose);
            checks.record(
                "eval_threshold",
                GateOutcome::Inconclusive,
                detail,
                says::give_every_case(),
            );
            continue;
        }
        let Some(mean) = evals::single(&values).filter(|_| values.len() >= evals::MIN_PAIRS) else {
            let detail = says::too_few_cases(what, Things(values.len() as u64, "case"));
            checks.record(
                "eval_threshold",
                GateOutcome::Inconclusive,
                detail,
                says::give_cases(Count(evals::MIN_PAIRS as u64)),
            );
            continue;
        };
        let is_share = evals::is_share(&rule.metric, values.iter().map(|(value, _)| *value));
        let interval = mean.interval(is_share, checks.policy.alpha);
        let judged = quality(checks, &rule.metric, &evidence.candidate.release_id).filter(|_| is_share);
        let (point, interval, is_corrected) = match (judged, interval) {
            (Some(rule), Ok(interval)) => {
                match judge::correct_interval(mean.mean, interval, &rule, checks.policy.alpha) {
                    Ok(corrected) => (corrected.p, Ok(corrected.ci), true),
                    Err(reason) => (mean.mean, Err(reason), false),
                }
            }
            (_, interval) => (mean.mean, interval, false),
        };
        let unit = evals::unit_of(&rule.metric, is_share);
        let measured = |value: f64| Measured { value, unit };
        let Ok(interval) = interval else {
            checks.record(
                "eval_threshold",
                GateOutcome::Inconclusive,
                says::without_interval(what, measured(point)),
                says::more_sources(),
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
        let [value, lower, upper] = [point, interval.ci_lower, interval.ci_upper].map(measured);
        let n = Things(values.len() as u64, "case");
        let mut detail = vec![says::reached_with(
            &what,
            value,
            lower,
            upper,
            n,
            limits(rule, unit),
        )];
        if is_corrected {
            detail.push(says::judge_corrected());
        }
        checks
            .record(
                "eval_threshold",
                outcome,
                Text::sentences(&detail),
                says::reach_whole(what, limits(rule, unit)),
            )
            .evidence = json!({"mean": point, "interval": interval, "n_cases": values.len(), "n_clusters": mean.n_clusters});
    }
}

/// The metric and the suite of a rule in words.
fn rule_text(metric: &str, suite: Option<&str>, without_suite: Text) -> Text {
    let suite = suite.map_or(without_suite, |suite| escape::line(suite).into_owned().into());
    evals_words::metric_of(metric, suite)
}

/// The limits of a threshold in words.
fn limits(rule: &Threshold, unit: &str) -> Vec<Text> {
    let measured = |value: f64| Measured { value, unit };
    let limits = [
        rule.min.map(|min| says::at_least(measured(min))),
        rule.max.map(|max| says::at_most(measured(max))),
    ];
    limits.into_iter().flatten().collect()
}

fn share(value: f64) -> Measured<'static> {
    Measured { value, unit: "share" }
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
            says::no_baseline_results(),
            says::give_baseline_results(),
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
            let what = rule_text(&rule.metric, rule.suite.as_deref(), says::any_suite());
            notes.push(says::no_such_suite(what));
        }
        for suite in wanted {
            let Some(value) = evals::value_of(suite, &rule.metric) else {
                let what = rule_text(&rule.metric, Some(&suite.name), says::any_suite());
                notes.push(says::no_such_metric(what));
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
            let releases = [says::baseline_release(), says::candidate_release()];
            for (arm, whose) in releases.into_iter().enumerate() {
                let (n_missing, n) = evals::missing(suite, &rule.metric, [arm, 1 - arm]);
                if policy.too_many_missing(n_missing, n) {
                    let what = rule_text(&rule.metric, Some(&suite.name), says::any_suite());
                    notes.push(says::runs_missing(what, Count(n_missing), Count(n), whose));
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
            says::give_both_results(),
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
    let Some(sentence) = comparison.sentence() else {
        not_compared(comparison, checks);
        return;
    };
    let certain = comparison.p_value_adj.is_none_or(|p| p < checks.policy.alpha);
    let (outcome, more) = match (comparison.verdict, comparison.verdict_reason) {
        (Some(HarmVerdict::Violated), _) if certain => (GateOutcome::Fail, None),
        (Some(HarmVerdict::Violated), _) => {
            let p = P(comparison.p_value_adj.unwrap_or(1.0));
            (GateOutcome::Inconclusive, Some(says::not_certain(p)))
        }
        (Some(HarmVerdict::Safe), _) if comparison.n_pairs < evals::FEW_PAIRS => {
            (GateOutcome::Warn, Some(says::few_pairs()))
        }
        (Some(HarmVerdict::Safe), _) => (GateOutcome::Pass, None),
        (_, None | Some(VerdictReason::NotPrecise)) => {
            let mde = comparison.mde.value().copied();
            let finds = mde.map(|mde| evals_words::finds(evals_words::size(mde, comparison.unit)));
            (GateOutcome::Inconclusive, finds)
        }
        (_, Some(reason)) => (GateOutcome::Inconclusive, Some(says::because(reason.text()))),
    };
    let detail: Vec<Text> = std::iter::once(sentence).chain(more).collect();
    let remedy = remedy(comparison, outcome);
    checks
        .record("eval_regression", outcome, Text::sentences(&detail), remedy)
        .evidence = json!(comparison);
}

/// Records a comparison without an interval.
fn not_compared(comparison: &Comparison, checks: &mut Checks<'_>) {
    let reason = comparison.verdict_reason.unwrap_or(VerdictReason::TooFewPairs);
    let [before, after] = comparison.n_errors.map(|n| Things(n, "run"));
    let detail = says::not_compared(
        rule_text(&comparison.metric, Some(&comparison.suite), says::any_suite()),
        Things(comparison.n_pairs as u64, "pair"),
        before,
        after,
        reason.text(),
    );
    let remedy = says::give_pairs(Count(evals::MIN_PAIRS as u64));
    checks
        .record("eval_regression", GateOutcome::Inconclusive, detail, remedy)
        .evidence = json!(comparison);
}

/// What would make a comparison pass.
fn remedy(comparison: &Comparison, outcome: GateOutcome) -> Text {
    match (outcome, comparison.verdict_reason) {
        (GateOutcome::Fail, _) => {
            says::not_worse_by(comparison.allowed(), Things(comparison.n_lost as u64, "case"))
        }
        (_, Some(VerdictReason::AnotherScale)) => says::one_scale(),
        (_, Some(VerdictReason::TooManyMissing)) => says::give_every_case_of_both(),
        (_, Some(VerdictReason::NoMargin | VerdictReason::MeanNotAboveZero)) => says::give_margin(),
        _ => {
            let mde = comparison.mde.value().copied().unwrap_or(f64::INFINITY);
            let n_pairs = comparison.n_pairs as f64;
            let more = (mde / comparison.margin).powi(2) * n_pairs;
            if more.is_finite() && more > n_pairs {
                says::about_cases(Number(more.ceil()), comparison.allowed())
            } else {
                says::more_cases()
            }
        }
    }
}
