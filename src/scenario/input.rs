//! The sources of rows, their columns, and the handling of bad rows.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::base::time::{DayClock, Micros, Zone};
use crate::scenario::traces::TraceSource;
use crate::scenario::units::Unit;

/// The source of a table's rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Source {
    /// File, folder, glob or URL.
    pub path: PathBuf,
    /// Names of columns in the file, by canonical column name.
    pub columns: BTreeMap<String, String>,
    /// Units of columns in the file, by canonical column name. A column without an entry has the
    /// unit that Sluice reads.
    pub units: BTreeMap<String, Unit>,
    /// Constant texts, by canonical column name. Every row gets the text. `{row}` in it is replaced
    /// by the row's number in its file, from 0.
    pub constants: BTreeMap<String, String>,
    /// Expressions of columns, by canonical column name.
    pub derive: BTreeMap<String, Expression>,
    /// The condition of the rows that are read. `None` for all rows.
    pub filter: Option<Expression>,
    /// The query whose result has the rows, in place of the files. `None` for the files themselves.
    pub sql: Option<Query>,
    /// How the files are read as traces, which importers make turns of. `None` for files with a row a
    /// turn. The columns of the source are then paths in the traces.
    pub traces: Option<TraceSource>,
    /// The byte between two values of a text file. `None` for the one that the file's name says.
    pub delimiter: Option<u8>,
    /// The byte around values of a text file. `None` for a double quote.
    pub quote: Option<u8>,
    /// The end of the days of which the newest is read, if the folders of the source name days.
    /// `None` for all folders.
    pub latest_until: Option<LatestUntil>,
    /// Canonical names of the columns that the files are known to lack.
    pub absent: BTreeSet<String>,
    /// Canonical names of the columns that the command line names. Their errors are errors of the
    /// command line.
    pub from_command_line: BTreeSet<String>,
}

/// An instant, and its day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatestUntil {
    /// The instant, microseconds, UTC.
    pub at: Micros,
    /// The local day of the instant: the number of days since 1970-01-01.
    pub day: i32,
}

impl LatestUntil {
    /// The day of an instant in a time zone.
    pub fn new(at: Micros, zone: &Zone) -> Self {
        let day = DayClock::new(zone).day(at);
        Self {
            at,
            day: i32::try_from(day).unwrap_or(i32::MAX),
        }
    }
}

/// A sign between or around values of a text file, from its text.
///
/// # Errors
/// The text is not one character of ASCII, or is a sign that ends a line.
pub fn text_sign(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [sign] if sign.is_ascii() && !matches!(sign, b'\n' | b'\r' | 0) => Ok(*sign),
        _ => Err(format!(
            "expected one character of ASCII such as \";\" or \"\\t\", found \"{text}\""
        )),
    }
}

/// A SQL expression of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// The text of the expression.
    pub text: String,
    /// The key of the scenario, or the option of the command line, that has it: for messages.
    pub key: String,
    /// Whether names are those that the source gives, before those of the files: in metrics.
    pub is_canonical: bool,
}

/// A query over whole tables.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The text of the query.
    pub text: String,
    /// The key of the scenario that has it: for messages.
    pub key: String,
    /// The name of the source's own files as a table. `None` if it has none.
    pub own: Option<String>,
    /// Further tables, by name.
    pub tables: BTreeMap<String, Source>,
}

impl Expression {
    /// Makes an expression of a source, whose names are those of the files first.
    pub fn new(text: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            key: key.into(),
            is_canonical: false,
        }
    }
}

/// Canonical names of the columns that a source of users may lack if it says so.
pub const FEATURES: [&str; 4] = ["last_use_time", "use_count", "user_value", "accept_score"];
/// Canonical name of the column of consent.
pub const CONSENT: &str = "is_allow_gray";

impl Source {
    /// Creates a source without renames.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            ..Self::default()
        }
    }

    /// The paths that are read for the source.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let own = [&self.path]
            .into_iter()
            .filter(|path| !path.as_os_str().is_empty());
        let tables = self.sql.iter().flat_map(|query| query.tables.values());
        let prices = self.traces.iter().filter_map(|traces| traces.prices.clone());
        own.cloned()
            .chain(tables.map(|table| table.path.clone()))
            .chain(prices)
            .collect()
    }

    /// Whether the source makes a canonical column itself: as a constant or by an expression.
    pub(crate) fn is_made(&self, canonical: &str) -> bool {
        self.constants.contains_key(canonical) || self.derive.contains_key(canonical)
    }

    /// Whether the source has expressions.
    pub(crate) fn has_expressions(&self) -> bool {
        !self.derive.is_empty() || self.filter.is_some()
    }

    /// Whether another expression of the source mentions a derived column.
    pub(crate) fn uses(&self, name: &str) -> bool {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let others = self.derive.iter().filter(|(other, _)| *other != name);
        others
            .map(|(_, expression)| expression)
            .chain(&self.filter)
            .any(|expression| {
                expression.text.match_indices(name).any(|(start, _)| {
                    let (before, after) = (&expression.text[..start], &expression.text[start + name.len()..]);
                    !before.ends_with(is_name) && !after.starts_with(is_name)
                })
            })
    }

    /// The last part of the path, for messages that do not depend on the place of the files.
    pub(crate) fn name(&self) -> String {
        let name = self
            .path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        name.unwrap_or_else(|| self.path.display().to_string())
    }

    /// Checks that a column may be declared absent.
    ///
    /// # Errors
    /// The column is neither a feature nor the consent, or the source names it too.
    pub(crate) fn check_absent(&self, name: &str) -> Result<(), String> {
        if !FEATURES.contains(&name) && name != CONSENT {
            return Err(format!(
                "expected {} or {CONSENT}, found \"{name}\"",
                FEATURES.join(", ")
            ));
        }
        if self.columns.contains_key(name) || self.is_made(name) {
            return Err(format!(
                "expected a column that is read or absent, found `{name}` as both"
            ));
        }
        Ok(())
    }
}

