//! The users table: identity, the four features, consent, and the columns of layer rules.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, StringArray};
use arrow_select::concat::concat;
use arrow_select::filter::filter;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::input::batch::{Batch, RowFaults};
use crate::input::table::{Part, Table};
use crate::input::{convert, partition};
use crate::scenario::{OnBadRow, Source, TagRule, TagTest};

const COLUMNS: [&str; 7] = [
    "user_id",
    "tenant_id",
    "last_use_time",
    "use_count",
    "user_value",
    "accept_score",
    "is_allow_gray",
];

/// Number of leading columns that identify a user.
const N_ID_COLUMNS: usize = 2;

/// Name of the tenant that rows without a tenant belong to.
pub const DEFAULT_TENANT: &str = "default";

/// Returns a row's tenant. A null or empty text, or a missing column, gives the default tenant.
pub fn tenant_at(tenants: Option<&StringArray>, row: usize) -> &str {
    let named = tenants
        .filter(|tenants| tenants.is_valid(row))
        .map(|tenants| tenants.value(row));
    named.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_TENANT)
}

/// Users with typed columns. A column that the table does not have is `None`. A value that a user
/// does not have is null.
#[derive(Debug, Clone)]
pub struct UserBatch {
    /// Id of the user, unique within a tenant. Never null.
    pub user_id: StringArray,
    /// Name of the tenant. Null, or a missing column, means the tenant `default`.
    pub tenant_id: Option<StringArray>,
    /// Time of the last use, epoch seconds, UTC. `None` if the table has no such column, null if
    /// the user has no value.
    pub last_use_secs: Option<Float64Array>,
    /// Number of uses in the use window, by default the past 30 days. `None` if the table has no
    /// such column, null if the user has no value.
    pub use_count: Option<Float64Array>,
    /// Value in the value window, by default the past 365 days, in the scenario's currency. `None`
    /// if the table has no such column, null if the user has no value.
    pub user_value: Option<Float64Array>,
    /// Acceptance of new versions, 0..=10. `None` if the table has no such column, null if the user
    /// has no value.
    pub accept_score: Option<Float64Array>,
    /// Consent to gray release. Null if the user has not answered.
    pub is_allow_gray: Option<BooleanArray>,
    /// Columns of the tag rules, in the order of the layers' rules.
    pub tags: Vec<TagColumn>,
}

/// The column of a tag rule.
#[derive(Debug, Clone)]
pub enum TagColumn {
    /// The texts of the column, for a rule with `equals`.
    Text(StringArray),
    /// The numbers of the column, for a rule with `at_least`.
    Real(Float64Array),
}

impl UserBatch {
    /// Makes users with ids and no features.
    pub fn from_ids(user_id: StringArray, tenant_id: Option<StringArray>) -> Self {
        Self {
            user_id,
            tenant_id,
            last_use_secs: None,
            use_count: None,
            user_value: None,
            accept_score: None,
            is_allow_gray: None,
            tags: Vec::new(),
        }
    }

