//! The gate of a release as an HTML page: the answer on the first screen, then the checks that did
//! not pass, then everything else.

use serde_json::Value;

use crate::base::escape::html as escape;
use crate::base::number::count;
use crate::gate::{GateCheck, GateOutcome, GateReport};
use crate::report::cards;
use crate::report::charts;
use crate::report::charts::Harm;
use crate::report::gate::{
    check_name, digests, gate_title, open_and_passed, remedy, short_answer, step_text, steps,
};
use crate::report::gate_comparison::Compared;
use crate::report::page::{Page, TableCell};
use crate::words::gate as says;
use crate::words::{Count, Lang, Text, Things, fill};

/// The largest number of slices of a table.
const SLICES: usize = 50;

/// Returns the report of a release's gate as an HTML page.
pub fn gate_html(report: &GateReport, lang: Lang) -> String {
    let mut gate = GatePage {
        page: Page::new(lang, false),
        lang,
    };
    let words = lang.words();
    gate.page.open(
        &fill(words.gate_title, &[&report.candidate]),
        &fill(words.compared_with, &[&report.baseline]),
    );
    gate.answer(report);
    let (open, passed) = open_and_passed(report);
    if !open.is_empty() {
        let title = says::open_checks(Count(open.len() as u64));
        gate.page.heading(title.of(lang));
        gate.checks(title.of(lang), &open);
    }
    gate.comparisons(report);
    gate.slices(report);
    gate.matching(report);
    gate.cases(report);
    gate.roll_back(report);
    if !passed.is_empty() {
        let (title, n) = (
            says::passed_title(),
            says::n_checks(Things(passed.len() as u64, "check")),
        );
        gate.folded(title.of(lang), &n, |gate| gate.checks(title.of(lang), &passed));
    }
    gate.not_asked(report);
    gate.inputs(report);
    gate.page.close()
}

struct GatePage {
    page: Page,
    lang: Lang,
}

impl GatePage {
    /// The text in the language of the page.
    fn of(&self, text: &Text) -> String {
        text.of(self.lang).to_owned()
    }

    /// A cell with a text, or `-` without one.
    fn cell(&self, text: Option<Text>) -> TableCell {
        TableCell::Text(text.map_or_else(|| "-".to_owned(), |text| self.of(&text)))
    }

    /// Writes a part that is folded until it is opened.
    fn folded(&mut self, title: &str, inside: &Text, write: impl FnOnce(&mut Self)) {
        self.page.fold(title, inside.of(self.lang));
        write(self);
        self.page.end_fold();
    }

    /// The first screen: the answer with its badge, what decides it, and what would make it pass.
    fn answer(&mut self, report: &GateReport) {
        let outcome = if report.checks.is_empty() {
            GateOutcome::Inconclusive
        } else {
            report.outcome
        };
        let (question, short) = (says::may_it_start(), short_answer(report));
        cards::open(&mut self.page, report.answer().of(self.lang));
        self.page.raw(&format!(
            "<p class=\"gate-line\">{} <span class=\"badge {}\">{}</span></p>\n",
            escape(question.of(self.lang)),
            outcome.name(),
            escape(short.of(self.lang)),
        ));
        if let Some(check) = report.deciding_check() {
            self.page.raw("<div class=\"first-check\">\n");
            let found = says::named(check.check.as_str(), check.found());
            self.page.text(found.of(self.lang));
            let remedy = remedy(check, self.lang);
            if !remedy.is_empty() {
                self.page.text(&fill(self.page.words.to_pass, &[&remedy]));
            }
            self.page.raw("</div>\n");
        }
        let is_open = |check: &GateCheck| check.outcome == GateOutcome::Inconclusive;
        if report.checks.iter().any(is_open) {
            self.page.text(says::inconclusive_is().of(self.lang));
        }
        cards::close(&mut self.page);
    }

