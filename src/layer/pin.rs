//! The check that a layer table is the one that the plan pins.

use std::path::Path;

use crate::base::digest;
use crate::base::error::{Error, Result};
use crate::scenario::Plan;

/// Refuses a layer table that is not the one the plan pins. `digest` is the table's `blake3:`
/// digest.
///
/// # Errors
/// Another digest than the plan's; a file that cannot be read, where the plan pins a `sha256:`
/// digest.
pub(crate) fn check_pinned(plan: &Plan, digest: &str, path: &Path) -> Result<()> {
    match &plan.layers_digest {
        // Pinned by hand, with the tool that every machine has.
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
