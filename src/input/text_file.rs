//! Text files, plain or gzipped, and the batches that are read from them.

use arrow_array::ArrayRef;
use flate2::read::MultiGzDecoder;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::base::error::{FileResult, Result};
use crate::base::open;

/// The largest number of rows per batch.
pub(super) const BATCH_ROWS: usize = 65_536;

/// Number of bytes that are read at a time.
pub(super) const BUFFER: usize = 1 << 18;

/// A receiver of batches: the columns in the order in which they were asked for, and the number of
/// rows.
pub(super) type OnArrays<'a> = dyn FnMut(Vec<ArrayRef>, usize) -> Result<()> + 'a;

/// Opens a file. Its text is unpacked while it is read.
///
/// # Errors
/// The file cannot be opened.
pub(super) fn open_text(path: &Path, gzip: bool) -> Result<Box<dyn Read>> {
    let file = open::regular(path).or_unreadable(path)?;
    Ok(if gzip {
        Box::new(MultiGzDecoder::new(BufReader::new(file)))
    } else {
        Box::new(file)
    })
}
