//! Cubes whose tables hold values that no replay writes. The digests in the document are made to
//! match, as anybody can do. Every command must refuse such a table with its name.

use arrow_array::{
    Array, ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
    cast::AsArray,
    new_null_array,
    types::{Int32Type, Int64Type, TimestampMicrosecondType},
};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use serde_json::Value;
use sluice::base::digest;
use std::{
    fs::{self, File},
    path::Path,
    sync::Arc,
};

use crate::{
    logs::{Log, START, Study, Written, write},
    support::{json, sluice},
};

/// Commands that read a cube. Each is run on the damaged cube `a`.
const COMMANDS: [&[&str]; 6] = [
    &[
        "analyze",
        "--cube",
        "a",
        "--plan",
        "plan.toml",
        "--out",
        "analysis.json",
    ],
    &[
        "backtest",
        "--cube",
        "a",
        "--plan",
        "plan.toml",
        "--every",
        "24",
        "--json",
    ],
    &[
        "calibrate",
        "--cube",
        "a",
        "--plan",
        "plan.toml",
        "--splits",
        "20",
        "--json",
    ],
    &["simulate", "plan.toml", "--cube", "a", "--out", "forecast"],
    &["cube", "merge", "a", "b", "--out", "merged"],
    &[
        "replay",
        "--traffic",
        "log",
        "--layers",
        "layers.parquet",
        "--plan",
        "plan.toml",
        "--out",
        "next",
        "--sessions",
        "--shadow",
        "shadow.csv",
        "--since",
        "a",
    ],
];

/// This command reads the keys and a few sums only.
const WHAT_IF: &[&str] = &["replay", "--what-if", "plan.toml", "--cube", "a"];
const KEYS: [&str; 7] = [
    "tenant_id",
    "layer",
    "stage",
    "release",
    "window_start",
    "bucket_group",
    "rows",
];

/// A study with two cubes, each of one half of its log, and a file of shadow answers.
fn study() -> Study {
    let mut log = Log::new(600, 3);
    for (idx, turn) in log.turns.iter_mut().enumerate() {
        (turn.is_shadow, turn.is_eval, turn.trace) = (None, false, format!("t{idx}"));
        // Two turns of one user in one window, so that some cells have several rows.
        turn.at = START + (idx as i64 / 2 * 7_919 % (72 * 3_600)) * 1_000_000;
    }
    let study = Study::new(&log);
    let halves = log.turns.split_at(300);
    for (name, turns) in [("a", halves.0), ("b", halves.1)] {
        write(&log, turns, &study.path(&format!("log/{name}.csv")), Written::Csv);
    }
    let mut shadow = "trace_id,release_id,success,latency_ms\n".to_owned();
    (0..600).for_each(|idx| shadow.push_str(&format!("t{idx},new,{},{}\n", idx % 9 > 0, idx + 50)));
    fs::write(study.path("shadow.csv"), shadow).unwrap();
    for name in ["a", "b"] {
        let log = format!("log/{name}.csv");
        study.replay(&log, name, &["--sessions", "--shadow", "shadow.csv"]);
    }
    study
}

fn read(path: &Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = Arc::clone(builder.schema());
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
    arrow_select::concat::concat_batches(&schema, &batches).unwrap()
}

/// Writes a table of a cube, and its digest in the document.
fn put(cube: &Path, table: &str, batch: &RecordBatch) {
    let path = cube.join(table);
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    let mut document: Value = json(&cube.join("cube.json"));
    document["files"][table] = digest::blake3_of_file(&path).unwrap().into();
    fs::write(cube.join("cube.json"), document.to_string()).unwrap();
}

/// A batch with another column in place of one of its columns.
fn with_column(batch: &RecordBatch, idx: usize, column: ArrayRef) -> RecordBatch {
    let mut fields: Vec<Field> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| (**field).clone())
        .collect();
    fields[idx] = Field::new(fields[idx].name(), column.data_type().clone(), true);
    let mut columns = batch.columns().to_vec();
    columns[idx] = column;
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// Replaces one value of a column of whole numbers. `None` for a column of another type.
fn with_number(column: &ArrayRef, row: usize, value: i64) -> Option<ArrayRef> {
    let put = |values: &mut [i64]| values[row] = value;
    match column.data_type() {
        DataType::Int32 => {
            let mut values = column.as_primitive::<Int32Type>().values().to_vec();
            values[row] = value.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
            Some(Arc::new(Int32Array::from(values)))
        }
        DataType::Int64 => {
            let mut values = column.as_primitive::<Int64Type>().values().to_vec();
            put(&mut values);
            Some(Arc::new(Int64Array::from(values)))
        }
        DataType::Timestamp(..) => {
            let mut values = column
                .as_primitive::<TimestampMicrosecondType>()
                .values()
                .to_vec();
            put(&mut values);
            Some(Arc::new(
                TimestampMicrosecondArray::from(values).with_timezone("UTC"),
            ))
        }
        _ => None,
    }
}

