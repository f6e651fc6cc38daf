//! What the tasks of a replay must know: facts of the driver, and parts of the inputs.

use serde::{Deserialize, Serialize};

use crate::base::time::Micros;
use crate::replay::limits::QuantileLimits;

/// The rows of a file that still must be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// An earlier scan of the same file counted the rows before this instant, in microseconds UTC.
    /// `None` if no row was counted.
    pub counted_until: Option<Micros>,
}

/// What every task of a replay must know, beside the scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The seed of the hashes of user ids.
    pub(super) seed: u64,
    /// The tenants, in order of first appearance.
    pub(super) tenants: Vec<String>,
    /// The digest of the layer table.
    pub(super) layers_digest: String,
    /// Whether the log has each measured column.
    pub(super) present: Vec<bool>,
    /// Limits of values at a quantile.
    pub(super) limits: Vec<QuantileLimits>,
    /// Number of partitions of users, 1..=10,000.
    pub(super) n_partitions: u32,
}

impl Facts {
    /// The number of partitions of users.
    pub fn n_partitions(&self) -> u32 {
        self.n_partitions
    }
}

/// A part of the inputs that one task reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A row group of the layer table.
    Users {
        /// Index of the row group.
        part: usize,
    },
    /// A part of the log.
    Turns {
        /// Index of the part in the list of all parts of the scan.
        idx: usize,
        /// Index of the source of the log.
        reader: usize,
        /// Index of the part in its source.
        part: usize,
        /// The rows that still must be counted.
        since: Since,
    },
}
