//! Counters of releases in windows of time, as a metrics server records them.

use std::collections::BTreeMap;

use crate::base::time::Micros;
use crate::input::file::SourceFile;
use crate::metric::RATE_METRICS;
use crate::scenario::{Arm, Scenario, Stage};

/// The counters of each of [`RATE_METRICS`]: numerator and denominator. Durations are in
/// milliseconds.
pub const RATE_COUNTERS: [[&str; 2]; 6] = [
    ["agent_chat_bad_count", "agent_chat_total"],
    ["agent_chat_success_count", "agent_chat_total"],
    ["agent_chat_duration_sum", "agent_chat_duration_count"],
    ["agent_tool_success_count", "agent_tool_total"],
    ["agent_task_completed_count", "agent_task_total"],
    ["agent_complaint_count", "agent_chat_total"],
];

/// The mean latency, the only rate that is not a share.
pub(crate) const LATENCY: &str = "latency_mean_ms";

/// Returns the names of all counters, each once.
pub fn counters() -> Vec<&'static str> {
    let mut names: Vec<&str> = RATE_COUNTERS.into_iter().flatten().collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Numerator and denominator of a rate in each window. `None` if one of them is not known.
pub(crate) type Windows = Vec<Option<(f64, f64)>>;

/// The names under which a metrics server has the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CounterProfile {
    /// The counters of the reference policy (`docs/REFERENCE_POLICY.md`).
    #[default]
    Reference,
    /// The metrics of the OpenTelemetry convention for generative AI, as exporters to Prometheus
    /// name them.
    OtelGenai,
}

/// A request for counters.
#[derive(Debug, Clone, Copy)]
pub struct CounterRequest<'a> {
    /// The scenario, whose plan names releases, layers and the start.
    pub scenario: &'a Scenario,
    /// Length of a window, microseconds, a whole number of seconds.
    pub window: Micros,
    /// The names of the counters.
    pub profile: CounterProfile,
    /// The label that holds the release. `None` for the label of the profile: `version`, or the
    /// first of several labels of OpenTelemetry that holds a release of the plan.
    pub release_label: Option<&'a str>,
}

/// Increases of counters in windows of time.
#[derive(Debug, Clone, PartialEq)]
pub struct CounterWindows {
    /// First instant, microseconds, UTC.
    pub start: Micros,
    /// Length of a window, microseconds.
    pub window: Micros,
    /// Increases by layer index, arm and counter of the reference policy, one per window. `None` for
    /// an increase that is not known.
    pub series: BTreeMap<(usize, Arm, &'static str), Vec<Option<f64>>>,
    /// The source's address without credentials, and its digest.
    pub source: SourceFile,
    /// The metrics and the label that were chosen. `None` if there was no choice.
    pub note: Option<String>,
    /// Series that were left out, and warnings of the server.
    pub warnings: Vec<String>,
}

impl CounterWindows {
    /// Returns numerator and denominator of a rate in the windows that lie within a stage. `None`
    /// for windows in which one of them is not known.
    pub(crate) fn rate(&self, layer: usize, arm: Arm, rate: usize, stage: &Stage) -> Windows {
        let of = |counter: &'static str| {
            self.series
                .get(&(layer, arm, counter))
                .map(Vec::as_slice)
                .unwrap_or_default()
        };
        let [numerator, denominator] = RATE_COUNTERS[rate].map(of);
        let is_of_stage = |idx: &usize| {
            let start = self.start + *idx as Micros * self.window;
            start >= stage.start && start + self.window <= stage.end
        };
        let pair = |idx: usize| {
            let (numerator, denominator) = (numerator.get(idx).copied()??, denominator.get(idx).copied()??);
            let is_known =
                numerator.is_finite() && denominator.is_finite() && numerator >= 0.0 && denominator > 0.0;
            // A share far above 1 means that the counters do not belong together. A small excess is
            // an artifact of extrapolation to the window's ends.
            let is_share = RATE_METRICS[rate] != LATENCY;
            let fits = !is_share || numerator <= 1.01 * denominator;
            (is_known && fits).then_some((
                if is_share {
                    numerator.min(denominator)
                } else {
                    numerator
                },
                denominator,
            ))
        };
        (0..numerator.len().max(denominator.len()))
            .filter(is_of_stage)
            .map(pair)
            .collect()
    }
}
