//! Change requests: calls of another system's interface that somebody, or a pipeline, is to make.

use serde::Serialize;
use serde_json::Value;

use crate::base::json;
use crate::bucket::Ratio;
use crate::publish::publication::Publication;
use crate::ramp::RampStatus;

/// A call to make.
#[derive(Debug, Serialize)]
pub(super) struct Request {
    /// HTTP method.
    pub(super) method: &'static str,
    /// Path on the system's server.
    pub(super) path: String,
    /// JSON body.
    pub(super) body: Value,
}

/// The calls, and what they are for.
#[derive(Debug, Serialize)]
struct ChangeRequest<'a> {
    schema: &'static str,
    system: &'static str,
    plan_id: &'a str,
    version: &'a str,
    baseline: &'a str,
    candidate: &'a str,
    status: RampStatus,
    /// In which state they leave the system.
    stage: RequestStage,
    /// In this order.
    requests: Vec<Request>,
    /// What takes them back: everything at the baseline.
    rollback: Vec<Request>,
}

/// What callers find behind the two names of a system without ratios: the one that everybody uses,
/// and the one for users who get the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RequestStage {
    /// Both lead to the baseline: nobody gets the candidate, even if a caller still asks for it.
    Baseline,
    /// The first to the baseline, the second to the candidate.
    Split,
    /// Both to the candidate: every layer is at 100 %.
    Candidate,
}

impl RequestStage {
    fn new(publication: &Publication) -> Self {
        if !publication.is_open() {
            Self::Baseline
        } else if publication.ratios.iter().all(|row| row.ratio == Ratio::FULL) {
            Self::Candidate
        } else {
            Self::Split
        }
    }

    /// Of two places, those behind the first and the second name.
    pub(super) fn pick<T>(self, baseline: T, candidate: T) -> [T; 2]
    where
        T: Copy,
    {
        match self {
            Self::Baseline => [baseline, baseline],
            Self::Split => [baseline, candidate],
            Self::Candidate => [candidate, candidate],
        }
    }
}

/// A change request as JSON. `requests` says what brings the system to a stage.
pub(super) fn write(
    system: &'static str,
    publication: &Publication,
    requests: impl Fn(RequestStage) -> Vec<Request>,
) -> String {
    let stage = RequestStage::new(publication);
    json::to_json(&ChangeRequest {
        schema: "sluice.change_request/1",
        system,
        plan_id: &publication.plan_id,
        version: &publication.version,
        baseline: &publication.baseline,
        candidate: &publication.candidate,
        status: publication.status,
        stage,
        requests: requests(stage),
        rollback: requests(RequestStage::Baseline),
    })
}

/// Such systems know no ratios.
pub(super) fn warnings(system: &str, what: &str) -> Vec<String> {
    vec![format!(
        "{system} knows no ratios: whoever gets the candidate must ask for its {what}"
    )]
}
