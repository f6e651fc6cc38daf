//! LaunchDarkly: a flag for the file data source of its server SDKs.

use serde_json::{Value, json};

use crate::base::error::Result;
use crate::base::json;
use crate::base::time::SECOND;
use crate::bucket::{Platform, Ratio};
use crate::publish::address::Address;
use crate::publish::exporters::format::{
    CONDITION_SETTINGS, Conditions, ExportFormat, placement_warnings, platform_of,
};
use crate::publish::publication::Publication;
use crate::publish::target::Desired;

/// The format `launchdarkly:FILE`. All attributes are of contexts of kind `user`.
///
/// Settings:
/// - `attribute`: the attribute with the layer (default `layer`).
/// - `tenant_attribute`: the attribute with the tenant (default `tenant`), with several tenants
///   only.
/// - `consent`: an attribute that must be true (default none).
///
/// Weights are in units of 0.00001. The flag has no seed, so the SDKs hash the flag's key and its
/// salt.
pub(super) const FORMAT: ExportFormat = ExportFormat {
    kind: "launchdarkly",
    settings: &CONDITION_SETTINGS,
    write,
    warnings,
};

const VERSIONS: [Platform; 1] = [Platform::LaunchDarkly];

fn warnings(publication: &Publication, _address: &Address) -> Vec<String> {
    placement_warnings(publication, platform_of(publication, &VERSIONS))
}

/// Indexes in the list of variations.
const BASELINE: usize = 0;
const CANDIDATE: usize = 1;
/// The sum of the weights of a rollout.
const TOTAL_WEIGHT: u32 = 100_000;

fn write(desired: &Desired<'_>, address: &Address) -> Result<String> {
    let publication = desired.publication;
    let mut rules = Vec::new();
    for row in publication.ratios.iter().filter(|row| row.ratio > Ratio::ZERO) {
        let conditions = Conditions::new(publication, row, address, ["layer", "tenant"])?;
        let mut clauses: Vec<Value> = conditions
            .texts
            .iter()
            .map(|(name, value)| clause(name, json!(value)))
            .collect();
        clauses.extend(conditions.consent.map(|name| clause(name, json!(true))));
        let mut rule = json!({
            "id": format!("sluice:{}:{}", row.tenant, row.layer),
            "clauses": clauses,
            "trackEvents": false,
        });
        if row.ratio == Ratio::FULL {
            rule["variation"] = CANDIDATE.into();
        } else {
            let weight = u32::from(row.ratio.bps()) * (TOTAL_WEIGHT / 10_000);
            // The candidate comes first, so a user with the candidate keeps it when the ratio
            // rises.
            rule["rollout"] = json!({
                "kind": "rollout",
                "contextKind": "user",
                "variations": [{"variation": CANDIDATE, "weight": weight}, {"variation": BASELINE, "weight": TOTAL_WEIGHT - weight}],
            });
        }
        rules.push(rule);
    }
    let key = publication.flag_key();
    let flag = json!({
        "key": key,
        "version": publication.as_of / SECOND,
        "on": true,
        "salt": publication.salt,
        "variations": [publication.baseline, publication.candidate],
        "offVariation": BASELINE,
        "fallthrough": {"variation": BASELINE},
        "prerequisites": [],
        "targets": [],
        "contextTargets": [],
        "rules": rules,
        "trackEvents": false,
        "trackEventsFallthrough": false,
        "clientSide": false,
        "clientSideAvailability": {"usingMobileKey": false, "usingEnvironmentId": false},
        "deleted": false,
    });
    Ok(json::to_json(&json!({"flags": {key: flag}})))
}

fn clause(name: &str, value: Value) -> Value {
    json!({"contextKind": "user", "attribute": name, "op": "in", "values": [value], "negate": false})
}
