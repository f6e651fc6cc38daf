//! What a source asks of its importer: columns by path, outcomes by score, prices.

use hashbrown::HashMap;
use std::collections::BTreeMap;

use crate::base::error::Result;
use crate::prices::Prices;
use crate::scenario::{ScoreRule, TraceFormat, TraceSource, TurnUnit};
use crate::traces::record::Field;

/// A column whose path in the files the source names.
pub(super) struct Named {
    /// The name of the column in the table of turns.
    pub(super) column: String,
    /// The path in the files.
    pub(super) path: String,
    pub(super) field: Field,
}

/// What a source asks of its importer.
pub(super) struct Settings {
    pub(super) format: TraceFormat,
    pub(super) unit: TurnUnit,
    pub(super) named: Vec<Named>,
    /// Rules of outcomes, each with its column.
    pub(super) rules: Vec<(String, ScoreRule)>,
    /// Numbers of the rules by the name of their score.
    by_score: HashMap<String, Vec<u8>>,
    pub(super) prices: Option<Prices>,
}

/// Largest number of columns that a source may name, and of its rules.
const MAX_NAMED: usize = 200;

impl Settings {
    /// The settings of a source.
    ///
    /// # Errors
    /// There are too many columns or rules, or the prices cannot be read.
    pub(super) fn new(columns: &BTreeMap<String, String>, traces: &TraceSource) -> Result<Self> {
        for (what, n) in [("columns", columns.len()), ("scores", traces.scores.len())] {
            if n > MAX_NAMED {
                return Err(crate::base::error::Error::usage(format!(
                    "{}: expected at most {MAX_NAMED} {what}, found {n}",
                    traces.key
                )));
            }
        }
        let mut next = 0;
        let named = columns.iter().map(|(column, path)| {
            let field = match FIELDS.iter().find(|(name, _)| name == column) {
                Some((_, field)) => *field,
                None => {
                    next += 1;
                    Field::Named(next - 1)
                }
            };
            Named {
                column: column.clone(),
                path: path.clone(),
                field,
            }
        });
        let named = named.collect();
        let rules: Vec<(String, ScoreRule)> = traces
            .scores
            .iter()
            .map(|(column, rule)| (column.clone(), rule.clone()))
            .collect();
        let mut by_score: HashMap<String, Vec<u8>> = HashMap::new();
        for (number, (_, rule)) in rules.iter().enumerate() {
            by_score.entry(rule.score.clone()).or_default().push(number as u8);
        }
        Ok(Self {
            format: traces.format,
            unit: traces.turns,
            named,
            rules,
            by_score,
            prices: traces.prices.as_deref().map(Prices::read).transpose()?,
        })
    }

    /// The numbers of the rules that read a score.
    pub(super) fn rules_of(&self, score: &str) -> &[u8] {
        self.by_score.get(score).map_or(&[], Vec::as_slice)
    }
}

/// Columns of turns that are texts of spans.
pub(super) const FIELDS: [(&str, Field); 12] = [
    ("user_id", Field::User),
    ("session_id", Field::Session),
    ("release_id", Field::Release),
    ("tenant_id", Field::Tenant),
    ("feature", Field::Feature),
    ("layer", Field::Layer),
    ("model_ref", Field::Model),
    ("requested_model", Field::RequestedModel),
    ("service", Field::Service),
    ("agent", Field::Agent),
    ("environment", Field::Environment),
    ("error_type", Field::ErrorType),
];
