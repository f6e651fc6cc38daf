//! Tests of `sluice finops` for logs without users, releases or times, and for tables of turns that
//! `sluice import` wrote: all costs are in the bill, and what is not known has a reason.

use arrow_array::{
    Array, ArrayRef, Float64Array, Int64Array, NullArray, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

use crate::support::{arg, fails, json as json_of, ok, ok_json, root, sluice, text};

const PRICES: &str = "model,input,output\nmini,1,2\n";
const N_ROWS: usize = 400;

/// A column of a log: full, with a value in some rows, without a value, or absent.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Filled {
    Whole,
    Partly,
    Empty,
    Absent,
}
use Filled::{Absent, Empty, Partly, Whole};

const ALL: [Filled; 4] = [Whole, Partly, Empty, Absent];

/// Row `row` of the log: tenant, model, user, release, session, and whether the task was completed.
fn names(row: usize) -> [String; 5] {
    [
        format!("tenant{}", row % 2),
        ["mini", "big"][row % 3 / 2].to_owned(),
        format!("user{}", row * 7 % 71),
        format!("rel{}", row % 5 / 3),
        format!("session{}", row / 4),
    ]
}

/// Logged cost, nano-USD. Rows of the model `mini` without one cost what their tokens cost.
fn logged(row: usize) -> Option<i64> {
    (row % 4 != 1 || row % 3 == 2).then_some(1_000 * (row as i64 % 13))
}

fn tokens(row: usize) -> [i64; 2] {
    [100 + row as i64 % 7, row as i64 % 5]
}

/// The charged cost, nano-USD: 1,000 an input token and 2,000 an output token.
fn charged(row: usize) -> i64 {
    let [input, output] = tokens(row);
    logged(row).unwrap_or(1_000 * input + 2_000 * output)
}

fn has_value(filled: Filled, row: usize) -> bool {
    filled == Whole || filled == Partly && !row.is_multiple_of(3)
}

/// The log as columns, with users and releases as they are filled.
fn columns(user: Filled, release: Filled) -> Vec<(&'static str, ArrayRef)> {
    let rows = || 0..N_ROWS;
    let texts = |column: usize, filled: Filled| -> ArrayRef {
        let text = |row| has_value(filled, row).then(|| names(row)[column].clone());
        Arc::new(rows().map(text).collect::<StringArray>())
    };
    let usd = rows().map(|row| logged(row).map(|nano| nano as f64 / 1e9));
    let token = |idx: usize| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows().map(|row| tokens(row)[idx])))
    };
    let times = rows().map(|row| 1_779_667_200_000_000 + row as i64 * 600_000_000);
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        (
            "event_time",
            Arc::new(TimestampMicrosecondArray::from_iter_values(times)),
        ),
        ("tenant_id", texts(0, Whole)),
        ("model_ref", texts(1, Whole)),
        ("session_id", texts(4, Whole)),
        ("cost_usd", Arc::new(usd.collect::<Float64Array>())),
        ("tokens_in", token(0)),
        ("tokens_out", token(1)),
        (
            "task_completed",
            Arc::new(Int64Array::from_iter_values(
                rows().map(|row| i64::from(row % 7 < 3)),
            )),
        ),
    ];
    columns.extend((user != Absent).then(|| ("user_id", texts(2, user))));
    columns.extend((release != Absent).then(|| ("release_id", texts(3, release))));
    columns
}

fn write_parquet(columns: Vec<(&str, ArrayRef)>, path: &Path) {
    let columns = columns.into_iter().map(|(name, values)| (name, values, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_max_row_group_row_count(Some(90))
        .build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn write_csv(columns: &[(&str, ArrayRef)], path: &Path) {
    let header: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut content = header.join(",") + "\n";
    for row in 0..N_ROWS {
        let field =
            |(_, values): &(&str, ArrayRef)| arrow_cast::display::array_value_to_string(values, row).unwrap();
        content += &(columns.iter().map(field).collect::<Vec<_>>().join(",") + "\n");
    }
    fs::write(path, content).unwrap();
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("prices.csv", PRICES);
        folder
    }

    fn path(&self, name: &str) -> &'static str {
        arg(self.0.path().join(name))
    }

    fn write(&self, name: &str, content: &str) -> &'static str {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    fn bill(&self, log: &str, args: &[&str]) -> Value {
        let all = [
            "finops",
            "--traffic",
            log,
            "--prices",
            self.path("prices.csv"),
            "--json",
        ];
        ok_json(&[&all, args].concat())
    }
}

