//! Escaping of texts that others wrote, for the medium that they go to: a terminal or log, JSON on
//! a terminal, Markdown, HTML, and CSV for spreadsheets.

use std::borrow::Cow;
use std::fmt::Write;

/// The most characters of a location in a message.
pub(crate) const MAX_LOCATION: usize = 400;
/// The most characters of the text of a problem, and of its hint.
pub(crate) const MAX_MESSAGE: usize = 1_500;
/// The most characters of a value that a message quotes.
pub(crate) const MAX_VALUE: usize = 160;

/// Whether a character commands a terminal, or changes the direction or the lines of its text: a
/// control (C0, DEL, C1), a line separator, or a control of direction.
pub(crate) fn is_command(c: char) -> bool {
    c.is_control() || is_direction(c) || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether a character changes the direction of the text around it.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Appends a character as a visible escape, such as `\u{1b}`.
fn push_visible(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        // Writing to a string cannot fail.
        other => drop(write!(out, "\\u{{{:x}}}", u32::from(other))),
    }
}

/// Returns a text for one line of a terminal or log: line ends, controls and controls of direction
/// are visible escapes, and nothing in it starts a command of a CI log.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_command) && !text.contains("##") && !text.trim_start().starts_with("::") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_command(c) {
            true => push_visible(&mut out, c),
            false => out.push(c),
        }
    }
    Cow::Owned(without_log_commands(&out))
}

/// Returns a text of several lines for a terminal or log. Line ends and tabs stay; see [`line`] for
/// the rest. `kept` lists sequences that stay as they are, such as those of colors.
pub(crate) fn lines(text: &str, kept: &[&str]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(sequence) = kept.iter().find(|sequence| rest.starts_with(**sequence)) {
            out.push_str(sequence);
            rest = &rest[sequence.len()..];
            continue;
        }
        match is_command(c) && c != '\n' && c != '\t' {
            true => push_visible(&mut out, c),
            false => out.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    without_log_commands(&out)
}

/// Replaces what GitHub, GitLab and Azure read as commands in a log: a line that starts with `::`,
/// and `##[` or `##vso[` anywhere.
fn without_log_commands(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for part in text.split_inclusive('\n') {
        let indent = part.len() - part.trim_start().len();
        let (before, rest) = part.split_at(indent);
        out.push_str(before);
        match rest.strip_prefix("::") {
            Some(rest) => {
                out.push_str("\\u{3a}:");
                push_hashes(&mut out, rest);
            }
            None => push_hashes(&mut out, rest),
        }
    }
    out
}

/// Appends a text, with the second `#` of `##[` and `##word[` as a visible escape.
fn push_hashes(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find("##") {
        let (before, after) = rest.split_at(at + 2);
        let is_command = after
            .trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '#')
            .starts_with('[');
        out.push_str(&before[..=at]);
        out.push_str(if is_command { "\\u{23}" } else { "#" });
        rest = after;
    }
    out.push_str(rest);
}

/// Returns a JSON text for a terminal or log: the same value, in which controls and controls of
/// direction of strings are escapes of JSON, and no string holds a command of a CI log.
pub(crate) fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Outside of strings JSON has no control but blanks and line ends.
        if is_command(c) && !matches!(c, '\n' | '\r' | '\t') {
            // Writing to a string cannot fail. All of these characters are in the basic plane.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else if c == '#' && out.ends_with('#') {
            out.push_str("\\u0023");
        } else {
            out.push(c);
        }
    }
    out
}

/// Returns the start and the end of a text that has more than `max` characters, and its length; a
/// shorter text as it is.
pub(crate) fn excerpt(text: &str, max: usize) -> Cow<'_, str> {
    // A character has at most four bytes, so short texts are not counted.
    if text.len() <= max || (text.len() <= 4 * max && text.chars().count() <= max) {
        return Cow::Borrowed(text);
    }
    let n_tail = max / 4;
    let head_end = text
        .char_indices()
        .nth(max - n_tail)
        .map_or(text.len(), |(at, _)| at);
    let tail_start = match n_tail {
        0 => text.len(),
        n => text.char_indices().rev().nth(n - 1).map_or(0, |(at, _)| at),
    };
    Cow::Owned(format!(
        "{} ... {} ({} bytes in all)",
        &text[..head_end],
        &text[tail_start..],
        text.len()
    ))
}

/// Returns a value of others as a message quotes it: one line, at most [`MAX_VALUE`] characters.
pub(crate) fn value(text: &str) -> String {
    line(&excerpt(text, MAX_VALUE)).into_owned()
}

/// An empty comment of HTML. It breaks the links that GitHub finds in plain words, and is not
/// shown.
const BREAK: &str = "<!-- -->";

