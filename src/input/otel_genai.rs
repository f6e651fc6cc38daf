//! Counters from the metrics of the OpenTelemetry convention for generative AI, as exporters to
//! Prometheus name them.
//!
//! The metrics are histograms of durations in seconds. Failed operations have the label
//! `error_type`. The result has the counters of the reference policy: turns, successes, durations,
//! tool calls. The other counters stay unknown.

use crate::base::error::{Error, Result};
use crate::base::time::SECOND;
use crate::input::prometheus_series::{Ask, Increases, Span, Warnings, layer_of, quoted};
use crate::scenario::{Arm, Plan, Scenario};

/// A histogram of durations, and the operations of it that count.
#[derive(Debug, Clone, Copy)]
struct Histogram {
    name: &'static str,
    /// Selector of the operations. Empty for all of them.
    operations: &'static str,
}

/// Histograms whose operations are turns, in the order in which they are tried. An agent that
/// answers once may make many requests to models, so invocations of agents come first. A workflow
/// contains invocations of agents, so it does not count beside them.
const TURNS: [Histogram; 3] = [
    Histogram {
        name: "gen_ai_invoke_agent_duration_seconds",
        operations: "gen_ai_operation_name!=\"invoke_workflow\"",
    },
    Histogram {
        name: "gen_ai_client_inference_duration_seconds",
        operations: "",
    },
    // The older name of the histogram above. It may also have embeddings and calls of tools.
    Histogram {
        name: "gen_ai_client_operation_duration_seconds",
        operations: "gen_ai_operation_name=~\"chat|generate_content|text_completion|\"",
    },
];

/// The histogram of tool calls.
const TOOLS: Histogram = Histogram {
    name: "gen_ai_execute_tool_duration_seconds",
    operations: "",
};

/// Labels that may hold the release, in the order in which they are tried.
const RELEASE_LABELS: [&str; 4] = [
    "release_id",
    "feature_flag_result_variant",
    "service_version",
    "gen_ai_agent_version",
];

/// Milliseconds in a second.
const MS: f64 = 1e3;

/// The shortest time, seconds, for which a series has to be absent to count as new.
const ABSENT_SECONDS: i64 = 3600;

impl Histogram {
    /// Returns the selector of a release's series.
    fn selector(&self, label: &str, release: &str) -> String {
        let release = format!("{label}={}", quoted(release));
        if self.operations.is_empty() {
            release
        } else {
            format!("{release},{}", self.operations)
        }
    }

    /// Returns a query that counts the series of a release.
    fn presence(&self, selector: &str, window_seconds: i64) -> String {
        format!(
            "count(last_over_time({}_count{{{selector}}}[{window_seconds}s]))",
            self.name
        )
    }

    /// Returns a query of increases, summed by `labels`. `part` is `count` or `sum`.
    ///
    /// `increase` does not see the first value of a series. A failure of a kind that never occurred
    /// before begins such a series. So the value of a new series is its increase, if its instance
    /// had the metric before: then the series began at 0.
    fn increases(&self, part: &str, labels: &str, selector: &str, window_seconds: i64) -> String {
        let (w, absent) = (window_seconds, window_seconds.max(ABSENT_SECONDS));
        let all = format!("{}_{part}", self.name);
        let own = format!("{all}{{{selector}}}");
        format!(
            "sum by ({labels}) (\
             (({own} unless last_over_time({own}[{absent}s] offset {w}s)) \
             and on (job, instance) last_over_time({all}[{w}s] offset {w}s)) \
             or increase({own}[{w}s]))"
        )
    }
}

/// The releases of a plan, by arm.
fn releases(plan: &Plan) -> [(Arm, &str); 2] {
    [
        (Arm::Baseline, plan.baseline.as_str()),
        (Arm::Candidate, plan.candidate.as_str()),
    ]
}

/// Reads the counters of a plan's releases. Returns them with a text that names the label and the
/// metrics. `label` holds the release; `None` tries [`RELEASE_LABELS`].
///
/// # Errors
/// The server refuses a query, or no series has a release of the plan.
pub(super) fn gather(
    url: &str,
    scenario: &Scenario,
    span: Span,
    label: Option<&str>,
    ask: &mut Ask<'_>,
    warnings: &mut Warnings,
) -> Result<(Increases, String)> {
    let plan = &scenario.plan;
    let labels = label.map_or_else(|| RELEASE_LABELS.to_vec(), |label| vec![label]);
    let Some(found) = find_label(plan, span, &labels, ask, warnings)? else {
        return Err(Error::input(
            url,
            format!(
                "expected series of {} whose label {} is \"{}\" or \"{}\", found none",
                [TURNS[0].name, TURNS[1].name, TURNS[2].name, TOOLS.name].join(", "),
                labels.join(", "),
                plan.baseline,
                plan.candidate
            ),
        )
        .hint("name the label that holds the release: --release-label LABEL"));
    };
    let label = found.label;
    let mut increases = Increases::new();
    for (arm, release) in releases(plan) {
        let mut reader = ArmReader {
            plan,
            span,
            arm,
            ask,
            warnings,
            increases: &mut increases,
        };
        if let Some(turns) = found.turns {
            let selector = turns.selector(label, release);
            reader.counts(turns, &selector, ["agent_chat_total", "agent_chat_success_count"])?;
            reader.durations(turns, &selector)?;
        }
        if found.has_tools {
            let selector = TOOLS.selector(label, release);
            reader.counts(
                &TOOLS,
                &selector,
                ["agent_tool_total", "agent_tool_success_count"],
            )?;
        }
    }
    let turns = found.turns.map_or("no metric", |turns| turns.name);
    let tools = if found.has_tools { TOOLS.name } else { "no metric" };
    let note = format!("releases are in the label {label}, turns in {turns}, tool calls in {tools}");
    Ok((increases, note))
}