    /// Joins batches. A column that some of them lack is null in their rows.
    ///
    /// # Errors
    /// The texts of a column do not fit in one array.
    pub fn concat(batches: &[Self]) -> Result<Self> {
        let joined = |arrays: Vec<ArrayRef>| -> Result<ArrayRef> {
            let arrays: Vec<&dyn Array> = arrays.iter().map(|array| array.as_ref()).collect();
            concat(&arrays).map_err(|error| {
                Error::input(
                    "users",
                    format!("expected columns that fit in memory, found: {error}"),
                )
            })
        };
        let ids = batches
            .iter()
            .map(|batch| Arc::new(batch.user_id.clone()) as ArrayRef);
        let user_id = if batches.is_empty() {
            StringArray::new_null(0)
        } else {
            joined(ids.collect())?.as_string().clone()
        };
        let texts = |of: &dyn Fn(&Self) -> Option<StringArray>| -> Result<Option<StringArray>> {
            if batches.iter().all(|batch| of(batch).is_none()) {
                return Ok(None);
            }
            let array = |batch: &Self| {
                Arc::new(of(batch).unwrap_or_else(|| StringArray::new_null(batch.n_users()))) as ArrayRef
            };
            Ok(Some(
                joined(batches.iter().map(array).collect())?.as_string().clone(),
            ))
        };
        let reals = |of: &dyn Fn(&Self) -> Option<Float64Array>| -> Result<Option<Float64Array>> {
            if batches.iter().all(|batch| of(batch).is_none()) {
                return Ok(None);
            }
            let array = |batch: &Self| {
                Arc::new(of(batch).unwrap_or_else(|| Float64Array::new_null(batch.n_users()))) as ArrayRef
            };
            Ok(Some(
                joined(batches.iter().map(array).collect())?
                    .as_primitive()
                    .clone(),
            ))
        };
        let flags = if batches.iter().all(|batch| batch.is_allow_gray.is_none()) {
            None
        } else {
            let array = |batch: &Self| {
                let flags = batch.is_allow_gray.clone();
                Arc::new(flags.unwrap_or_else(|| BooleanArray::new_null(batch.n_users()))) as ArrayRef
            };
            Some(joined(batches.iter().map(array).collect())?.as_boolean().clone())
        };
        let n_tags = batches.iter().map(|batch| batch.tags.len()).max().unwrap_or(0);
        let mut tags = Vec::with_capacity(n_tags);
        for idx in 0..n_tags {
            let text = |batch: &Self| match batch.tags.get(idx) {
                Some(TagColumn::Text(texts)) => Some(texts.clone()),
                _ => None,
            };
            let real = |batch: &Self| match batch.tags.get(idx) {
                Some(TagColumn::Real(numbers)) => Some(numbers.clone()),
                _ => None,
            };
            tags.extend(
                texts(&text)?
                    .map(TagColumn::Text)
                    .or(reals(&real)?.map(TagColumn::Real)),
            );
        }
        Ok(Self {
            user_id,
            tenant_id: texts(&|batch| batch.tenant_id.clone())?,
            last_use_secs: reals(&|batch| batch.last_use_secs.clone())?,
            use_count: reals(&|batch| batch.use_count.clone())?,
            user_value: reals(&|batch| batch.user_value.clone())?,
            accept_score: reals(&|batch| batch.accept_score.clone())?,
            is_allow_gray: flags,
            tags,
        })
    }

    /// Returns the number of users.
    pub fn n_users(&self) -> usize {
        self.user_id.len()
    }

    /// Returns the bytes of all texts, and eight bytes a user for each other column.
    pub(crate) fn n_bytes(&self) -> usize {
        let text = |texts: &StringArray| {
            let offsets = texts.value_offsets();
            (offsets[texts.len()] - offsets[0]) as usize + size_of::<i32>() * texts.len()
        };
        let n_numbers = [
            self.last_use_secs.is_some(),
            self.use_count.is_some(),
            self.user_value.is_some(),
            self.accept_score.is_some(),
        ];
        let tags = self.tags.iter().map(|tag| match tag {
            TagColumn::Text(texts) => text(texts),
            TagColumn::Real(numbers) => size_of::<f64>() * numbers.len(),
        });
        let n_numbers = n_numbers.into_iter().filter(|is_there| *is_there).count();
        text(&self.user_id)
            + self.tenant_id.as_ref().map_or(0, text)
            + n_numbers * size_of::<f64>() * self.n_users()
            + tags.sum::<usize>()
    }

    /// Returns the users that `keep` marks.
    ///
    /// # Errors
    /// `keep` has another length than the batch.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self> {
        let pick = |array: &dyn Array| -> Result<ArrayRef> {
            filter(array, keep)
                .map_err(|error| Error::input("users", format!("expected rows to leave out, found: {error}")))
        };
        self.map(&pick)
    }

    /// Returns `n_users` consecutive users from `start` on. The range must lie within the batch.
    ///
    /// # Errors
    /// Never.
    pub fn slice(&self, start: usize, n_users: usize) -> Result<Self> {
        self.map(&|array| Ok(array.slice(start, n_users)))
    }

    fn map(&self, pick: &dyn Fn(&dyn Array) -> Result<ArrayRef>) -> Result<Self> {
        let texts = |array: &Option<StringArray>| -> Result<Option<StringArray>> {
            array
                .as_ref()
                .map(|a| Ok(pick(a)?.as_string().clone()))
                .transpose()
        };
        let reals = |array: &Option<Float64Array>| -> Result<Option<Float64Array>> {
            array
                .as_ref()
                .map(|a| Ok(pick(a)?.as_primitive().clone()))
                .transpose()
        };
        let tags = self.tags.iter().map(|tag| {
            Ok(match tag {
                TagColumn::Text(a) => TagColumn::Text(pick(a)?.as_string().clone()),
                TagColumn::Real(a) => TagColumn::Real(pick(a)?.as_primitive().clone()),
            })
        });
        Ok(Self {
            user_id: pick(&self.user_id)?.as_string().clone(),
            tenant_id: texts(&self.tenant_id)?,
            last_use_secs: reals(&self.last_use_secs)?,
            use_count: reals(&self.use_count)?,
            user_value: reals(&self.user_value)?,
            accept_score: reals(&self.accept_score)?,
            is_allow_gray: self
                .is_allow_gray
                .as_ref()
                .map(|a| Ok::<_, Error>(pick(a)?.as_boolean().clone()))
                .transpose()?,
            tags: tags.collect::<Result<_>>()?,
        })
    }
}

