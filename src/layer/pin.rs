//! Checks that a layer table is the one that the plan pins.

use std::path::Path;

use crate::base::digest;
use crate::base::error::{Error, Result};
use crate::scenario::Plan;

/// Refuses a layer table that is not the one that the plan pins. `digest` is the table's `blake3:`
/// digest. A plan without a pinned digest accepts every table.
///
/// # Errors
/// When the digests differ, or when the plan pins a `sha256:` digest and the file cannot be read.
pub(crate) fn check_pinned(plan: &Plan, digest: &str, path: &Path) -> Result<()> {
    match &plan.layers_digest {
        // SHA-256 is accepted for plans that are pinned by hand, because common tools compute it.
        Some(pinned) if pinned.starts_with("sha256:") && digest::sha256_of_file(path)? == *pinned => Ok(()),
        Some(pinned) if pinned != digest => Err(Error::in_file(
            path,
            format!(
                "expected the layer table that plan {} pins, {pinned}, found {digest}",
                plan.id
            ),
        )
        .hint("layers are frozen at the plan's start: use the table of that night, or start a new plan")),
        _ => Ok(()),
    }
}
