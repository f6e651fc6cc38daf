//! Tests of `sluice finops`: every number of a bill is recomputed here row by row.

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    cast::AsArray, types::Int64Type,
};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::Path,
    sync::Arc,
};
use tempfile::TempDir;

use crate::support::{arg, fails, ok, ok_json, sluice, text};

const DAY: i64 = 86_400_000_000;
/// 2026-05-25T00:00:00Z, microseconds.
const START: i64 = 1_779_667_200_000_000;
const PRICES: &str = "[[price]]\nmodel = \"mini\"\ninput = 0.15\noutput = 0.60\ncached_input = 0.0753\n\
    [[price]]\nmodel = \"mini\"\nfrom = \"2026-05-27\"\ninput = 0.11\noutput = 0.47\ncached_input = 0.11\n\
    [[price]]\nmodel = \"litellm:big=gpt-4o\"\ninput = 2.5\noutput = 10.0\ncached_input = 2.5\n";
const RECORDS: &str = r#"[
    {"release_id": "r1", "artifacts": {"model_ref": "litellm:smart=mini", "prompt_ref": "cs_main@7", "tool_schema_ref": null, "kb_index_ref": null}},
    {"release_id": "r2", "tenant_id": "shop", "artifacts": {"model_ref": "litellm:big=gpt-4o", "prompt_ref": "cs_main@8", "tool_schema_ref": null, "kb_index_ref": null}}]"#;

/// One row of a log. `None` is null.
#[derive(Clone, Default)]
struct Row {
    at: i64,
    user: String,
    tenant: Option<String>,
    release: Option<String>,
    feature: Option<String>,
    session: Option<String>,
    is_shadow: bool,
    is_eval: bool,
    completed: Option<bool>,
    /// Nano-USD; `None` means unknown.
    cost: Option<i64>,
    tool_cost: Option<i64>,
    tokens: Option<[i64; 3]>,
}

impl Row {
    fn tenant(&self) -> &str {
        self.tenant.as_deref().unwrap_or("default")
    }

    fn release(&self) -> &str {
        self.release.as_deref().unwrap_or("unknown")
    }

    /// Model and prompt from `RECORDS`.
    fn refs(&self) -> [&'static str; 2] {
        match (self.tenant(), self.release()) {
            (_, "r1") => ["litellm:smart=mini", "cs_main@7"],
            ("shop", "r2") => ["litellm:big=gpt-4o", "cs_main@8"],
            _ => ["unknown", "unknown"],
        }
    }

    fn logged(&self) -> Option<i64> {
        Some(self.cost? + self.tool_cost?)
    }

    /// Cost by `PRICES` in nano-USD; `None` means unknown. The prices below are in 0.0001 USD per
    /// million tokens.
    fn repriced(&self) -> Option<i64> {
        let [input, cached, output] = self.tokens?;
        let [price_in, price_cached, price_out] = match self.refs()[0] {
            "litellm:smart=mini" if self.at < START + 2 * DAY => [1_500, 753, 6_000],
            "litellm:smart=mini" => [1_100, 1_100, 4_700],
            "litellm:big=gpt-4o" => [25_000, 25_000, 100_000],
            _ => return None,
        };
        // 0.0001 USD per million tokens is 0.1 nano-USD per token.
        let tenths = (input - cached) * price_in + cached * price_cached + output * price_out;
        let (whole, rest) = (tenths / 10, tenths % 10);
        Some(whole + i64::from(rest > 5 || (rest == 5 && whole % 2 == 1)) + self.tool_cost?)
    }
}

/// Makes 1,500 turns of two tenants, with every special case of costs.
fn log() -> Vec<Row> {
    (0..1_500_i64)
        .map(|row| {
            let user = row * 7 % 90;
            let named = |text: String, is_there: bool| is_there.then_some(text);
            Row {
                at: START + row * 173_000_000 * 2,
                user: format!("u{user}"),
                tenant: named("shop".into(), user % 3 != 0),
                release: named(format!("r{}", 1 + row % 3), row % 41 != 0),
                feature: named(
                    ["refund", "<b>order</b>", "pre, \"sale\""][row as usize % 3].to_owned(),
                    row % 53 != 0,
                ),
                // One session id can occur for several users. These are different sessions.
                session: named(format!("s{}", row / 9), row % 29 != 0),
                is_shadow: row % 17 == 0,
                is_eval: row % 19 == 0,
                completed: if row % 37 == 0 {
                    None
                } else {
                    Some((row * row) % 5 < 3)
                },
                cost: if row % 3 == 2 && row % 11 == 0 {
                    None
                } else {
                    Some(1_000 * (row % 97) + row % 7)
                },
                tool_cost: if row % 101 == 1 { None } else { Some(row % 5 * 333) },
                tokens: if row % 67 == 3 {
                    None
                } else {
                    Some([row * 31 % 4_001 + 50, row % 50, row * 13 % 701])
                },
            }
        })
        .collect()
}

