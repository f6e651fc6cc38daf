//! Detection of the tool that wrote an evaluation file, and reading of the file.

use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::interner::Interner;
use crate::base::limits::{Limit, read_limited};
use crate::base::{digest, files};
use crate::input;
use crate::input::SourceFile;
use crate::release::evals::importers::json::{each_line, open_lines, parse};
use crate::release::evals::importers::{deepeval, inspect, lm_eval, mlflow, openai_evals, promptfoo, ragas};
use crate::release::evals::plain;
use crate::release::evals::row::{EvalFormat, EvalRow, EvalTable};
use crate::scenario::Source;

/// Reads evaluation results from a file, a folder or a glob pattern. `source.columns` renames the
/// columns of plain tables. With `with_outputs`, outputs are read even if that takes long.
///
/// # Errors
/// No file, a file of unknown format or without results, two files with the same content, or an
/// invalid row, with its location.
pub fn read_evals(source: &Source, with_outputs: bool) -> Result<EvalTable> {
    let mut table = EvalTable {
        rows: Vec::new(),
        sources: Vec::new(),
    };
    for file in files_of(&source.path)? {
        let n_before = table.rows.len();
        let form = read_file(source, &file, with_outputs, &mut table.rows)?;
        if table.rows.len() == n_before {
            return Err(Error::in_file(
                &file,
                format!("expected results of cases, found none (read as {})", form.name()),
            ));
        }
        let name = file
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let digest = digest::blake3_of_file(&file)?;
        if let Some((other, _)) = table.sources.iter().find(|(other, _)| other.digest == digest) {
            return Err(Error::in_file(
                &file,
                format!(
                    "expected different files, found the bytes of {}: its runs would count twice",
                    other.name
                ),
            ));
        }
        table.sources.push((SourceFile { name, digest }, form));
    }
    Ok(table)
}

pub(super) fn files_of(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return input::find_files(path);
    }
    let known = [
        "eval", "json", "jsonl", "ndjson", "csv", "tsv", "tab", "parquet", "arrow", "arrows", "ipc",
        "feather", "gz", "zst",
    ];
    let mut files = files::files_below(path)?;
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| known.iter().any(|known| extension.eq_ignore_ascii_case(known)))
    });
    if files.is_empty() {
        return Err(Error::in_file(
            path,
            "expected evaluation results (.eval, .json, .jsonl, .csv, .parquet) in the folder, found none",
        ));
    }
    Ok(files.into_iter().map(|file| path.join(file)).collect())
}

pub(super) fn read_file(
    source: &Source,
    file: &Path,
    with_outputs: bool,
    rows: &mut Vec<EvalRow>,
) -> Result<EvalFormat> {
    let is = |extension: &str| {
        file.extension()
            .is_some_and(|found| found.eq_ignore_ascii_case(extension))
    };
    if is("eval") {
        return inspect::archive(file, with_outputs, rows).map(|()| EvalFormat::Inspect);
    }
    if is("json") {
        return document(file, rows);
    }
    if is("jsonl") || is("ndjson") {
        let first = first_line(file)?;
        if let Some(form) = form_of_line(&first) {
            return lines(file, form, rows).map(|()| form);
        }
    }
    plain::read(source, file, rows).map(|()| EvalFormat::Plain)
}

/// Detects the format from the first line of a line-based file; `None` for a plain table.
pub(super) fn form_of_line(line: &[u8]) -> Option<EvalFormat> {
    let object: BTreeMap<String, IgnoredAny> = serde_json::from_slice(line).ok()?;
    let has = |keys: &[&str]| keys.iter().all(|key| object.contains_key(*key));
    if has(&["case_id"]) && !has(&["user_input"]) {
        return None;
    }
    Some(if has(&["spec"]) || has(&["sample_id", "event_id"]) {
        EvalFormat::OpenAiEvals
    } else if has(&["doc_id", "filter"]) || has(&["doc_id", "doc_hash"]) {
        EvalFormat::LmEval
    } else if has(&["promptIdx"]) || has(&["gradingResult", "testCase"]) {
        EvalFormat::Promptfoo
    } else if has(&["info"]) && (has(&["data"]) || has(&["spans"])) {
        EvalFormat::Mlflow
    } else if has(&["user_input"]) {
        EvalFormat::Ragas
    } else {
        return None;
    })
}

pub(super) fn first_line(file: &Path) -> Result<Vec<u8>> {
    let mut lines = open_lines(file)?;
    Ok(lines.next()?.map_or_else(Vec::new, |(_, line)| line.to_vec()))
}

pub(super) fn stem(file: &Path) -> String {
    file.file_stem()
        .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}

/// Reads a JSON document. Its keys show the format.
pub(super) fn document(file: &Path, rows: &mut Vec<EvalRow>) -> Result<EvalFormat> {
    let location = file.display().to_string();
    let bytes = read_limited(file, Limit::Document)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut names = Interner::default();
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Error::input(
            location,
            "expected a document of promptfoo, Inspect, DeepEval or lm-eval, found a list",
        )
        .hint("write one row a line (.jsonl) with a `case_id`"));
    }
    let keys: BTreeMap<String, IgnoredAny> = parse(&location, bytes, "a JSON object")?;
    let has = |key: &str| keys.contains_key(key);
    if has("testCases") || has("conversationalTestCases") {
        rows.extend(deepeval::document(&location, bytes, &mut names)?);
        Ok(EvalFormat::DeepEval)
    } else if has("eval") && has("version") {
        rows.extend(inspect::document(&location, bytes, &mut names)?);
        Ok(EvalFormat::Inspect)
    } else if has("evalId") || (has("results") && has("config") && !has("n-samples")) {
        rows.extend(promptfoo::document(&location, bytes, &mut names)?);
        Ok(EvalFormat::Promptfoo)
    } else if has("n-samples") || has("task_hashes") {
        Err(Error::input(
            location,
            "expected results of cases, found the aggregated results of lm-eval",
        )
        .hint("name its samples_<task>_<time>.jsonl (--log_samples)"))
    } else {
        let found = keys.keys().take(12).cloned().collect::<Vec<_>>().join(", ");
        Err(Error::input(
            location,
            format!("expected a document of promptfoo, Inspect, DeepEval or lm-eval, found one with {found}"),
        ))
    }
}

pub(crate) fn lines(file: &Path, form: EvalFormat, rows: &mut Vec<EvalRow>) -> Result<()> {
    let mut names = Interner::default();
    match form {
        EvalFormat::Promptfoo => each_line(file, &mut |location, line| {
            rows.push(promptfoo::line(location, line, &mut names)?);
            Ok(())
        }),
        EvalFormat::Ragas => {
            let suite = names.get(&stem(file));
            each_line(file, &mut |location, line| {
                rows.push(ragas::line(location, line, suite.clone(), &mut names)?);
                Ok(())
            })
        }
        EvalFormat::LmEval => {
            // The name of the file is samples_<task>_<time>.jsonl.
            let task = stem(file);
            let task = task.strip_prefix("samples_").unwrap_or(&task);
            let suite = names.get(task.rsplit_once('_').map_or(task, |(task, _)| task));
            each_line(file, &mut |location, line| {
                rows.push(lm_eval::line(location, line, suite.clone(), &mut names)?);
                Ok(())
            })
        }
        EvalFormat::Mlflow => each_line(file, &mut |location, line| {
            rows.push(mlflow::line(location, line, &mut names)?);
            Ok(())
        }),
        EvalFormat::OpenAiEvals => openai_evals::events(file, rows, &mut names),
        EvalFormat::Inspect | EvalFormat::DeepEval | EvalFormat::Plain => Ok(()),
    }
}
