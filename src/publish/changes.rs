//! The users who changed between two layer tables.

use std::path::PathBuf;

#[cfg(feature = "stores")]
use crate::base::error::{Error, Result};
#[cfg(feature = "stores")]
use crate::layer::LayerFileReader;

/// The users who changed since the layer table of the night before.
#[derive(Debug, Clone)]
pub struct LayerChanges {
    /// The digest of the table that the changes start from.
    pub base: String,
    /// The path of a layer table with the users who are new or changed.
    pub changed: PathBuf,
    /// The path of a layer table with the users who are gone; `None` if they are not known.
    pub gone: Option<PathBuf>,
    /// Whether a target that holds another table than the base is refused. Otherwise all users are
    /// compared there.
    pub must_apply: bool,
}

impl LayerChanges {
    /// The number of users who are new or changed.
    #[cfg(feature = "stores")]
    pub(super) fn n_changed(&self) -> Result<u64> {
        Ok(LayerFileReader::open(&self.changed)?.n_rows())
    }

    /// Whether the changes lead from the table that the target holds to the desired one. Changes of
    /// the table that it holds already are not used.
    ///
    /// # Errors
    /// The target holds another table, and the changes must apply.
    #[cfg(feature = "stores")]
    pub(super) fn apply_to(&self, held: Option<&str>, desired: Option<&str>, address: &str) -> Result<bool> {
        if held == Some(self.base.as_str()) {
            return Ok(true);
        }
        if held == desired || !self.must_apply {
            return Ok(false);
        }
        let held = held.unwrap_or("none");
        let message = format!(
            "expected the layer table that the changes start from, {}, found {held}",
            self.base
        );
        Err(Error::target(address, message).hint("publish the whole table, without --changes"))
    }
}
