//! Turns for the replay kernel: up to 1,024 rows at a time, with integer columns and hashed ids.

use arrow_array::{Array, BooleanArray, Int64Array, StringArray};
use hashbrown::HashSet;
use std::cell::RefCell;
use std::ops::Range;

use crate::base::error::{Error, Result};
use crate::base::time::Micros;
use crate::base::{advice, bitmap, hash};
use crate::bucket::BucketHasher;
use crate::input::fast_scan::{STEP, STEP_WORDS, low_bits};
use crate::input::traffic::TrafficBatch;
use crate::input::users::{DEFAULT_TENANT, tenant_at};

/// The names in a log that get codes: releases and layers of a plan.
#[derive(Debug, Clone)]
pub(crate) struct NameCodes<'a> {
    pub(crate) baseline: &'a str,
    pub(crate) candidate: &'a str,
    /// Ids of the layers, in plan order.
    pub(crate) layers: Vec<&'a str>,
    /// Times for which a row of an unknown release is an error, unless it is a shadow row. `None`
    /// if such rows are only counted.
    pub(crate) refuse_unknown_release: Option<Range<Micros>>,
    /// Seed of the hashes of user ids.
    pub(crate) seed: u64,
    /// Whether trace ids are needed.
    pub(crate) wants_traces: bool,
    /// Whether sessions are counted.
    pub(crate) wants_sessions: bool,
    /// The buckets of users, if they are needed.
    pub(crate) buckets: Option<BucketHasher<'a>>,
}

/// Codes of [`Turns::release`].
pub(crate) mod release {
    use crate::base::hash;

    pub(crate) const BASELINE: i64 = 0;
    pub(crate) const CANDIDATE: i64 = 1;
    /// The row names no release.
    pub(crate) const NONE: i64 = 2;

    /// The code of a release that is neither baseline nor candidate. It is above the other codes.
    pub(crate) fn other(id: &[u8]) -> i64 {
        if id.is_empty() {
            NONE
        } else {
            (hash::hash_id(id) >> 2) as i64 + NONE + 1
        }
    }
}

/// Codes of [`Turns::layer`] for rows without a layer of the plan.
pub(crate) mod served_layer {
    /// The row records no layer.
    pub(crate) const NONE: i64 = -1;
    /// The row records a layer that the plan does not have.
    pub(crate) const UNKNOWN: i64 = -2;
}

impl NameCodes<'_> {
    pub(super) fn release(&self, id: &[u8]) -> i64 {
        match id {
            id if id == self.baseline.as_bytes() => release::BASELINE,
            id if id == self.candidate.as_bytes() => release::CANDIDATE,
            id => release::other(id),
        }
    }

    /// Returns the first row whose unknown release is an error. `None` if there is no such row.
    pub(super) fn find_refused(&self, turns: &Turns) -> Option<usize> {
        let known = self.refuse_unknown_release.as_ref()?;
        let is_refused = |row: &usize| {
            turns.release.values[*row] >= release::NONE
                && known.contains(&turns.at.values[*row])
                && turns.is_shadow.values[*row] == 0
                && !bitmap::is_set(&turns.bad, *row)
        };
        (0..turns.n).find(is_refused)
    }

    pub(super) fn layer(&self, id: &[u8]) -> i64 {
        if id.is_empty() {
            return served_layer::NONE;
        }
        self.layers
            .iter()
            .position(|layer| layer.as_bytes() == id)
            .map_or(served_layer::UNKNOWN, |idx| idx as i64)
    }
}

/// A column of a step.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// The value that is written for a missing value.
    pub(super) missing: i64,
    pub(crate) values: Vec<i64>,
    /// Bitmap of the rows without a value.
    pub(crate) absent: [u64; STEP_WORDS],
    pub(crate) n_absent: usize,
}

impl Column {
    pub(crate) fn new(missing: i64) -> Self {
        Self {
            missing,
            values: vec![missing; STEP],
            absent: [u64::MAX; STEP_WORDS],
            n_absent: STEP,
        }
    }

