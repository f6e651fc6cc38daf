//! Answers of a Prometheus server: their series, the layers of these, and warnings.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

use crate::base::error::{Error, Result};
use crate::base::limits::{Limit, first_findings};
use crate::base::time::{Micros, SECOND};
use crate::scenario::{Arm, Plan};

/// The largest number of characters that a message shows of a text of the server.
const MAX_SHOWN: usize = 300;

/// The windows of time that a server is asked about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// End of the first window, microseconds, UTC.
    pub(super) start: Micros,
    /// End of the last window, microseconds, UTC.
    pub(super) end: Micros,
    /// Length of a window, microseconds.
    pub(super) window: Micros,
    /// Number of windows.
    pub(super) n: usize,
}

/// Increases of counters by layer index, arm and counter, one per window. `None` for an increase
/// that is not known.
pub(super) type Increases = BTreeMap<(usize, Arm, &'static str), Vec<Option<f64>>>;

/// Asks a server one query over the windows, and returns the series of its answer.
pub(super) type Ask<'a> = dyn FnMut(&str, &mut Warnings) -> Result<Vec<Series>> + 'a;

/// Returns a text of a label as PromQL quotes it. Label values are quoted as in Go. JSON strings are
/// valid there.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Returns the layer that the label `layer` of a series names: by its id or its name. Without one, a
/// warning says so.
pub(super) fn layer_of(plan: &Plan, series: &Series, warnings: &mut Warnings) -> Option<usize> {
    let label = series.label("layer");
    let found = plan
        .layers
        .iter()
        .position(|layer| layer.id == label || layer.name.en == label || layer.name.zh == label);
    if found.is_none() {
        let label: String = label.chars().take(MAX_SHOWN).collect();
        warnings.push(|| format!("left out: layer {label:?}, which the plan does not have"));
    }
    found
}

/// Different warnings, of which a limited number is kept.
#[derive(Default)]
pub(super) struct Warnings {
    texts: BTreeSet<String>,
    n_more: usize,
}

impl Warnings {
    pub(super) fn push(&mut self, text: impl FnOnce() -> String) {
        if self.texts.len() < Limit::Findings.size() {
            self.texts.insert(text());
        } else {
            self.n_more += 1;
        }
    }

    pub(super) fn finish(self) -> Vec<String> {
        first_findings(
            self.texts.into_iter().collect(),
            self.n_more,
            "warnings about series",
        )
    }
}

/// An answer of the server.
#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    error: String,
    data: Option<Data>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    result_type: String,
    result: Vec<Series>,
}

/// A series of an answer.
#[derive(Deserialize)]
pub(super) struct Series {
    metric: BTreeMap<String, String>,
    /// Time in epoch seconds, and the value as text.
    values: Vec<(f64, String)>,
}

impl Series {
    /// Returns the value of a label. Empty for a label that the series does not have.
    pub(super) fn label(&self, name: &str) -> &str {
        self.metric.get(name).map_or("", String::as_str)
    }

    /// Returns the points with their windows' positions. A point belongs to the window whose end is
    /// nearest: servers round times to milliseconds. Points of no window are left out. A value that
    /// is no number is NaN.
    pub(super) fn points(&self, span: Span) -> impl Iterator<Item = (usize, f64)> {
        self.values.iter().filter_map(move |(at, value)| {
            let at = (at * SECOND as f64).round() as Micros;
            let idx = at
                .saturating_sub(span.start - span.window / 2)
                .div_euclid(span.window);
            let idx = usize::try_from(idx).ok().filter(|idx| *idx < span.n)?;
            Some((idx, value.parse().unwrap_or(f64::NAN)))
        })
    }

    /// Adds the points to windows.
    pub(super) fn add_to(&self, slots: &mut [Option<f64>], span: Span) {
        for (idx, value) in self.points(span) {
            // NaN and infinity stand for values that the server does not know.
            if value.is_finite() {
                // A layer's id and its name may both occur as labels, so the values are added.
                slots[idx] = Some(slots[idx].unwrap_or(0.0) + value);
            }
        }
    }
}

/// The error for an answer that is none.
pub(super) fn failed(url: &str, found: &str) -> Error {
    let found: String = found
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_SHOWN)
        .collect();
    Error::target(url, format!("expected an answer of Prometheus, found: {found}"))
        .hint("check the address; user and password come from it or from PROMETHEUS_USERNAME and PROMETHEUS_PASSWORD")
}

/// Reads the series of an answer.
///
/// # Errors
/// The text is no answer with series.
pub(super) fn series_of(url: &str, text: &str, warnings: &mut Warnings) -> Result<Vec<Series>> {
    let answer: Answer = serde_json::from_str(text).map_err(|error| failed(url, &error.to_string()))?;
    for warning in &answer.warnings {
        let warning: String = warning.chars().take(MAX_SHOWN).collect();
        warnings.push(|| format!("the server says: {warning}"));
    }
    match answer.data {
        Some(data) if answer.status == "success" && data.result_type == "matrix" => Ok(data.result),
        _ => Err(failed(
            url,
            if answer.error.is_empty() {
                "no series"
            } else {
                &answer.error
            },
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_belongs_to_the_window_whose_end_is_nearest() {
        // Three windows of 10 seconds; the first ends at second 100, or half a millisecond later.
        let check = |at: f64, expected: Option<usize>| {
            for shift in [0, 500] {
                let found = Series {
                    metric: BTreeMap::new(),
                    values: vec![(at, "2".into())],
                };
                let span = Span {
                    start: 100 * SECOND + shift,
                    end: 120 * SECOND + shift,
                    window: 10 * SECOND,
                    n: 3,
                };
                let mut slots = vec![None; 3];
                found.add_to(&mut slots, span);
                let idx = slots.iter().position(Option::is_some);
                assert_eq!(idx, expected, "{at} {shift}");
            }
        };
        check(100.0, Some(0));
        check(110.0, Some(1));
        check(120.0, Some(2));
        check(90.0, None);
        check(130.0, None);
        for at in [f64::MIN, -1e300, -1e13, 0.0, 1e13, 1e300, f64::MAX] {
            check(at, None);
        }
    }
}
