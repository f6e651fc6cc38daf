//! Shared functions of the importers: JSON with size limits, lines of a file, and conversions of
//! outcomes.

use serde::Deserialize;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::base::error::{Error, FileResult, Result};
use crate::base::open;
use crate::release;
use crate::release::evals::row::CaseOutcome;

/// The maximum number of bytes read from an `.eval` archive.
pub(super) const MAX_MEMBER: u64 = 128 << 20;

/// The maximum number of samples of an archive. A small file may claim any number.
pub(super) const MAX_SAMPLES: usize = 2_000_000;

/// The maximum size of a JSON document, bytes.
pub(crate) const MAX_DOCUMENT: u64 = 4 << 30;

/// The maximum size of a line, bytes.
pub(crate) const MAX_LINE: usize = 256 << 20;

/// Calls `on_line` with the location and the bytes of each line that is not blank.
pub(super) fn each_line(file: &Path, on_line: &mut dyn FnMut(&str, &[u8]) -> Result<()>) -> Result<()> {
    let mut reader = BufReader::with_capacity(1 << 18, open::regular(file).or_unreadable(file)?);
    let (mut line, mut number) = (Vec::new(), 0_u64);
    loop {
        line.clear();
        let n = (&mut reader)
            .take(MAX_LINE as u64)
            .read_until(b'\n', &mut line)
            .or_unreadable(file)?;
        if n == 0 {
            return Ok(());
        }
        number += 1;
        let location = format!("{}: line {number}", file.display());
        if n == MAX_LINE {
            return Err(Error::input(
                location,
                format!("expected lines below {MAX_LINE} bytes, found a longer one"),
            ));
        }
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
        if !line.trim_ascii().is_empty() {
            on_line(&location, line)?;
        }
    }
}

pub(crate) fn parse<'a, T: Deserialize<'a>>(location: &str, bytes: &'a [u8], what: &str) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::input(location.to_owned(), format!("expected {what}, found: {error}")))
}

/// The first 16 hexadecimal digits of the digest of a value's canonical form. It serves as the id
/// of a case without a name.
pub(super) fn hash_of(value: &Value) -> String {
    match release::canonical("", value) {
        Ok((_, digest)) => digest["sha256:".len()..][..16].to_owned(),
        Err(_) => value.to_string(),
    }
}

pub(super) fn text_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The value if it is finite; `None` for NaN and infinities.
pub(super) fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

pub(super) fn outcome_of(passed: Option<bool>) -> CaseOutcome {
    match passed {
        Some(true) => CaseOutcome::Passed,
        Some(false) => CaseOutcome::Failed,
        None => CaseOutcome::Unrated,
    }
}

/// Converts a score to a number by Inspect's own rule for letters, words, flags and numbers; `None`
/// for other values.
pub(super) fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => finite(number.as_f64()),
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Value::String(text) => match text.as_str() {
            "C" => Some(1.0),
            "I" | "N" => Some(0.0),
            "P" => Some(0.5),
            other => match other.to_ascii_lowercase().as_str() {
                "yes" | "true" => Some(1.0),
                "no" | "false" => Some(0.0),
                number => finite(number.parse().ok()),
            },
        },
        _ => None,
    }
}
