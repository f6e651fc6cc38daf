//! The bill of a chargeback: lines, unit costs, and models without a price.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::base::time::Micros;
use crate::finops::budget::BudgetUse;
use crate::finops::clusters::Success;
use crate::finops::gap::CostGap;
use crate::finops::key::By;
use crate::finops::question::Unseen;
use crate::stats::Known;

/// The cost per success, USD.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct UnitCost {
    /// The cost of all rows, failures included, divided by the number of successes. Not known if
    /// the cost of a row is not known, or there is no success.
    pub estimate: Known<f64>,
    /// The standard error and the 95 % interval, from the spread between users. Not known if the
    /// user of a row is not known.
    pub robust: Known<RobustUnitCost>,
}

/// The error of a cost per success, USD.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RobustUnitCost {
    /// Standard error by the delete-one-user jackknife, USD per success.
    pub std_error: f64,
    /// Satterthwaite degrees of freedom.
    pub df: f64,
    /// Number of users, who are the clusters of the error.
    pub n_clusters: usize,
    /// Lower end of the 95 % interval, USD per success.
    pub ci_lower: f64,
    /// Upper end of the 95 % interval, USD per success.
    pub ci_upper: f64,
}

/// A line of the bill. Costs are those of rows that a user saw. A row's cost is the logged cost or,
/// if there is none, the cost by the price table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BillLine {
    /// Values of the line's keys, by column. Empty for the total.
    #[serde(flatten)]
    pub keys: BTreeMap<&'static str, String>,
    /// Number of rows that a user saw.
    pub n_rows: u64,
    /// Number of distinct users, over the rows that name one. Not known if no row does.
    pub n_users: Known<u64>,
    /// Number of rows without a user. Their costs are in all sums.
    pub n_without_user: u64,
    /// Number of rows without a release. Their costs are in all sums.
    pub n_without_release: u64,
    /// Number of distinct sessions of users. A session of rows without a user is one of its tenant.
    /// `None` if the log has no sessions.
    pub n_sessions: Option<u64>,
    /// Number of successes. `None` if the log has no column `task_completed`.
    pub n_successes: Option<u64>,
    /// Number of rows without a value of `task_completed`. They do not count as successes.
    pub n_outcome_unknown: u64,
    /// Charged cost, nano-USD: the sum over rows with a known cost.
    pub cost_nano_usd: i64,
    /// Number of rows whose cost is not known.
    pub n_cost_unknown: u64,
    /// Numbers of those rows by reason. Each row has one reason.
    pub cost_unknown_reasons: BTreeMap<CostGap, u64>,
    /// Share of rows whose cost is known, 0..=1. Not known if there are no rows.
    pub cost_coverage: Known<f64>,
    /// Sum of the logged costs, nano-USD.
    pub logged_nano_usd: i64,
    /// Number of rows with a logged cost.
    pub n_logged: u64,
    /// Sum of the costs by the price table, nano-USD. `None` without a table.
    pub repriced_nano_usd: Option<i64>,
    /// Number of rows with a cost by the price table. `None` without a table.
    pub n_repriced: Option<u64>,
    /// Numbers of rows without a cost by the price table, by reason. `None` without a table.
    pub repriced_unknown_reasons: Option<BTreeMap<CostGap, u64>>,
    /// Cost of tools, nano-USD, which is included in the costs. `None` if the log does not have it.
    pub tool_cost_nano_usd: Option<i64>,
    /// Number of input tokens. `None` if the log does not have it.
    pub tokens_in: Option<i64>,
    /// Number of output tokens. `None` if the log does not have it.
    pub tokens_out: Option<i64>,
    /// Charged cost per success, USD.
    pub usd_per_success: UnitCost,
    /// Cost per success by the price table, USD. `None` without a table.
    pub usd_per_success_repriced: Option<UnitCost>,
    /// Number and cost of shadow answers, which no user saw. They are not in the other sums.
    pub shadow: Unseen,
    /// Number and cost of answers in evaluation runs. They are not in the other sums.
    pub eval: Unseen,
}

/// A model that has no price at the times of some rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unpriced {
    /// Name of the model as in the log or the release record, such as
    /// `litellm:smart=gpt-4o-mini-2025-11`.
    pub model_ref: String,
    /// Number of its rows without a price.
    pub n_rows: u64,
}

/// The bill: the costs of a log by line, with the use of the budgets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chargeback {
    /// The keys of the lines, in the order of the question.
    pub by: Vec<By>,
    /// The definition of a success, by which costs are divided.
    pub success: Success,
    /// First instant of the period, microseconds, UTC. `None` for an open start.
    pub from: Option<Micros>,
    /// Exclusive end of the period, microseconds, UTC. `None` for an open end.
    pub until: Option<Micros>,
    /// Number of rows in the log.
    pub n_rows: u64,
    /// Number of rows outside of the period.
    pub n_outside: u64,
    /// Numbers of rows that could not be used, by reason.
    pub bad_rows: BTreeMap<String, u64>,
    /// Columns that a bill reads and the log does not have.
    pub absent_columns: Vec<&'static str>,
    /// Keys of which no row has a value: their columns are absent or empty, and no record has the
    /// value. Empty if no row counts.
    pub unknown_keys: Vec<By>,
    /// Lines in order of falling cost.
    pub lines: Vec<BillLine>,
    /// The total of all lines.
    pub total: BillLine,
    /// Models without a price. Empty without a price table.
    pub unpriced: Vec<Unpriced>,
    /// Use of the budgets, in the order of their file.
    pub budgets: Vec<BudgetUse>,
}

impl Chargeback {
    /// Whether any budget was exceeded.
    pub fn has_breach(&self) -> bool {
        self.budgets.iter().any(|used| !used.breaches.is_empty())
    }

    /// Whether the cost of any budget is not known, because the log does not say which rows it
    /// covers.
    pub fn has_unknown_budget(&self) -> bool {
        let mut spent = self.budgets.iter().map(|used| &used.spent_nano_usd);
        spent.any(|spent| spent.value().is_none())
    }
}
