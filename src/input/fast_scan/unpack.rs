//! Pages that are packed with zstd, unpacked with one context a thread. The Parquet crate makes two
//! contexts for each column chunk, which costs more than the values of a small row group.

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::ColumnChunkMetaData;
use std::borrow::Cow;
use std::cell::RefCell;
use zstd::bulk::Decompressor;
use zstd::zstd_safe::get_frame_content_size;

use crate::base::limits::Limit;
use crate::input::fast_scan::step::{Flat, Unsupported};

/// The metadata of a chunk whose reader gives pages as they are stored.
pub(super) fn as_stored(chunk: &ColumnChunkMetaData) -> ParquetResult<Cow<'_, ColumnChunkMetaData>> {
    let builder = chunk.clone().into_builder();
    let stored = builder.set_compression(Compression::UNCOMPRESSED).build()?;
    Ok(Cow::Owned(stored))
}

/// The bytes of a page. A page that does not state its size, or states one above the limit, is left to
/// the general reader, as is a damaged one.
pub(super) fn unpacked(stored: &Bytes) -> Flat<Bytes> {
    thread_local! {
        static ZSTD: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    // A page without values may be empty.
    if stored.is_empty() {
        return Ok(Bytes::new());
    }
    let n_bytes = get_frame_content_size(stored).ok().flatten().ok_or(Unsupported)?;
    if n_bytes > Limit::Page.value() {
        return Err(Unsupported);
    }
    let n_bytes = usize::try_from(n_bytes).map_err(|_| Unsupported)?;
    ZSTD.with_borrow_mut(|zstd| {
        let zstd = match zstd {
            Some(zstd) => zstd,
            None => zstd.insert(Decompressor::new().map_err(|_| Unsupported)?),
        };
        let mut bytes = Vec::with_capacity(n_bytes);
        let n_done = zstd
            .decompress_to_buffer(stored, &mut bytes)
            .map_err(|_| Unsupported)?;
        if n_done == n_bytes {
            Ok(Bytes::from(bytes))
        } else {
            Err(Unsupported)
        }
    })
}
