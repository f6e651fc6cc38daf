//! flagd: a flag that assigns users with the operation `fractional`.

use serde_json::{Map, Value, json};

use crate::base::error::{Error, Result};
use crate::base::json;
use crate::bucket::{N_BUCKETS, Platform, Ratio};
use crate::publish::address::Address;
use crate::publish::exporters::format::{
    CONDITION_SETTINGS, Conditions, ExportFormat, placement_warnings, platform_of,
};
use crate::publish::publication::Publication;
use crate::publish::target::Desired;

/// The format `flagd:FILE`.
///
/// Settings:
/// - `attribute`: the attribute with the layer (default `layer`).
/// - `tenant_attribute`: the attribute with the tenant (default `tenant`), with several tenants
///   only.
/// - `consent`: an attribute that must be true (default none).
///
/// Versions 1 and 2 of `fractional` hash the text `salt:targetingKey`. Version 3 hashes pairs, and
/// the only available pair is the flag's key and the targeting key. For version 3 the flag's key is
/// therefore the salt.
pub(super) const FORMAT: ExportFormat = ExportFormat {
    kind: "flagd",
    settings: &CONDITION_SETTINGS,
    write,
    warnings,
};

const VERSIONS: [Platform; 4] = [
    Platform::Flagd2,
    Platform::Flagd1,
    Platform::Flagd2Js,
    Platform::Flagd3,
];

fn warnings(publication: &Publication, _address: &Address) -> Vec<String> {
    let platform = platform_of(publication, &VERSIONS);
    let mut warnings = placement_warnings(publication, platform);
    if platform == Platform::Flagd3 && publication.flag_key() != publication.salt {
        warnings.push(format!(
            "the flag's key is the salt, `{}`: version 3 hashes no other text",
            publication.salt
        ));
    }
    warnings
}

/// The names of the variants.
const CANDIDATE: &str = "candidate";
const STABLE: &str = "stable";

fn write(desired: &Desired<'_>, address: &Address) -> Result<String> {
    let publication = desired.publication;
    let hashes_pairs = platform_of(publication, &VERSIONS) == Platform::Flagd3;
    let key = if hashes_pairs {
        &publication.salt
    } else {
        publication.flag_key()
    };
    if key.is_empty() {
        return Err(Error::target(
            address.to_string(),
            "expected a salt, which is the flag's key here, found none",
        )
        .hint("give the plan a salt"));
    }
    let mut evaluators = Map::new();
    let mut branches = Vec::new();
    for row in publication.ratios.iter().filter(|row| row.ratio > Ratio::ZERO) {
        branches.push(condition(&Conditions::new(
            publication,
            row,
            address,
            ["layer", "tenant"],
        )?));
        if row.ratio == Ratio::FULL {
            branches.push(json!(CANDIDATE));
            continue;
        }
        let mut parts = Vec::new();
        if !hashes_pairs {
            parts.push(json!({"cat": [format!("{}:", publication.salt), {"var": "targetingKey"}]}));
        }
        // The candidate comes first, so a user with the candidate keeps it when the ratio rises.
        parts.push(json!([CANDIDATE, row.ratio.bps()]));
        parts.push(json!([STABLE, N_BUCKETS - row.ratio.bps()]));
        let fractional = json!({"fractional": parts});
        if hashes_pairs || survives_reference(&publication.salt) {
            let name = format!("ratio_{}", row.ratio.bps());
            branches.push(json!({"$ref": name}));
            evaluators.insert(name, fractional);
        } else {
            branches.push(fractional);
        }
    }
    let mut flag = json!({
        "state": "ENABLED",
        "variants": {CANDIDATE: publication.candidate, STABLE: publication.baseline},
        "defaultVariant": STABLE,
    });
    if !branches.is_empty() {
        branches.push(json!(STABLE));
        flag["targeting"] = json!({"if": branches});
    }
    let mut document = json!({
        "$schema": "https://flagd.dev/schema/v0/flags.json",
        "metadata": {"flagSetId": "sluice", "sluice_plan": publication.plan_id, "sluice_version": publication.version},
        "flags": {key: flag},
    });
    if !evaluators.is_empty() {
        document["$evaluators"] = evaluators.into();
    }
    Ok(json::to_json(&document))
}

/// Whether a text can be part of a shared evaluator. The flagd implementations insert shared
/// evaluators by text replacement: Python fails on characters that JSON escapes, JavaScript on
/// dollar signs.
fn survives_reference(text: &str) -> bool {
    text.chars()
        .all(|c| (c.is_ascii_graphic() || c == ' ') && !matches!(c, '"' | '\\' | '$'))
}

/// A JSON condition that requires all of `conditions`.
fn condition(conditions: &Conditions<'_>) -> Value {
    let mut all: Vec<Value> = conditions
        .texts
        .iter()
        .map(|(name, value)| json!({"===": [{"var": name}, value]}))
        .collect();
    all.extend(
        conditions
            .consent
            .map(|name| json!({"===": [{"var": name}, true]})),
    );
    match all.len() {
        1 => all.remove(0),
        _ => json!({"and": all}),
    }
}
