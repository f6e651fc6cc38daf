//! Options of the layer stage.

use std::path::PathBuf;

use crate::base::time::Micros;
use crate::layer::{Audit, Period, Ties};
use crate::scenario::{GuardName, Guards};

/// Options of the layer stage.
#[derive(Debug, Clone)]
pub struct LayerOptions {
    /// The instant from which recency is measured, microseconds, UTC.
    pub as_of: Micros,
    /// Whether to prove that user ids are unique, and to compute digests of the inputs.
    pub audit: Audit,
    /// Layer table of the previous night. `None` for no comparison.
    pub previous: Option<PathBuf>,
    /// A further file for the changed users. `None` for no such file.
    pub changes: Option<PathBuf>,
    /// Whether to write the changed users only.
    pub changed_only: bool,
    /// The classic RFM summary to write, for users from events. `None` for no summary.
    pub rfm_table: Option<RfmTable>,
    /// Guards that the table must keep before it replaces another one, with those that are accepted.
    pub guards: Guards,
    /// The guards that may be beyond their limits.
    pub accepted: Vec<GuardName>,
}

/// An RFM summary to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RfmTable {
    /// The file: CSV if its name ends in `.csv`, else Parquet.
    pub path: PathBuf,
    /// The time unit in which purchases are counted.
    pub period: Period,
    /// The rule for the scores of users with equal values.
    pub ties: Ties,
}

impl LayerOptions {
    /// Options of a layering at an instant, without a previous night.
    pub fn at(as_of: Micros) -> Self {
        Self {
            as_of,
            audit: Audit::Auto,
            previous: None,
            changes: None,
            changed_only: false,
            rfm_table: None,
            guards: Guards::default(),
            accepted: Vec::new(),
        }
    }
}