/// Compares a line, or the total, with its rows.
fn check_line(line: &Value, rows: &[usize], user: Filled, release: Filled) {
    let cost: i64 = rows.iter().map(|row| charged(*row)).sum();
    let n_successes = rows.iter().filter(|row| *row % 7 < 3).count();
    assert_eq!(
        (&line["cost_nano_usd"], &line["n_cost_unknown"]),
        (&cost.into(), &0.into())
    );
    assert_eq!(
        (&line["n_rows"], &line["n_successes"]),
        (&rows.len().into(), &n_successes.into())
    );
    assert_eq!(
        line["tokens_in"],
        rows.iter().map(|row| tokens(*row)[0]).sum::<i64>()
    );
    // The cost per success needs no users, its interval does.
    let unit = &line["usd_per_success"];
    let expected = cost as f64 * 1e-9 / n_successes as f64;
    assert!(
        (unit["estimate"].as_f64().unwrap() - expected).abs() < 1e-15,
        "{unit}"
    );
    let named = rows.iter().filter(|row| has_value(user, **row));
    let users: BTreeSet<(String, String)> = named
        .map(|row| names(*row))
        .map(|[tenant, _, user, ..]| (tenant, user))
        .collect();
    let (n_users, reason) = match user {
        Whole => (users.len().into(), Value::Null),
        Partly if rows.iter().all(|row| has_value(user, *row)) => (users.len().into(), Value::Null),
        Partly => (users.len().into(), "incomplete".into()),
        Empty => (json!({"reason": "no_data"}), "no_data".into()),
        Absent => (json!({"reason": "no_column"}), "no_column".into()),
    };
    assert_eq!((&line["n_users"], &unit["robust"]["reason"]), (&n_users, &reason));
    let without = |filled: Filled| rows.iter().filter(|row| !has_value(filled, **row)).count();
    assert_eq!(line["n_without_user"], without(user));
    assert_eq!(line["n_without_release"], without(release));
}

#[test]
fn every_cost_is_charged_without_users_and_releases() {
    let folder = Folder::new();
    for (user, release) in ALL
        .into_iter()
        .flat_map(|user| ALL.map(|release| (user, release)))
    {
        let (csv, parquet) = (folder.path("log.csv"), folder.path("log.parquet"));
        let columns = columns(user, release);
        write_csv(&columns, Path::new(csv));
        write_parquet(columns, Path::new(parquet));
        let bill = folder.bill(csv, &["--by", "tenant_id,model_ref"]);
        check_line(&bill["total"], &(0..N_ROWS).collect::<Vec<_>>(), user, release);
        let lines = bill["lines"].as_array().unwrap();
        assert_eq!(lines.len(), 4);
        for line in lines {
            let is_own = |row: &usize| {
                let [tenant, model, ..] = names(*row);
                line["tenant_id"] == tenant && line["model_ref"] == model
            };
            check_line(
                line,
                &(0..N_ROWS).filter(is_own).collect::<Vec<_>>(),
                user,
                release,
            );
        }
        let absent: Vec<&str> = [("user_id", user), ("feature", Absent), ("release_id", release)]
            .into_iter()
            .filter_map(|(column, filled)| (filled == Absent).then_some(column))
            .collect();
        assert_eq!(bill["absent_columns"].as_array().unwrap()[..absent.len()], absent);
        let is_unknown = bill["unknown_keys"]
            .as_array()
            .unwrap()
            .contains(&"release_id".into());
        assert_eq!(is_unknown, matches!(release, Empty | Absent));
        // Both readers, and any number of threads, give the same bill.
        for threads in ["1", "8"] {
            let args = ["--by", "tenant_id,model_ref", "--threads", threads];
            assert_eq!(
                folder.bill(parquet, &args),
                bill,
                "{user:?} {release:?} {threads}"
            );
        }
        // Sessions of rows without a user belong to their tenant. All rows of a session have one.
        let by_session = folder.bill(parquet, &["--by", "tenant_id", "--success", "session"]);
        if user == Empty || user == Absent {
            assert_eq!(by_session["total"]["n_sessions"], 2 * N_ROWS / 4);
        }
    }
}

