//! Evaluation results as text: how cases were matched, what is no evidence, means, comparisons, ranks
//! and slices.

use crate::base::escape;
use crate::base::number::{count, number, p_value, percent};
use crate::cli::table::{Table, column};
use crate::cli::terminal::Terminal;
use crate::metric::Better;
use crate::release::evals::{Comparison, EvalSurvey, PairTest, SliceSummary, VerdictReason};
use crate::stats::Interval;
use crate::stats::non_inferiority::HarmVerdict;
use crate::stats::simultaneous::FamilyMethod;

/// The largest number of slices of a table, of those that are not safe or the worst.
const SLICES: usize = 10;

/// The text of a survey.
pub(super) fn text(survey: &EvalSurvey, terminal: &Terminal) -> String {
    let mut parts: Vec<String> = survey
        .matching
        .iter()
        .map(|matching| paragraph(&matching.sentence(survey.releases.len() > 2), terminal))
        .collect();
    parts = if parts.is_empty() {
        parts
    } else {
        vec![parts.concat()]
    };
    parts.extend(not_run(survey, terminal));
    parts.push(metrics(survey, terminal));
    if !survey.comparisons.is_empty() {
        parts.push(comparisons(survey, terminal));
    }
    parts.extend(rankings(survey, terminal));
    parts.extend(
        survey
            .slices
            .iter()
            .filter_map(|study| slices(survey, study, terminal)),
    );
    parts.join("\n")
}

/// A text that fits the terminal, with one end of its last line.
fn paragraph(text: &str, terminal: &Terminal) -> String {
    format!("{}\n", terminal.fill(text).trim_end())
}

fn has_several_suites(survey: &EvalSurvey) -> bool {
    let mut suites = survey.metrics.iter().map(|metric| &metric.suite);
    suites
        .next()
        .is_some_and(|first| suites.any(|suite| suite != first))
}

fn not_run(survey: &EvalSurvey, terminal: &Terminal) -> Option<String> {
    let mut table = Table::new([
        column("no evidence").wraps(),
        column("release"),
        column("suite").rank(1),
        column("runs").right(),
    ]);
    for row in &survey.not_run {
        table.add_row([
            row.reason.name().to_owned(),
            row.release.clone(),
            row.suite.clone(),
            count(row.n),
        ]);
    }
    (!survey.not_run.is_empty()).then(|| table.render(terminal))
}

fn metrics(survey: &EvalSurvey, terminal: &Terminal) -> String {
    if survey.metrics.is_empty() {
        return "No run has a verdict, a score, a cost or a latency.\n".to_owned();
    }
    let release = column("release");
    let suite = column("suite");
    let mut table = Table::new([
        if survey.releases.len() > 1 {
            release
        } else {
            release.wide()
        },
        if has_several_suites(survey) {
            suite
        } else {
            suite.rank(3)
        },
        column("metric"),
        column("cases").right().rank(4),
        column("runs").right().rank(2),
        column("errors").right().rank(1),
        column("clusters").right().wide(),
        column("mean").right(),
        column("interval"),
        column("pass^k").wide(),
    ]);
    for row in &survey.metrics {
        let interval = row.ci_lower.zip(row.ci_upper);
        let pass_hat = row.pass_hat_k.as_deref().unwrap_or_default();
        let pass_hat: Vec<String> = pass_hat.iter().take(8).map(|share| number(*share)).collect();
        table.add_row([
            row.release.clone(),
            row.suite.clone(),
            row.metric.clone(),
            count(row.n_cases as u64),
            count(row.n_runs),
            count(row.n_errors),
            count(row.n_clusters as u64),
            number(row.mean),
            interval.map_or_else(
                || "-".to_owned(),
                |(lower, upper)| format!("[{}, {}]", number(lower), number(upper)),
            ),
            pass_hat.join(" "),
        ]);
    }
    table.render(terminal)
}

