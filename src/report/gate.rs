//! The report of a release's gate, as Markdown for a pull request and as HTML for a browser.

use serde_json::Value;

use crate::base::escape::markdown as escape;
use crate::base::number::number;
use crate::gate::{GateCheck, GateOutcome, GateReport};
use crate::report::charts::Harm;
use crate::report::page::{Page, TableCell};
use crate::report::{charts, markdown};
use crate::stats::Interval;
use crate::words::{Lang, Words, fill};

/// The largest number of cases in a pull request.
const SHOWN: usize = 20;

/// The gates in order, with their titles.
fn gates(words: &Words) -> [(&'static str, &'static str); 10] {
    [
        ("record", words.gate_record),
        ("C1", words.gate_c1),
        ("C2", words.gate_c2),
        ("C3", words.gate_c3),
        ("C4", words.gate_c4),
        ("C5", words.gate_c5),
        ("output", words.gate_output),
        ("approval", words.gate_approval),
        ("canary", words.gate_canary),
        ("ramp", words.gate_ramp),
    ]
}

/// Returns the report of a release's gate as Markdown.
pub fn gate_markdown(report: &GateReport, lang: Lang) -> String {
    let words = lang.words();
    let mut out = String::new();
    let mut line = |text: &str| {
        markdown::line(&mut out, text);
        markdown::line(&mut out, "");
    };
    line(&format!(
        "# {}: {}",
        escape(&fill(words.gate_title, &[&report.candidate])),
        words.badge(report.outcome.name())
    ));
    line(&escape(&fill(words.compared_with, &[&report.baseline])));
    let (open, passed): (Vec<&GateCheck>, Vec<&GateCheck>) = report
        .checks
        .iter()
        .partition(|check| check.outcome != GateOutcome::Pass);
    if !open.is_empty() {
        let row = |check: &GateCheck| {
            vec![
                check.gate.clone(),
                stratum(check),
                words.badge(check.outcome.name()),
                check.detail.clone(),
                remedy(check, words),
            ]
        };
        markdown::table(
            &mut out,
            &[words.gate, words.check, words.outcome, words.found, words.remedy],
            open.into_iter().map(row),
        );
    }
    let mut line = |text: &str| {
        markdown::line(&mut out, text);
        markdown::line(&mut out, "");
    };
    for (key, title) in [("lost", words.cases_lost), ("gained", words.cases_gained)] {
        for comparison in &report.comparisons {
            let cases: Vec<&str> = comparison[key]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .take(SHOWN)
                .collect();
            if !cases.is_empty() {
                let n = comparison[format!("n_{key}")]
                    .as_u64()
                    .unwrap_or_default()
                    .to_string();
                let of = fill(
                    words.cases_of,
                    &[
                        &text(&comparison["metric"]),
                        &text(&comparison["suite"]),
                        &n,
                        &cases.join(", "),
                    ],
                );
                line(&format!("{title}: {}", escape(&of)));
            }
        }
    }
    if let Some(steps) = steps(report) {
        line(&format!("{}:", words.roll_back));
        for (idx, step) in steps.iter().enumerate() {
            line(&format!("{}. {}", idx + 1, escape(&step_of(step))));
        }
    }
    for not_asked in &report.not_asked {
        line(&format!("{}: {}", words.not_asked, escape(not_asked)));
    }
    if !passed.is_empty() {
        line(&format!(
            "{}:",
            fill(words.passed_checks, &[&passed.len().to_string()])
        ));
        let row = |check: &GateCheck| vec![check.gate.clone(), stratum(check), check.detail.clone()];
        markdown::table(
            &mut out,
            &[words.gate, words.check, words.found],
            passed.into_iter().map(row),
        );
    }
    markdown::digest_table(&mut out, [words.input, words.digest], digests(report).into_iter());
    out
}

fn digests(report: &GateReport) -> Vec<(String, String)> {
    let records = report.subjects.iter().map(|subject| {
        (
            format!("record of {}", subject.release_id),
            subject.digest.clone(),
        )
    });
    let policy = report
        .policy_digest
        .iter()
        .map(|digest| ("policy".to_owned(), digest.clone()));
    records
        .chain(policy)
        .chain(
            report
                .inputs
                .iter()
                .map(|input| (input.name.clone(), input.digest.clone())),
        )
        .collect()
}

fn stratum(check: &GateCheck) -> String {
    let layer = [check.tenant.as_str(), check.layer.as_str()]
        .iter()
        .filter(|part| !part.is_empty())
        .copied()
        .collect::<Vec<_>>()
        .join(" / ");
    if layer.is_empty() {
        check.check.clone()
    } else {
        format!("{} ({layer})", check.check)
    }
}

fn remedy(check: &GateCheck, words: &Words) -> String {
    match &check.lifted_by {
        Some(by) => fill(words.lifted_by, &[by]),
        None => check.remedy.clone().unwrap_or_default(),
    }
}

