//! Argument values that several commands share: parsers, sources, checks of options, and the policy
//! of a gate.

use clap::ValueEnum;
use std::path::Path;

use crate::base::error::{Error, Result};
use crate::base::limits::{Limit, LimitUnit};
use crate::base::time::{Micros, WrittenInstant};
use crate::base::{files, time};
use crate::gate::GatePolicy;
use crate::input::{Format, Packing};
use crate::scenario::{AllowedColumn, GuardName, OnBadRow, Source};

/// An instant that a scenario's time zone completes, in one of the forms of [`WrittenInstant`].
pub(super) fn parse_written(text: &str) -> Result<WrittenInstant, String> {
    WrittenInstant::parse(text).map_err(|why| why.message(text))
}

/// An instant, in one of the forms of [`WrittenInstant`]; without an offset it is in UTC.
pub(super) fn parse_instant(text: &str) -> Result<Micros, String> {
    time::parse(text).map_err(|why| why.message(text))
}

/// The key of a guard.
pub(super) fn parse_guard(text: &str) -> std::result::Result<GuardName, String> {
    let known = || GuardName::ALL.map(|(key, _)| key).join(", ");
    let found = GuardName::ALL.iter().find(|(key, _)| *key == text);
    found
        .map(|(_, name)| *name)
        .ok_or_else(|| format!("expected one of {}", known()))
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

/// A limit with its value, from `NAME=SIZE`.
pub(super) fn parse_limit(text: &str) -> Result<(Limit, u64), String> {
    let Some((name, size)) = text.split_once('=') else {
        return Err("expected NAME=SIZE, such as line=64MiB".to_owned());
    };
    let limit = Limit::from_name(name)?;
    let value = match limit.unit() {
        LimitUnit::Bytes => parse_size(size)?,
        LimitUnit::Count => size
            .replace('_', "")
            .parse()
            .ok()
            .filter(|n| *n > 0)
            .ok_or_else(|| "expected a whole number above 0, such as 100000".to_owned())?,
    };
    Ok((limit, value))
}

/// A column under another name, from `NAME=COLUMN`.
pub(super) fn parse_column(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, column)) if !name.is_empty() && !column.is_empty() => {
            Ok((name.to_owned(), column.to_owned()))
        }
        _ => Err("expected NAME=COLUMN, such as user_id=customer_id".to_owned()),
    }
}

/// A column that a rule may use although its name contains a sensitive attribute, from
/// `COLUMN=REASON`.
pub(super) fn parse_allowed(text: &str) -> Result<AllowedColumn, String> {
    match text.split_once('=') {
        Some((column, reason)) if !column.trim().is_empty() && !reason.trim().is_empty() => {
            Ok(AllowedColumn {
                column: column.to_owned(),
                reason: reason.to_owned(),
            })
        }
        _ => Err("expected COLUMN=REASON, such as \"is_political=topic of the answer\"".to_owned()),
    }
}

/// A source on the command line: the scenario's column names, units and constants still apply.
pub(super) fn source_at(path: &Path, like: Option<&Source>) -> Source {
    Source {
        path: path.to_owned(),
        ..like.cloned().unwrap_or_default()
    }
}

/// Reads the policy of a gate.
///
/// # Errors
/// A file that cannot be read, and every key or value that is wrong.
pub(super) fn read_policy(path: &Path) -> Result<GatePolicy> {
    GatePolicy::parse(&files::read_text(path)?, &path.display().to_string())
}

/// Adds the columns that `--absent` names to a source of users.
///
/// # Errors
/// A name is neither a feature nor the consent, or the source names its column.
pub(super) fn add_absent(source: &mut Source, absent: &[String]) -> Result<()> {
    for name in absent {
        source
            .check_absent(name)
            .map_err(|message| Error::usage(format!("--absent: {message}")))?;
        source.absent.insert(name.clone());
    }
    Ok(())
}

/// What to do with a row that cannot be used.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum BadRowArg {
    /// Stop with an error that names it
    #[default]
    Error,
    /// Leave it out and count it
    Drop,
}

impl From<BadRowArg> for OnBadRow {
    fn from(arg: BadRowArg) -> Self {
        match arg {
            BadRowArg::Error => Self::Error,
            BadRowArg::Drop => Self::Drop,
        }
    }
}

/// Refuses a period that ends before it begins.
pub(super) fn check_period(from: Option<Micros>, until: Option<Micros>) -> Result<()> {
    match (from, until) {
        (Some(from), Some(until)) if until <= from => Err(Error::usage(format!(
            "expected --until after --from, found {} and {}",
            time::format(until),
            time::format(from)
        ))),
        _ => Ok(()),
    }
}

/// Refuses an `--out` path whose extension names no table format. Runs before anything is read.
pub(super) fn check_out(path: &Path) -> Result<()> {
    check_table("--out", path)
}

/// Refuses the path of an option that writes a table as CSV or Parquet, whose extension names
/// neither. Runs before anything is read.
pub(super) fn check_table(option: &str, path: &Path) -> Result<()> {
    match Format::by_path(path) {
        Some(Format::Parquet) => Ok(()),
        Some(format) if format.is_plain_csv() => Ok(()),
        _ => Err(Error::usage(format!(
            "expected {option} to end in .csv or .parquet, found {}",
            path.display()
        ))),
    }
}

/// Refuses the path of an option that writes a JSON document, if its extension names another format.
/// Runs before anything is read.
pub(super) fn check_json(option: &str, path: &Path) -> Result<()> {
    let is_json = Format::by_path(path)
        == Some(Format::Json {
            packing: Packing::None,
        });
    if is_json || !Format::is_named_otherwise(path, None) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "expected {option} to end in .json, found {}",
        path.display()
    )))
}