fn money(nano: i64) -> String {
    format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000)
}

const HEADER: &str = "event_time,user_id,tenant_id,release_id,feature,session_id,is_shadow,is_eval,task_completed,cost_usd,tool_cost_usd,tokens_in,cached_tokens_in,tokens_out\n";

fn csv(rows: &[Row]) -> String {
    let mut out = HEADER.to_owned();
    for row in rows {
        let text = |text: &Option<String>| {
            text.as_ref()
                .map_or_else(String::new, |text| format!("\"{}\"", text.replace('"', "\"\"")))
        };
        let flag = |flag: Option<bool>| flag.map_or_else(String::new, |flag| flag.to_string());
        let tokens = row
            .tokens
            .map_or_else(|| ",,".to_owned(), |t| t.map(|n| n.to_string()).join(","));
        out.push_str(&format!(
            "{},{},{},{},{},{},{},{},{},{},{},{tokens}\n",
            row.at / 1_000_000,
            row.user,
            text(&row.tenant),
            text(&row.release),
            text(&row.feature),
            text(&row.session),
            row.is_shadow,
            row.is_eval,
            flag(row.completed),
            row.cost.map_or_else(String::new, money),
            row.tool_cost.map_or_else(String::new, money),
        ));
    }
    out
}

fn parquet(rows: &[Row], path: &Path) {
    let texts =
        |of: fn(&Row) -> Option<&str>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<StringArray>()) };
    let flags = |of: fn(&Row) -> Option<bool>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<BooleanArray>())
    };
    let usd = |of: fn(&Row) -> Option<i64>| -> ArrayRef {
        Arc::new(
            rows.iter()
                .map(|row| of(row).map(|nano| nano as f64 / 1e9))
                .collect::<Float64Array>(),
        )
    };
    let tokens = |idx: usize| -> ArrayRef {
        Arc::new(
            rows.iter()
                .map(|row| row.tokens.map(|t| t[idx]))
                .collect::<Int64Array>(),
        )
    };
    let batch = RecordBatch::try_from_iter_with_nullable([
        (
            "event_time",
            Arc::new(TimestampMicrosecondArray::from_iter_values(
                rows.iter().map(|row| row.at),
            )) as ArrayRef,
            true,
        ),
        ("user_id", texts(|row| Some(&row.user)), true),
        ("tenant_id", texts(|row| row.tenant.as_deref()), true),
        ("release_id", texts(|row| row.release.as_deref()), true),
        ("feature", texts(|row| row.feature.as_deref()), true),
        ("session_id", texts(|row| row.session.as_deref()), true),
        ("is_shadow", flags(|row| Some(row.is_shadow)), true),
        ("is_eval", flags(|row| Some(row.is_eval)), true),
        ("task_completed", flags(|row| row.completed), true),
        ("cost_usd", usd(|row| row.cost), true),
        ("tool_cost_usd", usd(|row| row.tool_cost), true),
        ("tokens_in", tokens(0), true),
        ("cached_tokens_in", tokens(1), true),
        ("tokens_out", tokens(2), true),
    ])
    .unwrap();
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_max_row_group_row_count(Some(200))
        .build();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("log.csv", csv(&log()));
        folder.write("prices.toml", PRICES);
        folder.write("records.json", RECORDS);
        folder
    }

    fn path(&self, name: &str) -> &'static str {
        arg(self.0.path().join(name))
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &'static str {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// Runs `sluice finops` and returns the bill as JSON.
    fn bill(&self, args: &[&str]) -> Value {
        let mut all = vec![
            "finops",
            "--traffic",
            self.path("log.csv"),
            "--records",
            self.path("records.json"),
            "--json",
        ];
        all.extend(args);
        ok_json(&all)
    }
}

