//! Texts whose lines are joined: words that a break splits, and scripts without blanks.

use crate::base::skeleton::is_han;

/// Returns the two ways to read the words that a line end splits: with and without the hyphen before
/// it. Between Chinese characters the line end is left out. Empty if no line end splits anything.
pub(super) fn joined(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.split('\n').collect();
    let splits = |idx: usize| {
        let next = lines
            .get(idx + 1)
            .and_then(|next| next.trim_start().chars().next())?;
        let line = lines[idx].trim_end();
        let last = line.chars().next_back()?;
        let before = line.chars().rev().nth(1);
        let is_hyphen = matches!(last, '-' | '\u{2010}')
            && next.is_alphanumeric()
            && before.is_some_and(char::is_alphanumeric);
        (is_hyphen || is_han(last) && is_han(next)).then_some(is_hyphen)
    };
    let splits: Vec<Option<bool>> = (0..lines.len()).map(splits).collect();
    if splits.iter().all(Option::is_none) {
        return Vec::new();
    }
    let join = |keeps_hyphen: bool| {
        let mut whole = String::with_capacity(text.len());
        let mut is_joined = false;
        for (line, split) in lines.iter().zip(&splits) {
            let line = if is_joined { line.trim_start() } else { line };
            is_joined = split.is_some();
            match split {
                Some(true) if !keeps_hyphen => {
                    whole.push_str(line.trim_end().trim_end_matches(['-', '\u{2010}']))
                }
                Some(_) => whole.push_str(line.trim_end()),
                None => {
                    whole.push_str(line);
                    whole.push('\n');
                }
            }
        }
        whole
    };
    vec![join(false), join(true)]
}