    fn checks(&mut self, caption: &str, checks: &[&GateCheck]) {
        let words = self.page.words;
        let rows: Vec<Vec<TableCell>> = checks
            .iter()
            .map(|check| {
                let id = self
                    .page
                    .id(&["check", &check.check, &check.tenant, &check.layer]);
                vec![
                    TableCell::Anchored {
                        text: check_name(check, self.lang),
                        id,
                        key: String::new(),
                    },
                    TableCell::Badge(check.outcome.name().into()),
                    TableCell::Text(self.of(&check.found())),
                    TableCell::Text(remedy(check, self.lang)),
                    TableCell::Text(gate_title(check, words)),
                ]
            })
            .collect();
        // Passed checks have no remedy.
        let has_remedy = checks.iter().any(|check| !remedy(check, self.lang).is_empty());
        let header = [words.check, words.outcome, words.found, words.remedy, words.gate];
        let keep = |idx: usize| has_remedy || idx != 3;
        let header: Vec<&str> = header
            .into_iter()
            .enumerate()
            .filter(|(idx, _)| keep(*idx))
            .map(|(_, h)| h)
            .collect();
        let rows = rows.into_iter().map(|row| {
            let cells = row.into_iter().enumerate();
            cells
                .filter(|(idx, _)| keep(*idx))
                .map(|(_, cell)| cell)
                .collect()
        });
        self.page.table(caption, &header, rows);
    }

    fn comparisons(&mut self, report: &GateReport) {
        if report.comparisons.is_empty() {
            return;
        }
        let words = self.page.words;
        self.page.heading(words.case_by_case);
        let compared: Vec<Compared<'_>> = report.comparisons.iter().map(Compared::new).collect();
        let harms: Vec<Harm<'_>> = compared.iter().filter_map(|c| c.in_margins(self.lang)).collect();
        if harms.is_empty() {
            self.page.text(says::no_comparison().of(self.lang));
        } else {
            self.page.text(says::harm_note().of(self.lang));
            let title = words.harm_of_cases.to_owned();
            self.page.chart(&charts::harms_in_margins(&harms, title, words));
        }
        let (change, verdict) = (says::column_change(), says::column_verdict());
        let header = [
            words.suite,
            words.metric,
            words.pairs,
            words.baseline,
            words.candidate,
            change.of(self.lang),
            words.allowed,
            words.p_adj,
            words.n_better,
            words.n_worse,
            verdict.of(self.lang),
        ];
        let rows: Vec<Vec<TableCell>> = compared
            .iter()
            .map(|compared| {
                let mut row = vec![
                    TableCell::Text(compared.text("suite").to_owned()),
                    TableCell::Keyed(self.of(&compared.metric()), compared.text("metric").to_owned()),
                ];
                row.extend(self.numbers(compared));
                row
            })
            .collect();
        self.page.table(words.same_cases, &header, rows);
    }

    /// The cells of a comparison from its pairs to its verdict.
    fn numbers(&self, compared: &Compared<'_>) -> [TableCell; 9] {
        let number = |text: Option<String>| TableCell::Number(text.unwrap_or_else(|| "-".to_owned()));
        let n = |key: &str| number(compared.n(key).map(count));
        [
            n("n_pairs"),
            number(compared.mean(0, self.lang)),
            number(compared.mean(1, self.lang)),
            self.cell(compared.change()),
            self.cell(compared.allowed()),
            number(compared.p_value(self.lang)),
            n("n_gained"),
            n("n_lost"),
            TableCell::Badge(compared.outcome().into()),
        ]
    }

    /// The slices of each comparison, in the order of the document: violated ones first, then by
    /// harm.
    fn slices(&mut self, report: &GateReport) {
        let checks = report.checks.iter().filter(|check| check.check == "eval_slices");
        let studies: Vec<&GateCheck> = checks
            .filter(|check| {
                check.evidence["slices"]
                    .as_array()
                    .is_some_and(|slices| !slices.is_empty())
            })
            .collect();
        if studies.is_empty() {
            return;
        }
        let words = self.page.words;
        self.page.heading(says::slices().of(self.lang));
        let (slice, change, verdict) = (
            says::column_slice(),
            says::column_change(),
            says::column_verdict(),
        );
        for check in studies {
            let by = check.evidence["by"].as_str().unwrap_or_default();
            let slices = check.evidence["slices"].as_array().into_iter().flatten();
            let rows: Vec<Vec<TableCell>> = slices
                .take(SLICES)
                .map(|value| {
                    let compared = Compared::new(value);
                    let name = TableCell::Text(format!("{by} = {}", compared.text("value")));
                    std::iter::once(name).chain(self.numbers(&compared)).collect()
                })
                .collect();
            self.page.text(check.found().of(self.lang));
            let header = [
                slice.of(self.lang),
                words.pairs,
                words.baseline,
                words.candidate,
                change.of(self.lang),
                words.allowed,
                words.p_adj,
                words.n_better,
                words.n_worse,
                verdict.of(self.lang),
            ];
            self.page
                .table(says::slices_caption(by).of(self.lang), &header, rows);
        }
    }