/// Compares a line of the bill with the numbers computed from its rows.
fn check_line(line: &Value, rows: &[&Row], by_session: bool, with_prices: bool) {
    let seen: Vec<&&Row> = rows.iter().filter(|row| !row.is_shadow && !row.is_eval).collect();
    let charged = |row: &Row| row.logged().or_else(|| row.repriced().filter(|_| with_prices));
    let users: BTreeSet<(&str, &str)> = seen.iter().map(|row| (row.tenant(), row.user.as_str())).collect();
    let sessions = |of: &dyn Fn(&Row) -> bool| -> BTreeSet<(String, String, String)> {
        let of = seen.iter().filter(|row| of(row));
        of.filter_map(|row| Some((row.tenant().to_owned(), row.user.clone(), row.session.clone()?)))
            .collect()
    };
    let is_done = |row: &Row| row.completed == Some(true);
    let n_successes = if by_session {
        sessions(&is_done).len()
    } else {
        seen.iter().filter(|row| is_done(row)).count()
    };
    assert_eq!(line["n_rows"], seen.len());
    assert_eq!(line["n_users"], users.len());
    assert_eq!(line["n_sessions"], sessions(&|_| true).len());
    assert_eq!(line["n_successes"], n_successes);
    assert_eq!(
        line["n_outcome_unknown"],
        seen.iter().filter(|row| row.completed.is_none()).count()
    );
    let sum = |of: &dyn Fn(&Row) -> Option<i64>| seen.iter().filter_map(|row| of(row)).sum::<i64>();
    let n = |of: &dyn Fn(&Row) -> Option<i64>| seen.iter().filter_map(|row| of(row)).count();
    assert_eq!(line["cost_nano_usd"], sum(&charged));
    assert_eq!(line["n_cost_unknown"], seen.len() - n(&charged));
    assert_eq!(
        (&line["logged_nano_usd"], &line["n_logged"]),
        (&sum(&Row::logged).into(), &n(&Row::logged).into())
    );
    assert_eq!(line["tool_cost_nano_usd"], sum(&|row| row.tool_cost));
    assert_eq!(line["tokens_in"], sum(&|row| row.tokens.map(|t| t[0])));
    assert_eq!(line["tokens_out"], sum(&|row| row.tokens.map(|t| t[2])));
    for (name, is_of) in [
        ("shadow", (|row| row.is_shadow) as fn(&Row) -> bool),
        ("eval", |row| row.is_eval && !row.is_shadow),
    ] {
        let own: Vec<&&Row> = rows.iter().filter(|row| is_of(row)).collect();
        assert_eq!(line[name]["n_rows"], own.len());
        assert_eq!(
            line[name]["cost_nano_usd"],
            own.iter().filter_map(|row| charged(row)).sum::<i64>()
        );
        assert_eq!(
            line[name]["n_cost_unknown"],
            own.iter().filter(|row| charged(row).is_none()).count()
        );
    }
    check_unit(&line["usd_per_success"], &seen, &charged, &users, by_session);
    if with_prices {
        assert_eq!(
            (&line["repriced_nano_usd"], &line["n_repriced"]),
            (&sum(&Row::repriced).into(), &n(&Row::repriced).into())
        );
        check_unit(
            &line["usd_per_success_repriced"],
            &seen,
            &Row::repriced,
            &users,
            by_session,
        );
    } else {
        assert!(line["repriced_nano_usd"].is_null() && line["usd_per_success_repriced"].is_null());
    }
}

