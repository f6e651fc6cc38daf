//! The state of an import that goes on: the files that were read, and what was read of them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::file_set::{EarlierCommit, FileSet};
use crate::base::json::Document;
use crate::base::manifest::is_plain_name;
use crate::base::{files, json};
use crate::scenario::{ScoreRule, ScoreTest, TraceFormat, TurnUnit};
use crate::traces::coverage::{Coverage, count};
use crate::traces::kept::{Block, RECORD_FORMAT, blocks_of};
use crate::traces::settings::Settings;
use crate::traces::since::KnownFile;

/// The document of a state.
const STATE_FILE: &str = "import.json";
/// Files of records beyond which the next import writes one file of them all.
const MOST_FILES: usize = 32;

/// The document `import.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct StateDocument {
    /// The format and version of this document.
    schema: String,
    /// The version of the records.
    record_format: u32,
    /// What decides how rows are read.
    settings: ReadSettings,
    /// The files that were read.
    files: Vec<KnownFile>,
    /// The files beside this document with what was read.
    records: Vec<RecordsFile>,
    /// What was counted while the files were read.
    read: ReadCounts,
}

impl Document for StateDocument {
    const SCHEMA: &'static str = "sluice.import-state/1";
}

/// A file of kept records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct RecordsFile {
    /// Its name in the folder.
    name: String,
    /// Its size.
    n_bytes: u64,
    /// Number of its records.
    n_records: u64,
}

/// What decides how rows are read. Prices and the choice among several scores are applied to records,
/// so they may change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ReadSettings {
    format: String,
    turns: String,
    columns: BTreeMap<String, String>,
    scores: BTreeMap<String, String>,
}

impl ReadSettings {
    fn of(settings: &Settings) -> Self {
        let word = |found: Option<&'static str>| found.unwrap_or_default().to_owned();
        let format = TraceFormat::ALL
            .iter()
            .find(|(_, format)| *format == settings.format);
        let unit = TurnUnit::ALL.iter().find(|(_, unit)| *unit == settings.unit);
        let columns = settings.named.iter();
        let scores = settings.rules.iter();
        Self {
            format: word(format.map(|(word, _)| *word)),
            turns: word(unit.map(|(word, _)| *word)),
            columns: columns
                .map(|named| (named.column.clone(), named.path.clone()))
                .collect(),
            scores: scores
                .map(|(column, rule)| (column.clone(), written(rule)))
                .collect(),
        }
    }

    /// The names of settings that differ, with both values.
    fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let shown = |map: &BTreeMap<String, String>| {
            let entries = map.iter().map(|(name, value)| format!("{name}={value}"));
            let entries: Vec<String> = entries.collect();
            if entries.is_empty() {
                "none".to_owned()
            } else {
                entries.join(", ")
            }
        };
        let all = [
            ("--format", self.format.clone(), other.format.clone()),
            ("--turns", self.turns.clone(), other.turns.clone()),
            ("--column", shown(&self.columns), shown(&other.columns)),
            ("--score", shown(&self.scores), shown(&other.scores)),
        ];
        all.into_iter().find(|(_, earlier, now)| earlier != now)
    }
}

/// A rule as it is written on the command line, without the choice among several scores.
fn written(rule: &ScoreRule) -> String {
    let score = &rule.score;
    match &rule.test {
        None => score.clone(),
        Some(ScoreTest::Is(label)) => format!("{score}={label}"),
        Some(ScoreTest::AtLeast(least)) => format!("{score}>={least}"),
        Some(ScoreTest::AtMost(most)) => format!("{score}<={most}"),
    }
}

/// What was counted while files were read. All else is counted again from the records.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct ReadCounts {
    n_rows: u64,
    bad_rows: BTreeMap<String, u64>,
    /// Scores whose value is not what the rule reads, by column.
    n_without_value: BTreeMap<String, u64>,
    unmapped_scores: BTreeMap<String, u64>,
    keys: BTreeMap<String, u64>,
}

impl ReadCounts {
    fn of(coverage: &Coverage) -> Self {
        let mut shortened = coverage.clone();
        shortened.shorten();
        let mut n_without_value = BTreeMap::new();
        for (column, score) in &coverage.scores {
            count(&mut n_without_value, column, score.n_without_value);
        }
        Self {
            n_rows: coverage.n_rows,
            bad_rows: shortened.bad_rows,
            n_without_value,
            unmapped_scores: shortened.unmapped_scores,
            keys: shortened.keys,
        }
    }

    /// The coverage of the earlier imports.
    fn coverage(&self, settings: &Settings) -> Coverage {
        let mut coverage = Coverage {
            n_rows: self.n_rows,
            bad_rows: self.bad_rows.clone(),
            unmapped_scores: self.unmapped_scores.clone(),
            keys: self.keys.clone(),
            ..Coverage::default()
        };
        for (column, rule) in &settings.rules {
            if let Some(n) = self.n_without_value.get(column) {
                let known = coverage.scores.entry(column.clone()).or_default();
                known.score.clone_from(&rule.score);
                known.n_without_value = *n;
            }
        }
        coverage
    }
}

/// Refuses a document of another version of records, or with names of other folders.
fn check(document: &StateDocument, path: &Path) -> Result<()> {
    let is_plain = |file: &&RecordsFile| is_plain_name(&file.name) && !file.name.contains('/');
    let wrong = if document.record_format != RECORD_FORMAT {
        let found = document.record_format;
        format!("expected records of version {RECORD_FORMAT}, found version {found}")
    } else if let Some(file) = document.records.iter().find(|file| !is_plain(file)) {
        format!(
            "expected names of files inside of the folder, found {:?}",
            file.name
        )
    } else {
        return Ok(());
    };
    Err(Error::in_file(path, wrong).hint("read all files anew with another folder: --since NEW"))
}