    /// How the cases of each suite were matched.
    fn matching(&mut self, report: &GateReport) {
        let check = report.checks.iter().find(|check| check.check == "eval_cases");
        let Some(check) = check else { return };
        self.page.heading(says::how_matched().of(self.lang));
        self.page.text(check.found().of(self.lang));
        let matchings: Vec<&Value> = check.evidence["matching"]
            .as_array()
            .into_iter()
            .flatten()
            .collect();
        let columns = [
            says::column_matched_by(),
            says::column_in_both(),
            says::column_only_before(),
            says::column_only_now(),
            says::column_conflicts(),
        ];
        let mut header = vec![self.page.words.suite];
        header.extend(columns.iter().map(|column| column.of(self.lang)));
        let rows: Vec<Vec<TableCell>> = matchings
            .iter()
            .map(|matching| {
                let text = |key: &str| matching[key].as_str().unwrap_or_default().to_owned();
                let n = |key: &str| {
                    let n = matching[key].as_u64();
                    TableCell::Number(n.map_or_else(|| "-".to_owned(), count))
                };
                let keys = ["n_matched", "n_only_baseline", "n_only_candidate", "n_conflicts"];
                let names = [text("suite"), self.matched_by(&text("by"))].map(TableCell::Text);
                names.into_iter().chain(keys.map(n)).collect()
            })
            .collect();
        if !rows.is_empty() {
            self.page
                .table(says::matched_caption().of(self.lang), &header, rows);
        }
    }

    /// What identifies a case, by its name in documents.
    fn matched_by(&self, name: &str) -> String {
        use crate::words::evals;
        match name {
            "case_id" => self.of(&evals::by_id()),
            "asked" => self.of(&evals::by_input()),
            "asked_without_ids" => self.of(&evals::by_input_without_ids()),
            name => name.to_owned(),
        }
    }

    /// The cases that got worse, then those that got better, folded.
    fn cases(&mut self, report: &GateReport) {
        let words = self.page.words;
        for (key, title) in [("lost", words.cases_lost), ("gained", words.cases_gained)] {
            let of = |value| {
                let compared = Compared::new(value);
                let metric = self.of(&compared.metric());
                let suite = compared.text("suite").to_owned();
                let cases = compared.cases(key).into_iter();
                let row =
                    move |case: &str| [suite.clone(), metric.clone(), case.to_owned()].map(TableCell::Text);
                cases.map(move |case| Vec::from(row(case))).collect::<Vec<_>>()
            };
            let rows: Vec<Vec<TableCell>> = report.comparisons.iter().flat_map(of).collect();
            if rows.is_empty() {
                continue;
            }
            let n = says::cases(Things(rows.len() as u64, "case"));
            self.folded(title, &n, |gate| {
                gate.page
                    .table(title, &[words.suite, words.metric, words.case], rows);
            });
        }
    }

    fn roll_back(&mut self, report: &GateReport) {
        let Some(steps) = steps(report) else { return };
        let words = self.page.words;
        self.page.heading(words.roll_back);
        let row = |(idx, step): (usize, &Value)| {
            vec![
                TableCell::Number((idx + 1).to_string()),
                TableCell::Text(step_text(step, self.lang)),
            ]
        };
        let rows: Vec<Vec<TableCell>> = steps.iter().enumerate().map(row).collect();
        self.page
            .table(words.roll_back_note, &[words.step, words.what], rows);
    }

    fn not_asked(&mut self, report: &GateReport) {
        let texts = report.not_asked_texts();
        if texts.is_empty() {
            return;
        }
        let words = self.page.words;
        let rows: Vec<Vec<TableCell>> = texts
            .iter()
            .map(|text| vec![TableCell::Text(self.of(text))])
            .collect();
        let n = says::n_checks(Things(texts.len() as u64, "check"));
        self.folded(words.not_asked, &n, |gate| {
            gate.page.table(words.not_asked, &[words.what], rows);
        });
    }

    fn inputs(&mut self, report: &GateReport) {
        let words = self.page.words;
        let digests = digests(report);
        let n = says::n_files(Things(digests.len() as u64, "file"));
        self.folded(words.rests_on, &n, |gate| {
            let rows = digests
                .into_iter()
                .map(|(name, digest)| vec![TableCell::Text(name), TableCell::Long(digest)]);
            gate.page
                .table(words.rests_on, &[words.input, words.digest], rows);
        });
    }
}