/// Inputs of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The source of users: a table, events, the traffic, or the generator.
    pub users: UsersFrom,
    /// Tables of users after the first. Empty unless `users` is a table.
    pub more_users: Vec<Source>,
    /// A table with further columns of users, joined by id. `None` for none.
    pub user_join: Option<Source>,
    /// Traffic logs. Empty in a study that only assigns layers.
    pub traffic: Vec<Source>,
    /// Logs of the candidate's answers to requests that the baseline served, joined by trace id.
    pub shadow: Vec<Source>,
    /// Outcomes that arrived after their rows were logged, joined by trace id.
    pub outcomes: Vec<Source>,
    /// Whether distinct sessions are counted. Each takes eight bytes in the cube.
    pub count_sessions: bool,
    /// Settings of the generator. `None` unless `users` and `traffic` are generated.
    pub generate: Option<Generate>,
    /// Handling of a row that cannot be used.
    pub on_bad_row: OnBadRow,
    /// Handling of a further row of the same user.
    pub on_duplicate_user: OnDuplicate,
    /// Handling of a row whose release is neither baseline nor candidate.
    pub on_unknown_release: OnUnknownRelease,
}

impl Input {
    /// The sources of users, whose files are read for `users`.
    pub fn user_sources<'a>(&'a self, users: &'a UsersFrom) -> Vec<&'a Source> {
        let first = match users {
            UsersFrom::Table(source) | UsersFrom::Events(Events { source, .. }) => source,
            UsersFrom::Traffic | UsersFrom::Generator => return Vec::new(),
        };
        let more = self
            .more_users
            .iter()
            .filter(|_| matches!(users, UsersFrom::Table(_)));
        [first].into_iter().chain(more).chain(&self.user_join).collect()
    }
}

/// The source of users: a table, events, the traffic, or the generator.
#[derive(Debug, Clone, PartialEq)]
pub enum UsersFrom {
    /// A table with one row per user.
    Table(Source),
    /// A log of events or transactions, from which features are computed.
    Events(Events),
    /// The users seen in the traffic, without features.
    Traffic,
    /// Users that `[input.generate]` makes.
    Generator,
}

/// A log of events or transactions.
#[derive(Debug, Clone, PartialEq)]
pub struct Events {
    /// The files of the log, with the canonical columns `user_id`, `event_time` and `value`.
    pub source: Source,
    /// Length of the period before `as_of` whose events count in `use_count`, microseconds.
    pub use_window: Micros,
    /// Length of the period before `as_of` whose `value` is summed in `user_value`, microseconds.
    pub value_window: Micros,
}

/// The kinds of generated data with their words in a scenario.
pub(super) const GENERATORS: [(&str, ()); 1] = [("ecommerce", ())];

/// Size and faults of generated data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Generate {
    /// Number of users, 1..=4e9.
    pub n_users: u64,
    /// Expected number of turns in the whole log, 1..=1e12.
    pub n_turns: u64,
    /// End of the log, exclusive, microseconds, UTC. It is the file's `as_of`; `--as-of` does not
    /// change it.
    pub until: Micros,
    /// Regressions of the candidate.
    pub faults: Vec<Fault>,
}

/// A regression of the candidate in one layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    /// Index of the layer in the plan's layers, from 0.
    pub layer_idx: usize,
    /// First instant, microseconds, UTC.
    pub from: Micros,
    /// End, exclusive, microseconds, UTC. The file's `as_of` by default.
    pub until: Micros,
    /// The candidate's task completion rate during the fault, 0..=1. `None` does not change the
    /// rate.
    pub task_completion_rate: Option<f64>,
    /// The candidate's complaint rate during the fault, 0..=1. `None` does not change the rate.
    pub complaint_rate: Option<f64>,
    /// The candidate's share of bad ratings among rated turns during the fault, 0..=1. `None` does
    /// not change the share.
    pub bad_rate: Option<f64>,
}

/// Handling of a row that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBadRow {
    /// Stops with an error that names the row.
    Error,
    /// Leaves the row out and counts it by reason.
    Drop,
}

impl OnBadRow {
    /// Every option with its word in a scenario, the default first.
    pub(super) const ALL: [(&'static str, Self); 2] = [("error", Self::Error), ("drop", Self::Drop)];
}

/// Handling of a second row for the same user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDuplicate {
    /// Stops with an error that names the user.
    Error,
    /// Keeps the first row in input order and counts the others.
    KeepFirst,
}

impl OnDuplicate {
    /// Every option with its word in a scenario, the default first.
    pub(super) const ALL: [(&'static str, Self); 2] =
        [("error", Self::Error), ("keep_first", Self::KeepFirst)];
}

/// Handling of a row whose release is neither baseline nor candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknownRelease {
    /// Counts the row as unknown. It enters no comparison.
    Count,
    /// Stops with an error that names the release.
    Error,
}

impl OnUnknownRelease {
    /// Every option with its word in a scenario, the default first.
    pub(super) const ALL: [(&'static str, Self); 2] = [("count", Self::Count), ("error", Self::Error)];
}
