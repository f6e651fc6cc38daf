//! Tests of limits of Parquet files: sizes that footers and pages claim.

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::{
        metadata::{
            FileMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter, RowGroupMetaData,
        },
        properties::{EnabledStatistics, WriterProperties},
    },
};
use std::{fs, path::Path, sync::Arc};

use crate::{
    limits::{accepts, layer, refuses},
    small::Small,
    support::text,
};

/// Writes a column of texts, in one row group.
fn write_texts(path: &Path, batches: impl Iterator<Item = Vec<String>>, dictionary: bool) {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(dictionary)
        .set_dictionary_page_size_limit(4 << 20)
        .set_max_row_group_row_count(Some(1 << 24));
    let properties = properties.set_statistics_enabled(EnabledStatistics::None);
    let mut writer: Option<ArrowWriter<fs::File>> = None;
    for texts in batches {
        let array: ArrayRef = Arc::new(StringArray::from(texts));
        let batch = RecordBatch::try_from_iter([("user_id", array)]).unwrap();
        let writer = writer.get_or_insert_with(|| {
            let file = fs::File::create(path).unwrap();
            ArrowWriter::try_new(file, batch.schema(), Some(properties.clone().build())).unwrap()
        });
        writer.write(&batch).unwrap();
    }
    writer.unwrap().close().unwrap();
}

#[test]
fn texts_that_unpack_to_gigabytes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("u.parquet"), dir.path().join("l.parquet"));
    let long = "x".repeat(1 << 20);
    write_texts(&path, (0..1_500).map(|idx| vec![format!("{idx} {long}")]), false);
    assert!(fs::metadata(&path).unwrap().len() < 1 << 20);
    let expected = ["u.parquet: row group 1", "(limit `row-group-text`)"];
    refuses(&layer(&path, &out), 3, &expected);
    // A dictionary of one text stands for 1 GB.
    let texts = (0..10).map(|_| vec![long.clone(); 100]);
    write_texts(&path, texts, true);
    assert!(fs::metadata(&path).unwrap().len() < 1 << 20);
    refuses(&layer(&path, &out), 3, &["u.parquet"]);
    // Fewer texts are read in small batches.
    write_texts(&path, (0..100).map(|idx| vec![format!("{idx} {long}")]), false);
    accepts(&layer(&path, &out));
    let expected = ["u.parquet: expected at most 1MiB in a page of a Parquet column (limit `page`)"];
    let args = layer(&path, &out);
    refuses(&[&args[..], &["--limit", "page=1MiB"]].concat(), 3, &expected);
}

/// Writes a copy of a Parquet file with a changed footer.
fn with_footer(file: &Path, copy: &Path, change: impl Fn(ParquetMetaData) -> ParquetMetaData) {
    let bytes = fs::read(file).unwrap();
    let open = fs::File::open(file).unwrap();
    let metadata = change(ParquetMetaDataReader::new().parse_and_finish(&open).unwrap());
    let length = bytes.len() - 8;
    let n_footer = u32::from_le_bytes(bytes[length..length + 4].try_into().unwrap()) as usize;
    let mut changed = bytes[..length - n_footer].to_vec();
    ParquetMetaDataWriter::new(&mut changed, &metadata)
        .finish()
        .unwrap();
    fs::write(copy, changed).unwrap();
}

/// Changes the first row group of a footer, and the number of rows of the file.
fn with_group(
    metadata: ParquetMetaData,
    n_rows: i64,
    change: impl Fn(RowGroupMetaData) -> RowGroupMetaData,
) -> ParquetMetaData {
    let old = metadata.file_metadata();
    let file = FileMetaData::new(
        old.version(),
        n_rows,
        old.created_by().map(str::to_owned),
        old.key_value_metadata().cloned(),
        old.schema_descr_ptr(),
        old.column_orders().cloned(),
    );
    let mut groups = metadata.row_groups().to_vec();
    groups[0] = change(groups[0].clone());
    ParquetMetaData::new(file, groups)
}

#[test]
fn what_a_footer_claims_is_checked() {
    let small = Small::new();
    small.run();
    let layers = small.path("out/layers.parquet");
    let bad = small.path("bad.parquet");
    let study = small.path("study.toml");
    let out = small.path("cube");
    let traffic = small.path("traffic.csv");
    let replay = [
        "replay",
        "--scenario",
        text(&study),
        "--layers",
        text(&bad),
        "--traffic",
        text(&traffic),
        "--out",
        text(&out),
    ];
    let claim = |n_rows: i64| {
        with_footer(&layers, &bad, |metadata| {
            with_group(metadata, n_rows, |group| {
                group.into_builder().set_num_rows(n_rows).build().unwrap()
            })
        });
    };
    claim(2_700_000_000);
    refuses(
        &replay,
        3,
        &["bad.parquet: row group 1", "(limit `row-group-rows`)"],
    );
    claim(30_000_000);
    refuses(
        &[&replay[..], &["--limit", "claimed-rows=1000"]].concat(),
        3,
        &["(limit `claimed-rows`)"],
    );
    claim(-5);
    refuses(&replay, 3, &["bad.parquet"]);
    // Every reader of a table names the file.
    let offset = |start: i64| {
        with_footer(&layers, &bad, |metadata| {
            let n_rows = metadata.file_metadata().num_rows();
            with_group(metadata, n_rows, |group| {
                let columns = group.columns().iter().map(|column| {
                    let column = column.clone().into_builder().set_data_page_offset(start);
                    column.set_dictionary_page_offset(None).build().unwrap()
                });
                let columns = columns.collect();
                group.into_builder().set_column_metadata(columns).build().unwrap()
            })
        });
    };
    let previous = small.path("night.parquet");
    let users = small.path("users.csv");
    let features = "last_use_time,user_value,accept_score";
    let night = [
        "layer",
        "--users",
        text(&users),
        "--as-of",
        "2026-05-25",
        "--absent",
        features,
    ];
    let night = [&night[..], &["--previous", text(&bad), "--out", text(&previous)]].concat();
    let who = [
        "who",
        "--scenario",
        text(&study),
        "--layers",
        text(&bad),
        "--json",
    ];
    for start in [-5, 1 << 40] {
        offset(start);
        for args in [&replay[..], &night, &who] {
            refuses(args, 3, &["bad.parquet: expected a complete Parquet file"]);
        }
        refuses(
            &layer(&bad, &previous),
            3,
            &["bad.parquet: expected a complete Parquet file"],
        );
    }
}

#[test]
fn a_broken_file_is_named_among_many() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("users");
    fs::create_dir(&folder).unwrap();
    for idx in 0..20 {
        write_texts(
            &folder.join(format!("{idx:02}.parquet")),
            [vec![format!("u{idx}")]].into_iter(),
            true,
        );
    }
    let broken = folder.join("07.parquet");
    with_footer(&folder.join("06.parquet"), &broken, |metadata| {
        with_group(metadata, 1, |group| {
            let column = group
                .column(0)
                .clone()
                .into_builder()
                .set_total_compressed_size(-1);
            let columns = vec![column.build().unwrap()];
            group.into_builder().set_column_metadata(columns).build().unwrap()
        })
    });
    refuses(&layer(&folder, &dir.path().join("l.parquet")), 3, &["07.parquet"]);
}
