//! Encodes the three result columns as Parquet column chunks.
//!
//! Scores have 10,001 possible values and layers a few, so both are dictionary-encoded without
//! hashing: a histogram shows which values occur. The same counts give the chunk's statistics.

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use crate::layer::score::N_SCORES;

/// The Zstandard level of every column that Sluice compresses in this file.
pub(super) const ZSTD_LEVEL: i32 = 1;
/// Largest number of rows per data page.
const PAGE_ROWS: usize = 131_072;

/// An encoded column chunk, with its metadata for the row group.
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    pub(super) close: ColumnCloseResult,
}

/// Encodes result columns, one row group after another.
pub(super) struct Encoder {
    zstd: Compressor<'static>,
    indices: Vec<u16>,
    packed: Vec<u8>,
}

impl Encoder {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            zstd: Compressor::new(ZSTD_LEVEL)?,
            indices: Vec::new(),
            packed: Vec::new(),
        })
    }

    /// Encodes scores, given in ten-thousandths, as doubles. `histogram` has the count of each of
    /// the 10,001 values.
    pub(super) fn scores(
        &mut self,
        descr: ColumnDescPtr,
        scores: &[u16],
        histogram: &[u32],
    ) -> Result<Chunk> {
        let mut index_of = vec![0_u16; N_SCORES];
        let mut dictionary = Vec::new();
        let value = |score: usize| score as f64 / 10_000.0;
        let mut n_values = 0;
        for (score, _) in histogram.iter().enumerate().filter(|(_, n)| **n > 0) {
            index_of[score] = n_values;
            n_values += 1;
            dictionary.extend_from_slice(&value(score).to_le_bytes());
        }
        let first = histogram.iter().position(|n| *n > 0).map(value);
        let last = histogram.iter().rposition(|n| *n > 0).map(value);
        let statistics = Statistics::double(first, last, Some(u64::from(n_values)), Some(0), false);
        let mut indices = std::mem::take(&mut self.indices);
        indices.clear();
        indices.extend(scores.iter().map(|score| index_of[usize::from(*score)]));
        let chunk = self.dictionary_chunk(descr, dictionary, n_values, &indices, statistics);
        self.indices = indices;
        chunk
    }

    /// Encodes layer indices as layer ids. `counts` has the number of users of each layer.
    pub(super) fn layers(
        &mut self,
        descr: ColumnDescPtr,
        layers: &[u8],
        counts: &[u64],
        ids: &[&str],
    ) -> Result<Chunk> {
        let mut index_of = vec![0_u16; 256];
        let mut dictionary = Vec::new();
        let mut used: Vec<&str> = Vec::new();
        for (layer, _) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
            index_of[layer] = used.len() as u16;
            dictionary.extend_from_slice(&(ids[layer].len() as u32).to_le_bytes());
            dictionary.extend_from_slice(ids[layer].as_bytes());
            used.push(ids[layer]);
        }
        let text = |id: Option<&&str>| id.map(|id| ByteArray::from(*id));
        let statistics = Statistics::byte_array(
            text(used.iter().min()),
            text(used.iter().max()),
            Some(used.len() as u64),
            Some(0),
            false,
        );
        let mut indices = std::mem::take(&mut self.indices);
        indices.clear();
        indices.extend(layers.iter().map(|layer| index_of[usize::from(*layer)]));
        let chunk = self.dictionary_chunk(descr, dictionary, used.len() as u16, &indices, statistics);
        self.indices = indices;
        chunk
    }

    /// Encodes consents, 0 or 1, as booleans.
    pub(super) fn flags(&mut self, descr: ColumnDescPtr, flags: &[u8]) -> Result<Chunk> {
        let (any, all) = (flags.contains(&1), !flags.contains(&0));
        let statistics = Statistics::boolean(Some(all), Some(any), None, Some(0), false);
        let mut pages = Pages::new();
        for flags in flags.chunks(PAGE_ROWS) {
            self.packed.clear();
            let (octets, rest) = flags.as_chunks::<8>();
            self.packed.extend(octets.iter().map(|octet| {
                // Each byte is 0 or 1. The product collects the eight bits in the highest byte.
                (u64::from_le_bytes(*octet).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
            }));
            if !rest.is_empty() {
                self.packed
                    .push(rest.iter().rev().fold(0, |byte, flag| byte << 1 | flag));
            }
            let data = self.packed.clone();
            pages.data(&mut self.zstd, &data, flags.len(), Encoding::PLAIN)?;
        }
        pages.finish(
            descr,
            flags.len(),
            vec![Encoding::PLAIN, Encoding::RLE],
            statistics,
        )
    }

    /// Encodes a column chunk with a dictionary page and index pages.
    fn dictionary_chunk(
        &mut self,
        descr: ColumnDescPtr,
        dictionary: Vec<u8>,
        n_values: u16,
        indices: &[u16],
        statistics: Statistics,
    ) -> Result<Chunk> {
        let mut pages = Pages::new();
        pages.dictionary(&mut self.zstd, dictionary, n_values)?;
        let bits = 16 - n_values.saturating_sub(1).leading_zeros();
        for indices in indices.chunks(PAGE_ROWS) {
            self.packed.clear();
            self.packed.push(bits as u8);
            if bits == 0 {
                varint(&mut self.packed, (indices.len() as u64) << 1);
            } else {
                varint(&mut self.packed, (indices.len().div_ceil(8) as u64) << 1 | 1);
                pack(indices, bits, &mut self.packed);
            }
            let data = std::mem::take(&mut self.packed);
            pages.data(&mut self.zstd, &data, indices.len(), Encoding::RLE_DICTIONARY)?;
            self.packed = data;
        }
        pages.finish(
            descr,
            indices.len(),
            vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY],
            statistics,
        )
    }
}