    /// Whether a row has no value.
    pub(crate) fn is_absent(&self, row: usize) -> bool {
        bitmap::is_set(&self.absent, row)
    }

    /// Sets or removes a row's value.
    pub(crate) fn put(&mut self, row: usize, value: Option<i64>) {
        self.n_absent -= usize::from(self.is_absent(row));
        self.values[row] = value.unwrap_or(self.missing);
        bitmap::clear(&mut self.absent, row);
        if value.is_none() {
            bitmap::set(&mut self.absent, row);
            self.n_absent += 1;
        }
    }

    /// Sets the first `n` rows of a step. A row for which `value` returns `None` has no value.
    pub(super) fn fill_with(&mut self, n: usize, value: impl Fn(usize) -> Option<i64>) {
        (self.absent, self.n_absent) = ([0; STEP_WORDS], 0);
        for row in 0..n {
            let value = value(row);
            self.values[row] = value.unwrap_or(self.missing);
            if value.is_none() {
                bitmap::set(&mut self.absent, row);
                self.n_absent += 1;
            }
        }
    }

    pub(super) fn fill_absent(&mut self, n: usize) {
        self.values[..n].fill(self.missing);
        (self.absent, self.n_absent) = ([u64::MAX; STEP_WORDS], n);
    }
}

/// A step of a log: up to [`STEP`] turns.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    pub(crate) n: usize,
    /// Time of the turn, microseconds, UTC. Absent only if the reader does not require it.
    pub(crate) at: Column,
    /// Hash of the user's id. [`hash::EMPTY`] for a row without a user.
    pub(crate) user: Column,
    /// Bucket of the user. Without values unless [`NameCodes::buckets`] are there.
    pub(crate) bucket: Column,
    /// Hash of the tenant's name.
    pub(crate) tenant: Column,
    /// The release that answered, as a code of [`release`].
    pub(crate) release: Column,
    /// Index of the layer that production recorded, or a code of [`served_layer`].
    pub(crate) layer: Column,
    pub(crate) is_shadow: Column,
    pub(crate) is_eval: Column,
    /// Hash of the request's id.
    pub(crate) trace: Column,
    /// Hash of the session's id.
    pub(crate) session: Column,
    /// Probability with which the release answered, in millionths: 1,000,000 is certainty.
    pub(crate) propensity: Column,
    /// Measured columns in the reader's order, as integers: nano-USD for money, millionths for real
    /// numbers. A missing value is 0.
    pub(crate) measured: Vec<Column>,
    /// Hashes of the texts in the columns of breakdowns.
    pub(crate) breakdowns: Vec<Column>,
    /// New texts of the columns of breakdowns, one list per column: the texts that no earlier step
    /// of the part has, each with its hash.
    pub(crate) names: Vec<Vec<(i64, String)>>,
    /// Values that are not 0 and are stored as 0: the index in `measured`, and the row.
    pub(crate) below_resolution: Vec<(usize, u16)>,
    /// Bitmap of the rows that are left out.
    pub(crate) bad: [u64; STEP_WORDS],
}

impl Turns {
    pub(crate) fn new(n_measured: usize, n_breakdowns: usize) -> Self {
        let column = || Column::new(0);
        Self {
            n: 0,
            at: column(),
            user: column(),
            bucket: column(),
            tenant: Column::new(hash::hash_id(DEFAULT_TENANT.as_bytes()) as i64),
            release: Column::new(release::NONE),
            layer: Column::new(served_layer::NONE),
            is_shadow: column(),
            is_eval: column(),
            trace: column(),
            session: column(),
            propensity: column(),
            measured: vec![column(); n_measured],
            breakdowns: vec![column(); n_breakdowns],
            names: vec![Vec::new(); n_breakdowns],
            below_resolution: Vec::new(),
            bad: [0; STEP_WORDS],
        }
    }

    /// Whether a row names its user. Always so if the reader requires users.
    pub(crate) fn has_user(&self, row: usize) -> bool {
        self.user.values[row] as u64 != hash::EMPTY
    }

