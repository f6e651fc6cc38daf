//! Readers of the formats: header and batches of Parquet, CSV and NDJSON. Text formats give text
//! columns, which `convert` turns into typed columns.

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::basic::{LogicalType, Type};
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, FileResult, Result};
use crate::base::open;
use crate::base::parquet_io::{guard, open_batches, read_footer};
use crate::input::file::InputFile;
use crate::input::format::Format;
use crate::input::text_file::OnArrays;
use crate::input::texts::Wide;
use crate::input::{csv, ndjson};

pub(super) struct Header {
    pub(super) columns: Vec<String>,
    /// Footer of a Parquet file. `None` for other formats.
    pub(super) footer: Option<ArrowReaderMetadata>,
    /// Whole numbers of 128 bits in columns without annotation. `None` if the file has none.
    pub(super) wide: Option<Wide>,
}

pub(super) fn read_header(path: &Path, format: Format) -> Result<Header> {
    let header = match format {
        Format::Parquet => parquet_header(path)?,
        Format::Csv { gzip } => Header {
            columns: csv::columns(path, gzip)?,
            footer: None,
            wide: None,
        },
        Format::Ndjson { gzip } => Header {
            columns: ndjson::columns(path, gzip)?,
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
    match input.format {
        Format::Parquet => read_parquet(input, row_group, names, on_arrays),
        Format::Csv { gzip } => csv::read(input, gzip, names, on_arrays),
        Format::Ndjson { gzip } => ndjson::read(input, gzip, names, on_arrays),
    }
}

fn parquet_header(path: &Path) -> Result<Header> {
    let file = open::regular(path).or_unreadable(path)?;
    let load = |options| read_footer(path, &file, options);
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
    let Some(footer) = &input.footer else {
        return Ok(());
    };
    // A list may stand for any number of values in a row, so it is refused before it is decoded.
    let nested = footer
        .schema()
        .fields()
        .iter()
        .find(|field| names.contains(&field.name().as_str()) && field.data_type().is_nested());
    if let Some(field) = nested {
        return Err(Error::input(
            format!("{}: column `{}`", path.display(), field.name()),
            format!("expected one value in a row, found {}", field.data_type()),
        ));
    }
    let mut reader = open_batches(path, footer, row_group, &|name| names.contains(&name))?;
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
