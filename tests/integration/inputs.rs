//! Tests of columns as their owners have them: in other units, under other names, in other types, or
//! not at all.

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, TimeUnit};
use parquet::arrow::ArrowWriter;
use std::{fs, path::Path, sync::Arc};
use tempfile::TempDir;

use crate::{
    small::Small,
    support::{assert_same_tree, fails, json, ok, root, sluice, text},
};

/// Runs a command that must succeed. Returns its stderr.
fn warnings(args: &[&str]) -> String {
    let output = sluice(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{args:?}: {stderr}");
    stderr
}

/// A folder with a table of users, and the arguments that layer it.
struct Users(TempDir);

impl Users {
    fn new(csv: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("users.csv"), csv).unwrap();
        Self(dir)
    }

    fn args(&self, kind: &str, more: &[&str]) -> Vec<String> {
        let at = |name: &str| self.0.path().join(name).display().to_string();
        let fixed = [
            "layer",
            kind,
            &at("users.csv"),
            "--as-of",
            "2026-05-25",
            "--out",
            &at("l.parquet"),
        ];
        fixed.iter().chain(more).map(|arg| (*arg).to_owned()).collect()
    }

    fn fails(&self, kind: &str, more: &[&str], code: i32, expected: &[&str]) {
        let args = self.args(kind, more);
        let stderr = fails(&args.iter().map(String::as_str).collect::<Vec<_>>(), code);
        for expected in expected {
            assert!(stderr.contains(expected), "{expected:?} in {stderr}");
        }
    }

    fn warns(&self, kind: &str, more: &[&str], expected: &[&str]) {
        let args = self.args(kind, more);
        let stderr = warnings(&args.iter().map(String::as_str).collect::<Vec<_>>());
        for expected in expected {
            assert!(stderr.contains(expected), "{expected:?} in {stderr}");
        }
        assert_eq!(stderr.lines().count(), expected.len(), "{stderr}");
    }
}

#[test]
fn features_that_layers_depend_on_are_there_or_declared_absent() {
    let users = Users::new("user_id,use_cout,visits,is_allow_gray\na,1,5,true\n");
    let all = [
        "expected the columns `last_use_time`, `use_count`, `user_value`, `accept_score`",
        "found `user_id`, `use_cout`, `visits`, `is_allow_gray`",
        "did you mean `use_cout` for `use_count`?",
        "--column last_use_time=...",
        "--absent last_use_time,use_count,user_value,accept_score",
    ];
    users.fails("--users", &[], 3, &all);
    let visits = ["--column", "use_count=visits"];
    let rest = ["--absent", "last_use_time,user_value", "--absent", "accept_score"];
    users.fails(
        "--users",
        &visits,
        3,
        &["expected the columns `last_use_time`, `user_value`, `accept_score`"],
    );
    users.warns(
        "--users",
        &[visits, ["--absent", "last_use_time,user_value,accept_score"]].concat(),
        &[],
    );
    users.warns("--users", &[&visits[..], &rest].concat(), &[]);
    users.fails("--users", &["--absent", "visits"], 2, &["found \"visits\""]);
    users.fails(
        "--users",
        &[&visits[..], &["--absent", "use_count"]].concat(),
        2,
        &["found `use_count` as both"],
    );
    users.fails(
        "--users",
        &[&visits[..], &rest, &["--absent", "is_allow_gray"]].concat(),
        3,
        &["expected no column `is_allow_gray`, which is declared absent"],
    );
    // Without the column of consent no user is eligible, and the program says so.
    let silent = Users::new("user_id,use_count\na,1\n");
    silent.warns(
        "--users",
        &rest,
        &["found no `is_allow_gray`, and consent is opt-in: no user is eligible"],
    );
}

