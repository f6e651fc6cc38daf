//! Parquet files of unknown origin: the sizes that their pages claim are checked before memory is
//! reserved for them.

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::basic::Type;
use parquet::column::page::{Page, PageReader};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use std::fs::File;
use std::io;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::base::error::{FileResult, Result};
use crate::base::limits::Limit;
use crate::base::lock::lock;
use crate::base::open;

/// The start of the text of an error for a page beyond the limit. The size in bytes follows.
pub(crate) const PAGE_TOO_LARGE: &str = "page beyond the limit: ";

/// The largest number of rows per batch.
pub(crate) const BATCH_ROWS: usize = 65_536;

/// Deflate packs at most this number of bytes into one.
const MAX_DEFLATE: u64 = 1_032;

/// Bytes that a decoded value takes beside its text.
const VALUE_BYTES: u64 = 8;

/// A Parquet file whose page headers are checked when they are read: [`Limit::Page`].
///
/// Every read must start at a page header. A [`SerializedPageReader`] does so, unless it peeks at
/// a page before it reads it.
pub(crate) struct PageFile {
    file: File,
    n_bytes: u64,
    last: Mutex<PageHead>,
}

/// The sizes that a page header states.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct PageHead {
    n_unpacked: u64,
    n_values: u64,
    /// The number of the encoding in the Parquet format.
    encoding: u64,
}

impl PageFile {
    /// Opens a file.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = open::regular(path).or_unreadable(path)?;
        let n_bytes = file.metadata().or_unreadable(path)?.len();
        Ok(Self {
            file,
            n_bytes,
            last: Mutex::default(),
        })
    }

    /// The open file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

impl Length for PageFile {
    fn len(&self) -> u64 {
        self.n_bytes
    }
}

impl ChunkReader for PageFile {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let mut reader = self.file.get_read(start)?;
        let head = PageHead::parse(reader.fill_buf()?)
            .ok_or_else(|| ParquetError::General("a broken page header".into()))?;
        if head.n_unpacked > Limit::Page.value() {
            return Err(too_large(head.n_unpacked));
        }
        *lock(&self.last) = head;
        Ok(reader)
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        if start
            .checked_add(length as u64)
            .is_none_or(|end| end > self.n_bytes)
        {
            return Err(ParquetError::EOF("a page beyond the end of the file".into()));
        }
        let bytes = self.file.get_bytes(start, length)?;
        check_gzip(&bytes)?;
        Ok(bytes)
    }
}

fn too_large(n_bytes: u64) -> ParquetError {
    ParquetError::General(format!("{PAGE_TOO_LARGE}{n_bytes}"))
}

/// Counts what a page of gzip unpacks to, because its decoder does not stop at the size that the
/// page states. Small pages are not counted.
fn check_gzip(bytes: &Bytes) -> ParquetResult<()> {
    let limit = Limit::Page.value();
    let is_small = bytes.len() as u64 * MAX_DEFLATE <= limit.saturating_mul(8);
    if is_small || !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(());
    }
    let unpacked = MultiGzDecoder::new(&bytes[..]).take(limit.saturating_add(1));
    // A page that cannot be unpacked is refused by the decoder, with a better message.
    match io::copy(&mut BufReader::new(unpacked), &mut io::sink()) {
        Ok(n) if n > limit => Err(too_large(n)),
        _ => Ok(()),
    }
}

