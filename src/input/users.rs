//! The users table: identity, the four features, consent, and the columns that layer rules name.

use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, StringArray, cast::AsArray};
use arrow_select::filter::filter;
use std::collections::BTreeMap;

use super::{
    batch::RowFaults,
    convert,
    source::{Part, Table},
};
use crate::{
    error::{Error, Result},
    scenario::{OnBadRow, Source, TagRule, TagTest},
};

const COLUMNS: [&str; 7] = ["user_id", "tenant_id", "last_use_time", "use_count", "user_value", "accept_score", "is_allow_gray"];

/// Users with typed columns. A feature column that the table does not have is `None`; a value that a user does not have is null.
#[derive(Debug, Clone)]
pub struct UserBatch {
    /// Unique within a tenant; never null.
    pub user_id: StringArray,
    /// Null or absent: the default tenant.
    pub tenant_id: Option<StringArray>,
    /// Epoch seconds.
    pub last_use_secs: Option<Float64Array>,
    /// Uses in the past 30 days.
    pub use_count: Option<Float64Array>,
    /// Value over the past year, in the scenario's currency.
    pub user_value: Option<Float64Array>,
    /// 0..=10.
    pub accept_score: Option<Float64Array>,
    /// Consent to gray release.
    pub is_allow_gray: Option<BooleanArray>,
    /// One column a tag rule, in the order of the layers' rules.
    pub tags: Vec<TagColumn>,
}

/// The column a tag rule looks at.
#[derive(Debug, Clone)]
pub enum TagColumn {
    /// For `equals`.
    Text(StringArray),
    /// For `at_least`.
    Real(Float64Array),
}

impl UserBatch {
    /// Users that are known by their ids only.
    pub fn of_ids(user_id: StringArray, tenant_id: Option<StringArray>) -> Self {
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

    /// Number of users.
    pub fn n_users(&self) -> usize {
        self.user_id.len()
    }
}

/// Reads a users table part by part.
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
    /// No readable file, or a column that the rules or the source name is not there.
    pub fn open(source: &Source, rules: Vec<&'a TagRule>, on_bad_row: OnBadRow) -> Result<Self> {
        let table = Table::open(source)?;
        let mut required = vec!["user_id"];
        required.extend(rules.iter().map(|rule| rule.column.as_str()));
        table.check_columns(&required)?;
        for canonical in source.columns.keys().chain(source.constants.keys()) {
            if !COLUMNS.contains(&canonical.as_str()) && !rules.iter().any(|rule| rule.column == *canonical) {
                return Err(Error::input(
                    source.path.display().to_string(),
                    format!("expected to rename one of {}, found `{canonical}`", COLUMNS.join(", ")),
                ));
            }
        }
        Ok(Self { table, rules, on_bad_row })
    }

    /// The files and their parts.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Reads one part; returns the users of each batch, with the rows left out and counted by reason.
    ///
    /// # Errors
    /// A file that cannot be read, or a bad row under the policy `error`.
    pub fn read(&self, part: Part) -> Result<(Vec<UserBatch>, BTreeMap<String, u64>)> {
        let wanted: Vec<&str> = COLUMNS.iter().copied().chain(self.rules.iter().map(|rule| rule.column.as_str())).collect();
        let mut batches = Vec::new();
        let mut counts = BTreeMap::new();
        self.table.read(part, &wanted, &mut |batch| {
            let mut faults = RowFaults::new(self.on_bad_row, batch.n_rows);
            // Numbers out of range are clamped and counted by the score, so any finite one is legal here.
            let any = f64::NEG_INFINITY;
            let Some(user_id) = convert::required_text(&batch, 0, &mut faults)? else { return Ok(()) };
            let mut tags = Vec::with_capacity(self.rules.len());
            for (offset, rule) in self.rules.iter().enumerate() {
                let idx = COLUMNS.len() + offset;
                tags.extend(match rule.test {
                    TagTest::Equals(_) => convert::text(&batch, idx)?.map(TagColumn::Text),
                    TagTest::AtLeast(_) => convert::real(&batch, idx, any, &mut faults)?.map(TagColumn::Real),
                });
            }
            let users = UserBatch {
                user_id,
                tenant_id: convert::text(&batch, 1)?,
                last_use_secs: convert::epoch_secs(&batch, 2, &mut faults)?,
                use_count: convert::real(&batch, 3, any, &mut faults)?,
                user_value: convert::real(&batch, 4, any, &mut faults)?,
                accept_score: convert::real(&batch, 5, any, &mut faults)?,
                is_allow_gray: convert::flag(&batch, 6, &mut faults)?,
                tags,
            };
            batches.push(if faults.n_bad() == 0 { users } else { without_bad(&users, &faults)? });
            for (reason, n) in faults.into_counts() {
                *counts.entry(reason).or_default() += n;
            }
            Ok(())
        })?;
        Ok((batches, counts))
    }
}

fn without_bad(users: &UserBatch, faults: &RowFaults) -> Result<UserBatch> {
    let keep: BooleanArray = (0..users.n_users()).map(|row| Some(!faults.is_bad(row))).collect();
    let pick = |array: &dyn Array| -> Result<ArrayRef> {
        filter(array, &keep).map_err(|error| Error::input("users", format!("expected rows to leave out, found: {error}")))
    };
    let texts = |array: &Option<StringArray>| -> Result<Option<StringArray>> {
        array.as_ref().map(|a| Ok(pick(a)?.as_string().clone())).transpose()
    };
    let reals = |array: &Option<Float64Array>| -> Result<Option<Float64Array>> {
        array.as_ref().map(|a| Ok(pick(a)?.as_primitive().clone())).transpose()
    };
    Ok(UserBatch {
        user_id: pick(&users.user_id)?.as_string().clone(),
        tenant_id: texts(&users.tenant_id)?,
        last_use_secs: reals(&users.last_use_secs)?,
        use_count: reals(&users.use_count)?,
        user_value: reals(&users.user_value)?,
        accept_score: reals(&users.accept_score)?,
        is_allow_gray: users.is_allow_gray.as_ref().map(|a| Ok::<_, Error>(pick(a)?.as_boolean().clone())).transpose()?,
        tags: users
            .tags
            .iter()
            .map(|tag| {
                Ok(match tag {
                    TagColumn::Text(a) => TagColumn::Text(pick(a)?.as_string().clone()),
                    TagColumn::Real(a) => TagColumn::Real(pick(a)?.as_primitive().clone()),
                })
            })
            .collect::<Result<_>>()?,
    })
}
