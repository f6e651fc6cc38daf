//! Checks of `[[metric]]`, `[[guardrail]]` and `[analysis]`.

use std::collections::BTreeMap;

use crate::base::time::HOUR;
use crate::metric;
use crate::metric::{BadRateOf, Better, ColumnKind, Limits, Metric, Reading, Sum, is_proportion};

use crate::scenario::checker::Checker;
use crate::scenario::plan::{BreakdownBy, CLUSTERS, Measure};
use crate::scenario::policy::{Action, Guardrail, GuardrailRule, LATENCY_P95};
use crate::scenario::raw_policy::{RawAnalysis, RawGuardrail, RawMetric};

impl Checker {
    pub(super) fn metrics(&mut self, raw: Vec<RawMetric>, bad_rate_of: BadRateOf) -> Vec<Metric> {
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
            let numerator = self.sum(&at("numerator"), raw.numerator);
            let numerator = self.limited(&at, numerator, [raw.floor, raw.cap], raw.winsorize);
            let denominator = self.sum(&at("denominator"), raw.denominator);
            if raw.delay_hours.is_some_and(|hours| hours.fract() != 0.0) {
                self.problem(at("delay_hours"), "expected whole hours, found a fraction");
            }
            if raw.proportion == Some(true) && numerator.reading().is_some_and(|r| r.limits.is_some()) {
                self.problem(
                    at("proportion"),
                    "expected no limits of values for a share of rows, found `cap`, `floor` or `winsorize`",
                );
            }
            let name = raw.name.and_then(|name| self.display_name(&at("name"), name));
            metrics.push(Metric {
                id,
                name,
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

    fn sum(&mut self, location: &str, text: Option<String>) -> Sum {
        const EXPECTED: &str = "`rows`, `sum(column)`, `count(column)`, a test like `sum(latency_ms > 2000)` or an expression \
             like `sum(case when status >= 500 then 1 end)`";
        let Some(text) = self.require(location, text, EXPECTED) else {
            return Sum::Rows;
        };
        // Limits are keys of the metric and not part of a sum's text.
        let is_plain = |sum: &Sum| sum.reading().is_none_or(|reading| reading.limits.is_none());
        let Some(sum) = Sum::parse(&text).filter(is_plain) else {
            self.problem(location, format!("expected {EXPECTED}, found \"{text}\""));
            return Sum::Rows;
        };
        if let Some(reading) = sum.reading() {
            match reading.expression() {
                None => self.refuse_sensitive(location, &reading.column),
                Some(expression) => {
                    if let Err(problem) = self.sensitive.check_expression("metric", expression) {
                        self.place(location, problem);
                    }
                }
            }
        }
        sum
    }

    /// Gives a numerator the limits of its values: `floor` and `cap`, or a quantile.
    fn limited(
        &mut self,
        at: &dyn Fn(&str) -> String,
        numerator: Sum,
        [floor, cap]: [Option<f64>; 2],
        winsorize: Option<f64>,
    ) -> Sum {
        let keys = [("cap", cap), ("floor", floor), ("winsorize", winsorize)];
        let Some((key, _)) = keys.iter().find(|(_, limit)| limit.is_some()) else {
            return numerator;
        };
        let Some(reading) = numerator
            .reading()
            .filter(|reading| matches!(numerator, Sum::Of(_)) && reading.kind() != ColumnKind::Flag)
        else {
            self.problem(
                at(key),
                format!("expected a numerator `sum(column)` of numbers, found \"{numerator}\""),
            );
            return numerator;
        };
        for (key, limit) in [("cap", cap), ("floor", floor)] {
            let of_column = limit.map(|limit| reading.kind().quantize(limit, f64::NEG_INFINITY));
            if let Some(Err(expected)) = of_column {
                self.problem(
                    at(key),
                    format!("expected {expected}, found {}", limit.unwrap_or(0.0)),
                );
            }
        }
        if let (Some(floor), Some(cap)) = (floor, cap)
            && floor >= cap
        {
            self.problem(
                at("floor"),
                format!("expected a number below `cap` = {cap}, found {floor}"),
            );
        }
        let limits = match winsorize {
            Some(_) if floor.is_some() || cap.is_some() => {
                self.problem(
                    at("winsorize"),
                    "expected either `winsorize` or `cap` and `floor`, found both",
                );
                return numerator;
            }
            Some(quantile) => {
                Limits::Quantile(self.number(&at("winsorize"), Some(quantile), 0.999, 0.9, 0.99999))
            }
            None => Limits::Values { floor, cap },
        };
        let limits = Some(limits);
        Sum::Of(Reading { limits, ..reading }.to_string())
    }

    pub(super) fn breakdowns(&mut self, raw: RawAnalysis) -> Vec<BreakdownBy> {
        let is_user = self.choice("analysis.clusters", raw.clusters.as_deref(), &CLUSTERS);
        let mut breakdowns: Vec<BreakdownBy> = is_user.then_some(BreakdownBy::User).into_iter().collect();
        for (idx, column) in raw.breakdowns.into_iter().enumerate() {
            let location = format!("analysis.breakdowns[{}]", idx + 1);
            self.refuse_sensitive(&location, &column);
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
                mde: raw
                    .mde
                    .map(|harm| self.number(&at("mde"), Some(harm), 0.0, 1e-12, 1e12)),
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

/// The metrics as sentences name them, by id.
pub(super) fn measures(metrics: &[Metric]) -> BTreeMap<String, Measure> {
    let of_metric = |metric: &Metric| {
        let measure = Measure {
            name: metric.name.clone(),
            unit: metric.unit.clone(),
            better: metric.better,
        };
        (metric.id.clone(), measure)
    };
    let latency = Measure {
        name: None,
        unit: "ms".into(),
        better: Better::Lower,
    };
    let latency = (LATENCY_P95.to_owned(), latency);
    metrics.iter().map(of_metric).chain([latency]).collect()
}

/// The guardrails of a scenario that names none.
fn default_guardrails() -> Vec<Guardrail> {
    let guardrail = |metric: &str, rule| Guardrail {
        metric: metric.into(),
        rule,
        min_margin: None,
        mde: None,
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
