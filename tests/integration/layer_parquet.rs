//! Tests of `sluice layer` on Parquet: every reader gives the same layers, and the output file has
//! correct types and statistics.

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt32Array,
    cast::AsArray, types::Float64Type,
};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, ZstdLevel},
    file::{
        properties::{EnabledStatistics, WriterProperties, WriterVersion},
        reader::{FileReader, SerializedFileReader},
        statistics::Statistics,
    },
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{collections::HashMap, fs::File, path::Path, sync::Arc};

use crate::support::{absent, fails, json, ok, text};

const AS_OF: &str = "2026-05-25";
const AS_OF_SECS: i64 = 1_779_667_200;

/// Id, score, layer, consent and tenant of a user.
type Row = (String, u16, String, bool, String);

pub(crate) fn rows(path: &Path) -> Vec<Row> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let mut rows = Vec::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let text = |name: &str| {
            Some(arrow_cast::cast(batch.column_by_name(name)?, &arrow_schema::DataType::Utf8).unwrap())
        };
        let (ids, layers, tenants) = (
            text("user_id").unwrap(),
            text("layer").unwrap(),
            text("tenant_id"),
        );
        let scores = batch
            .column_by_name("score")
            .unwrap()
            .as_primitive::<Float64Type>();
        let eligible = batch.column_by_name("eligible").unwrap().as_boolean();
        for row in 0..batch.num_rows() {
            let text = |column: &ArrayRef| column.as_string::<i32>().value(row).to_owned();
            let tenant = tenants.as_ref().map_or_else(String::new, text);
            rows.push((
                text(&ids),
                (scores.value(row) * 1e4).round() as u16,
                text(&layers),
                eligible.value(row),
                tenant,
            ));
        }
    }
    rows
}

