//! The passes over the users: they find the cuts of quotas and write the layer table.

use arrow_array::StringArray;
use parquet::basic::Repetition;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, FileResult, Result};
use crate::base::progress::Progress;
use crate::base::{files, json, open, parquet_io};
use crate::input::UserBatch;
use crate::layer::context::LayerContext;
use crate::layer::dropped::Dropped;
use crate::layer::encode::Encoder;
use crate::layer::file::{
    Columns, LayerFileWriter, PassThrough, Passed, RowGroup, TENANT_ID, USER_ID, has_rows, leaf_of,
};
use crate::layer::kernel::{Kernel, PROTECTED};
use crate::layer::quota::{Placement, Quotas, ScoreCounts, TenantCuts, TiePass, tie_hash};
use crate::layer::reuse::{Note, Notes, Reuse, notes_path};
use crate::layer::score::N_SCORES;
use crate::layer::source::{ScoredPart, Users, one_column};
use crate::layer::summary::{LayerSummary, PartTally, Tally};
use crate::scenario::Plan;

/// The rule that turns scores into layers.
pub(super) enum Assignment {
    /// The layer of each of the 10,001 scores.
    Bands(Vec<u8>),
    /// The cuts of each tenant.
    Quotas(Quotas),
}

impl Assignment {
    /// Creates bands: each layer starts at its minimum score.
    pub(super) fn bands(plan: &Plan) -> Self {
        let last = plan.layers.len().saturating_sub(1) as u8;
        let layer_of = |score: usize| {
            let share = score as f64 / 10_000.0;
            plan.layers
                .iter()
                .position(|layer| layer.min_score.is_some_and(|min| share >= min))
                .map_or(last, |idx| idx as u8)
        };
        Self::Bands((0..N_SCORES).map(layer_of).collect())
    }
}

/// The users, with the inputs that every pass needs.
pub(super) struct Passes<'a> {
    ctx: &'a LayerContext<'a>,
    users: &'a Users<'a>,
    kernel: Kernel<'a>,
    dropped: &'a Dropped,
    progress: &'a Progress,
}

/// The result of layering one part. `group` is `None` for a part without users.
struct Layered {
    group: Option<RowGroup>,
    note: Option<Note>,
    tally: PartTally,
}

impl<'a> Passes<'a> {
    pub(super) fn new(
        ctx: &'a LayerContext<'a>,
        users: &'a Users<'a>,
        dropped: &'a Dropped,
        progress: &'a Progress,
    ) -> Self {
        Self {
            ctx,
            users,
            kernel: Kernel::new(ctx.layering, ctx.plan, ctx.as_of),
            dropped,
            progress,
        }
    }

    /// Finds the cuts that give each layer its share of each tenant's users.
    pub(super) fn find_cuts(&self) -> Result<Quotas> {
        let bar = self.progress.rows("count", self.users.n_users());
        let mut counts = ScoreCounts::default();
        self.users.for_each(
            &self.kernel,
            self.dropped,
            None,
            |part| {
                let mut counts = ScoreCounts::default();
                counts.add(&part.scored);
                bar.advance(part.scored.score.len() as u64);
                Ok(counts)
            },
            |part| {
                counts.merge(part);
                Ok(())
            },
        )?;
        drop(bar);
        let mut quotas = Quotas::new(&counts, self.ctx.plan);
        while quotas.prepare_pass() {
            let bar = self.progress.rows("cut", self.users.n_users());
            let mut found = TiePass::default();
            self.users.for_each(
                &self.kernel,
                self.dropped,
                None,
                |part| {
                    let mut found = TiePass::default();
                    self.for_each_tied(&part, &quotas, |row, cuts, hash| {
                        found.add(cuts, part.scored.score[row], hash)
                    })?;
                    bar.advance(part.scored.score.len() as u64);
                    Ok(found)
                },
                |part| {
                    found.merge(part);
                    Ok(())
                },
            )?;
            quotas.narrow(found);
        }
        Ok(quotas)
    }

    /// Calls `on_tied` for every user whose score is at a cut, with the user's row and hash.
    fn for_each_tied(
        &self,
        part: &ScoredPart,
        quotas: &Quotas,
        mut on_tied: impl FnMut(usize, &TenantCuts, u64),
    ) -> Result<()> {
        let scored = &part.scored;
        let cuts = quotas.for_tenants(&scored.tenants);
        let tenant_of = |row: usize| {
            if scored.tenant.is_empty() {
                0
            } else {
                scored.tenant[row] as usize
            }
        };
        let mut placed = scored.placed.iter().peekable();
        let mut tied: Vec<usize> = Vec::new();
        // With one tenant, the common case, a table of all scores is faster than a search.
        let of_score: Option<Vec<bool>> = match cuts.as_slice() {
            [Some(cuts)] => Some(
                (0..N_SCORES)
                    .map(|score| cuts.placement(score as u16) == Placement::Tied)
                    .collect(),
            ),
            _ => None,
        };
        for (row, score) in scored.score.iter().enumerate() {
            if placed.next_if(|(placed, _)| *placed as usize == row).is_some() {
                continue;
            }
            let is_tied = match &of_score {
                Some(of_score) => of_score[usize::from(*score)],
                None => cuts[tenant_of(row)].is_some_and(|cuts| cuts.placement(*score) == Placement::Tied),
            };
            if is_tied {
                tied.push(row);
            }
        }
        if tied.is_empty() {
            return Ok(());
        }
        let ids = self.user_ids(part)?;
        for row in tied {
            let tenant = tenant_of(row);
            if let Some(cuts) = cuts[tenant] {
                on_tied(row, cuts, tie_hash(self.ctx.plan.profile.salt(), ids.value(row)));
            }
        }
        Ok(())
    }