/// Compares a cost per success and its error with the jackknife over users.
fn check_unit(
    unit: &Value,
    seen: &[&&Row],
    cost: &dyn Fn(&Row) -> Option<i64>,
    users: &BTreeSet<(&str, &str)>,
    by_session: bool,
) {
    let clusters: Vec<(f64, f64)> = users
        .iter()
        .map(|user| {
            let own: Vec<&&&Row> = seen
                .iter()
                .filter(|row| (row.tenant(), row.user.as_str()) == *user)
                .collect();
            let done = own.iter().filter(|row| row.completed == Some(true));
            let n = if by_session {
                done.filter_map(|row| row.session.as_ref())
                    .collect::<BTreeSet<_>>()
                    .len()
            } else {
                done.count()
            };
            (
                own.iter().filter_map(|row| cost(row)).sum::<i64>() as f64 / 1e9,
                n as f64,
            )
        })
        .collect();
    let (total, n) = clusters.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
    let expected_reason = if seen.iter().any(|row| cost(row).is_none()) {
        Some("incomplete")
    } else if n == 0.0 {
        Some("no_data")
    } else {
        None
    };
    if let Some(reason) = expected_reason {
        assert_eq!(
            (&unit["estimate"]["reason"], &unit["robust"]["reason"]),
            (&reason.into(), &reason.into())
        );
        return;
    }
    let close = |found: &Value, expected: f64| {
        let found = found.as_f64().unwrap_or_else(|| panic!("{unit}"));
        assert!(
            (found - expected).abs() <= 1e-9 * expected.abs() + 1e-18,
            "{found} {expected}"
        );
    };
    close(&unit["estimate"], total / n);
    if clusters.len() < 20 {
        assert_eq!(unit["robust"]["reason"], "too_few_clusters");
        return;
    }
    let left: Vec<f64> = clusters.iter().map(|(x, y)| (total - x) / (n - y)).collect();
    let g = left.len() as f64;
    let mean = left.iter().sum::<f64>() / g;
    let squares: Vec<f64> = left.iter().map(|x| (x - mean) * (x - mean)).collect();
    let std_error = ((g - 1.0) / g * squares.iter().sum::<f64>()).sqrt();
    let robust = &unit["robust"];
    assert_eq!(robust["n_clusters"], clusters.len());
    assert!(
        (robust["std_error"].as_f64().unwrap() / std_error - 1.0).abs() < 1e-6,
        "{robust} {std_error}"
    );
    let reach = sluice::stats::dist::t_isf(0.025, robust["df"].as_f64().unwrap()) * std_error;
    assert!((robust["ci_lower"].as_f64().unwrap() - (total / n - reach)).abs() < 1e-5 * reach);
    assert!((robust["ci_upper"].as_f64().unwrap() - (total / n + reach)).abs() < 1e-5 * reach);
}

#[test]
fn every_number_of_a_bill() {
    let (folder, rows) = (Folder::new(), log());
    let prices = ["--prices", folder.path("prices.toml")];
    for (by, by_session, with_prices) in [
        ("tenant_id,feature,release_id,model_ref,prompt_ref", false, true),
        ("release_id", false, true),
        ("model_ref,tenant_id", true, true),
        ("feature", true, false),
        ("prompt_ref", false, false),
    ] {
        let mut args = vec![
            "--by",
            by,
            "--success",
            if by_session { "session" } else { "task" },
        ];
        args.extend(prices.iter().filter(|_| with_prices));
        let bill = folder.bill(&args);
        let mut expected: BTreeMap<Vec<String>, Vec<&Row>> = BTreeMap::new();
        for row in &rows {
            let key = by.split(',').map(|by| match by {
                "tenant_id" => row.tenant(),
                "feature" => row.feature.as_deref().unwrap_or("unknown"),
                "release_id" => row.release(),
                "model_ref" => row.refs()[0],
                _ => row.refs()[1],
            });
            expected
                .entry(key.map(str::to_owned).collect())
                .or_default()
                .push(row);
        }
        let lines = bill["lines"].as_array().unwrap();
        assert_eq!(lines.len(), expected.len(), "{by}");
        for line in lines {
            let key: Vec<String> = by
                .split(',')
                .map(|by| line[by].as_str().unwrap().to_owned())
                .collect();
            check_line(line, &expected[&key], by_session, with_prices);
        }
        let costs: Vec<i64> = lines
            .iter()
            .map(|line| line["cost_nano_usd"].as_i64().unwrap())
            .collect();
        assert!(costs.is_sorted_by(|a, b| a >= b), "{by}");
        check_line(
            &bill["total"],
            &rows.iter().collect::<Vec<_>>(),
            by_session,
            with_prices,
        );
        assert_eq!(bill["n_rows"], rows.len());
        // Release r3, release r2 of the other tenant, and rows without a release have no record, so
        // their model is unknown.
        if with_prices {
            let n = rows.iter().filter(|row| row.refs()[0] == "unknown").count();
            assert_eq!(
                bill["unpriced"],
                serde_json::json!([{"model_ref": "unknown", "n_rows": n}])
            );
        }
    }
}

