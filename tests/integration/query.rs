//! Tests of `sluice query`: its tables against the documents and files that they come from, every
//! format read back, errors, and the same bytes on any number of threads.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, Int64Array, StringArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::layer_parquet::write;
use crate::small::Small;
use crate::support::{fails, json, ok, ok_json, root, text};

/// Runs a query that must succeed. Returns its rows as JSON.
fn rows(sql: &str, paths: &[&str]) -> serde_json::Value {
    let mut args = vec!["query", sql];
    args.extend(paths);
    args.extend(["--format", "json"]);
    ok_json(&args)
}

fn study() -> (Small, String) {
    let small = Small::new();
    small.run();
    let out = text(&small.path("out")).to_owned();
    (small, out)
}

#[test]
fn tables_of_a_study_have_the_values_of_its_files() {
    let (small, out) = study();
    let analysis = json(&small.path("out/analysis.json"));
    let schedule = json(&small.path("out/schedule.json"));
    let stages = analysis["layers"][0]["stages"].as_array().unwrap();
    let stage = &stages[stages.len() - 1];
    let check = |sql: &str, expected: serde_json::Value| assert_eq!(rows(sql, &[&out]), expected, "{sql}");

    // Sums of the cube are those of the analysis.
    check(
        "SELECT release, sum(rows) AS n FROM cells GROUP BY release",
        serde_json::json!([
            {"release": "new", "n": stage["rows"]["candidate"]},
            {"release": "old", "n": stage["rows"]["baseline"]},
        ]),
    );
    check(
        "SELECT rows_baseline, rows_candidate, users_baseline, is_current FROM stages",
        serde_json::json!([{
            "rows_baseline": stage["rows"]["baseline"], "rows_candidate": stage["rows"]["candidate"],
            "users_baseline": stage["users"]["baseline"], "is_current": true,
        }]),
    );
    let metric = &stage["metrics"][0];
    let guardrails = stage["guardrails"].as_array().unwrap();
    let guardrail = guardrails
        .iter()
        .find(|guardrail| guardrail["metric"] == metric["metric"])
        .unwrap();
    let sql = format!(
        "SELECT baseline, candidate, estimate, lower, guardrail FROM effects WHERE metric = {}",
        metric["metric"].to_string().replace('"', "'")
    );
    check(
        &sql,
        serde_json::json!([{
            "baseline": metric["baseline"]["estimate"], "candidate": metric["candidate"]["estimate"],
            "estimate": metric["effect"].get("effect_size"), "lower": metric["effect"].get("ci_lower"),
            "guardrail": guardrail["verdict"],
        }]),
    );
    check(
        "SELECT candidate AS q FROM effects WHERE metric = 'qos'",
        serde_json::json!([{"q": stage["qos"]["candidate"]["qos"]}]),
    );
    let layer = &schedule["layers"][0];
    check(
        "SELECT layer, verdict, ratio, next_ratio, first_blocking FROM decisions",
        serde_json::json!([{
            "layer": "all", "verdict": layer["verdict"], "ratio": layer["ratio"],
            "next_ratio": layer["next_ratio"], "first_blocking": layer["first_blocking"],
        }]),
    );
    let n_checks = layer["trace"].as_array().unwrap().len();
    check(
        "SELECT count(*) AS n, max(position) + 1 AS m FROM checks",
        serde_json::json!([{"n": n_checks, "m": n_checks}]),
    );
    let gate = json(&small.path("out/gate_report.json"));
    let n_gate = gate["checks"].as_array().unwrap().len();
    check(
        "SELECT count(*) AS n FROM gate_checks",
        serde_json::json!([{"n": n_gate}]),
    );

    // The layer table, read directly.
    let file = std::fs::File::open(small.path("out/layers.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let n_eligible: usize = reader
        .map(|batch| {
            batch
                .unwrap()
                .column_by_name("eligible")
                .unwrap()
                .as_boolean()
                .true_count()
        })
        .sum();
    check(
        "SELECT count(*) AS n FROM layers WHERE eligible",
        serde_json::json!([{"n": n_eligible}]),
    );

    // Files beside the study, by their names.
    let users = text(&small.path("users.csv")).to_owned();
    let joined = rows(
        "SELECT l.layer, max(u.use_count) AS most, count(*) AS n FROM layers l \
         JOIN users u ON l.user_id = u.user_id \
         GROUP BY l.layer",
        &[&out, &users],
    );
    assert_eq!(
        joined,
        serde_json::json!([{"layer": "all", "most": 199, "n": 200}])
    );
    let both = rows(
        "SELECT count(*) AS n FROM a_layers JOIN b_layers ON a_layers.user_id = b_layers.user_id",
        &[&format!("a={out}"), &format!("b={out}")],
    );
    assert_eq!(both, serde_json::json!([{"n": 200}]));
}

#[test]
fn every_table_and_column_is_described() {
    let (_small, out) = study();
    let page = std::fs::read_to_string(root().join("docs/reference/query.md")).unwrap();
    let tables = ok_json(&["query", ".tables", &out, "--format", "json"]);
    let names: Vec<&str> = tables
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["table"].as_str().unwrap())
        .collect();
    for expected in [
        "layers",
        "cells",
        "effects",
        "stages",
        "series",
        "decisions",
        "checks",
        "ratios",
        "operations",
    ] {
        assert!(names.contains(&expected), "{names:?}");
    }
    let written = ["layers", "cells", "pairs", "exposures", "activity", "latencies"];
    for name in names {
        // Columns of files are described where the files are.
        if written.contains(&name) {
            assert!(page.contains(&format!("`{name}`")), "{name}");
            continue;
        }
        let (_, section) = page
            .split_once(&format!("### {name}\n"))
            .unwrap_or_else(|| panic!("{name}"));
        let section = section.split("\n#").next().unwrap();
        let columns = ok_json(&["query", &format!(".schema {name}"), &out, "--format", "json"]);
        for column in columns.as_array().unwrap() {
            let (column, kind) = (
                column["column"].as_str().unwrap(),
                column["type"].as_str().unwrap(),
            );
            let is_row =
                |line: &&str| line.contains(&format!("`{column}`")) && line.contains(&format!("| {kind} |"));
            assert!(
                section.lines().any(|line| is_row(&line)),
                "{name}: {column} {kind}"
            );
        }
    }
}

/// A file with a value of every type.
const VALUES: &str = "\
id,n,x,flag,seen,name\n\
007,1,0.5,true,2026-05-25,=1+1\n\
008,,,false,2026-05-25T12:00:00.25Z,\"a|b,\"\"c\"\"\"\n\
009,-3,1e3,,,\u{202e}x\n";

#[test]
fn every_format_reads_back() {
    let small = Small::new();
    small.write("values.csv", VALUES);
    let file = text(&small.path("values.csv")).to_owned();
    let sql = "SELECT id, n, x, flag, seen, name, x / 0 AS inf FROM values_ ORDER BY id";
    let source = format!("values_={file}");
    let printed = |format: &str| ok(&["query", sql, &source, "--format", format]);
    let expected = serde_json::json!([
        {"id": "007", "n": 1, "x": 0.5, "flag": true, "seen": "2026-05-25T00:00:00Z", "name": "=1+1",
         "inf": null},
        {"id": "008", "n": null, "x": null, "flag": false, "seen": "2026-05-25T12:00:00.25Z",
         "name": "a|b,\"c\"", "inf": null},
        {"id": "009", "n": -3, "x": 1000.0, "flag": null, "seen": null, "name": "\u{202e}x", "inf": null},
    ]);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&printed("json")).unwrap(),
        expected
    );
    let lines: Vec<serde_json::Value> = printed("ndjson")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(serde_json::Value::from(lines), expected);

    let mut reader = csv::Reader::from_reader(printed("csv").into_bytes().leak() as &[u8]);
    assert_eq!(
        reader.headers().unwrap().iter().collect::<Vec<_>>(),
        ["id", "n", "x", "flag", "seen", "name", "inf"]
    );
    let found: Vec<Vec<String>> = reader
        .records()
        .map(|row| row.unwrap().iter().map(str::to_owned).collect())
        .collect();
    assert_eq!(
        found[0],
        ["007", "1", "0.5", "true", "2026-05-25T00:00:00Z", "'=1+1", "inf"]
    );
    assert_eq!(
        found[1],
        ["008", "", "", "false", "2026-05-25T12:00:00.25Z", "a|b,\"c\"", ""]
    );

    let markdown = printed("markdown");
    let lines: Vec<&str> = markdown.lines().collect();
    assert_eq!(lines[1], "|---|---:|---:|---|---|---|---:|");
    assert!(
        lines[3].contains("a\\|b") && lines[4].contains("\\u{202e}x"),
        "{markdown}"
    );
    let table = printed("table");
    assert!(table.contains("\\u{202e}x") && table.contains("inf"), "{table}");

    let out = small.path("out.parquet");
    let said = ok(&["query", sql, &source, "--out", text(&out)]);
    assert!(said.contains("3 rows written"), "{said}");
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&out).unwrap()).unwrap();
    let batch = reader.build().unwrap().next().unwrap().unwrap();
    assert_eq!(batch.column(0).as_string::<i32>().value(2), "009");
    assert_eq!(batch.column(1).as_primitive::<Int64Type>().value(2), -3);
    assert_eq!(
        batch
            .column(4)
            .as_primitive::<TimestampMicrosecondType>()
            .value(0),
        1_779_667_200_000_000
    );
    // What was written is read again, with its types.
    for name in ["out.parquet", "out.csv", "out.ndjson"] {
        let out = small.path(name);
        ok(&["query", sql, &source, "--out", text(&out)]);
        let again = rows(
            "SELECT sum(n) AS n, sum(x) AS x, max(seen) AS t FROM out",
            &[text(&out)],
        );
        assert_eq!(
            again,
            serde_json::json!([{"n": -2, "x": 1000.5, "t": "2026-05-25T12:00:00.25Z"}]),
            "{name}"
        );
    }
    for (name, start) in [("out.json", "[\n{\"flag\""), ("out.md", "| id |")] {
        ok(&["query", sql, &source, "--out", text(&small.path(name))]);
        let written = std::fs::read_to_string(small.path(name)).unwrap();
        assert!(
            written.starts_with(start) || written.starts_with("[\n{\"id\""),
            "{written}"
        );
    }
}

