//! The gate's result as an unsigned in-toto statement, which other tools can sign.

use serde::Serialize;
use serde_json::{Value, json};

use crate::gate::document::{GateCheck, GateOutcome, GateReport};

/// An in-toto statement with a `test-result/v0.1` predicate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: Vec<Value>,
    #[serde(rename = "predicateType")]
    predicate_type: &'static str,
    predicate: Value,
}

impl GateReport {
    /// Returns the report as a statement. `url` is the address of the report, `digest` the digest
    /// of its JSON. An inconclusive gate has the result `FAILED`. The names of its inconclusive
    /// tests contain `inconclusive`.
    pub fn statement(&self, url: &str, digest: &str) -> Statement {
        let hex = |digest: &str| {
            digest
                .split_once(':')
                .map_or_else(|| json!({}), |(algorithm, hex)| json!({ algorithm: hex }))
        };
        let names = |keep: &dyn Fn(&GateCheck) -> bool| -> Vec<String> {
            self.checks
                .iter()
                .filter(|check| keep(check))
                .map(GateCheck::test_name)
                .collect()
        };
        let configuration: Vec<Value> = self
            .policy_digest
            .iter()
            .map(|digest| json!({"name": "gate policy", "digest": hex(digest)}))
            .chain(
                self.inputs
                    .iter()
                    .map(|input| json!({"name": input.name, "digest": hex(&input.digest)})),
            )
            .chain([json!({"name": "gate_report.json", "digest": hex(digest)})])
            .collect();
        let result = match self.outcome {
            GateOutcome::Pass => "PASSED",
            GateOutcome::Warn => "WARNED",
            GateOutcome::Inconclusive | GateOutcome::Fail => "FAILED",
        };
        Statement {
            kind: "https://in-toto.io/Statement/v1",
            subject: self
                .subjects
                .iter()
                .take(1)
                .map(|subject| json!({"name": subject.release_id, "digest": hex(&subject.digest)}))
                .collect(),
            predicate_type: "https://in-toto.io/attestation/test-result/v0.1",
            predicate: json!({
                "result": result,
                "configuration": configuration,
                "url": url,
                "passedTests": names(&|check| check.outcome == GateOutcome::Pass),
                "warnedTests": names(&|check| check.outcome == GateOutcome::Warn),
                "failedTests": names(&|check| check.outcome > GateOutcome::Warn),
            }),
        }
    }
}
