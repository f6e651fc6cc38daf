//! From the cube to everything that can be said about a ramp: per tenant, layer and stage, with intervals.

mod calibrate;
mod document;
mod history;
mod infer;
mod off_policy;
mod sums;
mod what_if;

pub use calibrate::{Calibration, MetricCalibration, Rate, SplitCalibration, calibrate};
pub use document::{
    Analysis, ArmRows, BreakdownAnalysis, CombinedMetric, DataQuality, LatencyAnalysis, LayerAnalysis, MetricAnalysis, MetricArm, QosStage,
    ScoreProcess, SeriesPoint, StageAnalysis, UserCounts,
};
pub use history::Basis;
pub(crate) use history::{History, Stretch, is_known_in_time};
pub use infer::{Asked, analyze};
pub(crate) use infer::{check_plan, tuned_for};
pub use off_policy::{MetricValue, RatioValue, UserOverlap};
pub use what_if::{PairedEffect, WhatIf, WhatIfCube, WhatIfLayer, WhatIfMetric, WhatIfQos};
