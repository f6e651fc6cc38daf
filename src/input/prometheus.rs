//! Counters from a Prometheus server, by its HTTP API `query_range`.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::digest::PartsDigest;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::{Limit, first_findings};
use crate::base::time::{Micros, SECOND};
use crate::input::counters::{CounterWindows, counters};
use crate::input::file::SourceFile;
use crate::scenario::{Arm, Scenario};

/// The largest number of points per series that a server returns.
const MAX_POINTS: i64 = 11_000;
const TIMEOUT: Duration = Duration::from_secs(60);
/// The largest number of characters that a message shows of a text of the server.
const MAX_SHOWN: usize = 300;

/// A Prometheus server with its credentials.
pub struct Prometheus {
    /// The address without credentials.
    url: String,
    authorization: Option<String>,
    agent: ureq::Agent,
}

/// Different warnings, of which a limited number is kept.
#[derive(Default)]
struct Warnings {
    texts: BTreeSet<String>,
    n_more: usize,
}

impl Warnings {
    fn push(&mut self, text: impl FnOnce() -> String) {
        if self.texts.len() < Limit::Findings.size() {
            self.texts.insert(text());
        } else {
            self.n_more += 1;
        }
    }

    fn finish(self) -> Vec<String> {
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

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    /// Time in epoch seconds, and the value as text.
    values: Vec<(f64, String)>,
}

impl Prometheus {
    /// Prepares requests to a server, without a connection. User and password come from the address
    /// or from PROMETHEUS_USERNAME and PROMETHEUS_PASSWORD, a token from PROMETHEUS_TOKEN.
    ///
    /// # Errors
    /// The address is not an HTTP address. The error does not show it, because it may contain a
    /// password.
    pub fn new(address: &str) -> Result<Self> {
        let wrong = || {
            Error::usage(
                "expected an address of a Prometheus server such as http://localhost:9090, found another",
            )
        };
        let (scheme, rest) = address.split_once("://").ok_or_else(wrong)?;
        if !matches!(scheme, "http" | "https") || rest.contains(['?', '#']) {
            return Err(wrong());
        }
        let (credentials, rest) = rest
            .rsplit_once('@')
            .map_or((None, rest), |(credentials, rest)| (Some(credentials), rest));
        let env = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let credentials = match credentials {
            Some(text) => {
                let (user, password) = text.split_once(':').unwrap_or((text, ""));
                let decoded = |text: &str| crate::base::url::percent_decoded(text).ok_or_else(wrong);
                Some((decoded(user)?, decoded(password)?))
            }
            None => {
                env("PROMETHEUS_USERNAME").map(|user| (user, env("PROMETHEUS_PASSWORD").unwrap_or_default()))
            }
        };
        let basic = credentials.map(|(user, password)| {
            use base64::{Engine, engine::general_purpose::STANDARD};
            format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
        });
        let authorization = basic.or_else(|| env("PROMETHEUS_TOKEN").map(|token| format!("Bearer {token}")));
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            // A redirect must not pass the credentials to another server.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build()
            .into();
        Ok(Self {
            url: format!("{scheme}://{}", rest.trim_end_matches('/')),
            authorization,
            agent,
        })
    }

    /// Returns the server's address without credentials.
    pub fn place(&self) -> &str {
        &self.url
    }

    /// Reads the increases of every counter in windows from the plan's start to `as_of`. `window`
    /// is their length in microseconds, a whole number of seconds. The label `layer` is a layer's
    /// id or name, the label `version` is a release id. Series are summed over all other labels.
    ///
    /// # Errors
    /// The window's length is not allowed, there are too many windows, or the server cannot be
    /// reached or refuses the request.
    pub fn windows(&self, scenario: &Scenario, window: Micros) -> Result<CounterWindows> {
        gather(&self.url, scenario, window, |query, start, end| {
            self.ask(query, start, end, window)
        })
    }

    fn failed(&self, found: &str) -> Error {
        failed(&self.url, found)
    }

