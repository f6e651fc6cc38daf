//! The one metric table: what a metric divides by what, which way is good, when it is mature.
//!
//! Every stage reads these declarations: replay accumulates their [`Measure`]s, analysis estimates them, guardrails name them, reports print them.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::time::{HOUR, Micros};

/// Which direction of a metric is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// More is better (completion).
    Higher,
    /// Less is better (complaints, cost).
    Lower,
}

/// How a traffic column is stored as an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// True or false: 1 or 0.
    Flag,
    /// A whole number.
    Count,
    /// A real number, quantised half-even at 1e-6.
    Real,
    /// Money in USD, quantised half-even to nano-USD (1e-9).
    Usd,
}

impl ColumnKind {
    /// How many integer units make one unit of the column.
    pub fn units(self) -> f64 {
        match self {
            Self::Flag | Self::Count => 1.0,
            Self::Real => 1e6,
            Self::Usd => 1e9,
        }
    }
}

/// What is added up over rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sum {
    /// Every row counts 1.
    Rows,
    /// The values of a column; null adds nothing.
    Of(String),
    /// The rows in which a column is not null.
    Known(String),
}

impl Sum {
    /// The column it reads, if it reads one.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Rows => None,
            Self::Of(column) | Self::Known(column) => Some(column),
        }
    }

    /// Reads `rows`, `sum(column)` or `count(column)`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "rows" {
            return Some(Self::Rows);
        }
        let (function, rest) = text.split_once('(')?;
        let column = rest.strip_suffix(')')?.trim();
        let legal = !column.is_empty() && column.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match (function.trim(), legal) {
            ("sum", true) => Some(Self::Of(column.into())),
            ("count", true) => Some(Self::Known(column.into())),
            _ => None,
        }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows => f.write_str("rows"),
            Self::Of(column) => write!(f, "sum({column})"),
            Self::Known(column) => write!(f, "count({column})"),
        }
    }
}

/// One accumulated quantity: a sum over the rows that are old enough.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Measure {
    /// What is added up.
    pub sum: Sum,
    /// Rows younger than this at `as_of` are left out (their outcome may still arrive), microseconds.
    pub delay: Micros,
}

impl Measure {
    /// The column name of this measure in the cube: `rows`, `sum_latency_ms`, `count_csat_after_48h`.
    pub fn column_name(&self) -> String {
        let base = match &self.sum {
            Sum::Rows => "rows".to_owned(),
            Sum::Of(column) => format!("sum_{column}"),
            Sum::Known(column) => format!("count_{column}"),
        };
        if self.delay == 0 { base } else { format!("{base}_after_{}h", self.delay / HOUR) }
    }
}

/// A declared metric: `sum of numerator / sum of denominator` over a set of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// ASCII slug.
    pub id: String,
    /// What is counted.
    pub numerator: Sum,
    /// Out of what.
    pub denominator: Sum,
    /// Which way is good.
    pub better: Better,
    /// Unit of the quotient, for people: `share`, `ms`, `USD`.
    pub unit: String,
    /// Outcomes arrive up to this long after the row, microseconds.
    pub delay: Micros,
    /// Every row gives a numerator of 0 or 1 and a denominator of 1 (or neither): exact methods for proportions apply.
    pub proportion: bool,
}

impl Metric {
    /// Numerator and denominator as the cube stores them.
    pub fn measures(&self) -> [Measure; 2] {
        [&self.numerator, &self.denominator].map(|sum| Measure { sum: sum.clone(), delay: self.delay })
    }
}

