//! The evidence of a layer in a few numbers, for programs that check it before the next step, such
//! as the AnalysisTemplate of Argo Rollouts.

use serde_json::json;

use crate::base::error::{Error, Result};
use crate::base::json;
use crate::publish::address::Address;
use crate::publish::exporters::format::{ExportFormat, analysis, row_name};
use crate::publish::exporters::kubernetes::only_row;
use crate::publish::target::Desired;

/// The format `gate:FILE`. The settings `layer` and `tenant` are required unless the plan has only
/// one layer. The folder must contain the analysis.
///
/// `qos` is the candidate's QoS in the current stage, or null. `n` is the number of exposed users
/// of the layer, or 0 if `qos` is null.
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
