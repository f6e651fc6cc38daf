//! Tests of `sluice layer`.

use std::fs;

use crate::support::{arg, fails, json, ok, text};

/// The three users of the reference policy (docs/REFERENCE_POLICY.md#contradictions), as of
/// 2026-05-25.
const ARTICLE: &str = "user_id,last_use_time,use_count,user_value,accept_score,is_allow_gray
one,2026-05-24T23:00:00Z,50,1000,9,true
two,2026-05-18,10,10000,5,true
three,2026-04-26,2,50000,2,false
";

fn rows(path: &std::path::Path) -> Vec<(String, f64, String, bool)> {
    use arrow_array::{cast::AsArray, types::Float64Type};
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap())
            .unwrap();
    let mut rows = Vec::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let text = |name: &str| {
            arrow_cast::cast(batch.column_by_name(name).unwrap(), &arrow_schema::DataType::Utf8).unwrap()
        };
        let (ids, layers) = (text("user_id"), text("layer"));
        let scores = batch
            .column_by_name("score")
            .unwrap()
            .as_primitive::<Float64Type>();
        let eligible = batch.column_by_name("eligible").unwrap().as_boolean();
        for row in 0..batch.num_rows() {
            let id = ids.as_string::<i32>().value(row).to_owned();
            rows.push((
                id,
                scores.value(row),
                layers.as_string::<i32>().value(row).to_owned(),
                eligible.value(row),
            ));
        }
    }
    rows
}

#[test]
fn the_three_users_of_the_reference_policy() {
    let dir = tempfile::tempdir().unwrap();
    let (users, out) = (dir.path().join("users.csv"), dir.path().join("layers.parquet"));
    fs::write(&users, ARTICLE).unwrap();
    ok(&[
        "layer",
        "--users",
        text(&users),
        "--as-of",
        "2026-05-25",
        "--out",
        text(&out),
    ]);
    let expected = [
        ("one", 0.8667, "early", true),
        ("two", 0.5933, "high_value", true),
        ("three", 0.2207, "vip", false),
    ];
    assert_eq!(
        rows(&out),
        expected.map(|(id, score, layer, eligible)| (id.to_owned(), score, layer.to_owned(), eligible))
    );
}

#[test]
fn formats_and_folders_and_globs_read_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("csv")).unwrap();
    let lines: Vec<&str> = ARTICLE.lines().collect();
    // Two files; the second is compressed with gzip.
    fs::write(at("csv/a.csv"), format!("{}\n{}\n", lines[0], lines[1])).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(
        fs::File::create(at("csv/b.csv.gz")).unwrap(),
        flate2::Compression::fast(),
    );
    std::io::Write::write_all(
        &mut gzip,
        format!("{}\n{}\n{}\n", lines[0], lines[2], lines[3]).as_bytes(),
    )
    .unwrap();
    gzip.finish().unwrap();
    fs::write(
        at("users.ndjson"),
        r#"{"user_id":"one","last_use_time":"2026-05-24T23:00:00Z","use_count":50,"user_value":1000,"accept_score":9,"is_allow_gray":true}
{"user_id":"two","last_use_time":1779062400,"use_count":10,"user_value":1e4,"accept_score":5.0,"is_allow_gray":1}
{"user_id":"three","last_use_time":"20260426","use_count":2,"user_value":50000,"accept_score":2,"is_allow_gray":null}
"#,
    )
    .unwrap();
    let layered = |users: &str| {
        let out = at("layers.parquet");
        ok(&[
            "layer",
            "--users",
            users,
            "--as-of",
            "2026-05-25",
            "--out",
            text(&out),
        ]);
        rows(&out)
    };
    let folder = layered(text(&at("csv")));
    assert_eq!(folder.len(), 3);
    assert_eq!(folder, layered(text(&at("csv/*"))));
    assert_eq!(folder, layered(text(&at("users.ndjson"))));
}