#[test]
fn a_feature_is_not_required_where_no_layer_depends_on_it() {
    let small = Small::new();
    let (study, out) = (small.path("study.toml"), small.path("l.parquet"));
    let args = ["layer", "--scenario", text(&study), "--out", text(&out)];
    let known = "found no `last_use_time`, `user_value`, `accept_score`: unknown for every user (no layer \
                 depends on the score)";
    assert!(warnings(&args).contains(known));
    let summary = json(&small.path("l.summary.json"));
    assert!(
        summary["warnings"][0].as_str().unwrap().contains(known),
        "{summary}"
    );
    let layers = "[[layer]]\nid = \"first\"\nmin_score = 0.5\n[[layer]]";
    small.edit("study.toml", |t| t.replacen("[[layer]]", layers, 1));
    fails(&args, 3);
    // A feature without weight decides nothing.
    small.edit("study.toml", |t| {
        t.replace("[input]", "[layering]\nweights = [0, 1, 0, 0]\n[input]")
    });
    assert_eq!(warnings(&args), "");
    small.edit("study.toml", |t| {
        t.replace("[0, 1, 0, 0]", "[0.2, 0.2, 0.3, 0.3]")
    });
    small.edit("study.toml", |t| {
        t.replace(
            "\"users.csv\"",
            "\"users.csv\", absent = [\"last_use_time\", \"user_value\", \"accept_score\"]",
        )
    });
    assert_eq!(warnings(&args), "");
    small.edit("study.toml", |t| {
        t.replace("\"accept_score\"]", "\"accept_scores\"]")
    });
    assert!(fails(&args, 2).contains("input.users.absent: expected last_use_time"));
}

#[test]
fn consent_of_an_event_log_is_declared() {
    let log = Users::new("user_id,event_time,value\na,2026-05-01,3\n");
    log.fails(
        "--events",
        &[],
        3,
        &[
            "expected the columns `is_allow_gray`",
            "layering.consent = \"opt_out\"",
            "--absent is_allow_gray",
        ],
    );
    log.warns(
        "--events",
        &["--absent", "is_allow_gray"],
        &["found no `accept_score`"],
    );
    log.warns("--events", &["--absent", "is_allow_gray,accept_score"], &[]);
    let log = Users::new("user_id,event_time\na,2026-05-01\n");
    log.fails(
        "--events",
        &["--absent", "is_allow_gray"],
        3,
        &["expected the columns `value`"],
    );
    log.fails(
        "--events",
        &["--column", "visits=event_time"],
        2,
        &["names here: user_id, event_time"],
    );
}

#[test]
fn wrong_columns_of_the_command_line_are_errors_of_it() {
    let users = Users::new("user_id,visits,last,value_usd,score\na,5,2026-05-01,9,3\n");
    let column = |pair: &'static str| ["--column", pair];
    let twice = [column("use_count=visits"), column("use_count=score")].concat();
    users.fails(
        "--users",
        &twice,
        2,
        &["expected one option for the column `use_count`, found --column use_count="],
    );
    users.fails(
        "--users",
        &column("use_count=visit"),
        2,
        &[
            "--column use_count=visit",
            "expected a column `visit`",
            "did you mean `visits`?",
        ],
    );
    users.fails(
        "--users",
        &column("use_cnt=visits"),
        2,
        &[
            "expected the name of a column that Sluice reads",
            "did you mean `use_count`?",
        ],
    );
    let small = Small::new();
    let (traffic, study) = (small.path("traffic.csv"), small.path("study.toml"));
    let finops = ["finops", "--traffic", text(&traffic), "--column"];
    assert!(fails(&[&finops[..], &["cost_usd=price"]].concat(), 2).contains("expected a column `price`"));
    assert!(fails(&[&finops[..], &["nothing=success"]].concat(), 2).contains("found `nothing`"));
    // A wrong name in a scenario is an error of the scenario; a column that a file lacks, of the file.
    let out = small.path("o");
    let run = ["run", text(&study), "--out", text(&out)];
    let columns = |columns: &str| {
        let small = fs::read_to_string(&study).unwrap();
        let at = small.find("traffic = [").unwrap();
        let end = at + small[at..].find(']').unwrap();
        fs::write(
            &study,
            format!(
                "{}traffic = [{{ path = \"traffic.csv\", {columns} }}{}",
                &small[..at],
                &small[end..]
            ),
        )
        .unwrap();
    };
    columns("columns = { succes = \"success\" }");
    assert!(fails(&run, 2).contains("did you mean `success`?"));
    columns("constants = { tenant = \"shop\" }");
    assert!(fails(&run, 2).contains("constants.tenant: expected the name of a column that Sluice reads"));
    columns("columns = { success = \"ok\" }");
    assert!(fails(&run, 3).contains("expected a column `ok`"));
}

