//! Records by key, in partitions in memory or in files. Joins and searches for duplicates use them
//! when the users do not fit in memory.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::base::error::{FileResult, Result};
use crate::base::open;

const N_PARTITIONS: usize = 64;
/// The bytes of a record in a file: the key, then the value.
const RECORD: usize = 32;
/// The number of records that are kept in memory: 32 MB.
const HELD: usize = 1_000_000;

/// Maps a user of a tenant to 128 bits, by SipHash with two random keys per run. Colliding ids
/// therefore cannot be prepared in advance. With a billion users, the probability that two have the
/// same fingerprint is about 1.5e-21. The values differ between runs. Outputs may depend only on
/// equality of fingerprints, not on their values or order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fingerprints(RandomState, RandomState);

impl Fingerprints {
    /// Returns the 128-bit fingerprint of a user within a tenant.
    pub(crate) fn fingerprint(&self, tenant: &str, user_id: &str) -> u128 {
        let user = (tenant, user_id);
        u128::from(self.0.hash_one(user)) << 64 | u128::from(self.1.hash_one(user))
    }
}

/// Records of a key and a value, partitioned by key.
pub(crate) struct Spill {
    /// The path next to which files are created. It is the output, whose disk must have enough
    /// space anyway.
    near: PathBuf,
    held: Vec<Vec<(u128, u128)>>,
    n_held: usize,
    files: Option<Vec<File>>,
}

impl Spill {
    /// Creates an empty set of records. Files are created beside `near` when they are needed.
    pub(crate) fn new(near: &Path) -> Self {
        Self {
            near: near.to_owned(),
            held: vec![Vec::new(); N_PARTITIONS],
            n_held: 0,
            files: None,
        }
    }

    /// Adds a record. When too many records are in memory, all of them are written to files.
    pub(crate) fn push(&mut self, key: u128, value: u128) -> Result<()> {
        self.held[(key >> 122) as usize].push((key, value));
        self.n_held += 1;
        if self.n_held >= HELD {
            self.write_out().or_unwritable(&self.near)
        } else {
            Ok(())
        }
    }

    fn write_out(&mut self) -> io::Result<()> {
        if self.files.is_none() {
            self.files = Some(
                (0..N_PARTITIONS)
                    .map(|_| nameless_file(&self.near))
                    .collect::<io::Result<_>>()?,
            );
        }
        let mut bytes = Vec::new();
        for (held, file) in self.held.iter_mut().zip(self.files.iter_mut().flatten()) {
            bytes.clear();
            for (key, value) in held.drain(..) {
                bytes.extend_from_slice(&key.to_le_bytes());
                bytes.extend_from_slice(&value.to_le_bytes());
            }
            file.write_all(&bytes)?;
        }
        self.n_held = 0;
        Ok(())
    }

    /// Passes the records of each partition to `on_records`, sorted by key and value. All records
    /// of a key are in one partition.
    pub(crate) fn for_each_partition(
        &mut self,
        mut on_records: impl FnMut(usize, &[(u128, u128)]) -> Result<()>,
    ) -> Result<()> {
        for idx in 0..N_PARTITIONS {
            let records = self.partition(idx)?;
            on_records(idx, &records)?;
        }
        Ok(())
    }

    /// Returns the records of one partition, sorted by key and value. Each partition can be taken
    /// only once.
    pub(crate) fn partition(&mut self, idx: usize) -> Result<Vec<(u128, u128)>> {
        let mut records = std::mem::take(&mut self.held[idx]);
        if let Some(file) = self.files.as_mut().map(|files| &mut files[idx]) {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(0))
                .and_then(|_| file.read_to_end(&mut bytes))
                .or_unreadable(&self.near)?;
            let (found, _) = bytes.as_chunks::<RECORD>();
            records.extend(found.iter().map(|record| {
                let (mut key, mut value) = ([0; 16], [0; 16]);
                key.copy_from_slice(&record[..16]);
                value.copy_from_slice(&record[16..]);
                (u128::from_le_bytes(key), u128::from_le_bytes(value))
            }));
        }
        records.sort_unstable();
        Ok(records)
    }

    /// The number of partitions.
    pub(crate) const fn n_partitions() -> usize {
        N_PARTITIONS
    }
}

/// Creates a file without a name in the folder of `near`. The kernel frees it when the job ends,
/// even if the job is killed.
pub(crate) fn nameless_file(near: &Path) -> io::Result<File> {
    let folder = open::parent_of(near);
    open::create_folders(folder)?;
    open::nameless(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_by_key_from_memory_and_from_files() {
        let dir = tempfile::tempdir().unwrap();
        let fingerprints = Fingerprints::default();
        for n in [1_000, 2 * HELD as u64 + 7] {
            let mut spill = Spill::new(&dir.path().join("out"));
            for record in 0..n {
                spill
                    .push(
                        fingerprints.fingerprint("t", &(record % 500).to_string()),
                        record.into(),
                    )
                    .unwrap();
            }
            let (mut n_records, mut n_keys) = (0, 0);
            spill
                .for_each_partition(|_, records| {
                    n_records += records.len() as u64;
                    n_keys += records.chunk_by(|a, b| a.0 == b.0).count();
                    assert!(records.is_sorted());
                    Ok(())
                })
                .unwrap();
            assert_eq!((n_records, n_keys), (n, 500));
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}
