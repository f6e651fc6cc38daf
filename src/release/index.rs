//! An index of release records by tenant and release, the names that a log's rows carry.

use std::collections::BTreeMap;

use crate::input::DEFAULT_TENANT;
use crate::release::record::ReleaseRecord;

/// Stands for a release, model, prompt or feature that a row does not name.
pub(crate) const UNKNOWN: &str = "unknown";

/// Records to look up.
#[derive(Debug, Clone, Default)]
pub struct RecordIndex {
    by_release: BTreeMap<String, Vec<ReleaseRecord>>,
}

impl RecordIndex {
    /// Takes records as [`crate::release::record::read_records`] returns them.
    pub fn new(records: Vec<ReleaseRecord>) -> Self {
        let mut by_release: BTreeMap<String, Vec<ReleaseRecord>> = BTreeMap::new();
        for record in records {
            by_release
                .entry(record.release_id.clone())
                .or_default()
                .push(record);
        }
        Self { by_release }
    }

    /// The record of a tenant's release: the tenant's own, else one that names no tenant. The
    /// record itself goes before a pointer to it.
    pub fn find(&self, tenant: &str, release: &str) -> Option<&ReleaseRecord> {
        let records = self.by_release.get(release)?;
        let rank = |record: &&ReleaseRecord| match &record.tenant_id {
            Some(own) if own == tenant => Some((0, record.is_production)),
            None if tenant == DEFAULT_TENANT => Some((0, record.is_production)),
            None => Some((1, record.is_production)),
            Some(_) => None,
        };
        records
            .iter()
            .filter(|record| rank(record).is_some())
            .min_by_key(rank)
    }
}