/// The traffic columns that built-in metrics read, in canonical order, with how each is stored.
pub const COLUMNS: &[(&str, ColumnKind)] = &[
    ("success", ColumnKind::Flag),
    ("latency_ms", ColumnKind::Real),
    ("tool_calls", ColumnKind::Count),
    ("tool_successes", ColumnKind::Count),
    ("task_completed", ColumnKind::Flag),
    ("bad", ColumnKind::Flag),
    ("complaint", ColumnKind::Flag),
    ("nps", ColumnKind::Real),
    ("csat", ColumnKind::Real),
    ("escalated", ColumnKind::Flag),
    ("refused", ColumnKind::Flag),
    ("incident", ColumnKind::Flag),
    ("tokens_in", ColumnKind::Count),
    ("tokens_out", ColumnKind::Count),
    ("cost_usd", ColumnKind::Usd),
];

/// The smallest legal value of a column: 0 for the built-in ones but `nps`, none for a scenario's own.
pub fn column_min(column: &str) -> f64 {
    let is_built_in = COLUMNS.iter().any(|(name, _)| *name == column);
    if is_built_in && column != "nps" { 0.0 } else { f64::NEG_INFINITY }
}

/// How a column is stored: as the built-in table says, else as a real number.
pub fn column_kind(column: &str) -> ColumnKind {
    COLUMNS.iter().find(|(name, _)| *name == column).map_or(ColumnKind::Real, |(_, kind)| *kind)
}

/// Whether the bad rate divides by rated rows or by all rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadRateOf {
    /// Rows that a user rated.
    Rated,
    /// All rows; a row without a rating counts as not bad.
    All,
}

/// The metrics Sluice knows by itself.
pub fn built_in(bad_rate_of: BadRateOf) -> Vec<Metric> {
    let of = |c: &str| Sum::Of(c.to_owned());
    let known = |c: &str| Sum::Known(c.to_owned());
    let rate = |id: &str, column: &str, better| Metric {
        id: id.into(),
        numerator: of(column),
        denominator: known(column),
        better,
        unit: "share".into(),
        delay: 0,
        proportion: true,
    };
    let ratio = |id: &str, numerator: Sum, denominator: Sum, better, unit: &str| Metric {
        id: id.into(),
        numerator,
        denominator,
        better,
        unit: unit.into(),
        delay: 0,
        proportion: false,
    };
    use Better::{Higher, Lower};
    let mut bad_rate = rate("bad_rate", "bad", Lower);
    if bad_rate_of == BadRateOf::All {
        bad_rate.denominator = Sum::Rows;
    }
    let mut csat = ratio("csat_mean", of("csat"), known("csat"), Higher, "points");
    csat.delay = 48 * HOUR;
    vec![
        rate("availability", "success", Higher),
        ratio("latency_mean_ms", of("latency_ms"), known("latency_ms"), Lower, "ms"),
        ratio("tool_success_rate", of("tool_successes"), of("tool_calls"), Higher, "share"),
        rate("task_completion_rate", "task_completed", Higher),
        bad_rate,
        rate("complaint_rate", "complaint", Lower),
        ratio("nps_mean", of("nps"), known("nps"), Higher, "points"),
        csat,
        rate("escalation_rate", "escalated", Lower),
        rate("refusal_rate", "refused", Lower),
        rate("incident_rate", "incident", Lower),
        ratio("tokens_in_mean", of("tokens_in"), known("tokens_in"), Lower, "tokens"),
        ratio("tokens_out_mean", of("tokens_out"), known("tokens_out"), Lower, "tokens"),
        ratio("cost_per_turn_usd", of("cost_usd"), Sum::Rows, Lower, "USD"),
        ratio("cost_per_completed_task_usd", of("cost_usd"), of("task_completed"), Lower, "USD"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_read_back_what_they_print() {
        for sum in [Sum::Rows, Sum::Of("bad".into()), Sum::Known("x_1".into())] {
            assert_eq!(Sum::parse(&sum.to_string()), Some(sum));
        }
        for wrong in ["", "mean(x)", "sum()", "sum(a b)", "sum(a", "rows()"] {
            assert_eq!(Sum::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ids_are_unique() {
        let mut ids: Vec<_> = built_in(BadRateOf::Rated).into_iter().map(|m| m.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), built_in(BadRateOf::Rated).len());
    }
}
