//! Tests with real transactions and real bandit logs.

use arrow_array::{
    cast::AsArray,
    types::{Int64Type, TimestampMicrosecondType},
};
use flate2::read::GzDecoder;
use std::{collections::HashMap, fs::File, io::Read};

use crate::support::{json, ok, root, text};

const DAY: i64 = 86_400_000_000;

/// frequency = days with repeated purchases, recency = last - first day, T = end - first day, as in
/// Lifetimes, up to 1997-09-30.
#[test]
fn cdnow_features_are_those_of_lifetimes() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("study");
    ok(&["run", "scenarios/cdnow.toml", "--out", text(&out)]);

    let mut reference = String::new();
    let path = root().join("datasets/cdnow/rfm_master_1997-09-30_D.csv.gz");
    GzDecoder::new(File::open(path).unwrap())
        .read_to_string(&mut reference)
        .unwrap();
    let mut expected: HashMap<i64, [i64; 3]> = HashMap::new();
    for line in reference.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        expected.insert(
            fields[0].parse().unwrap(),
            [1, 2, 3].map(|idx| fields[idx].parse().unwrap()),
        );
    }
    let end = sluice::base::time::parse("1997-09-30").unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(
        File::open(out.join("features.parquet")).unwrap(),
    );
    let mut n_users = 0;
    for batch in reader.unwrap().build().unwrap() {
        let batch = batch.unwrap();
        let ids = batch.column_by_name("user_id").unwrap().as_string::<i32>();
        let instant = |name: &str| {
            batch
                .column_by_name(name)
                .unwrap()
                .as_primitive::<TimestampMicrosecondType>()
        };
        let (first, last) = (instant("first_event_time"), instant("last_use_time"));
        let n_days = batch
            .column_by_name("n_days")
            .unwrap()
            .as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let id: i64 = ids.value(row).parse().unwrap();
            let found = [
                n_days.value(row) - 1,
                (last.value(row) - first.value(row)) / DAY,
                (end - first.value(row)) / DAY,
            ];
            assert_eq!(found, expected[&id], "customer {id}");
            n_users += 1;
        }
    }
    assert_eq!((n_users, expected.len()), (23_570, 23_570));

    let summary = json(&out.join("layers.summary.json"));
    assert_eq!(summary["missing"]["accept_score"], 23_570);
    let events = &summary["events"];
    assert_eq!(
        events["n_events"].as_u64().unwrap() + events["n_after_as_of"].as_u64().unwrap(),
        69_659
    );
}

#[test]
fn open_bandit_does_not_say() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("study");
    ok(&[
        "run",
        "scenarios/open-bandit.toml",
        "--out",
        text(&out),
        "--verify",
    ]);
    let analysis = json(&out.join("analysis.json"));
    let stage = &analysis["layers"][0]["stages"][0];
    assert_eq!(stage["srm"]["p_value"], 1.0);
    assert_eq!(
        (
            stage["users"]["baseline"].clone(),
            stage["users"]["candidate"].clone()
        ),
        (10_000.into(), 10_000.into())
    );
    let click = stage["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["metric"] == "click_rate")
        .unwrap();
    assert_eq!(click["baseline"]["numerator"], 38.0);
    assert_eq!(click["candidate"]["numerator"], 42.0);
    let effect = &click["effect"];
    assert!((effect["effect_size"].as_f64().unwrap() - 4e-4).abs() < 1e-15);
    assert!(effect["ci_lower"].as_f64().unwrap() < 0.0 && effect["ci_upper"].as_f64().unwrap() > 0.0);
    // Each row is a user, so the clustered error must equal the binomial error: sqrt(p0 q0 / n + p1
    // q1 / n) = 8.93e-4.
    let binomial = (0.0038_f64 * 0.9962 / 1e4 + 0.0042 * 0.9958 / 1e4).sqrt();
    assert!(
        (effect["std_error"].as_f64().unwrap() / binomial - 1.0).abs() < 0.1,
        "{effect}"
    );
}
