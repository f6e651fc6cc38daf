//! Texts for a terminal: lines of its width, and paths.

use console::measure_text_width;
use std::path::Path;

use crate::base::escape;

/// A text broken into lines of at most the terminal's width: between words, and between Chinese
/// characters.
pub(super) fn fill(text: &str, width: Option<u16>) -> String {
    let Some(width) = width.map(usize::from) else {
        return text.to_owned();
    };
    let indent: String = text.chars().take_while(|c| *c == ' ').collect();
    let (mut filled, mut line) = (String::new(), indent.clone());
    for word in text.split_whitespace() {
        for (idx, piece) in pieces(word).into_iter().enumerate() {
            let is_first = line.trim().is_empty();
            let gap = if is_first || idx > 0 { "" } else { " " };
            let n_columns = measure_text_width(&line) + gap.len() + measure_text_width(piece);
            if !is_first && n_columns > width {
                filled.push_str(&line);
                filled.push('\n');
                line = format!("{indent}  {piece}");
            } else {
                line.push_str(gap);
                line.push_str(piece);
            }
        }
    }
    filled + &line
}

/// The parts of a word between which a line may break: after each wide character, with the
/// punctuation that follows it.
fn pieces(word: &str) -> Vec<&str> {
    if word.is_ascii() {
        return vec![word];
    }
    let mut parts = Vec::new();
    let (mut start, mut before) = (0, None);
    for (at, c) in word.char_indices() {
        let may_break = before.is_some_and(|before| !OPENING.contains(before))
            && !CLOSING.contains(c)
            && (is_wide(c) || before.is_some_and(is_wide));
        if may_break {
            parts.push(&word[start..at]);
            start = at;
        }
        before = Some(c);
    }
    parts.push(&word[start..]);
    parts
}

/// Punctuation that ends no line.
const OPENING: &str = "（“《「[(";

/// Punctuation that begins no line.
const CLOSING: &str = "，。；：、！？）”》」,.;:!?)]%";

fn is_wide(c: char) -> bool {
    measure_text_width(c.encode_utf8(&mut [0; 4])) == 2
}

/// A path as a text of one line, without controls.
pub(super) fn path_text(path: &Path) -> String {
    escape::line(&path.display().to_string()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_broken_between_words() {
        assert_eq!(fill("a bb ccc", Some(4)), "a bb\n  ccc");
        assert_eq!(fill("a bb ccc", None), "a bb ccc");
        let chinese = "投诉率由 1.2% 升至 11.2%（多 10 至 12 个百分点）。";
        assert_eq!(
            fill(chinese, Some(20)),
            "投诉率由 1.2% 升至\n  11.2%（多 10 至 12\n  个百分点）。"
        );
        assert_eq!(fill("版本甲，版本乙", Some(8)), "版本甲，\n  版本乙");
    }

    #[test]
    fn a_path_is_one_line() {
        let check = |path: &str, expected: &str| assert_eq!(path_text(Path::new(path)), expected);
        check("out/a.csv", "out/a.csv");
        check(
            "out/a\u{1b}[2J\nb\u{202e}.csv",
            "out/a\\u{1b}[2J\\nb\\u{202e}.csv",
        );
    }
}
