//! Verdicts, and the outcomes of checks.

use serde::{Deserialize, Serialize};

use crate::scenario::OnTrouble;
use crate::stats::Interval;

/// What to do with a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// To the next step.
    Promote,
    /// Stay.
    Hold,
    /// Back to 0.
    Rollback,
    /// Not enough evidence; stay.
    Inconclusive,
    /// The data cannot be trusted; stay.
    Invalid,
}

impl Verdict {
    /// The word of documents and scenarios.
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
    /// The verdict of a check that fails for want of order or of data: a rollback where the policy
    /// says so, else `hold`.
    pub(crate) fn on_trouble(policy: OnTrouble, hold: Self) -> Self {
        match policy {
            OnTrouble::Hold => hold,
            OnTrouble::Rollback => Self::Rollback,
        }
    }
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// Nothing against promotion.
    Pass,
    /// The verdict follows from this check, if no earlier one blocked.
    Block(Verdict),
    /// Does not apply.
    NotApplicable,
}

/// One step of a decision's trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Which check: `guardrail:complaint_rate`, `dwell` ...
    pub check: String,
    /// How it came out.
    pub outcome: CheckOutcome,
    /// What was looked at.
    pub value: Option<f64>,
    /// Its interval, as the policy looks at it.
    pub interval: Option<Interval>,
    /// What it was held against.
    pub limit: Option<f64>,
    /// The same for people.
    pub detail: String,
}
