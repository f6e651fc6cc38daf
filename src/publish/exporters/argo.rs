//! Argo Rollouts: a Rollout with a layer's ladder as its steps, and the AnalysisTemplate between
//! steps.

use serde_json::{Value, json};

use crate::base::error::Result;
use crate::bucket::Ratio;
use crate::publish::address::Address;
use crate::publish::exporters::format::{ExportFormat, plain_url, random_warnings, required, text_of};
use crate::publish::exporters::kubernetes::{dwell_secs, ladder, metadata, object_name, only_row};
use crate::publish::publication::Publication;
use crate::publish::target::Desired;

/// The format `argo:FILE`, for `kubectl apply --server-side`. Fields that the file does not name
/// stay unchanged.
///
/// Settings:
/// - `name`: the name of the Rollout (required).
/// - `gate`: the URL of the layer's evidence, JSON with `verdict`, `n` (users) and `qos`, as the
///   format `gate` writes it (required).
/// - `layer` and `tenant`: the layer of the Rollout. Required unless the plan has only one layer.
/// - `workload`: the Deployment that defines the pods.
/// - `namespace`: the namespace of the objects.
///
/// The steps start at the ratio in force and follow the ladder. Each step is a pause, an analysis
/// and the next weight. If users are too few, or the QoS lies between floor and threshold, the
/// analysis is inconclusive and the Rollout pauses. The analysis fails, and the Rollout aborts, if
/// the verdict of the layer is `rollback`. At a ratio of 0 the only weight is 0.
pub(super) const FORMAT: ExportFormat = ExportFormat {
    kind: "argo",
    settings: &["name", "gate", "layer", "tenant", "workload", "namespace"],
    write,
    warnings,
};

fn warnings(_publication: &Publication, _address: &Address) -> Vec<String> {
    random_warnings("Argo Rollouts")
}

fn write(desired: &Desired<'_>, address: &Address) -> Result<String> {
    let publication = desired.publication;
    let name = object_name(address, "name", required(address, "name", "the Rollout's name")?)?;
    let gate = plain_url(address, "gate", "the URL of the layer's evidence")?;
    let row = only_row(publication, address)?;
    let ladder = ladder(row, "Argo Rollouts", address)?;
    let template = format!("{name}-sluice");

    let mut steps: Vec<Value> = vec![json!({"setWeight": row.ratio.bps() / 100})];
    if row.ratio == Ratio::ZERO {
        steps.push(json!({"pause": {}}));
    } else {
        for (_, percent) in ladder.iter().filter(|(ratio, _)| *ratio > row.ratio) {
            if dwell_secs(row) > 0 {
                steps.push(json!({"pause": {"duration": duration(dwell_secs(row))}}));
            }
            steps.push(json!({"analysis": {"templates": [{"templateName": template}]}}));
            steps.push(json!({"setWeight": percent}));
        }
    }
    let mut rollout = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": metadata(&name, address, publication, Some(row)),
        "spec": {"strategy": {"canary": {"steps": steps}}},
    });
    if let Some(workload) = address.get("workload") {
        let workload = object_name(address, "workload", workload)?;
        rollout["spec"]["workloadRef"] =
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": workload});
    }
    let ramp = &row.ramp;
    let analysis = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": metadata(&template, address, publication, Some(row)),
        "spec": {"metrics": [{
            "name": "sluice-gate",
            "successCondition": format!(
                "result.verdict != \"rollback\" && result.n >= {} && result.qos >= {}",
                ramp.min_users, ramp.qos_threshold
            ),
            "failureCondition": format!(
                "result.verdict == \"rollback\" || (result.n >= {} && result.qos < {})",
                ramp.min_users, ramp.qos_floor
            ),
            "provider": {"web": {"url": gate, "jsonPath": "{$}", "timeoutSeconds": 20}},
        }]},
    });
    text_of(&[analysis, rollout], address)
}

/// Formats a duration in the syntax of Go, such as `2h`, `15m` or `30s`.
fn duration(secs: u64) -> String {
    match secs {
        _ if secs.is_multiple_of(3_600) => format!("{}h", secs / 3_600),
        _ if secs.is_multiple_of(60) => format!("{}m", secs / 60),
        _ => format!("{secs}s"),
    }
}

#[cfg(test)]
mod tests {
    use crate::publish::exporters::argo::duration;

    #[test]
    fn lengths_of_time_are_exact() {
        let check = |secs: u64, expected: &str| assert_eq!(duration(secs), expected);
        check(86_400, "24h");
        check(5_400, "90m");
        check(61, "61s");
    }
}
