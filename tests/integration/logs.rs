//! Logs for tests: users of two tenants, turns with every special case, in any format.

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

use crate::support::{fails, ok, text, tree};

pub(crate) const HOUR: i64 = 3_600_000_000;
/// 2026-05-25T00:00:00Z, microseconds.
pub(crate) const START: i64 = 1_779_667_200_000_000;
pub(crate) const AS_OF: i64 = START + 72 * HOUR;
pub(crate) const LAYERS: [&str; 3] = ["first", "second", "rest"];

pub(crate) const SCENARIO: &str = r#"
why = "replay"
as_of = "2026-05-28"
[plan]
id = "replay"
start = "2026-05-25"
baseline = "old"
candidate = "new"
[analysis]
clusters = "user"
breakdowns = ["feature"]
[input]
users = { path = "users.csv", absent = ["last_use_time", "use_count", "user_value", "accept_score"] }
[[layer]]
id = "first"
tags = [{ column = "kind", equals = "first" }]
min_score = 0.9
[[layer]]
id = "second"
tags = [{ column = "kind", equals = "second" }]
min_score = 0.8
[[layer]]
id = "rest"
[[metric]]
id = "slow_rate"
numerator = "sum(latency_ms > 900)"
denominator = "count(latency_ms)"
better = "lower"
proportion = true
[[metric]]
id = "refund_share"
numerator = "sum(feature = 'refund')"
denominator = "rows"
better = "lower"
[[metric]]
id = "latency_capped_ms"
numerator = "sum(latency_ms)"
denominator = "count(latency_ms)"
better = "lower"
floor = 200.0
cap = 1500.5
[[operation]]
at = "2026-05-25T06:00:00Z"
layer = "first"
ratio = 0.1
[[operation]]
at = "2026-05-26T00:30:00Z"
layer = "first"
ratio = 0.5
[[operation]]
at = "2026-05-26T12:00:00Z"
layer = "second"
ratio = 0.2
[[operation]]
at = "2026-05-27T00:00:00Z"
tenant = "shop"
layer = "second"
ratio = 0.0
"#;

/// Changes of ratio: instant, tenant (`None` for all), layer index, basis points.
pub(crate) const OPERATIONS: [(i64, Option<&str>, usize, u16); 4] = [
    (START + 6 * HOUR, None, 0, 1_000),
    (START + 24 * HOUR + HOUR / 2, None, 0, 5_000),
    (START + 36 * HOUR, None, 1, 2_000),
    (START + 48 * HOUR, Some("shop"), 1, 0),
];

/// A generator of pseudo-random numbers with a fixed sequence.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) % n
    }
}

#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) tenant: &'static str,
    pub(crate) id: String,
    pub(crate) layer: usize,
    pub(crate) eligible: bool,
    pub(crate) bucket: u16,
}

#[derive(Debug, Clone)]
pub(crate) struct Turn {
    pub(crate) at: i64,
    /// Index of a known user, or the id of an unknown one.
    pub(crate) user: Result<usize, String>,
    pub(crate) release: Option<&'static str>,
    pub(crate) trace: String,
    pub(crate) session: String,
    pub(crate) feature: &'static str,
    pub(crate) color: Option<&'static str>,
    pub(crate) is_shadow: Option<bool>,
    pub(crate) is_eval: bool,
    pub(crate) success: Option<bool>,
    pub(crate) latency_ms: Option<f64>,
    pub(crate) tool_calls: Option<i64>,
    pub(crate) bad: Option<bool>,
    pub(crate) csat: Option<f64>,
    pub(crate) cost_usd: f64,
}

/// Turns of 300 users of two tenants.
pub(crate) struct Log {
    pub(crate) users: Vec<User>,
    pub(crate) turns: Vec<Turn>,
}

