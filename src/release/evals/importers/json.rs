//! Shared functions of the importers: JSON with size limits, lines of a file, and conversions of
//! outcomes, scores and attributes.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::ffi::OsStr;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::error::{Error, FileResult, Result};
use crate::base::interner::Interner;
use crate::base::json::{check_memory, replace_nan};
use crate::base::limits::{Limit, read_limited};
use crate::base::lines::Lines;
use crate::input::{Packing, open_text};
use crate::release::evals::row::CaseOutcome;

/// Calls `on_line` with the location and the bytes of each line that is not blank.
pub(super) fn each_line(file: &Path, on_line: &mut dyn FnMut(&str, &[u8]) -> Result<()>) -> Result<()> {
    let mut lines = open_lines(file)?;
    while let Some((number, line)) = lines.next()? {
        on_line(&format!("{}: line {number}", file.display()), line)?;
    }
    Ok(())
}

/// Opens a file whose lines are read one by one, plain or packed.
pub(super) fn open_lines(file: &Path) -> Result<Lines<BufReader<Box<dyn Read>>>> {
    let text = open_text(file, packing_of(file))?;
    Ok(Lines::new(file, BufReader::with_capacity(1 << 18, text)))
}

/// Reads a document, plain or packed.
///
/// # Errors
/// The file cannot be read, or has more bytes than a document may have.
pub(super) fn read_document(file: &Path) -> Result<Vec<u8>> {
    let packing = packing_of(file);
    if packing == Packing::None {
        return read_limited(file, Limit::Document);
    }
    let mut bytes = Vec::new();
    let text = open_text(file, packing)?;
    let most = Limit::Document.value();
    text.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .or_unreadable(file)?;
    if bytes.len() as u64 > most {
        return Err(Limit::Document.overrun(file.display().to_string()));
    }
    Ok(bytes)
}

/// How a file is packed, by its ending.
fn packing_of(file: &Path) -> Packing {
    let ending = file
        .extension()
        .map(OsStr::to_ascii_lowercase)
        .unwrap_or_default();
    match ending.to_str() {
        Some("gz") => Packing::Gzip,
        Some("zst") => Packing::Zstd,
        _ => Packing::None,
    }
}

/// The name of a file without the ending of its packing.
pub(super) fn unpacked(file: &Path) -> PathBuf {
    match packing_of(file) {
        Packing::None => file.to_owned(),
        _ => file.with_extension(""),
    }
}

/// Parses JSON as Python writes it: the numbers NaN, Infinity and -Infinity are read as null.
pub(crate) fn parse<T: DeserializeOwned>(location: &str, bytes: &[u8], what: &str) -> Result<T> {
    check_memory(location, bytes)?;
    let error = match serde_json::from_slice(bytes) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    // Only few files have such numbers, so all others are parsed without a copy.
    if let Some(value) = replace_nan(bytes, b"null").and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        return Ok(value);
    }
    Err(Error::input(
        location.to_owned(),
        format!("expected {what}, found: {error}"),
    ))
}

/// The name of a file without its endings of format and packing.
pub(in crate::release::evals) fn stem(file: &Path) -> String {
    unpacked(file)
        .file_stem()
        .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
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

/// Converts a value to a verdict: flags, and words of a verdict in any case. `None` for all others,
/// also for numbers and for texts with a number.
pub(super) fn verdict_of(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => verdict_of_text(text),
        _ => None,
    }
}

/// Converts a word of a verdict, in any case.
pub(in crate::release::evals) fn verdict_of_text(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "yes" | "true" | "pass" | "passed" | "correct" | "success" | "ok" => Some(true),
        "no" | "false" | "fail" | "failed" | "incorrect" | "failure" => Some(false),
        _ => None,
    }
}

/// Converts a value to a score: numbers, texts with a number, and verdicts as 1 or 0.
pub(super) fn score_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => finite(number.as_f64()),
        Value::String(text) => match verdict_of(value) {
            Some(flag) => Some(f64::from(u8::from(flag))),
            None => finite(text.trim().parse().ok()),
        },
        other => verdict_of(other).map(|flag| f64::from(u8::from(flag))),
    }
}

/// A number that may be written as a text; `None` for other values.
pub(super) fn real<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<f64>, D::Error> {
    Ok(match Option::<Value>::deserialize(deserializer)? {
        Some(Value::Number(number)) => finite(number.as_f64()),
        Some(Value::String(text)) => finite(text.trim().parse().ok()),
        _ => None,
    })
}

/// A value whose null counts as its default.
pub(super) fn or_default<'de, T, D>(deserializer: D) -> std::result::Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A flag; `None` for other values.
pub(super) fn flag<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<bool>, D::Error> {
    Ok(Option::<Value>::deserialize(deserializer)?.and_then(|value| value.as_bool()))
}

/// The attributes `by` of a case, each from the first of `maps` that has it. A name with dots may be
/// a path in nested objects.
pub(super) fn attributes(
    by: &[String],
    maps: &[Option<&Map<String, Value>>],
    names: &mut Interner,
) -> Vec<Option<Arc<str>>> {
    let value = |name: &str| {
        maps.iter().flatten().find_map(|map| {
            let found = map.get(name).or_else(|| {
                let (first, rest) = name.split_once('.')?;
                rest.split('.')
                    .try_fold(map.get(first)?, |value, key| value.get(key))
            });
            match found? {
                Value::Bool(flag) => Some(flag.to_string()),
                other => text_of(Some(other)),
            }
        })
    };
    by.iter()
        .map(|name| value(name).map(|text| names.get(&text)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_flags_and_words_of_a_verdict_are_verdicts() {
        for (value, verdict, score) in [
            (json!(true), Some(true), Some(1.0)),
            (json!("Yes"), Some(true), Some(1.0)),
            (json!("incorrect"), Some(false), Some(0.0)),
            (json!("0.8"), None, Some(0.8)),
            (json!("1"), None, Some(1.0)),
            (json!(1), None, Some(1.0)),
            (json!("C"), None, None),
            (json!("A"), None, None),
            (json!("NaN"), None, None),
            (json!(null), None, None),
        ] {
            assert_eq!(
                (verdict_of(&value), score_of(&value)),
                (verdict, score),
                "{value}"
            );
        }
    }
}
