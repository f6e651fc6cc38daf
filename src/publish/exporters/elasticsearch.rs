//! Elasticsearch: the indexes behind its aliases.

use serde_json::{Value, json};

use crate::base::error::Result;
use crate::publish::address::Address;
use crate::publish::exporters::change_request;
use crate::publish::exporters::change_request::Request;
use crate::publish::exporters::format::ExportFormat;
use crate::publish::exporters::milvus::{Aliases, SETTINGS};
use crate::publish::publication::Publication;
use crate::publish::target::Desired;

/// The format `elasticsearch:FILE`: a change request of one call, which Elasticsearch applies
/// atomically. Settings are those of Milvus without `database`. `baseline` and `candidate` are
/// indexes.
pub(super) const FORMAT: ExportFormat = ExportFormat {
    kind: "elasticsearch",
    settings: &SETTINGS,
    write,
    warnings,
};

fn warnings(_publication: &Publication, _address: &Address) -> Vec<String> {
    change_request::warnings("Elasticsearch", "alias")
}

fn write(desired: &Desired<'_>, address: &Address) -> Result<String> {
    let aliases = Aliases::from_address(address)?;
    Ok(change_request::write(
        "elasticsearch",
        desired.publication,
        |stage| {
            let mut actions: Vec<Value> = Vec::new();
            for (alias, index) in aliases
                .names()
                .into_iter()
                .zip(stage.pick(aliases.baseline, aliases.candidate))
            {
                // The alias is removed from all indexes first, because an alias of two indexes
                // answers from both.
                actions.push(json!({"remove": {"index": "*", "alias": alias, "must_exist": false}}));
                actions.push(json!({"add": {"index": index, "alias": alias}}));
            }
            vec![Request {
                method: "POST",
                path: "/_aliases".into(),
                body: json!({"actions": actions}),
            }]
        },
    ))
}
