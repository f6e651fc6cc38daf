//! A scanner of JSON that runs over values that are not needed.
//!
//! It serves the lines of OTLP, most of whose bytes are texts of prompts and answers that an import
//! never reads. A fault ends a scan with `None`, without a reason: the caller then reads the text with
//! `serde_json`, which either reads it or says what is wrong. So the scanner may refuse what it does
//! not support, and must never accept what `serde_json` refuses. It checks
//! - once, before a scan: that the text is UTF-8 and has no control characters, so that the only space
//!   between values is a blank;
//! - in values that are read and in those that are skipped: brackets, commas and colons, names of keys,
//!   words, the form of numbers, escapes, and at most [`MAX_DEPTH`] levels;
//! - in texts that are read: also that escapes are code points.

use std::borrow::Cow;

/// Levels within a value. `serde_json` reads 127 levels of a document.
const MAX_DEPTH: u32 = 64;

/// A place in a text of JSON.
#[derive(Clone)]
pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
}

/// The keys of an object that is being read.
#[derive(Default)]
pub(super) struct Keys {
    n_read: usize,
}

impl<'a> Scan<'a> {
    /// Begins at the start of a text. `None` for a text that is not UTF-8 or has control characters.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        // Without a branch in the loop, so that many bytes are compared at once.
        let least = bytes.iter().fold(u8::MAX, |least, byte| least.min(*byte));
        if least < b' ' {
            return None;
        }
        let text = simdutf8::basic::from_utf8(bytes).ok()?;
        Some(Self { text, at: 0 })
    }

    /// The next byte. 0, which no text has, at the end.
    #[inline]
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// The first byte of the next value or sign. 0 at the end.
    #[inline]
    pub(super) fn peek(&mut self) -> u8 {
        while self.byte() == b' ' {
            self.at += 1;
        }
        self.byte()
    }

    /// Whether the next sign is this one, which is then passed.
    #[inline]
    pub(super) fn passes(&mut self, sign: u8) -> bool {
        let is_next = self.peek() == sign;
        self.at += usize::from(is_next);
        is_next
    }

    /// Passes a sign that must be next.
    #[inline]
    pub(super) fn pass(&mut self, sign: u8) -> Option<()> {
        self.passes(sign).then_some(())
    }

    /// Passes a piece of the text that must be next in these very bytes.
    #[inline]
    pub(super) fn pass_bytes<const N: usize>(&mut self, bytes: &[u8; N]) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let is_next = rest.first_chunk::<N>() == Some(bytes);
        self.at += if is_next { N } else { 0 };
        is_next.then_some(())
    }

    /// Passes a piece of the text that is written like a known one, and returns it. `None` if another is
    /// next, and if `known` is empty.
    #[inline]
    pub(super) fn pass_known(&mut self, known: &str) -> Option<&'a str> {
        self.peek();
        let rest = self.text.as_bytes().get(self.at..)?;
        let is_next = !known.is_empty() && rest.starts_with(known.as_bytes());
        if !is_next {
            return None;
        }
        let start = self.at;
        self.at += known.len();
        self.text.get(start..self.at)
    }

    /// The text from here up to a later place.
    pub(super) fn up_to(&self, later: &Self) -> &'a str {
        self.text.get(self.at..later.at).unwrap_or_default()
    }

    /// Whether only blanks are left.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.peek() == 0
    }

    /// The next key of an object whose bracket was passed, up to its value. `Some(None)` after the last.
    ///
    /// Keys with escapes are a fault.
    #[inline]
    pub(super) fn next_key(&mut self, keys: &mut Keys) -> Option<Option<&'a str>> {
        match self.peek() {
            b'}' => {
                self.at += 1;
                return Some(None);
            }
            b',' if keys.n_read > 0 => {
                self.at += 1;
                self.pass(b'"')?;
            }
            b'"' if keys.n_read == 0 => self.at += 1,
            _ => return None,
        }
        keys.n_read += 1;
        let key = self.plain()?;
        self.pass(b':')?;
        Some(Some(key))
    }

    /// Whether a list whose bracket was passed has one more element. Passes what is before it.
    #[inline]
    pub(super) fn has_next(&mut self, n_read: &mut usize) -> Option<bool> {
        *n_read += 1;
        match self.peek() {
            b']' => {
                self.at += 1;
                Some(false)
            }
            b',' if *n_read > 1 => {
                self.at += 1;
                Some(true)
            }
            _ => (*n_read == 1).then_some(true),
        }
    }

    /// A text.
    #[inline]
    pub(super) fn text(&mut self) -> Option<Cow<'a, str>> {
        self.pass(b'"')?;
        let start = self.at;
        let end = self.sign_of_text(start)?;
        if self.text.as_bytes()[end] == b'"' {
            self.at = end + 1;
            return self.text.get(start..end).map(Cow::Borrowed);
        }
        self.skip_text()?;
        let quoted = self.text.get(start - 1..self.at)?;
        serde_json::from_str(quoted).ok().map(Cow::Owned)
    }

    /// The content of a text as it is written, with its escapes.
    #[inline]
    pub(super) fn text_as_written(&mut self) -> Option<&'a str> {
        self.pass(b'"')?;
        let start = self.at;
        self.skip_text()?;
        self.text.get(start..self.at - 1)
    }

    /// The rest of a text without escapes, whose first quote was passed.
    #[inline]
    pub(super) fn plain(&mut self) -> Option<&'a str> {
        let start = self.at;
        let end = self.sign_of_text(start)?;
        self.at = end + 1;
        match self.text.as_bytes()[end] {
            b'"' => self.text.get(start..end),
            _ => None,
        }
    }

    /// The place of the next quote or backslash.
    #[inline]
    fn sign_of_text(&self, from: usize) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let mut at = from;
        // Most keys and values are short: a call for each would take longer than these steps.
        for _ in 0..2 {
            let Some(step) = bytes.get(at..).and_then(<[u8]>::first_chunk) else {
                break;
            };
            if let Some(n) = first_sign(step) {
                return Some(at + n);
            }
            at += step.len();
        }
        memchr::memchr2(b'"', b'\\', bytes.get(at..)?).map(|n| at + n)
    }

    /// Skips the rest of a text whose first quote was passed.
    #[inline]
    fn skip_text(&mut self) -> Option<()> {
        loop {
            let at = self.sign_of_text(self.at)?;
            let bytes = self.text.as_bytes();
            self.at = at + 1;
            if bytes[at] == b'"' {
                return Some(());
            }
            self.at += match bytes.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 1,
                b'u' => {
                    let digits = bytes.get(at + 2..at + 6)?;
                    digits.iter().all(u8::is_ascii_hexdigit).then_some(5)?
                }
                _ => return None,
            };
        }
    }

    /// Skips the next value, and returns it as it is written.
    #[inline]
    pub(super) fn skip(&mut self) -> Option<&'a str> {
        let start = match self.peek() {
            b'"' => {
                let start = self.at;
                self.at += 1;
                self.skip_text()?;
                start
            }
            b'{' | b'[' => {
                let start = self.at;
                self.skip_nested()?;
                start
            }
            _ => {
                let start = self.at;
                self.skip_scalar()?;
                start
            }
        };
        self.text.get(start..self.at)
    }

    /// Skips an object or a list.
    fn skip_nested(&mut self) -> Option<()> {
        // A bit for each level, the lowest for the innermost: 1 for an object.
        let (mut levels, mut n_levels) = (0_u64, 0);
        let mut is_first = true;
        loop {
            let sign = self.peek();
            let is_object = n_levels > 0 && levels & 1 == 1;
            if n_levels > 0 {
                if sign == if is_object { b'}' } else { b']' } {
                    self.at += 1;
                    levels >>= 1;
                    n_levels -= 1;
                    is_first = false;
                    if n_levels == 0 {
                        return Some(());
                    }
                    continue;
                }
                if !is_first {
                    self.pass(b',')?;
                }
                if is_object {
                    self.pass(b'"')?;
                    self.skip_text()?;
                    self.pass(b':')?;
                }
            }
            is_first = false;
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    self.skip_text()?;
                }
                bracket @ (b'{' | b'[') => {
                    if n_levels == MAX_DEPTH {
                        return None;
                    }
                    self.at += 1;
                    levels = levels << 1 | u64::from(bracket == b'{');
                    n_levels += 1;
                    is_first = true;
                }
                _ => self.skip_scalar()?,
            }
        }
    }

    /// Skips a number, a truth value or null.
    fn skip_scalar(&mut self) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let word: &[u8] = match rest.first()? {
            b'n' => b"null",
            b't' => b"true",
            b'f' => b"false",
            _ => {
                self.at += length_of_number(rest)?;
                return Some(());
            }
        };
        self.at += word.len();
        rest.starts_with(word).then_some(())
    }
}