impl Log {
    pub(crate) fn new(n: usize, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let hasher = sluice::bucket::Profile::Sluice {
            salt: "replay".into(),
        };
        let users: Vec<User> = (0..300)
            .map(|idx| {
                let id = format!("u{}", idx % 200);
                let tenant = if idx < 200 { "default" } else { "shop" };
                User {
                    tenant,
                    layer: idx % 3,
                    eligible: idx % 7 != 0,
                    bucket: hasher.bucket(&id),
                    id,
                }
            })
            .collect();
        let turns = (0..n)
            .map(|idx| {
                let user = if dice.roll(50) == 0 {
                    Err(format!("x{}", dice.roll(9)))
                } else {
                    Ok(dice.roll(300) as usize)
                };
                let mut some = |one_in: u64| dice.roll(one_in) != 0;
                let (has_release, has_latency, has_bad, has_csat, is_served) =
                    (some(40), some(9), !some(2), !some(5), some(25));
                // Some rows are before the start, after `as_of`, or a year late, as with wrong
                // clocks.
                let at = match dice.roll(60) {
                    0 => START - 1 - dice.roll(1_000_000) as i64,
                    1 => AS_OF + dice.roll(100 * HOUR as u64) as i64,
                    2 => START + 366 * 24 * HOUR,
                    3 => START + 24 * HOUR + HOUR / 2,
                    _ => START + dice.roll(72 * HOUR as u64) as i64 / 1_000 * 1_000,
                };
                let bucket = user.as_ref().map_or(0, |user| users[*user].bucket);
                let candidate = match dice.roll(20) {
                    0 => bucket > 5_000,
                    _ => bucket < 1_500,
                };
                let release = if !has_release {
                    None
                } else if dice.roll(33) == 0 {
                    Some("other")
                } else {
                    Some(["old", "new"][usize::from(candidate)])
                };
                Turn {
                    at,
                    user,
                    release,
                    trace: format!("t{}", if dice.roll(30) == 0 { idx / 2 } else { idx }),
                    session: format!("s{}", dice.roll(400)),
                    feature: ["order", "refund", "presale"][dice.roll(3) as usize],
                    color: [None, None, Some("first"), Some("second"), Some("gone")]
                        [dice.roll(5).saturating_sub(dice.roll(4)) as usize],
                    is_shadow: is_served.then_some(false).or(Some(true)).filter(|_| idx % 3 > 0),
                    is_eval: dice.roll(70) == 0,
                    success: (dice.roll(11) > 0).then(|| dice.roll(10) > 0),
                    latency_ms: has_latency.then(|| dice.roll(2_000_000) as f64 / 1_000.0),
                    tool_calls: Some(dice.roll(4) as i64).filter(|calls| *calls > 0),
                    bad: has_bad.then(|| dice.roll(9) == 0),
                    csat: has_csat.then(|| (dice.roll(9) + 2) as f64 / 2.0),
                    cost_usd: dice.roll(1_000_000) as f64 * 1e-9,
                }
            })
            .collect();
        Self { users, turns }
    }

    pub(crate) fn tenant(&self, turn: &Turn) -> &'static str {
        turn.user
            .as_ref()
            .map_or("default", |user| self.users[*user].tenant)
    }

    pub(crate) fn user_id<'a>(&'a self, turn: &'a Turn) -> &'a str {
        turn.user
            .as_ref()
            .map_or_else(String::as_str, |user| &self.users[*user].id)
    }
}

/// A folder with the users, their layers and the plan.
pub(crate) struct Study(TempDir);