    fn ask(&self, query: &str, start: Micros, end: Micros, step: Micros) -> Result<String> {
        let seconds = |instant: Micros| (instant as f64 / SECOND as f64).to_string();
        let mut request = self
            .agent
            .get(format!("{}/api/v1/query_range", self.url))
            .query("query", query)
            .query("start", seconds(start))
            .query("end", seconds(end))
            .query("step", seconds(step));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let mut response = request.call().map_err(|error| self.failed(&error.to_string()))?;
        let status = response.status();
        let text = response
            .body_mut()
            .with_config()
            .limit(Limit::Answer.value())
            .read_to_string()
            .map_err(|error| match error {
                ureq::Error::BodyExceedsLimit(n) => Error::new(
                    ErrorKind::Target,
                    Limit::Answer.problem(&self.url, n.saturating_add(1)),
                ),
                error => self.failed(&error.to_string()),
            })?;
        // Refused requests return JSON with a reason, so only other bodies fail here.
        if !status.is_success() && !text.starts_with('{') {
            return Err(self.failed(&format!("status {status}")));
        }
        Ok(text)
    }
}

/// Builds [`CounterWindows`] from the answers of the server at `url`. `ask` gets a query with the
/// ends of the first and of the last window, microseconds UTC, and returns the answer's text.
pub(crate) fn gather(
    url: &str,
    scenario: &Scenario,
    window: Micros,
    mut ask: impl FnMut(&str, Micros, Micros) -> Result<String>,
) -> Result<CounterWindows> {
    let plan = &scenario.plan;
    let n_windows = (scenario.as_of - plan.start) / window.max(1);
    if window < SECOND || window % SECOND != 0 || !(1..=MAX_POINTS).contains(&n_windows) {
        return Err(Error::usage(format!(
            "expected windows of whole seconds, from 1 to {MAX_POINTS} of them between the plan's start and its instant, found {n_windows}"
        ))
        .hint("choose another --window"));
    }
    let (start, end) = (plan.start + window, plan.start + n_windows * window);
    let mut series = BTreeMap::new();
    let mut digest = PartsDigest::default();
    let mut warnings = Warnings::default();
    for counter in counters() {
        for (arm, release) in [(Arm::Baseline, &plan.baseline), (Arm::Candidate, &plan.candidate)] {
            // Label values are quoted as in Go. JSON strings are valid there.
            let release = serde_json::Value::from(release.as_str());
            let query = format!(
                "sum by (layer) (increase({counter}{{version={release}}}[{}s]))",
                window / SECOND
            );
            let text = ask(&query, start, end)?;
            for found in series_of(url, &text, &mut warnings)? {
                let label = found.metric.get("layer").map_or("", String::as_str);
                let Some(layer) = plan
                    .layers
                    .iter()
                    .position(|layer| layer.id == label || layer.name == label)
                else {
                    let label: String = label.chars().take(MAX_SHOWN).collect();
                    warnings.push(|| format!("left out: layer {label:?}, which the plan does not have"));
                    continue;
                };
                let slots: &mut Vec<Option<f64>> = series
                    .entry((layer, arm, counter))
                    .or_insert_with(|| vec![None; n_windows as usize]);
                found.add_to(slots, start, window);
            }
            digest.push(text.as_bytes());
        }
    }
    Ok(CounterWindows {
        start: plan.start,
        window,
        series,
        source: SourceFile {
            name: url.to_owned(),
            digest: digest.finish(),
        },
        warnings: warnings.finish(),
    })
}

impl Series {
    /// Adds the points to windows. `start` is the end of the first window, microseconds UTC.
    fn add_to(&self, slots: &mut [Option<f64>], start: Micros, window: Micros) {
        for (at, value) in &self.values {
            // A point belongs to the window whose end is nearest: servers round times to
            // milliseconds. NaN and infinity stand for values that the server does not know.
            let at = (at * SECOND as f64).round() as Micros;
            let idx = at.saturating_sub(start - window / 2).div_euclid(window);
            let value = value.parse::<f64>().ok().filter(|value| value.is_finite());
            if let (Some(slot), Some(value)) = (
                usize::try_from(idx).ok().and_then(|idx| slots.get_mut(idx)),
                value,
            ) {
                // A layer's id and its name may both occur as labels, so the values are added.
                *slot = Some(slot.unwrap_or(0.0) + value);
            }
        }
    }
}

fn failed(url: &str, found: &str) -> Error {
    let found: String = found
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_SHOWN)
        .collect();
    Error::target(url, format!("expected an answer of Prometheus, found: {found}"))
        .hint("check the address; user and password come from it or from PROMETHEUS_USERNAME and PROMETHEUS_PASSWORD")
}

fn series_of(url: &str, text: &str, warnings: &mut Warnings) -> Result<Vec<Series>> {
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
                let mut slots = vec![None; 3];
                found.add_to(&mut slots, 100 * SECOND + shift, 10 * SECOND);
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