#[test]
fn quotas_are_met_to_one_user_even_when_all_scores_are_tied() {
    let dir = tempfile::tempdir().unwrap();
    let (users, config, out) = (
        dir.path().join("users.csv"),
        dir.path().join("c.toml"),
        dir.path().join("l.parquet"),
    );
    let mut csv = String::from("user_id,tenant_id,use_count,is_allow_gray\n");
    for (tenant, n) in [("a", 1_001), ("b", 1), ("c", 37)] {
        for user in 0..n {
            csv.push_str(&format!(
                "u{user},{tenant},{},true\n",
                if tenant == "c" { user } else { 5 }
            ));
        }
    }
    fs::write(&users, csv).unwrap();
    fs::write(
        &config,
        r#"
as_of = "2026-05-25"
plan = { id = "q", start = "2026-05-25", baseline = "a", candidate = "b" }
input = { users = { path = "users.csv", absent = ["last_use_time", "user_value", "accept_score"] } }
layering = { mode = "quota" }
layer = [ { id = "x", quota = 0.1 }, { id = "y", quota = 0.7 }, { id = "z", quota = 0.2 } ]
"#,
    )
    .unwrap();
    ok(&["layer", "--config", text(&config), "--out", text(&out)]);
    let summary = json(&dir.path().join("l.summary.json"));
    for layer in summary["layers"].as_array().unwrap() {
        let n_tenant = match layer["tenant"].as_str().unwrap() {
            "a" => 1_001.0,
            "b" => 1.0,
            _ => 37.0,
        };
        let quota = match layer["layer"].as_str().unwrap() {
            "x" => 0.1,
            "y" => 0.7,
            _ => 0.2,
        };
        assert!(
            (layer["n_users"].as_f64().unwrap() - quota * n_tenant).abs() <= 1.0,
            "{layer}"
        );
    }
    // The cut through tied scores must be independent of the assignment buckets. Otherwise the
    // upper layer would hold all low buckets.
    let salted = sluice::bucket::Profile::Sluice { salt: "q".into() };
    let top: Vec<u16> = rows(&out)
        .iter()
        .filter(|r| r.2 == "x")
        .map(|r| salted.bucket(&r.0))
        .collect();
    let mean = top.iter().map(|b| f64::from(*b)).sum::<f64>() / top.len() as f64;
    assert!((3_500.0..6_500.0).contains(&mean), "{mean}");
}

