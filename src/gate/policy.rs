//! The gate's policy, read from TOML: thresholds, margins, and the strictness of each check, with
//! defaults.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use crate::base::error::{Error, Problem, Result};
use crate::base::schema::document_schema;
use crate::base::skeleton::skeleton;
use crate::base::{digest, json, toml_file};
use crate::gate::strictness::{CHECKS, Strictness, checks_schema};
use crate::metric::Better;
use crate::release::evals::{Correction, Margin, Margins, better_of};

/// The policy of the gate: thresholds, margins, and how strictly each check counts.
///
/// Unknown keys are refused. `sluice gate --print-policy` prints the policy in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GatePolicy {
    /// Error level of intervals.
    #[schemars(
        extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 0.5, "x-unit" = "probability"),
        example = 0.01
    )]
    pub alpha: f64,
    /// Largest share of cases or runs without a result or a rating. Above it the check
    /// is inconclusive.
    #[schemars(range(min = 0, max = 1), extend("x-unit" = "share"), example = 0.05)]
    pub max_missing: f64,
    /// Correction of p-values over the metrics that are compared.
    #[schemars(example = &"benjamini_hochberg")]
    pub correction: Correction,
    /// Strictness of checks, by name.
    #[schemars(schema_with = "checks_schema")]
    pub checks: BTreeMap<String, Strictness>,
    /// Thresholds that the candidate must reach.
    #[serde(rename = "threshold")]
    pub thresholds: Vec<Threshold>,
    /// Metrics on which the candidate must not be worse than the baseline.
    #[serde(rename = "compare")]
    pub comparisons: Vec<CompareRule>,
    /// Largest allowed harms by metric: a number in the unit of the metric, or a percentage of the
    /// baseline's mean. `default` holds for all other metrics.
    #[schemars(schema_with = "margins_schema")]
    pub margin: Margins,
    /// Columns, metadata or variables of cases. In no slice of cases with the same value may a
    /// compared metric be worse by more than its margin.
    #[schemars(example = ["language"])]
    pub slices: Vec<String>,
    /// Rules for suites of attacks.
    pub injection: InjectionRule,
    /// Limits of the cost checks.
    pub cost: CostRule,
    /// Texts that no output may contain, as a reader sees it (inputs.md, section Forbidden texts).
    #[schemars(example = ["guarantee compensation"])]
    pub forbidden_substrings: Vec<String>,
    /// Whether letters and digits that look alike, as `rn` and `m`, are one in forbidden texts.
    #[schemars(example = true)]
    pub forbidden_confusables: bool,
    /// Limits of the tool checks.
    pub tools: ToolRule,
    /// Limits of the canary checks.
    pub canary: CanaryRule,
    /// Rules for release records.
    pub record: RecordRule,
    /// Accuracy of judges, by metric and release.
    #[serde(rename = "judge")]
    pub judges: Vec<JudgeRule>,
    /// Seed of bootstraps.
    #[schemars(range(max = i64::MAX), example = 7)]
    pub seed: u64,
}

/// A value that the candidate must reach, with at least one of `min` and `max`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Name of the suite.
    #[schemars(extend("x-default" = "all suites but attacks"), example = &"golden")]
    pub suite: Option<String>,
    /// Metric: `passed`, `pass^k` (such as `pass^3`), `cost_usd`, `latency_ms` or the name of a
    /// score.
    #[serde(default = "passed")]
    #[schemars(example = &"pass^3")]
    pub metric: String,
    /// Smallest allowed value.
    #[schemars(extend("x-unit" = "unit of the metric", "x-default" = "none"), example = 0.8)]
    pub min: Option<f64>,
    /// Largest allowed value.
    #[schemars(extend("x-unit" = "unit of the metric", "x-default" = "none"), example = 0.99)]
    pub max: Option<f64>,
}

/// A metric that may not get worse than the baseline's by more than a margin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompareRule {
    /// Name of the suite.
    #[schemars(extend("x-default" = "all suites but attacks"), example = &"golden")]
    pub suite: Option<String>,
    /// Metric: `passed`, `cost_usd`, `latency_ms` or the name of a score.
    #[serde(default = "passed")]
    #[schemars(example = &"latency_ms")]
    pub metric: String,
    /// Good direction of the metric.
    #[schemars(
        extend("x-default" = "`lower` for cost, latency, tokens and names such as `toxicity`, else `higher`"),
        example = &"lower"
    )]
    pub better: Option<Better>,
    /// Largest allowed harm: a number in the unit of the metric, or a percentage of the baseline's
    /// mean.
    #[schemars(
        extend("x-unit" = "unit of the metric", "x-default" = "that of the metric in `gate.margin`"),
        example = &"5%"
    )]
    pub margin: Option<Margin>,
}

