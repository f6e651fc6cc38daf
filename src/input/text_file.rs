//! Text files, plain or compressed, and the batches that are read from them.

use arrow_array::ArrayRef;
use flate2::read::MultiGzDecoder;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use crate::base::error::{Error, FileResult, Result};
use crate::base::open;
use crate::input::content;
use crate::input::content::Content;
use crate::input::format::Packing;

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
/// The file cannot be opened, or its first bytes show that it is no text in UTF-8.
pub(crate) fn open_text(path: &Path, packing: Packing) -> Result<Box<dyn Read>> {
    let file = open::regular(path).or_unreadable(path)?;
    let mut text: Box<dyn Read> = match packing {
        Packing::None => Box::new(file),
        Packing::Gzip => Box::new(MultiGzDecoder::new(BufReader::new(file))),
        // The window of a frame is at most 128 MiB, the limit of the library.
        Packing::Zstd => Box::new(zstd::stream::read::Decoder::new(file).or_unreadable(path)?),
    };
    let mut head = Vec::new();
    let mut first = text.by_ref().take(content::HEAD as u64);
    first.read_to_end(&mut head).or_unreadable(path)?;
    check_text(path, &head)?;
    Ok(Box::new(Cursor::new(head).chain(text)))
}

/// Refuses a file whose first bytes show another format or another encoding.
fn check_text(path: &Path, head: &[u8]) -> Result<()> {
    // A header may begin like another format: `ORCID`.
    let is_binary = head.contains(&0) || head.first().is_some_and(|byte| !byte.is_ascii());
    if let Some(content) = Content::of_bytes(head).filter(|_| is_binary) {
        let error = Error::in_file(path, format!("expected text, found {}", content.name()));
        return Err(match content.remedy(path) {
            Some(hint) => error.hint(hint),
            None => error,
        });
    }
    let Some((name, iconv)) = content::encoding(head) else {
        return Ok(());
    };
    let file = path
        .file_name()
        .map_or_else(Default::default, |name| name.to_string_lossy());
    let error = Error::in_file(path, format!("expected text in UTF-8, found {name}"));
    Err(error.hint(format!(
        "write the file again as UTF-8: iconv -f {iconv} -t UTF-8 '{file}' > 'utf8-{file}'"
    )))
}
