//! Writes the layer table as a Parquet file. Result columns are encoded here. Ids and tenants are
//! copied without decoding if possible.

use arrow_array::{ArrayRef, StringArray};
use arrow_cast::cast;
use arrow_schema::{DataType, SchemaRef};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::column::page::PageReader;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaDataOptions, ParquetMetaDataReader,
};
use parquet::file::properties::WriterProperties;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnDescPtr, Type, TypePtr};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{FileResult, Result};
use crate::input::Table;
use crate::layer::encode::{Chunk, ZSTD_LEVEL};

/// Column indices of the layer table.
pub(super) const USER_ID: usize = 0;
const SCORE: usize = 1;
const LAYER: usize = 2;
const ELIGIBLE: usize = 3;
pub(super) const TENANT_ID: usize = 4;

/// The type, in the layer table, of a column that is copied from the input.
#[derive(Debug, Clone)]
pub(super) struct PassThrough {
    column: TypePtr,
    /// Whether the input's encoded chunks may be copied.
    pub(super) can_copy: bool,
}

impl PassThrough {
    /// A text column that is encoded again.
    pub(super) fn text(name: &str, repetition: Repetition) -> ParquetResult<Self> {
        let column = Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
            .with_repetition(repetition)
            .with_converted_type(ConvertedType::UTF8)
            .with_logical_type(Some(LogicalType::String))
            .build()?;
        Ok(Self {
            column: Arc::new(column),
            can_copy: false,
        })
    }

    /// The type of a table's column in the first file, if all files are Parquet and hold the column
    /// alike; else text.
    pub(super) fn from_table(table: &Table, canonical: &str, repetition: Repetition) -> ParquetResult<Self> {
        let mut found: Option<Type> = None;
        for file in &table.files {
            let of_file = file
                .footer
                .as_ref()
                .and_then(|footer| copyable(footer, table.name_in_file(canonical), canonical));
            match (of_file, &found) {
                (Some(column), None) => found = Some(column),
                (Some(column), Some(other)) if holds_alike(&column, other) => {}
                _ => return Self::text(canonical, repetition),
            }
        }
        match found {
            Some(column) if !table.source.is_made(canonical) => Ok(Self {
                column: Arc::new(column),
                can_copy: true,
            }),
            _ => Self::text(canonical, repetition),
        }
    }
}

/// Whether the chunks of two copyable columns may stand in one file. Some programs annotate text with
/// a logical type, others with the older converted type only.
fn holds_alike(column: &Type, other: &Type) -> bool {
    let is_text = |column: &Type| column.get_physical_type() == Physical::BYTE_ARRAY;
    let repetition = |column: &Type| column.get_basic_info().repetition();
    column == other || is_text(column) && is_text(other) && repetition(column) == repetition(other)
}

