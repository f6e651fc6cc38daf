//! The gate report: the checks, their outcomes and their inputs.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::error::exit_code;
use crate::base::json::Document;
use crate::base::time::Micros;
use crate::input::{DEFAULT_TENANT, SourceFile};
use crate::words::gate as says;
use crate::words::ramp as sentence;
use crate::words::{Count, Text};

pub(super) const SCHEMA: &str = "sluice.gate/2";

/// The outcome of a check or of the whole gate, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateOutcome {
    /// The check passed.
    Pass,
    /// The check does not block the release, but its finding needs a look.
    Warn,
    /// Evidence is missing or not sufficient.
    Inconclusive,
    /// The check failed, so the release is blocked.
    Fail,
}

impl GateOutcome {
    /// The name of the outcome in documents, such as `inconclusive`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
        }
    }

    /// The exit code of the program for this outcome.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Pass | Self::Warn => exit_code::DONE,
            Self::Inconclusive => exit_code::GATE_INCONCLUSIVE,
            Self::Fail => exit_code::GATE_FAILED,
        }
    }
}

/// One check of the gate, with its outcome, its findings and the way to make it pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateCheck {
    /// The gate: `C1` to `C5`, `record`, `output`, `approval`, `canary`, or `ramp` for checks of a
    /// schedule.
    pub gate: String,
    /// Name of the check, such as `tool_schema`.
    pub check: String,
    /// Name of the tenant. Empty if the check belongs to the whole study or release.
    pub tenant: String,
    /// The layer's id. Empty if the check belongs to the whole study or release.
    pub layer: String,
    /// Outcome of the check. For a release it includes the strictness that the policy gives to the
    /// check.
    pub outcome: GateOutcome,
    /// The findings of the check, as text.
    pub detail: String,
    /// The findings in Chinese. Empty in documents of older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail_zh: String,
    /// Text of what would make the check pass. `None` if it passed.
    pub remedy: Option<String>,
    /// What would make the check pass, in Chinese. `None` if it passed, and in documents of older
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy_zh: Option<String>,
    /// Numbers and cases behind the outcome. Null if there are none.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub evidence: Value,
    /// The person who lifted the check, the end of the approval, and the reason. `None` if it was
    /// not lifted. A lifted check warns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted_by: Option<String>,
}

impl GateCheck {
    /// The findings, in every language.
    pub fn found(&self) -> Text {
        Text {
            en: self.detail.clone(),
            zh: self.detail_zh.clone(),
        }
    }

    /// What would make the check pass, in every language. `None` if it passed.
    pub fn remedy(&self) -> Option<Text> {
        Some(Text {
            en: self.remedy.clone()?,
            zh: self.remedy_zh.clone().unwrap_or_default(),
        })
    }

    /// Name of the check among the tests of a statement.
    pub(super) fn test_name(&self) -> String {
        let stratum = [&self.tenant, &self.layer]
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(|part| format!(":{part}"))
            .collect::<String>();
        let how = if self.outcome == GateOutcome::Inconclusive {
            ":inconclusive"
        } else {
            ""
        };
        format!("{}:{}{stratum}{how}", self.gate, self.check)
    }
}

impl GateReport {
    /// The checks that were not made, with the reason, in every language.
    pub fn not_asked_texts(&self) -> Vec<Text> {
        let zh = |idx: usize| self.not_asked_zh.get(idx).cloned().unwrap_or_default();
        let texts = self.not_asked.iter().enumerate();
        texts
            .map(|(idx, en)| Text {
                en: en.clone(),
                zh: zh(idx),
            })
            .collect()
    }

    /// The text of the first check that failed, with its layer; `None` if the outcome is no failure.
    pub fn first_failure(&self) -> Option<Text> {
        let failed = |check: &&GateCheck| check.outcome == GateOutcome::Fail;
        let check = self.checks.iter().find(failed)?;
        let found = check.found();
        Some(match (check.tenant.as_str(), check.layer.as_str()) {
            (_, "") => sentence::gate_failed(&check.check, found),
            ("" | DEFAULT_TENANT, layer) => sentence::gate_failed_in(&check.check, layer, found),
            (tenant, layer) => sentence::gate_failed_in(&check.check, format!("{tenant} / {layer}"), found),
        })
    }
}

/// A release that a report describes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Id of the release, as in its record.
    pub release_id: String,
    /// Digest of its record, `sha256:<hex>`.
    pub digest: String,
}

/// The document `gate_report.json`: the result of a gate, for a study or for a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateReport {
    /// Name and version of the document's format.
    pub schema: String,
    /// The plan's id. Empty for the gate of a release.
    pub plan_id: String,
    /// Id of the baseline: the release that users have today.
    pub baseline: String,
    /// Id of the candidate: the release that the gate judges.
    pub candidate: String,
    /// Time of the judgment, microseconds, UTC. `None` if no check depends on it.
    pub as_of: Option<Micros>,
    /// Digest of the analysis, or of the list of inputs for the gate of a release.
    pub evidence_digest: String,
    /// The worst outcome of all checks.
    pub outcome: GateOutcome,
    /// All checks. For a study: those of the layers in plan order, then those of the data.
    pub checks: Vec<GateCheck>,
    /// Candidate and baseline, with the digests of their records. Empty for a study.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Subject>,
    /// Digest of the policy. `None` for a study.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_digest: Option<String>,
    /// The input files. Empty for a study.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<SourceFile>,
    /// Checks that were not made, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_asked: Vec<String>,
    /// The same in Chinese, in the same order. Empty in documents of older versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_asked_zh: Vec<String>,
    /// All compared metrics, with their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<Value>,
    /// The proposed rollback. `None` if no metric got worse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Value>,
}

impl Document for GateReport {
    const SCHEMA: &'static str = SCHEMA;
}

impl GateReport {
    /// Whether the candidate may start, in one sentence.
    pub fn answer(&self) -> Text {
        let candidate = self.candidate.as_str();
        let n = Count(
            self.checks
                .iter()
                .filter(|check| check.outcome == self.outcome)
                .count() as u64,
        );
        let of = Count(self.checks.len() as u64);
        match self.outcome {
            _ if self.checks.is_empty() => says::no_checks(candidate),
            GateOutcome::Pass => says::may_start(candidate, of),
            GateOutcome::Warn => says::may_start_warned(candidate, n, of),
            GateOutcome::Inconclusive => says::not_decided(candidate, n, of),
            GateOutcome::Fail => says::may_not_start(candidate, n, of),
        }
    }

    /// The first check with the gate's own outcome, which decides it. `None` if the gate passed.
    pub fn deciding_check(&self) -> Option<&GateCheck> {
        let decides = |check: &&GateCheck| check.outcome == self.outcome;
        self.checks
            .iter()
            .find(decides)
            .filter(|_| self.outcome != GateOutcome::Pass)
    }

    /// What the reader has to do next, in one sentence.
    pub fn next_step(&self) -> Text {
        match (self.outcome, self.deciding_check()) {
            (GateOutcome::Pass, _) => says::next_start(),
            (GateOutcome::Warn, _) => says::next_look(),
            (_, Some(check)) => match check.remedy() {
                Some(remedy) => says::next_pass(check.check.as_str(), remedy),
                None => check.found(),
            },
            (_, None) => says::no_checks(self.candidate.as_str()),
        }
    }
}
