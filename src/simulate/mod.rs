//! Ramps before they happen: worlds that a plan may meet, run many times under the plan's own
//! policy.
//!
//! `model` makes a plan in a world ready to run, `run` lets windows pass, `forecast` counts what
//! became of the runs. Users are never drawn one by one: a window's rows are sums, drawn from the
//! laws of sums. Decisions are those of [`crate::ramp::conclude`], on evidence like that of a
//! night's analysis.

mod backtest;
mod controller;
mod document;
mod forecast;
mod model;
mod optimize;

mod run;

pub use backtest::{Backtest, BacktestDecision, BacktestLayer, backtest};
pub use document::{
    Candidate, Chance, Exceedance, Fan, Finalist, Finding, Forecast, FullBy, LayerForecast, LayerOptimum,
    Optimum, PlanForecast, Quantity,
};
pub use forecast::{TracedDecision, simulate, trace};
pub use model::Measured;
pub use optimize::optimize;
