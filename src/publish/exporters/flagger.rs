//! Flagger: a Canary that follows a layer's ladder as its gates allow.

use serde_json::{Value, json};

use crate::base::error::{Error, Result};
use crate::bucket::Ratio;
use crate::publish::address::Address;
use crate::publish::exporters::format::{ExportFormat, plain_url, random_warnings, required, text_of};
use crate::publish::exporters::kubernetes::{dwell_secs, ladder, metadata, object_name, only_row};
use crate::publish::publication::Publication;
use crate::publish::target::Desired;
use crate::ramp::Verdict;

/// The format `flagger:FILE`.
///
/// Settings:
/// - `workload`: the Deployment (required).
/// - `gate`: a URL (required). `/approve` below it must answer 200, and `/halt` must not, like
///   `/gate` of Flagger's load tester.
/// - `name`: the name of the Canary (default: the workload's name).
/// - `layer` and `tenant`: the layer of the Canary. Required unless the plan has only one layer.
/// - `namespace`: the namespace of the Canary.
/// - `port`: the port of the service (default 80).
/// - `metric`: the MetricTemplate that returns the layer's QoS (default `sluice-qos`).
/// - `threshold`: the number of checks below the QoS threshold before Flagger rolls back (default
///   3).
///
/// Flagger may take the next step while the layer's verdict is `promote`. A layer at a ratio of 0
/// does not start, and a running Canary of it is rolled back. The file always lists the weights of
/// the whole ladder: from a weight outside the list, Flagger would go to 100 % at once.
pub(super) const FORMAT: ExportFormat = ExportFormat {
    kind: "flagger",
    settings: &[
        "workload",
        "gate",
        "name",
        "layer",
        "tenant",
        "namespace",
        "port",
        "metric",
        "threshold",
    ],
    write,
    warnings,
};

fn warnings(_publication: &Publication, _address: &Address) -> Vec<String> {
    let mut warnings = random_warnings("Flagger");
    warnings.push(
        "Flagger knows no QoS floor and no smallest number of users: its gates follow the layer's verdict"
            .into(),
    );
    warnings
}

/// The shortest interval between two checks of Flagger, seconds.
const SHORTEST_INTERVAL_SECS: u64 = 60;

fn write(desired: &Desired<'_>, address: &Address) -> Result<String> {
    let publication = desired.publication;
    let workload = object_name(
        address,
        "workload",
        required(address, "workload", "the Deployment's name")?,
    )?;
    let gate = plain_url(address, "gate", "the URL of a gate")?.trim_end_matches('/');
    let name = object_name(address, "name", address.get_or("name", &workload))?;
    let metric = object_name(address, "metric", address.get_or("metric", "sluice-qos"))?;
    let port = number(address, "port", 80)?;
    let threshold = number(address, "threshold", 3)?;
    let row = only_row(publication, address)?;
    let step_weights: Vec<u16> = ladder(row, "Flagger", address)?
        .into_iter()
        .map(|(_, percent)| percent)
        .filter(|step| *step > 0)
        .collect();

    let secs = dwell_secs(row).max(SHORTEST_INTERVAL_SECS);
    let interval = if secs.is_multiple_of(60) {
        format!("{}m", secs / 60)
    } else {
        format!("{secs}s")
    };
    let is_open = row.ratio > Ratio::ZERO;
    let webhook = |name: &str, kind: &str, is_approved: bool| -> Value {
        json!({"name": name, "type": kind, "url": format!("{gate}/{}", if is_approved { "approve" } else { "halt" })})
    };
    let canary = json!({
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": metadata(&name, address, publication, Some(row)),
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload},
            "service": {"port": port},
            "analysis": {
                "interval": interval,
                "threshold": threshold,
                "stepWeights": step_weights,
                "metrics": [{
                    "name": "sluice-qos",
                    "interval": interval,
                    "templateRef": {"name": metric},
                    "thresholdRange": {"min": row.ramp.qos_threshold},
                }],
                "webhooks": [
                    webhook("sluice-start", "confirm-rollout", is_open),
                    webhook("sluice-step", "confirm-traffic-increase", is_open && (row.verdict == Verdict::Promote || row.ratio == Ratio::FULL)),
                    webhook("sluice-promotion", "confirm-promotion", row.ratio == Ratio::FULL),
                    webhook("sluice-rollback", "rollback", !is_open),
                ],
            },
        },
    });
    text_of(&[canary], address)
}

/// A setting that is a whole number above 0; `default` if it is absent.
fn number(address: &Address, setting: &str, default: u16) -> Result<u16> {
    let Some(text) = address.get(setting) else {
        return Ok(default);
    };
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
        Error::usage(format!(
            "{address}: expected a number in `{setting}`, found `{text}`"
        ))
    })
}