#[test]
fn columns_that_nothing_filled_may_have_any_type() {
    let folder = Folder::new();
    let log = folder.path("log.parquet");
    let nulls: [ArrayRef; 3] = [
        Arc::new(NullArray::new(N_ROWS)),
        new_null_array(&arrow_schema::DataType::Float64, N_ROWS),
        new_null_array(&arrow_schema::DataType::Int32, N_ROWS),
    ];
    for null in nulls {
        let mut columns = columns(Absent, Absent);
        for name in ["user_id", "release_id", "feature"] {
            columns.push((name, Arc::clone(&null)));
        }
        write_parquet(columns, Path::new(log));
        let total = &folder.bill(log, &[])["total"];
        check_line(total, &(0..N_ROWS).collect::<Vec<_>>(), Empty, Empty);
    }
}

#[test]
fn a_file_says_why_a_number_is_missing_and_a_terminal_too() {
    let folder = Folder::new();
    let (log, out) = (folder.path("log.csv"), folder.path("bill.csv"));
    for (user, release, reason, parts) in [
        (
            Absent,
            Absent,
            "no_column",
            [
                "not in the log: feature, release_id",
                "no numbers of users and no intervals of costs per success: the log does not have the column user_id",
            ],
        ),
        (
            Empty,
            Empty,
            "no_data",
            [
                "empty in every row: release_id",
                "no row of the log has a user_id",
            ],
        ),
        (
            Partly,
            Partly,
            "",
            [
                "134 rows have no release_id: they are in the lines `unknown`",
                "134 rows have no user_id",
            ],
        ),
    ] {
        write_csv(&columns(user, release), Path::new(log));
        let args = [
            "finops",
            "--traffic",
            log,
            "--by",
            "tenant_id,feature,release_id",
            "--prices",
            folder.path("prices.csv"),
            "--out",
            out,
        ];
        let printed = ok(&[&args[..], &["--wide"]].concat());
        assert!(
            parts.iter().all(|part| printed.contains(part)),
            "{user:?}: {printed}"
        );
        // Keys and numbers that no row has are not shown.
        let header = printed.lines().next().unwrap();
        assert_eq!(header.contains("users"), user == Partly, "{header}");
        assert_eq!(header.contains("release_id"), release == Partly, "{header}");
        assert!(ok(&args).lines().all(|line| line.chars().count() <= 80));
        let mut reader = csv::Reader::from_path(out).unwrap();
        let header = reader.headers().unwrap().clone();
        for row in reader.records() {
            let row = row.unwrap();
            let field = |name: &str| &row[header.iter().position(|other| other == name).unwrap()];
            // Of a log with some users, only the line without releases has no users.
            let has_users = user == Partly && field("release_id") != "unknown";
            let expected = match (user, has_users) {
                (Partly, false) => "no_data",
                _ => reason,
            };
            assert_eq!(field("n_users_reason"), expected);
            assert_eq!(field("n_users").is_empty(), !has_users);
            assert_eq!(field("n_without_user") == "0", has_users);
            assert_eq!(field("usd_per_success_lower").is_empty(), !has_users);
            assert_eq!(field("usd_per_success_reason").is_empty(), has_users);
        }
    }
}

