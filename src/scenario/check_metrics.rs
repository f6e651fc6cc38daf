//! Checks of `[[metric]]`, `[[guardrail]]` and `[analysis]`.

use crate::base::time::HOUR;
use crate::metric;
use crate::metric::{BadRateOf, Better, Metric, Sum, is_proportion};

use crate::scenario::checker::Checker;
use crate::scenario::plan::{BreakdownBy, CLUSTERS};
use crate::scenario::policy::{Action, Guardrail, GuardrailRule, LATENCY_P95};
use crate::scenario::raw_policy::{RawAnalysis, RawGuardrail, RawMetric};

impl Checker {
    pub(super) fn metrics(
        &mut self,
        raw: Vec<RawMetric>,
        bad_rate_of: BadRateOf,
        sensitive: &[String],
    ) -> Vec<Metric> {
        let mut metrics = metric::built_in(bad_rate_of);
        for (idx, raw) in raw.into_iter().enumerate() {
            let at = |key: &str| format!("metric[{}].{key}", idx + 1);
            let id = self.slug(&at("id"), raw.id);
            if metrics.iter().any(|m| m.id == id) || id == LATENCY_P95 {
                self.problem(
                    at("id"),
                    format!("expected an id that no other metric has, found \"{id}\""),
                );
            }
            let numerator = self.sum(&at("numerator"), raw.numerator, sensitive);
            let denominator = self.sum(&at("denominator"), raw.denominator, sensitive);
            if raw.delay_hours.is_some_and(|hours| hours.fract() != 0.0) {
                self.problem(at("delay_hours"), "expected whole hours, found a fraction");
            }
            metrics.push(Metric {
                id,
                proportion: raw.proportion.unwrap_or(false) || is_proportion(&numerator, &denominator),
                numerator,
                denominator,
                better: self.choice(&at("better"), raw.better.as_deref(), &Better::ALL),
                unit: raw.unit.unwrap_or_else(|| "per unit".into()),
                delay: self.duration(&at("delay_hours"), raw.delay_hours, 0.0, HOUR),
            });
        }
        metrics
    }

    fn sum(&mut self, location: &str, text: Option<String>, sensitive: &[String]) -> Sum {
        const EXPECTED: &str =
            "`rows`, `sum(column)`, `count(column)` or a test like `sum(latency_ms > 2000)`";
        let Some(text) = self.require(location, text, EXPECTED) else {
            return Sum::Rows;
        };
        let Some(sum) = Sum::parse(&text) else {
            self.problem(location, format!("expected {EXPECTED}, found \"{text}\""));
            return Sum::Rows;
        };
        if let Some(reading) = sum.reading() {
            self.refuse_sensitive(location, &reading.column, sensitive);
        }
        sum
    }

    pub(super) fn breakdowns(&mut self, raw: RawAnalysis, sensitive: &[String]) -> Vec<BreakdownBy> {
        let is_user = self.choice("analysis.clusters", raw.clusters.as_deref(), &CLUSTERS);
        let mut breakdowns: Vec<BreakdownBy> = is_user.then_some(BreakdownBy::User).into_iter().collect();
        for (idx, column) in raw.breakdowns.into_iter().enumerate() {
            let location = format!("analysis.breakdowns[{}]", idx + 1);
            self.refuse_sensitive(&location, &column, sensitive);
            let by = BreakdownBy::Column(column.clone());
            if column.trim().is_empty() || breakdowns.contains(&by) {
                self.problem(
                    location,
                    format!("expected columns of the traffic, each once, found \"{column}\""),
                );
            } else {
                breakdowns.push(by);
            }
        }
        breakdowns
    }

    pub(super) fn guardrails(
        &mut self,
        raw: Option<Vec<RawGuardrail>>,
        metrics: &[Metric],
    ) -> Vec<Guardrail> {
        let Some(raw) = raw else {
            return default_guardrails();
        };
        let mut guardrails: Vec<Guardrail> = Vec::new();
        for (idx, raw) in raw.into_iter().enumerate() {
            let at = |key: &str| format!("guardrail[{}].{key}", idx + 1);
            let Some(metric) = self.require(&at("metric"), raw.metric, "a metric's id") else {
                continue;
            };
            if metric != LATENCY_P95 && !metrics.iter().any(|m| m.id == metric) {
                let ids: Vec<&str> = metrics
                    .iter()
                    .map(|m| m.id.as_str())
                    .chain([LATENCY_P95])
                    .collect();
                self.problem(
                    at("metric"),
                    format!("expected one of {}, found \"{metric}\"", ids.join(", ")),
                );
            }
            if guardrails.iter().any(|g| g.metric == metric) {
                self.problem(
                    at("metric"),
                    format!("expected one guardrail a metric, found \"{metric}\" twice"),
                );
            }
            let rule = match (raw.margin, raw.relative_margin, raw.max_count) {
                (Some(margin), None, None) => {
                    GuardrailRule::Margin(self.number(&at("margin"), Some(margin), 0.0, 1e-12, 1e12))
                }
                (None, Some(margin), None) => GuardrailRule::RelativeMargin(self.number(
                    &at("relative_margin"),
                    Some(margin),
                    0.0,
                    1e-12,
                    1e6,
                )),
                (None, None, Some(count)) => GuardrailRule::MaxCount(count),
                _ => {
                    self.problem(
                        at("margin"),
                        "expected exactly one of `margin`, `relative_margin`, `max_count`, found none or several",
                    );
                    continue;
                }
            };
            if matches!(rule, GuardrailRule::MaxCount(_))
                && metrics
                    .iter()
                    .any(|m| m.id == metric && m.better == Better::Higher)
            {
                self.problem(
                    at("max_count"),
                    format!(
                        "expected a metric of which less is better, found \"{metric}\": its events are good"
                    ),
                );
            }
            if metric == LATENCY_P95 && matches!(rule, GuardrailRule::MaxCount(_)) {
                self.problem(
                    at("max_count"),
                    "expected a margin for a percentile, found a count",
                );
            }
            if raw.min_margin.is_some() && !matches!(rule, GuardrailRule::RelativeMargin(_)) {
                self.problem(
                    at("min_margin"),
                    "expected `relative_margin` beside it, found another rule",
                );
            }
            guardrails.push(Guardrail {
                metric,
                rule,
                min_margin: raw
                    .min_margin
                    .map(|least| self.number(&at("min_margin"), Some(least), 0.0, 1e-12, 1e12)),
                limit: raw
                    .limit
                    .map(|limit| self.number(&at("limit"), Some(limit), 0.0, -1e15, 1e15)),
                action: self.choice(&at("action"), raw.action.as_deref(), &Action::ALL),
            });
        }
        guardrails
    }
}

/// The guardrails of a scenario that names none.
fn default_guardrails() -> Vec<Guardrail> {
    let guardrail = |metric: &str, rule| Guardrail {
        metric: metric.into(),
        rule,
        min_margin: None,
        limit: None,
        action: Action::Rollback,
    };
    vec![
        guardrail("availability", GuardrailRule::Margin(0.005)),
        guardrail("task_completion_rate", GuardrailRule::Margin(0.02)),
        guardrail("complaint_rate", GuardrailRule::Margin(0.001)),
        guardrail("incident_rate", GuardrailRule::MaxCount(0)),
        guardrail(LATENCY_P95, GuardrailRule::RelativeMargin(0.2)),
    ]
}
