//! Readers of the formats: header and batches of Parquet, Arrow, CSV and JSON. Text formats give text
//! columns, which `convert` turns into typed columns. Keys of partitions are columns too.

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::basic::{LogicalType, Type};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::error::{Error, FileResult, Result};
use crate::base::open;
use crate::base::parquet_io::{guard, open_batches, read_footer};
use crate::input::file::{InputFile, LACKING, Place};
use crate::input::format::Format;
use crate::input::ipc::Index;
use crate::input::json::Form;
use crate::input::text_file::OnArrays;
use crate::input::texts::Wide;
use crate::input::want::Want;
use crate::input::{csv, json};

/// Reads the header of a file: the names of its columns, and what its reader needs.
///
/// # Errors
/// The file cannot be read, or has no columns.
pub(super) fn open(path: PathBuf, format: Format) -> Result<InputFile> {
    let mut file = InputFile::new(path, format);
    let path = file.path.as_path();
    match format {
        Format::Parquet => {
            (file.footer, file.wide) = parquet_header(path)?;
            file.lacking = file.footer.as_ref().map(lacking).unwrap_or_default();
        }
        Format::Arrow => file.ipc = Some(Arc::new(Index::read(path)?)),
        Format::Csv { packing, dialect } => file.columns = csv::columns(path, packing, dialect)?,
        Format::Ndjson { packing } => file.columns = json::columns(path, packing, Form::Lines)?,
        Format::Json { packing } => file.columns = json::columns(path, packing, Form::Any)?,
    }
    if let Some(fields) = file.fields() {
        file.columns = fields.iter().map(|field| field.name().clone()).collect();
    }
    if file.columns.is_empty() {
        return Err(Error::in_file(
            &file.path,
            "expected columns, found an empty file",
        ));
    }
    Ok(file)
}

/// The columns without a single value that the writer of a Parquet file names.
fn lacking(footer: &ArrowReaderMetadata) -> Vec<String> {
    let pairs = footer.metadata().file_metadata().key_value_metadata();
    let note = pairs.into_iter().flatten().find(|pair| pair.key == LACKING);
    let names = note.and_then(|pair| pair.value.as_deref()).unwrap_or_default();
    let names = names.split(',').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// Reads columns of a part, in the order of `wanted`. A part is a row group or a record batch, or the
/// whole file.
///
/// # Errors
/// The part cannot be read, a column holds nested values that are not wanted, or `on_arrays` fails.
pub(super) fn read(
    input: &InputFile,
    row_group: Option<usize>,
    wanted: &[Want<'_>],
    on_arrays: &mut OnArrays<'_>,
) -> Result<()> {
    let is_key = |want: &&Want<'_>| input.place(want.name) == Some(Place::Partition);
    if !wanted.iter().any(|want| is_key(&want)) {
        return read_file(input, row_group, wanted, on_arrays);
    }
    let of_file: Vec<Want<'_>> = wanted.iter().filter(|want| !is_key(want)).copied().collect();
    read_file(input, row_group, &of_file, &mut |arrays, n_rows| {
        let mut arrays = arrays.into_iter();
        let all = wanted.iter().filter_map(|want| match is_key(&want) {
            true => input.partition.array(want.name, n_rows),
            false => arrays.next(),
        });
        on_arrays(all.collect(), n_rows)
    })
}

fn read_file(
    input: &InputFile,
    row_group: Option<usize>,
    wanted: &[Want<'_>],
    on_arrays: &mut OnArrays<'_>,
) -> Result<()> {
    check_flat(input, wanted)?;
    match input.format {
        Format::Parquet => read_parquet(input, row_group, wanted, on_arrays),
        Format::Arrow => match &input.ipc {
            Some(index) => index.columns(&input.path, row_group, wanted, on_arrays),
            None => Ok(()),
        },
        Format::Csv { packing, dialect } => csv::read(input, (packing, dialect), wanted, on_arrays),
        Format::Ndjson { packing } => json::read(input, (packing, Form::Lines), wanted, on_arrays),
        Format::Json { packing } => json::read(input, (packing, Form::Any), wanted, on_arrays),
    }
}

/// Refuses nested columns that are not wanted as such. A list may stand for any number of values in
/// a row, so it is refused before it is decoded.
fn check_flat(input: &InputFile, wanted: &[Want<'_>]) -> Result<()> {
    let is_wanted = |name: &str| wanted.iter().any(|want| want.name == name && !want.nested);
    let fields = input.fields().into_iter().flatten();
    let nested = fields.filter(|field| field.data_type().is_nested() && is_wanted(field.name()));
    let Some(field) = nested.into_iter().next() else {
        return Ok(());
    };
    Err(Error::input(
        format!("{}: column `{}`", input.path.display(), field.name()),
        format!("expected one value in a row, found {}", field.data_type()),
    )
    .hint(format!("name a value in it, such as {}.id", field.name())))
}

/// The footer of a Parquet file, and the meaning of its whole numbers of 128 bits.
fn parquet_header(path: &Path) -> Result<(Option<ArrowReaderMetadata>, Option<Wide>)> {
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
    Ok((Some(metadata), wide))
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
    wanted: &[Want<'_>],
    on_arrays: &mut OnArrays<'_>,
) -> Result<()> {
    let path = input.path.as_path();
    let Some(footer) = &input.footer else {
        return Ok(());
    };
    let mut reader = open_batches(path, footer, row_group, &|name| {
        wanted.iter().any(|want| want.name == name)
    })?;
    let wide: Vec<Option<Wide>> = wanted.iter().map(|want| wide_of(input, want.name)).collect();
    while let Some(batch) = guard(path, || reader.next().transpose())? {
        let arrays = wanted.iter().zip(&wide).filter_map(|(want, wide)| {
            let array = batch.column_by_name(want.name).cloned()?;
            Some(match wide {
                Some(wide) => wide.to_text(array),
                None => array,
            })
        });
        on_arrays(arrays.collect(), batch.num_rows())?;
    }
    Ok(())
}