pub(crate) fn write(path: &Path, columns: Vec<(&str, ArrayRef)>, properties: WriterProperties) {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn layer(users: &Path, out: &Path, more: &[&str]) -> Vec<Row> {
    ok(&[
        [
            "layer",
            "--users",
            text(users),
            "--as-of",
            AS_OF,
            "--out",
            text(out),
        ]
        .as_slice(),
        absent(users).as_slice(),
        more,
    ]
    .concat());
    rows(out)
}

/// Users with whole numbers, so that every column type can hold them.
struct Users {
    last: Vec<Option<i64>>,
    count: Vec<Option<i64>>,
    value: Vec<Option<i64>>,
    accept: Vec<Option<i64>>,
    consent: Vec<Option<bool>>,
}

impl Users {
    fn random(n: usize, nulls: f64, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = |range: std::ops::Range<i64>| -> Vec<Option<i64>> {
            (0..n)
                .map(|_| (!rng.random_bool(nulls)).then(|| rng.random_range(range.clone())))
                .collect()
        };
        // Whole days, some in the future. Other values are beyond the caps and below zero.
        let last = draw(-50..2)
            .into_iter()
            .map(|day| day.map(|day| AS_OF_SECS + day * 86_400))
            .collect();
        let (count, value, accept) = (draw(0..130), draw(0..120_000), draw(0..12));
        let consent = draw(0..2)
            .into_iter()
            .map(|flag| flag.map(|flag| flag == 1))
            .collect();
        Self {
            last,
            count,
            value,
            accept,
            consent,
        }
    }

    fn csv(&self) -> String {
        let mut csv = String::from("user_id,last_use_time,use_count,user_value,accept_score,is_allow_gray\n");
        let shown = |value: Option<i64>| value.map_or_else(String::new, |value| value.to_string());
        for row in 0..self.last.len() {
            let consent = self.consent[row].map_or("", |flag| if flag { "true" } else { "false" });
            let numbers = [self.last[row], self.count[row], self.value[row], self.accept[row]].map(shown);
            csv.push_str(&format!("u{row},{},{consent}\n", numbers.join(",")));
        }
        csv
    }
}

#[test]
fn pages_and_arrays_and_text_give_the_same_layers() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let small_pages = || {
        WriterProperties::builder()
            .set_data_page_row_count_limit(700)
            .set_write_batch_size(100)
    };
    let mut seen = HashMap::new();
    for (seed, (n, nulls)) in [
        (1, 0.0),
        (5_000, 0.0),
        (5_000, 0.01),
        (5_000, 0.5),
        (300, 1.0),
        (2_049, 0.2),
    ]
    .into_iter()
    .enumerate()
    {
        let users = Users::random(n, nulls, seed as u64);
        std::fs::write(at("users.csv"), users.csv()).unwrap();
        let expected = layer(&at("users.csv"), &at("csv.parquet"), &[]);
        *seen
            .entry(
                expected
                    .iter()
                    .map(|row| row.2.clone())
                    .collect::<std::collections::BTreeSet<_>>()
                    .len(),
            )
            .or_insert(0) += 1;
        let ids =
            || -> ArrayRef { Arc::new((0..n).map(|row| Some(format!("u{row}"))).collect::<StringArray>()) };
        let consent = || -> ArrayRef { Arc::new(BooleanArray::from(users.consent.clone())) };
        let scaled = |by: i64| users.last.iter().map(move |last| last.map(|secs| secs * by));
        let real = |values: &[Option<i64>]| -> ArrayRef {
            Arc::new(
                values
                    .iter()
                    .map(|v| v.map(|v| v as f64))
                    .collect::<Float64Array>(),
            )
        };
        let wide = |values: &[Option<i64>]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
        let narrow = |values: &[Option<i64>]| values.iter().map(|v| v.map(|v| v as i32)).collect::<Vec<_>>();
        let types: Vec<[ArrayRef; 4]> = vec![
            [
                Arc::new(TimestampMicrosecondArray::from_iter(scaled(1_000_000)).with_timezone("UTC")),
                wide(&users.count),
                real(&users.value),
                real(&users.accept),
            ],
            [
                Arc::new(TimestampMillisecondArray::from_iter(scaled(1_000))),
                real(&users.count),
                wide(&users.value),
                wide(&users.accept),
            ],
            [
                Arc::new(TimestampNanosecondArray::from_iter(scaled(1_000_000_000))),
                Arc::new(Int32Array::from(narrow(&users.count))),
                Arc::new(
                    users
                        .value
                        .iter()
                        .map(|v| v.map(|v| v as f32))
                        .collect::<Float32Array>(),
                ),
                Arc::new(
                    users
                        .accept
                        .iter()
                        .map(|v| v.map(|v| v as u32))
                        .collect::<UInt32Array>(),
                ),
            ],
            [
                Arc::new(
                    users
                        .last
                        .iter()
                        .map(|v| v.map(|v| (v / 86_400) as i32))
                        .collect::<Date32Array>(),
                ),
                Arc::new(
                    narrow(&users.count)
                        .into_iter()
                        .map(|v| v.map(|v| v as i16))
                        .collect::<arrow_array::Int16Array>(),
                ),
                // Types that only the general reader supports.
                Arc::new(
                    users
                        .value
                        .iter()
                        .map(|v| v.map(|v| v as u64))
                        .collect::<arrow_array::UInt64Array>(),
                ),
                real(&users.accept),
            ],
            [
                real(&users.last),
                wide(&users.count),
                real(&users.value),
                real(&users.accept),
            ],
        ];
        let writers = [
            small_pages().build(),
            small_pages()
                .set_dictionary_enabled(false)
                .set_compression(Compression::SNAPPY)
                .build(),
            small_pages()
                .set_writer_version(WriterVersion::PARQUET_2_0)
                .set_compression(Compression::ZSTD(ZstdLevel::default()))
                .build(),
            small_pages()
                .set_writer_version(WriterVersion::PARQUET_2_0)
                .set_dictionary_enabled(false)
                .build(),
            // A dictionary that overflows into plain pages, several row groups, no statistics.
            small_pages()
                .set_dictionary_page_size_limit(2_000)
                .set_max_row_group_row_count(Some(1_300))
                .set_statistics_enabled(EnabledStatistics::None)
                .build(),
        ];
        for (types_idx, [last, count, value, accept]) in types.iter().enumerate() {
            for (writer_idx, properties) in writers.iter().enumerate() {
                let columns = vec![
                    ("user_id", ids()),
                    ("last_use_time", Arc::clone(last)),
                    ("use_count", Arc::clone(count)),
                    ("user_value", Arc::clone(value)),
                    ("accept_score", Arc::clone(accept)),
                    ("is_allow_gray", consent()),
                ];
                write(&at("users.parquet"), columns, properties.clone());
                let found = layer(&at("users.parquet"), &at("out.parquet"), &[]);
                assert!(
                    found == expected,
                    "case {seed}, types {types_idx}, writer {writer_idx}"
                );
                let [a, b] = ["csv.summary.json", "out.summary.json"].map(|name| {
                    let mut summary = json(&at(name));
                    summary["sources"] = serde_json::Value::Null;
                    summary
                });
                assert_eq!(a, b, "case {seed}, types {types_idx}, writer {writer_idx}");
            }
        }
    }
    assert!(
        seen.keys().any(|n_layers| *n_layers >= 4),
        "the users should reach every layer: {seen:?}"
    );
}

