//! LiteLLM: one model name per layer, with weights among its deployments.

use serde_json::{Value, json};

use crate::base::error::{Error, Result};
use crate::bucket::N_BUCKETS;
use crate::publish::address::Address;
use crate::publish::exporters::format::{ExportFormat, random_warnings, required, row_name, text_of};
use crate::publish::publication::{Publication, RatioRow};
use crate::publish::target::Desired;

/// The format `litellm:FILE`: `model_list` and `router_settings` of the proxy's configuration.
///
/// Settings:
/// - `candidate` and `baseline`: models as LiteLLM names them, such as `openai/gpt-5` (required).
/// - `model`: the prefix of the names that callers use (default: the flag's key).
///
/// LiteLLM applies the weights of a name to all its users. Every layer therefore has its own name:
/// `MODEL-LAYER`, or `MODEL-TENANT-LAYER` with several tenants. The caller chooses the name by the
/// user's layer. Credentials stay in the proxy's environment.
pub(super) const FORMAT: ExportFormat = ExportFormat {
    kind: "litellm",
    settings: &["candidate", "baseline", "model"],
    write,
    warnings,
};

fn warnings(_publication: &Publication, _address: &Address) -> Vec<String> {
    random_warnings("LiteLLM")
}

fn write(desired: &Desired<'_>, address: &Address) -> Result<String> {
    let publication = desired.publication;
    let candidate = required(address, "candidate", "the candidate's model")?;
    let baseline = required(address, "baseline", "the baseline's model")?;
    let start = address.get_or("model", publication.flag_key());
    let has_tenants = publication.has_tenants();
    let mut models: Vec<Value> = Vec::new();
    let mut names: Vec<(String, &RatioRow)> = Vec::new();
    for row in &publication.ratios {
        let name = if has_tenants {
            format!("{start}-{}-{}", row.tenant, row.layer)
        } else {
            format!("{start}-{}", row.layer)
        };
        if let Some((_, other)) = names.iter().find(|(other, _)| *other == name) {
            let found = format!(
                "expected a name of its own for every layer, found `{name}` for {} and {}",
                row_name(other),
                row_name(row)
            );
            return Err(Error::target(address.to_string(), found));
        }
        let arms = [
            (candidate, &publication.candidate, row.ratio.bps()),
            (baseline, &publication.baseline, N_BUCKETS - row.ratio.bps()),
        ];
        // A deployment of weight 0 would still serve requests when others fail, so it is left out.
        for (model, release, weight) in arms.into_iter().filter(|(_, _, weight)| *weight > 0) {
            models.push(json!({
                "model_name": name,
                "litellm_params": {"model": model, "weight": weight},
                "model_info": {"id": format!("{name}:{release}")},
            }));
        }
        names.push((name, row));
    }

    text_of(
        &[json!({"model_list": models, "router_settings": {"routing_strategy": "simple-shuffle"}})],
        address,
    )
}