impl PageHead {
    /// Reads the first fields of a page header (Thrift's compact protocol): type, size unpacked,
    /// size, checksum, and number of values and encoding. `None` if the bytes are no page header.
    fn parse(mut bytes: &[u8]) -> Option<Self> {
        // A field starts with the difference of field numbers in the high bits and its type in the low
        // ones: 5 is an integer, 12 a structure.
        const INTEGER: u8 = 0x15;
        let mut integer = || {
            let (_, rest) = bytes.split_first().filter(|(first, _)| **first == INTEGER)?;
            bytes = rest;
            varint(&mut bytes)
        };
        let (kind, n_unpacked) = (size(integer()?)?, size(integer()?)?);
        let _n_packed = integer()?;
        let has_checksum = integer().is_some();
        // The structure of a data page, of an index, of a dictionary, and of a data page of version 2.
        let field = [5, 6, 7, 8].get(usize::try_from(kind).ok()?)?;
        let structure = (field - if has_checksum { 4 } else { 3 }) << 4 | 12;
        let (first, rest) = bytes.split_first()?;
        if *first != structure {
            return None;
        }
        bytes = rest;
        let mut integer = || {
            let (_, rest) = bytes.split_first().filter(|(first, _)| **first == INTEGER)?;
            bytes = rest;
            size(varint(&mut bytes)?)
        };
        let mut head = Self {
            n_unpacked,
            ..Self::default()
        };
        match kind {
            0 | 2 => (head.n_values, head.encoding) = (integer()?, integer()?),
            3 => {
                head.n_values = integer()?;
                let (_n_nulls, _n_rows) = (integer()?, integer()?);
                head.encoding = integer()?;
            }
            _ => {}
        }
        Some(head)
    }
}

/// Reads a number of at most 32 bits, seven bits a byte. Its last bit is its sign.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The size that a number with a sign states. `None` for a negative number.
fn size(number: u64) -> Option<u64> {
    number.is_multiple_of(2).then_some(number / 2)
}

/// Returns the number of rows per batch with which the texts of a batch stay below
/// [`Limit::Batch`], at least 1. A dictionary may stand for much more text than the file has.
///
/// # Errors
/// A page header or a dictionary cannot be read.
pub(crate) fn batch_rows(
    file: &Arc<PageFile>,
    footer: &ArrowReaderMetadata,
    row_groups: &[usize],
    leaves: &[usize],
) -> ParquetResult<usize> {
    let metadata = footer.metadata();
    let schema = metadata.file_metadata().schema_descr();
    let mut n_row_bytes = 1;
    for leaf in leaves {
        let descr = schema.column(*leaf);
        let n_text = match descr.physical_type() {
            Type::BYTE_ARRAY => {
                let mut most = 0;
                for group in row_groups {
                    let group = metadata.row_group(*group);
                    let n_rows = usize::try_from(group.num_rows()).unwrap_or(0);
                    most = most.max(text_bytes(file, group.column(*leaf), n_rows)?);
                }
                most
            }
            Type::FIXED_LEN_BYTE_ARRAY => u64::try_from(descr.type_length()).unwrap_or(0),
            _ => 0,
        };
        let n_values = if descr.max_rep_level() > 0 {
            values_per_row(metadata, row_groups, *leaf)
        } else {
            1
        };
        n_row_bytes += (n_text + VALUE_BYTES).saturating_mul(n_values);
    }
    let n_rows = usize::try_from(Limit::Batch.value() / n_row_bytes).unwrap_or(BATCH_ROWS);
    // Arrays reserve memory for a whole batch, also in a row group of a few rows.
    let in_group = |group: &usize| usize::try_from(metadata.row_group(*group).num_rows()).unwrap_or(0);
    let n_there = row_groups.iter().map(in_group).fold(0, usize::saturating_add);
    Ok(n_rows.min(n_there).clamp(1, BATCH_ROWS))
}

/// The largest mean number of values of a row, in any of some row groups.
fn values_per_row(metadata: &ParquetMetaData, row_groups: &[usize], leaf: usize) -> u64 {
    let of_group = |group: &usize| {
        let group = metadata.row_group(*group);
        let n_values = group.column(leaf).num_values().unsigned_abs();
        n_values.div_ceil(group.num_rows().unsigned_abs().max(1))
    };
    row_groups.iter().map(of_group).max().unwrap_or(0).max(1)
}

