//! Differences between two releases, dimension by dimension.

use serde::Serialize;

use crate::release::dimension::{DIMENSIONS, Dimension};
use crate::release::record::ReleaseRecord;
use crate::release::reference::ArtifactRef;

/// The comparison of one dimension of two releases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordChange {
    /// The dimension that is compared.
    pub dimension: Dimension,
    /// The reference in the baseline; `None` if the baseline has none.
    pub from: Option<ArtifactRef>,
    /// The reference in the candidate; `None` if the candidate has none.
    pub to: Option<ArtifactRef>,
    /// Whether the artifacts differ. True also if `moved` is true.
    pub changed: bool,
    /// Whether both records have the same reference but different digests, so the reference has
    /// moved.
    pub moved: bool,
}

/// Compares two records, dimension by dimension.
pub fn changes(baseline: &ReleaseRecord, candidate: &ReleaseRecord) -> [RecordChange; 4] {
    DIMENSIONS.map(|dimension| {
        let (from, to) = (baseline.artifact(dimension), candidate.artifact(dimension));
        let same = match (from, to) {
            (Some(from), Some(to)) => from.is_same(to),
            (None, None) => Some(true),
            _ => Some(false),
        };
        RecordChange {
            dimension,
            from: from.cloned(),
            to: to.cloned(),
            changed: same != Some(true),
            moved: same.is_none(),
        }
    })
}