/// A folder with the state of earlier imports. It is locked until the import is done.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    set: FileSet,
    earlier: Option<StateDocument>,
    next: Option<StateDocument>,
}

impl State {
    /// The document that a folder holds after an import.
    pub fn document_of(folder: &Path) -> PathBuf {
        folder.join(STATE_FILE)
    }

    /// Opens a state, or begins one in a folder that has none.
    ///
    /// # Errors
    /// Another process uses it, it cannot be read, or another version of Sluice wrote it.
    pub fn open(folder: &Path) -> Result<Self> {
        if folder.exists() && !folder.is_dir() {
            let error = Error::write(folder, "expected a folder, found a file");
            return Err(error.hint("--since names the folder that an earlier import made"));
        }
        let path = Self::document_of(folder);
        let set = FileSet::begin(&path)?;
        let earlier = match path.exists() {
            false => None,
            true => Some(json::read_document::<StateDocument>(&path)?),
        };
        if let Some(document) = &earlier {
            check(document, &path)?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            set,
            earlier,
            next: None,
        })
    }

    /// Adds a file that is written together with the state, and returns the path to write it to.
    ///
    /// # Errors
    /// The path is a folder or a device, or another process writes it.
    pub fn stage(&mut self, path: &Path) -> Result<PathBuf> {
        self.set.stage(path)
    }

    /// Adds a file with these bytes, which is written together with the state.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.set.add(path, bytes)
    }

    /// Replaces the table and all other files of the import, and the state last.
    ///
    /// # Errors
    /// The file system refuses. Then the next import finds the earlier state.
    pub fn commit(self) -> Result<()> {
        let Some(next) = self.next else {
            return Ok(());
        };
        self.set
            .commit(json::to_json(&next).as_bytes(), EarlierCommit::Keep)?;
        // No document names these files any more. What cannot be removed is only in the way.
        let is_left = |name: &str| next.records.iter().any(|file| file.name == name);
        for file in self.earlier.iter().flat_map(|earlier| &earlier.records) {
            if !is_left(&file.name) {
                files::remove_if_there(&self.folder.join(&file.name)).ok();
            }
        }
        Ok(())
    }

    /// The files that earlier imports read.
    ///
    /// # Errors
    /// The earlier imports read rows by other settings.
    pub(super) fn known(&self, settings: &Settings) -> Result<&[KnownFile]> {
        let Some(earlier) = &self.earlier else {
            return Ok(&[]);
        };
        match earlier.settings.difference(&ReadSettings::of(settings)) {
            None => Ok(&earlier.files),
            Some((option, before, now)) => Err(Error::in_file(
                &Self::document_of(&self.folder),
                format!("expected {option} as in earlier imports, {before}, found {now}"),
            )
            .hint("take the earlier options, or read all files anew with another folder: --since NEW")),
        }
    }

    /// What earlier imports counted while they read their files.
    pub(super) fn coverage(&self, settings: &Settings) -> Coverage {
        let earlier = self.earlier.as_ref();
        earlier.map_or_else(Coverage::default, |earlier| earlier.read.coverage(settings))
    }

    /// The blocks of earlier imports by key, and the number of their records.
    ///
    /// # Errors
    /// A file is not there, or is damaged.
    pub(super) fn blocks(&self) -> Result<(Vec<(i64, Block)>, u64)> {
        let (mut blocks, mut n_records) = (Vec::new(), 0);
        for file in self.earlier.iter().flat_map(|earlier| &earlier.records) {
            blocks.extend(blocks_of(&self.folder.join(&file.name), file.n_bytes)?);
            n_records += file.n_records;
        }
        Ok((blocks, n_records))
    }

    /// Whether the next file of records takes those of all earlier ones.
    pub(super) fn merges(&self) -> bool {
        let earlier = self.earlier.as_ref();
        earlier.is_some_and(|earlier| earlier.records.len() >= MOST_FILES)
    }

    /// Adds a file of records, and returns its name and the path to write it to.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(super) fn stage_records(&mut self) -> Result<(String, PathBuf)> {
        let earlier = self.earlier.iter().flat_map(|earlier| &earlier.records);
        let number_of = |file: &RecordsFile| file.name.get(8..14)?.parse().ok();
        let last: u32 = earlier.filter_map(number_of).max().unwrap_or(0);
        let name = format!("records-{:06}.bin", last.saturating_add(1));
        let staged = self.set.stage(&self.folder.join(&name))?;
        Ok((name, staged))
    }

    /// Notes what the state is after this import. `records` is the name, the size and the number of
    /// records of the new file; `read` is what was counted while all files were read, also by earlier
    /// imports.
    pub(super) fn note(
        &mut self,
        settings: &Settings,
        known: Vec<KnownFile>,
        records: Option<(String, u64, u64)>,
        read: &Coverage,
    ) {
        let mut kept = match &self.earlier {
            Some(earlier) if !(records.is_some() && self.merges()) => earlier.records.clone(),
            _ => Vec::new(),
        };
        kept.extend(records.map(|(name, n_bytes, n_records)| RecordsFile {
            name,
            n_bytes,
            n_records,
        }));
        self.next = Some(StateDocument {
            schema: StateDocument::SCHEMA.to_owned(),
            record_format: RECORD_FORMAT,
            settings: ReadSettings::of(settings),
            files: known,
            records: kept,
            read: ReadCounts::of(read),
        });
    }
}
