//! From the file as written to a [`Scenario`] that can only hold legal values. Every problem is collected; none stops the check.

use std::ops::Range;
use std::path::Path;

use crate::base::error::Problem;
use crate::base::time;
use crate::base::time::{HOUR, Micros, SECOND};
use crate::bucket::{PLATFORMS, Profile, Ratio};
use crate::metric;
use crate::metric::{BadRateOf, Better, Metric, Sum};
use crate::scenario::BreakdownBy;
use crate::scenario::document::{Overrides, Scenario};
use crate::scenario::layering::{Consent, LayerMode, Layering, TagRule, TagTest, UnknownUsers};
use crate::scenario::plan::{Approval, Layer, Operation, Plan};
use crate::scenario::policy::{
    Action, DecisionPolicy, Expectation, Guardrail, GuardrailRule, LATENCY_P95, OnTrouble, Policy, QosConfig,
    RollbackScope, Sequential,
};
use crate::scenario::raw::{
    RawAnalysis, RawApproval, RawExpect, RawFreeze, RawGuardrail, RawLayer, RawLayering, RawMetric,
    RawOperation, RawPlan, RawPolicy, RawQos, RawScenario, RawTag,
};
use crate::scenario::sensitive::sensitive_word;

/// Layers are kept as one byte a user.
const MAX_LAYERS: usize = 100;

/// Checks a whole file. `problems` are those that reading it already found.
pub(super) fn check(
    raw: RawScenario,
    name: &str,
    folder: &Path,
    overrides: &Overrides,
    digest: String,
    problems: Vec<Problem>,
) -> Result<Scenario, Vec<Problem>> {
    let mut c = Checker { problems };
    let as_of = c.instant("as_of", raw.as_of.as_deref());
    let qos = c.qos(raw.qos);
    let layering = c.layering(&raw.layering);
    let layers = c.layers(raw.layer, layering.mode, &raw.layering.sensitive);
    let metrics = c.metrics(raw.metric, qos.bad_rate_of, &raw.layering.sensitive);
    let guardrails = c.guardrails(raw.guardrail, &metrics);
    let policy = c.policy(raw.policy);
    let start = c.instant("plan.start", raw.plan.start.as_deref());
    let operations = c.operations(raw.operation, &layers, start);
    let freezes = c.freezes(raw.freeze);
    let approvals = c.approvals(raw.approval, &layers, raw.plan.candidate.as_ref());
    let input = c.input(raw.input, folder, &layers, as_of);
    let breakdowns = c.breakdowns(raw.analysis, &raw.layering.sensitive);
    let plan = Plan {
        freezes,
        approvals,
        ..c.plan(raw.plan, start, layers, guardrails, policy, operations)
    };
    let simulation = raw.simulate.map(|raw| c.simulation(raw, &plan, &metrics));
    let expectations = c.expectations(raw.expect, &plan.layers);
    if start > as_of {
        c.problem(
            "plan.start",
            format!(
                "expected an instant not after as_of ({}), found {}",
                time::format(as_of),
                time::format(start)
            ),
        );
    }
    let mut scenario = Scenario {
        name: name.to_owned(),
        why: raw.why.unwrap_or_default(),
        seed: raw.seed.unwrap_or(0),
        as_of,
        input,
        layering,
        plan,
        qos,
        metrics,
        breakdowns,
        simulation,
        expectations,
        digest,
    };
    c.apply(overrides, &mut scenario);
    if c.problems.is_empty() {
        Ok(scenario)
    } else {
        Err(c.problems)
    }
}

pub(super) struct Checker {
    problems: Vec<Problem>,
}

