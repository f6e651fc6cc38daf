//! Finds the tables of files and folders, and names them.

use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::url::is_url;
use crate::input::Format;
use crate::query::documents::{self, DocumentTable};
use crate::replay::CUBE_FILE;

/// Where the rows of a table come from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// A file, a folder, a glob or a URL of Parquet, CSV or NDJSON.
    Data(PathBuf),
    /// A list of a JSON document.
    Document(PathBuf, &'static DocumentTable),
    /// Results of evaluations, in the formats that `sluice evals` reads.
    Evals(PathBuf),
}

impl Origin {
    /// The file, folder, glob or URL.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Data(path) | Self::Document(path, _) | Self::Evals(path) => path,
        }
    }
}

/// A table that a query may name.
#[derive(Debug)]
pub(crate) struct TableSource {
    /// The name in SQL.
    pub(crate) name: String,
    /// Where its rows come from.
    pub(crate) origin: Origin,
}

/// The name of the table of results of evaluations.
const EVALS: &str = "evals";

/// The tables of a study's folder that are files of rows: name and path in the folder.
const STUDY_FILES: [(&str, &str); 4] = [
    ("layers", "layers.parquet"),
    ("features", "features.parquet"),
    ("users", "data/users.parquet"),
    ("traffic", "data/traffic"),
];

/// The documents of a study's folder.
const STUDY_DOCUMENTS: [&str; 4] = ["analysis.json", "schedule.json", "state.json", "gate_report.json"];

/// The tables of a cube's folder that are for readers; the others serve merges.
const CUBE_FILES: [(&str, &str); 5] = [
    ("cells", "cells.parquet"),
    ("pairs", "pairs.parquet"),
    ("exposures", "exposures.parquet"),
    ("activity", "activity.parquet"),
    ("latencies", "latencies.parquet"),
];

/// The folder of a cube in a study's folder.
const CUBE_FOLDER: &str = "cube";
/// The link to the newest night in the folder of a ramp.
const CURRENT: &str = "current";

/// Finds the tables of paths, each as `PATH` or `NAME=PATH`.
///
/// # Errors
/// A path has no table, or two tables have one name.
pub(crate) fn find(args: &[String]) -> Result<Vec<TableSource>> {
    let mut tables: Vec<TableSource> = Vec::new();
    for arg in args {
        let (prefix, path) = named(arg);
        for table in tables_at(Path::new(path), prefix)? {
            if let Some(other) = tables.iter().find(|other| other.name == table.name) {
                return Err(Error::usage(format!(
                    "expected tables with distinct names, found `{}` of {} and of {}",
                    table.name,
                    other.origin.path().display(),
                    table.origin.path().display()
                ))
                .hint(format!("give one of them another name: NAME={path}")));
            }
            tables.push(table);
        }
    }
    Ok(tables)
}

/// An argument as the name before `=`, if there is one, and the path. A path that exists is a path.
fn named(arg: &str) -> (Option<&str>, &str) {
    match arg.split_once('=') {
        Some((name, path)) if is_name(name) && !path.is_empty() && !Path::new(arg).exists() => {
            (Some(name), path)
        }
        _ => (None, arg),
    }
}

