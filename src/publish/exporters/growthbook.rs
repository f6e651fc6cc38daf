//! GrowthBook: features in the form of its SDKs, forced by ranges of a hash.

use serde_json::{Map, Value, json};

use crate::base::error::Result;
use crate::base::json;
use crate::bucket::{Platform, Ratio};
use crate::publish::address::Address;
use crate::publish::exporters::format::{
    Conditions, ExportFormat, in_force, placement_warnings, platform_of, refuse_roundings,
};
use crate::publish::publication::Publication;
use crate::publish::target::Desired;

/// The format `growthbook:FILE`: the object `features` of the SDK payload.
///
/// Settings:
/// - `attribute`: the attribute with the layer (default `layer`).
/// - `tenant_attribute`: the attribute with the tenant (default `tenant`), with several tenants
///   only.
/// - `consent`: an attribute that must be true (default none).
/// - `user`: the attribute that is hashed (default `id`).
///
/// The seed is the salt. The version of the hash is the plan's, or 2.
pub(super) const FORMAT: ExportFormat = ExportFormat {
    kind: "growthbook",
    settings: &["attribute", "tenant_attribute", "consent", "user"],
    write,
    warnings,
};

const VERSIONS: [Platform; 3] = [
    Platform::Growthbook2,
    Platform::Growthbook1,
    Platform::Growthbook2Utf8,
];

fn warnings(publication: &Publication, _address: &Address) -> Vec<String> {
    placement_warnings(publication, platform_of(publication, &VERSIONS))
}

fn write(desired: &Desired<'_>, address: &Address) -> Result<String> {
    let publication = desired.publication;
    let platform = platform_of(publication, &VERSIONS);
    refuse_roundings(in_force(publication), platform.step(), platform.name(), address)?;
    let mut rules = Vec::new();
    for row in publication.ratios.iter().filter(|row| row.ratio > Ratio::ZERO) {
        let conditions = Conditions::new(publication, row, address, ["layer", "tenant"])?;
        let mut condition: Map<String, Value> = conditions
            .texts
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        condition.extend(conditions.consent.map(|name| (name.to_owned(), json!(true))));
        rules.push(json!({
            "id": format!("sluice:{}:{}:{}", row.tenant, row.layer, row.ratio.bps()),
            "condition": condition,
            "force": publication.candidate,
            "range": [0, row.ratio.share()],
            "seed": publication.salt,
            "hashAttribute": address.get_or("user", "id"),
            "hashVersion": if platform == Platform::Growthbook1 { 1 } else { 2 },
        }));
    }
    Ok(json::to_json(
        &json!({publication.flag_key(): {"defaultValue": publication.baseline, "rules": rules}}),
    ))
}
