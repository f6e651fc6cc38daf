//! Change requests: calls of another system's API, to be made by a person or a pipeline.

use serde::Serialize;
use serde_json::Value;

use crate::base::json;
use crate::bucket::Ratio;
use crate::publish::publication::Publication;
use crate::ramp::RampStatus;

/// One HTTP call to the API of the other system.
#[derive(Debug, Serialize)]
pub(super) struct Request {
    /// The HTTP method, such as `PUT`.
    pub(super) method: &'static str,
    /// The path on the system's server.
    pub(super) path: String,
    /// The body of the call, JSON.
    pub(super) body: Value,
}

/// The document of a change request: the calls and their context.
#[derive(Debug, Serialize)]
struct ChangeRequest<'a> {
    schema: &'static str,
    system: &'static str,
    plan_id: &'a str,
    version: &'a str,
    baseline: &'a str,
    candidate: &'a str,
    status: RampStatus,
    /// The state of the system after the calls.
    stage: RequestStage,
    /// The calls that bring the system to `stage`, in the order to make them.
    requests: Vec<Request>,
    /// The calls of a rollback, after which both names lead to the baseline.
    rollback: Vec<Request>,
}

/// The state of a system without ratios. Such a system has two names: one for all users, and one
/// for users who get the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RequestStage {
    /// Both names lead to the baseline. No user gets the candidate.
    Baseline,
    /// The first name leads to the baseline, the second to the candidate.
    Split,
    /// Both names lead to the candidate: every layer has a ratio of 1.
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

    /// The values behind the first and the second name.
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

/// Writes a change request as JSON. `requests` returns the calls that lead to a stage.
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

/// The warning about a system without ratios.
pub(super) fn warnings(system: &str, what: &str) -> Vec<String> {
    vec![format!(
        "{system} has no ratios: callers must use the candidate's {what} for users who get the candidate"
    )]
}
