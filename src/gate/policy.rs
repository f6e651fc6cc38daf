//! The gate's policy, read from TOML: thresholds, margins, and the strictness of each check, with
//! defaults.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::base::error::{Error, Problem, Result};
use crate::base::{digest, json, toml_file};
use crate::gate::document::GateOutcome;
use crate::metric::Better;
use crate::release::evals::Correction;

/// How much a check counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strictness {
    /// As it comes out.
    Block,
    /// What would fail or be inconclusive warns.
    Warn,
    /// Not asked.
    Off,
}

impl Strictness {
    /// What an outcome counts as.
    pub fn apply(self, outcome: GateOutcome) -> GateOutcome {
        match self {
            Self::Block => outcome,
            Self::Warn | Self::Off => outcome.min(GateOutcome::Warn),
        }
    }
}

/// Every check of a release, its gate, and how strictly it counts unless the policy says otherwise.
pub const CHECKS: [(&str, &str, Strictness); 24] = [
    ("immutable", "record", Strictness::Block),
    ("baseline", "record", Strictness::Block),
    ("references", "record", Strictness::Warn),
    ("digests", "record", Strictness::Warn),
    ("moved_reference", "record", Strictness::Block),
    ("single_dimension", "record", Strictness::Warn),
    ("rollback_target", "record", Strictness::Block),
    ("retention", "record", Strictness::Warn),
    ("tenant", "record", Strictness::Block),
    ("cache_key", "record", Strictness::Warn),
    ("eval_fresh", "record", Strictness::Warn),
    ("eval_report", "record", Strictness::Block),
    ("tool_bundle", "C1", Strictness::Block),
    ("tool_schema", "C1", Strictness::Block),
    ("tool_safety", "C1", Strictness::Block),
    ("tool_arguments", "C1", Strictness::Block),
    ("eval_threshold", "C2", Strictness::Block),
    ("eval_regression", "C2", Strictness::Block),
    ("injection", "C3", Strictness::Block),
    ("cost", "C4", Strictness::Block),
    ("write_tools", "C5", Strictness::Block),
    ("forbidden_substrings", "output", Strictness::Block),
    ("approvers", "approval", Strictness::Block),
    ("canary", "canary", Strictness::Block),
];

/// The gate of a check.
pub(super) fn gate_of(check: &str) -> &'static str {
    CHECKS
        .iter()
        .find(|(name, _, _)| *name == check)
        .map_or("", |(_, gate, _)| gate)
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatePolicy {
    /// Error of an interval.
    pub alpha: f64,
    /// Share of cases or runs that may be missing, broken or not rated: above it, what is left says
    /// nothing.
    pub max_missing: f64,
    /// Over the metrics that are compared.
    pub correction: Correction,
    /// How strictly checks count, by name.
    pub checks: BTreeMap<String, Strictness>,
    /// Values that the candidate must reach.
    #[serde(rename = "threshold")]
    pub thresholds: Vec<Threshold>,
    /// Metrics that may not get worse.
    #[serde(rename = "compare")]
    pub comparisons: Vec<CompareRule>,
    /// Suites of attacks.
    pub injection: InjectionRule,
    /// What may cost more.
    pub cost: CostRule,
    /// What no output may contain; case does not matter.
    pub forbidden_substrings: Vec<String>,
    /// Of tools.
    pub tools: ToolRule,
    /// Of canaries.
    pub canary: CanaryRule,
    /// Of records.
    pub record: RecordRule,
    /// How judges do, by metric and release.
    #[serde(rename = "judge")]
    pub judges: Vec<JudgeRule>,
    /// Seed of bootstraps.
    pub seed: u64,
}

/// A value that the candidate must reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// The suite; every one but attacks if absent.
    pub suite: Option<String>,
    /// `passed`, `pass^k` or a score.
    #[serde(default = "passed")]
    pub metric: String,
    /// At least.
    pub min: Option<f64>,
    /// At most.
    pub max: Option<f64>,
}

/// A metric that may not get worse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompareRule {
    /// The suite; every one but attacks if absent.
    pub suite: Option<String>,
    /// `passed`, `cost_usd`, `latency_ms` or a score.
    #[serde(default = "passed")]
    pub metric: String,
    /// Which direction is good.
    #[serde(default = "higher")]
    pub better: Better,
    /// How much worse is allowed.
    pub margin: f64,
}