/// An upper bound of the bytes of text per row of a chunk: the largest mean of a page, or the longest
/// text of its dictionary.
fn text_bytes(file: &Arc<PageFile>, chunk: &ColumnChunkMetaData, n_rows: usize) -> ParquetResult<u64> {
    const PLAIN: u64 = 0;
    const DELTA_LENGTHS: u64 = 6;
    const DELTA_TEXTS: u64 = 7;
    let mut pages = SerializedPageReader::new(Arc::clone(file), chunk, n_rows, None)?;
    let (mut most, mut n_pages) = (0, 0);
    while let Some(page) = pages.peek_next_page()? {
        let head = *lock(&file.last);
        let n_text = match head.encoding {
            _ if page.is_dict && n_pages > 0 => {
                return Err(ParquetError::General(
                    "a dictionary that is not the first page".into(),
                ));
            }
            _ if page.is_dict => longest_text(file, chunk, n_rows)?,
            PLAIN | DELTA_LENGTHS => head.n_unpacked.div_ceil(head.n_values.max(1)),
            // A text may repeat all of the one before it.
            DELTA_TEXTS => head.n_unpacked,
            _ => 0,
        };
        most = most.max(n_text);
        n_pages += 1;
        pages.skip_next_page()?;
    }
    Ok(most)
}

/// The bytes of the longest text of a chunk's dictionary.
fn longest_text(file: &Arc<PageFile>, chunk: &ColumnChunkMetaData, n_rows: usize) -> ParquetResult<u64> {
    let mut pages = SerializedPageReader::new(Arc::clone(file), chunk, n_rows, None)?;
    let Some(Page::DictionaryPage { buf, .. }) = pages.get_next_page()? else {
        return Ok(0);
    };
    let (mut longest, mut rest) = (0, &buf[..]);
    while let Some((n, texts)) = rest.split_first_chunk::<4>() {
        let n = u32::from_le_bytes(*n);
        longest = longest.max(u64::from(n));
        // A length beyond the page is refused when the dictionary is decoded.
        rest = texts.get(n as usize..).unwrap_or_default();
    }
    Ok(longest.min(buf.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_header_states_its_sizes() {
        let check = |bytes: &[u8], expected: Option<(u64, u64, u64)>| {
            let found = PageHead::parse(bytes).map(|head| (head.n_unpacked, head.n_values, head.encoding));
            assert_eq!(found, expected, "{bytes:x?}");
        };
        // A data page of 10 bytes, with 3 values in the encoding 8.
        check(
            &[0x15, 0, 0x15, 20, 0x15, 8, 0x2c, 0x15, 6, 0x15, 16],
            Some((10, 3, 8)),
        );
        // The same with a checksum; a dictionary; a page of version 2 with nulls and rows.
        for checksum in [2, 3] {
            check(
                &[0x15, 0, 0x15, 20, 0x15, 8, 0x15, checksum, 0x1c, 0x15, 6, 0x15, 0],
                Some((10, 3, 0)),
            );
        }
        check(
            &[0x15, 4, 0x15, 0x80, 1, 0x15, 8, 0x4c, 0x15, 6, 0x15, 4],
            Some((64, 3, 2)),
        );
        check(
            &[
                0x15, 6, 0x15, 20, 0x15, 8, 0x5c, 0x15, 6, 0x15, 0, 0x15, 6, 0x15, 14,
            ],
            Some((10, 3, 7)),
        );
        // No header, a negative size, and one that is cut off.
        check(b"PAR1PAR1PAR1", None);
        check(&[0x15, 0, 0x15, 21, 0x15, 8, 0x2c, 0x15, 6, 0x15, 16], None);
        check(&[0x15, 0, 0x15, 20, 0x15], None);
    }

    #[test]
    fn a_page_of_gzip_is_counted_before_it_is_unpacked() {
        let check = |n: usize, is_refused: bool| {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            io::copy(&mut io::repeat(0).take(n as u64), &mut packed).unwrap();
            let found = check_gzip(&packed.finish().unwrap().into());
            assert_eq!(found.is_err(), is_refused, "{n}");
        };
        check(1 << 20, false);
        check(700 << 20, true);
    }
}
