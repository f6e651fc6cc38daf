//! A ramp over generated nights by the stages of `sluice run`: each night replays the whole log,
//! analyzes it and decides, and the next night has the ratio that was decided.

use std::path::Path;
use toml::{Table, Value};

use sluice::base::progress::Progress;
use sluice::scenario::{Overrides, Scenario};
use sluice::simulate::{Measured, Optimum, optimize};
use sluice::study;
use sluice::words::Lang;

/// One layer whose candidate has the completion rate of the baseline, or one that is worse by the
/// margin.
pub(crate) const SCENARIO: &str = r#"
seed = 7
as_of = "2026-05-28"
[plan]
id = "gates"
start = "2026-05-25"
baseline = "old"
candidate = "new"
[input.generate]
users = 10_000
turns = 30_000
[[layer]]
id = "all"
min_users = 50
qos_threshold = 0.5
[[guardrail]]
metric = "task_completion_rate"
margin = 0.03
[simulate]
runs = 1_000
days = 20
[[simulate.world]]
id = "none"
[simulate.budget]
max_false_rollback = 0.1
max_missed = 0.2
max_harm = 60
"#;

/// Completion rate of the generated baseline.
const BASELINE: f64 = 0.6;
/// The margin of the scenario.
pub(crate) const HARM: f64 = 0.03;
const FIRST_DAY: u32 = 25;
/// Turns of the log a day.
const TURNS_A_DAY: u32 = 10_000;
/// A ramp that takes longer is unfinished.
const MAX_NIGHTS: u32 = 20;

pub(crate) fn parse(text: &str) -> Scenario {
    Scenario::parse(text, "gates", Path::new(""), &Overrides::default()).expect("a legal scenario")
}

/// The optimal schedule for the traffic of three nights of the baseline.
pub(crate) fn optimum() -> Optimum {
    let scenario = parse(SCENARIO);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    study::run(&scenario, &out, Lang::default(), &Progress::silent()).unwrap();
    let cube = sluice::replay::Cube::read(&out.join("cube")).unwrap();
    let measured = Measured::from_cube(&cube, &scenario, &scenario.time_zone).unwrap();
    optimize(&scenario, SCENARIO, Some(&measured)).unwrap()
}

/// The end of a ramp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Full,
    RolledBack,
    Unfinished,
}

/// Runs a scenario night by night until the layer is full or rolled back. Returns the end and the
/// number of nights.
pub(crate) fn ramp(toml: &str, seed: u32, harm: f64) -> (End, u32) {
    let mut operations: Vec<(u32, f64)> = Vec::new();
    for night in 1..=MAX_NIGHTS {
        let scenario = parse(&night_text(toml, seed, harm, night, &operations));
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let study = study::run(&scenario, &out, Lang::default(), &Progress::silent()).unwrap();
        let decided = &study.ramp.unwrap().schedule.layers[0];
        let (before, after) = (decided.ratio.share(), decided.next_ratio.share());
        if before > 0.0 && after == 0.0 {
            return (End::RolledBack, night);
        }
        if after == 1.0 {
            return (End::Full, night);
        }
        if after != before {
            operations.push((night, after));
        }
    }
    (End::Unfinished, MAX_NIGHTS)
}

/// The scenario of one night: what happened so far, and the log up to then.
fn night_text(toml: &str, seed: u32, harm: f64, night: u32, operations: &[(u32, f64)]) -> String {
    let instant = |night: u32| Value::from(format!("2026-06-{:02}T00:00:00Z", night + FIRST_DAY - 24));
    let mut table: Table = toml.parse().unwrap();
    table.insert("seed".into(), i64::from(seed).into());
    table.insert("as_of".into(), instant(night));
    table["plan"]
        .as_table_mut()
        .unwrap()
        .insert("start".into(), instant(0));
    let generate = table["input"]["generate"].as_table_mut().unwrap();
    generate.insert("turns".into(), i64::from(night * TURNS_A_DAY).into());
    let mut fault = Table::new();
    fault.insert("layer".into(), "all".into());
    fault.insert("from".into(), instant(0));
    for (key, value) in [
        ("task_completion_rate", BASELINE - harm),
        ("complaint_rate", 0.002),
        ("bad_rate", 0.08),
    ] {
        fault.insert(key.into(), value.into());
    }
    generate.insert("fault".into(), Value::Array(vec![Value::Table(fault)]));
    let operation = |(night, ratio): &(u32, f64)| {
        let mut operation = Table::new();
        operation.insert("at".into(), instant(*night));
        operation.insert("layer".into(), "all".into());
        operation.insert("ratio".into(), (*ratio).into());
        Value::Table(operation)
    };
    table.insert(
        "operation".into(),
        Value::Array(operations.iter().map(operation).collect()),
    );
    toml::to_string(&table).unwrap()
}
