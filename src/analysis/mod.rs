//! From the cube to everything that can be said about a ramp: per tenant, layer and stage, with intervals.

mod document;
mod infer;
mod sums;

pub use document::{
    Analysis, ArmRows, CombinedMetric, DataQuality, LatencyAnalysis, LayerAnalysis, MetricAnalysis, MetricArm, QosStage, SeriesPoint,
    StageAnalysis, UserCounts,
};
pub use infer::analyze;
