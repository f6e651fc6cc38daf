//! The bill of a chargeback: lines, unit costs, and models without a price.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::base::time::Micros;
use crate::finops::budget::BudgetUse;
use crate::finops::clusters::Success;
use crate::finops::question::{By, Unseen};
use crate::stats::Known;

/// What a success costs, USD.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct UnitCost {
    /// The cost of all rows, failures too, by the number of successes.
    pub estimate: Known<f64>,
    /// How far chance between users reaches.
    pub robust: Known<RobustUnitCost>,
}

/// The error of a cost per success, USD.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RobustUnitCost {
    /// Delete-one-user jackknife.
    pub std_error: f64,
    /// Satterthwaite's degrees of freedom.
    pub df: f64,
    /// Users.
    pub n_clusters: usize,
    /// Lower end of the 95 % interval.
    pub ci_lower: f64,
    /// Upper end.
    pub ci_upper: f64,
}

/// One line of the bill. Costs are those of rows that a user saw; a cost is what the log says or,
/// where it says nothing, what the table of prices says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BillLine {
    /// By what; empty in the total.
    #[serde(flatten)]
    pub keys: BTreeMap<&'static str, String>,
    /// Rows that a user saw.
    pub n_rows: u64,
    /// Distinct users.
    pub n_users: u64,
    /// Distinct sessions of users; `None` if the log has none.
    pub n_sessions: Option<u64>,
    /// Successes; `None` if the log does not say.
    pub n_successes: Option<u64>,
    /// Rows that do not say whether their task was completed: not counted as successes.
    pub n_outcome_unknown: u64,
    /// What is charged, as far as it is known.
    pub cost_nano_usd: i64,
    /// Rows whose cost nobody knows.
    pub n_cost_unknown: u64,
    /// Share of rows whose cost is known.
    pub cost_coverage: Known<f64>,
    /// Of rows whose cost is in the log.
    pub logged_nano_usd: i64,
    /// How many those are.
    pub n_logged: u64,
    /// By the table of prices; `None` without one.
    pub repriced_nano_usd: Option<i64>,
    /// Of how many rows the table says the price.
    pub n_repriced: Option<u64>,
    /// What tools cost, part of all costs; `None` if the log does not say.
    pub tool_cost_nano_usd: Option<i64>,
    /// Tokens in; `None` if the log does not say.
    pub tokens_in: Option<i64>,
    /// Tokens out; `None` if the log does not say.
    pub tokens_out: Option<i64>,
    /// What a success costs.
    pub usd_per_success: UnitCost,
    /// What it would cost by the table of prices; `None` without one.
    pub usd_per_success_repriced: Option<UnitCost>,
    /// Answers beside the real ones.
    pub shadow: Unseen,
    /// Evaluation runs.
    pub eval: Unseen,
}

/// A model that the table of prices does not have at the instants of some rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unpriced {
    /// Its reference.
    pub model_ref: String,
    /// Its rows without a price.
    pub n_rows: u64,
}

/// The bill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chargeback {
    /// What lines are by.
    pub by: Vec<By>,
    /// What counts as a success.
    pub success: Success,
    /// Rows before were left out.
    pub from: Option<Micros>,
    /// Rows from here on were left out.
    pub until: Option<Micros>,
    /// Rows of the log.
    pub n_rows: u64,
    /// Of them, outside of the period.
    pub n_outside: u64,
    /// Rows that could not be used, by reason.
    pub bad_rows: BTreeMap<String, u64>,
    /// The costliest first.
    pub lines: Vec<BillLine>,
    /// All lines together.
    pub total: BillLine,
    /// Models without a price, if there is a table of prices.
    pub unpriced: Vec<Unpriced>,
    /// The budgets, in the order of their file.
    pub budgets: Vec<BudgetUse>,
}

impl Chargeback {
    /// Whether any budget was passed.
    pub fn has_breach(&self) -> bool {
        self.budgets.iter().any(|used| !used.breaches.is_empty())
    }
}