#[test]
fn a_column_that_a_rename_hides_is_named() {
    let small = Small::new();
    small.edit("traffic.csv", |t| {
        t.lines()
            .enumerate()
            .map(|(idx, line)| format!("{line},{}\n", if idx == 0 { "ok" } else { "true" }))
            .collect()
    });
    let rename = |columns: &str| {
        let more = format!("traffic = [{{ path = \"traffic.csv\", {columns} }}]");
        small.edit("study.toml", |t| {
            t.lines()
                .map(|line| {
                    format!(
                        "{}\n",
                        if line.starts_with("traffic") {
                            more.as_str()
                        } else {
                            line
                        }
                    )
                })
                .collect()
        });
        let (study, out) = (small.path("study.toml"), small.path("out"));
        warnings(&["run", text(&study), "--out", text(&out)])
    };
    let of_column = "the column `success` is not read, because the column `ok` is `success`";
    assert!(rename("columns = { success = \"ok\" }").contains(of_column));
    let of_constant = "the column `release_id` is not read, because the constant \"new\" is `release_id`";
    assert!(rename("constants = { release_id = \"new\" }").contains(of_constant));
    // A column that another name reads is not hidden.
    let swapped = rename("columns = { success = \"ok\", task_completed = \"success\" }");
    assert!(!swapped.contains("is not read"), "{swapped}");
}

/// Writes the traffic of a small study with latencies and costs in other units.
fn traffic(small: &Small, header: &str, latency: f64, cost: f64) {
    small.edit("traffic.csv", |t| {
        let turn = |(idx, line): (usize, &str)| {
            let (start, millis) = line.rsplit_once(',').unwrap();
            let millis: f64 = millis.parse().unwrap();
            let cents = (idx * 7 % 90) as f64;
            format!("{start},{},{}\n", millis * 1_000.0 / latency, cents * 1e4 / cost)
        };
        let turns: String = t.lines().skip(1).enumerate().map(turn).collect();
        format!("event_time,user_id,release_id,success,{header}\n{turns}")
    });
}

#[test]
fn declared_units_give_the_same_cube() {
    let expected = Small::new();
    traffic(&expected, "latency_ms,cost_usd", 1_000.0, 1e6);
    expected.run();
    let check = |columns: &str, latency: f64, cost: f64| {
        let small = Small::new();
        traffic(&small, "duration,cost", latency, cost);
        small.edit("study.toml", |t| {
            t.replace(
                "\"traffic.csv\" }",
                &format!("\"traffic.csv\", columns = {{ {columns} }} }}"),
            )
        });
        small.run();
        for table in ["cells", "latencies", "exposures"] {
            let read = |small: &Small| fs::read(small.path(&format!("out/cube/{table}.parquet"))).unwrap();
            assert!(read(&small) == read(&expected), "{table} of {columns}");
        }
        let analysis = |small: &Small| json(&small.path("out/analysis.json"))["layers"].clone();
        assert_eq!(analysis(&small), analysis(&expected), "{columns}");
    };
    check(
        "latency_ms = { column = 'duration', unit = 's' }, cost_usd = { column = 'cost', unit = 'cent' }",
        1e6,
        1e4,
    );
    check(
        "latency_ms = { column = 'duration', unit = 'us' }, cost_usd = { column = 'cost', unit = 'EUR', rate = 2 }",
        1.0,
        2e6,
    );
    check(
        "latency_ms = { column = 'duration', unit = 'ns' }, cost_usd = { column = 'cost', unit = 'usd' }",
        1e-3,
        1e6,
    );
}

