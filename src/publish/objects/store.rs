//! A store of objects by key, with conditional writes.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

use crate::base::error::Result;
use crate::base::manifest::FileEntry;
use crate::publish::publication::Publication;

/// A place for named bytes.
pub(super) trait Store: Send {
    /// A small object, and a tag that changes with its content; `None` if it is not there.
    fn read(&self, name: &str) -> Result<Option<(Vec<u8>, String)>>;

    /// Whether an object is there with this content.
    fn has(&self, name: &str, entry: &FileEntry) -> Result<bool>;

    /// Sizes of the objects below a folder, by their names.
    fn sizes(&self, folder: &str) -> Result<BTreeMap<String, u64>>;

    /// Folders right below a folder.
    fn folders(&self, folder: &str) -> Result<Vec<String>>;

    /// When an object was written, microseconds; `None` if it is not there.
    fn written(&self, name: &str) -> Result<Option<i64>>;

    /// Writes an object from a file.
    fn send(&self, name: &str, path: &Path, entry: &FileEntry) -> Result<()>;

    /// Writes a small object.
    fn write(&self, name: &str, bytes: Vec<u8>, entry: &FileEntry) -> Result<()>;

    /// Replaces the object of this tag, or makes the first one; `false` if another is there.
    fn swap(&self, name: &str, bytes: Vec<u8>, tag: Option<&str>) -> Result<bool>;

    /// Removes an object.
    fn remove(&self, name: &str) -> Result<()>;
}

/// The pointer of a plan.
pub(super) const CURRENT: &str = "current.json";

/// What a version consists of; written after everything else of it.
pub(super) const OBJECTS: &str = "objects.json";

pub(super) const PUBLICATION: &str = "publication.json";

/// `current.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Current {
    pub(super) schema: String,
    /// The version's folder, beside this object.
    pub(super) folder: String,
    /// Digest of the folder's `objects.json`.
    pub(super) objects_digest: String,
    pub(super) publication: Publication,
}

/// `objects.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Objects {
    pub(super) schema: String,
    pub(super) plan_id: String,
    pub(super) version: String,
    pub(super) files: BTreeMap<String, FileEntry>,
}
