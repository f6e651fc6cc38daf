//! Texts of others in TOML: keys, values and comments.

use std::fmt::Write;

use crate::base::escape::is_command;

/// A text as a string of TOML on one line.
pub(crate) fn string(text: &str) -> String {
    // Expressions have double quotes, and no single quote at times.
    let is_literal =
        text.contains('"') && !text.contains('\'') && !text.contains('\\') && !text.chars().any(is_command);
    if is_literal {
        return format!("'{text}'");
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            // Writing to a string cannot fail.
            c if is_command(c) => drop(write!(out, "\\U{:08X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A text of others in a comment: one line without characters that command a terminal.
pub(crate) fn comment(text: &str) -> String {
    crate::base::escape::line(text).into_owned()
}

/// The widest line of a comment, characters.
const WIDTH: usize = 98;

/// Lines of a comment, broken between words.
pub(crate) fn comment_lines(text: &str) -> String {
    let text = comment(text);
    let (mut out, mut line) = (String::new(), String::from("#"));
    for word in text.split_whitespace() {
        if line.len() > 1
            && console::measure_text_width(&line) + 1 + console::measure_text_width(word) > WIDTH
        {
            out.push_str(&line);
            out.push('\n');
            line = String::from("#  ");
        }
        line.push(' ');
        line.push_str(word);
    }
    format!("{out}{line}\n")
}

/// A number as TOML.
pub(crate) fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value:.1}")
    } else {
        format!("{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive_toml() {
        for text in [
            "plain",
            "a \"b\"",
            "it's \"x\"",
            "back\\slash",
            "line\nend\ttab",
            "\u{1b}[31m\u{202e}",
            "用户",
            "\u{0}",
        ] {
            let table: toml::Table = format!("key = {}", string(text)).parse().unwrap();
            assert_eq!(table["key"].as_str(), Some(text));
        }
    }

    #[test]
    fn comments_stay_on_their_lines() {
        assert_eq!(comment_lines("a\nb = 1"), "# a\\nb = 1\n");
        let long = "word ".repeat(60);
        assert!(
            comment_lines(&long)
                .lines()
                .all(|line| line.starts_with('#') && line.len() <= WIDTH)
        );
    }
}
