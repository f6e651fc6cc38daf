//! Traces of checks: a full trace with texts, or the first check that blocks. Checks are written
//! once for both. The text of a check is made only for a full trace.

use std::fmt;
use std::ops::ControlFlow;

use crate::ramp::verdict::{Check, CheckOutcome, Verdict};
use crate::stats::Interval;
use crate::words::Text;

/// Whether further checks are needed.
pub(super) type CheckFlow = ControlFlow<()>;

/// The name of a check without a metric.
pub(super) fn plain<'a>(kind: &'static str) -> CheckName<'a> {
    CheckName { kind, metric: None }
}

/// Blocks with the verdict if `is_so`, else passes.
pub(super) fn block_if(is_so: bool, verdict: Verdict) -> CheckOutcome {
    if is_so {
        CheckOutcome::Block(verdict)
    } else {
        CheckOutcome::Pass
    }
}

/// The name of a check, for example `dwell` or `guardrail:complaint_rate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckName<'a> {
    /// The kind of check, such as `dwell` or `guardrail`.
    pub kind: &'static str,
    /// The metric, for checks of guardrails. `None` for other checks.
    pub metric: Option<&'a str>,
}

impl fmt::Display for CheckName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.metric {
            Some(metric) => write!(f, "{}:{metric}", self.kind),
            None => f.write_str(self.kind),
        }
    }
}

/// The outcome of a check, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct CheckValues {
    pub(super) outcome: CheckOutcome,
    pub(super) value: Option<f64>,
    pub(super) interval: Option<Interval>,
    pub(super) limit: Option<f64>,
}

impl CheckValues {
    pub(super) fn new(outcome: CheckOutcome) -> Self {
        Self {
            outcome,
            value: None,
            interval: None,
            limit: None,
        }
    }

    pub(super) fn with(outcome: CheckOutcome, value: f64, limit: f64) -> Self {
        Self {
            outcome,
            value: Some(value),
            interval: None,
            limit: Some(limit),
        }
    }
}

/// A receiver of checks, in their order.
pub(super) trait Trace<'a> {
    /// Receives a check. Returns `Break` if no further checks are needed.
    fn push<D: Into<Text>>(
        &mut self,
        name: CheckName<'a>,
        found: CheckValues,
        detail: impl FnOnce() -> D,
    ) -> ControlFlow<()>;
}

/// The full trace: every check with its text.
impl<'a> Trace<'a> for Vec<Check> {
    fn push<D: Into<Text>>(
        &mut self,
        name: CheckName<'a>,
        found: CheckValues,
        detail: impl FnOnce() -> D,
    ) -> ControlFlow<()> {
        let CheckValues {
            outcome,
            value,
            interval,
            limit,
        } = found;
        let Text {
            en: detail,
            zh: detail_zh,
        } = detail().into();
        Self::push(
            self,
            Check {
                check: name.to_string(),
                outcome,
                value,
                interval,
                limit,
                detail,
                detail_zh,
            },
        );
        ControlFlow::Continue(())
    }
}

/// The short trace: the first check that blocks, and its verdict.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FirstBlock<'a>(pub(super) Option<(Verdict, CheckName<'a>)>);

impl<'a> Trace<'a> for FirstBlock<'a> {
    fn push<D: Into<Text>>(
        &mut self,
        name: CheckName<'a>,
        found: CheckValues,
        _: impl FnOnce() -> D,
    ) -> ControlFlow<()> {
        match found.outcome {
            CheckOutcome::Block(verdict) => {
                self.0 = Some((verdict, name));
                ControlFlow::Break(())
            }
            CheckOutcome::Pass | CheckOutcome::NotApplicable => ControlFlow::Continue(()),
        }
    }
}
