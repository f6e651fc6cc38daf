//! A comment of a pull request: the answer, the worst findings, the rest folded, and the next step.

use crate::base::escape::{excerpt, markdown as escape};
use crate::pipeline::finding::{Finding, Findings, Level};
use crate::words::pipeline as says;
use crate::words::{Count, Lang};

/// The largest number of lines.
const MAX_LINES: usize = 30;
/// The largest number of rows of the table.
const ROWS: usize = 10;
/// The lines besides the table and the folded findings.
const FRAME: usize = 11;
/// The largest number of characters of a cell.
const MAX_CELL: usize = 300;
/// The largest number of names of checks in a line.
const NAMES: usize = 40;

/// Returns the comment: at most 30 lines. Texts of others are plain words.
pub fn comment(findings: &Findings, lang: Lang) -> String {
    let words = lang.words();
    let mut lines = vec![format!("**{}**", cell(findings.answer.of(lang))), String::new()];
    let open = findings.open();
    let (shown, rest) = open.split_at(open.len().min(ROWS));
    if !shown.is_empty() {
        let header = [words.check, words.outcome, words.found, words.remedy];
        lines.push(format!("| {} |", header.join(" | ")));
        lines.push("|---|---|---|---|".to_owned());
        lines.extend(shown.iter().map(|finding| row(finding, lang)));
        lines.push(String::new());
    }
    folded(&mut lines, findings, rest, lang);
    let next = says::next_step(findings.next.of(lang)).of(lang).to_owned();
    // The marker lets a pipeline find its comment and replace it.
    lines.push(format!("{} <!-- sluice {} -->", cell(&next), findings.command));
    lines.join("\n") + "\n"
}

fn row(finding: &Finding, lang: Lang) -> String {
    let remedy = finding.remedy.as_ref().map_or("", |remedy| remedy.of(lang));
    let cells = [
        cell(&finding.name()),
        cell(&lang.words().badge(finding.level.name())),
        cell(finding.found.of(lang)),
        cell(remedy),
    ];
    format!("| {} |", cells.join(" | "))
}

/// Adds what the table does not show, within the lines that are left.
fn folded(lines: &mut Vec<String>, findings: &Findings, rest: &[&Finding], lang: Lang) {
    let [passed, not_asked] =
        [Level::Passed, Level::NotAsked].map(|level| findings.list.iter().filter(move |f| f.level == level));
    let [n_passed, n_not_asked] = [Level::Passed, Level::NotAsked].map(|level| findings.count(level));
    if rest.len() + n_passed + n_not_asked == 0 {
        return;
    }
    let n = |n: usize| Count(n as u64);
    let counts = [
        (rest.len(), says::n_more(n(rest.len()))),
        (n_passed, says::n_passed(n(n_passed))),
        (n_not_asked, says::n_not_asked(n(n_not_asked))),
    ];
    let counts = counts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(_, text)| text.of(lang));
    let separator = match lang {
        Lang::En => ", ",
        Lang::Zh => "，",
    };
    let summary = counts.collect::<Vec<_>>().join(separator);
    lines.push(format!("<details><summary>{}</summary>", cell(&summary)));
    lines.push(String::new());
    let mut items: Vec<String> = rest
        .iter()
        .map(|finding| {
            let level = lang.words().badge(finding.level.name());
            format!("{}, {level}: {}", finding.name(), finding.found.of(lang))
        })
        .collect();
    let room = MAX_LINES - (ROWS + FRAME) - 2;
    if items.len() > room {
        let n_left = items.len() - (room - 1);
        items.truncate(room - 1);
        items.push(says::and_more(Count(n_left as u64)).of(lang).to_owned());
    }
    items.extend(names(passed).map(|names| says::passed(names).of(lang).to_owned()));
    items.extend(names(not_asked).map(|names| says::not_asked(names).of(lang).to_owned()));
    lines.extend(items.iter().map(|item| format!("- {}", cell(item))));
    lines.push(String::new());
    lines.push("</details>".to_owned());
    lines.push(String::new());
}

/// The names of findings, each once. `None` without findings.
fn names<'a>(findings: impl Iterator<Item = &'a Finding>) -> Option<String> {
    let mut names: Vec<String> = Vec::new();
    for finding in findings {
        if !names.contains(&finding.rule) {
            names.push(finding.rule.clone());
        }
    }
    (!names.is_empty()).then(|| crate::base::number::first_of(&names, NAMES, ", "))
}

/// A text as plain words of one line.
fn cell(text: &str) -> String {
    escape(&excerpt(text, MAX_CELL)).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::finding::example;

    #[test]
    fn a_comment_has_at_most_thirty_lines() {
        for n in [0, 1, 5, 10, 11, 17, 18, 19, 200] {
            let mut findings = example();
            let open = findings.list[2].clone();
            findings.list.retain(|finding| !finding.level.is_open());
            findings.list.extend(std::iter::repeat_n(open, n));
            for lang in [Lang::En, Lang::Zh] {
                let text = comment(&findings, lang);
                assert!(text.lines().count() <= MAX_LINES, "{n}: {text}");
                assert!(text.starts_with("**") && text.trim_end().ends_with("<!-- sluice gate -->"));
            }
        }
    }

    #[test]
    fn the_answer_comes_first_and_the_rest_is_folded() {
        let text = comment(&example(), Lang::En);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "**No: 1 check failed.**");
        assert_eq!(lines[4], "| rollback_target | fail | No target. | Name one. |");
        assert!(
            text.contains("<details><summary>") && text.contains("- Passed: baseline"),
            "{text}"
        );
        let zh = comment(&example(), Lang::Zh);
        assert!(
            zh.contains("| rollback_target | 未通过 fail | 没有目标。 | 请指定。 |"),
            "{zh}"
        );
    }

    #[test]
    fn hostile_names_stay_words() {
        let mut findings = example();
        findings.answer = "v2** | <script> @all\n# x".into();
        findings.list[2].subject = "a | b\n</details> ![x](https://evil)".into();
        let text = comment(&findings, Lang::En);
        assert!(
            !text.contains("<script>") && !text.contains("@all") && !text.contains("](https://evil)"),
            "{text}"
        );
        assert_eq!(text.matches("</details>").count(), 1, "{text}");
        assert_eq!(
            text.lines().next().unwrap(),
            "**v2\\*\\* \\| &lt;script&gt; @<!-- -->all # x**"
        );
    }
}