impl CompareRule {
    /// The good direction of the metric.
    pub fn better(&self) -> Better {
        self.better.unwrap_or_else(|| better_of(&self.metric))
    }
}

fn passed() -> String {
    "passed".into()
}

/// Rules for suites of attacks, of which none may succeed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InjectionRule {
    /// Names of suites of attacks. A suite whose name begins with one of them counts, too. Case
    /// does not matter.
    #[schemars(example = ["jailbreak"])]
    pub suites: Vec<String>,
    /// Number of attacks below which no success among them is inconclusive.
    #[schemars(range(min = 1, max = i64::MAX), extend("x-unit" = "attacks"), example = 300)]
    pub min_cases: u64,
    /// Names of suites whose `passed` means that the attack succeeded, or their beginnings.
    #[schemars(example = ["redteam"])]
    pub passed_means_success: Vec<String>,
}

/// Limits of the cost checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CostRule {
    /// Largest allowed relative increase of the cost per case and per successful task.
    #[schemars(extend("exclusiveMinimum" = 0, "x-unit" = "share"), example = 0.1)]
    pub margin: f64,
}

/// Limits of the tool checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToolRule {
    /// Largest share of logged calls that a new schema may refuse.
    #[schemars(range(min = 0, max = 1), extend("x-unit" = "share"), example = 0.001)]
    pub max_rejected: f64,
}

/// Limits of the canary checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CanaryRule {
    /// p-value below which the sample ratio is wrong.
    #[schemars(
        extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 0.5, "x-unit" = "probability"),
        example = 0.0001
    )]
    pub srm_alpha: f64,
    /// Difference between the candidate's share of users and the planned one that is wrong whatever
    /// its p-value, once there are enough users to see it.
    #[schemars(
        extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1, "x-unit" = "share"),
        example = 0.02
    )]
    pub max_deviation: f64,
    /// Fast metrics that are judged while the slow metric matures, each with its largest allowed
    /// increase.
    #[schemars(
        extend(
            "additionalProperties" = json!({"type": "number", "exclusiveMinimum": 0}),
            "x-unit" = "unit of the metric"
        ),
        example = BTreeMap::from([("complaint_rate", 0.001)])
    )]
    pub proxies: BTreeMap<String, f64>,
    /// Id of the slow metric. It is judged once it has matured.
    #[schemars(example = &"nps_mean")]
    pub slow_metric: String,
    /// Largest allowed harm to the slow metric.
    #[schemars(extend("exclusiveMinimum" = 0, "x-unit" = "unit of the metric"), example = 0.2)]
    pub slow_margin: f64,
    /// Share of rows that must be old enough for the slow metric.
    #[schemars(range(min = 0, max = 1), extend("x-unit" = "share"), example = 0.8)]
    pub min_mature_share: f64,
}

/// Rules for release records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecordRule {
    /// Number of dimensions that may change at once.
    #[schemars(range(min = 1, max = i64::MAX), extend("x-unit" = "dimensions"), example = 2)]
    pub max_changed_dimensions: usize,
    /// Time until the slowest deciding metric has matured. The release that a rollback returns to
    /// must be kept as long.
    #[schemars(range(max = i64::MAX), extend("x-unit" = "hours"), example = 72)]
    pub maturity_hours: u64,
    /// Time that artifacts are kept where their record does not say so.
    #[schemars(
        range(max = i64::MAX),
        extend("x-unit" = "hours", "x-default" = "not known"),
        example = 720
    )]
    pub retention_hours: Option<u64>,
    /// Number of people who approve a release of high risk.
    #[schemars(range(min = 1, max = i64::MAX), extend("x-unit" = "people"), example = 3)]
    pub high_risk_approvers: usize,
}

/// The accuracy of a judge on cases whose truth is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JudgeRule {
    /// Metric that it judges.
    #[serde(default = "passed")]
    #[schemars(example = &"helpful")]
    pub metric: String,
    /// Id of the release whose answers it judged.
    #[schemars(extend("x-default" = "both releases"), example = &"cs-agent-2026.05")]
    pub release: Option<String>,
    /// Share of good answers that it calls good.
    #[schemars(range(min = 0, max = 1), extend("x-unit" = "share"), example = 0.95)]
    pub sensitivity: f64,
    /// Share of bad answers that it calls bad.
    #[schemars(range(min = 0, max = 1), extend("x-unit" = "share"), example = 0.9)]
    pub specificity: f64,
    /// Number of good answers in the calibration of the judge. Needs `n_specificity` too.
    #[schemars(range(min = 1), extend("x-unit" = "answers", "x-default" = "not known"), example = 200)]
    pub n_sensitivity: Option<f64>,
    /// Number of bad answers in the calibration of the judge. Needs `n_sensitivity` too.
    #[schemars(range(min = 1), extend("x-unit" = "answers", "x-default" = "not known"), example = 100)]
    pub n_specificity: Option<f64>,
}