/// The numbers of a comparison: pairs, means, change, its interval with the method, and the test.
fn numbers(comparison: &Comparison) -> [String; 7] {
    let pairs = count(comparison.n_pairs as u64);
    if comparison.n_pairs == 0 {
        let none = || "-".to_owned();
        return [pairs, none(), none(), none(), none(), none(), none()];
    }
    let [before, now] = comparison.means.map(number);
    let [change, interval] = change(comparison);
    let method = method(comparison).to_owned();
    [pairs, before, now, change, interval, method, test(comparison)]
}

/// The change of a comparison, and its interval.
fn change(comparison: &Comparison) -> [String; 2] {
    if let Some(relative) = &comparison.relative {
        let Some(relative) = relative.value() else {
            return [number(comparison.difference), "-".to_owned()];
        };
        let Interval { ci_lower, ci_upper } = relative.interval;
        return [
            percent(relative.change),
            format!("[{}, {}]", percent(ci_lower), percent(ci_upper)),
        ];
    }
    let interval = comparison.interval.value().map_or_else(
        || "-".to_owned(),
        |interval| format!("[{}, {}]", number(interval.ci_lower), number(interval.ci_upper)),
    );
    [number(comparison.difference), interval]
}

/// The method of the interval.
fn method(comparison: &Comparison) -> &'static str {
    match &comparison.relative {
        Some(change) if change.value().is_some() => "ratio",
        Some(_) => "-",
        None if comparison.interval.value().is_some() => comparison.interval_method,
        None => "-",
    }
}

/// The p-value with its test.
fn test(comparison: &Comparison) -> String {
    let Some(test) = comparison.test.value() else {
        return "-".to_owned();
    };
    let name = match test {
        PairTest::McNemar { .. } => "McNemar",
        PairTest::Wilcoxon { .. } => "Wilcoxon",
        PairTest::ClusteredT { .. } => "t",
        PairTest::NoDifference { .. } => return "-".to_owned(),
    };
    let p = comparison.p_value_adj.unwrap_or_else(|| test.p_value());
    format!("{} {name}", p_value(p))
}

fn verdict(comparison: &Comparison) -> String {
    let word = match comparison.verdict {
        Some(HarmVerdict::Safe) => "safe",
        Some(HarmVerdict::Violated) => "violated",
        Some(HarmVerdict::Unclear) => "unclear",
        None => "none",
    };
    match comparison.verdict_reason {
        None | Some(VerdictReason::NotPrecise) => word.to_owned(),
        Some(reason) => format!("{word}: {}", reason.text()),
    }
}

fn comparisons(survey: &EvalSurvey, terminal: &Terminal) -> String {
    let first = &survey.comparisons[0];
    let has_baselines = survey
        .comparisons
        .iter()
        .any(|row| row.baseline != first.baseline);
    let has_candidates = survey
        .comparisons
        .iter()
        .any(|row| row.candidate != first.candidate);
    let shown = |title: &str, is_shown: bool| {
        let column = column(title);
        if is_shown { column } else { column.wide() }
    };
    let mut table = Table::new([
        shown("baseline", has_baselines),
        shown("candidate", has_candidates),
        if has_several_suites(survey) {
            column("suite")
        } else {
            column("suite").rank(8)
        },
        column("metric"),
        column("pairs").right().rank(4),
        column("before").right().rank(5),
        column("now").right().rank(5),
        column("change").right(),
        column("interval"),
        column("by").rank(6),
        column("p").rank(6),
        column("better").right().rank(7),
        column("worse").right().rank(3),
        column("margin").right().rank(2),
        column("verdict").wraps(),
    ]);
    for row in &survey.comparisons {
        let c = &row.comparison;
        let sign = if row.better == Better::Higher { "" } else { " ↓" };
        let names = [
            row.baseline.clone(),
            row.candidate.clone(),
            c.suite.clone(),
            format!("{}{sign}", c.metric),
        ];
        let (n_better, n_worse) = (count(c.n_gained as u64), count(c.n_lost as u64));
        let margin = c
            .margin_rule
            .map_or_else(|| "-".to_owned(), |margin| margin.to_string());
        let rest = [n_better, n_worse, margin, verdict(c)];
        table.add_row(names.into_iter().chain(numbers(c)).chain(rest));
    }
    let mut note = format!(
        "Intervals have {}% confidence, by t over clusters, by counts of pairs that differ, or by the ratio of \
         the means.",
        number((1.0 - survey.alpha) * 100.0)
    );
    if survey.comparisons.iter().any(|row| row.better == Better::Lower) {
        note.push_str(" ↓: lower is better.");
    }
    note.push_str(match first.correction {
        FamilyMethod::Single => "",
        FamilyMethod::MaxT { .. } => {
            " All intervals of a metric hold together (Dunnett); p is corrected (Holm)."
        }
        FamilyMethod::Sidak | FamilyMethod::Bonferroni { .. } => {
            " All intervals of a metric hold together (Bonferroni); p is corrected (Holm)."
        }
    });
    format!("{}\n{}", table.render(terminal), paragraph(&note, terminal))
}