/// The type of a column without nesting that holds text or integers, under its canonical name.
/// `None` for any other column.
fn copyable(footer: &ArrowReaderMetadata, name: &str, canonical: &str) -> Option<Type> {
    let leaf = leaf_of(footer, name)?;
    let descr = footer.metadata().file_metadata().schema_descr().column(leaf);
    let field = footer.schema().field_with_name(name).ok()?;
    let value = match field.data_type() {
        DataType::Dictionary(_, value) => value,
        other => other,
    };
    let is_text = matches!(value, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    if !(is_text || value.is_integer()) {
        return None;
    }
    let Type::PrimitiveType {
        basic_info,
        physical_type,
        ..
    } = descr.self_type()
    else {
        return None;
    };
    Type::primitive_type_builder(canonical, *physical_type)
        .with_repetition(basic_info.repetition())
        .with_converted_type(basic_info.converted_type())
        .with_logical_type(basic_info.logical_type_ref().cloned())
        .build()
        .ok()
}

/// The leaf index of a top-level column without nesting. `None` if the name is missing, repeated or
/// nested.
pub(super) fn leaf_of(footer: &ArrowReaderMetadata, name: &str) -> Option<usize> {
    let schema = footer.metadata().file_metadata().schema_descr();
    let mut leaves = (0..schema.num_columns()).filter(|leaf| schema.column(*leaf).path().parts() == [name]);
    let leaf = leaves.next()?;
    let descr = schema.column(leaf);
    (leaves.next().is_none() && descr.max_rep_level() == 0 && descr.max_def_level() <= 1).then_some(leaf)
}

/// One column of a row group that is taken from the input.
pub(super) enum Passed {
    /// Bytes of an input file.
    Copy {
        file: Arc<File>,
        close: Box<ColumnCloseResult>,
    },
    /// Values that were encoded again.
    Encoded(Box<ArrowColumnChunk>),
}

/// One row group that is ready to be written.
pub(super) struct RowGroup {
    pub(super) user_id: Passed,
    pub(super) score: Chunk,
    pub(super) layer: Chunk,
    pub(super) eligible: Chunk,
    pub(super) tenant_id: Option<Passed>,
}

impl RowGroup {
    /// The columns of ids and tenants that were encoded, not copied.
    pub(super) fn encoded(&self) -> Vec<usize> {
        let is_encoded = |passed: &Passed| matches!(passed, Passed::Encoded(_));
        let user_id = is_encoded(&self.user_id).then_some(USER_ID);
        let tenant_id = self.tenant_id.as_ref().filter(|passed| is_encoded(passed));
        user_id.into_iter().chain(tenant_id.map(|_| TENANT_ID)).collect()
    }
}

/// Types and encoders for the columns of a row group, shared by all threads.
pub(super) struct Columns {
    descrs: Vec<ColumnDescPtr>,
    arrow: SchemaRef,
    writers: ArrowRowGroupWriterFactory,
    pub(super) user_id: PassThrough,
    pub(super) tenant_id: Option<PassThrough>,
}

impl Columns {
    pub(super) fn score(&self) -> ColumnDescPtr {
        Arc::clone(&self.descrs[SCORE])
    }

    pub(super) fn layer(&self) -> ColumnDescPtr {
        Arc::clone(&self.descrs[LAYER])
    }

    pub(super) fn eligible(&self) -> ColumnDescPtr {
        Arc::clone(&self.descrs[ELIGIBLE])
    }

    /// Encodes a column of text or integers in the type of the layer table.
    pub(super) fn encode(&self, column: usize, texts: &StringArray) -> ParquetResult<Passed> {
        let field = self.arrow.field(column);
        let array: ArrayRef =
            cast(texts, field.data_type()).map_err(|error| ParquetError::ArrowError(error.to_string()))?;
        let mut writer = self.writers.create_column_writers(0)?.swap_remove(column);
        for leaf in compute_leaves(field, &array)? {
            writer.write(&leaf)?;
        }
        Ok(Passed::Encoded(Box::new(writer.close()?)))
    }

    /// Prepares a column chunk of an input file to be copied byte by byte.
    pub(super) fn copy(
        &self,
        column: usize,
        file: &Arc<File>,
        chunk: &ColumnChunkMetaData,
        n_rows: u64,
    ) -> ParquetResult<Passed> {
        let mut metadata = ColumnChunkMetaData::builder(Arc::clone(&self.descrs[column]))
            .set_compression_codec(chunk.compression_codec())
            .set_encodings_mask(*chunk.encodings_mask())
            .set_total_compressed_size(chunk.compressed_size())
            .set_total_uncompressed_size(chunk.uncompressed_size())
            .set_num_values(chunk.num_values())
            .set_data_page_offset(chunk.data_page_offset())
            .set_dictionary_page_offset(chunk.dictionary_page_offset())
            .set_unencoded_byte_array_data_bytes(chunk.unencoded_byte_array_data_bytes());
        if let Some(statistics) = chunk.statistics() {
            metadata = metadata.set_statistics(statistics.clone());
        }
        if let Some(stats) = chunk.page_encoding_stats() {
            metadata = metadata.set_page_encoding_stats(stats.clone());
        }
        let close = ColumnCloseResult {
            bytes_written: chunk.compressed_size() as u64,
            rows_written: n_rows,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        Ok(Passed::Copy {
            file: Arc::clone(file),
            close: Box::new(close),
        })
    }
}

/// Whether a chunk's statistics prove that every row has a value: no null and no empty text.
pub(super) fn is_complete(chunk: &ColumnChunkMetaData) -> bool {
    let descr = chunk.column_descr();
    let statistics = chunk.statistics();
    let no_null = descr.max_def_level() == 0 || statistics.and_then(Statistics::null_count_opt) == Some(0);
    let no_empty = match statistics {
        Some(Statistics::ByteArray(texts)) => {
            // Deprecated bounds compare bytes as signed numbers, but the empty text is the lowest
            // in both orders.
            texts.min_opt().is_some_and(|min| !min.data().is_empty())
        }
        Some(_) => true,
        None => descr.physical_type() != Physical::BYTE_ARRAY,
    };
    no_null && no_empty
}

/// Whether the page headers of a chunk without nesting are readable and announce `n_rows` rows in
/// total. Pages are not decompressed.
///
/// # Errors
/// When a header cannot be read.
pub(super) fn has_rows(file: &Arc<File>, chunk: &ColumnChunkMetaData, n_rows: u64) -> ParquetResult<bool> {
    let n_expected = usize::try_from(n_rows).unwrap_or(usize::MAX);
    let mut pages = SerializedPageReader::new(Arc::clone(file), chunk, n_expected, None)?;
    let mut n_found = 0;
    while let Some(page) = pages.peek_next_page()? {
        n_found += if page.is_dict {
            0
        } else {
            page.num_levels.or(page.num_rows).unwrap_or(0)
        };
        pages.skip_next_page()?;
    }
    Ok(n_found == n_expected)
}

/// A chunk that was encoded here, as its encoder described it. Bounds of signed numbers are written in
/// their old form too, which is lost when a file is read.
fn as_encoded(chunk: &ColumnChunkMetaData) -> ParquetResult<ColumnChunkMetaData> {
    let statistics = match chunk.statistics() {
        Some(Statistics::Int32(bounds)) => {
            Statistics::Int32(bounds.clone().with_backwards_compatible_min_max(true))
        }
        Some(Statistics::Int64(bounds)) => {
            Statistics::Int64(bounds.clone().with_backwards_compatible_min_max(true))
        }
        _ => return Ok(chunk.clone()),
    };
    if !chunk.column_descr().sort_order().is_signed() {
        return Ok(chunk.clone());
    }
    chunk.clone().into_builder().set_statistics(statistics).build()
}

/// A layer table that is being written, one row group after another.
pub(super) struct LayerFileWriter<'a, W: Write + Send> {
    path: &'a Path,
    writer: SerializedFileWriter<W>,
}

impl<'a, W: Write + Send> LayerFileWriter<'a, W> {
    /// Starts the file: creates its schema and the encoders of its columns.
    pub(super) fn begin(
        path: &'a Path,
        sink: W,
        user_id: PassThrough,
        tenant_id: Option<PassThrough>,
    ) -> Result<(Self, Columns)> {
        let begin = || -> ParquetResult<(SerializedFileWriter<W>, Columns)> {
            let result = |name: &str, physical: Physical, logical: Option<LogicalType>| {
                Type::primitive_type_builder(name, physical)
                    .with_repetition(Repetition::REQUIRED)
                    .with_logical_type(logical)
                    .build()
                    .map(Arc::new)
            };
            let mut fields = vec![
                Arc::clone(&user_id.column),
                result("score", Physical::DOUBLE, None)?,
                result("layer", Physical::BYTE_ARRAY, Some(LogicalType::String))?,
                result("eligible", Physical::BOOLEAN, None)?,
            ];
            fields.extend(tenant_id.as_ref().map(|tenant| Arc::clone(&tenant.column)));
            let schema = Type::group_type_builder("schema").with_fields(fields).build()?;
            let properties = WriterProperties::builder()
                .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
                .set_created_by(format!("sluice {}", env!("CARGO_PKG_VERSION")))
                .build();
            let writer = SerializedFileWriter::new(sink, Arc::new(schema), Arc::new(properties))?;
            let descr = writer.schema_descr();
            let arrow = Arc::new(parquet_to_arrow_schema(descr, None)?);
            let descrs = descr.columns().to_vec();
            let writers = ArrowRowGroupWriterFactory::new(&writer, Arc::clone(&arrow));
            Ok((
                writer,
                Columns {
                    descrs,
                    arrow,
                    writers,
                    user_id,
                    tenant_id,
                },
            ))
        };
        let (writer, columns) = begin().or_unwritable(path)?;
        Ok((Self { path, writer }, columns))
    }

    pub(super) fn write(&mut self, group: RowGroup) -> Result<()> {
        let write = || -> ParquetResult<()> {
            let mut writer = self.writer.next_row_group()?;
            let pass = |writer: &mut SerializedRowGroupWriter<'_, W>, passed| match passed {
                Passed::Copy { file, close } => writer.append_column(&*file, *close),
                Passed::Encoded(chunk) => chunk.append_to_row_group(writer),
            };
            pass(&mut writer, group.user_id)?;
            for chunk in [group.score, group.layer, group.eligible] {
                writer.append_column(&chunk.bytes, chunk.close)?;
            }
            if let Some(tenants) = group.tenant_id {
                pass(&mut writer, tenants)?;
            }
            writer.close().map(|_| ())
        };
        write().or_unwritable(self.path)
    }

    /// Appends the row groups of a whole table with the same columns, as they are. `encoded` are the
    /// columns that were not copied from the input.
    ///
    /// # Errors
    /// When the bytes are not such a table, or the file cannot be written.
    pub(super) fn splice(&mut self, table: &Bytes, encoded: &[usize]) -> Result<()> {
        let path = self.path;
        let mut splice = || -> ParquetResult<()> {
            let options = ParquetMetaDataOptions::new().with_encoding_stats_as_mask(false);
            let metadata = ParquetMetaDataReader::new()
                .with_metadata_options(Some(options))
                .with_page_index_policy(PageIndexPolicy::Optional)
                .parse_and_finish(table)?;
            for (idx, group) in metadata.row_groups().iter().enumerate() {
                let mut writer = self.writer.next_row_group()?;
                let pages = metadata.page_index_for_row_group(idx);
                for (column, chunk) in group.columns().iter().enumerate() {
                    writer.append_column(
                        table,
                        ColumnCloseResult {
                            bytes_written: chunk.compressed_size() as u64,
                            rows_written: group.num_rows() as u64,
                            metadata: if encoded.contains(&column) {
                                as_encoded(chunk)?
                            } else {
                                chunk.clone()
                            },
                            bloom_filter: None,
                            column_index: pages.column_index(column).cloned(),
                            offset_index: pages.offset_index(column).cloned(),
                        },
                    )?;
                }
                writer.close()?;
            }
            Ok(())
        };
        splice().or_unwritable(path)
    }

    /// Writes the footer.
    pub(super) fn finish(self) -> Result<()> {
        self.writer.close().map(|_| ()).or_unwritable(self.path)
    }
}