/// A label that holds releases, and the histograms that have it.
struct Found<'a> {
    label: &'a str,
    /// The histogram of turns. `None` if no series of one has the label.
    turns: Option<&'static Histogram>,
    has_tools: bool,
}

/// Finds the first label that both releases have, else the first one that one of them has.
fn find_label<'a>(
    plan: &Plan,
    span: Span,
    labels: &[&'a str],
    ask: &mut Ask<'_>,
    warnings: &mut Warnings,
) -> Result<Option<Found<'a>>> {
    let mut of_one_arm = None;
    for label in labels.iter().copied() {
        let mut n_arms = |histogram: &Histogram| -> Result<usize> {
            let mut n = 0;
            for (_, release) in releases(plan) {
                let selector = histogram.selector(label, release);
                let query = histogram.presence(&selector, span.window / SECOND);
                let answer = ask(&query, warnings)?;
                n += usize::from(answer.iter().any(|series| series.points(span).next().is_some()));
            }
            Ok(n)
        };
        let mut turns = None;
        let mut most = 0;
        for histogram in &TURNS {
            let n = n_arms(histogram)?;
            if n > most {
                (turns, most) = (Some(histogram), n);
            }
            if n == 2 {
                break;
            }
        }
        let n_tools = n_arms(&TOOLS)?;
        let found = Found {
            label,
            turns,
            has_tools: n_tools > 0,
        };
        match most.max(n_tools) {
            0 => {}
            1 => of_one_arm = of_one_arm.or(Some(found)),
            _ => return Ok(Some(found)),
        }
    }
    Ok(of_one_arm)
}

/// Reads the counters of one arm.
struct ArmReader<'r, 'ask> {
    plan: &'r Plan,
    span: Span,
    arm: Arm,
    ask: &'r mut Ask<'ask>,
    warnings: &'r mut Warnings,
    increases: &'r mut Increases,
}

impl ArmReader<'_, '_> {
    /// Reads the number of operations, and the number of those without an error. Every operation is
    /// in one of both kinds of series. So a window with operations and without successes has 0
    /// successes. A value that is not known makes both numbers unknown.
    fn counts(&mut self, histogram: &Histogram, selector: &str, [all, ok]: [&'static str; 2]) -> Result<()> {
        let query = histogram.increases("count", "layer, error_type", selector, self.span.window / SECOND);
        for series in (self.ask)(&query, self.warnings)? {
            let Some(layer) = layer_of(self.plan, &series, self.warnings) else {
                continue;
            };
            let is_ok = series.label("error_type").is_empty();
            for (idx, value) in series.points(self.span) {
                self.add(layer, all, idx, value);
                // NaN stays NaN.
                self.add(layer, ok, idx, if is_ok { value } else { value * 0.0 });
            }
        }
        Ok(())
    }

    /// Reads the sum of durations in milliseconds, and the number of operations with one, which is
    /// the number of all operations.
    fn durations(&mut self, histogram: &Histogram, selector: &str) -> Result<()> {
        let query = histogram.increases("sum", "layer", selector, self.span.window / SECOND);
        for series in (self.ask)(&query, self.warnings)? {
            let Some(layer) = layer_of(self.plan, &series, self.warnings) else {
                continue;
            };
            for (idx, seconds) in series.points(self.span) {
                self.add(layer, "agent_chat_duration_sum", idx, seconds * MS);
            }
        }
        let copies: Vec<_> = self
            .increases
            .iter()
            .filter(|((_, arm, counter), _)| *arm == self.arm && *counter == "agent_chat_total")
            .map(|((layer, arm, _), slots)| ((*layer, *arm, "agent_chat_duration_count"), slots.clone()))
            .collect();
        self.increases.extend(copies);
        Ok(())
    }

    /// Adds a value to a window. A sum with NaN is NaN, which counts as unknown.
    fn add(&mut self, layer: usize, counter: &'static str, idx: usize, value: f64) {
        let slots = self
            .increases
            .entry((layer, self.arm, counter))
            .or_insert_with(|| vec![None; self.span.n]);
        slots[idx] = Some(slots[idx].unwrap_or(0.0) + value);
    }
}