/// The ranks of the releases by the first metric of each suite.
fn rankings(survey: &EvalSurvey, terminal: &Terminal) -> Option<String> {
    let mut table = Table::new([
        column("rank").right(),
        column("release"),
        column("metric"),
        column("suite").rank(1),
        column("mean").right(),
    ]);
    let mut last = None;
    for ranking in &survey.rankings {
        if last.replace(&ranking.suite) == Some(&ranking.suite) {
            continue;
        }
        for release in &ranking.places {
            let place = &release.place;
            let rank = if place.rank_lower == place.rank_upper {
                place.rank_lower.to_string()
            } else {
                format!("{} to {}", place.rank_lower, place.rank_upper)
            };
            table.add_row([
                rank,
                release.release.clone(),
                ranking.metric.clone(),
                ranking.suite.clone(),
                number(place.mean),
            ]);
        }
    }
    (!survey.rankings.is_empty()).then(|| table.render(terminal))
}

/// One table of slices, worst first.
fn slices(survey: &EvalSurvey, of: &SliceSummary, terminal: &Terminal) -> Option<String> {
    let study = &of.study;
    let count_of = |verdict: HarmVerdict| {
        let slices = study.slices.iter();
        slices
            .filter(|slice| slice.comparison.verdict == Some(verdict))
            .count()
    };
    let mut title = format!("{} by {}", escape::line(&of.metric), escape::line(&study.by));
    if has_several_suites(survey) {
        title.push_str(&format!(", {}", escape::line(&of.suite)));
    }
    if survey.releases.len() > 2 {
        title.push_str(&format!(", {}", escape::line(&of.candidate)));
    }
    title.push_str(&format!(
        ": {} slices, {} violated, {} safe",
        count(study.n_slices as u64),
        count_of(HarmVerdict::Violated),
        count_of(HarmVerdict::Safe)
    ));
    if study.n_small > 0 {
        title.push_str(&format!("; {} with too few pairs", count(study.n_small as u64)));
    }
    if study.n_without > 0 {
        title.push_str(&format!(
            "; {} cases without a value",
            count(study.n_without as u64)
        ));
    }
    let mut table = Table::new([
        column(study.by.as_str()),
        column("pairs").right(),
        column("before").right().rank(5),
        column("now").right().rank(5),
        column("change").right(),
        column("interval"),
        column("by").rank(6),
        column("p").rank(6),
        column("worse").right().rank(3),
        column("verdict").wraps(),
    ]);
    for slice in study.slices.iter().take(SLICES) {
        let c = &slice.comparison;
        let rest = [count(c.n_lost as u64), verdict(c)];
        table.add_row([slice.value.clone()].into_iter().chain(numbers(c)).chain(rest));
    }
    let rows = if study.slices.is_empty() {
        String::new()
    } else {
        table.render(terminal)
    };
    let more = study.slices.len().saturating_sub(SLICES);
    let more = if more > 0 {
        format!("{} more slices: --json\n", count(more as u64))
    } else {
        String::new()
    };
    Some(format!("{}{rows}{more}", paragraph(&title, terminal)))
}
