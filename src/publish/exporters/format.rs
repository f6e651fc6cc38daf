//! The type of an export format, and shared functions: conditions on users, checks of ratios,
//! warnings, YAML and JSON.

use serde::Serialize;
use std::path::Path;

use crate::analysis::Analysis;
use crate::base::error::{Error, Result};
use crate::base::json;
use crate::base::manifest::file;
use crate::bucket::{Platform, Profile, Ratio};
use crate::publish::address::Address;
use crate::publish::publication::{Publication, RatioRow};
use crate::publish::target::Desired;

/// An export format: a file for another system.
pub(crate) struct ExportFormat {
    /// The name of the format in addresses.
    pub(in crate::publish) kind: &'static str,
    /// The settings that its addresses may have.
    pub(in crate::publish) settings: &'static [&'static str],
    /// Writes the file. It fails if the system cannot express the publication.
    pub(in crate::publish) write: fn(&Desired<'_>, &Address) -> Result<String>,
    /// Returns warnings about differences between the publication and the behavior of the system.
    /// Empty if there are none.
    pub(in crate::publish) warnings: fn(&Publication, &Address) -> Vec<String>,
}

/// The settings of systems with conditions on attributes of users.
pub(super) const CONDITION_SETTINGS: [&str; 3] = ["attribute", "tenant_attribute", "consent"];

/// The conditions that a user must meet for the ratio of a row: attributes and their values, the
/// layer first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conditions<'a> {
    /// Attributes and their required texts.
    pub(super) texts: Vec<(&'a str, &'a str)>,
    /// An attribute that must be true: consent, if the address asks for it. A user without it gets
    /// the baseline.
    pub(super) consent: Option<&'a str>,
}

impl<'a> Conditions<'a> {
    /// The conditions of a row. The tenant is a condition only if the plan has several tenants. The
    /// settings `attribute` and `tenant_attribute` replace the `defaults`. No consent is required
    /// unless `consent` names an attribute.
    pub(super) fn new(
        publication: &'a Publication,
        row: &'a RatioRow,
        address: &'a Address,
        defaults: [&'static str; 2],
    ) -> Result<Self> {
        let attribute = address.get_or("attribute", defaults[0]);
        let tenant_attribute = address.get_or("tenant_attribute", defaults[1]);
        let consent = address.get("consent").filter(|name| *name != "none");
        let mut names = vec![attribute, tenant_attribute];
        names.extend(consent);
        for (idx, name) in names.iter().enumerate() {
            if name.is_empty() || names[..idx].contains(name) {
                return Err(Error::usage(format!(
                    "{address}: expected a different name for every attribute, found `{name}` again"
                )));
            }
        }
        let mut texts = vec![(attribute, row.layer.as_str())];
        if publication.has_tenants() {
            texts.push((tenant_attribute, row.tenant.as_str()));
        }
        Ok(Self { texts, consent })
    }
}

/// Reads the analysis in the folder; `None` if there is no such file or no folder. An analysis of
/// another plan or candidate is an error.
pub(super) fn analysis(desired: &Desired<'_>) -> Result<Option<Analysis>> {
    let Some(dir) = desired.dir else {
        return Ok(None);
    };
    let path = dir.join(file::ANALYSIS);
    if !path.exists() {
        return Ok(None);
    }
    let analysis: Analysis = json::read_document(&path)?;
    let (found, expected) = (&analysis, desired.publication);
    if (&found.plan_id, &found.candidate) != (&expected.plan_id, &expected.candidate) {
        let expected = format!(
            "expected an analysis of {} under {}",
            expected.candidate, expected.plan_id
        );
        return Err(Error::in_file(
            &path,
            format!(
                "{expected}, found one of {} under {}",
                found.candidate, found.plan_id
            ),
        ));
    }
    Ok(Some(analysis))
}

/// The value of a required setting. `what` describes it in the error.
pub(super) fn required<'a>(address: &'a Address, name: &str, what: &str) -> Result<&'a str> {
    address
        .get(name)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| {
            Error::usage(format!("{address}: expected {what} in `{name}`, found none"))
                .hint(format!("add ?{name}=... to the address"))
        })
}

