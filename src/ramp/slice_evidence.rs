//! The evidence on slices: violations of guardrails in the values of declared columns.

use crate::analysis::{SliceCounts, SliceFinding, StageAnalysis, slice_counts, slice_findings};
use crate::metric::Metric;

/// The evidence on the slices of a layer's current stage.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SliceEvidence {
    /// The numbers of slices by what is known about them. All are 0 without slices.
    pub counts: SliceCounts,
    /// The violations, the worst first.
    pub violations: Vec<SliceFinding>,
}

impl SliceEvidence {
    /// Collects the evidence of the stage in force. `metrics` declare the units.
    pub fn from_stage(stage: &StageAnalysis, metrics: &[Metric]) -> Self {
        let mut violations = slice_findings(stage, metrics);
        violations.retain(SliceFinding::is_violated);
        Self {
            counts: slice_counts(stage),
            violations,
        }
    }
}
