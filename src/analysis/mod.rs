//! Computes the results of a ramp from the cube: per tenant, layer and stage, with intervals.

mod calibrate;
pub(crate) mod counters;
pub(crate) mod document;
mod history;
pub(crate) mod infer;
pub(crate) mod interval_specs;
mod looks;
mod off_policy;
mod own_past;
mod slices;
mod slices_text;
mod span;
mod sums;
mod what_if;

pub use crate::input::counters::{CounterProfile, CounterRequest, CounterWindows, RATE_COUNTERS, counters};
pub use calibrate::{Calibration, MetricCalibration, Rate, SplitCalibration, calibrate};
pub use counters::analyze_counters;
pub use document::{
    Analysis, ArmRows, BreakdownAnalysis, CombinedMetric, DataQuality, LatencyAnalysis, LayerAnalysis,
    MetricAnalysis, MetricArm, MetricLimits, OwnPastFinding, QosStage, ScoreProcess, SeriesPoint,
    StageAnalysis, UserCounts,
};
pub use document::{MetricValue, RatioValue, UserOverlap};
pub use history::Basis;
pub(crate) use history::{AccumulationWindow, History, StageThen, is_known_in_time};
pub use infer::{AnalysisOptions, analyze};
pub(crate) use infer::{check_plan, gate_designs};
pub(crate) use interval_specs::tuned_for;
pub use slices::{SliceCounts, SliceFinding, slice_counts, slice_findings, slices_of};
pub use what_if::{PairedEffect, WhatIf, WhatIfCube, WhatIfLayer, WhatIfMetric, WhatIfQos};
