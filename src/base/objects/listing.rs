//! Lists of objects as servers send them: keys that no object path can express are taken out.

use object_store::path::Path as Key;

/// The largest number of keys that are kept for a message.
const EXAMPLES: usize = 3;

/// Keys of a store that are not read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SkippedKeys {
    /// The number of keys.
    pub(crate) n: u64,
    /// The first of them.
    pub(crate) examples: Vec<String>,
}

impl SkippedKeys {
    pub(super) fn push(&mut self, key: &str) {
        self.n += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(key.chars().take(200).collect());
        }
    }
}

/// Takes the entries out of a page of a list (XML) whose keys have empty parts, `.` or `..` as a
/// part, or control characters. The client would refuse the whole page for one of them.
pub(super) fn without_odd_keys(page: &str, skipped: &mut SkippedKeys) -> String {
    let page = without_odd(page, "Contents", "Key", skipped);
    without_odd(&page, "CommonPrefixes", "Prefix", skipped)
}

fn without_odd(page: &str, entry: &str, key: &str, skipped: &mut SkippedKeys) -> String {
    let (begin, end) = (format!("<{entry}>"), format!("</{entry}>"));
    let (key_begin, key_end) = (format!("<{key}>"), format!("</{key}>"));
    let mut kept = String::with_capacity(page.len());
    let mut rest = page;
    while let Some((before, from)) = rest.split_once(&begin) {
        kept.push_str(before);
        let Some((inner, after)) = from.split_once(&end) else {
            kept.push_str(&begin);
            rest = from;
            continue;
        };
        let text = inner
            .split_once(&key_begin)
            .and_then(|(_, text)| text.split_once(&key_end));
        match text.map(|(text, _)| unescaped(text)) {
            Some(name) if is_odd(&name) => skipped.push(&name),
            _ => {
                kept.push_str(&begin);
                kept.push_str(inner);
                kept.push_str(&end);
            }
        }
        rest = after;
    }
    kept.push_str(rest);
    kept
}

/// Whether a key cannot be read under its own name. The mark of a folder ends with one slash.
fn is_odd(key: &str) -> bool {
    let plain = key.strip_suffix('/').unwrap_or(key);
    !Key::parse(plain).is_ok_and(|parsed| parsed.as_ref() == plain)
}

/// Replaces the references of XML to characters.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('&') {
        plain.push_str(before);
        let found = from.split_once(';').and_then(|(name, after)| {
            let number = name
                .strip_prefix('#')
                .and_then(|digits| match digits.strip_prefix('x') {
                    Some(digits) => u32::from_str_radix(digits, 16).ok(),
                    None => digits.parse().ok(),
                });
            let character = match name {
                "amp" => Some('&'),
                "lt" => Some('<'),
                "gt" => Some('>'),
                "quot" => Some('"'),
                "apos" => Some('\''),
                _ => number.and_then(char::from_u32),
            };
            Some((character?, after))
        });
        match found {
            Some((character, after)) => {
                plain.push(character);
                rest = after;
            }
            None => {
                plain.push('&');
                rest = from;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_no_path_can_express_are_taken_out() {
        let check = |key: &str, is_kept: bool| {
            for (entry, name) in [("Contents", "Key"), ("CommonPrefixes", "Prefix")] {
                let item = |key: &str| format!("<{entry}><{name}>{key}</{name}><Size>1</Size></{entry}>");
                let page = format!("<R>{}{}{}</R>", item("a"), item(key), item("b"));
                let mut skipped = SkippedKeys::default();
                let found = without_odd_keys(&page, &mut skipped);
                let expected = format!("<R>{}{}</R>", item("a"), item("b"));
                assert_eq!(found == page, is_kept, "{key}");
                assert!(is_kept || found == expected, "{found}");
                assert_eq!(skipped.n, u64::from(!is_kept), "{key}");
            }
        };
        for key in ["d/a.csv", "d/", "d/it&#39;s &amp; more.csv", "用/a.csv", "d/..a"] {
            check(key, true);
        }
        for key in [
            "d//a.csv",
            "d/../a.csv",
            "/a.csv",
            "d/./a",
            "d//",
            "a&#xD;b",
            "..",
        ] {
            check(key, false);
        }
    }

    #[test]
    fn a_page_that_is_cut_off_is_left_to_the_parser() {
        let mut skipped = SkippedKeys::default();
        for page in [
            "",
            "<Contents><Key>a//b",
            "<Contents></Contents>",
            "<Contents><Key></Contents>",
        ] {
            assert_eq!(without_odd_keys(page, &mut skipped), page);
        }
        assert_eq!(skipped, SkippedKeys::default());
    }
}
