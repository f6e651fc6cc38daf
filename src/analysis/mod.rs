//! From the cube to everything that can be said about a ramp: per tenant, layer and stage, with intervals.

mod calibrate;
mod counters;
mod document;
mod history;
mod infer;
mod levels;
mod off_policy;
mod sums;
mod what_if;

pub use calibrate::{Calibration, MetricCalibration, Rate, SplitCalibration, calibrate};
pub use counters::{CounterWindows, RATE_COUNTERS, analyze_counters, counters};
pub use document::{
    Analysis, ArmRows, BreakdownAnalysis, CombinedMetric, DataQuality, LatencyAnalysis, LayerAnalysis,
    MetricAnalysis, MetricArm, QosStage, ScoreProcess, SeriesPoint, StageAnalysis, UserCounts,
};
pub use history::Basis;
pub(crate) use history::{History, Stretch, is_known_in_time};
pub(crate) use infer::check_plan;
pub use infer::{Asked, analyze};
pub(crate) use levels::tuned_for;
pub use off_policy::{MetricValue, RatioValue, UserOverlap};
pub use what_if::{PairedEffect, WhatIf, WhatIfCube, WhatIfLayer, WhatIfMetric, WhatIfQos};
