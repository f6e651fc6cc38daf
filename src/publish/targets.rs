//! The kinds of targets, and the opening of targets by address.

use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::publish::address::Address;
use crate::publish::document;
use crate::publish::exporters::catalog::FORMATS;
use crate::publish::objects::target::ObjectTarget;
#[cfg(feature = "stores")]
use crate::publish::postgres::target::Postgres;
#[cfg(feature = "stores")]
use crate::publish::redis::target::Redis;
use crate::publish::target::Target;

/// The names of the kinds of targets, as in addresses.
pub fn kinds() -> Vec<&'static str> {
    let mut kinds = vec![
        "folder",
        "file",
        "s3",
        "redis",
        "rediss",
        "postgres",
        "postgresql",
    ];
    kinds.extend(FORMATS.iter().map(|format| format.kind));
    kinds
}

/// Opens the targets of the given addresses. `limit` is the longest time to wait for one answer.
/// Stores are not contacted yet.
///
/// # Errors
/// An unknown kind, a bad setting, a kind that this build lacks, or two targets with one address or
/// file.
pub fn open(addresses: &[String], limit: Duration) -> Result<Vec<Box<dyn Target>>> {
    #[cfg(not(feature = "stores"))]
    let _ = limit;
    let kinds = kinds();
    let mut targets: Vec<Box<dyn Target>> = Vec::new();
    for text in addresses {
        let address = Address::parse(text, &kinds)?;
        let target: Box<dyn Target> = match address.kind.as_str() {
            "folder" | "file" | "s3" => Box::new(ObjectTarget::open(&address)?),
            #[cfg(feature = "stores")]
            "redis" | "rediss" => Box::new(Redis::open(address, limit)?),
            #[cfg(feature = "stores")]
            "postgres" | "postgresql" => Box::new(Postgres::open(&address, limit)?),
            #[cfg(not(feature = "stores"))]
            kind @ ("redis" | "rediss" | "postgres" | "postgresql") => {
                return Err(crate::publish::target::without_stores(kind));
            }
            kind => match FORMATS.iter().find(|format| format.kind == kind) {
                Some(format) => Box::new(document::DocumentTarget::open(format, address)?),
                None => {
                    return Err(Error::usage(format!(
                        "expected a target of {}, found `{kind}`",
                        kinds.join(", ")
                    )));
                }
            },
        };
        if targets.iter().any(|other| {
            other.address() == target.address() || (other.file().is_some() && other.file() == target.file())
        }) {
            return Err(Error::usage(format!(
                "expected every target once, found {} twice",
                target.address()
            )));
        }
        targets.push(target);
    }
    Ok(targets)
}
