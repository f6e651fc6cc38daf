//! JUnit XML, as Jenkins, GitLab and other systems read it.
//!
//! The rules that these readers share, and that the tests check: `testsuites` holds `testsuite`s,
//! each with its `properties` first and then its `testcase`s; `tests`, `failures`, `errors` and
//! `skipped` are the numbers of the elements; a test case has at most one of `failure`, `error` and
//! `skipped`, and then its `system-out`; names are unique within a suite.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::base::escape::is_command;
use crate::pipeline::finding::{Finding, Findings, Level};
use crate::words::Lang;

/// Returns one suite for each group of checks: failed checks are failures, inconclusive ones errors,
/// checks that were not made are skipped. Warnings pass, with their text as output.
pub(super) fn junit(findings: &Findings, lang: Lang) -> String {
    let all: Vec<&Finding> = findings.list.iter().collect();
    let name = attribute(&format!("sluice {}", findings.command));
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string cannot fail.
    let _ = writeln!(out, "<testsuites name=\"{name}\" {}>", counts(&all));
    for (group, of_group) in groups(&all) {
        suite(&mut out, findings, group, &of_group, lang);
    }
    out.push_str("</testsuites>\n");
    out
}

/// The findings by group, in the order of the first finding of each.
fn groups<'a>(all: &[&'a Finding]) -> Vec<(&'a str, Vec<&'a Finding>)> {
    let mut groups: Vec<(&str, Vec<&Finding>)> = Vec::new();
    for finding in all {
        match groups.iter_mut().find(|(group, _)| *group == finding.group) {
            Some((_, list)) => list.push(finding),
            None => groups.push((&finding.group, vec![finding])),
        }
    }
    groups
}

fn counts(list: &[&Finding]) -> String {
    let count = |level: Level| list.iter().filter(|finding| finding.level == level).count();
    format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"0\"",
        list.len(),
        count(Level::Error),
        count(Level::Inconclusive),
        count(Level::NotAsked)
    )
}

fn suite(out: &mut String, findings: &Findings, group: &str, list: &[&Finding], lang: Lang) {
    let _ = writeln!(
        out,
        "  <testsuite name=\"{}\" {}>",
        attribute(group),
        counts(list)
    );
    let answer = [("answer", findings.answer.of(lang))].into_iter();
    let properties = findings
        .properties
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    out.push_str("    <properties>\n");
    for (name, value) in properties.chain(answer) {
        let (name, value) = (attribute(name), attribute(value));
        let _ = writeln!(out, "      <property name=\"{name}\" value=\"{value}\"/>");
    }
    out.push_str("    </properties>\n");
    let mut n_of_name: BTreeMap<String, usize> = BTreeMap::new();
    for finding in list {
        let n = n_of_name.entry(finding.name()).or_default();
        *n += 1;
        let name = match n {
            1 => finding.name(),
            n => format!("{} #{n}", finding.name()),
        };
        let class = format!("sluice.{}.{group}", findings.command);
        case(out, finding, &name, &class, lang);
    }
    out.push_str("  </testsuite>\n");
}

fn case(out: &mut String, finding: &Finding, name: &str, class: &str, lang: Lang) {
    let file = finding.place.as_ref().map_or_else(String::new, |place| {
        format!(" file=\"{}\"", attribute(&place.file))
    });
    let _ = write!(
        out,
        "    <testcase name=\"{}\" classname=\"{}\"{file} time=\"0\"",
        attribute(name),
        attribute(class)
    );
    let (message, body) = (attribute(finding.found.of(lang)), content(&body(finding, lang)));
    let kind = finding.level.name();
    let inner = match finding.level {
        Level::Error => format!("<failure type=\"{kind}\" message=\"{message}\">{body}</failure>"),
        Level::Inconclusive => format!("<error type=\"{kind}\" message=\"{message}\">{body}</error>"),
        Level::NotAsked => format!("<skipped message=\"{message}\"/>"),
        Level::Warning | Level::Passed => format!("<system-out>{body}</system-out>"),
    };
    let _ = writeln!(out, ">\n      {inner}\n    </testcase>");
}

/// The finding with its place and what would make it pass, a line each.
fn body(finding: &Finding, lang: Lang) -> String {
    let mut lines = vec![finding.found.of(lang).to_owned()];
    lines.extend(finding.remedy.as_ref().map(|remedy| remedy.of(lang).to_owned()));
    lines.extend(finding.place.as_ref().map(|place| match place.line {
        Some(line) => format!("{}:{line}", place.file),
        None => place.file.clone(),
    }));
    lines.join("\n")
}

/// Escapes the text of an element. Characters that XML 1.0 forbids are removed; other controls are
/// visible escapes.
fn content(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().filter(|c| is_xml(*c)) {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            '\r' => out.push(' '),
            c if is_command(c) => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Escapes the value of an attribute, which is one line.
fn attribute(text: &str) -> String {
    content(text).replace(['\n', '\t'], " ")
}

/// Whether XML 1.0 allows a character.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::finding::example;

    #[test]
    fn forbidden_characters_are_removed() {
        assert_eq!(
            content("a\u{0}\u{1b}\u{fffe}<b> & \"c\"\n"),
            "a&lt;b&gt; &amp; &quot;c&quot;\n"
        );
        assert_eq!(attribute("a\nb\u{202e}"), "a b\\u{202e}");
    }

    #[test]
    fn suites_count_their_cases() {
        let xml = junit(&example(), Lang::En);
        assert!(
            xml.contains(
                "<testsuites name=\"sluice gate\" tests=\"5\" failures=\"1\" errors=\"1\" skipped=\"1\""
            ),
            "{xml}"
        );
        assert!(
            xml.contains("<testsuite name=\"C4\" tests=\"1\" failures=\"0\" errors=\"1\""),
            "{xml}"
        );
        assert!(
            xml.contains("<property name=\"candidate\" value=\"v2 &amp; &quot;new&quot;\"/>"),
            "{xml}"
        );
        assert!(
            xml.contains("<failure type=\"fail\" message=\"No target.\">No target.\nName one.\nrelease/candidate.json:7<"),
            "{xml}"
        );
        let zh = junit(&example(), Lang::Zh);
        assert!(zh.contains("<skipped message=\"没有分析。\"/>"), "{zh}");
    }

    #[test]
    fn names_are_unique_in_a_suite() {
        let mut findings = example();
        findings.list.push(findings.list[0].clone());
        let xml = junit(&findings, Lang::En);
        assert!(
            xml.contains("name=\"baseline\"") && xml.contains("name=\"baseline #2\""),
            "{xml}"
        );
    }
}
