//! The writing of users: the layer table is read part by part, compared with the server and written
//! in batches.

use rayon::slice::ParallelSliceMut;
use std::ops::Range;
use std::path::Path;
use twox_hash::XxHash3_64;

use crate::base::error::{Error, Result};
use crate::base::parallel;
use crate::layer::{LayerFileReader, LayerRows};
use crate::publish::pace::Pace;
use crate::publish::redis::context::RedisContext;
use crate::publish::redis::keys::glob_escaped;
use crate::publish::redis::link::{Batch, Link, Pool};
use crate::publish::redis::lock::Lock;
use crate::publish::redis::share::Share;
use crate::publish::target::TargetUsers;

/// The number of users that are compared and written together.
const CHUNK: usize = 4_096;

/// Counts of a chunk of users.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct UserWrites {
    pub(super) n_users: u64,
    /// The number of users who are written, or would be without a lock.
    pub(super) n_written: u64,
    /// The number of users who are also in the version in force. Counted for versioned keys only.
    pub(super) n_known: u64,
}

impl UserWrites {
    pub(super) fn users(self, n_gone: u64) -> TargetUsers {
        TargetUsers {
            n_users: self.n_users,
            n_written: self.n_written,
            n_gone,
        }
    }
}

/// Texts in one buffer, so that a text needs no allocation of its own.
#[derive(Debug, Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    pub(super) fn push(&mut self, pieces: &[&str]) {
        pieces
            .iter()
            .for_each(|piece| self.bytes.extend_from_slice(piece.as_bytes()));
        self.ends.push(self.bytes.len());
    }

    pub(super) fn push_bytes(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn get(&self, idx: usize) -> &[u8] {
        let start = if idx == 0 { 0 } else { self.ends[idx - 1] };
        &self.bytes[start..self.ends[idx]]
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }
}

/// The values of keys; `None` for a missing key. One server answers a single `MGET`. A cluster
/// needs one `GET` per key.
pub(super) fn values(link: &mut Link, pool: &Pool, keys: &Texts) -> Result<Vec<Option<Vec<u8>>>> {
    if keys.len() == 0 {
        return Ok(Vec::new());
    }
    let mut batch = Batch::new(pool);
    if pool.is_cluster() {
        (0..keys.len()).for_each(|idx| batch.push(&[b"GET", keys.get(idx)]));
    } else {
        let parts: Vec<&[u8]> = std::iter::once(b"MGET".as_slice())
            .chain((0..keys.len()).map(|idx| keys.get(idx)))
            .collect();
        batch.push(&parts);
    }
    values_of(link.send(&mut batch)?, keys.len(), pool.address())
}

/// The values of `n_keys` keys from the answers to one `MGET`, or to one `GET` per key.
pub(super) fn values_of(
    mut answers: Vec<redis::Value>,
    n_keys: usize,
    address: &str,
) -> Result<Vec<Option<Vec<u8>>>> {
    if let [redis::Value::Array(_)] = answers.as_slice()
        && let Some(redis::Value::Array(values)) = answers.pop()
    {
        answers = values;
    }
    let wrong = |found: &str| {
        Error::target(
            address,
            format!("expected text under the keys of users, found {found}"),
        )
        .hint("another program writes keys of these names: publish to another database")
    };
    if answers.len() != n_keys {
        return Err(wrong("another number of answers"));
    }
    let text = |value| match value {
        redis::Value::Nil => Ok(None),
        redis::Value::BulkString(bytes) => Ok(Some(bytes)),
        _ => Err(wrong("something else")),
    };
    answers.into_iter().map(text).collect()
}

/// The XXH3 digests of the keys of all users in the layer table, sorted. Eight bytes per user.
pub(super) fn digests(
    ctx: &RedisContext<'_>,
    path: &Path,
    key_of: &(dyn Fn(&mut Vec<u8>, &LayerRows, usize) + Sync),
) -> Result<Vec<u64>> {
    let file = LayerFileReader::open(path)?;
    let bar = ctx.progress.rows("look up", Some(file.n_rows()));
    let mut digests = Vec::with_capacity(file.n_rows() as usize);
    parallel::map_in_order(
        file.n_parts(),
        |part| {
            let (mut found, mut key) = (Vec::new(), Vec::new());
            file.read(part, |rows| {
                for row in 0..rows.len() {
                    key.clear();
                    key_of(&mut key, rows, row);
                    found.push(XxHash3_64::oneshot(&key));
                }
                bar.advance(rows.len() as u64);
                ctx.desired.timer.answered();
                Ok(())
            })?;
            Ok(found)
        },
        |_, found| {
            digests.extend(found);
            Ok(())
        },
    )?;
    digests.par_sort_unstable();
    Ok(digests)
}

/// The largest number of answers to a scan. At 8,192 keys an answer, no server has more keys.
const MAX_ANSWERS: u64 = 10_000_000;

