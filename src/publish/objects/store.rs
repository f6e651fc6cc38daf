//! The interface of stores: objects by key, with conditional writes.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

use crate::base::error::Result;
use crate::base::manifest::FileEntry;
use crate::publish::publication::Publication;

/// A store of named byte strings.
pub(super) trait Store: Send {
    /// Reads a small object and its tag, which changes with the content; `None` if it does not
    /// exist.
    fn read(&self, name: &str) -> Result<Option<(Vec<u8>, String)>>;

    /// Whether an object exists with this content.
    fn has(&self, name: &str, entry: &FileEntry) -> Result<bool>;

    /// The sizes of the objects below a folder in bytes, by their paths relative to it.
    fn sizes(&self, folder: &str) -> Result<BTreeMap<String, u64>>;

    /// The names of the direct subfolders of a folder.
    fn folders(&self, folder: &str) -> Result<Vec<String>>;

    /// The time when an object was written, microseconds UTC; `None` if it does not exist.
    fn written(&self, name: &str) -> Result<Option<i64>>;

    /// Writes an object from a file.
    fn send(&self, name: &str, path: &Path, entry: &FileEntry) -> Result<()>;

    /// Writes a small object from memory.
    fn write(&self, name: &str, bytes: Vec<u8>, entry: &FileEntry) -> Result<()>;

    /// Replaces the object if its tag is `tag`, or creates it if `tag` is `None` and it does not
    /// exist. Returns whether it did; `false` if the object has changed.
    fn swap(&self, name: &str, bytes: Vec<u8>, tag: Option<&str>) -> Result<bool>;

    /// Replaces a small object, whatever it holds. A rollback waits only shortly for a writer under
    /// way.
    fn replace(&self, name: &str, bytes: Vec<u8>) -> Result<()>;

    /// Removes an object.
    fn remove(&self, name: &str) -> Result<()>;
}

/// The name of a plan's pointer.
pub(super) const CURRENT: &str = "current.json";

/// The name of the list of a version's files. It is written after all other files.
pub(super) const OBJECTS: &str = "objects.json";

pub(super) const PUBLICATION: &str = "publication.json";

/// The content of `current.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Current {
    pub(super) schema: String,
    /// The folder of the version, relative to the folder of this object.
    pub(super) folder: String,
    /// The digest of `objects.json` in that folder.
    pub(super) objects_digest: String,
    pub(super) publication: Publication,
}

/// The content of `objects.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Objects {
    pub(super) schema: String,
    pub(super) plan_id: String,
    pub(super) version: String,
    pub(super) files: BTreeMap<String, FileEntry>,
}
