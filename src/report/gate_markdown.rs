//! The gate of a release as Markdown: the answer, what decides it, the checks that did not pass, and
//! the rest.

use crate::base::escape::markdown as escape;
use crate::gate::{GateCheck, GateReport};
use crate::report::gate::{
    check_name, digests, gate_title, open_and_passed, remedy, short_answer, step_text, steps,
};
use crate::report::gate_comparison::Compared;
use crate::report::markdown;
use crate::words::gate as says;
use crate::words::{Count, Few, Lang, Text, fill};

/// The largest number of cases in a line.
const SHOWN: usize = 20;

/// Returns the report of a release's gate as Markdown.
pub fn gate_markdown(report: &GateReport, lang: Lang) -> String {
    let words = lang.words();
    let mut out = String::new();
    let title = escape(&fill(words.gate_title, &[&report.candidate]));
    paragraph(&mut out, &format!("# {title}: {}", short_answer(report).of(lang)));
    paragraph(&mut out, &format!("**{}**", escape(report.answer().of(lang))));
    decides(&mut out, report, lang);
    paragraph(&mut out, &escape(&fill(words.compared_with, &[&report.baseline])));
    let (open, passed) = open_and_passed(report);
    if !open.is_empty() {
        let row = |check: &GateCheck| {
            vec![
                check_name(check, lang),
                words.badge(check.outcome.name()),
                check.found().of(lang).to_owned(),
                remedy(check, lang),
            ]
        };
        let header = [words.check, words.outcome, words.found, words.remedy];
        markdown::table(&mut out, &header, open.into_iter().map(row));
    }
    comparisons(&mut out, report, lang);
    cases(&mut out, report, lang);
    if let Some(steps) = steps(report) {
        paragraph(&mut out, &format!("{}:", words.roll_back));
        for (idx, step) in steps.iter().enumerate() {
            paragraph(
                &mut out,
                &format!("{}. {}", idx + 1, escape(&step_text(step, lang))),
            );
        }
    }
    for text in report.not_asked_texts() {
        paragraph(
            &mut out,
            &format!("{}: {}", words.not_asked, escape(text.of(lang))),
        );
    }
    if !passed.is_empty() {
        let n = says::passed_checks(Count(passed.len() as u64));
        paragraph(&mut out, &format!("{}:", n.of(lang)));
        let row = |check: &GateCheck| {
            vec![
                gate_title(check, words),
                check_name(check, lang),
                check.found().of(lang).to_owned(),
            ]
        };
        let header = [words.gate, words.check, words.found];
        markdown::table(&mut out, &header, passed.into_iter().map(row));
    }
    markdown::digest_table(&mut out, [words.input, words.digest], digests(report).into_iter());
    out
}

fn paragraph(out: &mut String, text: &str) {
    markdown::line(out, text);
    markdown::line(out, "");
}

/// The check that decides the gate, and what would make it pass.
fn decides(out: &mut String, report: &GateReport, lang: Lang) {
    let Some(check) = report.deciding_check() else {
        return;
    };
    let found = says::named(check.check.as_str(), check.found());
    paragraph(out, &escape(found.of(lang)));
    let remedy = remedy(check, lang);
    if !remedy.is_empty() {
        paragraph(out, &escape(&fill(lang.words().to_pass, &[&remedy])));
    }
}

fn comparisons(out: &mut String, report: &GateReport, lang: Lang) {
    if report.comparisons.is_empty() {
        return;
    }
    let words = lang.words();
    paragraph(out, &format!("## {}", words.case_by_case));
    let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let of = |text: Option<Text>| dash(text.map(|text| text.of(lang).to_owned()));
    let verdict = says::column_verdict();
    let change = says::column_change();
    let header = [
        words.suite,
        words.metric,
        words.pairs,
        words.baseline,
        words.candidate,
        change.of(lang),
        words.allowed,
        verdict.of(lang),
    ];
    let row = |value| {
        let compared = Compared::new(value);
        vec![
            compared.text("suite").to_owned(),
            compared.metric().of(lang).to_owned(),
            dash(compared.n("n_pairs").map(crate::base::number::count)),
            dash(compared.mean(0, lang)),
            dash(compared.mean(1, lang)),
            of(compared.change()),
            of(compared.allowed()),
            words.badge(compared.outcome()),
        ]
    };
    markdown::table(out, &header, report.comparisons.iter().map(row));
}

/// The cases that got worse, then those that got better.
fn cases(out: &mut String, report: &GateReport, lang: Lang) {
    let words = lang.words();
    for (key, title) in [("lost", words.cases_lost), ("gained", words.cases_gained)] {
        for comparison in report.comparisons.iter().map(Compared::new) {
            let cases = comparison.cases(key);
            if cases.is_empty() {
                continue;
            }
            let n = comparison.n(&format!("n_{key}")).unwrap_or(cases.len() as u64);
            let names = Text::new(|lang| crate::words::Say::say(&Few(&cases, SHOWN), lang));
            let (metric, suite) = (comparison.metric(), comparison.text("suite"));
            let parts = [
                metric.of(lang),
                suite,
                &crate::base::number::count(n),
                names.of(lang),
            ];
            let of = fill(words.cases_of, &parts);
            paragraph(out, &format!("{title}: {}", escape(&of)));
        }
    }
}
