//! Readers of the formats: header and batches of Parquet, CSV and NDJSON. Text formats give text
//! columns, which `convert` turns into typed columns.

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use flate2::read::MultiGzDecoder;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{LogicalType, Type};
use serde::de::IgnoredAny;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, FileResult, Result};
use crate::base::open;
use crate::base::parquet_io::guard;
use crate::input::file::InputFile;
use crate::input::format::Format;
use crate::input::texts::Wide;

/// Number of rows per batch.
const BATCH_ROWS: usize = 65_536;

pub(super) struct Header {
    pub(super) columns: Vec<String>,
    /// Footer of a Parquet file. `None` for other formats.
    pub(super) footer: Option<ArrowReaderMetadata>,
    /// Whole numbers of 128 bits in columns without annotation. `None` if the file has none.
    pub(super) wide: Option<Wide>,
}

type OnArrays<'a> = dyn FnMut(Vec<ArrayRef>, usize) -> Result<()> + 'a;

pub(super) fn read_header(path: &Path, format: Format) -> Result<Header> {
    let header = match format {
        Format::Parquet => parquet_header(path)?,
        Format::Csv { gzip } => Header {
            columns: csv_columns(path, gzip)?,
            footer: None,
            wide: None,
        },
        Format::Ndjson { gzip } => Header {
            columns: ndjson_columns(path, gzip)?,
            footer: None,
            wide: None,
        },
    };
    if header.columns.is_empty() {
        return Err(Error::in_file(path, "expected columns, found an empty file"));
    }
    Ok(header)
}

/// Reads the named columns, in the order of `names`.
pub(super) fn read(
    input: &InputFile,
    row_group: Option<usize>,
    names: &[&str],
    on_arrays: &mut OnArrays<'_>,
) -> Result<()> {
    let (path, all) = (input.path.as_path(), &input.columns);
    match input.format {
        Format::Parquet => read_parquet(input, row_group, names, on_arrays),
        Format::Csv { gzip } => {
            let schema = Schema::new(
                all.iter()
                    .map(|name| Field::new(name, DataType::Utf8, true))
                    .collect::<Vec<_>>(),
            );
            let mut order: Vec<usize> = names
                .iter()
                .filter_map(|name| all.iter().position(|c| c == name))
                .collect();
            order.sort_unstable();
            order.dedup();
            let reader = arrow_csv::ReaderBuilder::new(Arc::new(schema))
                .with_header(true)
                .with_batch_size(BATCH_ROWS)
                .with_projection(order)
                .build(open_text(path, gzip)?)
                .map_err(|error| unreadable(path, &error))?;
            read_batches(path, reader, names, on_arrays)
        }
        Format::Ndjson { gzip } => {
            let wanted: BTreeSet<&str> = names.iter().copied().collect();
            let schema = Schema::new(
                wanted
                    .iter()
                    .map(|name| Field::new(*name, DataType::Utf8, true))
                    .collect::<Vec<_>>(),
            );
            let reader = arrow_json::ReaderBuilder::new(Arc::new(schema))
                .with_coerce_primitive(true)
                .with_batch_size(BATCH_ROWS)
                .build(open_text(path, gzip)?)
                .map_err(|error| unreadable(path, &error))?;
            read_batches(path, reader, names, on_arrays)
        }
    }
}

fn read_batches<E: std::fmt::Display>(
    path: &Path,
    batches: impl Iterator<Item = std::result::Result<RecordBatch, E>>,
    names: &[&str],
    on_arrays: &mut OnArrays<'_>,
) -> Result<()> {
    for batch in batches {
        let batch = batch.map_err(|error| unreadable(path, &error))?;
        let arrays = names
            .iter()
            .filter_map(|name| batch.column_by_name(name).cloned())
            .collect();
        on_arrays(arrays, batch.num_rows())?;
    }
    Ok(())
}

fn parquet_header(path: &Path) -> Result<Header> {
    let file = open::regular(path).or_unreadable(path)?;
    let load = |options| guard(path, || ArrowReaderMetadata::load(&file, options));
    let metadata = load(ArrowReaderOptions::new());
    // Arrow has no whole numbers of 128 bits. A file that names them in its Arrow schema is read by its
    // Parquet schema alone.
    let wide = metadata.as_ref().err().and_then(whole_numbers_of_128_bits);
    let mut metadata = match wide {
        Some(_) => load(ArrowReaderOptions::new().with_skip_arrow_metadata(true))?,
        None => metadata?,
    };
    // Timestamps of 96 bits are read as microseconds. Nanoseconds would overflow after the year
    // 2262, and placeholders such as 9999-12-31 are common.
    let descr = metadata.metadata().file_metadata().schema_descr();
    let is_old = |root: usize| {
        (0..descr.num_columns()).any(|leaf| {
            descr.get_column_root_idx(leaf) == root && descr.column(leaf).physical_type() == Type::INT96
        })
    };
    if (0..metadata.schema().fields().len()).any(is_old) {
        let fields = metadata
            .schema()
            .fields()
            .iter()
            .enumerate()
            .map(|(root, field)| match field.data_type() {
                DataType::Timestamp(_, zone) if is_old(root) => Field::new(
                    field.name(),
                    DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
                    field.is_nullable(),
                ),
                _ => field.as_ref().clone(),
            });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        metadata = load(ArrowReaderOptions::new().with_schema(schema))?;
    }
    let columns = metadata
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    Ok(Header {
        columns,
        footer: Some(metadata),
        wide,
    })
}

