//! Values of the command line.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::error::Result;
use crate::base::time::Micros;
use crate::base::{files, time};
use crate::gate::GatePolicy;
use crate::scenario::Source;

pub(super) fn parse_instant(text: &str) -> Result<Micros, String> {
    time::parse(text).ok_or_else(|| "expected an instant such as 2026-05-28T00:00:00Z".to_owned())
}

/// Bytes from `300MB`, `2GB`, `512MiB` or a plain number.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let expected = || "expected a size such as 300MB or 2GB".to_owned();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().map_err(|_| expected())?;
    let unit = match text[end..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(expected()),
    };
    let bytes = number * unit;
    if (1e3..1e15).contains(&bytes) {
        Ok(bytes as u64)
    } else {
        Err("expected at least 1kB".to_owned())
    }
}

pub(super) fn parse_column(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, column)) if !name.is_empty() && !column.is_empty() => {
            Ok((name.to_owned(), column.to_owned()))
        }
        _ => Err("expected NAME=COLUMN, such as user_id=customer_id".to_owned()),
    }
}

/// A source on the command line: the scenario's column names still apply.
pub(super) fn source_at(path: &Path, like: Option<&Source>) -> Source {
    let (columns, constants) = like.map_or_else(
        || (BTreeMap::new(), BTreeMap::new()),
        |s| (s.columns.clone(), s.constants.clone()),
    );
    Source {
        path: path.to_owned(),
        columns,
        constants,
    }
}

/// Reads the policy of a gate.
///
/// # Errors
/// A file that cannot be read, and every key or value that is wrong.
pub(super) fn read_policy(path: &Path) -> Result<GatePolicy> {
    GatePolicy::parse(&files::read_text(path)?, &path.display().to_string())
}
