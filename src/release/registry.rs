//! The registry of known releases by digest. A record must not change under its id.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

use crate::base::error::{Error, Result};
use crate::base::json;
use crate::input::DEFAULT_TENANT;
use crate::release::record::ReleaseRecord;

const SCHEMA: &str = "sluice.releases/1";

/// The document `releases.json`: the digests of records by tenant and release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    schema: String,
    releases: BTreeMap<String, BTreeMap<String, String>>,
}

/// The result of looking up a record in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// The record was unknown and has been added.
    New,
    /// The record is known: the registry has its id with the same digest.
    Same,
    /// The registry has another record under this id. The text is the digest of that record.
    Changed(String),
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            schema: SCHEMA.into(),
            releases: BTreeMap::new(),
        }
    }
}

impl Registry {
    /// Reads a registry; an empty one if the file does not exist.
    ///
    /// # Errors
    /// An unreadable file or another document.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let registry: Self = json::read_json(path)?;
        if registry.schema != SCHEMA {
            return Err(Error::in_file(
                path,
                format!("expected {SCHEMA}, found {}", registry.schema),
            ));
        }
        Ok(registry)
    }

    /// Looks up a record, and adds it if its id is new.
    pub fn record(&mut self, record: &ReleaseRecord) -> Registration {
        let tenant = record
            .tenant_id
            .clone()
            .unwrap_or_else(|| DEFAULT_TENANT.to_owned());
        // A record without a tenant may belong to any tenant. Leaving out the tenant must not make
        // a changed record look new.
        let elsewhere = self
            .releases
            .iter()
            .filter(|(other, _)| **other != tenant)
            .find_map(|(_, known)| known.get(&record.release_id));
        if let Some(digest) =
            elsewhere.filter(|digest| record.tenant_id.is_none() && **digest != record.digest)
        {
            return Registration::Changed(digest.clone());
        }
        let known = self.releases.entry(tenant).or_default();
        match known.get(&record.release_id) {
            None => {
                known.insert(record.release_id.clone(), record.digest.clone());
                Registration::New
            }
            Some(digest) if *digest == record.digest => Registration::Same,
            Some(digest) => Registration::Changed(digest.clone()),
        }
    }
}