#[test]
fn declared_units_give_the_same_cube_from_pages_and_from_text() {
    let write = |name: &str, latency: f64, cost: f64| {
        let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(
            (0..400).map(|n| 1_779_670_800_000_000 + n * 1_000),
        ));
        let users: ArrayRef = Arc::new(StringArray::from_iter_values(
            (0..400).map(|n| format!("u{}", n / 2)),
        ));
        let release: ArrayRef = Arc::new(StringArray::from_iter_values((0..400).map(|_| "old")));
        let numbers = |scale: f64, step: i32| -> ArrayRef {
            let number = |n: i32| f64::from(n * step % 997) * scale;
            Arc::new(Float64Array::from_iter_values((0..400).map(number)))
        };
        let columns = vec![
            ("event_time", at),
            ("user_id", users),
            ("release_id", release),
            ("duration", numbers(latency, 7)),
            ("cost", numbers(cost, 11)),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let file = fs::File::create(name).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        fs::write(Path::new(name).with_extension("csv"), csv_of(&batch)).unwrap();
    };
    let small = Small::new();
    let at = |name: &str| small.path(name).display().to_string();
    write(&at("plain.parquet"), 1.0, 0.01);
    write(&at("units.parquet"), 0.001, 1.0);
    let layers = at("l.parquet");
    ok(&["layer", "--scenario", &at("study.toml"), "--out", &layers]);
    let cube = |source: &str, units: [&str; 2], out: &str| {
        let columns = format!(
            "latency_ms = {{ column = 'duration', unit = '{}' }}, cost_usd = {{ column = 'cost', unit = '{}' }}",
            units[0], units[1]
        );
        let traffic = format!("{{ path = \"{source}\", columns = {{ {columns} }} }}");
        let metric = "[[metric]]\nid = 'slow'\nnumerator = 'sum(latency_ms > 500)'\n\
                      denominator = 'count(latency_ms)'\n[[layer]]";
        let study = fs::read_to_string(small.path("study.toml")).unwrap();
        let study = study.replace("{ path = \"traffic.csv\" }", &traffic);
        small.write("units.toml", study.replacen("[[layer]]", metric, 1));
        let args = [
            "replay",
            "--scenario",
            &at("units.toml"),
            "--layers",
            &layers,
            "--out",
            &at(out),
        ];
        ok(&args);
        ["cells", "latencies"].map(|table| fs::read(small.path(&format!("{out}/{table}.parquet"))).unwrap())
    };
    let expected = cube("plain.parquet", ["ms", "usd"], "plain");
    for source in ["units.parquet", "units.csv"] {
        assert!(cube(source, ["s", "cent"], "units") == expected, "{source}");
    }
}

/// A table as CSV, with instants in RFC 3339.
fn csv_of(batch: &RecordBatch) -> Vec<u8> {
    let mut text = Vec::new();
    let instants = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Timestamp(..) => arrow_cast::cast(column, &instants).unwrap(),
        _ => Arc::clone(column),
    });
    let names = batch.schema();
    let names = names.fields().iter().map(|field| field.name().as_str());
    let batch = RecordBatch::try_from_iter(names.zip(columns)).unwrap();
    arrow_csv::Writer::new(&mut text).write(&batch).unwrap();
    text
}

#[test]
fn means_off_by_powers_of_ten_are_named() {
    let small = Small::new();
    traffic(&small, "latency_ms,cost_usd", 1e6, 1e4);
    let (study, out) = (small.path("study.toml"), small.path("out"));
    let args = ["run", text(&study), "--out", text(&out)];
    let found = warnings(&args);
    let expected = [
        "`latency_ms` has a mean of 0.199 ms, below 10: is it in s?",
        "above 5: is it in cent?",
    ];
    for expected in expected {
        assert!(found.contains(expected), "{found}");
        let cube = fs::read_to_string(small.path("out/cube/cube.json")).unwrap();
        assert!(cube.contains(expected), "{cube}");
    }
    // A declared unit ends the warning, for the unit that Sluice reads too.
    small.edit("study.toml", |t| {
        let columns = "latency_ms = { column = 'latency_ms', unit = 'ms' }, cost_usd = { column = 'cost_usd', unit = 'cent' }";
        t.replace("\"traffic.csv\" }", &format!("\"traffic.csv\", columns = {{ {columns} }} }}"))
    });
    let found = warnings(&args);
    assert!(!found.contains("mean of"), "{found}");
    let cube = json(&small.path("out/cube/cube.json"));
    assert_eq!(
        cube["units"],
        serde_json::json!({"cost_usd": ["cent"], "latency_ms": ["ms"]})
    );
    assert!(cube["warnings"].is_null());
    small.edit("study.toml", |t| t.replace("'ms' }", "'minutes' }"));
    assert!(fails(&args, 2).contains("input.traffic[1].columns.latency_ms: expected \"s\" or \"ms\""));
}

#[test]
fn units_of_users_and_instants() {
    let scenario = |users: &str, columns: &str| {
        let small = Small::new();
        small.write("users.csv", users);
        small.write(
            "study.toml",
            format!(
                "as_of = '2026-05-28'\n[plan]\nid = 'p'\nstart = '2026-05-28'\nbaseline = 'a'\ncandidate = 'b'\n\
                 [input.users]\npath = 'users.csv'\nabsent = ['use_count', 'accept_score', 'is_allow_gray']\n\
                 columns = {{ {columns} }}\n[[layer]]\nid = 'first'\nmin_score = 0.4\n[[layer]]\nid = 'rest'\n"
            ),
        );
        let (study, out) = (small.path("study.toml"), small.path("l.parquet"));
        ok(&["layer", "--scenario", text(&study), "--out", text(&out)]);
        crate::layer_parquet::rows(&out)
    };
    let plain = scenario(
        "user_id,last_use_time,user_value\na,2026-05-20T00:00:00Z,100\nb,2026-05-27T12:00:00Z,99900.5\n",
        "",
    );
    let other = scenario(
        "user_id,seen,spent\na,1779235200000,10000\nb,1779883200000,9990050\n",
        "last_use_time = { column = 'seen', unit = 'ms' }, user_value = { column = 'spent', unit = 'cent' }",
    );
    assert_eq!(plain, other);
}