/// Returns a text as plain words in Markdown (GitHub-flavoured): no links, images, mentions,
/// references to issues, emphasis, tags, headings, lists or cells of tables. Code of plain
/// characters between backticks stays code.
pub(crate) fn markdown(text: &str) -> String {
    let chars: Vec<char> = text.trim().chars().collect();
    let mut out = String::with_capacity(text.len() + 8);
    let is_word = |idx: Option<usize>| {
        idx.and_then(|idx| chars.get(idx))
            .is_some_and(|c| c.is_alphanumeric())
    };
    // Behind the end of the code that is copied.
    let mut code_end = 0;
    for (idx, &c) in chars.iter().enumerate() {
        if idx >= code_end {
            code_end = end_of_code(&chars, idx).unwrap_or(0);
        }
        if idx < code_end {
            out.push(c);
            continue;
        }
        let previous = idx.checked_sub(1);
        let is_first = idx == 0;
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '[' | ']' | '|' | '~' | '$' => {
                out.push('\\');
                out.push(c);
            }
            // Within a word an underscore is no emphasis.
            '_' if !(is_word(previous) && is_word(Some(idx + 1))) => out.push_str("\\_"),
            '#' if is_first => out.push_str("\\#"),
            '-' | '+' | '='
                if is_first
                    && chars
                        .get(1)
                        .is_some_and(|next| next.is_whitespace() || *next == c) =>
            {
                out.push('\\');
                out.push(c);
            }
            '.' | ')'
                if !is_first
                    && chars[..idx].iter().all(char::is_ascii_digit)
                    && chars.get(idx + 1).is_none_or(|next| next.is_whitespace()) =>
            {
                out.push('\\');
                out.push(c);
            }
            c if is_command(c) => match c {
                '\n' | '\r' | '\t' => out.push(' '),
                c => push_visible(&mut out, c),
            },
            c => out.push(c),
        }
        if starts_reference(&chars[..=idx], chars.get(idx + 1).copied()) {
            out.push_str(BREAK);
        }
    }
    out
}

/// The index behind the code that starts at `start`: a backtick, plain characters and a backtick.
/// `None` if there is none.
fn end_of_code(chars: &[char], start: usize) -> Option<usize> {
    let is_tick = |idx: Option<usize>| idx.and_then(|idx| chars.get(idx)) == Some(&'`');
    if !is_tick(Some(start)) || is_tick(start.checked_sub(1)) {
        return None;
    }
    let is_plain = |c: &char| c.is_alphanumeric() || "_-.:/= ".contains(*c);
    let n = chars[start + 1..].iter().take_while(|c| is_plain(c)).count();
    let end = start + 1 + n;
    let has_text = n > 0 && chars[start + 1] != ' ' && chars[end - 1] != ' ';
    (has_text && is_tick(Some(end)) && !is_tick(Some(end + 1))).then_some(end + 1)
}

/// Whether a link that GitHub finds in plain words is complete behind the last of these characters:
/// `@name`, `#1`, `GH-1`, `https://`, `www.`, `mailto:`. `next` is the character that follows.
fn starts_reference(read: &[char], next: Option<char>) -> bool {
    let Some(next) = next else { return false };
    let ends_with = |word: &str| {
        let n = word.chars().count();
        read.len() >= n
            && read[read.len() - n..]
                .iter()
                .zip(word.chars())
                .all(|(a, b)| a.eq_ignore_ascii_case(&b))
    };
    match read.last() {
        Some('@') => !next.is_whitespace(),
        Some('#') => next.is_ascii_digit(),
        Some(':') => next == '/' || ends_with("mailto:") || ends_with("xmpp:"),
        Some('-') => ends_with("gh-") && next.is_ascii_digit(),
        Some('w' | 'W') => ends_with("www") && next == '.',
        _ => false,
    }
}

/// Returns a text that cannot become markup of HTML, in elements and in quoted attributes. Controls
/// and controls of direction are visible escapes; line ends and tabs stay.
pub(crate) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if is_command(c) => push_visible(&mut out, c),
            c => out.push(c),
        }
    }
    out
}

/// Returns the field of a text column in a CSV file. Spreadsheets take a text as a formula if it
/// starts with `=`, `+`, `-`, `@`, a tab or a line end; it gets a `'` before it. Numbers stay as
/// they are. [`from_csv_field`] undoes it.
pub(crate) fn csv_field(text: &str) -> Cow<'_, str> {
    if is_formula(text) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Returns the text of a field that [`csv_field`] wrote.
#[cfg_attr(not(feature = "stores"), allow(dead_code))]
pub(crate) fn from_csv_field(field: &str) -> &str {
    field
        .strip_prefix('\'')
        .filter(|text| is_formula(text))
        .unwrap_or(field)
}

/// Whether a spreadsheet takes a text as a formula, or a `'` before it would be taken for the one
/// of [`csv_field`].
fn is_formula(text: &str) -> bool {
    let bare = text.trim_start_matches('\'');
    let starts = bare.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let is_number = || bare.contains(|c: char| c.is_ascii_digit()) && bare.parse::<f64>().is_ok();
    starts && bare.chars().nth(1).is_some() && !is_number()
}

#[cfg(test)]
mod tests;
