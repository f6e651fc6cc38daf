//! The driver of `sluice layer`: layers a table of users.

use std::path::Path;

use crate::base::error::Result;
use crate::base::progress::Progress;
use crate::layer::context::LayerContext;
use crate::layer::passes::{Assignment, Passes};
use crate::layer::source::Users;
use crate::layer::summary::LayerSummary;
use crate::layer::unique;
use crate::scenario::LayerMode;

/// Scores users, sorts them into layers and writes the layer table, in input order.
///
/// # Errors
/// When users cannot be read, the input has no user, the scenario's policies refuse a row, or the
/// file cannot be written.
pub fn layer_users(
    ctx: &LayerContext<'_>,
    users: &Users<'_>,
    path: &Path,
    progress: &Progress,
) -> Result<LayerSummary> {
    let dropped = unique::find_duplicates(ctx, users, path, progress)?;
    let passes = Passes::new(ctx, users, &dropped, progress);
    match ctx.layering.mode {
        LayerMode::Threshold => passes.write(&Assignment::bands(ctx.plan), path),
        LayerMode::Quota => {
            let passes = passes.keeping_scores();
            passes.write(&Assignment::Quotas(passes.find_cuts()?), path)
        }
    }
}
