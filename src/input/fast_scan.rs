//! A fast reader of flat Parquet columns. It maps them to values of the caller's type, up to 1,024
//! rows at a time, straight from their pages.
//!
//! The general reader makes Arrow arrays of whole batches. This reader serves the score and the
//! replay kernel: they read several columns in parallel within the CPU cache, and map every
//! distinct value of a dictionary once. It supports the plain and the dictionary encoding.
//! Everything else, and every error in a file, is left to the general reader: see [`Unsupported`].

use arrow_schema::{DataType, TimeUnit};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::basic::{Compression, Encoding, Type as Physical};
use parquet::column::page::{Page, PageReader};
use parquet::file::serialized_reader::SerializedPageReader;
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::parquet_file::PageFile;
use crate::base::parquet_io::guard;
use crate::base::time::{DAY, SECOND};
use crate::input::fast_scan::hybrid::{Hybrid, load};
use crate::input::fast_scan::step::Flat;
use crate::input::file::InputFile;
use crate::input::table::{Part, Table};

/// A map from a slice to another of the same length. It returns `false` for an illegal value.
pub(crate) type MapSlice<'a, T, V> = &'a dyn Fn(&[T], &mut [V]) -> bool;

/// The required type of a column, and the map of its values.
pub(crate) enum Mapping<'a, V> {
    Number(MapSlice<'a, f64, V>),
    /// Instants as epoch seconds. Numbers are epoch seconds already.
    Seconds(MapSlice<'a, f64, V>),
    /// Instants as whole microseconds.
    Micros(MapSlice<'a, i64, V>),
    /// The results for false and true.
    Flag([V; 2]),
    Text(&'a dyn Fn(&[u8]) -> V),
    /// Text, or whole numbers as digits.
    Id(&'a dyn Fn(&[u8]) -> V),
}

// Written by hand, so that a clone is a plain copy.
impl<V: Copy> Clone for Mapping<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Copy> Copy for Mapping<'_, V> {}

impl<V> Mapping<'_, V> {
    fn accepts(&self, kind: Kind) -> bool {
        let is_instant = matches!(kind, Kind::Days | Kind::Millis | Kind::Micros | Kind::Nanos);
        match self {
            Self::Number(_) => !is_instant && !matches!(kind, Kind::Bool | Kind::Text),
            Self::Seconds(_) => !matches!(kind, Kind::Bool | Kind::Text),
            Self::Micros(_) => is_instant,
            Self::Flag(_) => kind == Kind::Bool,
            Self::Text(_) => kind == Kind::Text,
            Self::Id(_) => matches!(kind, Kind::Text | Kind::I32 | Kind::U32 | Kind::I64),
        }
    }
}

/// The stored type of a value, and its meaning as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    I32,
    U32,
    I64,
    F32,
    F64,
    /// Days since 1970-01-01. `Days`, `Millis`, `Micros` and `Nanos` are instants. They are
    /// converted to microseconds, then to epoch seconds.
    Days,
    Millis,
    Micros,
    Nanos,
    Text,
}

impl Kind {
    fn from_types(data_type: &DataType, physical: Physical) -> Option<Self> {
        let value = match data_type {
            DataType::Dictionary(_, value) => value,
            other => other,
        };
        Some(match (value, physical) {
            (DataType::Boolean, Physical::BOOLEAN) => Self::Bool,
            (DataType::Int8 | DataType::Int16 | DataType::Int32, Physical::INT32) => Self::I32,
            (DataType::UInt8 | DataType::UInt16 | DataType::UInt32, Physical::INT32) => Self::U32,
            (DataType::Int64, Physical::INT64) => Self::I64,
            (DataType::Float32, Physical::FLOAT) => Self::F32,
            (DataType::Float64, Physical::DOUBLE) => Self::F64,
            (DataType::Date32, Physical::INT32) => Self::Days,
            (DataType::Timestamp(TimeUnit::Millisecond, _), Physical::INT64) => Self::Millis,
            (DataType::Timestamp(TimeUnit::Microsecond, _), Physical::INT64) => Self::Micros,
            (DataType::Timestamp(TimeUnit::Nanosecond, _), Physical::INT64) => Self::Nanos,
            (DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View, Physical::BYTE_ARRAY) => Self::Text,
            _ => return None,
        })
    }

    fn width(self) -> usize {
        match self {
            Self::I32 | Self::U32 | Self::F32 | Self::Days => 4,
            _ => 8,
        }
    }

    /// Decodes plain values of a fixed width as numbers, and instants as epoch seconds.
    fn decode(self, bytes: &[u8], out: &mut [f64]) {
        match self {
            Self::I32 => each(bytes, out, |b| f64::from(i32::from_le_bytes(b))),
            Self::U32 => each(bytes, out, |b| f64::from(u32::from_le_bytes(b))),
            Self::F32 => each(bytes, out, |b| f64::from(f32::from_le_bytes(b))),
            Self::F64 => each(bytes, out, f64::from_le_bytes),
            Self::I64 => each(bytes, out, |b| i64::from_le_bytes(b) as f64),
            Self::Micros => each(bytes, out, |b| seconds(i64::from_le_bytes(b))),
            Self::Days => each(bytes, out, |b| {
                seconds(i64::from(i32::from_le_bytes(b)).saturating_mul(DAY))
            }),
            // A product that overflows becomes the largest number of microseconds, which is refused
            // later.
            Self::Millis => each(bytes, out, |b| {
                seconds(i64::from_le_bytes(b).saturating_mul(1_000))
            }),
            Self::Nanos => each(bytes, out, |b| seconds(i64::from_le_bytes(b) / 1_000)),
            Self::Bool | Self::Text => {}
        }
    }

    /// Decodes whole numbers, and instants as microseconds.
    fn decode_whole(self, bytes: &[u8], out: &mut [i64]) {
        match self {
            Self::I32 => each(bytes, out, |b| i64::from(i32::from_le_bytes(b))),
            Self::U32 => each(bytes, out, |b| i64::from(u32::from_le_bytes(b))),
            Self::I64 | Self::Micros => each(bytes, out, i64::from_le_bytes),
            Self::Days => each(bytes, out, |b| {
                i64::from(i32::from_le_bytes(b)).saturating_mul(DAY)
            }),
            Self::Millis => each(bytes, out, |b| i64::from_le_bytes(b).saturating_mul(1_000)),
            Self::Nanos => each(bytes, out, |b| i64::from_le_bytes(b) / 1_000),
            Self::F32 | Self::F64 | Self::Bool | Self::Text => {}
        }
    }
}

fn seconds(micros: i64) -> f64 {
    micros as f64 / SECOND as f64
}

fn each<T, const N: usize>(bytes: &[u8], out: &mut [T], read: impl Fn([u8; N]) -> T) {
    let (values, _) = bytes.as_chunks::<N>();
    for (out, value) in out.iter_mut().zip(values) {
        *out = read(*value);
    }
}

/// A row group whose columns can be scanned.
pub(crate) struct FastPart<'a> {
    table: &'a Table,
    input: &'a InputFile,
    footer: &'a ArrowReaderMetadata,
    row_group: usize,
    file: Arc<PageFile>,
    /// Number of rows in the row group.
    pub(crate) n_rows: usize,
}

impl<'a> FastPart<'a> {
    /// Opens a part that is a row group of a Parquet file, for readers of all its rows.
    pub(crate) fn open(table: &'a Table, part: Part) -> Flat<Self> {
        // Rows with a derived id, or of a filter, are not those of the pages.
        if table.source.filter.is_some() || table.source.derive.contains_key("user_id") {
            return Err(Unsupported);
        }
        Self::open_pages(table, part)
    }

    /// Opens a part that is a row group of a Parquet file. Derived columns and the filter are the
    /// matter of the caller.
    pub(super) fn open_pages(table: &'a Table, part: Part) -> Flat<Self> {
        let input = &table.files[part.file_idx];
        let (Some(footer), Some(row_group)) = (&input.footer, part.row_group) else {
            return Err(Unsupported);
        };
        let n_rows = footer.metadata().row_group(row_group).num_rows();
        let n_rows = usize::try_from(n_rows).map_err(|_| Unsupported)?;
        let file = Arc::new(PageFile::open(&input.path).map_err(|_| Unsupported)?);
        Ok(Self {
            table,
            input,
            footer,
            row_group,
            file,
            n_rows,
        })
    }

    /// Opens a canonical column. `None` if the file does not have it.
    pub(crate) fn column<'m, V: Copy>(
        &self,
        canonical: &str,
        missing: V,
        mapping: Mapping<'m, V>,
    ) -> Flat<Option<ColumnScan<'m, V>>> {
        match self.find(canonical)? {
            Some(column) => {
                ColumnScan::open(&self.file, self.footer, self.row_group, column, missing, mapping).map(Some)
            }
            None => Ok(None),
        }
    }

    /// Whether the file stores a canonical column as booleans.
    pub(crate) fn is_flag(&self, canonical: &str) -> Flat<bool> {
        Ok(self
            .find(canonical)?
            .is_some_and(|column| self.footer.schema().field(column).data_type() == &DataType::Boolean))
    }

    fn find(&self, canonical: &str) -> Flat<Option<usize>> {
        let name = self.table.name_in_file(canonical);
        let mut columns = (0..self.input.columns.len()).filter(|idx| self.input.columns[*idx] == name);
        match (columns.next(), columns.next()) {
            _ if self.table.source.is_made(canonical) => Err(Unsupported),
            (Some(_), Some(_)) => Err(Unsupported),
            // A key of a partition, or a value within a column.
            (None, _) if self.input.place(name).is_some() => Err(Unsupported),
            (found, _) => Ok(found),
        }
    }
}

