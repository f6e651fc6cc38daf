//! Envoy: one route per layer. The user's bucket selects the release by weight.

use serde_json::{Value, json};

use crate::base::error::Result;
use crate::bucket::{N_BUCKETS, Ratio};
use crate::publish::address::Address;
use crate::publish::exporters::format::{Conditions, ExportFormat, text_of};
use crate::publish::exporters::headers;
use crate::publish::publication::Publication;
use crate::publish::target::Desired;

/// The format `envoy:FILE`: a discovery response with one route configuration. Envoy reads it again
/// whenever the file is replaced.
///
/// Settings:
/// - `name`: the name of the route configuration (default `sluice`).
/// - `candidate` and `baseline`: the clusters (default `candidate` and `stable`).
/// - `header`: the header with the bucket (default `x-sluice-bucket`).
/// - `attribute`: the header with the layer (default `x-sluice-layer`).
/// - `tenant_attribute`: the header with the tenant (default `x-sluice-tenant`), with several
///   tenants only.
/// - `consent`: a header that must be `true` (default none).
///
/// The caller sends the user's bucket, 0..=9999, under the plan's profile. Every user then gets the
/// release that Sluice assigns. Without this header, Envoy draws at random for every request.
pub(super) const FORMAT: ExportFormat = ExportFormat {
    kind: "envoy",
    settings: &[
        "name",
        "candidate",
        "baseline",
        "header",
        "attribute",
        "tenant_attribute",
        "consent",
    ],
    write,
    warnings,
};

fn warnings(publication: &Publication, address: &Address) -> Vec<String> {
    let mut warnings = headers::warnings(publication);
    if publication.profile == "external" {
        warnings.push(format!(
            "the plan's users are placed by a system that Sluice cannot recompute: send {} from that system's own buckets",
            address.get_or("header", BUCKET)
        ));
    }
    warnings
}

const BUCKET: &str = "x-sluice-bucket";

fn write(desired: &Desired<'_>, address: &Address) -> Result<String> {
    let publication = desired.publication;
    let bucket = headers::name(address, "header", address.get_or("header", BUCKET))?;
    let (candidate, baseline) = (
        address.get_or("candidate", "candidate"),
        address.get_or("baseline", "stable"),
    );
    let mut routes = Vec::new();
    for row in publication.ratios.iter().filter(|row| row.ratio > Ratio::ZERO) {
        let conditions = Conditions::new(publication, row, address, headers::DEFAULTS)?;
        let mut matchers = Vec::new();
        for (name, value) in headers::from_conditions(&conditions, address)? {
            matchers.push(json!({"name": name, "string_match": {"exact": value}}));
        }
        let mut clusters = vec![json!({"name": candidate, "weight": row.ratio.bps()})];
        if row.ratio < Ratio::FULL {
            clusters.push(json!({"name": baseline, "weight": N_BUCKETS - row.ratio.bps()}));
        }
        routes.push(json!({
            "name": format!("sluice/{}/{}", row.tenant, row.layer),
            "match": {"prefix": "/", "headers": matchers},
            "route": {"weighted_clusters": {"header_name": bucket, "clusters": clusters}},
        }));
    }
    routes.push(json!({"name": "sluice/baseline", "match": {"prefix": "/"}, "route": {"cluster": baseline}}));
    let document: Value = json!({
        "version_info": publication.version,
        "resources": [{
            "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            "name": address.get_or("name", "sluice"),
            "virtual_hosts": [{"name": "sluice", "domains": ["*"], "routes": routes}],
        }],
    });
    text_of(&[document], address)
}