impl Checker {
    pub(super) fn problem(&mut self, location: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem::new(location, message));
    }

    pub(super) fn require<T>(&mut self, location: &str, value: Option<T>, what: &str) -> Option<T> {
        // A key that was there but of the wrong type has been reported already.
        if value.is_none() && !self.problems.iter().any(|p| p.location == location) {
            self.problem(location, format!("expected {what}, found nothing"));
        }
        value
    }

    pub(super) fn instant(&mut self, location: &str, text: Option<&str>) -> Micros {
        let Some(text) = self.require(location, text, "an instant such as \"2026-05-28T00:00:00Z\"") else {
            return 0;
        };
        time::parse(text).unwrap_or_else(|| {
            self.problem(
                location,
                format!("expected an instant such as \"2026-05-28T00:00:00Z\", found \"{text}\""),
            );
            0
        })
    }

    /// A number within bounds, else the default and a problem.
    pub(super) fn number(
        &mut self,
        location: &str,
        value: Option<f64>,
        default: f64,
        low: f64,
        high: f64,
    ) -> f64 {
        let Some(value) = value else { return default };
        if value >= low && value <= high {
            return value;
        }
        self.problem(
            location,
            format!("expected a number from {low} to {high}, found {value}"),
        );
        default
    }

    pub(super) fn duration(
        &mut self,
        location: &str,
        value: Option<f64>,
        default: f64,
        unit: Micros,
    ) -> Micros {
        let amount = self.number(location, value, default, 0.0, 1e6);
        (amount * unit as f64).round() as Micros
    }

    /// One of several words, else the first and a problem.
    pub(super) fn choice<T: Copy>(
        &mut self,
        location: &str,
        value: Option<&str>,
        options: &[(&str, T)],
    ) -> T {
        let default = options[0].1;
        let Some(value) = value else { return default };
        if let Some((_, option)) = options.iter().find(|(word, _)| *word == value) {
            return *option;
        }
        let words: Vec<String> = options.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        self.problem(
            location,
            format!("expected {}, found \"{value}\"", words.join(" or ")),
        );
        default
    }

    fn slug(&mut self, location: &str, value: Option<String>) -> String {
        let Some(value) = self.require(location, value, "an id of ASCII letters, digits, `_`, `-`, `.`")
        else {
            return String::new();
        };
        if value.is_empty()
            || !value
                .chars()
                .all(|ch| ch.is_ascii_alphanumeric() || "_-.".contains(ch))
        {
            self.problem(
                location,
                format!("expected an id of ASCII letters, digits, `_`, `-`, `.`, found \"{value}\""),
            );
        }
        value
    }

    pub(super) fn text(&mut self, location: &str, value: Option<String>, what: &str) -> String {
        let value = self.require(location, value, what).unwrap_or_default();
        if value.chars().any(char::is_control) {
            self.problem(location, "expected text without control characters, found some");
        }
        value
    }

    fn ratio(&mut self, location: &str, value: f64) -> Ratio {
        Ratio::try_from_share(value).unwrap_or_else(|message| {
            self.problem(location, message);
            Ratio::ZERO
        })
    }

    /// Weights that sum to 1: from a preset, or given in full.
    fn weights<const N: usize>(
        &mut self,
        location: &str,
        preset: [f64; N],
        given: Option<Vec<f64>>,
    ) -> [f64; N] {
        let Some(given) = given else { return preset };
        let Ok(weights) = <[f64; N]>::try_from(given.clone()) else {
            self.problem(location, format!("expected {N} weights, found {}", given.len()));
            return preset;
        };
        let sum: f64 = weights.iter().sum();
        if weights.iter().any(|w| !w.is_finite() || *w < 0.0) || (sum - 1.0).abs() > 1e-9 {
            self.problem(
                location,
                format!("expected weights >= 0 that sum to 1, found a sum of {sum}"),
            );
        }
        weights
    }

    fn qos(&mut self, raw: RawQos) -> QosConfig {
        let preset = self.choice(
            "qos.preset",
            raw.preset.as_deref(),
            &[("high_risk", [0.3, 0.2, 0.5]), ("low_risk", [0.4, 0.3, 0.3])],
        );
        QosConfig {
            weights: self.weights("qos.weights", preset, raw.weights),
            max_latency_ms: self.number("qos.max_latency_ms", raw.max_latency_ms, 5000.0, 1.0, 1e9),
            bad_rate_of: self.choice(
                "qos.bad_rate_of",
                raw.bad_rate_of.as_deref(),
                &[("rated", BadRateOf::Rated), ("all", BadRateOf::All)],
            ),
        }
    }

    fn layering(&mut self, raw: &RawLayering) -> Layering {
        let presets = [
            ("default", [0.2, 0.2, 0.3, 0.3]),
            ("high_risk", [0.15, 0.15, 0.5, 0.2]),
            ("consumer", [0.2, 0.2, 0.2, 0.4]),
        ];
        let preset = self.choice("layering.preset", raw.preset.as_deref(), &presets);
        let modes = [("threshold", LayerMode::Threshold), ("quota", LayerMode::Quota)];
        let unknown = [("protect", UnknownUsers::Protect), ("score", UnknownUsers::Score)];
        let consent = [("opt_in", Consent::OptIn), ("opt_out", Consent::OptOut)];
        Layering {
            mode: self.choice("layering.mode", raw.mode.as_deref(), &modes),
            weights: self.weights("layering.weights", preset, raw.weights.clone()),
            recency_cap_secs: self.number("layering.recency_cap_days", raw.recency_cap_days, 30.0, 1e-3, 1e5)
                * 86_400.0,
            use_count_cap: self.number("layering.use_count_cap", raw.use_count_cap, 100.0, 1e-9, 1e15),
            user_value_cap: self.number(
                "layering.user_value_cap",
                raw.user_value_cap,
                100_000.0,
                1e-9,
                1e15,
            ),
            unknown: self.choice("layering.unknown", raw.unknown.as_deref(), &unknown),
            consent: self.choice("layering.consent", raw.consent.as_deref(), &consent),
        }
    }

    fn layers(&mut self, raw: Vec<RawLayer>, mode: LayerMode, sensitive: &[String]) -> Vec<Layer> {
        if raw.is_empty() {
            self.problem("layer", "expected at least one [[layer]], found none");
        }
        if raw.len() > MAX_LAYERS {
            self.problem(
                "layer",
                format!("expected at most {MAX_LAYERS} layers, found {}", raw.len()),
            );
        }
        let ids: Vec<String> = raw.iter().map(|l| l.id.clone().unwrap_or_default()).collect();
        let n_layers = raw.len();
        let mut layers: Vec<Layer> = Vec::with_capacity(n_layers);
        for (idx, raw) in raw.into_iter().enumerate() {
            let at = |key: &str| format!("layer[{}].{key}", idx + 1);
            let id = self.slug(&at("id"), raw.id);
            if ids[..idx].contains(&id) {
                self.problem(
                    at("id"),
                    format!("expected ids that differ, found \"{id}\" twice"),
                );
            }
            let initial = self.ratio(&at("initial_ratio"), raw.initial_ratio.unwrap_or(0.0));
            let mut ladder = self.ladder(&at("ladder"), &raw.ladder.unwrap_or_else(|| vec![0.1, 0.5, 1.0]));
            if initial > Ratio::ZERO && !ladder.contains(&initial) {
                ladder.push(initial);
                ladder.sort_unstable();
            }
            let min_score = raw
                .min_score
                .map(|score| self.number(&at("min_score"), Some(score), 0.0, 0.0, 1.0));
            let quota = raw
                .quota
                .map(|quota| self.number(&at("quota"), Some(quota), 0.0, 0.0, 1.0));
            let tags: Vec<TagRule> = raw
                .tags
                .into_iter()
                .enumerate()
                .filter_map(|(t, tag)| {
                    self.tag(&format!("layer[{}].tags[{}]", idx + 1, t + 1), tag, sensitive)
                })
                .collect();
            let last = idx + 1 == n_layers;
            match mode {
                LayerMode::Threshold if min_score.is_none() && tags.is_empty() && !last => {
                    self.problem(
                        at("min_score"),
                        "expected a min_score or tags (only the last layer takes the rest), found neither",
                    );
                }
                LayerMode::Threshold if last && min_score.is_some() => {
                    self.problem(
                        at("min_score"),
                        "expected no min_score in the last layer, which takes the rest, found one",
                    );
                }
                LayerMode::Quota if quota.is_none() && tags.is_empty() => {
                    self.problem(at("quota"), "expected a quota or tags, found neither");
                }
                LayerMode::Quota if last && quota.is_none() => {
                    self.problem(
                        at("quota"),
                        "expected a quota in the last layer, which takes the rest, found none",
                    );
                }
                _ => {}
            }
            let mut after = Vec::new();
            for other in &raw.after {
                match ids.iter().position(|id| id == other) {
                    Some(other_idx) if other_idx != idx => after.push(other_idx),
                    _ => self.problem(
                        at("after"),
                        format!("expected ids of other layers, found \"{other}\""),
                    ),
                }
            }
            layers.push(Layer {
                name: raw.name.unwrap_or_else(|| id.clone()),
                id,
                min_score,
                quota,
                tags,
                initial_ratio: initial,
                ladder,
                qos_threshold: self.number(&at("qos_threshold"), raw.qos_threshold, 0.8, 0.0, 1.0),
                dwell: self.duration(&at("dwell_hours"), raw.dwell_hours, 72.0, HOUR),
                min_users: raw.min_users.unwrap_or(100),
                after,
                safety_critical: raw.safety_critical,
            });
        }
        self.layer_order(&layers, mode);
        layers
    }

    pub(super) fn ladder(&mut self, location: &str, shares: &[f64]) -> Vec<Ratio> {
        let ladder: Vec<Ratio> = shares.iter().map(|step| self.ratio(location, *step)).collect();
        if !ladder.is_sorted_by(|a, b| a < b) || ladder.first().is_none_or(|step| *step == Ratio::ZERO) {
            self.problem(location, "expected rising ratios above 0, found another order");
        }
        ladder
    }

    fn layer_order(&mut self, layers: &[Layer], mode: LayerMode) {
        let scores: Vec<f64> = layers.iter().filter_map(|l| l.min_score).collect();
        if mode == LayerMode::Threshold && !scores.is_sorted_by(|a, b| a > b) {
            self.problem(
                "layer",
                "expected min_score to fall from layer to layer, found another order",
            );
        }
        let quotas: Vec<f64> = layers.iter().filter_map(|l| l.quota).collect();
        if mode == LayerMode::Quota && quotas.iter().sum::<f64>() <= 0.0 {
            self.problem("layer", "expected quotas above 0, found none");
        }
        // Following `after` from any layer must end: a circle would never open.
        for start in 0..layers.len() {
            let (mut seen, mut todo) = (vec![false; layers.len()], layers[start].after.clone());
            while let Some(idx) = todo.pop() {
                if idx == start {
                    self.problem(
                        format!("layer[{}].after", start + 1),
                        format!(
                            "expected an order, found that \"{}\" waits for itself",
                            layers[start].id
                        ),
                    );
                    break;
                }
                if !std::mem::replace(&mut seen[idx], true) {
                    todo.extend(&layers[idx].after);
                }
            }
        }
    }

    fn tag(&mut self, location: &str, raw: RawTag, sensitive: &[String]) -> Option<TagRule> {
        let column = self.require(
            &format!("{location}.column"),
            raw.column,
            "a column of the users table",
        )?;
        self.refuse_sensitive(&format!("{location}.column"), &column, sensitive);
        let test = match (raw.equals, raw.at_least) {
            (Some(text), None) => TagTest::Equals(text),
            (None, Some(number)) if number.is_finite() => TagTest::AtLeast(number),
            _ => {
                self.problem(
                    location,
                    "expected exactly one of `equals` and `at_least`, found another number of them",
                );
                return None;
            }
        };
        Some(TagRule { column, test })
    }

    fn refuse_sensitive(&mut self, location: &str, column: &str, more: &[String]) {
        if let Some(word) = sensitive_word(column, more) {
            let problem = Problem::new(
                location,
                format!(
                    "expected a column that is not a sensitive attribute, found \"{column}\" (\"{word}\")"
                ),
            );
            self.problems
                .push(problem.hint("who gets a release may not depend on it; use behaviour instead"));
        }
    }

    fn breakdowns(&mut self, raw: RawAnalysis, sensitive: &[String]) -> Vec<BreakdownBy> {
        let is_user = self.choice(
            "analysis.clusters",
            raw.clusters.as_deref(),
            &[("group", false), ("user", true)],
        );
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

    fn metrics(&mut self, raw: Vec<RawMetric>, bad_rate_of: BadRateOf, sensitive: &[String]) -> Vec<Metric> {
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
                numerator,
                denominator,
                better: self.choice(
                    &at("better"),
                    raw.better.as_deref(),
                    &[("higher", Better::Higher), ("lower", Better::Lower)],
                ),
                unit: raw.unit.unwrap_or_else(|| "per unit".into()),
                delay: self.duration(&at("delay_hours"), raw.delay_hours, 0.0, HOUR),
                proportion: raw.proportion.unwrap_or(false),
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

    fn guardrails(&mut self, raw: Option<Vec<RawGuardrail>>, metrics: &[Metric]) -> Vec<Guardrail> {
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
                        "expected exactly one of `margin`, `relative_margin`, `max_count`, found another number of them",
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
            guardrails.push(Guardrail {
                metric,
                rule,
                limit: raw
                    .limit
                    .map(|limit| self.number(&at("limit"), Some(limit), 0.0, -1e15, 1e15)),
                action: self.choice(
                    &at("action"),
                    raw.action.as_deref(),
                    &[("rollback", Action::Rollback), ("hold", Action::Hold)],
                ),
            });
        }
        guardrails
    }

    fn policy(&mut self, raw: RawPolicy) -> Policy {
        let troubles = [("hold", OnTrouble::Hold), ("rollback", OnTrouble::Rollback)];
        let decisions = [
            ("interval", DecisionPolicy::Interval),
            ("point", DecisionPolicy::Point),
        ];
        Policy {
            decision: self.choice("policy.decision", raw.decision.as_deref(), &decisions),
            sequential: self.choice(
                "policy.sequential",
                raw.sequential.as_deref(),
                &[("anytime", Sequential::Anytime), ("fixed", Sequential::Fixed)],
            ),
            alpha: self.number("policy.alpha", raw.alpha, 0.05, 1e-9, 0.5),
            srm_alpha: self.number("policy.srm_alpha", raw.srm_alpha, 0.001, 1e-12, 0.5),
            srm_min_deviation: self.number(
                "policy.srm_min_deviation",
                raw.srm_min_deviation,
                0.001,
                0.0,
                1.0,
            ),
            max_crossover: self.number("policy.max_crossover", raw.max_crossover, 0.01, 0.0, 1.0),
            qos_floor: self.number("policy.qos_floor", raw.qos_floor, 0.6, 0.0, 1.0),
            qos_mde: self.number("policy.qos_mde", raw.qos_mde, 0.02, 1e-6, 1.0),
            cool_down: self.duration("policy.cool_down_hours", raw.cool_down_hours, 24.0, HOUR),
            rollback_scope: self.choice(
                "policy.rollback_scope",
                raw.rollback_scope.as_deref(),
                &[("layer", RollbackScope::Layer), ("plan", RollbackScope::Plan)],
            ),
            srm_action: self.choice("policy.srm_action", raw.srm_action.as_deref(), &troubles),
            no_data_action: self.choice("policy.no_data_action", raw.no_data_action.as_deref(), &troubles),
            exposure_cap: raw
                .exposure_cap
                .map(|cap| self.number("policy.exposure_cap", Some(cap), 1.0, 0.0, 1.0)),
        }
    }

    fn operations(&mut self, raw: Vec<RawOperation>, layers: &[Layer], start: Micros) -> Vec<Operation> {
        let mut operations: Vec<Operation> = Vec::new();
        for (idx, raw) in raw.into_iter().enumerate() {
            let at = |key: &str| format!("operation[{}].{key}", idx + 1);
            let instant = self.instant(&at("at"), raw.at.as_deref());
            let layer_idx = self.layer_ref(&at("layer"), raw.layer, layers);
            let ratio = self
                .require(&at("ratio"), raw.ratio, "a ratio from 0 to 1")
                .map_or(Ratio::ZERO, |share| self.ratio(&at("ratio"), share));
            if instant < start {
                self.problem(
                    at("at"),
                    format!(
                        "expected an instant not before plan.start ({}), found {}",
                        time::format(start),
                        time::format(instant)
                    ),
                );
            }
            if operations
                .iter()
                .any(|o| o.layer_idx == layer_idx && o.tenant == raw.tenant && o.at >= instant)
            {
                self.problem(
                    at("at"),
                    "expected operations of a layer in rising time order, found another order",
                );
            }
            operations.push(Operation {
                at: instant,
                tenant: raw.tenant,
                layer_idx,
                ratio,
                operator: raw.operator.unwrap_or_else(|| "sluice".into()),
            });
        }
        operations.sort_by_key(|o| (o.at, o.layer_idx));
        operations
    }

    fn freezes(&mut self, raw: Vec<RawFreeze>) -> Vec<Range<Micros>> {
        let mut freezes = Vec::new();
        for (idx, raw) in raw.into_iter().enumerate() {
            let at = |key: &str| format!("freeze[{}].{key}", idx + 1);
            let (from, until) = (
                self.instant(&at("from"), raw.from.as_deref()),
                self.instant(&at("until"), raw.until.as_deref()),
            );
            if until <= from {
                self.problem(
                    at("until"),
                    format!(
                        "expected an instant after {}, found {}",
                        time::format(from),
                        time::format(until)
                    ),
                );
            }
            freezes.push(from..until);
        }
        freezes
    }

    fn approvals(
        &mut self,
        raw: Vec<RawApproval>,
        layers: &[Layer],
        candidate: Option<&String>,
    ) -> Vec<Approval> {
        let mut approvals = Vec::new();
        for (idx, raw) in raw.into_iter().enumerate() {
            let at = |key: &str| format!("approval[{}].{key}", idx + 1);
            approvals.push(Approval {
                layer_idx: self.layer_ref(&at("layer"), raw.layer, layers),
                candidate: raw.candidate.or_else(|| candidate.cloned()).unwrap_or_default(),
                ratio: self
                    .require(&at("ratio"), raw.ratio, "a ratio from 0 to 1")
                    .map_or(Ratio::ZERO, |share| self.ratio(&at("ratio"), share)),
                at: self.instant(&at("at"), raw.at.as_deref()),
                by: self.text(&at("by"), raw.by, "who signed"),
            });
        }
        approvals
    }

    pub(super) fn layer_ref(&mut self, location: &str, id: Option<String>, layers: &[Layer]) -> usize {
        let Some(id) = self.require(location, id, "a layer's id") else {
            return 0;
        };
        layers.iter().position(|layer| layer.id == id).unwrap_or_else(|| {
            let ids: Vec<&str> = layers.iter().map(|l| l.id.as_str()).collect();
            self.problem(
                location,
                format!("expected one of {}, found \"{id}\"", ids.join(", ")),
            );
            0
        })
    }

    /// Refuses ratios that the system cannot tell apart: rounding would give the candidate to users that nobody planned.
    fn steps(&mut self, profile: &Profile, layers: &[Layer], operations: &[Operation]) {
        if profile.name() == "split" && profile.salt().parse::<u32>().is_err() {
            self.problem(
                "plan.salt",
                format!(
                    "expected Split's seed, a whole number, found \"{}\"",
                    profile.salt()
                ),
            );
        }
        let of_layers = layers.iter().enumerate().flat_map(|(idx, layer)| {
            layer
                .ladder
                .iter()
                .chain([&layer.initial_ratio])
                .map(move |ratio| (format!("layer[{}]", idx + 1), *ratio))
        });
        let of_operations = operations
            .iter()
            .enumerate()
            .map(|(idx, operation)| (format!("operation[{}].ratio", idx + 1), operation.ratio));
        let wrong: Vec<(String, Ratio)> = of_layers
            .chain(of_operations)
            .filter(|(_, ratio)| ratio.bps() % profile.step() != 0)
            .collect();
        for (location, ratio) in wrong {
            let step = f64::from(profile.step()) / 100.0;
            self.problem(
                location,
                format!(
                    "expected ratios in steps of {step}%, all that {} can tell apart, found {ratio}",
                    profile.name()
                ),
            );
        }
    }

    fn plan(
        &mut self,
        raw: RawPlan,
        start: Micros,
        layers: Vec<Layer>,
        guardrails: Vec<Guardrail>,
        policy: Policy,
        operations: Vec<Operation>,
    ) -> Plan {
        let id = self.slug("plan.id", raw.id);
        let salt = raw.salt.unwrap_or_else(|| id.clone());
        let flag = raw.flag.unwrap_or_else(|| id.clone());
        let name = raw.profile.as_deref().unwrap_or("sluice");
        let profile = Profile::by_name(name, &flag, &salt).unwrap_or_else(|| {
            let known = PLATFORMS
                .iter()
                .map(|(_, name, _)| *name)
                .collect::<Vec<_>>()
                .join(", ");
            self.problem(
                "plan.profile",
                format!("expected sluice, external or one of {known}, found \"{name}\""),
            );
            Profile::Sluice { salt }
        });
        self.steps(&profile, &layers, &operations);
        let baseline = self.text(
            "plan.baseline",
            raw.baseline,
            "the id of the release that users have today",
        );
        let candidate = self.text(
            "plan.candidate",
            raw.candidate,
            "the id of the release that is being ramped",
        );
        if baseline == candidate {
            self.problem(
                "plan.candidate",
                format!("expected a release other than the baseline, found \"{candidate}\" twice"),
            );
        }
        let minutes = raw.window_minutes.unwrap_or(60);
        if minutes == 0 || minutes > 7 * 24 * 60 {
            self.problem(
                "plan.window_minutes",
                format!("expected 1 to 10080 minutes, found {minutes}"),
            );
        }
        let layers_digest = raw.layers_digest;
        if let Some(digest) = &layers_digest {
            let hex = digest
                .strip_prefix("blake3:")
                .or_else(|| digest.strip_prefix("sha256:"))
                .unwrap_or_default();
            if hex.len() != 64
                || !hex
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
            {
                self.problem(
                    "plan.layers_digest",
                    format!("expected blake3: or sha256: and 64 hexadecimal digits, found \"{digest}\""),
                );
            }
        }
        Plan {
            id,
            layers_digest,
            start,
            baseline,
            candidate,
            profile,
            window: Micros::from(minutes.max(1)) * 60 * SECOND,
            operator: raw.operator.unwrap_or_else(|| "sluice".into()),
            layers,
            guardrails,
            policy,
            operations,
            freezes: Vec::new(),
            approvals: Vec::new(),
        }
    }

    fn expectations(&mut self, raw: Vec<RawExpect>, layers: &[Layer]) -> Vec<Expectation> {
        let verdicts = ["promote", "hold", "rollback", "inconclusive", "invalid"];
        let mut expectations = Vec::new();
        for (idx, raw) in raw.into_iter().enumerate() {
            let at = |key: &str| format!("expect[{}].{key}", idx + 1);
            let verdict = self
                .require(&at("verdict"), raw.verdict, "a verdict")
                .unwrap_or_default();
            if !verdicts.contains(&verdict.as_str()) {
                self.problem(
                    at("verdict"),
                    format!("expected one of {}, found \"{verdict}\"", verdicts.join(", ")),
                );
            }
            expectations.push(Expectation {
                tenant: raw.tenant,
                layer_idx: self.layer_ref(&at("layer"), raw.layer, layers),
                verdict,
                next_ratio: raw.next_ratio.map(|share| self.ratio(&at("next_ratio"), share)),
            });
        }
        expectations
    }

    fn apply(&mut self, overrides: &Overrides, scenario: &mut Scenario) {
        if let Some(as_of) = overrides.as_of {
            if as_of < scenario.plan.start {
                self.problem(
                    "--as-of",
                    format!(
                        "expected an instant not before plan.start ({}), found {}",
                        time::format(scenario.plan.start),
                        time::format(as_of)
                    ),
                );
            }
            scenario.as_of = as_of;
        }
        if let Some(seed) = overrides.seed {
            scenario.seed = seed;
        }
        if let Some(scale) = overrides.scale {
            let Some(generate) = &mut scenario.input.generate else {
                self.problem(
                    "--scale",
                    "expected a scenario with [input.generate], found one that reads files",
                );
                return;
            };
            if !(scale.is_finite() && scale > 0.0 && scale <= 1e4) {
                self.problem(
                    "--scale",
                    format!("expected a number above 0 and at most 10000, found {scale}"),
                );
                return;
            }
            generate.n_users = ((generate.n_users as f64 * scale).round() as u64).max(1);
            generate.n_turns = ((generate.n_turns as f64 * scale).round() as u64).max(1);
        }
    }
}

/// SPEC: availability, task completion, complaint rate, incident count = 0, p95 latency.
fn default_guardrails() -> Vec<Guardrail> {
    let guardrail = |metric: &str, rule| Guardrail {
        metric: metric.into(),
        rule,
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
