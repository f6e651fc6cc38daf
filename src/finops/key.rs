//! The keys of the bill's lines.

use serde::{Deserialize, Serialize};

use crate::input::DEFAULT_TENANT;
use crate::release::UNKNOWN;

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

    /// Returns the word for rows without a value of the key.
    pub fn without_value(self) -> &'static str {
        match self {
            Self::Tenant => DEFAULT_TENANT,
            _ => UNKNOWN,
        }
    }

    /// Returns the key of a column. `None` for another column.
    pub fn from_column(column: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.column() == column)
    }
}