#[test]
fn one_bill_on_any_number_of_threads_and_from_any_format() {
    let (folder, rows) = (Folder::new(), log());
    parquet(&rows, Path::new(folder.path("log.parquet")));
    fs::create_dir(folder.path("parts")).unwrap();
    for (idx, part) in rows.chunks(311).rev().enumerate() {
        folder.write(&format!("parts/{idx}.csv"), csv(part));
    }
    let bill = |threads: &str, traffic: &str, out: &str| {
        let (records, prices) = (folder.path("records.json"), folder.path("prices.toml"));
        let printed = ok(&[
            "--threads",
            threads,
            "finops",
            "--traffic",
            folder.path(traffic),
            "--records",
            records,
            "--prices",
            prices,
            "--out",
            folder.path(out),
            "--json",
        ]);
        (printed, fs::read(folder.path(out)).unwrap())
    };
    let expected = (bill("1", "log.csv", "a.csv"), bill("1", "log.csv", "a.parquet"));
    for (threads, traffic) in [
        ("8", "log.csv"),
        ("1", "log.parquet"),
        ("8", "log.parquet"),
        ("1", "parts"),
        ("8", "parts"),
    ] {
        assert!(
            (
                bill(threads, traffic, "b.csv"),
                bill(threads, traffic, "b.parquet")
            ) == expected,
            "{threads} {traffic}"
        );
    }
}

