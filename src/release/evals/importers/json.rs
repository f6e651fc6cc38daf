//! Shared functions of the importers: JSON with size limits, lines of a file, and conversions of
//! outcomes.

use serde::Deserialize;
use serde_json::Value;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use crate::base::error::{Error, FileResult, Result};
use crate::base::json::check_memory;
use crate::base::lines::Lines;
use crate::base::open;
use crate::release;
use crate::release::evals::row::CaseOutcome;

/// Calls `on_line` with the location and the bytes of each line that is not blank.
pub(super) fn each_line(file: &Path, on_line: &mut dyn FnMut(&str, &[u8]) -> Result<()>) -> Result<()> {
    let mut lines = open_lines(file)?;
    while let Some((number, line)) = lines.next()? {
        on_line(&format!("{}: line {number}", file.display()), line)?;
    }
    Ok(())
}

/// Opens a file whose lines are read one by one.
pub(super) fn open_lines(file: &Path) -> Result<Lines<BufReader<File>>> {
    let open = open::regular(file).or_unreadable(file)?;
    Ok(Lines::new(file, BufReader::with_capacity(1 << 18, open)))
}

pub(crate) fn parse<'a, T: Deserialize<'a>>(location: &str, bytes: &'a [u8], what: &str) -> Result<T> {
    check_memory(location, bytes)?;
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