/// All illegal versions of one column, and those that only another check can find.
fn broken(batch: &RecordBatch, idx: usize, row: usize) -> Vec<(String, RecordBatch)> {
    let column = batch.column(idx);
    let schema = batch.schema();
    let name = schema.field(idx).name();
    let mut found = Vec::new();
    let mut add = |what: &str, column: ArrayRef| {
        found.push((format!("`{name}` {what}"), with_column(batch, idx, column)));
    };
    // A sum may be negative, and a hash may have any value.
    let has_any_sign = name == "session" || name == "sum_nps";
    for value in [-1, i64::MIN, i64::MAX, 371, 4_097] {
        if name == "session" || has_any_sign && value == -1 {
            continue;
        }
        // Small numbers are legal in some columns.
        let is_legal = (name.starts_with("sum_") || name == "user_row" || name == "bucket")
            || name == VALUE_COLUMN
            || name.starts_with("sum(latency_ms cap");
        if (371..5_000).contains(&value) && is_legal || value == 371 && name == "bin" {
            continue;
        }
        if let Some(column) = with_number(column, row, value) {
            add(&value.to_string(), column);
        }
    }
    if let DataType::Dictionary(..) = column.data_type() {
        let names = cast(column, &DataType::Utf8).unwrap();
        let names = names.as_string::<i32>();
        let with = |other: Option<&str>| -> ArrayRef {
            let of_row = |at| if at == row { other } else { Some(names.value(at)) };
            Arc::new((0..names.len()).map(of_row).collect::<StringArray>())
        };
        if name != VALUE_COLUMN {
            add("nobody", with(Some("nobody")));
        }
        add("null", with(None));
    } else {
        let nan: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN; column.len()]));
        add("NaN", nan);
    }
    add("nulls", new_null_array(column.data_type(), column.len()));
    found
}

/// The extra column of a breakdown.
const VALUE_COLUMN: &str = "value";

