//! Milvus: the collections behind its aliases.

use serde_json::json;

use crate::base::error::{Error, Result};
use crate::publish::address::Address;
use crate::publish::exporters::change_request;
use crate::publish::exporters::change_request::Request;
use crate::publish::exporters::format::{ExportFormat, required};
use crate::publish::publication::Publication;
use crate::publish::target::Desired;

/// The settings of systems whose indexes have aliases:
/// - `alias`: the alias for all users (required).
/// - `baseline` and `candidate`: the collections or indexes behind the aliases (required).
/// - `candidate_alias`: the alias for users who get the candidate (default: the alias with the
///   suffix `_candidate`).
pub(super) const SETTINGS: [&str; 4] = ["alias", "baseline", "candidate", "candidate_alias"];

/// The format `milvus:FILE`: a change request with the settings [`SETTINGS`] and `database`. Both
/// aliases must exist.
pub(super) const FORMAT: ExportFormat = ExportFormat {
    kind: "milvus",
    settings: &["alias", "baseline", "candidate", "candidate_alias", "database"],
    write,
    warnings,
};

fn warnings(_publication: &Publication, _address: &Address) -> Vec<String> {
    change_request::warnings("Milvus", "alias")
}

fn write(desired: &Desired<'_>, address: &Address) -> Result<String> {
    let aliases = Aliases::from_address(address)?;
    Ok(change_request::write("milvus", desired.publication, |stage| {
        aliases
            .names()
            .into_iter()
            .zip(stage.pick(aliases.baseline, aliases.candidate))
            .map(|(alias, collection)| {
                let mut body = json!({"aliasName": alias, "collectionName": collection});
                if let Some(database) = address.get("database") {
                    body["dbName"] = json!(database);
                }
                Request {
                    method: "POST",
                    path: "/v2/vectordb/aliases/alter".into(),
                    body,
                }
            })
            .collect()
    }))
}

/// The values of [`SETTINGS`].
pub(super) struct Aliases<'a> {
    alias: &'a str,
    candidate_alias: String,
    /// The collection or index of the baseline.
    pub(super) baseline: &'a str,
    /// The collection or index of the candidate.
    pub(super) candidate: &'a str,
}

impl<'a> Aliases<'a> {
    pub(super) fn from_address(address: &'a Address) -> Result<Self> {
        let alias = required(address, "alias", "the alias")?;
        let baseline = required(address, "baseline", "what the baseline uses")?;
        let candidate = required(address, "candidate", "what the candidate uses")?;
        let candidate_alias = address
            .get("candidate_alias")
            .map_or_else(|| format!("{alias}_candidate"), str::to_owned);
        let names = [alias, &candidate_alias, baseline, candidate];
        for (idx, name) in names.iter().enumerate() {
            // Both releases may use the same collection or index.
            if idx < 3 && names[..idx].contains(name) || idx == 3 && names[..2].contains(name) {
                return Err(Error::usage(format!(
                    "{address}: expected different names for the two aliases and their targets, found `{name}` twice"
                )));
            }
        }
        Ok(Self {
            alias,
            candidate_alias,
            baseline,
            candidate,
        })
    }

    /// The alias for all users, and the alias for users who get the candidate.
    pub(super) fn names(&self) -> [&str; 2] {
        [self.alias, &self.candidate_alias]
    }
}
