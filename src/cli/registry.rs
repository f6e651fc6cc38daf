//! The registry of release digests that `--registry` names: reads it, and adds a record that is
//! new.

use std::path::Path;

use crate::base::error::Result;
use crate::base::json;
use crate::release::{Registration, Registry, ReleaseRecord};

/// Registers a release record and returns what the registry knew of it. A known entry is never
/// overwritten.
///
/// # Errors
/// A registry that cannot be read or written.
pub(super) fn register(path: &Path, record: &ReleaseRecord) -> Result<Registration> {
    let mut registry = Registry::open(path)?;
    let seen = registry.record(record);
    if seen == Registration::New {
        json::write_json(path, &registry)?;
    }
    Ok(seen)
}