fn passed() -> String {
    "passed".into()
}

fn higher() -> Better {
    Better::Higher
}

/// Suites of attacks: none may succeed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InjectionRule {
    /// Their names; a suite whose name begins with one of them counts, too.
    pub suites: Vec<String>,
    /// Attacks below which none among them says too little.
    pub min_cases: u64,
    /// Suites whose `passed` means that the attack succeeded.
    pub passed_means_success: Vec<String>,
}

/// What may cost more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CostRule {
    /// Relative increase that is allowed, of cost per case and per successful task.
    pub margin: f64,
}

/// Of tools.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToolRule {
    /// Share of logged calls that a new schema may refuse.
    pub max_rejected: f64,
}

/// Of canaries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CanaryRule {
    /// p-value of a sample ratio below which it is wrong.
    pub srm_alpha: f64,
    /// Difference of the candidate's share of users from the planned one that is wrong whatever its
    /// p-value, once users are enough to see it.
    pub max_deviation: f64,
    /// Metrics that stand in for the slow ones, with the increase that is allowed.
    pub proxies: BTreeMap<String, f64>,
    /// The slow metric: judged once it has matured.
    pub slow_metric: String,
    /// How much worse it may get.
    pub slow_margin: f64,
    /// Share of rows old enough for it.
    pub min_mature_share: f64,
}

/// Of records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordRule {
    /// Dimensions that may change at once.
    pub max_changed_dimensions: usize,
    /// Hours until the slowest deciding metric has matured: what is rolled back to must be kept as
    /// long.
    pub maturity_hours: u64,
    /// Hours that artifacts are kept where their record does not say so.
    pub retention_hours: Option<u64>,
    /// People who approve a release of high risk.
    pub high_risk_approvers: usize,
}

/// How a judge does on cases whose truth is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeRule {
    /// The metric it judges.
    #[serde(default = "passed")]
    pub metric: String,
    /// The release whose answers it judged; both if absent.
    pub release: Option<String>,
    /// Share of good answers that it calls good.
    pub sensitivity: f64,
    /// Share of bad answers that it calls bad.
    pub specificity: f64,
    /// Good answers it was tried on.
    pub n_sensitivity: Option<f64>,
    /// Bad answers it was tried on.
    pub n_specificity: Option<f64>,
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
                better: Better::Higher,
                margin: 0.02,
            }],
            injection: InjectionRule::default(),
            cost: CostRule::default(),
            forbidden_substrings: Vec::new(),
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
        // None among 59 bounds the chance of success by 5 %.
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

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct PolicyFile {
    gate: GatePolicy,
}

impl GatePolicy {
    /// Parses `[gate]` of a TOML text; all problems at once. `location` names the text in errors.
    ///
    /// # Errors
    /// Every key or value that is wrong.
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

    /// The policy as TOML that can be read again.
    pub fn to_toml(&self) -> String {
        #[derive(Serialize)]
        struct File<'a> {
            gate: &'a GatePolicy,
        }
        toml::to_string(&File { gate: self }).unwrap_or_default()
    }

    /// `sha256:<hex>` of what it says.
    pub fn digest(&self) -> String {
        digest::sha256_of_bytes(json::to_json(self).as_bytes())
    }

    /// How strictly a check counts.
    pub fn strictness(&self, check: &str) -> Strictness {
        let default = CHECKS
            .iter()
            .find(|(name, _, _)| *name == check)
            .map_or(Strictness::Block, |(_, _, strictness)| *strictness);
        self.checks.get(check).copied().unwrap_or(default)
    }

    /// Whether a suite is one of attacks.
    pub fn is_attack(&self, suite: &str) -> bool {
        names(&self.injection.suites, suite)
    }

    /// Whether `passed` means that an attack of the suite succeeded.
    pub fn is_inverted(&self, suite: &str) -> bool {
        names(&self.injection.passed_means_success, suite)
    }

    /// Whether so many missing ones of so many leave too little.
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
        for (idx, rule) in self.comparisons.iter().enumerate() {
            expect(
                rule.margin.is_finite() && rule.margin > 0.0,
                format!("gate.compare[{}].margin", idx + 1),
                "a number above 0",
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

/// Whether a list names a suite, or the beginning of its name.
fn names(list: &[String], suite: &str) -> bool {
    list.iter()
        .any(|name| suite.to_lowercase().starts_with(&name.to_lowercase()))
}
