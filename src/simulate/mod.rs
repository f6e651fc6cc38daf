//! Simulation of ramps: worlds that a plan may meet, run many times under the plan's own policy.
//!
//! `model` prepares a plan in a world, `run` simulates one run window by window, and `forecast`
//! summarizes many runs. Single users are never drawn. The sums of a window's rows are drawn from
//! their distribution. Decisions come from [`crate::ramp::conclude`], on evidence of the same form
//! as that of a nightly analysis.

mod advice;
mod backtest;
mod baseline;
mod controller;
mod document;
mod draws;
mod estimates;
mod evidence;
mod forecast;
mod gates;
mod held;
mod lanes;
mod layer_run;
mod model;
mod optimize;
mod optimize_grid;
mod optimize_policy;
mod optimize_runs;
mod outcome;
mod run;
mod stream;
mod unfinished;
mod windows;

pub use advice::{BudgetVerdict, PlanLine, advice};
pub use backtest::{Backtest, BacktestDecision, BacktestLayer, backtest};
pub use baseline::Measured;
pub use document::{
    Candidate, Chance, Exceedance, Fan, Finalist, Finding, Forecast, FullBy, LayerForecast, LayerOptimum,
    LayerPolicyOptimum, Optimum, PlanForecast, PolicyOptimum, Quantity, Unfinished,
};
pub(crate) use forecast::ASSUMED;
pub use forecast::{TracedDecision, simulate, trace};
pub use optimize::optimize;
