//! A proposed scenario before it is text.

use crate::base::time::Micros;
use crate::init::fit::How;
use crate::init::guess::{Guesses, Role};
use crate::init::outcomes::OwnMetric;

/// A proposed scenario. Every value has its reason beside it.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    /// Lines at the top of the file.
    pub(crate) header: Vec<String>,
    pub(crate) as_of: (Micros, String),
    /// Name of the zone and the reason. `None` for UTC.
    pub(crate) time_zone: Option<(String, String)>,
    pub(crate) plan: DraftPlan,
    /// The users table, or the events that users are made from. `None` takes users from the traffic.
    pub(crate) users: Option<DraftSource>,
    pub(crate) traffic: Vec<DraftSource>,
    /// Features and consent that the users lack.
    pub(crate) absent: Vec<&'static str>,
    /// Keys of `[layering]` with values as TOML and reasons.
    pub(crate) layering: Vec<(&'static str, String, String)>,
    pub(crate) layers: Vec<DraftLayer>,
    pub(crate) operations: Vec<DraftOperation>,
    pub(crate) metrics: Vec<OwnMetric>,
    pub(crate) guardrails: Vec<DraftGuardrail>,
    /// `guard.min_coverage` and the reason. `None` for the default.
    pub(crate) guard: Option<(f64, String)>,
    /// What the files lack, and what it costs.
    pub(crate) missing: Vec<Missing>,
    /// Reason to leave out rows that cannot be read. `None` to stop at them.
    pub(crate) drop_bad_rows: Option<String>,
    /// Reason to keep the first row of a user. `None` to stop at a second one.
    pub(crate) keep_first_user: Option<String>,
    /// What a rehearsal of the scenario found.
    pub(crate) findings: Vec<String>,
    /// Whether expressions are written as keys. Else they are comments.
    pub(crate) has_derive: bool,
}

/// The plan of a proposed scenario.
#[derive(Debug, Clone)]
pub(crate) struct DraftPlan {
    pub(crate) id: String,
    pub(crate) start: (Micros, String),
    pub(crate) baseline: String,
    pub(crate) candidate: String,
    /// Reason for the two releases.
    pub(crate) why: Vec<String>,
}

/// A source of a proposed scenario.
#[derive(Debug, Clone)]
pub(crate) struct DraftSource {
    pub(crate) role: Role,
    /// Path as the scenario has it.
    pub(crate) path: String,
    /// What the files are if they are traces, for a comment.
    pub(crate) traces: Option<String>,
    /// Names of scores in the traces.
    pub(crate) scores: Vec<String>,
    pub(crate) guesses: Guesses,
    /// Names of Sluice with a text for all rows, and the reason.
    pub(crate) constants: Vec<(&'static str, String, String)>,
    /// Columns of the scenario's own metrics.
    pub(crate) own_columns: Vec<OwnColumn>,
}

/// A column of a metric of the scenario.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OwnColumn {
    /// Name in the scenario.
    pub(crate) name: String,
    /// Name in the file.
    pub(crate) file_column: String,
    /// The expression that its values need. `None` to read them as they are.
    pub(crate) sql: Option<String>,
}

/// A layer of a proposed scenario.
#[derive(Debug, Clone)]
pub(crate) struct DraftLayer {
    pub(crate) id: &'static str,
    /// Share of the users. `None` for a layer of all users.
    pub(crate) quota: Option<f64>,
    /// `None` for the default.
    pub(crate) ladder: Option<Vec<f64>>,
    /// What is known of the layer.
    pub(crate) notes: Vec<String>,
}

/// A ratio that the log shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DraftOperation {
    pub(crate) at: Micros,
    pub(crate) layer: &'static str,
    pub(crate) ratio: f64,
    pub(crate) why: String,
}

/// A guardrail of a proposed scenario.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DraftGuardrail {
    pub(crate) metric: String,
    /// The key with its value: `margin`, `relative_margin` or `max_count`.
    pub(crate) key: &'static str,
    pub(crate) value: String,
    pub(crate) why: String,
}

/// A column that the files lack.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Missing {
    pub(crate) what: String,
    pub(crate) cost: String,
}

impl DraftSource {
    /// Whether rows have a value for a name of Sluice.
    pub(crate) fn has(&self, column: &str, has_derive: bool) -> bool {
        let is_there = |how: &How| has_derive || !matches!(how, How::Derive(_));
        self.guesses.get(column).is_some_and(|guess| is_there(&guess.how))
            || self.constants.iter().any(|(name, _, _)| *name == column)
    }
}

impl Draft {
    /// Whether some source of the traffic has a column.
    pub(crate) fn traffic_has(&self, column: &str) -> bool {
        self.traffic
            .iter()
            .any(|source| source.has(column, self.has_derive))
    }
}
