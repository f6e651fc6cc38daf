//! Users to layers: A-RFM score, tag rules, quotas, consent.

mod assign;
mod kernel;
mod score;
mod summary;
mod table;

pub use assign::{assign, quota_targets};
pub use kernel::{KernelCounts, Oddities, Placement, Scored, score_users};
pub use score::{Features, Parts, parts, round_score, score};
pub use summary::{LayerCount, LayerSummary, Missing, summarize};
pub use table::{DEFAULT_TENANT, Layers};

use std::collections::BTreeMap;

use crate::{
    error::{Error, Result},
    input::{UserBatch, UserReader},
    parallel,
    progress::Progress,
    scenario::{Input, Layering, OnDuplicate, Plan},
    time::Micros,
};

/// What layering needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Weights, caps, modes.
    pub layering: &'a Layering,
    /// The layers, and the salt that splits ties.
    pub plan: &'a Plan,
    /// Recency is measured from here.
    pub as_of: Micros,
    /// What to do with a second row for a user.
    pub on_duplicate_user: OnDuplicate,
}

impl<'a> Context<'a> {
    /// The context of a scenario's parts.
    pub fn new(layering: &'a Layering, plan: &'a Plan, as_of: Micros, input: &Input) -> Self {
        Self { layering, plan, as_of, on_duplicate_user: input.on_duplicate_user }
    }
}

/// Scores a users table and sorts the users into layers, in input order.
///
/// # Errors
/// A table that cannot be read, or holds no user, or holds rows that the scenario's policies refuse.
pub fn layer_table(ctx: &Context<'_>, reader: &UserReader<'_>, progress: &Progress) -> Result<(Layers, LayerSummary)> {
    let parts = &reader.table().parts;
    let bar = progress.rows("layer", reader.table().n_rows());
    let mut building = Building::new(ctx);
    parallel::map_in_order(
        parts.len(),
        |idx| {
            let (batches, bad_rows) = reader.read(parts[idx])?;
            let scored: Vec<_> = batches.iter().map(|users| score_users(users, ctx.layering, ctx.plan, ctx.as_of)).collect();
            bar.advance(batches.iter().map(|b| b.n_users() as u64).sum());
            Ok((batches, scored, bad_rows))
        },
        |idx, (batches, scored, bad_rows)| {
            let file = &reader.table().files[parts[idx].file_idx];
            building.bad_rows(bad_rows);
            batches.iter().zip(scored).try_for_each(|(users, scored)| building.push(&file.path.display().to_string(), users, &scored))
        },
    )?;
    building.finish(&reader.table().source.path.display().to_string())
}

/// Like [`layer_table`] for users that are in memory already; `place` names their origin in messages.
///
/// # Errors
/// No user, or a duplicate one under the policy `error`.
pub fn layer_batch(ctx: &Context<'_>, users: &UserBatch, place: &str) -> Result<(Layers, LayerSummary)> {
    let mut building = Building::new(ctx);
    building.push(place, users, &score_users(users, ctx.layering, ctx.plan, ctx.as_of))?;
    building.finish(place)
}

/// Layers of which not all users have been read.
struct Building<'a> {
    ctx: &'a Context<'a>,
    layers: Layers,
    placements: Vec<Placement>,
    counts: KernelCounts,
    bad_rows: BTreeMap<String, u64>,
    n_duplicates: u64,
}

impl<'a> Building<'a> {
    fn new(ctx: &'a Context<'a>) -> Self {
        Self {
            ctx,
            layers: Layers::default(),
            placements: Vec::new(),
            counts: KernelCounts::default(),
            bad_rows: BTreeMap::new(),
            n_duplicates: 0,
        }
    }

    fn bad_rows(&mut self, more: BTreeMap<String, u64>) {
        for (reason, n) in more {
            *self.bad_rows.entry(reason).or_default() += n;
        }
    }

    fn push(&mut self, place: &str, users: &UserBatch, scored: &Scored) -> Result<()> {
        for row in 0..users.n_users() {
            let tenant = users.tenant_id.as_ref().and_then(|tenants| table::text_at(tenants, row));
            let user_id = users.user_id.value(row);
            if self.layers.push(tenant, user_id, scored.score[row], scored.eligible[row]).is_none() {
                if self.ctx.on_duplicate_user == OnDuplicate::Error {
                    let shown: String = user_id.chars().take(60).collect();
                    return Err(Error::input(
                        format!("{place}: column `user_id`"),
                        format!("expected one row a user, found \"{shown}\" twice"),
                    )
                    .hint(
                        "the first row of each user can be kept and the others counted with `input.on_duplicate_user = \"keep_first\"`",
                    ));
                }
                self.n_duplicates += 1;
                continue;
            }
            self.placements.push(scored.placement[row]);
            self.counts.add(&scored.oddities[row], scored.placement[row]);
        }
        self.layers.has_tenants |= users.tenant_id.is_some();
        Ok(())
    }

    fn finish(mut self, place: &str) -> Result<(Layers, LayerSummary)> {
        if self.layers.n_users() == 0 {
            return Err(Error::input(place.to_owned(), "expected users, found none"));
        }
        self.layers.layer = assign(&self.layers, &self.placements, self.ctx.layering, self.ctx.plan);
        let summary = summarize(&self.layers, self.ctx, self.counts, self.bad_rows, self.n_duplicates);
        Ok((self.layers, summary))
    }
}