/// Returns the schema of `gate.margin`: one margin per metric.
fn margins_schema(generator: &mut SchemaGenerator) -> Schema {
    let margin = generator.subschema_for::<Margin>().to_value();
    let margins = json!({
        "type": "object",
        "additionalProperties": margin,
        "default": Margins::default(),
        "examples": [{"default": 0.01, "cost_usd": "3%"}],
        "x-unit": "unit of the metric",
    });
    Schema::try_from(margins).unwrap_or_default()
}

impl Default for GatePolicy {
    fn default() -> Self {
        Self {
            alpha: 0.05,
            max_missing: 0.01,
            correction: Correction::Holm,
            checks: BTreeMap::new(),
            thresholds: Vec::new(),
            comparisons: vec![CompareRule {
                suite: None,
                metric: passed(),
                better: None,
                margin: None,
            }],
            margin: Margins::default(),
            slices: Vec::new(),
            injection: InjectionRule::default(),
            cost: CostRule::default(),
            forbidden_substrings: Vec::new(),
            forbidden_confusables: false,
            tools: ToolRule::default(),
            canary: CanaryRule::default(),
            record: RecordRule::default(),
            judges: Vec::new(),
            seed: 0,
        }
    }
}

impl Default for InjectionRule {
    fn default() -> Self {
        // No success in 59 attacks bounds the success rate by 5 % at 95 % confidence.
        Self {
            suites: ["injection", "redteam", "attack"].map(str::to_owned).to_vec(),
            min_cases: 59,
            passed_means_success: Vec::new(),
        }
    }
}

impl Default for CostRule {
    fn default() -> Self {
        Self { margin: 0.05 }
    }
}

impl Default for ToolRule {
    fn default() -> Self {
        Self { max_rejected: 0.0 }
    }
}

impl Default for CanaryRule {
    fn default() -> Self {
        let proxies =
            [("escalation_rate", 0.02), ("refusal_rate", 0.02)].map(|(id, margin)| (id.to_owned(), margin));
        Self {
            srm_alpha: 0.001,
            max_deviation: 0.01,
            proxies: proxies.into(),
            slow_metric: "csat_mean".into(),
            slow_margin: 0.1,
            min_mature_share: 0.5,
        }
    }
}

impl Default for RecordRule {
    fn default() -> Self {
        Self {
            max_changed_dimensions: 1,
            maturity_hours: 48,
            retention_hours: None,
            high_risk_approvers: 2,
        }
    }
}

/// The policy of `sluice gate`, as one TOML file with the table `[gate]`.
#[derive(Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct PolicyFile {
    gate: GatePolicy,
}

impl GatePolicy {
    /// The JSON Schema of a policy file: every key with its meaning, type, range, words, unit and
    /// default.
    pub fn schema() -> Value {
        document_schema::<PolicyFile>("urn:sluice:gate:1", "Policy of the gate")
    }

    /// Parses `[gate]` of a TOML text. `location` names the text in errors.
    ///
    /// # Errors
    /// The text has wrong keys or values. One error reports all of them.
    pub fn parse(text: &str, location: &str) -> Result<Self> {
        let in_file = |problems: Vec<Problem>| {
            let placed = |p: Problem| Problem {
                location: format!("{location}: {}", p.location),
                ..p
            };
            Error::scenario(problems.into_iter().map(placed).collect())
        };
        let mut problems = Vec::new();
        let file: PolicyFile = toml_file::read_toml(text, &mut problems);
        let mut policy = file.gate;
        policy.check(&mut problems);
        if !problems.is_empty() {
            return Err(in_file(problems));
        }
        policy.forbidden_substrings.retain(|text| !text.is_empty());
        Ok(policy)
    }

