//! The inputs of a chargeback: the keys of lines, the definition of a success, prices and budgets.

use serde::Serialize;
use std::path::Path;

use crate::base::time::Micros;
use crate::finops::budget::Budget;
use crate::finops::clusters::Success;
use crate::finops::key::By;
use crate::prices::Prices;
use crate::release::RecordIndex;

/// The inputs of a chargeback.
#[derive(Debug, Clone, Copy)]
pub struct ChargebackQuestion<'a> {
    /// The keys of lines, in this order, each at most once.
    pub by: &'a [By],
    /// The definition of a success, by which costs are divided.
    pub success: Success,
    /// First instant of the period, microseconds, UTC. `None` for an open start.
    pub from: Option<Micros>,
    /// Exclusive end of the period, microseconds, UTC. `None` for an open end.
    pub until: Option<Micros>,
    /// Release records, for models and prompts that the log does not name. `None` reads them from
    /// the log only.
    pub records: Option<&'a RecordIndex>,
    /// Prices of tokens. `None` charges logged costs only.
    pub prices: Option<&'a Prices>,
    /// Budgets to check against the costs of the log. Empty for no check.
    pub budgets: &'a [Budget],
    /// A path beside which temporary files are written when memory is not enough.
    pub near: &'a Path,
}

impl ChargebackQuestion<'_> {
    /// Whether the bill depends on the times of rows: it has a period, budgets, or prices with a
    /// first instant.
    pub fn needs_time(&self) -> bool {
        self.from.is_some()
            || self.until.is_some()
            || !self.budgets.is_empty()
            || self.prices.is_some_and(Prices::depends_on_time)
    }
}

/// Rows that no user saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// Number of rows that no user saw.
    pub n_rows: u64,
    /// Cost, nano-USD: the sum over rows with a known cost.
    pub cost_nano_usd: i64,
    /// Number of rows whose cost is not known.
    pub n_cost_unknown: u64,
}
