//! The layer table in memory: who is in which layer, found by id.

use arrow_array::{Array, StringArray, cast::AsArray, types::Float64Type};
use arrow_cast::cast;
use arrow_schema::DataType;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable, hash_table::Entry};
use std::{hash::BuildHasher, path::Path};

use crate::{
    error::{Error, Result},
    parquet_io,
    scenario::Plan,
};

/// The tenant of rows that name none.
pub const DEFAULT_TENANT: &str = "default";

/// Users with their scores and layers, in input order, and an index from id to user.
#[derive(Default)]
pub struct Layers {
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
    fn push(&mut self, tenant: Option<&str>, user_id: &str, score: u16, eligible: bool) -> Option<usize> {
        let tenant = match self.tenant_idx(tenant) {
            Some(tenant) => tenant,
            None => {
                let (name, idx) = (tenant.unwrap_or(DEFAULT_TENANT), self.tenants.len() as u32);
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

    /// Reads a layer table, with ids of any type as text.
    ///
    /// # Errors
    /// A file that is not a layer table of this plan.
    pub fn read(path: &Path, plan: &Plan) -> Result<Self> {
        let mut layers = Self::default();
        let place = || path.display().to_string();
        parquet_io::read(path, &mut |batch| {
            let text = |name: &str| -> Result<Option<StringArray>> {
                let Some(column) = batch.column_by_name(name) else { return Ok(None) };
                let cast = cast(column, &DataType::Utf8)
                    .map_err(|error| Error::input(place(), format!("expected text in `{name}`, found: {error}")))?;
                Ok(Some(cast.as_string::<i32>().clone()))
            };
            let missing = || Error::input(place(), "expected the columns user_id, score, layer and eligible, found others");
            let (ids, names, tenants) = (text("user_id")?.ok_or_else(missing)?, text("layer")?.ok_or_else(missing)?, text("tenant_id")?);
            let scores = batch.column_by_name("score").and_then(|c| c.as_primitive_opt::<Float64Type>()).ok_or_else(missing)?;
            let eligible = batch.column_by_name("eligible").and_then(|c| c.as_boolean_opt()).ok_or_else(missing)?;
            layers.has_tenants |= tenants.is_some();
            for row in 0..batch.num_rows() {
                let known = !(ids.is_null(row) || names.is_null(row) || scores.is_null(row) || eligible.is_null(row));
                if !known || !(0.0..=1.0).contains(&scores.value(row)) {
                    return Err(Error::input(
                        place(),
                        "expected an id, a layer, a score of 0..=1 and a consent in every row, found others",
                    ));
                }
                let Some(layer) = plan.layers.iter().position(|layer| layer.id == names.value(row)) else {
                    return Err(Error::input(place(), format!("expected a layer of plan {}, found \"{}\"", plan.id, names.value(row))));
                };
                let score = (scores.value(row) * 10_000.0).round() as u16;
                let tenant = tenants.as_ref().and_then(|tenants| text_at(tenants, row));
                if layers.push(tenant, ids.value(row), score, eligible.value(row)).is_none() {
                    return Err(Error::input(place(), format!("expected one row a user, found \"{}\" twice", ids.value(row))));
                }
                layers.layer.push(layer as u8);
            }
            Ok(())
        })?;
        Ok(layers)
    }
}

/// The text of a row; null and empty are no text.
pub(super) fn text_at(values: &StringArray, row: usize) -> Option<&str> {
    (values.is_valid(row) && !values.value(row).is_empty()).then(|| values.value(row))
}
