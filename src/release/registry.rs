//! The registry of seen releases by digest: a record may not change under its id.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

use crate::base::error::{Error, Result};
use crate::base::json;
use crate::input::DEFAULT_TENANT;
use crate::release::record::ReleaseRecord;

const SCHEMA: &str = "sluice.releases/1";

/// `releases.json`: by tenant and release, the digest of its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    schema: String,
    releases: BTreeMap<String, BTreeMap<String, String>>,
}

/// What a registry knew of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// Nothing: it knows it now.
    New,
    /// The same record.
    Same,
    /// Another record under the same id, with this digest.
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
    /// Reads a registry; an empty one if the file is not there yet.
    ///
    /// # Errors
    /// A file that holds something else.
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

    /// Looks a record up, and adds it if it is new.
    pub fn record(&mut self, record: &ReleaseRecord) -> Registration {
        let tenant = record
            .tenant_id
            .clone()
            .unwrap_or_else(|| DEFAULT_TENANT.to_owned());
        // A record that names no tenant may be anybody's: it must not pass for a new one by leaving
        // its tenant out.
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