/// The kind of whole numbers of 128 bits that Arrow's error names. `None` for another error.
fn whole_numbers_of_128_bits(error: &Error) -> Option<Wide> {
    let text = error.to_string();
    let (_, signed) = text.split_once("bit width of 128 and signed of ")?;
    Some(if signed.starts_with("true") {
        Wide::Signed
    } else {
        Wide::Unsigned
    })
}

/// The meaning of a column of 16 bytes of a fixed length. `None` if the schema does not name it.
fn wide_of(input: &InputFile, name: &str) -> Option<Wide> {
    let schema = input.footer.as_ref()?.metadata().file_metadata().schema_descr();
    let leaf = (0..schema.num_columns()).find(|leaf| schema.column(*leaf).path().parts() == [name])?;
    match schema.column(leaf).logical_type_ref() {
        Some(LogicalType::Uuid) => Some(Wide::Uuid),
        None => input.wide,
        Some(_) => None,
    }
}

fn read_parquet(
    input: &InputFile,
    row_group: Option<usize>,
    names: &[&str],
    on_arrays: &mut OnArrays<'_>,
) -> Result<()> {
    let path = input.path.as_path();
    let file = open::regular(path).or_unreadable(path)?;
    let builder = match &input.footer {
        Some(footer) => ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer.clone()),
        None => guard(path, || ParquetRecordBatchReaderBuilder::try_new(file))?,
    };
    let roots = builder
        .schema()
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, f)| names.contains(&f.name().as_str()))
        .map(|(idx, _)| idx);
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots.collect::<Vec<_>>());
    let mut builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
    if let Some(row_group) = row_group {
        builder = builder.with_row_groups(vec![row_group]);
    }
    let mut reader = guard(path, || builder.build())?;
    let wide: Vec<Option<Wide>> = names.iter().map(|name| wide_of(input, name)).collect();
    while let Some(batch) = guard(path, || reader.next().transpose())? {
        let arrays = names.iter().zip(&wide).filter_map(|(name, wide)| {
            let array = batch.column_by_name(name).cloned()?;
            Some(match wide {
                Some(wide) => wide.to_text(array),
                None => array,
            })
        });
        on_arrays(arrays.collect(), batch.num_rows())?;
    }
    Ok(())
}

fn csv_columns(path: &Path, gzip: bool) -> Result<Vec<String>> {
    let format = arrow_csv::reader::Format::default().with_header(true);
    let (schema, _) = format
        .infer_schema(open_text(path, gzip)?, Some(1))
        .map_err(|error| unreadable(path, &error))?;
    Ok(schema.fields().iter().map(|field| field.name().clone()).collect())
}

/// Returns the keys of all lines, in order of appearance. All lines are read, because a key may
/// first appear late.
fn ndjson_columns(path: &Path, gzip: bool) -> Result<Vec<String>> {
    let mut columns: Vec<String> = Vec::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (idx, line) in open_text(path, gzip)?.lines().enumerate() {
        let line = line.or_unreadable(path)?;
        if line.trim().is_empty() {
            continue;
        }
        let object: BTreeMap<String, IgnoredAny> = serde_json::from_str(&line).map_err(|error| {
            let what = error.to_string();
            let what = what.split(" at line").next().unwrap_or_default();
            Error::input(
                format!("{}: line {}", path.display(), idx + 1),
                format!("expected a JSON object, found: {what}"),
            )
        })?;
        for key in object.into_keys() {
            if !seen.contains(&key) {
                seen.insert(key.clone());
                columns.push(key);
            }
        }
    }
    Ok(columns)
}

fn open_text(path: &Path, gzip: bool) -> Result<BufReader<Box<dyn Read>>> {
    let file = open::regular(path).or_unreadable(path)?;
    let reader: Box<dyn Read> = if gzip {
        Box::new(MultiGzDecoder::new(BufReader::new(file)))
    } else {
        Box::new(file)
    };
    Ok(BufReader::with_capacity(1 << 18, reader))
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::in_file(path, format!("expected a readable file, found: {error}"))
}
