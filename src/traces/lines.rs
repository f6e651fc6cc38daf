//! Lines of a text, in place: a line is a part of the buffer into which the text is read.

use std::io::{ErrorKind, Read, Result};

/// Bytes of a buffer at first: they fit into the cache of a core.
const BUFFER: usize = 1 << 18;

/// Reads a text line by line.
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Start and end of what was read and not taken.
    start: usize,
    end: usize,
    is_over: bool,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            is_over: false,
        }
    }

    /// The next line, with its end. Of a line that is longer than `max` it has more than `max` bytes, and
    /// not all of them. `None` at the end of the text.
    ///
    /// # Errors
    /// The text cannot be read.
    pub(super) fn next(&mut self, max: usize) -> Result<Option<&[u8]>> {
        let mut n_searched = 0;
        loop {
            let waiting = &self.buffer[self.start..self.end];
            let found = memchr::memchr(b'\n', &waiting[n_searched..]).map(|at| n_searched + at + 1);
            n_searched = waiting.len();
            let n = match found {
                Some(n) => n,
                None if self.is_over || n_searched > max => n_searched,
                None => {
                    self.fill()?;
                    continue;
                }
            };
            let line = self.start..self.start + n;
            self.start = line.end;
            return Ok((n > 0).then(|| &self.buffer[line]));
        }
    }

    /// Skips the rest of a line, and returns its number of bytes.
    ///
    /// # Errors
    /// The text cannot be read.
    pub(super) fn skip(&mut self) -> Result<u64> {
        let mut n_skipped = 0;
        loop {
            // Pieces of a long line do not pile up.
            let piece = self.next(0)?.unwrap_or_default();
            n_skipped += piece.len() as u64;
            if piece.is_empty() || piece.ends_with(b"\n") {
                return Ok(n_skipped);
            }
        }
    }

    /// Reads more behind what waits, which moves to the front.
    fn fill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let n = loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.is_over = n == 0;
        self.end += n;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> Result<usize> {
            let n = self.1.min(out.len()).min(self.0.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn lines_are_those_of_the_text_for_any_size_of_reads() {
        let long = "x".repeat(BUFFER * 2 + 5);
        let text = format!("a\n\nbc\n{long}\nd\n{long}");
        for step in [1, 7, BUFFER - 1, BUFFER, usize::MAX] {
            let text = if step == 1 { "a\n\nbc\nd" } else { &text };
            let mut lines = Lines::new(Slow(text.as_bytes(), step));
            let mut found = Vec::new();
            while let Some(line) = lines.next(usize::MAX).unwrap() {
                found.push(String::from_utf8(line.to_vec()).unwrap());
            }
            assert_eq!(found, text.split_inclusive('\n').collect::<Vec<_>>(), "{step}");
            let mut lines = Lines::new(Slow(text.as_bytes(), step));
            let skipped = std::iter::from_fn(|| Some(lines.skip().unwrap()).filter(|n| *n > 0));
            let expected = text.split_inclusive('\n').map(|line| line.len() as u64);
            assert_eq!(
                skipped.collect::<Vec<_>>(),
                expected.collect::<Vec<_>>(),
                "{step}"
            );
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_cut() {
        let check = |text: &str, max: usize, expected: bool| {
            let mut lines = Lines::new(Slow(text.as_bytes(), 2));
            let line = lines.next(max).unwrap().unwrap();
            assert_eq!(line.len() > max, expected, "{text} {max}");
        };
        check("abc\nd", 4, false);
        check("abc\nd", 3, true);
        check("abc", 3, false);
        check("abcdefgh", 3, true);
    }
}