/// Tests quotas with skewed and tied scores, protected and tagged users, and tenants of very
/// different sizes. Every share is exact to one user. The layer of a user does not depend on the
/// order of rows, the format, or the number of threads.
#[test]
fn quotas_are_met_on_skewed_data_whatever_the_order() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let mut lines: Vec<String> = Vec::new();
    for (tenant, n) in [("big", 40_000_u64), ("small", 13), ("one", 1), ("tied", 5_000)] {
        for user in 0..n {
            let mixed = (user * 2_654_435_761) % 4_294_967_296;
            let count = if tenant == "tied" || mixed % 3 > 0 {
                7
            } else {
                mixed % 100
            };
            let (count, kind) = match user % 50 {
                3 => (String::new(), "customer"),
                4 => (count.to_string(), "internal"),
                _ => (count.to_string(), "customer"),
            };
            lines.push(format!("u{user},{tenant},{count},{kind}"));
        }
    }
    let config = |input: &str| {
        format!(
            r#"
as_of = "2026-05-25"
plan = {{ id = "q", start = "2026-05-25", baseline = "a", candidate = "b" }}
input = {{ users = {{ path = "{input}", absent = ["last_use_time", "user_value", "accept_score"] }} }}
layering = {{ mode = "quota" }}
layer = [
  {{ id = "internal", tags = [ {{ column = "user_type", equals = "internal" }} ] }},
  {{ id = "early", quota = 0.1 }}, {{ id = "regular", quota = 0.7 }}, {{ id = "high_value", quota = 0.15 }}, {{ id = "vip", quota = 0.05 }},
]
"#
        )
    };
    let mut layered = Vec::new();
    for (name, reversed) in [("a.csv", false), ("b.csv", true)] {
        if reversed {
            lines.reverse();
        }
        fs::write(
            at(name),
            format!("user_id,tenant_id,use_count,user_type\n{}\n", lines.join("\n")),
        )
        .unwrap();
        fs::write(at("c.toml"), config(name)).unwrap();
        for threads in ["1", "2"] {
            ok(&[
                "--threads",
                threads,
                "layer",
                "--config",
                text(&at("c.toml")),
                "--out",
                text(&at("l.parquet")),
            ]);
            let mut found = crate::layer_parquet::rows(&at("l.parquet"));
            found.sort();
            layered.push(found);
        }
        let summary = json(&at("l.summary.json"));
        let layers = summary["layers"].as_array().unwrap();
        let count = |tenant: &str, layer: &str| {
            layers
                .iter()
                .find(|l| l["tenant"] == tenant && l["layer"] == layer)
                .map_or(0, |l| l["n_users"].as_u64().unwrap())
        };
        for (tenant, n) in [("big", 40_000), ("small", 13), ("one", 1), ("tied", 5_000)] {
            let n = (n - count(tenant, "internal")) as f64;
            for (layer, quota) in [
                ("early", 0.1),
                ("regular", 0.7),
                ("high_value", 0.15),
                ("vip", 0.05),
            ] {
                let found = count(tenant, layer) as f64;
                assert!(
                    (found - quota * n).abs() <= 1.0,
                    "{tenant} {layer}: {found} of {n}"
                );
            }
        }
    }
    // The same table as Parquet in small row groups. Ids are read only where a cut divides tied
    // users.
    let column = |idx: usize| -> Vec<String> {
        lines
            .iter()
            .map(|line| line.split(',').nth(idx).unwrap().to_owned())
            .collect()
    };
    let counts: Vec<Option<i64>> = column(2).iter().map(|count| count.parse().ok()).collect();
    let texts =
        |idx| std::sync::Arc::new(arrow_array::StringArray::from(column(idx))) as arrow_array::ArrayRef;
    let columns = vec![
        ("user_id", texts(0)),
        ("tenant_id", texts(1)),
        (
            "use_count",
            std::sync::Arc::new(arrow_array::Int64Array::from(counts)) as arrow_array::ArrayRef,
        ),
        ("user_type", texts(3)),
    ];
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_max_row_group_row_count(Some(999))
        .build();
    crate::layer_parquet::write(&at("p.parquet"), columns, properties);
    fs::write(at("c.toml"), config("p.parquet")).unwrap();
    ok(&[
        "layer",
        "--config",
        text(&at("c.toml")),
        "--out",
        text(&at("l.parquet")),
    ]);
    let mut found = crate::layer_parquet::rows(&at("l.parquet"));
    found.sort();
    layered.push(found);
    assert!(layered.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn users_who_come_twice() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let csv = "user_id,tenant_id,use_count\na,x,1\nb,x,2\na,y,3\nb,x,4\nc,x,5\na,x,6\n";
    fs::write(at("users.csv"), csv).unwrap();
    let args = [
        "layer",
        "--users",
        arg(at("users.csv")),
        "--as-of",
        "2026-05-25",
        "--out",
        arg(at("l.parquet")),
        "--absent",
        "last_use_time,user_value,accept_score",
    ];
    // User `a` of another tenant is another user.
    assert!(fails(&args, 3).contains("expected one row per user, found two rows for \"b\""));
    ok(&[&args[..], &["--audit", "never"]].concat());
    let summary = json(&at("l.summary.json"));
    assert_eq!(
        (summary["n_users"].as_u64(), summary["ids_are_unique"].is_null()),
        (Some(6), true)
    );
    let config = r#"
as_of = "2026-05-25"
plan = { id = "q", start = "2026-05-25", baseline = "a", candidate = "b" }
input = { users = { path = "users.csv" }, on_duplicate_user = "keep_first" }
layer = [ { id = "all" } ]
"#;
    fs::write(at("c.toml"), config).unwrap();
    ok(&[
        "layer",
        "--config",
        text(&at("c.toml")),
        "--out",
        text(&at("l.parquet")),
    ]);
    let found: Vec<(String, String)> = crate::layer_parquet::rows(&at("l.parquet"))
        .into_iter()
        .map(|row| (row.0, row.4))
        .collect();
    let expected = [("a", "x"), ("b", "x"), ("a", "y"), ("c", "x")]
        .map(|(id, tenant)| (id.to_owned(), tenant.to_owned()));
    assert_eq!(found, expected);
    let summary = json(&at("l.summary.json"));
    assert_eq!(
        (
            summary["n_duplicates"].as_u64(),
            summary["ids_are_unique"].as_bool()
        ),
        (Some(2), Some(true))
    );
}

#[test]
fn odd_users_are_placed_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (users, out) = (dir.path().join("users.csv"), dir.path().join("layers.parquet"));
    fs::write(
        &users,
        "user_id,last_use_time,use_count,user_value,accept_score,is_allow_gray\n\
         nothing,,,,,\n\
         future,2027-01-01,500,-5,11,true\n\
         用户,2026-05-25,100,0,10,true\n",
    )
    .unwrap();
    ok(&[
        "layer",
        "--users",
        text(&users),
        "--as-of",
        "2026-05-25",
        "--out",
        text(&out),
    ]);
    let found = rows(&out);
    assert_eq!(found[0], ("nothing".into(), 0.3, "vip".into(), false));
    assert_eq!(found[1], ("future".into(), 1.0, "early".into(), true));
    assert_eq!(found[2], ("用户".into(), 1.0, "early".into(), true));
    let summary = json(&dir.path().join("layers.summary.json"));
    assert_eq!(summary["n_unknown"], 1);
    assert_eq!(summary["missing"]["accept_score"], 1);
    assert_eq!(
        summary["clamped"],
        serde_json::json!({"last_use_time": 1, "use_count": 0, "user_value": 1, "accept_score": 1})
    );
}

#[test]
fn an_instant_is_needed() {
    let stderr = fails(&["layer", "--users", "x.csv", "--out", "y.parquet"], 2);
    assert!(stderr.contains("--as-of"), "{stderr}");
}
