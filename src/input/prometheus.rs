//! Counters from a Prometheus server, by its HTTP API `query_range`.

use std::time::Duration;

use crate::base::digest::PartsDigest;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Limit;
use crate::base::time::{Micros, SECOND};
use crate::input::counters::{CounterProfile, CounterRequest, CounterWindows, counters};
use crate::input::file::SourceFile;
use crate::input::otel_genai;
use crate::input::prometheus_series::{Ask, Increases, Span, Warnings, failed, layer_of, quoted, series_of};
use crate::scenario::{Arm, Scenario};

/// The largest number of points per series that a server returns.
const MAX_POINTS: i64 = 11_000;
const TIMEOUT: Duration = Duration::from_secs(60);

/// A Prometheus server with its credentials.
pub struct Prometheus {
    /// The address without credentials.
    url: String,
    authorization: Option<String>,
    agent: ureq::Agent,
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

    /// Reads the increases of every counter in windows from the plan's start to `as_of`. The label
    /// `layer` is a layer's id or name. Series are summed over all other labels.
    ///
    /// # Errors
    /// The window's length is not allowed, there are too many windows, no label holds the plan's
    /// releases, or the server cannot be reached or refuses the request.
    pub fn windows(&self, request: &CounterRequest<'_>) -> Result<CounterWindows> {
        gather(&self.url, request, |query, start, end| {
            self.ask(query, start, end, request.window)
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
    request: &CounterRequest<'_>,
    mut ask: impl FnMut(&str, Micros, Micros) -> Result<String>,
) -> Result<CounterWindows> {
    let (scenario, window) = (request.scenario, request.window);
    let plan = &scenario.plan;
    let n_windows = (scenario.as_of - plan.start) / window.max(1);
    if window < SECOND || window % SECOND != 0 || !(1..=MAX_POINTS).contains(&n_windows) {
        return Err(Error::usage(format!(
            "expected windows of whole seconds, from 1 to {MAX_POINTS} of them between the plan's start and its instant, found {n_windows}"
        ))
        .hint("choose another --window"));
    }
    let span = Span {
        start: plan.start + window,
        end: plan.start + n_windows * window,
        window,
        n: n_windows as usize,
    };
    let mut digest = PartsDigest::default();
    let mut warnings = Warnings::default();
    let mut answers = |query: &str, warnings: &mut Warnings| {
        let text = ask(query, span.start, span.end)?;
        digest.push(text.as_bytes());
        series_of(url, &text, warnings)
    };
    let (series, note) = match request.profile {
        CounterProfile::Reference => {
            let label = request.release_label.unwrap_or("version");
            (
                reference(scenario, span, label, &mut answers, &mut warnings)?,
                None,
            )
        }
        CounterProfile::OtelGenai => {
            let found = otel_genai::gather(
                url,
                scenario,
                span,
                request.release_label,
                &mut answers,
                &mut warnings,
            )?;
            (found.0, Some(found.1))
        }
    };
    Ok(CounterWindows {
        start: plan.start,
        window,
        series,
        source: SourceFile {
            name: url.to_owned(),
            digest: digest.finish(),
        },
        note,
        warnings: warnings.finish(),
    })
}

/// Reads the counters of the reference policy. `label` holds the release.
fn reference(
    scenario: &Scenario,
    span: Span,
    label: &str,
    ask: &mut Ask<'_>,
    warnings: &mut Warnings,
) -> Result<Increases> {
    let plan = &scenario.plan;
    let mut increases = Increases::new();
    for counter in counters() {
        for (arm, release) in [(Arm::Baseline, &plan.baseline), (Arm::Candidate, &plan.candidate)] {
            let query = format!(
                "sum by (layer) (increase({counter}{{{label}={}}}[{}s]))",
                quoted(release),
                span.window / SECOND
            );
            for found in ask(&query, warnings)? {
                let Some(layer) = layer_of(plan, &found, warnings) else {
                    continue;
                };
                let slots = increases
                    .entry((layer, arm, counter))
                    .or_insert_with(|| vec![None; span.n]);
                found.add_to(slots, span);
            }
        }
    }
    Ok(increases)
}