/// The pages of a chunk that is being written.
struct Pages {
    sink: TrackedWrite<Vec<u8>>,
    n_uncompressed: usize,
    first_data_page: Option<usize>,
    dictionary_page: Option<usize>,
    stats: Vec<PageEncodingStats>,
}

impl Pages {
    fn new() -> Self {
        Self {
            sink: TrackedWrite::new(Vec::new()),
            n_uncompressed: 0,
            first_data_page: None,
            dictionary_page: None,
            stats: Vec::new(),
        }
    }

    fn dictionary(&mut self, zstd: &mut Compressor<'_>, values: Vec<u8>, n_values: u16) -> Result<()> {
        self.dictionary_page = Some(self.sink.bytes_written());
        let buf = Bytes::from(zstd.compress(&values)?);
        let page = Page::DictionaryPage {
            buf,
            num_values: u32::from(n_values),
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        self.push(page, values.len(), PageType::DICTIONARY_PAGE, Encoding::PLAIN)
    }

    fn data(
        &mut self,
        zstd: &mut Compressor<'_>,
        values: &[u8],
        n_values: usize,
        encoding: Encoding,
    ) -> Result<()> {
        self.first_data_page.get_or_insert(self.sink.bytes_written());
        let page = Page::DataPage {
            buf: Bytes::from(zstd.compress(values)?),
            num_values: n_values as u32,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        self.push(page, values.len(), PageType::DATA_PAGE, encoding)
    }

    fn push(
        &mut self,
        page: Page,
        n_uncompressed: usize,
        page_type: PageType,
        encoding: Encoding,
    ) -> Result<()> {
        let written = SerializedPageWriter::new(&mut self.sink)
            .write_page(CompressedPage::new(page, n_uncompressed))?;
        self.n_uncompressed += written.uncompressed_size;
        match self
            .stats
            .iter_mut()
            .find(|stats| stats.page_type == page_type && stats.encoding == encoding)
        {
            Some(stats) => stats.count += 1,
            None => self.stats.push(PageEncodingStats {
                page_type,
                encoding,
                count: 1,
            }),
        }
        Ok(())
    }

    fn finish(
        self,
        descr: ColumnDescPtr,
        n_rows: usize,
        encodings: Vec<Encoding>,
        statistics: Statistics,
    ) -> Result<Chunk> {
        let n_bytes = self.sink.bytes_written();
        let first = self
            .first_data_page
            .ok_or_else(|| ParquetError::General("a row group without rows".into()))?;
        let metadata = ColumnChunkMetaData::builder(descr)
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
            .set_encodings(encodings)
            .set_num_values(n_rows as i64)
            .set_total_compressed_size(n_bytes as i64)
            .set_total_uncompressed_size(self.n_uncompressed as i64)
            .set_data_page_offset(first as i64)
            .set_dictionary_page_offset(self.dictionary_page.map(|at| at as i64))
            .set_page_encoding_stats(self.stats)
            .set_statistics(statistics)
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: n_bytes as u64,
            rows_written: n_rows as u64,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        Ok(Chunk {
            bytes: Bytes::from(self.sink.into_inner()?),
            close,
        })
    }
}

/// Appends an unsigned LEB128 integer.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Packs indices of `bits` bits each, in groups of eight. The last group is padded with zeros.
fn pack(indices: &[u16], bits: u32, out: &mut Vec<u8>) {
    let n_bytes = bits as usize;
    out.reserve(indices.len().div_ceil(8) * n_bytes + 16);
    let (octets, rest) = indices.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let last = (!rest.is_empty()).then_some(&last);
    for octet in octets.iter().chain(last) {
        // Eight indices of at most 16 bits fit in 128 bits.
        let word = octet
            .iter()
            .rev()
            .fold(0_u128, |word, index| word << bits | u128::from(*index));
        out.extend_from_slice(&word.to_le_bytes()[..n_bytes]);
    }
}
