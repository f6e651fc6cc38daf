//! Row groups of a layer table: their columns, encoded or copied from the input, and their counts.

use arrow_array::StringArray;
use parquet::basic::Repetition;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, FileResult, Result};
use crate::base::{files, json, open, parquet_io};
use crate::layer::context::LayerContext;
use crate::layer::dropped::Dropped;
use crate::layer::encode::Encoder;
use crate::layer::file::{
    Columns, LayerFileWriter, PassThrough, Passed, RowGroup, TENANT_ID, USER_ID, has_rows, leaf_of,
};
use crate::layer::passes::{Assignment, Passes};
use crate::layer::reuse::{Note, Notes, Reuse, notes_path};
use crate::layer::source::{ScoredPart, Users, one_column};
use crate::layer::summary::{LayerSummary, PartTally, Tally};

/// The result of layering one part. `group` is `None` for a part without users.
pub(super) struct Layered {
    pub(super) group: Option<RowGroup>,
    pub(super) note: Option<Note>,
    pub(super) tally: PartTally,
}

/// The counts and notes of all row groups of a table.
pub(super) struct Totals {
    tally: Tally,
    notes: Notes,
}

impl Totals {
    pub(super) fn new() -> Self {
        Self {
            tally: Tally::default(),
            notes: Notes::new(),
        }
    }

    /// Adds the counts of the next part, and the note of its row group. `None` for a part without
    /// users.
    pub(super) fn add(&mut self, tally: PartTally, note: Option<Option<Note>>) {
        self.tally.add(tally);
        if let Some(note) = note {
            self.notes.push(note);
        }
    }

    /// Refuses a table without users.
    pub(super) fn check(&self, users: &Users<'_>) -> Result<()> {
        if self.tally.n_users() == 0 {
            return Err(Error::input(users.location(), "expected users, found none"));
        }
        Ok(())
    }

    /// Writes the notes beside the table, and returns the summary.
    pub(super) fn finish(
        self,
        ctx: &LayerContext<'_>,
        dropped: &Dropped,
        path: &Path,
    ) -> Result<LayerSummary> {
        // Notes of an earlier table would not match this one.
        if self.notes.is_empty() {
            files::remove_if_there(&notes_path(path))?
        } else {
            json::write_json(&notes_path(path), &self.notes)?
        }
        Ok(self.tally.finish(ctx, dropped.checked))
    }
}

/// The types of the id column and of the tenant column, which exists only if users have
/// tenants.
pub(super) fn pass_through(users: &Users<'_>) -> parquet::errors::Result<(PassThrough, Option<PassThrough>)> {
    let has_tenants = users.has_tenants();
    match users {
        Users::Table(reader) => {
            let of = |canonical, repetition| PassThrough::from_table(reader.table(), canonical, repetition);
            let tenant_id = has_tenants
                .then(|| of("tenant_id", Repetition::OPTIONAL))
                .transpose()?;
            Ok((of("user_id", Repetition::REQUIRED)?, tenant_id))
        }
        Users::Memory(..) => {
            let tenant_id = has_tenants
                .then(|| PassThrough::text("tenant_id", Repetition::OPTIONAL))
                .transpose()?;
            Ok((PassThrough::text("user_id", Repetition::REQUIRED)?, tenant_id))
        }
    }
}