/// The place of the first quote or backslash.
#[cfg(target_arch = "x86_64")]
#[inline]
fn first_sign(bytes: &[u8; 16]) -> Option<usize> {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    #[expect(
        unsafe_code,
        reason = "every processor of this architecture has SSE2, and the load is of 16 bytes"
    )]
    let signs = unsafe {
        let all = _mm_loadu_si128(bytes.as_ptr().cast());
        let quotes = _mm_cmpeq_epi8(all, _mm_set1_epi8(b'"' as i8));
        let backslashes = _mm_cmpeq_epi8(all, _mm_set1_epi8(b'\\' as i8));
        _mm_movemask_epi8(_mm_or_si128(quotes, backslashes))
    };
    (signs != 0).then(|| signs.trailing_zeros() as usize)
}

/// The place of the first quote or backslash.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn first_sign(bytes: &[u8; 16]) -> Option<usize> {
    bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'))
}

/// The length of the number with which bytes begin. `None` if it has not the form of a number.
fn length_of_number(bytes: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let start = usize::from(bytes.first() == Some(&b'-'));
    let n_whole = digits(start);
    if n_whole == 0 || n_whole > 1 && bytes[start] == b'0' {
        return None;
    }
    let mut end = start + n_whole;
    if bytes.get(end) == Some(&b'.') {
        let n_fraction = digits(end + 1);
        if n_fraction == 0 {
            return None;
        }
        end += 1 + n_fraction;
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let n_sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let n_exponent = digits(end + 1 + n_sign);
        if n_exponent == 0 {
            return None;
        }
        end += 1 + n_sign + n_exponent;
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IgnoredAny;

    /// The scanner reads what `serde_json` reads, unless it is not supported.
    fn check(text: &str, is_supported: bool) {
        let mut scan = Scan::new(text.as_bytes());
        let skipped = scan.as_mut().and_then(|scan| {
            let value = scan.skip()?;
            scan.is_at_end().then_some(value)
        });
        let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
        assert_eq!(skipped.is_some(), is_json && is_supported, "{text}");
        if let Some(value) = skipped {
            assert_eq!(value, text.trim_matches(' '), "{text}");
        }
    }

    #[test]
    fn skipped_values_are_those_of_json() {
        for text in [
            "null",
            "true",
            "false",
            "nul",
            "nulll",
            "True",
            "",
            " ",
            "0",
            "-0",
            "01",
            "-",
            "1.",
            ".5",
            "1.5",
            "1e5",
            "1E+5",
            "1e-",
            "1e",
            "-1.25e-7",
            "1.5.",
            "+1",
            "NaN",
            "0x1",
            "{}",
            "[]",
            "{ }",
            "[ ]",
            " [ 1 , 2 ] ",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{\"a\":1}",
            "{\"a\" : 1 , \"b\" : [ { } ] }",
            "{\"a\":1,}",
            "{,\"a\":1}",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{1:1}",
            "[}",
            "{]",
            "[1",
            "{\"a\":1",
            "[[[1],[2]],{}]",
            "\"",
            "\"a",
            "\"a\\\"",
            "\"a\\\\\"",
            "\"a\\\\\\\"\"",
            "\"\\x\"",
            "\"\\u00e\"",
            "\"\\u00e9\"",
            "\"\\ud800\"",
            "\"\\u00g9\"",
            "\"\\n\\t\\b\\f\\r\\/\\\"\"",
            "\"用户\"",
            "\"12345678\"",
            "\"1234567\\\"\"",
            "\"a long text that is longer than all short steps\"",
            "1 2",
            "{} {}",
            "\"a long text that is longer than all short steps \\\" and its rest\"",
            "\"1234567890123456789012345",
            "\"\u{7f}\"",
            "'a'",
            "[1]]",
            "{\"a\":1}}",
            "{\"a\":{\"a\":{}}}",
            "{\"\\u0061\":1}",
            "{\"\\a\":1}",
        ] {
            check(text, true);
        }
        check(
            &"[".repeat(64)
                .chars()
                .chain("]".repeat(64).chars())
                .collect::<String>(),
            true,
        );
        check(
            &"[".repeat(65)
                .chars()
                .chain("]".repeat(65).chars())
                .collect::<String>(),
            false,
        );
        check("[\t1]", false);
        check("\"a\tb\"", false);
        assert!(Scan::new(b"\"\xff\"").is_none());
    }

    #[test]
    fn texts_are_those_of_json() {
        for text in [
            "\"\"",
            "\"a\"",
            "\"用户\"",
            "\"a\\nb\"",
            "\"\\u00e9\\ud83d\\ude00\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"a",
            "a",
            "\"\\\\\"",
            "\"a long text that is longer than all short steps\"",
            "\"\\u0000\"",
            "1",
            "\"\\x\"",
        ] {
            let found = Scan::new(text.as_bytes()).and_then(|mut scan| scan.text());
            assert_eq!(
                found.map(Cow::into_owned),
                serde_json::from_str::<String>(text).ok(),
                "{text}"
            );
        }
        let mut scan = Scan::new(br#" "a\"b" "#).unwrap();
        assert_eq!(scan.text_as_written(), Some(r#"a\"b"#));
        assert!(scan.is_at_end());
    }

    #[test]
    fn keys_and_elements_come_in_order_and_faults_end_them() {
        let read = |text: &str| -> Option<Vec<String>> {
            let mut scan = Scan::new(text.as_bytes())?;
            let (mut keys, mut found) = (Keys::default(), Vec::new());
            scan.pass(b'{')?;
            while let Some(key) = scan.next_key(&mut keys)? {
                let mut n_read = 0;
                scan.pass(b'[')?;
                while scan.has_next(&mut n_read)? {
                    found.push(format!("{key}{}", scan.skip()?));
                }
            }
            scan.is_at_end().then_some(found)
        };
        let check = |text: &str, expected: Option<&[&str]>| {
            let expected = expected.map(|all| all.iter().map(ToString::to_string).collect());
            assert_eq!(read(text), expected, "{text}");
        };
        check("{}", Some(&[]));
        check("{\"a\":[]}", Some(&[]));
        check(" { \"a\" : [ 1 , {} ] , \"b\":[2] } ", Some(&["a1", "a{}", "b2"]));
        for text in [
            "",
            "{",
            "{\"a\":[1]",
            "{\"a\":[1}",
            "{\"a\":[1,]}",
            "{\"a\":[,1]}",
            "{\"a\":[1 2]}",
            "{\"a\":[1],}",
            "{,\"a\":[1]}",
            "{\"a\"[1]}",
            "{\"a\":[1] \"b\":[2]}",
            "{\"\\u0061\":[1]}",
            "{a:[1]}",
            "[]",
            "{} 1",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn pieces_are_passed_if_they_are_next() {
        let mut scan = Scan::new(b"{\"key\": 1").unwrap();
        assert_eq!(scan.pass_bytes(b"{\"kex"), None);
        assert_eq!(scan.pass_bytes(b"{\"key\":"), Some(()));
        assert_eq!(scan.pass_bytes(b"1"), None);
        assert_eq!(scan.pass_known(""), None);
        assert_eq!(scan.pass_known("12"), None);
        assert_eq!(scan.pass_known("1"), Some("1"));
        assert!(scan.is_at_end());
    }
}
