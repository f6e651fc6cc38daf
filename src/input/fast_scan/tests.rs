//! Tests with columns of small Parquet files, compared with the general reader's results.

use super::*;
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, DictionaryArray, Float32Array, Float64Array, Int8Array,
    Int32Array, Int64Array, LargeStringArray, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt32Array, UInt64Array,
};
use arrow_cast::cast;
use arrow_schema::{Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use std::fs::File;
use std::path::Path;

use crate::base::{hash, parquet_io};

fn layouts() -> Vec<(&'static str, WriterProperties)> {
    let new = || WriterProperties::builder().set_write_batch_size(64);
    let plain = || new().set_dictionary_enabled(false);
    let paged = |builder: WriterPropertiesBuilder| builder.set_data_page_row_count_limit(192);
    vec![
        ("dictionary", new().build()),
        ("plain", plain().build()),
        ("plain in pages", paged(plain()).build()),
        ("dictionary in pages", paged(new()).build()),
        // The dictionary is full after some pages. Plain pages follow it.
        (
            "dictionary, then plain",
            paged(new()).set_dictionary_page_size_limit(256).build(),
        ),
        ("row groups", new().set_max_row_group_row_count(Some(700)).build()),
        (
            "version 2",
            paged(new())
                .set_writer_version(WriterVersion::PARQUET_2_0)
                .build(),
        ),
        ("snappy", plain().set_compression(Compression::SNAPPY).build()),
        (
            "zstd",
            paged(new())
                .set_compression(Compression::ZSTD(ZstdLevel::default()))
                .build(),
        ),
        ("lz4", new().set_compression(Compression::LZ4_RAW).build()),
        (
            "gzip",
            paged(plain())
                .set_compression(Compression::GZIP(GzipLevel::default()))
                .build(),
        ),
    ]
}

fn write(path: &Path, columns: &[(&str, ArrayRef, bool)], properties: WriterProperties) {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array, is_nullable)| Field::new(*name, array.data_type().clone(), *is_nullable))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays = columns.iter().map(|(_, array, _)| Arc::clone(array)).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), schema, Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Reads column `x` in steps of `n_step` rows. `None` for missing values, which must all hold
/// `missing`.
fn scan<V: Copy + PartialEq + std::fmt::Debug>(
    path: &Path,
    n_step: usize,
    missing: V,
    mapping: Mapping<'_, V>,
) -> Flat<Vec<Option<V>>> {
    let table = Table::from_parquet(path).unwrap();
    let mut values = Vec::new();
    for part in &table.parts {
        let part = FastPart::open(&table, *part)?;
        let mut column = part.column("x", missing, mapping)?.unwrap();
        let mut n_left = part.n_rows;
        while n_left > 0 {
            let n = n_left.min(n_step);
            let (mut out, mut absent) = (vec![missing; n], [u64::MAX; STEP_WORDS]);
            let n_absent = column.fill(&mut out, &mut absent)?;
            let bits: usize = absent.iter().map(|word| word.count_ones() as usize).sum();
            assert_eq!(n_absent, bits);
            for (row, value) in out.into_iter().enumerate() {
                let is_absent = absent[row / 64] >> (row % 64) & 1 == 1;
                assert!(!is_absent || value == missing);
                values.push((!is_absent).then_some(value));
            }
            n_left -= n;
        }
    }
    Ok(values)
}

/// Reads column `x` with the general reader, as another type.
fn read<T>(path: &Path, to: &DataType, value: impl Fn(&dyn Array, usize) -> T) -> Vec<Option<T>> {
    let mut values = Vec::new();
    parquet_io::read(path, &mut |batch| {
        let column = cast(batch.column_by_name("x").unwrap(), to).unwrap();
        values.extend((0..column.len()).map(|row| column.is_valid(row).then(|| value(&column, row))));
        Ok(())
    })
    .unwrap();
    values
}

fn as_type<A: Array + 'static>(array: &dyn Array) -> &A {
    array.as_any().downcast_ref().unwrap()
}

const NUMBER: Mapping<'static, f64> = Mapping::Number(&|values, out| {
    out.copy_from_slice(values);
    true
});
const SECONDS: Mapping<'static, f64> = Mapping::Seconds(&|values, out| {
    out.copy_from_slice(values);
    true
});
const MICROS: Mapping<'static, i64> = Mapping::Micros(&|values, out| {
    out.copy_from_slice(values);
    true
});
const TEXT: Mapping<'static, u64> = Mapping::Text(&hash::hash_id);
const ID: Mapping<'static, u64> = Mapping::Id(&hash::hash_id);

/// Whether a row has a value.
type HasValue = fn(usize) -> bool;

/// Patterns of rows with values, by name.
const PATTERNS: [(&str, HasValue); 5] = [
    ("all", |_| true),
    ("none", |_| false),
    ("two of three", |row| row % 3 != 1),
    ("runs", |row| row / 150 % 2 == 0),
    ("the last", |row| row % 700 == 699),
];

