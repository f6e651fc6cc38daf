//! The end of a file that another program is writing: its last line may not be whole yet.

use serde::de::IgnoredAny;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::base::error::{Error, FileResult, Result};
use crate::base::limits::Limit;
use crate::base::open;

/// Bytes that are read at once while the start of the last line is searched for.
const STEP: u64 = 1 << 16;

/// The end of the lines that are whole, among the bytes of a file from an offset to another. A last
/// line without an end of line is whole if it is a whole document.
///
/// # Errors
/// The file cannot be read.
pub(super) fn whole_until(path: &Path, from: u64, until: u64) -> Result<u64> {
    let start = last_line(path, from, until)?;
    Ok(if start < until && is_cut(path, start, until)? {
        start
    } else {
        until
    })
}

/// The start of the last line, which is `until` if nothing is after the last end of line. `until`
/// also for a line that is too long, which is an error where it is read.
fn last_line(path: &Path, from: u64, until: u64) -> Result<u64> {
    let mut file = open::regular(path).or_unreadable(path)?;
    let mut end = until;
    let mut bytes = Vec::new();
    while end > from && until - end <= Limit::Line.value() {
        let start = end.saturating_sub(STEP).max(from);
        bytes.resize((end - start) as usize, 0);
        file.seek(SeekFrom::Start(start)).or_unreadable(path)?;
        file.read_exact(&mut bytes).or_unreadable(path)?;
        if let Some(at) = memchr::memrchr(b'\n', &bytes) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(if end == from { from } else { until })
}

/// Whether the JSON within these bytes of a file ends before it is whole.
///
/// # Errors
/// The file cannot be read.
pub(super) fn is_cut(path: &Path, from: u64, until: u64) -> Result<bool> {
    let mut reader = BufReader::new(part_of(path, from, until)?);
    if reader
        .fill_buf()
        .or_unreadable(path)?
        .starts_with(b"\xef\xbb\xbf")
    {
        reader.consume(3);
    }
    let documents = serde_json::Deserializer::from_reader(reader).into_iter::<IgnoredAny>();
    for document in documents {
        match document {
            Ok(_) => {}
            Err(error) if error.is_eof() => return Ok(true),
            Err(error) if error.is_io() => return Err(Error::read(path, error)),
            Err(_) => return Ok(false),
        }
    }
    Ok(false)
}

/// Checks that nothing stands between an offset and the end of its line, if the line began before: its
/// document was whole when it was read.
///
/// # Errors
/// The file cannot be read, or the line goes on.
pub(super) fn check_start(path: &Path, from: u64, until: u64) -> Result<()> {
    let Some(before) = from.checked_sub(1) else {
        return Ok(());
    };
    let mut reader = BufReader::new(part_of(path, before, until)?);
    let mut rest = Vec::new();
    let max = Limit::Line.value();
    reader
        .by_ref()
        .take(max)
        .read_until(b'\n', &mut rest)
        .or_unreadable(path)?;
    // The first byte is the last one that was read before.
    match rest.get(1..) {
        Some(rest) if !rest.trim_ascii().is_empty() => Err(Error::in_file(
            path,
            format!("expected the end of the line at byte {from}, found more of it"),
        )
        .hint("the last line was a whole document when it was read before: a document is a line")),
        _ => Ok(()),
    }
}

fn part_of(path: &Path, from: u64, until: u64) -> Result<std::io::Take<File>> {
    let mut file = open::regular(path).or_unreadable(path)?;
    file.seek(SeekFrom::Start(from)).or_unreadable(path)?;
    Ok(file.take(until - from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_lines_of_a_file_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        let long = format!("{{\"a\":\"{}", "x".repeat(200_000));
        let check = |text: &str, from: u64, expected: usize| {
            std::fs::write(&path, text).unwrap();
            let found = whole_until(&path, from, text.len() as u64).unwrap();
            assert_eq!(found, expected as u64, "{:.40}", text);
        };
        check("{}\n{}\n", 0, 6);
        check("{}\n{\"a\":", 0, 3);
        check("{}\n{\"a\":1}", 0, 10);
        check("{}\n{\"a\":1}  ", 0, 12);
        check("{}\n   ", 0, 6);
        check("{\"a\":", 0, 0);
        check("{}\n{\"a\":", 3, 3);
        check("{}\n{\"a\":\"\u{e4}", 0, 3);
        check(&format!("{{}}\n{long}"), 0, 3);
        check(&format!("{{}}\n{long}\"}}"), 0, 200_011);
        // Not JSON: the reader says so.
        check("{}\nplain", 0, 8);
        check("{}\n{\"a\":1}}", 0, 11);
        std::fs::write(&path, "\u{feff}[{}, {\"a\"").unwrap();
        let n_bytes = path.metadata().unwrap().len();
        assert!(is_cut(&path, 0, n_bytes).unwrap());
        let check = |text: &str, is_ok: bool| {
            std::fs::write(&path, text).unwrap();
            assert_eq!(check_start(&path, 2, text.len() as u64).is_ok(), is_ok, "{text}");
        };
        check("{}", true);
        check("{} \n{}", true);
        check("{}{}\n", false);
        check("x\n{}{}", true);
    }
}
