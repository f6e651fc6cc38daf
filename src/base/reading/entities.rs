//! Character references of HTML: `&nbsp;`, `&#97;`, `&#x61;`.

use hashbrown::HashMap;
use std::sync::LazyLock;

/// The named references of the HTML standard, as `name=code points`. A `?` marks those that need no
/// semicolon.
const NAMED: &str = include_str!("entities.txt");
/// The most characters of a name.
const MAX_NAME: usize = 31;

/// Characters of Windows-1252 at 0x80 to 0x9f, which numbers in this range stand for.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// The characters of each name, and whether it needs a semicolon.
static REFERENCES: LazyLock<HashMap<&str, (String, bool)>> = LazyLock::new(|| {
    let entry = |word: &'static str| {
        let (name, codes) = word.split_once('=')?;
        let code = |code: &str| u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
        let chars: Option<String> = codes.split('+').map(code).collect();
        let bare = name.strip_suffix('?');
        Some((bare.unwrap_or(name), (chars?, bare.is_none())))
    };
    NAMED.split_whitespace().filter_map(entry).collect()
});

/// Returns the characters of the reference that a text starts with, and its length in bytes. `None`
/// if it starts with none.
pub(super) fn first_reference(text: &str) -> Option<(String, usize)> {
    let body = text.strip_prefix('&')?;
    if let Some(number) = body.strip_prefix('#') {
        return by_number(number).map(|(ch, len)| (ch.to_string(), 2 + len));
    }
    let name = body
        .bytes()
        .take(MAX_NAME + 1)
        .take_while(u8::is_ascii_alphanumeric)
        .count();
    let has_end = body[name..].starts_with(';');
    if let Some((chars, _)) = REFERENCES.get(&body[..name]).filter(|_| has_end) {
        return Some((chars.clone(), name + 2));
    }
    // Without a semicolon the longest of the old names counts.
    (1..=name).rev().find_map(|len| {
        let (chars, _) = REFERENCES.get(&body[..len]).filter(|(_, needs_end)| !needs_end)?;
        Some((chars.clone(), len + 1))
    })
}

/// The character of a number, and the length of its digits and of what stands around them.
fn by_number(text: &str) -> Option<(char, usize)> {
    let digits = text.strip_prefix(['x', 'X']);
    let (radix, skipped) = digits.map_or((10, 0), |_| (16, 1));
    let digits = digits.unwrap_or(text);
    let len = digits
        .bytes()
        .take_while(|byte| char::from(*byte).is_digit(radix))
        .count();
    let significant = digits[..len].trim_start_matches('0');
    if len == 0 || significant.len() > 7 {
        return None;
    }
    let code = u32::from_str_radix(significant, radix).unwrap_or(0);
    let ch = match code {
        0x80..=0x9f => WINDOWS[(code - 0x80) as usize],
        0 => char::REPLACEMENT_CHARACTER,
        code => char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
    };
    let end = usize::from(digits[len..].starts_with(';'));
    Some((ch, skipped + len + end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_browsers_do() {
        let check = |text: &str, expected: Option<(&str, usize)>| {
            let expected = expected.map(|(chars, len)| (chars.to_owned(), len));
            assert_eq!(first_reference(text), expected, "{text}");
        };
        check("&nbsp;x", Some(("\u{a0}", 6)));
        check("&nbspx", Some(("\u{a0}", 5)));
        check("&NotEqualTilde;", Some(("\u{2242}\u{338}", 15)));
        check("&zwj;", Some(("\u{200d}", 5)));
        check("&zwj", None);
        check("&#97;b", Some(("a", 5)));
        check("&#0097b", Some(("a", 6)));
        check("&#x61;", Some(("a", 6)));
        check("&#X61g", Some(("a", 5)));
        check("&#150;", Some(("–", 6)));
        check("&#0;", Some(("\u{fffd}", 4)));
        check("&#xd800;", Some(("\u{fffd}", 8)));
        check("&#99999999;", None);
        check("&#;", None);
        check("&#x;", None);
        check("&", None);
        check("& b", None);
        check("&unknown;", None);
        check("&notit;", Some(("¬", 4)));
        check("&é;", None);
    }
}