/// Every column of every row group has statistics that match its values.
#[test]
fn column_statistics_are_present_and_true() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let users = Users::random(4_000, 0.1, 7);
    let columns = |ids: ArrayRef| {
        vec![
            ("user_id", ids),
            (
                "use_count",
                Arc::new(Int64Array::from(users.count.clone())) as ArrayRef,
            ),
            (
                "accept_score",
                Arc::new(
                    users
                        .accept
                        .iter()
                        .map(|v| v.map(|v| v as f64))
                        .collect::<Float64Array>(),
                ),
            ),
            (
                "is_allow_gray",
                Arc::new(BooleanArray::from(users.consent.clone())),
            ),
        ]
    };
    let groups = || WriterProperties::builder().set_max_row_group_row_count(Some(900));
    let texts = || -> ArrayRef {
        Arc::new(
            (0..4_000)
                .map(|row| Some(format!("{:04x}", row * 7_919 % 65_536)))
                .collect::<StringArray>(),
        )
    };
    let numbers = || -> ArrayRef {
        Arc::new(
            (0..4_000)
                .map(|row| Some(row * 7_919 % 65_536 - 9))
                .collect::<Int64Array>(),
        )
    };
    for (ids, properties) in [
        (texts(), groups().build()),
        (numbers(), groups().build()),
        (
            texts(),
            groups().set_statistics_enabled(EnabledStatistics::None).build(),
        ),
        (
            numbers(),
            groups().set_statistics_enabled(EnabledStatistics::None).build(),
        ),
    ] {
        let is_number = ids.data_type() == &arrow_schema::DataType::Int64;
        write(&at("users.parquet"), columns(ids), properties);
        layer(&at("users.parquet"), &at("out.parquet"), &[]);
        let file = SerializedFileReader::new(File::open(at("out.parquet")).unwrap()).unwrap();
        assert_eq!(file.metadata().num_row_groups(), 5);
        for group in 0..5 {
            let reader =
                ParquetRecordBatchReaderBuilder::try_new(File::open(at("out.parquet")).unwrap()).unwrap();
            let batch = reader
                .with_row_groups(vec![group])
                .build()
                .unwrap()
                .next()
                .unwrap()
                .unwrap();
            assert_eq!(
                batch.schema().field(0).data_type() == &arrow_schema::DataType::Int64,
                is_number,
                "ids keep their type"
            );
            for (column, metadata) in file.metadata().row_group(group).columns().iter().enumerate() {
                let statistics = metadata
                    .statistics()
                    .unwrap_or_else(|| panic!("column {column} has no statistics"));
                assert_eq!(statistics.null_count_opt(), Some(0));
                let values = batch.column(column);
                match statistics {
                    Statistics::Double(s) => {
                        let values: Vec<f64> = values.as_primitive::<Float64Type>().values().to_vec();
                        assert_eq!(s.min_opt().copied(), values.iter().copied().reduce(f64::min));
                        assert_eq!(s.max_opt().copied(), values.iter().copied().reduce(f64::max));
                        let distinct: std::collections::BTreeSet<u64> =
                            values.iter().map(|v| v.to_bits()).collect();
                        assert_eq!(s.distinct_count(), Some(distinct.len() as u64));
                    }
                    Statistics::ByteArray(s) => {
                        let values = values.as_string::<i32>();
                        assert_eq!(
                            s.min_opt().unwrap().as_utf8().unwrap(),
                            values.iter().flatten().min().unwrap()
                        );
                        assert_eq!(
                            s.max_opt().unwrap().as_utf8().unwrap(),
                            values.iter().flatten().max().unwrap()
                        );
                    }
                    Statistics::Int64(s) => {
                        let values = values.as_primitive::<arrow_array::types::Int64Type>().values();
                        assert_eq!(
                            (s.min_opt(), s.max_opt()),
                            (values.iter().min(), values.iter().max())
                        );
                    }
                    Statistics::Boolean(s) => {
                        let values: Vec<bool> = values.as_boolean().iter().flatten().collect();
                        assert_eq!(
                            (s.min_opt(), s.max_opt()),
                            (values.iter().min(), values.iter().max())
                        );
                    }
                    other => panic!("unexpected statistics {other:?}"),
                }
            }
        }
    }
}

