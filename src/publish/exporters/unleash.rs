//! Unleash: a toggle with one gradual rollout per layer, in the form that its clients read.

use serde_json::{Value, json};

use crate::base::error::Result;
use crate::base::json;
use crate::bucket::Platform;
use crate::publish::address::Address;
use crate::publish::exporters::format::{
    Conditions, ExportFormat, in_force, placement_warnings, platform_of, refuse_roundings,
};
use crate::publish::publication::Publication;
use crate::publish::target::Desired;

/// The format `unleash:FILE`: a response of `/api/client/features`. A strategy has the same form in
/// the admin API.
///
/// Settings:
/// - `attribute`: the attribute with the layer (default `layer`).
/// - `tenant_attribute`: the attribute with the tenant (default `tenant`), with several tenants
///   only.
/// - `consent`: a property that must be `true` (default none).
/// - `user`: the stickiness, the attribute that is hashed (default `userId`).
///
/// The group is the salt. Unleash allows whole percentages only. The toggle is on for users who get
/// the candidate. The payload of its variant names the release.
pub(super) const FORMAT: ExportFormat = ExportFormat {
    kind: "unleash",
    settings: &["attribute", "tenant_attribute", "consent", "user"],
    write,
    warnings,
};

const VERSIONS: [Platform; 2] = [Platform::Unleash, Platform::UnleashNode];

fn warnings(publication: &Publication, _address: &Address) -> Vec<String> {
    placement_warnings(publication, platform_of(publication, &VERSIONS))
}

fn write(desired: &Desired<'_>, address: &Address) -> Result<String> {
    let publication = desired.publication;
    let platform = platform_of(publication, &VERSIONS);
    refuse_roundings(in_force(publication), platform.step(), platform.name(), address)?;
    let user = address.get_or("user", "userId");
    let mut strategies = Vec::new();
    // Layers at a ratio of 0 are written too: a toggle without a strategy is on for all users.
    for row in &publication.ratios {
        let conditions = Conditions::new(publication, row, address, ["layer", "tenant"])?;
        let mut constraints: Vec<Value> = conditions
            .texts
            .iter()
            .map(|(name, value)| constraint(name, value))
            .collect();
        constraints.extend(conditions.consent.map(|name| constraint(name, "true")));
        strategies.push(json!({
            "name": "flexibleRollout",
            "parameters": {
                "rollout": (row.ratio.bps() / platform.step()).to_string(),
                "stickiness": user,
                "groupId": publication.salt,
            },
            "constraints": constraints,
            "variants": [{
                "name": "candidate",
                "weight": 1000,
                "stickiness": user,
                "payload": {"type": "string", "value": publication.candidate},
            }],
        }));
    }
    let feature = json!({
        "name": publication.flag_key(),
        "type": "release",
        "description": format!("{} over {}: written by Sluice, version {}", publication.candidate, publication.baseline, publication.version),
        "enabled": publication.is_open(),
        "stale": false,
        "impressionData": false,
        "project": "default",
        "strategies": strategies,
        "variants": [],
    });
    Ok(json::to_json(&json!({"version": 2, "features": [feature]})))
}

fn constraint(name: &str, value: &str) -> Value {
    json!({"contextName": name, "operator": "IN", "values": [value], "inverted": false, "caseInsensitive": false})
}
