//! Users who were seen, as a task sends them: rows as differences, and numbers with seven bits a byte.

use crate::base::block::damaged;
use crate::base::error::Result;
use crate::replay::bytes::{Reader, Writer};
use crate::replay::seen::{StageSet, UserExposure, UserRow};

/// A block of users who is being written, in row order.
#[derive(Default)]
pub(super) struct SeenBlock {
    bytes: Writer,
    row: u32,
}

impl SeenBlock {
    /// Appends a user, with `n_words` words of each set of stages.
    pub(super) fn push(&mut self, user: &UserRow, n_words: usize) {
        let UserRow {
            row,
            stratum,
            bucket,
            seen,
        } = user;
        self.bytes.put(u64::from(row - self.row));
        self.row = *row;
        for number in [*stratum, u32::from(*bucket), seen.last] {
            self.bytes.put(u64::from(number));
        }
        for word in seen.stages.iter().flat_map(|set| &set.words()[..n_words]) {
            self.bytes.put(*word);
        }
    }

    /// The number of bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the bytes. The next user begins a new block.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(self).bytes.into_bytes()
    }
}

/// Passes the users of a block to `on_user`.
///
/// # Errors
/// When the bytes are damaged, and those of `on_user`.
pub(super) fn read_seen(
    bytes: &[u8],
    n_words: usize,
    mut on_user: impl FnMut(UserRow) -> Result<()>,
) -> Result<()> {
    let mut bytes = Reader::new(bytes);
    let mut row = 0_u32;
    while !bytes.is_empty() {
        row = row.checked_add(bytes.next_as()?).ok_or_else(damaged)?;
        let (stratum, bucket, last) = (bytes.next_as()?, bytes.next_as()?, bytes.next_as()?);
        let mut words = || -> Result<StageSet> {
            let words = (0..n_words).map(|_| bytes.next()).collect::<Result<Vec<u64>>>()?;
            Ok(StageSet::from_words(words.into_iter()))
        };
        let stages = [words()?, words()?];
        on_user(UserRow {
            row,
            stratum,
            bucket,
            seen: UserExposure { stages, last },
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(n_words: usize) -> Vec<UserRow> {
        let set = |seed: u64| {
            StageSet::from_words((0..n_words as u64).map(|word| seed.rotate_left(word as u32 * 7)))
        };
        (0..500_u32)
            .map(|idx| UserRow {
                row: idx * idx * 17_000 / 3,
                stratum: idx % 300,
                bucket: (idx * 37 % 10_000) as u16,
                seen: UserExposure {
                    stages: [set(u64::from(idx)), set(u64::MAX >> (idx % 64))],
                    last: 1 + idx * 131,
                },
            })
            .collect()
    }

    #[test]
    fn users_survive_and_damage_does_not() {
        for n_words in [1, 3] {
            let users = users(n_words);
            let mut block = SeenBlock::default();
            users.iter().for_each(|user| block.push(user, n_words));
            assert_eq!(block.len(), block.bytes.len());
            let bytes = block.take();
            let mut found = Vec::new();
            let mut keep = |user| {
                found.push(user);
                Ok(())
            };
            read_seen(&bytes, n_words, &mut keep).unwrap();
            assert_eq!(found, users);
            assert!(read_seen(&bytes[..bytes.len() - 1], n_words, |_| Ok(())).is_err());
        }
        // A row, a bucket or a last window that is too large.
        for numbers in [
            [1 << 32, 0, 0, 0, 0, 0],
            [0, 0, 1 << 16, 0, 0, 0],
            [0, 0, 0, 1 << 32, 0, 0],
        ] {
            let mut writer = Writer::default();
            numbers.into_iter().for_each(|number| writer.put(number));
            assert!(
                read_seen(&writer.into_bytes(), 1, |_| Ok(())).is_err(),
                "{numbers:?}"
            );
        }
    }
}
