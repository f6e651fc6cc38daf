//! Users of several tables, and columns that are joined to them, in memory.

use arrow_array::builder::{BooleanBuilder, Float64Builder, StringBuilder};
use arrow_array::{Array, BooleanArray, Float64Array, StringArray};
use hashbrown::HashMap;
use std::collections::BTreeMap;

use crate::base::error::{Error, Result};
use crate::base::{advice, escape};
use crate::input::{Table, TagColumn, UserBatch, UserReader, tenant_at};
use crate::scenario::{CONSENT, FEATURES, Input, OnDuplicate, Source, TagRule, TagTest};

/// The users of one table.
pub(super) struct UserTable {
    pub(super) table: Table,
    pub(super) users: UserBatch,
    /// Rows that were left out, by reason.
    pub(super) bad_rows: BTreeMap<String, u64>,
}

impl UserTable {
    /// Reads a table. Columns of rules that a joined table has are not read from this one.
    ///
    /// # Errors
    /// The table cannot be read, lacks a column of a rule, or has a row that cannot be used.
    pub(super) fn read(
        source: &Source,
        rules: &[&TagRule],
        joined: Option<&Joined>,
        input: &Input,
    ) -> Result<Self> {
        let own = |rule: &&&TagRule| !joined.is_some_and(|joined| joined.has(&rule.column));
        let own: Vec<&TagRule> = rules.iter().filter(own).copied().collect();
        let reader = UserReader::open(source, own.clone(), input.on_bad_row)?;
        if let Some(joined) = joined {
            let both = FEATURES
                .into_iter()
                .chain([CONSENT])
                .find(|name| joined.has(name) && reader.table().has(name));
            if let Some(name) = both {
                return Err(Error::input(
                    source.path.display().to_string(),
                    format!(
                        "expected `{name}` in the table of users or in the joined table, found it in both"
                    ),
                )
                .hint("give one of them another name: a column that no name stands for is not read"));
            }
        }
        let (mut users, bad_rows) = read_all(&reader)?;
        // Columns of the joined table stand in their places, without values.
        if let Some(batch) = users.first() {
            let n = batch.n_users();
            let mut tags = batch.tags.clone().into_iter();
            let all = rules.iter().filter_map(|rule| {
                if joined.is_some_and(|joined| joined.has(&rule.column)) {
                    Some(no_values(rule, n))
                } else {
                    tags.next()
                }
            });
            users = vec![UserBatch {
                tags: all.collect(),
                ..batch.clone()
            }];
        }
        Ok(Self {
            table: reader.table().clone(),
            users: UserBatch::concat(&users)?,
            bad_rows,
        })
    }
}

fn no_values(rule: &TagRule, n: usize) -> TagColumn {
    match rule.test {
        TagTest::Equals(_) => TagColumn::Text(StringArray::new_null(n)),
        TagTest::AtLeast(_) => TagColumn::Real(Float64Array::new_null(n)),
    }
}

/// Reads all users of a table as one batch; none for an empty table.
fn read_all(reader: &UserReader<'_>) -> Result<(Vec<UserBatch>, BTreeMap<String, u64>)> {
    let mut batches = Vec::new();
    let mut bad_rows = BTreeMap::new();
    for part in &reader.table().parts {
        reader.read(*part, &mut |users, bad| {
            add_counts(&mut bad_rows, bad);
            batches.push(users);
            Ok(())
        })?;
    }
    let all = if batches.is_empty() {
        Vec::new()
    } else {
        vec![UserBatch::concat(&batches)?]
    };
    Ok((all, bad_rows))
}

/// Adds counts by reason.
pub(super) fn add_counts(counts: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (reason, n) in more {
        *counts.entry(reason).or_default() += n;
    }
}

/// A table whose columns are joined to users by their ids.
pub(super) struct Joined {
    table: Table,
    users: UserBatch,
    /// The row of each user, by tenant and id. The tenant is empty if the table has none.
    rows: HashMap<(String, String), usize>,
    bad_rows: BTreeMap<String, u64>,
    /// For each rule, the index of its column in `users.tags`. `None` for a rule of another table.
    tags: Vec<Option<usize>>,
}

