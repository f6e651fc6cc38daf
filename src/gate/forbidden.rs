//! Check of forbidden outputs: texts that no output of the candidate may contain, in any of the ways
//! in which a reader may see it.

use aho_corasick::AhoCorasick;
use serde_json::{Value, json};

use crate::base::reading::{Form, find_reading};
use crate::base::skeleton::{confusable, skeleton};
use crate::gate::checklist::Checks;
use crate::gate::document::GateOutcome;
use crate::gate::evidence::Evals;
use crate::release::evals::CaseOutcome;
use crate::words::gate as says;
use crate::words::{Count, Few, Text, Things};

/// The largest number of findings in the evidence.
const LISTED: usize = 100;
/// The largest number of findings in the sentence.
const NAMED: usize = 5;

pub(super) fn checks(evals: Option<&Evals<'_>>, checks: &mut Checks<'_>) {
    let words = &checks.policy.forbidden_substrings;
    if words.is_empty() {
        return;
    }
    let rows: Vec<_> = evals
        .iter()
        .flat_map(|evals| &evals.rows)
        .filter(|(arm, _)| *arm == 1)
        .map(|(_, row)| row)
        .collect();
    // A run that broke has no output to check.
    let n_silent = rows
        .iter()
        .filter(|row| row.output.is_none() && row.outcome != CaseOutcome::Error)
        .count() as u64;
    let n_outputs = rows.iter().filter(|row| row.output.is_some()).count();
    let Some(search) = Search::new(words, checks.policy.forbidden_confusables) else {
        checks.record(
            "forbidden_substrings",
            GateOutcome::Inconclusive,
            says::too_many_words(),
            says::other_words(),
        );
        return;
    };
    let mut n_found = 0_u64;
    let mut found = Vec::new();
    for row in &rows {
        let Some(output) = &row.output else { continue };
        if let Some(hit) = search.find(output) {
            n_found += 1;
            if found.len() < LISTED {
                let mut finding = json!({
                    "suite": *row.suite,
                    "case_id": row.case_id(),
                    "substring": words[hit.word],
                    "reading": hit.form.name(),
                });
                if hit.is_confusable {
                    finding["confusable"] = Value::Bool(true);
                }
                found.push(finding);
            }
        }
    }
    if n_found > 0 {
        let cases: Vec<Text> = found.iter().map(sentence).collect();
        let n_outputs = Count(n_outputs as u64);
        let detail = says::forbidden_found(Count(n_found), n_outputs, Few(&cases, NAMED));
        checks
            .record(
                "forbidden_substrings",
                GateOutcome::Fail,
                detail,
                says::without_outputs(),
            )
            .evidence = json!(found);
    } else if n_outputs == 0 {
        checks.record(
            "forbidden_substrings",
            GateOutcome::Inconclusive,
            says::no_outputs(),
            says::give_outputs(),
        );
    } else if n_silent > 0 {
        let n_outputs = Count(n_outputs as u64);
        let detail = [
            says::forbidden_none(n_outputs),
            says::outputs_missing(Things(n_silent, "result")),
        ];
        let outcome = if checks.policy.too_many_missing(n_silent, rows.len() as u64) {
            GateOutcome::Inconclusive
        } else {
            GateOutcome::Warn
        };
        let detail = Text::sentences(&detail);
        checks.record("forbidden_substrings", outcome, detail, says::give_outputs());
    } else {
        checks.record(
            "forbidden_substrings",
            GateOutcome::Pass,
            says::forbidden_none(Count(n_outputs as u64)),
            "",
        );
    }
}

/// A finding in words, such as `"refund" in c1 (read as markdown)`.
fn sentence(finding: &Value) -> Text {
    let text = |key: &str| finding[key].as_str().unwrap_or_default();
    let mut how = Vec::new();
    if text("reading") != Form::Text.name() {
        how.push(says::read_as(text("reading").replace('_', " ")));
    }
    if finding["confusable"].is_boolean() {
        how.push(says::looks_alike());
    }
    let (word, case) = (text("substring"), text("case_id"));
    match how.is_empty() {
        true => says::word_in(word, case),
        false => says::word_in_how(word, case, how),
    }
}

/// A forbidden text in an output.
#[derive(Debug, PartialEq, Eq)]
struct Hit {
    /// The index of the text in the policy.
    word: usize,
    form: Form,
    /// Whether only letters that look alike make it this text.
    is_confusable: bool,
}