/// A scan of one flat column of one row group, from start to end.
pub(crate) struct ColumnScan<'a, V> {
    /// Name for errors that are not shown, because the general reader reports them.
    path: PathBuf,
    pages: SerializedPageReader<PageFile>,
    /// Whether pages come as they are stored, packed with zstd.
    is_zstd: bool,
    kind: Kind,
    optional: bool,
    mapping: Mapping<'a, V>,
    /// The value that is written for a missing value.
    missing: V,
    dictionary: Vec<V>,
    page: OpenPage,
    dense: Vec<V>,
    scratch: Scratch,
}

/// Buffers of a step between a page and the caller's type.
struct Scratch {
    indices: Vec<u32>,
    numbers: Vec<f64>,
    whole: Vec<i64>,
}

/// The current page of the scanned column.
#[derive(Default)]
struct OpenPage {
    n_left: usize,
    levels: Option<Hybrid>,
    values: Values,
}

#[derive(Default)]
enum Values {
    #[default]
    None,
    Plain(Bytes),
    /// Bit-packed booleans, and the index of the next bit.
    Bits(Bytes, usize),
    Indices(Hybrid),
    /// Booleans in run-length encoding.
    Runs(Hybrid),
}

impl<'a, V: Copy> ColumnScan<'a, V> {
    /// Opens a top-level column by its index. Rows without a value get `missing`, which is not
    /// mapped.
    pub(crate) fn open(
        file: &Arc<PageFile>,
        footer: &ArrowReaderMetadata,
        row_group: usize,
        column: usize,
        missing: V,
        mapping: Mapping<'a, V>,
    ) -> Flat<Self> {
        let schema = footer.metadata().file_metadata().schema_descr();
        let field = footer.schema().fields().get(column).ok_or(Unsupported)?;
        // Columns before this one may be nested, so the leaf column is found by its root.
        let leaf = (0..schema.num_columns())
            .find(|leaf| schema.get_column_root_idx(*leaf) == column)
            .ok_or(Unsupported)?;
        let descr = schema.column(leaf);
        if descr.max_rep_level() > 0 || descr.max_def_level() > 1 || descr.path().parts().len() != 1 {
            return Err(Unsupported);
        }
        let kind = Kind::from_types(field.data_type(), descr.physical_type())
            .filter(|kind| mapping.accepts(*kind))
            .ok_or(Unsupported)?;
        let group = footer.metadata().row_group(row_group);
        let n_rows = usize::try_from(group.num_rows()).map_err(|_| Unsupported)?;
        let path = PathBuf::from(descr.name());
        let chunk = group.column(leaf);
        let is_zstd = matches!(chunk.compression(), Compression::ZSTD(_));
        let pages = guard(&path, || {
            let chunk = if is_zstd {
                unpack::as_stored(chunk)?
            } else {
                Cow::Borrowed(chunk)
            };
            SerializedPageReader::new(Arc::clone(file), &chunk, n_rows, None)
        })
        .map_err(|_| Unsupported)?;
        Ok(Self {
            path,
            pages,
            is_zstd,
            kind,
            optional: descr.max_def_level() == 1,
            mapping,
            missing,
            dictionary: Vec::new(),
            page: OpenPage::default(),
            dense: vec![missing; STEP],
            scratch: Scratch {
                indices: vec![0; STEP],
                numbers: vec![0.0; STEP],
                whole: vec![0; STEP],
            },
        })
    }

