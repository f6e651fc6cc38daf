//! The minimal work that `layer.py` compares `sluice layer` with. It reads the four feature columns
//! and writes two result columns with the reader and writer of the Parquet crate, row groups in
//! parallel. It computes no scores. The written values vary as much as scores and layers do.
//!
//! `cargo bench --bench layer_floor -- USERS.parquet OUT.parquet`

use arrow_array::{
    ArrayRef, Float64Array, StringArray,
    cast::AsArray,
    types::{Float64Type, Int64Type, TimestampMicrosecondType},
};
use arrow_schema::{DataType, Field, Schema};
use parquet::{
    arrow::{
        ArrowSchemaConverter, ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
        arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves},
    },
    basic::{Compression, ZstdLevel},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
};
use rayon::prelude::*;
use std::{error::Error, fs::File, sync::Arc};

const FEATURES: [&str; 4] = ["last_use_time", "use_count", "user_value", "accept_score"];
const LAYERS: [&str; 4] = ["early", "regular", "high_value", "vip"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(input), Some(output)) = (args.next(), args.next()) else {
        return Err("usage: layer_floor USERS.parquet OUT.parquet".into());
    };
    let footer = ArrowReaderMetadata::load(&File::open(&input)?, ArrowReaderOptions::new())?;
    let schema = Arc::new(Schema::new(vec![
        Field::new("score", DataType::Float64, false),
        Field::new("layer", DataType::Utf8, false),
    ]));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .build();
    let parquet_schema = ArrowSchemaConverter::new().convert(&schema)?;
    let mut writer = SerializedFileWriter::new(
        File::create(output)?,
        parquet_schema.root_schema_ptr(),
        Arc::new(properties),
    )?;
    let factory = ArrowRowGroupWriterFactory::new(&writer, Arc::clone(&schema));
    let encode = |group: usize| -> Result<_, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(
            File::open(&input).map_err(|e| text(&e))?,
            footer.clone(),
        );
        let mask = ProjectionMask::columns(builder.parquet_schema(), FEATURES);
        let reader = builder
            .with_projection(mask)
            .with_row_groups(vec![group])
            .with_batch_size(8_192)
            .build()
            .map_err(|e| text(&e))?;
        let mut columns = factory.create_column_writers(group).map_err(|e| text(&e))?;
        for batch in reader {
            let batch = batch.map_err(|e| text(&e))?;
            let real = |name: &str| {
                batch
                    .column_by_name(name)
                    .map(|c| c.as_primitive::<Float64Type>().clone())
            };
            let last = batch
                .column_by_name(FEATURES[0])
                .map(|c| c.as_primitive::<TimestampMicrosecondType>().clone());
            let count = batch
                .column_by_name(FEATURES[1])
                .map(|c| c.as_primitive::<Int64Type>().clone());
            let (Some(last), Some(count), Some(value), Some(accept)) =
                (last, count, real(FEATURES[2]), real(FEATURES[3]))
            else {
                return Err("expected the generator's columns".into());
            };
            let mixed = |row: usize| {
                last.value(row) / 1_000_000
                    + count.value(row)
                    + value.value(row) as i64
                    + accept.value(row) as i64
            };
            let scores: ArrayRef = Arc::new(
                (0..batch.num_rows())
                    .map(|row| Some(mixed(row).rem_euclid(6_000) as f64 / 1e4))
                    .collect::<Float64Array>(),
            );
            let layers: ArrayRef = Arc::new(
                (0..batch.num_rows())
                    .map(|row| Some(LAYERS[(count.value(row) & 3) as usize]))
                    .collect::<StringArray>(),
            );
            for (column, (array, field)) in columns
                .iter_mut()
                .zip([scores, layers].iter().zip(schema.fields()))
            {
                for leaf in compute_leaves(field, array).map_err(|e| text(&e))? {
                    column.write(&leaf).map_err(|e| text(&e))?;
                }
            }
        }
        columns
            .into_iter()
            .map(|column| column.close().map_err(|e| text(&e)))
            .collect::<Result<Vec<_>, _>>()
    };
    let n_groups = footer.metadata().num_row_groups();
    let n_ahead = rayon::current_num_threads() * 2;
    for start in (0..n_groups).step_by(n_ahead) {
        let encoded: Vec<_> = (start..(start + n_ahead).min(n_groups))
            .into_par_iter()
            .map(encode)
            .collect();
        for chunks in encoded {
            let mut group = writer.next_row_group()?;
            for chunk in chunks? {
                chunk.append_to_row_group(&mut group)?;
            }
            group.close()?;
        }
    }
    writer.close()?;
    Ok(())
}