/// The value of a required setting that is a URL. The file shows it, so it must hold no user or
/// password.
pub(super) fn plain_url<'a>(address: &'a Address, name: &str, what: &str) -> Result<&'a str> {
    let url = required(address, name, what)?;
    if url.contains('@') {
        return Err(Error::usage(format!(
            "{address}: expected {what} without user and password in `{name}`, found an @ in it"
        ))
        .hint(
            "the file is not secret: let the system that reads it take credentials from a secret of its own",
        ));
    }
    Ok(url)
}

/// The name of a row in errors: tenant and layer.
pub(super) fn row_name(row: &RatioRow) -> String {
    format!("{} / {}", row.tenant, row.layer)
}

/// Refuses ratios that the system cannot represent exactly. Ratios are never rounded. `step` is the
/// system's smallest step in units of 0.0001.
pub(super) fn refuse_roundings<'a>(
    ratios: impl IntoIterator<Item = (&'a RatioRow, Ratio)>,
    step: u16,
    system: &str,
    address: &Address,
) -> Result<()> {
    for (row, ratio) in ratios {
        if let Some(problem) = ratio.rounding_problem(step, system) {
            return Err(
                Error::target(address.to_string(), format!("{problem} of {}", row_name(row)))
                    .hint("give the plan a ladder in such steps, or leave this target out"),
            );
        }
    }
    Ok(())
}

/// The ratios in force, with their rows.
pub(super) fn in_force(publication: &Publication) -> impl Iterator<Item = (&RatioRow, Ratio)> {
    publication.ratios.iter().map(|row| (row, row.ratio))
}

/// The version of the flag system that assigns users: the plan's own if it is in `versions`, else
/// the first.
pub(super) fn platform_of(publication: &Publication, versions: &[Platform]) -> Platform {
    publication
        .platform()
        .filter(|platform| versions.contains(platform))
        .unwrap_or(versions[0])
}

/// Warnings if the flag system assigns users differently from the plan's evidence, and about
/// special cases of its hash.
pub(super) fn placement_warnings(publication: &Publication, platform: Platform) -> Vec<String> {
    let name = platform.name();
    let mut warnings = Profile::by_name(name, publication.flag_key(), &publication.salt)
        .map(|profile| profile.warnings())
        .unwrap_or_default();
    if publication.profile != name {
        warnings.push(format!(
            "{name} assigns users differently from the plan's profile `{}`: other users get the candidate; `sluice who --profile {name}` lists them",
            publication.profile
        ));
    }
    warnings
}

/// The warning about systems that draw at random for every request.
pub(super) fn random_warnings(system: &str) -> Vec<String> {
    vec![format!(
        "{system} draws at random for every request: a user may get both releases, and `sluice who` does not list the users who get the candidate"
    )]
}

/// Writes documents as YAML, or as JSON if the file has the extension `json`.
pub(super) fn text_of(documents: &[serde_json::Value], address: &Address) -> Result<String> {
    if Path::new(&address.rest)
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
    {
        return Ok(match documents {
            [one] => json::to_json(one),
            // Kubernetes reads several objects in JSON as a list.
            several => {
                json::to_json(&serde_json::json!({"apiVersion": "v1", "kind": "List", "items": several}))
            }
        });
    }
    let mut texts = Vec::new();
    for document in documents {
        texts.push(yaml(document).map_err(|error| {
            Error::target(
                address.to_string(),
                format!("expected a document that YAML can express, found: {error}"),
            )
        })?);
    }
    Ok(texts.join("---\n"))
}

/// Writes a document as YAML. Texts that YAML 1.1 would read as another type are quoted.
pub(super) fn yaml(document: &impl Serialize) -> Result<String, String> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(document, options).map_err(|error| error.to_string())
}