#[test]
fn the_query_comes_from_an_argument_a_file_or_stdin() {
    let small = Small::new();
    let users = text(&small.path("users.csv")).to_owned();
    small.write("q.sql", "-- users\nSELECT count(*) AS n FROM users\n");
    let by_file = ok(&[
        "query",
        "--file",
        text(&small.path("q.sql")),
        &users,
        "--format",
        "csv",
    ]);
    assert_eq!(by_file, "n\n200\n");
    let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["query", "-", &users, "--format", "csv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"SELECT count(*) AS n FROM users")
        .unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"n\n200\n");
    // A table for people ends with the number of rows that it leaves out.
    let table = ok(&["query", "SELECT user_id FROM users", &users, "--rows", "3"]);
    assert!(
        table.ends_with("u10\nu100\nand 197 more rows\n") || table.ends_with("and 197 more rows\n"),
        "{table}"
    );
    assert_eq!(table.lines().count(), 6, "{table}");
}

#[test]
fn results_of_evaluations_are_a_table() {
    let small = Small::new();
    small.write(
        "runs.csv",
        "case_id,suite,release_id,passed,cost_usd\nc1,golden,new,true,0.5\nc2,golden,new,false,0.25\n\
         c1,golden,old,true,1\n",
    );
    let source = format!("evals={}", text(&small.path("runs.csv")));
    let found = rows(
        "SELECT release, count(*) AS n, sum(cost_usd) AS usd FROM evals WHERE outcome = 'passed' \
         GROUP BY release",
        &[&source],
    );
    assert_eq!(
        found,
        serde_json::json!([{"release": "new", "n": 1, "usd": 0.5}, {"release": "old", "n": 1, "usd": 1.0}])
    );
}

