//! Where rows come from: sources, their columns, and what to do about bad rows.

use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::base::time::Micros;

/// Where the rows of a table come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// File, folder or glob.
    pub path: PathBuf,
    /// Canonical column -> column in the file.
    pub columns: BTreeMap<String, String>,
    /// Canonical column -> a fixed text for every row; `{row}` stands for the row's number in its
    /// file, from 0.
    pub constants: BTreeMap<String, String>,
}

/// Inputs of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Where users come from.
    pub users: UsersFrom,
    /// Traffic logs; none in a study that only layers.
    pub traffic: Vec<Source>,
    /// The candidate's answers to logged requests, by trace.
    pub shadow: Vec<Source>,
    /// Outcomes that came after their rows were logged, by trace.
    pub outcomes: Vec<Source>,
    /// Count distinct sessions: eight bytes each in the cube.
    pub count_sessions: bool,
    /// What a generator makes when `users` and `traffic` come from it.
    pub generate: Option<Generate>,
    /// What to do with a row that cannot be used.
    pub on_bad_row: OnBadRow,
    /// What to do with a second row for a user.
    pub on_duplicate_user: OnDuplicate,
    /// What to do with a row whose release is neither baseline nor candidate.
    pub on_unknown_release: OnUnknownRelease,
}

/// Where users come from.
#[derive(Debug, Clone, PartialEq)]
pub enum UsersFrom {
    /// A table with one row a user.
    Table(Source),
    /// A log of events or transactions, from which features are built.
    Events(Events),
    /// The users seen in the traffic, without features.
    Traffic,
    /// The generator.
    Generator,
}

/// An event or transaction log.
#[derive(Debug, Clone, PartialEq)]
pub struct Events {
    /// Its files; canonical columns `user_id`, `event_time`, `value`.
    pub source: Source,
    /// `use_count` counts events this far back from `as_of`.
    pub use_window: Micros,
    /// `user_value` sums `value` this far back from `as_of`.
    pub value_window: Micros,
}

/// Size and faults of generated data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Generate {
    /// Users.
    pub n_users: u64,
    /// Expected number of turns over the whole log.
    pub n_turns: u64,
    /// End of the log, exclusive: the scenario file's `as_of`, whatever `--as-of` says.
    pub until: Micros,
    /// What goes wrong with the candidate.
    pub faults: Vec<Fault>,
}

/// A regression of the candidate in one layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    /// Index of the layer.
    pub layer_idx: usize,
    /// First instant.
    pub from: Micros,
    /// End, exclusive.
    pub until: Micros,
    /// The candidate's rates while it lasts; `None` leaves a rate alone.
    pub task_completion_rate: Option<f64>,
    /// See `task_completion_rate`.
    pub complaint_rate: Option<f64>,
    /// Among rated turns.
    pub bad_rate: Option<f64>,
}

/// What to do with a row that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBadRow {
    /// Stop with an error that names it.
    Error,
    /// Leave it out and count it by reason.
    Drop,
}

/// What to do with a second row for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDuplicate {
    /// Stop with an error that names the user.
    Error,
    /// Keep the first in input order and count the others.
    KeepFirst,
}

/// What to do with a row whose release is neither baseline nor candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknownRelease {
    /// Count it in the `unknown` bucket; it is in no comparison.
    Count,
    /// Stop with an error that names the release.
    Error,
}
