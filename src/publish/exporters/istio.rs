//! Istio: a VirtualService with one route per layer.

use serde_json::{Map, Value, json};

use crate::base::error::Result;
use crate::bucket::Ratio;
use crate::publish::address::Address;
use crate::publish::exporters::format::{
    Conditions, ExportFormat, in_force, random_warnings, refuse_roundings, required, text_of,
};
use crate::publish::exporters::headers;
use crate::publish::exporters::kubernetes::{PERCENT, metadata, object_name};
use crate::publish::publication::Publication;
use crate::publish::target::Desired;

/// The format `istio:FILE`.
///
/// Settings:
/// - `host`: the host of the service (required).
/// - `candidate` and `baseline`: subsets of the host's DestinationRule (default `candidate` and
///   `stable`).
/// - `name`: the name of the VirtualService (default: the host up to its first dot).
/// - `namespace`: the namespace of the VirtualService.
/// - `gateways`: the gateways, separated by commas.
/// - `attribute`: the header with the layer (default `x-sluice-layer`).
/// - `tenant_attribute`: the header with the tenant (default `x-sluice-tenant`), with several
///   tenants only.
/// - `consent`: a header that must be `true` (default none).
///
/// Weights are whole percentages. Requests that match no layer get the baseline.
pub(super) const FORMAT: ExportFormat = ExportFormat {
    kind: "istio",
    settings: &[
        "host",
        "candidate",
        "baseline",
        "name",
        "namespace",
        "gateways",
        "attribute",
        "tenant_attribute",
        "consent",
    ],
    write,
    warnings,
};

fn warnings(publication: &Publication, _address: &Address) -> Vec<String> {
    let mut warnings = random_warnings("Istio");
    warnings.extend(headers::warnings(publication));
    warnings
}

fn write(desired: &Desired<'_>, address: &Address) -> Result<String> {
    let publication = desired.publication;
    let host = required(address, "host", "the service's host")?;
    let name = object_name(
        address,
        "name",
        address.get_or("name", host.split('.').next().unwrap_or(host)),
    )?;
    refuse_roundings(in_force(publication), PERCENT, "Istio", address)?;
    let destination = |subset: &str, weight: u16| json!({"destination": {"host": host, "subset": subset}, "weight": weight});
    let (candidate, baseline) = (
        address.get_or("candidate", "candidate"),
        address.get_or("baseline", "stable"),
    );
    let mut routes = Vec::new();
    for row in publication.ratios.iter().filter(|row| row.ratio > Ratio::ZERO) {
        let conditions = Conditions::new(publication, row, address, headers::DEFAULTS)?;
        let headers: Map<String, Value> = headers::from_conditions(&conditions, address)?
            .into_iter()
            .map(|(header, value)| (header.to_owned(), json!({"exact": value})))
            .collect();
        let percent = row.ratio.bps() / PERCENT;
        let mut destinations = vec![destination(candidate, percent)];
        if row.ratio < Ratio::FULL {
            destinations.push(destination(baseline, 100 - percent));
        }
        routes
            .push(json!({"name": format!("sluice/{}/{}", row.tenant, row.layer), "match": [{"headers": headers}], "route": destinations}));
    }
    routes.push(json!({"name": "sluice/baseline", "route": [destination(baseline, 100)]}));
    let mut spec = json!({"hosts": [host], "http": routes});
    if let Some(gateways) = address.get("gateways") {
        spec["gateways"] = gateways.split(',').collect();
    }
    let service = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": metadata(&name, address, publication, None),
        "spec": spec,
    });
    text_of(&[service], address)
}