#[test]
fn files_hold_the_lines_exactly() {
    let folder = Folder::new();
    let bill = folder.bill(&[
        "--by",
        "feature,release_id",
        "--prices",
        folder.path("prices.toml"),
        "--out",
        folder.path("bill.csv"),
    ]);
    folder.bill(&[
        "--by",
        "feature,release_id",
        "--prices",
        folder.path("prices.toml"),
        "--out",
        folder.path("bill.parquet"),
    ]);
    let mut reader = csv::Reader::from_path(folder.path("bill.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let rows: Vec<BTreeMap<String, String>> = reader
        .records()
        .map(|row| {
            header
                .iter()
                .map(str::to_owned)
                .zip(row.unwrap().iter().map(str::to_owned))
                .collect()
        })
        .collect();
    let file = File::open(folder.path("bill.parquet")).unwrap();
    let batch = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let lines = bill["lines"].as_array().unwrap();
    assert_eq!((rows.len(), batch.num_rows()), (lines.len(), lines.len()));
    for (idx, (line, row)) in lines.iter().zip(&rows).enumerate() {
        assert_eq!(
            (&line["feature"], &line["release_id"]),
            (
                &row["feature"].as_str().into(),
                &row["release_id"].as_str().into()
            )
        );
        for (key, column) in [
            ("cost", "cost_nano_usd"),
            ("logged", "logged_nano_usd"),
            ("repriced", "repriced_nano_usd"),
            ("tool_cost", "tool_cost_nano_usd"),
        ] {
            let nano = line[column].as_i64().unwrap();
            assert_eq!(row[&format!("{key}_usd")], money(nano));
            assert_eq!(
                batch
                    .column_by_name(column)
                    .unwrap()
                    .as_primitive::<Int64Type>()
                    .value(idx),
                nano
            );
        }
        let shadow = line["shadow"]["cost_nano_usd"].as_i64().unwrap();
        assert_eq!(row["shadow_cost_usd"], money(shadow));
        assert_eq!(
            batch
                .column_by_name("shadow_cost_nano_usd")
                .unwrap()
                .as_primitive::<Int64Type>()
                .value(idx),
            shadow
        );
        let estimate = line["usd_per_success"]["estimate"]
            .as_f64()
            .map_or_else(String::new, |x| x.to_string());
        assert_eq!(row["usd_per_success"], estimate);
    }
}

#[test]
fn periods_and_renamed_columns() {
    let (folder, rows) = (Folder::new(), log());
    folder.write("log.csv", csv(&rows).replacen("cost_usd", "price", 1));
    let (from, until) = (START + DAY, START + 3 * DAY);
    let bill = folder.bill(&[
        "--column",
        "cost_usd=price",
        "--by",
        "tenant_id",
        "--from",
        "2026-05-26",
        "--until",
        "2026-05-28T00:00:00Z",
    ]);
    let inside: Vec<&Row> = rows
        .iter()
        .filter(|row| (from..until).contains(&row.at))
        .collect();
    assert!(inside.len() > 100 && inside.len() < 700);
    check_line(&bill["total"], &inside, false, false);
    assert_eq!(bill["n_outside"], rows.len() - inside.len());
    let error = fails(
        &[
            "finops",
            "--traffic",
            folder.path("log.csv"),
            "--from",
            "2026-05-28",
            "--until",
            "2026-05-28",
        ],
        2,
    );
    assert!(error.contains("--until after --from"), "{error}");
}

#[test]
fn budgets_say_when_they_were_passed() {
    let (folder, rows) = (Folder::new(), log());
    let seen = |row: &&Row| !row.is_shadow && !row.is_eval;
    let mut by_day: BTreeMap<i64, i64> = BTreeMap::new();
    for row in rows.iter().filter(seen).filter(|row| row.tenant() == "shop") {
        *by_day.entry((row.at - START) / DAY).or_default() += row.logged().unwrap_or(0);
    }
    // The budget is exceeded on the third day: it is one nano-USD above the cost of the first two
    // days.
    let limit = by_day[&0] + by_day[&1] + 1;
    let total: i64 = by_day.values().sum();
    let day_limit = *by_day.values().max().unwrap() - 1;
    let all: i64 = rows.iter().filter_map(Row::logged).sum();
    let budgets = folder.write(
        "budgets.toml",
        format!(
            "[[budget]]\ntenant = \"shop\"\nusd = {}\nper = \"total\"\n[[budget]]\ntenant = \"shop\"\nusd = {}\nper = \"day\"\n\
             [[budget]]\nname = \"all\"\nusd = {}\nper = \"month\"\nrows = \"all\"\n[[budget]]\nmodel = \"mini\"\nusd = 5\nper = \"total\"\n",
            money(limit), money(day_limit), money(all)
        ),
    );
    let bill = folder.bill(&["--budget", budgets]);
    let [of_shop, of_day, of_all, of_mini] = bill["budgets"].as_array().unwrap().as_slice() else {
        panic!("{bill}")
    };
    assert_eq!(of_shop["spent_nano_usd"], total);
    assert_eq!(
        of_shop["breaches"],
        serde_json::json!([{"period": "total", "first_day": "2026-05-27", "spent_nano_usd": total, "over_nano_usd": total - limit,
            "n_cost_unknown": of_shop["n_cost_unknown"]}])
    );
    let worst = by_day
        .iter()
        .filter(|(_, cost)| **cost > day_limit)
        .map(|(day, _)| format!("2026-05-{}", 25 + day))
        .collect::<Vec<_>>();
    let found: Vec<&str> = of_day["breaches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|breach| breach["period"].as_str().unwrap())
        .collect();
    assert_eq!(found, worst);
    // A budget equal to the spent amount is not exceeded. It includes shadow and evaluation rows.
    assert_eq!(
        (
            &of_all["spent_nano_usd"],
            of_all["breaches"].as_array().unwrap().len()
        ),
        (&all.into(), 0)
    );
    let mini: i64 = rows
        .iter()
        .filter(seen)
        .filter(|row| row.release() == "r1")
        .filter_map(Row::logged)
        .sum();
    assert_eq!(of_mini["spent_nano_usd"], mini);

    let mut args = vec!["finops", "--traffic", folder.path("log.csv"), "--budget", budgets];
    assert!(ok(&args).contains("passed in total on 2026-05-27"));
    args.push("--fail-on-breach");
    assert_eq!(sluice(&args).status.code(), Some(10));
    folder.write("budgets.toml", "[[budget]]\nusd = 1000\nper = \"total\"\n");
    ok(&args);
}

#[test]
fn hostile_logs() {
    let folder = Folder::new();
    let traffic = |content: &str| -> &'static str { folder.write("bad.csv", content) };
    let head = "event_time,user_id,release_id,cost_usd,task_completed\n";
    for (rows, part) in [
        ("2026-05-25,u,r,NaN,1\n", "expected a number >= 0, found NaN"),
        ("2026-05-25,u,r,-0.5,1\n", "expected a number >= 0, found -0.5"),
        ("2026-05-25,u,r,inf,1\n", "expected a number >= 0, found inf"),
        ("2026-05-25,u,r,1e10,1\n", "expected a number up to"),
        ("2026-05-25,u,r,free,1\n", "column `cost_usd`, row 1"),
        ("2026-05-25,u,r,1,maybe\n", "expected true or false"),
        ("soon,u,r,1,1\n", "column `event_time`, row 1"),
    ] {
        let error = fails(&["finops", "--traffic", traffic(&format!("{head}{rows}"))], 3);
        assert!(error.contains(part), "{part}: {error}");
        let bill: Value = ok_json(&[
            "finops",
            "--traffic",
            traffic(&format!("{head}{rows}2026-05-25,u,r,2,1\n")),
            "--on-bad-row",
            "drop",
            "--json",
        ]);
        assert_eq!(
            (
                &bill["n_rows"],
                &bill["total"]["n_rows"],
                &bill["total"]["cost_nano_usd"]
            ),
            (&2.into(), &1.into(), &2_000_000_000_i64.into())
        );
        assert_eq!(bill["bad_rows"].as_object().unwrap().len(), 1);
    }
    // The sum of 1,100 rows of nine million USD exceeds the range of i64 in nano-USD.
    let error = fails(
        &[
            "finops",
            "--traffic",
            traffic(&format!("{head}{}", "2026-05-25,u,r,9000000,1\n".repeat(1_100))),
        ],
        3,
    );
    assert!(error.contains("expected sums below"), "{error}");
    // An empty log gives a bill without lines.
    let bill: Value = ok_json(&["finops", "--traffic", traffic(head), "--json"]);
    assert_eq!(
        (bill["lines"].as_array().unwrap().len(), &bill["total"]["n_rows"]),
        (0, &0.into())
    );
    assert_eq!(bill["total"]["cost_coverage"]["reason"], "no_data");
    assert!(ok(&["finops", "--traffic", traffic(head)]).contains("0 rows"));
    // An optional column is missing, and a column has a wrong name.
    let bare = "event_time,user_id,release_id\n2026-05-25,u,r\n";
    let bill: Value = ok_json(&["finops", "--traffic", traffic(bare), "--json"]);
    let total = &bill["total"];
    assert!(total["n_sessions"].is_null() && total["n_successes"].is_null() && total["tokens_in"].is_null());
    assert_eq!(
        (
            &total["n_cost_unknown"],
            &total["usd_per_success"]["estimate"]["reason"]
        ),
        (&1.into(), &"no_column".into())
    );
    let error = fails(&["finops", "--traffic", traffic(bare), "--success", "session"], 3);
    assert!(error.contains("`session_id`"), "{error}");
    fails(
        &["finops", "--traffic", traffic(bare), "--column", "cost_usd=price"],
        2,
    );
    fails(&["finops", "--traffic", traffic(bare), "--by", "cost"], 2);
    fails(
        &["finops", "--traffic", traffic(bare), "--by", "feature,feature"],
        2,
    );
    fails(
        &[
            "finops",
            "--traffic",
            traffic(bare),
            "--out",
            folder.path("bill.xlsx"),
        ],
        2,
    );
    fails(
        &[
            "finops",
            "--traffic",
            traffic(bare),
            "--out",
            folder.path("bad.csv"),
        ],
        2,
    );
    fails(&["finops", "--traffic", traffic(bare), "--fail-on-breach"], 2);
    fails(
        &[
            "finops",
            "--traffic",
            traffic(bare),
            "--prices",
            folder.write("p.toml", "[[price]]\nmodel = 'm'\ninput = -1\noutput = 1"),
        ],
        3,
    );
    // Names with escape sequences are shown without effect on the terminal, and are written
    // unchanged.
    let names = "event_time,user_id,release_id,feature\n2026-05-25,u,r,\"a\u{1b}[2Jb\"\n";
    let printed = ok(&[
        "finops",
        "--traffic",
        traffic(names),
        "--out",
        folder.path("names.csv"),
    ]);
    assert!(
        !printed.contains('\u{1b}') && printed.contains("a\\u{1b}[2Jb"),
        "{printed}"
    );
    assert!(
        fs::read_to_string(folder.path("names.csv"))
            .unwrap()
            .contains("a\u{1b}[2Jb")
    );
}

#[test]
fn tools_cost_nothing_where_none_was_called() {
    let folder = Folder::new();
    let log = "event_time,user_id,release_id,cost_usd,tool_cost_usd,tool_calls\n\
        2026-05-25,a,r,1,0.25,1\n2026-05-25,a,r,1,,0\n2026-05-25,a,r,1,,2\n2026-05-25,a,r,1,,\n";
    let bill: Value = ok_json(&["finops", "--traffic", folder.write("tools.csv", log), "--json"]);
    assert_eq!(bill["total"]["cost_nano_usd"], 2_250_000_000_i64);
    assert_eq!(
        (
            &bill["total"]["n_cost_unknown"],
            &bill["total"]["tool_cost_nano_usd"]
        ),
        (&2.into(), &250_000_000.into())
    );
    assert!(
        ok(&["finops", "--traffic", text(Path::new(folder.path("tools.csv")))])
            .contains("2 rows have no known cost")
    );
}
