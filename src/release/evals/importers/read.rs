//! Detection of the tool that wrote an evaluation file, and reading of the file.

use hashbrown::{HashMap, HashSet};
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::interner::Interner;
use crate::base::json::replace_nan;
use crate::base::{digest, files};
use crate::input;
use crate::input::SourceFile;
use crate::release::evals::fields::Fields;
use crate::release::evals::importers::json::{each_line, open_lines, parse, read_document, stem, unpacked};
use crate::release::evals::importers::{deepeval, inspect, lm_eval, mlflow, openai_evals, promptfoo, ragas};
use crate::release::evals::plain;
use crate::release::evals::row::{AbsentRuns, EvalFormat, EvalRow, EvalTable, ReadOptions};
use crate::scenario::Source;

/// Reads evaluation results from a file, a folder or a glob pattern. `source.columns` renames the
/// columns of plain tables, and says what the fields of other formats are.
///
/// # Errors
/// No file, a file of unknown format or without results, two files with the same content, or an
/// invalid row, with its location.
pub fn read_evals(source: &Source, options: &ReadOptions) -> Result<EvalTable> {
    let fields = Fields::new(source, options);
    let mut table = EvalTable {
        rows: Vec::new(),
        absent: Vec::new(),
        sources: Vec::new(),
    };
    let mut announced = Vec::new();
    let files = files_of(&source.path)?;
    let is_alone = files.len() == 1;
    for file in files {
        // lm-eval writes the aggregated results of a run beside its samples.
        if !is_alone && lm_eval::is_results(&file) {
            continue;
        }
        let n_before = table.rows.len();
        let mut reader = Reader {
            source,
            file: &file,
            number: table.sources.len(),
            options: fields.options(),
            rows: &mut table.rows,
            announced: &mut announced,
        };
        let format = reader.read()?;
        if table.rows.len() == n_before {
            return Err(Error::in_file(
                &file,
                format!(
                    "expected results of cases, found none (read as {})",
                    format.name()
                ),
            ));
        }
        if format != EvalFormat::Plain {
            fields.apply(&file, &mut table.rows[n_before..])?;
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
        table.sources.push((SourceFile { name, digest }, format));
    }
    table.absent = absent(announced, &table.rows);
    Ok(table)
}

/// The runs that logs announce and that no log has. The log of a run that was stopped and the log of
/// its continuation announce the same runs.
fn absent(announced: Vec<AbsentRuns>, rows: &[EvalRow]) -> Vec<AbsentRuns> {
    let mut by_run: BTreeMap<Arc<str>, AbsentRuns> = BTreeMap::new();
    for announced in announced {
        let Some(run) = announced.like.repeat.clone() else {
            continue;
        };
        match by_run.get_mut(&run) {
            None => drop(by_run.insert(run, announced)),
            Some(known) => {
                known.n = known.n.max(announced.n);
                // A log that ended decides over one that was stopped.
                known.like.not_run = known.like.not_run.max(announced.like.not_run);
            }
        }
    }
    let mut found: HashMap<&str, HashSet<&str>> = HashMap::new();
    for repeat in rows.iter().filter_map(|row| row.repeat.as_deref()) {
        if let Some((run, _)) = repeat.split_once(':') {
            found.entry(run).or_default().insert(repeat);
        }
    }
    let left = by_run.into_iter().filter_map(|(run, announced)| {
        let n_found = found.get(&*run).map_or(0, |repeats| repeats.len() as u64);
        let n = announced.n.saturating_sub(n_found);
        (n > 0).then_some(AbsentRuns { n, ..announced })
    });
    left.collect()
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

/// Detects the format from the first line of a line-based file; `None` for a plain table.
pub(super) fn format_of_line(line: &[u8]) -> Option<EvalFormat> {
    let clean = replace_nan(line, b"null");
    let line = clean.as_deref().unwrap_or(line);
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

/// The reader of one file.
struct Reader<'a> {
    source: &'a Source,
    file: &'a Path,
    /// The number of the file among all files.
    number: usize,
    options: &'a ReadOptions,
    rows: &'a mut Vec<EvalRow>,
    announced: &'a mut Vec<AbsentRuns>,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<EvalFormat> {
        let name = unpacked(self.file);
        let is = |extension: &str| {
            name.extension()
                .is_some_and(|found| found.eq_ignore_ascii_case(extension))
        };
        if is("eval") {
            self.announced
                .extend(inspect::archive(self.file, self.options, self.rows)?);
            return Ok(EvalFormat::Inspect);
        }
        if is("json") {
            return self.document();
        }
        if is("yaml") || is("yml") {
            return Err(Error::in_file(self.file, "expected JSON, found YAML")
                .hint("promptfoo writes JSON with -o results.json"));
        }
        if is("jsonl") || is("ndjson") {
            let first = first_line(self.file)?;
            if let Some(format) = format_of_line(&first) {
                return self.lines(format).map(|()| format);
            }
        }
        plain::read(self.source, self.file, &self.options.by, self.rows)
    }

    /// Reads a JSON document. Its keys show the format.
    fn document(&mut self) -> Result<EvalFormat> {
        let location = self.file.display().to_string();
        let bytes = read_document(self.file)?;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let by = &self.options.by;
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
            self.rows
                .extend(deepeval::document(&location, bytes, by, &mut names)?);
            Ok(EvalFormat::DeepEval)
        } else if has("eval") && has("version") {
            let (rows, announced) = inspect::document(&location, bytes, by, &mut names)?;
            self.rows.extend(rows);
            self.announced.extend(announced);
            Ok(EvalFormat::Inspect)
        } else if has("evalId") || (has("results") && has("config") && !has("n-samples")) {
            let (rows, announced) = promptfoo::document(&location, bytes, (self.number, by), &mut names)?;
            self.rows.extend(rows);
            self.announced.extend(announced);
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
                format!(
                    "expected a document of promptfoo, Inspect, DeepEval or lm-eval, found one with {found}"
                ),
            ))
        }
    }

    fn lines(&mut self, format: EvalFormat) -> Result<()> {
        let mut names = Interner::default();
        let (file, by, number) = (self.file, &*self.options.by, self.number);
        match format {
            EvalFormat::Promptfoo => each_line(file, &mut |location, line| {
                self.rows
                    .push(promptfoo::line(location, line, (number, by), &mut names)?);
                Ok(())
            }),
            EvalFormat::Ragas => {
                let run = names.get(&stem(file));
                each_line(file, &mut |location, line| {
                    self.rows
                        .push(ragas::line(location, line, (run.clone(), by), &mut names)?);
                    Ok(())
                })
            }
            EvalFormat::LmEval => {
                let announced = lm_eval::samples(file, (number, by), &mut names, self.rows)?;
                self.announced.extend(announced);
                Ok(())
            }
            EvalFormat::Mlflow => each_line(file, &mut |location, line| {
                self.rows.push(mlflow::line(location, line, by, &mut names)?);
                Ok(())
            }),
            EvalFormat::OpenAiEvals => openai_evals::events(file, self.rows, &mut names),
            EvalFormat::Inspect | EvalFormat::DeepEval | EvalFormat::Plain => Ok(()),
        }
    }
}
