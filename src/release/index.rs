//! The index of release records by tenant and release, as the rows of a log name them.

use std::collections::BTreeMap;

use crate::input::DEFAULT_TENANT;
use crate::release::record::ReleaseRecord;

/// The name for a missing release, model, prompt or feature in a row.
pub(crate) const UNKNOWN: &str = "unknown";

/// Release records, indexed by release id.
#[derive(Debug, Clone, Default)]
pub struct RecordIndex {
    by_release: BTreeMap<String, Vec<ReleaseRecord>>,
}

impl RecordIndex {
    /// Indexes records from [`crate::release::record::read_records`].
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

    /// Finds the record of a tenant's release; `None` if there is none. A record of the tenant
    /// takes precedence over a record without a tenant, and a plain record over a `prod_pointer`.
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