#[test]
fn times_are_needed_only_where_they_matter() {
    let folder = Folder::new();
    let log = folder.write("log.csv", "tenant_id,cost_usd\na,1\nb,2\n");
    let bill = ok_json(&["finops", "--traffic", log, "--json"]);
    assert_eq!(bill["total"]["cost_nano_usd"], 3_000_000_000_i64);
    let budgets = folder.write("budgets.toml", "[[budget]]\nusd = 1\nper = 'total'\n");
    let dated = folder.write("dated.csv", "model,input,output,from\nmini,1,2,2026-05-25\n");
    ok(&["finops", "--traffic", log, "--prices", folder.path("prices.csv")]);
    for args in [
        ["--from", "2026-05-25"],
        ["--until", "2026-05-25"],
        ["--budget", budgets],
        ["--prices", dated],
    ] {
        let error = fails(&[&["finops", "--traffic", log], &args[..]].concat(), 3);
        for part in ["expected a column `event_time`", "need the time of each row"] {
            assert!(error.contains(part), "{args:?}: {error}");
        }
        // A row without a time is bad only then.
        let holes = folder.write("holes.csv", "event_time,cost_usd\n2026-05-26,1\n,2\n");
        let all = ["finops", "--traffic", holes, "--json"];
        assert_eq!(ok_json(&all)["total"]["cost_nano_usd"], 3_000_000_000_i64);
        let error = fails(&[&all, &args[..]].concat(), 3);
        assert!(error.contains("column `event_time`, row 2"), "{args:?}: {error}");
        let dropped = ok_json(&[&all, &args[..], &["--on-bad-row", "drop"]].concat());
        assert_eq!(dropped["bad_rows"].as_object().unwrap().len(), 1);
    }
}

#[test]
fn a_budget_of_a_release_that_no_row_names_is_not_kept() {
    let folder = Folder::new();
    let (log, budgets) = (folder.path("log.csv"), folder.path("budgets.toml"));
    let budget = |key: &str, usd: &str| format!("[[budget]]\n{key}\nusd = {usd}\nper = 'total'\n");
    let check = |release: Filled, toml: &str, spent: Value, n_key_unknown: usize, code: i32| {
        write_csv(&columns(Absent, release), Path::new(log));
        folder.write("budgets.toml", toml);
        let bill = folder.bill(log, &["--budget", budgets]);
        let found = &bill["budgets"][0];
        assert_eq!(
            (&found["spent_nano_usd"], &found["n_key_unknown"]),
            (&spent, &n_key_unknown.into()),
            "{release:?} {toml}"
        );
        let prices = folder.path("prices.csv");
        let args = [
            "finops",
            "--traffic",
            log,
            "--prices",
            prices,
            "--budget",
            budgets,
            "--fail-on-breach",
        ];
        let output = sluice(&args);
        assert_eq!(output.status.code(), Some(code), "{release:?} {toml}");
        String::from_utf8(output.stdout).unwrap()
    };
    let cost = |of: &dyn Fn(usize) -> bool| (0..N_ROWS).filter(|row| of(*row)).map(charged).sum::<i64>();
    let of_release = budget("release = 'rel0'", "100");
    let is_own = |row: usize| row % 5 < 3;
    let printed = check(Absent, &of_release, json!({"reason": "no_column"}), N_ROWS, 11);
    assert!(printed.contains("spent not known: no row"), "{printed}");
    check(Empty, &of_release, json!({"reason": "no_data"}), N_ROWS, 11);
    check(Whole, &of_release, cost(&is_own).into(), 0, 0);
    let spent = cost(&|row| is_own(row) && row % 3 != 0);
    let printed = check(Partly, &of_release, spent.into(), 134, 0);
    assert!(printed.contains("134 rows that it"), "{printed}");
    // The rows without a release have a budget of their own.
    check(
        Absent,
        &budget("release = 'unknown'", "100"),
        cost(&|_| true).into(),
        0,
        0,
    );
    check(
        Partly,
        &budget("release = 'unknown'", "100"),
        cost(&|row| row % 3 == 0).into(),
        0,
        0,
    );
    // A breach of another budget decides.
    let both = of_release + &budget("", "0");
    check(Absent, &both, json!({"reason": "no_column"}), N_ROWS, 10);
}

