//! The inputs of a chargeback: the keys of lines, the definition of a success, prices and budgets.

use serde::{Deserialize, Serialize};
use std::path::Path;

use crate::base::time::Micros;
use crate::finops::budget::Budget;
use crate::finops::clusters::Success;
use crate::prices::Prices;
use crate::release::RecordIndex;

/// A key of the bill's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum By {
    /// The tenant: column `tenant_id`, `default` where it is empty.
    #[serde(rename = "tenant_id")]
    Tenant,
    /// The feature of the product: column `feature`, `unknown` where it is empty.
    #[serde(rename = "feature")]
    Feature,
    /// The release that answered: column `release_id`, `unknown` where it is empty.
    #[serde(rename = "release_id")]
    Release,
    /// The model of the log, else the model in the release's record, else `unknown`.
    #[serde(rename = "model_ref")]
    Model,
    /// The prompt of the log, else the prompt in the release's record, else `unknown`.
    #[serde(rename = "prompt_ref")]
    Prompt,
}

impl By {
    /// All keys, in the order of a line.
    pub const ALL: [Self; 5] = [
        Self::Tenant,
        Self::Feature,
        Self::Release,
        Self::Model,
        Self::Prompt,
    ];

    /// Returns the name of the column.
    pub fn column(self) -> &'static str {
        match self {
            Self::Tenant => "tenant_id",
            Self::Feature => "feature",
            Self::Release => "release_id",
            Self::Model => "model_ref",
            Self::Prompt => "prompt_ref",
        }
    }

    /// Returns the key of a column. `None` for another column.
    pub fn from_column(column: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.column() == column)
    }
}

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
