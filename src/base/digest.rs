//! Computes digests of bytes and of files.

use sha2::{Digest, Sha256};
use std::io;
use std::io::{Read, Write};
use std::path::Path;

use crate::base::error::{FileResult, Result};
use crate::base::open;

/// The SHA-256 digest of several byte strings, as `sha256:<hex>`. Each string is preceded by its
/// length, so that moving a boundary changes the digest.
pub fn sha256_of(parts: &[&[u8]]) -> String {
    let mut digest = PartsDigest::default();
    parts.iter().for_each(|part| digest.push(part));
    digest.finish()
}

/// The digest of [`sha256_of`], part by part.
#[derive(Default)]
pub(crate) struct PartsDigest(Sha256);

impl PartsDigest {
    /// Adds a byte string.
    pub(crate) fn push(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// Returns the digest of all byte strings, as `sha256:<hex>`.
    pub(crate) fn finish(self) -> String {
        show_digest(self.0)
    }
}

/// Computes [`sha256_of`] of one byte string of a known length that arrives in pieces.
pub(super) struct PartHasher(Sha256);

impl PartHasher {
    pub(super) fn new(n_bytes: u64) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(n_bytes.to_le_bytes());
        Self(hasher)
    }

    pub(super) fn finish(self) -> String {
        show_digest(self.0)
    }
}

impl Write for PartHasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The SHA-256 digest of bytes, as `sha256:<hex>`. The hexadecimal digits are those of `sha256sum`.
pub fn sha256_of_bytes(bytes: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(bytes);
    show_digest(hasher)
}

/// The SHA-256 digest of a file's bytes, as `sha256:<hex>`. The hexadecimal digits are those of
/// `sha256sum`.
///
/// # Errors
/// When the file cannot be read.
pub fn sha256_of_file(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    read_through(path, &mut |bytes| hasher.update(bytes))?;
    Ok(show_digest(hasher))
}

/// The BLAKE3 digest of a file's bytes, as `blake3:<hex>`. It is faster than SHA-256 for large
/// files such as logs.
///
/// # Errors
/// When the file cannot be read.
pub fn blake3_of_file(path: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    read_through(path, &mut |bytes| {
        hasher.update(bytes);
    })?;
    Ok(show_blake3(&hasher))
}

/// The digests of [`blake3_of_file`] for the first bytes of a text, at each of some lengths in
/// ascending order. Lengths beyond the end of the text are left out.
///
/// # Errors
/// When the text cannot be read.
pub(crate) fn blake3_of_prefixes(text: &mut dyn Read, lengths: &[u64]) -> io::Result<Vec<String>> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    let (mut digests, mut n_read) = (Vec::with_capacity(lengths.len()), 0);
    for length in lengths {
        while n_read < *length {
            let n_most = usize::try_from(length - n_read).unwrap_or(usize::MAX);
            let n_most = n_most.min(buffer.len());
            match text.read(&mut buffer[..n_most])? {
                0 => return Ok(digests),
                n => {
                    hasher.update(&buffer[..n]);
                    n_read += n as u64;
                }
            }
        }
        digests.push(show_blake3(&hasher));
    }
    Ok(digests)
}

/// The digest of a hasher, as `blake3:<hex>`.
fn show_blake3(hasher: &blake3::Hasher) -> String {
    format!("blake3:{}", hasher.finalize().to_hex())
}

/// Reads a file in blocks and passes each block to `on_bytes`.
pub(super) fn read_through(path: &Path, on_bytes: &mut dyn FnMut(&[u8])) -> Result<()> {
    let mut read = || -> io::Result<()> {
        let mut file = open::regular(path)?;
        let mut buffer = vec![0; 1 << 18];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                n => on_bytes(&buffer[..n]),
            }
        }
    };
    read().or_unreadable(path)
}

/// The digest of a hasher, as `sha256:<hex>`.
pub(super) fn show_digest(hasher: Sha256) -> String {
    let hex: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}
