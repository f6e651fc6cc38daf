//! The evidence of a layer in a few numbers, for programs that check it before the next step, such
//! as the AnalysisTemplate of Argo Rollouts.

use serde_json::json;

use crate::analysis::LayerAnalysis;
use crate::base::error::{Error, Result};
use crate::base::json;
use crate::bucket::Ratio;
use crate::publish::address::Address;
use crate::publish::exporters::format::{ExportFormat, analysis, row_name};
use crate::publish::exporters::kubernetes::only_row;
use crate::publish::publication::RatioRow;
use crate::publish::target::Desired;
use crate::ramp::Verdict;

/// The format `gate:FILE`. The settings `layer` and `tenant` are required unless the plan has only
/// one layer. The folder must contain the analysis.
///
/// `qos` is the candidate's QoS in the current stage, or null. `n` is the number of exposed users
/// of the layer, or 0 if `qos` is null. A layer that is rolled back, or at a ratio of 0, has no
/// evidence in force: its `qos` is null, so that no check of another system passes on old numbers.
pub(super) const FORMAT: ExportFormat = ExportFormat {
    kind: "gate",
    settings: &["layer", "tenant"],
    write,
    warnings: |_, _| Vec::new(),
};

fn write(desired: &Desired<'_>, address: &Address) -> Result<String> {
    let publication = desired.publication;
    let row = only_row(publication, address)?;
    let is_closed = row.ratio == Ratio::ZERO || row.verdict == Verdict::Rollback;
    let evidence = if is_closed {
        None
    } else {
        let layer = layer_evidence(desired, row, address)?;
        layer
            .current()
            .and_then(|stage| stage.qos.candidate.value())
            .map(|arm| (layer.n_exposed, arm.point))
    };
    Ok(json::to_json(&json!({
        "plan_id": publication.plan_id,
        "version": publication.version,
        "tenant": row.tenant,
        "layer": row.layer,
        "ratio": row.ratio.share(),
        "verdict": row.verdict,
        "n": evidence.map_or(0, |(n_exposed, _)| n_exposed),
        "qos": evidence.map(|(_, qos)| qos),
    })))
}

/// The analysis of a layer, from the folder.
fn layer_evidence(desired: &Desired<'_>, row: &RatioRow, address: &Address) -> Result<LayerAnalysis> {
    let analysis = analysis(desired)?.ok_or_else(|| {
        Error::target(
            address.to_string(),
            "expected an analysis in the folder, found none",
        )
        .hint("publish a folder of `sluice run`")
    })?;
    analysis
        .layers
        .into_iter()
        .find(|layer| (layer.tenant.as_str(), layer.layer.as_str()) == row.key())
        .ok_or_else(|| {
            Error::target(
                address.to_string(),
                format!("expected {} in the analysis, found others", row_name(row)),
            )
        })
}