    /// Fills `out` with the next rows, at most [`STEP`], and marks the rows without a value in
    /// `absent`. Returns the number of rows without a value.
    pub(crate) fn fill(&mut self, out: &mut [V], absent: &mut [u64; STEP_WORDS]) -> Flat<usize> {
        *absent = [0; STEP_WORDS];
        let (mut at, mut n_absent) = (0, 0);
        while at < out.len() {
            if self.page.n_left == 0 {
                self.next_page()?;
                continue;
            }
            let n = self.page.n_left.min(out.len() - at);
            let n_missing = match &mut self.page.levels {
                Some(levels) => levels.mark_zeros(n, absent, at)?,
                None => 0,
            };
            let out = &mut out[at..at + n];
            if n_missing == 0 {
                self.page
                    .values
                    .read(self.kind, self.mapping, &self.dictionary, &mut self.scratch, out)?;
            } else if n_missing == n {
                out.fill(self.missing);
            } else {
                let dense = &mut self.dense[..n - n_missing];
                self.page.values.read(
                    self.kind,
                    self.mapping,
                    &self.dictionary,
                    &mut self.scratch,
                    dense,
                )?;
                spread(dense, absent, at, self.missing, out);
            }
            self.page.n_left -= n;
            at += n;
            n_absent += n_missing;
        }
        Ok(n_absent)
    }