/// Runs commands on the damaged cube. Each must refuse it with the table's name.
fn check(study: &Study, commands: &[&[&str]], table: &str, what: &str) {
    for command in commands {
        let args = study.args(command);
        let output = sluice(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let stderr = String::from_utf8_lossy(&output.stderr);
        let is_refused = output.status.code() == Some(3)
            && stderr.contains(table)
            && stderr.contains("expected")
            && stderr.contains("found")
            && !stderr.contains("panicked");
        assert!(
            is_refused,
            "{table} {what} {command:?}: {:?} {stderr}",
            output.status
        );
    }
}

/// The commands that read a table. Only merges and later scans read the users and the sessions.
fn readers(table: &str) -> &'static [&'static [&'static str]] {
    if ["users.parquet", "sessions.parquet"].contains(&table) {
        &COMMANDS[4..]
    } else {
        &COMMANDS
    }
}

#[test]
fn values_that_no_replay_writes_are_refused() {
    let study = study();
    let cube = study.path("a");
    // The commands accept the cube as it is. The scenario has no [simulate].
    for command in COMMANDS.into_iter().chain([WHAT_IF]) {
        let args = study.args(command);
        let output = sluice(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let expected = if command[0] == "simulate" { 2 } else { 0 };
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(expected), "{command:?}: {stderr}");
        assert!(expected == 0 || stderr.contains("simulate"), "{stderr}");
    }
    let tables: Vec<String> = json(&cube.join("cube.json"))["files"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(tables.len(), 9, "{tables:?}");
    let mut n = 0;
    for table in &tables {
        let whole = read(&cube.join(table));
        let before = (
            fs::read(cube.join(table)).unwrap(),
            fs::read(cube.join("cube.json")).unwrap(),
        );
        let mut try_it = |what: &str, batch: &RecordBatch| {
            put(&cube, table, batch);
            let commands = readers(table);
            n += 1;
            // All commands read by the same code, so they take turns.
            check(&study, &commands[n % commands.len()..][..1], table, what);
            let is_key = KEYS.iter().any(|key| what.starts_with(&format!("`{key}`")));
            if is_key && ["cells.parquet", "pairs.parquet", "activity.parquet"].contains(&table.as_str()) {
                check(&study, &[WHAT_IF], table, what);
            }
        };
        for idx in 0..whole.num_columns() {
            let row = idx * 7 % whole.num_rows();
            for (what, batch) in broken(&whole, idx, row) {
                try_it(&what, &batch);
            }
            let others: Vec<usize> = (0..whole.num_columns()).filter(|other| *other != idx).collect();
            // A sum that is missing is a measure that the document says is there.
            try_it("without a column", &whole.project(&others).unwrap());
        }
        // Sessions are sets, in any order.
        if table != "sessions.parquet" {
            let twice = arrow_select::concat::concat_batches(
                &whole.schema(),
                &[whole.slice(0, 2), whole.slice(1, whole.num_rows() - 1)],
            );
            try_it("a row twice", &twice.unwrap());
            let moved = arrow_select::concat::concat_batches(
                &whole.schema(),
                &[whole.slice(1, whole.num_rows() - 1), whole.slice(0, 1)],
            );
            try_it("out of order", &moved.unwrap());
        }
        if ["cells.parquet", "pairs.parquet", "exposures.parquet"].contains(&table.as_str()) {
            try_it("without its last rows", &whole.slice(0, whole.num_rows() / 2));
        }
        fs::write(cube.join(table), before.0).unwrap();
        fs::write(cube.join("cube.json"), before.1).unwrap();
    }
    assert!(n > 500, "{n}");
}

/// Parts of the document that are out of range.
#[test]
fn documents_that_no_replay_writes_are_refused() {
    let study = study();
    let path = study.path("a/cube.json");
    let whole = fs::read(&path).unwrap();
    let check = |pointer: &str, value: Value, part: &str| {
        let mut document: Value = serde_json::from_slice(&whole).unwrap();
        *document
            .pointer_mut(pointer)
            .unwrap_or_else(|| panic!("{pointer}")) = value;
        fs::write(&path, document.to_string()).unwrap();
        let stderr = study.fails(COMMANDS[0], 3);
        assert!(
            stderr.contains("cube.json") && stderr.contains(part),
            "{pointer}: {stderr}"
        );
        check(&study, &COMMANDS[4..], "cube.json", pointer);
    };
    check("/window", 0.into(), "`window`");
    check("/window", i64::MAX.into(), "`window`");
    check("/window", 1.into(), "`window`");
    check("/start", i64::MIN.into(), "`as_of` before `start`");
    check(
        "/start",
        (START + 1_000_000_000_000).into(),
        "`as_of` before `start`",
    );
    check("/as_of", i64::MAX.into(), "`window`");
    check("/tenants/0", "shop".into(), "twice");
    check("/layer_ids/0", "rest".into(), "twice");
    check("/layer_ids", serde_json::json!([]), "`layers`");
    check("/layers/1/tenant", 9.into(), "out of order");
    check("/layers/1/layer", 9.into(), "out of order");
    check("/layers/0/stages", serde_json::json!([]), "stages");
    check("/layers/0/stages/0/start", i64::MIN.into(), "stages");
    check("/layers/0/stages/0/end", i64::MAX.into(), "stages");
    check("/layers/0/n_users", u64::MAX.into(), "users");
    check("/layers/0/n_eligible", u64::MAX.into(), "users");
    check("/layers/0/n_exposed", u64::MAX.into(), "users");
    check("/measures/0/present", false.into(), "`measures`");
    check(
        "/measures/1/sum",
        serde_json::json!({"of": "mean of x"}),
        "`measures`",
    );
    check("/counts/n_rows", u64::MAX.into(), "`counts`");
    check("/counts/n_baseline", u64::MAX.into(), "`counts`");
    check("/sources/0/n_after_as_of", u64::MAX.into(), "`counts`");
    check("/sessions/0/stage", 255.into(), "`sessions`");
    check("/sessions/0/tenant", u32::MAX.into(), "`sessions`");
    check("/sessions/0/n_sessions", u64::MAX.into(), "`sessions`");
}