#[test]
fn ids_and_tenants_pass_through_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("users")).unwrap();
    let ids = |from: i64| -> ArrayRef {
        Arc::new(
            (from..from + 100)
                .map(|id| Some(id * 1_000_000_007))
                .collect::<Int64Array>(),
        )
    };
    let counts = || -> ArrayRef { Arc::new((0..100).map(Some).collect::<Int64Array>()) };
    let tenants = || -> ArrayRef {
        Arc::new(
            (0..100)
                .map(|n| [Some("甲"), None, Some("")][n % 3])
                .collect::<StringArray>(),
        )
    };
    let file = |name: &str, ids: ArrayRef| {
        let columns = vec![("uid", ids), ("use_count", counts()), ("tenant_id", tenants())];
        write(
            &at(name),
            columns,
            WriterProperties::builder()
                .set_max_row_group_row_count(Some(33))
                .build(),
        );
    };
    file("users/a.parquet", ids(0));
    file("users/b.parquet", ids(100));
    let found = layer(&at("users"), &at("out.parquet"), &["--column", "user_id=uid"]);
    let expected: Vec<String> = (0..200).map(|id: i64| (id * 1_000_000_007).to_string()).collect();
    assert_eq!(
        found.iter().map(|row| row.0.clone()).collect::<Vec<_>>(),
        expected
    );
    // A null tenant and an empty tenant are the default tenant.
    let summary = json(&at("out.summary.json"));
    let of = |tenant: &str| -> u64 {
        let layers = summary["layers"].as_array().unwrap();
        layers
            .iter()
            .filter(|l| l["tenant"] == tenant)
            .map(|l| l["n_users"].as_u64().unwrap())
            .sum()
    };
    assert_eq!((of("甲"), of("default")), (68, 132));
    // When files disagree on the type of an id, the output has text.
    file(
        "users/c.parquet",
        Arc::new((0..100).map(|id| Some(format!("x{id}"))).collect::<StringArray>()),
    );
    let found = layer(&at("users"), &at("out.parquet"), &["--column", "user_id=uid"]);
    assert_eq!(found.len(), 300);
    assert_eq!(
        (found[199].0.as_str(), found[299].0.as_str()),
        (expected[199].as_str(), "x99")
    );
    let twice = fails(
        &[
            "layer",
            "--users",
            text(&at("users/*.parquet")),
            "--column",
            "user_id=tenant_id",
            "--as-of",
            AS_OF,
            "--out",
            text(&at("o.parquet")),
            "--absent",
            "last_use_time,user_value,accept_score",
        ],
        3,
    );
    assert!(
        twice.contains("expected a value, found none") && twice.contains("row 2"),
        "{twice}"
    );
}

