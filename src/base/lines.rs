//! Lines of text files, with a limit of their length.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use crate::base::error::{FileResult, Result};
use crate::base::limits::Limit;

/// The byte order mark that some programs write at the start of a text.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads the lines of a file that are not blank. A line, and the blank lines before it, may have at
/// most [`Limit::Line`] bytes.
pub(crate) struct Lines<R> {
    path: PathBuf,
    reader: R,
    line: Vec<u8>,
    /// Number of lines read, blank ones included.
    n_read: u64,
}

impl<R: BufRead> Lines<R> {
    /// Reads from the start of a file. `path` names it in errors.
    pub(crate) fn new(path: &Path, reader: R) -> Self {
        Self {
            path: path.to_owned(),
            reader,
            line: Vec::new(),
            n_read: 0,
        }
    }

    /// Returns the next line without its end, and its number from 1. `None` at the end of the file.
    ///
    /// # Errors
    /// The file cannot be read, or the line is too long.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, &[u8])>> {
        let mut n_left = Limit::Line.value();
        loop {
            self.line.clear();
            let n = read_line(&mut self.reader, &mut self.line, n_left).or_unreadable(&self.path)?;
            self.n_read += 1;
            let Some(n) = n else {
                return Err(Limit::Line.overrun(self.location(self.n_read)));
            };
            if n == 0 {
                return Ok(None);
            }
            n_left -= n;
            if self.n_read == 1 && self.line.starts_with(BYTE_ORDER_MARK) {
                self.line.drain(..BYTE_ORDER_MARK.len());
            }
            if !self.line.trim_ascii().is_empty() {
                break;
            }
        }
        Ok(Some((self.n_read, self.line.trim_ascii_end())))
    }

    /// The location of a line for messages.
    pub(crate) fn location(&self, number: u64) -> String {
        format!("{}: line {number}", self.path.display())
    }
}

/// Appends the bytes up to and with the next line feed to `line`. Returns their number; `None` if
/// the line has more than `max` bytes.
pub(crate) fn read_line(
    reader: &mut impl BufRead,
    line: &mut Vec<u8>,
    max: u64,
) -> std::io::Result<Option<u64>> {
    let n = reader
        .by_ref()
        .take(max.saturating_add(1))
        .read_until(b'\n', line)? as u64;
    Ok((n <= max).then_some(n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    #[test]
    fn lines_are_numbered_without_blank_ones_and_without_a_mark() {
        let check = |text: &str, expected: &[(u64, &str)]| {
            for capacity in [1, 3, 1_000] {
                let mut lines = Lines::new(
                    Path::new("f"),
                    BufReader::with_capacity(capacity, text.as_bytes()),
                );
                let mut found = Vec::new();
                while let Some((number, line)) = lines.next().unwrap() {
                    found.push((number, String::from_utf8(line.to_vec()).unwrap()));
                }
                let found: Vec<(u64, &str)> = found.iter().map(|(n, line)| (*n, line.as_str())).collect();
                assert_eq!(found, expected, "{text:?}");
            }
        };
        check("", &[]);
        check("a", &[(1, "a")]);
        check("a\r\n\n  \nb\n", &[(1, "a"), (4, "b")]);
        check("\u{feff}a\nb", &[(1, "a"), (2, "b")]);
        check("\u{feff}\na", &[(2, "a")]);
    }

    #[test]
    fn a_line_beyond_the_limit_is_refused_while_it_arrives() {
        let check = |text: &[u8], max: u64, expected: Option<u64>| {
            let mut line = Vec::new();
            let found = read_line(&mut BufReader::with_capacity(4, text), &mut line, max).unwrap();
            assert_eq!(found, expected);
            assert!(line.len() as u64 <= max + 1);
        };
        check(b"abcdefgh\n", 9, Some(9));
        check(b"abcdefgh\n", 8, None);
        check(b"abcdefgh", 8, Some(8));
        check(b"", 8, Some(0));
    }
}