impl Joined {
    /// Reads the table.
    ///
    /// # Errors
    /// The table cannot be read, or a user is in it twice under the policy `error`.
    pub(super) fn read(source: &Source, rules: &[&TagRule], input: &Input) -> Result<Self> {
        let found = Table::open(source)?;
        let own: Vec<&TagRule> = rules
            .iter()
            .filter(|rule| found.has(&rule.column))
            .copied()
            .collect();
        let reader = UserReader::open(source, own.clone(), input.on_bad_row)?;
        let (users, mut bad_rows) = read_all(&reader)?;
        let users = UserBatch::concat(&users)?;
        let has_tenants = users.tenant_id.is_some();
        let mut rows = HashMap::with_capacity(users.n_users());
        for row in 0..users.n_users() {
            let tenant = if has_tenants {
                tenant_at(users.tenant_id.as_ref(), row)
            } else {
                ""
            };
            let key = (tenant.to_owned(), users.user_id.value(row).to_owned());
            if rows.contains_key(&key) {
                match input.on_duplicate_user {
                    OnDuplicate::Error => {
                        return Err(Error::input(
                            source.path.display().to_string(),
                            format!("expected each user once, found {} twice", escape::value(&key.1)),
                        )
                        .hint(format!(
                            "the first row can be kept: {}",
                            advice::key("input.on_duplicate_user = \"keep_first\"").unwrap_or_default()
                        )));
                    }
                    OnDuplicate::KeepFirst => {
                        *bad_rows
                            .entry("a further row of a joined user".to_owned())
                            .or_default() += 1;
                    }
                }
            } else {
                rows.insert(key, row);
            }
        }
        let mut next = 0;
        let tags = rules
            .iter()
            .map(|rule| {
                reader.table().has(&rule.column).then(|| {
                    next += 1;
                    next - 1
                })
            })
            .collect();
        Ok(Self {
            table: reader.table().clone(),
            users,
            rows,
            bad_rows,
            tags,
        })
    }

    /// Whether the table has a canonical column.
    pub(super) fn has(&self, canonical: &str) -> bool {
        canonical != "user_id" && canonical != "tenant_id" && self.table.has(canonical)
    }

    /// Rows that were left out, by reason.
    pub(super) fn bad_rows(&self) -> BTreeMap<String, u64> {
        self.bad_rows.clone()
    }

    /// Adds the columns of the table to users. A user who is not in it has no values.
    ///
    /// # Errors
    /// No user of the table is among the users.
    pub(super) fn join(&self, users: UserBatch) -> Result<UserBatch> {
        let has_tenants = self.users.tenant_id.is_some();
        let rows: Vec<Option<usize>> = (0..users.n_users())
            .map(|row| {
                let tenant = if has_tenants {
                    tenant_at(users.tenant_id.as_ref(), row)
                } else {
                    ""
                };
                let key = (tenant.to_owned(), users.user_id.value(row).to_owned());
                self.rows.get(&key).copied()
            })
            .collect();
        if users.n_users() > 0 && !self.rows.is_empty() && rows.iter().all(Option::is_none) {
            return Err(Error::input(
                self.table.source.path.display().to_string(),
                format!(
                    "expected ids of the users, found none of {} among {}: log {}, table {}",
                    users.n_users(),
                    self.rows.len(),
                    escape::value(users.user_id.value(0)),
                    escape::value(self.users.user_id.value(0)),
                ),
            )
            .hint("the ids of both tables must be written alike; see `derive` for expressions such as lower(email)"));
        }
        let reals = |own: Option<Float64Array>, joined: &Option<Float64Array>| {
            own.or_else(|| joined.as_ref().map(|joined| pick_reals(joined, &rows)))
        };
        let mut tags = users.tags;
        for (idx, joined) in self.tags.iter().enumerate() {
            let Some(column) = joined.and_then(|column| self.users.tags.get(column)) else {
                continue;
            };
            let column = match column {
                TagColumn::Text(texts) => TagColumn::Text(pick_texts(texts, &rows)),
                TagColumn::Real(numbers) => TagColumn::Real(pick_reals(numbers, &rows)),
            };
            match tags.get_mut(idx) {
                Some(tag) => *tag = column,
                None => tags.push(column),
            }
        }
        Ok(UserBatch {
            last_use_secs: reals(users.last_use_secs, &self.users.last_use_secs),
            use_count: reals(users.use_count, &self.users.use_count),
            user_value: reals(users.user_value, &self.users.user_value),
            accept_score: reals(users.accept_score, &self.users.accept_score),
            is_allow_gray: users.is_allow_gray.or_else(|| {
                self.users
                    .is_allow_gray
                    .as_ref()
                    .map(|flags| pick_flags(flags, &rows))
            }),
            user_id: users.user_id,
            tenant_id: users.tenant_id,
            tags,
        })
    }
}

fn pick_reals(values: &Float64Array, rows: &[Option<usize>]) -> Float64Array {
    let mut picked = Float64Builder::with_capacity(rows.len());
    for row in rows {
        picked.append_option(
            row.filter(|row| values.is_valid(*row))
                .map(|row| values.value(row)),
        );
    }
    picked.finish()
}

fn pick_flags(values: &BooleanArray, rows: &[Option<usize>]) -> BooleanArray {
    let mut picked = BooleanBuilder::with_capacity(rows.len());
    for row in rows {
        picked.append_option(
            row.filter(|row| values.is_valid(*row))
                .map(|row| values.value(row)),
        );
    }
    picked.finish()
}

fn pick_texts(values: &StringArray, rows: &[Option<usize>]) -> StringArray {
    let mut picked = StringBuilder::new();
    for row in rows {
        picked.append_option(
            row.filter(|row| values.is_valid(*row))
                .map(|row| values.value(row)),
        );
    }
    picked.finish()
}
