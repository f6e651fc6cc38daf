//! Evaluation results as text: how cases were matched, what is no evidence, means, comparisons, ranks
//! and slices.

use crate::base::escape;
use crate::base::number::{count, number, p_value, percent};
use crate::cli::table;
use crate::cli::table::{Column, Table};
use crate::cli::terminal::Terminal;
use crate::metric::Better;
use crate::release::evals::{Comparison, EvalSurvey, PairTest, SliceSummary, VerdictReason};
use crate::stats::Interval;
use crate::stats::non_inferiority::HarmVerdict;
use crate::stats::simultaneous::FamilyMethod;
use crate::words::evals as says;
use crate::words::{Count, Lang, Percent, Text};

/// The largest number of slices of a table, of those that are not safe or the worst.
const SLICES: usize = 10;

/// The text of a survey.
pub(super) fn text(survey: &EvalSurvey, terminal: &Terminal) -> String {
    let mut parts: Vec<String> = survey
        .matching
        .iter()
        .map(|matching| {
            let sentence = matching.sentence(survey.releases.len() > 2);
            paragraph(sentence.of(terminal.lang), terminal)
        })
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

/// A column with its title in the language of the terminal.
fn column(title: Text, terminal: &Terminal) -> Column {
    table::column(title.of(terminal.lang))
}

fn has_several_suites(survey: &EvalSurvey) -> bool {
    let mut suites = survey.metrics.iter().map(|metric| &metric.suite);
    suites
        .next()
        .is_some_and(|first| suites.any(|suite| suite != first))
}

fn not_run(survey: &EvalSurvey, terminal: &Terminal) -> Option<String> {
    let mut table = Table::new([
        column(says::column_no_evidence(), terminal).wraps(),
        column(says::column_release(), terminal),
        column(says::column_suite(), terminal).rank(1),
        column(says::column_runs(), terminal).right(),
    ]);
    for row in &survey.not_run {
        table.add_row([
            row.reason.text().of(terminal.lang).to_owned(),
            row.release.clone(),
            row.suite.clone(),
            count(row.n),
        ]);
    }
    (!survey.not_run.is_empty()).then(|| table.render(terminal))
}

fn metrics(survey: &EvalSurvey, terminal: &Terminal) -> String {
    if survey.metrics.is_empty() {
        return paragraph(says::no_values().of(terminal.lang), terminal);
    }
    let release = column(says::column_release(), terminal);
    let suite = column(says::column_suite(), terminal);
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
        column(says::column_metric(), terminal),
        column(says::column_cases(), terminal).right().rank(4),
        column(says::column_runs(), terminal).right().rank(2),
        column(says::column_errors(), terminal).right().rank(1),
        column(says::column_clusters(), terminal).right().wide(),
        column(says::column_mean(), terminal).right(),
        column(says::column_interval(), terminal),
        table::column("pass^k").wide(),
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

fn verdict(comparison: &Comparison, terminal: &Terminal) -> String {
    let word = match comparison.verdict {
        Some(HarmVerdict::Safe) => says::safe_word(),
        Some(HarmVerdict::Violated) => says::violated_word(),
        Some(HarmVerdict::Unclear) => says::unclear_word(),
        None => says::no_verdict(),
    };
    let text = match comparison.verdict_reason {
        None | Some(VerdictReason::NotPrecise) => word,
        Some(reason) => says::verdict_because(word, reason.text()),
    };
    text.of(terminal.lang).to_owned()
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
    let shown = |title: Text, is_shown: bool| {
        let column = column(title, terminal);
        if is_shown { column } else { column.wide() }
    };
    let mut table = Table::new([
        shown(says::column_baseline(), has_baselines),
        shown(says::column_candidate(), has_candidates),
        if has_several_suites(survey) {
            column(says::column_suite(), terminal)
        } else {
            column(says::column_suite(), terminal).rank(8)
        },
        column(says::column_metric(), terminal),
        column(says::column_pairs(), terminal).right().rank(4),
        column(says::column_before(), terminal).right().rank(5),
        column(says::column_now(), terminal).right().rank(5),
        column(says::column_change(), terminal).right(),
        column(says::column_interval(), terminal),
        column(says::column_by(), terminal).rank(6),
        table::column("p").rank(6),
        column(says::column_better(), terminal).right().rank(7),
        column(says::column_worse(), terminal).right().rank(3),
        column(says::column_margin(), terminal).right().rank(2),
        column(says::column_verdict(), terminal).wraps(),
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
        let rest = [n_better, n_worse, margin, verdict(c, terminal)];
        table.add_row(names.into_iter().chain(numbers(c)).chain(rest));
    }
    let mut note = vec![says::interval_note(Percent(1.0 - survey.alpha))];
    if survey.comparisons.iter().any(|row| row.better == Better::Lower) {
        note.push(says::lower_note());
    }
    note.extend(match first.correction {
        FamilyMethod::Single => None,
        FamilyMethod::MaxT { .. } => Some(says::family_dunnett()),
        FamilyMethod::Sidak | FamilyMethod::Bonferroni { .. } => Some(says::family_bonferroni()),
    });
    let note = Text::sentences(&note);
    let note = paragraph(note.of(terminal.lang), terminal);
    format!("{}\n{note}", table.render(terminal))
}

/// The ranks of the releases by the first metric of each suite.
fn rankings(survey: &EvalSurvey, terminal: &Terminal) -> Option<String> {
    let mut table = Table::new([
        column(says::column_rank(), terminal).right(),
        column(says::column_release(), terminal),
        column(says::column_metric(), terminal),
        column(says::column_suite(), terminal).rank(1),
        column(says::column_mean(), terminal).right(),
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
                let ends = [place.rank_lower, place.rank_upper].map(|rank| Count(rank as u64));
                says::rank_range(ends[0], ends[1]).of(terminal.lang).to_owned()
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
    let n = |n: usize| Count(n as u64);
    let name = |name: &str| Text::from(escape::line(name).into_owned());
    let mut titles = vec![says::slices_title(name(&of.metric), name(&study.by))];
    if has_several_suites(survey) {
        titles.push(name(&of.suite));
    }
    if survey.releases.len() > 2 {
        titles.push(name(&of.candidate));
    }
    let (n_violated, n_safe) = (count_of(HarmVerdict::Violated), count_of(HarmVerdict::Safe));
    let mut counts = vec![says::slices_counts(n(study.n_slices), n(n_violated), n(n_safe))];
    if study.n_small > 0 {
        counts.push(says::slices_small(n(study.n_small)));
    }
    if study.n_without > 0 {
        counts.push(says::slices_without(n(study.n_without)));
    }
    let title = Text::new(|lang| {
        let [comma, colon, semicolon] = match lang {
            Lang::En => [", ", ": ", "; "],
            Lang::Zh => ["，", "：", "；"],
        };
        let all = |texts: &[Text], by: &str| {
            let texts: Vec<&str> = texts.iter().map(|text| text.of(lang)).collect();
            texts.join(by)
        };
        format!("{}{colon}{}", all(&titles, comma), all(&counts, semicolon))
    });
    let mut table = Table::new([
        table::column(study.by.as_str()),
        column(says::column_pairs(), terminal).right(),
        column(says::column_before(), terminal).right().rank(5),
        column(says::column_now(), terminal).right().rank(5),
        column(says::column_change(), terminal).right(),
        column(says::column_interval(), terminal),
        column(says::column_by(), terminal).rank(6),
        table::column("p").rank(6),
        column(says::column_worse(), terminal).right().rank(3),
        column(says::column_verdict(), terminal).wraps(),
    ]);
    for slice in study.slices.iter().take(SLICES) {
        let c = &slice.comparison;
        let rest = [count(c.n_lost as u64), verdict(c, terminal)];
        table.add_row([slice.value.clone()].into_iter().chain(numbers(c)).chain(rest));
    }
    let rows = if study.slices.is_empty() {
        String::new()
    } else {
        table.render(terminal)
    };
    let more = study.slices.len().saturating_sub(SLICES);
    let more = if more > 0 {
        paragraph(says::more_slices(Count(more as u64)).of(terminal.lang), terminal)
    } else {
        String::new()
    };
    Some(format!(
        "{}{rows}{more}",
        paragraph(title.of(terminal.lang), terminal)
    ))
}