    fn next_page(&mut self) -> Flat<()> {
        let page = guard(&self.path, || self.pages.get_next_page());
        match page.map_err(|_| Unsupported)?.ok_or(Unsupported)? {
            Page::DictionaryPage {
                buf,
                num_values,
                encoding,
                ..
            } => {
                let buf = self.unpacked(buf)?;
                if !matches!(encoding, Encoding::PLAIN | Encoding::PLAIN_DICTIONARY)
                    || !self.dictionary.is_empty()
                    || num_values as usize > buf.len()
                {
                    return Err(Unsupported);
                }
                let mut dictionary = vec![self.missing; num_values as usize];
                let mut values = Values::Plain(buf);
                for step in dictionary.chunks_mut(STEP) {
                    values.read(self.kind, self.mapping, &[], &mut self.scratch, step)?;
                }
                self.dictionary = dictionary;
            }
            Page::DataPage {
                buf,
                num_values,
                encoding,
                def_level_encoding,
                ..
            } => {
                let mut buf = self.unpacked(buf)?;
                let mut levels = None;
                if self.optional {
                    if def_level_encoding != Encoding::RLE || buf.len() < 4 {
                        return Err(Unsupported);
                    }
                    levels = Some(Hybrid::new(prefixed(&mut buf)?, 1)?);
                }
                self.page = OpenPage {
                    n_left: num_values as usize,
                    levels,
                    values: self.values(buf, encoding)?,
                };
            }
            Page::DataPageV2 {
                mut buf,
                num_values,
                encoding,
                def_levels_byte_len,
                rep_levels_byte_len,
                is_compressed,
                ..
            } => {
                let n_levels = def_levels_byte_len as usize;
                if rep_levels_byte_len != 0 || buf.len() < n_levels {
                    return Err(Unsupported);
                }
                let levels = buf.split_to(n_levels);
                // The levels before the values are never packed.
                let buf = if is_compressed { self.unpacked(buf)? } else { buf };
                let levels = if self.optional {
                    Some(Hybrid::new(levels, 1)?)
                } else {
                    None
                };
                self.page = OpenPage {
                    n_left: num_values as usize,
                    levels,
                    values: self.values(buf, encoding)?,
                };
            }
        }
        Ok(())
    }

