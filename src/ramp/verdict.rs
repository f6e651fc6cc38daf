//! Verdicts, and the outcomes of checks.

use serde::{Deserialize, Serialize};

use crate::scenario::OnTrouble;
use crate::stats::Interval;
use crate::words::Text;

/// The verdict on a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Raises the ratio to the next step of the ladder.
    Promote,
    /// Keeps the ratio, because a condition of the promotion is not met, such as the dwell or the
    /// QoS threshold.
    Hold,
    /// Sets the ratio to 0.
    Rollback,
    /// Keeps the ratio, because there is not enough evidence.
    Inconclusive,
    /// Keeps the ratio, because the data cannot be trusted, for example after a sample-ratio
    /// mismatch.
    Invalid,
}

impl Verdict {
    /// The name in documents and scenarios.
    pub fn name(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Hold => "hold",
            Self::Rollback => "rollback",
            Self::Inconclusive => "inconclusive",
            Self::Invalid => "invalid",
        }
    }
}

impl Verdict {
    /// Returns the verdict on invalid or missing evidence: a rollback if the policy says so, else
    /// `hold`.
    pub(crate) fn on_trouble(policy: OnTrouble, hold: Self) -> Self {
        match policy {
            OnTrouble::Hold => hold,
            OnTrouble::Rollback => Self::Rollback,
        }
    }
}

/// The outcome of one check of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// The check passed: it does not block a promotion.
    Pass,
    /// The check sets this verdict, unless an earlier check blocked.
    Block(Verdict),
    /// The check does not apply to this layer, so it does not block.
    NotApplicable,
}

/// A check in a decision's trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Name of the check, for example `guardrail:complaint_rate` or `dwell`.
    pub check: String,
    /// Outcome of the check: pass, a verdict that it sets, or not applicable.
    pub outcome: CheckOutcome,
    /// The checked value. Its unit depends on the check: hours for `dwell`, for example. `None` if
    /// the check has no number.
    pub value: Option<f64>,
    /// Interval of the value, at the policy's level. `None` if there is none.
    pub interval: Option<Interval>,
    /// The limit that the value is compared with, in the unit of the value. `None` if there is
    /// none.
    pub limit: Option<f64>,
    /// The check as text: what was required and what was found.
    pub detail: String,
    /// The same in Chinese. Empty in documents of older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail_zh: String,
}

impl Check {
    /// The check as text in every language.
    pub fn text(&self) -> Text {
        Text {
            en: self.detail.clone(),
            zh: self.detail_zh.clone(),
        }
    }
}