/// Whether a text is a name of SQL that needs no quotes.
fn is_name(text: &str) -> bool {
    let is_start = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(is_start) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The tables of a path. A name stands for the table of a file, and before those of a folder or a
/// document, with `_` between.
fn tables_at(path: &Path, name: Option<&str>) -> Result<Vec<TableSource>> {
    let below = |table: &str| name.map_or_else(|| table.to_owned(), |name| format!("{name}_{table}"));
    if !is_url(path) && path.is_dir() {
        let mut tables = Vec::new();
        let current = path.join(CURRENT);
        add_study(if current.is_dir() { &current } else { path }, &mut tables)?;
        if !tables.is_empty() {
            tables
                .iter_mut()
                .for_each(|table| table.name = below(&table.name));
            return Ok(tables);
        }
    }
    if name == Some(EVALS) {
        return Ok(vec![table(EVALS, Origin::Evals(path.to_owned()))]);
    }
    if path.extension().is_some_and(|extension| extension == "json") && path.is_file() {
        let documents = document_tables(path)?;
        if !documents.is_empty() {
            let named = documents.into_iter().map(|found| TableSource {
                name: below(&found.name),
                origin: found.origin,
            });
            return Ok(named.collect());
        }
    }
    let is_data = is_url(path) || !path.is_file() || Format::by_path(path).is_some();
    if is_data {
        let name = name.map_or_else(|| name_of(path), str::to_owned);
        return Ok(vec![table(&name, Origin::Data(path.to_owned()))]);
    }
    Ok(vec![table(name.unwrap_or(EVALS), Origin::Evals(path.to_owned()))])
}

fn table(name: &str, origin: Origin) -> TableSource {
    TableSource {
        name: name.to_owned(),
        origin,
    }
}

/// Adds the tables of a study's folder or of a cube's folder.
fn add_study(folder: &Path, tables: &mut Vec<TableSource>) -> Result<()> {
    let documents = STUDY_DOCUMENTS.map(|name| folder.join(name));
    let cube = match folder.join(CUBE_FILE).is_file() {
        true => folder.to_owned(),
        false => folder.join(CUBE_FOLDER),
    };
    let has_cube = cube.join(CUBE_FILE).is_file();
    let layers = folder.join(STUDY_FILES[0].1);
    if !has_cube && !layers.is_file() && !documents.iter().any(|path| path.is_file()) {
        return Ok(());
    }
    let mut add_files = |folder: &Path, files: &[(&str, &str)]| {
        for (name, file) in files {
            let path = folder.join(file);
            if path.exists() {
                tables.push(table(name, Origin::Data(path)));
            }
        }
    };
    if cube != folder {
        add_files(folder, &STUDY_FILES);
    }
    if has_cube {
        add_files(&cube, &CUBE_FILES);
    }
    for path in documents.iter().filter(|path| path.is_file()) {
        tables.extend(document_tables(path)?);
    }
    Ok(())
}

/// The tables of a document; none for a file that is no document of Sluice with tables.
fn document_tables(path: &Path) -> Result<Vec<TableSource>> {
    let schema = documents::schema_of(path)?;
    let tables = schema
        .map(|schema| documents::tables_of(&schema))
        .unwrap_or_default();
    let tables = tables.into_iter();
    Ok(tables
        .map(|found| table(found.name, Origin::Document(path.to_owned(), found)))
        .collect())
}

/// The name of a file's table: its stem, with `_` for what a name of SQL has not.
fn name_of(path: &Path) -> String {
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let file = file.unwrap_or_default();
    let stem = file.split('.').find(|part| !part.is_empty()).unwrap_or_default();
    let mut name: String = stem
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect();
    if !is_name(&name) {
        name.insert(0, '_');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_named_by_their_files() {
        let check = |path: &str, expected: &str| assert_eq!(name_of(Path::new(path)), expected, "{path}");
        check("data/Users.csv.gz", "users");
        check("log-2026-05.parquet", "log_2026_05");
        check("2026.parquet", "_2026");
        check("s3://bucket/traffic/", "traffic");
        check("data/traffic/*.parquet", "_");
        check("日志.csv", "__");
    }

    #[test]
    fn a_name_stands_before_the_path() {
        let check = |arg: &str, expected: (Option<&str>, &str)| assert_eq!(named(arg), expected);
        check("u=users.csv", (Some("u"), "users.csv"));
        check("users.csv", (None, "users.csv"));
        check("dt=", (None, "dt="));
        check("a/dt=2026-05-25/x.csv", (None, "a/dt=2026-05-25/x.csv"));
        check("1a=x.csv", (None, "1a=x.csv"));
    }
}
