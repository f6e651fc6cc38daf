//! Scans of Parquet columns by the fast reader: plain numbers and texts of a dictionary.

use crate::{random, share};
use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use criterion::{Criterion, Throughput};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use sluice::kernels::ScanFile;
use std::fs::File;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

const N_ROWS: usize = 1 << 20;
const NAMES: [&str; 8] = [
    "early",
    "regular",
    "high_value",
    "vip",
    "trial",
    "partner",
    "staff",
    "closed",
];

/// Writes a column of numbers and a column of texts, each with a share of nulls.
fn write(path: &Path, nulls: f64) {
    let words = random(N_ROWS);
    let is_there = |word: &u64| share(word.rotate_left(32)) >= nulls;
    let numbers: Float64Array = words
        .iter()
        .map(|word| is_there(word).then(|| share(*word)))
        .collect();
    let texts: StringArray = words
        .iter()
        .map(|word| is_there(word).then(|| NAMES[(word % 8) as usize]))
        .collect();
    let columns: [(&str, ArrayRef); 2] = [("number", Arc::new(numbers)), ("text", Arc::new(texts))];
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap()))
        .set_column_dictionary_enabled("number".into(), false)
        .build();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Elements(N_ROWS as u64));
    for (nulls, percent) in [(0.0, 0), (0.1, 10)] {
        let path = folder.path().join(format!("{percent}.parquet"));
        write(&path, nulls);
        let file = ScanFile::open(&path).unwrap();
        group.bench_function(format!("1M_numbers_{percent}_percent_null"), |bencher| {
            bencher.iter(|| black_box(file.numbers("number").unwrap()));
        });
        group.bench_function(format!("1M_texts_of_8_{percent}_percent_null"), |bencher| {
            bencher.iter(|| black_box(file.texts("text").unwrap()));
        });
    }
    group.finish();
}
