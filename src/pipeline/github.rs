//! Annotations of GitHub Actions: one workflow command a line.

use std::fmt::Write;

use crate::base::escape::is_command;
use crate::pipeline::finding::{Finding, Findings, Level};
use crate::words::Lang;

/// Returns an `::error` for each failure, a `::warning` for each warning and inconclusive check, the
/// worst first, and a `::notice` with the answer.
pub(super) fn annotations(findings: &Findings, lang: Lang) -> String {
    let mut out = String::new();
    for finding in findings.open() {
        let command = match finding.level {
            Level::Error => "error",
            _ => "warning",
        };
        let properties = properties(finding);
        // Writing to a string cannot fail.
        let _ = writeln!(out, "::{command} {properties}::{}", data(&message(finding, lang)));
    }
    let title = property(&format!("sluice {}", findings.command));
    let _ = writeln!(out, "::notice title={title}::{}", data(findings.answer.of(lang)));
    out
}

fn properties(finding: &Finding) -> String {
    let mut properties = Vec::new();
    if let Some(place) = &finding.place {
        properties.push(format!("file={}", property(&place.file)));
        properties.extend(place.line.map(|line| format!("line={line}")));
    }
    properties.push(format!("title={}", property(&finding.name())));
    properties.join(",")
}

/// The finding, and on a line of its own what would make it pass.
fn message(finding: &Finding, lang: Lang) -> String {
    let found = finding.found.of(lang).to_owned();
    match &finding.remedy {
        Some(remedy) => format!("{found}\n{}", remedy.of(lang)),
        None => found,
    }
}

/// Escapes the message of a workflow command.
fn data(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' => out.push_str("%25"),
            '\r' => out.push_str("%0D"),
            '\n' => out.push_str("%0A"),
            c if is_command(c) => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Escapes a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::finding::example;

    #[test]
    fn commands_are_escaped_as_github_says() {
        assert_eq!(
            data("50% of\r\n::error::a, b\u{1b}"),
            "50%25 of%0D%0A::error::a, b\\u{1b}"
        );
        assert_eq!(property("a:b,c%"), "a%3Ab%2Cc%25");
    }

    #[test]
    fn failures_come_first_and_the_answer_is_a_notice() {
        let expected = "\
::error file=release/candidate.json,line=7,title=rollback_target::No target.%0AName one.
::warning file=evals.csv,title=cost (golden)::The cost is not known.
::warning title=digests::50%25 are cut.
::notice title=sluice gate::No: 1 check failed.
";
        assert_eq!(annotations(&example(), Lang::En), expected);
        let zh = annotations(&example(), Lang::Zh);
        assert!(
            zh.contains("::没有目标。%0A请指定。\n") && zh.ends_with("::否：1 项未通过。\n"),
            "{zh}"
        );
    }
}