/// A search for all forbidden texts at once, by their skeletons.
struct Search {
    words: AhoCorasick,
    /// By the two confusable skeletons, if the policy asks for them.
    confusables: Option<[AhoCorasick; 2]>,
}

impl Search {
    /// `None` if there are too many texts, or one has no visible character.
    fn new(words: &[String], with_confusables: bool) -> Option<Self> {
        let skeletons: Vec<String> = words.iter().map(|word| skeleton(word)).collect();
        if skeletons.iter().any(|skeleton| skeleton.trim().is_empty()) {
            return None;
        }
        let confusables = with_confusables.then(|| {
            let both: Vec<[String; 2]> = words.iter().map(|word| confusable(word)).collect();
            let search = |idx: usize| AhoCorasick::new(both.iter().map(|skeletons| &skeletons[idx])).ok();
            Some([search(0)?, search(1)?])
        });
        Some(Self {
            words: AhoCorasick::new(&skeletons).ok()?,
            confusables: match confusables {
                Some(searches) => Some(searches?),
                None => None,
            },
        })
    }

    /// Finds a forbidden text in the readings of an output.
    fn find(&self, output: &str) -> Option<Hit> {
        let hit = |word: usize, form: Form, is_confusable: bool| Hit {
            word,
            form,
            is_confusable,
        };
        let plain = find_reading(output, &mut |form, reading| {
            let found = self.words.find(&skeleton(reading))?;
            Some(hit(found.pattern().as_usize(), form, false))
        });
        let searches = self.confusables.as_ref();
        plain.or_else(|| {
            let searches = searches?;
            find_reading(output, &mut |form, reading| {
                let both = confusable(reading);
                let found = searches
                    .iter()
                    .zip(&both)
                    .find_map(|(search, text)| search.find(text))?;
                Some(hit(found.pattern().as_usize(), form, true))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_look_alike_are_one_by_option() {
        let check = |word: &str, output: &str, by_default: bool, by_option: bool| {
            let find = |with| Search::new(&[word.to_owned()], with).unwrap().find(output);
            assert_eq!(find(false).is_some(), by_default, "{word:?} in {output:?}");
            assert_eq!(
                find(true).is_some(),
                by_option,
                "{word:?} in {output:?} with confusables"
            );
        };
        check("guarantee", "we gu\u{430}rantee it", true, true);
        check("refund", "REFUND", true, true);
        check("loan", "a l0an", false, true);
        check("loan", "a 1oan", false, true);
        check("pill", "a piIl", false, true);
        check("compensation", "cornpensation", false, true);
        check("refund", "a re\u{1e9d}und", false, true);
        check("refund", "re\u{192}und", true, true);
        check("guarantee", "\u{581}uarantee", true, true);
        // The reason why it is an option: two words of one look.
        check("modem", "a modern shop", false, true);
        check("modem", "an old model", false, false);
    }

    #[test]
    fn a_finding_says_how_the_text_was_read() {
        let check = |output: &str, with: bool, expected: &str| {
            let words = ["guarantee compensation".to_owned()];
            let hit = Search::new(&words, with).unwrap().find(output).unwrap();
            let mut finding =
                json!({"case_id": "c", "substring": words[hit.word], "reading": hit.form.name()});
            if hit.is_confusable {
                finding["confusable"] = Value::Bool(true);
            }
            assert_eq!(
                sentence(&finding).en,
                format!("\"guarantee compensation\" in c{expected}")
            );
        };
        check("we guarantee compensation", true, "");
        check("we **guarantee** compensation", false, " (read as markdown)");
        check("we <b>guarantee</b> compensation", false, " (read as html)");
        check(
            "we \u{1b}[1mguarantee\u{1b}[0m compensation",
            false,
            " (read as terminal)",
        );
        check("we guaran-\ntee compensation", false, " (read as joined lines)");
        check(
            "we guarantee cornpensation",
            true,
            " (with letters that look alike)",
        );
        check(
            "we *guarantee* cornpensation",
            true,
            " (read as markdown and with letters that look alike)",
        );
    }

    #[test]
    fn texts_without_a_visible_character_are_no_search() {
        let check = |word: &str, expected: bool| {
            assert_eq!(
                Search::new(&[word.to_owned()], true).is_some(),
                expected,
                "{word:?}"
            );
        };
        check("a", true);
        check("", false);
        check(" \u{a0}\n", false);
        check("\u{200b}\u{e0041}", false);
    }
}