fn steps(report: &GateReport) -> Option<&Vec<Value>> {
    report.rollback.as_ref()?["steps"].as_array()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn step_of(step: &Value) -> String {
    let (from, to) = (text(&step["from"]), text(&step["to"]));
    let refs = if from.is_empty() && to.is_empty() {
        String::new()
    } else {
        format!("{from} -> {to}: ")
    };
    format!("{refs}{}", text(&step["why"]))
}

/// Returns the report of a release's gate as an HTML page.
pub fn gate_html(report: &GateReport, lang: Lang) -> String {
    let mut page = Page::new(lang, false);
    let words = page.words;
    page.open(
        &fill(words.gate_title, &[&report.candidate]),
        &fill(words.compared_with, &[&report.baseline]),
    );
    page.badge(words.gate, report.outcome.name());
    for (gate, title) in gates(words) {
        let checks: Vec<&GateCheck> = report.checks.iter().filter(|check| check.gate == gate).collect();
        if checks.is_empty() {
            continue;
        }
        page.heading(title);
        page.table(
            title,
            &[words.check, words.outcome, words.found, words.remedy],
            checks.into_iter().map(|check| {
                vec![
                    TableCell::Text(stratum(check)),
                    TableCell::Badge(check.outcome.name().into()),
                    TableCell::Text(check.detail.clone()),
                    TableCell::Text(remedy(check, words)),
                ]
            }),
        );
    }
    comparisons(&mut page, report);
    if let Some(steps) = steps(report) {
        page.heading(words.roll_back);
        let row = |(idx, step): (usize, &Value)| {
            vec![
                TableCell::Number((idx + 1).to_string()),
                TableCell::Text(step_of(step)),
            ]
        };
        page.table(
            words.roll_back_note,
            &[words.step, words.what],
            steps.iter().enumerate().map(row),
        );
    }
    if !report.not_asked.is_empty() {
        page.heading(words.not_asked);
        page.table(
            words.not_asked,
            &[words.what],
            report
                .not_asked
                .iter()
                .map(|text| vec![TableCell::Text(text.clone())]),
        );
    }
    page.heading(words.inputs);
    page.table(
        words.rests_on,
        &[words.input, words.digest],
        digests(report)
            .into_iter()
            .map(|(name, digest)| vec![TableCell::Text(name), TableCell::Long(digest)]),
    );
    page.close()
}

fn comparisons(page: &mut Page, report: &GateReport) {
    if report.comparisons.is_empty() {
        return;
    }
    let words = page.words;
    let show = |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), number);
    page.heading(words.case_by_case);
    let harms: Vec<Harm<'_>> = report.comparisons.iter().filter_map(harm_of).collect();
    if !harms.is_empty() {
        page.chart(&charts::harms_in_margins(
            &harms,
            words.harm_of_cases.to_owned(),
            words,
        ));
    }
    let header = [
        words.suite,
        words.metric,
        words.pairs,
        words.baseline,
        words.candidate,
        words.difference,
        words.interval,
        words.allowed,
        words.p_adj,
        words.finds,
        words.n_better,
        words.n_worse,
    ];
    page.table(
        words.same_cases,
        &header,
        report.comparisons.iter().map(|c| {
            let interval = &c["interval"];
            let ends = if interval["ci_lower"].is_number() {
                format!(
                    "[{}, {}]",
                    show(&interval["ci_lower"]),
                    show(&interval["ci_upper"])
                )
            } else {
                "-".into()
            };
            let numbers = [&c["n_pairs"], &c["means"][0], &c["means"][1], &c["difference"]]
                .map(show)
                .into_iter()
                .chain([ends]);
            let rest = [
                &c["margin"],
                &c["p_value_adj"],
                &c["mde"],
                &c["n_gained"],
                &c["n_lost"],
            ]
            .map(show);
            let cells = numbers.chain(rest).map(TableCell::Number);
            [&c["suite"], &c["metric"]]
                .map(|name| TableCell::Text(text(name)))
                .into_iter()
                .chain(cells)
                .collect()
        }),
    );
    for (key, title) in [("lost", words.cases_lost), ("gained", words.cases_gained)] {
        let of = |c: &Value| {
            let name = [text(&c["suite"]), text(&c["metric"])];
            let cases: Vec<String> = c[key].as_array().into_iter().flatten().map(text).collect();
            cases.into_iter().map(move |case| {
                name.iter()
                    .cloned()
                    .chain([case])
                    .map(TableCell::Text)
                    .collect::<Vec<TableCell>>()
            })
        };
        let cases: Vec<Vec<TableCell>> = report.comparisons.iter().flat_map(of).collect();
        if !cases.is_empty() {
            page.table(title, &[words.suite, words.metric, words.case], cases);
        }
    }
}

/// Returns a comparison's harm in units of its margin. `None` without an interval.
fn harm_of(comparison: &Value) -> Option<Harm<'_>> {
    let margin = comparison["margin"].as_f64().filter(|margin| *margin > 0.0)?;
    let end = |key: &str| comparison["interval"][key].as_f64();
    let (lower, upper, harm, difference) = (
        end("ci_lower")?,
        end("ci_upper")?,
        comparison["harm"].as_f64()?,
        comparison["difference"].as_f64()?,
    );
    // If lower values are better, the harm equals the difference, else its negative.
    let interval = if harm == difference && harm != 0.0 {
        Interval {
            ci_lower: lower,
            ci_upper: upper,
        }
    } else {
        Interval {
            ci_lower: -upper,
            ci_upper: -lower,
        }
    };
    let metric = comparison["metric"].as_str()?;
    Some(Harm {
        keys: vec![("metric", metric)],
        label: format!("{}: {metric}", comparison["suite"].as_str()?),
        harm: harm / margin,
        interval: Interval {
            ci_lower: interval.ci_lower / margin,
            ci_upper: interval.ci_upper / margin,
        },
        violated: comparison["verdict"].as_str() == Some("violated"),
    })
}