/// A receiver of users, and of the numbers of rows left out before them, by reason.
pub type OnUsers<'a> = dyn FnMut(UserBatch, BTreeMap<String, u64>) -> Result<()> + 'a;

/// A reader of a users table, part by part.
#[derive(Debug)]
pub struct UserReader<'a> {
    table: Table,
    rules: Vec<&'a TagRule>,
    on_bad_row: OnBadRow,
}

impl<'a> UserReader<'a> {
    /// Opens the table. `rules` are all tag rules, in layer order.
    ///
    /// # Errors
    /// There is no readable file, a column of the rules or a renamed column is missing, or the
    /// source renames an unknown column.
    pub fn open(source: &Source, rules: Vec<&'a TagRule>, on_bad_row: OnBadRow) -> Result<Self> {
        let table = Table::open(source)?;
        partition::check_one_day(source, table.files.iter().map(|file| &file.partition))?;
        let mut required = vec!["user_id"];
        required.extend(rules.iter().map(|rule| rule.column.as_str()));
        table.check_names(
            COLUMNS
                .into_iter()
                .chain(rules.iter().map(|rule| rule.column.as_str())),
        )?;
        table.check_columns(&required)?;
        Ok(Self {
            table,
            rules,
            on_bad_row,
        })
    }

    /// Returns the files and their parts.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Returns the canonical names of all columns except the user id. A user's layer depends on
    /// them.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        COLUMNS
            .iter()
            .skip(1)
            .copied()
            .chain(self.rules.iter().map(|rule| rule.column.as_str()))
    }

    /// Reads one part, batch by batch.
    ///
    /// # Errors
    /// The file cannot be read, a row is bad under the policy `error`, or `on_users` fails.
    pub fn read(&self, part: Part, on_users: &mut OnUsers<'_>) -> Result<()> {
        self.read_columns(part, COLUMNS.len() + self.rules.len(), on_users)
    }

    /// Reads ids and tenants only, like [`Self::read`]. All other columns are `None`.
    ///
    /// # Errors
    /// The same as for [`Self::read`].
    pub fn read_ids(&self, part: Part, on_users: &mut OnUsers<'_>) -> Result<()> {
        self.read_columns(part, N_ID_COLUMNS, on_users)
    }

    /// Returns the policy for rows that cannot be used.
    pub fn on_bad_row(&self) -> OnBadRow {
        self.on_bad_row
    }

    fn read_columns(&self, part: Part, n_columns: usize, on_users: &mut OnUsers<'_>) -> Result<()> {
        let all = COLUMNS
            .iter()
            .copied()
            .chain(self.rules.iter().map(|rule| rule.column.as_str()));
        let wanted: Vec<&str> = all.take(n_columns).collect();
        self.table.read(part, &wanted, &mut |batch| {
            let mut faults = batch.faults(self.on_bad_row)?;
            let Some(user_id) = convert::required_text(&batch, 0, &mut faults)? else {
                return Ok(());
            };
            let mut users = UserBatch::from_ids(user_id, convert::text(&batch, 1)?);
            if n_columns > N_ID_COLUMNS {
                self.read_features(&batch, &mut users, &mut faults)?;
            }
            if faults.n_bad() > 0 {
                let keep: BooleanArray = (0..users.n_users())
                    .map(|row| Some(!faults.is_bad(row)))
                    .collect();
                users = users.filter(&keep)?;
            }
            on_users(users, faults.into_counts())
        })
    }

    fn read_features(&self, batch: &Batch<'_>, users: &mut UserBatch, faults: &mut RowFaults) -> Result<()> {
        // The score clamps and counts numbers out of range, so any finite number is legal here.
        let any = f64::NEG_INFINITY;
        for (offset, rule) in self.rules.iter().enumerate() {
            let idx = COLUMNS.len() + offset;
            users.tags.extend(match rule.test {
                TagTest::Equals(_) => convert::text(batch, idx)?.map(TagColumn::Text),
                TagTest::AtLeast(_) => convert::real(batch, idx, any, faults)?.map(TagColumn::Real),
            });
        }
        users.last_use_secs = convert::epoch_secs(batch, 2, faults)?;
        users.use_count = convert::real(batch, 3, any, faults)?;
        users.user_value = convert::real(batch, 4, any, faults)?;
        users.accept_score = convert::real(batch, 5, any, faults)?;
        users.is_allow_gray = convert::flag(batch, 6, faults)?;
        Ok(())
    }
}