    /// Passes a part's ids and tenants to `use_ids`. They are read first if they have not been
    /// read.
    fn with_ids<T>(&self, part: &ScoredPart, use_ids: impl FnOnce(&[UserBatch]) -> Result<T>) -> Result<T> {
        match (&part.ids, part.row_group) {
            (Some(ids), _) => use_ids(ids),
            (None, Some(row_group)) => use_ids(&self.users.ids(row_group)?),
            (None, None) => use_ids(&[]),
        }
    }

    fn user_ids(&self, part: &ScoredPart) -> Result<StringArray> {
        self.with_ids(part, |batches| {
            one_column(batches.iter().map(|users| &users.user_id))
        })
    }

    /// The layer of each user of a part.
    fn layers(&self, part: &ScoredPart, assignment: &Assignment) -> Result<Vec<u8>> {
        let last = self.ctx.plan.layers.len().saturating_sub(1) as u8;
        let scored = &part.scored;
        let mut layers: Vec<u8> = match assignment {
            Assignment::Bands(of_score) => scored
                .score
                .iter()
                .map(|score| of_score[usize::from(*score)])
                .collect(),
            Assignment::Quotas(quotas) => {
                let cuts = quotas.for_tenants(&scored.tenants);
                let layer = |tenant: usize, score: u16| match cuts[tenant].map(|cuts| cuts.placement(score)) {
                    Some(Placement::Layer(layer)) => layer,
                    _ => last,
                };
                let mut layers: Vec<u8> = if scored.tenant.is_empty() {
                    let of_score: Vec<u8> = (0..N_SCORES)
                        .map(|score| {
                            if cuts.is_empty() {
                                last
                            } else {
                                layer(0, score as u16)
                            }
                        })
                        .collect();
                    scored
                        .score
                        .iter()
                        .map(|score| of_score[usize::from(*score)])
                        .collect()
                } else {
                    scored
                        .score
                        .iter()
                        .zip(&scored.tenant)
                        .map(|(score, tenant)| layer(*tenant as usize, *score))
                        .collect()
                };
                self.for_each_tied(part, quotas, |row, cuts, hash| {
                    layers[row] = cuts.layer_of_tied(scored.score[row], hash).unwrap_or(last);
                })?;
                layers
            }
        };
        for (row, layer) in &scored.placed {
            layers[*row as usize] = if *layer == PROTECTED { last } else { *layer };
        }
        Ok(layers)
    }

    /// Writes the layer table and the notes on its row groups.
    pub(super) fn write(&self, assignment: &Assignment, path: &Path) -> Result<LayerSummary> {
        let bar = self.progress.rows("layer", self.users.n_users());
        let (mut tally, mut notes) = (Tally::default(), Notes::new());
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
        files::write_file(path, |sink| {
            let (user_id, tenant_id) = self.pass_through().or_unwritable(path)?;
            let (mut file, columns) = LayerFileWriter::begin(path, sink, user_id, tenant_id)?;
            self.users.for_each(
                &self.kernel,
                self.dropped,
                reuse.as_ref(),
                |mut part| {
                    let layered = self.encode(&mut part, assignment, &columns, path)?;
                    bar.advance(part.scored.score.len() as u64);
                    Ok(layered)
                },
                |layered| {
                    tally.add(layered.tally);
                    let Some(group) = layered.group else { return Ok(()) };
                    notes.push(layered.note);
                    file.write(group)
                },
            )?;
            if tally.n_users() == 0 {
                return Err(Error::input(self.users.location(), "expected users, found none"));
            }
            file.finish()
        })?;
        // Notes of an earlier table would not match this one.
        if notes.is_empty() {
            files::remove_if_there(&notes_path(path))?
        } else {
            json::write_json(&notes_path(path), &notes)?
        }
        Ok(tally.finish(self.ctx, self.dropped.checked))
    }

    /// The types of the id column and of the tenant column, which exists only if users have
    /// tenants.
    fn pass_through(&self) -> parquet::errors::Result<(PassThrough, Option<PassThrough>)> {
        let has_tenants = self.users.has_tenants();
        match self.users {
            Users::Table(reader) => {
                let of =
                    |canonical, repetition| PassThrough::from_table(reader.table(), canonical, repetition);
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