/// Compares both readers over all layouts, patterns of nulls, and numbers of rows.
fn check_all(new: NewArray<'_>, compare: &dyn Fn(&Path, usize, &str)) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    for (layout, properties) in layouts() {
        for (pattern, has_value) in PATTERNS {
            for n in [0, 1, 64, 2_100] {
                let array = new(n, &has_value);
                let name = format!("{} {layout}, {pattern}, {n} rows", array.data_type());
                write(&path, &[("x", array, true)], properties.clone());
                compare(&path, n, &name);
            }
        }
        let array = new(2_100, &|_| true);
        let name = format!("{} {layout}, required", array.data_type());
        write(&path, &[("x", array, false)], properties.clone());
        compare(&path, 2_100, &name);
    }
}

/// A value for each row, with repeats, some of them in runs.
fn mixed(row: usize) -> i64 {
    let row = row as i64;
    if row % 400 < 100 { 7 } else { row * 37 % 300 - 100 }
}

macro_rules! array_of {
    ($array:ty, $value:expr) => {
        &|n: usize, has_value: &dyn Fn(usize) -> bool| -> ArrayRef {
            let values = (0..n).map(|row| has_value(row).then(|| $value(row)));
            Arc::new(values.collect::<$array>())
        }
    };
}

type NewArray<'a> = &'a dyn Fn(usize, &dyn Fn(usize) -> bool) -> ArrayRef;

#[test]
fn numbers_are_those_of_the_general_reader() {
    let check = |new: NewArray<'_>| {
        check_all(new, &|path, n, name| {
            let slow = read(path, &DataType::Float64, |array, row| {
                as_type::<Float64Array>(array).value(row)
            });
            assert_eq!(slow.len(), n, "{name}");
            for n_step in [STEP, 100] {
                assert_eq!(scan(path, n_step, -1e9, NUMBER).unwrap(), slow, "{name}");
            }
        });
    };
    check(array_of!(Int8Array, |row| (mixed(row) % 100) as i8));
    check(array_of!(Int32Array, |row| mixed(row) as i32 * 1_000_003));
    check(array_of!(UInt32Array, |row| u32::MAX - mixed(row).unsigned_abs() as u32));
    check(array_of!(Int64Array, |row| mixed(row) << 40));
    check(array_of!(Float32Array, |row| mixed(row) as f32 / 7.0));
    check(array_of!(Float64Array, |row| mixed(row) as f64 / 7.0));
    check(array_of!(Float64Array, |_| 0.5));
    // All values differ, so the dictionary indices are wide.
    check(array_of!(Int64Array, |row| row as i64));
}

#[test]
fn instants_are_those_of_the_general_reader() {
    let check = |new: NewArray<'_>| {
        check_all(new, &|path, _, name| {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
            let slow = read(path, &micros, |array, row| {
                as_type::<TimestampMicrosecondArray>(array).value(row)
            });
            assert_eq!(scan(path, STEP, i64::MIN, MICROS).unwrap(), slow, "{name}");
            let slow: Vec<Option<f64>> = slow.iter().map(|at| at.map(|at| at as f64 / 1e6)).collect();
            assert_eq!(scan(path, STEP, -1e18, SECONDS).unwrap(), slow, "{name}");
        });
    };
    check(array_of!(Date32Array, |row| 20_000 + mixed(row) as i32));
    check(array_of!(TimestampMillisecondArray, |row| 1_700_000_000_123 + mixed(row)));
    check(array_of!(TimestampMicrosecondArray, |row| mixed(row) - 5));
    check(array_of!(
        TimestampNanosecondArray,
        |row| 1_700_000_000_123_456_789 + mixed(row) * 999
    ));
}

#[test]
fn texts_and_ids_are_those_of_the_general_reader() {
    let check = |new: NewArray<'_>, is_text: bool| {
        check_all(new, &|path, _, name| {
            let slow = read(path, &DataType::Utf8, |array, row| {
                hash::hash_id(as_type::<StringArray>(array).value(row).as_bytes())
            });
            assert_eq!(scan(path, STEP, 0, ID).unwrap(), slow, "{name}");
            if is_text {
                assert_eq!(scan(path, 77, 0, TEXT).unwrap(), slow, "{name}");
            }
        });
    };
    // Some texts are empty, some are long.
    let text = |row: usize| "né".repeat(mixed(row).unsigned_abs() as usize % 40);
    check(array_of!(StringArray, text), true);
    check(array_of!(LargeStringArray, text), true);
    check(
        &|n, has_value| {
            let texts: Vec<Option<String>> = (0..n).map(|row| has_value(row).then(|| text(row))).collect();
            let texts = texts.iter().map(Option::as_deref);
            Arc::new(texts.collect::<DictionaryArray<Int32Type>>())
        },
        true,
    );
    check(array_of!(Int32Array, |row| mixed(row) as i32), false);
    check(
        array_of!(UInt32Array, |row| u32::MAX - mixed(row).unsigned_abs() as u32),
        false,
    );
    check(array_of!(Int64Array, |row| mixed(row) << 40), false);
}