    /// The bytes of a page, or of the values of a page of version 2.
    fn unpacked(&self, buf: Bytes) -> Flat<Bytes> {
        if self.is_zstd {
            unpack::unpacked(&buf)
        } else {
            Ok(buf)
        }
    }

    fn values(&self, mut buf: Bytes, encoding: Encoding) -> Flat<Values> {
        Ok(match (encoding, self.kind) {
            (Encoding::PLAIN, Kind::Bool) => Values::Bits(buf, 0),
            (Encoding::PLAIN, _) => Values::Plain(buf),
            (Encoding::RLE, Kind::Bool) => Values::Runs(Hybrid::new(prefixed(&mut buf)?, 1)?),
            (Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY, _) => {
                // A page without values may omit the width.
                let bits = if buf.is_empty() { 0 } else { buf.split_to(1)[0] };
                Values::Indices(Hybrid::new(buf, bits)?)
            }
            _ => return Err(Unsupported),
        })
    }
}

impl Values {
    /// Reads and maps the next values, at most [`STEP`].
    fn read<V: Copy>(
        &mut self,
        kind: Kind,
        mapping: Mapping<'_, V>,
        dictionary: &[V],
        scratch: &mut Scratch,
        out: &mut [V],
    ) -> Flat<()> {
        match self {
            Self::None => return Err(Unsupported),
            Self::Indices(hybrid) => {
                let indices = &mut scratch.indices[..out.len()];
                let largest = hybrid.read(indices)?;
                if largest as usize >= dictionary.len() {
                    return Err(Unsupported);
                }
                for (out, idx) in out.iter_mut().zip(indices) {
                    *out = dictionary[*idx as usize];
                }
            }
            Self::Plain(buf) if kind == Kind::Text => {
                let (Mapping::Text(map) | Mapping::Id(map)) = mapping else {
                    return Err(Unsupported);
                };
                let mut rest: &[u8] = buf;
                for out in out.iter_mut() {
                    let n = rest
                        .first_chunk::<4>()
                        .map(|n| u32::from_le_bytes(*n) as usize)
                        .ok_or(Unsupported)?;
                    *out = map(rest.get(4..4 + n).ok_or(Unsupported)?);
                    rest = &rest[4 + n..];
                }
                let n_read = buf.len() - rest.len();
                drop(buf.split_to(n_read));
            }
            Self::Plain(buf) => {
                let n_bytes = out
                    .len()
                    .checked_mul(kind.width())
                    .filter(|n| *n <= buf.len())
                    .ok_or(Unsupported)?;
                let bytes = buf.split_to(n_bytes);
                let is_legal = match mapping {
                    Mapping::Number(map) | Mapping::Seconds(map) => {
                        let numbers = &mut scratch.numbers[..out.len()];
                        kind.decode(&bytes, numbers);
                        map(numbers, out)
                    }
                    Mapping::Micros(map) => {
                        let whole = &mut scratch.whole[..out.len()];
                        kind.decode_whole(&bytes, whole);
                        map(whole, out)
                    }
                    Mapping::Id(map) => {
                        let whole = &mut scratch.whole[..out.len()];
                        kind.decode_whole(&bytes, whole);
                        let mut digits = itoa::Buffer::new();
                        for (out, number) in out.iter_mut().zip(whole) {
                            *out = map(digits.format(*number).as_bytes());
                        }
                        true
                    }
                    Mapping::Flag(_) | Mapping::Text(_) => false,
                };
                if !is_legal {
                    return Err(Unsupported);
                }
            }
            Self::Bits(buf, next) => {
                let Mapping::Flag(flags) = mapping else {
                    return Err(Unsupported);
                };
                if (*next + out.len()).div_ceil(8) > buf.len() {
                    return Err(Unsupported);
                }
                spell_bits(buf, *next, flags, out);
                *next += out.len();
            }
            Self::Runs(hybrid) => {
                let Mapping::Flag(flags) = mapping else {
                    return Err(Unsupported);
                };
                let indices = &mut scratch.indices[..out.len()];
                hybrid.read(indices)?;
                for (out, bit) in out.iter_mut().zip(indices) {
                    *out = flags[*bit as usize & 1];
                }
            }
        }
        Ok(())
    }
}