impl Passes<'_> {
    /// Writes the layer table and the notes on its row groups.
    pub(super) fn write(&self, assignment: &Assignment, path: &Path) -> Result<LayerSummary> {
        let mut totals = Totals::new();
        files::write_file(path, |sink| {
            let (mut file, columns) = self.begin(path, sink)?;
            self.for_each_group(assignment, &columns, path, |_, layered| {
                totals.add(layered.tally, layered.group.is_some().then_some(layered.note));
                layered.group.map_or(Ok(()), |group| file.write(group))
            })?;
            totals.check(self.users)?;
            file.finish()
        })?;
        totals.finish(self.ctx, self.dropped, path)
    }

    /// Begins a layer table of these users, with the encoders of its columns.
    pub(super) fn begin<'p, W: Write + Send>(
        &self,
        path: &'p Path,
        sink: W,
    ) -> Result<(LayerFileWriter<'p, W>, Columns)> {
        let (user_id, tenant_id) = pass_through(self.users).or_unwritable(path)?;
        LayerFileWriter::begin(path, sink, user_id, tenant_id)
    }

    /// Layers the parts. `consume` gets the row groups in order, each with the index of its part.
    pub(super) fn for_each_group(
        &self,
        assignment: &Assignment,
        columns: &Columns,
        path: &Path,
        consume: impl FnMut(usize, Layered) -> Result<()>,
    ) -> Result<()> {
        let reuse = match assignment {
            Assignment::Bands(_)
                if self.ctx.previous.is_some() || self.ctx.audit.applies(self.users.n_users()) =>
            {
                Some(Reuse::new(self.ctx)?)
            }
            // Quotas depend on all users, so the result of a part does not depend on the part
            // alone.
            _ => None,
        };
        self.for_each(
            "layer",
            reuse.as_ref(),
            |mut part| self.encode(&mut part, assignment, columns, path),
            consume,
        )
    }

    /// Encodes a part as a row group, and counts its users.
    fn encode(
        &self,
        part: &mut ScoredPart,
        assignment: &Assignment,
        columns: &Columns,
        path: &Path,
    ) -> Result<Layered> {
        let is_reused = part.layers.is_some();
        let layers = match part.layers.take() {
            Some(layers) => layers,
            None => self.layers(part, assignment)?,
        };
        let n_layers = self.ctx.plan.layers.len();
        let mut tally = PartTally::new(&part.scored, &layers, n_layers, part.scored.histogram());
        tally.bad_rows = std::mem::take(&mut part.bad_rows);
        tally.n_duplicates = part.n_duplicates;
        tally.is_reused = is_reused;
        if layers.is_empty() {
            return Ok(Layered {
                group: None,
                note: None,
                tally,
            });
        }
        let ids: Vec<&str> = self
            .ctx
            .plan
            .layers
            .iter()
            .map(|layer| layer.id.as_str())
            .collect();
        let result = || -> parquet::errors::Result<_> {
            let mut encoder = Encoder::new()?;
            Ok((
                encoder.scores(columns.score(), &part.scored.score, tally.histogram())?,
                encoder.layers(columns.layer(), &layers, &tally.layer_counts(n_layers), &ids)?,
                encoder.flags(columns.eligible(), &part.scored.eligible)?,
            ))
        };
        let (score, layer, eligible) = result().or_unwritable(path)?;
        let user_id = match self.copied(part, "user_id", USER_ID, &columns.user_id, columns)? {
            Some(copied) => copied,
            None => columns
                .encode(USER_ID, &self.user_ids(part)?)
                .or_unwritable(path)?,
        };
        let tenant_id = match &columns.tenant_id {
            None => None,
            Some(pass) => Some(match self.copied(part, "tenant_id", TENANT_ID, pass, columns)? {
                Some(copied) => copied,
                None => columns
                    .encode(TENANT_ID, &self.tenant_ids(part)?)
                    .or_unwritable(path)?,
            }),
        };
        let digest = part.digest.take().filter(|_| part.row_group.is_some());
        let note = digest.map(|digest| {
            Note::new(
                digest,
                [&score.bytes, &layer.bytes, &eligible.bytes],
                &part.scored.counts,
            )
        });
        Ok(Layered {
            group: Some(RowGroup {
                user_id,
                score,
                layer,
                eligible,
                tenant_id,
            }),
            note,
            tally,
        })
    }

    fn tenant_ids(&self, part: &ScoredPart) -> Result<StringArray> {
        self.with_ids(part, |batches| {
            let arrays: Vec<StringArray> = batches
                .iter()
                .map(|users| {
                    users
                        .tenant_id
                        .clone()
                        .unwrap_or_else(|| std::iter::repeat_n(None::<&str>, users.n_users()).collect())
                })
                .collect();
            one_column(arrays.iter())
        })
    }

    /// Copies a column chunk of the input; `None` if it must be encoded again.
    fn copied(
        &self,
        part: &ScoredPart,
        canonical: &str,
        column: usize,
        pass: &PassThrough,
        columns: &Columns,
    ) -> Result<Option<Passed>> {
        let (Users::Table(reader), Some(row_group), true) = (self.users, part.row_group, pass.can_copy)
        else {
            return Ok(None);
        };
        let table = reader.table();
        let file = &table.files[row_group.file_idx];
        let Some((footer, group)) = file.footer.as_ref().zip(row_group.row_group) else {
            return Ok(None);
        };
        let Some(leaf) = leaf_of(footer, table.name_in_file(canonical)) else {
            return Ok(None);
        };
        let chunk = footer.metadata().row_group(group).column(leaf);
        // A chunk without statistics is encoded again, so that the layer table has statistics.
        if chunk.statistics().is_none() {
            return Ok(None);
        }
        let open = Arc::new(open::regular(&file.path).or_unreadable(&file.path)?);
        let n_rows = part.scored.score.len() as u64;
        // A chunk with inconsistent page headers goes to the general reader, which reports the
        // error.
        if !parquet_io::guard(&file.path, || has_rows(&open, chunk, n_rows)).unwrap_or(false) {
            return Ok(None);
        }
        columns
            .copy(column, &open, chunk, n_rows)
            .map(Some)
            .map_err(|error| {
                Error::in_file(
                    &file.path,
                    format!("expected a column that can be copied, found: {error}"),
                )
            })
    }
}
