//! Digests of bytes and of files.

use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;

use crate::base::error::{FileResult, Result};

/// `sha256:<hex>` of some byte strings, each preceded by its length, so that moving a boundary
/// changes the digest.
pub fn sha256_of(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    show_digest(hasher)
}

/// `sha256:<hex>` of bytes, as `sha256sum` prints it.
pub fn sha256_of_bytes(bytes: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(bytes);
    show_digest(hasher)
}

/// `sha256:<hex>` of a file's bytes, as `sha256sum` prints it.
///
/// # Errors
/// A file that cannot be read.
pub fn sha256_of_file(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    read_through(path, &mut |bytes| hasher.update(bytes))?;
    Ok(show_digest(hasher))
}

/// Digest of a file's bytes: `blake3:<hex>`. For logs, of which there is too much for sha256.
///
/// # Errors
/// When the file cannot be read.
pub fn blake3_of_file(path: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    read_through(path, &mut |bytes| {
        hasher.update(bytes);
    })?;
    Ok(format!("blake3:{}", hasher.finalize().to_hex()))
}

pub(super) fn read_through(path: &Path, on_bytes: &mut dyn FnMut(&[u8])) -> Result<()> {
    let mut read = || -> io::Result<()> {
        let mut file = File::open(path)?;
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

pub(super) fn show_digest(hasher: Sha256) -> String {
    let hex: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}