/// Ids of the files below `tests/samples/ids`, which DuckDB and Polars wrote.
const IDS: [(&str, [&str; 3]); 7] = [
    ("duckdb-blob", ["user-7", "user-8", "user-9"]),
    ("duckdb-decimal18-2", ["7", "8", "9"]),
    ("duckdb-decimal38", ["7", "8", "9"]),
    (
        "duckdb-uint64",
        [
            "18446744073709551607",
            "18446744073709551608",
            "18446744073709551609",
        ],
    ),
    (
        "duckdb-uuid",
        [
            "8da1a744-d61e-4f8f-8eb0-32e5596e73b7",
            "8da1a744-d61e-4f8f-8eb0-32e5596e73b8",
            "8da1a744-d61e-4f8f-8eb0-32e5596e73b9",
        ],
    ),
    (
        "polars-int128",
        [
            "7",
            "1267650600228229401496703205376",
            "-1267650600228229401496703205376",
        ],
    ),
    (
        "polars-uint128",
        ["7", "170141183460469231731687303715884105733", ""],
    ),
];

#[test]
fn ids_of_other_types_meet_the_same_ids_as_text() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let plan = "as_of = '2026-05-28'\n[plan]\nid = 'p'\nstart = '2026-05-25'\nbaseline = 'old'\n\
                candidate = 'new'\n[input.users]\npath = 'USERS'\n[[input.traffic]]\npath = 'log.csv'\n\
                [layering]\nconsent = 'opt_out'\n[[layer]]\nid = 'all'\n";
    let run = |users: &Path, out: &str| {
        fs::write(at("plan.toml"), plan.replace("USERS", text(users))).unwrap();
        ok(&["run", text(&at("plan.toml")), "--out", text(&at(out))]);
        json(&at(out).join("cube/cube.json"))["counts"].clone()
    };
    for (name, ids) in IDS {
        let ids: Vec<&str> = ids.into_iter().filter(|id| !id.is_empty()).collect();
        let turns: String = ids
            .iter()
            .map(|id| format!("2026-05-26T00:00:00Z,{id},old,true\n"))
            .collect();
        fs::write(
            at("log.csv"),
            format!("event_time,user_id,release_id,success\n{turns}"),
        )
        .unwrap();
        let path = root().join(format!("tests/samples/ids/{name}.parquet"));
        let counts = run(&path, "typed");
        assert_eq!(counts["n_unknown_user"], 0, "{name}");
        assert_eq!(counts["n_baseline"], ids.len(), "{name}");
        let found = crate::layer_parquet::rows(&at("typed/layers.parquet"));
        let found: Vec<String> = found.into_iter().map(|row| row.0).collect();
        assert_eq!(found, ids, "{name}");
    }
    // Traffic with such ids meets the users as text.
    for name in ["duckdb-decimal38", "duckdb-uuid", "polars-int128"] {
        let (_, ids) = IDS.into_iter().find(|(other, _)| *other == name).unwrap();
        let users: String = ids.iter().map(|id| format!("{id},1\n")).collect();
        fs::write(at("users.csv"), format!("user_id,use_count\n{users}")).unwrap();
        let log = root().join(format!("tests/samples/ids/{name}.parquet"));
        let source = format!(
            "path = '{}'\nconstants = {{ event_time = '2026-05-26', release_id = 'old' }}",
            log.display()
        );
        let text_of = plan
            .replace("path = 'log.csv'", &source)
            .replace("USERS", "users.csv");
        fs::write(at("traffic.toml"), text_of).unwrap();
        ok(&["run", text(&at("traffic.toml")), "--out", text(&at("traffic"))]);
        let counts = json(&at("traffic/cube/cube.json"))["counts"].clone();
        assert_eq!(counts["n_baseline"], 3, "{name}: {counts}");
    }
}

