//! Searches for duplicate users by fingerprint, with one sixty-fourth of the users in memory at a
//! time.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::advice;
use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::base::spill::{Fingerprints, Spill};
use crate::input::{UserBatch, tenant_at};
use crate::layer::context::LayerContext;
use crate::layer::dropped::Dropped;
use crate::layer::rows::duplicate_error;
use crate::layer::source::Users;
use crate::scenario::OnDuplicate;

/// The bits of a position that number the row within its part.
const ROW_BITS: u32 = 40;

/// Searches for users with more than one row, if the context asks for it.
///
/// # Errors
/// When a user has a second row under the policy `error`, or users cannot be read.
pub(super) fn find_duplicates(
    ctx: &LayerContext<'_>,
    users: &Users<'_>,
    path: &Path,
    progress: &Progress,
) -> Result<Dropped> {
    if ctx.on_duplicate_user == OnDuplicate::Error && !ctx.audit.applies(users.n_users()) {
        return Ok(Dropped::default());
    }
    let bar = progress.rows("ids", users.n_users());
    let mut spill = Spill::new(path);
    let fingerprints = Fingerprints::default();
    users.for_each_ids(
        |batch| {
            let tenant = |row| tenant_at(batch.tenant_id.as_ref(), row);
            bar.advance(batch.n_users() as u64);
            (0..batch.n_users())
                .map(|row| fingerprints.fingerprint(tenant(row), batch.user_id.value(row)))
                .collect::<Vec<u128>>()
        },
        |part, first, of_batch| {
            let position = (part as u64) << ROW_BITS | first;
            of_batch
                .into_iter()
                .zip(position..)
                .try_for_each(|(key, position)| spill.push(key, position.into()))
        },
    )?;
    let mut positions: Vec<u64> = Vec::new();
    let mut lowest: Option<[u64; 2]> = None;
    spill.for_each_partition(|_, records| {
        let pairs = records
            .windows(2)
            .filter(|pair| pair[0].0 == pair[1].0)
            .map(|pair| [pair[1].1 as u64, pair[0].1 as u64]);
        match ctx.on_duplicate_user {
            OnDuplicate::Error => lowest = lowest.into_iter().chain(pairs).min(),
            OnDuplicate::KeepFirst => positions.extend(pairs.map(|[second, _]| second)),
        }
        Ok(())
    })?;
    positions.sort_unstable();
    let part_and_row = |position: u64| ((position >> ROW_BITS) as usize, position & ((1 << ROW_BITS) - 1));
    if let Some([second, _]) = lowest {
        return Err(second_row_error(users, part_and_row(second)));
    }
    let mut rows: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for (part, row) in positions.into_iter().map(part_and_row) {
        rows.entry(part).or_default().push(row);
    }
    Ok(Dropped { checked: true, rows })
}

/// Reads a user's second row again, for the error message that names the user.
fn second_row_error(users: &Users<'_>, (part, row): (usize, u64)) -> Error {
    let (mut id, mut tenant) = (String::new(), None);
    let found = users.for_each_ids(UserBatch::clone, |of_part, first, batch| {
        if of_part == part && (first..first + batch.n_users() as u64).contains(&row) {
            let at = (row - first) as usize;
            id = batch.user_id.value(at).to_owned();
            if batch.tenant_id.is_some() {
                tenant = Some(tenant_at(batch.tenant_id.as_ref(), at).to_owned());
            }
        }
        Ok(())
    });
    match found {
        Err(error) => error,
        Ok(()) => duplicate_error(
            format!("{}: column `user_id`", users.part_location(part)),
            &id,
            tenant.as_deref(),
        )
        .hint(format!(
            "the first row of each user can be kept and the others counted: {}",
            advice::key("input.on_duplicate_user = \"keep_first\"").unwrap_or_default()
        )),
    }
}