#[test]
fn wrong_command_lines_and_queries_end_with_2() {
    let (small, out) = study();
    let users = text(&small.path("users.csv")).to_owned();
    let check = |args: &[&str], expected: &str| {
        let args: Vec<&str> = std::iter::once("query").chain(args.iter().copied()).collect();
        let stderr = fails(&args, 2);
        assert!(stderr.contains(expected), "{args:?}: {stderr}");
        assert!(stderr.lines().count() <= 2, "{args:?}: {stderr}");
    };
    check(&[], "expected an SQL query, found none");
    check(
        &["SELECT 1", "--format", "parquet"],
        "expected --out FILE with --format parquet",
    );
    check(
        &["SELECT 1 AS x", "--out", "x.txt"],
        "expected --out to end in .csv",
    );
    check(
        &["SELECT 1 AS x", "--out", "x.csv", "--format", "json"],
        "to agree, found x.csv",
    );
    check(
        &["SELECT 1 AS x", "--rows", "3", "--format", "csv"],
        "expected --rows with a table",
    );
    check(&["SELECT * FROM users", &users, "--out", &users], "found");
    check(
        &["SELECT * FROM layer", &out],
        "SQL: expected the name of a table, found `layer`",
    );
    check(
        &["SELECT * FROM layer", &out],
        "did you mean `layers`? tables are layers, cells",
    );
    check(
        &["SELECT lyer FROM layers", &out],
        "did you mean `layer`? columns of layers are",
    );
    check(
        &["SELECT now() AS t FROM layers", &out],
        "whose value differs from run to run",
    );
    check(
        &["DROP TABLE layers", &out],
        "expected a SELECT query, found DROP",
    );
    check(
        &["SELECT * FROM read_csv('x.csv')"],
        "found the function `read_csv`",
    );
    check(&[".schema layer", &out], "did you mean `layers`?");
    check(&[".schema", &out], "expected .schema and the name of a table");
    check(
        &[".help", &out],
        "expected .tables, .schema or a query, found .help",
    );
    check(
        &["SELECT 1", &out, &out],
        "expected tables with distinct names, found `layers`",
    );
}