    /// Returns the hash of a row's tenant and user.
    pub(crate) fn user_hash(&self, row: usize) -> u64 {
        hash::join(self.tenant.values[row] as u64, self.user.values[row] as u64)
    }
}

/// A receiver of turns.
pub(crate) type OnTurns<'a> = dyn FnMut(&mut Turns) -> Result<()> + 'a;

/// The texts behind hashes, each reported once.
#[derive(Default)]
pub(super) struct Spellings {
    known: RefCell<HashSet<i64>>,
    new: RefCell<Vec<(i64, String)>>,
}

impl Spellings {
    pub(super) fn hash(&self, text: &[u8]) -> i64 {
        let hash = hash::hash_id(text) as i64;
        if self.known.borrow_mut().insert(hash) {
            self.new
                .borrow_mut()
                .push((hash, String::from_utf8_lossy(text).into_owned()));
        }
        hash
    }

    pub(super) fn take(&self, names: &mut Vec<(i64, String)>) {
        names.append(&mut self.new.borrow_mut());
    }
}

impl Turns {
    /// Copies `n` rows of a batch, from `start` on.
    pub(super) fn fill(
        &mut self,
        batch: &TrafficBatch<'_>,
        start: usize,
        n: usize,
        names: &NameCodes<'_>,
        name_of_release: &str,
    ) -> Result<()> {
        let text_at = |texts: Option<&StringArray>, row: usize| -> Option<u64> {
            texts
                .filter(|texts| texts.is_valid(row))
                .map(|texts| hash::hash_id(texts.value(row).as_bytes()))
        };
        let hashed = |column: &mut Column, texts: Option<&StringArray>| {
            column.fill_with(n, |row| text_at(texts, start + row).map(|hash| hash as i64));
        };
        let flag = |column: &mut Column, flags: Option<&BooleanArray>| {
            column.fill_with(n, |row| {
                flags
                    .filter(|f| f.is_valid(start + row))
                    .map(|f| i64::from(f.value(start + row)))
            });
        };
        let whole = |column: &mut Column, values: Option<&Int64Array>| {
            column.fill_with(n, |row| {
                values
                    .filter(|v| v.is_valid(start + row))
                    .map(|v| v.value(start + row))
            });
        };
        self.n = n;
        whole(&mut self.at, Some(&batch.event_time));
        let users = &batch.user_id;
        self.user.fill_with(n, |row| {
            users
                .is_valid(start + row)
                .then(|| hash::hash_user_id(users.value(start + row).as_bytes(), names.seed) as i64)
        });
        self.bucket.fill_with(n, |row| {
            let buckets = names.buckets.as_ref().filter(|_| users.is_valid(start + row))?;
            Some(i64::from(buckets.bucket(users.value(start + row).as_bytes())))
        });
        self.tenant.fill_with(n, |row| {
            Some(hash::hash_id(tenant_at(batch.tenant_id.as_ref(), start + row).as_bytes()) as i64)
        });
        let valid = |texts: &StringArray, row: usize| texts.is_valid(start + row);
        let releases = &batch.release_id;
        self.release.fill_with(n, |row| {
            valid(releases, row).then(|| names.release(releases.value(start + row).as_bytes()))
        });
        self.layer.fill_with(n, |row| {
            batch
                .layer
                .as_ref()
                .filter(|layers| valid(layers, row))
                .map(|layers| names.layer(layers.value(start + row).as_bytes()))
        });
        flag(&mut self.is_shadow, batch.is_shadow.as_ref());
        flag(&mut self.is_eval, batch.is_eval.as_ref());
        hashed(&mut self.trace, batch.trace_id.as_ref());
        hashed(&mut self.session, batch.session_id.as_ref());
        whole(&mut self.propensity, batch.propensity.as_ref());
        for (column, values) in self.measured.iter_mut().zip(&batch.measured) {
            whole(column, values.as_ref());
        }
        for ((column, names), texts) in self
            .breakdowns
            .iter_mut()
            .zip(&mut self.names)
            .zip(&batch.breakdowns)
        {
            let spellings = Spellings::default();
            column.fill_with(n, |row| {
                texts
                    .as_ref()
                    .filter(|texts| valid(texts, row))
                    .map(|texts| spellings.hash(texts.value(start + row).as_bytes()))
            });
            spellings.take(names);
        }
        self.below_resolution.clear();
        self.below_resolution.extend(
            batch
                .measured_below_resolution()
                .filter(|(_, row)| (start..start + n).contains(row))
                .map(|(column, row)| (column, (row - start) as u16)),
        );
        self.bad = [0; STEP_WORDS];
        for row in (0..n).filter(|row| batch.faults.is_bad(start + row)) {
            bitmap::set(&mut self.bad, row);
        }
        match names.find_refused(self) {
            Some(row) => Err(unknown_release(batch, start + row, names, name_of_release)),
            None => Ok(()),
        }
    }
}