/// Scans all keys that begin with a prefix, and passes on those whose digests are not in `digests`,
/// which must be sorted. A lock is needed if `on_keys` writes.
pub(super) fn others(
    ctx: &RedisContext<'_>,
    lock: Option<&Lock<'_>>,
    prefix: &str,
    digests: &[u64],
    mut on_keys: impl FnMut(&mut Link, &Texts) -> Result<()>,
) -> Result<()> {
    let bar = ctx.progress.rows("search", None);
    let mut link = ctx.pool.take()?;
    if let Some(lock) = lock {
        lock.sign(&mut link)?;
    }
    let pattern = format!("{}*", glob_escaped(prefix));
    let mut cursor = 0_u64;
    let mut n_answers = 0_u64;
    loop {
        let mut command = redis::cmd("SCAN");
        command
            .arg(cursor)
            .arg("MATCH")
            .arg(&pattern)
            .arg("COUNT")
            .arg(8_192);
        let (next, keys): (u64, Vec<Vec<u8>>) = link.ask(&command)?;
        ctx.desired.timer.answered();
        n_answers += 1;
        if n_answers > MAX_ANSWERS {
            return Err(Error::target(
                ctx.pool.address(),
                format!("expected the end of a scan within {MAX_ANSWERS} answers, found none"),
            ));
        }
        bar.advance(keys.len() as u64);
        let mut strange = Texts::default();
        let is_other = |key: &&Vec<u8>| digests.binary_search(&XxHash3_64::oneshot(key)).is_err();
        // The keys of another plan stay as they are, whatever the server answers.
        for key in keys
            .iter()
            .filter(|key| key.starts_with(prefix.as_bytes()))
            .filter(is_other)
        {
            strange.push_bytes(key);
        }
        if strange.len() > 0 {
            on_keys(&mut link, &strange)?;
        }
        cursor = next;
        if cursor == 0 {
            ctx.pool.give(link);
            return Ok(());
        }
    }
}

/// Compares some users, adds the necessary writes to the batch, and returns counts.
pub(super) type OnChunk<'a> =
    dyn Fn(&mut Link, &LayerRows, Range<usize>, &mut Batch) -> Result<UserWrites> + Sync + 'a;

/// Passes over a share of the layer table on all threads. Without a lock, writes are counted but not
/// sent.
pub(super) fn pass(
    ctx: &RedisContext<'_>,
    lock: Option<&Lock<'_>>,
    share: &Share,
    on_chunk: &OnChunk<'_>,
) -> Result<UserWrites> {
    let Some(path) = ctx.desired.layers else {
        return Ok(UserWrites::default());
    };
    let file = LayerFileReader::open(path)?;
    let bar = ctx.progress.rows(
        if lock.is_some() { "publish" } else { "compare" },
        (*share == Share::All).then(|| file.n_rows()),
    );
    let parts = share.parts(file.n_parts());
    let pace = Pace::new(ctx.desired.options.max_qps);
    // A low rate needs small chunks, so that the lock is renewed in time.
    let chunk = pace.chunk(CHUNK);
    let mut total = UserWrites::default();
    parallel::map_in_order(
        parts.len(),
        |idx| {
            let part = parts[idx];
            let mut link = ctx.pool.take()?;
            if let Some(lock) = lock {
                lock.sign(&mut link)?;
            }
            let mut batch = Batch::new(ctx.pool);
            let mut counts = UserWrites::default();
            file.read(part, |rows| {
                let Range { mut start, end } = share.rows(part, rows.len());
                while start < end {
                    let range = start..end.min(start + chunk);
                    start = range.end;
                    ctx.desired.timer.answered();
                    bar.advance(range.len() as u64);
                    let more = on_chunk(&mut link, rows, range, &mut batch)?;
                    counts.n_users += more.n_users;
                    counts.n_written += more.n_written;
                    counts.n_known += more.n_known;
                    if let Some(lock) = lock {
                        pace.wait(batch.len());
                        lock.renew(&mut link)?;
                        link.send(&mut batch)?;
                    } else {
                        batch = Batch::new(ctx.pool);
                    }
                }
                Ok(())
            })?;
            ctx.pool.give(link);
            Ok(counts)
        },
        |_, counts| {
            total.n_users += counts.n_users;
            total.n_written += counts.n_written;
            total.n_known += counts.n_known;
            Ok(())
        },
    )?;
    Ok(total)
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    #[test]
    fn values_are_texts_or_missing_one_for_each_key() {
        let text = |text: &str| Value::BulkString(text.into());
        let check = |answers: Vec<Value>, n_keys: usize, expected: Option<Vec<Option<&str>>>| {
            let found = values_of(answers, n_keys, "redis://h").ok();
            let expected = expected.map(|values| {
                let bytes = |value: Option<&str>| value.map(|text| text.as_bytes().to_vec());
                values.into_iter().map(bytes).collect::<Vec<_>>()
            });
            assert_eq!(found, expected);
        };
        let both = || vec![text("a"), Value::Nil];
        check(vec![Value::Array(both())], 2, Some(vec![Some("a"), None]));
        check(both(), 2, Some(vec![Some("a"), None]));
        check(vec![Value::Array(both())], 3, None);
        check(vec![Value::Array(vec![])], 0, Some(vec![]));
        check(vec![Value::Int(1)], 1, None);
        check(vec![Value::Array(vec![Value::Array(both())])], 1, None);
        check(vec![], 1, None);
    }
}
