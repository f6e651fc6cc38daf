//! The layer table in memory: who is in which layer, found by id.

use hashbrown::{DefaultHashBuilder, HashMap, HashTable, hash_table::Entry};
use std::{hash::BuildHasher, path::Path};

use super::{DEFAULT_TENANT, rows::LayerRows};
use crate::{
    error::{Error, Result},
    output, parquet_io,
    scenario::Plan,
};

/// Users with their scores and layers, in input order, and an index from id to user.
#[derive(Default)]
pub struct Layers {
    /// Digest of the file.
    pub digest: String,
    /// Names of the tenants, in order of appearance.
    pub tenants: Vec<String>,
    /// Whether the users named tenants at all.
    pub has_tenants: bool,
    /// Tenant of each user, an index.
    pub tenant: Vec<u32>,
    /// Score of each user, ten-thousandths.
    pub score: Vec<u16>,
    /// Layer of each user, an index into the plan's layers.
    pub layer: Vec<u8>,
    /// Whether each user consented to gray release.
    pub eligible: Vec<bool>,
    tenant_index: HashMap<String, u32>,
    id_bytes: String,
    id_ends: Vec<usize>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl std::fmt::Debug for Layers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layers").field("n_users", &self.n_users()).field("tenants", &self.tenants).finish_non_exhaustive()
    }
}

impl Layers {
    /// Number of users.
    pub fn n_users(&self) -> usize {
        self.id_ends.len()
    }

    /// A user's id.
    pub fn user_id(&self, user: usize) -> &str {
        let start = if user == 0 { 0 } else { self.id_ends[user - 1] };
        &self.id_bytes[start..self.id_ends[user]]
    }

    /// The user with this id, as an index.
    pub fn find(&self, tenant: Option<&str>, user_id: &str) -> Option<usize> {
        let tenant = self.tenant_idx(tenant)?;
        let hash = self.hasher.hash_one((tenant, user_id));
        self.index.find(hash, |user| self.is(*user as usize, tenant, user_id)).map(|user| *user as usize)
    }

    /// Appends a user without a layer yet; `None` if the tenant has that user already.
    fn push(&mut self, tenant: &str, user_id: &str, score: u16, eligible: bool) -> Option<usize> {
        let tenant = match self.tenant_idx(Some(tenant)) {
            Some(tenant) => tenant,
            None => {
                let (name, idx) = (tenant, self.tenants.len() as u32);
                self.tenants.push(name.to_owned());
                self.tenant_index.insert(name.to_owned(), idx);
                idx
            }
        };
        let user = self.n_users();
        let hash = self.hasher.hash_one((tenant, user_id));
        let Self { id_bytes, id_ends, tenant: tenants, hasher, index, .. } = self;
        let id_of = |user: usize| &id_bytes[if user == 0 { 0 } else { id_ends[user - 1] }..id_ends[user]];
        let is_same = |other: &u32| tenants[*other as usize] == tenant && id_of(*other as usize) == user_id;
        let rehash = |other: &u32| hasher.hash_one((tenants[*other as usize], id_of(*other as usize)));
        match index.entry(hash, is_same, rehash) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(slot) => slot.insert(user as u32),
        };
        self.id_bytes.push_str(user_id);
        self.id_ends.push(self.id_bytes.len());
        self.tenant.push(tenant);
        self.score.push(score);
        self.eligible.push(eligible);
        Some(user)
    }

    fn tenant_idx(&self, tenant: Option<&str>) -> Option<u32> {
        self.tenant_index.get(tenant.unwrap_or(DEFAULT_TENANT)).copied()
    }

    fn is(&self, user: usize, tenant: u32, user_id: &str) -> bool {
        self.tenant[user] == tenant && self.user_id(user) == user_id
    }

    /// Reads a layer table, with ids of any type as text, and its digest.
    ///
    /// # Errors
    /// A file that is not a layer table of this plan, or not the one that the plan pins.
    pub fn read(path: &Path, plan: &Plan) -> Result<Self> {
        let mut layers = Self { digest: output::sha256_of_file(path)?, ..Self::default() };
        plan.check_layers_digest(&layers.digest, path)?;
        parquet_io::read(path, &mut |batch| {
            let rows = LayerRows::of(batch, path)?;
            layers.has_tenants |= rows.tenants.is_some();
            for row in 0..rows.len() {
                let place = || path.display().to_string();
                let Some(layer) = plan.layers.iter().position(|layer| layer.id == rows.layers.value(row)) else {
                    return Err(Error::input(
                        place(),
                        format!("expected a layer of plan {}, found \"{}\"", plan.id, rows.layers.value(row)),
                    ));
                };
                let (id, tenant) = (rows.ids.value(row), rows.tenant(row));
                if layers.push(tenant, id, rows.scores[row], rows.eligible.value(row)).is_none() {
                    return Err(Error::input(place(), format!("expected one row a user, found \"{id}\" twice")));
                }
                layers.layer.push(layer as u8);
            }
            Ok(())
        })?;
        Ok(layers)
    }
}
