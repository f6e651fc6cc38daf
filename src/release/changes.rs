//! Differences between two releases, dimension by dimension.

use serde::Serialize;

use crate::release::dimension::{DIMENSIONS, Dimension};
use crate::release::record::ReleaseRecord;
use crate::release::reference::ArtifactRef;

/// One dimension of two releases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordChange {
    /// Which.
    pub dimension: Dimension,
    /// In the baseline.
    pub from: Option<ArtifactRef>,
    /// In the candidate.
    pub to: Option<ArtifactRef>,
    /// Whether it is another artifact.
    pub changed: bool,
    /// Another content under the same reference: what the reference points to has moved.
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