impl Study {
    pub(crate) fn new(log: &Log) -> Self {
        let study = Self(tempfile::tempdir().unwrap());
        let mut users = "user_id,tenant_id,kind,is_allow_gray\n".to_owned();
        for user in &log.users {
            // The default tenant is written as an empty text or by its name.
            let tenant = if user.tenant == "default" && user.layer == 1 {
                ""
            } else {
                user.tenant
            };
            users.push_str(&format!(
                "{},{tenant},{},{}\n",
                user.id, LAYERS[user.layer], user.eligible
            ));
        }
        fs::write(study.path("users.csv"), users).unwrap();
        fs::write(study.path("plan.toml"), SCENARIO).unwrap();
        study.ok(&["layer", "--config", "plan.toml", "--out", "layers.parquet"]);
        study
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Replaces arguments that name a file of the folder, or one that will be made there, by their
    /// whole paths.
    pub(crate) fn args(&self, args: &[&str]) -> Vec<String> {
        let mut previous = "";
        args.iter()
            .enumerate()
            .map(|(idx, arg)| {
                let is_path = [
                    "--config",
                    "--out",
                    "--traffic",
                    "--layers",
                    "--plan",
                    "--shadow",
                    "--outcomes",
                    "--since",
                    "--cube",
                    "--what-if",
                ]
                .contains(&previous)
                    || (idx > 0 && self.path(arg).exists());
                previous = arg;
                if is_path {
                    text(&self.path(arg)).to_owned()
                } else {
                    (*arg).to_owned()
                }
            })
            .collect()
    }

    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let args = self.args(args);
        ok(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub(crate) fn fails(&self, args: &[&str], code: i32) -> String {
        let args = self.args(args);
        fails(&args.iter().map(String::as_str).collect::<Vec<_>>(), code)
    }

    pub(crate) fn replay(&self, traffic: &str, out: &str, more: &[&str]) -> String {
        let args = [
            &[
                "replay",
                "--traffic",
                traffic,
                "--layers",
                "layers.parquet",
                "--plan",
                "plan.toml",
                "--out",
                out,
                "--json",
            ],
            more,
        ]
        .concat();
        self.ok(&args)
    }

    pub(crate) fn tables(&self, cube: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = tree(&self.path(cube));
        files.remove(Path::new("cube.json"));
        files
    }
}

/// The format of a log file.
#[derive(Clone, Copy)]
pub(crate) enum Written {
    Csv,
    Ndjson,
    /// Number of rows in a row group, whether dictionaries are used, the compression, and whether
    /// columns have other types, such as integer ids.
    Parquet(usize, bool, Compression, bool),
}

pub(crate) fn write(log: &Log, turns: &[Turn], path: &Path, how: Written) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let show = |value: &dyn std::fmt::Display| value.to_string();
    let columns = [
        "event_time",
        "user_id",
        "tenant_id",
        "release_id",
        "trace_id",
        "session_id",
        "feature",
        "layer",
        "is_shadow",
        "is_eval",
        "success",
        "latency_ms",
        "tool_calls",
        "bad",
        "csat",
        "cost_usd",
    ];
    let instant = |at: i64| sluice::base::time::format(at);
    let cells = |turn: &Turn| -> Vec<Option<String>> {
        vec![
            Some(instant(turn.at)),
            Some(log.user_id(turn).to_owned()),
            Some(log.tenant(turn).to_owned()).filter(|tenant| tenant != "default"),
            turn.release.map(str::to_owned),
            Some(turn.trace.clone()),
            Some(turn.session.clone()),
            Some(turn.feature.to_owned()),
            turn.color.map(str::to_owned),
            turn.is_shadow.map(|flag| show(&flag)),
            Some(show(&turn.is_eval)),
            turn.success.map(|flag| show(&flag)),
            turn.latency_ms.map(|value| show(&value)),
            turn.tool_calls.map(|value| show(&value)),
            turn.bad.map(|flag| show(&flag)),
            turn.csat.map(|value| show(&value)),
            Some(show(&turn.cost_usd)),
        ]
    };
    match how {
        Written::Csv => {
            let lines = turns.iter().map(|turn| {
                cells(turn)
                    .into_iter()
                    .map(Option::unwrap_or_default)
                    .collect::<Vec<_>>()
                    .join(",")
            });
            fs::write(
                path,
                std::iter::once(columns.join(","))
                    .chain(lines)
                    .collect::<Vec<_>>()
                    .join("\n")
                    + "\n",
            )
            .unwrap();
        }
        Written::Ndjson => {
            let line = |turn: &Turn| {
                let known = columns
                    .iter()
                    .zip(cells(turn))
                    .filter_map(|(name, cell)| Some((*name, cell?)));
                serde_json::to_string(&known.collect::<BTreeMap<_, _>>()).unwrap()
            };
            fs::write(path, turns.iter().map(line).collect::<Vec<_>>().join("\n") + "\n").unwrap();
        }
        Written::Parquet(row_group, dictionary, compression, odd) => {
            let texts = |of: &dyn Fn(&Turn) -> Option<String>| -> ArrayRef {
                Arc::new(turns.iter().map(of).collect::<StringArray>())
            };
            let flags = |of: &dyn Fn(&Turn) -> Option<bool>| -> ArrayRef {
                let values: Vec<Option<bool>> = turns.iter().map(of).collect();
                if odd {
                    Arc::new(
                        values
                            .into_iter()
                            .map(|flag| flag.map(i64::from))
                            .collect::<Int64Array>(),
                    )
                } else {
                    Arc::new(values.into_iter().collect::<BooleanArray>())
                }
            };
            let reals = |of: &dyn Fn(&Turn) -> Option<f64>| -> ArrayRef {
                Arc::new(turns.iter().map(of).collect::<Float64Array>())
            };
            let at = turns.iter().map(|turn| turn.at);
            let event_time: ArrayRef = if odd {
                Arc::new(
                    at.map(|at| Some(at * 1_000))
                        .collect::<TimestampNanosecondArray>(),
                )
            } else {
                Arc::new(at.map(Some).collect::<TimestampMicrosecondArray>())
            };
            let tool_calls: ArrayRef = if odd {
                reals(&|turn| turn.tool_calls.map(|calls| calls as f64))
            } else {
                Arc::new(turns.iter().map(|turn| turn.tool_calls).collect::<Int64Array>())
            };
            let arrays: Vec<ArrayRef> = vec![
                event_time,
                texts(&|turn| Some(log.user_id(turn).to_owned())),
                texts(&|turn| Some(log.tenant(turn).to_owned()).filter(|tenant| tenant != "default")),
                texts(&|turn| turn.release.map(str::to_owned)),
                texts(&|turn| Some(turn.trace.clone())),
                texts(&|turn| Some(turn.session.clone())),
                texts(&|turn| Some(turn.feature.to_owned())),
                texts(&|turn| turn.color.map(str::to_owned)),
                flags(&|turn| turn.is_shadow),
                flags(&|turn| Some(turn.is_eval)),
                flags(&|turn| turn.success),
                reals(&|turn| turn.latency_ms),
                tool_calls,
                flags(&|turn| turn.bad),
                reals(&|turn| turn.csat),
                reals(&|turn| Some(turn.cost_usd)),
            ];
            let batch = RecordBatch::try_from_iter(columns.into_iter().zip(arrays)).unwrap();
            let properties = WriterProperties::builder()
                .set_max_row_group_row_count(Some(row_group))
                .set_dictionary_enabled(dictionary)
                .set_compression(compression)
                .build();
            let mut writer =
                ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
        }
    }
}