#[test]
fn flags_are_those_of_the_general_reader() {
    let new: NewArray<'_> = &|n, has_value| {
        let values = (0..n).map(|row| has_value(row).then(|| mixed(row) % 3 == 0));
        Arc::new(values.collect::<BooleanArray>())
    };
    check_all(new, &|path, _, name| {
        let slow = read(path, &DataType::Boolean, |array, row| {
            if as_type::<BooleanArray>(array).value(row) {
                'y'
            } else {
                'n'
            }
        });
        for n_step in [STEP, 100] {
            assert_eq!(
                scan(path, n_step, '-', Mapping::Flag(['n', 'y'])).unwrap(),
                slow,
                "{name}"
            );
        }
    });
}

#[test]
fn other_columns_are_left_to_the_general_reader() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    let write_x = |array: &ArrayRef, properties: WriterProperties| {
        write(&path, &[("x", Arc::clone(array), true)], properties);
    };
    // The mappings that can read a type: number, seconds, micros, flag, text, id.
    let check = |array: ArrayRef, expected: [bool; 6]| {
        write_x(&array, WriterProperties::default());
        let found = [
            scan(&path, STEP, 0.0, NUMBER).is_ok(),
            scan(&path, STEP, 0.0, SECONDS).is_ok(),
            scan(&path, STEP, 0, MICROS).is_ok(),
            scan(&path, STEP, '-', Mapping::Flag(['n', 'y'])).is_ok(),
            scan(&path, STEP, 0, TEXT).is_ok(),
            scan(&path, STEP, 0, ID).is_ok(),
        ];
        assert_eq!(found, expected, "{}", array.data_type());
    };
    let (yes, no) = (true, false);
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let inner = Arc::new(Field::new("a", DataType::Int64, true));
    let list = ListArray::from_iter_primitive::<arrow_array::types::Int64Type, _, _>([
        Some(vec![Some(1), Some(2)]),
        None,
    ]);
    check(Arc::clone(&numbers), [yes, yes, no, no, no, yes]);
    check(
        Arc::new(Float64Array::from(vec![1.0])),
        [yes, yes, no, no, no, no],
    );
    check(
        Arc::new(TimestampMicrosecondArray::from(vec![1])),
        [no, yes, yes, no, no, no],
    );
    check(
        Arc::new(BooleanArray::from(vec![true])),
        [no, no, no, yes, no, no],
    );
    check(Arc::new(StringArray::from(vec!["a"])), [no, no, no, no, yes, yes]);
    check(Arc::new(UInt64Array::from(vec![1])), [no; 6]);
    check(Arc::new(list), [no; 6]);
    check(
        Arc::new(StructArray::from(vec![(inner, Arc::clone(&numbers))])),
        [no; 6],
    );

    // An encoding that is neither plain nor dictionary.
    let delta = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::DELTA_BINARY_PACKED);
    write_x(&numbers, delta.build());
    assert_eq!(scan(&path, STEP, 0.0, NUMBER), Err(Unsupported));

    // A value that the map refuses, in plain and in dictionary encoding.
    let refuse: Mapping<'_, f64> = Mapping::Number(&|values, _| values.iter().all(|value| *value != 2.0));
    for is_dictionary in [false, true] {
        write_x(
            &numbers,
            WriterProperties::builder()
                .set_dictionary_enabled(is_dictionary)
                .build(),
        );
        assert_eq!(scan(&path, STEP, 0.0, refuse), Err(Unsupported));
    }

    // A request for more rows than the part has.
    let table = Table::from_parquet(&path).unwrap();
    let part = FastPart::open(&table, table.parts[0]).unwrap();
    let mut column = part.column("x", 0.0, NUMBER).unwrap().unwrap();
    assert_eq!(column.fill(&mut [0.0; 3], &mut [0; STEP_WORDS]), Err(Unsupported));
    assert!(part.column("y", 0.0, NUMBER).unwrap().is_none());
    assert_eq!(part.is_flag("x"), Ok(false));
    assert_eq!(part.is_flag("y"), Ok(false));
}

#[test]
fn a_flat_column_is_found_behind_a_nested_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    let fields = ["a", "b"].map(|name| Arc::new(Field::new(name, DataType::Int64, true)));
    let inner = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
    let [a, b] = fields;
    let nested = StructArray::from(vec![(a, inner(1)), (b, inner(2))]);
    write(
        &path,
        &[("nested", Arc::new(nested), true), ("x", inner(3), true)],
        WriterProperties::default(),
    );
    assert_eq!(scan(&path, STEP, 0.0, NUMBER), Ok(vec![Some(3.0)]));
}
