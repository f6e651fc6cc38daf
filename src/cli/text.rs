//! Texts for a terminal: lines of its width, and paths.

use std::path::Path;

use crate::base::escape;

/// A text broken into lines of at most the terminal's width, between words.
pub(super) fn fill(text: &str, width: Option<u16>) -> String {
    let Some(width) = width.map(usize::from) else {
        return text.to_owned();
    };
    let indent: String = text.chars().take_while(|c| *c == ' ').collect();
    let (mut filled, mut line) = (String::new(), indent.clone());
    for word in text.split_whitespace() {
        let is_first = line.trim().is_empty();
        if !is_first && console::measure_text_width(&line) + 1 + console::measure_text_width(word) > width {
            filled.push_str(&line);
            filled.push('\n');
            line = format!("{indent}  {word}");
        } else {
            line.push_str(if is_first { "" } else { " " });
            line.push_str(word);
        }
    }
    filled + &line
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