/// Writes the value of each bit, from bit `start` on: four bits at a time, from a table of the values
/// of all groups of four bits.
fn spell_bits<V: Copy>(buf: &[u8], start: usize, values: [V; 2], out: &mut [V]) {
    let of_four: [[V; 4]; 16] =
        std::array::from_fn(|bits| std::array::from_fn(|bit| values[bits >> bit & 1]));
    for (idx, out) in out.chunks_mut(32).enumerate() {
        let bit = start + 32 * idx;
        let mut bits = load(buf, bit / 8) >> (bit % 8);
        for out in out.chunks_mut(4) {
            let of_bits = &of_four[bits as usize & 15];
            match <&mut [V; 4]>::try_from(&mut *out) {
                Ok(out) => *out = *of_bits,
                Err(_) => out.copy_from_slice(&of_bits[..out.len()]),
            }
            bits >>= 4;
        }
    }
}

/// Returns the bytes after a four-byte length.
fn prefixed(buf: &mut Bytes) -> Flat<Bytes> {
    let n = buf
        .first_chunk::<4>()
        .map(|n| u32::from_le_bytes(*n) as usize)
        .ok_or(Unsupported)?;
    if buf.len() - 4 < n {
        return Err(Unsupported);
    }
    let mut bytes = buf.split_to(4 + n);
    Ok(bytes.split_off(4))
}

/// Spreads dense values, at least one, over the rows that have a value. The others get `missing`.
/// Row `i` of `out` is bit `at + i` of `absent`.
fn spread<V: Copy>(dense: &[V], absent: &[u64; STEP_WORDS], at: usize, missing: V, out: &mut [V]) {
    let mut next = 0;
    let mut row = 0;
    while row < out.len() {
        let bit = at + row;
        let n = (64 - bit % 64).min(out.len() - row);
        let word = absent[bit / 64] >> (bit % 64);
        if word & low_bits(n) == 0 {
            out[row..row + n].copy_from_slice(&dense[next..next + n]);
            next += n;
        } else {
            // Presence is hard to predict, so this loop has no branch and reads a value in any
            // case.
            for (idx, out) in out[row..row + n].iter_mut().enumerate() {
                let is_there = word >> idx & 1 == 0;
                let value = dense[next.min(dense.len() - 1)];
                *out = if is_there { value } else { missing };
                next += usize::from(is_there);
            }
        }
        row += n;
    }
}

mod hybrid;
mod step;
#[cfg(test)]
mod tests;
mod unpack;

pub(crate) use crate::input::fast_scan::step::{STEP, STEP_WORDS, Unsupported, low_bits};