/// The samples of traces, each as the paths of one import.
fn samples() -> Vec<PathBuf> {
    let dialects = ["genai", "openllmetry", "openinference", "agentops"];
    let otlp = dialects.map(|dialect| root().join(format!("datasets/traces/{dialect}.jsonl")));
    let systems = ["langfuse", "langsmith", "litellm_s3", "mlflow", "phoenix"];
    let systems = systems.map(|system| root().join("tests/data/traces").join(system));
    let litellm = ["spend_logs.jsonl", "LiteLLM_SpendLogs.csv"];
    let litellm = litellm.map(|file| root().join("tests/data/traces/litellm").join(file));
    [otlp.to_vec(), systems.to_vec(), litellm.to_vec()].concat()
}

/// Rewrites a table of turns without users and releases: their columns are empty or absent.
fn rewrite(from: &Path, to: &Path, is_absent: bool) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(from).unwrap()).unwrap();
    let batch = reader.build().unwrap().next().unwrap().unwrap();
    let schema = batch.schema();
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let is_none = |name: &str| name == "user_id" || name == "release_id";
    let columns = names
        .zip(batch.columns())
        .filter(|(name, _)| !(is_absent && is_none(name)));
    let columns = columns.map(|(name, values)| match is_none(name) {
        true => (name, new_null_array(values.data_type(), values.len())),
        false => (name, Arc::clone(values)),
    });
    write_parquet(columns.collect(), to);
}

#[test]
fn turns_of_traces_are_charged_and_audited_as_they_are() {
    for sample in samples() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let turns = path("turns.parquet");
        ok(&["import", text(&sample), "--out", text(&turns)]);
        let coverage = json_of(&path("turns.coverage.json"));
        let cost = |key: &str| coverage["cost"][key].as_i64().unwrap();
        rewrite(&turns, &path("empty.parquet"), false);
        rewrite(&turns, &path("absent.parquet"), true);
        let mut lines_of = Vec::new();
        for (table, reason) in [
            ("turns", None),
            ("empty", Some("no_data")),
            ("absent", Some("no_column")),
        ] {
            let log = path(&format!("{table}.parquet"));
            let log = text(&log);
            let bill = ok_json(&[
                "finops",
                "--traffic",
                log,
                "--by",
                "tenant_id,model_ref",
                "--json",
            ]);
            let total = &bill["total"];
            let of = |value: &Value| value["cost_nano_usd"].as_i64().unwrap();
            let all = of(total) + of(&total["shadow"]) + of(&total["eval"]);
            assert_eq!(
                all,
                cost("logged_nano_usd") + cost("priced_nano_usd"),
                "{}",
                sample.display()
            );
            assert_eq!(bill["n_rows"], coverage["n_turns"]);
            assert_eq!(
                total["n_users"]["reason"].as_str(),
                reason,
                "{}",
                sample.display()
            );
            let lines = bill["lines"].as_array().unwrap().iter();
            let keys = [
                "tenant_id",
                "model_ref",
                "cost_nano_usd",
                "n_cost_unknown",
                "tokens_in",
                "tokens_out",
            ];
            // Tokens that no turn has are unknown in the table of an import, which says so.
            let known = |value: &Value| match value {
                Value::Null => Value::from(0),
                value => value.clone(),
            };
            let lines: Vec<_> = lines.map(|line| keys.map(|key| known(&line[key]))).collect();
            lines_of.push(lines);
            for line in ok(&["finops", "--traffic", log]).lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", sample.display());
            }
            let records = root().join("scenarios/records");
            let args = ["audit", "--traffic", log, "--records", text(&records), "--json"];
            let output = sluice(&args);
            assert_eq!(output.status.code(), Some(11), "{}", sample.display());
            let found: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(found["n_rows"], coverage["n_turns"]);
            let link = |name: &str| {
                let mut links = found["links"].as_array().unwrap().iter();
                links.find(|link| link["link"] == name).unwrap()["n"].clone()
            };
            assert_eq!(link("trace"), coverage["n_turns"]);
            assert_eq!(link("release") == 0, reason.is_some());
        }
        assert!(
            lines_of.iter().all(|lines| *lines == lines_of[0]),
            "{}",
            sample.display()
        );
    }
}