fn unknown_release(batch: &TrafficBatch<'_>, row: usize, names: &NameCodes<'_>, column: &str) -> Error {
    let id = batch
        .release_id
        .is_valid(row)
        .then(|| batch.release_id.value(row));
    let found = id.map_or_else(
        || "none".to_owned(),
        |id| format!("\"{}\"", id.chars().take(60).collect::<String>()),
    );
    Error::input(
        batch.raw.location(column, row),
        format!(
            "expected \"{}\" or \"{}\", found {found}",
            names.baseline, names.candidate
        ),
    )
    .hint(format!(
        "rows like this can be counted and left out: {}",
        advice::key("input.on_unknown_release = \"count\"").unwrap_or_default()
    ))
}

/// Collects the indices of the first `n` bits that are not set.
pub(crate) fn rows_without(bits: &[u64; STEP_WORDS], n: usize, out: &mut Vec<u16>) {
    out.clear();
    for (idx, word) in bits.iter().enumerate().take(n.div_ceil(64)) {
        let mut rest = !word & low_bits((n - idx * 64).min(64));
        while rest != 0 {
            out.push((idx * 64) as u16 + rest.trailing_zeros() as u16);
            rest &= rest - 1;
        }
    }
}

impl Turns {
    pub(super) fn columns(&mut self) -> impl Iterator<Item = &mut Column> {
        let Self {
            n: _,
            at,
            user,
            bucket,
            tenant,
            release,
            layer,
            is_shadow,
            is_eval,
            trace,
            session,
            propensity,
            measured,
            breakdowns,
            ..
        } = self;
        let first = [
            at, user, bucket, tenant, release, layer, is_shadow, is_eval, trace, session, propensity,
        ];
        first.into_iter().chain(measured).chain(breakdowns)
    }

    /// Keeps the rows for which a flag is true. No flag is null.
    pub(super) fn retain(&mut self, kept: &BooleanArray) {
        let rows: Vec<usize> = (0..self.n).filter(|row| kept.value(*row)).collect();
        for column in self.columns() {
            let absent = std::mem::replace(&mut column.absent, [0; STEP_WORDS]);
            column.n_absent = 0;
            for (to, from) in rows.iter().enumerate() {
                column.values[to] = column.values[*from];
                if bitmap::is_set(&absent, *from) {
                    bitmap::set(&mut column.absent, to);
                    column.n_absent += 1;
                }
            }
        }
        self.n = rows.len();
    }

    /// Removes all turns.
    pub(crate) fn clear(&mut self) {
        self.n = 0;
        self.bad = [0; STEP_WORDS];
        self.below_resolution.clear();
        self.columns()
            .for_each(|column| (column.absent, column.n_absent) = ([0; STEP_WORDS], 0));
    }

    /// Appends a row of other turns. Returns whether the step is full.
    pub(crate) fn take(&mut self, other: &mut Self, row: usize) -> bool {
        let n = self.n;
        if n == 0 {
            self.clear();
        }
        for (mine, theirs) in self.columns().zip(other.columns()) {
            mine.values[n] = theirs.values[row];
            if theirs.is_absent(row) {
                bitmap::set(&mut mine.absent, n);
                mine.n_absent += 1;
            }
        }
        self.n += 1;
        self.n == STEP
    }
}