#[test]
fn tables_in_memory_have_a_limit() {
    let small = Small::new();
    let users = text(&small.path("users.csv")).to_owned();
    let stderr = fails(
        &["query", "SELECT * FROM users", &users, "--limit", "tables=1kB"],
        3,
    );
    assert!(
        stderr.contains("of tables in memory (limit `tables`)") && stderr.contains("--limit tables="),
        "{stderr}"
    );
    let stderr = fails(&["query", "SELECT * FROM gone", text(&small.path("gone.csv"))], 3);
    assert!(stderr.contains("found no such file"), "{stderr}");
}

/// Prints the result of a query as CSV, with a number of threads of Polars.
fn with_threads(n_threads: &str, sql: &str, paths: &[&Path]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["query", sql, "--format", "csv"])
        .args(paths)
        .env("POLARS_MAX_THREADS", n_threads)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{sql}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Ties, joins, groups and sums of real numbers, over enough rows that Polars cuts columns.
#[test]
fn results_are_the_same_on_any_number_of_threads() {
    let small = Small::new();
    let mut log = "who,kind,x\n".to_owned();
    for row in 0_u64..150_000 {
        let user = row.wrapping_mul(2_654_435_761) % 5_000;
        log.push_str(&format!("u{user},k{},{}.{}\n", row % 7, row % 1_013, row % 97));
    }
    small.write("log.csv", log);
    let kinds: String = (0..7).map(|kind| format!("k{kind},{}\n", kind % 2)).collect();
    small.write("kinds.csv", format!("kind,side\n{kinds}"));
    let paths = [small.path("log.csv"), small.path("kinds.csv")];
    let paths = [paths[0].as_path(), paths[1].as_path()];
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for sql in [
        "SELECT sum(x * 0.1) AS s, avg(x) AS a, stddev(x) AS d FROM log WHERE x > 3.5",
        "SELECT sum(y) AS s, sum(y) OVER (PARTITION BY kind) AS w \
         FROM (SELECT kind, x * 0.1 AS y FROM log WHERE x > 3) t LIMIT 9",
        "SELECT kind, sum(x * 0.1) AS s, first(who) AS u, count(*) AS n FROM log GROUP BY kind",
        "SELECT k.side, sum(l.x * 0.1) AS s FROM log l JOIN kinds k ON l.kind = k.kind GROUP BY k.side",
        "SELECT l.who, l.x FROM log l JOIN kinds k ON l.kind = k.kind ORDER BY k.side LIMIT 500",
        "SELECT l.who, k.side FROM log l FULL JOIN kinds k ON l.kind = k.kind ORDER BY k.side DESC LIMIT 500",
        "SELECT who, x FROM log ORDER BY kind LIMIT 500",
        "SELECT who, x FROM (SELECT who, kind, x FROM log ORDER BY kind LIMIT 500) t",
        "SELECT who, x, row_number() OVER (PARTITION BY who ORDER BY kind) AS r FROM log QUALIFY r = 1",
        "SELECT who, last(x) AS x FROM log GROUP BY who ORDER BY 2 LIMIT 700",
        "SELECT kind FROM log UNION SELECT kind FROM kinds",
        "SELECT DISTINCT who, kind FROM log ORDER BY kind LIMIT 300",
        "SELECT who FROM log WHERE kind IN (SELECT kind FROM kinds WHERE side = 1) ORDER BY kind LIMIT 300",
    ] {
        let first = with_threads("1", sql, &paths);
        for n_threads in ["2", "5"] {
            assert!(
                with_threads(n_threads, sql, &paths) == first,
                "{sql}: {n_threads} threads"
            );
        }
        seen.insert(sql, first.lines().count());
    }
    assert!(seen.values().all(|n_lines| *n_lines > 1), "{seen:?}");
}

/// A row group of two rows needs no memory for a batch of 65,536.
#[test]
fn small_row_groups_need_little_memory() {
    let small = Small::new();
    let path = small.path("tiny.parquet");
    let texts: StringArray = (0..4_000).map(|idx| Some(format!("t{idx}"))).collect();
    let numbers: Int64Array = (0..4_000).map(Some).collect();
    let two_rows = WriterProperties::builder()
        .set_max_row_group_row_count(Some(2))
        .build();
    write(
        &path,
        vec![
            ("name", Arc::new(texts) as ArrayRef),
            ("value", Arc::new(numbers)),
        ],
        two_rows,
    );
    let table = format!("t={}", text(&path));
    let found = rows(
        "SELECT count(*) AS n, max(name) AS name, sum(value) AS total FROM t",
        &[&table, "--limit", "tables=16MiB"],
    );
    assert_eq!(
        found,
        serde_json::json!([{"n": 4_000, "name": "t999", "total": 7_998_000}])
    );
}
