//! Shared parts of Kubernetes objects: names, metadata, the choice of a layer, and ladders in
//! percent.

use serde_json::{Value, json};

use crate::base::error::{Error, Result};
use crate::bucket::Ratio;
use crate::publish::address::Address;
use crate::publish::exporters::format::{refuse_roundings, row_name};
use crate::publish::publication::{Publication, RatioRow};

/// One percent in units of 0.0001.
pub(super) const PERCENT: u16 = 100;

/// Checks the name of an object: lowercase letters, digits, `-` and `.`.
pub(super) fn object_name(address: &Address, setting: &str, name: &str) -> Result<String> {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_legal = name.len() <= 253
        && name
            .split('.')
            .all(|label| label.starts_with(is_inner) && label.ends_with(is_inner))
        && name.chars().all(|c| is_inner(c) || matches!(c, '-' | '.'));
    if is_legal {
        return Ok(name.to_owned());
    }
    let found =
        format!("{address}: expected an object's name (a-z, 0-9, `-`, `.`) in `{setting}`, found `{name}`");
    Err(Error::usage(found).hint(format!("add ?{setting}=... to the address")))
}

/// The metadata of an object: its name, its namespace if one is set, and its plan, version and
/// layer.
pub(super) fn metadata(
    name: &str,
    address: &Address,
    publication: &Publication,
    row: Option<&RatioRow>,
) -> Value {
    let mut annotations = json!({"sluice/plan": publication.plan_id, "sluice/version": publication.version});
    if let Some(row) = row {
        annotations["sluice/tenant"] = json!(row.tenant);
        annotations["sluice/layer"] = json!(row.layer);
    }
    let mut metadata = json!({"name": name, "annotations": annotations});
    if let Some(namespace) = address.get("namespace") {
        metadata["namespace"] = json!(namespace);
    }
    metadata
}

/// The layer of a rollout: the only one, or the one that the settings `layer` and `tenant` select.
pub(super) fn only_row<'a>(publication: &'a Publication, address: &Address) -> Result<&'a RatioRow> {
    let desired = |setting: &str, value: &str| address.get(setting).is_none_or(|desired| desired == value);
    let rows: Vec<&RatioRow> = publication
        .ratios
        .iter()
        .filter(|row| desired("layer", &row.layer) && desired("tenant", &row.tenant))
        .collect();
    match rows.as_slice() {
        [row] => Ok(row),
        _ => {
            let known: Vec<String> = publication.ratios.iter().map(row_name).collect();
            let found = format!(
                "expected one layer, found {} (the plan has {})",
                rows.len(),
                known.join(", ")
            );
            Err(Error::target(address.to_string(), found).hint(format!(
                "{} knows no layers: write one file a layer, with ?layer=... and, if need be, &tenant=...",
                address.kind
            )))
        }
    }
}

/// The ladder of a layer: each ratio with its percentage. Ratios that are not whole percentages are
/// an error.
pub(super) fn ladder(row: &RatioRow, system: &str, address: &Address) -> Result<Vec<(Ratio, u16)>> {
    let ratios = || row.ramp.ladder.iter().copied().chain([row.ratio]);
    refuse_roundings(ratios().map(|ratio| (row, ratio)), PERCENT, system, address)?;
    Ok(row
        .ramp
        .ladder
        .iter()
        .map(|ratio| (*ratio, ratio.bps() / PERCENT))
        .collect())
}

/// The minimum duration of a step, seconds.
pub(super) fn dwell_secs(row: &RatioRow) -> u64 {
    (row.ramp.dwell_hours * 3_600.0).round().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_kubernetes_takes() {
        let address = Address::parse("argo:x", &["argo"]).unwrap();
        let check = |name: &str, is_legal: bool| {
            assert_eq!(object_name(&address, "name", name).is_ok(), is_legal, "{name}")
        };
        check("agent-1.prod", true);
        for name in [
            "",
            "Agent",
            "a_b",
            "-a",
            "a-",
            "a..b",
            ".a",
            "代理",
            "a b",
            &"a".repeat(254),
        ] {
            check(name, false);
        }
    }
}
