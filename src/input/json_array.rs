//! The elements of a JSON array, one at a time, so that an array of any length needs no memory.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, FileResult, Result};
use crate::base::limits::Limit;
use crate::base::lines::BYTE_ORDER_MARK;

/// Reads the elements of an array of objects. An element may have at most [`Limit::Line`] bytes.
/// Whether an element is JSON is left to its reader.
pub(super) struct Elements<R> {
    path: PathBuf,
    reader: R,
    element: Vec<u8>,
    /// Number of elements read.
    n_read: u64,
    is_over: bool,
}

impl<R: BufRead> Elements<R> {
    /// Reads from the start of a file. `path` names it in errors.
    pub(super) fn new(path: &Path, reader: R) -> Self {
        Self {
            path: path.to_owned(),
            reader,
            element: Vec::new(),
            n_read: 0,
            is_over: false,
        }
    }

    /// Returns the next element, and its number from 1. `None` at the end of the array.
    ///
    /// # Errors
    /// The file cannot be read, is cut off, has anything but objects in the array or something after
    /// it, or the element is too long.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &[u8])>> {
        if self.is_over {
            return Ok(None);
        }
        if self.n_read == 0 {
            self.skip_mark()?;
            self.expect(b'[', "an array")?;
        }
        self.n_read += 1;
        let sign = match self.sign()? {
            Some(b']') => return self.finish(),
            Some(b',') if self.n_read > 1 => {
                self.reader.consume(1);
                self.sign()?
            }
            _ if self.n_read > 1 => return Err(self.unexpected("`,` or `]`")),
            other => other,
        };
        if sign != Some(b'{') {
            return Err(self.unexpected("an object"));
        }
        self.read_element()?;
        Ok(Some((self.n_read, &self.element)))
    }

    /// The location of an element for messages.
    pub(super) fn location(&self, number: u64) -> String {
        format!("{}: row {number}", self.path.display())
    }

    fn skip_mark(&mut self) -> Result<()> {
        let start = self.reader.fill_buf().or_unreadable(&self.path)?;
        if start.starts_with(BYTE_ORDER_MARK) {
            self.reader.consume(BYTE_ORDER_MARK.len());
        }
        Ok(())
    }

    /// The next byte that is not blank, which stays unread. `None` at the end of the file.
    fn sign(&mut self) -> Result<Option<u8>> {
        loop {
            let bytes = self.reader.fill_buf().or_unreadable(&self.path)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            match bytes.iter().position(|byte| !byte.is_ascii_whitespace()) {
                Some(at) => {
                    let sign = bytes[at];
                    self.reader.consume(at);
                    return Ok(Some(sign));
                }
                None => {
                    let n = bytes.len();
                    self.reader.consume(n);
                }
            }
        }
    }

    fn expect(&mut self, sign: u8, what: &str) -> Result<()> {
        if self.sign()? != Some(sign) {
            return Err(self.unexpected(what));
        }
        self.reader.consume(1);
        Ok(())
    }

    fn finish(&mut self) -> Result<Option<(u64, &[u8])>> {
        self.reader.consume(1);
        self.is_over = true;
        if self.sign()?.is_some() {
            return Err(self.unexpected("nothing after the array"));
        }
        Ok(None)
    }

    /// Reads an object to the bracket that closes it.
    fn read_element(&mut self) -> Result<()> {
        self.element.clear();
        let (mut depth, mut in_text, mut is_escaped) = (0_u64, false, false);
        loop {
            let bytes = self.reader.fill_buf().or_unreadable(&self.path)?;
            if bytes.is_empty() {
                return Err(self.unexpected("the end of an object"));
            }
            let mut end = None;
            for (at, byte) in bytes.iter().enumerate() {
                if in_text {
                    in_text = is_escaped || *byte != b'"';
                    is_escaped = !is_escaped && *byte == b'\\';
                    continue;
                }
                match byte {
                    b'"' => in_text = true,
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    end = Some(at + 1);
                    break;
                }
            }
            let n = end.unwrap_or(bytes.len());
            if (self.element.len() + n) as u64 > Limit::Line.value() {
                return Err(Limit::Line.overrun(self.location(self.n_read)));
            }
            self.element.extend_from_slice(&bytes[..n]);
            self.reader.consume(n);
            if end.is_some() {
                return Ok(());
            }
        }
    }

    /// The error for another sign than the expected one.
    fn unexpected(&mut self, expected: &str) -> Error {
        let sign = match self.sign() {
            Ok(sign) => sign,
            Err(error) => return error,
        };
        let found = match sign {
            None => "the end of the file".to_owned(),
            Some(sign) if sign.is_ascii_graphic() => format!("`{}`", char::from(sign)),
            Some(_) => "another sign".to_owned(),
        };
        let error = Error::input(
            self.location(self.n_read.max(1)),
            format!("expected {expected}, found {found}"),
        );
        if sign.is_none() {
            return error
                .hint("the file may have been cut off while it was written; fetch or write it again");
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn read(text: &str, capacity: usize) -> Result<Vec<String>, String> {
        let reader = BufReader::with_capacity(capacity, text.as_bytes());
        let mut elements = Elements::new(Path::new("f.json"), reader);
        let mut found = Vec::new();
        while let Some((number, element)) = elements.next().map_err(|error| error.to_string())? {
            assert_eq!(number, found.len() as u64 + 1);
            found.push(String::from_utf8(element.to_vec()).unwrap());
        }
        Ok(found)
    }

    #[test]
    fn elements_end_where_their_brackets_close() {
        let check = |text: &str, expected: Result<&[&str], &str>| {
            for capacity in [4, 7, 1_000] {
                match (read(text, capacity), expected) {
                    (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                    (Err(found), Err(expected)) => assert!(found.contains(expected), "{text}: {found}"),
                    (found, expected) => panic!("{text}: expected {expected:?}, found {found:?}"),
                }
            }
        };
        check("[]", Ok(&[]));
        check(" [ ] \n", Ok(&[]));
        check(r#"[{"a":1}]"#, Ok(&[r#"{"a":1}"#]));
        check(
            "\u{feff}[\n {\"a\": [{}]} ,\n{\"b\":\"}]{\\\"\\\\\"}\n]",
            Ok(&[r#"{"a": [{}]}"#, r#"{"b":"}]{\"\\"}"#]),
        );
        check(
            r#"[{"a":1}{"a":2}]"#,
            Err("row 2: expected `,` or `]`, found `{`"),
        );
        check(r#"[{"a":1},]"#, Err("row 2: expected an object, found `]`"));
        check("[,{}]", Err("row 1: expected an object, found `,`"));
        check("[1]", Err("row 1: expected an object, found `1`"));
        check("[[{}]]", Err("row 1: expected an object, found `[`"));
        check(
            r#"[{"a":1}"#,
            Err("row 2: expected `,` or `]`, found the end of the file"),
        );
        check(
            r#"[{"a":1},{"b":"#,
            Err("row 2: expected the end of an object, found the end"),
        );
        check(
            r#"[{"a":1}] x"#,
            Err("expected nothing after the array, found `x`"),
        );
        check("", Err("row 1: expected an array, found the end of the file"));
        check("[", Err("row 1: expected an object, found the end of the file"));
        let deep = format!("[{{\"a\":{}", "[".repeat(100_000));
        check(&deep, Err("found the end of the file"));
    }
}
