//! Paths that other machines know.

use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};

/// A path that does not depend on the working folder. Addresses of stores stay.
///
/// # Errors
/// When the working folder is not known.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    if path.to_string_lossy().contains("://") {
        return Ok(path.to_owned());
    }
    // The folder of a file without one is the working folder.
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    std::path::absolute(path).map_err(|error| Error::read(path, error))
}
