//! Tests of scans that continue an earlier cube.

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use super::replay;
use crate::base::progress::Progress;
use crate::replay::context::{Inputs, ReplayContext, Sources, open_traffic};
use crate::replay::cube::Cube;
use crate::replay::layer_table::LayerTable;
use crate::replay::log_users::load_log_users;
use crate::replay::scan::parts_of;
use crate::replay::user_store::{CHUNK, UserGroups};
use crate::replay::users::Users;
use crate::scenario::{OnBadRow, Overrides, Scenario, Source};

/// Layer `open` has the candidate for half of its users on the first day and for all on the second.
const SCENARIO: &str = r#"
as_of = "2026-05-03T00:00:00Z"
[plan]
id = "p"
start = "2026-05-01T00:00:00Z"
baseline = "v1"
candidate = "v2"
[input]
users_from_traffic = true
[[input.traffic]]
path = "log"
[[layer]]
id = "open"
min_score = 0.5
[[layer]]
id = "shut"
[[operation]]
at = "2026-05-01T00:00:00Z"
layer = "open"
ratio = 0.5
[[operation]]
at = "2026-05-02T00:00:00Z"
layer = "open"
ratio = 1.0
"#;
/// The start of the plan, and a day, in microseconds.
const START: i64 = 1_777_593_600_000_000;
const DAY: i64 = 86_400_000_000;
/// The users of the layer table: three chunks, the last of which is not full.
const N_USERS: usize = 2 * CHUNK + 1_000;

fn tenant(user: usize) -> &'static str {
    ["acme", "globex", "zeta"][user % 3]
}

fn write_parquet(path: &Path, batch: &RecordBatch) {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(100_000))
        .build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

fn write_layers(path: &Path) {
    let text = |of: &dyn Fn(usize) -> String| Arc::new(StringArray::from_iter_values((0..N_USERS).map(of)));
    let layer = |user: usize| if user % 5 < 3 { "open" } else { "shut" };
    let columns: [(&str, ArrayRef); 5] = [
        ("user_id", text(&|user| format!("u{user}"))),
        ("tenant_id", text(&|user| tenant(user).to_owned())),
        ("score", Arc::new(Float64Array::from(vec![0.5; N_USERS]))),
        ("layer", text(&|user| layer(user).to_owned())),
        (
            "eligible",
            Arc::new(BooleanArray::from_iter(
                (0..N_USERS).map(|user| Some(!user.is_multiple_of(7))),
            )),
        ),
    ];
    write_parquet(path, &RecordBatch::try_from_iter(columns).unwrap());
}

