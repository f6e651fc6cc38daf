//! Conditions on users as request headers, for gateways that route by header.

use crate::base::error::{Error, Result};
use crate::publish::address::Address;
use crate::publish::exporters::format::Conditions;
use crate::publish::publication::Publication;

/// The default headers with the layer and the tenant.
pub(super) const DEFAULTS: [&str; 2] = ["x-sluice-layer", "x-sluice-tenant"];

/// Checks the name of a header. Proxies match names in lowercase.
pub(super) fn name<'a>(address: &Address, setting: &str, name: &'a str) -> Result<&'a str> {
    let is_legal = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'));
    if is_legal {
        return Ok(name);
    }
    Err(Error::usage(format!(
        "{address}: expected a header's name in lowercase in `{setting}`, found `{name}`"
    )))
}

/// The headers and their required texts.
pub(super) fn from_conditions<'a>(
    conditions: &Conditions<'a>,
    address: &Address,
) -> Result<Vec<(&'a str, &'a str)>> {
    let settings = ["attribute", "tenant_attribute"];
    let mut headers = Vec::new();
    for ((header, value), setting) in conditions.texts.iter().zip(settings) {
        headers.push((name(address, setting, header)?, *value));
    }
    if let Some(consent) = conditions.consent {
        headers.push((name(address, "consent", consent)?, "true"));
    }
    Ok(headers)
}

/// A warning about the first layer or tenant that is not ASCII: not every caller can send it in a
/// header.
pub(super) fn warnings(publication: &Publication) -> Vec<String> {
    let odd = publication
        .ratios
        .iter()
        .flat_map(|row| [&row.tenant, &row.layer])
        .find(|text| !text.is_ascii());
    odd.map(|text| format!("`{text}` is not ASCII: callers must send it in the header as UTF-8 bytes"))
        .into_iter()
        .collect()
}
