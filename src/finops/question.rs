//! The question of a chargeback: what lines are by, what counts as a success, prices and budgets.

use serde::{Deserialize, Serialize};
use std::path::Path;

use crate::base::time::Micros;
use crate::finops::budget::Budget;
use crate::finops::clusters::Success;
use crate::finops::prices::Prices;
use crate::release::RecordIndex;

/// What lines are by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum By {
    /// The tenant.
    #[serde(rename = "tenant_id")]
    Tenant,
    /// The feature of the product.
    #[serde(rename = "feature")]
    Feature,
    /// The release that answered.
    #[serde(rename = "release_id")]
    Release,
    /// The model, by the log or by the release's record.
    #[serde(rename = "model_ref")]
    Model,
    /// The prompt, likewise.
    #[serde(rename = "prompt_ref")]
    Prompt,
}

impl By {
    /// All, in the order of a line.
    pub const ALL: [Self; 5] = [
        Self::Tenant,
        Self::Feature,
        Self::Release,
        Self::Model,
        Self::Prompt,
    ];

    /// The column.
    pub fn column(self) -> &'static str {
        match self {
            Self::Tenant => "tenant_id",
            Self::Feature => "feature",
            Self::Release => "release_id",
            Self::Model => "model_ref",
            Self::Prompt => "prompt_ref",
        }
    }

    /// The dimension of a column.
    pub fn from_column(column: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.column() == column)
    }
}

/// What to find out.
#[derive(Debug, Clone, Copy)]
pub struct ChargebackQuestion<'a> {
    /// What lines are by, in this order; each once.
    pub by: &'a [By],
    /// What counts as a success.
    pub success: Success,
    /// Rows before are left out.
    pub from: Option<Micros>,
    /// Rows from here on are left out.
    pub until: Option<Micros>,
    /// Where models and prompts come from that the log does not name.
    pub records: Option<&'a RecordIndex>,
    /// What tokens cost.
    pub prices: Option<&'a Prices>,
    /// What may be spent.
    pub budgets: &'a [Budget],
    /// Beside it lie files of what does not fit in memory.
    pub near: &'a Path,
}

/// Rows that no user saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// Rows.
    pub n_rows: u64,
    /// What they cost, as far as it is known.
    pub cost_nano_usd: i64,
    /// Rows whose cost nobody knows.
    pub n_cost_unknown: u64,
}
