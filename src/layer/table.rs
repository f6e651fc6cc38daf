//! The layer table in memory: each user's layer.

use std::path::Path;

use crate::base::error::{Error, Result};
use crate::base::interner::NameIndex;
use crate::base::{digest, parquet_io};
use crate::layer::pin::check_pinned;
use crate::layer::rows::LayerRows;
use crate::scenario::Plan;

/// Users with their scores and layers, in input order.
#[derive(Default)]
pub struct Layers {
    /// The file's digest, `blake3:` and hexadecimal digits.
    pub digest: String,
    tenants: NameIndex,
    /// Whether the table has a tenant column.
    pub has_tenants: bool,
    /// The tenant of each user, an index into [`Self::tenants()`].
    pub tenant: Vec<u32>,
    /// The score of each user, in ten-thousandths, 0..=10000.
    pub score: Vec<u16>,
    /// The layer of each user, an index into the plan's layers.
    pub layer: Vec<u8>,
    /// Whether each user consented to gray release.
    pub eligible: Vec<bool>,
    id_bytes: String,
    id_ends: Vec<usize>,
}

impl std::fmt::Debug for Layers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layers")
            .field("n_users", &self.n_users())
            .field("tenants", &self.tenants.names())
            .finish_non_exhaustive()
    }
}

impl Layers {
    /// The number of users.
    pub fn n_users(&self) -> usize {
        self.id_ends.len()
    }

    /// The names of the tenants, in order of first appearance.
    pub fn tenants(&self) -> &[String] {
        self.tenants.names()
    }

    /// The id of the user with this index.
    pub fn user_id(&self, user: usize) -> &str {
        let start = if user == 0 { 0 } else { self.id_ends[user - 1] };
        &self.id_bytes[start..self.id_ends[user]]
    }

    /// Appends a user.
    fn push(&mut self, tenant: &str, user_id: &str, score: u16, eligible: bool, layer: u8) {
        let tenant = self.tenants.number(tenant);
        self.id_bytes.push_str(user_id);
        self.id_ends.push(self.id_bytes.len());
        self.tenant.push(tenant);
        self.score.push(score);
        self.eligible.push(eligible);
        self.layer.push(layer);
    }

    /// Reads a layer table and its digest. Ids of any type become text.
    ///
    /// # Errors
    /// When the file cannot be read, is not a layer table, names a layer that the plan does not
    /// have, or is not the table that the plan pins.
    pub fn read(path: &Path, plan: &Plan) -> Result<Self> {
        let mut layers = Self {
            digest: digest::blake3_of_file(path)?,
            ..Self::default()
        };
        check_pinned(plan, &layers.digest, path)?;
        parquet_io::read(path, &mut |batch| {
            let rows = LayerRows::from_batch(batch, path)?;
            layers.has_tenants |= rows.tenants.is_some();
            for row in 0..rows.len() {
                let location = || path.display().to_string();
                let Some(layer) = plan.layer_idx(rows.layers.value(row)) else {
                    return Err(Error::input(
                        location(),
                        format!(
                            "expected a layer of plan {}, found \"{}\"",
                            plan.id,
                            rows.layers.value(row)
                        ),
                    ));
                };
                let (id, tenant) = (rows.ids.value(row), rows.tenant(row));
                layers.push(
                    tenant,
                    id,
                    rows.scores[row],
                    rows.eligible.value(row),
                    layer as u8,
                );
            }
            Ok(())
        })?;
        Ok(layers)
    }
}
