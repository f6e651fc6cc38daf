//! The passes over the users: they find the cuts of quotas, and the layer of each user.

use arrow_array::StringArray;
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::progress::Progress;
use crate::input::UserBatch;
use crate::layer::context::LayerContext;
use crate::layer::dropped::Dropped;
use crate::layer::kept::{KeptScores, Tied};
use crate::layer::kernel::{Kernel, PROTECTED};
use crate::layer::quota::{Placement, Quotas, ScoreCounts, TenantCuts, TiePass, tie_hash};
use crate::layer::reuse::Reuse;
use crate::layer::score::N_SCORES;
use crate::layer::source::{ScoredPart, Scoring, Users, one_column};
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
    pub(super) ctx: &'a LayerContext<'a>,
    pub(super) users: &'a Users<'a>,
    /// The parts that are read.
    parts: Vec<usize>,
    kernel: Kernel<'a>,
    pub(super) dropped: &'a Dropped,
    /// Scores for later passes. `None` for a single pass.
    kept: Option<KeptScores>,
    pub(super) progress: &'a Progress,
}

impl<'a> Passes<'a> {
    /// Passes over all users.
    pub(super) fn new(
        ctx: &'a LayerContext<'a>,
        users: &'a Users<'a>,
        dropped: &'a Dropped,
        progress: &'a Progress,
    ) -> Self {
        Self::of_parts(ctx, users, (0..users.n_parts()).collect(), dropped, progress)
    }

    /// Passes over the users of some parts.
    pub(super) fn of_parts(
        ctx: &'a LayerContext<'a>,
        users: &'a Users<'a>,
        parts: Vec<usize>,
        dropped: &'a Dropped,
        progress: &'a Progress,
    ) -> Self {
        Self {
            ctx,
            users,
            parts,
            kernel: Kernel::new(ctx.layering, ctx.plan, ctx.as_of),
            dropped,
            kept: None,
            progress,
        }
    }

    /// Keeps scores from pass to pass, as far as memory allows.
    pub(super) fn keeping_scores(self) -> Self {
        let kept = Some(KeptScores::new(self.users.n_parts()));
        Self { kept, ..self }
    }

    /// Scores the parts. A bar with the name of the pass moves with the users.
    pub(super) fn for_each<T: Send>(
        &self,
        name: &'static str,
        reuse: Option<&Reuse<'_>>,
        compute: impl Fn(ScoredPart) -> Result<T> + Sync,
        consume: impl FnMut(usize, T) -> Result<()>,
    ) -> Result<()> {
        let bar = self.progress.rows(name, self.users.n_users());
        let scoring = Scoring {
            kernel: &self.kernel,
            dropped: self.dropped,
            reuse,
            kept: self.kept.as_ref(),
        };
        let compute = |part: ScoredPart| {
            let n_users = part.scored.score.len() as u64;
            let result = compute(part)?;
            bar.advance(n_users);
            Ok(result)
        };
        self.users.for_each(&self.parts, &scoring, compute, consume)
    }

    /// Counts the users of each score.
    pub(super) fn count(&self) -> Result<ScoreCounts> {
        let mut counts = ScoreCounts::default();
        let of_part = |part: ScoredPart| {
            let mut counts = ScoreCounts::default();
            counts.add(&part.scored);
            Ok(counts)
        };
        self.for_each("count", None, of_part, |_, part| {
            counts.merge(part);
            Ok(())
        })?;
        Ok(counts)
    }

    /// Counts or collects the hashes of the users at the cuts.
    pub(super) fn search(&self, quotas: &Quotas) -> Result<TiePass> {
        let mut found = TiePass::default();
        let of_part = |part: ScoredPart| {
            let mut found = TiePass::default();
            self.for_each_tied(&part, quotas, |row, cuts, hash| {
                found.add(cuts, part.scored.score[row], hash)
            })?;
            Ok(found)
        };
        self.for_each("cut", None, of_part, |_, part| {
            found.merge(part);
            Ok(())
        })?;
        Ok(found)
    }

    /// Finds the cuts that give each layer its share of each tenant's users.
    pub(super) fn find_cuts(&self) -> Result<Quotas> {
        let mut quotas = Quotas::new(&self.count()?, self.ctx.plan);
        while quotas.prepare_pass() {
            let found = self.search(&quotas)?;
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
        let tied = match self.kept.as_ref().and_then(|kept| kept.tied(part.idx)) {
            Some(tied) => tied,
            None => self.tied(part, &cuts)?,
        };
        for (row, hash) in tied.iter() {
            let row = *row as usize;
            if let Some(cuts) = cuts[tenant_of(part, row)] {
                on_tied(row, cuts, *hash);
            }
        }
        Ok(())
    }

    /// Finds the users whose score is at a cut.
    fn tied(&self, part: &ScoredPart, cuts: &[Option<&TenantCuts>]) -> Result<Tied> {
        let scored = &part.scored;
        let mut placed = scored.placed.iter().peekable();
        let mut rows: Vec<u32> = Vec::new();
        // With one tenant, the common case, a table of all scores is faster than a search.
        let of_score: Option<Vec<bool>> = match cuts {
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
                None => {
                    cuts[tenant_of(part, row)].is_some_and(|cuts| cuts.placement(*score) == Placement::Tied)
                }
            };
            if is_tied {
                rows.push(row as u32);
            }
        }
        let mut tied = Vec::new();
        if !rows.is_empty() {
            let (ids, salt) = (self.user_ids(part)?, self.ctx.plan.profile.salt());
            tied.extend(
                rows.into_iter()
                    .map(|row| (row, tie_hash(salt, ids.value(row as usize)))),
            );
        }
        let tied = Arc::new(tied);
        if let Some(kept) = &self.kept {
            kept.keep_tied(part.idx, &tied);
        }
        Ok(tied)
    }

    /// Passes a part's ids and tenants to `use_ids`. They are read first if they have not been
    /// read.
    pub(super) fn with_ids<T>(
        &self,
        part: &ScoredPart,
        use_ids: impl FnOnce(&[UserBatch]) -> Result<T>,
    ) -> Result<T> {
        match (&part.ids, part.row_group) {
            (Some(ids), _) => use_ids(ids),
            (None, Some(row_group)) => use_ids(&self.users.ids(row_group)?),
            (None, None) => use_ids(&[]),
        }
    }

    pub(super) fn user_ids(&self, part: &ScoredPart) -> Result<StringArray> {
        self.with_ids(part, |batches| {
            one_column(batches.iter().map(|users| &users.user_id))
        })
    }

    /// The layer of each user of a part.
    pub(super) fn layers(&self, part: &ScoredPart, assignment: &Assignment) -> Result<Vec<u8>> {
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
}

/// The tenant of a user of a part.
fn tenant_of(part: &ScoredPart, row: usize) -> usize {
    part.scored.tenant.get(row).map_or(0, |tenant| *tenant as usize)
}