#[test]
fn a_ramp_of_a_hundred_steps_is_replayed_in_every_way() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let hour = |n: usize| format!("2026-05-{:02}T{:02}:30:00Z", 1 + n / 24, n % 24);
    let plan = |n_steps: usize, as_of: usize| {
        let mut plan = format!(
            "as_of = '{}'\n[plan]\nid = 'p'\nstart = '2026-05-01'\nbaseline = 'old'\ncandidate = 'new'\n\
             profile = 'external'\n[input.users]\npath = 'users.csv'\nabsent = ['last_use_time', \
             'user_value', 'accept_score']\n[[input.traffic]]\npath = 'log'\n[layering]\n\
             consent = 'opt_out'\n[[layer]]\nid = 'all'\n",
            hour(as_of)
        );
        for step in 0..n_steps {
            let at = hour(step).replace(":30:", ":00:");
            plan += &format!(
                "[[operation]]\nat = '{at}'\nlayer = 'all'\nratio = {}\n",
                (step + 1) as f64 / 1e3
            );
        }
        plan
    };
    fs::write(at("plan.toml"), plan(100, 110)).unwrap();
    fs::write(at("early.toml"), plan(100, 40)).unwrap();
    let users: String = (0..50).map(|user| format!("u{user},1\n")).collect();
    fs::write(at("users.csv"), format!("user_id,use_count\n{users}")).unwrap();
    let scenario = |name: &str| at(name).display().to_string();
    let layers = scenario("layers.parquet");
    ok(&["layer", "--scenario", &scenario("plan.toml"), "--out", &layers]);
    // User `n` has turns of the candidate only in stage `2 n`, and of the baseline in all others.
    fs::create_dir_all(at("log")).unwrap();
    fs::create_dir_all(at("first")).unwrap();
    for (part, steps) in [(0, 0..40), (1, 40..100)] {
        let mut log = "event_time,user_id,release_id,success\n".to_owned();
        for step in steps {
            for user in 0..50 {
                let release = if step == 2 * user { "new" } else { "old" };
                log += &format!("{},u{user},{release},true\n", hour(step));
            }
        }
        fs::write(at(&format!("log/{part}.csv")), log).unwrap();
    }
    fs::copy(at("log/0.csv"), at("first/0.csv")).unwrap();
    let replay = |plan: &str, traffic: &str, out: &str, more: &[&str]| {
        let (plan, traffic, out) = (scenario(plan), scenario(traffic), scenario(out));
        let args = [
            "replay",
            "--scenario",
            &plan,
            "--layers",
            &layers,
            "--traffic",
            &traffic,
            "--out",
            &out,
        ];
        ok(&[&args[..], more].concat());
    };
    replay("plan.toml", "log", "whole", &[]);
    let cube = json(&at("whole/cube.json"));
    assert_eq!(cube["layers"][0]["stages"].as_array().unwrap().len(), 100);
    assert_eq!(cube["layers"][0]["n_exposed"], 50);
    let slice = ok(&["cube", "slice", text(&at("whole")), "--by", "stage"]);
    assert_eq!(slice.lines().count(), 101, "{slice}");
    assert!(
        slice
            .lines()
            .skip(1)
            .all(|line| line.split(',').nth(1) == Some("50")),
        "{slice}"
    );
    // In partitions, night after night, and from cubes of parts, the cube is the same.
    replay("plan.toml", "log", "partitions", &["--memory-limit", "2kB"]);
    assert_same_tree(&at("whole"), &at("partitions"));
    replay("early.toml", "first", "night", &[]);
    replay("plan.toml", "log", "nights", &["--since", &scenario("night")]);
    assert_same_tree(&at("whole"), &at("nights"));
    replay("plan.toml", "log/0.csv", "a", &[]);
    replay("plan.toml", "log/1.csv", "b", &[]);
    ok(&[
        "cube",
        "merge",
        &scenario("a"),
        &scenario("b"),
        "--out",
        &scenario("merged"),
    ]);
    assert_same_tree(&at("whole"), &at("merged"));

    // A plan that no cube can hold is refused at once.
    fs::write(at("long.toml"), plan(257, 300)).unwrap();
    for args in [
        vec!["layer", "--out", "/dev/null"],
        vec!["who", "--layers", &layers],
        vec!["replay", "--layers", &layers, "--out", "/dev/null"],
    ] {
        let stderr = fails(&[&args[..], &["--scenario", &scenario("long.toml")]].concat(), 2);
        assert!(
            stderr.contains("expected at most 256 ratios of a layer"),
            "{stderr}"
        );
    }
}