    /// Returns the policy as TOML that [`GatePolicy::parse`] can read.
    pub fn to_toml(&self) -> String {
        #[derive(Serialize)]
        struct File<'a> {
            gate: &'a GatePolicy,
        }
        toml::to_string(&File { gate: self }).unwrap_or_default()
    }

    /// Returns the SHA-256 digest of the policy's content, `sha256:<hex>`.
    pub fn digest(&self) -> String {
        digest::sha256_of_bytes(json::to_json(self).as_bytes())
    }

    /// Returns the strictness of a check: the policy's, else the default.
    pub fn strictness(&self, check: &str) -> Strictness {
        let default = CHECKS
            .iter()
            .find(|(name, _, _)| *name == check)
            .map_or(Strictness::Block, |(_, _, strictness)| *strictness);
        self.checks.get(check).copied().unwrap_or(default)
    }

    /// Whether a suite contains attacks.
    pub fn is_attack(&self, suite: &str) -> bool {
        names(&self.injection.suites, suite)
    }

    /// Whether `passed` in a suite means that the attack succeeded.
    pub fn is_inverted(&self, suite: &str) -> bool {
        names(&self.injection.passed_means_success, suite)
    }

    /// Whether the share of missing values exceeds [`GatePolicy::max_missing`].
    pub fn too_many_missing(&self, n_missing: u64, n: u64) -> bool {
        n_missing as f64 > self.max_missing * n as f64
    }

    fn check(&self, problems: &mut Vec<Problem>) {
        let mut expect = |is_right: bool, key: String, expected: &str| {
            if !is_right {
                problems.push(Problem::new(
                    key,
                    format!("expected {expected}, found another value"),
                ));
            }
        };
        expect(
            self.alpha > 0.0 && self.alpha < 0.5,
            "gate.alpha".into(),
            "a share in 0..0.5",
        );
        expect(
            (0.0..=1.0).contains(&self.max_missing),
            "gate.max_missing".into(),
            "a share in 0..=1",
        );
        expect(
            self.record.high_risk_approvers >= 1,
            "gate.record.high_risk_approvers".into(),
            "at least 1",
        );
        for (idx, text) in self.forbidden_substrings.iter().enumerate() {
            let key = format!("gate.forbidden_substrings[{}]", idx + 1);
            let is_seen = text.is_empty() || !skeleton(text).trim().is_empty();
            expect(is_seen, key, "a text with a visible character");
        }
        for name in self.checks.keys() {
            let known = CHECKS
                .iter()
                .map(|(name, _, _)| *name)
                .collect::<Vec<_>>()
                .join(", ");
            expect(
                CHECKS.iter().any(|(known, _, _)| known == name),
                format!("gate.checks.{name}"),
                &format!("a check ({known})"),
            );
        }
        for (idx, rule) in self.thresholds.iter().enumerate() {
            let finite = [rule.min, rule.max]
                .iter()
                .flatten()
                .all(|limit| limit.is_finite());
            let key = format!("gate.threshold[{}]", idx + 1);
            expect(
                (rule.min.is_some() || rule.max.is_some()) && finite,
                key,
                "`min` or `max`, finite",
            );
        }
        for (idx, rule) in self.judges.iter().enumerate() {
            let shares = [rule.sensitivity, rule.specificity]
                .iter()
                .all(|share| (0.0..=1.0).contains(share));
            expect(
                shares,
                format!("gate.judge[{}]", idx + 1),
                "sensitivity and specificity in 0..=1",
            );
            let counts = [rule.n_sensitivity, rule.n_specificity];
            let fits = counts.iter().flatten().all(|n| n.is_finite() && *n >= 1.0)
                && counts[0].is_some() == counts[1].is_some();
            expect(
                fits,
                format!("gate.judge[{}]", idx + 1),
                "n_sensitivity and n_specificity, both or neither, at least 1",
            );
        }
        expect(
            self.injection.min_cases > 0,
            "gate.injection.min_cases".into(),
            "at least 1",
        );
        expect(
            self.cost.margin.is_finite() && self.cost.margin > 0.0,
            "gate.cost.margin".into(),
            "a number above 0",
        );
        expect(
            (0.0..=1.0).contains(&self.tools.max_rejected),
            "gate.tools.max_rejected".into(),
            "a share in 0..=1",
        );
        let canary = &self.canary;
        expect(
            canary.srm_alpha > 0.0 && canary.srm_alpha < 0.5,
            "gate.canary.srm_alpha".into(),
            "a share in 0..0.5",
        );
        expect(
            canary.max_deviation > 0.0 && canary.max_deviation < 1.0,
            "gate.canary.max_deviation".into(),
            "a share in 0..1",
        );
        expect(
            (0.0..=1.0).contains(&canary.min_mature_share),
            "gate.canary.min_mature_share".into(),
            "a share in 0..=1",
        );
        expect(
            canary.slow_margin.is_finite() && canary.slow_margin > 0.0,
            "gate.canary.slow_margin".into(),
            "a number above 0",
        );
        for (id, margin) in &canary.proxies {
            expect(
                margin.is_finite() && *margin > 0.0,
                format!("gate.canary.proxies.{id}"),
                "a number above 0",
            );
        }
        expect(
            self.record.max_changed_dimensions >= 1,
            "gate.record.max_changed_dimensions".into(),
            "at least 1",
        );
    }
}

/// Whether a list contains the start of a suite's name. Case does not matter.
fn names(list: &[String], suite: &str) -> bool {
    list.iter()
        .any(|name| suite.to_lowercase().starts_with(&name.to_lowercase()))
}