/// DuckDB and Polars annotate text differently. The ids of both are copied: they keep their codecs.
#[test]
fn ids_of_different_programs_are_copied() {
    let dir = tempfile::tempdir().unwrap();
    let users = dir.path().join("users");
    std::fs::create_dir(&users).unwrap();
    for name in ["duckdb.parquet", "polars.parquet"] {
        std::fs::copy(Path::new("tests/samples/tables").join(name), users.join(name)).unwrap();
    }
    let out = dir.path().join("out.parquet");
    let ids: Vec<String> = layer(&users, &out, &[]).into_iter().map(|row| row.0).collect();
    let expected = ["du", "u"].map(|prefix| (0..200).map(move |user| format!("{prefix}{user}")));
    assert_eq!(ids, expected.into_iter().flatten().collect::<Vec<_>>());
    let file = SerializedFileReader::new(File::open(&out).unwrap()).unwrap();
    let codec = |group: usize| file.metadata().row_group(group).column(0).compression();
    assert_eq!(codec(0), Compression::SNAPPY);
    assert!(matches!(codec(1), Compression::ZSTD(_)));
}

#[test]
fn odd_row_groups_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let mut ids: Vec<Option<String>> = (0..1_000).map(|id| Some(format!("u{id}"))).collect();
    let mut values: Vec<Option<f64>> = (0..1_000).map(|n| Some(f64::from(n))).collect();
    ids[250] = None;
    values[777] = Some(f64::NAN);
    values[778] = Some(f64::INFINITY);
    let columns = vec![
        ("user_id", Arc::new(StringArray::from(ids)) as ArrayRef),
        ("user_value", Arc::new(Float64Array::from(values))),
    ];
    write(
        &at("users.parquet"),
        columns,
        WriterProperties::builder()
            .set_max_row_group_row_count(Some(100))
            .build(),
    );
    let stderr = fails(
        &[
            "layer",
            "--users",
            text(&at("users.parquet")),
            "--as-of",
            AS_OF,
            "--out",
            text(&at("out.parquet")),
            "--absent",
            "last_use_time,use_count,accept_score",
        ],
        3,
    );
    assert!(stderr.contains("column `user_id`, row 251"), "{stderr}");
    let config = r#"
as_of = "2026-05-25"
plan = { id = "q", start = "2026-05-25", baseline = "a", candidate = "b" }
input = { users = { path = "users.parquet", absent = ["last_use_time", "use_count", "accept_score"] }, on_bad_row = "drop" }
layer = [ { id = "x", min_score = 0.5 }, { id = "y" } ]
"#;
    std::fs::write(at("c.toml"), config).unwrap();
    ok(&[
        "layer",
        "--config",
        text(&at("c.toml")),
        "--out",
        text(&at("out.parquet")),
    ]);
    let found = rows(&at("out.parquet"));
    assert_eq!(found.len(), 997);
    assert!(
        found
            .iter()
            .all(|row| !["u250", "u777", "u778"].contains(&row.0.as_str()))
    );
    let summary = json(&at("out.summary.json"));
    assert_eq!(summary["bad_rows"]["column `user_id`: expected a value"], 1);
    assert_eq!(summary["bad_rows"]["column `user_value`: expected a number"], 2);
    assert_eq!(summary["n_users"], 997);
}