/// The turns of a day: one for each of these users. Every ninth turn was served under layer `shut`,
/// and every 50th is of a user who is not in the table.
fn day(nth: i64, users: impl Iterator<Item = usize>) -> RecordBatch {
    let users: Vec<usize> = users.collect();
    let text = |of: &dyn Fn((usize, &usize)) -> Option<String>| {
        Arc::new(users.iter().enumerate().map(of).collect::<StringArray>())
    };
    let release = |user: usize| if user.is_multiple_of(2) { "v1" } else { "v2" };
    let at = (0..users.len() as i64).map(|row| START + nth * DAY + row * 3_000_000);
    let id = |(row, user): (usize, &usize)| {
        let prefix = if row % 50 == 7 { "x" } else { "u" };
        Some(format!("{prefix}{user}"))
    };
    let columns: [(&str, ArrayRef); 6] = [
        (
            "event_time",
            Arc::new(TimestampMicrosecondArray::from_iter_values(at).with_timezone("UTC")),
        ),
        ("user_id", text(&id)),
        ("tenant_id", text(&|(_, user)| Some(tenant(*user).to_owned()))),
        ("release_id", text(&|(_, user)| Some(release(*user).to_owned()))),
        (
            "layer",
            text(&|(row, _)| (row % 9 == 1).then(|| "shut".to_owned())),
        ),
        (
            "cost_usd",
            Arc::new(Float64Array::from_iter(
                users
                    .iter()
                    .map(|user| (!user.is_multiple_of(4)).then_some(*user as f64 / 1e6)),
            )),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Replays a folder of logs into the folder `out`. Returns whether the scan read only users of the
/// log, and the bytes of the cube's files.
fn cube_of(
    dir: &Path,
    log: &str,
    since: Option<&str>,
    out: &str,
    memory_limit: u64,
) -> (bool, BTreeMap<String, Vec<u8>>) {
    let scenario = Scenario::parse(SCENARIO, "test", dir, &Overrides::default()).unwrap();
    let progress = Progress::silent();
    let source = Source::at(dir.join(log));
    let metrics = &scenario.metrics;
    let traffic = open_traffic(metrics, &[], &[source], OnBadRow::Error, &progress).unwrap();
    let (layers, since) = (dir.join("layers.parquet"), since.map(|since| dir.join(since)));
    let inputs = Inputs {
        since: since.as_deref(),
        memory_limit,
        ..Inputs::new(traffic, &layers)
    };
    let ctx = ReplayContext {
        plan: &scenario.plan,
        metrics,
        as_of: scenario.as_of,
        refuse_unknown_release: false,
        breakdowns: &[],
    };
    let table = LayerTable::open(&layers, &scenario.plan).unwrap();
    let parts = parts_of(&inputs, &Sources::new(&inputs).unwrap(), None, ctx.as_of);
    let new_users = |n: usize| {
        assert!(n < N_USERS / 4, "{n} of {N_USERS} users");
        Users::new(n, 6, 2, 48, u64::BITS)
    };
    let loaded = load_log_users(&table, &table.tenants().unwrap(), &inputs, &parts, &new_users);
    fs::create_dir_all(dir.join(out)).unwrap();
    replay(&ctx, &inputs, &dir.join(out), &progress).unwrap();
    let files = fs::read_dir(dir.join(out)).unwrap().map(Result::unwrap);
    let bytes = files.map(|file| {
        let name = file.file_name().into_string().unwrap();
        (name, fs::read(file.path()).unwrap())
    });
    (loaded.unwrap().is_some(), bytes.collect())
}

#[test]
fn a_cube_that_is_continued_has_the_bytes_of_a_whole_scan() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_layers(&dir.join("layers.parquet"));
    for folder in ["first", "both"] {
        fs::create_dir(dir.join(folder)).unwrap();
        // The first day has no user of the second chunk.
        let users = (0..4_000).chain(2 * CHUNK - 1..2 * CHUNK + 500).chain(10..20);
        write_parquet(&dir.join(folder).join("day0.parquet"), &day(0, users));
    }
    // The second day has old and new users, and one user twice.
    let users = (3_000..5_000)
        .chain(CHUNK - 1..CHUNK + 700)
        .chain([0, 0, N_USERS - 1]);
    write_parquet(&dir.join("both/day1.parquet"), &day(1, users));

    let (_, earlier) = cube_of(dir, "first", None, "earlier", u64::MAX);
    assert!(earlier.contains_key("users.parquet"));
    let cube = Cube::read(&dir.join("earlier")).unwrap();
    assert!(
        UserGroups::open(&dir.join("earlier"), &cube, 1)
            .unwrap()
            .is_some()
    );
    // A file that was written for more stages is read in another way.
    assert!(
        UserGroups::open(&dir.join("earlier"), &cube, 2)
            .unwrap()
            .is_none()
    );

    let (is_partial, whole) = cube_of(dir, "both", None, "whole", u64::MAX);
    assert!(is_partial);
    for (out, memory_limit) in [("continued", u64::MAX), ("limited", 1_000_000)] {
        let (_, continued) = cube_of(dir, "both", Some("earlier"), out, memory_limit);
        for (name, bytes) in &whole {
            assert!(continued.get(name) == Some(bytes), "{out}/{name} differs");
        }
        assert_eq!(continued.len(), whole.len());
    }
}
