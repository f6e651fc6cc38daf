//! A layer's evidence in a few numbers, for what asks before it goes on, such as the
//! AnalysisTemplate of Argo Rollouts.

use serde_json::json;

use crate::base::error::{Error, Result};
use crate::base::json;
use crate::publish::address::Address;
use crate::publish::exporters::format::{ExportFormat, analysis, row_name};
use crate::publish::exporters::kubernetes::only_row;
use crate::publish::target::Desired;

/// `gate:FILE`. Settings: `layer` and `tenant` (required unless the plan has only one layer). The
/// folder must have the analysis.
///
/// `n` counts the exposed users that `qos`, the candidate's in the current stage, rests on: without
/// a QoS there are none.
pub(super) const FORMAT: ExportFormat = ExportFormat {
    kind: "gate",
    settings: &["layer", "tenant"],
    write,
    warnings: |_, _| Vec::new(),
};

fn write(desired: &Desired<'_>, address: &Address) -> Result<String> {
    let publication = desired.publication;
    let row = only_row(publication, address)?;
    let analysis = analysis(desired)?.ok_or_else(|| {
        Error::target(
            address.to_string(),
            "expected an analysis in the folder, found none",
        )
        .hint("publish a folder of `sluice run`")
    })?;
    let layer = analysis
        .layers
        .iter()
        .find(|layer| (&layer.tenant, &layer.layer) == (&row.tenant, &row.layer));
    let layer = layer.ok_or_else(|| {
        Error::target(
            address.to_string(),
            format!("expected {} in the analysis, found others", row_name(row)),
        )
    })?;
    let qos = layer
        .current()
        .and_then(|stage| stage.qos.candidate.value())
        .map(|arm| arm.point);
    Ok(json::to_json(&json!({
        "plan_id": publication.plan_id,
        "version": publication.version,
        "tenant": row.tenant,
        "layer": row.layer,
        "ratio": row.ratio.share(),
        "verdict": row.verdict,
        "n": if qos.is_some() { layer.n_exposed } else { 0 },
        "qos": qos,
    })))
}
