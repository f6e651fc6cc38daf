//! Tests of row counting. Most cases are one row with its expected counts.

use arrow_array::{BooleanArray, Float64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::progress::Progress;
use crate::bucket::group_of;
use crate::replay::context::{Inputs, ReplayContext, open_traffic};
use crate::replay::cube::Cube;
use crate::replay::driver::replay;
use crate::scenario::{Arm, OnBadRow, Overrides, Scenario, Source};

/// A scenario in which layer `open` has the candidate at ratio 1 on the first day and at ratio 0 on
/// the second. Layer `shut` never has it.
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
path = "log.csv"
[[layer]]
id = "open"
min_score = 0.5
[[layer]]
id = "shut"
[[operation]]
at = "2026-05-01T00:00:00Z"
layer = "open"
ratio = 1.0
[[operation]]
at = "2026-05-02T00:00:00Z"
layer = "open"
ratio = 0.0
"#;

const HEADER: &str =
    "event_time,user_id,release_id,layer,is_shadow,is_eval,propensity,task_completed,cost_usd";

/// Writes the layer table: `a` and `b` in `open`, `s` in `shut`, `i` in `open` without consent.
fn write_layers(path: &Path) {
    let batch = RecordBatch::try_from_iter([
        (
            "user_id",
            Arc::new(StringArray::from(vec!["a", "b", "s", "i"])) as _,
        ),
        (
            "score",
            Arc::new(Float64Array::from(vec![0.9, 0.8, 0.1, 0.7])) as _,
        ),
        (
            "layer",
            Arc::new(StringArray::from(vec!["open", "open", "shut", "open"])) as _,
        ),
        (
            "eligible",
            Arc::new(BooleanArray::from(vec![true, true, true, false])) as _,
        ),
    ])
    .unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Replays a log of these rows.
fn cube_of(rows: &[&str]) -> Result<Cube> {
    let dir = tempfile::tempdir().unwrap();
    let (log, layers) = (dir.path().join("log.csv"), dir.path().join("layers.parquet"));
    fs::write(&log, format!("{HEADER}\n{}\n", rows.join("\n"))).unwrap();
    write_layers(&layers);
    let scenario = Scenario::parse(SCENARIO, "test", dir.path(), &Overrides::default()).unwrap();
    let source = Source::at(log);
    let traffic = open_traffic(
        &scenario.metrics,
        &[],
        &[source],
        OnBadRow::Error,
        &Progress::silent(),
    )?;
    let ctx = ReplayContext {
        plan: &scenario.plan,
        metrics: &scenario.metrics,
        as_of: scenario.as_of,
        refuse_unknown_release: false,
        breakdowns: &[],
    };
    let progress = Progress::silent();
    replay(
        &ctx,
        &Inputs::new(traffic, &layers),
        &dir.path().join("cube"),
        &progress,
    )
}

/// The counts that are not 0, without the number of rows.
fn counts(cube: &Cube) -> String {
    let counts = serde_json::to_value(&cube.counts).unwrap();
    let fields = counts.as_object().unwrap().iter();
    let texts = fields
        .filter(|(name, n)| *name != "n_rows" && n.as_u64().is_some_and(|n| n > 0))
        .map(|(name, n)| format!("{} {n}", name.trim_start_matches("n_")));
    texts.collect::<Vec<_>>().join(", ")
}

/// The numerator and denominator of a metric in each cell.
fn sums(cube: &Cube, metric: &str) -> Vec<(i64, i64)> {
    let scenario = Scenario::parse(SCENARIO, "test", Path::new(""), &Overrides::default()).unwrap();
    let metric = scenario.metrics.iter().find(|known| known.id == metric).unwrap();
    let [numerator, denominator] = cube.metric_columns(metric).unwrap();
    cube.cells
        .iter()
        .map(|(_, values)| (values[numerator], values[denominator]))
        .collect()
}

#[test]
fn each_row_goes_where_it_belongs() {
    let cases = [
        // The arm, as the plan's ratio requires and otherwise.
        ("2026-05-01T12:00:00Z,a,v2,,,,,1,0.1", "candidate 1"),
        ("2026-05-01T12:00:00Z,a,v1,,,,,1,0.1", "baseline 1, misassigned 1"),
        ("2026-05-01T12:00:00Z,s,v1,,,,,1,0.1", "baseline 1"),
        (
            "2026-05-01T12:00:00Z,s,v2,,,,,1,0.1",
            "candidate 1, misassigned 1",
        ),
        ("2026-05-01T12:00:00Z,a,v2,,,,,,", "candidate 1"),
        // The time: `start` is included, `as_of` is not.
        ("2026-05-01T00:00:00Z,a,v2,,,,,1,0.1", "candidate 1"),
        ("2026-04-30T23:59:59Z,a,v2,,,,,1,0.1", "before_start 1"),
        ("2026-05-02T23:59:59Z,a,v1,,,,,1,0.1", "baseline 1"),
        (
            "2026-05-02T00:00:00Z,a,v2,,,,,1,0.1",
            "candidate 1, misassigned 1",
        ),
        ("2026-05-03T00:00:00Z,a,v2,,,,,1,0.1", "after_as_of 1"),
        // Answers that no user saw.
        ("2026-05-01T12:00:00Z,a,v2,,1,,,1,0.1", "shadow 1"),
        ("2026-05-01T12:00:00Z,a,v2,,0,1,,1,0.1", "eval 1"),
        ("2026-05-01T12:00:00Z,a,v2,,0,0,,1,0.1", "candidate 1"),
        // Users and releases.
        ("2026-05-01T12:00:00Z,x,v2,,,,,1,0.1", "unknown_user 1"),
        ("2026-05-01T12:00:00Z,a,v9,,,,,1,0.1", "unknown_release 1"),
        ("2026-05-01T12:00:00Z,a,,,,,,1,0.1", "unknown_release 1"),
        ("2026-05-01T12:00:00Z,i,v1,,,,,1,0.1", "ineligible 1"),
        (
            "2026-05-01T12:00:00Z,i,v2,,,,,1,0.1",
            "ineligible 1, ineligible_candidate 1",
        ),
        // The layer that the row was served under decides.
        (
            "2026-05-01T12:00:00Z,a,v2,open,,,,1,0.1",
            "candidate 1, layer_logged 1",
        ),
        (
            "2026-05-01T12:00:00Z,a,v1,shut,,,,1,0.1",
            "baseline 1, layer_differs 1, layer_logged 1",
        ),
        // A layer that the plan does not have: the layer table's layer is used, and the row is
        // counted.
        (
            "2026-05-01T12:00:00Z,a,v2,gone,,,,1,0.1",
            "candidate 1, layer_differs 1, layer_logged 1",
        ),
        // The propensity: that of the row's release, to half a basis point.
        ("2026-05-01T12:00:00Z,a,v2,,,,0.99996,1,0.1", "candidate 1"),
        (
            "2026-05-01T12:00:00Z,a,v2,,,,0.99994,1,0.1",
            "candidate 1, propensity_differs 1",
        ),
        ("2026-05-01T12:00:00Z,a,v2,,,,1.0,1,0.1", "candidate 1"),
        (
            "2026-05-01T12:00:00Z,a,v2,,,,0.5,1,0.1",
            "candidate 1, propensity_differs 1",
        ),
        ("2026-05-01T12:00:00Z,s,v1,,,,1.0,1,0.1", "baseline 1"),
        // A row is counted once, by its first fault.
        ("2026-04-30T12:00:00Z,x,v9,,1,1,,1,0.1", "before_start 1"),
        ("2026-05-01T12:00:00Z,x,v9,,1,1,,1,0.1", "shadow 1"),
        ("2026-05-01T12:00:00Z,x,v9,,0,1,,1,0.1", "eval 1"),
        ("2026-05-01T12:00:00Z,x,v9,,,,,1,0.1", "unknown_user 1"),
        ("2026-05-01T12:00:00Z,i,v9,,,,,1,0.1", "unknown_release 1"),
    ];
    let mut wrong = Vec::new();
    for (row, expected) in cases {
        let cube = cube_of(&[row]).unwrap();
        assert_eq!(cube.counts.n_rows, 1);
        if counts(&cube) != expected {
            wrong.push(format!("{row}: expected {expected}, found {}", counts(&cube)));
        }
        let is_in_an_arm = expected.starts_with("candidate") || expected.starts_with("baseline");
        assert_eq!(cube.cells.keys.len(), usize::from(is_in_an_arm), "{row}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The layer, stage, release, window and bucket group of a cell.
type Cell = (u8, u8, Arm, u32, u16);

#[test]
fn a_cell_is_of_the_layer_stage_release_window_and_bucket_of_its_rows() {
    let scenario = Scenario::parse(SCENARIO, "test", Path::new(""), &Overrides::default()).unwrap();
    let group = |user: &str| group_of(scenario.plan.profile.bucket(user));
    let (baseline, candidate) = (Arm::Baseline, Arm::Candidate);
    let cases: [(&str, Cell); 8] = [
        (
            "2026-05-01T00:00:00Z,a,v2,,,,,1,0.1",
            (0, 0, candidate, 0, group("a")),
        ),
        (
            "2026-05-01T00:59:59Z,b,v2,,,,,1,0.1",
            (0, 0, candidate, 0, group("b")),
        ),
        (
            "2026-05-01T23:00:00Z,a,v1,,,,,1,0.1",
            (0, 0, baseline, 23, group("a")),
        ),
        (
            "2026-05-02T00:00:00Z,a,v1,,,,,1,0.1",
            (0, 1, baseline, 24, group("a")),
        ),
        (
            "2026-05-02T23:59:59Z,a,v2,,,,,1,0.1",
            (0, 1, candidate, 47, group("a")),
        ),
        (
            "2026-05-02T12:00:00Z,s,v1,,,,,1,0.1",
            (1, 0, baseline, 36, group("s")),
        ),
        // The layer that the row was served under, if the plan has it.
        (
            "2026-05-02T12:00:00Z,a,v1,shut,,,,1,0.1",
            (1, 0, baseline, 36, group("a")),
        ),
        (
            "2026-05-02T12:00:00Z,s,v1,gone,,,,1,0.1",
            (1, 0, baseline, 36, group("s")),
        ),
    ];
    assert_ne!(group("a"), group("s"));
    for (row, expected) in cases {
        let cube = cube_of(&[row]).unwrap();
        let cells: Vec<Cell> = cube
            .cells
            .keys
            .iter()
            .map(|key| (key.layer, key.stage, key.arm, key.window, key.group))
            .collect();
        assert_eq!(cells, [expected], "{row}");
    }
}

#[test]
fn nulls_are_found_far_into_a_step() {
    let known = "2026-05-01T12:00:00Z,a,v2,,,,,1,0.25";
    let null = "2026-05-01T12:00:00Z,a,v2,,,,,,";
    for at in [0, 1, 62, 63, 64, 65, 127, 128, 199] {
        let mut rows = vec![known; 200];
        rows[at] = null;
        let cube = cube_of(&rows).unwrap();
        assert_eq!(
            sums(&cube, "task_completion_rate"),
            [(199, 199)],
            "null in row {at}"
        );
        assert_eq!(cube.cells.values[0], 200);
    }
    // Rows without a cell alternate with rows that have one.
    let stranger = "2026-05-01T12:00:00Z,x,v2,,,,,1,0.25";
    let rows: Vec<&str> = (0..300)
        .map(|row| if row % 3 == 0 { known } else { stranger })
        .collect();
    let cube = cube_of(&rows).unwrap();
    assert_eq!(counts(&cube), "candidate 100, unknown_user 200");
    assert_eq!(sums(&cube, "task_completion_rate"), [(100, 100)]);
}

#[test]
fn a_log_without_rows_has_no_cells() {
    let cube = cube_of(&[]).unwrap();
    assert_eq!((cube.counts.n_rows, cube.cells.keys.len()), (0, 0));
}

#[test]
fn cells_hold_sums_and_counts_of_known_values() {
    let cube = cube_of(&[
        "2026-05-01T12:00:00Z,a,v2,,,,,1,0.25",
        "2026-05-01T12:10:00Z,a,v2,,,,,0,0.5",
        "2026-05-01T12:20:00Z,a,v2,,,,,,",
        "2026-05-01T13:00:00Z,a,v2,,,,,1,",
    ])
    .unwrap();
    let width = cube.measures.len();
    let windows: Vec<u32> = cube.cells.keys.iter().map(|key| key.window).collect();
    assert_eq!(windows, [12, 13]);
    assert_eq!(sums(&cube, "task_completion_rate"), [(1, 2), (1, 1)]);
    // The cost in nano-USD over the rows of the window whose cost is known.
    assert_eq!(sums(&cube, "cost_per_turn_usd"), [(750_000_000, 2), (0, 0)]);
    // The first sum of a cell is its number of rows.
    assert_eq!([cube.cells.values[0], cube.cells.values[width]], [3, 1]);
}

#[test]
fn a_sum_that_overflows_is_an_error() {
    let row = "2026-05-01T12:00:00Z,a,v2,,,,,1,9e6";
    assert!(cube_of(&[row]).is_ok());
    let error = cube_of(&[row; 1_100]).unwrap_err();
    assert!(error.to_string().contains("overflow"), "{error}");
}
